//! Effects on their way: what was decided is on the disk before it leaves. If the disk does not take it within two seconds it
//! leaves all the same, and is committed as soon as that can be.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::app::ordered_queue::Merge;
use crate::app::shared::Shared;
use crate::app::{asks, pages};
use crate::model::actor::Actor;
use crate::model::command::{Command, GatewayOperation, Operation};
use crate::model::effects::{Decided, Effects};
use crate::model::failure::Refusal;
use crate::model::room::Input;
use crate::model::time::Now;
use crate::store::error::StoreError;
use crate::store::event::{Batch, EventRow};

/// How long a decision waits for the disk.
const COMMIT_WAIT: Duration = Duration::from_secs(2);
/// Pause before a batch that could not be committed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Decisions that wait for the disk at most; beyond that the oldest are lost to the log, said so.
const PENDING_MAX: usize = 10_000;
/// Decisions on their way at most; beyond that they are merged into one, which goes last.
pub const QUEUE: usize = 4_096;

/// What was decided, with whoever waits until it is committed, or has left without that.
#[derive(Debug, Default)]
pub struct OutboxEntry {
    decided: Decided,
    batch: Batch,
    waiters: Vec<oneshot::Sender<()>>,
}

impl OutboxEntry {
    fn new(mut decided: Decided, now: Now) -> Self {
        let row = |event: crate::model::effects::LogEvent| EventRow::new(event, now);
        let rows = std::mem::take(&mut decided.events).into_iter().map(row).collect();
        let batch = Batch { rows, keep: std::mem::take(&mut decided.keep) };
        Self { decided, batch, waiters: Vec::new() }
    }
}

impl Merge for OutboxEntry {
    /// Beyond the limit the oldest rows of the log are dropped, said so.
    fn merge(&mut self, other: OutboxEntry) {
        self.batch.rows.extend(other.batch.rows);
        self.batch.keep.extend(other.batch.keep);
        let (own, later) = (&mut self.decided, other.decided);
        own.retained.retain(|(topic, _)| !later.retained.iter().any(|(t, _)| t == topic));
        own.retained.extend(later.retained);
        own.readings.extend(later.readings);
        own.notifications.extend(later.notifications);
        self.waiters.extend(other.waiters);
        let over = self.batch.rows.len().saturating_sub(PENDING_MAX);
        if over > 0 {
            self.batch.rows.drain(..over);
            tracing::error!(over, "more is decided than can be committed: the oldest is lost to the log");
        }
    }
}

/// Effects take their way: what was measured at once, what was decided through the outbox. The receiver is told when that is
/// committed; none: nothing was decided.
pub fn apply(shared: &Shared, effects: Effects, now: Now) -> Option<oneshot::Receiver<()>> {
    for (topic, json) in effects.states {
        shared.adapters.retained_topics.set(&topic, json);
    }
    for reading in effects.readings {
        shared.journal.append(reading);
    }
    asks::put(&shared.rules.asks, effects.asks);
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
    pages::enqueue(shared, entry.decided.notifications);
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
            () = tokio::time::sleep(RETRY_PAUSE), if !pending.batches.is_empty() => {
                pending.commit_pending(&shared, COMMIT_WAIT).await;
                continue;
            }
        };
        // What comes after the stop is still taken, as long as there is something.
        let Some(mut entry) = entry else { break };
        // Only the first waits for a disk that takes nothing: the others leave at once behind it.
        let wait = if pending.batches.is_empty() { COMMIT_WAIT } else { Duration::ZERO };
        pending.batches.push_back((std::mem::take(&mut entry.batch), None));
        pending.commit_pending(&shared, wait).await;
        dispatch(&shared, entry);
    }
    pending.commit_pending(&shared, COMMIT_WAIT).await;
}

/// The store's answer to a batch that it still has.
type CommitAnswer = oneshot::Receiver<Result<(), StoreError>>;

/// Batches that are not committed yet, in order.
#[derive(Default)]
struct PendingCommits {
    batches: VecDeque<(Batch, Option<CommitAnswer>)>,
    /// Whether it was logged that they cannot be committed.
    is_reported: bool,
}

impl PendingCommits {
    /// Commits what can be committed, in order; waits so long for each answer.
    async fn commit_pending(&mut self, shared: &Shared, wait: Duration) {
        while let Some((batch, answer)) = self.batches.pop_front() {
            let mut answer = answer.unwrap_or_else(|| shared.store.commit(batch.clone()));
            let (left, error) = match tokio::time::timeout(wait, &mut answer).await {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(error))) => (None, error.to_string()),
                Ok(Err(_)) => (None, StoreError::Ended.to_string()),
                Err(_) => (Some(answer), "the disk takes too long".to_string()),
            };
            self.batches.push_front((batch, left));
            if !std::mem::replace(&mut self.is_reported, true) {
                tracing::error!(error, "a decision cannot be written down: it leaves unrecorded, and is tried again");
            }
            while self.batches.len() > PENDING_MAX {
                self.batches.pop_front();
                tracing::error!("the disk has taken no decision for too long: the oldest is lost to the log");
            }
            return;
        }
        if std::mem::take(&mut self.is_reported) {
            tracing::info!("every decision is written down again");
        }
    }
}
