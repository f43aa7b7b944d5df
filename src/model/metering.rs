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
