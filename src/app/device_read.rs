//! Reads a device's points on request: decoded values beside their raw words.

use std::collections::BTreeMap;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::app::error::AppError;
use crate::config::Configuration;
use crate::decode::word_order::{better_orders, is_plausible};
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange};
use crate::model::value::Value;
use crate::poll::UnitConfig;
use crate::profile::{Order, PointDef};
use crate::{decode, plan};

/// A point as `read` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadRow {
    /// The device's name of the point.
    pub point: String,
    /// The value as it is printed; empty if there is none.
    pub value: String,
    /// The value as people read it; empty: as it is printed.
    #[serde(default)]
    pub shown: String,
    /// Unit of the quantity.
    pub unit_of: String,
    /// `good`, or the reason why there is no value.
    pub quality: String,
    /// Text of a code, in English; of a float that cannot be right, what another order of its words would give.
    pub text: String,
    /// Where it came from: `unit 7 function 3 address 12+2`.
    pub from: String,
    /// The words, in hexadecimal.
    pub raw: String,
}

/// A float that is no quantity of a building with the seven digits of 32 bits, for people; empty for any other value.
fn shown(value: &Value) -> String {
    match value {
        Value::F32(float) if !is_plausible((*float).into()) => format!("{float:.6e}"),
        // A sum of 64 bits may be larger than a plausible 32-bit float, and every digit of it true.
        Value::F64(float) if !is_plausible(*float) && !(1e9..1e15).contains(&float.abs()) => format!("{float:.6e}"),
        _ => String::new(),
    }
}

/// What another order of words would give, where the profile's gives no quantity of a building.
fn order_hint(def: &PointDef, reads: &[RegisterBlock]) -> String {
    let all = better_orders(def, reads);
    let would = |(order, value): &(Order, Value)| format!("{} would give {value}", format!("{order:?}").to_uppercase());
    all.iter().map(would).collect::<Vec<_>>().join(", ")
}

/// A point to read: its name in the device and its definition in the profile.
struct RequestedPoint<'a> {
    name: &'a str,
    def: &'a PointDef,
}

/// Reads a device's points now; `ask` performs one request.
///
/// # Errors
/// Unknown device or point; names the nearest.
pub async fn read<F>(
    configuration: &Configuration,
    device: &str,
    point: Option<&str>,
    ask: impl Fn(String, UnitConfig, RegisterRange) -> F,
) -> Result<Vec<ReadRow>, AppError>
where
    F: Future<Output = Result<RegisterBlock, Cause>>,
{
    let devices = &configuration.devices;
    let Some(d) = devices.get(device) else {
        let hint = crate::model::problem::did_you_mean(device, devices.keys().map(String::as_str));
        return Err(AppError::BadRequest(format!("unknown device `{device}`; {hint}")));
    };
    if let Some(point) = point
        && !d.points.contains_key(point)
    {
        let hint = crate::model::problem::did_you_mean(point, d.points.keys().map(String::as_str));
        return Err(AppError::BadRequest(format!("device `{device}` has no point `{point}`; {hint}")));
    }
    let mut rows = Vec::new();
    let mut units: Vec<(&str, &UnitConfig)> = Vec::new();
    for bus in &configuration.buses {
        units.extend(bus.units.iter().map(|u| (bus.link.id.as_str(), u)));
    }
    for (link, unit) in units {
        let all = unit.profile.all_points();
        let mut wanted: Vec<RequestedPoint<'_>> = Vec::new();
        for (name, (from, source)) in &d.points {
            if let Some(def) =
                all.get(source.as_str()).filter(|_| **from == *unit.id && point.is_none_or(|p| p == name))
            {
                wanted.push(RequestedPoint { name, def });
            }
        }
        if wanted.is_empty() {
            continue;
        }
        rows.extend(read_unit(configuration, &d.class, link, unit, &wanted, &ask).await);
    }
    rows.sort_by(|a, b| a.point.cmp(&b.point));
    Ok(rows)
}

async fn read_unit<F>(
    configuration: &Configuration,
    class: &str,
    link: &str,
    unit: &UnitConfig,
    wanted: &[RequestedPoint<'_>],
    ask: &impl Fn(String, UnitConfig, RegisterRange) -> F,
) -> Vec<ReadRow>
where
    F: Future<Output = Result<RegisterBlock, Cause>>,
{
    let mut reads: Vec<RegisterBlock> = Vec::new();
    let mut failed: BTreeMap<RegisterRange, Cause> = BTreeMap::new();
    let rules = &unit.profile.variant(None).read_rules;
    let defs: Vec<PointDef> = wanted.iter().map(|w| w.def.clone()).collect();
    let mut plan = plan::plan(&defs, rules);
    let mut blocks: Vec<plan::ReadBlock> = plan.blocks.iter().rev().copied().collect();
    while let Some(block) = blocks.pop() {
        match ask(link.to_string(), unit.clone(), block.span).await {
            Ok(words) => reads.push(words),
            // A block that the unit refuses, or at which it closes the connection, is split, so that its readable points are shown.
            Err(cause) => match plan.split(&block, cause, 0).filter(|_| cause.is_of_block()) {
                Some((left, right)) => blocks.extend([right, left]),
                None => drop(failed.insert(block.span, cause)),
            },
        }
    }
    let row = |w: &RequestedPoint<'_>| {
        let def = w.def;
        let sample = decode::decode(def, &reads);
        let failure = || failed.iter().find(|(span, _)| span.overlaps(&def.span)).map(|(_, c)| *c);
        let sample = sample.unwrap_or_else(|| Err(failure().unwrap_or(Cause::NotAvailable)));
        let words = reads.iter().find_map(|r| r.slice(&def.span)).unwrap_or_default();
        let code = match &sample {
            Ok(crate::model::value::Value::Code(c)) => Some(*c),
            _ => None,
        };
        let meaning = configuration.catalogue.vocabulary.point(class, w.name);
        ReadRow {
            point: w.name.to_string(),
            value: sample.as_ref().map(ToString::to_string).unwrap_or_default(),
            shown: sample.as_ref().map(shown).unwrap_or_default(),
            unit_of: meaning.and_then(|m| m.unit.clone()).unwrap_or_default(),
            quality: sample.as_ref().err().map_or("good", |c| c.word()).to_string(),
            text: code.and_then(|c| def.texts.get(&c)).map_or_else(|| order_hint(def, &reads), |t| t.en.clone()),
            from: format!(
                "{} unit {} function {} address {}+{}",
                unit.id,
                unit.address,
                def.span.register_type.function(),
                def.span.address,
                def.span.count
            ),
            raw: words.iter().map(|w| format!("{w:04X}")).collect::<Vec<_>>().join(" "),
        }
    };
    wanted.iter().map(row).collect()
}
