//! What consumption costs by a tariff: energy by period, and demand. A calculation for comparison, never an invoice.
//!
//! Rounding: the consumption of a period of a month times its price, rounded to the cent, a half away from zero; the total is the sum of what
//! was rounded.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::energy::calendar::{local_date, month_start};
use crate::energy::consumption::{Consumption, join};
use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::summary::Summary;
use crate::energy::tariff::{Contract, DemandBasis, TariffPeriod};
use crate::model::metering::TimeRange;

/// Decimals of a currency's smallest unit.
const CENTS: u32 = 2;

/// What was consumed at one price in a month.
#[derive(Clone, Debug, PartialEq)]
pub struct PeriodCost {
    /// The period; `None`: prices of a series, or a time whose period nobody knows.
    pub period: Option<TariffPeriod>,
    /// Per unit; `None`: there is no price, or there are many (a series).
    pub price: Option<Decimal>,
    /// What is known to have been consumed; `None`: nothing is.
    pub consumed: Option<Decimal>,
    /// The worst of its times.
    pub quality: IntervalQuality,
    /// To the cent; `None`: no price, or nothing is known.
    pub cost: Option<Decimal>,
}

/// What was charged for demand in a month.
#[derive(Clone, Debug, PartialEq)]
pub struct DemandCost {
    /// The greatest mean power of a measured interval, kilowatts.
    pub maximum_kw: Decimal,
    /// What is charged by the basis of the tariff, kilowatts.
    pub charged_kw: Decimal,
    /// Per kilowatt and month.
    pub price: Decimal,
    pub cost: Decimal,
}

/// The charge for demand of a time.
#[derive(Clone, Debug, PartialEq)]
pub enum DemandCharge {
    /// The tariff has none, or the time begins within a month.
    NotDue,
    /// It is due, and no interval of the month is measured.
    Unknown,
    /// What is charged.
    Charged(DemandCost),
}

/// Rounds to the cent, a half away from zero.
pub fn to_cents(amount: Decimal) -> Decimal {
    let mut cents = amount.round_dp_with_strategy(CENTS, RoundingStrategy::MidpointAwayFromZero);
    cents.rescale(CENTS);
    cents
}

/// Consumption of a month, or a part of one, by period and price, the dearest first.
pub fn energy_costs(
    consumption: &Consumption,
    contract: &Contract,
    month: TimeRange,
    zone: &TimeZone,
) -> Vec<PeriodCost> {
    /// A price of its own is a row of its own; all prices of a series are one.
    type RowKey = (Option<TariffPeriod>, Option<Decimal>, bool);
    let mut rows: BTreeMap<RowKey, (Interval, Option<Decimal>)> = BTreeMap::new();
    for time in contract.priced_times(month, zone) {
        let interval = consumption.interval(time.range.from, time.range.to);
        let is_of_series = time.period.is_none() && time.price.is_some();
        let key = (time.period, time.price.filter(|_| !is_of_series), is_of_series);
        let cost = interval.consumed.zip(time.price).and_then(|(consumed, price)| consumed.checked_mul(price));
        let row = match rows.remove(&key) {
            Some((before, exact)) => (join(before, interval), exact.zip(cost).map(|(a, b)| a + b).or(exact).or(cost)),
            None => (interval, cost),
        };
        rows.insert(key, row);
    }
    let finish = |((period, price, _), (whole, exact)): (RowKey, (Interval, Option<Decimal>))| PeriodCost {
        period,
        price,
        consumed: whole.consumed,
        quality: whole.quality,
        cost: exact.map(to_cents),
    };
    rows.into_iter().map(finish).collect()
}

/// Consumption of a range by tariff period. `contracts`: those of the point, in order of their dates. `None`: prices of a series, or a time
/// whose period nobody knows; before the first contract there is nothing.
pub fn consumption_by_period(
    consumption: &Consumption,
    contracts: &[&Contract],
    range: TimeRange,
    zone: &TimeZone,
) -> BTreeMap<Option<TariffPeriod>, Interval> {
    let mut out: BTreeMap<Option<TariffPeriod>, Interval> = BTreeMap::new();
    for (i, contract) in contracts.iter().enumerate() {
        let to = contracts.get(i + 1).map_or(range.to, |next| next.from.min(range.to));
        for time in contract.priced_times(TimeRange { from: range.from.max(contract.from), to }, zone) {
            let interval = consumption.interval(time.range.from, time.range.to);
            let whole = out.remove(&time.period).map_or(interval, |before| join(before, interval));
            out.insert(time.period, whole);
        }
    }
    out
}

/// The maximum demand of a month in kilowatts: of its measured intervals.
pub fn maximum_demand(
    consumption: &Consumption,
    month: TimeRange,
    (minutes, zone): (u32, &TimeZone),
) -> Option<Decimal> {
    Summary::of(consumption, (month.from, month.to), minutes, zone).max_demand().map(|(_, kw)| kw)
}

/// What is charged for demand. `maxima`: of this month and of those before it, the newest first, as many as are known.
pub fn demand_cost(contract: &Contract, basis: DemandBasis, price: Decimal, maxima: &[Decimal]) -> Option<DemandCost> {
    let maximum = *maxima.first()?;
    let charged = match basis {
        DemandBasis::Maximum { floor_kw } => maximum.max(floor_kw),
        DemandBasis::Contract { tolerance_pct, excess_factor } => {
            let agreed = contract.demand_kw?;
            let limit = agreed * (Decimal::ONE_HUNDRED + tolerance_pct) / Decimal::ONE_HUNDRED;
            if maximum <= limit { agreed } else { maximum + (maximum - limit) * (excess_factor - Decimal::ONE) }
        }
        DemandBasis::MeanOfMonths { months, floor_kw } => {
            let of: Vec<Decimal> = maxima.iter().take(months.max(1).into()).map(|kw| (*kw).max(floor_kw)).collect();
            of.iter().sum::<Decimal>().checked_div(Decimal::from(of.len()))?
        }
    };
    let cost = to_cents(charged.checked_mul(price)?);
    Some(DemandCost { maximum_kw: maximum, charged_kw: charged, price, cost })
}

/// What is charged for the demand of the calendar month that `month` begins with; it may end before the month does, because the month still runs or
/// another contract follows.
pub fn demand_charge(
    consumption: &Consumption,
    contract: &Contract,
    month: TimeRange,
    (minutes, zone): (u32, &TimeZone),
) -> DemandCharge {
    let start = |back: i32| month_start(month.from, back, zone);
    let due = local_date(month.from, zone).and_then(|first| {
        let part = contract.tariff.at(first)?.demand.as_ref()?;
        Some((part.basis, part.price.or(contract.demand_price)?))
    });
    let Some((basis, price)) = due.filter(|_| start(0) == Some(month.from)) else { return DemandCharge::NotDue };
    let count = match basis {
        DemandBasis::MeanOfMonths { months, .. } => i32::from(months.max(1)),
        DemandBasis::Maximum { .. } | DemandBasis::Contract { .. } => 1,
    };
    let maximum = |back: i32| {
        let (from, to) = start(back).zip(start(back - 1))?;
        maximum_demand(consumption, TimeRange { from, to }, (minutes, zone))
    };
    let maxima: Vec<Decimal> = (0..count).map_while(maximum).collect();
    demand_cost(contract, basis, price, &maxima).map_or(DemandCharge::Unknown, DemandCharge::Charged)
}
