//! The desk where everything is decided, without a clock: one door in, one out, and the next wake-up.
//!
//! Rooms run in a fixed order; one that needs a later room's result sees it one step later. For now: `derive`, and who is
//! there (`presence`).

pub mod presence;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::derive::{Definition, Derive, Kept};
use crate::engine::presence::{Change, Presence};
use crate::model::reading::Reading;
use crate::model::time::{Mono, Now};

/// Rooms of rules that run at the desk.
pub const ROOMS: u64 = 2;

/// What comes in.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A reading.
    Reading(&'a Reading),
    /// Nothing but time.
    Tick,
}

/// What goes out.
#[derive(Debug, Default)]
pub struct Output {
    /// Derived readings and states of devices, to be appended.
    pub derived: Vec<Reading>,
    /// Devices whose state changed.
    pub presence: Vec<Change>,
}

/// What survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of this form: 1.
    pub format: u32,
    /// Counts of derived points.
    pub derive: BTreeMap<String, Kept>,
}

/// The engine.
#[derive(Debug, Default)]
pub struct Engine {
    definitions: Vec<Definition>,
    derive: Derive,
    presence: Presence,
    /// Rooms that panicked and were switched off.
    off: Vec<&'static str>,
}

impl Engine {
    /// Builds the rules, going on from a snapshot.
    pub fn new(definitions: &[Definition], snapshot: &Snapshot) -> Self {
        let derive = Derive::new(definitions, &snapshot.derive);
        Self { definitions: definitions.to_vec(), derive, presence: Presence::default(), off: Vec::new() }
    }

    /// One step.
    pub fn step(&mut self, now: Now, input: Input<'_>) -> Output {
        let mut out = Output::default();
        if let Input::Reading(reading) = input {
            out.derived = guarded("derive", &mut self.off, || self.derive.step(reading));
            out.presence.extend(self.presence.reading(reading));
        }
        out.presence.extend(self.presence.tick(now));
        for change in &out.presence {
            out.derived.push(self.presence.as_reading(change, now));
        }
        out.derived.extend(self.presence.beat(now));
        out
    }

    /// Rooms that panicked: what they decide is unknown until the next start or reload, the others go on.
    pub fn off(&self) -> &[&'static str] {
        &self.off
    }

    /// When the engine wants to be asked again although nothing came.
    pub fn next_wake(&self) -> Option<Mono> {
        self.presence.next_wake()
    }

    /// What survives a restart.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { format: 1, derive: self.derive.kept() }
    }

    /// A new configuration: rules anew, counts and states go on.
    pub fn reconfigure(&mut self, definitions: &[Definition], has: impl Fn(&str, &str) -> bool) {
        // Windows and edges run on where the definitions are the same.
        if self.definitions != definitions || !self.off.is_empty() {
            self.derive = Derive::new(definitions, &self.derive.kept());
            self.definitions = definitions.to_vec();
            self.off.clear();
        }
        self.presence.keep(has);
    }
}

/// Runs a room; one that panics is switched off, and what it decides is nothing.
fn guarded<T: Default>(room: &'static str, off: &mut Vec<&'static str>, step: impl FnOnce() -> T) -> T {
    if off.contains(&room) {
        return T::default();
    }
    // The room's state may be broken by then; it is not used again.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).unwrap_or_else(|_| {
        off.push(room);
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_panics_is_switched_off_and_the_others_go_on() {
        let mut off = Vec::new();
        let good: Vec<u8> = guarded("a", &mut off, || vec![1]);
        let bad: Vec<u8> = guarded("b", &mut off, || panic!("on purpose"));
        let never: Vec<u8> = guarded("b", &mut off, || vec![2]);
        let still: Vec<u8> = guarded("a", &mut off, || vec![3]);
        assert_eq!((good, bad, never, still), (vec![1], vec![], vec![], vec![3]));
        assert_eq!(off, ["b"]);
    }
}
