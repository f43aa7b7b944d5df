//! All of several conditions, one of them, or not one.

use crate::alarm::build::{Missing, RuleBuilder};
use crate::alarm::condition::{Condition, ConditionSettings, ResolvedCondition, ResolvedKind};
use crate::alarm::evaluator::{Evaluation, EvaluationContext, Evaluator, Truth, combine, yes};
use std::collections::BTreeSet;

/// All of the conditions, or one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedGroup {
    pub parts: Vec<ResolvedCondition>,
    /// Whether one is enough.
    pub any: bool,
}

/// Holds while the condition does not; unknown stays unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedNot {
    pub part: Box<ResolvedCondition>,
}

impl ConditionSettings for Vec<Condition> {
    type Resolved = ResolvedGroup;

    fn parts(&self) -> Vec<&Condition> {
        self.iter().collect()
    }

    fn value_point(&self) -> Option<&str> {
        self.iter().find_map(Condition::value_point)
    }

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        if self.is_empty() {
            report("nothing in a list of conditions", "at least one");
        }
    }

    /// `any` leaves out conditions whose points the device lacks; it lacks something if none remains.
    fn resolve(&self, kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedGroup, Missing> {
        if kind == "all" {
            let parts = self.iter().map(|c| c.resolve(b)).collect::<Result<_, _>>()?;
            return Ok(ResolvedGroup { parts, any: false });
        }
        let mut parts = Vec::new();
        let mut missing = Missing::new();
        for condition in self {
            match condition.resolve(b) {
                Ok(part) => parts.push(part),
                Err(more) => missing.extend(more),
            }
        }
        if parts.is_empty() {
            let mut seen = BTreeSet::new();
            missing.retain(|m| seen.insert(m.clone()));
            return Err(vec![missing.join(" or ")]);
        }
        Ok(ResolvedGroup { parts, any: true })
    }
}

impl ConditionSettings for Box<Condition> {
    type Resolved = ResolvedNot;

    fn parts(&self) -> Vec<&Condition> {
        vec![self]
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedNot, Missing> {
        Ok(ResolvedNot { part: Box::new(Condition::resolve(self, b)?) })
    }
}

impl ResolvedKind for ResolvedGroup {
    type Memory = ();

    fn memory(&self) {}

    fn parts(&self) -> Vec<&ResolvedCondition> {
        self.parts.iter().collect()
    }

    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        _slots: &[usize],
        parts: &mut [Evaluator],
    ) -> Evaluation {
        combine(parts.iter_mut().map(|p| p.evaluate(c)), self.any)
    }

    fn describe(&self) -> String {
        if self.any { "any of" } else { "all of" }.to_string()
    }
}

impl ResolvedKind for ResolvedNot {
    type Memory = ();

    fn memory(&self) {}

    fn parts(&self) -> Vec<&ResolvedCondition> {
        vec![&self.part]
    }

    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        _slots: &[usize],
        parts: &mut [Evaluator],
    ) -> Evaluation {
        let inner = parts[0].evaluate(c);
        let truth = match inner.truth {
            Truth::Yes(_) => Truth::No,
            Truth::No => yes(),
            unknown @ Truth::Unknown(_) => unknown,
        };
        Evaluation { truth, ..inner }
    }

    fn describe(&self) -> String {
        "not".to_string()
    }
}
