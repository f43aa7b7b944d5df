//! Detection of alarm floods and chattering alarms. A flood is many different alarms; one alarm that comes and goes often
//! chatters, and is held active.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::alarm::life::LifeStep;
use crate::alarm::site::AlarmSettings;
use crate::alarm::{AlarmOutput, Alarms};
use crate::model::alarm::{AlarmEvent, AlarmEventKind};
use crate::model::priority::Priority;
use crate::model::time::{MonotonicMillis, Now};

/// When each annunciated alarm was last raised.
#[derive(Debug, Default)]
pub struct AlarmFloodDetector {
    raised: BTreeMap<Arc<str>, MonotonicMillis>,
    /// Whether an alarm flood is in progress.
    pub is_on: bool,
}

impl AlarmFloodDetector {
    /// Records an annunciated alarm; each alarm counts once, however often it is raised.
    pub fn raised(&mut self, key: &Arc<str>, now: MonotonicMillis) {
        self.raised.insert(Arc::clone(key), now);
    }

    /// When the flood may have ended; `None` while there is none.
    pub fn wake(&self, settings: &AlarmSettings) -> Option<MonotonicMillis> {
        let first = self.raised.values().min().filter(|_| self.is_on)?;
        Some(first.plus(settings.flood_within.0))
    }

    /// The event if a flood begins or ends. It ends at half of the count at which it begins.
    pub fn update(&mut self, settings: &AlarmSettings, now: MonotonicMillis) -> Option<AlarmEvent> {
        self.raised.retain(|_, at| now.since(*at) < settings.flood_within.0);
        let (most, count) = (settings.flood_more_than as usize, self.raised.len());
        let is_on = if self.is_on { count > most / 2 } else { count > most };
        if is_on == self.is_on {
            return None;
        }
        self.is_on = is_on;
        let what = if is_on { AlarmEventKind::AlarmFloodBegan } else { AlarmEventKind::AlarmFloodEnded };
        let cause = format!("{count} alarms in {}", settings.flood_within.text());
        #[expect(clippy::cast_precision_loss, reason = "a count of alarms")]
        let value = Some(count as f64);
        let within_ms = Some(settings.flood_within.0);
        Some(AlarmEvent { value, cause, within_ms, ..AlarmEvent::bare("", what, 0, Priority::P2) })
    }
}

/// Recent raisings of one alarm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chatter {
    raised: VecDeque<MonotonicMillis>,
}

impl Chatter {
    /// Records a raising; returns how many there were within the window if that is chattering.
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
    /// Marks an alarm as chattering, with an event; from then on its off-delay is at least the window.
    pub(super) fn detect_chatter(&mut self, i: usize, now: Now, out: &mut AlarmOutput) {
        let settings = &self.rules.settings;
        let live = &mut self.live[i];
        let Some(times) = live.chatter.raised(settings, now.mono) else { return };
        let within = settings.chatter_within.text();
        live.alarm.chatter_count = Some(u32::try_from(times).unwrap_or(u32::MAX));
        let cause = format!("raised {times} times within {within}: held until it has stayed away for {within}");
        let event = self.event(
            i,
            AlarmEventKind::Chattering,
            LifeStep { cause, ..LifeStep::of(AlarmEventKind::Chattering) },
            now,
        );
        out.events.push(event);
    }
}
