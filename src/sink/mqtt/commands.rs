//! Commands through a broker: a connection of their own, so that nothing of them is in the outbox's window.
//!
//! `…/command/acknowledge` and `…/command/arrive` with `{"alarm": "rule.device", "by": "wang", "note": "…"}`, or `{"token": "…"}` of
//! a page. Answered on the response topic (MQTT 5) with `{"ok": true}` or `{"error": "…"}`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::LogLimit;
use crate::model::text::{REMARK, one_line};
use crate::sink::SinkHealth;
use crate::sink::mqtt::client::{Connection, End, Ended, MqttEvent, MqttMessage, ReceivedMessage};
use crate::sink::mqtt::negotiation::{Accepted, Offers};
use crate::sink::mqtt::reconnect::{Pauses, Was};
use crate::sink::mqtt::settings::MqttSettings;

/// Longest command.
const PAYLOAD_MAX: usize = 4_096;

/// What somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandRequest {
    /// Whether it says that somebody is there; else it acknowledges.
    #[serde(skip)]
    pub is_there: bool,
    /// `rule.device`.
    pub alarm: String,
    /// Who.
    pub by: String,
    /// Why.
    pub note: String,
    /// The token of a page, instead of all that.
    pub token: String,
}

/// Carries a wish out; why not, in words.
pub type CommandHandler =
    Arc<dyn Fn(CommandRequest) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

static LOG: LogLimit = LogLimit::new();

/// Told whether commands can be heard, and why not.
pub type Listening = Arc<dyn Fn(Result<(), String>) + Send + Sync>;

/// What listening needs.
pub struct Hears {
    /// The broker.
    pub settings: MqttSettings,
    /// The site's id.
    pub site: String,
    /// Carries a wish out.
    pub carry: CommandHandler,
    /// Told whether commands can be heard.
    pub listening: Listening,
    /// The sink's own connection: it comes first. A broker may take but so many.
    pub outbox: Arc<SinkHealth>,
}

/// How long the sink's own connection may be away before this one makes room for it.
const ROOM_AFTER: Duration = Duration::from_secs(3);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Returns once the sink's own connection is there.
async fn outbox_is_up(outbox: &SinkHealth) {
    while !outbox.connected.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns once the sink's own connection is away for a while.
async fn outbox_is_away(outbox: &SinkHealth) {
    let mut since = Instant::now();
    while since.elapsed() < ROOM_AFTER {
        tokio::time::sleep(LOOK_EVERY).await;
        if outbox.connected.load(Ordering::Relaxed) {
            since = Instant::now();
        }
    }
}

/// Listens until told to stop.
pub async fn run(hears: Hears, stop: CancellationToken) {
    let mut pauses = Pauses::default();
    let mut offers = Offers::new(&hears.settings);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = outbox_is_up(&hears.outbox) => {}
        }
        let mut accepted = None;
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            () = outbox_is_away(&hears.outbox) => Some(Ended::broke("the sink's own connection is down")),
            ended = connection(&hears, &mut offers, &mut accepted) => ended,
        };
        let Some(ended) = ended else { continue };
        match accepted {
            Some(_) => offers.ended(ended.end),
            None => offers.ended_unheard(ended.end),
        }
        let lasted_ms = accepted.map_or(0, |at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX).max(1));
        let taken_over = ended.end == End::TakenOver;
        let pause_ms = pauses.next(Was { lasted_ms, brought: false, taken_over });
        (hears.listening)(Err(ended.words));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
    }
}

/// One connection, until it breaks: why it ended; none: the next one offers something else, at once. `accepted` is when it was.
async fn connection(hears: &Hears, offers: &mut Offers, accepted: &mut Option<Instant>) -> Option<Ended> {
    let (settings, site) = (&hears.settings, &hears.site);
    let client_id = format!("{}-commands", settings.client_id(site));
    let head = format!("{}/{site}/command/", settings.prefix);
    let responses = format!("{}/{site}/response/", settings.prefix);
    let mut connection = match Connection::without_will(settings, offers.now(), &client_id) {
        Ok(connection) => connection,
        Err(error) => return Some(Ended::broke(error)),
    };
    loop {
        match connection.poll().await {
            Ok(MqttEvent::Connected(able)) => {
                if offers.accepted(&able) == Accepted::TriesBetter {
                    return None;
                }
                connection.limit(offers.now());
                *accepted = Some(Instant::now());
                if !connection.subscribe(&format!("{head}#")) {
                    return Some(Ended::broke("cannot subscribe"));
                }
            }
            Ok(MqttEvent::Heard(said)) => {
                let Some(what) = said.topic.strip_prefix(&head) else { continue };
                let answer = answer(what, &said, &hears.carry).await;
                let what = one_line(what, REMARK);
                let payload = match &answer {
                    Ok(()) => "{\"ok\":true}".to_string(),
                    Err(why) => serde_json::json!({ "error": why }).to_string(),
                };
                // What was carried out is in the log of alarms; what was refused may come without end.
                if let Some(count) = LOG.allows(&format!("{} {}", settings.name, answer.is_ok())) {
                    tracing::info!(sink = settings.name, what, ?answer, count, "a command");
                }
                // Whoever publishes here does not choose what this gateway publishes elsewhere.
                if let Some(topic) = said.response_topic.filter(|t| t.starts_with(&responses)) {
                    let message = MqttMessage { topic, retain: false, payload };
                    connection.respond(&message, said.correlation);
                }
            }
            // A broker that refuses the subscription keeps the connection: it may allow it later.
            Ok(MqttEvent::Subscribed(said)) => (hears.listening)(said.map_err(|why| format!("{head}#: {why}"))),
            Ok(_) => {}
            Err(ended) => return Some(ended),
        }
    }
}

async fn answer(what: &str, said: &ReceivedMessage, carry: &CommandHandler) -> Result<(), String> {
    let is_there = match what {
        "acknowledge" => false,
        "arrive" => true,
        other => return Err(format!("there is no command `{}`: acknowledge or arrive", one_line(other, REMARK))),
    };
    if said.retained {
        // It may be of last year.
        return Err("a retained message is no command".to_string());
    }
    if said.payload.len() > PAYLOAD_MAX {
        return Err(format!("{} bytes are no command", said.payload.len()));
    }
    let wish: CommandRequest = serde_json::from_slice(&said.payload).map_err(|e| format!("that is no command: {e}"))?;
    if wish.token.is_empty() && (wish.alarm.is_empty() || wish.by.is_empty()) {
        return Err("alarm and by are wanted, or a token".to_string());
    }
    carry(CommandRequest { is_there, ..wish }).await
}
