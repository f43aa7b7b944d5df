//! The conditions of an alarm as a tree, each with its memory.

use crate::alarm::condition::{ConditionMemory, ResolvedCondition};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, PersistedEvaluator, Truth, evaluation};
use crate::alarm::resolve::ConditionInput;
use crate::model::quality::Cause;

/// A condition with its memory, as a tree of the same shape.
#[derive(Clone, Debug)]
pub struct Evaluator {
    node: ResolvedCondition,
    slots: Vec<usize>,
    memory: ConditionMemory,
    parts: Vec<Evaluator>,
    /// Results of the parts, in their order.
    results: Vec<Evaluation>,
    /// Its last result, for explanations.
    last: Evaluation,
}

impl Evaluator {
    /// Builds the tree; `slot` maps an input to its slot in [`crate::model::latest::Latest`].
    pub fn new(node: &ResolvedCondition, slot: &mut impl FnMut(&ConditionInput) -> usize) -> Self {
        let slots = node.own_inputs().into_iter().map(&mut *slot).collect();
        let parts: Vec<_> = node.parts().into_iter().map(|part| Evaluator::new(part, slot)).collect();
        let last = evaluation(Truth::Unknown(Cause::StartingUp), None, None);
        Self { node: node.clone(), slots, memory: node.memory(), results: vec![last; parts.len()], parts, last }
    }

    /// Evaluates the condition and remembers the result.
    pub fn evaluate(&mut self, c: &mut EvaluationContext<'_>) -> Evaluation {
        let Self { node, slots, memory, parts, results, .. } = self;
        results.iter_mut().zip(parts).for_each(|(result, part)| *result = part.evaluate(c));
        // `new` gives each node the memory of its kind.
        let result = memory.evaluate(node, c, slots, results);
        self.last = result.unwrap_or(evaluation(Truth::Unknown(Cause::StartingUp), None, None));
        self.last
    }

    /// Empties the windows of change conditions: earlier changes do not count.
    pub fn forget_changes(&mut self) {
        self.memory.forget_changes();
        self.parts.iter_mut().for_each(Evaluator::forget_changes);
    }

    /// The condition, its last result and its parts, for explanations.
    pub fn last_result(&self) -> (&ResolvedCondition, Evaluation, &[Evaluator]) {
        (&self.node, self.last, &self.parts)
    }

    /// Takes over the memory of an evaluator of the same condition; slots stay.
    pub fn take_memory_of(&mut self, was: Evaluator) {
        (self.memory, self.last) = (was.memory, was.last);
        self.parts.iter_mut().zip(was.parts).for_each(|(part, was)| part.take_memory_of(was));
    }

    /// Appends what survives a restart, in the order of the tree.
    pub fn persist(&self, into: &mut Vec<PersistedEvaluator>) {
        into.extend(self.memory.persist());
        self.parts.iter().for_each(|p| p.persist(into));
    }

    /// Restores memory in the order of the tree.
    pub fn restore(&mut self, from: &mut impl Iterator<Item = PersistedEvaluator>) {
        self.memory.restore(from);
        self.parts.iter_mut().for_each(|p| p.restore(from));
    }
}
