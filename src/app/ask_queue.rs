//! The queue of questions about the past, on the side of whoever asks: it never waits.

use std::sync::Mutex;

use tokio::sync::mpsc;

use crate::clock::LogLimit;
use crate::lock::lock;
use crate::model::history::{Answer, Ask, NoAnswer};

/// Questions that wait at most; one beyond that gets the answer that there is none, which is never a proof.
const QUEUE: usize = 256;
/// Answers of that kind that wait at most.
const REFUSED_MAX: usize = 4_096;

static LOG: LogLimit = LogLimit::new();

/// Questions on their way to the history.
#[derive(Debug)]
pub struct AskQueue {
    sender: mpsc::Sender<Ask>,
    /// Answers to questions that found the queue full; whoever answers the queue takes them from here.
    refused: Mutex<Vec<Answer>>,
}

impl AskQueue {
    /// Creates the queue and its receiver.
    pub fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, refused: Mutex::default() }, receiver)
    }

    /// Queues questions without waiting.
    pub fn put(&self, asks: Vec<Ask>) {
        for ask in asks {
            let (room, id) = (ask.room, ask.id);
            if self.sender.try_send(ask).is_ok() {
                continue;
            }
            if let Some(count) = LOG.allows(room) {
                tracing::warn!(room, id, count, "too many questions about the past: one is not answered");
            }
            let mut refused = lock(&self.refused);
            if refused.len() < REFUSED_MAX {
                let reason = format!("{QUEUE} questions wait already");
                refused.push(Answer { room, id, outcome: Err(NoAnswer { reason }) });
            }
        }
    }

    /// Takes the answers to questions that found the queue full.
    pub fn take_refused(&self) -> Vec<Answer> {
        std::mem::take(&mut lock(&self.refused))
    }
}
