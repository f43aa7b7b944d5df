//! What a metering point counted beside what the points directly below it did.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::energy::consumption::Consumption;
use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::metering::{MeteringPlan, MeteringPoint, MeteringSource};
use crate::model::time::UnixMillis;

/// Point of the device of a main meter: by how many percent the meters below it counted more or less than it did yesterday.
pub const BALANCE_POINT: &str = "balance_error_pct";

/// Limit of error in percent that is taken for a meter of unknown class.
const ASSUMED_CLASS: Decimal = Decimal::TWO;
/// A daily figure is given if at least this share of the day's intervals could be compared, in percent.
const COMPARED_MIN_PCT: Decimal = Decimal::from_parts(80, 0, 0, false, 0);

/// Consumption of metering points, by id.
pub type ConsumptionByPoint = BTreeMap<String, Arc<Consumption>>;

/// Sums over the intervals in which the point and all points below it are measured or interpolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub main: Decimal,
    pub below: Decimal,
    /// What the difference may be by the meters' limits of error: the sum of those of all of them.
    pub tolerance: Decimal,
    /// How many intervals were compared.
    pub compared: u32,
    /// How many there are.
    pub intervals: u32,
}

impl Balance {
    /// Difference in percent of the main meter, either way; 100 where only the meters below counted; none where less than 80 % of the
    /// intervals could be compared, or nothing was consumed.
    pub fn error_pct(&self) -> Option<Decimal> {
        let compared = percent(self.compared.into(), self.intervals.into())?;
        let whole = if self.main.is_zero() { self.below } else { self.main };
        percent((self.main - self.below).abs(), whole).filter(|_| compared >= COMPARED_MIN_PCT)
    }
}

/// A part in percent of a whole; none of nothing.
pub fn percent(part: Decimal, whole: Decimal) -> Option<Decimal> {
    (part * Decimal::ONE_HUNDRED).checked_div(whole)
}

/// The balance of a point over consecutive intervals; `None`: it has no points below, or is not among the consumptions.
pub fn balance(
    plan: &MeteringPlan,
    point: &MeteringPoint,
    consumptions: &ConsumptionByPoint,
    grid: &[UnixMillis],
) -> Option<Balance> {
    let below: Vec<&MeteringPoint> = plan.children(&point.id).collect();
    let main = consumptions.get(&point.id).filter(|_| !below.is_empty())?.intervals(grid);
    let of_subs: Option<Vec<Vec<Interval>>> =
        below.iter().map(|sub| Some(consumptions.get(&sub.id)?.intervals(grid))).collect();
    let known = |interval: &Interval| interval.consumed.filter(|_| interval.quality <= IntervalQuality::Interpolated);
    let intervals = u32::try_from(main.len()).unwrap_or(u32::MAX);
    let mut out = Balance { intervals, ..Balance::default() };
    let mut sums = vec![Decimal::ZERO; below.len()];
    for (i, interval) in main.iter().enumerate() {
        let all: Option<Vec<Decimal>> =
            of_subs.as_ref().and_then(|subs| subs.iter().map(|sub| known(&sub[i])).collect());
        let Some((own, all)) = known(interval).zip(all) else { continue };
        sums.iter_mut().zip(all).for_each(|(sum, consumed)| *sum += consumed);
        out.main += own;
        out.compared += 1;
    }
    out.below = sums.iter().sum();
    let classes = below.iter().map(|sub| tolerance_pct(plan, sub));
    let of_subs: Decimal = sums.iter().zip(classes).map(|(sum, class)| sum.abs() * class).sum();
    out.tolerance = (out.main * tolerance_pct(plan, point) + of_subs) / Decimal::ONE_HUNDRED;
    Some(out)
}

/// Limit of error of a point in percent: that of its meter's class; of a formula, the greatest of its terms.
fn tolerance_pct(plan: &MeteringPlan, point: &MeteringPoint) -> Decimal {
    match &point.source {
        MeteringSource::Meters(_) => point.meter().and_then(|meter| meter.tolerance_pct).unwrap_or(ASSUMED_CLASS),
        MeteringSource::Formula { sum, minus, .. } => {
            let terms = sum.iter().chain(minus).filter_map(|id| plan.points.get(id));
            terms.map(|term| tolerance_pct(plan, term)).max().unwrap_or(ASSUMED_CLASS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_day() {
        let of = |main: i64, below: i64, compared| {
            let (main, below, tolerance) = (Decimal::from(main), Decimal::from(below), Decimal::ZERO);
            Balance { main, below, tolerance, compared, intervals: 100 }.error_pct()
        };
        assert_eq!(of(200, 190, 80), Some(Decimal::from(5)));
        assert_eq!(of(200, 210, 100), Some(Decimal::from(5)));
        assert_eq!(of(200, 190, 79), None, "too little of the day was compared");
        assert_eq!(of(0, 10, 100), Some(Decimal::ONE_HUNDRED), "a main meter that stands still");
        assert_eq!(of(0, 0, 100), None);
    }
}
