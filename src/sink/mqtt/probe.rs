//! Checks a broker: connects, publishes to a test topic and, if commands are configured, subscribes to them.

use std::time::Duration;

use crate::http::files::LoadedFiles;
use crate::sink::error::SinkError;
use crate::sink::kind::SinkKind as _;
use crate::sink::mqtt::client::Connection;
use crate::sink::mqtt::event::{DisconnectKind, MqttEvent, MqttMessage};
use crate::sink::mqtt::negotiation::{Accepted, Offers};
use crate::sink::mqtt::settings::MqttSettings;

/// Timeout of the whole check.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of connections; later ones offer less.
const TRIES: usize = 16;

/// Runs the check: a description and a result for each step.
pub async fn probe(settings: &MqttSettings, site: &str) -> Vec<(String, Result<String, SinkError>)> {
    let mut out = Vec::new();
    if tokio::time::timeout(TIMEOUT, connect(settings, site, &mut out)).await.is_err() {
        out.push(("the broker".to_string(), Err(SinkError::NoAnswer("no answer in time".to_string()))));
    }
    out
}

async fn connect(settings: &MqttSettings, site: &str, out: &mut Vec<(String, Result<String, SinkError>)>) {
    // With the daemon's own client id, each connection would end the other.
    let client_id = format!("{}-check", settings.client_id(site));
    let files = LoadedFiles::load(settings.files()).await;
    let mut offers = Offers::new(settings);
    let mut last = String::new();
    for _ in 0..TRIES {
        let mut connection = match Connection::without_will((settings, &files), offers.now(), &client_id) {
            Ok(connection) => connection,
            Err(why) => return out.push(("connect".to_string(), Err(why))),
        };
        match connection.poll().await {
            Ok(MqttEvent::Connected(able)) if offers.record_accepted(&able) == Accepted::Keep => {
                connection.limit(offers.now());
                let less = offers.unused_features();
                let said = if less.is_empty() { "accepted".to_string() } else { less.join("; ") };
                out.push(("connect".to_string(), Ok(said)));
                return check_publish_and_commands(settings, site, &mut connection, offers.now().is_qos1, out).await;
            }
            Ok(_) => {}
            Err(ended) => {
                let is_away = ended.kind == DisconnectKind::Broke;
                offers.record_connect_failure(ended.kind);
                last = ended.reason;
                if is_away {
                    break;
                }
            }
        }
    }
    out.push(("connect".to_string(), Err(SinkError::NoAnswer(last))));
}

async fn check_publish_and_commands(
    settings: &MqttSettings,
    site: &str,
    connection: &mut Connection,
    is_acked: bool,
    out: &mut Vec<(String, Result<String, SinkError>)>,
) {
    let head = format!("{}/{site}", settings.prefix);
    let topic = format!("{head}/gateway/check");
    connection.try_publish(&MqttMessage { topic: topic.clone(), retain: false, payload: "{}".to_string() });
    let published = loop {
        match connection.poll().await {
            Ok(MqttEvent::Acked(_, None)) => break Ok("acknowledged".to_string()),
            Ok(MqttEvent::Acked(_, Some(refused))) => break Err(SinkError::Rejected(refused.reason)),
            Ok(MqttEvent::Sent(_)) if !is_acked => break Ok("sent, without acknowledgement".to_string()),
            Ok(_) => {}
            Err(ended) => break Err(SinkError::NoAnswer(ended.reason)),
        }
    };
    let is_over = published.is_err();
    out.push((format!("publish to {topic}"), published));
    if !settings.commands || is_over {
        return connection.disconnect();
    }
    let filter = format!("{head}/command/#");
    connection.subscribe(&filter);
    let subscribed = loop {
        match connection.poll().await {
            Ok(MqttEvent::Subscribed(said)) => break said.map(|()| "allowed".to_string()),
            Ok(_) => {}
            Err(ended) => break Err(SinkError::NoAnswer(ended.reason)),
        }
    };
    out.push((format!("subscribe to {filter}"), subscribed));
    connection.disconnect();
}
