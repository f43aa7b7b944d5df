//! Alarm floods and chattering, counted. A flood is many alarms, not one that comes and goes often; one that does is held by
//! itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::alarm::event::{Event, EventKind};
use crate::alarm::life::LifeStep;
use crate::alarm::site::AlarmSettings;
use crate::alarm::{AlarmOutput, Alarms};
use crate::model::priority::Priority;
use crate::model::time::{MonotonicMillis, Now};

/// When each alarm was raised last, of those that people are told of.
#[derive(Debug, Default)]
pub struct Flood {
    raised: BTreeMap<Arc<str>, MonotonicMillis>,
    /// Whether there is one.
    pub is_on: bool,
}

impl Flood {
    /// An alarm was raised that people are told of; it counts once, however often it is raised.
    pub fn raised(&mut self, key: &Arc<str>, now: MonotonicMillis) {
        self.raised.insert(Arc::clone(key), now);
    }

    /// When it may be over.
    pub fn wake(&self, settings: &AlarmSettings) -> Option<MonotonicMillis> {
        let first = self.raised.values().min().filter(|_| self.is_on)?;
        Some(first.plus(settings.flood_within.0))
    }

    /// Whether one begins or ends. It ends at half of what it begins with.
    pub fn look(&mut self, settings: &AlarmSettings, now: MonotonicMillis) -> Option<Event> {
        self.raised.retain(|_, at| now.since(*at) < settings.flood_within.0);
        let (most, count) = (settings.flood_more_than as usize, self.raised.len());
        let is_on = if self.is_on { count > most / 2 } else { count > most };
        if is_on == self.is_on {
            return None;
        }
        self.is_on = is_on;
        let what = if is_on { EventKind::FloodBegan } else { EventKind::FloodEnded };
        let cause = format!("{count} alarms in {}", settings.flood_within.text());
        #[expect(clippy::cast_precision_loss, reason = "a count of alarms")]
        let value = Some(count as f64);
        Some(Event { value, cause, ..Event::bare("", what, 0, Priority::P2) })
    }
}

/// How often one alarm was raised lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chatter {
    raised: VecDeque<MonotonicMillis>,
}

impl Chatter {
    /// It was raised: how often within the time that counts, if that is chattering.
    pub fn raised(&mut self, settings: &AlarmSettings, now: MonotonicMillis) -> Option<usize> {
        let most = settings.chatter_times as usize;
        if most == 0 {
            return None;
        }
        while self.raised.front().is_some_and(|at| now.since(*at) >= settings.chatter_within.0) {
            self.raised.pop_front();
        }
        self.raised.push_back(now);
        (self.raised.len() >= most).then_some(self.raised.len())
    }
}

impl Alarms {
    /// An alarm that comes and goes too often is held from now on, which is said once.
    pub(super) fn count_raised(&mut self, i: usize, now: Now, out: &mut AlarmOutput) {
        let settings = &self.rules.settings;
        let live = &mut self.live[i];
        let Some(times) = live.chatter.raised(settings, now.mono) else { return };
        let within = settings.chatter_within.text();
        live.alarm.chatters = Some(u32::try_from(times).unwrap_or(u32::MAX));
        let cause = format!("raised {times} times within {within}: held until it has stayed away for {within}");
        let event = self.event(i, EventKind::Chatters, LifeStep { cause, ..LifeStep::of(EventKind::Chatters) }, now);
        out.events.push(event);
    }
}
