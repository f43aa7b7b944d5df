//! Consumption of a metering point over time: of the meters that it has had, or made of other points.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::profile::Profile;
use crate::model::time::UnixMillis;

/// A meter of a metering point, from one moment to before another.
#[derive(Clone, Debug)]
pub struct MeteredPart {
    /// From the moment on at which it was installed or its transformers were changed; the beginning of time for the first one.
    pub from: UnixMillis,
    /// To before that of the next one.
    pub to: UnixMillis,
    /// What its readings are multiplied with.
    pub multiplier: Decimal,
    /// What its register counted.
    pub profile: Arc<Profile>,
}

#[derive(Clone, Debug)]
pub enum Consumption {
    /// Of the meters of a point, in order.
    Metered(Vec<MeteredPart>),
    /// The sum of other consumptions, each with a factor; known where all of them are.
    Combined(Vec<(Decimal, Arc<Consumption>)>),
    /// The same of a group of points: where some of them are not known, it is what the others consumed, and partial.
    Group(Vec<(Decimal, Arc<Consumption>)>),
}

impl Consumption {
    /// Of one register, as it stands.
    pub fn of_register(profile: Profile) -> Self {
        let (from, to) = (UnixMillis(i64::MIN), UnixMillis(i64::MAX));
        Self::Metered(vec![MeteredPart { from, to, multiplier: Decimal::ONE, profile: Arc::new(profile) }])
    }

    /// Consumption between two moments. The readings of a metered interval are those of the registers, before they are multiplied.
    pub fn interval(&self, start: UnixMillis, end: UnixMillis) -> Interval {
        let missing = Interval::missing(start, end);
        match self {
            Consumption::Metered(parts) => {
                let within = parts.iter().filter(|part| part.from < end && part.to > start);
                let of_part = |part: &MeteredPart| part.interval(start.max(part.from), end.min(part.to));
                let mut whole = within.map(of_part).reduce(join).unwrap_or(missing);
                // Before the first meter of a point nothing is known of it.
                if whole.start > start && whole.consumed.is_some() {
                    whole.quality = whole.quality.max(IntervalQuality::Partial);
                }
                Interval { start, end, ..whole }
            }
            Consumption::Combined(terms) | Consumption::Group(terms) => {
                let of_term = |(factor, term): &(Decimal, Arc<Consumption>)| term.interval(start, end).times(*factor);
                self.sum(terms.iter().map(of_term), missing)
            }
        }
    }

    /// The first reading of any of its registers; none without readings.
    pub fn begins(&self) -> Option<UnixMillis> {
        match self {
            Consumption::Metered(parts) => parts.iter().filter_map(|part| Some(part.profile.ends()?.0.at)).min(),
            Consumption::Combined(terms) | Consumption::Group(terms) => {
                terms.iter().filter_map(|(_, term)| term.begins()).min()
            }
        }
    }

    /// Consumption between consecutive `bounds`, which rise.
    pub fn intervals(&self, bounds: &[UnixMillis]) -> Vec<Interval> {
        let (Some(first), Some(last)) = (bounds.first(), bounds.last()) else { return Vec::new() };
        match self {
            Consumption::Metered(parts) => {
                // One meter for all of it is the usual case.
                let whole = parts.iter().find(|part| part.from <= *first && part.to >= *last);
                match whole {
                    Some(part) => {
                        let all = part.profile.intervals(bounds);
                        all.into_iter().map(|interval| interval.times(part.multiplier)).collect()
                    }
                    None => bounds.windows(2).map(|pair| self.interval(pair[0], pair[1])).collect(),
                }
            }
            Consumption::Combined(terms) | Consumption::Group(terms) => {
                let of_terms: Vec<(Decimal, Vec<Interval>)> =
                    terms.iter().map(|(factor, term)| (*factor, term.intervals(bounds))).collect();
                let missing = |pair: &[UnixMillis]| Interval::missing(pair[0], pair[1]);
                let at = |i: usize| of_terms.iter().map(move |(factor, intervals)| intervals[i].times(*factor));
                bounds.windows(2).enumerate().map(|(i, pair)| self.sum(at(i), missing(pair))).collect()
            }
        }
    }

    /// The same time of several consumptions.
    fn sum(&self, terms: impl Iterator<Item = Interval>, missing: Interval) -> Interval {
        match self {
            Consumption::Group(all) if !all.iter().any(|(factor, _)| factor.is_sign_negative()) => {
                let whole = terms.reduce(join).unwrap_or(missing);
                Interval { start: missing.start, end: missing.end, readings: None, ..whole }
            }
            // What is left of a point is not known where a part of it is not.
            _ => combine(terms, missing),
        }
    }
}

impl MeteredPart {
    fn interval(&self, start: UnixMillis, end: UnixMillis) -> Interval {
        self.profile.interval(start, end).times(self.multiplier)
    }
}

impl Interval {
    /// Of which nothing is known.
    fn missing(start: UnixMillis, end: UnixMillis) -> Self {
        Self { start, end, consumed: None, quality: IntervalQuality::Missing, readings: None }
    }

    /// The same with its consumption multiplied.
    #[must_use]
    fn times(self, factor: Decimal) -> Self {
        let times =
            |consumed: Decimal| if factor == Decimal::ONE { Some(consumed) } else { consumed.checked_mul(factor) };
        Self { consumed: self.consumed.and_then(times), ..self }
    }
}

/// The sum of intervals of the same time, known where all of them are; it has no readings of its own.
fn combine(terms: impl Iterator<Item = Interval>, missing: Interval) -> Interval {
    let sum = |a: Interval, b: Interval| Interval {
        consumed: a.consumed.zip(b.consumed).map(|(a, b)| a + b),
        quality: a.quality.max(b.quality),
        ..a
    };
    let whole = terms.reduce(sum).unwrap_or(missing);
    Interval { readings: None, ..whole }
}

/// The consumption of two intervals as one. Where only one of them is known, the whole is known in part.
pub(super) fn join(a: Interval, b: Interval) -> Interval {
    let quality = match (a.consumed, b.consumed) {
        (Some(_), None) | (None, Some(_)) => IntervalQuality::Partial,
        _ => a.quality.max(b.quality),
    };
    let is_pending = a.quality == IntervalQuality::Pending || b.quality == IntervalQuality::Pending;
    Interval {
        start: a.start,
        end: b.end,
        consumed: match (a.consumed, b.consumed) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        },
        quality: if is_pending { IntervalQuality::Pending } else { quality },
        readings: match (a.readings, b.readings) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (one, other) => one.or(other),
        },
    }
}
