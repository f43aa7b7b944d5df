//! The queue into the engine: bounded, because a newer reading of a stream replaces an older one that was not processed yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::journal::tail::JournalEntry;
use crate::lock::lock;

/// Readings on their way to the engine.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<VecDeque<Arc<JournalEntry>>>,
    wakeup: Notify,
    /// Readings that were replaced before the engine saw them.
    pub replaced: AtomicU64,
}

/// Below this length nothing is replaced: the engine keeps up and processes every reading.
const SHORT: usize = 64;

impl Inbox {
    /// Adds a reading without waiting. Beyond `SHORT` entries it replaces an earlier one of the same stream.
    pub fn put(&self, entry: Arc<JournalEntry>) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= SHORT {
            let same = |e: &Arc<JournalEntry>| Arc::ptr_eq(&e.reading.stream, &entry.reading.stream);
            if let Some(at) = waiting.iter().position(same) {
                waiting.remove(at);
                self.replaced.fetch_add(1, Ordering::Relaxed);
            }
        }
        waiting.push_back(entry);
        drop(waiting);
        self.wakeup.notify_one();
    }

    /// Wakes the engine without a reading: its next wake-up may be earlier now.
    pub fn notify(&self) {
        self.wakeup.notify_one();
    }

    pub fn take(&self) -> VecDeque<Arc<JournalEntry>> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    /// Waits for a reading or [`Inbox::notify`].
    pub async fn notified(&self) {
        self.wakeup.notified().await;
    }
}
