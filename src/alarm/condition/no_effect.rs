//! Something runs, and a value does not change as it should.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, reaches_threshold, truth};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::time::HumanDuration;
use crate::model::window::SampleWindow;
use schemars::JsonSchema;
use serde::Deserialize;

/// Something that runs and does nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoEffect {
    /// Name of the point that is true while the equipment runs.
    pub running: String,
    /// Name of the point whose value should change meanwhile.
    pub point: String,
    /// By at least so much; negative: a fall.
    pub by: f64,
    /// Time in which the change must be seen while it runs, such as `10m`.
    pub within: HumanDuration,
}

/// Something runs, and a value does not change as it should.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedNoEffect {
    /// The input that says whether the equipment runs.
    pub running: ConditionInput,
    /// The input that should change while it runs.
    pub input: ConditionInput,
    /// Minimum expected change; negative: a fall.
    pub delta: f64,
    /// Length of the window in which the change must happen.
    pub within_ms: u64,
}

impl<C: NestedCondition> ConditionSettings<C> for NoEffect {
    type Resolved = ResolvedNoEffect;

    fn points(&self) -> Vec<&str> {
        vec![&self.running, &self.point]
    }

    fn value_point(&self) -> Option<&str> {
        Some(&self.point)
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedNoEffect, Missing> {
        let (running, input) = (b.input(&self.running)?, b.input(&self.point)?);
        Ok(ResolvedNoEffect { running, input, delta: self.by, within_ms: self.within.0 })
    }
}

impl<R> ResolvedKind<R> for ResolvedNoEffect {
    type Memory = SampleWindow;

    fn memory(&self) -> SampleWindow {
        SampleWindow::new(self.within_ms)
    }

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.running, &self.input]
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
        _parts: &[Evaluation],
    ) -> Evaluation {
        let (running, value) = (c.truth(slots[0]), c.number(slots[1]));
        match (running, value) {
            (Ok(true), Ok(value)) => {
                window.push(c.now.mono, value);
                let change = window.change().unwrap_or(0.0);
                if window.span_ms() < self.within_ms {
                    return evaluation(Truth::No, Some(value), Some(self.delta));
                }
                evaluation(truth(!reaches_threshold(change, self.delta)), Some(value), Some(self.delta))
            }
            (Ok(false), value) => {
                window.clear();
                evaluation(Truth::No, value.ok(), Some(self.delta))
            }
            (Err(cause), _) | (_, Err(cause)) => {
                window.clear();
                evaluation(Truth::Unknown(cause), None, Some(self.delta))
            }
        }
    }

    fn describe(&self) -> String {
        let (running, input) = (self.running.name(), self.input.name());
        format!("{running} runs, change of {input} within {}", HumanDuration(self.within_ms).text())
    }
}
