//! Notification channels, one file per service.
//!
//! A channel makes one delivery attempt for one `Notification` and returns a `DeliveryOutcome`. It keeps no queue and never retries:
//! rate limits, cooldown, merging, retries, fail-over and escalation are decided by `oncall`.
//! A channel that can receive replies reports them to a `ReplyHandler` while it listens.

pub mod command;
pub mod email;
pub mod error;
pub mod group_webhook;
pub mod kinds;
pub mod modem;
pub mod ntfy;
pub mod pdu;
pub mod sms;
pub mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use reqwest::header::DATE;

use crate::channel::error::ChannelError;
use crate::http;
use crate::http::error::HttpError;
use crate::http::files::{LoadedFiles, NamedFile};
use crate::lock::lock;
use crate::model::notification::{DeliveryOutcome, Notification, RateLimit};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;

/// Cooldowns are multiples of this; DingTalk blocks a robot that exceeds its limit for ten minutes.
const MINUTE_MS: u64 = 60_000;

/// Files of secrets by their keys, and of CA certificates.
fn named_files(secrets: &[(&'static str, &Option<String>)], ca_file: Option<&String>, is_tls: bool) -> Vec<NamedFile> {
    let secrets = secrets.iter().filter_map(|(key, path)| NamedFile::secret(key, path.as_ref()));
    secrets.chain(NamedFile::ca_certificates(ca_file, is_tls)).collect()
}

/// A reply received through a channel, or a change of whether replies can be received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundReply {
    /// Whether replies can be received, or why not; reported at every attempt to connect or poll.
    Listening(Result<(), ChannelError>),
    /// A reply that carries the token of a page; the token proves that the sender was paged.
    Token {
        /// The token, followed by `arrive` if it is more than an acknowledgement.
        text: String,
        /// The service's id of the reply; reading resumes behind it after a restart.
        id: String,
    },
    /// A text message from a telephone number.
    Text { from: String, text: String },
}

/// Called for each reply.
pub type ReplyHandler = Arc<dyn Fn(InboundReply) + Send + Sync>;

/// The boxed future of a delivery attempt or of listening.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A delivery service: makes delivery attempts and, where the service allows it, receives replies.
pub trait Channel: Send + Sync {
    /// Makes one delivery attempt; `now` is used for signatures.
    fn send<'a>(&'a self, notification: &'a Notification, now: UnixMillis) -> BoxFuture<'a, DeliveryOutcome>;

    /// Checks whether delivery would work, without sending a message to anybody; `None` if the channel cannot check that.
    fn probe(&self) -> BoxFuture<'_, Option<Result<String, ChannelError>>> {
        Box::pin(async { None })
    }

    /// Receives replies until dropped; pends forever where the channel has none. `last` is the id of the last reply that was executed,
    /// for channels that can read earlier messages.
    fn listen(&self, last: Option<String>, handler: ReplyHandler) -> BoxFuture<'_, ()> {
        drop((last, handler));
        Box::pin(std::future::pending())
    }
}

/// What every kind of channel says of itself; `kind` is the name in the list, for settings that serve several kinds.
pub trait ChannelKind {
    /// The channel's id, unique among channels.
    fn id(&self) -> &str;

    /// Messages a minute that the site allows.
    fn per_min(&self) -> Option<u32>;

    /// 80 % of what the service allows.
    fn service_limit(&self, kind: &str) -> RateLimit;

    /// Whether a contact on this channel must name an address (`to`).
    fn requires_address(&self) -> bool {
        false
    }

    /// Why an address does not fit, with an example of one that does.
    fn address_problem(&self, _to: &str) -> Option<(String, &'static str)> {
        None
    }

    /// Whether a reply names its page by two digits, since there is no button.
    fn has_coded_replies(&self) -> bool {
        false
    }

    /// Files with secrets, and a file with CA certificates.
    fn files(&self) -> Vec<NamedFile> {
        Vec::new()
    }

    /// What is wrong with the settings.
    fn problems(&self) -> Vec<SettingsProblem>;

    /// The channel, with what was read of [`ChannelKind::files`]; nothing is opened before it is used.
    fn open(&self, kind: &str, files: &LoadedFiles) -> Box<dyn Channel>;
}

/// Retry delay after a service could not be reached.
const UNREACHABLE_RETRY_MS: u64 = 15_000;
/// Timeout of a request to a service.
pub const TIMEOUT_MS: u64 = 10_000;

/// The HTTP response of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: String,
    pub retry_after_ms: Option<u64>,
    /// Clock of the service minus ours, seconds; `None` without a `Date` header.
    pub clock_offset_s: Option<i64>,
}

/// Sends a request. Without a response the outcome is returned as the error.
pub async fn send_request(request: reqwest::RequestBuilder, now: UnixMillis) -> Result<HttpAnswer, DeliveryOutcome> {
    let response = request.send().await.map_err(|e| {
        let why = http::error_text(&e);
        // Without a connection nothing was sent, so a retry cannot deliver twice.
        if e.is_connect() || e.is_builder() {
            DeliveryOutcome::RetryLater { after_ms: Some(UNREACHABLE_RETRY_MS), reason: why }
        } else {
            DeliveryOutcome::Unknown { reason: why }
        }
    })?;
    let status = response.status().as_u16();
    let after_ms = http::retry_after(&response).and_then(|d| u64::try_from(d.as_millis()).ok());
    let date = response.headers().get(DATE).and_then(|v| v.to_str().ok());
    let clock_off_s =
        date.and_then(|d| jiff::fmt::rfc2822::parse(d).ok()).map(|d| d.timestamp().as_second() - now.0 / 1_000);
    Ok(HttpAnswer {
        status,
        body: http::body_text(response).await,
        retry_after_ms: after_ms,
        clock_offset_s: clock_off_s,
    })
}

/// The outcome by status code alone: 408, 425, 429 and 5xx mean "retry later".
pub fn outcome_by_status(answer: &HttpAnswer) -> DeliveryOutcome {
    let why = || {
        let words: String = answer.body.chars().take(200).collect();
        format!("HTTP {} {}", answer.status, words.trim()).trim_end().to_string()
    };
    match answer.status {
        200..=299 => DeliveryOutcome::Accepted,
        429 => DeliveryOutcome::RetryLater { after_ms: answer.retry_after_ms, reason: why() },
        408 | 425 | 500..=599 => DeliveryOutcome::RetryLater {
            after_ms: answer.retry_after_ms.or(Some(UNREACHABLE_RETRY_MS)),
            reason: why(),
        },
        _ => DeliveryOutcome::Rejected { reason: why() },
    }
}

/// Configuration problems of a URL, and of a secret that is given both in place and in a file.
fn address_problems(url: &str, is_secret_duplicate: bool) -> Vec<(&'static str, String, &'static str)> {
    let mut out = Vec::new();
    if !http::is_address(url) {
        let what = format!("`{}` is not the address of a service", http::without_secrets(url));
        out.push(("url", what, "http://host or https://host/path; secrets have keys of their own"));
    }
    if is_secret_duplicate {
        out.push(("id", "the secret is given twice".to_string(), "in a file, or here"));
    }
    out
}

/// The HTTP client of a channel, with the version of the files from which it was built.
type ClientCell = Mutex<Option<(u64, reqwest::Client)>>;

/// The HTTP client of a channel, built at first use and again when its files have changed.
fn cached_client(
    cell: &ClientCell,
    url: &str,
    ca_file: Option<&str>,
    files: &LoadedFiles,
) -> Result<reqwest::Client, HttpError> {
    let mut cell = lock(cell);
    let version = files.version();
    match &*cell {
        Some((built, client)) if *built == version => Ok(client.clone()),
        _ => {
            let client = http::client(url, TIMEOUT_MS, ca_file, files)?;
            *cell = Some((version, client.clone()));
            Ok(client)
        }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    ring::hmac::sign(&key, message).as_ref().to_vec()
}
