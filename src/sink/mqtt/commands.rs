//! Commands through a broker. They have a connection of their own, so that they take no room in the outbox's window.
//!
//! Topics: `…/command/acknowledge` and `…/command/arrive`. Payload: `{"alarm": "rule.device", "by": "wang", "note": "…"}`, or
//! `{"token": "…"}` of a page. The response topic (MQTT 5) gets `{"ok": true}` or `{"error": "…"}`.

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

/// Maximum payload of a command, bytes.
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

/// Executes a command; the error is the reason why it was not executed.
pub type CommandHandler =
    Arc<dyn Fn(CommandRequest) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

static LOG: LogLimit = LogLimit::new();

/// Called with whether commands can be received, or why not.
pub type Listening = Arc<dyn Fn(Result<(), String>) + Send + Sync>;

pub struct Hears {
    pub settings: MqttSettings,
    pub site: String,
    pub carry: CommandHandler,
    /// Called whenever the subscription is made or lost.
    pub listening: Listening,
    /// Health of the sink's own connection, which has precedence: a broker may limit the number of connections.
    pub outbox: Arc<SinkHealth>,
}

/// How long the sink's own connection may be down before this one is closed to make room for it.
const ROOM_AFTER: Duration = Duration::from_secs(3);
/// Polling interval for that.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits until the sink's own connection is up.
async fn outbox_is_up(outbox: &SinkHealth) {
    while !outbox.connected.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until the sink's own connection has been down for `ROOM_AFTER`.
async fn outbox_is_away(outbox: &SinkHealth) {
    let mut since = Instant::now();
    while since.elapsed() < ROOM_AFTER {
        tokio::time::sleep(LOOK_EVERY).await;
        if outbox.connected.load(Ordering::Relaxed) {
            since = Instant::now();
        }
    }
}

/// Receives commands until `stop` is cancelled.
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

/// Runs one connection to its end and returns why it ended; `None`: the next one makes another offer at once. `accepted` is set to the
/// time at which the broker accepted it.
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
                // Executed commands are in the event log. Rejected ones may come without end, so logging is rate limited.
                if let Some(count) = LOG.allows(&format!("{} {}", settings.name, answer.is_ok())) {
                    tracing::info!(sink = settings.name, what, ?answer, count, "a command");
                }
                // A sender must not choose an arbitrary topic for our publication.
                if let Some(topic) = said.response_topic.filter(|t| t.starts_with(&responses)) {
                    let message = MqttMessage { topic, retain: false, payload };
                    connection.respond(&message, said.correlation);
                }
            }
            // The connection stays open if the subscription is rejected.
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
        // A retained message may be arbitrarily old.
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
