//! The schema of the configuration files. Its doc comments are the users' reference; each room owns its own settings.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::link;
use crate::model::time::DurationText;

/// The site: its id, its names and its time zone.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// In every topic and tag: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Name of the site in Chinese, for people. One of the two names is enough.
    #[serde(default)]
    pub zh: String,
    /// Name of the site in English, for people.
    #[serde(default)]
    pub en: String,
    /// IANA name of its time zone.
    pub time_zone: String,
}

/// Serial lines and network connections through which units are read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Modbus TCP: one connection for each host and port.
    pub tcp: Vec<link::settings::TcpLink>,
    /// RTU on a serial line.
    pub serial: Vec<link::settings::SerialLink>,
    /// RTU frames over TCP (serial servers).
    pub rtu_over_tcp: Vec<link::settings::TcpLink>,
}

/// What answers on the wire: `[[unit]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitSettings {
    /// Its name, unique among units.
    pub id: String,
    /// The link that it is on.
    pub link: String,
    /// Unit id on the wire, 0 to 255 (1 to 247 on a serial line).
    #[serde(deserialize_with = "unit_id")]
    pub address: u8,
    /// What its registers mean.
    pub profile: String,
    /// Longest wait for an answer; overrides profile and link. Milliseconds.
    pub timeout_ms: Option<u64>,
    /// How often a spoilt or missing answer is asked for once more in the same cycle, if the bus has time for it: 0 to 5. Default 1.
    #[serde(default = "one_retry")]
    pub retries: u32,
    /// How often a poll group is read, where it differs from the profile: `fast = "5s"`.
    #[serde(default)]
    pub groups: BTreeMap<String, DurationText>,
}

fn one_retry() -> u32 {
    1
}

/// A unit id, with an error that says which there are.
fn unit_id<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    struct UnitId;
    impl serde::de::Visitor<'_> for UnitId {
        type Value = u8;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number from 1 to 247 (over TCP also 0 and 255)")
        }
        fn visit_i64<E: serde::de::Error>(self, id: i64) -> Result<u8, E> {
            u8::try_from(id).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(id), &self))
        }
        fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<u8, E> {
            u8::try_from(id).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(id), &self))
        }
    }
    from.deserialize_u64(UnitId)
}

/// A piece of equipment: `[[device]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// In every topic and tag: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Its class in the vocabulary.
    pub class: String,
    /// Where it is, for grouping: a building, a floor.
    #[serde(default)]
    pub area: String,
    /// Name of the device in Chinese, for people. One of the two names is enough.
    #[serde(default)]
    pub zh: String,
    /// Name of the device in English, for people.
    #[serde(default)]
    pub en: String,
    /// The transfer switch that feeds it, where that is not the one of its own area: its power failure explains this device's alarms.
    pub supply: Option<String>,
    /// A unit whose points are all this device's.
    pub unit: Option<String>,
    /// Points that are taken one by one: name of the device's point -> `unit.point`, the unit and the point of its profile.
    #[serde(default)]
    pub points: BTreeMap<String, String>,
    /// What is known of it: `floor_m = 2.4`. The names are the vocabulary's.
    #[serde(default)]
    pub numbers: BTreeMap<String, f64>,
}
