//! Consumption of one register as a function of time, and its value at any moment.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};

use crate::energy::decision::{Decisions, counted_between};
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
    grid_ms: i64,
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
            }));
            before = Some(span);
        }
        let newest = before.map_or(0, |span| span.number);
        if let Some(pending) = spans.iter().find(|s| s.state == SpanState::Pending && s.number > newest) {
            let from = before.map_or(pending.first.at, |span| span.last.at);
            profile.boundaries.push(Boundary { from, to: UnixMillis(i64::MAX), is_decided: false });
        }
        profile
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
            (Some(first), Some(last)) => last.counted - first.counted,
            _ => Decimal::ZERO,
        }
    }

    /// What was counted up to a moment; `None` before the first reading and after the last one, each by more than half a minute.
    pub fn at(&self, at: UnixMillis) -> Option<CountedUpTo> {
        let next = self.points.partition_point(|point| point.reading.at < at);
        let after = self.points.get(next);
        let before = next.checked_sub(1).and_then(|i| self.points.get(i));
        let distance = |point: &&ProfilePoint| (point.reading.at.0 - at.0).abs();
        let nearest = [before, after].into_iter().flatten().min_by_key(distance)?;
        if distance(&nearest) <= NEAR_MS {
            return Some(CountedUpTo { counted: nearest.counted, method: Method::Reading, reading: nearest.reading });
        }
        let (before, after) = (before?, after?);
        let length = after.reading.at.0 - before.reading.at.0;
        let method = if length <= self.grid_ms + NEAR_MS { Method::Interpolated } else { Method::Allocated };
        let rise = after.counted - before.counted;
        let share = Decimal::from(at.0 - before.reading.at.0) / Decimal::from(length);
        let digits = DECIMALS.max(before.counted.scale()).max(after.counted.scale());
        let part = rise.checked_mul(share).unwrap_or_default();
        let part = part.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
        Some(CountedUpTo { counted: before.counted + part, method, reading: before.reading })
    }

    /// What was counted up to a moment; before the first reading, that of the first one, after the last, that of the last.
    pub(super) fn at_or_end(&self, at: UnixMillis) -> Option<CountedUpTo> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        self.at(at).or_else(|| {
            let end = if at < first.reading.at { first } else { last };
            Some(CountedUpTo { counted: end.counted, method: Method::Reading, reading: end.reading })
        })
    }

    /// Whether a boundary that nobody has explained touches the time from `from` to `to`; whether one does that a person has decided.
    pub(super) fn boundaries_between(&self, from: UnixMillis, to: UnixMillis) -> (bool, bool) {
        let touched =
            |decided: bool| self.boundaries.iter().any(|b| b.is_decided == decided && b.from < to && b.to > from);
        (touched(false), touched(true))
    }
}
