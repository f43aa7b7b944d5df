//! Limits of a cumulative register, known before it is read: where it rolls over, and the most that it can count in an hour.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::config::ConfiguredDevice;
use crate::model::counter::RegisterLimits;
use crate::model::point::Encoding;
use crate::profile::PointDef;

/// Bound against garbage where the site gives no rating, in kWh (kvarh, kVAh) or m³ per hour: more than any feeder or pipe of a
/// building carries.
const MOST_PER_H: i64 = 1_000_000;
/// More starts per hour than any machine survives.
const MOST_STARTS_PER_H: i64 = 3_600;

/// Limits of the registers that are read, by device and point.
pub type RegisterLimitsByPoint = BTreeMap<String, BTreeMap<String, RegisterLimits>>;

/// Bound of a register against garbage, in its unit per hour, by its name; `None`: no bound is known.
pub fn bound(point: &str) -> Option<Decimal> {
    let is_quantity = is_energy(point) || point.ends_with("_m3");
    match point {
        _ if point.ends_with("_h") => Some(Decimal::ONE),
        _ if point.ends_with("starts") => Some(Decimal::from(MOST_STARTS_PER_H)),
        _ => is_quantity.then_some(Decimal::from(MOST_PER_H)),
    }
}

fn is_energy(point: &str) -> bool {
    ["_kwh", "_kvarh", "_kvah"].iter().any(|suffix| point.ends_with(suffix))
}

/// The limits of a register, from the device's numbers and the profile.
pub fn limits(device: &ConfiguredDevice, point: &str, def: &PointDef) -> RegisterLimits {
    let parameter = |name: &str| {
        device.parameters.get(name).and_then(|n| Decimal::try_from(*n).ok()).filter(|n| *n > Decimal::ZERO)
    };
    let is_energy = is_energy(point);
    // Run time cannot advance faster than time itself, and starts have their own rate.
    let is_rate_known = point.ends_with("_h") || point.ends_with("starts");
    let rating = if is_energy { rating_kw(&parameter) } else { bound(point).filter(|_| is_rate_known) };
    let (max_per_h, is_rated) = (rating.or(bound(point)), rating.is_some());
    let modulus = parameter("energy_modulus_kwh").filter(|_| is_energy).or(def.modulus);
    RegisterLimits { modulus, max_per_h, is_rated, resolution: resolution(def).unwrap_or(Decimal::new(1, 3)) }
}

/// The smallest step of a point's exact value: its scale, or one digit of its last decimal where the device determines the scale;
/// `None`: a float, a state or a text.
pub fn resolution(def: &PointDef) -> Option<Decimal> {
    match def.encoding {
        Encoding::Exact(_) if def.scale_registers.is_empty() && !def.scale.is_zero() => Some(def.scale.abs()),
        other => other.last_digit(),
    }
}

/// The greatest power of a device: as given, or from current and voltage of three phases.
fn rating_kw(parameter: &impl Fn(&str) -> Option<Decimal>) -> Option<Decimal> {
    let by_current = || {
        let (amps, volts) = (parameter("rated_a")?, parameter("nominal_v").unwrap_or(Decimal::from(230)));
        // A feeder can carry twice its rated current for minutes.
        amps.checked_mul(volts)?.checked_mul(Decimal::new(6, 3))
    };
    parameter("max_power_kw").or_else(|| parameter("transformer_kva")).or_else(by_current)
}
