//! Health of units and buses, as shown by `status`, `/metrics` and the device `gateway`.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::link::Counters;
use crate::lock::lock;
use crate::model::quality::Cause;
use crate::model::time::{MonotonicMillis, UnixMillis};

/// Whether a unit answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitPresence {
    /// No cycle has finished yet.
    #[default]
    Unknown,
    /// Its last cycle was good.
    Online,
    /// It answers, and some blocks are bad.
    Degraded,
    /// It answers and gives no register of any group: refused, or unusable.
    Refusing,
    /// It does not answer; it is only probed.
    Offline,
}

/// Upper borders of the round-trip histogram, microseconds; a last bucket takes the rest.
pub const ROUND_TRIP_BOUNDS_US: [u64; 12] =
    [200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

/// What is known of one unit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UnitHealth {
    pub presence: UnitPresence,
    /// When `presence` last changed.
    pub since: UnixMillis,
    /// Why it is not online.
    pub cause: Option<Cause>,
    /// Cycles that were due and served.
    pub cycles: u64,
    /// Cycles in which everything was good.
    #[serde(rename = "good")]
    pub good_cycles: u64,
    /// Cycles that the bus had no time for.
    #[serde(rename = "skipped")]
    pub skipped_cycles: u64,
    /// Requests without a usable answer: no answer in time, or a bad frame.
    pub timeouts: u64,
    /// Answers that were exceptions.
    pub exceptions: u64,
    /// Counts by the borders of [`ROUND_TRIP_BOUNDS_US`]; the last bucket has what is longer.
    pub round_trips: [u64; 13],
    /// Sum of all round trips, microseconds.
    pub round_trip_sum_us: u64,
    /// The value of the ident register, as printed.
    pub ident: Option<String>,
    /// The profile's variant in use.
    #[serde(rename = "layout")]
    pub variant: String,
    /// Spoilt or missing answers that were requested again in the same cycle.
    pub retries: u64,
    /// Answers that came after their request was given up.
    #[serde(rename = "late")]
    pub late_answers: u64,
    /// What to do about late answers, as text; empty if nothing.
    #[serde(rename = "remark")]
    pub late_answer_hint: String,
    /// What is left out and why, and which gaps are not read across, as text.
    #[serde(rename = "holes")]
    pub unreadable_ranges: Vec<String>,
    /// When it last answered.
    #[serde(skip)]
    pub last_answer: Option<MonotonicMillis>,
}

impl UnitHealth {
    pub fn add_round_trip(&mut self, us: u64) {
        let bucket = ROUND_TRIP_BOUNDS_US.iter().position(|b| us <= *b).unwrap_or(ROUND_TRIP_BOUNDS_US.len());
        self.round_trips[bucket] += 1;
        self.round_trip_sum_us += us;
    }

    /// Sets the presence; `since` moves only when it changes. Returns whether it changed.
    pub fn set_presence(&mut self, presence: UnitPresence, cause: Option<Cause>, now: UnixMillis) -> bool {
        let changed = self.presence != presence;
        if changed {
            self.since = now;
        }
        self.presence = presence;
        self.cause = cause;
        changed
    }
}

/// A bus without progress for longer than this is stuck: every operation on it takes at most five seconds.
const STALLED_MS: u64 = 30_000;

/// Health of one bus, shared between its task and what displays it.
#[derive(Debug, Default)]
pub struct BusHealth {
    pub counters: Arc<Counters>,
    /// Whether the connection or port is open.
    pub is_open: AtomicBool,
    /// Why it is not open, as text; empty if it is.
    pub error: Mutex<String>,
    /// Monotonic milliseconds of the last progress of the task, for the watchdog.
    pub progress_ms: AtomicU64,
    /// Number of requests at the last check for a stall.
    requests_seen: AtomicU64,
    /// Microseconds that requests occupied the bus.
    pub busy_us: AtomicU64,
    /// Set by a reload: what was learned about the units is dropped before the next cycle, without a missed cycle.
    pub should_reset_learned: AtomicBool,
    /// Rank of the flood level: which of the intervals count.
    pub flood_rank: AtomicU8,
    /// One per unit, in the order of the configuration.
    pub units: Vec<Mutex<UnitHealth>>,
}

impl BusHealth {
    /// Health of a bus with this many units.
    pub fn new(units: usize) -> Self {
        Self { units: (0..units).map(|_| Mutex::default()).collect(), ..Self::default() }
    }

    /// Runs `f` on the health of one unit; `None` if there is no such unit.
    pub fn with_unit<R>(&self, index: usize, f: impl FnOnce(&mut UnitHealth) -> R) -> Option<R> {
        let unit = self.units.get(index)?;
        Some(f(&mut lock(unit)))
    }

    /// Milliseconds without progress, if that is too long: the task hangs and nothing is read.
    pub fn stalled_ms(&self, now: MonotonicMillis) -> Option<u64> {
        // A request is progress too: one unit with many blocks may take long on a slow line.
        let requests = self.counters.requests.load(Ordering::Relaxed);
        if self.requests_seen.swap(requests, Ordering::Relaxed) != requests {
            self.progress_ms.fetch_max(now.0, Ordering::Relaxed);
        }
        let since = now.since(MonotonicMillis(self.progress_ms.load(Ordering::Relaxed)));
        (since > STALLED_MS).then_some(since)
    }

    /// The last error of the link, as text.
    pub fn error(&self) -> String {
        lock(&self.error).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_makes_no_step_stalls_and_one_that_asks_does_not() {
        let health = BusHealth::new(0);
        health.progress_ms.store(1_000, Ordering::Relaxed);
        assert_eq!(health.stalled_ms(MonotonicMillis(31_000)), None);
        assert_eq!(health.stalled_ms(MonotonicMillis(31_001)), Some(30_001));
        // One unit with many blocks on a slow line: its requests are progress.
        health.counters.requests.store(7, Ordering::Relaxed);
        assert_eq!(health.stalled_ms(MonotonicMillis(40_000)), None);
        assert_eq!(health.stalled_ms(MonotonicMillis(70_001)), Some(30_001));
    }
}
