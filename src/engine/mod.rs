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
    /// Derived readings, to be appended.
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
}

impl Engine {
    /// Builds the rules, going on from a snapshot.
    pub fn new(definitions: &[Definition], snapshot: &Snapshot) -> Self {
        let derive = Derive::new(definitions, &snapshot.derive);
        Self { definitions: definitions.to_vec(), derive, presence: Presence::default() }
    }

    /// One step.
    pub fn step(&mut self, now: Now, input: Input<'_>) -> Output {
        let mut out = Output::default();
        if let Input::Reading(reading) = input {
            out.derived = self.derive.step(reading);
            out.presence.extend(self.presence.reading(reading));
        }
        out.presence.extend(self.presence.tick(now));
        out
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
        if self.definitions != definitions {
            self.derive = Derive::new(definitions, &self.derive.kept());
            self.definitions = definitions.to_vec();
        }
        self.presence.keep(has);
    }
}
