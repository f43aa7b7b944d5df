//! Metering points, meters and areas as the configuration writes them: `[[meter]]`, `[[area]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A meter at a metering point: `[[meter]]`, or a row of `meters.csv`. A metering point outlives its meters: the entries of one point are the
/// meters that it has had, or one meter with other transformers; each after the first says `from` when. What an entry does not say is that of
/// the one before.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterSettings {
    /// The metering point: lower-case letters, digits, `-` and `_`.
    pub point: String,
    /// Name of the metering point in Chinese. Default: that of the device which has the register.
    pub zh: Option<String>,
    /// Name of the metering point in English. Default: that of the device which has the register.
    pub en: Option<String>,
    /// Its cumulative register, `device.point`. Without it and without `sum`, people read the meter (`plantroom energy reading`).
    pub register: Option<String>,
    /// Unit of a meter that people read: kWh, m³, …
    pub unit: Option<String>,
    /// Since when, in the site's time zone: `2026-03-01`, `2026-03-01T10:15`. Default for the first meter of a point: ever since.
    pub from: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Accuracy class: `0.5S`, `1`, `2`, `B`.
    pub class: Option<String>,
    /// Current transformers: `400/5`.
    pub ct: Option<String>,
    /// Voltage transformers: `10000/100`.
    pub pt: Option<String>,
    /// Whether the register counts what flows in the primary circuit, or in that of the meter behind its transformers; then its readings
    /// are multiplied by `ct` and `pt`.
    pub readings: Option<CircuitSide>,
    /// When the next calibration is due: `2029-06-30`.
    pub calibration_due: Option<String>,
    /// The metering point upstream, which counts what this one counts too: the incomer of a sub-meter.
    pub parent: Option<String>,
    /// What it is used for. Default: as the parent.
    pub end_use: Option<EndUse>,
    /// Where it is used: an id of `[[area]]`. Default: as the parent.
    pub area: Option<String>,
    /// No meter, but the sum of other metering points.
    #[serde(default)]
    pub sum: Vec<String>,
    /// Metering points that are subtracted from the sum.
    #[serde(default)]
    pub minus: Vec<String>,
    /// The part of sum and difference that counts: `0.35`. Default 1.
    pub share: Option<f64>,
}

/// A circuit of an instrument transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitSide {
    /// That of the plant.
    Primary,
    /// That of the meter.
    Secondary,
}

/// What is consumed for what. The first four groups are those of the national guideline for public buildings (lighting and sockets, air
/// conditioning, power, special).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndUse {
    /// Lighting and sockets.
    Lighting,
    /// Heating, ventilation and air conditioning.
    Hvac,
    /// Lifts and escalators.
    Lifts,
    /// Pumps: supply, drainage, fire water.
    Pumps,
    /// Fans that do not belong to air conditioning.
    Fans,
    /// Hot water.
    HotWater,
    /// Kitchens.
    Kitchen,
    /// Server rooms and telephone exchanges.
    ServerRoom,
    /// Charging of vehicles.
    Charging,
    /// What tenants and owners pay themselves.
    Tenants,
    /// What all owners share.
    PublicShare,
    /// Anything else that is named.
    Special,
}

impl EndUse {
    /// Its word in files, tables and tags.
    pub const fn word(self) -> &'static str {
        match self {
            EndUse::Lighting => "lighting",
            EndUse::Hvac => "hvac",
            EndUse::Lifts => "lifts",
            EndUse::Pumps => "pumps",
            EndUse::Fans => "fans",
            EndUse::HotWater => "hot_water",
            EndUse::Kitchen => "kitchen",
            EndUse::ServerRoom => "server_room",
            EndUse::Charging => "charging",
            EndUse::Tenants => "tenants",
            EndUse::PublicShare => "public_share",
            EndUse::Special => "special",
        }
    }

    /// Its name in Chinese.
    pub const fn zh(self) -> &'static str {
        match self {
            EndUse::Lighting => "照明插座",
            EndUse::Hvac => "空调",
            EndUse::Lifts => "电梯",
            EndUse::Pumps => "水泵",
            EndUse::Fans => "通风机",
            EndUse::HotWater => "热水",
            EndUse::Kitchen => "厨房",
            EndUse::ServerRoom => "机房",
            EndUse::Charging => "充电",
            EndUse::Tenants => "租户",
            EndUse::PublicShare => "公摊",
            EndUse::Special => "特殊",
        }
    }
}

/// An area whose consumption is compared: `[[area]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AreaSettings {
    /// Lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Its name in Chinese.
    #[serde(default)]
    pub zh: String,
    /// Its name in English.
    #[serde(default)]
    pub en: String,
    /// Floor area in square metres, for consumption per square metre.
    pub floor_area_m2: Option<f64>,
}
