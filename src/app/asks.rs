//! Questions of rules about the past: read by a thread of its own, one at a time; the answer is an input of the engine.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::app::outbox;
use crate::app::shared::Shared;
use crate::clock::LogLimit;
use crate::model::history::{Answer, Ask, NoAnswer};
use crate::model::room::Input;

/// Questions that wait at most. One beyond that gets no answer, which is never a proof: its room asks again.
pub const QUEUE: usize = 256;

static LOG: LogLimit = LogLimit::new();

/// Queues questions; one beyond [`QUEUE`] gets no answer, which is logged.
pub fn put(queue: &mpsc::Sender<Ask>, asks: Vec<Ask>) {
    for ask in asks {
        let (room, id) = (ask.room, ask.id);
        if queue.try_send(ask).is_err()
            && let Some(count) = LOG.allows(room)
        {
            tracing::warn!(room, id, count, "too many questions about the past: one is not answered");
        }
    }
}

/// Answers questions until `stop`.
pub async fn run(shared: Arc<Shared>, queue: Arc<Mutex<mpsc::Receiver<Ask>>>, stop: CancellationToken) {
    let mut queue = queue.lock().await;
    loop {
        let ask = tokio::select! {
            () = stop.cancelled() => return,
            ask = queue.recv() => ask,
        };
        let Some(ask) = ask else { return };
        let journal = shared.journal.clone();
        let (room, id) = (ask.room, ask.id);
        let read = tokio::task::spawn_blocking(move || journal.answer(&ask)).await;
        let answer = read.unwrap_or_else(|_| {
            let reason = "reading the history panicked".to_string();
            Answer { room, id, outcome: Err(NoAnswer { reason }) }
        });
        let _nothing_is_refused = outbox::step_and_commit(&shared, Input::Answer(&answer)).await;
    }
}
