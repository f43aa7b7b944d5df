//! Commands through a broker. They have a connection of their own, so that they take no room in the outbox's window.
//!
//! Topics: `…/command/acknowledge` and `…/command/arrive`. Payload: `{"alarm": "rule.device", "by": "wang", "note": "…"}`, or
//! `{"token": "…"}` of a page. `…/command/warning/FEED` takes the document of a warning for a feed without an address. The response
//! topic (MQTT 5) gets `{"ok": true}` or `{"error": "…"}`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, LogLimit};
use crate::model::failure::Refusal;
use crate::model::text::{REMARK, one_line};
use crate::sink::SinkHealth;
use crate::sink::command::{CommandContext, CommandRequest};
use crate::sink::error::SinkError;
use crate::sink::mqtt::client::Connection;
use crate::sink::mqtt::event::{Disconnect, DisconnectKind, MqttEvent, MqttMessage, ReceivedMessage};
use crate::sink::mqtt::negotiation::{Accepted, Offers};
use crate::sink::mqtt::reconnect::{Backoff, ConnectionSummary};
use crate::sink::mqtt::settings::MqttSettings;

/// Maximum payload of a command, bytes.
const PAYLOAD_MAX: usize = 4_096;
/// Maximum payload of a warning, bytes; documents of services have up to 60 kB.
const WARNING_MAX: usize = 262_144;

/// Topic of warnings below that of commands, before the name of the feed.
const WARNING: &str = "warning/";

static LOG: LogLimit = LogLimit::new();

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
pub async fn run(settings: MqttSettings, context: CommandContext, stop: CancellationToken) {
    let settings = MqttSettings { client_id: context.client_id.clone().or(settings.client_id.clone()), ..settings };
    let mut pauses = Backoff::default();
    let mut offers = Offers::new(&settings);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = outbox_is_up(&context.outbox_health) => {}
        }
        let mut accepted = None;
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            () = outbox_is_away(&context.outbox_health) => Some(Disconnect::broke("the sink's own connection is down")),
            ended = connection(&settings, &context, &mut offers, &mut accepted) => ended,
        };
        let Some(ended) = ended else { continue };
        match accepted {
            Some(_) => offers.record_disconnect(ended.kind),
            None => offers.record_connect_failure(ended.kind),
        }
        let lasted_ms = accepted.map_or(0, |at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX).max(1));
        let taken_over = ended.kind == DisconnectKind::TakenOver;
        let pause_ms = pauses.next_pause_ms(ConnectionSummary { lasted_ms, has_acked: false, taken_over });
        (context.on_listening)(Err(SinkError::NoAnswer(ended.reason)));
        context.files.refresh().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(clock::spread(Duration::from_millis(pause_ms))) => {}
        }
    }
}

/// Runs one connection to its end and returns why it ended; `None`: the next one makes another offer at once. `accepted` is set to the
/// time at which the broker accepted it.
async fn connection(
    settings: &MqttSettings,
    context: &CommandContext,
    offers: &mut Offers,
    accepted: &mut Option<Instant>,
) -> Option<Disconnect> {
    let site = &context.site;
    let client_id = format!("{}-commands", settings.client_id(site));
    let head = format!("{}/{site}/command/", settings.prefix);
    let responses = format!("{}/{site}/response/", settings.prefix);
    let mut connection = match Connection::without_will((settings, &context.files), offers.now(), &client_id) {
        Ok(connection) => connection,
        Err(error) => return Some(Disconnect::broke(error.to_string())),
    };
    loop {
        match connection.poll().await {
            Ok(MqttEvent::Connected(able)) => {
                if offers.record_accepted(&able) == Accepted::RetryBest {
                    return None;
                }
                connection.limit(offers.now());
                *accepted = Some(Instant::now());
                if !connection.subscribe(&format!("{head}#")) {
                    return Some(Disconnect::broke("cannot subscribe"));
                }
            }
            Ok(MqttEvent::Received(received)) => {
                let Some(command) = received.topic.strip_prefix(&head) else { continue };
                let answer = execute(command, &received, context).await;
                let what = one_line(command, REMARK);
                let payload = match &answer {
                    Ok(()) => "{\"ok\":true}".to_string(),
                    Err(refused) => serde_json::json!({ "error": refused.to_string() }).to_string(),
                };
                // Executed commands are in the event log. Rejected ones may come without end, so logging is rate limited.
                if let Some(count) = LOG.allows(&format!("{} {}", settings.name, answer.is_ok())) {
                    let refused = answer.as_ref().err().map(ToString::to_string);
                    tracing::info!(sink = settings.name, what, refused, count, "a command");
                }
                // A sender must not choose an arbitrary topic for our publication.
                if let Some(topic) = received.response_topic.filter(|t| t.starts_with(&responses)) {
                    let message = MqttMessage { topic, retain: false, payload };
                    connection.respond(&message, received.correlation);
                }
            }
            // The connection stays open if the subscription is rejected.
            Ok(MqttEvent::Subscribed(result)) => {
                (context.on_listening)(result.map_err(|why| SinkError::Rejected(format!("{head}#: {why}"))));
            }
            Ok(_) => {}
            Err(ended) => return Some(ended),
        }
    }
}

async fn execute(command: &str, received: &ReceivedMessage, context: &CommandContext) -> Result<(), Refusal> {
    let most = if command.starts_with(WARNING) { WARNING_MAX } else { PAYLOAD_MAX };
    if received.payload.len() > most {
        return Err(Refusal::bad_input(format!("{} bytes are no command", received.payload.len())));
    }
    if let Some(feed) = command.strip_prefix(WARNING) {
        // A warning says itself how long it holds: one that the broker retained counts until then.
        return (context.on_warning)(feed.to_string(), received.payload.clone()).await;
    }
    let is_there = match command {
        "acknowledge" => false,
        "arrive" => true,
        other => {
            let what =
                format!("there is no command `{}`: acknowledge, arrive or warning/FEED", one_line(other, REMARK));
            return Err(Refusal::bad_input(what));
        }
    };
    if received.retained {
        // A retained message may be arbitrarily old.
        return Err(Refusal::refused("a retained message is no command"));
    }
    let request: CommandRequest = serde_json::from_slice(&received.payload)
        .map_err(|e| Refusal::bad_input(format!("that is no command: {e}")))?;
    if request.token.is_empty() && (request.alarm.is_empty() || request.actor.is_empty()) {
        return Err(Refusal::bad_input("alarm and by are wanted, or a token"));
    }
    (context.handler)(CommandRequest { is_arrival: is_there, ..request }).await
}
