//! Chooses what is sent next: retries and dead letters, changed states, then readings in the journal's order.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::journal::fetch::{Cursor, JournalItem};
use crate::sink::mqtt::client::Connection;
use crate::sink::mqtt::event::MqttMessage;
use crate::sink::mqtt::payload::{self, ReadingTime};
use crate::sink::mqtt::rejection::{PendingRejection, RejectionCause};
use crate::sink::mqtt::window::PayloadRef;
use crate::sink::mqtt::{MqttSink, Outgoing, cursor_name};
use crate::sink::refusals::Admission;

/// Placeholder for the content of a retained topic whose clearing is in flight.
const CLEARING: &str = "(clearing)";
/// Upper bound of a packet's bytes besides topic and payload.
const OVERHEAD: usize = 16;
/// Longest time for one call of `fill` while messages are rejected, before the connection is polled again, microseconds.
const TURN_US: u64 = 100_000;
/// Maximum number of messages in the window, including those that wait for a topic's quota.
const WINDOW_MAX: usize = 2_000;

impl MqttSink {
    /// How many messages may be in flight.
    pub(super) fn in_flight_max(&self) -> usize {
        if self.trial.is_isolating() { 1 } else { usize::from(self.context.settings.inflight.max(1)) }
    }

    /// Queues as many messages as fit: changed states first, then readings.
    pub(super) async fn fill(&mut self, connection: &mut Connection) {
        let began_us = self.context.clock.mono_us();
        self.retry_topics();
        if std::mem::take(&mut self.states_changed) {
            self.queue_states();
        }
        loop {
            while self.window.in_flight() < self.in_flight_max() && self.window.len() < WINDOW_MAX {
                let Some(next) = self.queue.pop_front() else { break };
                if let Some(next) = self.admit(next)
                    && !self.publish(connection, next)
                {
                    return;
                }
            }
            if self.window.len() >= WINDOW_MAX {
                self.give_up(true);
            }
            if self.write_dead_letters().await {
                // If many messages are rejected, the connection must be polled in between.
                if self.context.clock.mono_us().saturating_sub(began_us) > TURN_US {
                    self.has_more_work = true;
                    return;
                }
                continue;
            }
            if self.window.in_flight() >= self.in_flight_max() || !self.queue.is_empty() {
                return;
            }
            let items = self.next(self.in_flight_max() - self.window.in_flight()).await;
            if items.is_empty() {
                return;
            }
            for item in items {
                self.queue_reading(item);
            }
        }
    }

    /// Returns the message if it may be sent now. Otherwise it is put into the window, where it waits or becomes a dead letter.
    fn admit(&mut self, next: Outgoing) -> Option<Outgoing> {
        let Outgoing { message, payload_ref: load, window_id: None } = next else { return Some(next) };
        let now = self.context.clock.mono_us();
        if message.payload.len() > self.payload_max(&message.topic) {
            let said = self.too_large(message.payload.len(), &message.topic);
            let id = self.window.push_held(load, message);
            self.pending_rejections.push(PendingRejection { id, reason: said, cause: RejectionCause::Size });
            return None;
        }
        if self.trial.is_isolating() && self.trial.is_suspended(&load.name()) {
            let _its_place = self.window.push_held(load, message);
            if self.trial.is_proven() {
                self.reject_suspended();
            }
            return None;
        }
        match self.topics.admission(&message.topic, now) {
            Admission::Send => {}
            Admission::SendAlone => self.trial.isolate(usize::from(self.context.settings.inflight)),
            Admission::Hold => {
                let _its_place = self.window.push_held(load, message);
                return None;
            }
            Admission::Reject(said) => {
                let id = self.window.push_held(load, message);
                self.pending_rejections.push(PendingRejection { id, reason: said, cause: RejectionCause::Topic });
                return None;
            }
        }
        Some(Outgoing { message, payload_ref: load, window_id: None })
    }

    /// Queues a message for sending; `false` if there is no room, and then it is the next one.
    fn publish(&mut self, connection: &Connection, next: Outgoing) -> bool {
        if !connection.try_publish(&next.message) {
            self.queue.push_front(next);
            return false;
        }
        match next.window_id {
            Some(id) => self.window.requeued(id),
            None => self.window.push(next.payload_ref, next.message),
        }
        true
    }

    /// Timed work: retries topics over quota or gives them up, and retries the states of rejected topics.
    fn retry_topics(&mut self) {
        let now = self.context.clock.mono_us();
        for topic in self.topics.due(now) {
            let first = self.window.held().find(|p| p.message.topic == topic).cloned();
            if let Some(held) = first {
                self.requeue(held);
            }
        }
        self.give_up(false);
        let due: Vec<String> =
            self.rejected_states.iter().filter(|b| self.topics.is_due(&self.topic(b), now)).cloned().collect();
        for below in due {
            self.rejected_states.remove(&below);
            self.sent_states.remove(&below);
            self.states_changed = true;
        }
    }

    /// The next readings, from memory if they are there; files are read on a blocking thread.
    async fn next(&mut self, max: usize) -> Vec<JournalItem> {
        let Some(mut cursor) = self.cursor.take() else { return Vec::new() };
        if let Some(items) = cursor.fetch_tail(max) {
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
                let position = self.context.journal.position(&cursor_name(&self.context.settings));
                self.cursor = Some(Cursor::new(self.context.journal.clone(), position));
                Vec::new()
            }
        }
    }

    /// Whether `what` has not been reported as too large yet. The set holds twice as many as the window before it is cleared.
    pub(super) fn is_first_too_large(&mut self, what: String) -> bool {
        if self.reported_oversize.len() >= 2 * WINDOW_MAX {
            self.reported_oversize.clear();
        }
        self.reported_oversize.insert(what)
    }

    /// The reason text for a message that is too large.
    fn too_large(&self, bytes: usize, topic: &str) -> String {
        let (size, most) = (bytes + topic.len() + OVERHEAD, self.max_packet);
        format!("{size} bytes, the largest packet is {most}")
    }

    /// Maximum payload for a topic, bytes.
    fn payload_max(&self, topic: &str) -> usize {
        self.max_packet.saturating_sub(topic.len() + OVERHEAD)
    }

    fn queue_reading(&mut self, item: JournalItem) {
        let reading = &item.entry.reading;
        let topic = self.topic(&format!("{}/telemetry", reading.stream.device));
        // Decided streams (states and alarms) are published on retained topics instead.
        let is_decided = reading.stream.source.is_decided();
        let pick = if is_decided { None } else { self.filter.select(reading) };
        let dated = self.context.journal.date_of(&item.entry);
        let boot = if dated.is_some() { None } else { self.context.journal.boot_id_of(&item.entry) };
        let when = dated.map_or(ReadingTime::SinceBoot(boot.as_deref(), reading.at.mono), ReadingTime::Dated);
        let messages = if is_decided {
            Vec::new()
        } else {
            payload::telemetry(item.entry.seq, reading, when, pick.as_deref(), self.payload_max(&topic))
        };
        if messages.is_empty() {
            self.context.health.filtered.fetch_add(1, Ordering::Relaxed);
            if self.window.is_empty() && self.queue.is_empty() {
                self.reached = item.position.low_watermark;
                self.context.journal.ack(&cursor_name(&self.context.settings), item.position);
            }
            return;
        }
        let parts = messages.len();
        for (n, payload) in (1..).zip(messages) {
            let position = (n == parts).then(|| item.position.clone());
            let load = PayloadRef::Reading { entry: Arc::clone(&item.entry), part: (n, parts), position };
            let message = MqttMessage { topic: topic.clone(), retain: false, payload };
            self.queue.push_back(Outgoing { message, payload_ref: load, window_id: None });
        }
    }

    /// Queues the states that differ from those on the broker, before everything else.
    fn queue_states(&mut self) {
        let now = self.context.retained_topics.get();
        let mut first = VecDeque::new();
        let mut sent_states = now.clone();
        let changed: Vec<_> = now.iter().filter(|(below, json)| self.sent_states.get(*below) != Some(json)).collect();
        for (below, json) in changed {
            let topic = self.topic(below);
            if json.len() > self.payload_max(&topic) {
                let said = self.too_large(json.len(), &topic);
                // Reported once, not at each reconnect.
                if self.is_first_too_large(format!("{below} {}", json.len())) {
                    self.report_dead_letter(&format!("the state {below}: {said}"));
                }
            } else {
                first.push_back(Outgoing::state(below, topic, json.clone()));
            }
        }
        // Removed topics are remembered until the broker has cleared them, across restarts.
        let clears = self.offers.now().retain;
        for (below, was) in self.sent_states.iter().filter(|(t, _)| !now.contains_key(*t)) {
            if was != CLEARING && clears {
                first.push_back(Outgoing::state(below, self.topic(below), String::new()));
            }
            sent_states.insert(below.clone(), if clears { CLEARING.to_string() } else { was.clone() });
        }
        let topics_changed = sent_states.keys().collect::<BTreeSet<_>>() != self.sent_states.keys().collect();
        first.append(&mut self.queue);
        (self.queue, self.sent_states) = (first, sent_states);
        if topics_changed {
            self.context.retained_file.set(self.sent_states.keys());
        }
    }

    /// Queues the dead letters that an operator has asked to send again.
    pub(super) fn queue_dead_letters(&mut self) {
        // A record without a topic is not a message.
        self.resends
            .extend(self.context.dead_letters.take_resend().into_iter().filter(|r| !r.topic.is_empty()).map(Some));
        if self.resends.iter().all(Option::is_none) {
            self.resends.clear();
            return self.context.dead_letters.finish_resend();
        }
        for (n, record) in self.resends.iter().enumerate() {
            let Some(record) = record else { continue };
            let message = MqttMessage { topic: record.topic.clone(), retain: false, payload: record.payload.clone() };
            self.queue.push_back(Outgoing { message, payload_ref: PayloadRef::DeadLetter(n), window_id: None });
        }
    }
}
