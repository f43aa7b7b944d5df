//! Checks metering points as the configuration writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::meter::{AreaSettings, CircuitSide, MeterSettings};
use crate::energy::metering::{KnownRegisters, Meter, MeteringPlan, MeteringPoint, MeteringSource, moment};
use crate::model::problem::{FileFinding, Severity, did_you_mean};
use crate::model::time::UnixMillis;

/// Factors of instrument transformers beyond this are a slip of the pen: 10,000 A to 1 A and 500 kV to 100 V together.
const MULTIPLIER_MAX: i64 = 50_000_000;

/// What stands in the files, with what is needed to check it.
#[derive(Clone, Copy)]
pub struct MeteringTables<'a> {
    /// `[[meter]]`, in the order of the files.
    pub meters: &'a [&'a MeterSettings],
    pub areas: &'a [&'a AreaSettings],
    pub registers: &'a KnownRegisters,
    pub zone: &'a TimeZone,
    /// Some table could not be read: what is not there may stand in it.
    pub is_incomplete: bool,
}

/// Checks metering points. A finding's path is `meter` or `area`, the number of the entry, and the key.
pub fn plan(tables: MeteringTables<'_>) -> (MeteringPlan, Vec<FileFinding>) {
    let mut findings = Vec::new();
    let mut plan = MeteringPlan::default();
    for (i, area) in tables.areas.iter().enumerate() {
        let mut say = |key: &str, what: String, hint: &str| findings.push(at(("area", i), key, what, hint));
        if area.floor_area_m2.is_some_and(|m2| !(m2 > 0.0 && m2 < 1e8)) {
            say(
                "floor_area_m2",
                format!("{:?} m² is no floor area", area.floor_area_m2.unwrap_or_default()),
                "a number above 0",
            );
        }
        if plan.areas.insert(area.id.clone(), (*area).clone()).is_some() {
            say("id", format!("there is an area `{}` already", area.id), "ids are unique among areas");
        }
    }
    let mut builder = Builder { tables, plan, findings, first: BTreeMap::new() };
    for (i, settings) in tables.meters.iter().enumerate() {
        builder.entry(i, settings);
    }
    builder.successions();
    builder.references();
    builder.units();
    builder.inherit();
    builder.twice();
    (builder.plan, builder.findings)
}

fn at((table, entry): (&str, usize), key: &str, what: String, hint: impl Into<String>) -> FileFinding {
    FileFinding::error(&[table, &entry.to_string(), key], what, hint)
}

struct Builder<'a> {
    tables: MeteringTables<'a>,
    plan: MeteringPlan,
    findings: Vec<FileFinding>,
    /// Number of the entry that began a point.
    first: BTreeMap<String, usize>,
}

impl Builder<'_> {
    fn error(&mut self, entry: usize, key: &str, what: String, hint: impl Into<String>) {
        self.findings.push(at(("meter", entry), key, what, hint));
    }

    fn entry(&mut self, i: usize, settings: &MeterSettings) {
        let is_formula = !settings.sum.is_empty() || !settings.minus.is_empty() || settings.share.is_some();
        if is_formula {
            let meters_key = [
                ("register", settings.register.is_some()),
                ("ct", settings.ct.is_some()),
                ("from", settings.from.is_some()),
                ("serial", settings.serial.is_some()),
                ("class", settings.class.is_some()),
                ("pt", settings.pt.is_some()),
                ("readings", settings.readings.is_some()),
            ];
            for (key, _) in meters_key.into_iter().filter(|(_, is_set)| *is_set) {
                self.error(
                    i,
                    key,
                    format!("`{key}` belongs to a meter, and `{}` is made of other points", settings.point),
                    "leave it out",
                );
            }
        }
        if let Some(first) = self.first.get(&settings.point).copied() {
            self.successor(i, first, settings, is_formula);
            return;
        }
        self.first.insert(settings.point.clone(), i);
        let source = if is_formula {
            let share = settings.share.map_or(Some(Decimal::ONE), |share| Decimal::try_from(share).ok());
            let share = share.filter(|share| *share > Decimal::ZERO && *share <= Decimal::ONE);
            if share.is_none() {
                self.error(i, "share", "a share is above 0 and at most 1".to_string(), "share = 0.35");
            }
            if settings.sum.is_empty() {
                self.error(i, "point", format!("`{}` subtracts from nothing", settings.point), "sum = [\"…\"]");
            }
            let (sum, minus) = (settings.sum.clone(), settings.minus.clone());
            MeteringSource::Formula { sum, minus, share: share.unwrap_or(Decimal::ONE) }
        } else {
            MeteringSource::Meters(vec![self.meter(i, settings, None)])
        };
        let known = settings.register.as_ref().and_then(|register| self.tables.registers.get(register));
        let name = |own: &Option<String>, devices: Option<&String>| {
            own.as_ref().or(devices).unwrap_or(&settings.point).clone()
        };
        let point = MeteringPoint {
            id: settings.point.clone(),
            zh: name(&settings.zh, known.map(|k| &k.zh)),
            en: name(&settings.en, known.map(|k| &k.en)),
            unit: settings.unit.as_deref().map(Arc::from).or_else(|| known.and_then(|k| k.unit.clone())),
            parent: settings.parent.clone(),
            end_use: settings.end_use,
            area: settings.area.clone(),
            source,
        };
        self.plan.points.insert(point.id.clone(), point);
    }

    /// A further entry of a point.
    fn successor(&mut self, i: usize, first: usize, settings: &MeterSettings, is_formula: bool) {
        let point = &settings.point;
        if is_formula || self.plan.points.get(point).is_some_and(|p| p.meter().is_none()) {
            self.error(
                i,
                "point",
                format!("there is a metering point `{point}` already"),
                "one entry says of which others a point is made",
            );
            return;
        }
        if settings.from.is_none() {
            let what = format!("two meters are on the metering point `{point}` at one time");
            self.error(i, "point", what, "from = \"2026-03-01\" says since when the second one counts, or since when its transformers are others");
            return;
        }
        let of_first = self.tables.meters[first];
        let same = [
            ("parent", settings.parent.is_none() || settings.parent == of_first.parent),
            ("end_use", settings.end_use.is_none() || settings.end_use == of_first.end_use),
            ("area", settings.area.is_none() || settings.area == of_first.area),
            ("unit", settings.unit.is_none() || settings.unit == of_first.unit),
        ];
        for (key, _) in same.into_iter().filter(|(_, is_same)| !is_same) {
            let what = format!("`{key}` of the metering point `{point}` is said twice, and differently");
            self.error(i, key, what, "say it once, in the first entry of the point");
        }
        let before = self.plan.points.get(point).and_then(|p| p.meter()).cloned();
        let meter = self.meter(i, settings, before.as_ref());
        if let Some(MeteringPoint { source: MeteringSource::Meters(meters), .. }) = self.plan.points.get_mut(point) {
            meters.push(meter);
        }
    }

    /// A meter; what it does not say is that of the one `before`, but serial number and calibration where its register is another.
    fn meter(&mut self, i: usize, settings: &MeterSettings, before: Option<&Meter>) -> Meter {
        let (multiplier, side) = self.multiplier(i, settings, before);
        let from = settings.from.as_deref().map(|text| moment(text, self.tables.zone));
        if from == Some(None) {
            let what = format!("`{}` is no date", settings.from.as_deref().unwrap_or_default());
            self.error(i, "from", what, "from = \"2026-03-01\" or \"2026-03-01T10:15\", in the site's time zone");
        }
        let calibration_due = self.calibration(i, settings);
        // Another meter that people read has readings of its own.
        let is_other_manual =
            before.is_some_and(|b| b.is_manual && settings.serial.is_some() && settings.serial != b.serial);
        let of_before = before.filter(|_| !is_other_manual).map(|b| b.register.clone());
        let register = settings.register.clone().or(of_before);
        let is_same = before.is_some_and(|b| settings.serial.is_none() || b.serial == settings.serial);
        let inherited = before.filter(|_| is_same);
        let class = settings.class.clone().or_else(|| before.and_then(|b| b.class.clone()));
        let tolerance_pct = class.as_deref().and_then(tolerance);
        if let Some(class) = settings.class.as_ref().filter(|_| tolerance_pct.is_none()) {
            let hint = "0.2S, 0.5S, 0.5, 1, 2, 3, or A, B, C of active energy meters";
            self.error(i, "class", format!("`{class}` is no accuracy class"), hint);
        }
        let is_manual = register.is_none() || before.is_some_and(|b| b.is_manual && settings.register.is_none());
        if is_manual && settings.unit.is_none() && before.is_none() {
            let what = format!("the metering point `{}` has neither a register nor other points", settings.point);
            self.error(i, "point", what, "register = \"device.point\"; or unit = \"kWh\" for a meter that people read");
        }
        Meter {
            register: register.unwrap_or_else(|| self.manual_register(settings)),
            is_manual,
            from: from.flatten().unwrap_or(UnixMillis(i64::MIN)),
            multiplier,
            side,
            serial: settings.serial.clone().or_else(|| inherited.and_then(|b| b.serial.clone())),
            class,
            tolerance_pct,
            ct: settings.ct.clone().or_else(|| before.and_then(|b| b.ct.clone())),
            pt: settings.pt.clone().or_else(|| before.and_then(|b| b.pt.clone())),
            calibration_due: calibration_due.or_else(|| inherited.and_then(|b| b.calibration_due)),
        }
    }

    /// What the readings of a meter are multiplied with: by its transformers and its side of them, each its own or that of the meter before.
    fn multiplier(
        &mut self,
        i: usize,
        settings: &MeterSettings,
        before: Option<&Meter>,
    ) -> (Decimal, Option<CircuitSide>) {
        let ct = settings.ct.as_deref().or_else(|| before?.ct.as_deref());
        let pt = settings.pt.as_deref().or_else(|| before?.pt.as_deref());
        let side = settings.readings.or_else(|| before?.side);
        let mut multiplier = Decimal::ONE;
        for (key, text) in [("ct", ct), ("pt", pt)] {
            match text.map(ratio) {
                Some(None) => {
                    let what = format!("`{}` is no ratio of a transformer", text.unwrap_or_default());
                    self.error(i, key, what, "primary and secondary: ct = \"400/5\", pt = \"10000/100\"");
                }
                Some(Some(ratio)) if side == Some(CircuitSide::Secondary) => {
                    multiplier = multiplier.checked_mul(ratio).unwrap_or(Decimal::MAX);
                }
                _ => {}
            }
        }
        let has_ratio = ct.is_some() || pt.is_some();
        match side {
            None if has_ratio => {
                let key = if settings.ct.is_some() { "ct" } else { "pt" };
                let what = format!(
                    "the ratio does not say whether the register of `{}` counts behind the transformers",
                    settings.point
                );
                let hint = "readings = \"primary\": it is in the register or in the profile's scale already; \"secondary\": readings are multiplied";
                self.error(i, key, what, hint);
            }
            Some(CircuitSide::Secondary) if !has_ratio => {
                let hint = "ct = \"400/5\", and pt where there are voltage transformers";
                self.error(i, "readings", "readings behind transformers need their ratio".to_string(), hint);
            }
            _ => {}
        }
        if multiplier > Decimal::from(MULTIPLIER_MAX) {
            let what = format!("a factor of {multiplier} is no transformer's");
            self.error(i, "ct", what, "primary over secondary current: 400/5");
        }
        (multiplier, side)
    }

    /// A name for what people read.
    fn manual_register(&self, settings: &MeterSettings) -> String {
        match self.plan.points.get(&settings.point).map_or(0, |point| point.meters().len()) {
            0 => format!("{}.manual", settings.point),
            before => format!("{}.manual-{}", settings.point, before + 1),
        }
    }

    fn calibration(&mut self, i: usize, settings: &MeterSettings) -> Option<Date> {
        let text = settings.calibration_due.as_deref()?;
        let date = text.parse::<Date>().ok();
        if date.is_none() {
            self.error(i, "calibration_due", format!("`{text}` is no date"), "calibration_due = \"2029-06-30\"");
        }
        date
    }

    /// Orders the meters of each point; two that begin at one moment are an error.
    fn successions(&mut self) {
        let mut twice = Vec::new();
        for point in self.plan.points.values_mut() {
            if let MeteringSource::Meters(meters) = &mut point.source {
                meters.sort_by_key(|meter| meter.from);
                twice.extend(meters.windows(2).filter(|pair| pair[0].from == pair[1].from).map(|_| point.id.clone()));
            }
        }
        for id in twice {
            let what = format!("two meters are on the metering point `{id}` at one time");
            self.error(self.first[&id], "point", what, "each after the first says since when: from = \"2026-03-01\"");
        }
    }

    /// Parents, formulas, areas and registers must exist; neither hierarchy nor formulas may go in circles.
    fn references(&mut self) {
        let ids: Vec<String> = self.plan.points.keys().cloned().collect();
        let known = |near: &str, own: &str| did_you_mean(near, ids.iter().map(String::as_str).filter(|id| *id != own));
        let mut found = Vec::new();
        for (id, point) in &self.plan.points {
            let first = self.first[id];
            let mut refer = |key: &str, to: &String| {
                if to == id {
                    found.push(at(
                        ("meter", first),
                        key,
                        format!("`{id}` refers to itself"),
                        "name another metering point",
                    ));
                } else if !self.plan.points.contains_key(to) {
                    found.push(at(("meter", first), key, format!("there is no metering point `{to}`"), known(to, id)));
                }
            };
            point.parent.iter().for_each(|to| refer("parent", to));
            if let MeteringSource::Formula { sum, minus, .. } = &point.source {
                sum.iter().for_each(|to| refer("sum", to));
                minus.iter().for_each(|to| refer("minus", to));
                if point.parent.is_none() && (point.end_use.is_some() || point.area.is_some()) {
                    let what =
                        format!("`{id}` is made of points that count already: its end use and area count nothing");
                    let hint = "parent = \"…\" makes it a part of that point; or leave end_use and area out";
                    let finding = at(("meter", first), "point", what, hint);
                    found.push(FileFinding { severity: Severity::Warning, ..finding });
                }
            }
            if let Some(area) = point.area.as_ref().filter(|area| !self.plan.areas.contains_key(*area)) {
                let near = did_you_mean(area, self.plan.areas.keys().map(String::as_str));
                let hint = if near.is_empty() { format!("[[area]] with id = \"{area}\"") } else { near };
                found.push(at(("meter", first), "area", format!("there is no area `{area}`"), hint));
            }
            if let Some(meter) =
                point.meter().filter(|m| !m.is_manual && !self.tables.registers.contains_key(&m.register))
            {
                let last = self.tables.meters.iter().rposition(|m| m.point == *id && m.register.is_some());
                let near = did_you_mean(&meter.register, self.tables.registers.keys().map(String::as_str));
                let what = format!("there is no cumulative register `{}`", meter.register);
                found.push(at(("meter", last.unwrap_or(first)), "register", what, near));
            }
        }
        if !self.tables.is_incomplete {
            self.findings.append(&mut found);
        }
        self.circles("parent", |point| point.parent.iter().cloned().collect());
        self.circles("sum", |point| match &point.source {
            MeteringSource::Formula { sum, minus, .. } => sum.iter().chain(minus).cloned().collect(),
            MeteringSource::Meters(_) => Vec::new(),
        });
    }

    /// Reports each circle once, and cuts it, so that what follows ends.
    fn circles(&mut self, key: &str, next: impl Fn(&MeteringPoint) -> Vec<String>) {
        let mut done: BTreeSet<String> = BTreeSet::new();
        let ids: Vec<String> = self.plan.points.keys().cloned().collect();
        for id in &ids {
            let mut path = Vec::new();
            if let Some(circle) = self.walk(id, &next, &mut path, &mut done).filter(|circle| circle.len() > 1) {
                let mut round = circle.clone();
                round.extend(circle.first().cloned());
                let what = format!("metering points go in a circle: {}", round.join(" -> "));
                self.error(self.first[&circle[0]], key, what, "one of them refers to another one");
            }
        }
    }

    fn walk(
        &self,
        id: &str,
        next: &impl Fn(&MeteringPoint) -> Vec<String>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(begin) = path.iter().position(|p| p == id) {
            return Some(path[begin..].to_vec());
        }
        if !done.insert(id.to_string()) {
            return None;
        }
        path.push(id.to_string());
        let followers = self.plan.points.get(id).map(next).unwrap_or_default();
        let found = followers.iter().find_map(|follower| self.walk(follower, next, path, done));
        path.pop();
        found
    }

    /// A formula has the unit of its first point; parents and terms have the same unit.
    fn units(&mut self) {
        if self.tables.is_incomplete || self.findings.iter().any(|finding| finding.severity == Severity::Error) {
            return;
        }
        let ids: Vec<String> = self.plan.points.keys().cloned().collect();
        for id in &ids {
            let unit = self.unit_of(id);
            if let Some(point) = self.plan.points.get_mut(id) {
                point.unit = unit;
            }
        }
        let mut found = Vec::new();
        let word = |unit: &Option<Arc<str>>| unit.as_deref().unwrap_or("no unit").to_string();
        for (id, point) in &self.plan.points {
            let mut same = |key: &str, other: &String| {
                let of_other = self.plan.points.get(other).and_then(|p| p.unit.clone());
                if of_other != point.unit {
                    let what = format!("`{id}` is in {}, `{other}` in {}", word(&point.unit), word(&of_other));
                    found.push(at(
                        ("meter", self.first[id]),
                        key,
                        what,
                        "only what has one unit is added and subtracted",
                    ));
                }
            };
            point.parent.iter().for_each(|to| same("parent", to));
            if let MeteringSource::Formula { sum, minus, .. } = &point.source {
                sum.iter().for_each(|to| same("sum", to));
                minus.iter().for_each(|to| same("minus", to));
            }
        }
        self.findings.append(&mut found);
    }

    fn unit_of(&self, id: &str) -> Option<Arc<str>> {
        let point = self.plan.points.get(id)?;
        match &point.source {
            MeteringSource::Formula { sum, .. } => point.unit.clone().or_else(|| self.unit_of(sum.first()?)),
            MeteringSource::Meters(_) => point.unit.clone(),
        }
    }

    /// End use and area of a point that says none are those of the nearest point upstream.
    fn inherit(&mut self) {
        if self.findings.iter().any(|finding| finding.severity == Severity::Error) {
            return;
        }
        let upstream = |points: &BTreeMap<String, MeteringPoint>, id: &str| {
            let mut at = points.get(id);
            let (mut end_use, mut area) = (None, None);
            while let Some(point) = at {
                end_use = end_use.or(point.end_use);
                area = area.or_else(|| point.area.clone());
                at = point.parent.as_ref().and_then(|parent| points.get(parent));
            }
            (end_use, area)
        };
        let all: Vec<_> = self.plan.points.keys().map(|id| (id.clone(), upstream(&self.plan.points, id))).collect();
        for (id, (end_use, area)) in all {
            if let Some(point) = self.plan.points.get_mut(&id) {
                (point.end_use, point.area) = (end_use, area);
            }
        }
    }

    /// No register counts for two points at one time.
    fn twice(&mut self) {
        let mut uses: BTreeMap<&str, Vec<(i64, i64, &str)>> = BTreeMap::new();
        for (id, point) in &self.plan.points {
            let meters = point.meters();
            for (i, meter) in meters.iter().enumerate() {
                let to = meters.get(i + 1).map_or(i64::MAX, |next| next.from.0);
                uses.entry(&meter.register).or_default().push((meter.from.0, to, id));
            }
        }
        let mut found = Vec::new();
        for (register, mut of) in uses {
            of.sort_unstable();
            for pair in of.windows(2).filter(|pair| pair[0].1 > pair[1].0 && pair[0].2 != pair[1].2) {
                let what =
                    format!("the register `{register}` counts for `{}` and for `{}` at one time", pair[0].2, pair[1].2);
                found.push(at(
                    ("meter", self.first[pair[1].2]),
                    "register",
                    what,
                    "each register belongs to one metering point",
                ));
            }
        }
        self.findings.append(&mut found);
    }
}

/// `400/5` or `400:5` or `80`.
fn ratio(text: &str) -> Option<Decimal> {
    let number = |text: &str| text.trim().parse::<Decimal>().ok().filter(|n| *n > Decimal::ZERO);
    match text.split_once(['/', ':']) {
        Some((primary, secondary)) => number(primary)?.checked_div(number(secondary)?),
        None => number(text),
    }
}

/// Limit of error of a class, percent. Letters: active energy meters, EN 50470-3.
fn tolerance(class: &str) -> Option<Decimal> {
    let digits = match class.trim() {
        "A" | "a" => "2",
        "B" | "b" => "1",
        "C" | "c" => "0.5",
        other => other.trim_end_matches(['s', 'S']),
    };
    digits.parse::<Decimal>().ok().filter(|pct| *pct > Decimal::ZERO && *pct <= Decimal::TEN)
}
