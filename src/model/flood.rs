//! What rooms and adapters tell the flood rules, and what people do with the flood level. Plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::point::LocalizedText;
use crate::model::warning::Warning;

/// Id of the device that bears the flood level, as `gateway` bears the gateway's own health.
pub const FLOOD_DEVICE: &str = "flood";

/// An active alarm that demands a flood level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FloodCause {
    /// The alarm's key, `rule.device`.
    pub key: Arc<str>,
    /// Rank that it demands, from 1.
    pub rank: u8,
}

/// What an alarm says of whether the site could pump now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessItem {
    /// The alarm's key, `rule.device`.
    pub key: Arc<str>,
    /// Id of the device.
    pub device: Arc<str>,
    /// Whether it is ready, which is so while the alarm is not active; none: nobody knows.
    pub is_ready: Option<bool>,
    /// What the alarm says.
    pub text: LocalizedText,
}

/// What the alarm rules tell the flood rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FloodAlarms {
    /// Active alarms that demand a level.
    pub causes: Vec<FloodCause>,
    /// Every alarm that readiness depends on.
    pub readiness: Vec<ReadinessItem>,
}

/// What came of one look at a feed of warnings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedReport {
    /// New or known ones; none: nothing is new.
    pub warnings: Vec<Warning>,
    /// Why it did not answer, or why something of it is not read yet, one line; none: all of it was read.
    pub failed: Option<String>,
}

impl FeedReport {
    /// It answered, and all of it was read.
    pub fn answered(warnings: Vec<Warning>) -> Self {
        Self { warnings, failed: None }
    }

    /// It did not answer, or with what is no feed.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { warnings: Vec::new(), failed: Some(why.into()) }
    }
}

/// What somebody does with the flood level. Levels are ids of the scheme, such as `orange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum FloodOperation {
    /// A level holds until its time is over, whatever else says less. The command's note is the reason.
    Set {
        /// Id of the level.
        level: String,
        /// Milliseconds, at most twelve hours.
        for_ms: u64,
    },
    /// Ends what was set.
    Withdraw,
    /// Somebody has looked: materials, people or drains are as they should be. The note is optional.
    Tick {
        /// Id of the item, of `[[flood.item]]`.
        item: String,
    },
    /// The level goes down at once, whatever demands more, until an input rises or the time is over.
    ForceDown {
        /// Id of the level, or `none`.
        level: String,
        /// Milliseconds, at most twelve hours.
        for_ms: u64,
    },
}

impl FloodOperation {
    /// As the event log has it.
    pub const fn word(&self) -> &'static str {
        match self {
            FloodOperation::Set { .. } => "set",
            FloodOperation::Withdraw => "withdrawn",
            FloodOperation::Tick { .. } => "ticked",
            FloodOperation::ForceDown { .. } => "forced_down",
        }
    }
}
