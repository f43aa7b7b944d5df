//! The engine's driver loop: the only place where rules meet a clock. Sleeps until the next reading or the engine's next wake-up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::alarm::changes;
use crate::app::{Shared, outbox, pages, self_metrics};
use crate::config::Configuration;
use crate::engine::liveness::{DeviceStateChange, DeviceState};
use crate::engine::{EngineInput, PersistedEngine, Snapshot};
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::model::value::write_json_text;
use crate::store::log::{Batch, Store};

/// The room of the store that holds the engine's snapshot.
const ENGINE: &str = "engine";
/// Interval at which expired events are removed.
const PRUNE_EVERY_MS: u64 = 3_600_000;
/// Interval at which rules that panicked are restarted.
const REVIVE_EVERY_MS: u64 = 600_000;
/// Interval at which the snapshot is stored.
const KEEP_EVERY_MS: u64 = 10_000;

/// Runs the engine until `stop`; then takes one last step and stores the snapshot.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    fault_injection(&shared);
    let mut last_snapshot = LastSnapshot::default();
    let mut keep_at = shared.clock.mono().plus(KEEP_EVERY_MS);
    let mut prune_at = shared.clock.mono();
    let mut revive_at = None;
    loop {
        let now = shared.clock.now();
        let wake = shared.engine().next_wake();
        let until = wake.map_or(keep_at, |w| w.min(keep_at)).since(now.mono).max(1);
        let stopping = tokio::select! {
            biased;
            () = shared.inbox.notified() => false,
            () = stop.cancelled() => true,
            () = tokio::time::sleep(Duration::from_millis(until)) => false,
        };
        step(&shared);
        let off = shared.engine().disabled_rooms().len();
        if off as u64 != shared.rules_off.swap(off as u64, Ordering::Relaxed) {
            if off > 0 {
                let rooms = shared.engine().disabled_rooms().to_vec();
                tracing::error!(?rooms, "a room of rules panicked and is switched off: the others go on");
            }
            self_metrics::publish_status(&shared);
        }
        restart_disabled_rooms(&shared, &mut revive_at);
        shared.engine_progress_ms.store(shared.clock.mono().0, Ordering::Relaxed);
        if stopping || shared.clock.mono() >= keep_at {
            keep_at = shared.clock.mono().plus(KEEP_EVERY_MS);
            store_snapshot(&shared, &mut last_snapshot, stopping).await;
        }
        if shared.clock.mono() >= prune_at && shared.clock.is_trusted() {
            prune_at = shared.clock.mono().plus(PRUNE_EVERY_MS);
            let days = shared.configuration().alarms.settings.keep_days;
            shared.store.prune(UnixMillis(shared.clock.wall().0 - i64::from(days) * 86_400_000));
        }
        if stopping {
            return;
        }
    }
}

/// Restarts a rule room that panicked from its stored state, every ten minutes.
fn restart_disabled_rooms(shared: &Shared, at: &mut Option<MonotonicMillis>) {
    let now = shared.clock.mono();
    if shared.engine().disabled_rooms().is_empty() {
        return;
    }
    let due = *at.get_or_insert(now.plus(REVIVE_EVERY_MS));
    if now >= due {
        *at = Some(now.plus(REVIVE_EVERY_MS));
        tracing::warn!("rules that panicked are tried again");
        reconfigure(shared, &shared.configuration(), |_, _| true, "gateway");
    }
}

/// Reads the stored state of alarms and pages.
pub fn stored(store: &Store) -> PersistedEngine {
    PersistedEngine { alarms: outbox::load_alarms(store), oncall: pages::stored(store), ..PersistedEngine::default() }
}

/// Applies a configuration to the engine and dispatches the resulting decisions.
/// Returns the changes of alarm rules, one sentence each.
pub fn reconfigure(
    shared: &Shared,
    configuration: &Configuration,
    has: impl Fn(&str, &str) -> bool,
    by: &str,
) -> Vec<String> {
    let mut engine = shared.engine();
    // A room that panicked restarts from its stored state; its state in memory is not reliable.
    let stored = (!engine.disabled_rooms().is_empty()).then(|| stored(&shared.store));
    let now = shared.clock.now();
    let out = engine.reconfigure(super::plan(configuration), has, stored, by, now);
    let said = changes::lines(&out.alarm.events);
    let _nobody_waits = outbox::apply(shared, &engine, out, now);
    // Names and texts may have changed: publish every retained state again.
    let states = outbox::states(&engine, configuration);
    states.into_iter().for_each(|(topic, json)| shared.retained_topics.set(&topic, json));
    said
}

/// Steps the engine with every waiting reading, or once with the time alone.
fn step(shared: &Shared) {
    let entries = shared.inbox.take();
    let mut engine = shared.engine();
    let mut one = |input: EngineInput<'_>| {
        let now = shared.clock.now();
        let out = engine.step(now, input);
        let _nobody_waits = outbox::apply(shared, &engine, out, now);
    };
    entries.iter().for_each(|entry| one(EngineInput::Reading(&entry.reading)));
    if entries.is_empty() {
        one(EngineInput::Tick);
    }
}

/// The snapshot stored last, and the pending answer of the store.
#[derive(Default)]
struct LastSnapshot {
    snapshot: Snapshot,
    answer: Option<tokio::sync::oneshot::Receiver<Result<(), String>>>,
}

/// Stores the engine's snapshot (counts and the memory of conditions) if it changed.
async fn store_snapshot(shared: &Shared, last_snapshot: &mut LastSnapshot, stopping: bool) {
    if let Some(answer) = &mut last_snapshot.answer
        && matches!(answer.try_recv(), Ok(Err(_)))
    {
        // The last write failed: store it again.
        last_snapshot.snapshot = Snapshot::default();
    }
    let now = shared.engine().snapshot();
    if now == last_snapshot.snapshot {
        return;
    }
    let text = serde_json::to_vec(&now).unwrap_or_default();
    let keep = vec![(ENGINE, "snapshot".to_string(), Some(text))];
    let mut answer = shared.store.commit(Batch { rows: Vec::new(), states: keep });
    if stopping {
        let _two_seconds_are_enough = tokio::time::timeout(Duration::from_secs(2), &mut answer).await;
    }
    *last_snapshot = LastSnapshot { snapshot: now, answer: Some(answer) };
}

/// Panics where `PLANTROOM_PANIC` says, in debug builds only.
fn fault_injection(shared: &Shared) {
    #[cfg(debug_assertions)]
    if let Some(what) = std::env::var_os("PLANTROOM_PANIC") {
        assert!(what != "driver", "on purpose");
        for room in ["alarm", "oncall"].into_iter().filter(|room| what == *room) {
            shared.engine().inject_fault(room);
        }
    }
    #[cfg(not(debug_assertions))]
    let _only_in_tests = shared;
}

/// Publishes a device's retained status.
pub fn publish_device_status(shared: &Shared, change: &DeviceStateChange) {
    use std::fmt::Write as _;
    let configuration = shared.configuration();
    let Some(device) = configuration.devices.get(&*change.device) else { return };
    let word = match change.state {
        DeviceState::Unknown => "unknown",
        DeviceState::Online => "online",
        DeviceState::Degraded => "degraded",
        DeviceState::Offline => "offline",
    };
    let mut json = format!("{{\"state\":\"{word}\",\"since\":");
    match change.since {
        Some(wall) => write_json_text(&wall.rfc3339(), &mut json),
        None => json.push_str("null"),
    }
    json.push_str(",\"why\":");
    match change.cause {
        Some(cause) => write_json_text(cause.word(), &mut json),
        None => json.push_str("null"),
    }
    for (key, text) in [("class", &device.class), ("area", &device.area), ("zh", &device.zh), ("en", &device.en)] {
        let _infallible = write!(json, ",\"{key}\":");
        write_json_text(text, &mut json);
    }
    json.push('}');
    shared.retained_topics.set(&format!("{}/status", change.device), json);
}

/// Reads the stored snapshot; the default if there is none or it is unreadable. `file`: where earlier versions kept it.
pub fn read(store: &Store, file: &Path) -> Snapshot {
    let stored = store.load_state(ENGINE).unwrap_or_default().remove("snapshot");
    let bytes = stored.or_else(|| std::fs::read(file).ok());
    let Some(bytes) = bytes else { return Snapshot::default() };
    match serde_json::from_slice::<Snapshot>(&bytes) {
        Ok(snapshot) if snapshot.format == 1 => snapshot,
        _ => {
            tracing::error!("counts that were kept cannot be read: they begin anew");
            Snapshot::default()
        }
    }
}
