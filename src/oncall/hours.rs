//! Quiet hours and the time of the digest.

use jiff::ToSpan as _;
use jiff::civil::{Time, Weekday};

use crate::model::time::UnixMillis;
use crate::oncall::plan::OncallPlan;
use crate::oncall::rota::moment;

/// End of the quiet hours that contain `at`; `None` outside of quiet hours.
pub fn quiet_hours_end(plan: &OncallPlan, at: UnixMillis) -> Option<UnixMillis> {
    let mut until = None;
    let mut at = at;
    // Adjacent periods count as one.
    for _ in 0..=plan.quiet_hours.len() {
        let Some(end) = plan.quiet_hours.iter().filter_map(|(from, to)| ends(plan, *from, *to, at)).max() else {
            break;
        };
        until = Some(end);
        at = end;
    }
    until
}

fn ends(plan: &OncallPlan, from: Time, to: Time, at: UnixMillis) -> Option<UnixMillis> {
    let local = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(plan.zone.clone()).datetime();
    let (day, time) = (local.date(), local.time());
    let end = match (from < to, time >= from, time < to) {
        (true, true, true) | (false, false, true) => day,
        (false, true, _) => day.tomorrow().ok()?,
        _ => return None,
    };
    moment(end.to_datetime(to), plan).filter(|end| *end > at)
}

/// The next moment after `after` with this local time at the site.
pub fn next(plan: &OncallPlan, time: Time, after: UnixMillis) -> Option<UnixMillis> {
    let local = jiff::Timestamp::from_millisecond(after.0).ok()?.to_zoned(plan.zone.clone()).datetime();
    let days = local.date().series(1.day()).take(3);
    days.filter_map(|day| moment(day.to_datetime(time), plan)).find(|at| *at > after)
}

/// The next moment after `after` with this weekday and local time at the site.
pub fn next_weekly(plan: &OncallPlan, day: Weekday, time: Time, after: UnixMillis) -> Option<UnixMillis> {
    let local = jiff::Timestamp::from_millisecond(after.0).ok()?.to_zoned(plan.zone.clone()).datetime();
    let days = local.date().series(1.day()).take(9).filter(|d| d.weekday() == day);
    days.filter_map(|d| moment(d.to_datetime(time), plan)).find(|at| *at > after)
}
