//! A rule for one device: its condition with every name and number resolved. Plain data.

use std::sync::Arc;

use crate::alarm::settings::{BaselineFigure, Centre, Weekday};
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::quality::Cause;

/// A point of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionInput {
    /// The device.
    pub device: Arc<str>,
    /// Its point.
    pub point: Arc<str>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum ResolvedCondition {
    /// The highest of the inputs at or above a limit, or the lowest at or below.
    Level {
        /// The inputs.
        inputs: Vec<ConditionInput>,
        /// Above, or below.
        high: bool,
        /// The limits, the least urgent first.
        limits: Vec<f64>,
        /// How far it must come back.
        deadband: f64,
    },
    /// One of the inputs is true, or one of these codes.
    Is {
        /// The inputs.
        inputs: Vec<ConditionInput>,
        /// Codes; empty: true.
        values: Vec<i64>,
        /// Every one of them, not one.
        every: bool,
    },
    /// Change a minute.
    Rate {
        /// The input.
        input: ConditionInput,
        /// Negative: falling.
        per_min: f64,
        /// Over how long.
        within_ms: u64,
    },
    /// Change within a time.
    Change {
        /// The input.
        input: ConditionInput,
        /// Negative: a fall.
        by: f64,
        /// Within how long.
        within_ms: u64,
    },
    /// Difference of two inputs.
    Deviation {
        /// One.
        a: ConditionInput,
        /// The other.
        b: ConditionInput,
        /// From here on.
        limit: f64,
        /// How much smaller it must be.
        deadband: f64,
    },
    /// No change.
    Frozen {
        /// The input.
        input: ConditionInput,
        /// For how long.
        lasts_ms: u64,
    },
    /// Bad or stale.
    Bad {
        /// The input.
        input: ConditionInput,
        /// Reasons; empty: any.
        causes: Vec<Cause>,
    },
    /// Devices that do not answer, from a share on.
    Offline {
        /// Their states.
        inputs: Vec<ConditionInput>,
        /// Percent of them.
        pct: f64,
    },
    /// Times that something came to be.
    Count {
        /// What.
        when: Box<ResolvedCondition>,
        /// How many times.
        at_least: u32,
        /// Within how long.
        within_ms: u64,
    },
    /// Runs without effect.
    NoEffect {
        /// What runs.
        running: ConditionInput,
        /// What should change.
        input: ConditionInput,
        /// By so much.
        by: f64,
        /// Within how long.
        within_ms: u64,
    },
    /// Not true for so long.
    Idle {
        /// The input.
        input: ConditionInput,
        /// For how long.
        lasts_ms: u64,
    },
    /// Reaches a limit soon.
    Reaches {
        /// The input.
        input: ConditionInput,
        /// The limit.
        limit: f64,
        /// Within how long.
        within_ms: u64,
        /// Over how long the rate is reckoned.
        over_ms: u64,
    },
    /// A day against the days before.
    Days(Days),
    /// Holds so long.
    Lasting {
        /// What.
        when: Box<ResolvedCondition>,
        /// For how long.
        lasts_ms: u64,
    },
    /// Hours of the site's day, in minutes after midnight.
    Hours {
        /// From.
        from: u16,
        /// To.
        to: u16,
        /// Days on which it begins; empty: all.
        days: Vec<Weekday>,
    },
    /// All of them.
    All(Vec<ResolvedCondition>),
    /// At least one.
    Any(Vec<ResolvedCondition>),
    /// Not this.
    Not(Box<ResolvedCondition>),
}

/// A day's figure against those of the days before.
#[derive(Clone, Debug, PartialEq)]
pub struct Days {
    /// The input.
    pub input: ConditionInput,
    /// What is taken of each day.
    pub figure: BaselineFigure,
    /// From this minute of the day.
    pub from: u16,
    /// To this one.
    pub to: u16,
    /// Days before.
    pub days: u16,
    /// What they are reckoned to.
    pub of: Centre,
    /// From how many times that on.
    pub times: f64,
    /// Days in a row.
    pub in_a_row: u16,
}

/// A step of urgency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Urgency {
    /// How much it matters.
    pub priority: Priority,
    /// How long the condition has to last.
    pub on_delay_ms: u64,
}

/// A rule for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The rule's name, its index filled in: `pump1_overload`.
    pub rule: Arc<str>,
    /// The rule that it comes from: `sump.pump{n}_overload`.
    pub of: Arc<str>,
    /// The device.
    pub device: Arc<str>,
    /// Its number in the site's list; may be empty.
    pub no: String,
    /// What is said.
    pub text: LocalizedText,
    /// What is to be done.
    pub action: LocalizedText,
    /// Why there is such a rule.
    pub rationale: Arc<Rationale>,
    /// The unit of the value.
    pub unit: String,
    /// Steps, the least urgent first; at least one.
    pub steps: Vec<Urgency>,
    /// How long the condition has to be gone.
    pub off_delay_ms: u64,
    /// When what was acknowledged wants to be acknowledged again.
    pub realarm_ms: Option<u64>,
    /// Stays until reset.
    pub latch: bool,
    /// Keys of alarms that hide it.
    pub hidden_by: Vec<Arc<str>>,
    /// What follows from each other.
    pub group: Option<Arc<str>>,
    /// Cannot be hidden.
    pub never_hidden: bool,
    /// When it is in alarm.
    pub when: ResolvedCondition,
    /// Only while this holds.
    pub only: Option<ResolvedCondition>,
    /// It hides others only while this holds.
    pub explains_while: Option<ResolvedCondition>,
    /// A test run of the device raises it.
    pub in_test: bool,
}

/// Why there is such a rule: for people who are woken by it and for those who review it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rationale {
    /// What is most likely the matter.
    pub cause: LocalizedText,
    /// What happens if nobody acts.
    pub consequence: LocalizedText,
    /// How soon somebody has to act, milliseconds; 0: not said.
    pub respond_ms: u64,
    /// Where limit and delays come from.
    pub basis: String,
}

impl Definition {
    /// `rule.device`: what an alarm is called everywhere.
    pub fn key(&self) -> String {
        format!("{}.{}", self.rule, self.device)
    }
}

impl ResolvedCondition {
    /// Calls with every input.
    pub fn inputs(&self, each: &mut impl FnMut(&ConditionInput)) {
        match self {
            ResolvedCondition::Level { inputs, .. }
            | ResolvedCondition::Is { inputs, .. }
            | ResolvedCondition::Offline { inputs, .. } => {
                inputs.iter().for_each(each);
            }
            ResolvedCondition::Rate { input, .. }
            | ResolvedCondition::Change { input, .. }
            | ResolvedCondition::Frozen { input, .. }
            | ResolvedCondition::Bad { input, .. }
            | ResolvedCondition::Idle { input, .. }
            | ResolvedCondition::Reaches { input, .. }
            | ResolvedCondition::Days(Days { input, .. }) => each(input),
            ResolvedCondition::Deviation { a, b, .. } => [a, b].into_iter().for_each(each),
            ResolvedCondition::NoEffect { running, input, .. } => [running, input].into_iter().for_each(each),
            ResolvedCondition::Count { when, .. }
            | ResolvedCondition::Lasting { when, .. }
            | ResolvedCondition::Not(when) => when.inputs(each),
            ResolvedCondition::All(of) | ResolvedCondition::Any(of) => of.iter().for_each(|n| n.inputs(each)),
            ResolvedCondition::Hours { .. } => {}
        }
    }

    /// Whether a sample like the one before says nothing new to it.
    pub fn skips_the_same(&self) -> bool {
        match self {
            ResolvedCondition::Level { .. }
            | ResolvedCondition::Is { .. }
            | ResolvedCondition::Deviation { .. }
            | ResolvedCondition::Frozen { .. }
            | ResolvedCondition::Bad { .. }
            | ResolvedCondition::Offline { .. }
            | ResolvedCondition::Hours { .. } => true,
            ResolvedCondition::Count { when, .. }
            | ResolvedCondition::Lasting { when, .. }
            | ResolvedCondition::Not(when) => when.skips_the_same(),
            ResolvedCondition::All(of) | ResolvedCondition::Any(of) => of.iter().all(ResolvedCondition::skips_the_same),
            // Their windows take every sample in.
            ResolvedCondition::Rate { .. }
            | ResolvedCondition::Change { .. }
            | ResolvedCondition::NoEffect { .. }
            | ResolvedCondition::Idle { .. }
            | ResolvedCondition::Reaches { .. }
            | ResolvedCondition::Days(_) => false,
        }
    }

    /// The longest time that it looks back, milliseconds: how much earlier a trial on the past has to begin.
    pub fn looks_back_ms(&self) -> u64 {
        match self {
            ResolvedCondition::Rate { within_ms, .. }
            | ResolvedCondition::Change { within_ms, .. }
            | ResolvedCondition::NoEffect { within_ms, .. } => *within_ms,
            ResolvedCondition::Reaches { over_ms, .. } => *over_ms,
            ResolvedCondition::Frozen { lasts_ms, .. } | ResolvedCondition::Idle { lasts_ms, .. } => *lasts_ms,
            ResolvedCondition::Days(d) => (u64::from(d.days) + u64::from(d.in_a_row) + 1) * 86_400_000,
            ResolvedCondition::Count { when, within_ms, .. } => within_ms + when.looks_back_ms(),
            ResolvedCondition::Lasting { when, lasts_ms } => lasts_ms + when.looks_back_ms(),
            ResolvedCondition::Not(when) => when.looks_back_ms(),
            ResolvedCondition::All(of) | ResolvedCondition::Any(of) => {
                of.iter().map(ResolvedCondition::looks_back_ms).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}
