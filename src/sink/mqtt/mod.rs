//! MQTT sink on top of rumqttc; the journal is its outbox.
//!
//! At most W messages are in flight (W = `inflight` = capacity of rumqttc's channel). The cursor moves when the broker acknowledges; on any
//! error the window restarts from the oldest reading that is not acknowledged. A message that arrives twice has the same `seq`. Order is
//! guaranteed per device: `seq` rises once a subscriber drops numbers not above the last one seen.
//!
//! A rejected message becomes a dead letter with the broker's reason and the others go on. Three things can be rejected: a message (`trial`
//! finds it where the broker closes the connection without a reason), a topic (`topics`), or a feature of MQTT (`offers`).

pub mod client;
pub mod commands;
pub mod culprit;
pub mod disconnect;
pub mod negotiation;
mod outbox;
pub mod payload;
pub mod probe;
pub mod reconnect;
mod rejection;
pub mod settings;
pub mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, LogLimit};
use crate::journal::Journal;
use crate::journal::cursor::Position;
use crate::journal::fetch::Cursor;
use crate::sink::dead_letters::{DeadLetter, DeadLetters};
use crate::sink::mqtt::client::{Able, Connection, End, Ended, MqttEvent, MqttMessage};
use crate::sink::mqtt::culprit::Trial;
use crate::sink::mqtt::negotiation::{Accepted, Offers};
use crate::sink::mqtt::reconnect::{Pauses, Was};
use crate::sink::mqtt::rejection::Refusing;
use crate::sink::mqtt::settings::MqttSettings;
use crate::sink::mqtt::window::{InflightWindow, PayloadRef};
use crate::sink::refusals::Refusals;
use crate::sink::report::Filter;
use crate::sink::{RetainedTopics, SinkContext, SinkHealth, file_of};

static LOG: LogLimit = LogLimit::new();

/// A connection that lasts this long proves that no other client uses the same id, microseconds.
const GOOD_US: u64 = 60_000_000;

/// Consecutive short connections after which the error text suggests a second client with the same id.
const SHORT_MAX: u32 = 5;

/// Settings and dependencies of an MQTT sink.
#[derive(Clone)]
pub struct Context {
    pub settings: MqttSettings,
    pub site: String,
    pub journal: Journal,
    pub states: RetainedTopics,
    pub clock: Clock,
    /// Written by the sink, read by metrics, health and status.
    pub health: Arc<SinkHealth>,
    /// Messages that the broker rejected for good.
    pub dead_letters: DeadLetters,
    /// File with the topics that are retained on the broker, so that topics no longer configured can be cleared.
    pub memory: PathBuf,
}

impl Context {
    pub fn new(settings: MqttSettings, common: SinkContext) -> Self {
        let memory = file_of(&common.state_dir, "retained", &settings.name, "txt");
        let SinkContext { site, journal, states, clock, health, dead_letters: aside, .. } = common;
        Self { settings, site, journal, states, clock, health, dead_letters: aside, memory }
    }
}

/// A message that waits to be sent.
struct Outgoing {
    message: MqttMessage,
    load: PayloadRef,
    /// Its id in the window, if it is sent again.
    again: Option<u64>,
}

impl Outgoing {
    fn state(below: &str, topic: String, payload: String) -> Self {
        let load = PayloadRef::State { below: below.to_string(), clears: payload.is_empty() };
        Self { message: MqttMessage { topic, retain: true, payload }, load, again: None }
    }
}

struct MqttSink {
    c: Context,
    cursor: Option<Cursor>,
    filter: Filter,
    window: InflightWindow,
    /// Messages to be sent, states first.
    queue: VecDeque<Outgoing>,
    /// Dead letters that are sent again; `None`: done.
    again: Vec<Option<DeadLetter>>,
    refusing: Vec<Refusing>,
    offers: Offers,
    topics: Refusals,
    trial: Trial,
    /// Retained states as sent to the broker on this connection.
    told: BTreeMap<String, String>,
    /// States that the broker rejected.
    states_refused: BTreeSet<String>,
    /// Messages already reported as too large for a packet, so that each is reported once; bounded to a few thousand.
    said_too_large: BTreeSet<String>,
    /// Whether `fill` stopped for time and must continue at once.
    goes_on: bool,
    /// Whether states have changed since they were last queued.
    states_differ: bool,
    max_packet: usize,
    connected: bool,
    /// When the connection was accepted, and whether anything has been acknowledged since.
    accepted_us: u64,
    has_brought: bool,
    /// The reason for the end of the last connection.
    said_last: String,
    caught_up_ms: u64,
    /// Failed attempts since the last connection, and when that is logged again.
    failures: u64,
    say_again_us: u64,
    /// All readings up to this sequence number are done.
    reached: u64,
    newest: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
}

/// Runs until `stop` is cancelled; messages in flight then have three seconds to finish.
pub async fn run(c: Context, stop: CancellationToken) {
    let mut sink = MqttSink::new(c);
    let mut pauses = Pauses::default();
    while !stop.is_cancelled() {
        sink.connected = false;
        let ended = sink.connection(&stop).await;
        if stop.is_cancelled() {
            sink.lost(&Ended::broke(""), 0);
            return;
        }
        let Some(ended) = ended else { continue };
        let lasted_ms =
            if sink.connected { (sink.c.clock.mono_us().saturating_sub(sink.accepted_us) / 1_000).max(1) } else { 0 };
        let taken_over = ended.end == End::TakenOver;
        let pause_ms = pauses.next(Was { lasted_ms, brought: sink.has_brought, taken_over });
        sink.c.health.clashes.store(taken_over && pauses.short() >= 2, Ordering::Relaxed);
        sink.lost(&ended, pauses.short());
        let jitter = sink.c.clock.mono_us() % (pause_ms / 2);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(pause_ms * 3 / 4 + jitter)) => {}
        }
    }
}

/// Name of the sink's cursor in the journal.
pub fn cursor_name(settings: &MqttSettings) -> String {
    format!("mqtt {}", settings.name)
}

impl MqttSink {
    fn new(c: Context) -> Self {
        let position = c.journal.position(&cursor_name(&c.settings));
        Self {
            reached: position.low_watermark,
            cursor: Some(Cursor::new(c.journal.clone(), position)),
            filter: Filter::new(c.settings.report.clone()),
            window: InflightWindow::default(),
            queue: VecDeque::new(),
            again: Vec::new(),
            refusing: Vec::new(),
            offers: Offers::new(&c.settings),
            topics: Refusals::default(),
            trial: Trial::default(),
            told: BTreeMap::new(),
            states_refused: BTreeSet::new(),
            said_too_large: BTreeSet::new(),
            goes_on: false,
            states_differ: true,
            max_packet: c.settings.max_packet_bytes,
            connected: false,
            accepted_us: 0,
            has_brought: false,
            said_last: String::new(),
            caught_up_ms: c.clock.mono().0,
            failures: 0,
            say_again_us: 0,
            newest: c.journal.newest(),
            changed: c.states.changed(),
            c,
        }
    }

    fn topic(&self, below: &str) -> String {
        format!("{}/{}/{below}", self.c.settings.prefix, self.c.site)
    }

    fn bye(&self, why: &str) -> MqttMessage {
        let payload = format!("{{\"state\":\"offline\",\"since\":null,\"why\":\"{why}\"}}");
        MqttMessage { topic: self.topic("gateway/status"), retain: true, payload }
    }

    /// Runs one connection to its end and returns why it ended; `None`: it was stopped, or the next one makes another offer at once.
    async fn connection(&mut self, stop: &CancellationToken) -> Option<Ended> {
        let client_id = self.c.settings.client_id(&self.c.site);
        let will = self.bye("connection lost");
        let mut connection = match Connection::new(&self.c.settings, self.offers.now(), &client_id, &will) {
            Ok(connection) => connection,
            Err(error) => return Some(Ended::broke(error)),
        };
        loop {
            let happened = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.leave(connection).await;
                    return None;
                }
                happened = connection.poll() => happened,
                Ok(()) = self.newest.changed(), if self.wants_more() => Ok(MqttEvent::Other),
                () = std::future::ready(()), if std::mem::take(&mut self.goes_on) => Ok(MqttEvent::Other),
                () = tokio::time::sleep(Duration::from_secs(1)), if self.connected => Ok(MqttEvent::Other),
                Ok(()) = self.changed.changed(), if self.connected => {
                    self.states_differ = true;
                    Ok(MqttEvent::Other)
                }
                () = self.c.dead_letters.notified(), if self.connected => {
                    // Such a request means that the cause has been remedied.
                    self.topics.forget();
                    for below in std::mem::take(&mut self.states_refused) {
                        self.told.remove(&below);
                        self.states_differ = true;
                    }
                    self.queue_again();
                    Ok(MqttEvent::Other)
                }
            };
            match happened {
                Ok(MqttEvent::Connected(able)) => {
                    if self.offers.accepted(&able) == Accepted::TriesBetter {
                        connection.disconnect();
                        // Polling sends the DISCONNECT, until the connection is closed.
                        let close = async { while connection.poll().await.is_ok() {} };
                        let _in_any_case = tokio::time::timeout(Duration::from_secs(1), close).await;
                        return None;
                    }
                    connection.limit(self.offers.now());
                    self.accepted(&able);
                }
                Ok(happened) => self.happened(happened),
                Err(ended) => return Some(ended),
            }
            if self.connected {
                if let Some(stuck) = self.stuck() {
                    return Some(stuck);
                }
                self.fill(&mut connection).await;
                self.show_lag();
            }
        }
    }

    /// Checks whether the oldest message in flight has exceeded `ack_timeout_s`: it was lost, or the broker does not acknowledge it.
    fn stuck(&self) -> Option<Ended> {
        let oldest = self.window.oldest_sent()?;
        let most_s = self.c.settings.ack_timeout_s;
        let is_stuck = self.c.clock.mono_us().saturating_sub(oldest.sent_us) > most_s * 1_000_000;
        let words = || format!("the broker has not acknowledged {} for {most_s} s", oldest.load.name());
        is_stuck.then(|| Ended { end: End::Closed, words: words() })
    }

    fn wants_more(&self) -> bool {
        self.connected && self.window.in_flight() < self.most()
    }

    /// Starts the work on a connection that the broker accepted.
    fn accepted(&mut self, able: &Able) {
        let most = able.max_packet.map_or(usize::MAX, |m| m as usize);
        self.max_packet = self.c.settings.max_packet_bytes.min(most);
        self.connected = true;
        (self.accepted_us, self.has_brought) = (self.c.clock.mono_us(), false);
        self.told = self.remembered();
        self.states_differ = true;
        self.states_refused.clear();
        self.queue_again();
        let health = &self.c.health;
        health.connected.store(true, Ordering::Relaxed);
        health.connects.fetch_add(1, Ordering::Relaxed);
        SinkHealth::tell(&health.error, "");
        let less = self.offers.less_than_wanted().join("; ");
        let (sink, url) = (&self.c.settings.name, &self.c.settings.url);
        if less != SinkHealth::text(&health.limits) {
            tracing::warn!(sink, url, less, "the broker can less than is wanted");
            SinkHealth::tell(&health.limits, less);
        }
        let failures = std::mem::take(&mut self.failures);
        if let Some(count) = LOG.allows(&format!("up {sink}")) {
            tracing::info!(sink, url, failures, count, "broker is connected");
        }
    }

    fn happened(&mut self, happened: MqttEvent) {
        match happened {
            MqttEvent::Sent(packet) if self.offers.now().acked => self.window.sent(packet, self.c.clock.mono_us()),
            MqttEvent::Sent(_) => {
                if let Some(id) = self.window.handed_first() {
                    let (count, reached) = self.window.sent_for_good();
                    self.forget(id, true);
                    self.moved(count, reached);
                }
            }
            MqttEvent::Acked(packet, refused) => {
                let Some(id) = self.window.find(packet).map(|p| p.id) else { return };
                self.has_brought = true;
                match refused {
                    None => {
                        if self.trial.is_alone() || !self.topics.is_empty() {
                            self.taken(id);
                        }
                        self.done(id);
                    }
                    Some(refused) => self.refused(packet, &refused),
                }
            }
            // This connection subscribes to nothing.
            MqttEvent::Connected(_) | MqttEvent::Heard(_) | MqttEvent::Subscribed(_) | MqttEvent::Other => {}
        }
    }

    /// The broker has a message, so the cursor may pass it.
    fn done(&mut self, id: u64) {
        self.forget(id, true);
        let (count, reached) = self.window.done_with(id);
        self.moved(count, reached);
    }

    /// Updates what is kept of a message outside the window, once the broker has it or has rejected it for good.
    fn forget(&mut self, id: u64, is_delivered: bool) {
        match self.window.get(id).map(|p| &p.load) {
            Some(PayloadRef::State { below, clears: true }) if is_delivered => {
                // The topic is forgotten only after the broker has confirmed the clearing.
                self.told.remove(below);
                self.remember();
            }
            Some(PayloadRef::Aside(n)) => {
                if let Some(record) = self.again.get_mut(*n) {
                    *record = None;
                }
                if self.again.iter().all(Option::is_none) {
                    self.again.clear();
                    self.c.dead_letters.sent_again();
                }
            }
            _ => {}
        }
    }

    fn moved(&mut self, count: u64, reached: Option<Position>) {
        self.c.health.delivered.fetch_add(count, Ordering::Relaxed);
        if let Some(position) = reached {
            self.reached = position.low_watermark;
            self.c.journal.ack(&cursor_name(&self.c.settings), position);
        }
    }

    /// Resets the state after a connection ended; `short` is the number of consecutive short connections.
    fn lost(&mut self, ended: &Ended, short: u32) {
        if self.connected {
            self.offers.ended(ended.end);
            // The broker understood us before, so `NotUnderstood` here is a DISCONNECT with a reason that rumqttc does not know.
            if matches!(ended.end, End::Closed | End::NotUnderstood) {
                let oldest = self.window.oldest_sent().map(|p| p.load.name());
                self.trial.ended(oldest, usize::from(self.c.settings.inflight));
            }
        } else {
            self.offers.ended_unheard(ended.end);
        }
        self.window.clear();
        self.queue.clear();
        self.refusing.clear();
        self.topics.reconnected();
        self.show_topics();
        self.filter.reset();
        let position = self.c.journal.position(&cursor_name(&self.c.settings));
        self.cursor = Some(Cursor::new(self.c.journal.clone(), position));
        self.c.health.connected.store(false, Ordering::Relaxed);
        let mut words = ended.words.clone();
        if self.connected && short >= SHORT_MAX && ended.end == End::Closed && !self.trial.is_alone() {
            let id = self.c.settings.client_id(&self.c.site);
            words = format!("{words}; it does so soon after each connect: does another client have the id {id}?");
        }
        self.said_last.clone_from(&ended.words);
        SinkHealth::tell(&self.c.health.error, words.as_str());
        if !words.is_empty() {
            let now = self.c.clock.mono_us();
            self.failures = if self.connected { 1 } else { self.failures + 1 };
            if self.failures == 1 || now >= self.say_again_us {
                // Logged when it begins, and hourly while it lasts.
                self.say_again_us = now + 3_600_000_000;
                let (sink, url, failures) = (&self.c.settings.name, &self.c.settings.url, self.failures);
                if let Some(count) = LOG.allows(&format!("down {sink}")) {
                    tracing::warn!(sink, url, error = words, failures, count, "broker is not connected");
                }
            }
        }
        self.show_lag();
    }

    fn show_lag(&mut self) {
        if self.connected && self.c.clock.mono_us().saturating_sub(self.accepted_us) > GOOD_US {
            self.c.health.clashes.store(false, Ordering::Relaxed);
        }
        let lag = self.c.journal.lag(&Position::at(self.reached), self.c.journal.newest_seq());
        let now = self.c.clock.now();
        // While connected: the age of the oldest reading in flight. Otherwise: the time since the sink was last up to date.
        let age = match self.window.oldest().map(|entry| entry.reading.at) {
            Some(at) if at.mono.0 > 0 => now.mono.since(at.mono),
            Some(at) => u64::try_from(now.wall.0 - at.wall.0).unwrap_or(0),
            None if lag == 0 || self.connected => 0,
            None => now.mono.0.saturating_sub(self.caught_up_ms),
        };
        if self.connected {
            self.caught_up_ms = now.mono.0.saturating_sub(age);
        }
        self.c.health.lag.store(lag, Ordering::Relaxed);
        self.c.health.lag_ms.store(age, Ordering::Relaxed);
    }

    /// Shuts down: publishes the offline state, waits for the messages in flight, and disconnects so that the last will is not published.
    async fn leave(&mut self, mut connection: Connection) {
        if !self.connected {
            return;
        }
        let bye = self.bye("stopped");
        let finish = async {
            let mut said = false;
            loop {
                if !said && self.window.in_flight() < self.most() {
                    said = connection.try_publish(&bye);
                    if said {
                        let load = PayloadRef::State { below: "gateway/status".to_string(), clears: false };
                        self.window.push(load, bye.clone());
                    }
                }
                if said && self.window.in_flight() == 0 {
                    connection.disconnect();
                    // Polling sends the DISCONNECT, until the connection is closed.
                    while connection.poll().await.is_ok() {}
                    return;
                }
                match connection.poll().await {
                    Ok(happened) => self.happened(happened),
                    Err(_) => return,
                }
            }
        };
        let _whatever_is_left_stays_behind_the_cursor = tokio::time::timeout(Duration::from_secs(3), finish).await;
    }
}
