//! What is on the way to the broker: a window of messages in order, acknowledged in any order, done from the front. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::journal::cursor::Position;
use crate::journal::tail::Entry;
use crate::sink::mqtt::client::Message;

/// Why a message was sent.
#[derive(Clone, Debug)]
pub enum Load {
    /// A reading: when it is done, the cursor stands at the position.
    Reading {
        /// The reading.
        entry: Arc<Entry>,
        /// Where its reader stands afterwards.
        position: Position,
    },
    /// A retained state: its topic below the site, and whether this clears it.
    State {
        /// Topic below the site.
        below: String,
        /// An empty message.
        clears: bool,
    },
}

/// One message on the way.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its place in this window, for sending it again.
    pub id: u64,
    /// Its packet id, once it went out.
    pub packet: Option<u16>,
    /// What it is.
    pub load: Load,
    /// What was sent, in case it has to be sent again.
    pub message: Message,
    /// Times it was refused.
    pub refusals: u32,
    acked: bool,
}

/// The window.
#[derive(Debug, Default)]
pub struct Window {
    queue: VecDeque<Pending>,
    /// Messages handed over that have no packet id yet, in the order in which they will get one.
    handed: VecDeque<u64>,
    next_id: u64,
}

impl Window {
    /// Messages on the way.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is on the way.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A message was handed over.
    pub fn push(&mut self, load: Load, message: Message) {
        self.queue.push_back(Pending { id: self.next_id, packet: None, load, message, refusals: 0, acked: false });
        self.handed.push_back(self.next_id);
        self.next_id += 1;
    }

    /// A message that was refused was handed over again: it keeps its place, so that the cursor does not pass it.
    pub fn again(&mut self, id: u64) {
        self.handed.push_back(id);
    }

    /// The message that was handed over first went out with this packet id.
    pub fn sent(&mut self, packet: u16) {
        let Some(id) = self.handed.pop_front() else { return };
        if let Some(pending) = self.queue.iter_mut().find(|p| p.id == id) {
            pending.packet = Some(packet);
        }
    }

    /// The broker refused a packet: how often it has now been refused.
    pub fn refused(&mut self, packet: u16, counts: bool) -> Option<Pending> {
        let pending = self.queue.iter_mut().find(|p| p.packet == Some(packet) && !p.acked)?;
        pending.refusals += u32::from(counts);
        let copy = pending.clone();
        Some(copy)
    }

    /// A refused packet is to be sent again: its packet id is free.
    pub fn release(&mut self, packet: u16) {
        if let Some(pending) = self.queue.iter_mut().find(|p| p.packet == Some(packet) && !p.acked) {
            pending.packet = None;
        }
    }

    /// The message of a packet that is not acknowledged yet.
    pub fn find(&self, packet: u16) -> Option<&Pending> {
        self.queue.iter().find(|p| p.packet == Some(packet) && !p.acked)
    }

    /// The oldest reading on the way.
    pub fn oldest(&self) -> Option<&Entry> {
        self.queue.iter().find_map(|p| if let Load::Reading { entry, .. } = &p.load { Some(&**entry) } else { None })
    }

    /// A packet is done. Returns how many messages were done by that, and the position that the cursor may move to.
    pub fn done(&mut self, packet: u16) -> (u64, Option<Position>) {
        if let Some(pending) = self.queue.iter_mut().find(|p| p.packet == Some(packet) && !p.acked) {
            pending.acked = true;
        }
        let (mut count, mut reached) = (0, None);
        while self.queue.front().is_some_and(|p| p.acked) {
            let Some(front) = self.queue.pop_front() else { break };
            count += 1;
            if let Load::Reading { position, .. } = front.load {
                reached = Some(position);
            }
        }
        (count, reached)
    }

    /// The connection is gone: nothing on the way counts.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.handed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::point::Stream;
    use crate::model::quality::Cause;
    use crate::model::reading::{Body, Reading, Stamp};
    use crate::model::time::{Mono, Wall};

    fn load(seq: u64) -> Load {
        let stream = Arc::new(Stream { device: "d".into(), source: "s".into(), every_ms: 0, points: vec![] });
        let at = Stamp { mono: Mono(0), wall: Wall(0), trusted: true };
        let entry = Arc::new(Entry { seq, reading: Reading { stream, at, body: Body::Failed(Cause::Timeout) } });
        Load::Reading { entry, position: Position::at(seq) }
    }

    fn message() -> Message {
        Message { topic: "t".into(), retain: false, payload: "p".into() }
    }

    #[test]
    fn the_cursor_moves_only_over_an_unbroken_front() {
        let mut window = Window::default();
        (1..=3).for_each(|seq| window.push(load(seq), message()));
        (11..=13).for_each(|packet| window.sent(packet));
        assert_eq!(window.done(12), (0, None), "1 is still on the way");
        assert_eq!(window.done(11), (2, Some(Position::at(2))));
        assert_eq!(window.done(11), (0, None), "twice counts once");
        assert_eq!(window.done(13), (1, Some(Position::at(3))));
    }

    #[test]
    fn a_refused_message_holds_the_cursor_until_it_is_taken() {
        let mut window = Window::default();
        (1..=2).for_each(|seq| window.push(load(seq), message()));
        (11..=12).for_each(|packet| window.sent(packet));
        let refused = window.refused(11, true).unwrap();
        assert_eq!(refused.refusals, 1);
        window.release(11);
        assert_eq!(window.done(12), (0, None));
        window.again(refused.id);
        window.sent(13);
        assert_eq!(window.done(13), (2, Some(Position::at(2))));
    }
}
