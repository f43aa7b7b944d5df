//! Delivery of pages: renders notifications, passes them to channels, and returns outcomes and replies to the on-call rules.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::app::shared::{ChannelHealth, QueuedNotification, Shared};
use crate::app::step;
use crate::channel::{self, InboundReply};
use crate::clock::LogLimit;
use crate::http::files::LoadedFiles;
use crate::model::actor::{Actor, Proof, Via};
use crate::model::command::{Command, Operation, PageReply, Reply};
use crate::model::effects::AddressedNotification;
use crate::model::notification::{ARRIVE, DeliveryOutcome, Notification};
use crate::model::priority::Priority;
use crate::model::room::Input;
use crate::oncall::answers;

/// Deliveries of a channel at a time; the on-call rules send no more.
const AT_ONCE: usize = 2;
/// Notifications queued per channel; the on-call rules send no more.
const QUEUE: usize = 8;
/// Replies queued per channel.
const ANSWERS: usize = 64;
/// Time that deliveries in flight have at shutdown.
const FINISH: Duration = Duration::from_secs(3);
/// Reports the outcome of an attempt to the rules.
async fn report_outcome(shared: &Shared, attempt: u64, outcome: DeliveryOutcome) {
    let _nothing_is_refused = step::step_and_commit(shared, Input::Delivery { attempt, outcome: &outcome }).await;
}

/// Runs a channel: sends notifications and receives replies until `stop`; deliveries in flight then have `FINISH`.
pub async fn run(
    shared: Arc<Shared>,
    (settings, files, health): (channel::kinds::ChannelSettings, LoadedFiles, Arc<ChannelHealth>),
    queued: Arc<Mutex<mpsc::Receiver<QueuedNotification>>>,
    stop: CancellationToken,
) {
    let channel = settings.open(&files);
    let mut queued = queued.lock().await;
    let last = shared.engine().oncall().last_answer(settings.id()).map(ToString::to_string);
    let (reply_sender, mut answers) = mpsc::channel::<InboundReply>(ANSWERS);
    let kept = reply_sender.clone();
    // A reply beyond the capacity is dropped; the next page requests it again.
    let on_reply: channel::ReplyHandler = Arc::new(move |said| drop(reply_sender.try_send(said)));
    let notifications = futures_util::stream::poll_fn(|context| queued.poll_recv(context)).take_until(stop.cancelled());
    let delivering = notifications.for_each_concurrent(AT_ONCE, |(attempt, notification)| {
        let (shared, channel, files, health) = (&shared, &channel, &files, &health);
        async move {
            let began = shared.clock.mono_us();
            let outcome = channel.send(&notification, shared.clock.wall()).await;
            health.timings.observe_us(shared.clock.real_us_since(began));
            let count = match &outcome {
                DeliveryOutcome::Accepted => &health.accepted,
                DeliveryOutcome::RetryLater { .. } => &health.retried,
                DeliveryOutcome::Rejected { .. } => &health.rejected,
                DeliveryOutcome::Unknown { .. } => &health.unknown,
            };
            count.fetch_add(1, Ordering::Relaxed);
            let is_accepted = outcome == DeliveryOutcome::Accepted;
            report_outcome(shared, attempt, outcome).await;
            if !is_accepted {
                // A secret or a certificate may have been mended or renewed since.
                files.refresh().await;
            }
        }
    });
    let answering = async {
        // Keeps the queue open, so that this waits for ever on a channel without replies.
        let _open = kept;
        while let Some(said) = answers.recv().await {
            handle_reply(&shared, settings.id(), said).await;
        }
    };
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(FINISH).await;
    };
    tokio::select! {
        () = delivering => {}
        () = late => {}
        () = channel.listen(last, on_reply) => {}
        () = answering => {}
    }
}

/// Reports notifications that could not be queued to the on-call rules.
pub async fn report_returned(
    shared: Arc<Shared>,
    returned: Arc<Mutex<mpsc::Receiver<(u64, DeliveryOutcome)>>>,
    stop: CancellationToken,
) {
    let mut returned = returned.lock().await;
    let going = async {
        while let Some((attempt, outcome)) = returned.recv().await {
            report_outcome(&shared, attempt, outcome).await;
        }
    };
    tokio::select! {
        () = going => {}
        () = stop.cancelled() => {}
    }
}

/// Delivery id of a message that belongs to no page; its outcome is ignored.
const NO_PAGE: u64 = u64::MAX;

/// Anyone may publish to a reply topic or text the modem, as often as they like.
static LOG: LogLimit = LogLimit::new();

/// Processes a reply, or a change of a channel's ability to receive them.
async fn handle_reply(shared: &Shared, channel: &str, reply: InboundReply) {
    let button = || Actor::paged("", Via::Button(channel.to_string()), Proof::PageToken);
    let message = || Actor::paged("", Via::Message(channel.to_string()), Proof::PagedContact);
    let (page, is_there, actor, id) = match reply {
        InboundReply::Listening(says) => return shared.adapters.reply_ways.set(channel, says),
        InboundReply::Token { text, id } => {
            let (token, verb) = text.split_once(' ').unwrap_or((&text, ""));
            (shared.rules.tokens.page(token), verb.trim() == ARRIVE, button(), Some(id))
        }
        InboundReply::Text { from, text } => {
            let said = answers::parse_reply(&text);
            let page = said.and_then(|said| shared.engine().oncall().find_answered_page(channel, &from, said));
            if page.is_none() {
                return not_understood(shared, channel, from, &text);
            }
            (page, said.is_some_and(|said| said.is_on_site), message(), None)
        }
    };
    let Some(page) = page else {
        if let Some(count) = LOG.allows(&format!("nothing {channel}")) {
            tracing::warn!(channel, count, "an answer to nothing that was sent, or to what is over");
        }
        return;
    };
    let reply = if is_there { Reply::Arrive } else { Reply::Acknowledge };
    let read = id.map(|id| (channel.to_string(), id));
    let reply = PageReply { needs_confirmation: true, read_up_to: read, ..PageReply::new(page, reply) };
    let command = Command { actor, note: String::new(), operation: Operation::Reply(reply) };
    match step::step_and_commit(shared, Input::Command(&command)).await {
        Ok(()) => tracing::info!(channel, page, "a page is answered"),
        Err(why) => tracing::info!(channel, page, why = why.text.en, "an answer that changes nothing"),
    }
}

/// Answers a short message that matched no alarm, if its sender is a configured person; at most once a minute.
fn not_understood(shared: &Shared, channel: &str, from: String, text: &str) {
    let Some(count) = LOG.allows(&format!("no answer {channel} {from}")) else { return };
    tracing::info!(channel, from = masked(&from), count, "a message that answers nothing");
    let short = shared.engine().oncall().not_understood(channel, &from, text);
    let Some(short) = short else { return };
    let notification = Notification {
        id: String::new(),
        address: from,
        title: short.clone(),
        body: String::new(),
        summary: short,
        priority: Priority::P3,
        requires_ack: false,
        token: None,
        link: None,
        buttons: Vec::new(),
        payload: serde_json::Value::Null,
    };
    shared.enqueue(vec![AddressedNotification { channel: channel.into(), attempt: NO_PAGE, notification }]);
}

/// Masks a telephone number except for its last three digits.
pub fn masked(number: &str) -> String {
    let tail: String = number.chars().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect();
    if number.contains('@') { number.to_string() } else { format!("***{tail}") }
}

pub fn queue() -> (mpsc::Sender<QueuedNotification>, Arc<Mutex<mpsc::Receiver<QueuedNotification>>>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (sender, Arc::new(Mutex::new(receiver)))
}
