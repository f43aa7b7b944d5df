//! Whether replies of people can be received: reply topics of push services, modems, MQTT commands.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::channel::kinds::ChannelSettings;
use crate::clock::LogLimit;
use crate::lock::lock;

/// A way for answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyReceiver {
    /// A channel's id, or `mqtt` and the sink's name.
    pub name: String,
    /// Why nothing can be heard there; empty: it can.
    pub failed: String,
    /// How people answer instead; empty where it works.
    pub instead: String,
}

/// Why each receiver that ever reported fails; none: it works.
#[derive(Debug, Default)]
pub struct ReplyReceivers(Mutex<BTreeMap<String, Option<String>>>);

impl ReplyReceivers {
    /// Records the state of a receiver; a change is logged.
    pub fn set<E: std::error::Error>(&self, name: &str, says: Result<(), E>) {
        let failed = says.err().map(|why| why.to_string());
        let before = lock(&self.0).insert(name.to_string(), failed.clone());
        match (before, failed) {
            (Some(Some(_)), None) => {
                if let Some(count) = LOG.allows(&format!("heard {name}")) {
                    tracing::info!(name, count, "answers can be heard again");
                }
            }
            (Some(Some(_)), Some(_)) | (_, None) => {}
            (_, Some(why)) => {
                if let Some(count) = LOG.allows(name) {
                    tracing::warn!(name, why, count, "answers cannot be heard: tried again");
                }
            }
        }
    }

    /// Every receiver of these channels and sinks with its state, and the alternative while it fails; `has_link`: whether pages carry
    /// a link.
    pub fn list(&self, channels: &[ChannelSettings], sinks: &[String], has_link: bool) -> Vec<ReplyReceiver> {
        let said = lock(&self.0).clone();
        let is_there = |name: &str| sinks.iter().any(|s| s == name) || channels.iter().any(|c| c.id() == name);
        let failed = |name: &str| said.get(name).is_some_and(Option::is_some);
        let sms = channels.iter().find(|c| c.has_coded_replies() && !failed(c.id()));
        let of = |(name, failed): (&String, &Option<String>)| {
            let failed = failed.clone().unwrap_or_default();
            let instead = match sms {
                _ if failed.is_empty() => String::new(),
                _ if has_link => "the link in the message".to_string(),
                Some(sms) => format!("a short message ({})", sms.id()),
                None => "`plantroom ack` on the box".to_string(),
            };
            ReplyReceiver { name: name.clone(), failed, instead }
        };
        said.iter().filter(|(name, _)| is_there(name)).map(of).collect()
    }
}

static LOG: LogLimit = LogLimit::new();

/// The name under which a sink's MQTT commands are listed.
pub fn of_sink(name: &str) -> String {
    format!("mqtt {name}")
}
