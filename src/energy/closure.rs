//! Closed months: their figures are kept, and change only with a numbered revision.

use serde::{Deserialize, Serialize};

use crate::model::metering::{ClosedFigure, TimeRange};
use crate::model::time::UnixMillis;

/// A month that was closed at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthClosure {
    pub month: String,
    /// From its first moment to before that of the next one.
    pub range: TimeRange,
    /// The first has the number 1.
    pub revisions: Vec<MonthRevision>,
}

/// A closed state of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthRevision {
    pub figures: Vec<ClosedFigure>,
    /// Who closed the month.
    pub closed: Signature,
    /// Who changed something in it afterwards.
    pub reopened: Option<Signature>,
}

/// Who did something, when and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub actor: String,
    pub via: String,
    pub reason: String,
    /// When; as the clock showed it.
    pub at: UnixMillis,
}

impl MonthClosure {
    /// The number of the newest revision.
    pub fn revision(&self) -> usize {
        self.revisions.len()
    }

    /// The newest revision, unless something was changed since.
    pub fn in_force(&self) -> Option<&MonthRevision> {
        self.revisions.last().filter(|revision| revision.reopened.is_none())
    }
}
