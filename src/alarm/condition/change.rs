//! The value rose (or fell) by so much within a time.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition};
use crate::alarm::condition::window::WindowKind;
use crate::alarm::evaluation::reaches_threshold;
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::quality::Cause;
use crate::model::time::HumanDuration;
use crate::model::window::SampleWindow;
use schemars::JsonSchema;
use serde::Deserialize;

/// A change within a time.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Name of the point whose change is measured.
    pub point: String,
    /// By how much; negative: a fall.
    pub by: f64,
    /// Length of the window in which the change is measured, such as `1h`; above 0.
    pub within: HumanDuration,
}

/// Change within a time.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedChange {
    pub input: ConditionInput,
    /// In the unit of the point; negative: a fall.
    pub delta: f64,
    /// Length of the window over which the change is taken.
    pub within_ms: u64,
}

impl<C: NestedCondition> ConditionSettings<C> for Change {
    type Resolved = ResolvedChange;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn value_point(&self) -> Option<&str> {
        Some(&self.point)
    }

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        if self.by == 0.0 {
            report("a change of nothing", "by above 0, or below for a fall");
        } else if self.within.0 == 0 {
            report("a change within no time", "within = \"1h\"");
        }
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedChange, Missing> {
        Ok(ResolvedChange { input: b.input(&self.point)?, delta: self.by, within_ms: self.within.0 })
    }
}

impl WindowKind for ResolvedChange {
    fn input(&self) -> &ConditionInput {
        &self.input
    }

    fn length_ms(&self) -> u64 {
        self.within_ms
    }

    fn evaluate_window(&self, window: &SampleWindow) -> Result<(bool, f64, f64), Cause> {
        let change = window.change_from(self.delta > 0.0).ok_or(Cause::StartingUp)?;
        // Shows the present value, not the change: people need to know what is left.
        let value = window.newest().ok_or(Cause::StartingUp)?;
        Ok((reaches_threshold(change, self.delta), value, self.delta))
    }

    fn forget_changes(window: &mut SampleWindow) {
        window.clear();
    }

    fn describe(&self) -> String {
        format!("change of {} within {}", self.input.name(), HumanDuration(self.within_ms).text())
    }
}
