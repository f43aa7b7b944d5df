//! The evaluation of each kind of condition.

use std::collections::VecDeque;

use jiff::civil::Date;

use crate::alarm::days::BaselineTracker;
use crate::alarm::evaluator::{Context, Evaluation, Truth, evaluation, truth, yes};
use crate::alarm::resolved_condition::ResolvedBaseline;
use crate::alarm::settings::Weekday;
use crate::model::quality::Cause;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::model::window::SampleWindow;

pub(super) fn level(c: &mut Context<'_>, slots: &[usize], high: bool, limits: &[f64], deadband: f64) -> Evaluation {
    let (mut worst, mut bad): (Option<f64>, Option<Cause>) = (None, None);
    for slot in slots {
        match c.number(*slot) {
            Ok(v) => worst = Some(worst.map_or(v, |w| if high { w.max(v) } else { w.min(v) })),
            Err(cause) => bad = Some(cause),
        }
    }
    let Some(value) = worst else {
        return evaluation(Truth::Unknown(bad.unwrap_or(Cause::StartingUp)), None, limits.first().copied());
    };
    let mut step = 0u8;
    for (k, limit) in (1u8..).zip(limits) {
        let back = if k <= c.active_step { deadband } else { 0.0 };
        let is_over = if high {
            value >= *limit || (back > 0.0 && value > limit - back)
        } else {
            value <= *limit || (back > 0.0 && value < limit + back)
        };
        if is_over {
            step = k;
        }
    }
    let limit = limits.get(usize::from(step.max(1)) - 1).copied();
    let state = match (step, bad) {
        (0, Some(cause)) => Truth::Unknown(cause),
        (0, None) => Truth::No,
        (k, _) => Truth::Yes(k),
    };
    evaluation(state, Some(value), limit)
}

pub(super) fn is(c: &mut Context<'_>, slots: &[usize], values: &[i64], every: bool) -> Evaluation {
    let (mut seen, mut bad, mut all) = (None, None, true);
    for slot in slots {
        match c.number(*slot) {
            Ok(v) => {
                #[expect(clippy::cast_precision_loss, reason = "codes are small")]
                let holds =
                    if values.is_empty() { v != 0.0 } else { values.iter().any(|x| (*x as f64 - v).abs() < 0.5) };
                // Short circuit: the first that holds, or with `every` the first that does not.
                if holds != every {
                    return evaluation(truth(holds), Some(v), None);
                }
                all &= holds;
                seen = Some(v);
            }
            Err(cause) => bad = Some(cause),
        }
    }
    evaluation(bad.map_or(truth(every && all), Truth::Unknown), seen, None)
}

/// Whether a change reaches the threshold, in the threshold's direction.
pub(super) fn reaches_threshold(change: f64, by: f64) -> bool {
    if by >= 0.0 { change >= by } else { change <= by }
}

pub(super) fn windowed(
    c: &mut Context<'_>,
    slot: usize,
    window: &mut SampleWindow,
    of: impl FnOnce(&SampleWindow) -> Result<(bool, f64, f64), Cause>,
) -> Evaluation {
    match c.number(slot) {
        Ok(value) => {
            window.push(c.now.mono, value);
            match of(window) {
                Ok((holds, value, limit)) => evaluation(truth(holds), Some(value), Some(limit)),
                Err(cause) => evaluation(Truth::Unknown(cause), Some(value), None),
            }
        }
        Err(cause) => {
            window.clear();
            evaluation(Truth::Unknown(cause), None, None)
        }
    }
}

pub(super) fn frozen(
    c: &mut Context<'_>,
    slot: usize,
    since: &mut Option<(MonotonicMillis, f64)>,
    lasts_ms: u64,
) -> Evaluation {
    let value = match c.number(slot) {
        Ok(value) => value,
        Err(cause) => {
            *since = None;
            return evaluation(Truth::Unknown(cause), None, None);
        }
    };
    let begin = match since {
        Some((at, same)) if same.to_bits() == value.to_bits() => *at,
        _ => {
            *since = Some((c.now.mono, value));
            c.now.mono
        }
    };
    c.wake_at(begin.plus(lasts_ms));
    evaluation(truth(c.now.mono.since(begin) >= lasts_ms), Some(value), None)
}

/// Share of devices that are offline; device state 3 is offline, 0 unknown.
pub(super) fn offline(c: &mut Context<'_>, slots: &[usize], pct: f64) -> Evaluation {
    let (mut away, mut known) = (0.0, 0.0);
    for slot in slots {
        if let Ok(state) = c.number(*slot) {
            known += 1.0;
            away += f64::from(u8::from(state > 2.5));
        }
    }
    if known == 0.0 {
        return evaluation(Truth::Unknown(Cause::StartingUp), None, None);
    }
    let share = away / known * 100.0;
    evaluation(truth(share >= pct), Some(share), Some(pct))
}

pub(super) fn no_effect(
    c: &mut Context<'_>,
    slots: &[usize],
    window: &mut SampleWindow,
    by: f64,
    within_ms: u64,
) -> Evaluation {
    let (running, value) = (c.truth(slots[0]), c.number(slots[1]));
    match (running, value) {
        (Ok(true), Ok(value)) => {
            window.push(c.now.mono, value);
            let change = window.change().unwrap_or(0.0);
            if window.span_ms() < within_ms {
                return evaluation(Truth::No, Some(value), Some(by));
            }
            evaluation(truth(!reaches_threshold(change, by)), Some(value), Some(by))
        }
        (Ok(false), value) => {
            window.clear();
            evaluation(Truth::No, value.ok(), Some(by))
        }
        (Err(cause), _) | (_, Err(cause)) => {
            window.clear();
            evaluation(Truth::Unknown(cause), None, Some(by))
        }
    }
}

pub(super) fn not_true_for(
    c: &mut Context<'_>,
    slot: usize,
    last: &mut Option<UnixMillis>,
    since: &mut Option<(MonotonicMillis, u64)>,
    lasts_ms: u64,
) -> Evaluation {
    let on = match c.truth(slot) {
        Ok(on) => on,
        Err(cause) => return evaluation(Truth::Unknown(cause), None, None),
    };
    let now = c.now;
    if !on && !now.wall_trusted && last.is_some() && since.is_none() {
        // The duration can only be computed from the date.
        c.wake_at(now.mono.plus(60_000));
        return evaluation(Truth::Unknown(Cause::StartingUp), None, None);
    }
    let (begin, before_ms) = match *since {
        Some(begin) if !on => begin,
        _ => {
            // Without a known last activity, idle time counts from now.
            let known = last.filter(|_| !on && now.wall_trusted);
            (now.mono, known.map_or(0, |last| u64::try_from(now.wall.0 - last.0).unwrap_or(0)))
        }
    };
    *since = Some((begin, before_ms));
    if now.wall_trusted && (on || last.is_none()) {
        // Rounded to the minute, so that the persisted state does not change every second.
        *last = Some(UnixMillis(now.wall.0 - now.wall.0.rem_euclid(60_000)));
    }
    c.wake_at(begin.plus(lasts_ms.saturating_sub(before_ms)));
    let idle_ms = now.mono.since(begin) + before_ms;
    let days = |ms: u64| minutes(ms) / 1_440.0;
    evaluation(truth(idle_ms >= lasts_ms), Some(days(idle_ms)), Some(days(lasts_ms)))
}

pub(super) fn sustained(
    c: &mut Context<'_>,
    inner: Evaluation,
    since: &mut Option<(MonotonicMillis, f64)>,
    lasts_ms: u64,
) -> Evaluation {
    match inner.truth {
        Truth::Yes(_) => {
            let (begin, _) = *since.get_or_insert((c.now.mono, 0.0));
            c.wake_at(begin.plus(lasts_ms));
            let holds = c.now.mono.since(begin) >= lasts_ms;
            Evaluation { truth: if holds { inner.truth } else { Truth::No }, ..inner }
        }
        Truth::No | Truth::Unknown(_) => {
            *since = None;
            inner
        }
    }
}

pub(super) fn count(
    c: &mut Context<'_>,
    inner: Evaluation,
    was: &mut bool,
    times: &mut VecDeque<MonotonicMillis>,
    at_least: u32,
    within_ms: u64,
) -> Evaluation {
    let now = c.now.mono;
    match inner.truth {
        Truth::Yes(_) => {
            if !std::mem::replace(was, true) {
                times.push_back(now);
            }
        }
        Truth::No => *was = false,
        // A condition found true after unknown may have been true all along: not counted as an edge.
        Truth::Unknown(_) => *was = true,
    }
    while times.front().is_some_and(|at| now.since(*at) >= within_ms) || times.len() > 10_000 {
        times.pop_front();
    }
    if let Some(first) = times.front() {
        c.wake_at(first.plus(within_ms));
    }
    let seen = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let state = match inner.truth {
        _ if seen >= at_least => yes(),
        unknown @ Truth::Unknown(_) => unknown,
        _ => Truth::No,
    };
    evaluation(state, Some(f64::from(seen)), Some(f64::from(at_least)))
}

/// Conjunction or disjunction in three-valued logic; value and limit come from the first part that decides.
pub(super) fn combine(parts: impl Iterator<Item = Evaluation>, any: bool) -> Evaluation {
    let (mut yes, mut no, mut unknown): (Option<Evaluation>, Option<Evaluation>, Option<Evaluation>) =
        (None, None, None);
    let mut step = 0;
    for part in parts {
        let (slot, k) = match part.truth {
            Truth::Yes(k) => (&mut yes, k),
            Truth::No => (&mut no, 0),
            Truth::Unknown(_) => (&mut unknown, 0),
        };
        step = step.max(k);
        match slot {
            None => *slot = Some(part),
            Some(first) if first.limit.is_none() && part.limit.is_some() => *slot = Some(part),
            Some(_) => {}
        }
    }
    let decided = if any { yes.or(unknown).or(no) } else { no.or(unknown).or(yes) };
    let mut out = decided.unwrap_or(evaluation(if any { Truth::No } else { self::yes() }, None, None));
    if let Truth::Yes(k) = &mut out.truth {
        *k = step;
    }
    out
}

pub(super) fn minutes(ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "hours of milliseconds")]
    let minutes = ms as f64 / 60_000.0;
    minutes
}

/// The site's date and minute of the day; `None` while the date is not trusted.
fn local(c: &Context<'_>) -> Option<(Date, u16)> {
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
fn at_next(c: &mut Context<'_>, minute: u16, borders: [u16; 2]) {
    let until = |border: u16| match (border % 1_440 + 1_440 - minute) % 1_440 {
        0 => 1_440,
        minutes => minutes,
    };
    let minutes = borders.into_iter().map(until).min().unwrap_or(1_440).min(60);
    let into = u64::try_from(c.now.wall.0.rem_euclid(60_000)).unwrap_or(0);
    c.wake_at(c.now.mono.plus(u64::from(minutes) * 60_000 - into));
}

pub(super) fn hours(c: &mut Context<'_>, from: u16, to: u16, days: &[Weekday]) -> Evaluation {
    let Some((date, minute)) = local(c) else { return evaluation(Truth::Unknown(Cause::StartingUp), None, None) };
    at_next(c, minute, [from, to]);
    let began = |date: Date| days.is_empty() || days.iter().any(|d| weekday(*d) == date.weekday());
    let holds = if from <= to {
        (from..to).contains(&minute) && began(date)
    } else {
        (minute >= from && began(date)) || (minute < to && date.yesterday().is_ok_and(began))
    };
    evaluation(truth(holds), None, None)
}

fn weekday(day: Weekday) -> jiff::civil::Weekday {
    use jiff::civil::Weekday as W;
    match day {
        Weekday::Mon => W::Monday,
        Weekday::Tue => W::Tuesday,
        Weekday::Wed => W::Wednesday,
        Weekday::Thu => W::Thursday,
        Weekday::Fri => W::Friday,
        Weekday::Sat => W::Saturday,
        Weekday::Sun => W::Sunday,
    }
}

pub(super) fn against_baseline(
    c: &mut Context<'_>,
    slot: usize,
    days: &ResolvedBaseline,
    memory: &mut BaselineTracker,
) -> Evaluation {
    let value = c.number(slot);
    let Some((date, minute)) = local(c) else { return evaluation(Truth::Unknown(Cause::StartingUp), None, None) };
    memory.observe(days, c.now.mono, date, minute, value.ok());
    at_next(c, minute, [days.from, days.to]);
    match memory.last_and_baseline(days) {
        Some((figure, usual)) => {
            evaluation(truth(memory.consecutive_days() >= days.in_a_row), Some(figure), Some(usual * days.factor))
        }
        None => evaluation(Truth::Unknown(Cause::StartingUp), value.ok(), None),
    }
}
