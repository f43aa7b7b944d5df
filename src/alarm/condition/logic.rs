//! All of several conditions, one of them, or not one.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, combine, yes};
use crate::alarm::resolve::{Missing, RuleBuilder};
use std::collections::BTreeSet;
use std::fmt::Debug;

/// All of the conditions, or one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedGroup<R> {
    pub parts: Vec<R>,
    /// Whether one is enough.
    pub any: bool,
}

/// Holds while the condition does not; unknown stays unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedNot<R> {
    pub part: Box<R>,
}

impl<C: NestedCondition> ConditionSettings<C> for Vec<C> {
    type Resolved = ResolvedGroup<C::Resolved>;

    fn parts(&self) -> Vec<&C> {
        self.iter().collect()
    }

    fn value_point(&self) -> Option<&str> {
        self.iter().find_map(C::value_point)
    }

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        if self.is_empty() {
            report("nothing in a list of conditions", "at least one");
        }
    }

    /// `any` leaves out conditions whose points the device lacks; it lacks something if none remains.
    fn resolve(&self, kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedGroup<C::Resolved>, Missing> {
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

impl<C: NestedCondition> ConditionSettings<C> for Box<C> {
    type Resolved = ResolvedNot<C::Resolved>;

    fn parts(&self) -> Vec<&C> {
        vec![self]
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedNot<C::Resolved>, Missing> {
        Ok(ResolvedNot { part: Box::new(C::resolve(self, b)?) })
    }
}

impl<R: Clone + Debug + PartialEq> ResolvedKind<R> for ResolvedGroup<R> {
    type Memory = ();

    fn memory(&self) {}

    fn parts(&self) -> Vec<&R> {
        self.parts.iter().collect()
    }

    fn evaluate(
        &self,
        (): &mut (),
        _c: &mut EvaluationContext<'_>,
        _slots: &[usize],
        parts: &[Evaluation],
    ) -> Evaluation {
        combine(parts.iter().copied(), self.any)
    }

    fn describe(&self) -> String {
        if self.any { "any of" } else { "all of" }.to_string()
    }
}

impl<R: Clone + Debug + PartialEq> ResolvedKind<R> for ResolvedNot<R> {
    type Memory = ();

    fn memory(&self) {}

    fn parts(&self) -> Vec<&R> {
        vec![&self.part]
    }

    fn evaluate(
        &self,
        (): &mut (),
        _c: &mut EvaluationContext<'_>,
        _slots: &[usize],
        parts: &[Evaluation],
    ) -> Evaluation {
        let inner = parts[0];
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
