//! Metering points: which meters each has had, or of which others it is made, and where it stands in the hierarchy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::meter::{AreaSettings, CircuitSide, EndUse};
use crate::model::time::UnixMillis;

/// A cumulative register, as the configuration knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRegister {
    /// Its unit; `None`: a maker's extra that has none.
    pub unit: Option<Arc<str>>,
    /// Names of its device.
    pub zh: String,
    /// The same in English.
    pub en: String,
}

/// Cumulative registers by `device.point`.
pub type KnownRegisters = BTreeMap<String, KnownRegister>;

/// All metering points and areas of a site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeteringPlan {
    pub points: BTreeMap<String, MeteringPoint>,
    pub areas: BTreeMap<String, AreaSettings>,
}

/// A place where consumption is measured, whatever meter hangs there.
#[derive(Clone, Debug, PartialEq)]
pub struct MeteringPoint {
    pub id: String,
    /// Its name in Chinese.
    pub zh: String,
    /// Its name in English.
    pub en: String,
    /// Unit of its consumption.
    pub unit: Option<Arc<str>>,
    pub parent: Option<String>,
    /// What it is used for: its own, or that of the nearest point upstream which says so.
    pub end_use: Option<EndUse>,
    /// Where, in the same way.
    pub area: Option<String>,
    /// Where its consumption comes from.
    pub source: MeteringSource,
}

/// Where the consumption of a point comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum MeteringSource {
    /// The meters that it has had, in order of their dates.
    Meters(Vec<Meter>),
    Formula {
        /// Points that are added.
        sum: Vec<String>,
        /// Points that are subtracted.
        minus: Vec<String>,
        /// The part of it that counts.
        share: Decimal,
    },
}

/// A meter from a moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct Meter {
    /// `device.point`; of a meter that people read, a name of its own.
    pub register: String,
    /// Whether people read it.
    pub is_manual: bool,
    /// Since when; the beginning of time for the first one, unless it says otherwise.
    pub from: UnixMillis,
    /// What its readings are multiplied with.
    pub multiplier: Decimal,
    /// The circuit in which its register counts, where that is said.
    pub side: Option<CircuitSide>,
    pub serial: Option<String>,
    /// Accuracy class as written.
    pub class: Option<String>,
    /// Limit of error of its class at rated load, in percent.
    pub tolerance_pct: Option<Decimal>,
    /// Current transformers as written.
    pub ct: Option<String>,
    /// Voltage transformers as written.
    pub pt: Option<String>,
    /// When the next calibration is due.
    pub calibration_due: Option<Date>,
}

impl MeteringPoint {
    /// The meter that hangs there last.
    pub fn meter(&self) -> Option<&Meter> {
        match &self.source {
            MeteringSource::Meters(meters) => meters.last(),
            MeteringSource::Formula { .. } => None,
        }
    }

    /// The meters that it has had; none of a formula.
    pub fn meters(&self) -> &[Meter] {
        match &self.source {
            MeteringSource::Meters(meters) => meters,
            MeteringSource::Formula { .. } => &[],
        }
    }
}

/// What a row of a report is about: a metering point, or a register that belongs to none.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The metering point's id, or `device.point`.
    pub id: String,
    /// Its unit; empty: it has none.
    pub unit: String,
    /// The device of a register.
    pub device: Option<Arc<str>>,
    pub point: Option<MeteringPoint>,
}

impl MeteringPlan {
    /// Points directly below a point.
    pub fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a MeteringPoint> {
        self.points.values().filter(move |point| point.parent.as_deref() == Some(id))
    }

    /// Whether the figures of a point depend on a register.
    pub fn depends_on(&self, id: &str, register: &str) -> bool {
        self.points.get(id).is_some_and(|point| match &point.source {
            MeteringSource::Meters(meters) => meters.iter().any(|meter| meter.register == register),
            MeteringSource::Formula { sum, minus, .. } => {
                sum.iter().chain(minus).any(|id| self.depends_on(id, register))
            }
        })
    }

    /// What the figures of a point follow from: since when which register counts with which multiplier, and how formulas are made. Two
    /// definitions of a point differ in figures from the first moment on at which their entries do.
    pub fn definition(&self, id: &str) -> BTreeSet<(i64, String)> {
        match self.points.get(id).map(|point| &point.source) {
            None => BTreeSet::new(),
            Some(MeteringSource::Meters(meters)) => {
                let of = |meter: &Meter| {
                    (meter.from.0, format!("{id}: {} x {}", meter.multiplier.normalize(), meter.register))
                };
                meters.iter().map(of).collect()
            }
            Some(MeteringSource::Formula { sum, minus, share }) => {
                let own = format!("{id}: {} x ({} - {})", share.normalize(), sum.join(" + "), minus.join(" - "));
                let terms = sum.iter().chain(minus).flat_map(|term| self.definition(term));
                terms.chain([(i64::MIN, own)]).collect()
            }
        }
    }

    /// How many points are upstream of a point; none of one that is made of others and is below none.
    pub fn level(&self, id: &str) -> Option<usize> {
        let point = self.points.get(id)?;
        match &point.parent {
            Some(parent) => Some(self.level(parent)? + 1),
            None => point.meter().map(|_| 0),
        }
    }

    /// The point that has this register, and its meter with it.
    pub fn by_register(&self, register: &str) -> Option<(&MeteringPoint, &Meter)> {
        let of = |point: &'_ MeteringPoint| point.meters().iter().any(|meter| meter.register == register);
        let point = self.points.values().find(|point| of(point))?;
        Some((point, point.meters().iter().rev().find(|meter| meter.register == register)?))
    }
}

/// A date, or a date with a time, in a zone.
pub fn moment(text: &str, zone: &TimeZone) -> Option<UnixMillis> {
    let midnight = |date: Date| date.to_datetime(jiff::civil::Time::midnight());
    let civil = text.parse::<Date>().ok().filter(|_| text.len() == 10).map(midnight);
    let civil = civil.or_else(|| text.replacen(' ', "T", 1).parse::<DateTime>().ok())?;
    civil.to_zoned(zone.clone()).ok().map(|zoned| UnixMillis(zoned.timestamp().as_millisecond()))
}
