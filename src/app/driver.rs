//! The engine's driver loop: the only place where rules meet a clock. Sleeps to the engine's next wake-up.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{Shared, gateway};
use crate::engine::presence::{Change, State};
use crate::engine::{Engine, Input, Output, Snapshot};
use crate::model::value::write_json_text;
use crate::store::whole;

/// How often counts are kept.
const KEEP_EVERY_MS: u64 = 10_000;

/// Runs the engine until told to stop and its input has ended.
pub async fn run(shared: Arc<Shared>, engine: Arc<Mutex<Engine>>, snapshot: PathBuf, stop: CancellationToken) {
    provoked();
    let mut kept = Snapshot::default();
    let mut keep_at = shared.clock.mono().plus(KEEP_EVERY_MS);
    loop {
        let now = shared.clock.now();
        let wake = lock(&engine).next_wake();
        let until = wake.map_or(keep_at, |w| w.min(keep_at)).since(now.mono).max(1);
        let stopping = tokio::select! {
            biased;
            () = shared.inbox.ring() => false,
            () = stop.cancelled() => true,
            () = tokio::time::sleep(Duration::from_millis(until)) => false,
        };
        let entries = shared.inbox.take();
        {
            let mut engine = lock(&engine);
            for entry in &entries {
                let out = engine.step(shared.clock.now(), Input::Reading(&entry.reading));
                apply(&shared, out);
            }
            if entries.is_empty() {
                let out = engine.step(shared.clock.now(), Input::Tick);
                apply(&shared, out);
            }
        }
        let off = lock(&engine).off().len();
        if off as u64 != shared.rules_off.swap(off as u64, Ordering::Relaxed) {
            if off > 0 {
                let rooms = lock(&engine).off().to_vec();
                tracing::error!(?rooms, "a room of rules panicked and is switched off: the others go on");
            }
            gateway::say_online(&shared);
        }
        shared.engine_progress_ms.store(shared.clock.mono().0, Ordering::Relaxed);
        if stopping || shared.clock.mono() >= keep_at {
            keep_at = shared.clock.mono().plus(KEEP_EVERY_MS);
            let now = lock(&engine).snapshot();
            if now != kept {
                let (path, text) = (snapshot.clone(), now.clone());
                // A slow card must not hold up the one thread that waits for everything.
                let written = tokio::task::spawn_blocking(move || write(&path, &text)).await;
                debug_assert!(written.is_ok(), "writing a file does not panic");
                kept = now;
            }
        }
        if stopping {
            return;
        }
    }
}

/// Panics where a test wants to see what follows: only in builds for tests, never in a release.
fn provoked() {
    #[cfg(debug_assertions)]
    assert!(std::env::var_os("PLANTROOM_PANIC").is_none_or(|what| what != "driver"), "on purpose");
}

fn lock(engine: &Mutex<Engine>) -> std::sync::MutexGuard<'_, Engine> {
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the engine decided goes its ways.
fn apply(shared: &Shared, out: Output) {
    for reading in out.derived {
        shared.journal.append(reading);
    }
    for change in out.presence {
        tell(shared, &change);
    }
}

/// A device's retained status.
fn tell(shared: &Shared, change: &Change) {
    use std::fmt::Write as _;
    let configuration = shared.configuration();
    let Some(device) = configuration.devices.get(&*change.device) else { return };
    let word = match change.state {
        State::Unknown => "unknown",
        State::Online => "online",
        State::Degraded => "degraded",
        State::Offline => "offline",
    };
    let mut json = format!("{{\"state\":\"{word}\",\"since\":");
    match change.since {
        Some(wall) => write_json_text(&wall.rfc3339(), &mut json),
        None => json.push_str("null"),
    }
    json.push_str(",\"why\":");
    match change.why {
        Some(cause) => write_json_text(cause.word(), &mut json),
        None => json.push_str("null"),
    }
    for (key, text) in [("class", &device.class), ("area", &device.area), ("zh", &device.zh), ("en", &device.en)] {
        let _infallible = write!(json, ",\"{key}\":");
        write_json_text(text, &mut json);
    }
    json.push('}');
    shared.states.set(&format!("{}/status", change.device), json);
}

/// The snapshot that was kept; the default where there is none that can be read.
pub fn read(path: &Path) -> Snapshot {
    let Ok(text) = std::fs::read_to_string(path) else { return Snapshot::default() };
    match serde_json::from_str::<Snapshot>(&text) {
        Ok(snapshot) if snapshot.format == 1 => snapshot,
        _ => {
            tracing::error!(file = %path.display(), "counts that were kept cannot be read: they begin anew");
            Snapshot::default()
        }
    }
}

fn write(path: &Path, snapshot: &Snapshot) {
    let json = serde_json::to_vec(snapshot).map_err(std::io::Error::other);
    if let Err(error) = json.and_then(|json| whole::replace(path, &json)) {
        tracing::error!(file = %path.display(), %error, "counts cannot be kept");
    }
}
