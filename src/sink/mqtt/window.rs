//! The window of messages in flight: acknowledged in any order, removed from the front only, so that the cursor never passes a message that
//! is not done. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::journal::cursor::Position;
use crate::journal::tail::JournalEntry;
use crate::sink::mqtt::event::MqttMessage;

/// What a message in the window stands for.
#[derive(Clone, Debug)]
pub enum PayloadRef {
    /// A reading, or a part of one.
    Reading {
        entry: Arc<JournalEntry>,
        /// Number of the part, from 1, and number of parts.
        part: (usize, usize),
        /// Position of the cursor when this message is done; `None` if other parts follow.
        position: Option<Position>,
    },
    State {
        /// The topic, relative to `<prefix>/<site>/`.
        subtopic: String,
        /// Whether the payload is empty, which clears the retained message.
        clears: bool,
    },
    /// A dead letter that is sent again: its index among those.
    DeadLetter(usize),
}

impl PayloadRef {
    /// A description; the same message has the same one on another connection.
    pub fn name(&self) -> String {
        match self {
            PayloadRef::Reading { entry, part: (_, 1), .. } => {
                format!("{} number {}", entry.reading.stream.device, entry.seq)
            }
            PayloadRef::Reading { entry, part: (part, parts), .. } => {
                format!("{} number {} part {part} of {parts}", entry.reading.stream.device, entry.seq)
            }
            PayloadRef::State { subtopic: below, .. } => format!("the state {below}"),
            PayloadRef::DeadLetter(n) => format!("message {} of those that were set aside", n + 1),
        }
    }
}

/// One message in the window.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Identifies the message in this window; never reused.
    pub id: u64,
    /// MQTT packet id, once it was sent.
    pub packet: Option<u16>,
    pub payload_ref: PayloadRef,
    /// The message, kept for a retry.
    pub message: MqttMessage,
    /// How often the broker rejected it, without "quota exceeded".
    pub refusals: u32,
    /// When it was sent, monotonic microseconds.
    pub sent_us: u64,
    /// Whether it waits and is not to be sent now.
    pub is_held: bool,
    acked: bool,
    /// Whether the broker has it; otherwise it became a dead letter.
    delivered: bool,
}

#[derive(Debug, Default)]
pub struct InflightWindow {
    queue: VecDeque<Pending>,
    /// Ids of messages queued in rumqttc that have no packet id yet, in the order in which they will get one.
    queued_ids: VecDeque<u64>,
    next_id: u64,
}

impl InflightWindow {
    /// Number of messages in the window, including acknowledged ones behind one that is not.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether the window has no message.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Number of messages queued or sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.queued_ids.len() + self.queue.iter().filter(|p| p.packet.is_some() && !p.acked).count()
    }

    /// Messages that wait and are not to be sent now.
    pub fn held(&self) -> impl Iterator<Item = &Pending> {
        self.queue.iter().filter(|p| p.is_held)
    }

    /// Adds a message that was queued in rumqttc.
    pub fn push(&mut self, load: PayloadRef, message: MqttMessage) {
        self.queued_ids.push_back(self.next_id);
        self.insert(load, message, false);
    }

    /// Adds a message that waits; returns its id.
    pub fn push_held(&mut self, load: PayloadRef, message: MqttMessage) -> u64 {
        self.insert(load, message, true)
    }

    fn insert(&mut self, load: PayloadRef, message: MqttMessage, held: bool) -> u64 {
        let id = self.next_id;
        self.queue.push_back(Pending {
            id,
            packet: None,
            payload_ref: load,
            message,
            refusals: 0,
            sent_us: 0,
            is_held: held,
            acked: false,
            delivered: false,
        });
        self.next_id += 1;
        id
    }

    /// A message of the window was queued in rumqttc again. It keeps its position, so that the cursor does not pass it.
    pub fn requeued(&mut self, id: u64) {
        self.queued_ids.push_back(id);
        self.queue.iter_mut().filter(|p| p.id == id).for_each(|p| p.is_held = false);
    }

    /// The message that was queued first was sent with this packet id.
    pub fn sent(&mut self, packet: u16, now_us: u64) {
        let Some(id) = self.queued_ids.pop_front() else { return };
        if let Some(pending) = self.queue.iter_mut().find(|p| p.id == id) {
            (pending.packet, pending.sent_us) = (Some(packet), now_us);
        }
    }

    /// QoS 0: the message that was queued first was sent and counts as delivered.
    pub fn sent_without_ack(&mut self) -> (u64, Option<Position>) {
        let id = self.queued_ids.pop_front();
        id.map_or((0, None), |id| self.complete(id))
    }

    /// The broker rejected a packet; returns the message. `counts`: whether this adds to its `refusals`.
    pub fn record_rejection(&mut self, packet: u16, is_counted: bool) -> Option<Pending> {
        let pending = self.queue.iter_mut().find(|p| p.packet == Some(packet) && !p.acked)?;
        pending.refusals += u32::from(is_counted);
        Some(pending.clone())
    }

    /// Frees the packet id of a rejected message, which is then sent again or held.
    pub fn release(&mut self, packet: u16, held: bool) {
        if let Some(pending) = self.queue.iter_mut().find(|p| p.packet == Some(packet) && !p.acked) {
            (pending.packet, pending.is_held) = (None, held);
        }
    }

    /// The unacknowledged message with a packet id.
    pub fn find(&self, packet: u16) -> Option<&Pending> {
        self.queue.iter().find(|p| p.packet == Some(packet) && !p.acked)
    }

    /// The message with an id, if it is not done.
    pub fn get(&self, id: u64) -> Option<&Pending> {
        self.queue.iter().find(|p| p.id == id && !p.acked)
    }

    /// Id of the message that was queued first and has not been sent.
    pub fn first_queued(&self) -> Option<u64> {
        self.queued_ids.front().copied()
    }

    /// The oldest message that was sent and is not acknowledged.
    pub fn oldest_sent(&self) -> Option<&Pending> {
        self.queue.iter().find(|p| p.packet.is_some() && !p.acked)
    }

    /// The oldest reading in the window.
    pub fn oldest(&self) -> Option<&JournalEntry> {
        self.queue
            .iter()
            .find_map(|p| if let PayloadRef::Reading { entry, .. } = &p.payload_ref { Some(&**entry) } else { None })
    }

    /// A packet is acknowledged. Returns how many delivered messages left the window, and the position to which the cursor may move.
    pub fn done(&mut self, packet: u16) -> (u64, Option<Position>) {
        let id = self.find(packet).map(|p| p.id);
        id.map_or((0, None), |id| self.complete(id))
    }

    /// A message is delivered; returns as `done`.
    pub fn complete(&mut self, id: u64) -> (u64, Option<Position>) {
        self.end(id, true)
    }

    /// A message became a dead letter; returns as `done`.
    pub fn complete_as_dead_letter(&mut self, id: u64) -> (u64, Option<Position>) {
        self.end(id, false)
    }

    fn end(&mut self, id: u64, delivered: bool) -> (u64, Option<Position>) {
        for pending in self.queue.iter_mut().filter(|p| p.id == id) {
            (pending.acked, pending.is_held, pending.delivered) = (true, false, delivered);
        }
        let (mut count, mut reached) = (0, None);
        while self.queue.front().is_some_and(|p| p.acked) {
            let Some(front) = self.queue.pop_front() else { break };
            count += u64::from(front.delivered);
            if let PayloadRef::Reading { position: Some(position), .. } = front.payload_ref {
                reached = Some(position);
            }
        }
        (count, reached)
    }

    /// The connection has ended: empties the window.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.queued_ids.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quality::Cause;
    use crate::model::reading::{Body, Reading, Stamp};
    use crate::model::stream::Stream;
    use crate::model::time::{MonotonicMillis, UnixMillis};

    fn load(seq: u64) -> PayloadRef {
        let stream = Stream::new("d", "s".into(), 0, vec![]);
        let at = Stamp { mono: MonotonicMillis(0), wall: UnixMillis(0), trusted: true };
        let entry = Arc::new(JournalEntry { seq, reading: Reading { stream, at, body: Body::Failed(Cause::Timeout) } });
        PayloadRef::Reading { entry, part: (1, 1), position: Some(Position::at(seq)) }
    }

    fn message() -> MqttMessage {
        MqttMessage { topic: "t".into(), retain: false, payload: "p".into() }
    }

    #[test]
    fn the_cursor_moves_only_over_an_unbroken_front() {
        let mut window = InflightWindow::default();
        (1..=3).for_each(|seq| window.push(load(seq), message()));
        (11..=13).for_each(|packet| window.sent(packet, 0));
        assert_eq!(window.done(12), (0, None), "1 is still on the way");
        assert_eq!((window.len(), window.in_flight()), (3, 2));
        assert_eq!(window.done(11), (2, Some(Position::at(2))));
        assert_eq!(window.done(11), (0, None), "twice counts once");
        assert_eq!(window.done(13), (1, Some(Position::at(3))));
    }

    #[test]
    fn a_refused_message_holds_the_cursor_until_it_is_taken() {
        let mut window = InflightWindow::default();
        (1..=2).for_each(|seq| window.push(load(seq), message()));
        (11..=12).for_each(|packet| window.sent(packet, 0));
        let refused = window.record_rejection(11, true).unwrap();
        assert_eq!(refused.refusals, 1);
        window.release(11, false);
        assert_eq!(window.done(12), (0, None));
        assert_eq!(window.in_flight(), 0, "it waits to be sent again");
        window.requeued(refused.id);
        window.sent(13, 0);
        assert_eq!(window.done(13), (2, Some(Position::at(2))));
    }

    #[test]
    fn what_is_held_keeps_its_place_and_takes_no_room() {
        let mut window = InflightWindow::default();
        (1..=3).for_each(|seq| window.push(load(seq), message()));
        (11..=13).for_each(|packet| window.sent(packet, 0));
        window.release(11, true);
        window.push_held(load(4), message());
        assert_eq!((window.in_flight(), window.held().count()), (2, 2));
        assert_eq!((window.done(12), window.done(13)), ((0, None), (0, None)), "the cursor does not pass it");
        let held: Vec<u64> = window.held().map(|p| p.id).collect();
        assert_eq!(window.complete(held[0]), (3, Some(Position::at(3))));
        window.requeued(held[1]);
        window.sent(21, 5);
        assert_eq!(window.oldest_sent().map(|p| p.sent_us), Some(5));
        assert_eq!(window.done(21), (1, Some(Position::at(4))));
    }

    #[test]
    fn without_acknowledgements_what_went_out_is_done() {
        let mut window = InflightWindow::default();
        (1..=2).for_each(|seq| window.push(load(seq), message()));
        assert_eq!(window.sent_without_ack(), (1, Some(Position::at(1))));
        assert_eq!(window.sent_without_ack(), (1, Some(Position::at(2))));
        assert_eq!(window.sent_without_ack(), (0, None));
    }
}
