//! The value will reach a limit within a time, if it goes on so.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition};
use crate::alarm::condition::window::WindowKind;
use crate::alarm::evaluation::minutes;
use crate::alarm::limit::Limit;
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::quality::Cause;
use crate::model::time::HumanDuration;
use crate::model::window::SampleWindow;
use schemars::JsonSchema;
use serde::Deserialize;

/// A limit that comes nearer.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeToLimit {
    /// Name of the point that comes nearer to the limit.
    pub point: String,
    /// The limit, from below.
    pub limit: Limit,
    /// The condition holds when the limit is at most this time away, such as `30m`.
    pub within: HumanDuration,
    /// Over how long the rate is reckoned.
    pub rate_over: HumanDuration,
}

/// The value, extrapolated at its present rate, reaches a limit from below within a period.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedReaches {
    pub input: ConditionInput,
    /// The limit, in the unit of the point.
    pub limit: f64,
    /// It holds if the limit is reached within this time from now.
    pub within_ms: u64,
    /// Window over which the rate is computed.
    pub over_ms: u64,
}

impl<C: NestedCondition> ConditionSettings<C> for TimeToLimit {
    type Resolved = ResolvedReaches;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn limits(&self) -> Vec<&Limit> {
        vec![&self.limit]
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedReaches, Missing> {
        let (input, limit) = (b.input(&self.point)?, b.limit(&self.limit)?);
        Ok(ResolvedReaches { input, limit, within_ms: self.within.0, over_ms: self.rate_over.0 })
    }
}

impl WindowKind for ResolvedReaches {
    fn input(&self) -> &ConditionInput {
        &self.input
    }

    fn length_ms(&self) -> u64 {
        self.over_ms
    }

    fn evaluate_window(&self, window: &SampleWindow) -> Result<(bool, f64, f64), Cause> {
        let (limit, within_min) = (self.limit, minutes(self.within_ms));
        let value = window.newest().ok_or(Cause::StartingUp)?;
        let rate = window.per_min().ok_or(Cause::StartingUp)?;
        // What does not rise reaches its limit never: there is no number of minutes.
        let left = match value >= limit {
            true => 0.0,
            false if rate > 0.0 => (limit - value) / rate,
            false => f64::INFINITY,
        };
        Ok((left <= within_min, left, limit))
    }

    fn describe(&self) -> String {
        let within = HumanDuration(self.within_ms).text();
        format!("minutes until {} is at its limit, less than {within}", self.input.name())
    }
}
