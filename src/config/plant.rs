//! The plant as far as it is checked, for the rules that are built from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::ConfiguredDevice;
use crate::config::check_flood::FloodSubject;
use crate::poll::BusConfig;

/// The checked parts of the configuration that rules are built from.
pub struct CheckedPlant<'a> {
    pub devices: &'a BTreeMap<String, ConfiguredDevice>,
    pub derive: &'a [crate::derive::DerivedDefinition],
    pub buses: &'a [BusConfig],
    /// Points that come from the energy rules, the ledger and the flood rules, by device.
    pub computed_points: &'a BTreeMap<String, BTreeSet<Arc<str>>>,
    /// What bears the flood level; none: the site has none.
    pub flood: Option<&'a FloodSubject>,
}

impl CheckedPlant<'_> {
    /// Whether a transfer switch feeds a device: the one that the device names as `supply`, else the one of its own area.
    pub fn is_fed_by(&self, device: &str, ats: &str) -> bool {
        let (Some(device), Some(ats)) = (self.devices.get(device), self.devices.get(ats)) else { return false };
        match &device.supply {
            Some(supply) => supply == &*ats.id,
            None => device.area == ats.area,
        }
    }
}
