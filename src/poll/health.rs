//! How units and buses are doing: what `status`, `/metrics` and the device `gateway` show.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::link::Counters;
use crate::model::quality::Cause;
use crate::model::time::{MonotonicMillis, UnixMillis};

/// Whether a unit answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitPresence {
    /// Not asked yet.
    #[default]
    Unknown,
    /// Its last cycle was good.
    Online,
    /// It answers, and some blocks are bad.
    Degraded,
    /// It does not answer; it is only probed.
    Offline,
}

/// Upper borders of the round-trip histogram, microseconds; a last bucket takes the rest.
pub const BORDERS_US: [u64; 12] =
    [200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

/// What is known of one unit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct UnitHealth {
    /// Whether it answers.
    pub presence: UnitPresence,
    /// Since when.
    pub since: UnixMillis,
    /// Why it is not online.
    pub cause: Option<Cause>,
    /// Cycles that were due and served.
    pub cycles: u64,
    /// Cycles in which everything was good.
    pub good: u64,
    /// Cycles that the bus had no time for.
    pub skipped: u64,
    /// Requests without an answer.
    pub timeouts: u64,
    /// Answers that were exceptions.
    pub exceptions: u64,
    /// Round trips by the borders of [`BORDERS_US`].
    pub round_trips: [u64; 13],
    /// Sum of all round trips, microseconds.
    pub round_trip_sum_us: u64,
    /// What the ident register said.
    pub ident: Option<String>,
    /// The profile's variant in use.
    pub layout: String,
    /// Spoilt or missing answers that were asked for once more in the same cycle.
    pub retries: u64,
    /// Answers that came after their request was given up.
    pub late: u64,
    /// What is to be done about it, in words; empty if nothing is.
    pub remark: String,
    /// What is left out and why, and which gaps are not read across, in words.
    pub holes: Vec<String>,
    /// When it last answered.
    #[serde(skip)]
    pub last_answer: Option<MonotonicMillis>,
}

impl UnitHealth {
    /// Counts a round trip.
    pub fn round_trip(&mut self, us: u64) {
        let bucket = BORDERS_US.iter().position(|b| us <= *b).unwrap_or(BORDERS_US.len());
        self.round_trips[bucket] += 1;
        self.round_trip_sum_us += us;
    }

    /// A new state; `since` moves only when the state does. Returns whether it did.
    pub fn become_state(&mut self, presence: UnitPresence, cause: Option<Cause>, now: UnixMillis) -> bool {
        let changed = self.presence != presence;
        if changed {
            self.since = now;
        }
        self.presence = presence;
        self.cause = cause;
        changed
    }
}

/// A bus that makes no step for longer than this hangs: whatever it is asked for holds it at most five seconds.
const STALLED_MS: u64 = 30_000;

/// What a bus shows of itself.
#[derive(Debug, Default)]
pub struct BusHealth {
    /// The link's counters.
    pub counters: Arc<Counters>,
    /// Whether the connection or port is open.
    pub open: AtomicBool,
    /// Why it is not, in words.
    pub error: Mutex<String>,
    /// When the task last made a step, monotonic milliseconds: the watchdog asks.
    pub progress_ms: AtomicU64,
    /// Requests when it was last asked whether the bus stalls.
    requests_seen: AtomicU64,
    /// Microseconds that requests occupied the bus.
    pub busy_us: AtomicU64,
    /// Set by a reload: what was learned of the units is forgotten before the next cycle, without a cycle being missed.
    pub forget: AtomicBool,
    /// One a unit, in the order of the configuration.
    pub units: Vec<Mutex<UnitHealth>>,
}

impl BusHealth {
    /// For a bus with this many units.
    pub fn new(units: usize) -> Self {
        Self { units: (0..units).map(|_| Mutex::default()).collect(), ..Self::default() }
    }

    /// Works on one unit's figures.
    pub fn unit<R>(&self, index: usize, f: impl FnOnce(&mut UnitHealth) -> R) -> Option<R> {
        let unit = self.units.get(index)?;
        Some(f(&mut unit.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// For how long the task has made no step, if that is too long: it hangs in something, and nothing is read.
    pub fn stalled_ms(&self, now: MonotonicMillis) -> Option<u64> {
        // A request is a step too: one unit of many blocks may take its time on a slow line.
        let requests = self.counters.requests.load(Ordering::Relaxed);
        if self.requests_seen.swap(requests, Ordering::Relaxed) != requests {
            self.progress_ms.fetch_max(now.0, Ordering::Relaxed);
        }
        let since = now.since(MonotonicMillis(self.progress_ms.load(Ordering::Relaxed)));
        (since > STALLED_MS).then_some(since)
    }

    /// The last error of the link, in words.
    pub fn error(&self) -> String {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        // One unit of many blocks on a slow line: its requests are steps.
        health.counters.requests.store(7, Ordering::Relaxed);
        assert_eq!(health.stalled_ms(MonotonicMillis(40_000)), None);
        assert_eq!(health.stalled_ms(MonotonicMillis(70_001)), Some(30_001));
    }
}
