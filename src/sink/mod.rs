//! Sinks: the outputs for readings, one folder per kind (MQTT, InfluxDB line protocol).
//!
//! A sink is a reader of the journal with a durable cursor, so it may be slow or disconnected without delaying anything else.
//! The cursor passes a reading only when it was acknowledged (with QoS 0: sent), filtered out, or rejected for good. After a reconnect or a
//! crash readings may be delivered again.

pub mod command;
pub mod dead_letters;
pub mod error;
pub mod influx;
pub mod kind;
pub mod kinds;
pub mod mqtt;
pub mod refusals;
pub mod report;
pub mod resend;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::clock::{Clock, Timings};
use crate::http::files::LoadedFiles;
use crate::journal::Journal;
use crate::lock::lock;
use crate::sink::dead_letters::DeadLetters;
use crate::sink::resend::Resend;

/// What a device is and where, for the tags of a time-series store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTags {
    /// Device class of the vocabulary.
    pub class: String,
    /// Building, floor and room in one text.
    pub area: String,
    /// What a metering point is used for.
    pub end_use: String,
    /// The metering point upstream of one.
    pub parent: String,
    /// How many points are upstream of a metering point; empty: it is made of others and stands outside.
    pub level: String,
    /// Unit of a metering point's consumption.
    pub unit: String,
}

impl DeviceTags {
    /// The key of a metering point's tags: no device has this id.
    pub fn metering_point(id: &str) -> String {
        format!("energy/{id}")
    }
}

/// Device id -> its tags.
pub type DeviceTagsById = BTreeMap<String, DeviceTags>;

/// The dependencies that every sink gets.
#[derive(Clone)]
pub struct SinkContext {
    pub site: String,
    pub device_tags: Arc<DeviceTagsById>,
    pub journal: Journal,
    pub retained_topics: RetainedTopics,
    pub clock: Clock,
    /// Written by the sink, read by metrics, health and status.
    pub health: Arc<SinkHealth>,
    /// Messages or values that the other side rejected for good.
    pub dead_letters: DeadLetters,
    /// What was read of the files that the settings name.
    pub files: LoadedFiles,
    /// The range of the history that is to be sent again, if one was requested.
    pub resend: Resend,
    /// Directory for small files that survive a restart.
    pub state_dir: PathBuf,
}

/// Path of a sink's file in the state directory; characters other than ASCII letters, digits and `-` become `_`.
pub fn state_file(state_dir: &Path, what: &str, sink: &str, extension: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    state_dir.join(format!("{what}-{}.{extension}", sink.chars().map(plain).collect::<String>()))
}

/// Counters and states that a sink publishes about itself.
#[derive(Debug, Default)]
pub struct SinkHealth {
    /// Whether the other side can be reached and accepts data.
    pub connected: AtomicBool,
    /// Whether the error needs a person, for example a wrong token or address; retries go on at a slow pace.
    pub paused: AtomicBool,
    /// Messages or values that the other side acknowledged.
    pub delivered: AtomicU64,
    /// How long each write takes until the other side answers it; QoS 0 has no answers.
    pub write_timings: Timings,
    /// Writes that have to be tried again, and connections that could not be made or broke; what is refused for good is a dead letter.
    pub failures: AtomicU64,
    /// Readings of which nothing was sent, mostly because of report by exception.
    pub filtered: AtomicU64,
    /// Sequence numbers between the cursor and the newest reading.
    pub lag: AtomicU64,
    /// Milliseconds between the oldest undelivered reading and now.
    pub lag_ms: AtomicU64,
    /// Times the connection was made.
    pub connects: AtomicU64,
    /// Sequence numbers that are still to be backfilled.
    pub backfill_pending: AtomicU64,
    /// When everything live was last delivered, monotonic milliseconds.
    pub last_caught_up_ms: AtomicU64,
    /// Readings of a boot that never got a date; a time-series store cannot take them.
    pub undated: AtomicU64,
    /// Values dropped by the store because they are older than its retention.
    pub too_old: AtomicU64,
    /// Messages or values that were rejected for good, or are too large.
    pub dead_lettered: AtomicU64,
    /// Description of the last of those.
    pub last_dead_letter: Mutex<String>,
    /// The error while not connected; empty when connected.
    pub error: Mutex<String>,
    /// Configured features that the other side does not support, and the consequences; empty if there are none.
    pub limits: Mutex<String>,
    /// Number of topics or series that the other side rejects now.
    pub rejected_count: AtomicU64,
    /// A list of those topics or series, with the reasons.
    pub rejected_list: Mutex<String>,
    /// Whether another client with the same client id repeatedly takes over the connection.
    pub has_client_id_conflict: AtomicBool,
}

impl SinkHealth {
    pub fn text(field: &Mutex<String>) -> String {
        lock(field).clone()
    }

    /// Sets the number of topics or series that the other side rejects now, and their list.
    pub fn set_rejected(&self, (count, which): (u64, String)) {
        self.rejected_count.store(count, std::sync::atomic::Ordering::Relaxed);
        Self::set_text(&self.rejected_list, which);
    }

    pub fn set_text(field: &Mutex<String>, text: impl Into<String>) {
        *lock(field) = text.into();
    }
}

/// The current retained messages: topic below the site -> JSON. They are sent first at every connect and at each change, never queued
/// behind telemetry.
#[derive(Clone, Debug)]
pub struct RetainedTopics {
    all: Arc<Mutex<BTreeMap<String, String>>>,
    changed: watch::Sender<u64>,
}

impl Default for RetainedTopics {
    fn default() -> Self {
        Self { all: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl RetainedTopics {
    /// Sets a state and notifies the sinks if it differs from the present one.
    pub fn set(&self, topic: &str, json: String) {
        let mut all = lock(&self.all);
        if all.get(topic) != Some(&json) {
            all.insert(topic.to_string(), json);
            drop(all);
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// Sets a state unless the topic has one.
    pub fn set_new(&self, topic: &str, json: &str) {
        let is_there = lock(&self.all).contains_key(topic);
        if !is_there {
            self.set(topic, json.to_string());
        }
    }

    /// Removes a state; sinks then clear its retained message on the broker.
    pub fn remove(&self, topic: &str) {
        let removed = lock(&self.all).remove(topic);
        if removed.is_some() {
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// A copy of all states.
    pub fn get(&self) -> BTreeMap<String, String> {
        lock(&self.all).clone()
    }

    /// A receiver that is notified at each change.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
