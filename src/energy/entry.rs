//! Readings that people took at a meter, and corrections of figures: each is a version that stays; what was said last is in force.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::energy::closure::Signature;
use crate::model::metering::{RegisterEntry, RegisterReading, TimeRange};

/// What a person entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryVersion {
    pub entry: RegisterEntry,
    /// Who entered it, when and why.
    #[serde(flatten)]
    pub signature: Signature,
}

/// A correction in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// From when to when.
    pub range: TimeRange,
    /// What really was consumed, in the register's unit.
    pub consumed: Decimal,
}

/// Entries in force of one register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Readings, in order of their dates; one a moment.
    pub readings: Vec<RegisterReading>,
    /// Corrections, in the order in which they were entered; one a range.
    pub corrections: Vec<Correction>,
}

impl Entries {
    /// What is in force of the versions of a register, which are in the order in which they were entered.
    pub fn in_force(versions: &[EntryVersion]) -> Self {
        let mut out = Self::default();
        for version in versions {
            match version.entry {
                RegisterEntry::Reading { reading } => {
                    out.readings.retain(|other| other.at != reading.at);
                    out.readings.push(reading);
                }
                RegisterEntry::NoReading { at } => out.readings.retain(|other| other.at != at),
                RegisterEntry::Correction { range, consumed } => {
                    out.corrections.retain(|other| other.range != range);
                    out.corrections.push(Correction { range, consumed });
                }
                RegisterEntry::NoCorrection { range } => out.corrections.retain(|other| other.range != range),
            }
        }
        out.readings.sort_by_key(|reading| reading.at);
        out
    }

    /// A range, and every correction that overlaps it, or overlaps one that does: within a correction the course of all of it counts.
    pub fn with_corrections(&self, range: TimeRange) -> TimeRange {
        let mut out = range;
        loop {
            let touched = self.corrections.iter().filter(|correction| correction.range.overlaps(out));
            let wider =
                touched.fold(out, |out, c| TimeRange { from: out.from.min(c.range.from), to: out.to.max(c.range.to) });
            if wider == out {
                return out;
            }
            out = wider;
        }
    }
}
