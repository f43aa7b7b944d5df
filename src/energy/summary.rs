//! A period in one row: what was consumed, and of how much of it the intervals are known.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::calendar::{Step, bounds};
use crate::energy::consumption::Consumption;
use crate::energy::interval::{Interval, IntervalQuality};
use crate::model::time::UnixMillis;

/// Consumption in a period, with the quality of its intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The period as one interval, with the readings at its ends.
    pub whole: Interval,
    /// How many of its intervals have which quality.
    pub intervals: BTreeMap<IntervalQuality, u32>,
    /// What lies in allocated intervals: real energy of unknown course.
    pub allocated: Decimal,
    /// The largest consumption of a measured interval, and when it began.
    pub peak: Option<(UnixMillis, Decimal)>,
    /// Length of the intervals in minutes.
    pub minutes: u32,
}

impl Summary {
    /// Of a period between two moments, by intervals of so many minutes.
    pub fn of(consumption: &Consumption, (from, to): (UnixMillis, UnixMillis), minutes: u32, zone: &TimeZone) -> Self {
        let mut summary = Self {
            whole: consumption.interval(from, to),
            intervals: BTreeMap::new(),
            allocated: Decimal::ZERO,
            peak: None,
            minutes,
        };
        for interval in consumption.intervals(&bounds(from, to, Step::Minutes(minutes), zone)) {
            *summary.intervals.entry(interval.quality).or_default() += 1;
            let consumed = interval.consumed.unwrap_or_default();
            match interval.quality {
                IntervalQuality::Allocated => summary.allocated += consumed,
                // A piece of an interval at the end of a period that is still running is no interval.
                IntervalQuality::Measured
                    if interval.end.0 - interval.start.0 == i64::from(minutes) * 60_000
                        && summary.peak.is_none_or(|(_, peak)| consumed > peak) =>
                {
                    summary.peak = Some((interval.start, consumed));
                }
                _ => {}
            }
        }
        summary
    }

    /// The maximum demand: the mean rate of the measured interval that consumed most, in the register's unit per hour (kW of kWh), and
    /// when it began. What is not measured sets no maximum.
    pub fn max_demand(&self) -> Option<(UnixMillis, Decimal)> {
        let (at, consumed) = self.peak?;
        Some((at, consumed * Decimal::from(60) / Decimal::from(self.minutes.max(1))))
    }

    /// Intervals of a quality.
    pub fn count(&self, quality: IntervalQuality) -> u32 {
        self.intervals.get(&quality).copied().unwrap_or(0)
    }

    /// Intervals whose consumption is known, of those that the period has, in percent with one decimal. Allocated ones are not known:
    /// their energy is, their course is not.
    pub fn complete_pct(&self) -> Decimal {
        let all: u32 = self.intervals.values().sum();
        let known = [IntervalQuality::Measured, IntervalQuality::Interpolated, IntervalQuality::Decided];
        let known: u32 = known.iter().map(|quality| self.count(*quality)).sum();
        if all == 0 {
            return Decimal::ZERO;
        }
        let pct = Decimal::from(known) * Decimal::ONE_HUNDRED / Decimal::from(all);
        // 100.0 only if it is all of them.
        pct.trunc_with_scale(1)
    }
}
