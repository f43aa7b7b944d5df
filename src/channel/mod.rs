//! How people are reached: one file each. A channel makes one try and says what became of it; when, how often and what else
//! is decided by the desk (`oncall`).

pub mod command;
pub mod email;
pub mod modem;
pub mod ntfy;
pub mod pdu;
pub mod robot;
pub mod sms;
pub mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::header::DATE;

use crate::http;
use crate::http::files::File;
use crate::model::letter::{Answer, Letter, Pace};
use crate::model::time::Wall;

/// A channel, as configured: one of each kind that there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Settings {
    /// `[[channel.ntfy]]`.
    Ntfy(ntfy::Settings),
    /// `[[channel.wecom]]`.
    Wecom(robot::Settings),
    /// `[[channel.dingtalk]]`.
    Dingtalk(robot::Settings),
    /// `[[channel.feishu]]`.
    Feishu(robot::Settings),
    /// `[[channel.email]]`.
    Email(email::Settings),
    /// `[[channel.webhook]]`.
    Webhook(webhook::Settings),
    /// `[[channel.sms]]`.
    Sms(sms::Settings),
    /// `[[channel.command]]`.
    Command(command::Settings),
}

/// DingTalk takes offence for ten of them.
const MINUTE: u64 = 60_000;

impl Settings {
    /// Its id, unique among channels.
    pub fn id(&self) -> &str {
        match self {
            Settings::Ntfy(s) => &s.id,
            Settings::Wecom(s) | Settings::Dingtalk(s) | Settings::Feishu(s) => &s.id,
            Settings::Email(s) => &s.id,
            Settings::Webhook(s) => &s.id,
            Settings::Sms(s) => &s.id,
            Settings::Command(s) => &s.id,
        }
    }

    /// 80 % of what the service allows (ntfy: a bucket of 60, one more each 5 s; WeCom and DingTalk: 20 a minute; Feishu: 100
    /// a minute), or what the site says.
    pub fn pace(&self) -> Pace {
        let own = match self {
            Settings::Ntfy(s) => s.per_min,
            Settings::Wecom(s) | Settings::Dingtalk(s) | Settings::Feishu(s) => s.per_min,
            Settings::Email(s) => s.per_min,
            Settings::Webhook(s) => s.per_min,
            Settings::Sms(s) => s.per_min,
            Settings::Command(s) => s.per_min,
        };
        let (per_min, burst, rest_ms) = match self {
            Settings::Ntfy(_) => (9.6, 48.0, MINUTE),
            // What is at once and what follows in a minute are 16 together, 80 at Feishu.
            Settings::Wecom(_) => (10.0, 6.0, MINUTE),
            Settings::Dingtalk(_) => (10.0, 6.0, 10 * MINUTE),
            Settings::Feishu(_) => (76.0, 4.0, MINUTE),
            Settings::Email(_) => (20.0, 20.0, 5 * MINUTE),
            Settings::Webhook(_) | Settings::Command(_) => (120.0, 60.0, MINUTE),
            Settings::Sms(_) => (10.0, 5.0, MINUTE),
        };
        match own {
            None => Pace { per_min, burst, rest_ms },
            Some(n) => {
                let burst = (f64::from(n) * 0.4).max(1.0);
                Pace { per_min: (f64::from(n) - burst).max(f64::from(n) * 0.5), burst, rest_ms }
            }
        }
    }

    /// Whether a contact has to say where to.
    pub fn wants_address(&self) -> bool {
        matches!(self, Settings::Email(_) | Settings::Sms(_)) || matches!(self, Settings::Ntfy(s) if s.topic.is_empty())
    }

    /// Files that it names.
    pub fn files(&self) -> Vec<File> {
        let (secrets, authorities): (Vec<(&'static str, &Option<String>)>, Option<&String>) = match self {
            Settings::Ntfy(s) => (vec![("token_file", &s.token_file)], s.ca_file.as_ref()),
            Settings::Wecom(s) | Settings::Dingtalk(s) | Settings::Feishu(s) => {
                (vec![("key_file", &s.key_file), ("secret_file", &s.secret_file)], s.ca_file.as_ref())
            }
            Settings::Email(s) => (vec![("password_file", &s.password_file)], s.ca_file.as_ref()),
            Settings::Webhook(s) => (vec![("secret_file", &s.secret_file)], s.ca_file.as_ref()),
            Settings::Sms(_) | Settings::Command(_) => (Vec::new(), None),
        };
        let secrets = secrets.into_iter().filter_map(|(key, path)| File::secret(key, path.as_ref()));
        secrets.chain(File::authorities(authorities)).collect()
    }

    /// What is wrong with it: the key, what, and the mend.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        match self {
            Settings::Ntfy(s) => s.problems(),
            Settings::Wecom(s) | Settings::Dingtalk(s) | Settings::Feishu(s) => s.problems(),
            Settings::Email(s) => s.problems(),
            Settings::Webhook(s) => s.problems(),
            Settings::Sms(s) => s.problems(),
            Settings::Command(s) => s.problems(),
        }
    }
}

/// What somebody said through a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
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
pub type Hear = Arc<dyn Fn(Heard) + Send + Sync>;

/// A try, or listening, on its way.
pub type Going<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A channel at work.
pub trait Channel: Send + Sync {
    /// One try; `now` is for signatures.
    fn attempt<'a>(&'a self, letter: &'a Letter, now: Wall) -> Going<'a, Answer>;

    /// Tries whether it would work, without telling anybody anything; none: that cannot be tried.
    fn probe(&self) -> Going<'_, Option<Result<String, String>>> {
        Box::pin(async { None })
    }

    /// Listens to what people answer, as long as it lives; nothing where nobody can. `last` is the answer that was carried out
    /// last, of a channel that can read what came before.
    fn listen(&self, last: Option<String>, hear: Hear) -> Going<'_, ()> {
        drop((last, hear));
        Box::pin(std::future::pending())
    }
}

/// The channel of these settings; nothing is opened before it is used.
pub fn open(settings: &Settings) -> Box<dyn Channel> {
    match settings.clone() {
        Settings::Ntfy(s) => Box::new(ntfy::Ntfy::new(s)),
        Settings::Wecom(s) => Box::new(robot::Robot::new(robot::Vendor::Wecom, s)),
        Settings::Dingtalk(s) => Box::new(robot::Robot::new(robot::Vendor::Dingtalk, s)),
        Settings::Feishu(s) => Box::new(robot::Robot::new(robot::Vendor::Feishu, s)),
        Settings::Email(s) => Box::new(email::Email::new(s)),
        Settings::Webhook(s) => Box::new(webhook::Webhook::new(s)),
        Settings::Sms(s) => Box::new(sms::Sms::new(s)),
        Settings::Command(s) => Box::new(command::Command::new(s)),
    }
}

/// Until a service that cannot be reached is tried again.
const UNREACHED_MS: u64 = 15_000;
/// Longest wait for an answer of a service.
pub const TIMEOUT_MS: u64 = 10_000;

/// What a service answered over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
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
pub async fn ask(request: reqwest::RequestBuilder, now: Wall) -> Result<Said, Answer> {
    let response = request.send().await.map_err(|e| {
        let why = http::words(&e);
        // Where no connection came about nothing was sent.
        if e.is_connect() || e.is_builder() {
            Answer::Later { after_ms: Some(UNREACHED_MS), why }
        } else {
            Answer::Unknown { why }
        }
    })?;
    let status = response.status().as_u16();
    let after_ms = http::retry_after(&response).and_then(|d| u64::try_from(d.as_millis()).ok());
    let date = response.headers().get(DATE).and_then(|v| v.to_str().ok());
    let clock_off_s =
        date.and_then(|d| jiff::fmt::rfc2822::parse(d).ok()).map(|d| d.timestamp().as_second() - now.0 / 1_000);
    Ok(Said { status, body: http::text(response).await, after_ms, clock_off_s })
}

/// What a status alone means: 408, 425, 429 and 5xx are "not now".
pub fn by_status(said: &Said) -> Answer {
    let why = || {
        let words: String = said.body.chars().take(200).collect();
        format!("HTTP {} {}", said.status, words.trim()).trim_end().to_string()
    };
    match said.status {
        200..=299 => Answer::Accepted,
        429 => Answer::Later { after_ms: said.after_ms, why: why() },
        408 | 425 | 500..=599 => Answer::Later { after_ms: said.after_ms.or(Some(UNREACHED_MS)), why: why() },
        _ => Answer::Rejected { why: why() },
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
