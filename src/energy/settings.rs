//! How consumption is booked, as the configuration writes it.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::energy::calendar;

/// How consumption is booked: `[energy]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnergySettings {
    /// Length of the intervals of consumption and demand in minutes: 5, 10, 15, 30 or 60. They begin at the site's full hours. Shorter than a
    /// quarter of an hour, they are measured from the change on; before it they are shares of quarter hours.
    pub interval_min: u32,
    /// Years that the ledger keeps.
    pub keep_years: u32,
}

impl Default for EnergySettings {
    fn default() -> Self {
        Self { interval_min: 15, keep_years: 10 }
    }
}

impl EnergySettings {
    /// The grid of the readings that are kept, in milliseconds.
    pub const fn grid_ms(&self) -> i64 {
        calendar::grid_ms(self.interval_min)
    }

    /// What is wrong: key, what, hint.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut out = Vec::new();
        if ![5, 10, 15, 30, 60].contains(&self.interval_min) {
            let what = format!("intervals of {} minutes do not exist", self.interval_min);
            out.push(("interval_min", what, "5, 10, 15, 30 or 60; demand is billed by 15 in most contracts"));
        }
        if !(1..=100).contains(&self.keep_years) {
            let what = format!("`keep_years = {}` is no number of years", self.keep_years);
            out.push(("keep_years", what, "1 to 100; energy audits ask for at least two"));
        }
        out
    }
}
