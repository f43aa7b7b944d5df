//! Alarm conditions. One more kind is its own file, with its settings ([`ConditionSettings`]) and its resolved form
//! ([`ResolvedKind`]), and one line in the list at the end: the rule file's format, the schema, the reference, what is resolved,
//! evaluated, explained and kept follow from that.

pub mod against_days;
pub mod bad;
pub mod change;
pub mod count;
pub mod deviation;
pub mod frozen;
pub mod hours;
pub mod idle;
pub mod is;
pub mod lasting;
pub mod level;
pub mod logic;
pub mod no_effect;
pub mod offline;
pub mod rate;
pub mod reaches;
mod window;

use std::fmt::Debug;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::alarm::build::{Missing, RuleBuilder};
use crate::alarm::evaluator::{Evaluation, EvaluationContext, Evaluator, PersistedEvaluator};
use crate::alarm::settings::{ConditionStep, Limit};

/// The point that a condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionInput {
    pub device: Arc<str>,
    pub point: Arc<str>,
}

impl ConditionInput {
    /// The input as `device.point`, for explanations.
    pub fn name(&self) -> String {
        format!("{}.{}", self.device, self.point)
    }
}

/// A kind of condition as a rule file has it.
pub trait ConditionSettings {
    /// The condition for one device.
    type Resolved: ResolvedKind;

    /// Points that it names, placeholders unexpanded.
    fn points(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Limits that may name a parameter of the device.
    fn limits(&self) -> Vec<&Limit> {
        Vec::new()
    }

    /// Conditions directly within it; empty for most kinds.
    fn parts(&self) -> Vec<&Condition> {
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
pub trait ResolvedKind: Clone + Debug + PartialEq {
    /// What it remembers between evaluations.
    type Memory: Clone + Debug;

    /// The memory before the first evaluation.
    fn memory(&self) -> Self::Memory;

    /// The points that it reads itself.
    fn inputs(&self) -> Vec<&ConditionInput> {
        Vec::new()
    }

    /// Conditions directly within it; empty for most kinds.
    fn parts(&self) -> Vec<&ResolvedCondition> {
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

    /// Its truth now; `slots` are those of its inputs, in their order.
    fn evaluate(
        &self,
        memory: &mut Self::Memory,
        context: &mut EvaluationContext<'_>,
        slots: &[usize],
        parts: &mut [Evaluator],
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

macro_rules! conditions {
    ($($(#[doc = $doc:literal])* $name:ident: $variant:ident($settings:ty => $resolved:ty),)*) => {
        /// When something is in alarm.
        #[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum Condition {
            $($(#[doc = $doc])* $variant($settings),)*
        }

        /// A condition for one device.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ResolvedCondition {
            $($(#[doc = $doc])* $variant($resolved),)*
        }

        /// What a condition remembers.
        #[derive(Clone, Debug)]
        pub(super) enum ConditionMemory {
            $($variant(<$resolved as ResolvedKind>::Memory),)*
        }

        impl Condition {
            /// Points that it names itself, placeholders unexpanded.
            pub fn points(&self) -> Vec<&str> {
                match self { $(Self::$variant(of) => ConditionSettings::points(of),)* }
            }

            /// Limits that may name a parameter of the device.
            pub fn limits(&self) -> Vec<&Limit> {
                match self { $(Self::$variant(of) => ConditionSettings::limits(of),)* }
            }

            /// Conditions directly within it; empty for most kinds.
            pub fn parts(&self) -> Vec<&Condition> {
                match self { $(Self::$variant(of) => ConditionSettings::parts(of),)* }
            }

            /// The point whose value an alarm of it shows.
            pub fn value_point(&self) -> Option<&str> {
                match self { $(Self::$variant(of) => ConditionSettings::value_point(of),)* }
            }

            /// Limits with a priority each.
            pub fn steps(&self) -> &[ConditionStep] {
                match self { $(Self::$variant(of) => ConditionSettings::steps(of),)* }
            }

            /// Reports its own errors that need no device to be seen.
            pub fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
                match self { $(Self::$variant(of) => ConditionSettings::problems(of, report),)* }
            }

            /// The condition for one device.
            ///
            /// # Errors
            /// What the device lacks.
            pub fn resolve(&self, builder: &RuleBuilder<'_>) -> Result<ResolvedCondition, Missing> {
                Ok(match self {
                    $(Self::$variant(of) => {
                        ResolvedCondition::$variant(ConditionSettings::resolve(of, stringify!($name), builder)?)
                    })*
                })
            }
        }

        impl ResolvedCondition {
            /// The points that it reads itself.
            pub fn own_inputs(&self) -> Vec<&ConditionInput> {
                match self { $(Self::$variant(of) => of.inputs(),)* }
            }

            /// Conditions directly within it; empty for most kinds.
            pub fn parts(&self) -> Vec<&ResolvedCondition> {
                match self { $(Self::$variant(of) => ResolvedKind::parts(of),)* }
            }

            /// A short English description, without its result.
            pub fn describe(&self) -> String {
                match self { $(Self::$variant(of) => of.describe(),)* }
            }

            /// Whether its limit is of the same scale as its value.
            pub fn compares_value_with_limit(&self) -> bool {
                match self { $(Self::$variant(of) => of.compares_value_with_limit(),)* }
            }

            fn own_skips_unchanged(&self) -> bool {
                match self { $(Self::$variant(of) => of.skips_unchanged(),)* }
            }

            fn own_looks_back_ms(&self) -> u64 {
                match self { $(Self::$variant(of) => of.looks_back_ms(),)* }
            }

            pub(super) fn memory(&self) -> ConditionMemory {
                match self { $(Self::$variant(of) => ConditionMemory::$variant(of.memory()),)* }
            }
        }

        impl ConditionMemory {
            /// Evaluates a condition with its own memory; none: the memory is another kind's.
            pub(super) fn evaluate(
                &mut self,
                node: &ResolvedCondition,
                context: &mut EvaluationContext<'_>,
                slots: &[usize],
                parts: &mut [Evaluator],
            ) -> Option<Evaluation> {
                match (node, self) {
                    $((ResolvedCondition::$variant(of), Self::$variant(memory)) => {
                        Some(of.evaluate(memory, context, slots, parts))
                    })*
                    _ => None,
                }
            }

            pub(super) fn forget_changes(&mut self) {
                match self { $(Self::$variant(memory) => <$resolved as ResolvedKind>::forget_changes(memory),)* }
            }

            pub(super) fn persist(&self) -> Option<PersistedEvaluator> {
                match self { $(Self::$variant(memory) => <$resolved as ResolvedKind>::persist(memory),)* }
            }

            pub(super) fn restore(&mut self, kept: &mut dyn Iterator<Item = PersistedEvaluator>) {
                match self { $(Self::$variant(memory) => <$resolved as ResolvedKind>::restore(memory, kept),)* }
            }
        }
    };
}

impl ResolvedCondition {
    /// Calls with every input, those of its parts included.
    pub fn inputs(&self, each: &mut impl FnMut(&ConditionInput)) {
        self.own_inputs().into_iter().for_each(&mut *each);
        self.parts().into_iter().for_each(|part| part.inputs(each));
    }

    /// Whether a sample equal to the one before cannot change its result.
    pub fn skips_unchanged(&self) -> bool {
        self.own_skips_unchanged() && self.parts().into_iter().all(ResolvedCondition::skips_unchanged)
    }

    /// How far it looks back, milliseconds: a replay of history has to begin that much earlier.
    pub fn looks_back_ms(&self) -> u64 {
        self.own_looks_back_ms() + self.parts().into_iter().map(ResolvedCondition::looks_back_ms).max().unwrap_or(0)
    }
}

conditions! {
    /// At or above a limit.
    high: High(level::Level => level::ResolvedLevel),
    /// At or below a limit.
    low: Low(level::Level => level::ResolvedLevel),
    /// A state is true, or a code is one of these.
    is: Is(is::Is => is::ResolvedIs),
    /// Rises (or falls) faster than this.
    rate: Rate(rate::Rate => rate::ResolvedRate),
    /// Rose or fell by so much within a time.
    change: Change(change::Change => change::ResolvedChange),
    /// Two points differ by so much.
    deviation: Deviation(deviation::Deviation => deviation::ResolvedDeviation),
    /// The value did not change for so long.
    frozen: Frozen(frozen::Frozen => frozen::ResolvedFrozen),
    /// The samples of a point are stale or bad: there is no value to rely on.
    bad: Bad(bad::Bad => bad::ResolvedBad),
    /// The device does not answer.
    offline: Offline(offline::Offline => offline::ResolvedOffline),
    /// Most of several devices do not answer.
    share_offline: ShareOffline(offline::ShareOffline => offline::ResolvedOffline),
    /// Came to be so many times within a time.
    count: Count(count::Count => count::ResolvedCount),
    /// Something runs and has no effect.
    no_effect: NoEffect(no_effect::NoEffect => no_effect::ResolvedNoEffect),
    /// Was not true for so long.
    idle: Idle(idle::NotTrueFor => idle::ResolvedIdle),
    /// Will reach a limit within a time, if it goes on so.
    reaches: Reaches(reaches::TimeToLimit => reaches::ResolvedReaches),
    /// A figure of the day against those of the days before.
    against_days: AgainstDays(against_days::Baseline => against_days::ResolvedBaseline),
    /// Holds for so long without a break.
    lasting: Lasting(lasting::Sustained => lasting::ResolvedLasting),
    /// Within these hours of the site's day.
    hours: Hours(hours::Hours => hours::ResolvedHours),
    /// All conditions of the list hold; it has at least one.
    all: All(Vec<Condition> => logic::ResolvedGroup),
    /// At least one of them. Those whose points the device lacks are left out.
    any: Any(Vec<Condition> => logic::ResolvedGroup),
    /// The condition does not hold; while its result is unknown, so is this one's.
    not: Not(Box<Condition> => logic::ResolvedNot),
}
