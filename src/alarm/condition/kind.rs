//! What a kind of condition is: its settings in a rule file, and its form for one device.

use std::fmt::Debug;

use crate::alarm::evaluation::{Evaluation, EvaluationContext, PersistedEvaluator};
use crate::alarm::limit::{ConditionStep, Limit};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};

/// A condition of any kind, within another.
pub trait NestedCondition {
    /// The condition for one device.
    type Resolved: Clone + Debug + PartialEq;

    /// The point whose value an alarm of it shows.
    fn value_point(&self) -> Option<&str>;

    /// The condition for one device.
    ///
    /// # Errors
    /// What the device lacks.
    fn resolve(&self, builder: &RuleBuilder<'_>) -> Result<Self::Resolved, Missing>;
}

/// A kind of condition as a rule file has it.
///
/// `C` is any condition: what a kind with conditions within it holds. Kinds without hold for every `C`.
pub trait ConditionSettings<C: NestedCondition> {
    /// The condition for one device.
    type Resolved: ResolvedKind<C::Resolved>;

    /// Points that it names, placeholders unexpanded.
    fn points(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Limits that may name a parameter of the device.
    fn limits(&self) -> Vec<&Limit> {
        Vec::new()
    }

    /// Conditions directly within it; empty for most kinds.
    fn parts(&self) -> Vec<&C> {
        Vec::new()
    }

    /// The point whose value an alarm of it shows.
    fn value_point(&self) -> Option<&str> {
        None
    }

    /// Limits with a priority each.
    fn steps(&self) -> &[ConditionStep] {
        &[]
    }

    /// Reports errors that need no device to be seen: what, and what to do.
    fn problems(&self, _report: &mut dyn FnMut(&str, &str)) {}

    /// The condition for one device; `kind` is the name in the list, for settings that serve several.
    ///
    /// # Errors
    /// What the device lacks.
    fn resolve(&self, kind: &str, builder: &RuleBuilder<'_>) -> Result<Self::Resolved, Missing>;
}

/// A condition with names, parameters and indices resolved.
///
/// `R` is any resolved condition.
pub trait ResolvedKind<R>: Clone + Debug + PartialEq {
    /// What it remembers between evaluations.
    type Memory: Clone + Debug;

    /// The memory before the first evaluation.
    fn memory(&self) -> Self::Memory;

    /// The points that it reads itself.
    fn inputs(&self) -> Vec<&ConditionInput> {
        Vec::new()
    }

    /// Conditions directly within it; empty for most kinds.
    fn parts(&self) -> Vec<&R> {
        Vec::new()
    }

    /// Whether a sample equal to the one before cannot change its result; windows need every sample.
    fn skips_unchanged(&self) -> bool {
        true
    }

    /// How far it looks back itself, milliseconds.
    fn looks_back_ms(&self) -> u64 {
        0
    }

    /// Whether its limit is of the same scale as its value, so that both fit one chart.
    fn compares_value_with_limit(&self) -> bool {
        false
    }

    /// Its truth now; `slots` are those of its inputs, `parts` the results of its parts, each in their order.
    fn evaluate(
        &self,
        memory: &mut Self::Memory,
        context: &mut EvaluationContext<'_>,
        slots: &[usize],
        parts: &[Evaluation],
    ) -> Evaluation;

    /// Forgets changes so far: they were of a time in which it did not count.
    fn forget_changes(_memory: &mut Self::Memory) {}

    /// What of its memory survives a restart.
    fn persist(_memory: &Self::Memory) -> Option<PersistedEvaluator> {
        None
    }

    /// Goes on from what survived; whoever persists nothing takes nothing.
    fn restore(_memory: &mut Self::Memory, _kept: &mut dyn Iterator<Item = PersistedEvaluator>) {}

    /// A short English description, without its result.
    fn describe(&self) -> String;
}
