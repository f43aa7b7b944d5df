//! Points of devices that only the ledger knows: boundaries of registers that nobody has explained, and yesterday's balance of main meters.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::app::energy_messages::PublicationContext;
use crate::energy::balance::{BALANCE_POINT, ConsumptionByPoint, balance};
use crate::energy::calendar::{Step, bounds, local_date, start_of};
use crate::energy::decision::UNEXPLAINED_POINT;
use crate::energy::metering::{MeteringPoint, Subject};
use crate::ledger::error::LedgerError;
use crate::ledger::query::LedgerQuery;
use crate::model::metering::TimeRange;
use crate::model::point::{Encoding, PointKind, PointMeta, Retention};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Reading, Sample, Stamp};
use crate::model::stream::{Source, Stream};
use crate::model::time::UnixMillis;
use crate::model::value::Value;

/// The streams of these points, by device.
#[derive(Default)]
pub struct LedgerPoints {
    streams: BTreeMap<Arc<str>, Arc<Stream>>,
}

impl LedgerPoints {
    /// One reading of each configured device with registers. The end of the last interval says what yesterday is.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn readings(&mut self, context: &PublicationContext<'_>, at: Stamp) -> Result<Vec<Reading>, LedgerError> {
        let PublicationContext { query, configuration, to, .. } = *context;
        let mut unexplained: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        // The ledger knows devices that are gone.
        for series in query.all_series().filter(|series| configuration.devices.contains_key(&*series.device)) {
            *unexplained.entry(Arc::clone(&series.device)).or_default() += query.unexplained(series)?;
        }
        let mut balances = balances(query, to)?;
        let devices = std::mem::take(&mut self.streams);
        let mut out = Vec::new();
        for (device, count) in unexplained {
            let balance = balances.remove(&device);
            let is_same = |stream: &&Arc<Stream>| (stream.points.len() == 2) == balance.is_some();
            let known = devices.get(&device).filter(is_same).cloned();
            let stream = known.unwrap_or_else(|| stream(&device, balance.is_some()));
            let count = Ok(Value::Exact(Decimal::from(count)));
            let samples = [Some(count)].into_iter().chain(balance.map(Some)).collect();
            self.streams.insert(device, Arc::clone(&stream));
            out.push(Reading { stream, at, body: Body::Samples { samples, parts: Vec::new() } });
        }
        Ok(out)
    }
}

/// Without a period: what the ledger knows of a device tells nothing of whether the device answers.
fn stream(device: &Arc<str>, has_balance: bool) -> Arc<Stream> {
    let exact = |name: &str, unit: &str, decimals: u8| PointMeta {
        unit: Some(unit.into()),
        ..PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::Exact(decimals))
    };
    let mut points = vec![exact(UNEXPLAINED_POINT, "1", 0)];
    points.extend(has_balance.then(|| exact(BALANCE_POINT, "%", 2)));
    Stream::new(Arc::clone(device), Source::Other("ledger".into()), 0, points)
}

/// Balance of yesterday of every main meter, by the device that has its register.
fn balances(query: &LedgerQuery, to: UnixMillis) -> Result<BTreeMap<Arc<str>, Sample>, LedgerError> {
    let zone = &query.zone;
    let today = local_date(to, zone);
    let yesterday = today.and_then(|today| today.yesterday().ok());
    let days = yesterday.and_then(|day| start_of(day, zone)).zip(today.and_then(|day| start_of(day, zone)));
    let Some(range) = days.map(|(from, to)| TimeRange { from, to }) else { return Ok(BTreeMap::new()) };
    let grid = bounds(range.from, range.to, Step::Minutes(query.minutes), zone);
    let mut out = BTreeMap::new();
    for main in query.plan.points.values() {
        let device = main.meter().and_then(|meter| query.series(&meter.register)).map(|series| &series.device);
        let below: Vec<&MeteringPoint> = query.plan.children(&main.id).collect();
        let Some(device) = device.filter(|_| !below.is_empty()) else { continue };
        let mut consumptions = ConsumptionByPoint::new();
        for point in below.into_iter().chain([main]) {
            let subject =
                Subject { id: point.id.clone(), unit: String::new(), device: None, point: Some(point.clone()) };
            consumptions.insert(point.id.clone(), Arc::new(query.consumption(&subject, range)?));
        }
        let error = balance(&query.plan, main, &consumptions, &grid).and_then(|balance| balance.error_pct());
        let sample = error.map(|pct| Value::Exact(pct.round_dp(2))).ok_or(Cause::NotAvailable);
        out.insert(Arc::clone(device), sample);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::liveness::Liveness;
    use crate::model::time::MonotonicMillis;

    #[test]
    fn what_the_ledger_says_makes_no_device_online() {
        let stream = stream(&"meter".into(), true);
        let at = Stamp { mono: MonotonicMillis(1), wall: UnixMillis(1), trusted: true };
        let samples = vec![Some(Ok(Value::Exact(Decimal::ZERO))), Some(Err(Cause::NotAvailable))];
        let reading = Reading { stream, at, body: Body::Samples { samples, parts: Vec::new() } };
        assert_eq!(Liveness::default().reading(&reading), None);
    }
}
