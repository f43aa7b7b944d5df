//! The engine's driver loop: the only place where rules meet a clock. Sleeps until the next reading or the engine's next wake-up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::alarm::changes;
use crate::app::shared::Shared;
use crate::app::{engine_plan, self_metrics, step};
use crate::clock::{Clock, Timings};
use crate::config::Configuration;
use crate::engine::{Engine, Persisted, ROOMS};
use crate::lock::lock;
use crate::model::actor::Actor;
use crate::model::effects::Keep;
use crate::model::room::Input;
use crate::model::stream::Source;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::store::error::StoreError;
use crate::store::event::Batch;

/// Interval at which expired events are removed.
const PRUNE_EVERY_MS: u64 = 3_600_000;
/// Interval at which rules that panicked are restarted.
const REVIVE_EVERY_MS: u64 = 600_000;
/// Interval at which the snapshot is stored.
const KEEP_EVERY_MS: u64 = 10_000;

/// Runs the engine until `stop`; then takes one last step and stores the snapshot.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    fault_injection(&shared);
    let mut last_snapshot = LastSnapshots::default();
    let mut keep_at = shared.clock.mono().plus(KEEP_EVERY_MS);
    let mut prune_at = shared.clock.mono();
    let mut revive_at = None;
    loop {
        let now = shared.clock.now();
        let wake = shared.engine().next_wake();
        let until = wake.map_or(keep_at, |w| w.min(keep_at)).since(now.mono).max(1);
        let stopping = tokio::select! {
            biased;
            () = shared.rules.inbox.notified() => false,
            () = stop.cancelled() => true,
            () = shared.clock.sleep(Duration::from_millis(until)) => false,
        };
        step(&shared);
        let off = shared.engine().disabled_rooms().len();
        if off as u64 != shared.rules.rules_off.swap(off as u64, Ordering::Relaxed) {
            if off > 0 {
                let rooms = shared.engine().disabled_rooms().clone();
                tracing::error!(?rooms, "a room of rules panicked and is switched off: the others go on");
            }
            self_metrics::publish_status(&shared);
        }
        restart_disabled_rooms(&shared, &mut revive_at);
        shared.rules.engine_progress_ms.store(shared.clock.mono().0, Ordering::Relaxed);
        if stopping || shared.clock.mono() >= keep_at {
            keep_at = shared.clock.mono().plus(KEEP_EVERY_MS);
            store_snapshots(&shared, &mut last_snapshot, stopping).await;
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
        *at = None;
        return;
    }
    let due = *at.get_or_insert(now.plus(REVIVE_EVERY_MS));
    if now >= due {
        *at = Some(now.plus(REVIVE_EVERY_MS));
        tracing::warn!("rules that panicked are tried again");
        let configuration = shared.configuration();
        let streams = super::streams(&configuration).collect();
        reconfigure(shared, &configuration, &streams, &Actor::gateway());
    }
}

/// Applies a configuration to the engine; what that decides takes its way. Returns the changes of alarm rules, one sentence each.
pub fn reconfigure(
    shared: &Shared,
    configuration: &Configuration,
    streams: &BTreeSet<(Arc<str>, Source)>,
    actor: &Actor,
) -> Vec<String> {
    let mut engine = shared.engine();
    // A room that panicked restarts from its stored state; its state in memory is not reliable.
    let persisted =
        if engine.disabled_rooms().is_empty() { Persisted::default() } else { engine_plan::persisted(&shared.store) };
    let now = shared.clock.now();
    let plan = engine_plan::engine_plan(configuration, &shared.rules.tokens);
    let effects = engine.reconfigure(plan, streams, &persisted, actor, now);
    let report = changes::lines(&engine.board().transitions);
    let _nobody_waits = step::apply(shared, effects, now);
    // Names and texts may have changed: every retained state is published again.
    for (topic, json) in engine.topics(now) {
        shared.adapters.retained_topics.set(&topic, json);
    }
    engine.unreadable().iter().for_each(|line| tracing::error!("{line}"));
    shared.rules.inbox.notify();
    report
}

/// Makes the engine's steps count how long each room takes.
pub fn time_rooms(engine: &mut Engine, clock: &Clock) -> BTreeMap<&'static str, Timings> {
    let timings: BTreeMap<&'static str, Timings> = ROOMS.iter().map(|room| (*room, Timings::of_work())).collect();
    let (counted, clock, mut began_us) = (timings.clone(), clock.clone(), 0);
    engine.observe_rooms(move |room| {
        if let Some(timings) = room.and_then(|room| counted.get(room)) {
            timings.observe_us(clock.real_us_since(began_us));
        }
        began_us = clock.mono_us();
    });
    timings
}

/// Steps the engine with every waiting reading, or once with the time alone.
fn step(shared: &Shared) {
    let entries = shared.rules.inbox.take();
    let mut engine = shared.engine();
    let mut one = |input: Input<'_>| {
        let now = shared.clock.now();
        let effects = engine.step(now, input);
        let _nobody_waits = step::apply(shared, effects, now);
    };
    entries.iter().for_each(|entry| one(Input::Reading(&entry.reading)));
    if entries.is_empty() {
        one(Input::Tick);
    }
}

/// The snapshots stored last, and the pending answer of the store.
#[derive(Default)]
struct LastSnapshots {
    keep: Arc<Mutex<Vec<Keep>>>,
    answer: Option<tokio::sync::oneshot::Receiver<Result<(), StoreError>>>,
}

/// Stores counts of rooms and the memory of conditions where they changed. The engine copies them; the store's thread encodes and compares.
async fn store_snapshots(shared: &Shared, last: &mut LastSnapshots, stopping: bool) {
    // Unless the last write is known to have succeeded, everything is stored again: it may still wait, and fail after this.
    let is_known = last.answer.take().is_none_or(|mut answer| matches!(answer.try_recv(), Ok(Ok(()))));
    let (snapshots, keep) = (shared.engine().snapshots(), Arc::clone(&last.keep));
    let mut answer = shared.store.commit_made(move || {
        let now = snapshots.encode();
        let changed = {
            let before = std::mem::replace(&mut *lock(&keep), now.clone());
            now.into_iter().filter(|keep| !is_known || !before.contains(keep)).collect()
        };
        Batch { rows: Vec::new(), keep: changed }
    });
    if stopping {
        let _two_seconds_are_enough = tokio::time::timeout(Duration::from_secs(2), &mut answer).await;
    }
    last.answer = Some(answer);
}

/// Panics where `PLANTROOM_PANIC` says, in debug builds only.
fn fault_injection(shared: &Shared) {
    #[cfg(debug_assertions)]
    if let Some(what) = std::env::var_os("PLANTROOM_PANIC") {
        assert!(what != "driver", "on purpose");
        if let Some(room) = what.to_str() {
            shared.engine().inject_fault(room);
        }
    }
    #[cfg(not(debug_assertions))]
    let _only_in_tests = shared;
}
