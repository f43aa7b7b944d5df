//! Which day files are older than their retention. Pure.
//!
//! A file is deleted only if it is older than the retention of its class, *and* at least as many newer files exist as the class keeps
//! days, *and* the clock has run without a jump for six hours. A clock that shows 2099 for a while therefore deletes nothing.

use crate::model::time::{MonotonicMillis, Now};

/// A drift of the date against the monotonic clock beyond this is a jump, milliseconds.
const JUMP_MS: i64 = 3_600_000;
/// How long the clock must run without a jump before files are deleted by date, milliseconds.
const STABLE_MS: u64 = 6 * 3_600_000;
/// A file dated further ahead than this was written while the clock was wrong, milliseconds.
const AHEAD_MS: i64 = 2 * 86_400_000;

/// Tracks whether the clock has run without a jump for long enough.
#[derive(Debug, Default)]
pub struct ClockStability {
    /// Date minus monotonic time, and since when that offset holds.
    stable_since: Option<(i64, MonotonicMillis)>,
}

impl ClockStability {
    /// Whether the clock has run without a jump for six hours. Must be called every few minutes, since jumps are found by comparing calls.
    pub fn is_stable(&mut self, now: Now) -> bool {
        if !now.wall_trusted {
            self.stable_since = None;
            return false;
        }
        let offset = now.wall.0.saturating_sub(i64::try_from(now.mono.0).unwrap_or(i64::MAX));
        let (before, since) = *self.stable_since.get_or_insert((offset, now.mono));
        if (offset - before).abs() > JUMP_MS {
            self.stable_since = Some((offset, now.mono));
            return false;
        }
        now.mono.since(since) >= STABLE_MS
    }
}

/// Days in the order of deletion: undated, then those in the future, then the oldest. A day is `20261121` or `undated`.
pub fn deletion_order(mut days: Vec<String>, now: Now, day_of: impl Fn(i64) -> String) -> Vec<String> {
    let ahead = day_of(now.wall.0.saturating_add(AHEAD_MS));
    let rank = |day: &str| match day {
        "undated" => 0,
        day if now.wall_trusted && day > ahead.as_str() => 1,
        _ => 2,
    };
    days.sort_by(|a, b| (rank(a), a).cmp(&(rank(b), b)));
    days
}

/// Of the days in order of deletion, those that exceed the retention both in number and in age.
pub fn expired(in_order: &[String], keep_days: u32, now: Now, day_of: impl Fn(i64) -> String) -> Vec<String> {
    let surplus = in_order.len().saturating_sub(keep_days as usize);
    let oldest = day_of(now.wall.0.saturating_sub(i64::from(keep_days) * 86_400_000));
    let ahead = day_of(now.wall.0.saturating_add(AHEAD_MS));
    let is_expired = |day: &&String| day.as_str() == "undated" || **day < oldest || **day > ahead;
    in_order.iter().take(surplus).filter(is_expired).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::sealed::day_of;
    use crate::model::time::UnixMillis;

    const DAY: i64 = 86_400_000;
    const TODAY: i64 = 20_000 * DAY;

    fn at(mono_ms: u64, wall: i64) -> Now {
        Now { mono: MonotonicMillis(mono_ms), wall: UnixMillis(wall), wall_trusted: true }
    }

    fn days(ago: impl Iterator<Item = i64>) -> Vec<String> {
        ago.map(|n| day_of(TODAY - n * DAY)).collect()
    }

    #[test]
    fn a_date_is_proven_by_running_on() {
        let mut proof = ClockStability::default();
        let hour = 3_600_000;
        let ask = |proof: &mut ClockStability, hours: u64, wall: i64| proof.is_stable(at(hours * 3_600_000, wall));
        assert!(
            !ask(&mut proof, 0, TODAY) && !ask(&mut proof, 5, TODAY + 5 * hour) && ask(&mut proof, 6, TODAY + 6 * hour)
        );
        // To 2099 and back: both are jumps.
        assert!(!ask(&mut proof, 7, TODAY + 26_000 * DAY) && !ask(&mut proof, 8, TODAY + 8 * hour));
        assert!(!ask(&mut proof, 13, TODAY + 13 * hour) && ask(&mut proof, 14, TODAY + 14 * hour));
        assert!(!proof.is_stable(Now { wall_trusted: false, ..at(0, TODAY) }));
    }

    #[test]
    fn files_go_by_number_and_age_and_never_by_a_date_alone() {
        let now = at(0, TODAY);
        let all = days((0..13).rev());
        assert!(expired(&deletion_order(all.clone(), now, day_of), 13, now, day_of).is_empty());
        // With the clock far in the future all files are old, but their number is within the retention.
        let wrong = at(0, TODAY + 26_000 * DAY);
        assert!(expired(&deletion_order(all.clone(), wrong, day_of), 13, wrong, day_of).is_empty());
        assert_eq!(
            expired(&deletion_order(all.clone(), now, day_of), 10, now, day_of),
            days((11..13).rev()),
            "a day that is kept is kept"
        );
        // A gap between days keeps files longer.
        let sparse = days((0..13).rev().map(|n| n * 30));
        assert!(expired(&deletion_order(sparse, now, day_of), 13, now, day_of).is_empty());
    }

    #[test]
    fn what_has_no_date_or_a_future_one_goes_first() {
        let now = at(0, TODAY);
        let mut all = days((0..5).rev());
        all.extend(["20990101".to_string(), "undated".to_string()]);
        let order = deletion_order(all, now, day_of);
        assert_eq!(order[..3], ["undated".to_string(), "20990101".to_string(), day_of(TODAY - 4 * DAY)]);
        assert_eq!(expired(&order, 5, now, day_of), ["undated", "20990101"]);
    }
}
