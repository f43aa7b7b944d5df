//! Where readings go: one file (or folder) each. A sink is a reader of the journal with a durable cursor; it may be slow
//! or shut without anyone else waiting.

pub mod dead_letters;
pub mod influx;
pub mod mqtt;
pub mod refusals;
pub mod report;
pub mod resend;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::http::files::NamedFile;
use crate::journal::Journal;
use crate::model::time::UnixMillis;
use crate::sink::dead_letters::DeadLetters;
use crate::sink::resend::Resend;

/// A sink, as configured: one of each kind that there is.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkSettings {
    /// `[[sink.mqtt]]`.
    Mqtt(mqtt::settings::MqttSettings),
    /// `[[sink.influx]]`.
    Influx(influx::settings::InfluxSettings),
}

impl SinkSettings {
    /// Its name, unique among sinks.
    pub fn name(&self) -> &str {
        match self {
            SinkSettings::Mqtt(s) => &s.name,
            SinkSettings::Influx(s) => &s.name,
        }
    }

    /// Where it leads.
    pub fn url(&self) -> &str {
        match self {
            SinkSettings::Mqtt(s) => &s.url,
            SinkSettings::Influx(s) => &s.url,
        }
    }

    /// Its cursor in the journal.
    pub fn cursor(&self) -> String {
        match self {
            SinkSettings::Mqtt(s) => mqtt::cursor_name(s),
            SinkSettings::Influx(s) => influx::cursor_name(s),
        }
    }

    /// Files that it names.
    pub fn files(&self) -> Vec<NamedFile> {
        match self {
            SinkSettings::Mqtt(s) => s.files(),
            SinkSettings::Influx(s) => s.files(),
        }
    }

    /// Tries whether it would work now; what was tried, in words, and why it would not.
    pub async fn probe(&self, site: &str, now: UnixMillis) -> Vec<(String, Result<String, String>)> {
        match self {
            SinkSettings::Mqtt(s) => mqtt::probe::probe(s, site).await,
            SinkSettings::Influx(s) => vec![("a value is written".to_string(), influx::probe(s, site, now).await)],
        }
    }

    /// Runs it until told to stop.
    pub fn run(&self, common: SinkContext, stop: CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.clone() {
            SinkSettings::Mqtt(settings) => Box::pin(mqtt::run(mqtt::Context::new(settings, common), stop)),
            SinkSettings::Influx(settings) => Box::pin(influx::run(settings, common, stop)),
        }
    }
}

/// What a device is and where: what a time-series store wants to know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceTags {
    /// Its class in the vocabulary.
    pub class: String,
    /// Building, floor, room.
    pub area: String,
}

/// Every device with its place.
pub type Places = BTreeMap<String, DeviceTags>;

/// What every sink is given.
#[derive(Clone)]
pub struct SinkContext {
    /// The site's id.
    pub site: String,
    /// Its devices.
    pub places: Arc<Places>,
    /// The outbox.
    pub journal: Journal,
    /// What is retained.
    pub states: RetainedTopics,
    /// The clock.
    pub clock: Clock,
    /// What it shows of itself.
    pub health: Arc<SinkHealth>,
    /// What the other side refused.
    pub dead_letters: DeadLetters,
    /// What a store is to be given again.
    pub resend: Resend,
    /// Where small things are remembered.
    pub state_dir: PathBuf,
}

/// A file in the state directory that belongs to a sink.
pub fn file_of(state_dir: &Path, what: &str, sink: &str, extension: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    state_dir.join(format!("{what}-{}.{extension}", sink.chars().map(plain).collect::<String>()))
}

/// What a sink shows of itself.
#[derive(Debug, Default)]
pub struct SinkHealth {
    /// Whether it is connected.
    pub connected: AtomicBool,
    /// Whether only a person can mend why it is not: a token, an address.
    pub paused: AtomicBool,
    /// Messages or values that the other side acknowledged.
    pub delivered: AtomicU64,
    /// Readings that were filtered out (report by exception).
    pub filtered: AtomicU64,
    /// Numbers between the cursor and the newest reading.
    pub lag: AtomicU64,
    /// Milliseconds between the oldest undelivered reading and now.
    pub lag_ms: AtomicU64,
    /// Times the connection was made.
    pub connects: AtomicU64,
    /// Numbers of the past that are still to be filled in.
    pub missing: AtomicU64,
    /// When everything was last delivered, monotonic milliseconds.
    pub reached_ms: AtomicU64,
    /// Readings of a boot that never got a date: a time-series store cannot have them.
    pub undated: AtomicU64,
    /// Values that are older than what the store keeps.
    pub too_old: AtomicU64,
    /// Messages or values that are refused for good, or are too large.
    pub set_aside: AtomicU64,
    /// The last of them, in words.
    pub last_set_aside: Mutex<String>,
    /// Why it is not connected, in words.
    pub error: Mutex<String>,
    /// What the other side cannot do that was wanted, and what follows, in words.
    pub limits: Mutex<String>,
    /// Topics or series that the other side refuses now, and which, in words.
    pub refused: AtomicU64,
    /// Which.
    pub refused_what: Mutex<String>,
    /// Whether another client of the same id takes the connection again and again.
    pub clashes: AtomicBool,
}

impl SinkHealth {
    /// A copy of a text.
    pub fn text(of: &Mutex<String>) -> String {
        of.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many topics or series the other side refuses now, and which.
    pub fn refuses(&self, (count, which): (u64, String)) {
        self.refused.store(count, std::sync::atomic::Ordering::Relaxed);
        Self::tell(&self.refused_what, which);
    }

    /// Sets a text.
    pub fn tell(of: &Mutex<String>, text: impl Into<String>) {
        *of.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }
}

/// The current state of everything that is retained: topic below the site -> JSON. Sent first at every connect and at each
/// change, never queued behind telemetry.
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
