//! A generic webhook: posts the notification and its alarms as JSON, with an HMAC-SHA256 signature.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::channel::error::ChannelError;
use crate::channel::{BoxFuture, Channel, ChannelKind, address_problems, hmac, outcome_by_status, send_request};
use crate::channel::{ClientCell, MINUTE_MS, named_files};
use crate::http;
use crate::http::files::{LoadedFiles, NamedFile};
use crate::model::notification::RateLimit;
use crate::model::notification::{DeliveryOutcome, Notification};
use crate::model::settings::SettingsProblem;
use crate::model::text::hex;
use crate::model::time::UnixMillis;

/// A program that is told: `[[channel.webhook]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// The channel's id, unique among channels: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Where it is told.
    pub url: String,
    /// What the message is signed with: header `X-Plantroom-Signature: sha256=…` of `timestamp.body`; better in a file.
    pub secret: Option<String>,
    /// File that holds it.
    pub secret_file: Option<String>,
    /// PEM file with the authorities that are trusted. Default: the system's.
    pub ca_file: Option<String>,
    /// Most messages in a minute. Default: 180, of which 60 may go at once.
    pub per_min: Option<u32>,
}

impl ChannelKind for WebhookSettings {
    fn id(&self) -> &str {
        &self.id
    }

    fn per_min(&self) -> Option<u32> {
        self.per_min
    }

    fn service_limit(&self, _kind: &str) -> RateLimit {
        RateLimit { per_min: 120.0, burst: 60.0, cooldown_ms: MINUTE_MS }
    }

    fn files(&self) -> Vec<NamedFile> {
        named_files(&[("secret_file", &self.secret_file)], self.ca_file.as_ref(), http::is_tls(&self.url))
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        address_problems(&self.url, self.secret.is_some() && self.secret_file.is_some())
    }

    fn open(&self, _kind: &str, files: &LoadedFiles) -> Box<dyn Channel> {
        Box::new(Webhook::new(self.clone(), files.clone()))
    }
}

/// A channel that posts to a webhook.
pub struct Webhook {
    settings: WebhookSettings,
    client: ClientCell,
    files: LoadedFiles,
}

/// The signature header of a body; `at_s` is the timestamp in seconds since 1970, which is signed too.
pub fn sign(secret: &str, at_s: i64, body: &str) -> String {
    let bytes = hmac(secret.as_bytes(), format!("{at_s}.{body}").as_bytes());
    format!("sha256={}", hex(&bytes))
}

impl Webhook {
    /// Opens no connection before the first attempt.
    pub fn new(settings: WebhookSettings, files: LoadedFiles) -> Self {
        Self { settings, client: ClientCell::default(), files }
    }

    async fn try_once(&self, notification: &Notification, now: UnixMillis) -> Result<DeliveryOutcome, ChannelError> {
        let s = &self.settings;
        let client = super::cached_client(&self.client, &s.url, s.ca_file.as_deref(), &self.files)?;
        let secret = self.files.secret(s.secret.as_ref(), s.secret_file.as_ref())?;
        let at_s = now.0.div_euclid(1_000);
        let body = json!({
            "format": 1,
            "id": notification.id,
            "to": notification.address,
            "title": notification.title,
            "body": notification.body,
            "link": notification.link,
            "priority": notification.priority.word(),
            "asks": notification.requires_ack,
            "alarms": notification.payload,
        })
        .to_string();
        let mut request = client
            .post(&s.url)
            .header("content-type", "application/json")
            .header("x-plantroom-id", &notification.id)
            .header("x-plantroom-timestamp", at_s.to_string());
        if let Some(secret) = secret {
            request = request.header("x-plantroom-signature", sign(&secret, at_s, &body));
        }
        Ok(send_request(request.body(body), now).await.map_or_else(|answer| answer, |said| outcome_by_status(&said)))
    }
}

impl Channel for Webhook {
    fn send<'a>(&'a self, notification: &'a Notification, now: UnixMillis) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async move {
            self.try_once(notification, now)
                .await
                .unwrap_or_else(|error| DeliveryOutcome::Rejected { reason: error.to_string() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_says() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            sign("secret", 1_700_000_000, "{}"),
            "sha256=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
        );
    }
}
