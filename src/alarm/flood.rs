//! More alarms than people can read: it is recorded, and what people are told collapses. The records stay whole.

use std::collections::VecDeque;

use crate::alarm::event::{Event, What};
use crate::alarm::site::Settings;
use crate::model::priority::Priority;
use crate::model::time::Mono;

/// When alarms were raised lately.
#[derive(Debug, Default)]
pub struct Flood {
    raised: VecDeque<Mono>,
    /// Whether there is one.
    pub is_on: bool,
}

impl Flood {
    /// An alarm was raised that people are told of.
    pub fn raised(&mut self, now: Mono) {
        self.raised.push_back(now);
    }

    /// When it may be over.
    pub fn wake(&self, settings: &Settings) -> Option<Mono> {
        self.raised.front().filter(|_| self.is_on).map(|at| at.plus(settings.flood_within.0))
    }

    /// Whether one begins or ends. It ends at half of what it begins with.
    pub fn look(&mut self, settings: &Settings, now: Mono) -> Option<Event> {
        while self.raised.front().is_some_and(|at| now.since(*at) >= settings.flood_within.0) {
            self.raised.pop_front();
        }
        let (most, count) = (settings.flood_more_than as usize, self.raised.len());
        let is_on = if self.is_on { count > most / 2 } else { count > most };
        if is_on == self.is_on {
            return None;
        }
        self.is_on = is_on;
        let what = if is_on { What::FloodBegan } else { What::FloodEnded };
        let cause = format!("{count} alarms in {}", settings.flood_within.text());
        Some(Event { cause, ..Event::bare("", what, 0, Priority::P2) })
    }
}
