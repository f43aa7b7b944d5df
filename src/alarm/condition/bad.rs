//! A point is stale or bad.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, truth};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::quality::Cause;
use schemars::JsonSchema;
use serde::Deserialize;

/// A point without a value.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bad {
    /// Name of the point whose samples are watched for being bad or stale.
    pub point: String,
    /// Reasons that are meant; without them: any.
    #[serde(default)]
    pub causes: Vec<Cause>,
}

/// The sample is bad or stale.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedBad {
    pub input: ConditionInput,
    /// Causes that count; empty: any.
    pub causes: Vec<Cause>,
}

impl<C: NestedCondition> ConditionSettings<C> for Bad {
    type Resolved = ResolvedBad;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedBad, Missing> {
        Ok(ResolvedBad { input: b.input(&self.point)?, causes: self.causes.clone() })
    }
}

impl<R> ResolvedKind<R> for ResolvedBad {
    type Memory = ();

    fn memory(&self) {}

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.input]
    }

    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        match c.bad_cause(slots[0]) {
            None => evaluation(Truth::No, c.number(slots[0]).ok(), None),
            Some(Cause::StartingUp) if c.latest.get(slots[0]).is_none() => {
                evaluation(Truth::Unknown(Cause::StartingUp), None, None)
            }
            Some(cause) => evaluation(truth(self.causes.is_empty() || self.causes.contains(&cause)), None, None),
        }
    }

    fn describe(&self) -> String {
        format!("{} bad or stale", self.input.name())
    }
}
