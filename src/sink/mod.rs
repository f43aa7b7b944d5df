//! Where readings go: one file (or folder) each. A sink is a reader of the journal with a durable cursor; it may be slow
//! or shut without anyone else waiting.

pub mod mqtt;
pub mod report;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What a sink shows of itself.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether it is connected.
    pub connected: AtomicBool,
    /// Messages that the other side acknowledged.
    pub delivered: AtomicU64,
    /// Readings that were filtered out (report by exception).
    pub filtered: AtomicU64,
    /// Numbers between the cursor and the newest reading.
    pub lag: AtomicU64,
    /// Milliseconds between the oldest undelivered reading and now.
    pub lag_ms: AtomicU64,
    /// Times the connection was made.
    pub connects: AtomicU64,
    /// Messages that were refused three times, or are too large.
    pub set_aside: AtomicU64,
    /// The last of them, in words.
    pub last_set_aside: Mutex<String>,
    /// Why it is not connected, in words.
    pub error: Mutex<String>,
}

impl Health {
    /// A copy of a text.
    pub fn text(of: &Mutex<String>) -> String {
        of.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets a text.
    pub fn tell(of: &Mutex<String>, text: impl Into<String>) {
        *of.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }
}

/// The current state of everything that is retained: topic below the site -> JSON. Sent first at every connect and at each
/// change, never queued behind telemetry.
#[derive(Clone, Debug)]
pub struct States {
    all: Arc<Mutex<BTreeMap<String, String>>>,
    changed: watch::Sender<u64>,
}

impl Default for States {
    fn default() -> Self {
        Self { all: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl States {
    /// Sets a state; rings if it is new.
    pub fn set(&self, topic: &str, json: String) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(topic) != Some(&json) {
            all.insert(topic.to_string(), json);
            drop(all);
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// Sets a state that is not there yet.
    pub fn set_new(&self, topic: &str, json: &str) {
        let is_there = self.all.lock().unwrap_or_else(PoisonError::into_inner).contains_key(topic);
        if !is_there {
            self.set(topic, json.to_string());
        }
    }

    /// Removes a state: its retained message is cleared.
    pub fn remove(&self, topic: &str) {
        let removed = self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
        if removed.is_some() {
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// Everything, as it is now.
    pub fn get(&self) -> BTreeMap<String, String> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rings at each change.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
