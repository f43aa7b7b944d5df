//! The file format of alarm rules: `alarms/*.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::time::HumanDuration;

/// A file of rules for a class of devices: `alarms/NAME.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesFile {
    /// Version of this format: 1.
    pub format: u32,
    /// The class of device that the rules are for.
    pub class: String,
    /// Name -> rule. `{n}` in a name makes one alarm of each index whose points the device has.
    pub rules: BTreeMap<String, RuleSettings>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Its number in the site's own list, for people.
    pub no: Option<String>,
    /// What is said, in Chinese: `{device}`, `{area}`, `{v}` (the value), `{limit}`, `{n}` are filled in.
    pub zh: String,
    /// What is said, in English.
    pub en: String,
    /// What is to be done.
    pub action: LocalizedText,
    /// How much it matters.
    pub priority: Priority,
    /// What is most likely the matter; every P1 and P2 that is built in says so.
    pub cause: Option<LocalizedText>,
    /// What happens if nobody acts.
    pub consequence: Option<LocalizedText>,
    /// How soon somebody has to act.
    pub respond: Option<HumanDuration>,
    /// Where limit and delays come from.
    pub basis: Option<String>,
    /// When it is in alarm.
    pub when: Condition,
    /// Only while this holds: else there is no alarm.
    pub only: Option<Condition>,
    /// Not while this holds; left out where the device lacks its points.
    pub unless: Option<Condition>,
    /// The condition has to last so long before the alarm is raised.
    #[serde(default)]
    pub on_delay: HumanDuration,
    /// The condition has to be gone so long before the alarm clears.
    #[serde(default)]
    pub off_delay: HumanDuration,
    /// Acknowledged and still there after so long: it wants to be acknowledged again.
    pub realarm: Option<HumanDuration>,
    /// Stays until somebody resets it, after an inspection, once its condition is gone.
    #[serde(default)]
    pub latch: bool,
    /// Rules of the same device, or `device.rule`, that hide this one while they are active: it is recorded, nobody is told.
    #[serde(default)]
    pub hidden_by: Vec<String>,
    /// It hides others only while this holds: a supply that has failed explains nothing where the second one feeds.
    pub explains_while: Option<Condition>,
    /// A test run of the device raises it: nobody is told while one is announced (`plantroom test`).
    #[serde(default)]
    pub in_test: bool,
    /// Alarms of one device that follow from each other: the first of them is marked.
    pub group: Option<String>,
    /// Cannot be shelved, taken out of service or hidden; a test that is announced keeps `in_test` ones quiet all the same.
    #[serde(default)]
    pub never_hidden: bool,
}

/// A limit: a number; the name of a number of the device (`high_m`); or a number with a factor and an addend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limit {
    /// The device's number, if it is one.
    pub number: Option<String>,
    /// Factor of it.
    pub times: f64,
    /// Added to it.
    pub plus: f64,
    /// Where the device does not have the number; or the limit itself.
    pub or: Option<f64>,
}

/// A limit that has a priority of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionStep {
    /// The limit.
    pub limit: Limit,
    /// How much it matters beyond this limit.
    pub priority: Priority,
    /// Its own delay.
    pub on_delay: Option<HumanDuration>,
}

/// When something is in alarm.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// At or above a limit.
    High(Level),
    /// At or below a limit.
    Low(Level),
    /// A state is true, or a code is one of these.
    Is(Is),
    /// Rises (or falls) faster than this.
    Rate(Rate),
    /// Rose or fell by so much within a time.
    Change(Change),
    /// Two points differ by so much.
    Deviation(Deviation),
    /// The value did not change for so long.
    Frozen(Frozen),
    /// Stale or bad.
    Bad(Bad),
    /// The device does not answer.
    Offline {},
    /// Most of several devices do not answer.
    ShareOffline(ShareOffline),
    /// Came to be so many times within a time.
    Count(Count),
    /// Something runs and has no effect.
    NoEffect(NoEffect),
    /// Was not true for so long.
    Idle(NotTrueFor),
    /// Will reach a limit within a time, if it goes on so.
    Reaches(TimeToLimit),
    /// A figure of the day against those of the days before.
    AgainstDays(Baseline),
    /// Holds for so long without a break.
    Lasting(Sustained),
    /// Within these hours of the site's day.
    Hours(Hours),
    /// All of them.
    All(Vec<Condition>),
    /// At least one of them. Those whose points the device lacks are left out.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
}

/// One limit, or up to four in order of urgency, the least urgent first.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// The point; `pump{*}_x` is whichever of them.
    pub point: String,
    /// The limit.
    pub limit: Option<Limit>,
    /// Several limits, each with its priority.
    #[serde(default)]
    pub steps: Vec<ConditionStep>,
    /// How far it must come back before the condition is gone.
    #[serde(default)]
    pub deadband: f64,
}

/// A state or a code.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Is {
    /// The point; `pump{*}_running` is whichever of them.
    pub point: String,
    /// Codes that are meant; without them: true.
    #[serde(default)]
    pub values: Vec<i64>,
    /// Of several points: every one of them.
    #[serde(default)]
    pub every: bool,
}

/// A rate of change.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The point.
    pub point: String,
    /// Change a minute; negative: falling.
    pub per_min: f64,
    /// Over how long it is reckoned.
    pub within: HumanDuration,
}

/// A change within a time.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The point.
    pub point: String,
    /// By how much; negative: a fall.
    pub by: f64,
    /// Within how long.
    pub within: HumanDuration,
}

/// Two points that should agree.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// The point.
    pub point: String,
    /// The other.
    pub from: String,
    /// From what difference on, in either direction.
    pub limit: Limit,
    /// How much smaller it must be before the condition is gone.
    #[serde(default)]
    pub deadband: f64,
}

/// A value that stands still.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// The point.
    pub point: String,
    /// For how long.
    #[serde(rename = "for")]
    pub lasts: HumanDuration,
}

/// A point without a value.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bad {
    /// The point.
    pub point: String,
    /// Reasons that are meant; without them: any.
    #[serde(default)]
    pub causes: Vec<crate::model::quality::Cause>,
}

/// Most of several devices.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareOffline {
    /// The devices; none: those on the link.
    #[serde(default)]
    pub of: Vec<String>,
    /// From which share on, percent.
    pub pct: f64,
    /// How many devices there must be for it to mean anything.
    #[serde(default = "three")]
    pub at_least: usize,
}

/// Times that something came to be.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// What.
    pub when: Box<Condition>,
    /// How many times.
    pub at_least: u32,
    /// Within how long.
    pub within: HumanDuration,
}

/// Something that runs and does nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoEffect {
    /// What runs.
    pub running: String,
    /// What should change.
    pub point: String,
    /// By at least so much; negative: a fall.
    pub by: f64,
    /// Within so long.
    pub within: HumanDuration,
}

/// Something that should happen now and then.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotTrueFor {
    /// The point.
    pub point: String,
    /// For how long it was not true.
    #[serde(rename = "for")]
    pub lasts: HumanDuration,
}

/// A limit that comes nearer.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeToLimit {
    /// The point.
    pub point: String,
    /// The limit, from below.
    pub limit: Limit,
    /// Within so long.
    pub within: HumanDuration,
    /// Over how long the rate is reckoned.
    pub rate_over: HumanDuration,
}

/// A figure of each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaselineFigure {
    /// The lowest value.
    Min,
    /// The highest value.
    Max,
    /// The mean over time.
    Mean,
    /// How often it became true.
    Starts,
}

/// What the days before are reckoned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// The middle one.
    Median,
    /// The mean.
    Mean,
}

/// A day against the days before.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The point.
    pub point: String,
    /// What is taken of each day.
    pub figure: BaselineFigure,
    /// From this hour of the site's day; default: the whole day.
    #[serde(default = "midnight")]
    pub from: String,
    /// To this hour.
    #[serde(default = "end_of_day")]
    pub to: String,
    /// How many days before.
    pub days: u16,
    /// What they are reckoned to.
    pub of: Centre,
    /// From how many times that on.
    pub times: f64,
    /// How many days in a row.
    #[serde(default = "one")]
    pub in_a_row: u16,
}

/// Something that holds without a break.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sustained {
    /// For how long.
    #[serde(rename = "for")]
    pub lasts: HumanDuration,
    /// What.
    pub when: Box<Condition>,
}

/// Hours of the site's day; `from` after `to` runs over midnight.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// `02:00`.
    pub from: String,
    /// `04:00`, which is not within.
    pub to: String,
    /// Days of the week on which it begins, `mon` to `sun`; without them: every day.
    #[serde(default)]
    pub days: Vec<Weekday>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

fn midnight() -> String {
    "00:00".into()
}

fn end_of_day() -> String {
    "24:00".into()
}

fn three() -> usize {
    3
}

fn one() -> u16 {
    1
}
