//! Rows of the event log, what selects them, and what one transaction writes.

use crate::model::effects::Keep;
use crate::model::time::{MonotonicMillis, UnixMillis};

/// A row of the event log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Rises with each event; ignored when a row is written.
    pub id: i64,
    /// The room that wrote it.
    pub room: String,
    /// The object it concerns, such as an alarm's key; defined by the room.
    pub key: String,
    /// Kind of event, one word.
    pub event: String,
    /// Time of the event by the wall clock.
    pub at: UnixMillis,
    /// Whether the clock was trusted at that time.
    pub trusted: bool,
    /// Monotonic time within the boot that wrote it.
    pub mono: MonotonicMillis,
    /// Who did it; empty: it came by itself.
    pub actor: String,
    /// By which way it came.
    pub via: String,
    /// Remark of whoever did it; may be empty.
    pub note: String,
    /// Further fields as JSON.
    pub body: String,
}

/// Contents of one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub rows: Vec<EventRow>,
    /// State that rooms read after a restart.
    pub keep: Vec<Keep>,
}

/// Selects rows of the event log.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only events of this room; empty: of every room.
    pub room: String,
    /// Only what somebody did; of every room.
    pub only_actors: bool,
    /// `None`: all keys of the room.
    pub key: Option<String>,
    /// Only events at or after this date.
    pub from: Option<UnixMillis>,
    /// Only events before this date.
    pub to: Option<UnixMillis>,
    /// Most rows; the newest are returned. `None`: no limit.
    pub limit: Option<usize>,
}
