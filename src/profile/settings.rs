//! The contents of a profile's file before they are checked. The doc comments are the reference.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::line::Parity;
use crate::model::point::LocalizedText;
use crate::model::time::DurationText;
use crate::profile::{Charset, DateLayout, Order};

/// What the registers of a kind of device mean: `config/profiles/NAME.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// Version of this format: 1.
    pub format: u32,
    /// The same as the file's name.
    pub name: String,
    /// Name of the device's maker, for people.
    pub maker: String,
    /// Models that it is for, in words: `CIM 200, CIM 500 (single pump)`.
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
    /// How registers are read: function, order of words, limits of one read.
    #[serde(default)]
    pub read: ReadSettings,
    /// Read once after each connect to choose a variant.
    pub ident: Option<PointSettings>,
    /// Points that replace or join the base when the ident matches.
    #[serde(default)]
    pub variants: BTreeMap<String, VariantSettings>,
    /// Poll groups: name -> how often.
    pub groups: BTreeMap<String, DurationText>,
    /// Points of the device: name in the vocabulary of the class, or `x_…` for a maker's extra -> where it is read.
    #[serde(default)]
    pub points: BTreeMap<String, PointSettings>,
}

/// Serial line as the maker delivers it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialDefaults {
    /// Speed in bits per second, where the link sets none.
    pub baud: u32,
    /// none, even or odd.
    #[serde(default)]
    pub parity: Parity,
    /// Stop bits of a character: 1 or 2. Default 1.
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
    /// Length in registers, or in bits for functions 1 and 2; it has to fit into one read.
    pub count: u16,
    /// Function code, where it differs from `[read]`.
    pub function: Option<u8>,
}

/// A variant of the device: what differs where the ident has certain values.
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
    /// The ident is this integer.
    Number(i64),
    /// The ident, as it is printed, is this text.
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
    U24,
    I24,
    U32,
    I32,
    U48,
    I48,
    U64,
    I64,
    Sm16,
    Sm32,
    M10k32,
    M10k48,
    M10k64,
    F16,
    F32,
    F64,
    Bcd16,
    Bcd32,
    Bcd48,
    Bcd64,
    Datetime,
    String,
}

/// How many characters a register of a string holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CharsSetting {
    /// 2: two, high byte first. 1: one, in the low byte.
    Number(u8),
    /// `swapped`: two, low byte first.
    Word(String),
}

/// A point of a profile. A point of a variant that the base has too inherits the keys that it does not write.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointSettings {
    /// Register, coil or input, before `base` is subtracted.
    pub address: Option<u32>,
    /// Registers of a value whose words do not lie side by side, highest first, instead of `address`. They are read in one request.
    pub words: Option<Vec<u32>>,
    /// How it lies in the registers.
    #[serde(rename = "type")]
    pub kind: Option<Type>,
    /// Bit 0 to 15 of a register.
    pub bit: Option<u8>,
    /// Lowest bit and count of a bit field.
    pub bits: Option<[u8; 2]>,
    /// True when the bit is 0.
    pub invert: Option<bool>,
    /// Makes a bool of an integer: true at these raw values.
    pub true_when: Option<Vec<i64>>,
    /// Registers of a string.
    pub length: Option<u8>,
    /// Characters a register of a string: 2, 1 or `swapped`.
    pub chars: Option<CharsSetting>,
    /// Which characters the bytes of a string stand for: utf8, gbk or latin1. Default utf8.
    pub charset: Option<Charset>,
    /// The string is a decimal number.
    pub number: Option<bool>,
    /// How a datetime lies: words, bytes, bcd, unix or iec.
    pub layout: Option<DateLayout>,
    /// Function code, where it differs from `[read]`.
    pub function: Option<u8>,
    /// Order of words and bytes, where it differs from `[read]`.
    pub order: Option<Order>,
    /// Exact factor, written as text.
    pub scale: Option<String>,
    /// Exact offset, written as text.
    pub offset: Option<String>,
    /// Factors that stand in registers.
    pub scale_from: Option<OneOrMany>,
    /// Raw value -> reason; of a string the text itself.
    pub sentinels: Option<BTreeMap<String, String>>,
    /// Lowest and highest value that can be true.
    pub range: Option<[f64; 2]>,
    /// Poll group, one of `[groups]`; not needed where there is only one.
    pub group: Option<String>,
    /// Where a counter rolls over, in the unit of the point, written as text.
    pub modulus: Option<String>,
    /// Texts of a code.
    pub texts: Option<BTreeMap<String, LocalizedText>>,
    /// The maker's words for the register; shown by `read`.
    #[serde(default)]
    pub note: String,
}

impl PointSettings {
    /// A point of a variant, with the keys it does not set taken from the base. A new type inherits none of the keys that depend on the
    /// type.
    #[must_use]
    pub fn over(&self, base: &PointSettings) -> PointSettings {
        let (own, same_type) = (self.clone(), self.kind.is_none() || self.kind == base.kind);
        let base = base.clone();
        let of_type = PointSettings { address: None, words: None, function: None, group: None, ..base.clone() };
        let of_type = if same_type { of_type } else { PointSettings::default() };
        let is_placed = own.address.is_some() || own.words.is_some();
        PointSettings {
            address: if is_placed { own.address } else { base.address },
            words: if is_placed { own.words } else { base.words },
            kind: own.kind.or(base.kind),
            bit: own.bit.or(of_type.bit),
            bits: own.bits.or(of_type.bits),
            invert: own.invert.or(of_type.invert),
            true_when: own.true_when.or(of_type.true_when),
            length: own.length.or(of_type.length),
            chars: own.chars.or(of_type.chars),
            charset: own.charset.or(of_type.charset),
            number: own.number.or(of_type.number),
            layout: own.layout.or(of_type.layout),
            function: own.function.or(base.function),
            order: own.order.or(of_type.order),
            scale: own.scale.or(of_type.scale),
            offset: own.offset.or(of_type.offset),
            scale_from: own.scale_from.or(of_type.scale_from),
            sentinels: own.sentinels.or(of_type.sentinels),
            range: own.range.or(of_type.range),
            group: own.group.or(base.group),
            modulus: own.modulus.or(of_type.modulus),
            texts: own.texts.or(of_type.texts),
            note: if own.note.is_empty() { base.note } else { own.note },
        }
    }
}

/// One table or a list of them.
#[derive(Clone, Debug, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One register with the factor.
    One(ScaleFromSettings),
    /// Several registers, whose factors are multiplied.
    Many(Vec<ScaleFromSettings>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    /// Chooses by the type of the input, so that an error names the key that is wrong or missing.
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table { address = 10, map = { 0 = \"1\" } } or a list of them")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                let table = serde::de::value::MapAccessDeserializer::new(map);
                ScaleFromSettings::deserialize(table).map(OneOrMany::One)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<OneOrMany, A::Error> {
                let list = serde::de::value::SeqAccessDeserializer::new(seq);
                Vec::deserialize(list).map(OneOrMany::Many)
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl OneOrMany {
    pub fn as_slice(&self) -> &[ScaleFromSettings] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// A factor that another register's value stands for: by `map`, as `power_of_ten`, or else the value itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleFromSettings {
    /// Address of the register with the factor, before `base` is subtracted.
    pub address: u32,
    /// An integer or float type. Default u16.
    #[serde(rename = "type", default = "u16_type")]
    pub kind: Type,
    /// Function code, where it differs from `[read]`.
    pub function: Option<u8>,
    /// Order of words and bytes, where it differs from `[read]`.
    pub order: Option<Order>,
    /// Its value -> the factor, written as text.
    pub map: Option<BTreeMap<String, String>>,
    /// Its value is the exponent of a power of ten, -28 to 28.
    #[serde(default)]
    pub power_of_ten: bool,
    /// Exact factor of the value where it is the factor itself, written as text.
    pub scale: Option<String>,
}

fn u16_type() -> Type {
    Type::U16
}
