//! Questions about consumption: metering points and registers, put together from the ledger and from what people said.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::calendar::grid_ms;
use crate::energy::closure::Signature;
use crate::energy::consumption::{Consumption, MeteredPart};
use crate::energy::decision::{Decisions, boundaries};
use crate::energy::entry::EntryVersion;
use crate::energy::interval::IntervalQuality;
use crate::energy::metering::{Meter, MeteringPlan, MeteringPoint, MeteringSource, Subject};
use crate::energy::profile::Profile;
use crate::energy::room::MeteringRecords;
use crate::ledger::error::LedgerError;
use crate::ledger::{Ledger, Series};
use crate::model::metering::{Classification, ClosedFigure, RegisterEntry, RegisterReading, TimeRange};
use crate::model::point::Encoding;
use crate::model::time::UnixMillis;

/// How far readings beside an entered one are looked for.
const AROUND_MS: i64 = 400 * 86_400_000;

/// The ledger with everything that figures depend on.
pub struct LedgerQuery {
    ledger: Ledger,
    series: BTreeMap<String, Series>,
    decisions: BTreeMap<String, Decisions>,
    /// All that people said.
    pub records: MeteringRecords,
    pub plan: Arc<MeteringPlan>,
    pub zone: TimeZone,
    /// Length of the intervals in minutes.
    pub minutes: u32,
}

impl LedgerQuery {
    /// Opens a ledger for reading.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(
        path: &Path,
        records: MeteringRecords,
        plan: Arc<MeteringPlan>,
        (zone, minutes): (TimeZone, u32),
    ) -> Result<Self, LedgerError> {
        let ledger = Ledger::open_read_only(path)?;
        let series = ledger.series()?.into_iter().map(|series| (series.full_name(), series)).collect();
        let mut decisions: BTreeMap<String, Decisions> =
            records.decisions.iter().map(|(name, all)| (name.clone(), Decisions::in_force(all))).collect();
        for (name, all) in &records.entries {
            let of = decisions.remove(name).unwrap_or_default();
            decisions.insert(name.clone(), of.with_entries(all));
        }
        Ok(Self { ledger, series, decisions, records, plan, zone, minutes })
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A register that was read.
    pub fn series(&self, register: &str) -> Option<&Series> {
        self.series.get(register)
    }

    /// Every register that was read, by name.
    pub fn all_series(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// Readings that people entered of a register.
    pub fn entered_readings(&self, register: &str) -> Vec<RegisterReading> {
        self.decisions.get(register).map(|of| of.entries.readings.clone()).unwrap_or_default()
    }

    /// The smallest step of a register; of a floating-point one, that of its last reading.
    pub fn resolution(&self, register: &str) -> Option<Decimal> {
        let series = self.series.get(register)?;
        if let Some(step) = series.meta.resolution {
            return Some(step);
        }
        let last = self.ledger.spans(series.id).ok()?.last()?.last.value;
        let value = f64::try_from(last.abs()).ok()?;
        // The distance to the next value that the encoding has.
        let next = match series.meta.encoding {
            #[expect(clippy::cast_possible_truncation, reason = "it came from one")]
            Encoding::F32 => f64::from((value as f32).next_up()) - value,
            Encoding::F64 => value.next_up() - value,
            _ => return None,
        };
        Decimal::try_from(next).ok().filter(|step| *step > Decimal::ZERO)
    }

    /// Metering points, and then the registers that belong to none.
    pub fn subjects(&self) -> Vec<Subject> {
        let unit = |unit: Option<&Arc<str>>| unit.map(ToString::to_string).unwrap_or_default();
        let of_point = |point: &MeteringPoint| Subject {
            id: point.id.clone(),
            unit: unit(point.unit.as_ref()),
            device: None,
            point: Some(point.clone()),
        };
        let points = self.plan.points.values().map(of_point);
        let others = self.series.iter().filter(|(name, _)| self.plan.by_register(name).is_none());
        let of_register = |(name, series): (&String, &Series)| Subject {
            id: name.clone(),
            unit: unit(series.meta.unit.as_ref()),
            device: Some(Arc::clone(&series.device)),
            point: None,
        };
        points.chain(others.map(of_register)).collect()
    }

    /// What a register counted, with everything that a range needs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn profile(&self, register: &str, range: TimeRange) -> Result<Profile, LedgerError> {
        let none = Decisions::default();
        self.profile_of(register, range, self.decisions.get(register).unwrap_or(&none))
    }

    fn profile_of(&self, register: &str, range: TimeRange, decisions: &Decisions) -> Result<Profile, LedgerError> {
        let (grid, range) = (grid_ms(self.minutes), decisions.entries.with_corrections(range));
        match self.series.get(register) {
            Some(series) => self.ledger.profile(series.id, (range.from, range.to), decisions, grid),
            // Nothing but people's readings, or nothing at all.
            None => Ok(Profile::new(&[], &[], decisions, grid)),
        }
    }

    /// The time whose figures a decision about a boundary changes: the boundary, what `Continued` cuts back before it, and every correction that
    /// overlaps these.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn affected_by_decision(
        &self,
        register: &str,
        (before, after): (RegisterReading, RegisterReading),
        classification: Classification,
    ) -> Result<TimeRange, LedgerError> {
        let range = TimeRange { from: UnixMillis(before.at.0 - AROUND_MS), to: after.at };
        // Whatever stood above the reading behind the boundary never was the register.
        let is_cut = matches!(classification, Classification::Continued | Classification::Open);
        let cut = self.profile(register, range)?.last_up_to(after.value, before.at).filter(|_| is_cut);
        let from = cut.unwrap_or(before.at).min(before.at);
        Ok(self.with_corrections(register, TimeRange { from, to: after.at }))
    }

    /// Boundaries of a register that nobody has explained.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn unexplained(&self, series: &Series) -> Result<usize, LedgerError> {
        let (known, none) = (boundaries(&self.ledger.spans(series.id)?), Decisions::default());
        let decisions = self.decisions.get(&series.full_name()).unwrap_or(&none);
        Ok(known.iter().filter(|boundary| !decisions.explain(boundary)).count())
    }

    /// A range with every correction of the register that overlaps it.
    pub fn with_corrections(&self, register: &str, range: TimeRange) -> TimeRange {
        self.decisions.get(register).map_or(range, |of| of.entries.with_corrections(range))
    }

    /// From the reading before a moment to the one after, with every correction that overlaps this.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn around(&self, register: &str, at: UnixMillis) -> Result<TimeRange, LedgerError> {
        let range = TimeRange { from: UnixMillis(at.0 - AROUND_MS), to: UnixMillis(at.0.saturating_add(AROUND_MS)) };
        let (before, after) = self.profile(register, range)?.neighbours(at);
        Ok(self.with_corrections(register, TimeRange { from: before.unwrap_or(at), to: after.unwrap_or(at) }))
    }

    /// The same as if something more had been entered.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn profile_with(&self, register: &str, range: TimeRange, entry: RegisterEntry) -> Result<Profile, LedgerError> {
        let mut versions = self.records.entries.get(register).cloned().unwrap_or_default();
        versions.push(EntryVersion { entry, signature: Signature::default() });
        let decisions = self.decisions.get(register).cloned().unwrap_or_default().with_entries(&versions);
        self.profile_of(register, range, &decisions)
    }

    /// Consumption of a subject, with everything that a range needs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn consumption(&self, subject: &Subject, range: TimeRange) -> Result<Consumption, LedgerError> {
        match &subject.point {
            Some(point) => self.of_point(point, range),
            None => Ok(Consumption::of_register(self.profile(&subject.id, range)?)),
        }
    }

    /// Consumption of all points directly below a metering point; none where there are none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn below(&self, subject: &Subject, range: TimeRange) -> Result<Option<Consumption>, LedgerError> {
        let below: Vec<&MeteringPoint> = self.plan.children(&subject.id).collect();
        if subject.point.is_none() || below.is_empty() {
            return Ok(None);
        }
        let term = |point: &MeteringPoint| Ok((Decimal::ONE, Arc::new(self.of_point(point, range)?)));
        Ok(Some(Consumption::Combined(below.into_iter().map(term).collect::<Result<_, LedgerError>>()?)))
    }

    fn of_point(&self, point: &MeteringPoint, range: TimeRange) -> Result<Consumption, LedgerError> {
        match &point.source {
            MeteringSource::Meters(meters) => {
                let part = |(i, meter): (usize, &Meter)| {
                    let to = meters.get(i + 1).map_or(UnixMillis(i64::MAX), |next| next.from);
                    let profile = Arc::new(self.profile(&meter.register, range)?);
                    Ok(MeteredPart { from: meter.from, to, multiplier: meter.multiplier, profile })
                };
                Ok(Consumption::Metered(meters.iter().enumerate().map(part).collect::<Result<_, LedgerError>>()?))
            }
            MeteringSource::Formula { sum, minus, share } => {
                let term = |id: &String, factor: Decimal| {
                    let of = self.plan.points.get(id).map(|point| self.of_point(point, range));
                    Ok((factor, Arc::new(of.unwrap_or_else(|| Ok(Consumption::Combined(Vec::new())))?)))
                };
                let plus = sum.iter().map(|id| term(id, *share));
                let less = minus.iter().map(|id| term(id, -*share));
                Ok(Consumption::Combined(plus.chain(less).collect::<Result<_, LedgerError>>()?))
            }
        }
    }

    /// The figures with which a month is closed: of every metering point and of every register that belongs to none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn closed_figures(&self, range: TimeRange) -> Result<Vec<ClosedFigure>, LedgerError> {
        let figure = |subject: Subject| {
            let whole = self.consumption(&subject, range)?.interval(range.from, range.to);
            let consumed = whole.consumed.map(|consumed| consumed.normalize().to_string()).unwrap_or_default();
            let Subject { id: point, unit, .. } = subject;
            Ok(ClosedFigure { point, unit, consumed, quality: whole.quality.word().to_string() })
        };
        let figures: Vec<ClosedFigure> = self.subjects().into_iter().map(figure).collect::<Result<_, LedgerError>>()?;
        // A register that was not read in the month and belongs to no metering point is nobody's.
        let is_missing = |figure: &ClosedFigure| figure.quality == IntervalQuality::Missing.word();
        Ok(figures.into_iter().filter(|f| !is_missing(f) || self.plan.points.contains_key(&f.point)).collect())
    }
}
