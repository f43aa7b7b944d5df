//! How people are reached: one file each. A channel makes one try and says what became of it; when, how often and what else
//! is decided by the desk (`oncall`).

pub mod command;
pub mod email;
pub mod group_webhook;
pub mod modem;
pub mod ntfy;
pub mod pdu;
pub mod sms;
pub mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::header::DATE;

use crate::http;
use crate::http::files::NamedFile;
use crate::model::notification::{DeliveryOutcome, Notification, RateLimit};
use crate::model::time::UnixMillis;

/// A channel, as configured: one of each kind that there is.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelSettings {
    /// `[[channel.ntfy]]`.
    Ntfy(ntfy::NtfySettings),
    /// `[[channel.wecom]]`.
    Wecom(group_webhook::GroupWebhookSettings),
    /// `[[channel.dingtalk]]`.
    Dingtalk(group_webhook::GroupWebhookSettings),
    /// `[[channel.feishu]]`.
    Feishu(group_webhook::GroupWebhookSettings),
    /// `[[channel.email]]`.
    Email(email::EmailSettings),
    /// `[[channel.webhook]]`.
    Webhook(webhook::WebhookSettings),
    /// `[[channel.sms]]`.
    Sms(sms::SmsSettings),
    /// `[[channel.command]]`.
    Command(command::CommandSettings),
}

/// DingTalk takes offence for ten of them.
const MINUTE: u64 = 60_000;

impl ChannelSettings {
    /// Its id, unique among channels.
    pub fn id(&self) -> &str {
        match self {
            ChannelSettings::Ntfy(s) => &s.id,
            ChannelSettings::Wecom(s) | ChannelSettings::Dingtalk(s) | ChannelSettings::Feishu(s) => &s.id,
            ChannelSettings::Email(s) => &s.id,
            ChannelSettings::Webhook(s) => &s.id,
            ChannelSettings::Sms(s) => &s.id,
            ChannelSettings::Command(s) => &s.id,
        }
    }

    /// 80 % of what the service allows (ntfy: a bucket of 60, one more each 5 s; WeCom and DingTalk: 20 a minute; Feishu: 100
    /// a minute), or what the site says.
    pub fn pace(&self) -> RateLimit {
        let own = match self {
            ChannelSettings::Ntfy(s) => s.per_min,
            ChannelSettings::Wecom(s) | ChannelSettings::Dingtalk(s) | ChannelSettings::Feishu(s) => s.per_min,
            ChannelSettings::Email(s) => s.per_min,
            ChannelSettings::Webhook(s) => s.per_min,
            ChannelSettings::Sms(s) => s.per_min,
            ChannelSettings::Command(s) => s.per_min,
        };
        let (per_min, burst, rest_ms) = match self {
            ChannelSettings::Ntfy(_) => (9.6, 48.0, MINUTE),
            // What is at once and what follows in a minute are 16 together, 80 at Feishu.
            ChannelSettings::Wecom(_) => (10.0, 6.0, MINUTE),
            ChannelSettings::Dingtalk(_) => (10.0, 6.0, 10 * MINUTE),
            ChannelSettings::Feishu(_) => (76.0, 4.0, MINUTE),
            ChannelSettings::Email(_) => (20.0, 20.0, 5 * MINUTE),
            ChannelSettings::Webhook(_) | ChannelSettings::Command(_) => (120.0, 60.0, MINUTE),
            ChannelSettings::Sms(_) => (10.0, 5.0, MINUTE),
        };
        match own {
            None => RateLimit { per_min, burst, cooldown_ms: rest_ms },
            Some(n) => {
                let burst = (f64::from(n) * 0.4).max(1.0);
                RateLimit { per_min: (f64::from(n) - burst).max(f64::from(n) * 0.5), burst, cooldown_ms: rest_ms }
            }
        }
    }

    /// Whether a contact has to say where to.
    pub fn wants_address(&self) -> bool {
        matches!(self, ChannelSettings::Email(_) | ChannelSettings::Sms(_))
            || matches!(self, ChannelSettings::Ntfy(s) if s.topic.is_empty())
    }

    /// Files that it names.
    pub fn files(&self) -> Vec<NamedFile> {
        let (secrets, authorities): (Vec<(&'static str, &Option<String>)>, Option<&String>) = match self {
            ChannelSettings::Ntfy(s) => (vec![("token_file", &s.token_file)], s.ca_file.as_ref()),
            ChannelSettings::Wecom(s) | ChannelSettings::Dingtalk(s) | ChannelSettings::Feishu(s) => {
                (vec![("key_file", &s.key_file), ("secret_file", &s.secret_file)], s.ca_file.as_ref())
            }
            ChannelSettings::Email(s) => (vec![("password_file", &s.password_file)], s.ca_file.as_ref()),
            ChannelSettings::Webhook(s) => (vec![("secret_file", &s.secret_file)], s.ca_file.as_ref()),
            ChannelSettings::Sms(_) | ChannelSettings::Command(_) => (Vec::new(), None),
        };
        let secrets = secrets.into_iter().filter_map(|(key, path)| NamedFile::secret(key, path.as_ref()));
        secrets.chain(NamedFile::authorities(authorities)).collect()
    }

    /// What is wrong with it: the key, what, and the mend.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        match self {
            ChannelSettings::Ntfy(s) => s.problems(),
            ChannelSettings::Wecom(s) | ChannelSettings::Dingtalk(s) | ChannelSettings::Feishu(s) => s.problems(),
            ChannelSettings::Email(s) => s.problems(),
            ChannelSettings::Webhook(s) => s.problems(),
            ChannelSettings::Sms(s) => s.problems(),
            ChannelSettings::Command(s) => s.problems(),
        }
    }
}

/// What somebody said through a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboundReply {
    /// Whether answers can be heard there: said whenever it is tried.
    Listening(Result<(), String>),
    /// The token of a page: whoever has it was paged.
    Token {
        /// The token, and a word for more than an acknowledgement.
        text: String,
        /// The channel's own name of the answer: where it goes on reading after a restart.
        id: String,
    },
    /// A text from a number.
    Text {
        /// Whose.
        from: String,
        /// What.
        text: String,
    },
}

/// Told what somebody said.
pub type ReplyHandler = Arc<dyn Fn(InboundReply) + Send + Sync>;

/// A try, or listening, on its way.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A channel at work.
pub trait Channel: Send + Sync {
    /// One try; `now` is for signatures.
    fn send<'a>(&'a self, letter: &'a Notification, now: UnixMillis) -> BoxFuture<'a, DeliveryOutcome>;

    /// Tries whether it would work, without telling anybody anything; none: that cannot be tried.
    fn probe(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { None })
    }

    /// Listens to what people answer, as long as it lives; nothing where nobody can. `last` is the answer that was carried out
    /// last, of a channel that can read what came before.
    fn listen(&self, last: Option<String>, hear: ReplyHandler) -> BoxFuture<'_, ()> {
        drop((last, hear));
        Box::pin(std::future::pending())
    }
}

/// The channel of these settings; nothing is opened before it is used.
pub fn open(settings: &ChannelSettings) -> Box<dyn Channel> {
    match settings.clone() {
        ChannelSettings::Ntfy(s) => Box::new(ntfy::Ntfy::new(s)),
        ChannelSettings::Wecom(s) => {
            Box::new(group_webhook::GroupWebhook::new(group_webhook::GroupWebhookVendor::Wecom, s))
        }
        ChannelSettings::Dingtalk(s) => {
            Box::new(group_webhook::GroupWebhook::new(group_webhook::GroupWebhookVendor::Dingtalk, s))
        }
        ChannelSettings::Feishu(s) => {
            Box::new(group_webhook::GroupWebhook::new(group_webhook::GroupWebhookVendor::Feishu, s))
        }
        ChannelSettings::Email(s) => Box::new(email::Email::new(s)),
        ChannelSettings::Webhook(s) => Box::new(webhook::Webhook::new(s)),
        ChannelSettings::Sms(s) => Box::new(sms::Sms::new(s)),
        ChannelSettings::Command(s) => Box::new(command::CommandChannel::new(s)),
    }
}

/// Until a service that cannot be reached is tried again.
const UNREACHED_MS: u64 = 15_000;
/// Longest wait for an answer of a service.
pub const TIMEOUT_MS: u64 = 10_000;

/// What a service answered over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How long it wants to be left alone, milliseconds.
    pub after_ms: Option<u64>,
    /// Its clock less ours, seconds, if it shows one.
    pub clock_off_s: Option<i64>,
}

/// Sends a request; an answer where there is none to judge.
pub async fn ask(request: reqwest::RequestBuilder, now: UnixMillis) -> Result<HttpAnswer, DeliveryOutcome> {
    let response = request.send().await.map_err(|e| {
        let why = http::words(&e);
        // Where no connection came about nothing was sent.
        if e.is_connect() || e.is_builder() {
            DeliveryOutcome::Later { after_ms: Some(UNREACHED_MS), why }
        } else {
            DeliveryOutcome::Unknown { why }
        }
    })?;
    let status = response.status().as_u16();
    let after_ms = http::retry_after(&response).and_then(|d| u64::try_from(d.as_millis()).ok());
    let date = response.headers().get(DATE).and_then(|v| v.to_str().ok());
    let clock_off_s =
        date.and_then(|d| jiff::fmt::rfc2822::parse(d).ok()).map(|d| d.timestamp().as_second() - now.0 / 1_000);
    Ok(HttpAnswer { status, body: http::text(response).await, after_ms, clock_off_s })
}

/// What a status alone means: 408, 425, 429 and 5xx are "not now".
pub fn by_status(said: &HttpAnswer) -> DeliveryOutcome {
    let why = || {
        let words: String = said.body.chars().take(200).collect();
        format!("HTTP {} {}", said.status, words.trim()).trim_end().to_string()
    };
    match said.status {
        200..=299 => DeliveryOutcome::Accepted,
        429 => DeliveryOutcome::Later { after_ms: said.after_ms, why: why() },
        408 | 425 | 500..=599 => DeliveryOutcome::Later { after_ms: said.after_ms.or(Some(UNREACHED_MS)), why: why() },
        _ => DeliveryOutcome::Rejected { why: why() },
    }
}

/// What is wrong with an address and with a secret that is given twice.
fn address_problems(url: &str, is_twice: bool) -> Vec<(&'static str, String, &'static str)> {
    let mut out = Vec::new();
    if !http::is_address(url) {
        let what = format!("`{}` is not the address of a service", http::without_secrets(url));
        out.push(("url", what, "http://host or https://host/path; secrets have keys of their own"));
    }
    if is_twice {
        out.push(("id", "the secret is given twice".to_string(), "in a file, or here"));
    }
    out
}

/// The client of a channel, made once.
fn kept<'a>(
    place: &'a std::sync::OnceLock<reqwest::Client>,
    url: &str,
    ca_file: Option<&str>,
) -> Result<&'a reqwest::Client, String> {
    if let Some(client) = place.get() {
        return Ok(client);
    }
    let client = http::client(url, TIMEOUT_MS, ca_file)?;
    Ok(place.get_or_init(|| client))
}

/// HMAC-SHA256.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    ring::hmac::sign(&key, message).as_ref().to_vec()
}
