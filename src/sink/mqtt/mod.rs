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
pub mod event;
mod kind;
pub mod negotiation;
mod outbox;
pub mod payload;
pub mod probe;
pub mod reconnect;
mod rejection;
mod retained_file;
pub mod settings;
pub mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock, FaultLog, LogLimit};
use crate::http::files::LoadedFiles;
use crate::journal::Journal;
use crate::journal::cursor::Position;
use crate::journal::fetch::Cursor;
use crate::sink::dead_letters::{DeadLetter, DeadLetters};
use crate::sink::mqtt::client::Connection;
use crate::sink::mqtt::culprit::Trial;
use crate::sink::mqtt::event::{BrokerCapabilities, Disconnect, DisconnectKind, MqttEvent, MqttMessage};
use crate::sink::mqtt::negotiation::{Accepted, Offers};
use crate::sink::mqtt::reconnect::{Backoff, ConnectionSummary};
use crate::sink::mqtt::rejection::PendingRejection;
use crate::sink::mqtt::retained_file::RetainedFile;
use crate::sink::mqtt::settings::MqttSettings;
use crate::sink::mqtt::window::{InflightWindow, PayloadRef};
use crate::sink::refusals::Refusals;
use crate::sink::report::Filter;
use crate::sink::{RetainedTopics, SinkContext, SinkHealth, state_file};

static LOG: LogLimit = LogLimit::new();

/// A connection that lasts this long proves that no other client uses the same id, microseconds.
const GOOD_US: u64 = 60_000_000;

/// Consecutive short connections after which the error text suggests a second client with the same id.
const SHORT_MAX: u32 = 5;

/// Settings and dependencies of an MQTT sink.
#[derive(Clone)]
pub struct MqttContext {
    pub settings: MqttSettings,
    pub site: String,
    pub journal: Journal,
    pub retained_topics: RetainedTopics,
    pub clock: Clock,
    /// Written by the sink, read by metrics, health and status.
    pub health: Arc<SinkHealth>,
    /// Messages that the broker rejected for good.
    pub dead_letters: DeadLetters,
    /// What was read of the files that the settings name.
    pub files: LoadedFiles,
    /// The topics that are retained on the broker.
    pub retained_file: RetainedFile,
}

impl MqttContext {
    /// Reads the file of retained topics.
    pub async fn new(settings: MqttSettings, sink_context: SinkContext) -> Self {
        let retained_file = state_file(&sink_context.state_dir, "retained", &settings.name, "txt");
        let retained_file = RetainedFile::load(retained_file).await;
        let SinkContext { site, journal, retained_topics, clock, health, dead_letters, files, .. } = sink_context;
        Self { settings, site, journal, retained_topics, clock, health, dead_letters, files, retained_file }
    }
}

/// A message that waits to be sent.
struct Outgoing {
    message: MqttMessage,
    payload_ref: PayloadRef,
    /// Its id in the window, if it is sent again.
    window_id: Option<u64>,
}

impl Outgoing {
    fn state(below: &str, topic: String, payload: String) -> Self {
        let load = PayloadRef::State { subtopic: below.to_string(), clears: payload.is_empty() };
        Self { message: MqttMessage { topic, retain: true, payload }, payload_ref: load, window_id: None }
    }
}

struct MqttSink {
    context: MqttContext,
    cursor: Option<Cursor>,
    filter: Filter,
    window: InflightWindow,
    /// Messages to be sent, states first.
    queue: VecDeque<Outgoing>,
    /// Dead letters that are sent again; `None`: done.
    resends: Vec<Option<DeadLetter>>,
    pending_rejections: Vec<PendingRejection>,
    offers: Offers,
    topics: Refusals,
    trial: Trial,
    /// Retained states as sent to the broker on this connection.
    sent_states: BTreeMap<String, String>,
    /// States that the broker rejected.
    rejected_states: BTreeSet<String>,
    /// Messages already reported as too large for a packet, so that each is reported once; bounded to a few thousand.
    reported_oversize: BTreeSet<String>,
    /// Whether `fill` stopped for time and must continue at once.
    has_more_work: bool,
    /// Whether states have changed since they were last queued.
    states_changed: bool,
    max_packet: usize,
    connected: bool,
    /// When the connection was accepted, and whether anything has been acknowledged since.
    accepted_us: u64,
    has_acked: bool,
    /// The reason for the end of the last connection.
    last_reason: String,
    caught_up_ms: u64,
    /// Failed attempts since the last connection, and when that is logged again.
    failures: u64,
    fault_log: FaultLog,
    /// All readings up to this sequence number are done.
    reached: u64,
    newest: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
}

/// Runs until `stop` is cancelled; messages in flight then have three seconds to finish.
pub async fn run(context: MqttContext, stop: CancellationToken) {
    let mut sink = MqttSink::new(context);
    let mut pauses = Backoff::default();
    while !stop.is_cancelled() {
        sink.connected = false;
        let ended = sink.connection(&stop).await;
        if stop.is_cancelled() {
            sink.handle_disconnect(&Disconnect::broke(""), 0);
            return;
        }
        let Some(ended) = ended else { continue };
        let lasted_ms = if sink.connected {
            (sink.context.clock.mono_us().saturating_sub(sink.accepted_us) / 1_000).max(1)
        } else {
            0
        };
        let taken_over = ended.kind == DisconnectKind::TakenOver;
        let pause_ms = pauses.next_pause_ms(ConnectionSummary { lasted_ms, has_acked: sink.has_acked, taken_over });
        sink.context
            .health
            .has_client_id_conflict
            .store(taken_over && pauses.short_connections() >= 2, Ordering::Relaxed);
        sink.handle_disconnect(&ended, pauses.short_connections());
        // A password or certificate may have been mended or renewed since.
        sink.context.files.refresh().await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(clock::spread(Duration::from_millis(pause_ms))) => {}
        }
    }
}

/// Name of the sink's cursor in the journal.
pub fn cursor_name(settings: &MqttSettings) -> String {
    format!("mqtt {}", settings.name)
}

impl MqttSink {
    fn new(context: MqttContext) -> Self {
        let position = context.journal.position(&cursor_name(&context.settings));
        Self {
            reached: position.low_watermark,
            cursor: Some(Cursor::new(context.journal.clone(), position)),
            filter: Filter::new(context.settings.report.clone()),
            window: InflightWindow::default(),
            queue: VecDeque::new(),
            resends: Vec::new(),
            pending_rejections: Vec::new(),
            offers: Offers::new(&context.settings),
            topics: Refusals::default(),
            trial: Trial::default(),
            sent_states: BTreeMap::new(),
            rejected_states: BTreeSet::new(),
            reported_oversize: BTreeSet::new(),
            has_more_work: false,
            states_changed: true,
            max_packet: context.settings.max_packet_bytes,
            connected: false,
            accepted_us: 0,
            has_acked: false,
            last_reason: String::new(),
            caught_up_ms: context.clock.mono().0,
            failures: 0,
            fault_log: FaultLog::default(),
            newest: context.journal.watch_newest(),
            changed: context.retained_topics.changed(),
            context,
        }
    }

    fn topic(&self, below: &str) -> String {
        format!("{}/{}/{below}", self.context.settings.prefix, self.context.site)
    }

    fn offline_message(&self, why: &str) -> MqttMessage {
        let payload = format!("{{\"state\":\"offline\",\"since\":null,\"why\":\"{why}\"}}");
        MqttMessage { topic: self.topic("gateway/status"), retain: true, payload }
    }

    /// Runs one connection to its end and returns why it ended; `None`: it was stopped, or the next one makes another offer at once.
    async fn connection(&mut self, stop: &CancellationToken) -> Option<Disconnect> {
        let client_id = self.context.settings.client_id(&self.context.site);
        let will = self.offline_message("connection lost");
        let settings = (&self.context.settings, &self.context.files);
        let mut connection = match Connection::new(settings, self.offers.now(), &client_id, &will) {
            Ok(connection) => connection,
            Err(error) => return Some(Disconnect::broke(error.to_string())),
        };
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.shut_down(connection).await;
                    return None;
                }
                event = connection.poll() => event,
                Ok(()) = self.newest.changed(), if self.has_room() => Ok(MqttEvent::Other),
                () = std::future::ready(()), if std::mem::take(&mut self.has_more_work) => Ok(MqttEvent::Other),
                () = tokio::time::sleep(Duration::from_secs(1)), if self.connected => Ok(MqttEvent::Other),
                Ok(()) = self.changed.changed(), if self.connected => {
                    self.states_changed = true;
                    Ok(MqttEvent::Other)
                }
                () = self.context.dead_letters.notified(), if self.connected => {
                    // Such a request means that the cause has been remedied.
                    self.topics.clear_rejected();
                    for below in std::mem::take(&mut self.rejected_states) {
                        self.sent_states.remove(&below);
                        self.states_changed = true;
                    }
                    self.queue_dead_letters();
                    Ok(MqttEvent::Other)
                }
            };
            match event {
                Ok(MqttEvent::Connected(able)) => {
                    if self.offers.record_accepted(&able) == Accepted::RetryBest {
                        connection.disconnect();
                        // Polling sends the DISCONNECT, until the connection is closed.
                        let close = async { while connection.poll().await.is_ok() {} };
                        let _in_any_case = tokio::time::timeout(Duration::from_secs(1), close).await;
                        return None;
                    }
                    connection.limit(self.offers.now());
                    self.accepted(&able);
                }
                Ok(event) => self.handle_event(event),
                Err(ended) => return Some(ended),
            }
            if self.connected {
                if let Some(stuck) = self.ack_timeout() {
                    return Some(stuck);
                }
                self.fill(&mut connection).await;
                self.show_lag();
            }
        }
    }

    /// Checks whether the oldest message in flight has exceeded `ack_timeout_s`: it was lost, or the broker does not acknowledge it.
    fn ack_timeout(&self) -> Option<Disconnect> {
        let oldest = self.window.oldest_sent()?;
        let most_s = self.context.settings.ack_timeout_s;
        let is_stuck = self.context.clock.mono_us().saturating_sub(oldest.sent_us) > most_s * 1_000_000;
        let words = || format!("the broker has not acknowledged {} for {most_s} s", oldest.payload_ref.name());
        is_stuck.then(|| Disconnect { kind: DisconnectKind::Closed, reason: words() })
    }

    fn has_room(&self) -> bool {
        self.connected && self.window.in_flight() < self.in_flight_max()
    }

    /// Starts the work on a connection that the broker accepted.
    fn accepted(&mut self, able: &BrokerCapabilities) {
        let most = able.max_packet.map_or(usize::MAX, |m| m as usize);
        self.max_packet = self.context.settings.max_packet_bytes.min(most);
        self.connected = true;
        (self.accepted_us, self.has_acked) = (self.context.clock.mono_us(), false);
        self.sent_states = self.context.retained_file.topics();
        self.states_changed = true;
        self.rejected_states.clear();
        self.queue_dead_letters();
        let health = &self.context.health;
        health.connected.store(true, Ordering::Relaxed);
        health.connects.fetch_add(1, Ordering::Relaxed);
        SinkHealth::set_text(&health.error, "");
        let less = self.offers.unused_features().join("; ");
        let (sink, url) = (&self.context.settings.name, &self.context.settings.url);
        if less != SinkHealth::text(&health.limits) {
            tracing::warn!(sink, url, less, "the broker can less than is wanted");
            SinkHealth::set_text(&health.limits, less);
        }
        let failures = std::mem::take(&mut self.failures);
        if let Some(count) = LOG.allows(&format!("up {sink}")) {
            tracing::info!(sink, url, failures, count, "broker is connected");
        }
    }

    fn handle_event(&mut self, event: MqttEvent) {
        match event {
            MqttEvent::Sent(packet) if self.offers.now().is_qos1 => {
                self.window.sent(packet, self.context.clock.mono_us());
            }
            MqttEvent::Sent(_) => {
                if let Some(id) = self.window.first_queued() {
                    let (count, reached) = self.window.sent_without_ack();
                    self.forget(id, true);
                    self.advance_cursor(count, reached);
                }
            }
            MqttEvent::Acked(packet, refused) => {
                let Some((id, sent_us)) = self.window.find(packet).map(|p| (p.id, p.sent_us)) else { return };
                self.context.health.write_timings.observe_us(self.context.clock.real_us_since(sent_us));
                self.has_acked = true;
                match refused {
                    None => {
                        if self.trial.is_isolating() || !self.topics.is_empty() {
                            self.record_accepted(id);
                        }
                        self.done(id);
                    }
                    Some(refused) => self.handle_rejection(packet, &refused),
                }
            }
            // This connection subscribes to nothing.
            MqttEvent::Connected(_) | MqttEvent::Received(_) | MqttEvent::Subscribed(_) | MqttEvent::Other => {}
        }
    }

    /// The broker has a message, so the cursor may pass it.
    fn done(&mut self, id: u64) {
        self.forget(id, true);
        let (count, reached) = self.window.complete(id);
        self.advance_cursor(count, reached);
    }

    /// Updates what is kept of a message outside the window, once the broker has it or has rejected it for good.
    fn forget(&mut self, id: u64, is_delivered: bool) {
        match self.window.get(id).map(|p| &p.payload_ref) {
            Some(PayloadRef::State { subtopic: below, clears: true }) if is_delivered => {
                // The topic is forgotten only after the broker has confirmed the clearing.
                self.sent_states.remove(below);
                self.context.retained_file.set(self.sent_states.keys());
            }
            Some(PayloadRef::DeadLetter(n)) => {
                if let Some(record) = self.resends.get_mut(*n) {
                    *record = None;
                }
                if self.resends.iter().all(Option::is_none) {
                    self.resends.clear();
                    self.context.dead_letters.finish_resend();
                }
            }
            _ => {}
        }
    }

    fn advance_cursor(&mut self, count: u64, reached: Option<Position>) {
        self.context.health.delivered.fetch_add(count, Ordering::Relaxed);
        if let Some(position) = reached {
            self.reached = position.low_watermark;
            self.context.journal.ack(&cursor_name(&self.context.settings), position);
        }
    }

    /// Resets the state after a connection ended; `short` is the number of consecutive short connections.
    fn handle_disconnect(&mut self, ended: &Disconnect, short: u32) {
        if self.connected {
            self.offers.record_disconnect(ended.kind);
            // The broker understood us before, so `NotUnderstood` here is a DISCONNECT with a reason that rumqttc does not know.
            if matches!(ended.kind, DisconnectKind::Closed | DisconnectKind::NotUnderstood) {
                let oldest = self.window.oldest_sent().map(|p| p.payload_ref.name());
                self.trial.record_disconnect(oldest, usize::from(self.context.settings.inflight));
            }
        } else {
            self.offers.record_connect_failure(ended.kind);
        }
        self.window.clear();
        self.queue.clear();
        self.pending_rejections.clear();
        self.topics.reconnected();
        self.publish_rejected_topics();
        self.filter.reset();
        let position = self.context.journal.position(&cursor_name(&self.context.settings));
        self.cursor = Some(Cursor::new(self.context.journal.clone(), position));
        self.context.health.failures.fetch_add(1, Ordering::Relaxed);
        self.context.health.connected.store(false, Ordering::Relaxed);
        let mut words = ended.reason.clone();
        if self.connected && short >= SHORT_MAX && ended.kind == DisconnectKind::Closed && !self.trial.is_isolating() {
            let id = self.context.settings.client_id(&self.context.site);
            words = format!("{words}; it does so soon after each connect: does another client have the id {id}?");
        }
        self.last_reason.clone_from(&ended.reason);
        SinkHealth::set_text(&self.context.health.error, words.as_str());
        if !words.is_empty() {
            let now = self.context.clock.mono_us();
            self.failures = if self.connected { 1 } else { self.failures + 1 };
            if self.fault_log.is_due(self.failures == 1, now) {
                let (sink, url, failures) = (&self.context.settings.name, &self.context.settings.url, self.failures);
                if let Some(count) = LOG.allows(&format!("down {sink}")) {
                    tracing::warn!(sink, url, error = words, failures, count, "broker is not connected");
                }
            }
        }
        self.show_lag();
    }

    fn show_lag(&mut self) {
        if self.connected && self.context.clock.mono_us().saturating_sub(self.accepted_us) > GOOD_US {
            self.context.health.has_client_id_conflict.store(false, Ordering::Relaxed);
        }
        let lag = self.context.journal.lag(&Position::at(self.reached), self.context.journal.newest_seq());
        let now = self.context.clock.now();
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
        self.context.health.lag.store(lag, Ordering::Relaxed);
        self.context.health.lag_ms.store(age, Ordering::Relaxed);
    }

    /// Shuts down: publishes the offline state, waits for the messages in flight, and disconnects so that the last will is not published.
    async fn shut_down(&mut self, mut connection: Connection) {
        if !self.connected {
            return;
        }
        let bye = self.offline_message("stopped");
        let finish = async {
            let mut said = false;
            loop {
                if !said && self.window.in_flight() < self.in_flight_max() {
                    said = connection.try_publish(&bye);
                    if said {
                        let load = PayloadRef::State { subtopic: "gateway/status".to_string(), clears: false };
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
                    Ok(event) => self.handle_event(event),
                    Err(_) => return,
                }
            }
        };
        let _whatever_is_left_stays_behind_the_cursor = tokio::time::timeout(Duration::from_secs(3), finish).await;
    }
}
