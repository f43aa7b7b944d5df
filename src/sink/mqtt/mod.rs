//! MQTT: rumqttc carries, the journal is its outbox.
//!
//! At most W messages are on the way (W = inflight = capacity of rumqttc's channel); the cursor moves when the broker
//! acknowledges; on any error the window starts again from the oldest reading that is not acknowledged. What arrives twice
//! bears the same `seq`. Order is promised per device: after dropping numbers not above the last one seen, the rest rises.

pub mod client;
pub mod commands;
pub mod payload;
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
use crate::journal::fetch::{Cursor, Item};
use crate::sink::mqtt::client::{Connection, Happened, Message, Refused};
use crate::sink::mqtt::settings::Settings;
use crate::sink::mqtt::window::{Load, Window};
use crate::sink::report::Filter;
use crate::sink::{Common, Health, States, file_of};
use crate::store::whole;

static LOG: LogLimit = LogLimit::new();

/// What stands for a topic whose clearing is on its way.
const CLEARING: &str = "(clearing)";
/// How long nothing may be acknowledged while something is on the way.
const STUCK_US: u64 = 30_000_000;
/// Times a message may be refused before it is set aside.
const REFUSALS_MAX: u32 = 3;

/// What the sink needs to know.
#[derive(Clone)]
pub struct Context {
    /// Its settings.
    pub settings: Settings,
    /// The site's id.
    pub site: String,
    /// The outbox.
    pub journal: Journal,
    /// What is retained.
    pub states: States,
    /// The clock.
    pub clock: Clock,
    /// What it shows of itself.
    pub health: Arc<Health>,
    /// Where it remembers which topics it has retained with the broker.
    pub memory: PathBuf,
}

impl Context {
    /// For a broker.
    pub fn new(settings: Settings, common: Common) -> Self {
        let memory = file_of(&common.state_dir, "retained", &settings.name, "txt");
        let Common { site, journal, states, clock, health, .. } = common;
        Self { settings, site, journal, states, clock, health, memory }
    }
}

/// A message that waits for room in the window.
struct Outgoing {
    message: Message,
    load: Load,
    /// Its place in the window, if it was refused before.
    again: Option<u64>,
}

impl Outgoing {
    fn state(below: &str, topic: String, payload: String) -> Self {
        let load = Load::State { below: below.to_string(), clears: payload.is_empty() };
        Self { message: Message { topic, retain: true, payload }, load, again: None }
    }
}

struct Sink {
    c: Context,
    cursor: Option<Cursor>,
    filter: Filter,
    window: Window,
    /// Messages that wait for room in the window.
    queue: VecDeque<Outgoing>,
    /// States as the broker has them.
    told: BTreeMap<String, String>,
    /// Whether states changed since they were last looked at.
    states_differ: bool,
    max_packet: usize,
    connected: bool,
    caught_up_ms: u64,
    /// Over quota: nothing is sent before this moment.
    quiet_until_us: u64,
    /// When the broker last acknowledged something.
    heard_us: u64,
    /// Attempts that failed since the last connection, and when that is said again.
    failures: u64,
    say_again_us: u64,
    /// Everything up to this number is done.
    reached: u64,
    newest: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
}

/// Runs until told to stop; then what is on the way may finish for three seconds.
pub async fn run(c: Context, stop: CancellationToken) {
    let name = cursor_name(&c.settings);
    let position = c.journal.position(&name);
    let mut sink = Sink {
        reached: position.floor,
        cursor: Some(Cursor::new(c.journal.clone(), position)),
        filter: Filter::new(c.settings.report.clone()),
        window: Window::default(),
        queue: VecDeque::new(),
        told: BTreeMap::new(),
        states_differ: true,
        max_packet: c.settings.max_packet_bytes,
        connected: false,
        caught_up_ms: c.clock.mono().0,
        quiet_until_us: 0,
        heard_us: 0,
        failures: 0,
        say_again_us: 0,
        newest: c.journal.newest(),
        changed: c.states.changed(),
        c,
    };
    let mut pause_ms = 0u64;
    while !stop.is_cancelled() {
        let error = sink.connection(&stop).await;
        sink.lost(&error);
        if stop.is_cancelled() {
            return;
        }
        pause_ms = if sink.connected { 250 } else { (pause_ms * 2).clamp(250, 5_000) };
        sink.connected = false;
        let jitter = sink.c.clock.mono_us() % (pause_ms / 2);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(pause_ms * 3 / 4 + jitter)) => {}
        }
    }
}

/// The cursor of a sink in the journal.
pub fn cursor_name(settings: &Settings) -> String {
    format!("mqtt {}", settings.name)
}

impl Sink {
    fn topic(&self, below: &str) -> String {
        format!("{}/{}/{below}", self.c.settings.prefix, self.c.site)
    }

    /// One connection, from connecting to its end. Returns why it ended.
    async fn connection(&mut self, stop: &CancellationToken) -> String {
        let will = Message {
            topic: self.topic("gateway/status"),
            retain: true,
            payload: r#"{"state":"offline","why":"connection lost"}"#.to_string(),
        };
        let client_id = self.c.settings.client_id.clone().unwrap_or_else(|| format!("plantroom-{}", self.c.site));
        let mut connection = match Connection::new(&self.c.settings, &client_id, &will) {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        loop {
            let happened = tokio::select! {
                biased;
                () = stop.cancelled() => return self.leave(connection).await,
                happened = connection.poll() => happened,
                Ok(()) = self.newest.changed(), if self.wants_more() => Ok(Happened::Other),
                () = tokio::time::sleep(Duration::from_secs(1)), if self.connected => Ok(Happened::Other),
                Ok(()) = self.changed.changed(), if self.connected => {
                    self.states_differ = true;
                    Ok(Happened::Other)
                }
            };
            match happened {
                Ok(happened) => self.happened(happened),
                Err(error) => return error,
            }
            if self.connected {
                if self.is_stuck() {
                    return "the broker has acknowledged nothing for 30 s".to_string();
                }
                self.fill(&mut connection).await;
                self.show_lag();
            }
        }
    }

    /// Something is on the way, and nothing has been acknowledged for too long: a message was lost between here and there.
    fn is_stuck(&mut self) -> bool {
        let now = self.c.clock.mono_us();
        if self.window.is_empty() || now < self.quiet_until_us {
            self.heard_us = now;
        }
        now.saturating_sub(self.heard_us) > STUCK_US
    }

    fn wants_more(&self) -> bool {
        self.connected && self.window.len() < usize::from(self.c.settings.inflight.max(1))
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Connected { max_packet } => {
                let most = max_packet.map_or(usize::MAX, |m| m as usize);
                self.max_packet = self.c.settings.max_packet_bytes.min(most);
                self.connected = true;
                self.heard_us = self.c.clock.mono_us();
                self.told = self.remembered();
                self.states_differ = true;
                self.c.health.connected.store(true, Ordering::Relaxed);
                self.c.health.connects.fetch_add(1, Ordering::Relaxed);
                Health::tell(&self.c.health.error, "");
                let failures = std::mem::take(&mut self.failures);
                let (sink, url) = (&self.c.settings.name, &self.c.settings.url);
                if let Some(count) = LOG.allows(&format!("up {sink}")) {
                    tracing::info!(sink, url, failures, count, "broker is connected");
                }
            }
            Happened::Sent(packet) => self.window.sent(packet),
            Happened::Acked(packet, refused) => {
                self.heard_us = self.c.clock.mono_us();
                match refused {
                    None => self.done(packet),
                    Some(refused) => self.refused(packet, &refused),
                }
            }
            // The outbox subscribes to nothing.
            Happened::Heard(_) | Happened::Subscribed(_) | Happened::Other => {}
        }
    }

    fn done(&mut self, packet: u16) {
        if let Some(Load::State { below, clears: true }) = self.window.find(packet).map(|p| p.load.clone()) {
            // Only now is it known to be cleared.
            self.told.remove(&below);
            self.remember();
        }
        let (count, reached) = self.window.done(packet);
        self.c.health.delivered.fetch_add(count, Ordering::Relaxed);
        if let Some(position) = reached {
            self.reached = position.floor;
            self.c.journal.done(&cursor_name(&self.c.settings), position);
        }
    }

    /// The broker refused a message: it is sent again up to three times, then set aside. Over quota it waits a second.
    fn refused(&mut self, packet: u16, refused: &Refused) {
        let Some(pending) = self.window.refused(packet, !refused.quota) else { return };
        if pending.refusals >= REFUSALS_MAX {
            let what = match &pending.load {
                Load::Reading { entry, .. } => format!("{} number {}", entry.reading.stream.device, entry.seq),
                Load::State { below, .. } => format!("the retained state {below}"),
            };
            self.set_aside(&format!("{what}: refused {REFUSALS_MAX} times, the last time with {}", refused.reason));
            return self.done(packet);
        }
        if refused.quota {
            self.quiet_until_us = self.c.clock.mono_us() + 1_000_000;
        }
        self.window.release(packet);
        // It has its place in the window already: it goes before everything that waits for one.
        self.queue.push_front(Outgoing { message: pending.message, load: pending.load, again: Some(pending.id) });
    }

    fn set_aside(&self, why: &str) {
        self.c.health.set_aside.fetch_add(1, Ordering::Relaxed);
        Health::tell(&self.c.health.last_set_aside, why);
        tracing::error!(sink = self.c.settings.name, why, "a message was set aside");
    }

    /// Hands over as much as fits: states that changed first, then readings.
    async fn fill(&mut self, connection: &mut Connection) {
        if std::mem::take(&mut self.states_differ) {
            self.queue_states();
        }
        let most = usize::from(self.c.settings.inflight.max(1));
        loop {
            while self.window.len() < most || self.queue.front().is_some_and(|next| next.again.is_some()) {
                if self.c.clock.mono_us() < self.quiet_until_us {
                    return;
                }
                let Some(next) = self.queue.pop_front() else { break };
                if !connection.try_publish(&next.message) {
                    self.queue.push_front(next);
                    return;
                }
                match next.again {
                    Some(id) => self.window.again(id),
                    None => self.window.push(next.load, next.message),
                }
            }
            if self.window.len() >= most {
                return;
            }
            let items = self.next(most - self.window.len()).await;
            if items.is_empty() {
                return;
            }
            for item in items {
                self.queue_reading(item);
            }
        }
    }

    /// The next readings, from memory where they are; files are read on a thread of their own.
    async fn next(&mut self, max: usize) -> Vec<Item> {
        let Some(mut cursor) = self.cursor.take() else { return Vec::new() };
        if let Some(items) = cursor.live(max) {
            self.cursor = Some(cursor);
            return items;
        }
        let read = tokio::task::spawn_blocking(move || {
            let items = cursor.fetch(max);
            (cursor, items)
        });
        match read.await {
            Ok((cursor, items)) => {
                self.cursor = Some(cursor);
                items
            }
            Err(_) => {
                let position = self.c.journal.position(&cursor_name(&self.c.settings));
                self.cursor = Some(Cursor::new(self.c.journal.clone(), position));
                Vec::new()
            }
        }
    }

    fn queue_reading(&mut self, item: Item) {
        let reading = &item.entry.reading;
        // What was decided has a retained topic of its own.
        let is_status = reading.stream.is_decided();
        let pick = if is_status { None } else { self.filter.pick(reading) };
        let text = || payload::telemetry(item.entry.seq, reading, pick.as_deref());
        let Some(text) = Some(is_status).filter(|s| !s).and_then(|_| text()) else {
            self.c.health.filtered.fetch_add(1, Ordering::Relaxed);
            if self.window.is_empty() && self.queue.is_empty() {
                self.reached = item.position.floor;
                self.c.journal.done(&cursor_name(&self.c.settings), item.position);
            }
            return;
        };
        let topic = self.topic(&format!("{}/telemetry", reading.stream.device));
        if text.len() + topic.len() + 32 > self.max_packet {
            let (device, seq) = (&reading.stream.device, item.entry.seq);
            let (len, most) = (text.len(), self.max_packet);
            return self.set_aside(&format!("{device} number {seq}: {len} bytes, the largest packet is {most}"));
        }
        let load = Load::Reading { entry: Arc::clone(&item.entry), position: item.position };
        let message = Message { topic, retain: false, payload: text };
        self.queue.push_back(Outgoing { message, load, again: None });
    }

    /// Queues, before everything else, the states that the broker does not have as they are now.
    fn queue_states(&mut self) {
        let now = self.c.states.get();
        let mut first = VecDeque::new();
        for (below, json) in &now {
            if self.told.get(below) != Some(json) {
                first.push_back(Outgoing::state(below, self.topic(below), json.clone()));
            }
        }
        let mut told = now.clone();
        for (below, was) in self.told.iter().filter(|(t, _)| !now.contains_key(*t)) {
            if was != CLEARING {
                first.push_back(Outgoing::state(below, self.topic(below), String::new()));
            }
            told.insert(below.clone(), CLEARING.to_string());
        }
        let topics_changed = told.keys().collect::<BTreeSet<_>>() != self.told.keys().collect();
        first.append(&mut self.queue);
        (self.queue, self.told) = (first, told);
        if topics_changed {
            self.remember();
        }
    }

    /// Topics that an earlier run has retained with this broker: cleared if they are no longer configured.
    fn remembered(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(&self.c.memory).unwrap_or_default();
        text.lines().filter(|l| !l.is_empty()).map(|l| (l.to_string(), String::new())).collect()
    }

    fn remember(&self) {
        let text: String = self.told.keys().map(|t| format!("{t}\n")).collect();
        if let Err(error) = whole::replace(&self.c.memory, text.as_bytes()) {
            tracing::warn!(file = %self.c.memory.display(), %error, "cannot remember which topics are retained");
        }
    }

    /// The connection is gone.
    fn lost(&mut self, error: &str) {
        self.window.clear();
        self.queue.clear();
        self.filter.reset();
        let position = self.c.journal.position(&cursor_name(&self.c.settings));
        self.cursor = Some(Cursor::new(self.c.journal.clone(), position));
        let was = self.c.health.connected.swap(false, Ordering::Relaxed);
        Health::tell(&self.c.health.error, error);
        if !error.is_empty() {
            let now = self.c.clock.mono_us();
            self.failures = if was { 1 } else { self.failures + 1 };
            if self.failures == 1 || now >= self.say_again_us {
                // When it begins, and hourly while it lasts.
                self.say_again_us = now + 3_600_000_000;
                let (sink, url, failures) = (&self.c.settings.name, &self.c.settings.url, self.failures);
                if let Some(count) = LOG.allows(&format!("down {sink}")) {
                    tracing::warn!(sink, url, error, failures, count, "broker is not connected");
                }
            }
        }
        self.show_lag();
    }

    fn show_lag(&mut self) {
        let lag = self.c.journal.lag(&Position::at(self.reached), self.c.journal.newest_seq());
        let now = self.c.clock.now();
        // While connected: the age of the oldest reading on the way. While not: since when.
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

    /// Told to stop: what is on the way may finish, then the broker is told that this was on purpose.
    async fn leave(&mut self, mut connection: Connection) -> String {
        if !self.connected {
            return String::new();
        }
        let bye = Message {
            topic: self.topic("gateway/status"),
            retain: true,
            payload: r#"{"state":"offline","why":"stopped"}"#.to_string(),
        };
        let finish = async {
            let mut said = false;
            loop {
                if !said && self.window.len() < usize::from(self.c.settings.inflight.max(1)) {
                    said = connection.try_publish(&bye);
                    if said {
                        let load = Load::State { below: "gateway/status".to_string(), clears: false };
                        self.window.push(load, bye.clone());
                    }
                }
                if said && self.window.is_empty() {
                    connection.disconnect();
                    // Until the connection is closed by that.
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
        String::new()
    }
}
