//! What a step of the rules wants done in the world.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::failure::Refusal;
use crate::model::history::Ask;
use crate::model::notification::Notification;
use crate::model::reading::Reading;

/// What one step brings. What was measured leaves at once; what was decided is committed in one transaction and leaves after it,
/// in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Derived values and device states: journaled at once.
    pub readings: Vec<Reading>,
    /// Retained topics that say what was measured: set at once.
    pub states: Vec<(String, String)>,
    /// Decisions of the step: committed in one transaction before any of them leaves.
    pub decided: Decided,
    /// Questions about the past: each is answered by an input later.
    pub asks: Vec<Ask>,
    /// Rank of the flood level at which buses are read, where it changed or was not said yet.
    pub poll_rank: Option<u8>,
    /// Why the command of this step was not carried out.
    pub refused: Option<Refusal>,
}

/// What was decided in a step.
#[derive(Debug, Default)]
pub struct Decided {
    /// Rows for the event log, in order.
    pub events: Vec<LogEvent>,
    /// What rooms keep over a restart.
    pub keep: Vec<Keep>,
    /// Copies for history and time-series stores.
    pub readings: Vec<Reading>,
    /// Retained topics, below the site's; none clears the topic.
    pub retained: Vec<(String, Option<String>)>,
    /// Messages for channels, whole.
    pub notifications: Vec<AddressedNotification>,
}

/// A row of the event log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    /// The room that decided.
    pub room: &'static str,
    /// What it is about: an alarm's `rule.device`, `rota.NAME`; empty for all.
    pub key: Arc<str>,
    /// What happened, in one word.
    pub event: &'static str,
    /// Who did it; empty: nobody, it came by itself.
    pub actor: String,
    /// By which way it came.
    pub via: String,
    /// Remark of whoever did it; empty if they made none.
    pub note: String,
    /// The rest, a JSON object.
    pub body: String,
}

/// A value that its room reads after a restart. Only that room knows what the bytes mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Keep {
    /// Id of the room that keeps it.
    pub room: &'static str,
    /// Unique within the room, not among rooms.
    pub key: String,
    /// Number of the bytes' form: a room refuses a newer one.
    pub format: u32,
    /// None: it is forgotten.
    pub bytes: Option<Vec<u8>>,
}

/// A message with the channel and the number of the attempt, by which its outcome is reported.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressedNotification {
    /// Id of the channel that sends it.
    pub channel: Arc<str>,
    /// Number of the attempt.
    pub attempt: u64,
    /// The rendered message, ready to be sent.
    pub notification: Notification,
}

/// How much there was of everything at a moment.
#[derive(Clone, Copy, Debug)]
pub struct EffectsMark([usize; 8], bool);

impl Effects {
    /// How much there is.
    pub fn mark(&self) -> EffectsMark {
        let d = &self.decided;
        let counts = [
            self.readings.len(),
            self.states.len(),
            d.events.len(),
            d.keep.len(),
            d.readings.len(),
            d.retained.len(),
            d.notifications.len(),
            self.asks.len(),
        ];
        EffectsMark(counts, self.refused.is_some())
    }

    /// Drops what came after a mark.
    pub fn truncate(&mut self, EffectsMark(counts, was_refused): EffectsMark) {
        let d = &mut self.decided;
        self.readings.truncate(counts[0]);
        self.states.truncate(counts[1]);
        d.events.truncate(counts[2]);
        d.keep.truncate(counts[3]);
        d.readings.truncate(counts[4]);
        d.retained.truncate(counts[5]);
        d.notifications.truncate(counts[6]);
        self.asks.truncate(counts[7]);
        self.refused = self.refused.take().filter(|_| was_refused);
    }
}

impl Decided {
    /// Of each kept value, topic and stream the last: one moment of a series has one value.
    pub fn keep_last_of_each(&mut self) {
        fn last<T, K: Ord>(list: &mut Vec<T>, key: impl Fn(&T) -> K) {
            if list.len() < 2 {
                return;
            }
            let mut seen = BTreeSet::new();
            let mut keep: Vec<bool> = list.iter().rev().map(|item| seen.insert(key(item))).collect();
            list.retain(|_| keep.pop().unwrap_or(true));
        }
        last(&mut self.keep, |k| (k.room, k.key.clone()));
        last(&mut self.retained, |(topic, _)| topic.clone());
        last(&mut self.readings, |r| (Arc::clone(&r.stream.device), r.stream.source.clone()));
    }

    /// Whether nothing has to be committed and nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.keep.is_empty()
            && self.readings.is_empty()
            && self.retained.is_empty()
            && self.notifications.is_empty()
    }
}
