//! Stops a crash loop of the engine's driver. A panic of the driver ends the process, because its state is no longer reliable.
//! After three such panics in ten minutes the next start runs polling, journal, sinks and health page only; the rules stay off
//! for an hour or until a reload.

#![allow(clippy::disallowed_methods, reason = "written when the process ends, read at its start")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::model::time::MonotonicMillis;
use crate::store::small_file;

/// Panics within [`WINDOW_MS`] after which the rules stay off.
const MAX_CRASHES: usize = 3;
const WINDOW_MS: u64 = 600_000;
/// How long the rules stay off.
const RULES_OFF_TIME: Duration = Duration::from_secs(3_600);

/// Ends of the driver, as they are kept. A boot of the machine begins anew: its monotonic time does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct DriverCrashes {
    boot: String,
    at: Vec<MonotonicMillis>,
}

/// Counts panics of the driver across restarts, and keeps the rules off after too many.
pub struct CrashLoopGuard {
    file: PathBuf,
    rules_off: AtomicBool,
    wake: Notify,
}

impl CrashLoopGuard {
    /// Reads earlier panics from the state directory.
    pub fn new(state: &Path, clock: &Clock) -> Self {
        let file = state.join("driver-ends.json");
        let ends = recent(&file, clock);
        let resting = ends.at.len() >= MAX_CRASHES;
        if resting {
            tracing::error!(
                ends = ends.at.len(),
                "the engine's driver has panicked again and again: rules are off for an hour, or until `plantroom \
                 reload`; polling, journal and sinks go on"
            );
        }
        Self { file, rules_off: AtomicBool::new(resting), wake: Notify::new() }
    }

    /// Whether the rules are off.
    pub fn are_rules_off(&self) -> bool {
        self.rules_off.load(Ordering::Relaxed)
    }

    /// The message shown while the rules are off.
    pub fn remark(&self) -> Option<String> {
        let why = format!(
            "RULES ARE OFF: the engine's driver panicked {MAX_CRASHES} times in ten minutes; `plantroom reload` tries again"
        );
        self.are_rules_off().then_some(why)
    }

    /// Starts the rules before the hour is over: a reload may have removed the cause.
    pub fn resume(&self) {
        self.wake.notify_one();
    }

    /// Waits until the rules may run; false if the gateway stops first.
    pub async fn wait_until_allowed(&self, stop: &CancellationToken) -> bool {
        if !self.are_rules_off() {
            return true;
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = self.wake.notified() => {}
            () = tokio::time::sleep(RULES_OFF_TIME) => {}
        }
        tracing::info!("rules are tried again");
        self.rules_off.store(false, Ordering::Relaxed);
        true
    }

    /// Records a panic of the driver, at once on disk: the process ends next.
    pub fn record_crash(&self, clock: &Clock) {
        let mut ends = recent(&self.file, clock);
        ends.at.push(clock.mono());
        let kept = serde_json::to_vec(&ends).map_err(std::io::Error::other);
        if let Err(error) = kept.and_then(|bytes| small_file::replace(&self.file, &bytes)) {
            tracing::error!(file = %self.file.display(), %error, "that the driver ended cannot be remembered");
        }
    }
}

fn recent(file: &Path, clock: &Clock) -> DriverCrashes {
    let boot = clock::boot_id();
    let kept = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<DriverCrashes>(&bytes).ok());
    let mut ends = kept.filter(|e| e.boot == boot).unwrap_or(DriverCrashes { boot, at: Vec::new() });
    let now = clock.mono();
    ends.at.retain(|at| now.since(*at) < WINDOW_MS);
    ends
}
