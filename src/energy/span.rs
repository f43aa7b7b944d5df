//! What is kept of a register: readings, spans and marks.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::model::counter::decimal_text;
use crate::model::metering::RegisterReading;
use crate::model::quality::Cause;

/// Whether the readings of a span count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanState {
    /// They count.
    Accepted,
    /// The register fell or jumped: they are shown and counted nowhere.
    Pending,
    /// They never were the register: it came back.
    Withdrawn,
}

/// What lies between the last reading of the span before and the first one of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Link {
    /// Nothing is known from before.
    First,
    /// The register reached its modulus and went on from 0.
    RollOver {
        /// What it counted in between, in its unit.
        #[serde(with = "decimal_text")]
        counted: Decimal,
    },
    /// The date was corrected backwards; the register went on.
    ClockStep {
        /// What it counted in between, in its unit.
        #[serde(with = "decimal_text")]
        counted: Decimal,
    },
    /// A reset, another meter, or garbage that stays: nothing counts until a person says what it was.
    Unexplained {
        /// How it began: the register fell, read 0, or jumped.
        cause: Cause,
    },
}

/// Consecutive readings between which every difference is consumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Rises with each span of a register, from 1.
    pub number: u32,
    /// Whether its readings count.
    pub state: SpanState,
    /// How it follows the span before.
    pub link: Link,
    /// Its first reading.
    pub first: RegisterReading,
    /// Its last reading so far. Its value is never below that of an earlier one.
    pub last: RegisterReading,
}

/// A reading kept because it is the nearest to a boundary of the grid, or one of two around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The span that it belongs to.
    pub span: u32,
    /// The reading.
    pub reading: RegisterReading,
}

/// Something that a person may want to know about a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisterEventKind {
    /// The register fell, read 0, or rose by more than is possible: nothing counts until it comes back or is proven.
    PendingBegan,
    /// The old register came back; what it counted meanwhile is counted, once.
    PendingWithdrawn,
    /// The readings in doubt proved to be a register of their own: what lies before them waits for a person.
    Replaced,
    /// The register that had been given up came back; what was counted of the other one is withdrawn.
    Returned,
    /// The register reached its modulus.
    RolledOver,
    /// The date was corrected backwards by more than a minute.
    ClockStep,
}

/// An event of a register, with the readings on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterEvent {
    /// What happened.
    pub kind: RegisterEventKind,
    /// Number of the span that it is about.
    pub span: u32,
    /// The last reading that counted before.
    pub before: Option<RegisterReading>,
    /// The reading at which it was noticed.
    pub reading: RegisterReading,
}
