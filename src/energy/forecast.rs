//! Demand forecast within the running interval of metering points with a contract: what was consumed so far, and the rest of the interval at the
//! rate of the last minutes.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::calendar::{Step, next_bound};
use crate::model::metering::RegisterReading;
use crate::model::point::{Encoding, PointKind, PointMeta, Retention};
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::stream::{Source, Stream};
use crate::model::time::UnixMillis;
use crate::model::value::Value;

/// Points that a register's device has where a contract holds.
pub const FORECAST_POINTS: [&str; 2] = ["demand_forecast_kw", "demand_forecast_pct"];

/// Over how long the rate is taken, at most and at least.
const RATE_MS: i64 = 180_000;
const RATE_LEAST_MS: i64 = 60_000;
/// Distance of the readings that are remembered for it.
const APART_MS: i64 = 10_000;
/// How often a forecast is said at least, but for the first fifth of an interval; what is much older is stale.
const SAID_MS: u64 = 120_000;
/// Readings further apart tell nothing of the boundary between them.
const GAP_MS: i64 = 300_000;
/// A rate of more times the contract is no consumption.
const TIMES_MAX: i64 = 20;

/// A register whose demand is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct DemandWatch {
    /// The device that has it.
    pub device: Arc<str>,
    /// The register's point.
    pub point: Arc<str>,
    /// What its readings are multiplied with.
    pub multiplier: Decimal,
    /// Contracted maximum demand in kilowatts, since when.
    pub contracts: Vec<(UnixMillis, Decimal)>,
    /// Length of the intervals in minutes.
    pub minutes: u32,
}

/// The running interval of a register.
#[derive(Clone, Debug)]
pub struct DemandForecast {
    watch: DemandWatch,
    stream: Arc<Stream>,
    /// End of the running interval, and what the register showed at its start; none until a boundary was seen.
    running: Option<(UnixMillis, Decimal)>,
    recent: VecDeque<RegisterReading>,
    said: UnixMillis,
}

impl DemandForecast {
    /// Of a register that was not read yet.
    pub fn new(watch: &DemandWatch) -> Self {
        let meta = |name: &str, unit: &str| PointMeta {
            unit: Some(unit.into()),
            ..PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::Exact(2))
        };
        let points = vec![meta(FORECAST_POINTS[0], "kW"), meta(FORECAST_POINTS[1], "%")];
        let stream = Stream::new(Arc::clone(&watch.device), Source::Other("forecast".into()), SAID_MS, points);
        Self { watch: watch.clone(), stream, running: None, recent: VecDeque::new(), said: UnixMillis(0) }
    }

    /// Whether it watches exactly this.
    pub fn is_of(&self, watch: &DemandWatch) -> bool {
        self.watch == *watch
    }

    /// A reading of any device; a reading with the forecast, if this one brings the register and it is time to say it.
    pub fn step(&mut self, reading: &Reading, zone: &TimeZone) -> Option<Reading> {
        if reading.stream.device != self.watch.device || !reading.at.trusted {
            return None;
        }
        let index = reading.stream.points.iter().position(|point| point.name == self.watch.point)?;
        let value = reading.sample(index)?.ok()?.as_decimal()?;
        let at = UnixMillis(reading.at.wall.0 + i64::from(reading.after_ms(index)));
        let forecast = self.take(RegisterReading { at, value }, zone)?;
        Some(self.said(forecast, reading.at))
    }

    fn said(&self, (kw, pct): (Decimal, Decimal), at: Stamp) -> Reading {
        let samples = [kw, pct].map(|value| Some(Ok(Value::Exact(value.round_dp(2)))));
        Reading {
            stream: Arc::clone(&self.stream),
            at,
            body: Body::Samples { samples: samples.to_vec(), parts: Vec::new() },
        }
    }

    /// Forecast in kilowatts and in percent of the contract.
    fn take(&mut self, now: RegisterReading, zone: &TimeZone) -> Option<(Decimal, Decimal)> {
        let agreed = self.watch.contracts.iter().rev().find(|(from, _)| *from <= now.at).map(|(_, kw)| *kw)?;
        let last = self.recent.back().copied();
        let kw_since = |before: RegisterReading| {
            let kwh = (now.value - before.value).checked_mul(self.watch.multiplier)?;
            kwh.checked_mul(Decimal::from(3_600_000))?.checked_div(Decimal::from(now.at.0 - before.at.0))
        };
        // A date that was set back, a register that fell or jumped: everything begins anew.
        let is_sound = last.is_none_or(|last| {
            let is_later = now.at > last.at && now.at.0 - last.at.0 < GAP_MS;
            is_later
                && now.value >= last.value
                && kw_since(last).is_some_and(|kw| kw <= agreed * Decimal::from(TIMES_MAX))
        });
        if !is_sound {
            self.recent.clear();
            self.running = None;
        }
        let length_ms = i64::from(self.watch.minutes) * 60_000;
        let end = next_bound(now.at, Step::Minutes(self.watch.minutes), zone)?;
        let start = UnixMillis(end.0 - length_ms);
        if self.running.is_none_or(|(running, _)| running != end) {
            let before = last.filter(|last| is_sound && last.at < start);
            self.running = before.and_then(|before| {
                let share = Decimal::from(start.0 - before.at.0).checked_div(Decimal::from(now.at.0 - before.at.0))?;
                Some((end, before.value + (now.value - before.value).checked_mul(share)?))
            });
        }
        if self.recent.back().is_none_or(|last| now.at.0 - last.at.0 >= APART_MS) {
            self.recent.push_back(now);
        }
        while self.recent.front().is_some_and(|first| now.at.0 - first.at.0 > RATE_MS) {
            self.recent.pop_front();
        }
        let first = *self.recent.front()?;
        if now.at.0 - first.at.0 < RATE_LEAST_MS
            || now.at.0 - start.0 < length_ms / 5
            || now.at.0 - self.said.0 < APART_MS
        {
            return None;
        }
        let (_, at_start) = self.running?;
        let hours = |ms: i64| Decimal::from(ms) / Decimal::from(3_600_000);
        let so_far = (now.value - at_start).checked_mul(self.watch.multiplier)?;
        let kw = (so_far + kw_since(first)?.checked_mul(hours(end.0 - now.at.0))?).checked_div(hours(length_ms))?;
        self.said = now.at;
        Some((kw, (kw * Decimal::ONE_HUNDRED).checked_div(agreed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> DemandWatch {
        let contracts = vec![(UnixMillis(i64::MIN), Decimal::from(100))];
        DemandWatch { device: "m".into(), point: "e".into(), multiplier: Decimal::from(10), contracts, minutes: 15 }
    }

    /// Forecasts in percent by minute, of a load in kilowatts by minute; the register is read every ten seconds from minute -2 on.
    fn forecasts(load: impl Fn(i64) -> i64) -> Vec<(i64, Decimal)> {
        let mut forecast = DemandForecast::new(&watch());
        let mut out = Vec::new();
        let mut wattseconds = 0_i64;
        for step in -12..180 {
            let second = step * 10;
            // The register counts a tenth of what flows, in kWh.
            let value = Decimal::new(wattseconds, 0) / Decimal::from(36_000_000);
            let at = UnixMillis(900_000 + second * 1_000);
            if let Some((_, pct)) = forecast.take(RegisterReading { at, value }, &TimeZone::UTC) {
                out.push((second / 60, pct.round_dp(1)));
            }
            wattseconds += load(second.div_euclid(60)) * 10_000;
        }
        out
    }

    #[test]
    fn a_steady_load_is_forecast_as_it_is_and_a_rising_one_before_the_interval_ends() {
        let steady = forecasts(|_| 80);
        assert!(steady.iter().all(|(_, pct)| *pct == Decimal::from(80)), "{steady:?}");
        // Nothing is said in the first fifth of an interval.
        assert_eq!(steady.first().map(|(minute, _)| *minute), Some(3));
        // 60 kW until minute 5, then 140: at minute 8 that is (5 x 60 + 3 x 140 + 7 x 140) / 15 = 113.3 of 100.
        let rising = forecasts(|minute| if minute < 5 { 60 } else { 140 });
        let at = |wanted: i64| rising.iter().find(|(minute, _)| *minute == wanted).unwrap().1;
        assert_eq!((at(4), at(8)), (Decimal::from(60), Decimal::new(1_133, 1)));
    }

    #[test]
    fn a_register_that_falls_or_jumps_forecasts_nothing_until_the_next_interval() {
        let mut forecast = DemandForecast::new(&watch());
        let mut take = |second: i64, value: i64| {
            let at = UnixMillis(900_000 + second * 1_000);
            forecast.take(RegisterReading { at, value: Decimal::from(value) }, &TimeZone::UTC)
        };
        for step in -6..40 {
            take(step * 10, 1_000);
        }
        assert_eq!(take(400, 0), None);
        assert!((41..80).all(|step| take(step * 10, 0).is_none()));
        assert!((81..140).any(|step| take(step * 10 + 3, 0).is_some()), "after the boundary it goes on");
    }
}
