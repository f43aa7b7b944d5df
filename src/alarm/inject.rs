//! Trial samples: they replace the real ones until they expire, and alarms that they raise are marked as tests. They are seen by
//! alarms only: no history, no evidence, no energy.

use std::collections::BTreeMap;

use crate::model::time::MonotonicMillis;
use crate::model::value::Value;

/// Trial samples by slot, each with its expiry.
#[derive(Clone, Debug, Default)]
pub struct Injected {
    samples: BTreeMap<usize, (Value, MonotonicMillis)>,
}

impl Injected {
    /// Replaces the real sample of a slot until `until`.
    pub fn put(&mut self, slot: usize, value: Value, until: MonotonicMillis) {
        self.samples.insert(slot, (value, until));
    }

    /// The trial sample of a slot and its expiry.
    pub fn get(&self, slot: usize) -> Option<(&Value, MonotonicMillis)> {
        if self.samples.is_empty() {
            return None;
        }
        self.samples.get(&slot).map(|(value, until)| (value, *until))
    }

    /// Removes expired samples and returns their slots.
    pub fn end(&mut self, now: MonotonicMillis) -> Vec<usize> {
        let over: Vec<usize> = self.samples.iter().filter(|(_, (_, until))| now >= *until).map(|(s, _)| *s).collect();
        over.iter().for_each(|slot| drop(self.samples.remove(slot)));
        over
    }

    /// Moves the samples to other slots; a sample whose slot has no successor is dropped.
    #[must_use]
    pub fn moved(self, to: impl Fn(usize) -> Option<usize>) -> Self {
        let of = |(slot, sample)| to(slot).map(|slot| (slot, sample));
        Self { samples: self.samples.into_iter().filter_map(of).collect() }
    }

    /// The earliest expiry among the samples; `None` if there is none.
    pub fn next_end(&self) -> Option<MonotonicMillis> {
        self.samples.values().map(|(_, until)| *until).min()
    }
}
