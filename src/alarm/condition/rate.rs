//! The value rises (or falls) faster than a rate.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition};
use crate::alarm::condition::window::WindowKind;
use crate::alarm::evaluation::reaches_threshold;
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::quality::Cause;
use crate::model::time::HumanDuration;
use crate::model::window::SampleWindow;
use schemars::JsonSchema;
use serde::Deserialize;

/// A rate of change.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Name of the point whose rate of change is measured.
    pub point: String,
    /// Change a minute; negative: falling.
    pub per_min: f64,
    /// Over how long it is reckoned.
    pub within: HumanDuration,
}

/// Rate of change over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedRate {
    pub input: ConditionInput,
    /// Change per minute; negative: falling.
    pub per_min: f64,
    /// Length of the window over which the rate is computed.
    pub within_ms: u64,
}

impl<C: NestedCondition> ConditionSettings<C> for Rate {
    type Resolved = ResolvedRate;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        if self.per_min == 0.0 {
            report("a rate of nothing", "per_min above 0, or below for a fall");
        } else if self.within.0 == 0 {
            report("a rate over no time", "within = \"2m\"");
        }
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedRate, Missing> {
        Ok(ResolvedRate { input: b.input(&self.point)?, per_min: self.per_min, within_ms: self.within.0 })
    }
}

impl WindowKind for ResolvedRate {
    fn input(&self) -> &ConditionInput {
        &self.input
    }

    fn length_ms(&self) -> u64 {
        self.within_ms
    }

    fn evaluate_window(&self, window: &SampleWindow) -> Result<(bool, f64, f64), Cause> {
        let rate = window.per_min().ok_or(Cause::StartingUp)?;
        Ok((reaches_threshold(rate, self.per_min), rate, self.per_min))
    }

    fn describe(&self) -> String {
        format!("{} a minute, over {}", self.input.name(), HumanDuration(self.within_ms).text())
    }
}
