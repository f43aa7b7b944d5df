//! A rule for one device: its condition with every name and parameter resolved. Plain data.

use std::sync::Arc;

use crate::alarm::settings::{BaselineFigure, Centre, Weekday};
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::quality::Cause;

/// The point that a condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionInput {
    pub device: Arc<str>,
    pub point: Arc<str>,
}

/// A condition with names, parameters and indices resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum ResolvedCondition {
    /// The highest of the inputs at or above a limit, or the lowest at or below.
    Level {
        inputs: Vec<ConditionInput>,
        /// `true`: at or above the limit; `false`: at or below.
        high: bool,
        /// One per step of urgency, the least urgent first.
        limits: Vec<f64>,
        /// In the unit of the point.
        deadband: f64,
    },
    /// One of the inputs is true, or one of these codes.
    Is {
        inputs: Vec<ConditionInput>,
        /// Codes that fulfil the condition; empty: any value but 0.
        values: Vec<i64>,
        /// Whether every input has to fulfil it, instead of one.
        every: bool,
    },
    /// Rate of change over a window.
    Rate {
        input: ConditionInput,
        /// Change per minute; negative: falling.
        per_min: f64,
        within_ms: u64,
    },
    /// Change within a time.
    Change {
        input: ConditionInput,
        /// In the unit of the point; negative: a fall.
        delta: f64,
        within_ms: u64,
    },
    /// Absolute difference of two inputs.
    Deviation {
        a: ConditionInput,
        b: ConditionInput,
        limit: f64,
        /// How much smaller the difference must become before the condition ends.
        deadband: f64,
    },
    /// The value stays the same, bit for bit.
    Frozen {
        input: ConditionInput,
        lasts_ms: u64,
    },
    /// The sample is bad or stale.
    Bad {
        input: ConditionInput,
        /// Causes that count; empty: any.
        causes: Vec<Cause>,
    },
    /// At least a share of the devices is offline.
    Offline {
        /// The `state` points of the devices.
        inputs: Vec<ConditionInput>,
        /// Percent of the devices whose state is known.
        pct: f64,
    },
    /// A condition became true a number of times within a period.
    Count {
        when: Box<ResolvedCondition>,
        at_least: u32,
        within_ms: u64,
    },
    /// Something runs, and a value does not change as it should.
    NoEffect {
        running: ConditionInput,
        input: ConditionInput,
        /// Minimum expected change; negative: a fall.
        delta: f64,
        within_ms: u64,
    },
    /// The input has not been true for a period; after a restart the date says how long.
    NotTrueFor {
        input: ConditionInput,
        lasts_ms: u64,
    },
    /// The value, extrapolated at its present rate, reaches a limit from below within a period.
    TimeToLimit {
        input: ConditionInput,
        limit: f64,
        within_ms: u64,
        /// Window over which the rate is computed.
        over_ms: u64,
    },
    /// A figure of the day compared with those of the days before.
    Baseline(ResolvedBaseline),
    /// A condition holds without interruption for a period.
    Sustained {
        when: Box<ResolvedCondition>,
        lasts_ms: u64,
    },
    /// Hours of the site's day, in minutes after midnight; `to` is exclusive, and may be before `from`.
    Hours {
        from: u16,
        to: u16,
        /// Days on which it begins; empty: all.
        days: Vec<Weekday>,
    },
    All(Vec<ResolvedCondition>),
    Any(Vec<ResolvedCondition>),
    Not(Box<ResolvedCondition>),
}

/// Comparison of a day's figure with a baseline of the days before.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedBaseline {
    pub input: ConditionInput,
    /// How a day becomes one figure.
    pub figure: BaselineFigure,
    /// First minute of the day that counts.
    pub from: u16,
    /// End of the counted part of the day, exclusive.
    pub to: u16,
    /// Length of the baseline in days.
    pub days: u16,
    /// How the days of the baseline become one figure.
    pub centre: Centre,
    /// The condition holds above the baseline times this factor.
    pub factor: f64,
    /// Consecutive days that must exceed the baseline.
    pub in_a_row: u16,
}

/// A step of urgency: a priority with its on-delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Urgency {
    pub priority: Priority,
    pub on_delay_ms: u64,
}

/// A rule resolved for a device: one alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmDefinition {
    /// The rule's name with its index, such as `pump1_overload`.
    pub rule: Arc<str>,
    /// The rule of the file, such as `sump.pump{n}_overload`.
    pub source_rule: Arc<str>,
    pub device: Arc<str>,
    /// Its number in the site's list; may be empty.
    pub site_number: String,
    /// Template with `{device}`, `{area}`, `{v}` and `{limit}`.
    pub text: LocalizedText,
    /// What the responder has to do.
    pub action: LocalizedText,
    pub rationale: Arc<Rationale>,
    pub unit: String,
    /// The least urgent first; at least one.
    pub steps: Vec<Urgency>,
    pub off_delay_ms: u64,
    /// An alarm that is still active this long after acknowledgement has to be acknowledged again.
    pub realarm_ms: Option<u64>,
    /// Whether it stays latched until somebody resets it.
    pub latch: bool,
    /// Keys of alarms that suppress it while they are active.
    pub suppressed_by: Vec<Arc<str>>,
    /// Alarms of one device and group: the first that is raised is marked.
    pub first_out_group: Option<Arc<str>>,
    /// Cannot be shelved, taken out of service or suppressed.
    pub never_suppressed: bool,
    pub condition: ResolvedCondition,
    /// The alarm is possible only while this holds.
    pub enable_if: Option<ResolvedCondition>,
    /// It suppresses others only while this holds.
    pub suppresses_while: Option<ResolvedCondition>,
    /// Whether a test run of the device raises it; an announced test then shelves it.
    pub raised_by_tests: bool,
}

/// The rationale of a rule (ISA-18.2), for responders and reviewers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rationale {
    /// The most likely cause.
    pub cause: LocalizedText,
    /// The consequence of inaction.
    pub consequence: LocalizedText,
    /// Time to respond, milliseconds; 0: not stated.
    pub respond_ms: u64,
    /// Source of limit and delays.
    pub basis: String,
}

impl AlarmDefinition {
    /// `rule.device`, the alarm's identifier in the event log, topics and commands.
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
            | ResolvedCondition::NotTrueFor { input, .. }
            | ResolvedCondition::TimeToLimit { input, .. }
            | ResolvedCondition::Baseline(ResolvedBaseline { input, .. }) => each(input),
            ResolvedCondition::Deviation { a, b, .. } => [a, b].into_iter().for_each(each),
            ResolvedCondition::NoEffect { running, input, .. } => [running, input].into_iter().for_each(each),
            ResolvedCondition::Count { when, .. }
            | ResolvedCondition::Sustained { when, .. }
            | ResolvedCondition::Not(when) => when.inputs(each),
            ResolvedCondition::All(of) | ResolvedCondition::Any(of) => of.iter().for_each(|n| n.inputs(each)),
            ResolvedCondition::Hours { .. } => {}
        }
    }

    /// Whether a sample equal to the one before cannot change its result.
    pub fn skips_unchanged(&self) -> bool {
        match self {
            ResolvedCondition::Level { .. }
            | ResolvedCondition::Is { .. }
            | ResolvedCondition::Deviation { .. }
            | ResolvedCondition::Frozen { .. }
            | ResolvedCondition::Bad { .. }
            | ResolvedCondition::Offline { .. }
            | ResolvedCondition::Hours { .. } => true,
            ResolvedCondition::Count { when, .. }
            | ResolvedCondition::Sustained { when, .. }
            | ResolvedCondition::Not(when) => when.skips_unchanged(),
            ResolvedCondition::All(of) | ResolvedCondition::Any(of) => {
                of.iter().all(ResolvedCondition::skips_unchanged)
            }
            // Their windows need every sample.
            ResolvedCondition::Rate { .. }
            | ResolvedCondition::Change { .. }
            | ResolvedCondition::NoEffect { .. }
            | ResolvedCondition::NotTrueFor { .. }
            | ResolvedCondition::TimeToLimit { .. }
            | ResolvedCondition::Baseline(_) => false,
        }
    }

    /// How far it looks back, milliseconds: a replay of history has to begin that much earlier.
    pub fn looks_back_ms(&self) -> u64 {
        match self {
            ResolvedCondition::Rate { within_ms, .. }
            | ResolvedCondition::Change { within_ms, .. }
            | ResolvedCondition::NoEffect { within_ms, .. } => *within_ms,
            ResolvedCondition::TimeToLimit { over_ms, .. } => *over_ms,
            ResolvedCondition::Frozen { lasts_ms, .. } | ResolvedCondition::NotTrueFor { lasts_ms, .. } => *lasts_ms,
            ResolvedCondition::Baseline(d) => (u64::from(d.days) + u64::from(d.in_a_row) + 1) * 86_400_000,
            ResolvedCondition::Count { when, within_ms, .. } => within_ms + when.looks_back_ms(),
            ResolvedCondition::Sustained { when, lasts_ms } => lasts_ms + when.looks_back_ms(),
            ResolvedCondition::Not(when) => when.looks_back_ms(),
            ResolvedCondition::All(of) | ResolvedCondition::Any(of) => {
                of.iter().map(ResolvedCondition::looks_back_ms).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}
