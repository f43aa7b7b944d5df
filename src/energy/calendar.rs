//! Boundaries of intervals, days, months and years in the site's time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use crate::model::metering::TimeRange;
use crate::model::time::UnixMillis;

/// The length of the intervals of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Minutes, aligned to the hour of the zone: 5, 10, 15, 30 or 60.
    Minutes(u32),
    /// From midnight to midnight: 23, 24 or 25 hours.
    Day,
    /// From the first of a month to that of the next.
    Month,
    /// From 1 January to the next.
    Year,
}

/// Most boundaries of one answer.
pub const BOUNDS_MAX: usize = 1_200_000;

/// Grid of the readings that are kept for intervals of so many minutes, in milliseconds. It fits every zone's quarter hours.
pub const fn grid_ms(interval_minutes: u32) -> i64 {
    if interval_minutes.is_multiple_of(15) { 900_000 } else { 300_000 }
}

/// Boundaries from `from` to `to`, both included, with every boundary of the step in between; at most [`BOUNDS_MAX`].
pub fn bounds(from: UnixMillis, to: UnixMillis, step: Step, zone: &TimeZone) -> Vec<UnixMillis> {
    let mut out = vec![from];
    let mut at = from;
    while out.len() < BOUNDS_MAX {
        match next_bound(at, step, zone) {
            Some(next) if next < to => {
                out.push(next);
                at = next;
            }
            _ => break,
        }
    }
    if to > from {
        out.push(to);
    }
    out
}

/// The first boundary after a moment; `None` at the end of the calendar.
pub fn next_bound(after: UnixMillis, step: Step, zone: &TimeZone) -> Option<UnixMillis> {
    let timestamp = Timestamp::from_millisecond(after.0).ok()?;
    let date = || timestamp.to_zoned(zone.clone()).date();
    match step {
        Step::Minutes(minutes) => {
            let every = i64::from(minutes.max(1)) * 60_000;
            let offset = i64::from(zone.to_offset(timestamp).seconds()) * 1_000;
            Some(UnixMillis(((after.0 + offset).div_euclid(every) + 1) * every - offset))
        }
        Step::Day => start_of(date().tomorrow().ok()?, zone),
        Step::Month => start_of(date().first_of_month().checked_add(1.month()).ok()?, zone),
        Step::Year => start_of(date().first_of_year().checked_add(1.year()).ok()?, zone),
    }
}

/// The first moment of a day in a zone.
pub fn start_of(date: Date, zone: &TimeZone) -> Option<UnixMillis> {
    date.to_zoned(zone.clone()).ok().map(|zoned| UnixMillis(zoned.timestamp().as_millisecond()))
}

/// The date of a moment in a zone.
pub fn local_date(at: UnixMillis, zone: &TimeZone) -> Option<Date> {
    Some(zoned(at, zone)?.date())
}

/// A month by its name, such as 2026-10.
pub fn month(name: &str, zone: &TimeZone) -> Option<TimeRange> {
    let first: Date = (name.len() == 7).then(|| format!("{name}-01").parse().ok()).flatten()?;
    let (from, to) = (start_of(first, zone)?, start_of(first.checked_add(1.month()).ok()?, zone)?);
    Some(TimeRange { from, to })
}

/// The first moment of the month that lies so many months before that of a moment.
pub fn month_start(at: UnixMillis, months_before: i32, zone: &TimeZone) -> Option<UnixMillis> {
    let first = local_date(at, zone)?.first_of_month();
    start_of(first.checked_sub(months_before.months()).ok()?, zone)
}

/// The period before one: the month before of a month, the day before of a day, else as long a time before.
pub fn before(range: TimeRange, zone: &TimeZone) -> Option<TimeRange> {
    let (from, to) = (zoned(range.from, zone)?, zoned(range.to, zone)?);
    let first = [1.day(), 1.month(), 1.year()].into_iter().find_map(|span| {
        let is_whole = from.start_of_day().ok()? == from && from.checked_add(span).ok()? == to;
        is_whole.then(|| from.checked_sub(span).ok()).flatten()
    });
    let first =
        first.map_or(UnixMillis(2 * range.from.0 - range.to.0), |zoned| UnixMillis(zoned.timestamp().as_millisecond()));
    Some(TimeRange { from: first, to: range.from })
}

/// The same dates a year before.
pub fn year_ago(range: TimeRange, zone: &TimeZone) -> Option<TimeRange> {
    let earlier = |at: UnixMillis| {
        let then = zoned(at, zone)?.checked_sub(1.year()).ok()?;
        Some(UnixMillis(then.timestamp().as_millisecond()))
    };
    Some(TimeRange { from: earlier(range.from)?, to: earlier(range.to)? })
}

fn zoned(at: UnixMillis, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone()))
}
