//! A condition holds for so long without a break.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth};
use crate::alarm::resolve::{Missing, RuleBuilder};
use crate::model::time::HumanDuration;
use crate::model::time::MonotonicMillis;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt::Debug;

/// Something that holds without a break.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Sustained")]
pub struct Sustained<C> {
    /// How long the condition must hold, such as `10m`.
    #[serde(rename = "for")]
    pub lasts: HumanDuration,
    /// Condition that must hold all that time; an unknown result is a break.
    pub when: Box<C>,
}

/// A condition holds without interruption for a period.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedLasting<R> {
    pub when: Box<R>,
    /// How long it must have held without interruption.
    pub lasts_ms: u64,
}

impl<C: NestedCondition> ConditionSettings<C> for Sustained<C> {
    type Resolved = ResolvedLasting<C::Resolved>;

    fn parts(&self) -> Vec<&C> {
        vec![&self.when]
    }

    fn value_point(&self) -> Option<&str> {
        self.when.value_point()
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedLasting<C::Resolved>, Missing> {
        Ok(ResolvedLasting { when: Box::new(C::resolve(&self.when, b)?), lasts_ms: self.lasts.0 })
    }
}

impl<R: Clone + Debug + PartialEq> ResolvedKind<R> for ResolvedLasting<R> {
    /// Since when it holds.
    type Memory = Option<MonotonicMillis>;

    fn memory(&self) -> Self::Memory {
        None
    }

    fn parts(&self) -> Vec<&R> {
        vec![&self.when]
    }

    fn looks_back_ms(&self) -> u64 {
        self.lasts_ms
    }

    fn evaluate(
        &self,
        since: &mut Self::Memory,
        c: &mut EvaluationContext<'_>,
        _slots: &[usize],
        parts: &[Evaluation],
    ) -> Evaluation {
        let inner = parts[0];
        match inner.truth {
            Truth::Yes(_) => {
                let begin = *since.get_or_insert(c.now.mono);
                c.wake_at(begin.plus(self.lasts_ms));
                let holds = c.now.mono.since(begin) >= self.lasts_ms;
                Evaluation { truth: if holds { inner.truth } else { Truth::No }, ..inner }
            }
            Truth::No | Truth::Unknown(_) => {
                *since = None;
                inner
            }
        }
    }

    fn describe(&self) -> String {
        format!("for {}", HumanDuration(self.lasts_ms).text())
    }
}
