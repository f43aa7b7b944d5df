//! Main meters beside the meters below them, and figures that are made of consumption: per square metre, at night, per unit of output.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::balance::{Balance, ConsumptionByPoint, balance, percent};
use crate::energy::calendar::{Step, bounds};
use crate::energy::consumption::Consumption;
use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::metering::{MeteringPlan, MeteringPoint};
use crate::energy::summary::Summary;
use crate::model::metering::TimeRange;
use crate::report::table::{Cell, ReportTable};

/// Columns of a reconciliation.
pub const RECONCILIATION_COLUMNS: [&str; 12] = [
    "point",
    "unit",
    "from",
    "to",
    "main",
    "below",
    "difference",
    "difference_pct",
    "tolerance",
    "compared_pct",
    "result",
    "points_below",
];

/// Every point that has others below it: what it counted, what they counted, and whether the difference can be the meters' errors. Only
/// intervals are compared in which all of them are measured or interpolated; the limit of the difference is the sum of the limits of error of the meters'
/// classes (2 % where a class is not known).
pub fn reconciliation(
    plan: &MeteringPlan,
    consumptions: &ConsumptionByPoint,
    range: TimeRange,
    (minutes, zone): (u32, &TimeZone),
) -> ReportTable {
    let grid = bounds(range.from, range.to, Step::Minutes(minutes), zone);
    let row = |point: &MeteringPoint| {
        let Balance { main, below, tolerance, compared, intervals } = balance(plan, point, consumptions, &grid)?;
        let difference = main - below;
        let result = match compared {
            0 => "not comparable",
            _ if difference.abs() <= tolerance => "within tolerance",
            _ if difference.is_sign_negative() => "meters below count more",
            _ => "not metered or lost",
        };
        let figure = |value: Decimal| if compared == 0 { Cell::Empty } else { Cell::number(Some(value)) };
        let children: Vec<&str> = plan.children(&point.id).map(|sub| sub.id.as_str()).collect();
        Some(vec![
            Cell::text(&point.id),
            Cell::text(point.unit.as_deref().unwrap_or_default()),
            Cell::Time(range.from),
            Cell::Time(range.to),
            figure(main),
            figure(below),
            figure(difference),
            Cell::number(percent(difference, main).filter(|_| compared > 0).map(|pct| pct.round_dp(2))),
            figure(tolerance.round_dp(3)),
            Cell::number(percent(compared.into(), intervals.into()).map(|pct| pct.trunc_with_scale(1))),
            Cell::text(result),
            Cell::text(children.join(" ")),
        ])
    };
    ReportTable::new("reconciliation", &RECONCILIATION_COLUMNS, plan.points.values().filter_map(row).collect())
}

/// A figure that is made of consumption.
#[derive(Clone, Debug, PartialEq)]
pub struct Indicator {
    /// What it is about: a metering point, a register, an area.
    pub of: String,
    pub name: &'static str,
    /// Its value; `None`: what it is made of is not known.
    pub value: Option<Decimal>,
    pub unit: String,
    /// What it is made of, in words.
    pub made_of: String,
}

/// Hours of the night, local time: what runs then runs always.
const NIGHT: std::ops::Range<i8> = 1..5;

/// Night base load (mean rate of the measured intervals from 01:00 to 05:00) and load factor (mean rate by maximum rate of the measured intervals) of a
/// consumption; none of a unit that is no energy or volume.
pub fn load_indicators(
    (of, unit): (&str, &str),
    consumption: &Consumption,
    range: TimeRange,
    (minutes, zone): (u32, &TimeZone),
) -> Vec<Indicator> {
    let rate_unit = match unit {
        "kWh" => "kW".to_string(),
        "m³" => "m³/h".to_string(),
        _ => return Vec::new(),
    };
    let intervals = consumption.intervals(&bounds(range.from, range.to, Step::Minutes(minutes), zone));
    let measured: Vec<&Interval> = intervals.iter().filter(|i| i.quality == IntervalQuality::Measured).collect();
    let hour = |interval: &Interval| {
        let start = Timestamp::from_millisecond(interval.start.0).unwrap_or_default();
        start.to_zoned(zone.clone()).hour()
    };
    let mean = |of: &[&Interval]| {
        let (mut sum, mut hours) = (Decimal::ZERO, Decimal::ZERO);
        for interval in of {
            sum += interval.consumed.unwrap_or_default();
            hours += Decimal::from(interval.end.0 - interval.start.0) / Decimal::from(3_600_000);
        }
        sum.checked_div(hours)
    };
    let at_night: Vec<&Interval> = measured.iter().copied().filter(|i| NIGHT.contains(&hour(i))).collect();
    let night = mean(&at_night);
    let peak = Summary::of(consumption, (range.from, range.to), minutes, zone).max_demand().map(|(_, rate)| rate);
    let load_factor =
        mean(&measured).zip(peak).and_then(|(mean, peak)| (mean * Decimal::ONE_HUNDRED).checked_div(peak));
    let (night_count, count) = (at_night.len(), measured.len());
    let indicator = |name, value: Option<Decimal>, unit: &str, made_of: String| Indicator {
        of: of.to_string(),
        name,
        value: value.map(|value| value.round_dp(3)),
        unit: unit.to_string(),
        made_of,
    };
    vec![
        indicator(
            "night_base_load",
            night,
            &rate_unit,
            format!("{night_count} measured intervals from 01:00 to 05:00"),
        ),
        indicator("load_factor", load_factor, "%", format!("mean by maximum of {count} measured intervals")),
    ]
}

/// One consumption by another in the same range, such as kWh by m³; not known where either is not, or is known in part only.
pub fn specific_consumption(
    (name, unit): (&'static str, &str),
    (energy_id, energy): (&str, &Consumption),
    (output_id, output): (&str, &Consumption),
    range: TimeRange,
) -> Indicator {
    let known = |consumption: &Consumption| {
        let interval = consumption.interval(range.from, range.to);
        interval.consumed.filter(|_| interval.quality < IntervalQuality::Partial)
    };
    let (energy, output) = (known(energy), known(output));
    let value = energy.zip(output).and_then(|(energy, output)| energy.checked_div(output));
    let word = |value: Option<Decimal>| value.map_or("unknown".to_string(), |value| value.normalize().to_string());
    Indicator {
        of: energy_id.to_string(),
        name,
        value: value.map(|value| value.round_dp(4)),
        unit: unit.to_string(),
        made_of: format!("{} of {energy_id} by {} of {output_id}", word(energy), word(output)),
    }
}

/// Indicators as a table.
pub fn indicator_table(indicators: Vec<Indicator>, range: TimeRange) -> ReportTable {
    let row = |indicator: Indicator| {
        vec![
            Cell::text(indicator.of),
            Cell::text(indicator.name),
            Cell::number(indicator.value),
            Cell::text(indicator.unit),
            Cell::Time(range.from),
            Cell::Time(range.to),
            Cell::text(indicator.made_of),
        ]
    };
    let head = vec!["of", "indicator", "value", "unit", "from", "to", "made_of"];
    ReportTable::new("indicators", &head, indicators.into_iter().map(row).collect())
}
