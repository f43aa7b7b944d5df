//! A state is true, or a code is one of some.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, truth};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

/// A state or a code.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Is {
    /// The point; `pump{*}_running` is whichever of them.
    pub point: String,
    /// Codes that are meant; without them: true.
    #[serde(default)]
    pub values: Vec<i64>,
    /// Of several points: every one of them.
    #[serde(default)]
    pub every: bool,
}

/// One of the inputs, or every one, is true or one of these codes.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedIs {
    pub inputs: Vec<ConditionInput>,
    /// Codes that fulfil the condition; empty: any value but 0.
    pub values: Vec<i64>,
    /// Whether every input has to fulfil it, instead of one.
    pub every: bool,
}

impl<C: NestedCondition> ConditionSettings<C> for Is {
    type Resolved = ResolvedIs;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedIs, Missing> {
        Ok(ResolvedIs { inputs: b.inputs(&self.point)?, values: self.values.clone(), every: self.every })
    }
}

impl<R> ResolvedKind<R> for ResolvedIs {
    type Memory = ();

    fn memory(&self) {}

    fn inputs(&self) -> Vec<&ConditionInput> {
        self.inputs.iter().collect()
    }

    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        let (mut seen, mut bad, mut all) = (None, None, true);
        for slot in slots {
            match c.number(*slot) {
                Ok(v) => {
                    #[expect(clippy::cast_precision_loss, reason = "codes are small")]
                    let holds = if self.values.is_empty() {
                        v != 0.0
                    } else {
                        self.values.iter().any(|x| (*x as f64 - v).abs() < 0.5)
                    };
                    // Short circuit: the first that holds, or with `every` the first that does not.
                    if holds != self.every {
                        return evaluation(truth(holds), Some(v), None);
                    }
                    all &= holds;
                    seen = Some(v);
                }
                Err(cause) => bad = Some(cause),
            }
        }
        evaluation(bad.map_or(truth(self.every && all), Truth::Unknown), seen, None)
    }

    fn describe(&self) -> String {
        let names = self.inputs.iter().map(ConditionInput::name).collect::<Vec<_>>().join(" or ");
        if self.values.is_empty() { names } else { format!("{names} is one of {:?}", self.values) }
    }
}
