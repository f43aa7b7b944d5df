//! Handles rejected messages: they are sent again, held for their topic's quota, or become dead letters with the broker's reason.

use std::sync::atomic::Ordering;

use crate::sink::SinkHealth;
use crate::sink::dead_letters::DeadLetter;
use crate::sink::mqtt::event::Refused;
use crate::sink::mqtt::window::{PayloadRef, Pending};
use crate::sink::mqtt::{LOG, MqttSink, Outgoing};

/// Rejections of a message after which it becomes a dead letter.
const REFUSALS_MAX: u32 = 3;

/// A message in the window that is rejected for good.
pub(super) struct PendingRejection {
    /// Its id in the window.
    pub id: u64,
    pub reason: String,
    pub cause: RejectionCause,
}

/// The cause of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectionCause {
    /// The broker rejected this message, or (`ends`) closed the connection because of it.
    Message { ends: bool },
    /// The topic counts as rejected.
    Topic,
    /// It exceeds the maximum packet size. A part of a reading is seen again on each connection until the other parts are delivered.
    Size,
}

impl MqttSink {
    /// The broker rejected a message: the third rejection makes it a dead letter, before that it is sent again. Over quota its topic waits.
    pub(super) fn handle_rejection(&mut self, packet: u16, refused: &Refused) {
        let Some(pending) = self.window.record_rejection(packet, !refused.is_quota_exceeded) else { return };
        if refused.is_quota_exceeded {
            self.topics.record_over_quota(&pending.message.topic, &refused.reason, self.context.clock.mono_us());
            self.window.release(packet, true);
            return self.publish_rejected_topics();
        }
        if pending.refusals >= REFUSALS_MAX {
            let (id, said) =
                (pending.id, format!("refused {REFUSALS_MAX} times, the last time with {}", refused.reason));
            return self.pending_rejections.push(PendingRejection {
                id,
                reason: said,
                cause: RejectionCause::Message { ends: false },
            });
        }
        self.window.release(packet, false);
        self.requeue(pending);
    }

    /// Counts and logs a dead letter.
    pub(super) fn report_dead_letter(&self, what: &str) {
        self.context.health.dead_lettered.fetch_add(1, Ordering::Relaxed);
        SinkHealth::set_text(&self.context.health.last_dead_letter, what);
        let sink = &self.context.settings.name;
        if let Some(count) = LOG.allows(&format!("aside {sink}")) {
            tracing::error!(
                sink,
                what,
                count,
                "a message was set aside: `plantroom set-aside` lists those that are kept"
            );
        }
    }

    pub(super) fn publish_rejected_topics(&self) {
        self.context.health.set_rejected(self.topics.list());
    }

    /// The broker accepted a message: updates its topic and the trial.
    pub(super) fn record_accepted(&mut self, id: u64) {
        let Some(pending) = self.window.get(id) else { return };
        self.trial.record_accepted(matches!(pending.payload_ref, PayloadRef::Reading { .. }));
        let topic = pending.message.topic.clone();
        if self.topics.record_accepted(&topic) {
            // Messages that waited for the quota are sent, in order.
            let held: Vec<Pending> = self.window.held().filter(|p| p.message.topic == topic).cloned().collect();
            held.into_iter().rev().for_each(|p| self.requeue(p));
            self.publish_rejected_topics();
        }
        if self.trial.is_proven() {
            self.reject_suspended();
        }
    }

    /// Rejects the suspended messages, since the broker accepted another one.
    pub(super) fn reject_suspended(&mut self) {
        let is_meant = |p: &&Pending| {
            self.trial.is_suspended(&p.payload_ref.name()) && !self.pending_rejections.iter().any(|r| r.id == p.id)
        };
        let refusing = |p: &Pending| PendingRejection {
            id: p.id,
            reason: self.last_reason.clone(),
            cause: RejectionCause::Message { ends: true },
        };
        let refusing: Vec<PendingRejection> = self.window.held().filter(is_meant).map(refusing).collect();
        self.pending_rejections.extend(refusing);
    }

    /// Queues a message of the window before all others.
    pub(super) fn requeue(&mut self, pending: Pending) {
        self.queue.push_front(Outgoing {
            message: pending.message,
            payload_ref: pending.payload_ref,
            window_id: Some(pending.id),
        });
    }

    /// Rejects the topics that were over quota for too long (`is_full`: all topics over quota) and the messages that wait for them.
    pub(super) fn give_up(&mut self, is_full: bool) {
        for (topic, said) in self.topics.give_up(is_full, self.context.clock.mono_us()) {
            let held: Vec<u64> = self.window.held().filter(|p| p.message.topic == topic).map(|p| p.id).collect();
            for id in held {
                self.pending_rejections.push(PendingRejection {
                    id,
                    reason: format!("over quota: {said}"),
                    cause: RejectionCause::Topic,
                });
            }
            self.publish_rejected_topics();
        }
    }

    /// Writes rejected messages to the dead letters, and only then lets the cursor pass them. Returns whether there was any.
    pub(super) async fn write_dead_letters(&mut self) -> bool {
        let refusing = std::mem::take(&mut self.pending_rejections);
        if refusing.is_empty() {
            return false;
        }
        let at = self.context.clock.wall().rfc3339();
        let (mut records, mut done) = (Vec::new(), Vec::new());
        for refusing in refusing {
            let Some(pending) = self.window.get(refusing.id).cloned() else { continue };
            let (name, topic) = (pending.payload_ref.name(), pending.message.topic.clone());
            let is_reading = matches!(pending.payload_ref, PayloadRef::Reading { .. });
            if refusing.cause == RejectionCause::Size && is_reading && !self.is_first_too_large(name.clone()) {
                // It is stored and counted already.
                done.push(refusing.id);
                continue;
            }
            match &pending.payload_ref {
                PayloadRef::State { subtopic: below, .. } => drop(self.rejected_states.insert(below.clone())),
                PayloadRef::Reading { .. } | PayloadRef::DeadLetter(_) => records.push(DeadLetter {
                    at: at.clone(),
                    topic: topic.clone(),
                    payload: pending.message.payload.clone(),
                    reason: refusing.reason.clone(),
                }),
            }
            let at_once = matches!(pending.payload_ref, PayloadRef::State { .. });
            if let RejectionCause::Message { ends } = refusing.cause {
                self.topics.record_rejected(&topic, &refusing.reason, (ends, at_once), self.context.clock.mono_us());
            }
            self.trial.remove(&name);
            self.report_dead_letter(&format!("{name}: {}", refusing.reason));
            done.push(refusing.id);
        }
        if !records.is_empty() {
            let (dead_letters, clock) = (self.context.dead_letters.clone(), self.context.clock.clone());
            let now = clock.is_trusted().then(|| clock.wall());
            // A slow disk must not block the runtime thread.
            let kept = tokio::task::spawn_blocking(move || dead_letters.add(&records, now)).await;
            if let Ok(Err(error)) = kept {
                tracing::error!(sink = self.context.settings.name, %error, "what was set aside cannot be kept");
            }
        }
        for id in done {
            self.forget(id, false);
            let (count, reached) = self.window.complete_as_dead_letter(id);
            self.advance_cursor(count, reached);
        }
        self.publish_rejected_topics();
        true
    }
}
