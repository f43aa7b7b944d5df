//! Rain sums over 1 to 24 hours out of the rising total of a gauge.
//!
//! A gauge that begins anew in mid-storm (a total that falls) loses what fell between its last reading and its new beginning, nothing else.
//! A total that jumps by more than any rain is taken for a new beginning, too.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::time::MonotonicMillis;

/// Rain is kept by five minutes.
const BIN_MS: i64 = 300_000;
const HOUR_MS: i64 = 3_600_000;
/// Bins of 24 hours, the one in which they began and the running one.
const BINS: usize = 290;
/// More rain than this in an hour is a fault of the gauge: a bound against garbage, by engineering judgement.
const HOUR_MAX_MM: f64 = 500.0;
/// A single tip of a bucket is at most this much, however short the time since the reading before.
const TIP_MAX_MM: f64 = 5.0;

/// Hours over which rain is summed.
pub const RAIN_HOURS: [u8; 5] = [1, 3, 6, 12, 24];

/// Rain of the last 24 hours. Moments are milliseconds of the monotonic scale of one boot, negative before it; [`RainSums::rebase`] brings
/// them into another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RainSums {
    /// Last total that was read, mm, and when.
    last: Option<(i64, f64)>,
    /// Begin of each five minutes in which rain was seen, and how much, in order.
    bins: VecDeque<(i64, f64)>,
    /// Since when it is known what fell.
    known_since: Option<i64>,
}

impl RainSums {
    /// Takes in a good total, in millimetres. Totals must come in order.
    pub fn total(&mut self, at: MonotonicMillis, total_mm: f64) {
        if !total_mm.is_finite() || total_mm < 0.0 {
            return;
        }
        let at = signed(at);
        let Some((before, last)) = self.last.replace((at, total_mm)) else {
            self.known_since.get_or_insert(at);
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 milliseconds")]
        let hours = (at - before).max(0) as f64 / HOUR_MS as f64;
        // A fallen total is what fell since the gauge began anew.
        let fallen = if total_mm >= last { total_mm - last } else { total_mm };
        if fallen > 0.0 && fallen <= TIP_MAX_MM + HOUR_MAX_MM * hours {
            self.add(at, fallen);
        }
        while self.bins.len() > BINS || self.bins.front().is_some_and(|(begin, _)| at - begin >= 24 * HOUR_MS + BIN_MS)
        {
            self.bins.pop_front();
        }
    }

    /// What fell while nobody read the gauge counts at the moment at which it was seen.
    fn add(&mut self, at: i64, mm: f64) {
        let begin = at.div_euclid(BIN_MS) * BIN_MS;
        match self.bins.back_mut() {
            Some((last, sum)) if *last == begin => *sum += mm,
            _ => self.bins.push_back((begin, mm)),
        }
    }

    /// Millimetres in the last hours; of the five minutes in which they began the part that lies within. `None` without any reading.
    pub fn sum_mm(&self, hours: u8, now: MonotonicMillis) -> Option<f64> {
        self.known_since?;
        let since = signed(now) - i64::from(hours) * HOUR_MS;
        #[expect(clippy::cast_precision_loss, reason = "at most five minutes")]
        let part = |begin: i64| (begin + BIN_MS - since).clamp(0, BIN_MS) as f64 / BIN_MS as f64;
        Some(self.bins.iter().map(|(begin, mm)| part(*begin) * mm).sum())
    }

    /// Whether all of these hours are known; a sum of fewer is at least what fell.
    pub fn is_whole(&self, hours: u8, now: MonotonicMillis) -> bool {
        self.known_since.is_some_and(|since| signed(now) - since >= i64::from(hours) * HOUR_MS)
    }

    /// Moments of another boot on the scale of this one, `offset` milliseconds later.
    pub fn rebase(&mut self, offset: i64) {
        let moved = |at: i64| at.saturating_add(offset);
        self.last = self.last.map(|(at, mm)| (moved(at), mm));
        self.bins.iter_mut().for_each(|(at, _)| *at = moved(*at));
        self.known_since = self.known_since.map(moved);
    }
}

fn signed(at: MonotonicMillis) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
