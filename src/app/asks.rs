//! Questions of rules about the past: read by a thread of its own, one at a time; the answer is an input of the engine.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::app::shared::Shared;
use crate::app::step;
use crate::model::history::{Answer, Ask, NoAnswer};
use crate::model::room::Input;

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
        let _nothing_is_refused = step::step_and_commit(&shared, Input::Answer(&answer)).await;
        // The queue was full when these were refused: there was a question to answer since.
        for answer in shared.rules.asks.take_refused() {
            let _nothing_is_refused = step::step_and_commit(&shared, Input::Answer(&answer)).await;
        }
    }
}
