//! Turns a unit's description (data) into a checked profile; holds the vocabulary of points.
//!
//! Nothing here reads a file: `config` passes what it parsed and receives a profile and a list of findings.
//! The format is described in `docs/profiles.md`.

pub mod build;
pub mod form;
pub mod keys;
mod point;
pub mod settings;
pub mod vocabulary;

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::model::point::{Encoding, LocalizedText, PointKind, Retention};
use crate::model::quality::Cause;
use crate::model::registers::RegisterRange;

/// The order of words and bytes, named by what a 32-bit ABCD becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Order {
    /// High word first, high byte first: Modbus as specified.
    #[serde(rename = "ABCD")]
    Abcd,
    /// Low word first, high byte first in each word.
    #[serde(rename = "CDAB")]
    Cdab,
    /// High word first, bytes of each word swapped.
    #[serde(rename = "BADC")]
    Badc,
    /// Low word first, bytes swapped: fully little-endian.
    #[serde(rename = "DCBA")]
    Dcba,
    /// 64 bits: low half first, high word first in each.
    #[serde(rename = "EFGHABCD")]
    Efghabcd,
    /// 64 bits: high half first, low word first in each.
    #[serde(rename = "CDABGHEF")]
    Cdabghef,
    /// 64 bits: low half first, high word first in each, bytes swapped.
    #[serde(rename = "FEHGBADC")]
    Fehgbadc,
    /// 64 bits: high half first, low word first in each, bytes swapped.
    #[serde(rename = "DCBAHGFE")]
    Dcbahgfe,
}

impl Order {
    /// Whether the low byte of each word comes first.
    pub const fn swaps_bytes(self) -> bool {
        matches!(self, Order::Badc | Order::Dcba | Order::Fehgbadc | Order::Dcbahgfe)
    }

    /// Whether it defines the order of the halves of 64 bits, which shorter values do not have.
    pub const fn is_64_bit(self) -> bool {
        matches!(self, Order::Efghabcd | Order::Cdabghef | Order::Fehgbadc | Order::Dcbahgfe)
    }

    /// Position on the wire of the word of rank `i` (0 is the most significant) among `count` words. The mapping is its own inverse.
    pub const fn word_index(self, i: usize, count: usize) -> usize {
        match self {
            Order::Abcd | Order::Badc => i,
            Order::Cdab | Order::Dcba => count - 1 - i,
            Order::Efghabcd | Order::Fehgbadc => (i + count / 2) % count,
            Order::Cdabghef | Order::Dcbahgfe => i ^ 1,
        }
    }
}

/// How a string lies in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CharPacking {
    /// Two characters a register, high byte first.
    Two,
    /// Two characters a register, low byte first.
    TwoSwapped,
    /// One character a register, in its low byte.
    One,
}

/// Which characters the bytes of a string stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Charset {
    /// UTF-8, and so ASCII.
    #[default]
    Utf8,
    /// GBK, as Chinese controllers have it.
    Gbk,
    /// ISO 8859-1: each byte is one character.
    Latin1,
}

/// How date and time lie in their registers. Each is the device's own time, with no zone, except `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DateLayout {
    /// Six registers: year, month, day, hour, minute, second. A year below 100 is one of 2000 to 2099.
    Words,
    /// Three registers, a byte each: year of the century, month, day, hour, minute, second.
    Bytes,
    /// The same as two decimal digits a byte.
    Bcd,
    /// Two registers: seconds since 1970-01-01 UTC.
    Unix,
    /// Four registers as IEC 60870-5-4: year of the century; month and day; hour and minute; milliseconds.
    Iec,
}

impl DateLayout {
    /// Registers that it covers.
    pub const fn register_count(self) -> u8 {
        match self {
            DateLayout::Words => 6,
            DateLayout::Bytes | DateLayout::Bcd => 3,
            DateLayout::Unix => 2,
            DateLayout::Iec => 4,
        }
    }
}

/// How raw words become a raw value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterEncoding {
    /// A coil or discrete input.
    Coil,
    /// One bit of a register.
    Bit(u8),
    /// `count` bits from bit `low` of an unsigned integer of this many registers.
    Bits {
        low: u8,
        count: u8,
        /// 1 to 4 registers.
        registers: u8,
    },
    /// One byte of a register.
    Byte { is_high_byte: bool, signed: bool },
    /// An integer of 1 to 4 registers.
    Int { registers: u8, signed: bool },
    /// The lower 24 bits of two registers.
    Int24 { signed: bool },
    /// A sign in the highest bit and a magnitude in the others; 1 or 2 registers.
    SignMagnitude { registers: u8 },
    /// 2 to 4 registers; each counts to 9999, and the next one counts tens of thousands.
    Modulo10k { registers: u8 },
    /// Date and time, as a text.
    Date(DateLayout),
    /// An IEEE 754 float of 1 (half), 2 (single) or 4 (double) registers.
    Float { registers: u8 },
    /// Binary-coded decimal of 1 to 4 registers, four digits each.
    Bcd { registers: u8 },
    /// A string of that many registers.
    Text {
        registers: u8,
        chars: CharPacking,
        charset: Charset,
        /// The string is a decimal number.
        is_number: bool,
    },
}

impl RegisterEncoding {
    /// Registers (or bits, for a coil) that it covers.
    pub const fn register_count(self) -> u16 {
        match self {
            RegisterEncoding::Coil | RegisterEncoding::Bit(_) | RegisterEncoding::Byte { .. } => 1,
            RegisterEncoding::Int24 { .. } => 2,
            RegisterEncoding::Date(layout) => layout.register_count() as u16,
            RegisterEncoding::Bits { registers, .. }
            | RegisterEncoding::Int { registers, .. }
            | RegisterEncoding::SignMagnitude { registers }
            | RegisterEncoding::Modulo10k { registers }
            | RegisterEncoding::Float { registers }
            | RegisterEncoding::Bcd { registers }
            | RegisterEncoding::Text { registers, .. } => registers as u16,
        }
    }

    /// Bits of the raw value that sentinels are compared with; `None` where there is no such number.
    pub const fn raw_bits(self) -> Option<u32> {
        match self {
            RegisterEncoding::Coil | RegisterEncoding::Text { .. } | RegisterEncoding::Date(_) => None,
            RegisterEncoding::Bit(_) => Some(16),
            RegisterEncoding::Bits { count, .. } => Some(count as u32),
            RegisterEncoding::Byte { .. } => Some(8),
            RegisterEncoding::Int24 { .. } => Some(24),
            _ => Some(self.register_count() as u32 * 16),
        }
    }
}

/// A factor that is read from another register.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleRegister {
    pub span: RegisterRange,
    /// An integer or float encoding.
    pub register_encoding: RegisterEncoding,
    pub order: Order,
    /// How its value becomes the factor.
    pub factor: ScaleFactor,
}

/// How the value of a register becomes a factor.
#[derive(Clone, Debug, PartialEq)]
pub enum ScaleFactor {
    /// By a table; a value that is not in it makes the point bad.
    Map(BTreeMap<i64, Decimal>),
    /// It is the factor itself, times this.
    Number(Decimal),
    /// It is a power of ten, -28 to 28.
    PowerOfTen,
}

/// One point of a profile, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PointDef {
    /// Its name in the vocabulary; `x_` begins a maker's extra.
    pub name: Arc<str>,
    pub kind: PointKind,
    pub retention: Retention,
    /// The usual encoding of its values.
    pub encoding: Encoding,
    pub span: RegisterRange,
    /// Offsets in `span` of the words of the value, highest first; empty if they are all of it, in order.
    pub word_offsets: Vec<u8>,
    pub register_encoding: RegisterEncoding,
    pub order: Order,
    pub poll_group: Arc<str>,
    /// Exact factor; one if none.
    pub scale: Decimal,
    /// Exact offset, added after the factor.
    pub offset: Decimal,
    /// Further factors, read from registers.
    pub scale_registers: Vec<ScaleRegister>,
    /// A bool that is true when the bit is 0.
    pub invert: bool,
    /// A bool that is true at these raw values of an integer; empty for everything else.
    pub true_when: Vec<i64>,
    /// Raw values that mean no value, each with its cause.
    pub sentinels: Vec<(u64, Cause)>,
    /// Texts that mean no value, each with its cause.
    pub text_sentinels: Vec<(Arc<str>, Cause)>,
    /// Lowest and highest plausible value.
    pub range: Option<(Decimal, Decimal)>,
    /// Where a counter rolls over, in the unit of the point.
    pub modulus: Option<Decimal>,
    /// Texts of a code.
    pub texts: BTreeMap<i64, LocalizedText>,
}

/// Limits of the reads of one kind of unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRules {
    /// Most registers of one read.
    pub max_regs: u16,
    /// Most bits of one read.
    pub max_bits: u16,
    /// Unused registers or bits that a read may run across.
    pub max_gap: u16,
    /// Addresses that no read may run across.
    pub barriers: Vec<u16>,
    /// Ranges that are read in one request or not at all.
    pub atomic: Vec<RegisterRange>,
    /// Silence before each request, milliseconds.
    pub pause_ms: u64,
    /// Longest wait for an answer, milliseconds; `None` lets the link decide.
    pub timeout_ms: Option<u64>,
}

/// The points of a profile for one value of its ident register.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileVariant {
    /// `base` for the points without a variant.
    pub name: Arc<str>,
    /// Ident values that choose it, as printed; empty for the base.
    pub ident_values: Vec<String>,
    pub read_rules: ReadRules,
    /// In order of their names.
    pub points: Vec<PointDef>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub name: Arc<str>,
    /// Maker and model, for display.
    pub title: String,
    /// Class of its points; `any` if the site maps them.
    pub class: Arc<str>,
    /// Ident register, read once after each connect.
    pub ident: Option<PointDef>,
    /// The base first, then the variants; never empty.
    pub variants: Vec<ProfileVariant>,
    /// Poll groups: name -> interval in milliseconds.
    pub groups: BTreeMap<Arc<str>, u64>,
    /// Baud rate, parity and stop bits as the maker delivers them.
    pub serial_defaults: Option<settings::SerialDefaults>,
    /// The source and what was left out, shown by `read` and the reference.
    pub notes: Vec<String>,
}

impl Profile {
    /// The variant for an ident value as printed; the base if none fits or none was read.
    pub fn variant(&self, ident: Option<&str>) -> &ProfileVariant {
        let fits = |l: &&ProfileVariant| ident.is_some_and(|i| l.ident_values.iter().any(|x| x == i));
        self.variants.iter().find(fits).unwrap_or(&self.variants[0])
    }

    /// The point of a name, of the first variant that has it.
    pub fn point(&self, name: &str) -> Option<&PointDef> {
        self.variants.iter().flat_map(|variant| &variant.points).find(|point| *point.name == *name)
    }

    /// Every point of every variant once: the fixed list of points of a stream.
    pub fn all_points(&self) -> BTreeMap<Arc<str>, &PointDef> {
        self.variants.iter().rev().flat_map(|l| &l.points).map(|p| (Arc::clone(&p.name), p)).collect()
    }
}
