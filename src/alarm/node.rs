//! A rule for one device: its condition with every name and number resolved. Plain data.

use std::sync::Arc;

use crate::alarm::settings::{Centre, Figure, Weekday};
use crate::model::point::Names;
use crate::model::priority::Priority;
use crate::model::quality::Cause;

/// A point of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The device.
    pub device: Arc<str>,
    /// Its point.
    pub point: Arc<str>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// The highest of the inputs at or above a limit, or the lowest at or below.
    Level {
        /// The inputs.
        inputs: Vec<Input>,
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
        inputs: Vec<Input>,
        /// Codes; empty: true.
        values: Vec<i64>,
        /// Every one of them, not one.
        every: bool,
    },
    /// Change a minute.
    Rate {
        /// The input.
        input: Input,
        /// Negative: falling.
        per_min: f64,
        /// Over how long.
        within_ms: u64,
    },
    /// Change within a time.
    Change {
        /// The input.
        input: Input,
        /// Negative: a fall.
        by: f64,
        /// Within how long.
        within_ms: u64,
    },
    /// Difference of two inputs.
    Deviation {
        /// One.
        a: Input,
        /// The other.
        b: Input,
        /// From here on.
        limit: f64,
        /// How much smaller it must be.
        deadband: f64,
    },
    /// No change.
    Frozen {
        /// The input.
        input: Input,
        /// For how long.
        lasts_ms: u64,
    },
    /// Bad or stale.
    Bad {
        /// The input.
        input: Input,
        /// Reasons; empty: any.
        causes: Vec<Cause>,
    },
    /// Devices that do not answer, from a share on.
    Offline {
        /// Their states.
        inputs: Vec<Input>,
        /// Percent of them.
        pct: f64,
    },
    /// Times that something came to be.
    Count {
        /// What.
        when: Box<Node>,
        /// How many times.
        at_least: u32,
        /// Within how long.
        within_ms: u64,
    },
    /// Runs without effect.
    NoEffect {
        /// What runs.
        running: Input,
        /// What should change.
        input: Input,
        /// By so much.
        by: f64,
        /// Within how long.
        within_ms: u64,
    },
    /// Not true for so long.
    Idle {
        /// The input.
        input: Input,
        /// For how long.
        lasts_ms: u64,
    },
    /// Reaches a limit soon.
    Reaches {
        /// The input.
        input: Input,
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
        when: Box<Node>,
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
    All(Vec<Node>),
    /// At least one.
    Any(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
}

/// A day's figure against those of the days before.
#[derive(Clone, Debug, PartialEq)]
pub struct Days {
    /// The input.
    pub input: Input,
    /// What is taken of each day.
    pub figure: Figure,
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
    pub text: Names,
    /// What is to be done.
    pub action: Names,
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
    pub when: Node,
    /// Only while this holds.
    pub only: Option<Node>,
    /// It hides others only while this holds.
    pub explains_while: Option<Node>,
    /// A test run of the device raises it.
    pub in_test: bool,
}

/// Why there is such a rule: for people who are woken by it and for those who review it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rationale {
    /// What is most likely the matter.
    pub cause: Names,
    /// What happens if nobody acts.
    pub consequence: Names,
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

impl Node {
    /// Calls with every input.
    pub fn inputs(&self, each: &mut impl FnMut(&Input)) {
        match self {
            Node::Level { inputs, .. } | Node::Is { inputs, .. } | Node::Offline { inputs, .. } => {
                inputs.iter().for_each(each);
            }
            Node::Rate { input, .. }
            | Node::Change { input, .. }
            | Node::Frozen { input, .. }
            | Node::Bad { input, .. }
            | Node::Idle { input, .. }
            | Node::Reaches { input, .. }
            | Node::Days(Days { input, .. }) => each(input),
            Node::Deviation { a, b, .. } => [a, b].into_iter().for_each(each),
            Node::NoEffect { running, input, .. } => [running, input].into_iter().for_each(each),
            Node::Count { when, .. } | Node::Lasting { when, .. } | Node::Not(when) => when.inputs(each),
            Node::All(of) | Node::Any(of) => of.iter().for_each(|n| n.inputs(each)),
            Node::Hours { .. } => {}
        }
    }

    /// Whether a sample like the one before says nothing new to it.
    pub fn skips_the_same(&self) -> bool {
        match self {
            Node::Level { .. }
            | Node::Is { .. }
            | Node::Deviation { .. }
            | Node::Frozen { .. }
            | Node::Bad { .. }
            | Node::Offline { .. }
            | Node::Hours { .. } => true,
            Node::Count { when, .. } | Node::Lasting { when, .. } | Node::Not(when) => when.skips_the_same(),
            Node::All(of) | Node::Any(of) => of.iter().all(Node::skips_the_same),
            // Their windows take every sample in.
            Node::Rate { .. }
            | Node::Change { .. }
            | Node::NoEffect { .. }
            | Node::Idle { .. }
            | Node::Reaches { .. }
            | Node::Days(_) => false,
        }
    }

    /// The longest time that it looks back, milliseconds: how much earlier a trial on the past has to begin.
    pub fn looks_back_ms(&self) -> u64 {
        match self {
            Node::Rate { within_ms, .. } | Node::Change { within_ms, .. } | Node::NoEffect { within_ms, .. } => {
                *within_ms
            }
            Node::Reaches { over_ms, .. } => *over_ms,
            Node::Frozen { lasts_ms, .. } | Node::Idle { lasts_ms, .. } => *lasts_ms,
            Node::Days(d) => (u64::from(d.days) + u64::from(d.in_a_row) + 1) * 86_400_000,
            Node::Count { when, within_ms, .. } => within_ms + when.looks_back_ms(),
            Node::Lasting { when, lasts_ms } => lasts_ms + when.looks_back_ms(),
            Node::Not(when) => when.looks_back_ms(),
            Node::All(of) | Node::Any(of) => of.iter().map(Node::looks_back_ms).max().unwrap_or(0),
            _ => 0,
        }
    }
}
