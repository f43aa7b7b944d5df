//! The clock: the only file that reads the operating system's time, and decides when the date is trusted. Beside it: limits of repeated
//! log lines, durations as histograms, pauses between attempts.

mod log_limit;
mod pauses;
mod timings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::Deserialize;

pub use crate::clock::log_limit::{FaultLog, LogLimit};
pub use crate::clock::pauses::{Pauses, spread};
pub use crate::clock::timings::Timings;
use crate::model::reading::Stamp;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};

/// When the date may be believed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSettings {
    /// `ntp`: when the kernel says that it is synchronised. `rtc`: at once, unless it is before the last committed time or the build.
    pub source: ClockSource,
}

/// Where the date comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClockSource {
    /// A time service on the network; believed when the kernel says synchronised.
    #[default]
    Ntp,
    /// A battery-backed clock in the box.
    Rtc,
}

/// Source of monotonic microseconds that replaces the operating system's.
#[derive(Clone)]
struct Simulated(Arc<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulated")
    }
}

/// A clock that runs faster than the operating system's from a moment on.
#[derive(Clone, Copy, Debug)]
struct Faster {
    speed: f64,
    /// Monotonic microseconds and date of that moment.
    since_us: u64,
    since: UnixMillis,
}

/// The clock of all adapters. Clones share the state of trust.
#[derive(Clone, Debug)]
pub struct Clock {
    simulated: Option<Simulated>,
    faster: Option<Faster>,
    source: ClockSource,
    trusted: Arc<AtomicBool>,
    accepted: Arc<AtomicBool>,
    not_before: Arc<AtomicI64>,
}

impl Clock {
    /// `not_before` is the last committed time; an earlier date of a battery-backed clock is not trusted.
    pub fn new(settings: &ClockSettings, not_before: UnixMillis) -> Self {
        let clock = Self {
            simulated: None,
            faster: None,
            source: settings.source,
            trusted: Arc::new(AtomicBool::new(false)),
            accepted: Arc::new(AtomicBool::new(false)),
            not_before: Arc::new(AtomicI64::new(not_before.0)),
        };
        clock.refresh();
        clock
    }

    /// A simulated clock: `now_us` gives monotonic microseconds. The date is that long after 1970, and trusted.
    pub fn simulated(now_us: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let mut clock = Self::new(&ClockSettings { source: ClockSource::Rtc }, UnixMillis(0));
        clock.simulated = Some(Simulated(Arc::new(now_us)));
        clock
    }

    /// From now on it runs `speed` times as fast as the operating system's clock, the date too: for a demo, whose plant does the same.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Self {
        let (since_us, since) = (self.mono_us(), self.wall());
        Self { faster: Some(Faster { speed, since_us, since }), ..self }
    }

    /// How long a duration of this clock takes. Schedules, rules and dates are in the time of this clock; waits for another machine
    /// (time-outs, pauses between attempts) and what is measured of it or of this process are real.
    pub fn real(&self, duration: Duration) -> Duration {
        self.faster.map_or(duration, |faster| duration.div_f64(faster.speed))
    }

    /// Real microseconds since a moment of [`Clock::mono_us`]: for figures of how long something took.
    pub fn real_us_since(&self, since_us: u64) -> u64 {
        let passed = Duration::from_micros(self.mono_us().saturating_sub(since_us));
        u64::try_from(self.real(passed).as_micros()).unwrap_or(u64::MAX)
    }

    /// Sleeps for a duration of this clock.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(self.real(duration)).await;
    }

    /// Checks whether the date can be trusted; called every few seconds. Trust, once given, lasts until the process ends.
    pub fn refresh(&self) -> bool {
        let is_good = || is_date_trusted(self.source, self.rtc_doubt().as_deref(), kernel_synchronised());
        let trusted = self.is_trusted() || self.accepted.load(Ordering::Relaxed) || is_good();
        self.trusted.store(trusted, Ordering::Relaxed);
        trusted
    }

    /// Why the date is not trusted, for people; `None` if it is.
    pub fn distrust_reason(&self) -> Option<String> {
        match self.source {
            _ if self.is_trusted() => None,
            ClockSource::Ntp => Some("the kernel does not say that it is synchronised with a time service".to_string()),
            ClockSource::Rtc => self.rtc_doubt(),
        }
    }

    /// Logs why the date is not trusted, if it is not.
    pub fn log_distrust(&self) {
        if let Some(why) = self.distrust_reason() {
            let date = self.wall().rfc3339();
            tracing::warn!(date, why, "the date is not believed: `plantroom clock accept` if it is right");
        }
    }

    /// Why a battery-backed clock's date cannot be right, if that is so.
    fn rtc_doubt(&self) -> Option<String> {
        let (now, last) = (self.wall(), UnixMillis(self.not_before.load(Ordering::Relaxed)));
        let built = UnixMillis(env!("PLANTROOM_BUILT").parse::<i64>().unwrap_or(0).saturating_mul(1_000));
        if now < built {
            return Some(format!("it is before this program was built ({})", built.rfc3339()));
        }
        (now < last).then(|| format!("it is before the last date of the journal ({})", last.rfc3339()))
    }

    /// Sets the last committed time; an earlier date of a battery-backed clock is not trusted.
    pub fn set_not_before(&self, wall: UnixMillis) {
        self.not_before.store(wall.0, Ordering::Relaxed);
        self.refresh();
    }

    /// A person confirms the date: trusted from now on.
    pub fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
        self.refresh();
    }

    /// Whether the date is trusted.
    pub fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }

    pub fn mono(&self) -> MonotonicMillis {
        MonotonicMillis(self.mono_us() / 1_000)
    }

    /// Monotonic microseconds, for measuring and scheduling.
    pub fn mono_us(&self) -> u64 {
        let us = self.simulated.as_ref().map_or_else(mono_us, |s| (s.0)());
        self.faster.map_or(us, |faster| {
            let passed = Duration::from_micros(us.saturating_sub(faster.since_us)).mul_f64(faster.speed);
            faster.since_us.saturating_add(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
        })
    }

    /// The date as the operating system shows it, trusted or not.
    pub fn wall(&self) -> UnixMillis {
        if let Some(faster) = self.faster {
            let passed_ms = (self.mono_us() - faster.since_us) / 1_000;
            return UnixMillis(faster.since.0.saturating_add_unsigned(passed_ms));
        }
        if let Some(simulated) = &self.simulated {
            return UnixMillis(i64::try_from((simulated.0)() / 1_000).unwrap_or(i64::MAX));
        }
        let t = clock_gettime(ClockId::Realtime);
        UnixMillis(t.tv_sec.saturating_mul(1_000).saturating_add(t.tv_nsec / 1_000_000))
    }

    /// The time argument of rules.
    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: self.wall(), wall_trusted: self.is_trusted() }
    }

    /// The time stamp for data received now.
    pub fn stamp(&self) -> Stamp {
        Stamp { mono: self.mono(), wall: self.wall(), trusted: self.is_trusted() }
    }
}

fn mono_us() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec.unsigned_abs() * 1_000_000 + t.tv_nsec.unsigned_abs() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faster_clock_runs_on_from_where_it_was() {
        let us = Arc::new(AtomicI64::new(1_000_000));
        let real = Arc::clone(&us);
        let clock = Clock::simulated(move || real.load(Ordering::Relaxed).unsigned_abs()).at_speed(20.0);
        assert_eq!((clock.mono_us(), clock.wall()), (1_000_000, UnixMillis(1_000)));
        us.store(1_500_000, Ordering::Relaxed);
        assert_eq!((clock.mono_us(), clock.wall()), (11_000_000, UnixMillis(11_000)));
        assert_eq!(clock.real(Duration::from_secs(10)), Duration::from_millis(500));
    }

    #[test]
    fn a_date_that_cannot_be_is_not_believed_and_why_is_said() {
        let rtc = ClockSettings { source: ClockSource::Rtc };
        let clock = Clock::new(&rtc, UnixMillis(0));
        assert!(clock.is_trusted() && clock.distrust_reason().is_none());
        let behind = Clock::new(&rtc, UnixMillis(clock.wall().0 + 3_600_000));
        assert!(behind.distrust_reason().is_some_and(|why| why.contains("before the last date of the journal")));
        let in_1970 = Clock { simulated: Some(Simulated(Arc::new(|| 0))), ..Clock::new(&rtc, UnixMillis(i64::MAX)) };
        in_1970.set_not_before(UnixMillis(0));
        assert!(in_1970.distrust_reason().is_some_and(|why| why.contains("before this program was built")));
        in_1970.accept();
        assert!(in_1970.is_trusted() && in_1970.distrust_reason().is_none(), "a person says so");
    }
}

/// Whether the kernel reports a synchronised clock (`adjtimex`: not in error, not marked unsynchronised).
pub fn kernel_synchronised() -> bool {
    // SAFETY: an all-zero `timex` is a valid value, and with `modes` = 0 the call only reads.
    #[expect(unsafe_code, reason = "adjtimex has no safe wrapper in the libraries that are here")]
    let (state, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&raw mut timex);
        (state, timex.status)
    };
    state >= 0 && state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0
}

/// Whether a date is trusted. A synchronised kernel clock outweighs any doubt about a battery-backed clock.
fn is_date_trusted(source: ClockSource, doubt: Option<&str>, is_synchronised: bool) -> bool {
    is_synchronised || (source == ClockSource::Rtc && doubt.is_none())
}

/// The kernel's id of this boot; empty if it cannot be read.
#[expect(clippy::disallowed_methods, reason = "/proc is no disk")]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod trust_tests {
    use super::*;

    #[test]
    fn a_time_service_outranks_a_stored_date() {
        let future = Some("it is before the last date of the journal");
        let believed = [
            is_date_trusted(ClockSource::Rtc, None, false),
            is_date_trusted(ClockSource::Rtc, future, false),
            is_date_trusted(ClockSource::Rtc, future, true),
            is_date_trusted(ClockSource::Ntp, None, false),
            is_date_trusted(ClockSource::Ntp, future, true),
        ];
        assert_eq!(believed, [true, false, true, false, true]);
    }
}
