//! SMS through a modem on this box, which works without internet. Replies are polled from the same modem.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};

use crate::channel::MINUTE_MS;
use crate::channel::error::ChannelError;
use crate::channel::error::ModemError;
use crate::channel::modem::Modem;
use crate::channel::pdu;
use crate::channel::{BoxFuture, Channel, ChannelKind, InboundReply, ReplyHandler};
use crate::http::files::LoadedFiles;
use crate::model::notification::RateLimit;
use crate::model::notification::{DeliveryOutcome, Notification};
use crate::model::priority::Priority;
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;

/// Polling interval for received messages.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum duration of the voice call.
const CALL_DURATION: Duration = Duration::from_secs(25);
/// Retry delay after the modem did not respond.
const RETRY_MS: u64 = 30_000;

/// A modem: `[[channel.sms]]`. A contact's `to` is a telephone number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmsSettings {
    /// The channel's id, unique among channels: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Its serial port: `/dev/serial/by-id/…` stays the same over a restart.
    pub port: String,
    /// Its speed; USB modems take any.
    #[serde(default = "usual")]
    pub baud: u32,
    /// Whether a P1 also rings.
    #[serde(default = "yes")]
    pub ring: bool,
    /// Most messages in a minute. Default: 15, of which 5 may go at once.
    pub per_min: Option<u32>,
}

fn usual() -> u32 {
    115_200
}

fn yes() -> bool {
    true
}

impl ChannelKind for SmsSettings {
    fn id(&self) -> &str {
        &self.id
    }

    fn per_min(&self) -> Option<u32> {
        self.per_min
    }

    fn service_limit(&self, _kind: &str) -> RateLimit {
        RateLimit { per_min: 10.0, burst: 5.0, cooldown_ms: MINUTE_MS }
    }

    fn requires_address(&self) -> bool {
        true
    }

    fn address_problem(&self, to: &str) -> Option<(String, &'static str)> {
        let digits = to.chars().filter(char::is_ascii_digit).count();
        let is_number = to.chars().all(|c| c.is_ascii_digit() || "+- ()".contains(c)) && (5..=15).contains(&digits);
        (!is_number).then(|| (format!("`{to}` is no telephone number"), "+8613800001111"))
    }

    fn has_coded_replies(&self) -> bool {
        true
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        if self.port.starts_with('/') {
            return Vec::new();
        }
        vec![("port", format!("`{}` is no serial port", self.port), "/dev/serial/by-id/… or /dev/ttyUSB2")]
    }

    fn open(&self, _kind: &str, _files: &LoadedFiles) -> Box<dyn Channel> {
        Box::new(Sms::new(self.clone()))
    }
}

/// A channel that sends SMS. The mutex serializes sending and polling: a modem executes one command at a time.
pub struct Sms {
    settings: SmsSettings,
    modem: Mutex<Option<Modem>>,
}

impl Sms {
    /// Does not open the port.
    pub fn new(settings: SmsSettings) -> Self {
        Self { settings, modem: Mutex::new(None) }
    }

    async fn send_by_modem(
        &self,
        modem: &mut Modem,
        notification: &Notification,
        message: (&str, usize),
    ) -> DeliveryOutcome {
        match modem.send(message).await {
            Ok(()) => {}
            Err(ModemError::Refused(why)) => return DeliveryOutcome::Rejected { reason: why },
            Err(ModemError::Away(why)) => return DeliveryOutcome::RetryLater { after_ms: Some(RETRY_MS), reason: why },
            Err(ModemError::Silent(why)) => return DeliveryOutcome::Unknown { reason: why },
        }
        if self.settings.ring && notification.requires_ack && notification.priority == Priority::P1 {
            // The message is out: a failed call must not cause it to be sent again.
            if let Err(failure) = modem.call(&notification.address, CALL_DURATION).await {
                tracing::warn!(channel = self.settings.id, ?failure, "the message went out, and no telephone rang");
            }
        }
        DeliveryOutcome::Accepted
    }

    /// Locks the modem and opens its port if it is not open.
    async fn lock_open(&self) -> Result<MutexGuard<'_, Option<Modem>>, ModemError> {
        let mut place = self.modem.lock().await;
        if place.is_none() {
            *place = Some(Modem::open(&self.settings.port, self.settings.baud).await?);
        }
        Ok(place)
    }

    /// Reads the received messages; after an error the port is reopened at the next use.
    async fn inbox(&self) -> Result<Vec<(String, String)>, ModemError> {
        let mut place = self.lock_open().await?;
        let Some(modem) = place.as_mut() else { return Ok(Vec::new()) };
        let inbox = modem.take_messages().await;
        if inbox.is_err() {
            *place = None;
        }
        inbox
    }
}

impl Channel for Sms {
    fn probe(&self) -> BoxFuture<'_, Option<Result<String, ChannelError>>> {
        Box::pin(async move {
            match self.lock_open().await {
                Ok(_) => Some(Ok("the modem answers".to_string())),
                // The running daemon holds the port.
                Err(failure) if failure.to_string().to_lowercase().contains("busy") => None,
                Err(failure) => Some(Err(failure.into())),
            }
        })
    }

    fn send<'a>(&'a self, notification: &'a Notification, _: UnixMillis) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async move {
            // A number that no message can go to stays so: it is refused whether the modem is there or not.
            let (pdu, length) = match pdu::submit(&notification.address, &notification.summary) {
                Ok(message) => message,
                Err(error) => return DeliveryOutcome::Rejected { reason: error.to_string() },
            };
            let mut place = match self.lock_open().await {
                Ok(place) => place,
                Err(ModemError::Away(why) | ModemError::Refused(why) | ModemError::Silent(why)) => {
                    return DeliveryOutcome::RetryLater { after_ms: Some(RETRY_MS), reason: why };
                }
            };
            let Some(modem) = place.as_mut() else {
                return DeliveryOutcome::RetryLater { after_ms: None, reason: String::new() };
            };
            let answer = self.send_by_modem(modem, notification, (&pdu, length)).await;
            if matches!(answer, DeliveryOutcome::Unknown { .. } | DeliveryOutcome::RetryLater { .. }) {
                *place = None;
            }
            answer
        })
    }

    fn listen(&self, _last: Option<String>, handler: ReplyHandler) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let inbox = self.inbox().await;
                handler(InboundReply::Listening(inbox.as_ref().map(drop).map_err(|e| e.clone().into())));
                for (from, text) in inbox.unwrap_or_default() {
                    handler(InboundReply::Text { from, text });
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        })
    }
}
