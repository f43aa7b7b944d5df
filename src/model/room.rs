//! What a room of rules is: state that steps without a clock, reads what the rooms before it said, and returns effects.
//!
//! The engine runs its rooms in a fixed order. A room reads from the [`Board`] what the rooms before it put there in this step.
//! What a later room wants of an earlier one it puts into [`Requests`]: the engine runs all rooms once more in the same step, so
//! that both sides are committed in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::model::actor::Actor;
use crate::model::alarm::{AlarmEvent, AlarmSummaries};
use crate::model::command::Command;
use crate::model::directory::Directory;
use crate::model::effects::Effects;
use crate::model::flood::{FeedReport, FloodAlarms};
use crate::model::history::Answer;
use crate::model::notification::DeliveryOutcome;
use crate::model::page::PageDelivery;
use crate::model::quality::Cause;
use crate::model::reading::Reading;
use crate::model::stream::Source;
use crate::model::time::{MonotonicMillis, Now};

/// A room of rules. It has no clock, no files and no threads; `Now` is its only time.
pub trait Room: Sized {
    /// Its name in the event log, in what it keeps, and where it is switched off.
    const ID: &'static str;
    /// Number of the form of what it keeps.
    const FORMAT: u32 = 1;
    /// What it is built from: a part of the configuration, checked and resolved.
    type Plan: Clone + Debug + Default + PartialEq;

    /// Built from its plan, going on from what it kept. What cannot be read of that begins anew; `unreadable` says so, a line each.
    fn build(plan: &Self::Plan, start: Start<'_>, unreadable: &mut Vec<String>) -> Self;

    /// Another plan: state goes on where the same thing is still configured.
    fn reconfigure(&mut self, plan: &Self::Plan, change: Reconfiguration<'_>, board: &mut Board, effects: &mut Effects);

    /// One pass of a step.
    fn step(&mut self, now: Now, input: Input<'_>, board: &mut Board, effects: &mut Effects);

    /// When it wants to be asked again although nothing came.
    fn next_wake(&self) -> Option<MonotonicMillis>;

    /// Counts that survive a restart although nothing was decided: kept every ten seconds if they changed.
    fn snapshot(&self) -> Option<Snapshot> {
        None
    }
}

/// Encodes what a room copied of its state; called later, by a thread that the rules do not wait for. `None`: it cannot be encoded.
pub type Snapshot = Box<dyn FnOnce() -> Option<Vec<u8>> + Send>;

/// Under which key a room's [`Room::snapshot`] is kept.
pub const SNAPSHOT: &str = "snapshot";

/// What a room kept, by its own keys: number of the form, and the bytes.
pub type Kept = BTreeMap<String, (u32, Vec<u8>)>;

/// A value that a room kept; none where there is none, or where it cannot be read.
pub fn kept_value<T: DeserializeOwned>(
    (room, format): (&str, u32),
    kept: &Kept,
    key: &str,
    unreadable: &mut Vec<String>,
) -> Option<T> {
    let (of, bytes) = kept.get(key)?;
    let read = if *of > format {
        Err(format!("it is of format {of}, this version knows {format}"))
    } else {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    };
    read.map_err(|why| unreadable.push(format!("{room}: {key} that was kept cannot be read ({why}): it begins anew")))
        .ok()
}

/// What a room begins with.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Values that the room kept earlier, by its own keys; empty if there are none.
    pub kept: &'a Kept,
    /// Names of the site.
    pub directory: &'a Arc<Directory>,
    /// The kernel's name of this boot: moments of another boot have another monotonic scale.
    pub boot: &'a str,
    /// Time at which the room is built.
    pub now: Now,
}

/// A change of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Reconfiguration<'a> {
    /// Names of the site.
    pub directory: &'a Arc<Directory>,
    /// Streams that are configured, by device and source.
    pub streams: &'a BTreeSet<(Arc<str>, Source)>,
    /// Who caused the change; alarm events name them.
    pub actor: &'a Actor,
    /// Time at which the change takes effect.
    pub now: Now,
}

/// The input of one step of the engine.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Samples of one device, or the cause of a failed cycle.
    Reading(&'a Reading),
    /// Somebody wants something done.
    Command(&'a Command),
    /// What became of an attempt to deliver a notification.
    Delivery {
        /// Number of the attempt: [`PageDelivery::id`].
        attempt: u64,
        /// What the channel reported about it.
        outcome: &'a DeliveryOutcome,
    },
    /// The answer to a question about the past.
    Answer(&'a Answer),
    /// A feed of warnings was looked at, or somebody sent one.
    Feed {
        /// Its name in the configuration.
        feed: &'a str,
        /// What it said.
        report: &'a FeedReport,
    },
    /// A channel began anew: of the attempts that it had no outcome will come.
    ChannelRestarted(&'a str),
    /// No input: only time has passed.
    Tick,
}

/// What rooms tell each other within a step.
#[derive(Debug, Default)]
pub struct Board {
    /// Readings that rooms made in this pass: derived values, device states.
    pub readings: Vec<Reading>,
    /// What rooms found in this pass.
    pub findings: Vec<Finding>,
    /// Transitions of alarms in this step, in order.
    pub transitions: Vec<AlarmEvent>,
    /// Every alarm, where [`Requests::alarm_summaries`] asked for it.
    pub alarm_summaries: Option<AlarmSummaries>,
    /// Attempts to page somebody in this step, in order.
    pub sends: Vec<PageDelivery>,
    /// What later rooms want of earlier ones.
    pub requests: Requests,
    /// Whether the alarm rules are switched off: an answer to a page can be given again.
    pub is_alarm_off: bool,
    /// Transitions of earlier passes of this step.
    passed: usize,
}

/// How much there was of everything at a moment.
#[derive(Clone, Copy, Debug)]
pub struct BoardMark([usize; 4]);

impl Board {
    /// Transitions of this pass.
    pub fn new_transitions(&self) -> &[AlarmEvent] {
        &self.transitions[self.passed.min(self.transitions.len())..]
    }

    /// Ends a pass: its readings are effects, its findings are over.
    pub fn end_pass(&mut self, effects: &mut Effects) {
        effects.readings.append(&mut self.readings);
        self.findings.clear();
        self.passed = self.transitions.len();
    }

    /// How much there is.
    pub fn mark(&self) -> BoardMark {
        BoardMark([self.readings.len(), self.findings.len(), self.transitions.len(), self.sends.len()])
    }

    /// Drops what came after a mark. Requests stay: whoever can carry them out may be another room.
    pub fn truncate(&mut self, BoardMark(counts): BoardMark) {
        self.readings.truncate(counts[0]);
        self.findings.truncate(counts[1]);
        self.transitions.truncate(counts[2]);
        self.sends.truncate(counts[3]);
    }
}

/// What later rooms want of earlier ones in the next pass of the same step.
#[derive(Debug, Default)]
pub struct Requests {
    /// Commands to alarms that an answer to a page means; whoever carried them out clears them.
    pub commands: Vec<Command>,
    /// Alarms that people were paged of: their end has to be acknowledged.
    pub annunciated: Vec<Arc<str>>,
    /// Every alarm is wanted, as after a start.
    pub alarm_summaries: bool,
    /// What the alarms say of the flood, when it has changed: all of it.
    pub flood_alarms: Option<FloodAlarms>,
}

impl Requests {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.annunciated.is_empty() && !self.alarm_summaries && self.flood_alarms.is_none()
    }

    /// Forgets them: there is nobody to carry them out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a room found: alarm rules look at it as at a point of its device. Only `alarm` makes alarms: it adds delay, latch,
/// priority and the rest of an alarm's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Id of the device that it concerns.
    pub device: Arc<str>,
    /// The name by which rules know it.
    pub name: Arc<str>,
    /// Whether it holds; a cause: nobody knows.
    pub state: Result<bool, Cause>,
}
