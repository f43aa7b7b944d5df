//! Consumption by tariff period with what it costs, and demand: tables for comparison, never an invoice.

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::balance::percent;
use crate::energy::calendar::{Step, bounds};
use crate::energy::consumption::Consumption;
use crate::energy::cost::{
    DemandCharge, PeriodCost, consumption_by_period, demand_charge, energy_costs, maximum_demand,
};
use crate::energy::interval::IntervalQuality;
use crate::energy::tariff::{Contract, TariffPeriod};
use crate::model::metering::TimeRange;
use crate::model::time::UnixMillis;
use crate::report::table::{Cell, ReportTable};

/// Columns of a table of costs.
pub const COST_COLUMNS: [&str; 15] = [
    "point",
    "from",
    "to",
    "tariff",
    "period",
    "consumed",
    "unit",
    "quality",
    "price",
    "cost",
    "currency",
    "own_register",
    "own_difference",
    "demand_max",
    "demand_contract_pct",
];

/// A metering point with its contracts and consumptions.
pub struct CostSubject<'a> {
    pub point: &'a str,
    pub unit: &'a str,
    /// Its contracts, in order of their dates.
    pub contracts: Vec<&'a Contract>,
    pub consumption: &'a Consumption,
    /// Consumption by the meter's own register of each period, where it has them, with the date of the contract that names it.
    pub own: Vec<(UnixMillis, TariffPeriod, Consumption)>,
}

/// Costs of each month, or part of one, in a range: a row for each period and price, one for demand, one for the total. `has_demand`: with the
/// charge for demand, which belongs to a month.
pub fn costs(subject: &CostSubject<'_>, range: TimeRange, grid: (u32, &TimeZone), has_demand: bool) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for (i, contract) in subject.contracts.iter().enumerate() {
        let next = subject.contracts.get(i + 1).map_or(range.to, |next| next.from.min(range.to));
        let of_contract = TimeRange { from: range.from.max(contract.from), to: next };
        for pair in bounds(of_contract.from, of_contract.to, Step::Month, grid.1).windows(2) {
            let month = TimeRange { from: pair[0], to: pair[1] };
            rows.extend(of_month(subject, contract, month, grid, has_demand));
        }
    }
    rows
}

/// Columns of a report by tariff period.
pub const PERIOD_COLUMNS: [&str; 9] =
    ["point", "name", "period", "unit", "from", "to", "consumed", "quality", "share_pct"];

/// Consumption by tariff period between consecutive `bounds`, which rise; the shares are of what is known of all periods.
pub fn by_period((subject, name): (&CostSubject<'_>, &str), bounds: &[UnixMillis], zone: &TimeZone) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for pair in bounds.windows(2) {
        let range = TimeRange { from: pair[0], to: pair[1] };
        let periods = consumption_by_period(subject.consumption, &subject.contracts, range, zone);
        let all: Decimal = periods.values().filter_map(|whole| whole.consumed).sum();
        rows.extend(periods.into_iter().map(|(period, whole)| {
            vec![
                Cell::text(subject.point),
                Cell::text(name),
                Cell::text(period.map_or("unknown", TariffPeriod::word)),
                Cell::text(subject.unit),
                Cell::Time(range.from),
                Cell::Time(range.to),
                Cell::number(whole.consumed),
                Cell::text(whole.quality.word()),
                Cell::number(whole.consumed.and_then(|consumed| percent(consumed, all)).map(|pct| pct.round_dp(1))),
            ]
        }));
    }
    rows
}

/// A row: what it is about, then seven cells from consumption to currency, the meter's own register, and demand.
fn line(
    (subject, contract, month): (&CostSubject<'_>, &Contract, TimeRange),
    period: &str,
    amount: [Cell; 5],
    rest: [Cell; 4],
) -> Vec<Cell> {
    let [consumed, unit, quality, price, cost] = amount;
    let tariff = &contract.tariff;
    let mut row = vec![Cell::text(subject.point), Cell::Time(month.from), Cell::Time(month.to)];
    row.extend([Cell::text(&tariff.id), Cell::text(period), consumed, unit, quality, price, cost]);
    row.push(Cell::text(&tariff.currency));
    row.extend(rest);
    row
}

const NOTHING: [Cell; 4] = [Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty];

fn of_month(
    subject: &CostSubject<'_>,
    contract: &Contract,
    month: TimeRange,
    (minutes, zone): (u32, &TimeZone),
    has_demand: bool,
) -> Vec<Vec<Cell>> {
    let about = (subject, contract, month);
    let periods = energy_costs(subject.consumption, contract, month, zone);
    let mut total = Decimal::ZERO;
    let mut rows = Vec::new();
    for period in &periods {
        total += period.cost.unwrap_or_default();
        let is_only = periods.iter().filter(|other| other.period == period.period).count() == 1;
        let [own, difference] = own_register(subject, contract, period, (month, is_only));
        let amount = [
            Cell::number(period.consumed),
            Cell::text(subject.unit),
            Cell::text(period.quality.word()),
            Cell::number(period.price),
            Cell::money(period.cost),
        ];
        let unnamed = if period.cost.is_some() { "by time" } else { "unknown" };
        let word = period.period.map_or(unnamed, TariffPeriod::word);
        rows.push(line(about, word, amount, [own, difference, Cell::Empty, Cell::Empty]));
    }
    let charge = || demand_charge(subject.consumption, contract, month, (minutes, zone));
    let charged = if has_demand { charge() } else { DemandCharge::NotDue };
    if let DemandCharge::Charged(charge) = &charged {
        total += charge.cost;
        let charged = Cell::number(Some(charge.charged_kw.round_dp(3)));
        let (price, cost) = (Cell::number(Some(charge.price)), Cell::money(Some(charge.cost)));
        rows.push(line(about, "demand", [charged, Cell::text("kW"), Cell::Empty, price, cost], NOTHING));
    }
    // A sum of which a part is not known is none.
    let is_period_known = |period: &PeriodCost| period.cost.is_some() && period.quality < IntervalQuality::Partial;
    let is_known = charged != DemandCharge::Unknown && !periods.is_empty() && periods.iter().all(is_period_known);
    let consumed = periods.iter().map(|period| period.consumed).collect::<Option<Vec<_>>>();
    let worst = periods.iter().map(|period| period.quality).max();
    let maximum = maximum_demand(subject.consumption, month, (minutes, zone));
    let share =
        maximum.zip(contract.demand_kw).and_then(|(kw, agreed)| (kw * Decimal::ONE_HUNDRED).checked_div(agreed));
    let demand = [maximum.map(|kw| kw.round_dp(3)), share.map(|pct| pct.round_dp(1))].map(Cell::number);
    let [maximum, share] = demand;
    let amount = [
        Cell::number(consumed.map(|all| all.iter().sum())),
        Cell::text(subject.unit),
        Cell::text(worst.map(IntervalQuality::word).unwrap_or_default()),
        Cell::Empty,
        Cell::money(is_known.then_some(total)),
    ];
    rows.push(line(about, "total", amount, [Cell::Empty, Cell::Empty, maximum, share]));
    rows
}

/// What the meter's own register of a period counted, and how far it is from what was computed.
fn own_register(
    subject: &CostSubject<'_>,
    contract: &Contract,
    period: &PeriodCost,
    (month, is_only): (TimeRange, bool),
) -> [Cell; 2] {
    let is_meant = |from: UnixMillis, of: TariffPeriod| from == contract.from && Some(of) == period.period;
    let own = subject.own.iter().find(|(from, of, _)| is_meant(*from, *of));
    let counted = own.and_then(|(_, _, consumption)| consumption.interval(month.from, month.to).consumed);
    // Two prices of one period in a month are two rows, of which the register knows the sum only.
    let difference = counted.zip(period.consumed).filter(|_| is_only).map(|(own, computed)| own - computed);
    [Cell::number(counted), Cell::number(difference)]
}

/// A table of such rows.
pub fn cost_table(rows: Vec<Vec<Cell>>) -> ReportTable {
    ReportTable::new("tariff", &COST_COLUMNS, rows)
}
