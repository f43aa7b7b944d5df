//! A condition became true so many times within a time.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, yes};
use crate::alarm::resolve::{Missing, RuleBuilder};
use crate::model::time::HumanDuration;
use crate::model::time::MonotonicMillis;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fmt::Debug;

/// Times that something came to be.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Count")]
pub struct Count<C> {
    /// Condition that is counted: once each time it becomes true after it was false.
    pub when: Box<C>,
    /// How many times it must become true within the window; 1 or more.
    pub at_least: u32,
    /// Length of the sliding window, such as `10m`; above 0.
    pub within: HumanDuration,
}

/// A condition became true a number of times within a period.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedCount<R> {
    /// The condition whose beginnings are counted.
    pub when: Box<R>,
    pub at_least: u32,
    /// Length of the period in which they are counted.
    pub within_ms: u64,
}

/// When it became true.
#[derive(Clone, Debug)]
pub struct CountMemory {
    was: bool,
    times: VecDeque<MonotonicMillis>,
}

impl<C: NestedCondition> ConditionSettings<C> for Count<C> {
    type Resolved = ResolvedCount<C::Resolved>;

    fn parts(&self) -> Vec<&C> {
        vec![&self.when]
    }

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        if self.within.0 == 0 || self.at_least == 0 {
            report("a count of nothing", "at_least = 3, within = \"10m\"");
        }
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedCount<C::Resolved>, Missing> {
        let when = Box::new(C::resolve(&self.when, b)?);
        Ok(ResolvedCount { when, at_least: self.at_least, within_ms: self.within.0 })
    }
}

impl<R: Clone + Debug + PartialEq> ResolvedKind<R> for ResolvedCount<R> {
    type Memory = CountMemory;

    fn memory(&self) -> CountMemory {
        CountMemory { was: true, times: VecDeque::new() }
    }

    fn parts(&self) -> Vec<&R> {
        vec![&self.when]
    }

    fn looks_back_ms(&self) -> u64 {
        self.within_ms
    }

    fn evaluate(
        &self,
        CountMemory { was, times }: &mut CountMemory,
        c: &mut EvaluationContext<'_>,
        _slots: &[usize],
        parts: &[Evaluation],
    ) -> Evaluation {
        let inner = parts[0];
        let now = c.now.mono;
        match inner.truth {
            Truth::Yes(_) => {
                if !std::mem::replace(was, true) {
                    times.push_back(now);
                }
            }
            Truth::No => *was = false,
            // A condition found true after unknown may have been true all along: not counted as an edge.
            Truth::Unknown(_) => *was = true,
        }
        while times.front().is_some_and(|at| now.since(*at) >= self.within_ms) || times.len() > 10_000 {
            times.pop_front();
        }
        if let Some(first) = times.front() {
            c.wake_at(first.plus(self.within_ms));
        }
        let seen = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let state = match inner.truth {
            _ if seen >= self.at_least => yes(),
            unknown @ Truth::Unknown(_) => unknown,
            _ => Truth::No,
        };
        evaluation(state, Some(f64::from(seen)), Some(f64::from(self.at_least)))
    }

    fn describe(&self) -> String {
        format!("times within {}", HumanDuration(self.within_ms).text())
    }
}
