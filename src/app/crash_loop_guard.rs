//! When the engine's driver itself panics, nobody knows what its state is worth: the process ends and begins anew. After
//! three such ends in ten minutes it begins with polling, journal, sinks and the health page only; the rules rest for an
//! hour, or until the configuration is loaded again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::model::time::MonotonicMillis;
use crate::store::atomic_file;

/// Ends of the driver within [`WINDOW_MS`] after which the rules rest.
const ENDS: usize = 3;
const WINDOW_MS: u64 = 600_000;
/// How long the rules rest.
const REST: Duration = Duration::from_secs(3_600);

/// Ends of the driver, as they are kept. A boot of the machine begins anew: its monotonic time does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ends {
    boot: String,
    at: Vec<MonotonicMillis>,
}

/// The memory of ends, and the rest that follows from it.
pub struct CrashLoopGuard {
    file: PathBuf,
    resting: AtomicBool,
    wake: Notify,
}

impl CrashLoopGuard {
    /// Reads what is remembered in `state`.
    pub fn new(state: &Path, clock: &Clock) -> Self {
        let file = state.join("driver-ends.json");
        let ends = recent(&file, clock);
        let resting = ends.at.len() >= ENDS;
        if resting {
            tracing::error!(
                ends = ends.at.len(),
                "the engine's driver has panicked again and again: rules are off for an hour, or until `plantroom \
                 reload`; polling, journal and sinks go on"
            );
        }
        Self { file, resting: AtomicBool::new(resting), wake: Notify::new() }
    }

    /// Whether the rules rest.
    pub fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }

    /// What is said while they do.
    pub fn remark(&self) -> Option<String> {
        let why = format!(
            "RULES ARE OFF: the engine's driver panicked {ENDS} times in ten minutes; `plantroom reload` tries again"
        );
        self.is_resting().then_some(why)
    }

    /// Ends the rest: somebody has changed something.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until the rest is over; false if the gateway stops first.
    pub async fn is_over(&self, stop: &CancellationToken) -> bool {
        if !self.is_resting() {
            return true;
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = self.wake.notified() => {}
            () = tokio::time::sleep(REST) => {}
        }
        tracing::info!("rules are tried again");
        self.resting.store(false, Ordering::Relaxed);
        true
    }

    /// The driver has ended by a panic.
    pub fn remember(&self, clock: &Clock) {
        let mut ends = recent(&self.file, clock);
        ends.at.push(clock.mono());
        let kept = serde_json::to_vec(&ends).map_err(std::io::Error::other);
        if let Err(error) = kept.and_then(|bytes| atomic_file::replace(&self.file, &bytes)) {
            tracing::error!(file = %self.file.display(), %error, "that the driver ended cannot be remembered");
        }
    }
}

fn recent(file: &Path, clock: &Clock) -> Ends {
    let boot = clock::boot_id();
    let kept = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Ends>(&bytes).ok());
    let mut ends = kept.filter(|e| e.boot == boot).unwrap_or(Ends { boot, at: Vec::new() });
    let now = clock.mono();
    ends.at.retain(|at| now.since(*at) < WINDOW_MS);
    ends
}
