//! Consumption of one register as a function of time, and its value at any moment.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};

use crate::energy::decision::{Decisions, counted_between};
use crate::energy::entry::Correction;
use crate::energy::register::NEAR_MS;
use crate::energy::span::{Link, Mark, Span, SpanState};
use crate::model::metering::{Classification, RegisterReading};
use crate::model::time::UnixMillis;

/// Decimals to which a value between two readings is rounded, if the readings have no more.
const DECIMALS: u32 = 6;

/// A kept reading with what the register had counted by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProfilePoint {
    reading: RegisterReading,
    span: u32,
    counted: Decimal,
    /// A person took the reading.
    is_entered: bool,
}

/// How the consumption up to a moment is known, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// By a reading within half a minute.
    Reading,
    /// Between two readings that are no further apart than the grid.
    Interpolated,
    /// In a longer gap: the energy is real, its course is unknown and taken as even.
    Allocated,
}

/// What was counted up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedUpTo {
    /// Since the first reading of the profile, in the register's unit.
    pub counted: Decimal,
    /// How it is known.
    pub method: Method,
    /// The reading that stands for it, or the last one before.
    pub reading: RegisterReading,
    /// A reading that a person entered stands for it, or on one side of it.
    pub is_entered: bool,
}

impl CountedUpTo {
    /// Whether a reading stands for it.
    pub fn is_reading(&self) -> bool {
        self.method == Method::Reading
    }
}

/// A stretch of time whose consumption is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Boundary {
    from: UnixMillis,
    to: UnixMillis,
    /// A person said what was counted in it.
    is_decided: bool,
}

/// Consumption of one register over time; empty if it has no reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    points: Vec<ProfilePoint>,
    boundaries: Vec<Boundary>,
    corrections: Vec<AppliedCorrection>,
    contradicting: Vec<RegisterReading>,
    grid_ms: i64,
}

/// A correction with what had been counted by its two ends without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AppliedCorrection {
    correction: Correction,
    from: Decimal,
    to: Decimal,
}

impl AppliedCorrection {
    /// What was counted by a moment, given what was by then without the correction. Within its range consumption keeps its course, scaled;
    /// it is even where there was none.
    fn apply(&self, at: UnixMillis, counted: Decimal) -> Decimal {
        let Correction { range, consumed } = self.correction;
        let before = self.to - self.from;
        let part = |share: Option<Decimal>| {
            let part = share.and_then(|share| consumed.checked_mul(share)).unwrap_or_default();
            self.from
                + part.round_dp_with_strategy(DECIMALS.max(consumed.scale()), RoundingStrategy::MidpointAwayFromZero)
        };
        if at <= range.from {
            counted
        } else if at >= range.to {
            counted - before + consumed
        } else if before.is_zero() {
            part(Decimal::from(at.0 - range.from.0).checked_div(Decimal::from(range.to.0 - range.from.0)))
        } else {
            part((counted - self.from).checked_div(before).map(|share| share.clamp(Decimal::ZERO, Decimal::ONE)))
        }
    }
}

impl Profile {
    /// Puts together what is kept of a register. `spans` and `marks` may be of a part of its life, in any order; spans that do not count
    /// are left out with their marks. `grid_ms`: the grid of the marks.
    pub fn new(spans: &[Span], marks: &[Mark], decisions: &Decisions, grid_ms: i64) -> Self {
        let mut profile = Self { grid_ms, ..Self::default() };
        let mut accepted: Vec<&Span> = spans.iter().filter(|s| s.state == SpanState::Accepted).collect();
        accepted.sort_by_key(|span| span.number);
        // A person knows of an exchange before the register has proven it.
        let newest = accepted.last().map(|span| span.last);
        let is_decided = newest.is_some_and(|last| decisions.after(last).is_some());
        accepted.extend(spans.iter().filter(|s| s.state == SpanState::Pending && is_decided));
        let mut by_span: BTreeMap<u32, Vec<RegisterReading>> = BTreeMap::new();
        marks.iter().for_each(|mark| by_span.entry(mark.span).or_default().push(mark.reading));
        let mut counted = Decimal::ZERO;
        let mut before: Option<&Span> = None;
        for span in accepted {
            if let Some(before) = before {
                profile.cut_back(span.first.at);
                counted += before.last.value - before.first.value;
                let decided = decisions.after(before.last);
                let is_known = match (span.link, decided) {
                    (Link::RollOver { counted: known } | Link::ClockStep { counted: known }, _) => {
                        counted += known;
                        true
                    }
                    (_, Some(Classification::Continued)) => {
                        counted = profile.go_on(before.number, span.first.value, counted);
                        false
                    }
                    (_, Some(other)) => {
                        counted += counted_between(before.last.value, span.first.value, other).unwrap_or_default();
                        false
                    }
                    (Link::First | Link::Unexplained { .. }, None) => false,
                };
                if !is_known {
                    let last = profile.points.last().map_or(before.last.at, |point| point.reading.at);
                    let from = last.min(span.first.at);
                    profile.boundaries.push(Boundary { from, to: span.first.at, is_decided: decided.is_some() });
                }
            }
            let mut readings = by_span.remove(&span.number).unwrap_or_default();
            readings.extend([span.first, span.last]);
            readings.sort_by_key(|reading| reading.at);
            readings.dedup_by_key(|reading| reading.at);
            profile.points.extend(readings.into_iter().map(|reading| ProfilePoint {
                reading,
                span: span.number,
                counted: counted + (reading.value - span.first.value),
                is_entered: false,
            }));
            before = Some(span);
        }
        let newest = before.map_or(0, |span| span.number);
        if let Some(pending) = spans.iter().find(|s| s.state == SpanState::Pending && s.number > newest) {
            let from = before.map_or(pending.first.at, |span| span.last.at);
            profile.boundaries.push(Boundary { from, to: UnixMillis(i64::MAX), is_decided: false });
        }
        decisions.entries.readings.iter().for_each(|reading| profile.enter(*reading));
        decisions.entries.corrections.iter().for_each(|correction| profile.correct(*correction));
        profile
    }

    /// Puts a reading that a person took among those of the register. One that is below the reading before it and above the one after it
    /// contradicts them and counts nothing.
    fn enter(&mut self, reading: RegisterReading) {
        let next = self.points.partition_point(|point| point.reading.at < reading.at);
        let (before, after) = (next.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(next));
        let as_before = before.map(|b| (b.span, b.counted + (reading.value - b.reading.value)));
        let as_after = after.map(|a| (a.span, a.counted - (a.reading.value - reading.value)));
        let fits = |(_, counted): &(u32, Decimal)| {
            before.is_none_or(|b| *counted >= b.counted) && after.is_none_or(|a| *counted <= a.counted)
        };
        let none = (before.is_none() && after.is_none()).then_some((0, Decimal::ZERO));
        let Some((span, counted)) = as_before.filter(fits).or(as_after.filter(fits)).or(none) else {
            self.contradicting.push(reading);
            return;
        };
        let is_of_next = after.is_some_and(|a| a.span == span && before.is_none_or(|b| b.span != span));
        for boundary in self.boundaries.iter_mut().filter(|b| b.from < reading.at && reading.at <= b.to) {
            let end = if is_of_next { &mut boundary.to } else { &mut boundary.from };
            *end = reading.at;
        }
        self.points.insert(next, ProfilePoint { reading, span, counted, is_entered: true });
    }

    fn correct(&mut self, correction: Correction) {
        let range = correction.range;
        let ends = self.at_or_end(range.from).zip(self.at_or_end(range.to));
        let Some((from, to)) = ends.map(|(from, to)| (from.counted, to.counted)) else { return };
        self.corrections.push(AppliedCorrection { correction, from, to });
        // Whoever says what was consumed across a boundary has explained it.
        let is_within = |b: &&mut Boundary| range.from <= b.from && b.to <= range.to;
        self.boundaries.iter_mut().filter(is_within).for_each(|boundary| boundary.is_decided = true);
        self.boundaries.push(Boundary { from: range.from, to: range.to, is_decided: true });
    }

    /// Dates of the last kept reading before a moment and of the first one after it.
    pub fn neighbours(&self, at: UnixMillis) -> (Option<UnixMillis>, Option<UnixMillis>) {
        (self.kept_before(UnixMillis(at.0 - 1)), self.kept_after(UnixMillis(at.0 + 1)))
    }

    /// Date of the last kept reading up to a moment that shows at most this.
    pub fn last_up_to(&self, value: Decimal, at: UnixMillis) -> Option<UnixMillis> {
        let up_to = self.points.iter().rev().filter(|point| point.reading.at <= at);
        up_to.map(|point| point.reading).find(|reading| reading.value <= value).map(|reading| reading.at)
    }

    /// Date of the last kept reading up to a moment.
    pub(super) fn kept_before(&self, at: UnixMillis) -> Option<UnixMillis> {
        let next = self.points.partition_point(|point| point.reading.at <= at);
        Some(self.points.get(next.checked_sub(1)?)?.reading.at)
    }

    /// Date of the first kept reading from a moment on.
    pub(super) fn kept_after(&self, at: UnixMillis) -> Option<UnixMillis> {
        let next = self.points.partition_point(|point| point.reading.at < at);
        Some(self.points.get(next)?.reading.at)
    }

    /// Readings that people entered and that contradict those of the register: they count nothing.
    pub fn contradicting(&self) -> &[RegisterReading] {
        &self.contradicting
    }

    fn corrected(&self, at: UnixMillis, counted: Decimal) -> Decimal {
        self.corrections.iter().fold(counted, |counted, correction| correction.apply(at, counted))
    }

    /// Drops points that are dated after the first reading of the next span: the date was corrected in between.
    fn cut_back(&mut self, next: UnixMillis) {
        let keep = self.points.partition_point(|point| point.reading.at < next);
        self.points.truncate(keep);
    }

    /// The register went on: drops the points at the end of a span whose readings are above the one that follows, which never were
    /// the register, and returns what was counted up to that one. `counted`: up to the end of the span.
    fn go_on(&mut self, span: u32, value: Decimal, counted: Decimal) -> Decimal {
        let is_none = |point: &ProfilePoint| point.span == span && point.reading.value > value;
        while self.points.len() > 1 && self.points.last().is_some_and(is_none) {
            self.points.pop();
        }
        match self.points.last() {
            Some(last) if last.span == span => last.counted + (value - last.reading.value).max(Decimal::ZERO),
            // The whole span was above it: nothing of it counts.
            Some(last) => last.counted,
            None => counted,
        }
    }

    /// Its first and last readings.
    pub fn ends(&self) -> Option<(RegisterReading, RegisterReading)> {
        Some((self.points.first()?.reading, self.points.last()?.reading))
    }

    /// What was counted from the first to the last reading, without what nobody has explained.
    pub fn total(&self) -> Decimal {
        match (self.points.first(), self.points.last()) {
            (Some(first), Some(last)) => {
                self.corrected(last.reading.at, last.counted) - self.corrected(first.reading.at, first.counted)
            }
            _ => Decimal::ZERO,
        }
    }

    /// What was counted up to a moment; `None` before the first reading and after the last one, each by more than half a minute.
    pub fn at(&self, at: UnixMillis) -> Option<CountedUpTo> {
        self.at_before(at, self.points.partition_point(|point| point.reading.at < at))
    }

    /// What was counted up to each of `bounds`, which rise.
    pub(super) fn at_each(&self, bounds: &[UnixMillis]) -> Vec<Option<CountedUpTo>> {
        let mut next = bounds.first().map_or(0, |first| self.points.partition_point(|point| point.reading.at < *first));
        let mut of = |at: &UnixMillis| {
            while self.points.get(next).is_some_and(|point| point.reading.at < *at) {
                next += 1;
            }
            self.at_before(*at, next)
        };
        bounds.iter().map(&mut of).collect()
    }

    /// What was counted up to a moment, given the number of the first point from then on.
    fn at_before(&self, at: UnixMillis, next: usize) -> Option<CountedUpTo> {
        let after = self.points.get(next);
        let before = next.checked_sub(1).and_then(|i| self.points.get(i));
        let distance = |point: &&ProfilePoint| (point.reading.at.0 - at.0).abs();
        let nearest = [before, after].into_iter().flatten().min_by_key(distance)?;
        if distance(&nearest) <= NEAR_MS {
            let counted = self.corrected(at, nearest.counted);
            let (method, reading, is_entered) = (Method::Reading, nearest.reading, nearest.is_entered);
            return Some(CountedUpTo { counted, method, reading, is_entered });
        }
        let (before, after) = (before?, after?);
        let length = after.reading.at.0 - before.reading.at.0;
        let method = if length <= self.grid_ms + NEAR_MS { Method::Interpolated } else { Method::Allocated };
        let rise = after.counted - before.counted;
        let share = Decimal::from(at.0 - before.reading.at.0) / Decimal::from(length);
        let digits = DECIMALS.max(before.counted.scale()).max(after.counted.scale());
        let part = rise.checked_mul(share).unwrap_or_default();
        let part = part.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
        let counted = self.corrected(at, before.counted + part);
        Some(CountedUpTo {
            counted,
            method,
            reading: before.reading,
            is_entered: before.is_entered || after.is_entered,
        })
    }

    /// The reading that stands for a moment: the nearest one, half a minute away at most.
    pub fn reading_at(&self, at: UnixMillis) -> Option<RegisterReading> {
        self.at(at).filter(CountedUpTo::is_reading).map(|counted| counted.reading)
    }

    /// What was counted up to a moment; before the first reading, that of the first one, after the last, that of the last.
    pub(super) fn at_or_end(&self, at: UnixMillis) -> Option<CountedUpTo> {
        self.at(at).or_else(|| self.end_near(at))
    }

    /// What was counted at the end of the profile that is nearer to a moment outside of it.
    pub(super) fn end_near(&self, at: UnixMillis) -> Option<CountedUpTo> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let end = if at < first.reading.at { first } else { last };
        let counted = self.corrected(at, end.counted);
        Some(CountedUpTo { counted, method: Method::Reading, reading: end.reading, is_entered: end.is_entered })
    }

    /// Whether a boundary that nobody has explained touches the time from `from` to `to`; whether one does that a person has decided.
    pub(super) fn boundaries_between(&self, from: UnixMillis, to: UnixMillis) -> (bool, bool) {
        let touched =
            |decided: bool| self.boundaries.iter().any(|b| b.is_decided == decided && b.from < to && b.to > from);
        (touched(false), touched(true))
    }
}
