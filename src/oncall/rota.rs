//! Who is on call: shifts, the calendar and overrides.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use crate::model::time::UnixMillis;
use crate::oncall::plan::{OncallPlan, RotaPlan, ShiftPlan};
use crate::oncall::settings::{Days, Turn};

pub const DAY_MS: i64 = 86_400_000;
/// Search horizon for the next person on call.
const NEXT_DAYS: i64 = 60;

/// Somebody stands in for whoever the plan names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Its number, given when it is accepted; 0: it is from before there were numbers.
    #[serde(default)]
    pub number: u64,
    pub rota: String,
    /// Start of the override, inclusive.
    pub from: UnixMillis,
    /// End of the override, exclusive.
    pub to: UnixMillis,
    /// Id of the person who is on call instead.
    pub person: Arc<str>,
    /// Who entered the override.
    #[serde(rename = "by")]
    pub actor: String,
}

/// A period during which one person is on call, or nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OnCallPeriod {
    pub from: UnixMillis,
    pub to: UnixMillis,
    /// `None`: nobody is on call.
    pub person: Option<Arc<str>>,
    /// Whether an override applies.
    pub overridden: bool,
}

impl ShiftPlan {
    /// The start day of the shift that covers this moment.
    fn day_of(&self, at: DateTime, plan: &OncallPlan) -> Option<Date> {
        let (day, time) = (at.date(), at.time());
        let yesterday = day.yesterday().ok();
        let began = match (self.from < self.to, time >= self.from, time < self.to) {
            (true, true, true) | (false, true, _) => Some(day),
            (false, false, true) => yesterday,
            _ => None,
        };
        began.filter(|day| self.has(*day, plan))
    }

    fn has(&self, day: Date, plan: &OncallPlan) -> bool {
        match self.days {
            Days::All => true,
            Days::Working => plan.calendar.is_working(day),
            Days::Free => !plan.calendar.is_working(day),
        }
    }

    fn person(&self, day: Date, plan: &OncallPlan) -> Option<Arc<str>> {
        let days = i64::from((day - self.since).get_days());
        let turns = match (self.turn, self.days == Days::All) {
            (Turn::Weekly, _) => days.div_euclid(7),
            (Turn::Daily, true) => days,
            // Counts only days on which the shift takes place.
            (Turn::Daily, false) => {
                let (first, last, sign) = if day >= self.since { (self.since, day, 1) } else { (day, self.since, -1) };
                let between = first.series(1.day()).take_while(|d| *d < last);
                sign * i64::try_from(between.filter(|d| self.has(*d, plan)).count()).unwrap_or(0)
            }
        };
        let count = i64::try_from(self.people.len()).ok().filter(|n| *n > 0)?;
        self.people.get(usize::try_from(turns.rem_euclid(count)).ok()?).cloned()
    }
}

/// Local date and time at the site.
fn local(at: UnixMillis, plan: &OncallPlan) -> Option<DateTime> {
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(at.to_zoned(plan.zone.clone()).datetime())
}

/// The moment of a local date and time at the site.
pub fn moment(at: DateTime, plan: &OncallPlan) -> Option<UnixMillis> {
    at.to_zoned(plan.zone.clone()).ok().map(|z| UnixMillis(z.timestamp().as_millisecond()))
}

fn override_at<'a>(id: &str, overrides: &'a [Override], at: UnixMillis) -> Option<&'a Override> {
    overrides.iter().rev().find(|o| o.rota == id && o.from <= at && at < o.to)
}

/// The person on call at a moment; `None`: a gap.
pub fn on_call(plan: &OncallPlan, id: &str, overrides: &[Override], at: UnixMillis) -> Option<Arc<str>> {
    if let Some(o) = override_at(id, overrides, at) {
        return Some(Arc::clone(&o.person));
    }
    let local = local(at, plan)?;
    plan.rotas.get(id)?.shifts.iter().find_map(|s| s.person(s.day_of(local, plan)?, plan))
}

/// The next person on call who is not the present one, within `NEXT_DAYS`.
pub fn next(plan: &OncallPlan, id: &str, overrides: &[Override], at: UnixMillis) -> Option<Arc<str>> {
    let now = on_call(plan, id, overrides, at);
    let to = UnixMillis(at.0 + NEXT_DAYS * DAY_MS);
    on_call_periods(plan, id, overrides, at, to).into_iter().find_map(|s| s.person.filter(|p| Some(p) != now.as_ref()))
}

/// Everyone who takes part in a rota.
pub fn all(rota: &RotaPlan) -> BTreeSet<Arc<str>> {
    rota.shifts.iter().flat_map(|s| &s.people).cloned().collect()
}

/// The on-call periods between two moments, gaps included.
pub fn on_call_periods(
    plan: &OncallPlan,
    id: &str,
    overrides: &[Override],
    from: UnixMillis,
    to: UnixMillis,
) -> Vec<OnCallPeriod> {
    let mut bounds: BTreeSet<UnixMillis> = [from].into();
    bounds.extend(overrides.iter().filter(|o| o.rota == id).flat_map(|o| [o.from, o.to]));
    if let (Some(first), Some(last), Some(rota)) = (local(from, plan), local(to, plan), plan.rotas.get(id)) {
        let days = first.date().series(1.day()).take_while(|d| *d <= last.date());
        for day in days {
            for shift in &rota.shifts {
                bounds.extend([shift.from, shift.to].into_iter().filter_map(|t| moment(day.to_datetime(t), plan)));
            }
        }
    }
    let bounds: Vec<UnixMillis> = bounds.into_iter().filter(|b| (from..to).contains(b)).collect();
    let ends = bounds.iter().skip(1).copied().chain([to]);
    let mut out: Vec<OnCallPeriod> = Vec::new();
    for (from, to) in bounds.iter().copied().zip(ends) {
        let person = on_call(plan, id, overrides, from);
        let overridden = override_at(id, overrides, from).is_some();
        match out.last_mut() {
            Some(last) if last.person == person && last.overridden == overridden => last.to = to,
            _ => out.push(OnCallPeriod { from, to, person, overridden }),
        }
    }
    out
}
