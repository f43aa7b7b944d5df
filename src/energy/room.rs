//! Energy as a room of the engine: it takes people's decisions about boundaries, logs and keeps them.

use std::collections::BTreeMap;

use crate::energy::decision::{DecisionVersion, counted};
use crate::model::command::{Command, Operation};
use crate::model::effects::{Effects, Keep, LogEvent};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::metering::{Classification, RegisterBoundary};
use crate::model::room::{Board, Input, Kept, Reconfiguration, Room, Start, kept_value};
use crate::model::text::{KEY, REMARK, one_line};
use crate::model::time::{MonotonicMillis, Now};

/// Most versions of decisions about one register; a person does not reach it.
const VERSIONS_MAX: usize = 10_000;

/// Decisions about boundaries of registers.
#[derive(Debug)]
pub struct EnergyRoom {
    /// All versions, by `device.point`.
    decisions: BTreeMap<String, Vec<DecisionVersion>>,
}

impl Room for EnergyRoom {
    const ID: &'static str = "energy";
    type Plan = ();

    fn build((): &(), start: Start<'_>, unreadable: &mut Vec<String>) -> Self {
        Self { decisions: decisions(start.kept, unreadable) }
    }

    fn reconfigure(&mut self, (): &(), _change: Reconfiguration<'_>, _board: &mut Board, _effects: &mut Effects) {}

    fn step(&mut self, now: Now, input: Input<'_>, _board: &mut Board, effects: &mut Effects) {
        if let Input::Command(command) = input
            && let Operation::Classify { boundary, classification } = &command.operation
            && let Err(refused) = self.classify(command, boundary, *classification, now, effects)
        {
            effects.refused = effects.refused.take().or(Some(refused));
        }
    }

    fn next_wake(&self) -> Option<MonotonicMillis> {
        None
    }
}

impl EnergyRoom {
    fn classify(
        &mut self,
        command: &Command,
        boundary: &RegisterBoundary,
        classification: Classification,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        if command.note.trim().is_empty() {
            let (zh, en) = ("请写明原因", "a decision about consumption needs a reason");
            return Err(Refusal::new(FailureKind::BadInput, zh, en));
        }
        let version = DecisionVersion {
            counted: counted(boundary, classification)?,
            boundary: boundary.clone(),
            classification,
            actor: one_line(&command.actor.id, REMARK),
            via: command.actor.via.to_string(),
            reason: one_line(&command.note, REMARK),
            at: now.wall,
        };
        let key = boundary.register();
        let versions = self.decisions.entry(key.clone()).or_default();
        if versions.len() >= VERSIONS_MAX {
            return Err(Refusal::refused(format!("there are {VERSIONS_MAX} decisions about {key} already")));
        }
        effects.decided.events.push(LogEvent {
            room: Self::ID,
            key: one_line(&key, KEY).into(),
            event: classification.word(),
            actor: version.actor.clone(),
            via: version.via.clone(),
            note: version.reason.clone(),
            body: serde_json::to_string(&version).unwrap_or_default(),
        });
        versions.push(version);
        let bytes = serde_json::to_vec(versions).ok();
        effects.decided.keep.push(Keep { room: Self::ID, key, format: Self::FORMAT, bytes });
        Ok(())
    }
}

/// All versions of what was kept, by `device.point`; what cannot be read is left out and said.
pub fn decisions(kept: &Kept, unreadable: &mut Vec<String>) -> BTreeMap<String, Vec<DecisionVersion>> {
    let of = (EnergyRoom::ID, EnergyRoom::FORMAT);
    let read = |key: &String| Some((key.clone(), kept_value(of, kept, key, unreadable)?));
    kept.keys().filter_map(read).collect()
}
