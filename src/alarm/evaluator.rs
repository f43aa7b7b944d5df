//! Evaluation of conditions in three-valued logic: yes, no, or unknown where an input is bad, stale or was never seen. Unknown is
//! never taken for "no".

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::alarm::conditions::{
    against_baseline, combine, count, frozen, hours, is, level, minutes, no_effect, not_true_for, offline,
    reaches_threshold, sustained, windowed,
};
use crate::alarm::days::BaselineTracker;
use crate::alarm::inject::Injected;
use crate::alarm::resolved_condition::{ConditionInput, ResolvedCondition};
use crate::model::latest::Latest;
use crate::model::quality::Cause;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};
use crate::model::value::Value;
use crate::model::window::SampleWindow;

/// The truth of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds, at this step of urgency, counted from one.
    Yes(u8),
    No,
    /// An input is missing, for this cause.
    Unknown(Cause),
}

/// The result of evaluating a condition, with the numbers to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    pub truth: Truth,
    /// The value that decided, where there is one.
    pub value: Option<f64>,
    /// The limit with which the value was compared.
    pub limit: Option<f64>,
}

/// Everything an evaluator may look at, and what it reports back besides its result.
pub struct Context<'a> {
    pub latest: &'a Latest,
    /// Trial samples, which take precedence over `latest`.
    pub injected: &'a Injected,
    pub now: Now,
    /// The site's time zone.
    pub zone: &'a TimeZone,
    /// The highest step that is in alarm already; deadbands apply up to this step.
    pub active_step: u8,
    /// Output: when to evaluate again although no sample arrives.
    pub wake: Option<MonotonicMillis>,
    /// Output: whether a trial sample was read.
    pub used_injected: bool,
}

impl Context<'_> {
    /// Requests another evaluation at this moment.
    pub(super) fn wake_at(&mut self, at: MonotonicMillis) {
        if at > self.now.mono {
            self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
        }
    }

    /// The trial sample of a slot, or else the real one.
    fn sample(&mut self, slot: usize) -> Result<&Value, Cause> {
        let (injected, latest) = (self.injected, self.latest);
        if let Some((value, until)) = injected.get(slot) {
            self.used_injected = true;
            self.wake_at(until);
            return Ok(value);
        }
        let seen = latest.get(slot).ok_or(Cause::StartingUp)?;
        seen.value_at(self.now.mono)
    }

    /// Why there is no value, if there is none.
    pub(super) fn bad_cause(&mut self, slot: usize) -> Option<Cause> {
        self.sample(slot).err()
    }

    pub(super) fn number(&mut self, slot: usize) -> Result<f64, Cause> {
        self.sample(slot)?.as_f64().ok_or(Cause::NotFinite)
    }

    pub(super) fn truth(&mut self, slot: usize) -> Result<bool, Cause> {
        Ok(self.number(slot)? != 0.0)
    }
}

/// A condition with its memory, as a tree of the same shape.
#[derive(Clone, Debug)]
pub struct Evaluator {
    node: ResolvedCondition,
    slots: Vec<usize>,
    memory: EvaluatorMemory,
    parts: Vec<Evaluator>,
    /// Its last result, for explanations.
    last: Evaluation,
}

#[derive(Clone, Debug)]
enum EvaluatorMemory {
    None,
    Window(SampleWindow),
    /// When the present value or truth began, and that value.
    Since(Option<(MonotonicMillis, f64)>),
    Times {
        was: bool,
        times: VecDeque<MonotonicMillis>,
    },
    Idle {
        last: Option<UnixMillis>,
        /// Idle since this monotonic time, plus milliseconds of idleness before it.
        since: Option<(MonotonicMillis, u64)>,
    },
    Days(Box<BaselineTracker>),
}

/// What of a judge's memory survives a restart, in the order of its tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersistedEvaluator {
    /// When it was last true.
    #[serde(rename = "last")]
    LastTrue(Option<UnixMillis>),
    /// Figures of the days.
    #[serde(rename = "days")]
    Baseline(crate::alarm::days::PersistedBaseline),
}

pub(super) const fn yes() -> Truth {
    Truth::Yes(1)
}

pub(super) const fn truth(holds: bool) -> Truth {
    if holds { yes() } else { Truth::No }
}

pub(super) fn evaluation(state: Truth, value: Option<f64>, limit: Option<f64>) -> Evaluation {
    Evaluation { truth: state, value, limit }
}

impl Evaluator {
    /// Builds the tree; `slot` maps an input to its slot in [`Latest`].
    pub fn new(node: &ResolvedCondition, slot: &mut impl FnMut(&ConditionInput) -> usize) -> Self {
        let mut slots = Vec::new();
        let mut parts = Vec::new();
        match node {
            ResolvedCondition::All(of) | ResolvedCondition::Any(of) => {
                parts.extend(of.iter().map(|n| Evaluator::new(n, slot)));
            }
            ResolvedCondition::Not(n)
            | ResolvedCondition::Sustained { when: n, .. }
            | ResolvedCondition::Count { when: n, .. } => {
                parts.push(Evaluator::new(n, slot));
            }
            _ => node.inputs(&mut |input| slots.push(slot(input))),
        }
        let memory = match node {
            ResolvedCondition::Rate { within_ms, .. }
            | ResolvedCondition::Change { within_ms, .. }
            | ResolvedCondition::NoEffect { within_ms, .. } => EvaluatorMemory::Window(SampleWindow::new(*within_ms)),
            ResolvedCondition::TimeToLimit { over_ms, .. } => EvaluatorMemory::Window(SampleWindow::new(*over_ms)),
            ResolvedCondition::Frozen { .. } | ResolvedCondition::Sustained { .. } => EvaluatorMemory::Since(None),
            ResolvedCondition::Count { .. } => EvaluatorMemory::Times { was: true, times: VecDeque::new() },
            ResolvedCondition::NotTrueFor { .. } => EvaluatorMemory::Idle { last: None, since: None },
            ResolvedCondition::Baseline(_) => EvaluatorMemory::Days(Box::default()),
            _ => EvaluatorMemory::None,
        };
        let last = evaluation(Truth::Unknown(Cause::StartingUp), None, None);
        Self { node: node.clone(), slots, memory, parts, last }
    }

    /// Evaluates the condition and remembers the result.
    pub fn evaluate(&mut self, c: &mut Context<'_>) -> Evaluation {
        self.last = self.evaluate_node(c);
        self.last
    }

    /// Empties the windows of change conditions: earlier changes do not count.
    pub fn forget_changes(&mut self) {
        if let (ResolvedCondition::Change { .. }, EvaluatorMemory::Window(window)) = (&self.node, &mut self.memory) {
            window.clear();
        }
        self.parts.iter_mut().for_each(Evaluator::forget_changes);
    }

    /// The condition, its last result and its parts, for explanations.
    pub fn last_result(&self) -> (&ResolvedCondition, Evaluation, &[Evaluator]) {
        (&self.node, self.last, &self.parts)
    }

    fn evaluate_node(&mut self, c: &mut Context<'_>) -> Evaluation {
        use {EvaluatorMemory as M, ResolvedCondition as C};
        let Self { node, slots, memory, parts, .. } = self;
        match (node, memory) {
            (C::Level { high, limits, deadband, .. }, _) => level(c, slots, *high, limits, *deadband),
            (C::Is { values, every, .. }, _) => is(c, slots, values, *every),
            (C::Rate { per_min, .. }, M::Window(w)) => windowed(c, slots[0], w, |w| {
                let rate = w.per_min().ok_or(Cause::StartingUp)?;
                Ok((reaches_threshold(rate, *per_min), rate, *per_min))
            }),
            (C::Change { delta: by, .. }, M::Window(w)) => windowed(c, slots[0], w, |w| {
                let change = w.change_from(*by > 0.0).ok_or(Cause::StartingUp)?;
                // Shows the present value, not the change: people need to know what is left.
                let value = w.newest().ok_or(Cause::StartingUp)?;
                Ok((reaches_threshold(change, *by), value, *by))
            }),
            (C::Deviation { limit, deadband, .. }, _) => match (c.number(slots[0]), c.number(slots[1])) {
                (Ok(a), Ok(b)) => {
                    let off = (a - b).abs();
                    let from = if c.active_step > 0 { *limit - *deadband } else { *limit };
                    evaluation(truth(off >= from), Some(off), Some(*limit))
                }
                (Err(cause), _) | (_, Err(cause)) => evaluation(Truth::Unknown(cause), None, Some(*limit)),
            },
            (C::Frozen { lasts_ms, .. }, M::Since(since)) => frozen(c, slots[0], since, *lasts_ms),
            (C::Bad { causes, .. }, _) => match c.bad_cause(slots[0]) {
                None => evaluation(Truth::No, c.number(slots[0]).ok(), None),
                Some(Cause::StartingUp) if c.latest.get(slots[0]).is_none() => {
                    evaluation(Truth::Unknown(Cause::StartingUp), None, None)
                }
                Some(cause) => evaluation(truth(causes.is_empty() || causes.contains(&cause)), None, None),
            },
            (C::Offline { pct, .. }, _) => offline(c, slots, *pct),
            (C::NoEffect { delta: by, within_ms, .. }, M::Window(w)) => no_effect(c, slots, w, *by, *within_ms),
            (C::NotTrueFor { lasts_ms, .. }, M::Idle { last, since }) => {
                not_true_for(c, slots[0], last, since, *lasts_ms)
            }
            (C::TimeToLimit { limit, within_ms, .. }, M::Window(w)) => {
                let (limit, within_min) = (*limit, minutes(*within_ms));
                windowed(c, slots[0], w, |w| {
                    let value = w.newest().ok_or(Cause::StartingUp)?;
                    let rate = w.per_min().ok_or(Cause::StartingUp)?;
                    let left = if value >= limit { 0.0 } else { (limit - value) / rate };
                    Ok((value >= limit || (rate > 0.0 && left <= within_min), left, limit))
                })
            }
            (C::Baseline(days), M::Days(memory)) => against_baseline(c, slots[0], days, memory),
            (C::Hours { from, to, days }, _) => hours(c, *from, *to, days),
            (C::Sustained { lasts_ms, .. }, M::Since(since)) => {
                let inner = parts[0].evaluate(c);
                sustained(c, inner, since, *lasts_ms)
            }
            (C::Count { at_least, within_ms, .. }, M::Times { was, times }) => {
                let inner = parts[0].evaluate(c);
                count(c, inner, was, times, *at_least, *within_ms)
            }
            (C::Not(_), _) => {
                let inner = parts[0].evaluate(c);
                let state = match inner.truth {
                    Truth::Yes(_) => Truth::No,
                    Truth::No => yes(),
                    unknown @ Truth::Unknown(_) => unknown,
                };
                Evaluation { truth: state, ..inner }
            }
            (C::All(_), _) => combine(parts.iter_mut().map(|p| p.evaluate(c)), false),
            (C::Any(_), _) => combine(parts.iter_mut().map(|p| p.evaluate(c)), true),
            // Unreachable: `new` gives each node the memory of its kind.
            (_, _) => evaluation(Truth::Unknown(Cause::StartingUp), None, None),
        }
    }

    /// Takes over the memory of an evaluator of the same condition; slots stay.
    pub fn take_memory_of(&mut self, was: Evaluator) {
        (self.memory, self.last) = (was.memory, was.last);
        self.parts.iter_mut().zip(was.parts).for_each(|(part, was)| part.take_memory_of(was));
    }

    /// Appends what survives a restart, in the order of the tree.
    pub fn persist(&self, into: &mut Vec<PersistedEvaluator>) {
        match &self.memory {
            EvaluatorMemory::Idle { last, .. } => into.push(PersistedEvaluator::LastTrue(*last)),
            EvaluatorMemory::Days(d) => into.push(PersistedEvaluator::Baseline(d.persisted())),
            _ => {}
        }
        self.parts.iter().for_each(|p| p.persist(into));
    }

    /// Restores memory in the order of the tree.
    pub fn restore(&mut self, from: &mut impl Iterator<Item = PersistedEvaluator>) {
        match &mut self.memory {
            EvaluatorMemory::Idle { last, .. } => {
                if let Some(PersistedEvaluator::LastTrue(kept)) = from.next() {
                    *last = kept;
                }
            }
            EvaluatorMemory::Days(d) => {
                if let Some(PersistedEvaluator::Baseline(kept)) = from.next() {
                    d.restore(kept);
                }
            }
            _ => {}
        }
        self.parts.iter_mut().for_each(|p| p.restore(from));
    }
}
