//! Limits of conditions and their parsing: `1.6`, `"high_m"`, `{ number = "rated_a", times = 0.9, plus = 0.1, or = 5.0 }`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::model::priority::Priority;
use crate::model::time::HumanDuration;

/// A limit: a number; the name of a number of the device (`high_m`); or a number with a factor and an addend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limit {
    /// The device's number, if it is one.
    pub number: Option<String>,
    /// Factor by which the device's number is multiplied.
    pub times: f64,
    /// Added after `times` is applied, in the unit of the point.
    pub plus: f64,
    /// Where the device does not have the number; or the limit itself.
    pub or: Option<f64>,
}

/// A limit that has a priority of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionStep {
    /// Limit at which this step begins: a number, or the name of a number of the device, `high_m`.
    pub limit: Limit,
    /// How much it matters beyond this limit.
    pub priority: Priority,
    /// Delay before an alarm is raised at this step. Default: `on_delay` of the rule.
    pub on_delay: Option<HumanDuration>,
}

/// The device lacks a number that a limit names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("number {0}")]
pub struct MissingParameter(pub String);

impl Limit {
    /// The limit for a device with these parameters.
    ///
    /// # Errors
    /// The name of the parameter that the device lacks.
    pub fn resolve(&self, parameters: &BTreeMap<String, f64>, index: Option<u32>) -> Result<f64, MissingParameter> {
        let Some(name) = &self.number else { return Ok(self.or.unwrap_or(0.0)) };
        let name = index.map_or_else(|| name.clone(), |n| name.replace("{n}", &n.to_string()));
        match (parameters.get(&name), self.or) {
            (Some(number), _) => Ok(number * self.times + self.plus),
            (None, Some(or)) => Ok(or),
            (None, None) => Err(MissingParameter(name)),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LimitVisitor)
    }
}

struct LimitVisitor;

impl<'de> Visitor<'de> for LimitVisitor {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, the name of a number of the device, or { number = \"…\", times = …, plus = …, or = … }")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Limit, E> {
        Ok(Limit { or: Some(number), times: 1.0, ..Limit::default() })
    }

    #[expect(clippy::cast_precision_loss, reason = "limits are small")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Limit, E> {
        self.visit_f64(number as f64)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Limit, E> {
        Ok(Limit { number: Some(name.to_string()), times: 1.0, ..Limit::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Limit, A::Error> {
        let mut limit = Limit { times: 1.0, ..Limit::default() };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "number" => limit.number = Some(map.next_value()?),
                "times" => limit.times = map.next_value()?,
                "plus" => limit.plus = map.next_value()?,
                "or" => limit.or = Some(map.next_value()?),
                other => return Err(A::Error::unknown_field(other, &["number", "times", "plus", "or"])),
            }
        }
        if limit.number.is_none() {
            return Err(A::Error::missing_field("number"));
        }
        Ok(limit)
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number; the name of a number of the device (`high_m`); or that with a factor, an addend, and what holds where the device lacks it.",
            "anyOf": [
                { "type": "number" },
                { "type": "string" },
                { "type": "object", "additionalProperties": false, "required": ["number"], "properties": {
                    "number": { "type": "string" }, "times": { "type": "number" }, "plus": { "type": "number" }, "or": { "type": "number" }
                } }
            ]
        })
    }
}
