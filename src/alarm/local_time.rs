//! Hours of the site's day, for conditions that depend on them.

use jiff::civil::Date;

use crate::alarm::evaluation::EvaluationContext;

/// Parses `02:30` into minutes after midnight; `24:00` is the end of the day.
pub fn minute(text: &str) -> Option<u16> {
    let (h, m) = text.split_once(':')?;
    let (h, m): (u16, u16) = (h.parse().ok()?, m.parse().ok()?);
    (h * 60 + m <= 1_440 && m < 60 && h <= 24).then_some(h * 60 + m)
}

/// The site's date and minute of the day; `None` while the date is not trusted.
pub(super) fn local(c: &EvaluationContext<'_>) -> Option<(Date, u16)> {
    if !c.now.wall_trusted {
        return None;
    }
    let at = jiff::Timestamp::from_millisecond(c.now.wall.0).ok()?;
    let there = c.zone.to_datetime(at);
    let minute = u16::try_from(i32::from(there.hour()) * 60 + i32::from(there.minute())).ok()?;
    Some((there.date(), minute))
}

/// Schedules an evaluation at the next of these minutes of the day, within an hour at most, so that changes of daylight saving time
/// are met.
pub(super) fn wake_at_next(c: &mut EvaluationContext<'_>, minute: u16, borders: [u16; 2]) {
    let until = |border: u16| match (border % 1_440 + 1_440 - minute) % 1_440 {
        0 => 1_440,
        minutes => minutes,
    };
    let minutes = borders.into_iter().map(until).min().unwrap_or(1_440).min(60);
    let into = u64::try_from(c.now.wall.0.rem_euclid(60_000)).unwrap_or(0);
    c.wake_at(c.now.mono.plus(u64::from(minutes) * 60_000 - into));
}
