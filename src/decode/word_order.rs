//! Floats whose words or bytes may stand in another order than the profile says.

use crate::decode::decode;
use crate::model::quality::Cause;
use crate::model::registers::RegisterBlock;
use crate::model::value::Value;
use crate::profile::{Order, PointDef, RegisterEncoding};

/// Orders that are tried. For 64 bits they mean the same: words swapped, bytes swapped, both.
const ORDERS: [Order; 4] = [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba];

/// Whether a float may be a quantity of a building: 0, or 0.000001 to 1,000,000,000 in magnitude. Words in a wrong order are rarely that.
pub fn is_plausible(float: f64) -> bool {
    float == 0.0 || (1e-6..1e9).contains(&float.abs())
}

/// Other orders in which the words of a float give a plausible quantity, with it; none if the order of the profile gives one, or says
/// that there is no value: a sentinel, or a NaN, which is one by custom.
pub fn better_orders(point: &PointDef, reads: &[RegisterBlock]) -> Vec<(Order, Value)> {
    let plausible = |order: Order| {
        let in_order = PointDef { order, ..point.clone() };
        decode(&in_order, reads)?.ok().filter(|value| value.as_f64().is_some_and(is_plausible))
    };
    let is_float = matches!(point.register_encoding, RegisterEncoding::Float { .. });
    let is_doubtful = match decode(point, reads) {
        Some(Ok(value)) => !value.as_f64().is_some_and(is_plausible),
        Some(Err(cause)) => cause == Cause::OutOfRange,
        None => false,
    };
    if !is_float || !is_doubtful {
        return Vec::new();
    }
    ORDERS.into_iter().filter_map(|order| Some((order, plausible(order)?))).collect()
}
