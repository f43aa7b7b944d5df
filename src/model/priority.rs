//! How much something matters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much an alarm matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    /// Urgent: somebody goes now.
    P1,
    /// Important: somebody takes it now.
    P2,
    /// General: somebody takes it in working hours; quiet hours hold it back.
    P3,
    /// For information: told once a day, in the digest.
    P4,
}

impl Priority {
    /// All, the most urgent first.
    pub const ALL: [Priority; 4] = [Priority::P1, Priority::P2, Priority::P3, Priority::P4];

    /// 1 for the most urgent, to 4.
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// As it is printed.
    pub const fn word(self) -> &'static str {
        match self {
            Priority::P1 => "P1",
            Priority::P2 => "P2",
            Priority::P3 => "P3",
            Priority::P4 => "P4",
        }
    }
}
