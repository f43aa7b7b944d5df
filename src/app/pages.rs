//! Delivery of pages: renders notifications, passes them to channels, and returns outcomes and replies to the on-call rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::StreamExt as _;
use ring::hmac;
use ring::rand::SecureRandom as _;
use serde_json::json;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::alarm::alarm_view::{self, AlarmView, DeviceInfo};
use crate::alarm::life::Alarm;
use crate::alarm::resolved_condition::AlarmDefinition;
use crate::app::outbox::device_info;
use crate::app::{Shared, outbox};
use crate::channel::{self, InboundReply};
use crate::clock::LogLimit;
use crate::config::Configuration;
use crate::engine::{Engine, EngineInput};
use crate::model::notification::{ARRIVE, Button, DeliveryOutcome, Notification};
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::text::format_number;
use crate::model::time::Now;
use crate::oncall::page::{OncallCommand, PageItem, PageLogEntry, PageReply, Reply, PageDelivery, code};
use crate::oncall::settings::Language;
use crate::oncall::text::{self, MessageSubject};
use crate::oncall::{OncallOutput, PersistedOncall, answers};
use crate::store::log::{self, Batch, EventRow, Store};

/// The room's name in the event log and the store.
pub const ONCALL: &str = "oncall";
/// Store keys of the on-call state besides incidents, and of the secret of the tokens.
const META: &str = "meta";
const SECRET: &str = "secret";
/// Prefix of the store key of an incident.
const INCIDENT: &str = "incident/";
/// Deliveries of a channel at a time; the on-call rules send no more.
const AT_ONCE: usize = 2;
/// Notifications queued per channel; the on-call rules send no more.
const QUEUE: usize = 8;
/// Replies queued per channel.
const ANSWERS: usize = 64;
/// Time that deliveries in flight have at shutdown.
const FINISH: Duration = Duration::from_secs(3);
/// Bytes of a token's signature: 80 bits cannot be guessed and fit into a short message.
const PROOF: usize = 10;

/// Other alarms named in a message.
const ALSO: usize = 5;

/// A notification with the id of its delivery.
pub type QueuedNotification = (u64, Notification);

/// Creates and verifies tokens: a signed page number, which proves receipt of the page.
pub struct Tokens {
    key: hmac::Key,
}

impl Tokens {
    /// Uses the stored secret, or creates one.
    pub fn open(store: &Store) -> Self {
        let kept = store.load_state(ONCALL).unwrap_or_default().remove(SECRET).filter(|s| s.len() >= 32);
        let secret = kept.unwrap_or_else(|| {
            let mut fresh = vec![0u8; 32];
            if ring::rand::SystemRandom::new().fill(&mut fresh).is_err() {
                tracing::error!("the system has no random numbers: answers through links will not be believed");
            }
            let keep = vec![(ONCALL, SECRET.to_string(), Some(fresh.clone()))];
            // If this commit fails, links sent before the next start become invalid.
            drop(store.commit(Batch { rows: Vec::new(), states: keep }));
            fresh
        });
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    pub fn of(&self, page: u64) -> String {
        let number = page.to_be_bytes();
        let proof = hmac::sign(&self.key, &number);
        let mut bytes: Vec<u8> = number.into_iter().skip_while(|b| *b == 0).collect();
        bytes.extend(&proof.as_ref()[..PROOF]);
        BASE64.encode(bytes)
    }

    /// The page of a token; `None` if its signature is wrong.
    pub fn page(&self, token: &str) -> Option<u64> {
        let bytes = BASE64.decode(token.trim()).ok().filter(|b| (PROOF + 1..=PROOF + 8).contains(&b.len()))?;
        let number = &bytes[..bytes.len() - PROOF];
        let page = number.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        // The comparison takes constant time.
        let right = hmac::sign(&self.key, &page.to_be_bytes());
        let differs =
            right.as_ref()[..PROOF].iter().zip(&bytes[bytes.len() - PROOF..]).fold(0u8, |d, (a, b)| d | (a ^ b));
        (differs == 0).then_some(page)
    }
}

/// Reads the stored on-call state; what is unreadable starts empty.
pub fn stored(store: &Store) -> PersistedOncall {
    read(store.load_state(ONCALL).unwrap_or_else(|error| {
        tracing::error!(error, "pages that were kept cannot be read: they begin anew");
        BTreeMap::new()
    }))
}

/// Reads the on-call state of a store that another process has open; empty if there is none.
pub fn stored_at(path: &Path) -> PersistedOncall {
    read(log::load_state(path, ONCALL).unwrap_or_default())
}

fn read(rows: BTreeMap<String, Vec<u8>>) -> PersistedOncall {
    let mut out = PersistedOncall::default();
    for (key, bytes) in rows {
        let read = if key == META {
            serde_json::from_slice(&bytes).map(|meta| out.meta = meta)
        } else if let Some(alarm) = key.strip_prefix(INCIDENT) {
            serde_json::from_slice(&bytes).map(|kept| drop(out.incidents.insert(alarm.to_string(), kept)))
        } else {
            continue;
        };
        if let Err(error) = read {
            tracing::error!(key, %error, "what was kept of pages cannot be read: it begins anew");
        }
    }
    out
}

/// Adds the effects of an on-call step to a batch of the store.
pub fn add_to_batch(out: &OncallOutput, now: Now, batch: &mut Batch) {
    batch.rows.extend(out.log.iter().map(|entry| row(entry, now)));
    for (key, kept) in &out.changed {
        let bytes = kept.as_ref().and_then(|k| serde_json::to_vec(k).ok());
        batch.states.push((ONCALL, format!("{INCIDENT}{key}"), bytes));
    }
    if let Some(meta) = &out.meta {
        batch.states.push((ONCALL, META.to_string(), serde_json::to_vec(meta).ok()));
    }
}

fn row(entry: &PageLogEntry, now: Now) -> EventRow {
    EventRow {
        id: 0,
        room: ONCALL.to_string(),
        key: entry.key.to_string(),
        event: entry.event.to_string(),
        at: now.wall,
        trusted: now.wall_trusted,
        mono: now.mono,
        body: serde_json::to_string(entry).unwrap_or_default(),
    }
}

/// The texts of an alarm, and its view as published on the retained topic.
pub fn subject(engine: &Engine, configuration: &Configuration, key: &str) -> (MessageSubject, serde_json::Value) {
    let Some((of, alarm)) = engine.alarm(key) else {
        let text = LocalizedText { zh: key.to_string(), en: key.to_string() };
        return (MessageSubject { text, ..MessageSubject::default() }, serde_json::Value::Null);
    };
    let whose = device_info(configuration, &of.device);
    let zone = &configuration.alarms.zone;
    let clock = |format: &str| {
        let since = alarm.since.filter(|m| m.trusted).and_then(|m| jiff::Timestamp::from_millisecond(m.wall.0).ok());
        since.map_or(String::new(), |t| t.to_zoned(zone.clone()).strftime(format).to_string())
    };
    let (text, was) = text_with_values(engine, key, of, alarm, &device_info, &clock("%H:%M"));
    let beside = engine.related_active(key).into_iter().take(ALSO);
    let also = beside.filter_map(|key| {
        let (of, alarm) = engine.alarm(&key)?;
        Some(alarm_view::text(of, alarm, &outbox::device_info(configuration, &of.device)))
    });
    let subject = MessageSubject {
        area: device_info.area.clone(),
        name: device_info.name.clone(),
        text,
        raised_value: was,
        related: also.collect(),
        action: of.action.clone(),
        since: clock("%m-%d %H:%M"),
    };
    (subject, serde_json::to_value(AlarmView::new(of, alarm, &device_info)).unwrap_or_default())
}

/// The alarm's text with its present value, and the value at which it was raised if that differs. Without a present value
/// the text states the time of the value it shows.
fn text_with_values(
    engine: &Engine,
    key: &str,
    of: &AlarmDefinition,
    alarm: &Alarm,
    whose: &DeviceInfo,
    at: &str,
) -> (LocalizedText, LocalizedText) {
    let has_value = of.text.en.contains("{v}");
    let was = alarm.value.map(format_number).filter(|_| has_value);
    if let Some((now, _)) = engine.value_now(key) {
        let was = was.filter(|w| *w != format_number(now)).map(|w| format!("{w} {}", of.unit).trim().to_string());
        let was = was.unwrap_or_default();
        return (alarm_view::text_with(of, alarm, device_info, Some(now)), LocalizedText { zh: was.clone(), en: was });
    }
    let mut text = alarm_view::text(of, alarm, device_info);
    if was.is_some() && !at.is_empty() {
        text = LocalizedText { zh: format!("{}（{at}时）", text.zh), en: format!("{} (at {at})", text.en) };
    }
    (text, LocalizedText::default())
}

/// Renders the notification of a message.
pub fn render_notification(shared: &Shared, engine: &Engine, configuration: &Configuration, send: &PageDelivery) -> Notification {
    let zh = send.language == Language::Zh;
    let (mut subjects, mut objects) = (Vec::new(), Vec::new());
    for about in &send.about {
        let (subject, state) = subject(engine, configuration, &about.key);
        // People read names, not ids.
        let by = engine.oncall().plan().people.get(about.actor.as_str()).map(|p| p.names.in_language(zh).to_string());
        subjects.push((PageItem { actor: by.unwrap_or_else(|| about.actor.clone()), ..about.clone() }, subject));
        objects.push(json!({
            "alarm": about.key, "occurrence": about.occurrence, "page": about.page, "what": about.kind, "state": state,
        }));
    }
    let is_sms =
        |c: &channel::ChannelSettings| c.id() == &*send.channel && matches!(c, channel::ChannelSettings::Sms(_));
    let first = send.about.first();
    // A reply applies to every alarm of the message.
    let requires_ack = send.about.iter().any(|a| a.kind.requires_ack());
    let answerable = send.about.iter().find(|a| a.kind.requires_ack() || (!requires_ack && a.can_arrive));
    let code = answerable.map(|a| code(a.page)).filter(|_| configuration.oncall.channels.iter().any(is_sms));
    let answer = code.map_or(String::new(), |code| text::reply_instructions(code, requires_ack, send.language));
    let message = text::message(&subjects, send.language, send.may_be_duplicate, &answer);
    let token = answerable.map(|a| shared.tokens.of(a.page));
    let url = configuration.oncall.settings.url.trim_end_matches('/');
    let link = token.as_ref().filter(|_| !url.is_empty()).map(|t| format!("{url}/a/{t}"));
    Notification {
        id: format!("page-{}", first.map_or(0, |a| a.page)),
        address: send.to.clone(),
        title: message.title,
        body: message.body,
        summary: message.short,
        priority: send.priority,
        requires_ack,
        buttons: answerable.map(|_| button(!requires_ack, zh)).into_iter().collect(),
        token,
        link,
        payload: objects.into(),
    }
}

fn button(is_there: bool, zh: bool) -> Button {
    let label = match (is_there, zh) {
        (true, true) => "我已到场",
        (true, false) => "I am there",
        (false, true) => "确认收到",
        (false, false) => "Acknowledge",
    };
    Button { label: label.to_string(), reports_arrival: is_there }
}

/// Queues notifications for their channels; one that cannot be queued is reported as a failed delivery.
pub fn enqueue(shared: &Shared, letters: Vec<(Arc<str>, QueuedNotification)>) {
    for (channel, (id, letter)) in letters {
        let sender =
            super::lock(&shared.channels).iter().find(|c| c.settings.id() == &*channel).map(|c| c.notifications.clone());
        let sent = sender
            .ok_or("there is no such channel")
            .and_then(|s| s.try_send((id, render_notification)).map_err(|_| "it takes nothing"));
        if let Err(why) = sent {
            shared.report_undelivered(id, DeliveryOutcome::RetryLater { after_ms: Some(5_000), reason: why.to_string() });
        }
    }
}

/// Passes a command to the on-call rules and dispatches the result.
///
/// # Errors
/// The command was refused; the reason in both languages.
pub async fn send_command(shared: &Shared, command: &OncallCommand) -> Result<(), LocalizedText> {
    outbox::step_and_commit(shared, EngineInput::Oncall(command)).await
}

/// Runs a channel: sends notifications and receives replies until `stop`; deliveries in flight then have `FINISH`.
pub async fn run(
    shared: Arc<Shared>,
    settings: channel::ChannelSettings,
    posts: Arc<Mutex<mpsc::Receiver<QueuedNotification>>>,
    stop: CancellationToken,
) {
    let channel = channel::open(&settings);
    let mut posts = posts.lock().await;
    let last = shared.engine().oncall().last_answer(settings.id()).map(ToString::to_string);
    let (reply_sender, mut answers) = mpsc::channel::<InboundReply>(ANSWERS);
    let kept = reply_sender.clone();
    // A reply beyond the capacity is dropped; the next page requests it again.
    let on_reply: channel::ReplyHandler = Arc::new(move |said| drop(reply_sender.try_send(said)));
    let letters = futures_util::stream::poll_fn(|context| posts.poll_recv(context)).take_until(stop.cancelled());
    let trying = letters.for_each_concurrent(AT_ONCE, |(id, letter)| {
        let (shared, channel) = (&shared, &channel);
        async move {
            let answer = channel.send(&render_notification, shared.clock.wall()).await;
            let _nothing_is_refused = send_command(shared, &OncallCommand::DeliveryFinished { id, outcome: answer }).await;
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
        () = trying => {}
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
        while let Some((id, answer)) = returned.recv().await {
            let _nothing_is_refused = send_command(&shared, &OncallCommand::DeliveryFinished { id, outcome: answer }).await;
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
    let (page, is_there, how, id) = match reply {
        InboundReply::Listening(says) => return shared.reply_ways.set(channel, says),
        InboundReply::Token { text, id } => {
            let (token, verb) = text.split_once(' ').unwrap_or((&text, ""));
            (shared.tokens.page(token), verb.trim() == ARRIVE, "button", Some(id))
        }
        InboundReply::Text { from, text } => {
            let said = answers::parse_reply(&text);
            let page = said.and_then(|said| shared.engine().oncall().find_answered_page(channel, &from, said));
            if page.is_none() {
                return not_understood(shared, channel, from, &text);
            }
            (page, said.is_some_and(|said| said.is_on_site), "message", None)
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
    let reply = PageReply { needs_confirmation: true, read_up_to: read, ..PageReply::new(page, reply, format!("{channel}: {how}")) };
    match send_command(shared, &OncallCommand::Reply(reply)).await {
        Ok(()) => tracing::info!(channel, page, "a page is answered"),
        Err(why) => tracing::info!(channel, page, why = why.en, "an answer that changes nothing"),
    }
}

/// Answers a short message that matched no alarm, if its sender is a configured person; at most once a minute.
fn not_understood(shared: &Shared, channel: &str, from: String, text: &str) {
    let Some(count) = LOG.allows(&format!("no answer {channel} {from}")) else { return };
    tracing::info!(channel, from = masked(&from), count, "a message that answers nothing");
    let short = shared.engine().oncall().not_understood(channel, &from, text);
    let Some(short) = short else { return };
    let letter = Notification {
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
    enqueue(shared, vec![(channel.into(), (NO_PAGE, letter))]);
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
