//! Consumption of a register from one moment to another.

use rust_decimal::Decimal;

use crate::energy::profile::{CountedUpTo, Method, Profile};
use crate::model::metering::RegisterReading;
use crate::model::time::UnixMillis;

/// How far the figure of an interval can be relied upon, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntervalQuality {
    /// Readings within half a minute stand at both ends. Only such intervals have a demand.
    Measured,
    /// At an end the register was taken between two readings at most a grid step apart.
    Interpolated,
    /// It lies in a longer gap, or begins or ends in one: the energy of the gap was divided evenly.
    Allocated,
    /// A part of it is what a person decided, or a reading that a person took stands at an end.
    Decided,
    /// The first or the last reading lies within it: what came before or after is not known.
    Partial,
    /// It touches a boundary that nobody has explained; the figure, if there is one, is that of the rest.
    Pending,
    /// There is no reading, so there is no figure, which is not 0.
    Missing,
}

impl IntervalQuality {
    /// The word in tables, exports and topics.
    pub const fn word(self) -> &'static str {
        match self {
            IntervalQuality::Measured => "measured",
            IntervalQuality::Interpolated => "interpolated",
            IntervalQuality::Allocated => "allocated",
            IntervalQuality::Decided => "decided",
            IntervalQuality::Partial => "partial",
            IntervalQuality::Pending => "pending",
            IntervalQuality::Missing => "missing",
        }
    }
}

/// Consumption of a register from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its start; intervals are named by it.
    pub start: UnixMillis,
    /// Its end, which is the start of the next one.
    pub end: UnixMillis,
    /// What is known to have been consumed, in the register's unit, never negative; `None`: nothing is known, which is not 0.
    pub consumed: Option<Decimal>,
    /// How far it can be relied upon.
    pub quality: IntervalQuality,
    /// The readings at its ends, or those nearest to them within it.
    pub readings: Option<(RegisterReading, RegisterReading)>,
}

impl Profile {
    /// Consumption between two moments.
    pub fn interval(&self, start: UnixMillis, end: UnixMillis) -> Interval {
        self.between((start, self.at(start)), (end, self.at(end)))
    }

    /// Consumption between two moments, given what was counted up to them.
    fn between(
        &self,
        (start, opening): (UnixMillis, Option<CountedUpTo>),
        (end, closing): (UnixMillis, Option<CountedUpTo>),
    ) -> Interval {
        let is_in_doubt = self.boundaries_between(start, end).0;
        let quality = if is_in_doubt { IntervalQuality::Pending } else { IntervalQuality::Missing };
        let missing = Interval { start, end, consumed: None, quality, readings: None };
        let Some((first, last)) = self.ends() else { return missing };
        // Both ends may be near the same end of the profile: then nothing is known of what lies between.
        if (opening.is_none() && closing.is_none() && (first.at >= end || last.at <= start)) || end <= start {
            return missing;
        }
        let is_partial = opening.is_none() || closing.is_none();
        let ends = opening.or_else(|| self.end_near(start)).zip(closing.or_else(|| self.end_near(end)));
        let Some((opening, closing)) = ends else { return missing };
        // The time whose consumption is known begins and ends with readings, where there are such.
        let at = |end: &CountedUpTo, bound: UnixMillis| if end.is_reading() { end.reading.at } else { bound };
        let (from, to) = (at(&opening, start), at(&closing, end));
        if from >= to {
            return missing;
        }
        let (is_pending, is_decided) = self.boundaries_between(from, to);
        let quality = match opening.method.max(closing.method) {
            _ if is_pending => IntervalQuality::Pending,
            _ if is_partial => IntervalQuality::Partial,
            _ if is_decided || opening.is_entered || closing.is_entered => IntervalQuality::Decided,
            Method::Allocated => IntervalQuality::Allocated,
            Method::Interpolated => IntervalQuality::Interpolated,
            Method::Reading => IntervalQuality::Measured,
        };
        let consumed = Some(closing.counted - opening.counted);
        Interval { start, end, consumed, quality, readings: Some((opening.reading, closing.reading)) }
    }

    /// Consumption between consecutive `bounds`, which rise.
    pub fn intervals(&self, bounds: &[UnixMillis]) -> Vec<Interval> {
        let counted = self.at_each(bounds);
        let ends: Vec<_> = bounds.iter().copied().zip(counted).collect();
        ends.windows(2).map(|pair| self.between(pair[0], pair[1])).collect()
    }
}
