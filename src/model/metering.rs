//! Register readings, and what people decide about the boundaries between them.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::model::counter::decimal_text;
use crate::model::time::UnixMillis;

/// A dated reading of a register, in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterReading {
    /// When it was received.
    pub at: UnixMillis,
    /// What the register showed.
    #[serde(with = "decimal_text")]
    pub value: Decimal,
}

/// A boundary between two readings across which nothing counts until a person says what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBoundary {
    /// Id of the device.
    pub device: String,
    /// Name of its register.
    pub point: String,
    /// Number of the span that begins behind it.
    pub span: u32,
    /// The last reading before.
    pub before: RegisterReading,
    /// The first reading after.
    pub after: RegisterReading,
}

impl RegisterBoundary {
    /// `device.point`.
    pub fn register(&self) -> String {
        format!("{}.{}", self.device, self.point)
    }
}

/// What a boundary was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum Classification {
    /// Another meter was installed. Counted: from the reading before to the final one, and from the initial one to the reading after.
    Exchange {
        /// What the old meter showed when it was removed.
        #[serde(with = "decimal_text")]
        final_reading: Decimal,
        /// What the new meter showed when it was installed.
        #[serde(with = "decimal_text")]
        initial_reading: Decimal,
    },
    /// The register began again at 0. Counted: what it shows since; what it had counted after the reading before is lost.
    Reset,
    /// It is the same register, and what it showed in between and above the reading after was garbage. Counted: the difference.
    Continued,
    /// The register reached its modulus and went on from 0.
    RolledOver {
        /// The value at which it does.
        #[serde(with = "decimal_text")]
        modulus: Decimal,
    },
    /// An earlier decision is taken back: nobody knows.
    Open,
}

impl Classification {
    /// As the event log has it.
    pub const fn word(&self) -> &'static str {
        match self {
            Classification::Exchange { .. } => "exchange",
            Classification::Reset => "reset",
            Classification::Continued => "continued",
            Classification::RolledOver { .. } => "rolled_over",
            Classification::Open => "reopened",
        }
    }
}

/// What people do with register readings and figures made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeteringOperation {
    /// Say what a boundary of a register was.
    Classify {
        /// The boundary with the readings on both sides.
        boundary: RegisterBoundary,
        /// What it was.
        classification: Classification,
    },
    /// Enter a reading that was taken at the meter, correct a figure, or take one of these back.
    Enter {
        /// `device.point`.
        register: String,
        /// What is entered.
        entry: RegisterEntry,
    },
    /// Close a month, or close it again: its figures are kept as its next revision.
    CloseMonth {
        /// Its name, `2026-10`.
        month: String,
        /// From its first moment to before that of the next one.
        range: TimeRange,
        /// Its figures.
        figures: Vec<ClosedFigure>,
        /// How many versions of decisions and entries were in them: it is refused if there are more by then.
        versions: usize,
    },
}

/// A change of figures, with the time whose figures it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeteringCommand {
    /// What is done.
    pub operation: MeteringOperation,
    /// The time whose figures change with it.
    pub affects: TimeRange,
    /// Whether a closed month may change with it: it is open then until it is closed again.
    pub may_reopen: bool,
}

/// From one moment to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// Its first moment.
    pub from: UnixMillis,
    /// The first moment after it.
    pub to: UnixMillis,
}

impl TimeRange {
    /// Whether two ranges have a moment in common; a range without length lies within another one if its moment does.
    pub fn overlaps(self, other: TimeRange) -> bool {
        let to = |range: TimeRange| range.to.max(UnixMillis(range.from.0.saturating_add(1)));
        self.from < to(other) && other.from < to(self)
    }
}

/// What a person enters of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum RegisterEntry {
    /// A reading that was taken at the meter.
    Reading {
        /// Value and date.
        reading: RegisterReading,
    },
    /// The reading of this moment is taken back.
    NoReading {
        /// Its date.
        at: UnixMillis,
    },
    /// What really was consumed in a range.
    Correction {
        /// From when to when.
        range: TimeRange,
        /// In the register's unit, not negative.
        #[serde(with = "decimal_text")]
        consumed: Decimal,
    },
    /// The correction of this range is taken back.
    NoCorrection {
        /// The range.
        range: TimeRange,
    },
}

impl RegisterEntry {
    /// As the event log has it.
    pub const fn word(&self) -> &'static str {
        match self {
            RegisterEntry::Reading { .. } => "reading",
            RegisterEntry::NoReading { .. } => "reading_withdrawn",
            RegisterEntry::Correction { .. } => "correction",
            RegisterEntry::NoCorrection { .. } => "correction_withdrawn",
        }
    }
}

/// A figure of a closed month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedFigure {
    /// The metering point, or `device.point` of a register that has none.
    pub point: String,
    /// Its unit.
    pub unit: String,
    /// What was consumed, all digits; empty: not known.
    pub consumed: String,
    /// The word of its quality.
    pub quality: String,
}
