//! Values of the plant's instruments, and random numbers from a seed.

use std::collections::BTreeMap;

/// Values of the plant's instruments: unit -> point -> value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    pub by_unit: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Signals {
    pub fn set(&mut self, unit: &str, point: &str, value: f64) {
        match self.by_unit.get_mut(unit) {
            Some(points) => drop(points.insert(point.to_string(), value)),
            None => drop(self.by_unit.insert(unit.to_string(), BTreeMap::from([(point.to_string(), value)]))),
        }
    }

    pub fn get(&self, unit: &str, point: &str) -> Option<f64> {
        self.by_unit.get(unit)?.get(point).copied()
    }
}

/// Random numbers from a seed (xorshift): the same seed gives the same sequence.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// A seed of 0 becomes 1, because xorshift never leaves 0.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// Between 0 and 1.
    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let unit = (self.0 >> 11) as f64 / (1u64 << 53) as f64;
        unit
    }

    /// Between -1 and 1.
    pub fn noise(&mut self) -> f64 {
        self.uniform() * 2.0 - 1.0
    }
}
