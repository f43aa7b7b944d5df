//! Two points differ by so much.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, truth};
use crate::alarm::limit::Limit;
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

/// Two points that should agree.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// Name of one of the two points.
    pub point: String,
    /// Name of the point that it is compared with.
    pub from: String,
    /// From what difference on, in either direction.
    pub limit: Limit,
    /// How much smaller it must be before the condition is gone.
    #[serde(default)]
    pub deadband: f64,
}

/// Absolute difference of two inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedDeviation {
    pub a: ConditionInput,
    pub b: ConditionInput,
    /// From this difference on.
    pub limit: f64,
    /// How much smaller the difference must become before the condition ends.
    pub deadband: f64,
}

impl<C: NestedCondition> ConditionSettings<C> for Deviation {
    type Resolved = ResolvedDeviation;

    fn points(&self) -> Vec<&str> {
        vec![&self.point, &self.from]
    }

    fn limits(&self) -> Vec<&Limit> {
        vec![&self.limit]
    }

    fn value_point(&self) -> Option<&str> {
        Some(&self.point)
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedDeviation, Missing> {
        let (first, second) = (b.input(&self.point)?, b.input(&self.from)?);
        Ok(ResolvedDeviation { a: first, b: second, limit: b.limit(&self.limit)?, deadband: self.deadband })
    }
}

impl<R> ResolvedKind<R> for ResolvedDeviation {
    type Memory = ();

    fn memory(&self) {}

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.a, &self.b]
    }

    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        match (c.number(slots[0]), c.number(slots[1])) {
            (Ok(a), Ok(b)) => {
                let difference = (a - b).abs();
                let from = if c.active_step > 0 { self.limit - self.deadband } else { self.limit };
                evaluation(truth(difference >= from), Some(difference), Some(self.limit))
            }
            (Err(cause), _) | (_, Err(cause)) => evaluation(Truth::Unknown(cause), None, Some(self.limit)),
        }
    }

    fn describe(&self) -> String {
        format!("difference of {} and {}", self.a.name(), self.b.name())
    }
}
