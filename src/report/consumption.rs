//! Consumption in periods: a row for each metering point, register or group, and period.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::energy::calendar::{before, year_ago};
use crate::energy::consumption::Consumption;
use crate::energy::interval::Interval;
use crate::energy::meter::EndUse;
use crate::energy::metering::{MeteringPlan, Subject};
use crate::energy::summary::Summary;
use crate::model::metering::TimeRange;
use crate::model::time::UnixMillis;
use crate::report::table::{Cell, ReportTable};

/// What the rows are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// A metering point, or a register.
    Point,
    /// What it is used for.
    EndUse,
    Area,
}

/// Something whose consumption makes a row for each period.
pub struct ReportSubject {
    /// Id of the point, register or group.
    pub id: String,
    /// Its name, in one language.
    pub name: String,
    pub unit: String,
    /// Its floor area in square metres, of a group that is an area.
    pub floor_area_m2: Option<Decimal>,
    /// What the readings of its meter are multiplied with.
    pub multiplier: Option<Decimal>,
    /// The smallest step of its register in its unit; `None`: it is not known.
    pub resolution: Option<Decimal>,
    pub consumption: Arc<Consumption>,
}

pub struct ConsumptionQuery<'a> {
    /// Boundaries of the periods, which rise.
    pub bounds: &'a [UnixMillis],
    /// Length of the intervals in minutes.
    pub minutes: u32,
    pub zone: &'a TimeZone,
    /// Whether the period before, and the same a year before, are beside each figure.
    pub is_compared: bool,
}

/// Columns of a report.
pub const CONSUMPTION_COLUMNS: [&str; 18] = [
    "point",
    "name",
    "unit",
    "from",
    "to",
    "consumed",
    "quality",
    "complete_pct",
    "max_demand",
    "max_demand_at",
    "allocated",
    "opening",
    "opening_at",
    "closing",
    "closing_at",
    "multiplier",
    "per_m2",
    "remark",
];
/// Steps of a register below which a figure says little.
const STEPS_MIN: Decimal = Decimal::from_parts(4, 0, 0, false, 0);
/// What is said of such a figure.
pub const COARSE: &str = "coarse";
const COMPARED_COLUMNS: [&str; 4] = ["before", "before_pct", "year_ago", "year_ago_pct"];

/// Consumption of every subject in every period.
pub fn consumption(subjects: &[ReportSubject], query: &ConsumptionQuery<'_>) -> ReportTable {
    let mut head: Vec<&str> = CONSUMPTION_COLUMNS.to_vec();
    if query.is_compared {
        head.extend(COMPARED_COLUMNS);
    }
    let mut rows = Vec::new();
    for subject in subjects {
        for pair in query.bounds.windows(2) {
            let range = TimeRange { from: pair[0], to: pair[1] };
            rows.push(row(subject, range, query));
        }
    }
    ReportTable::new("summary", &head, rows)
}

fn row(subject: &ReportSubject, range: TimeRange, query: &ConsumptionQuery<'_>) -> Vec<Cell> {
    let summary = Summary::of(&subject.consumption, (range.from, range.to), query.minutes, query.zone);
    let Interval { consumed, quality, readings, .. } = summary.whole;
    let demand = summary.max_demand();
    let (opening, closing) = (readings.map(|(first, _)| first), readings.map(|(_, last)| last));
    let least = subject.resolution.map(|step| step * STEPS_MIN);
    let is_coarse = consumed.zip(least).is_some_and(|(consumed, least)| consumed < least && !consumed.is_zero());
    let per_m2 = consumed.zip(subject.floor_area_m2).and_then(|(consumed, m2)| consumed.checked_div(m2));
    let mut cells = vec![
        Cell::text(&subject.id),
        Cell::text(&subject.name),
        Cell::text(&subject.unit),
        Cell::Time(range.from),
        Cell::Time(range.to),
        Cell::number(consumed),
        Cell::text(quality.word()),
        Cell::number(Some(summary.complete_pct())),
        Cell::number(demand.map(|(_, rate)| rate.round_dp(6))),
        Cell::time(demand.map(|(at, _)| at)),
        Cell::number(Some(summary.allocated)),
        Cell::number(opening.map(|reading| reading.value)),
        Cell::time(opening.map(|reading| reading.at)),
        Cell::number(closing.map(|reading| reading.value)),
        Cell::time(closing.map(|reading| reading.at)),
        Cell::number(subject.multiplier.filter(|multiplier| *multiplier != Decimal::ONE)),
        Cell::number(per_m2.map(|value| value.round_dp(4))),
        Cell::text(if is_coarse { COARSE } else { "" }),
    ];
    if query.is_compared {
        for other in [before(range, query.zone), year_ago(range, query.zone)] {
            let then = other.map(|other| subject.consumption.interval(other.from, other.to));
            let then = then.and_then(|interval| interval.consumed);
            let change = consumed.zip(then).and_then(|(now, then)| {
                ((now - then) * Decimal::ONE_HUNDRED).checked_div(then).map(|pct| pct.round_dp(1))
            });
            cells.extend([Cell::number(then), Cell::number(change)]);
        }
    }
    cells
}

/// Consumption by end use or area. Each point counts in its own group, less the points below it, which count in theirs; so the groups of a unit
/// sum up to the points that are below no other. A point that is made of others counts only where it has a parent.
pub fn groups(
    plan: &MeteringPlan,
    subjects: &[(Subject, Arc<Consumption>)],
    grouping: Grouping,
    is_chinese: bool,
) -> Vec<ReportSubject> {
    let key = |id: &str| {
        let point = plan.points.get(id)?;
        let counts = point.meter().is_some() || point.parent.is_some();
        let group = match grouping {
            Grouping::Point => Some(point.id.clone()),
            Grouping::EndUse => point.end_use.map(|end_use| end_use.word().to_string()),
            Grouping::Area => point.area.clone(),
        };
        counts.then(|| (group.unwrap_or_default(), point.unit.as_deref().unwrap_or_default().to_string()))
    };
    let mut factors: BTreeMap<(String, String), BTreeMap<&str, Decimal>> = BTreeMap::new();
    let mut count = |group: (String, String), id, factor| {
        *factors.entry(group).or_default().entry(id).or_insert(Decimal::ZERO) += factor;
    };
    for (subject, _) in subjects {
        let Some(group) = key(&subject.id) else { continue };
        count(group, subject.id.as_str(), Decimal::ONE);
        let parent = subject.point.as_ref().and_then(|point| point.parent.as_deref());
        if let Some(upstream) = parent.and_then(key) {
            count(upstream, subject.id.as_str(), Decimal::NEGATIVE_ONE);
        }
    }
    let of = |id: &str| {
        subjects.iter().find(|(subject, _)| subject.id == id).map(|(_, consumption)| Arc::clone(consumption))
    };
    let group = |((id, unit), terms): ((String, String), BTreeMap<&str, Decimal>)| {
        let terms = terms.into_iter().filter(|(_, factor)| !factor.is_zero());
        let terms: Vec<_> = terms.filter_map(|(id, factor)| Some((factor, of(id)?))).collect();
        let area = plan.areas.get(&id).filter(|_| grouping == Grouping::Area);
        let name = match (grouping, area) {
            _ if id.is_empty() => if is_chinese { "其他" } else { "other" }.to_string(),
            (_, Some(area)) => {
                if is_chinese {
                    area.zh.clone()
                } else {
                    area.en.clone()
                }
            }
            _ => name_of_group(plan, &id, grouping, is_chinese),
        };
        let floor_area_m2 = area.and_then(|area| Decimal::try_from(area.floor_area_m2?).ok());
        let id = if id.is_empty() { "other".to_string() } else { id };
        let consumption = Arc::new(Consumption::Group(terms));
        ReportSubject { id, name, unit, floor_area_m2, multiplier: None, resolution: None, consumption }
    };
    factors.into_iter().filter(|(_, terms)| terms.values().any(|factor| !factor.is_zero())).map(group).collect()
}

fn name_of_group(plan: &MeteringPlan, id: &str, grouping: Grouping, is_chinese: bool) -> String {
    let of_point = plan.points.values().find(|point| point.end_use.is_some_and(|end_use| end_use.word() == id));
    let zh = of_point.filter(|_| grouping == Grouping::EndUse).and_then(|point| point.end_use).map(EndUse::zh);
    if is_chinese { zh.unwrap_or(id).to_string() } else { id.replace('_', " ") }
}
