//! ntfy: push notifications to a phone. A button publishes the page's token to the reply topic, which this channel subscribes to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::error::ChannelError;
use crate::channel::{
    BoxFuture, Channel, ChannelKind, InboundReply, ReplyHandler, TIMEOUT_MS, address_problems, outcome_by_status,
    send_request,
};
use crate::channel::{ClientCell, MINUTE_MS, named_files};
use crate::http;
use crate::http::files::{LoadedFiles, NamedFile};
use crate::model::notification::RateLimit;
use crate::model::notification::{ARRIVE, Button, DeliveryOutcome, Notification, cut_bytes};
use crate::model::priority::Priority;
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;

/// ntfy turns longer messages into an attachment, bytes.
const MESSAGE_MAX: usize = 4_000;
/// Delay before a broken subscription is renewed.
const RECONNECT_DELAY: Duration = Duration::from_secs(5);
/// ntfy sends a keepalive every 45 s; a subscription that is silent for this long is broken.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Maximum length of a line of the subscription, bytes; a longer one ends it.
const LINE_MAX: usize = 65_536;

/// A push through an ntfy server: `[[channel.ntfy]]`. A contact's `to` is a topic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NtfySettings {
    /// The channel's id, unique among channels: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// The server: `https://ntfy.sh`, or one of your own.
    pub url: String,
    /// The topic where a contact names none.
    #[serde(default)]
    pub topic: String,
    /// The topic through which the button's answer comes back: no connection has to reach this box. Nobody should guess it.
    #[serde(default)]
    pub reply_topic: String,
    /// Access token; better in a file.
    pub token: Option<String>,
    /// File that holds it.
    pub token_file: Option<String>,
    /// PEM file with the authorities that are trusted. Default: the system's.
    pub ca_file: Option<String>,
    /// Messages a minute, where it is not ntfy.sh's limit.
    pub per_min: Option<u32>,
}

impl ChannelKind for NtfySettings {
    fn id(&self) -> &str {
        &self.id
    }

    fn per_min(&self) -> Option<u32> {
        self.per_min
    }

    fn service_limit(&self, _kind: &str) -> RateLimit {
        // A bucket of 60, one more each 5 s.
        RateLimit { per_min: 9.6, burst: 48.0, cooldown_ms: MINUTE_MS }
    }

    fn requires_address(&self) -> bool {
        self.topic.is_empty()
    }

    fn address_problem(&self, to: &str) -> Option<(String, &'static str)> {
        let is_topic = to.len() <= 64 && to.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        (!is_topic).then(|| (format!("`{to}` is no topic"), "letters, digits, - and _, at most 64 of them"))
    }

    fn files(&self) -> Vec<NamedFile> {
        named_files(&[("token_file", &self.token_file)], self.ca_file.as_ref(), http::is_tls(&self.url))
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        let mut out = address_problems(&self.url, self.token.is_some() && self.token_file.is_some());
        let is_topic = |t: &str| t.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) && t.len() <= 64;
        for (key, topic) in [("topic", &self.topic), ("reply_topic", &self.reply_topic)] {
            if !is_topic(topic) {
                out.push((key, format!("`{topic}` is not a topic"), "letters, digits, - and _, at most 64 of them"));
            }
        }
        out
    }

    fn open(&self, _kind: &str, files: &LoadedFiles) -> Box<dyn Channel> {
        Box::new(Ntfy::new(self.clone(), files.clone()))
    }
}

/// A channel that publishes to an ntfy server.
pub struct Ntfy {
    settings: NtfySettings,
    client: ClientCell,
    files: LoadedFiles,
    /// Whether the reply topic cannot be read. Buttons then post to the alarm's page, if there is one.
    is_reply_topic_down: AtomicBool,
}

impl Ntfy {
    /// Opens no connection before the first attempt.
    pub fn new(settings: NtfySettings, files: LoadedFiles) -> Self {
        Self { settings, client: ClientCell::default(), files, is_reply_topic_down: AtomicBool::new(false) }
    }

    fn request(
        &self,
        timeout_ms: u64,
        post: Option<&Value>,
        path: &str,
    ) -> Result<reqwest::RequestBuilder, ChannelError> {
        let s = &self.settings;
        let client = super::cached_client(&self.client, &s.url, s.ca_file.as_deref(), &self.files)?;
        let token = self.files.secret(s.token.as_ref(), s.token_file.as_ref())?;
        let url = format!("{}/{path}", s.url.trim_end_matches('/'));
        let request = match post {
            Some(body) => client.post(url).header("content-type", "application/json").body(body.to_string()),
            None => client.get(url),
        };
        let request = request.timeout(Duration::from_millis(timeout_ms));
        Ok(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// The message in ntfy's JSON format.
    pub fn body(&self, notification: &Notification) -> Value {
        let s = &self.settings;
        let (priority, tag) = match (notification.requires_ack, notification.priority) {
            (true, Priority::P1) => (5, "rotating_light"),
            (true, Priority::P2) => (4, "warning"),
            (true, Priority::P3) => (3, "warning"),
            (true, Priority::P4) | (false, _) => (2, "information_source"),
        };
        let mut body = json!({
            "topic": if notification.address.is_empty() { &s.topic } else { &notification.address },
            "title": cut_bytes(&notification.title, 250),
            "message": cut_bytes(if notification.body.is_empty() { &notification.title } else { &notification.body }, MESSAGE_MAX),
            "priority": priority,
            "tags": [tag],
        });
        if let Some(link) = &notification.link {
            body["click"] = link.as_str().into();
        }
        let is_deaf = self.is_reply_topic_down.load(Ordering::Relaxed);
        let action = |button: &Button| {
            let (url, text) = match (&notification.token, &notification.link) {
                (Some(token), link) if !s.reply_topic.is_empty() && (link.is_none() || !is_deaf) => {
                    let text = if button.reports_arrival { format!("{token} {ARRIVE}") } else { token.clone() };
                    (format!("{}/{}", s.url.trim_end_matches('/'), s.reply_topic), text)
                }
                (Some(_), Some(link)) => {
                    let verb = if button.reports_arrival { ARRIVE } else { "acknowledge" };
                    (link.clone(), format!("do={verb}&from=button"))
                }
                _ => return None,
            };
            let label = &button.label;
            Some(json!({ "action": "http", "label": label, "url": url, "method": "POST", "body": text, "clear": true }))
        };
        let actions: Vec<Value> = notification.buttons.iter().filter_map(action).collect();
        if !actions.is_empty() {
            body["actions"] = actions.into();
        }
        body
    }

    /// Reads the reply topic until the connection breaks, beginning with the stored messages after `since`.
    async fn subscribe(&self, since: &mut String, handler: &ReplyHandler) -> Result<(), ChannelError> {
        let path = format!("{}/json?since={since}", self.settings.reply_topic);
        // The subscription is long-lived: only the silence timeout ends it.
        let request = self.request(7 * 86_400_000, None, &path)?;
        let mut response = request.send().await?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(ChannelError::Service(format!("topic {}: HTTP {status}", self.settings.reply_topic)));
        }
        self.is_reply_topic_down.store(false, Ordering::Relaxed);
        handler(InboundReply::Listening(Ok(())));
        let mut line = Vec::new();
        let silent = || ChannelError::Service("it fell silent".to_string());
        loop {
            let chunk = tokio::time::timeout(IDLE_TIMEOUT, response.chunk()).await.map_err(|_| silent())?;
            let Some(chunk) = chunk? else { return Ok(()) };
            for byte in chunk {
                if byte != b'\n' {
                    if line.len() >= LINE_MAX {
                        return Err(ChannelError::Service("a line without end".to_string()));
                    }
                    line.push(byte);
                    continue;
                }
                if let Some((id, text)) = parse_message(&line) {
                    since.clone_from(&id);
                    handler(InboundReply::Token { text, id });
                }
                line.clear();
            }
        }
    }
}

/// Id and text of a line of the subscription; `None` for keepalives and whatever else is no message.
fn parse_message(line: &[u8]) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    if value["event"] != "message" {
        return None;
    }
    let id = value["id"].as_str().filter(|id| id.len() <= 32 && id.chars().all(|c| c.is_ascii_alphanumeric()))?;
    let text = value["message"].as_str()?;
    let text = if value["encoding"] == "base64" {
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()?
    } else {
        text.to_string()
    };
    Some((id.to_string(), text.trim().to_string()))
}

impl Channel for Ntfy {
    fn send<'a>(&'a self, notification: &'a Notification, now: UnixMillis) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async move {
            let body = self.body(notification);
            match self.request(TIMEOUT_MS, Some(&body), "") {
                Ok(request) => {
                    send_request(request, now).await.map_or_else(|answer| answer, |said| outcome_by_status(&said))
                }
                Err(error) => DeliveryOutcome::Rejected { reason: error.to_string() },
            }
        })
    }

    fn listen(&self, last: Option<String>, handler: ReplyHandler) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.settings.reply_topic.is_empty() {
                return std::future::pending().await;
            }
            // Replies sent while this box was away come first. The server keeps messages for 12 h; if `since` is no longer
            // stored, the server returns all that it has.
            let mut since = last.unwrap_or_else(|| "12h".to_string());
            loop {
                if let Err(why) = self.subscribe(&mut since, &handler).await {
                    self.is_reply_topic_down.store(true, Ordering::Relaxed);
                    handler(InboundReply::Listening(Err(why)));
                    // The token may have been mended.
                    self.files.refresh().await;
                }
                tokio::time::sleep(RECONNECT_DELAY).await;
            }
        })
    }
}
