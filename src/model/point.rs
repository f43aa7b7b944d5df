//! Points: texts in two languages, what kind of quantity a point is, which history class keeps it, how its values come.

use std::sync::Arc;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text in both languages. In a file one of them is enough: the other falls back on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, try_from = "LocalizedTextSettings")]
pub struct LocalizedText {
    /// The text in Chinese, for people who read that.
    pub zh: String,
    /// The text in English, which logs and commands show too.
    pub en: String,
}

/// A text as a file has it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LocalizedText")]
struct LocalizedTextSettings {
    /// The text in Chinese, for people who read that.
    zh: Option<String>,
    /// The text in English, which logs and commands show too.
    en: Option<String>,
}

impl TryFrom<LocalizedTextSettings> for LocalizedText {
    type Error = &'static str;

    fn try_from(given: LocalizedTextSettings) -> Result<Self, Self::Error> {
        match (given.zh, given.en) {
            (Some(zh), Some(en)) => Ok(Self { zh, en }),
            (Some(zh), None) => Ok(Self { en: zh.clone(), zh }),
            (None, Some(en)) => Ok(Self { zh: en.clone(), en }),
            (None, None) => Err("a text in `zh` or in `en` belongs here"),
        }
    }
}

impl LocalizedText {
    /// A text in Chinese and English.
    pub fn both(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// Puts the text of the one language where that of the other is empty; false: both are.
    pub fn fall_back(zh: &mut String, en: &mut String) -> bool {
        match (zh.is_empty(), en.is_empty()) {
            (true, _) => zh.clone_from(en),
            (_, true) => en.clone_from(zh),
            _ => {}
        }
        !zh.is_empty()
    }

    /// The Chinese text, or the English one.
    pub fn in_language(&self, is_chinese: bool) -> &str {
        if is_chinese { &self.zh } else { &self.en }
    }
}

/// A text that exists in English only.
impl From<String> for LocalizedText {
    fn from(en: String) -> Self {
        Self { zh: en.clone(), en }
    }
}

impl From<LocalizedText> for String {
    fn from(names: LocalizedText) -> Self {
        names.en
    }
}

/// English, as logs and commands show it.
impl std::fmt::Display for LocalizedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.en)
    }
}

/// The language of what a person reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Chinese: what is written under `zh`.
    #[default]
    Zh,
    /// English: what is written under `en`.
    En,
}

/// What kind of quantity a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// A measured quantity, such as a pressure or a current.
    Number,
    /// A cumulative register: energy, run hours, starts.
    Counter,
    /// A state that is true or false, such as a pump that runs.
    Bool,
    /// An integer with a text for each value.
    Code,
    /// An identification as text, such as a serial number.
    Text,
}

impl PointKind {
    /// The word that files use.
    pub const fn word(self) -> &'static str {
        match self {
            PointKind::Number => "number",
            PointKind::Counter => "counter",
            PointKind::Bool => "bool",
            PointKind::Code => "code",
            PointKind::Text => "text",
        }
    }
}

/// Which history class keeps a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// Measured quantities: thinned first, dropped first.
    Telemetry,
    /// States and codes: dropped after telemetry.
    State,
    /// Register readings: never thinned, dropped last.
    #[serde(rename = "register")]
    Cumulative,
}

impl Retention {
    /// All classes, in the order in which retention deletes them.
    pub const ALL: [Retention; 3] = [Retention::Telemetry, Retention::State, Retention::Cumulative];

    /// The word used in file names.
    pub const fn word(self) -> &'static str {
        match self {
            Retention::Telemetry => "telemetry",
            Retention::State => "state",
            Retention::Cumulative => "register",
        }
    }
}

/// How a point's values usually come, so that they can be stored without a tag each. A value of another form is stored too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Values come as `Value::Bool`.
    Bool,
    /// Values come as `Value::Exact` with this many decimals.
    Exact(u8),
    /// Values come as `Value::F32`.
    F32,
    /// Values come as `Value::F64`.
    F64,
    /// Values come as `Value::Code`.
    Code,
    /// Values come as `Value::Text`.
    Text,
}

impl Encoding {
    /// One digit of the last decimal of an exact encoding; `None` for the others.
    pub fn last_digit(self) -> Option<Decimal> {
        match self {
            Encoding::Exact(decimals) => Some(Decimal::new(1, u32::from(decimals))),
            _ => None,
        }
    }

    /// The encoding of decided values of a kind: counts and numbers are exact integers.
    pub const fn of_kind(kind: PointKind) -> Self {
        match kind {
            PointKind::Bool => Encoding::Bool,
            PointKind::Code => Encoding::Code,
            PointKind::Text => Encoding::Text,
            PointKind::Number | PointKind::Counter => Encoding::Exact(0),
        }
    }
}

/// The gateway's metrics on itself, in the order of their stream: points of class `gateway`.
pub const GATEWAY_POINTS: &[&str] = &[
    "version",
    "uptime_s",
    "config_last_good",
    "cpu_pct",
    "memory_mb",
    "disk_written_bytes",
    "readings_per_s",
    "samples_per_s",
    "journal_bytes",
    "journal_used_pct",
    "journal_write_failed",
    "write_errors",
    "damaged_segments",
    "lost_readings",
    "rules_off",
    "readings_replaced",
    "task_restarts",
    "clock_synchronised",
    "clock_trusted",
    "disk_free_pct",
    "disk_free_mb",
    "links",
    "links_up",
    "units",
    "units_ok",
    "requests",
    "timeouts",
    "exceptions",
    "frames_discarded",
    "reconnects",
    "poll_skipped",
    "sinks",
    "sinks_up",
    "sinks_paused",
    "backlog_readings",
    "sink_lag_s",
    "sink_set_aside",
    "sink_dropped",
    "sink_refused",
    "sinks_clashing",
    "store_write_failed",
    "alarms_active",
    "alarms_unacknowledged",
    "alarms_shelved",
    "channels",
    "channels_ok",
    "pages_waiting",
    "pages_sent",
    "pages_failed",
    "pages_unreached",
    "rota_unreachable",
    "rota_gap_d",
    "backup_age_d",
    "reply_ways",
    "reply_ways_failed",
    "ledger_write_failed",
    "registers_in_doubt",
];

/// One point of a stream: everything that its values need to be read without the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointMeta {
    /// The vocabulary's name, unique within the device.
    pub name: Arc<str>,
    /// What kind of quantity.
    pub kind: PointKind,
    /// Which history class keeps it.
    pub retention: Retention,
    /// The data type: how its values usually come.
    #[serde(rename = "form")]
    pub encoding: Encoding,
    /// The unit as the vocabulary writes it, such as `kWh`; none: it has no unit, or the vocabulary lacks the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<str>>,
    /// The smallest step of an exact value, in its unit; none: floats, states, texts, or a factor read from the device.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_decimal_text")]
    pub resolution: Option<Decimal>,
    /// The value at which a cumulative register continues at 0, in its unit; none: unknown, or no register.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_decimal_text")]
    pub modulus: Option<Decimal>,
}

impl PointMeta {
    /// A point without unit, resolution and modulus.
    pub fn new(name: impl Into<Arc<str>>, kind: PointKind, retention: Retention, encoding: Encoding) -> Self {
        Self { name: name.into(), kind, retention, encoding, unit: None, resolution: None, modulus: None }
    }

    /// A decided point: kept as a state, with the data type of its kind.
    pub fn state(name: impl Into<Arc<str>>, kind: PointKind) -> Self {
        Self::new(name, kind, Retention::State, Encoding::of_kind(kind))
    }
}

/// An optional decimal as a text, with all its digits.
mod optional_decimal_text {
    use rust_decimal::Decimal;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(decimal: &Option<Decimal>, to: S) -> Result<S::Ok, S::Error> {
        match decimal {
            Some(decimal) => to.serialize_some(&decimal.to_string()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Decimal>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.and_then(|text| text.parse().ok()))
    }
}
