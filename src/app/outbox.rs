//! Decisions on their way to the disk: what each carries, and those that the disk has not taken yet.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::app::ordered_queue::Merge;
use crate::model::effects::Decided;
use crate::model::time::Now;
use crate::store::error::StoreError;
use crate::store::event::{Batch, EventRow};
use crate::store::log::Store;

/// Decisions that wait for the disk at most; beyond that the oldest are lost to the log, said so.
const PENDING_MAX: usize = 10_000;
/// Decisions on their way at most; beyond that they are merged into one, which goes last.
pub const QUEUE: usize = 4_096;

/// What was decided, with whoever waits until it is committed, or has left without that.
#[derive(Debug, Default)]
pub struct OutboxEntry {
    pub decided: Decided,
    /// Rows and kept state that are committed before the rest leaves.
    pub batch: Batch,
    pub waiters: Vec<oneshot::Sender<()>>,
}

impl OutboxEntry {
    /// Parts what is committed from what leaves then.
    pub fn new(mut decided: Decided, now: Now) -> Self {
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

/// The store's answer to a batch that it still has.
type CommitAnswer = oneshot::Receiver<Result<(), StoreError>>;

/// Batches that are not committed yet, in order.
#[derive(Default)]
pub struct PendingCommits {
    batches: VecDeque<(Batch, Option<CommitAnswer>)>,
    /// Whether it was logged that they cannot be committed.
    is_reported: bool,
}

impl PendingCommits {
    /// Whether every batch is committed.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds a batch behind the others.
    pub fn push(&mut self, batch: Batch) {
        self.batches.push_back((batch, None));
    }

    /// Commits what can be committed, in order; waits so long for each answer.
    pub async fn commit_pending(&mut self, store: &Store, wait: Duration) {
        while let Some((batch, answer)) = self.batches.pop_front() {
            let mut answer = answer.unwrap_or_else(|| store.commit(batch.clone()));
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
