//! The site's settings for alarms: `[alarms]` and `[[alarm]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::priority::Priority;
use crate::model::time::HumanDuration;

/// What a site says of alarms: `[alarms]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmSettings {
    /// More different alarms raised than this within [`AlarmSettings::flood_within`] are an alarm flood: what is not P1 is told
    /// in one message a minute.
    pub flood_more_than: u32,
    /// Over how long an alarm flood is reckoned.
    pub flood_within: HumanDuration,
    /// An alarm that is raised so often within [`AlarmSettings::chatter_within`] chatters: it is held in alarm, and clears when its
    /// condition has stayed away for that long. 0: none is held.
    pub chatter_times: u32,
    /// Over how long chattering is reckoned, and how long a condition stays away before it counts as gone.
    pub chatter_within: HumanDuration,
    /// Days for which transitions are kept.
    pub keep_days: u32,
    /// By when somebody must have done what, by priority. The sources contradict each other: it is the site's to say.
    pub deadlines: Deadlines,
}

impl Default for AlarmSettings {
    fn default() -> Self {
        Self {
            flood_more_than: 10,
            flood_within: HumanDuration(600_000),
            chatter_times: 5,
            chatter_within: HumanDuration(600_000),
            keep_days: 1_830,
            deadlines: Deadlines::default(),
        }
    }
}

/// Deadlines for each priority, P1 to P4.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "priorities")]
pub struct Deadlines {
    pub p1: Deadline,
    pub p2: Deadline,
    pub p3: Deadline,
    pub p4: Deadline,
}

/// By when, from when the alarm was raised; none: no such deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deadline {
    /// Somebody has taken it.
    pub acknowledge: Option<HumanDuration>,
    /// Time until somebody has to be on site (`alarm arrived`), such as `15m`.
    pub arrive: Option<HumanDuration>,
    /// Time until the alarm has to have cleared, such as `24h`.
    pub resolve: Option<HumanDuration>,
}

impl Default for Deadlines {
    /// DOMAIN: P1 acknowledged in 5 min, on site in 15 min; P2 acknowledged in 15 min, resolved in 24 h; P3 in a day and three.
    fn default() -> Self {
        const MIN: u64 = 60_000;
        const DAY: u64 = 86_400_000;
        let of = |acknowledge: u64, arrive: u64, resolve: u64| {
            let some = |ms: u64| (ms > 0).then_some(HumanDuration(ms));
            Deadline { acknowledge: some(acknowledge), arrive: some(arrive), resolve: some(resolve) }
        };
        Self { p1: of(5 * MIN, 15 * MIN, 0), p2: of(15 * MIN, 0, DAY), p3: of(DAY, 0, 3 * DAY), p4: of(0, 0, 0) }
    }
}

impl Deadlines {
    /// The deadlines of alarms of this priority.
    pub fn for_priority(&self, priority: Priority) -> Deadline {
        match priority {
            Priority::P1 => self.p1,
            Priority::P2 => self.p2,
            Priority::P3 => self.p3,
            Priority::P4 => self.p4,
        }
    }
}

/// What a site changes of a rule: `[[alarm]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleOverride {
    /// `class.rule`, as `check --alarms` prints it.
    pub rule: String,
    /// Devices that it is for; without them: all of the class.
    #[serde(default)]
    pub devices: Vec<String>,
    /// There is no such alarm.
    #[serde(default)]
    pub off: bool,
    /// Why a rule that guards lives is switched off, or may be hidden: whose decision, and what guards them instead.
    #[serde(default)]
    pub accept_risk: String,
    /// Keys of the rule with other values: `set = { on_delay = "60s", when.high.deadband = 0.2 }`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub set: toml::Table,
}
