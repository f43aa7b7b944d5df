//! What a profile's file says, before it is checked. The doc comments are the reference.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::line::Parity;
use crate::model::point::Names;
use crate::profile::Order;

/// A profile: `config/profiles/NAME.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// Version of this format: 1.
    pub format: u32,
    /// The same as the file's name.
    pub name: String,
    /// Who makes it.
    pub maker: String,
    /// Which models.
    pub model: String,
    /// Whose vocabulary its points come from; `any` for a module that serves many classes.
    pub class: String,
    /// Where each address comes from.
    pub source: String,
    /// Whether anybody tried it on the device itself.
    pub checked_on_hardware: bool,
    /// What could not be found, in words.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// What is tricky, in words.
    #[serde(default)]
    pub notes: String,
    /// What the maker delivers.
    pub serial: Option<SerialDefaults>,
    /// Reading rules.
    #[serde(default)]
    pub read: ReadSettings,
    /// Read once after each connect to choose a variant.
    pub ident: Option<PointSettings>,
    /// Points that replace or join the base when the ident matches.
    #[serde(default)]
    pub variants: BTreeMap<String, VariantSettings>,
    /// Poll groups: name -> how often.
    pub groups: BTreeMap<String, String>,
    /// The points.
    #[serde(default)]
    pub points: BTreeMap<String, PointSettings>,
}

/// Serial line as the maker delivers it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialDefaults {
    /// Bits per second.
    pub baud: u32,
    /// none, even or odd.
    #[serde(default)]
    pub parity: Parity,
    /// 1 or 2.
    #[serde(default = "one")]
    pub stop_bits: u8,
}

fn one() -> u8 {
    1
}

/// Reading rules of a profile.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadSettings {
    /// Function code of points that name none: 1 to 4. Default 3.
    pub function: Option<u8>,
    /// Subtracted from every address: 0 for wire addresses, 1 for a manual that counts from one. Default 0.
    pub base: Option<u32>,
    /// Order of words and bytes of points that name none. Default ABCD.
    pub order: Option<Order>,
    /// Most registers of one read. Default 125.
    pub max_regs: Option<u16>,
    /// Most bits of one read. Default 2000.
    pub max_bits: Option<u16>,
    /// Unused registers or bits that a read may run across. Default 16.
    pub max_gap: Option<u16>,
    /// Addresses that no read may run across.
    #[serde(default)]
    pub barriers: Vec<u32>,
    /// Runs that are read whole or not at all.
    #[serde(default)]
    pub atomic: Vec<AtomicSettings>,
    /// Silence before each request, milliseconds.
    pub pause_ms: Option<u64>,
    /// Longest wait for an answer, milliseconds.
    pub timeout_ms: Option<u64>,
}

/// A run that is read whole.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtomicSettings {
    /// First address, before `base` is subtracted.
    pub address: u32,
    /// Registers or bits.
    pub count: u16,
    /// Function code, where it differs from `[read]`.
    pub function: Option<u8>,
}

/// A variant.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantSettings {
    /// Ident values that choose it.
    pub ident: Vec<IdentValue>,
    /// Overrides the most registers of one read.
    pub max_regs: Option<u16>,
    /// Points of the base that this variant lacks.
    #[serde(default)]
    pub without: Vec<String>,
    /// Points that replace or join the base.
    #[serde(default)]
    pub points: BTreeMap<String, PointSettings>,
}

/// A value that an ident register may hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum IdentValue {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// How a point lies in the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it; docs/profiles.md explains")]
pub enum Type {
    Bool,
    U8hi,
    U8lo,
    I8hi,
    I8lo,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
    Bcd16,
    Bcd32,
    Bcd64,
    String,
}

/// How many characters a register of a string holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CharsSetting {
    /// 1 or 2.
    Number(u8),
    /// `swapped`: two, low byte first.
    Word(String),
}

/// A point of a profile.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointSettings {
    /// Register, coil or input, before `base` is subtracted.
    pub address: u32,
    /// How it lies in the registers.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Bit 0 to 15 of a register.
    pub bit: Option<u8>,
    /// Lowest bit and count of a bit field.
    pub bits: Option<[u8; 2]>,
    /// True when the bit is 0.
    #[serde(default)]
    pub invert: bool,
    /// Makes a bool of an integer: true at these raw values.
    #[serde(default)]
    pub true_when: Vec<i64>,
    /// Registers of a string.
    pub length: Option<u8>,
    /// Characters a register of a string: 2, 1 or `swapped`.
    pub chars: Option<CharsSetting>,
    /// Function code, where it differs from `[read]`.
    pub function: Option<u8>,
    /// Order of words and bytes, where it differs from `[read]`.
    pub order: Option<Order>,
    /// Exact factor, written as text.
    pub scale: Option<String>,
    /// Exact offset, written as text.
    pub offset: Option<String>,
    /// Factors that stand in registers.
    #[serde(default)]
    pub scale_from: OneOrMany,
    /// Raw value -> reason.
    #[serde(default)]
    pub sentinels: BTreeMap<String, String>,
    /// Lowest and highest value that can be true.
    pub range: Option<[f64; 2]>,
    /// Poll group.
    pub group: Option<String>,
    /// Where a counter rolls over, in the unit of the point, written as text.
    pub modulus: Option<String>,
    /// Texts of a code.
    #[serde(default)]
    pub texts: BTreeMap<String, Names>,
    /// The maker's words for the register; shown by `read`.
    #[serde(default)]
    pub note: String,
}

/// One table or a list of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One factor.
    One(ScaleFromSettings),
    /// Several, multiplied.
    Many(Vec<ScaleFromSettings>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        OneOrMany::Many(Vec::new())
    }
}

impl OneOrMany {
    /// As a list.
    pub fn as_slice(&self) -> &[ScaleFromSettings] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// A factor that another register's value stands for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleFromSettings {
    /// Its address.
    pub address: u32,
    /// An integer type. Default u16.
    #[serde(rename = "type", default = "u16_type")]
    pub kind: Type,
    /// Function code, where it differs from `[read]`.
    pub function: Option<u8>,
    /// Its value -> the factor, written as text.
    pub map: BTreeMap<String, String>,
}

fn u16_type() -> Type {
    Type::U16
}
