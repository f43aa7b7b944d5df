//! Derived points as a room of the engine.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::derive::{Derive, DerivedDefinition, PersistedDerived};
use crate::model::effects::Effects;
use crate::model::room::{Board, Input, Reconfiguration, Room, SNAPSHOT, Snapshot, Start, kept_value};
use crate::model::time::{MonotonicMillis, Now};

/// The derived points as a room of the engine.
#[derive(Debug)]
pub struct DeriveRoom {
    derive: Derive,
    definitions: Vec<DerivedDefinition>,
    zone: TimeZone,
}

impl Room for DeriveRoom {
    const ID: &'static str = "derive";
    /// Format 2: extremes and sums of a day may be texts, exact to the last digit.
    const FORMAT: u32 = 2;
    type Plan = Vec<DerivedDefinition>;

    fn build(definitions: &Vec<DerivedDefinition>, start: Start<'_>, unreadable: &mut Vec<String>) -> Self {
        let zone = start.directory.zone.clone();
        let counts: BTreeMap<String, PersistedDerived> =
            kept_value((Self::ID, Self::FORMAT), start.kept, SNAPSHOT, unreadable).unwrap_or_default();
        let derive = Derive::new(definitions, &counts, &zone);
        Self { derive, definitions: definitions.clone(), zone }
    }

    /// Windows and edges run on where the definitions are the same.
    fn reconfigure(
        &mut self,
        definitions: &Vec<DerivedDefinition>,
        change: Reconfiguration<'_>,
        _board: &mut Board,
        _effects: &mut Effects,
    ) {
        let zone = &change.directory.zone;
        if self.definitions != *definitions || self.zone != *zone {
            self.derive = Derive::new(definitions, &self.derive.persisted(), zone);
            (self.definitions, self.zone) = (definitions.clone(), zone.clone());
        }
    }

    fn step(&mut self, _now: Now, input: Input<'_>, board: &mut Board, _effects: &mut Effects) {
        if let Input::Reading(reading) = input {
            board.readings.extend(self.derive.step(reading));
        }
    }

    fn next_wake(&self) -> Option<MonotonicMillis> {
        None
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let persisted = self.derive.persisted();
        Some(Box::new(move || serde_json::to_vec(&persisted).ok()))
    }
}
