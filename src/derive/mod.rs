//! Derived points: sum, difference, ratio, extremes, rate, run time, starts, daily figures. Definitions are data, not a language.
//!
//! Pure. A definition names its inputs by (device, point). Each reading that brings one of them gives a derived sample with that
//! reading's time. A bad or stale input makes the derived point bad; run time and starts are not counted across a gap.

pub mod room;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::counter::{Counter, CounterStep, RegisterLimits, decimal_text};
use crate::model::latest::Latest;
use crate::model::point::{Encoding, PointMeta};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Reading, Sample, Stamp};
use crate::model::stream::{Source, Stream};
use crate::model::time::MonotonicMillis;
use crate::model::value::{Numeric, Value};
use crate::model::window::SampleWindow;

/// A derived point as the configuration writes it: `[[derive]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DerivedSettings {
    /// The device that gets the point.
    pub device: String,
    /// Its name in the vocabulary of the device's class.
    pub point: String,
    /// What is made of the inputs.
    pub how: DerivedFunction,
    /// Inputs, `point` of the same device or `device.point`.
    pub of: Vec<String>,
}

/// What is made of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DerivedFunction {
    /// Sum of all the inputs.
    Sum,
    /// The first less the others.
    Difference,
    /// The first divided by the second.
    Ratio,
    /// The first as a percentage of the second.
    SharePct,
    /// Lowest of all the inputs.
    Min,
    /// Highest of all the inputs.
    Max,
    /// Arithmetic mean of all the inputs.
    Mean,
    /// Change of the first a minute, over the last minute.
    RatePerMin,
    /// Hours for which the first was true, counted here.
    RunTimeH,
    /// Times the first became true, counted here.
    Starts,
    /// The lowest of the day so far; days are the site's.
    DayMin,
    /// The highest of the day so far.
    DayMax,
    /// The mean of the day's samples so far.
    DayMean,
    /// What a register has counted since the site's midnight, exactly; roll-overs, momentary zeroes, resets and jumps are told apart. The
    /// day begins with yesterday's last reading.
    DayIncrease,
    /// Hours of the day for which the first was true.
    DayRunTimeH,
    /// Times of the day that the first became true.
    DayStarts,
}

impl DerivedFunction {
    /// How its values usually come. `decimals`: the most decimals of its inputs if all of them are exact.
    pub const fn encoding(self, decimals: Option<u8>) -> Encoding {
        use DerivedFunction::{
            DayIncrease, DayMax, DayMin, DayRunTimeH, DayStarts, Difference, Max, Min, RunTimeH, Starts, Sum,
        };
        match (self, decimals) {
            // Of a float register: the digits that it prints, mostly none.
            (Starts | DayStarts, _) | (DayIncrease, None) => Encoding::Exact(0),
            (RunTimeH | DayRunTimeH, _) => Encoding::Exact(3),
            (Sum | Difference | Min | Max | DayMin | DayMax | DayIncrease, Some(decimals)) => Encoding::Exact(decimals),
            _ => Encoding::F64,
        }
    }

    /// Whether it restarts at the site's midnight.
    pub const fn is_of_day(self) -> bool {
        use DerivedFunction::{DayIncrease, DayMax, DayMean, DayMin, DayRunTimeH, DayStarts};
        matches!(self, DayMin | DayMax | DayMean | DayIncrease | DayRunTimeH | DayStarts)
    }

    /// Whether it accumulates and has to survive a restart.
    const fn accumulates(self) -> bool {
        matches!(self, DerivedFunction::RunTimeH | DerivedFunction::Starts) || self.is_of_day()
    }
}

/// Window over which rates are computed.
const RATE_WINDOW_MS: u64 = 60_000;

/// A definition at run time; the part that must survive a restart is in [`PersistedDerived`].
#[derive(Clone, Debug)]
struct DerivedRule {
    function: DerivedFunction,
    inputs: Vec<usize>,
    point: usize,
    persisted: PersistedDerived,
    was: Option<(bool, MonotonicMillis)>,
    window: SampleWindow,
    /// Limits of the register, if the first input is one.
    limits: Option<RegisterLimits>,
    /// Hash of the first input's name, to notice that the register is another one.
    input_hash: u64,
    /// Total counted by a register since the start of the process, for its rate.
    counted: Decimal,
    rate_counter: Counter,
}

/// Counts that survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PersistedDerived {
    /// Milliseconds of run time.
    pub run_ms: u64,
    /// Times that the first input became true.
    pub starts: u64,
    /// Of the day, if it is a figure of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// What a register has counted, if it is a daily figure of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<DayRegister>,
}

/// What a register has counted in a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DayRegister {
    /// Whose register: a sum over the input's name. Another one begins anew.
    #[serde(default)]
    #[serde(rename = "of")]
    pub input_hash: u64,
    /// Day in the site's time zone.
    pub date: jiff::civil::Date,
    /// The day of the last reading that was believed.
    #[serde(rename = "believed")]
    pub accepted_on: Option<jiff::civil::Date>,
    /// Increase since the beginning of that day, in the register's unit.
    #[serde(with = "decimal_text")]
    pub counted: Decimal,
    /// Why the day's figure is not known, if a part of it was lost.
    #[serde(rename = "lost")]
    pub lost_cause: Option<Cause>,
    /// State by which the increment of the next reading is decided.
    pub counter: Counter,
}

/// What is known of a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// Day in the site's time zone.
    pub date: jiff::civil::Date,
    /// The lowest value.
    pub min: Numeric,
    /// The highest value.
    pub max: Numeric,
    /// The sum of all values.
    pub sum: Numeric,
    /// Number of values in `sum`.
    pub count: u32,
}

impl Day {
    fn new(date: jiff::civil::Date, value: Numeric) -> Self {
        Self { date, min: value, max: value, sum: Numeric::default(), count: 0 }
    }

    fn add(&mut self, value: Numeric) {
        (self.min, self.max) = (self.min.min(value), self.max.max(value));
        self.sum = self.sum.plus(value);
        self.count += 1;
    }
}

/// The derived points of one device, which share a stream.
#[derive(Clone, Debug)]
struct DerivedTarget {
    stream: Arc<Stream>,
    rules: Vec<DerivedRule>,
}

#[derive(Clone, Debug)]
pub struct Derive {
    latest: Latest,
    targets: Vec<DerivedTarget>,
    zone: TimeZone,
}

impl Default for Derive {
    fn default() -> Self {
        Self { latest: Latest::default(), targets: Vec::new(), zone: TimeZone::UTC }
    }
}

/// A checked definition, completed from the vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct DerivedDefinition {
    /// The definition as the configuration has it.
    pub settings: DerivedSettings,
    /// The point: kind, retention and unit from the vocabulary, encoding and resolution by [`DerivedFunction::encoding`].
    pub meta: PointMeta,
    /// Limits of the register that is the first input; `None` if it is no register.
    pub limits: Option<RegisterLimits>,
}

impl Derive {
    /// Builds the rules. `kept`: persisted counts by `device.point`. `zone`: time zone of days.
    pub fn new(definitions: &[DerivedDefinition], kept: &BTreeMap<String, PersistedDerived>, zone: &TimeZone) -> Self {
        let mut derive = Self { zone: zone.clone(), ..Self::default() };
        let mut by_device: BTreeMap<&str, Vec<&DerivedDefinition>> = BTreeMap::new();
        for d in definitions {
            by_device.entry(&d.settings.device).or_default().push(d);
        }
        for (device, definitions) in by_device {
            let points = definitions.iter().map(|d| d.meta.clone()).collect();
            let stream = Stream::new(device, Source::Derived, 0, points);
            let rules = definitions.iter().enumerate().map(|(point, d)| {
                let of = d.settings.of.iter().map(|name| derive.input(device, name)).collect();
                let kept = kept.get(&format!("{device}.{}", d.settings.point)).copied().unwrap_or_default();
                let (window, limits, counted) = (SampleWindow::new(RATE_WINDOW_MS), d.limits, Decimal::ZERO);
                let source = d.settings.of.first().map_or(0, |name| name_hash(device, name));
                DerivedRule {
                    input_hash: source,
                    function: d.settings.how,
                    inputs: of,
                    point,
                    persisted: kept,
                    was: None,
                    window,
                    limits,
                    counted,
                    rate_counter: Counter::default(),
                }
            });
            let rules = rules.collect();
            derive.targets.push(DerivedTarget { stream, rules });
        }
        derive
    }

    fn input(&mut self, device: &str, name: &str) -> usize {
        let (device, point) = name.split_once('.').unwrap_or((device, name));
        self.latest.slot(device, point)
    }

    /// Takes in a reading; returns the derived readings that follow from it, one per device.
    pub fn step(&mut self, reading: &Reading) -> Vec<Reading> {
        let mut changed = Vec::new();
        self.latest.take(reading, reading.at.mono, |slot, _| changed.push(slot));
        if changed.is_empty() {
            return Vec::new();
        }
        let Self { latest, targets, zone } = self;
        targets.iter_mut().filter_map(|t| t.step(latest, &changed, reading.at, zone)).collect()
    }

    /// Counts to keep over a restart, by `device.point`.
    pub fn persisted(&self) -> BTreeMap<String, PersistedDerived> {
        let of = |t: &DerivedTarget| {
            let name =
                |r: &DerivedRule| (format!("{}.{}", t.stream.device, t.stream.points[r.point].name), r.persisted);
            t.rules.iter().filter(|r| r.function.accumulates()).map(name).collect::<Vec<_>>()
        };
        self.targets.iter().flat_map(of).collect()
    }
}

/// Hash (FNV-1a) of an input's full name, the same for `point` of the device itself and for `device.point`.
fn name_hash(device: &str, name: &str) -> u64 {
    let (device, point) = name.split_once('.').unwrap_or((device, name));
    let bytes = device.bytes().chain(std::iter::once(b'.')).chain(point.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl DerivedTarget {
    fn step(&mut self, latest: &Latest, changed: &[usize], at: Stamp, zone: &TimeZone) -> Option<Reading> {
        if !self.rules.iter().any(|r| r.inputs.iter().any(|i| changed.contains(i))) {
            return None;
        }
        let mut samples: Vec<Option<Sample>> = vec![None; self.stream.points.len()];
        for rule in &mut self.rules {
            if rule.inputs.iter().any(|i| changed.contains(i)) {
                samples[rule.point] = Some(rule.step(latest, at, zone));
            }
        }
        Some(Reading { stream: Arc::clone(&self.stream), at, body: Body::Samples { samples, parts: Vec::new() } })
    }
}

impl DerivedRule {
    fn step(&mut self, latest: &Latest, at: Stamp, zone: &TimeZone) -> Sample {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for index in &self.inputs {
            match latest.get(*index).map(|seen| seen.value_at(at.mono)) {
                Some(Ok(value)) => inputs.push(value),
                _ => return self.input_bad(),
            }
        }
        match (self.function, inputs.first().and_then(|v| v.as_decimal())) {
            (DerivedFunction::DayIncrease, Some(reading)) => return self.day_increase(at, zone, reading),
            (DerivedFunction::DayIncrease, None) => return self.input_bad(),
            (DerivedFunction::RatePerMin, Some(reading)) if self.limits.is_some() => {
                return self.register_rate(at.mono, reading);
            }
            _ => {}
        }
        let numbers: Option<Vec<Numeric>> = inputs.iter().map(|v| Numeric::of(v)).collect();
        let Some(numbers) = numbers.filter(|n| !n.is_empty()) else { return self.input_bad() };
        let first = numbers[0];
        if self.function.is_of_day() && !self.add_to_day(at, zone, first) {
            return Err(Cause::StartingUp);
        }
        let day = self.persisted.day.unwrap_or_else(|| Day::new(jiff::civil::Date::default(), first));
        let rest = || numbers[1..].iter().copied();
        let second = || numbers.get(1).map_or(1.0, |n| n.as_f64());
        let value = match self.function {
            DerivedFunction::Sum => rest().fold(first, Numeric::plus),
            DerivedFunction::Difference => rest().fold(first, Numeric::minus),
            DerivedFunction::Ratio => Numeric::Float(first.as_f64() / second()),
            DerivedFunction::SharePct => Numeric::Float(first.as_f64() / second() * 100.0),
            DerivedFunction::Min => rest().fold(first, Numeric::min),
            DerivedFunction::Max => rest().fold(first, Numeric::max),
            DerivedFunction::Mean => {
                let count: f64 = numbers.iter().map(|_| 1.0).sum();
                Numeric::Float(rest().fold(first, Numeric::plus).as_f64() / count)
            }
            DerivedFunction::RatePerMin => match self.rate(at.mono, first.as_f64()) {
                Some(rate) => Numeric::Float(rate),
                None => return Err(Cause::StartingUp),
            },
            DerivedFunction::DayMin => day.min,
            DerivedFunction::DayMax => day.max,
            DerivedFunction::DayMean => Numeric::Float(day.sum.as_f64() / f64::from(day.count.max(1))),
            DerivedFunction::DayIncrease => return self.input_bad(), // a text: there is nothing to count
            DerivedFunction::RunTimeH
            | DerivedFunction::Starts
            | DerivedFunction::DayRunTimeH
            | DerivedFunction::DayStarts => {
                return self.count(at.mono, first.as_f64() > 0.0);
            }
        };
        if value.as_f64().is_finite() { Ok(value.value()) } else { Err(Cause::NotFinite) }
    }

    /// Adds a value to its day, starting a new day if the date differs. False while the date is not trusted.
    fn add_to_day(&mut self, at: Stamp, zone: &TimeZone, value: Numeric) -> bool {
        let date = jiff::Timestamp::from_millisecond(at.wall.0).map(|t| t.to_zoned(zone.clone()).date());
        let Some(date) = date.ok().filter(|_| at.trusted) else { return false };
        if self.persisted.day.is_none_or(|day| day.date != date) {
            self.persisted = PersistedDerived { day: Some(Day::new(date, value)), ..PersistedDerived::default() };
        }
        self.persisted.day.iter_mut().for_each(|day| day.add(value));
        true
    }

    /// The increase of a register since midnight. The increase since the last accepted reading belongs to today if that reading is of
    /// yesterday or today; else its day is unknown and today's figure is lost.
    fn day_increase(&mut self, at: Stamp, zone: &TimeZone, reading: Decimal) -> Sample {
        let date = jiff::Timestamp::from_millisecond(at.wall.0).map(|t| t.to_zoned(zone.clone()).date());
        let Some(date) = date.ok().filter(|_| at.trusted) else { return Err(Cause::StartingUp) };
        let of = self.input_hash;
        let new = DayRegister {
            input_hash: of,
            date,
            accepted_on: None,
            counted: Decimal::ZERO,
            lost_cause: None,
            counter: Counter::default(),
        };
        let day = self.persisted.register.get_or_insert(new);
        if day.input_hash != of {
            *day = new;
        }
        if day.date != date {
            *day = DayRegister { accepted_on: day.accepted_on, counter: day.counter, ..new };
        }
        let step = day.counter.step(reading, at.wall.0, &self.limits.unwrap_or_default());
        let is_todays = day.accepted_on.is_some_and(|b| b == date || b.tomorrow().is_ok_and(|next| next == date));
        match step {
            CounterStep::InDoubt(cause) => return Err(cause),
            CounterStep::Replaced(cause) => day.lost_cause = Some(cause),
            CounterStep::Returned(_) => day.lost_cause = Some(Cause::CounterFell),
            CounterStep::Counted(counted) | CounterStep::RolledOver(counted) if is_todays => {
                day.counted = day.counted.checked_add(counted).ok_or(Cause::Overflow)?;
            }
            // Which part of it is today's is unknown.
            CounterStep::Counted(counted) | CounterStep::RolledOver(counted) if !counted.is_zero() => {
                day.lost_cause = Some(Cause::InputBad);
            }
            CounterStep::Began | CounterStep::Counted(_) | CounterStep::RolledOver(_) => {}
        }
        day.accepted_on = Some(date);
        day.lost_cause.map_or(Ok(Value::Exact(day.counted)), Err)
    }

    /// The rate at which a register counts: never negative, and none while it is in doubt.
    fn register_rate(&mut self, now: MonotonicMillis, reading: Decimal) -> Sample {
        let (limits, at_ms) = (self.limits.unwrap_or_default(), i64::try_from(now.0).unwrap_or(i64::MAX));
        match self.rate_counter.step(reading, at_ms, &limits) {
            CounterStep::Counted(counted) | CounterStep::RolledOver(counted) => {
                self.counted = self.counted.checked_add(counted).ok_or(Cause::Overflow)?;
            }
            CounterStep::Began => {}
            CounterStep::Replaced(_) | CounterStep::Returned(_) => self.window.clear(),
            CounterStep::InDoubt(cause) => return Err(cause),
        }
        let total = Value::Exact(self.counted).as_f64().unwrap_or(0.0);
        self.rate(now, total).map(Value::F64).ok_or(Cause::StartingUp)
    }

    /// An input is bad: edges and windows restart, so that nothing is counted across the gap.
    fn input_bad(&mut self) -> Sample {
        self.was = None;
        self.window.clear();
        Err(Cause::InputBad)
    }

    fn rate(&mut self, now: MonotonicMillis, value: f64) -> Option<f64> {
        self.window.push(now, value);
        self.window.per_min()
    }

    fn count(&mut self, now: MonotonicMillis, on: bool) -> Sample {
        if let Some((was_on, since)) = self.was {
            if was_on {
                self.persisted.run_ms += now.since(since);
            }
            if on && !was_on {
                self.persisted.starts += 1;
            }
        }
        self.was = Some((on, now));
        let decimal = match self.function {
            DerivedFunction::Starts | DerivedFunction::DayStarts => rust_decimal::Decimal::from(self.persisted.starts),
            // Hours with three decimals: 3.6 s.
            _ => rust_decimal::Decimal::new(i64::try_from(self.persisted.run_ms / 3_600).unwrap_or(i64::MAX), 3),
        };
        Ok(Value::Exact(decimal))
    }
}

#[cfg(test)]
mod tests;
