//! Handles rejected messages: they are sent again, held for their topic's quota, or become dead letters with the broker's reason.

use std::sync::atomic::Ordering;

use crate::sink::SinkHealth;
use crate::sink::dead_letters::DeadLetter;
use crate::sink::mqtt::client::Refused;
use crate::sink::mqtt::window::{PayloadRef, Pending};
use crate::sink::mqtt::{LOG, MqttSink, Outgoing};

/// Rejections of a message after which it becomes a dead letter.
const REFUSALS_MAX: u32 = 3;

/// A message in the window that is rejected for good.
pub(super) struct Refusing {
    /// Its id in the window.
    pub id: u64,
    pub said: String,
    pub why: Why,
}

/// The cause of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The broker rejected this message, or (`ends`) closed the connection because of it.
    Message { ends: bool },
    /// The topic counts as rejected.
    Topic,
    /// It exceeds the maximum packet size. A part of a reading is seen again on each connection until the other parts are delivered.
    Size,
}

impl MqttSink {
    /// The broker rejected a message: the third rejection makes it a dead letter, before that it is sent again. Over quota its topic waits.
    pub(super) fn refused(&mut self, packet: u16, refused: &Refused) {
        let Some(pending) = self.window.refused(packet, !refused.quota) else { return };
        if refused.quota {
            self.topics.over_quota(&pending.message.topic, &refused.reason, self.c.clock.mono_us());
            self.window.release(packet, true);
            return self.show_topics();
        }
        if pending.refusals >= REFUSALS_MAX {
            let (id, said) =
                (pending.id, format!("refused {REFUSALS_MAX} times, the last time with {}", refused.reason));
            return self.refusing.push(Refusing { id, said, why: Why::Message { ends: false } });
        }
        self.window.release(packet, false);
        self.once_more(pending);
    }

    /// Counts and logs a dead letter.
    pub(super) fn was_set_aside(&self, what: &str) {
        self.c.health.set_aside.fetch_add(1, Ordering::Relaxed);
        SinkHealth::tell(&self.c.health.last_set_aside, what);
        let sink = &self.c.settings.name;
        if let Some(count) = LOG.allows(&format!("aside {sink}")) {
            tracing::error!(
                sink,
                what,
                count,
                "a message was set aside: `plantroom set-aside` lists those that are kept"
            );
        }
    }

    pub(super) fn show_topics(&self) {
        self.c.health.refuses(self.topics.list());
    }

    /// The broker accepted a message: updates its topic and the trial.
    pub(super) fn taken(&mut self, id: u64) {
        let Some(pending) = self.window.get(id) else { return };
        self.trial.taken(matches!(pending.load, PayloadRef::Reading { .. }));
        let topic = pending.message.topic.clone();
        if self.topics.taken(&topic) {
            // Messages that waited for the quota are sent, in order.
            let held: Vec<Pending> = self.window.held().filter(|p| p.message.topic == topic).cloned().collect();
            held.into_iter().rev().for_each(|p| self.once_more(p));
            self.show_topics();
        }
        if self.trial.is_proven() {
            self.refuse_suspended();
        }
    }

    /// Rejects the suspended messages, since the broker accepted another one.
    pub(super) fn refuse_suspended(&mut self) {
        let is_meant =
            |p: &&Pending| self.trial.is_suspended(&p.load.name()) && !self.refusing.iter().any(|r| r.id == p.id);
        let refusing =
            |p: &Pending| Refusing { id: p.id, said: self.said_last.clone(), why: Why::Message { ends: true } };
        let refusing: Vec<Refusing> = self.window.held().filter(is_meant).map(refusing).collect();
        self.refusing.extend(refusing);
    }

    /// Queues a message of the window before all others.
    pub(super) fn once_more(&mut self, pending: Pending) {
        self.queue.push_front(Outgoing { message: pending.message, load: pending.load, again: Some(pending.id) });
    }

    /// Rejects the topics that were over quota for too long (`is_full`: all topics over quota) and the messages that wait for them.
    pub(super) fn give_up(&mut self, is_full: bool) {
        for (topic, said) in self.topics.give_up(is_full, self.c.clock.mono_us()) {
            let held: Vec<u64> = self.window.held().filter(|p| p.message.topic == topic).map(|p| p.id).collect();
            for id in held {
                self.refusing.push(Refusing { id, said: format!("over quota: {said}"), why: Why::Topic });
            }
            self.show_topics();
        }
    }

    /// Writes rejected messages to the dead letters, and only then lets the cursor pass them. Returns whether there was any.
    pub(super) async fn set_aside(&mut self) -> bool {
        let refusing = std::mem::take(&mut self.refusing);
        if refusing.is_empty() {
            return false;
        }
        let at = self.c.clock.wall().rfc3339();
        let (mut records, mut done) = (Vec::new(), Vec::new());
        for refusing in refusing {
            let Some(pending) = self.window.get(refusing.id).cloned() else { continue };
            let (name, topic) = (pending.load.name(), pending.message.topic.clone());
            let is_reading = matches!(pending.load, PayloadRef::Reading { .. });
            if refusing.why == Why::Size && is_reading && !self.is_first_too_large(name.clone()) {
                // It is stored and counted already.
                done.push(refusing.id);
                continue;
            }
            match &pending.load {
                PayloadRef::State { below, .. } => drop(self.states_refused.insert(below.clone())),
                PayloadRef::Reading { .. } | PayloadRef::Aside(_) => records.push(DeadLetter {
                    at: at.clone(),
                    topic: topic.clone(),
                    what: pending.message.payload.clone(),
                    said: refusing.said.clone(),
                }),
            }
            let at_once = matches!(pending.load, PayloadRef::State { .. });
            if let Why::Message { ends } = refusing.why {
                self.topics.refused(&topic, &refusing.said, (ends, at_once), self.c.clock.mono_us());
            }
            self.trial.judged(&name);
            self.was_set_aside(&format!("{name}: {}", refusing.said));
            done.push(refusing.id);
        }
        if !records.is_empty() {
            let (aside, clock) = (self.c.dead_letters.clone(), self.c.clock.clone());
            let now = clock.trusted().then(|| clock.wall());
            // A slow disk must not block the runtime thread.
            let kept = tokio::task::spawn_blocking(move || aside.keep(&records, now)).await;
            if let Ok(Err(error)) = kept {
                tracing::error!(sink = self.c.settings.name, %error, "what was set aside cannot be kept");
            }
        }
        for id in done {
            self.forget(id, false);
            let (count, reached) = self.window.set_aside(id);
            self.moved(count, reached);
        }
        self.show_topics();
        true
    }
}
