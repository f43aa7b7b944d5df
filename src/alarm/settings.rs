//! The file format of alarm rules: `alarms/*.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::alarm::condition::Condition;
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

/// An alarm rule: when a device of the class is in alarm, how much that matters, and what is said of it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Its number in the site's own list, for people.
    pub no: Option<String>,
    /// What is said, in Chinese: `{device}`, `{area}`, `{v}` (the value), `{limit}`, `{n}` are filled in. One
    /// of the two texts is enough.
    #[serde(default)]
    pub zh: String,
    /// What is said, in English.
    #[serde(default)]
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
    /// One priority more urgent while the flood level is high: from the level on that the scheme names in `raise_from`.
    #[serde(default)]
    pub raised_in_flood: bool,
    /// While it is active, or not known, the site is not ready for a flood (`plantroom flood readiness`).
    #[serde(default)]
    pub readiness: bool,
    /// Alarms of one device that follow from each other: the first of them is marked.
    pub group: Option<String>,
    /// Cannot be shelved, taken out of service or hidden; a test that is announced keeps `in_test` ones quiet all the same.
    #[serde(default)]
    pub never_hidden: bool,
}
