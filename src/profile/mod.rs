//! A unit's description (data) becomes a checked profile; the vocabulary of points.
//!
//! Nothing here reads a file: `config` hands in what it parsed and gets back a profile and a list of findings.
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
    /// Low word first.
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
    pub const fn bytes_swapped(self) -> bool {
        matches!(self, Order::Badc | Order::Dcba | Order::Fehgbadc | Order::Dcbahgfe)
    }

    /// Whether it says how the halves of 64 bits lie, which nothing shorter has.
    pub const fn is_of_halves(self) -> bool {
        matches!(self, Order::Efghabcd | Order::Cdabghef | Order::Fehgbadc | Order::Dcbahgfe)
    }

    /// Where the word that comes `i`-th by its weight (0 highest) lies among `count` words on the wire, and the other way round.
    pub const fn place(self, i: usize, count: usize) -> usize {
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
pub enum Chars {
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
    /// ISO 8859-1.
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
    pub const fn count(self) -> u8 {
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
        /// Lowest bit.
        low: u8,
        /// How many bits.
        count: u8,
        /// 1, 2 or 4 registers.
        registers: u8,
    },
    /// One byte of a register.
    Byte {
        /// The high byte instead of the low one.
        high: bool,
        /// Two's complement.
        signed: bool,
    },
    /// An integer of 1 to 4 registers.
    Int {
        /// 1 to 4.
        registers: u8,
        /// Two's complement.
        signed: bool,
    },
    /// The lower 24 bits of two registers.
    Int24 {
        /// Two's complement.
        signed: bool,
    },
    /// A sign in the highest bit and a magnitude in the others.
    SignMagnitude {
        /// 1 or 2.
        registers: u8,
    },
    /// Each register counts to 9999, the next one tens of thousands.
    Modulo10k {
        /// 2 to 4.
        registers: u8,
    },
    /// Date and time, as a text.
    Date(DateLayout),
    /// An IEEE 754 float of 1 (half), 2 (single) or 4 (double) registers.
    Float {
        /// 1, 2 or 4.
        registers: u8,
    },
    /// Binary-coded decimal of 1 to 4 registers, four digits each.
    Bcd {
        /// 1 to 4.
        registers: u8,
    },
    /// A text.
    Text {
        /// Registers it covers.
        registers: u8,
        /// How they lie.
        chars: Chars,
        /// What they stand for.
        charset: Charset,
        /// It is a decimal number.
        is_number: bool,
    },
}

impl RegisterEncoding {
    /// Registers (or bits, for a coil) that it covers.
    pub const fn count(self) -> u16 {
        match self {
            RegisterEncoding::Coil | RegisterEncoding::Bit(_) | RegisterEncoding::Byte { .. } => 1,
            RegisterEncoding::Int24 { .. } => 2,
            RegisterEncoding::Date(layout) => layout.count() as u16,
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
            _ => Some(self.count() as u32 * 16),
        }
    }
}

/// A factor that stands in another register.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleFrom {
    /// Which register.
    pub span: RegisterRange,
    /// How it is read: an integer.
    pub wire: RegisterEncoding,
    /// Order of its words.
    pub order: Order,
    /// How its value becomes the factor.
    pub factor: Factor,
}

/// How the value of a register becomes a factor.
#[derive(Clone, Debug, PartialEq)]
pub enum Factor {
    /// By a table; other values stand for none.
    Map(BTreeMap<i64, Decimal>),
    /// It is the factor itself, times this.
    Number(Decimal),
    /// It is a power of ten, -28 to 28.
    PowerOfTen,
}

/// One point of a profile, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PointDef {
    /// The vocabulary's name.
    pub name: Arc<str>,
    /// What kind of quantity.
    pub kind: PointKind,
    /// Which history class keeps it.
    pub retention: Retention,
    /// How its values usually come.
    pub form: Encoding,
    /// Which registers.
    pub span: RegisterRange,
    /// Where in `span` the words of the value lie, highest first, if they are not all of it.
    pub apart: Vec<u8>,
    /// How they are read.
    pub wire: RegisterEncoding,
    /// Order of words and bytes.
    pub order: Order,
    /// Poll group.
    pub group: Arc<str>,
    /// Exact factor; one if none.
    pub scale: Decimal,
    /// Exact offset, added after the factor.
    pub offset: Decimal,
    /// Further factors that stand in registers.
    pub scale_from: Vec<ScaleFrom>,
    /// A bool that is true when the bit is 0.
    pub invert: bool,
    /// A bool that is true at these raw values of an integer; empty for everything else.
    pub true_when: Vec<i64>,
    /// Raw value -> why there is none.
    pub sentinels: Vec<(u64, Cause)>,
    /// Text -> why there is none.
    pub text_sentinels: Vec<(Arc<str>, Cause)>,
    /// Lowest and highest value that can be true.
    pub range: Option<(Decimal, Decimal)>,
    /// Where a counter rolls over, in the unit of the point.
    pub modulus: Option<Decimal>,
    /// Texts of a code.
    pub texts: BTreeMap<i64, LocalizedText>,
}

/// What a read may and may not do on one kind of unit.
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
    /// Runs that are read whole or not at all.
    pub atomic: Vec<RegisterRange>,
    /// Silence before each request, milliseconds.
    pub pause_ms: u64,
    /// Longest wait for an answer, milliseconds; `None` lets the link decide.
    pub timeout_ms: Option<u64>,
}

/// The points of a profile for one answer to its ident read.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileVariant {
    /// The variant's name, `base` for none.
    pub name: Arc<str>,
    /// Ident values that choose it, as printed; empty for the base.
    pub idents: Vec<String>,
    /// Reading rules.
    pub read: ReadRules,
    /// Its points, in order of their names.
    pub points: Vec<PointDef>,
}

/// A checked profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The file's name.
    pub name: Arc<str>,
    /// Maker and model, for people.
    pub title: String,
    /// Class of its points; `any` if the site maps them.
    pub class: Arc<str>,
    /// Ident register, read once after each connect.
    pub ident: Option<PointDef>,
    /// First the base, then the variants.
    pub layouts: Vec<ProfileVariant>,
    /// Poll groups: name -> milliseconds.
    pub groups: BTreeMap<Arc<str>, u64>,
    /// Baud, parity and stop bits that the maker delivers.
    pub serial: Option<settings::SerialDefaults>,
    /// What was left out, and the source, for `read` and the reference.
    pub notes: Vec<String>,
}

impl Profile {
    /// The layout for an ident value as printed; the base if none fits or none was read.
    pub fn layout(&self, ident: Option<&str>) -> &ProfileVariant {
        let fits = |l: &&ProfileVariant| ident.is_some_and(|i| l.idents.iter().any(|x| x == i));
        self.layouts.iter().find(fits).unwrap_or(&self.layouts[0])
    }

    /// Every point of every layout once: the fixed list that streams carry.
    pub fn all_points(&self) -> BTreeMap<Arc<str>, &PointDef> {
        self.layouts.iter().rev().flat_map(|l| &l.points).map(|p| (Arc::clone(&p.name), p)).collect()
    }
}
