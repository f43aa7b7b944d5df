//! The value did not change for so long.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, truth};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::time::HumanDuration;
use crate::model::time::MonotonicMillis;
use schemars::JsonSchema;
use serde::Deserialize;

/// A value that stands still.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// Name of the point whose value must not stand still.
    pub point: String,
    /// How long the value must be exactly the same, such as `6h`; the time starts anew after a bad or stale sample.
    #[serde(rename = "for")]
    pub lasts: HumanDuration,
}

/// The value stays the same, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedFrozen {
    pub input: ConditionInput,
    /// How long the value must have stayed the same.
    pub lasts_ms: u64,
}

impl<C: NestedCondition> ConditionSettings<C> for Frozen {
    type Resolved = ResolvedFrozen;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedFrozen, Missing> {
        Ok(ResolvedFrozen { input: b.input(&self.point)?, lasts_ms: self.lasts.0 })
    }
}

impl<R> ResolvedKind<R> for ResolvedFrozen {
    /// When the present value began, and that value.
    type Memory = Option<(MonotonicMillis, f64)>;

    fn memory(&self) -> Self::Memory {
        None
    }

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.input]
    }

    fn looks_back_ms(&self) -> u64 {
        self.lasts_ms
    }

    fn evaluate(
        &self,
        since: &mut Self::Memory,
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        let value = match c.number(slots[0]) {
            Ok(value) => value,
            Err(cause) => {
                *since = None;
                return evaluation(Truth::Unknown(cause), None, None);
            }
        };
        let begin = match since {
            Some((at, same)) if same.to_bits() == value.to_bits() => *at,
            _ => {
                *since = Some((c.now.mono, value));
                c.now.mono
            }
        };
        c.wake_at(begin.plus(self.lasts_ms));
        evaluation(truth(c.now.mono.since(begin) >= self.lasts_ms), Some(value), None)
    }

    fn describe(&self) -> String {
        format!("{} unchanged for {}", self.input.name(), HumanDuration(self.lasts_ms).text())
    }
}
