//! The on-call tables of the configuration: `[[person]]`, `[[rota]]`, `[[chain]]`, `[oncall]`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::point::Language;
use crate::model::priority::Priority;
use crate::model::time::HumanDuration;

/// Somebody who is told: `[[person]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonSettings {
    /// Unique: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Name of the person in Chinese, for people. One of the two names is enough.
    #[serde(default)]
    pub zh: String,
    /// Name of the person in English, for people.
    #[serde(default)]
    pub en: String,
    /// Language of the messages and pages that they get: `zh` or `en`.
    #[serde(default)]
    pub language: Language,
    /// What they are: `role:manager` in a chain means everybody who is.
    #[serde(default)]
    pub roles: Vec<String>,
    /// How they are reached, the best way first.
    pub contacts: Vec<Contact>,
}

/// A way to somebody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Id of the channel that is used, as in `[[channel.sms]]`.
    pub channel: String,
    /// Where: a phone number, a topic, an address; for a robot the mobile number or user id that it mentions.
    #[serde(default)]
    pub to: String,
}

/// Who is on call when: `[[rota]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotaSettings {
    /// Unique: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Shifts; at each moment the first that covers it counts.
    pub shift: Vec<ShiftSettings>,
}

/// A shift of a rota: who is on call, on which days, from when to when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShiftSettings {
    /// Ids of the persons who take turns, in this order; with one person there are no turns.
    pub people: Vec<String>,
    /// How often they do.
    #[serde(default)]
    pub turn: Turn,
    /// The day on which the first of them begins, `2026-11-02`; needed where they take turns.
    pub since: Option<String>,
    /// When it begins, `08:00`: the handover time.
    #[serde(default = "eight")]
    pub from: String,
    /// When it ends; the same as it begins: a whole day.
    #[serde(default = "eight")]
    pub to: String,
    /// The days on which it begins.
    #[serde(default)]
    pub days: Days,
}

fn eight() -> String {
    "08:00".to_string()
}

/// How often people take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Every day that the shift has.
    Daily,
    /// Every seven days, from `since` on.
    #[default]
    Weekly,
}

/// Days on which a shift begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Days {
    /// Every day, holidays and weekends too.
    #[default]
    All,
    /// Working days: Monday to Friday without holidays, and the days that make up for them.
    Working,
    /// Days that are not working days: weekends and holidays, without the days that make up for them.
    Free,
}

/// A recipient of a step: `duty` (a rota), `next:duty`, `role:manager`, `person:wang`, `channel:siren`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum StepTarget {
    /// The person on call.
    Rota(String),
    /// The next person on call who is not the present one.
    Next(String),
    /// Everybody with a role.
    Role(String),
    /// One person, by their id in the configuration.
    Person(String),
    /// A channel itself: a siren, a robot without mention, a webhook.
    Channel(String),
}

impl fmt::Display for StepTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepTarget::Rota(id) => f.write_str(id),
            StepTarget::Next(id) => write!(f, "next:{id}"),
            StepTarget::Role(id) => write!(f, "role:{id}"),
            StepTarget::Person(id) => write!(f, "person:{id}"),
            StepTarget::Channel(id) => write!(f, "channel:{id}"),
        }
    }
}

impl<'de> Deserialize<'de> for StepTarget {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let id = |id: &str| id.to_string();
        match text.split_once(':') {
            None => Ok(StepTarget::Rota(text)),
            Some(("rota", r)) => Ok(StepTarget::Rota(id(r))),
            Some(("next", r)) => Ok(StepTarget::Next(id(r))),
            Some(("role", r)) => Ok(StepTarget::Role(id(r))),
            Some(("person", p)) => Ok(StepTarget::Person(id(p))),
            Some(("channel", c)) => Ok(StepTarget::Channel(id(c))),
            Some((other, _)) => Err(serde::de::Error::custom(format!(
                "`{other}:` is nobody: a rota's id, next:ROTA, role:ROLE, person:ID or channel:ID"
            ))),
        }
    }
}

impl JsonSchema for StepTarget {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "description": "Whom a step tells: a rota's id, next:ROTA, role:ROLE, person:ID or channel:ID."
        })
    }
}

/// Who is told, one step after the other, until somebody has taken it: `[[chain]]`. The first that is meant for an alarm counts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Unique: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Priorities that it is for; empty: all.
    #[serde(default)]
    pub priorities: Vec<Priority>,
    /// Classes that it is for; empty: all.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Areas that it is for; empty: all.
    #[serde(default)]
    pub areas: Vec<String>,
    /// Steps, one to five.
    pub step: Vec<StepSettings>,
    /// How often it is gone through, until somebody has taken it; 0: without end.
    #[serde(default)]
    pub rounds: u32,
}

/// A step of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSettings {
    /// Whom it tells, one or more: a rota's id, `next:ROTA`, `role:ROLE`, `person:ID` or `channel:ID`.
    pub tell: Vec<StepTarget>,
    /// Channels that are tried, in this order; empty: each person's own ways.
    #[serde(default)]
    pub by: Vec<String>,
    /// How long it waits for somebody before the next step, or the first one again.
    #[serde(default = "five_minutes")]
    pub wait: HumanDuration,
}

fn five_minutes() -> HumanDuration {
    HumanDuration(300_000)
}

/// What holds for all: `[oncall]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OncallSettings {
    /// Hours in which only P1 and P2 are told, `21:00-08:00`.
    pub quiet: Vec<String>,
    /// When what could wait is told: P4 every day, and what the quiet hours held back and did not end by then.
    pub digest: String,
    /// How long P3 waits before it is told: what is gone by then is not, and several go into one message.
    pub gather: HumanDuration,
    /// A P1 or P2 that nobody has taken and that comes back within this time goes on with the escalation that it had.
    pub returns_within: HumanDuration,
    /// How long somebody may stand in for another at a time.
    pub override_max: HumanDuration,
    /// Holidays and the days that make up for them: `cn`; empty: Saturday and Sunday are free.
    pub calendar: String,
    /// A page each week that has to be acknowledged: `mon 10:00`; empty for none.
    pub test: String,
    /// How long whoever is on call has for that.
    pub test_within: HumanDuration,
    /// Where an alarm's page is found, for links in messages: `https://box.example:8443`; empty: no links.
    pub url: String,
    /// Where it is written what is to be done, for alarms' pages: an address with `{rule}`, `{device}` and `{class}`; empty: no link.
    pub procedure: String,
    /// Telephone numbers that alarms' pages show.
    pub phone: Vec<Phone>,
}

/// A telephone number that alarms' pages show: `[[oncall.phone]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phone {
    /// Whose it is, in Chinese. One of the two is enough.
    #[serde(default)]
    pub zh: String,
    /// Whose it is, in English.
    #[serde(default)]
    pub en: String,
    /// The number, as it is dialled.
    pub number: String,
    /// Classes of devices that it is for; empty: all.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Areas that it is for; empty: all.
    #[serde(default)]
    pub areas: Vec<String>,
}

impl Default for OncallSettings {
    fn default() -> Self {
        Self {
            quiet: Vec::new(),
            digest: "08:30".to_string(),
            gather: HumanDuration(30_000),
            returns_within: HumanDuration(600_000),
            override_max: HumanDuration(14 * 86_400_000),
            calendar: String::new(),
            test: String::new(),
            test_within: HumanDuration(900_000),
            url: String::new(),
            procedure: String::new(),
            phone: Vec::new(),
        }
    }
}
