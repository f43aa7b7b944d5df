//! Consumption as others get it: readings for the journal, and retained topics.

use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::config::Configuration;
use crate::energy::calendar::{local_date, month_start, start_of};
use crate::energy::consumption::Consumption;
use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::metering::Subject;
use crate::energy::tariff::{Contract, TariffPeriod};
use crate::ledger::query::LedgerQuery;
use crate::model::metering::TimeRange;
use crate::model::point::{PointKind, PointMeta};
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::stream::{Source, Stream};
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::model::value::Value;

/// What all of a publication shares.
pub struct PublicationContext<'a> {
    pub query: &'a LedgerQuery,
    pub configuration: &'a Configuration,
    /// When it is published.
    pub mono: MonotonicMillis,
    /// The end of the last interval.
    pub to: UnixMillis,
}

/// A subject with the streams of its figures.
pub struct PublishedPoint {
    subject: Subject,
    minutes: u32,
    energy: Arc<Stream>,
    demand: Arc<Stream>,
}

impl PublishedPoint {
    /// Of a subject whose intervals have so many minutes.
    pub fn new(subject: &Subject, minutes: u32) -> Self {
        let number = |name: &str| PointMeta::state(name, PointKind::Number);
        let code = |name: &str| PointMeta::state(name, PointKind::Code);
        let mut points = vec![number("consumed"), code("quality"), PointMeta::state("complete", PointKind::Bool)];
        points.extend([number("unmetered"), number("cost")]);
        points.extend(TariffPeriod::ALL.iter().map(|period| number(&format!("consumed_{}", period.word()))));
        let demand = vec![number("demand_kw"), number("contract_kw"), number("contract_pct")];
        let every_ms = u64::from(minutes) * 60_000;
        let stream = |source, points| Stream::new(subject.id.as_str(), source, every_ms, points);
        let (energy, demand) = (stream(Source::Energy, points), stream(Source::Demand, demand));
        Self { subject: subject.clone(), minutes, energy, demand }
    }

    /// Whether it still is of this subject and length of intervals.
    pub fn is_of(&self, subject: &Subject, minutes: u32) -> bool {
        self.subject == *subject && self.minutes == minutes
    }

    /// An interval as readings, dated by its start: consumption with quality, what is left of it after the points below, cost, and the same
    /// consumption under the name of its tariff period; demand where it is measured and contracted. `below`: the points below.
    pub fn readings(
        &self,
        interval: &Interval,
        below: Option<&Consumption>,
        context: &PublicationContext<'_>,
    ) -> Vec<Reading> {
        let PublicationContext { configuration, mono, .. } = *context;
        let zone = &context.query.zone;
        let below = below.and_then(|below| below.interval(interval.start, interval.end).consumed);
        let at = Stamp { mono, wall: interval.start, trusted: true };
        let reading = |stream: &Arc<Stream>, samples| {
            let (stream, body) = (Arc::clone(stream), Body::Samples { samples, parts: Vec::new() });
            Reading { stream, at, body }
        };
        let contract = contract_at(configuration, &self.subject.id, interval.start);
        let range = TimeRange { from: interval.start, to: interval.end };
        let priced = contract.map(|contract| contract.priced_times(range, zone)).unwrap_or_default();
        let period = priced.first().and_then(|time| time.period).filter(|_| priced.len() == 1);
        // An interval in which the price changes has no cost of its own here; reports divide it.
        let price = priced.first().and_then(|time| time.price).filter(|_| priced.len() == 1);
        let cost = interval.consumed.zip(price).and_then(|(consumed, price)| consumed.checked_mul(price));
        let exact = |value: Option<Decimal>| value.map(|value| Ok(Value::Exact(value.normalize())));
        let is_complete = interval.quality < IntervalQuality::Partial && interval.quality != IntervalQuality::Allocated;
        let unmetered = interval.consumed.zip(below).map(|(consumed, below)| consumed - below);
        let mut samples = vec![exact(interval.consumed), Some(Ok(Value::Code(interval.quality as i64)))];
        samples.extend([Some(Ok(Value::Bool(is_complete))), exact(unmetered), exact(cost)]);
        samples.extend(TariffPeriod::ALL.map(|of| exact(interval.consumed.filter(|_| period == Some(of)))));
        let mut out = vec![reading(&self.energy, samples)];
        let agreed = contract.and_then(|contract| contract.demand_kw);
        let is_whole = interval.end.0 - interval.start.0 == i64::from(self.minutes) * 60_000;
        let is_measured = interval.quality == IntervalQuality::Measured && is_whole;
        if let Some((agreed, consumed)) = agreed.zip(interval.consumed).filter(|_| is_measured) {
            let kw = consumed * Decimal::from(60) / Decimal::from(self.minutes.max(1));
            let pct = (kw * Decimal::ONE_HUNDRED).checked_div(agreed).map(|pct| pct.round_dp(2));
            out.push(reading(&self.demand, vec![exact(Some(kw.round_dp(3))), exact(Some(agreed)), exact(pct)]));
        }
        out
    }

    /// The retained topic: the last interval, today and this month, each with its quality. `to`: the end of the last interval, in the month that
    /// began at `month`.
    pub fn topic(
        &self,
        consumption: &Consumption,
        (to, month): (UnixMillis, UnixMillis),
        zone: &TimeZone,
        minutes: u32,
    ) -> (String, String) {
        let date = local_date(UnixMillis(to.0 - 1), zone);
        let today = date.and_then(|date| start_of(date, zone)).unwrap_or(month);
        let part = |from: UnixMillis| {
            let interval = consumption.interval(from, to);
            let consumed = interval.consumed.map_or("null".to_string(), |consumed| consumed.normalize().to_string());
            format!(
                "{{\"from\":\"{}\",\"consumed\":{consumed},\"quality\":\"{}\"}}",
                from.rfc3339(),
                interval.quality.word()
            )
        };
        let last = UnixMillis(to.0 - i64::from(minutes) * 60_000);
        let unit = serde_json::Value::String(self.subject.unit.clone());
        let json = format!(
            "{{\"to\":\"{}\",\"unit\":{unit},\"interval_min\":{minutes},\"interval\":{},\"today\":{},\"month\":{}}}",
            to.rfc3339(),
            part(last),
            part(today),
            part(month)
        );
        (format!("{}/energy", self.subject.id.replace('.', "/")), json)
    }
}

/// The contract that holds at a point and a moment.
fn contract_at<'a>(configuration: &'a Configuration, point: &str, at: UnixMillis) -> Option<&'a Contract> {
    configuration.contracts.iter().rev().find(|contract| contract.point == point && contract.from <= at)
}

/// The first moment of the month in which the moment before lies.
pub fn month_of(to: UnixMillis, zone: &TimeZone) -> UnixMillis {
    month_start(UnixMillis(to.0 - 1), 0, zone).unwrap_or(to)
}
