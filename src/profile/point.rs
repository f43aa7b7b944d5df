//! Turns the keys of one point into a checked definition: its registers and their encoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::model::point::{Encoding, LocalizedText, PointKind, Retention};
use crate::model::problem::did_you_mean;
use crate::model::quality::Cause;
use crate::model::registers::{RegisterRange, RegisterType};
use crate::profile::build::ProfileBuilder;
use crate::profile::form::{parse_integer, raw_encoding, usual_encoding};
use crate::profile::keys;
use crate::profile::settings::{OneOrMany, PointSettings, ScaleFromSettings, Type};
use crate::profile::{Order, PointDef, RegisterEncoding, ScaleFactor, ScaleRegister};

/// Raw values and texts that mean no value.
type Sentinels = (Vec<(u64, Cause)>, Vec<(Arc<str>, Cause)>);

impl ProfileBuilder<'_> {
    /// The part of a point that defines its registers and their encoding.
    pub(super) fn encoded_point(&mut self, path: &[&str], name: &str, settings: &PointSettings) -> Option<PointDef> {
        let area = self.register_type(&[path, &["function"]].concat(), settings.function);
        let Some(type_) = settings.kind else {
            self.error(path, "missing field `type`", "type = \"u16\"; docs/profiles.md lists the types");
            return None;
        };
        let wire = self.encoding(path, type_, settings, area);
        let location = self.word_location(path, settings, area, wire.map_or(1, RegisterEncoding::register_count));
        let scale = self.decimal(path, "scale", settings.scale.as_deref()).unwrap_or(Decimal::ONE);
        let offset = self.decimal(path, "offset", settings.offset.as_deref()).unwrap_or(Decimal::ZERO);
        let modulus = self.decimal(path, "modulus", settings.modulus.as_deref());
        let texts = self.texts(path, settings.texts.as_ref().unwrap_or(&BTreeMap::new()));
        let mut scale_from = Vec::new();
        for (i, from) in settings.scale_from.as_ref().map_or(&[][..], OneOrMany::as_slice).iter().enumerate() {
            scale_from.extend(self.scale_from(&[path, &["scale_from", &i.to_string()]].concat(), from));
        }
        let range = self.range(path, settings);
        if let Some(wire) = wire {
            keys::check_type(&mut self.findings, path, settings, wire);
        }
        let (sentinels, text_sentinels) = wire.map(|w| self.sentinels(path, settings, w)).unwrap_or_default();
        let ((span, apart), wire) = location.zip(wire)?;
        let order = settings.order.or(self.file.read.order).unwrap_or(Order::Abcd);
        if order.is_64_bit() && wire.register_count() != 4 {
            let message = "this order is one of 64 bits, which this type has not";
            self.error(&[path, &["order"]].concat(), message, "ABCD, CDAB, BADC or DCBA");
        }
        let true_when = settings.true_when.clone().unwrap_or_default();
        let usual_encoding =
            if true_when.is_empty() { usual_encoding(wire, scale, offset, &scale_from) } else { Encoding::Bool };
        let kind = match usual_encoding {
            Encoding::Bool => PointKind::Bool,
            Encoding::Text => PointKind::Text,
            _ if !texts.is_empty() => PointKind::Code,
            _ => PointKind::Number,
        };
        let retention = if kind == PointKind::Number { Retention::Telemetry } else { Retention::State };
        Some(PointDef {
            name: name.into(),
            kind,
            retention,
            encoding: usual_encoding,
            span,
            word_offsets: apart,
            register_encoding: wire,
            order,
            poll_group: "".into(),
            scale,
            offset,
            scale_registers: scale_from,
            invert: settings.invert.unwrap_or(false),
            true_when,
            sentinels,
            text_sentinels,
            range,
            modulus,
            texts,
        })
    }

    /// The register range, and the offsets of the words in it if they are not adjacent.
    fn word_location(
        &mut self,
        path: &[&str],
        s: &PointSettings,
        area: RegisterType,
        count: u16,
    ) -> Option<(RegisterRange, Vec<u8>)> {
        let Some(words) = &s.words else {
            let Some(address) = s.address else {
                self.error(path, "missing field `address`", "address = 0, as the manual counts it (less `base`)");
                return None;
            };
            return Some((self.register_range(path, area, address, count)?, Vec::new()));
        };
        let at = [path, &["words"]].concat();
        if s.address.is_some() {
            self.error(&at, "`address` and `words` both say where it lies", "keep one of them");
        }
        if area.is_bits() || words.len() != usize::from(count) || words.len() < 2 {
            let message = format!("this type has {count} registers, and `words` names {}", words.len());
            self.error(&at, message, "words = [100, 105]: each register of a value of two or more, highest first");
            return None;
        }
        let (low, high) = (words.iter().min().copied()?, words.iter().max().copied()?);
        let max_span = u32::from(self.file.read.max_regs.unwrap_or(125).clamp(1, 125));
        if high - low >= max_span {
            let message = format!("its registers lie {} apart, and one read takes {max_span}", high - low);
            self.error(&at, message, "read apart the value could be torn: leave it out");
            return None;
        }
        let count = u16::try_from(high - low + 1).ok()?;
        let places = words.iter().filter_map(|w| u8::try_from(w - low).ok()).collect();
        Some((self.register_range(path, area, low, count)?, places))
    }

    fn range(&mut self, path: &[&str], settings: &PointSettings) -> Option<(Decimal, Decimal)> {
        let [low, high] = settings.range?;
        let pair = low.to_string().parse().ok().zip(high.to_string().parse().ok());
        if pair.is_none() || low > high {
            let message = "the range is not a pair of numbers, lowest first";
            self.error(&[path, &["range"]].concat(), message, "range = [0, 500]");
        }
        pair
    }

    fn encoding(
        &mut self,
        path: &[&str],
        type_: Type,
        s: &PointSettings,
        area: RegisterType,
    ) -> Option<RegisterEncoding> {
        let type_path = [path, &["type"]].concat();
        if area.is_bits() != (type_ == Type::Bool && s.bit.is_none()) {
            let hint = "functions 1 and 2 give `bool`; a bool from a register needs `bit`";
            self.error(&type_path, "this type does not go with this function", hint);
            return None;
        }
        if type_ == Type::String && s.length.is_none() {
            self.error(path, "a string needs its length in registers", "length = 8");
            return None;
        }
        if type_ == Type::Datetime && s.layout.is_none() {
            self.error(
                path,
                "a datetime needs its layout",
                "layout = \"words\", \"bytes\", \"bcd\", \"unix\" or \"iec\"",
            );
            return None;
        }
        let wire = raw_encoding(type_, s);
        let bits_max = wire.register_count() * 16;
        match (s.bit, s.bits, wire) {
            (Some(bit), None, _) if type_ == Type::Bool && bit < 16 => Some(RegisterEncoding::Bit(bit)),
            (Some(_), _, _) => {
                self.error(
                    &[path, &["bit"]].concat(),
                    "`bit` is 0 to 15, with type = \"bool\"",
                    "for more than one bit use `bits`",
                );
                None
            }
            (None, Some([low, count]), RegisterEncoding::Int { registers, signed: false })
                if count > 0 && u16::from(low) + u16::from(count) <= bits_max =>
            {
                Some(RegisterEncoding::Bits { low, count, registers })
            }
            (None, Some(_), _) => {
                self.error(
                    &[path, &["bits"]].concat(),
                    "`bits` is [lowest, count] within a u16, u32, u48 or u64",
                    "a nibble is bits = [4, 4]",
                );
                None
            }
            (None, None, _) => Some(wire),
        }
    }

    fn decimal(&mut self, path: &[&str], key: &str, text: Option<&str>) -> Option<Decimal> {
        let text = text?;
        let parsed = Decimal::from_str_exact(text).ok();
        if parsed.is_none() {
            self.error(
                &[path, &[key]].concat(),
                format!("`{text}` is not a decimal number"),
                "written as text, exactly: \"0.001\"",
            );
        }
        parsed
    }

    /// Raw values, or texts, with which a device reports that it has no value.
    fn sentinels(&mut self, path: &[&str], settings: &PointSettings, wire: RegisterEncoding) -> Sentinels {
        let (mut raws, mut texts) = (Vec::new(), Vec::new());
        let is_text = matches!(wire, RegisterEncoding::Text { .. });
        for (raw, reason) in settings.sentinels.iter().flatten() {
            let at = [path, &["sentinels", raw.as_str()]].concat();
            let Some(cause) = Cause::from_word(reason).filter(|c| c.is_sentinel()) else {
                let known: Vec<&str> = Cause::ALL.iter().filter(|c| c.is_sentinel()).map(|c| c.word()).collect();
                self.error(&at, format!("unknown reason `{reason}`"), did_you_mean(reason, known));
                continue;
            };
            if is_text && raw.starts_with("0x") {
                self.error(
                    &at,
                    format!("`{raw}` is a raw number, and this is a string"),
                    "write the text itself: \"N/A\"",
                );
                continue;
            }
            if is_text {
                texts.push((raw.trim().into(), cause));
                continue;
            }
            // keys.rs refuses sentinels of a coil or datetime.
            let Some(bits) = wire.raw_bits() else { continue };
            match parse_integer(raw).and_then(|v| u64::try_from(v).ok()) {
                Some(value) if bits >= 64 || value >> bits == 0 => raws.push((value, cause)),
                Some(_) => {
                    let message = format!("`{raw}` is wider than the {bits} bits of this type: it can never come");
                    self.error(&at, message, "the raw value as the device sends it, without sign");
                }
                None => {
                    self.error(&at, format!("`{raw}` is not a raw value"), "an unsigned number: 65535 or 0xFFFF");
                }
            }
        }
        (raws, texts)
    }

    fn texts(&mut self, path: &[&str], texts: &BTreeMap<String, LocalizedText>) -> BTreeMap<i64, LocalizedText> {
        let mut out = BTreeMap::new();
        for (code, names) in texts {
            match parse_integer(code).and_then(|c| i64::try_from(c).ok()) {
                Some(code) => drop(out.insert(code, names.clone())),
                None => {
                    self.error(&[path, &["texts", code]].concat(), format!("`{code}` is not a code"), "a whole number");
                }
            }
        }
        out
    }

    fn scale_from(&mut self, path: &[&str], from: &ScaleFromSettings) -> Option<ScaleRegister> {
        let area = self.register_type(path, from.function);
        let wire = raw_encoding(from.kind, &PointSettings::default());
        let is_number = wire.raw_bits().is_some() && from.kind != Type::Bool;
        if area.is_bits() || !is_number {
            self.error(path, "a scale register is a number", "type = \"u16\"");
            return None;
        }
        let span = self.register_range(path, area, from.address, wire.register_count())?;
        let order = from.order.or(self.file.read.order).unwrap_or(Order::Abcd);
        let is_float = matches!(wire, RegisterEncoding::Float { .. });
        let factor = match (&from.map, from.power_of_ten, &from.scale) {
            (Some(map), false, None) if !is_float => ScaleFactor::Map(self.factors(path, map)),
            (None, true, None) if !is_float => ScaleFactor::PowerOfTen,
            (None, false, scale) => {
                ScaleFactor::Number(self.decimal(path, "scale", scale.as_deref()).unwrap_or(Decimal::ONE))
            }
            _ if is_float => {
                self.error(
                    path,
                    "a float is the factor itself: it has no `map` and no `power_of_ten`",
                    "leave them out",
                );
                return None;
            }
            _ => {
                let message = "`map`, `power_of_ten` and `scale` exclude each other";
                self.error(
                    path,
                    message,
                    "map = { 0 = \"1\" }, or power_of_ten = true, or neither: the value itself is the factor",
                );
                return None;
            }
        };
        Some(ScaleRegister { span, register_encoding: wire, order, factor })
    }

    fn factors(&mut self, path: &[&str], written: &BTreeMap<String, String>) -> BTreeMap<i64, Decimal> {
        let mut map = BTreeMap::new();
        if written.is_empty() {
            self.error(&[path, &["map"]].concat(), "`map` is empty: no value stands for a factor", "2 = \"0.01\"");
        }
        for (raw, factor) in written {
            let key = parse_integer(raw).and_then(|v| i64::try_from(v).ok());
            match key.zip(Decimal::from_str_exact(factor).ok()) {
                Some((key, factor)) => drop(map.insert(key, factor)),
                None => self.error(
                    &[path, &["map", raw]].concat(),
                    format!("`{raw} = {factor}` is not value = factor"),
                    "2 = \"0.01\"",
                ),
            }
        }
        map
    }
}
