//! Steps of the engine, and the way of what they decide: it is on the disk before it leaves. If the disk does not take it within
//! two seconds it leaves all the same, and is committed as soon as that can be.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::app::outbox::{OutboxEntry, PendingCommits};
use crate::app::shared::Shared;
use crate::model::actor::Actor;
use crate::model::command::{Command, GatewayOperation, Operation};
use crate::model::effects::Effects;
use crate::model::failure::Refusal;
use crate::model::room::Input;
use crate::model::time::Now;

/// How long a decision waits for the disk.
const COMMIT_WAIT: Duration = Duration::from_secs(2);
/// Pause before a batch that could not be committed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Effects take their way: what was measured at once, what was decided through the outbox. The receiver is told when that is
/// committed; none: nothing was decided.
pub fn apply(shared: &Shared, effects: Effects, now: Now) -> Option<oneshot::Receiver<()>> {
    for (topic, json) in effects.states {
        shared.adapters.retained_topics.set(&topic, json);
    }
    for reading in effects.readings {
        shared.journal.append(reading);
    }
    if let Some(rank) = effects.poll_rank {
        shared.set_flood_rank(rank);
    }
    shared.rules.asks.put(effects.asks);
    if effects.decided.is_empty() {
        return None;
    }
    let (waiter, committed) = oneshot::channel();
    let mut entry = OutboxEntry::new(effects.decided, now);
    entry.waiters.push(waiter);
    if let Err(entry) = shared.rules.outbox.put(entry) {
        tracing::error!("decisions are not taken any more: one leaves unrecorded");
        dispatch(shared, entry);
    }
    Some(committed)
}

/// One step of the engine with an input; returns when what it decided is committed, or has left without that.
///
/// # Errors
/// A command was refused, in words.
pub async fn step_and_commit(shared: &Shared, input: Input<'_>) -> Result<(), Refusal> {
    let (refused, committed) = {
        let mut engine = shared.engine();
        let now = shared.clock.now();
        let mut effects = engine.step(now, input);
        (effects.refused.take(), apply(shared, effects, now))
    };
    // The engine's next wake-up may be earlier than the driver sleeps.
    shared.rules.inbox.notify();
    if let Some(refused) = refused {
        return Err(refused);
    }
    if let Some(committed) = committed {
        let _it_leaves_in_any_case = committed.await;
    }
    Ok(())
}

/// A reload that came by signal stands in the log as every other does.
pub async fn record_reload(shared: &Shared, actor: &Actor) {
    let operation = Operation::Gateway(GatewayOperation::Reload);
    let command = Command { actor: actor.clone(), note: String::new(), operation };
    let _the_gateway_may = step_and_commit(shared, Input::Command(&command)).await;
}

fn dispatch(shared: &Shared, entry: OutboxEntry) {
    shared.enqueue(entry.decided.notifications);
    for reading in entry.decided.readings {
        shared.journal.append(reading);
    }
    for (topic, json) in entry.decided.retained {
        match json {
            Some(json) => shared.adapters.retained_topics.set(&topic, json),
            None => shared.adapters.retained_topics.remove(&topic),
        }
    }
    for waiter in entry.waiters {
        let _nobody_waits = waiter.send(());
    }
}

/// Commits decisions one after the other and lets them leave in that order. At most one waits for the disk, for two seconds;
/// the others leave at once behind it.
pub async fn run(shared: Arc<Shared>, queue: Arc<Mutex<mpsc::Receiver<OutboxEntry>>>, stop: CancellationToken) {
    let mut queue = queue.lock().await;
    let mut pending = PendingCommits::default();
    loop {
        let entry = tokio::select! {
            biased;
            entry = shared.rules.outbox.next(&mut queue) => entry,
            () = stop.cancelled() => None,
            () = tokio::time::sleep(RETRY_PAUSE), if !pending.is_empty() => {
                pending.commit_pending(&shared.store, COMMIT_WAIT).await;
                continue;
            }
        };
        // What comes after the stop is still taken, as long as there is something.
        let Some(mut entry) = entry else { break };
        // Only the first waits for a disk that takes nothing: the others leave at once behind it.
        let wait = if pending.is_empty() { COMMIT_WAIT } else { Duration::ZERO };
        pending.push(std::mem::take(&mut entry.batch));
        pending.commit_pending(&shared.store, wait).await;
        dispatch(&shared, entry);
    }
    pending.commit_pending(&shared.store, COMMIT_WAIT).await;
}
