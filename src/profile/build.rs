//! Builds a checked profile from what its file contains, and reports every finding at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::point::{Encoding, PointKind, Retention};
use crate::model::problem::{FileFinding, did_you_mean};
use crate::model::registers::{RegisterRange, RegisterType};
use crate::profile::form::{default_modulus, parse_integer};
use crate::profile::keys;
use crate::profile::settings::{IdentValue, PointSettings, ProfileFile, ReadSettings, VariantSettings};
use crate::profile::vocabulary::Vocabulary;
use crate::profile::{PointDef, Profile, ProfileVariant, ReadRules, RegisterEncoding};

/// Checks a profile. Returns one when no finding is an error.
pub fn build(file: &ProfileFile, vocabulary: &Vocabulary) -> (Option<Profile>, Vec<FileFinding>) {
    let mut builder = ProfileBuilder { file, vocabulary, findings: Vec::new(), groups: BTreeMap::new() };
    let profile = builder.run();
    let has_errors = builder.findings.iter().any(|f| f.severity == crate::model::problem::Severity::Error);
    (if has_errors { None } else { profile }, builder.findings)
}

pub(super) struct ProfileBuilder<'a> {
    pub(super) file: &'a ProfileFile,
    vocabulary: &'a Vocabulary,
    pub(super) findings: Vec<FileFinding>,
    groups: BTreeMap<Arc<str>, u64>,
}

impl ProfileBuilder<'_> {
    pub(super) fn error(&mut self, path: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(FileFinding::error(path, message, hint));
    }

    /// Addresses as 40001 are legal on the wire and mean another register in many manuals; whoever writes `base` has decided.
    fn warn_of_reference_numbers(&mut self, points: &[PointDef]) {
        let is_one = |p: &PointDef| match p.span.register_type {
            RegisterType::Holding => (40_001..=49_999).contains(&p.span.address),
            RegisterType::Input => (30_001..=39_999).contains(&p.span.address),
            RegisterType::Coil | RegisterType::Discrete => false,
        };
        if self.file.read.base.is_none() && !points.is_empty() && points.iter().all(is_one) {
            let first = points.iter().map(|p| p.span.address).min().unwrap_or_default();
            let area = if first < 40_001 { 30_001 } else { 40_001 };
            let what = format!(
                "all addresses are read as they are, from {first} on; many manuals mean by {area} the first register"
            );
            let hint = format!("base = {area} in [read] if yours does, base = 0 if these are wire addresses");
            self.findings.push(FileFinding::warning(&["read"], what, hint));
        }
    }

    fn run(&mut self) -> Option<Profile> {
        let file = self.file;
        if file.format != 1 {
            self.error(&["format"], format!("format {} is not known", file.format), "this version reads format 1");
        }
        let classes: Vec<&str> = self.vocabulary.classes.keys().map(|k| &**k).chain(["any"]).collect();
        if !classes.contains(&file.class.as_str()) {
            self.error(&["class"], format!("unknown class `{}`", file.class), did_you_mean(&file.class, classes));
        }
        for (name, every) in &file.groups {
            match every.ms() {
                Some(ms) => drop(self.groups.insert(name.as_str().into(), ms)),
                None => self.error(
                    &["groups", name],
                    format!("`{}` is not a duration", every.0),
                    "write it as 500ms, 1s, 15m or 1h",
                ),
            }
        }
        let read = self.read_rules(&file.read);
        let mut base = Vec::new();
        for (name, point) in &file.points {
            base.extend(self.point(&["points", name], name, point));
        }
        self.report_overlaps(&base, &["points"]);
        self.warn_of_reference_numbers(&base);
        let ident = file.ident.as_ref().and_then(|p| self.encoded_point(&["ident"], "x_ident", p));
        let mut variants = vec![ProfileVariant {
            name: "base".into(),
            ident_values: Vec::new(),
            read_rules: read.clone(),
            points: base.clone(),
        }];
        for (name, variant) in &file.variants {
            variants.push(self.variant(name, variant, &read, &base));
        }
        if !file.variants.is_empty() && file.ident.is_none() {
            self.error(
                &["variants"],
                "variants without an [ident]",
                "add [ident] with the register that tells them apart",
            );
        }
        let mut notes = vec![format!("source: {}", file.source)];
        if !file.checked_on_hardware {
            notes.push("not checked on hardware".to_string());
        }
        notes.extend(file.left_out.iter().map(|l| format!("left out: {l}")));
        Some(Profile {
            name: file.name.as_str().into(),
            title: format!("{} {}", file.maker, file.model),
            class: file.class.as_str().into(),
            ident,
            variants,
            groups: std::mem::take(&mut self.groups),
            serial_defaults: file.serial.clone(),
            notes,
        })
    }

    fn variant(
        &mut self,
        name: &str,
        variant: &VariantSettings,
        read: &ReadRules,
        base: &[PointDef],
    ) -> ProfileVariant {
        let mut points: BTreeMap<Arc<str>, PointDef> = base.iter().map(|p| (Arc::clone(&p.name), p.clone())).collect();
        for removed in &variant.without {
            if points.remove(removed.as_str()).is_none() {
                let message = format!("`{removed}` is not a point of the base");
                self.error(
                    &["variants", name, "without"],
                    message,
                    did_you_mean(removed, base.iter().map(|p| &*p.name)),
                );
            }
        }
        for (point_name, settings) in &variant.points {
            let settings =
                self.file.points.get(point_name).map_or_else(|| settings.clone(), |base| settings.over(base));
            if let Some(point) = self.point(&["variants", name, "points", point_name], point_name, &settings) {
                points.insert(Arc::clone(&point.name), point);
            }
        }
        let points: Vec<PointDef> = points.into_values().collect();
        self.report_overlaps(&points, &["variants", name, "points"]);
        let mut read = read.clone();
        if let Some(max) = variant.max_regs {
            read.max_regs = self.check_limit(&["variants", name, "max_regs"], max, 125);
        }
        let idents = variant.ident.iter().map(|i| match i {
            IdentValue::Number(n) => n.to_string(),
            IdentValue::Text(t) => t.clone(),
        });
        ProfileVariant { name: name.into(), ident_values: idents.collect(), read_rules: read, points }
    }

    fn check_limit(&mut self, path: &[&str], value: u16, most: u16) -> u16 {
        if value == 0 || value > most {
            self.error(path, format!("{value} is not between 1 and {most}"), "the Modbus specification sets the limit");
        }
        value.clamp(1, most)
    }

    fn read_rules(&mut self, read: &ReadSettings) -> ReadRules {
        let max_regs = self.check_limit(&["read", "max_regs"], read.max_regs.unwrap_or(125), 125);
        let max_bits = self.check_limit(&["read", "max_bits"], read.max_bits.unwrap_or(2000), 2000);
        let base = read.base.unwrap_or(0);
        let mut atomic = Vec::new();
        for (i, run) in read.atomic.iter().enumerate() {
            let path = ["read", "atomic", &i.to_string()];
            let area = self.register_type(&path, run.function);
            if let Some(span) = self.register_range(&path, area, run.address, run.count) {
                let most = if area.is_bits() { max_bits } else { max_regs };
                if span.count > most {
                    let message = format!("an atomic run of {} does not fit into one read of {most}", span.count);
                    self.error(&path, message, "raise max_regs, or split the run");
                }
                atomic.push(span);
            }
        }
        let mut barriers = Vec::new();
        for barrier in &read.barriers {
            match barrier.checked_sub(base).and_then(|b| u16::try_from(b).ok()) {
                Some(wire) => barriers.push(wire),
                None => self.error(
                    &["read", "barriers"],
                    format!("barrier {barrier} is not an address"),
                    "addresses are 0 to 65535 on the wire",
                ),
            }
        }
        barriers.sort_unstable();
        if read.timeout_ms.is_some_and(|ms| ms == 0 || ms > 60_000) {
            self.error(&["read", "timeout_ms"], "not a time-out", "1 to 60000 ms");
        }
        if read.pause_ms.is_some_and(|ms| ms > 10_000) {
            self.error(&["read", "pause_ms"], "too long a pause", "at most 10000 ms");
        }
        let (max_gap, pause_ms) = (read.max_gap.unwrap_or(16), read.pause_ms.unwrap_or(0));
        ReadRules { max_regs, max_bits, max_gap, barriers, atomic, pause_ms, timeout_ms: read.timeout_ms }
    }

    pub(super) fn register_type(&mut self, path: &[&str], function: Option<u8>) -> RegisterType {
        let function = function.or(self.file.read.function).unwrap_or(3);
        RegisterType::of(function).unwrap_or_else(|| {
            self.error(
                path,
                format!("function {function} does not read"),
                "1 coils, 2 discrete inputs, 3 holding registers, 4 input registers",
            );
            RegisterType::Holding
        })
    }

    pub(super) fn register_range(
        &mut self,
        path: &[&str],
        area: RegisterType,
        address: u32,
        count: u16,
    ) -> Option<RegisterRange> {
        let base = self.file.read.base.unwrap_or(0);
        let path = [path, &["address"]].concat();
        let Some(wire) = address.checked_sub(base) else {
            self.error(
                &path,
                format!("address {address} is below base {base}"),
                "addresses are written as the manual counts them",
            );
            return None;
        };
        if wire + u32::from(count) > 65_536 {
            let last = wire + u32::from(count) - 1;
            let hint = match reference_number(address) {
                Some((area, function, number)) => {
                    format!(
                        "as a manual's number it is {area} {number}: function = {function}, base = 1, address = {number}"
                    )
                }
                None => "a Modbus area has the addresses 0 to 65535".to_string(),
            };
            self.error(&path, format!("address {last} is beyond 65535"), hint);
            return None;
        }
        Some(RegisterRange { register_type: area, address: u16::try_from(wire).ok()?, count })
    }

    /// A point with its group and the kind from the vocabulary.
    fn point(&mut self, path: &[&str], name: &str, settings: &PointSettings) -> Option<PointDef> {
        let mut point = self.encoded_point(path, name, settings)?;
        match settings.group.as_deref() {
            Some(group) if self.groups.contains_key(group) => point.poll_group = group.into(),
            Some(group) => {
                let known: Vec<String> = self.groups.keys().map(ToString::to_string).collect();
                let path = [path, &["group"]].concat();
                self.error(
                    &path,
                    format!("unknown group `{group}`"),
                    did_you_mean(group, known.iter().map(String::as_str)),
                );
            }
            None if self.groups.len() == 1 => point.poll_group = self.groups.keys().next()?.clone(),
            None => self.error(path, format!("`{name}` has no group"), "group = one of [groups]"),
        }
        let class = self.file.class.as_str();
        let entry = self.vocabulary.point(class, name);
        if entry.is_none() && class != "any" && !name.starts_with("x_") {
            let hint = self.vocabulary.did_you_mean(class, name);
            self.error(
                path,
                format!("class `{class}` has no point `{name}`"),
                format!("{hint}; a maker's extra begins with x_"),
            );
        }
        if let Some(entry) = entry {
            point.kind = entry.kind;
            point.retention = entry.retention;
            for (code, names) in &entry.texts {
                if let Some(code) = parse_integer(code).and_then(|c| i64::try_from(c).ok()) {
                    point.texts.entry(code).or_insert_with(|| names.clone());
                }
            }
        }
        if entry.is_none() && settings.modulus.is_some() && point.kind == PointKind::Number {
            // A maker's extra that rolls over is a register reading.
            (point.kind, point.retention) = (PointKind::Counter, Retention::Cumulative);
        }
        self.apply_kind(path, &mut point, settings);
        Some(point)
    }

    /// Sets the encoding that follows from kind and type, or reports an error where they do not fit.
    fn apply_kind(&mut self, path: &[&str], point: &mut PointDef, settings: &PointSettings) {
        let is_bool = matches!(point.encoding, Encoding::Bool);
        let is_text = matches!(point.encoding, Encoding::Text);
        let fits = match point.kind {
            PointKind::Bool => is_bool,
            PointKind::Text => is_text,
            PointKind::Number | PointKind::Counter => !is_bool && !is_text,
            PointKind::Code => !is_text && !matches!(point.encoding, Encoding::F32 | Encoding::F64),
        };
        if !fits {
            let message =
                format!("`{}` is a {} in the vocabulary, which this type does not give", point.name, point.kind.word());
            self.error(
                &[path, &["type"]].concat(),
                message,
                "use the type that the vocabulary's kind needs, or an x_ name",
            );
        }
        keys::check_kind(&mut self.findings, path, settings, point.kind);
        if point.kind == PointKind::Code {
            point.encoding = Encoding::Code;
        }
        if point.kind == PointKind::Counter && point.modulus.is_none() {
            point.modulus = default_modulus(point.register_encoding, point.scale);
        }
    }

    /// Reports two points on the same registers, unless both are parts of them.
    fn report_overlaps(&mut self, points: &[PointDef], path: &[&str]) {
        let partial = |p: &PointDef| {
            matches!(
                p.register_encoding,
                RegisterEncoding::Bit(_) | RegisterEncoding::Bits { .. } | RegisterEncoding::Byte { .. }
            ) || !p.true_when.is_empty()
        };
        let mut sorted: Vec<&PointDef> = points.iter().collect();
        sorted.sort_by_key(|p| (p.span, Arc::clone(&p.name)));
        for (i, a) in sorted.iter().enumerate() {
            for b in sorted[i + 1..].iter().take_while(|b| a.span.overlaps(&b.span)) {
                let same_code = (a.kind == PointKind::Code && partial(b)) || (b.kind == PointKind::Code && partial(a));
                if !(same_code || partial(a) && partial(b)) {
                    let message = format!("`{}` and `{}` lie on the same registers", a.name, b.name);
                    self.error(
                        &[path, &[&*b.name]].concat(),
                        message,
                        "mend one of the addresses or types; parts of a register need bit or bits",
                    );
                }
            }
        }
    }
}

/// What a six-digit number of a manual, 400001 or 300001 and up, means: area, function, number counted from one.
fn reference_number(address: u32) -> Option<(&'static str, u8, u32)> {
    match address {
        300_001..=365_536 => Some(("input register", 4, address - 300_000)),
        400_001..=465_536 => Some(("holding register", 3, address - 400_000)),
        _ => None,
    }
}
