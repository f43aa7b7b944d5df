//! Polls each bus and produces readings. One task owns one bus; it waits for nothing but that bus.
//!
//! Three failure domains: the link (connection or port), the unit (silence), the block (an exception). A failed read is
//! also a reading, whose samples are bad with a cause; a failed cycle of a whole unit is one record with its cause.

pub mod bus;
pub mod cycle;
pub mod health;
mod reading;
pub mod request;
pub mod schedule;
mod unit;

use std::sync::Arc;

use crate::link;
use crate::model::reading::Reading;
use crate::model::registers::{RegisterBlock, RegisterRange};
use crate::model::stream::Stream;
use crate::profile::Profile;

/// Receives the readings: must not block and cannot refuse.
pub type Deliver = Arc<dyn Fn(Reading) + Send + Sync>;

/// A bus with its units, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct BusConfig {
    pub link: link::settings::LinkSettings,
    pub units: Vec<UnitConfig>,
}

/// A unit, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitConfig {
    /// Its name, unique among units.
    pub id: Arc<str>,
    /// Unit id on the wire.
    pub address: u8,
    pub profile: Arc<Profile>,
    /// Longest wait for an answer; overrides profile and link.
    pub timeout_ms: Option<u64>,
    /// How often a spoilt or missing answer is requested again in the same cycle.
    pub retries: u32,
    pub groups: Vec<GroupConfig>,
}

/// A poll group of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupConfig {
    /// Its name in the profile.
    pub name: Arc<str>,
    pub interval_ms: u64,
    /// The same at each flood level, by its rank less one; beyond the end as without a level.
    pub flood_intervals_ms: Vec<u64>,
    /// The devices that get its points, and which.
    pub device_mappings: Vec<DeviceMapping>,
}

impl GroupConfig {
    /// Milliseconds between two reads at a flood level; 0: none.
    pub fn interval_at_ms(&self, flood_rank: u8) -> u64 {
        let index = usize::from(flood_rank).checked_sub(1);
        index.and_then(|index| self.flood_intervals_ms.get(index)).copied().unwrap_or(self.interval_ms)
    }
}

/// The part of a poll group that one device gets.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceMapping {
    pub stream: Arc<Stream>,
    /// The profile's names of the stream's points, in the same order.
    pub points: Vec<Arc<str>>,
}

/// A read from outside on a bus that is being polled, served between two cycles.
#[derive(Debug)]
pub struct ReadRequest {
    /// Unit id on the wire.
    pub address: u8,
    pub span: RegisterRange,
    /// Longest wait for an answer; `None` lets the link decide.
    pub timeout_ms: Option<u64>,
    /// Silence before the request.
    pub pause_ms: u64,
    pub reply: tokio::sync::oneshot::Sender<Result<RegisterBlock, crate::model::quality::Cause>>,
}
