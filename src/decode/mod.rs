//! Turns register words into samples with quality.
//!
//! Pure and total: every input gives a sample, good or bad with its cause. A sentinel, a value outside its range or a float
//! that is not a number is bad; it never becomes 0 and is never clamped.

mod date;
mod text;
pub mod word_order;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::model::point::PointKind;
use crate::model::quality::Cause;
use crate::model::reading::Sample;
use crate::model::registers::RegisterBlock;
use crate::model::value::Value;
use crate::profile::{Order, PointDef, RegisterEncoding, ScaleFactor, ScaleRegister};

/// Decodes a point from the reads of a cycle; `None` if none of them holds it.
pub fn decode(point: &PointDef, reads: &[RegisterBlock]) -> Option<Sample> {
    let words = reads.iter().find_map(|r| r.slice(&point.span))?;
    Some(decode_words(point, words, reads))
}

/// Decodes a point from its own words; `reads` supply the registers that hold a scale.
pub fn decode_words(point: &PointDef, words: &[u16], reads: &[RegisterBlock]) -> Sample {
    let ordered_words: Vec<u16>;
    let words = if point.word_offsets.is_empty() {
        words
    } else {
        ordered_words = point.word_offsets.iter().filter_map(|at| words.get(usize::from(*at)).copied()).collect();
        &ordered_words
    };
    match point.register_encoding {
        RegisterEncoding::Coil => Ok(Value::Bool((first(words) != 0) != point.invert)),
        RegisterEncoding::Bit(bit) => {
            let raw = combine_words(words, point.order);
            sentinel(point, raw).map_or(Ok(Value::Bool((raw >> bit & 1 == 1) != point.invert)), Err)
        }
        RegisterEncoding::Text { chars, charset, is_number, .. } => {
            text::text(point, words, chars, charset, is_number, reads)
        }
        RegisterEncoding::Date(layout) => date::date(words, layout, point.order),
        RegisterEncoding::Float { registers } => {
            decode_float(point, combine_words(words, point.order), registers, reads)
        }
        _ => {
            let raw = raw_bits(point.register_encoding, combine_words(words, point.order));
            if let Some(cause) = sentinel(point, raw) {
                return Err(cause);
            }
            let value = integer(point.register_encoding, raw)?;
            if !point.true_when.is_empty() {
                let is_true = point.true_when.iter().any(|code| i128::from(*code) == value);
                return Ok(Value::Bool(is_true != point.invert));
            }
            decode_exact(point, value, reads)
        }
    }
}

fn first(words: &[u16]) -> u16 {
    words.first().copied().unwrap_or(0)
}

/// The words as one number, after words and bytes are put in order.
fn combine_words(words: &[u16], order: Order) -> u64 {
    let swap = |word: u16| if order.swaps_bytes() { word.swap_bytes() } else { word };
    match words {
        [word] => u64::from(swap(*word)),
        _ => {
            let word = |i: usize| words.get(order.word_index(i, words.len())).copied().unwrap_or(0);
            (0..words.len()).fold(0, |acc, i| acc << 16 | u64::from(swap(word(i))))
        }
    }
}

/// The bits that belong to the value, as an unsigned number: what sentinels are compared with.
fn raw_bits(wire: RegisterEncoding, all: u64) -> u64 {
    match wire {
        RegisterEncoding::Byte { is_high_byte: high, .. } => {
            if high {
                all >> 8 & 0xFF
            } else {
                all & 0xFF
            }
        }
        RegisterEncoding::Int24 { .. } => all & 0xFF_FFFF,
        RegisterEncoding::Bits { low, count, .. } => {
            let mask = if count >= 64 { u64::MAX } else { (1 << count) - 1 };
            all >> low & mask
        }
        _ => all,
    }
}

fn sentinel(point: &PointDef, raw: u64) -> Option<Cause> {
    point.sentinels.iter().find(|(value, _)| *value == raw).map(|(_, cause)| *cause)
}

/// The raw bits as the integer they stand for.
fn integer(wire: RegisterEncoding, raw: u64) -> Result<i128, Cause> {
    let signed = |bits: u32| i128::from((raw << (64 - bits)).cast_signed() >> (64 - bits));
    match wire {
        RegisterEncoding::Byte { signed: true, .. } => Ok(signed(8)),
        RegisterEncoding::Int { registers, signed: true } => Ok(signed(u32::from(registers) * 16)),
        RegisterEncoding::Int24 { signed: true } => Ok(signed(24)),
        RegisterEncoding::SignMagnitude { registers } => {
            let sign = 1u64 << (u32::from(registers) * 16 - 1);
            let magnitude = i128::from(raw & (sign - 1));
            Ok(if raw & sign == 0 { magnitude } else { -magnitude })
        }
        RegisterEncoding::Modulo10k { registers } => {
            let mut out = 0i128;
            for at in (0..u32::from(registers)).rev() {
                let digits = raw >> (at * 16) & 0xFFFF;
                if digits > 9_999 {
                    return Err(Cause::BadDigits);
                }
                out = out * 10_000 + i128::from(digits);
            }
            Ok(out)
        }
        RegisterEncoding::Bcd { registers } => {
            let mut out = 0i128;
            for nibble in (0..registers * 4).rev() {
                let digit = raw >> (nibble * 4) & 0xF;
                if digit > 9 {
                    return Err(Cause::BadDigits);
                }
                out = out * 10 + i128::from(digit);
            }
            Ok(out)
        }
        _ => Ok(i128::from(raw)),
    }
}

/// An integer with its scale and offset, exactly.
fn decode_exact(point: &PointDef, raw: i128, reads: &[RegisterBlock]) -> Sample {
    if point.kind == PointKind::Code && point.scale == Decimal::ONE && point.offset.is_zero() {
        let code = i64::try_from(raw).map_err(|_| Cause::Overflow)?;
        return in_range_exact(point, Decimal::from(code)).map(|_| Value::Code(code));
    }
    let is_unscaled = point.scale_registers.is_empty() && point.offset.is_zero() && point.scale.mantissa() == 1;
    let mut value = if is_unscaled {
        Decimal::try_from_i128_with_scale(raw, point.scale.scale()).map_err(|_| Cause::Overflow)?
    } else {
        Decimal::try_from_i128_with_scale(raw, 0)
            .ok()
            .and_then(|v| v.checked_mul(point.scale))
            .ok_or(Cause::Overflow)?
    };
    if !is_unscaled {
        if let Some(factor) = product_of_factors(point, reads)? {
            value = value.checked_mul(factor).ok_or(Cause::Overflow)?;
        }
        value = value.checked_add(point.offset).ok_or(Cause::Overflow)?;
    }
    in_range_exact(point, value).map(Value::Exact)
}

fn in_range_exact(point: &PointDef, value: Decimal) -> Result<Decimal, Cause> {
    match point.range {
        Some((low, high)) if value < low || value > high => Err(Cause::OutOfRange),
        _ => Ok(value),
    }
}

/// The product of the factors that stand in registers; `None` if the point has none.
fn product_of_factors(point: &PointDef, reads: &[RegisterBlock]) -> Result<Option<Decimal>, Cause> {
    let mut product: Option<Decimal> = None;
    for from in &point.scale_registers {
        let words = reads.iter().find_map(|r| r.slice(&from.span)).ok_or(Cause::NoScale)?;
        let found = register_factor(from, combine_words(words, from.order))?;
        product = Some(product.map_or(Some(found), |p| p.checked_mul(found)).ok_or(Cause::Overflow)?);
    }
    Ok(product)
}

/// The factor that a register holds. A ratio of 0 is refused: every value would be 0.
fn register_factor(from: &ScaleRegister, all: u64) -> Result<Decimal, Cause> {
    if let RegisterEncoding::Float { registers } = from.register_encoding {
        let number = single_or_double(all, registers).to_string().parse::<Decimal>().ok();
        return scaled_factor(from, number);
    }
    let raw = integer(from.register_encoding, raw_bits(from.register_encoding, all))?;
    match &from.factor {
        ScaleFactor::Map(map) => i64::try_from(raw).ok().and_then(|raw| map.get(&raw)).copied().ok_or(Cause::NoScale),
        ScaleFactor::Number(_) => scaled_factor(from, Decimal::try_from_i128_with_scale(raw, 0).ok()),
        ScaleFactor::PowerOfTen => match i32::try_from(raw) {
            Ok(power @ 0..=28) => Ok(Decimal::from_i128_with_scale(10i128.pow(power.unsigned_abs()), 0)),
            Ok(power @ -28..0) => Ok(Decimal::from_i128_with_scale(1, power.unsigned_abs())),
            _ => Err(Cause::NoScale),
        },
    }
}

fn scaled_factor(from: &ScaleRegister, number: Option<Decimal>) -> Result<Decimal, Cause> {
    let ScaleFactor::Number(scale) = &from.factor else { return Err(Cause::NoScale) };
    number.filter(|n| !n.is_zero()).and_then(|n| n.checked_mul(*scale)).ok_or(Cause::NoScale)
}

/// A float register as the double with its shortest digits.
fn single_or_double(raw: u64, registers: u8) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the upper bits are zero: one or two registers were read")]
    match registers {
        1 => shortest_double(half_to_single(raw as u16)),
        2 => shortest_double(f32::from_bits(raw as u32)),
        _ => f64::from_bits(raw),
    }
}

fn decode_float(point: &PointDef, raw: u64, registers: u8, reads: &[RegisterBlock]) -> Sample {
    if let Some(cause) = sentinel(point, raw) {
        return Err(cause);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the upper bits are zero: one or two registers were read")]
    let single = match registers {
        1 => half_to_single(raw as u16),
        2 => f32::from_bits(raw as u32),
        _ => {
            let double = f64::from_bits(raw);
            return scaled(point, double, reads).map(Value::F64);
        }
    };
    let is_unscaled = point.scale_registers.is_empty() && point.offset.is_zero() && point.scale == Decimal::ONE;
    if !is_unscaled {
        return scaled(point, shortest_double(single), reads).map(Value::F64);
    }
    in_range(point, f64::from(single)).map(|_| Value::F32(single))
}

/// A single as the double with the same shortest digits, so that 1.1 x 1000 is 1100 and not 1100.0000238418579.
fn shortest_double(single: f32) -> f64 {
    if single.is_finite() { single.to_string().parse().unwrap_or(f64::from(single)) } else { f64::from(single) }
}

fn scaled(point: &PointDef, raw: f64, reads: &[RegisterBlock]) -> Result<f64, Cause> {
    if !raw.is_finite() {
        return Err(Cause::NotFinite);
    }
    let factor = product_of_factors(point, reads)?.unwrap_or(Decimal::ONE);
    let multiplier = point.scale.checked_mul(factor).ok_or(Cause::Overflow)?;
    if multiplier == Decimal::ONE && point.offset.is_zero() {
        return in_range(point, raw);
    }
    // Computed in decimal digits, to avoid errors of binary fractions. Values too large or too small for them are computed
    // in floats.
    let digits = raw.to_string().parse::<Decimal>().ok().filter(|d| raw == 0.0 || !d.is_zero());
    let exact = digits.and_then(|d| d.checked_mul(multiplier)?.checked_add(point.offset));
    let value = match exact.and_then(|d| d.to_string().parse().ok()) {
        Some(value) => value,
        None => raw * multiplier.to_f64().ok_or(Cause::Overflow)? + point.offset.to_f64().ok_or(Cause::Overflow)?,
    };
    in_range(point, value)
}

fn in_range(point: &PointDef, value: f64) -> Result<f64, Cause> {
    if !value.is_finite() {
        return Err(Cause::NotFinite);
    }
    match point.range {
        Some((low, high)) => {
            let inside = low.to_f64().is_some_and(|l| value >= l) && high.to_f64().is_some_and(|h| value <= h);
            if inside { Ok(value) } else { Err(Cause::OutOfRange) }
        }
        None => Ok(value),
    }
}

/// An IEEE 754 half as a single.
fn half_to_single(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1F);
    let fraction = f32::from(bits & 0x3FF);
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// Whether two samples of one point, read one after the other, can both be true; that confirms an ambiguous answer. Numbers may
/// differ by 5 % of the larger one or of their range, or by ten steps of their scale; everything else must be equal.
pub fn are_consistent(point: &PointDef, a: &Sample, b: &Sample) -> bool {
    let (a, b) = match (a, b) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => return a == b,
    };
    match (point.kind, a.as_f64(), b.as_f64()) {
        (PointKind::Number | PointKind::Counter, Some(x), Some(y)) => {
            let span = point.range.and_then(|(l, h)| h.checked_sub(l)).and_then(|s| s.to_f64()).unwrap_or(0.0);
            let base = if point.kind == PointKind::Counter { 0.0 } else { span };
            let step = if matches!(point.register_encoding, RegisterEncoding::Float { .. }) {
                0.0
            } else {
                point.scale.to_f64().unwrap_or(0.0).abs()
            };
            (x - y).abs() <= (0.05 * x.abs().max(y.abs()).max(base)).max(10.0 * step)
        }
        _ => a == b,
    }
}
