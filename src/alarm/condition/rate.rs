//! The value rises (or falls) faster than a rate.

use crate::alarm::build::{Missing, RuleBuilder};
use crate::alarm::condition::{ConditionInput, ConditionSettings, ResolvedKind};
use crate::alarm::evaluator::{Evaluation, EvaluationContext, Evaluator, reaches_threshold, windowed};
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

impl ConditionSettings for Rate {
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

impl ResolvedKind for ResolvedRate {
    type Memory = SampleWindow;

    fn memory(&self) -> SampleWindow {
        SampleWindow::new(self.within_ms)
    }

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.input]
    }

    fn skips_unchanged(&self) -> bool {
        false
    }

    fn looks_back_ms(&self) -> u64 {
        self.within_ms
    }

    fn evaluate(
        &self,
        window: &mut SampleWindow,
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &mut [Evaluator],
    ) -> Evaluation {
        windowed(c, slots[0], window, |w| {
            let rate = w.per_min().ok_or(Cause::StartingUp)?;
            Ok((reaches_threshold(rate, self.per_min), rate, self.per_min))
        })
    }

    fn describe(&self) -> String {
        format!("{} a minute, over {}", self.input.name(), HumanDuration(self.within_ms).text())
    }
}
