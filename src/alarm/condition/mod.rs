//! Alarm conditions. One more kind is its own file, with its settings ([`kind::ConditionSettings`]) and its resolved form
//! ([`kind::ResolvedKind`]), and one line in the list at the end: the rule file's format, the schema, the reference, what is resolved,
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
pub mod kind;
pub mod lasting;
pub mod level;
pub mod logic;
pub mod no_effect;
pub mod offline;
pub mod rate;
pub mod reaches;
mod window;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::days::ResolvedBaseline;
use crate::alarm::evaluation::{Evaluation, EvaluationContext, PersistedEvaluator};
use crate::alarm::limit::{ConditionStep, Limit};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};

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
            $($variant(<$resolved as ResolvedKind<ResolvedCondition>>::Memory),)*
        }

        impl Condition {
            /// Points that it names itself, placeholders unexpanded.
            pub fn points(&self) -> Vec<&str> {
                match self { $(Self::$variant(of) => ConditionSettings::<Condition>::points(of),)* }
            }

            /// Limits that may name a parameter of the device.
            pub fn limits(&self) -> Vec<&Limit> {
                match self { $(Self::$variant(of) => ConditionSettings::<Condition>::limits(of),)* }
            }

            /// Conditions directly within it; empty for most kinds.
            pub fn parts(&self) -> Vec<&Condition> {
                match self { $(Self::$variant(of) => ConditionSettings::<Condition>::parts(of),)* }
            }

            /// Limits with a priority each.
            pub fn steps(&self) -> &[ConditionStep] {
                match self { $(Self::$variant(of) => ConditionSettings::<Condition>::steps(of),)* }
            }

            /// Reports its own errors that need no device to be seen.
            pub fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
                match self { $(Self::$variant(of) => ConditionSettings::<Condition>::problems(of, report),)* }
            }
        }

        impl NestedCondition for Condition {
            type Resolved = ResolvedCondition;

            fn value_point(&self) -> Option<&str> {
                match self { $(Self::$variant(of) => ConditionSettings::<Condition>::value_point(of),)* }
            }

            fn resolve(&self, builder: &RuleBuilder<'_>) -> Result<ResolvedCondition, Missing> {
                Ok(match self {
                    $(Self::$variant(of) => ResolvedCondition::$variant(
                        ConditionSettings::<Condition>::resolve(of, stringify!($name), builder)?
                    ),)*
                })
            }
        }

        impl ResolvedCondition {
            /// The points that it reads itself.
            pub fn own_inputs(&self) -> Vec<&ConditionInput> {
                match self { $(Self::$variant(of) => ResolvedKind::<ResolvedCondition>::inputs(of),)* }
            }

            /// Conditions directly within it; empty for most kinds.
            pub fn parts(&self) -> Vec<&ResolvedCondition> {
                match self { $(Self::$variant(of) => ResolvedKind::<ResolvedCondition>::parts(of),)* }
            }

            /// A short English description, without its result.
            pub fn describe(&self) -> String {
                match self { $(Self::$variant(of) => ResolvedKind::<ResolvedCondition>::describe(of),)* }
            }

            /// Whether its limit is of the same scale as its value.
            pub fn compares_value_with_limit(&self) -> bool {
                match self { $(Self::$variant(of) => ResolvedKind::<ResolvedCondition>::compares_value_with_limit(of),)* }
            }

            fn own_skips_unchanged(&self) -> bool {
                match self { $(Self::$variant(of) => ResolvedKind::<ResolvedCondition>::skips_unchanged(of),)* }
            }

            fn own_looks_back_ms(&self) -> u64 {
                match self { $(Self::$variant(of) => ResolvedKind::<ResolvedCondition>::looks_back_ms(of),)* }
            }

            pub(super) fn memory(&self) -> ConditionMemory {
                match self { $(Self::$variant(of) => ConditionMemory::$variant(ResolvedKind::<ResolvedCondition>::memory(of)),)* }
            }
        }

        impl ConditionMemory {
            /// Evaluates a condition with its own memory; none: the memory is another kind's.
            pub(super) fn evaluate(
                &mut self,
                node: &ResolvedCondition,
                context: &mut EvaluationContext<'_>,
                slots: &[usize],
                parts: &[Evaluation],
            ) -> Option<Evaluation> {
                match (node, self) {
                    $((ResolvedCondition::$variant(of), Self::$variant(memory)) => {
                        Some(ResolvedKind::<ResolvedCondition>::evaluate(of, memory, context, slots, parts))
                    })*
                    _ => None,
                }
            }

            pub(super) fn forget_changes(&mut self) {
                match self { $(Self::$variant(memory) => <$resolved as ResolvedKind<ResolvedCondition>>::forget_changes(memory),)* }
            }

            pub(super) fn persist(&self) -> Option<PersistedEvaluator> {
                match self { $(Self::$variant(memory) => <$resolved as ResolvedKind<ResolvedCondition>>::persist(memory),)* }
            }

            pub(super) fn restore(&mut self, kept: &mut dyn Iterator<Item = PersistedEvaluator>) {
                match self { $(Self::$variant(memory) => <$resolved as ResolvedKind<ResolvedCondition>>::restore(memory, kept),)* }
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
    count: Count(count::Count<Condition> => count::ResolvedCount<ResolvedCondition>),
    /// Something runs and has no effect.
    no_effect: NoEffect(no_effect::NoEffect => no_effect::ResolvedNoEffect),
    /// Was not true for so long.
    idle: Idle(idle::NotTrueFor => idle::ResolvedIdle),
    /// Will reach a limit within a time, if it goes on so.
    reaches: Reaches(reaches::TimeToLimit => reaches::ResolvedReaches),
    /// A figure of the day against those of the days before.
    against_days: AgainstDays(against_days::Baseline => ResolvedBaseline),
    /// Holds for so long without a break.
    lasting: Lasting(lasting::Sustained<Condition> => lasting::ResolvedLasting<ResolvedCondition>),
    /// Within these hours of the site's day.
    hours: Hours(hours::Hours => hours::ResolvedHours),
    /// All conditions of the list hold; it has at least one.
    all: All(Vec<Condition> => logic::ResolvedGroup<ResolvedCondition>),
    /// At least one of them. Those whose points the device lacks are left out.
    any: Any(Vec<Condition> => logic::ResolvedGroup<ResolvedCondition>),
    /// The condition does not hold; while its result is unknown, so is this one's.
    not: Not(Box<Condition> => logic::ResolvedNot<ResolvedCondition>),
}
