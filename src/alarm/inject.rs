//! Samples that somebody gives for a trial: they stand in for the real ones until their time is over, and whatever comes of
//! them is marked. They reach nothing but alarms: no history, no evidence, no energy.

use std::collections::BTreeMap;

use crate::model::time::MonotonicMillis;
use crate::model::value::Value;

/// Samples by slot, each with its end.
#[derive(Clone, Debug, Default)]
pub struct Injected {
    samples: BTreeMap<usize, (Value, MonotonicMillis)>,
}

impl Injected {
    /// Puts a sample in the place of the real one.
    pub fn put(&mut self, slot: usize, value: Value, until: MonotonicMillis) {
        self.samples.insert(slot, (value, until));
    }

    /// The sample that stands in.
    pub fn get(&self, slot: usize) -> Option<(&Value, MonotonicMillis)> {
        if self.samples.is_empty() {
            return None;
        }
        self.samples.get(&slot).map(|(value, until)| (value, *until))
    }

    /// Takes out those whose time is over; their slots.
    pub fn end(&mut self, now: MonotonicMillis) -> Vec<usize> {
        let over: Vec<usize> = self.samples.iter().filter(|(_, (_, until))| now >= *until).map(|(s, _)| *s).collect();
        over.iter().for_each(|slot| drop(self.samples.remove(slot)));
        over
    }

    /// The same samples in other slots; what nobody looks at any more is dropped.
    #[must_use]
    pub fn moved(self, to: impl Fn(usize) -> Option<usize>) -> Self {
        let of = |(slot, sample)| to(slot).map(|slot| (slot, sample));
        Self { samples: self.samples.into_iter().filter_map(of).collect() }
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<MonotonicMillis> {
        self.samples.values().map(|(_, until)| *until).min()
    }
}
