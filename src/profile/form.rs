//! Helpers to read profile files: raw numbers, the encoding of a type, and what follows from it.

use rust_decimal::Decimal;

use crate::model::point::Encoding;
use crate::profile::settings::{CharsSetting, PointSettings, Type};
use crate::profile::{CharPacking, DateLayout, RegisterEncoding, ScaleFactor, ScaleRegister};

/// A raw value as people write it: `65535`, `0xFFFF`, `-1`.
pub fn parse_integer(text: &str) -> Option<i128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(&hex.replace('_', ""), 16).ok(),
        None => text.parse().ok(),
    }
}

/// The encoding of a type, without regard to `bit` and `bits`.
pub fn raw_encoding(kind: Type, s: &PointSettings) -> RegisterEncoding {
    let int = |registers, signed| RegisterEncoding::Int { registers, signed };
    match kind {
        Type::Bool => RegisterEncoding::Coil,
        Type::U8hi => RegisterEncoding::Byte { is_high_byte: true, signed: false },
        Type::U8lo => RegisterEncoding::Byte { is_high_byte: false, signed: false },
        Type::I8hi => RegisterEncoding::Byte { is_high_byte: true, signed: true },
        Type::I8lo => RegisterEncoding::Byte { is_high_byte: false, signed: true },
        Type::U16 => int(1, false),
        Type::I16 => int(1, true),
        Type::U24 => RegisterEncoding::Int24 { signed: false },
        Type::I24 => RegisterEncoding::Int24 { signed: true },
        Type::U32 => int(2, false),
        Type::I32 => int(2, true),
        Type::U48 => int(3, false),
        Type::I48 => int(3, true),
        Type::U64 => int(4, false),
        Type::I64 => int(4, true),
        Type::Sm16 => RegisterEncoding::SignMagnitude { registers: 1 },
        Type::Sm32 => RegisterEncoding::SignMagnitude { registers: 2 },
        Type::M10k32 => RegisterEncoding::Modulo10k { registers: 2 },
        Type::M10k48 => RegisterEncoding::Modulo10k { registers: 3 },
        Type::M10k64 => RegisterEncoding::Modulo10k { registers: 4 },
        Type::F16 => RegisterEncoding::Float { registers: 1 },
        Type::F32 => RegisterEncoding::Float { registers: 2 },
        Type::F64 => RegisterEncoding::Float { registers: 4 },
        Type::Bcd16 => RegisterEncoding::Bcd { registers: 1 },
        Type::Bcd32 => RegisterEncoding::Bcd { registers: 2 },
        Type::Bcd48 => RegisterEncoding::Bcd { registers: 3 },
        Type::Bcd64 => RegisterEncoding::Bcd { registers: 4 },
        Type::Datetime => RegisterEncoding::Date(s.layout.unwrap_or(DateLayout::Words)),
        Type::String => {
            let chars = match &s.chars {
                Some(CharsSetting::Number(1)) => CharPacking::One,
                Some(CharsSetting::Word(w)) if w == "swapped" => CharPacking::TwoSwapped,
                _ => CharPacking::Two,
            };
            let (charset, is_number) = (s.charset.unwrap_or_default(), s.number.unwrap_or(false));
            RegisterEncoding::Text { registers: s.length.unwrap_or(1).max(1), chars, charset, is_number }
        }
    }
}

/// The usual encoding of the values of a point.
pub fn usual_encoding(
    wire: RegisterEncoding,
    scale: Decimal,
    offset: Decimal,
    scale_from: &[ScaleRegister],
) -> Encoding {
    let decimals = |from: &ScaleRegister| match &from.factor {
        ScaleFactor::Map(map) => map.values().map(Decimal::scale).max().unwrap_or(0),
        ScaleFactor::Number(scale) => scale.scale(),
        ScaleFactor::PowerOfTen => 0,
    };
    let factor_decimals: u32 = scale_from.iter().map(decimals).sum();
    match wire {
        RegisterEncoding::Coil | RegisterEncoding::Bit(_) => Encoding::Bool,
        // The device determines the decimals: none is usual.
        RegisterEncoding::Text { is_number: true, .. } => {
            Encoding::Exact(u8::try_from(scale.scale()).unwrap_or(28).min(28))
        }
        RegisterEncoding::Text { .. } | RegisterEncoding::Date(_) => Encoding::Text,
        RegisterEncoding::Float { registers } if scale == Decimal::ONE && offset.is_zero() && scale_from.is_empty() => {
            if registers == 4 {
                Encoding::F64
            } else {
                Encoding::F32
            }
        }
        RegisterEncoding::Float { .. } => Encoding::F64,
        RegisterEncoding::Bits { .. }
        | RegisterEncoding::Byte { .. }
        | RegisterEncoding::Int { .. }
        | RegisterEncoding::Int24 { .. }
        | RegisterEncoding::SignMagnitude { .. }
        | RegisterEncoding::Modulo10k { .. }
        | RegisterEncoding::Bcd { .. } => {
            Encoding::Exact(u8::try_from((scale.scale() + factor_decimals).max(offset.scale())).unwrap_or(28).min(28))
        }
    }
}

/// Where an integer counter rolls over if the profile does not say: its width times its scale.
pub fn default_modulus(wire: RegisterEncoding, scale: Decimal) -> Option<Decimal> {
    let raw = match wire {
        RegisterEncoding::Int { registers, signed } => {
            let bits = u32::from(registers) * 16 - u32::from(signed);
            Decimal::from_i128_with_scale(1i128 << bits, 0)
        }
        RegisterEncoding::Int24 { signed } => Decimal::from(1u32 << (24 - u32::from(signed))),
        RegisterEncoding::SignMagnitude { registers } => Decimal::from(1u64 << (u32::from(registers) * 16 - 1)),
        RegisterEncoding::Bcd { registers } | RegisterEncoding::Modulo10k { registers } => {
            Decimal::from(10u64.pow(u32::from(registers) * 4))
        }
        RegisterEncoding::Bits { count, .. } => Decimal::from_i128_with_scale(1i128 << count, 0),
        _ => return None,
    };
    raw.checked_mul(scale)
}
