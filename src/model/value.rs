//! A value of a point, in a form that prints all its digits and no more.

use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};

/// A good value. A bad sample has no value at all (see [`crate::model::reading::Sample`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A coil, a discrete input or one bit of a register.
    Bool(bool),
    /// An integer register with its exact scale and offset: exact to the report.
    Exact(Decimal),
    /// A 16- or 32-bit float as the device sent it; prints the shortest digits that give the same 32 bits.
    F32(f32),
    /// A 64-bit float, or a float that was scaled or computed.
    F64(f64),
    /// An enumeration or bit field; its text is in the profile.
    Code(i64),
    /// An identification read from the device.
    Text(Arc<str>),
}

impl Value {
    /// The value as a float, for comparing and plotting; `None` for a text.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Bool(b) => Some(f64::from(u8::from(*b))),
            Value::Exact(d) => exact_as_f64(*d),
            Value::F32(x) => Some(widened(*x)),
            Value::F64(x) => Some(*x),
            #[expect(clippy::cast_precision_loss, reason = "codes are small")]
            Value::Code(c) => Some(*c as f64),
            Value::Text(_) => None,
        }
    }

    /// The value as an exact decimal where it is a number; floats by their shortest digits.
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Value::Exact(d) => Some(*d),
            Value::Code(c) => Some(Decimal::from(*c)),
            Value::F32(x) => x.to_string().parse().ok(),
            Value::F64(x) => x.to_string().parse().ok(),
            Value::Bool(_) | Value::Text(_) => None,
        }
    }

    /// Appends the value as JSON: a number with all its digits, a boolean or a string; a float that is no number is null.
    pub fn write_json(&self, out: &mut String) {
        use fmt::Write as _;
        let printed = match self {
            Value::Bool(b) => write!(out, "{b}"),
            Value::Exact(d) => return write_exact(*d, out),
            Value::F32(x) if x.is_finite() => write!(out, "{}", x + 0.0),
            Value::F64(x) if x.is_finite() => write!(out, "{}", x + 0.0),
            Value::F32(_) | Value::F64(_) => write!(out, "null"),
            Value::Code(c) => write!(out, "{c}"),
            Value::Text(t) => return write_json_text(t, out),
        };
        debug_assert!(printed.is_ok(), "writing to a String cannot fail");
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(t) => f.write_str(t),
            other => {
                let mut out = String::new();
                other.write_json(&mut out);
                f.write_str(&out)
            }
        }
    }
}

/// A number to calculate with: exact as long as everything that went into it was exact and the result fits 28 digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredNumeric", into = "StoredNumeric")]
pub enum Numeric {
    /// From integer registers with their exact scale, booleans and codes.
    Exact(Decimal),
    /// From floats, or too long for a decimal.
    Float(f64),
}

/// How a [`Numeric`] is stored: a float as a number, an exact one as a text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredNumeric {
    Float(f64),
    Exact(String),
}

impl From<StoredNumeric> for Numeric {
    fn from(stored: StoredNumeric) -> Self {
        match stored {
            StoredNumeric::Float(float) => Numeric::Float(float),
            StoredNumeric::Exact(text) => text.parse().map_or(Numeric::Float(f64::NAN), Numeric::Exact),
        }
    }
}

impl From<Numeric> for StoredNumeric {
    fn from(number: Numeric) -> Self {
        match number {
            Numeric::Exact(decimal) => StoredNumeric::Exact(decimal.to_string()),
            Numeric::Float(float) => StoredNumeric::Float(float),
        }
    }
}

impl Default for Numeric {
    fn default() -> Self {
        Numeric::Exact(Decimal::ZERO)
    }
}

impl Numeric {
    /// The number of a value; `None` for a text.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Exact(decimal) => Some(Numeric::Exact(*decimal)),
            Value::Bool(b) => Some(Numeric::Exact(Decimal::from(u8::from(*b)))),
            Value::Code(code) => Some(Numeric::Exact(Decimal::from(*code))),
            Value::F32(_) | Value::F64(_) => value.as_f64().map(Numeric::Float),
            Value::Text(_) => None,
        }
    }

    /// The nearest float.
    pub fn as_f64(self) -> f64 {
        match self {
            Numeric::Exact(decimal) => exact_as_f64(decimal).unwrap_or(f64::NAN),
            Numeric::Float(float) => float,
        }
    }

    /// As a value: [`Value::Exact`] or [`Value::F64`].
    pub const fn value(self) -> Value {
        match self {
            Numeric::Exact(decimal) => Value::Exact(decimal),
            Numeric::Float(float) => Value::F64(float),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.exactly(other, Decimal::checked_add).unwrap_or_else(|| Numeric::Float(self.as_f64() + other.as_f64()))
    }

    /// This less the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.exactly(other, Decimal::checked_sub).unwrap_or_else(|| Numeric::Float(self.as_f64() - other.as_f64()))
    }

    /// The lower of both.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if other.is_below(self) { other } else { self }
    }

    /// The higher of both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if self.is_below(other) { other } else { self }
    }

    fn is_below(self, other: Self) -> bool {
        match (self, other) {
            (Numeric::Exact(a), Numeric::Exact(b)) => a < b,
            _ => self.as_f64() < other.as_f64(),
        }
    }

    fn exactly(self, other: Self, how: impl Fn(Decimal, Decimal) -> Option<Decimal>) -> Option<Self> {
        match (self, other) {
            (Numeric::Exact(a), Numeric::Exact(b)) => how(a, b).map(Numeric::Exact),
            _ => None,
        }
    }
}

/// A 32-bit float as the 64-bit one with the same shortest digits: 230.2, and not 230.1999969482422.
fn widened(x: f32) -> f64 {
    const POWERS: [f64; 8] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
    let wide = f64::from(x);
    if !(1e-3..1e7).contains(&wide.abs()) {
        return wide;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whether it is the same 32-bit float is what is asked")]
    let is_same = |decimal: &f64| (*decimal as f32).to_bits() == x.to_bits();
    POWERS.iter().map(|power| (wide * power).round() / power).find(is_same).unwrap_or(wide)
}

/// A decimal as a float. Where mantissa and power of ten are exact as floats, which they nearly always are, one division
/// gives the nearest float.
fn exact_as_f64(decimal: Decimal) -> Option<f64> {
    const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    let power = POWERS.get(decimal.scale() as usize);
    match (i32::try_from(decimal.mantissa() >> 21), power) {
        #[expect(clippy::cast_precision_loss, reason = "at most 53 bits, so nothing is lost")]
        (Ok(_), Some(power)) => Some(decimal.mantissa() as f64 / power),
        _ => decimal.to_f64(),
    }
}

/// Prints a decimal without trailing zeros; the common case (mantissa within 64 bits) without the 128-bit arithmetic.
fn write_exact(decimal: Decimal, out: &mut String) {
    use fmt::Write as _;
    let Ok(mut mantissa) = i64::try_from(decimal.mantissa()) else {
        let _infallible = write!(out, "{}", decimal.normalize());
        return;
    };
    let mut scale = decimal.scale();
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    if scale == 0 || mantissa == 0 {
        let _infallible = write!(out, "{mantissa}");
        return;
    }
    if mantissa < 0 {
        out.push('-');
    }
    let digits = mantissa.unsigned_abs();
    let Some(unit) = 10u64.checked_pow(scale) else {
        let _infallible = write!(out, "0.{digits:0width$}", width = scale as usize);
        return;
    };
    let _infallible = write!(out, "{}.{:0width$}", digits / unit, digits % unit, width = scale as usize);
}

/// Appends a JSON string with its quotes.
pub fn write_json_text(text: &str, out: &mut String) {
    use fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _infallible = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: Value) -> String {
        let mut out = String::new();
        value.write_json(&mut out);
        out
    }

    #[test]
    fn numbers_print_all_their_digits_and_no_more() {
        assert_eq!(json(Value::Exact("123.4500".parse().unwrap())), "123.45");
        assert_eq!(json(Value::Exact("-0.050".parse().unwrap())), "-0.05");
        assert_eq!(json(Value::Exact("0.000".parse().unwrap())), "0");
        assert_eq!(
            json(Value::Exact("79228162514264337593543950.335".parse().unwrap())),
            "79228162514264337593543950.335"
        );
        assert_eq!(json(Value::Exact(Decimal::new(7, 22))), "0.0000000000000000000007");
        assert_eq!(json(Value::F32(230.2)), "230.2");
        assert_eq!(json(Value::F64(0.1)), "0.1");
        assert_eq!([json(Value::F64(-0.0)), json(Value::F32(-0.0)), json(Value::F64(f64::NAN))], ["0", "0", "null"]);
        assert_eq!([json(Value::F64(1e20)), json(Value::F64(-2.5e-7))], ["100000000000000000000", "-0.00000025"]);
        // A float that is shown in a slot is the one that was read.
        for (short, long) in
            [(230.2f32, 230.2f64), (0.1, 0.1), (-4.375, -4.375), (123_456.7, 123_456.7), (0.001, 0.001)]
        {
            assert_eq!(Value::F32(short).as_f64(), Some(long));
        }
        assert_eq!(Value::F32(f32::MAX).as_f64(), Some(f64::from(f32::MAX)));
        assert!(Value::F32(f32::NAN).as_f64().is_some_and(f64::is_nan));
        assert_eq!(json(Value::Code(-3)), "-3");
    }

    #[test]
    fn decimals_become_the_nearest_float() {
        for text in
            ["0.1", "-230.2", "9007199254740991", "12345.678901", "-0.000000001", "79228162514264337593543950335"]
        {
            let expect: f64 = text.parse().unwrap();
            assert_eq!(Value::Exact(text.parse().unwrap()).as_f64(), Some(expect), "{text}");
        }
    }

    #[test]
    fn numbers_stay_exact_until_a_float_joins_them() {
        let exact = |text: &str| Numeric::Exact(text.parse().unwrap());
        assert_eq!(exact("0.1").plus(exact("0.2")), exact("0.3"));
        assert_eq!(exact("0.1").plus(Numeric::Float(0.2)), Numeric::Float(0.1 + 0.2));
        assert_eq!(exact("5").minus(exact("7.5")), exact("-2.5"));
        assert_eq!(
            (exact("2").min(Numeric::Float(3.0)), exact("2").max(Numeric::Float(3.0))),
            (exact("2"), Numeric::Float(3.0))
        );
        let most = exact("79228162514264337593543950335");
        assert_eq!(most.plus(most), Numeric::Float(2.0 * 79_228_162_514_264_337_593_543_950_335.0));
        for number in [exact("123456789012345.67"), Numeric::Float(0.1)] {
            let text = serde_json::to_string(&number).unwrap();
            assert_eq!(serde_json::from_str::<Numeric>(&text).unwrap(), number);
        }
        assert_eq!(serde_json::from_str::<Numeric>("2.5").unwrap(), Numeric::Float(2.5), "as older versions stored it");
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(json(Value::Text("a\"\\\n\u{1}b水".into())), "\"a\\\"\\\\\\n\\u0001b水\"");
    }
}
