//! The registers of a simulated unit. Values are written through its profile, so that a profile is exercised in both
//! directions.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive as _, ToPrimitive as _};

use crate::model::registers::{RegisterRange, RegisterType};
use crate::profile::{CharPacking, Order, PointDef, ProfileVariant, RegisterEncoding, ScaleFactor};

/// The registers and bits that a unit has. Reading anything else is answered with exception 2.
#[derive(Clone, Debug, Default)]
pub struct Image {
    words: BTreeMap<(RegisterType, u16), u16>,
    defs: BTreeMap<String, PointDef>,
}

impl Image {
    /// All registers of a profile variant, set to zero.
    pub fn new(layout: &ProfileVariant) -> Self {
        let mut image = Self::default();
        for point in &layout.points {
            image.add(point.span);
            point.scale_registers.iter().for_each(|s| image.add(s.span));
            image.defs.insert(point.name.to_string(), point.clone());
        }
        // Registers in gaps that a read may span exist too, as in real units.
        let spans: Vec<RegisterRange> = layout.points.iter().map(|p| p.span).collect();
        for (a, b) in spans.iter().flat_map(|a| spans.iter().map(move |b| (a, b))) {
            if a.register_type == b.register_type
                && a.end() < u32::from(b.address)
                && u32::from(b.address) - a.end() <= u32::from(layout.read_rules.max_gap)
            {
                (a.end()..u32::from(b.address)).filter_map(|x| u16::try_from(x).ok()).for_each(|x| {
                    image.words.entry((a.register_type, x)).or_insert(0);
                });
            }
        }
        // A quantity that cannot be zero (a temperature in kelvin) starts with a legal value.
        let zero_is_wrong = |p: &&PointDef| p.range.is_some_and(|(low, high)| p.offset < low || p.offset > high);
        for point in layout.points.iter().filter(zero_is_wrong) {
            let (low, high) = point.range.unwrap_or_default();
            image.set(&point.name, Decimal::from(20).clamp(low, high).to_f64().unwrap_or(0.0));
        }
        image
    }

    fn add(&mut self, span: RegisterRange) {
        (0..span.count).for_each(|i| {
            self.words.insert((span.register_type, span.address + i), 0);
        });
    }

    /// The words of a register range; `None` if the unit lacks one of them.
    pub fn get(&self, span: RegisterRange) -> Option<Vec<u16>> {
        (0..span.count).map(|i| self.words.get(&(span.register_type, span.address.checked_add(i)?)).copied()).collect()
    }

    /// Sets a point; a bool is true unless the value is 0. Points that are made from another point's code are left unchanged.
    pub fn set(&mut self, point: &str, value: f64) {
        let Some(def) = self.defs.get(point).cloned() else { return };
        if !def.true_when.is_empty() {
            return;
        }
        match def.register_encoding {
            RegisterEncoding::Coil => self.put(def.span, &[u16::from((value != 0.0) != def.invert)]),
            RegisterEncoding::Bit(bit) => {
                let on = (value != 0.0) != def.invert;
                self.merge(&def, 1 << bit, if on { 1 << bit } else { 0 });
            }
            RegisterEncoding::Bits { low, count, .. } => {
                let mask = ((1u64 << count) - 1) << low;
                self.merge(&def, mask, (self.raw(&def, value).cast_unsigned() << low) & mask);
            }
            RegisterEncoding::Byte { is_high_byte: high, .. } => {
                let shift = if high { 8 } else { 0 };
                self.merge(&def, 0xFF << shift, (self.raw(&def, value).cast_unsigned() & 0xFF) << shift);
            }
            RegisterEncoding::Int { .. } | RegisterEncoding::Int24 { .. } => {
                self.put_bits(&def, self.raw(&def, value).cast_unsigned());
            }
            RegisterEncoding::Float { registers } => {
                let raw = self.raw_float(&def, value);
                #[expect(clippy::cast_possible_truncation, reason = "a single is what goes on the wire")]
                let bits = if registers == 2 { u64::from((raw as f32).to_bits()) } else { raw.to_bits() };
                self.put_bits(&def, bits);
            }
            RegisterEncoding::Bcd { .. } => {
                let digits = self.raw(&def, value).unsigned_abs().to_string();
                self.put_bits(&def, u64::from_str_radix(&digits, 16).unwrap_or(0));
            }
            // No shipped profile uses these encodings.
            RegisterEncoding::SignMagnitude { .. }
            | RegisterEncoding::Modulo10k { .. }
            | RegisterEncoding::Date(_)
            | RegisterEncoding::Text { .. } => {}
        }
    }

    /// Sets a point that holds text.
    pub fn set_text(&mut self, point: &str, text: &str) {
        let Some(def) = self.defs.get(point).cloned() else { return };
        let RegisterEncoding::Text { registers, chars, .. } = def.register_encoding else { return };
        let mut bytes = text.bytes().chain(std::iter::repeat(0));
        let mut next = || bytes.next().unwrap_or(0);
        let word = |_| match chars {
            CharPacking::One => u16::from(next()),
            CharPacking::Two => u16::from_be_bytes([next(), next()]),
            CharPacking::TwoSwapped => u16::from_le_bytes([next(), next()]),
        };
        let words: Vec<u16> = (0..registers).map(word).collect();
        self.put(def.span, &words);
    }

    /// Sets a register to a raw word.
    pub fn set_word(&mut self, area: RegisterType, address: u16, word: u16) {
        self.words.insert((area, address), word);
    }

    /// The raw integer of a value: offset and scale are removed exactly, then the result is rounded.
    fn raw(&self, def: &PointDef, value: f64) -> i64 {
        let decimal = Decimal::from_f64(value).unwrap_or_default();
        let factor = def.scale * self.factor(def);
        if factor.is_zero() {
            return 0;
        }
        ((decimal - def.offset) / factor).round().to_i64().unwrap_or(0)
    }

    fn raw_float(&self, def: &PointDef, value: f64) -> f64 {
        let factor = (def.scale * self.factor(def)).to_f64().unwrap_or(1.0);
        (value - def.offset.to_f64().unwrap_or(0.0)) / factor
    }

    /// The scale factor that other registers hold at present.
    fn factor(&self, def: &PointDef) -> Decimal {
        let one = |from: &crate::profile::ScaleRegister| {
            let words = self.get(from.span).unwrap_or_default();
            let raw = words.iter().fold(0i64, |acc, w| acc << 16 | i64::from(*w));
            match &from.factor {
                ScaleFactor::Map(map) => map.get(&raw).copied().unwrap_or(Decimal::ONE),
                ScaleFactor::Number(_) | ScaleFactor::PowerOfTen => Decimal::ONE,
            }
        };
        def.scale_registers.iter().map(one).product()
    }

    fn merge(&mut self, def: &PointDef, mask: u64, bits: u64) {
        let words = self.get(def.span).unwrap_or_default();
        let now = order(&words, def.order).iter().fold(0u64, |acc, w| acc << 16 | u64::from(*w));
        self.put_bits(def, now & !mask | bits & mask);
    }

    fn put_bits(&mut self, def: &PointDef, bits: u64) {
        let n = usize::from(def.span.count);
        #[expect(clippy::cast_possible_truncation, reason = "sixteen bits at a time")]
        let words: Vec<u16> = (0..n).rev().map(|i| (bits >> (16 * i)) as u16).collect();
        self.put(def.span, &order(&words, def.order));
    }

    fn put(&mut self, span: RegisterRange, words: &[u16]) {
        for (i, word) in (0..span.count).zip(words) {
            self.words.insert((span.register_type, span.address + i), *word);
        }
    }
}

/// Converts between value order and wire order of words; its own inverse.
fn order(words: &[u16], order: Order) -> Vec<u16> {
    let mut out: Vec<u16> = (0..words.len()).map(|i| words[order.word_index(i, words.len())]).collect();
    if order.swaps_bytes() {
        out.iter_mut().for_each(|w| *w = w.swap_bytes());
    }
    out
}
