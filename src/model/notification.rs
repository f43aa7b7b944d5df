//! A message to a recipient through a channel, and the outcome of sending it.

use serde::{Deserialize, Serialize};

use crate::model::priority::Priority;

/// A message that is rendered for one channel and ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The same for every attempt of the same page, so that a recipient can recognise a repeat.
    pub id: String,
    /// The recipient's address in the channel's own terms; may be empty.
    pub address: String,
    /// First line: place, event and action.
    pub title: String,
    /// Further lines; may be empty.
    pub body: String,
    /// All of it in one line of at most 70 characters.
    pub summary: String,
    /// Priority of the alarm, for channels that have levels of urgency.
    pub priority: Priority,
    /// Whether the recipient has to acknowledge.
    pub requires_ack: bool,
    /// Token that a reply must carry; `None` if no reply is possible.
    pub token: Option<String>,
    /// URL of the alarm's page.
    pub link: Option<String>,
    /// Possible replies, in order of display.
    pub buttons: Vec<Button>,
    /// The whole message as JSON, for programs.
    pub payload: serde_json::Value,
}

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// The text on the button.
    pub label: String,
    /// Whether it reports arrival on site; else it acknowledges.
    pub reports_arrival: bool,
}

/// Word after the token in a reply through a topic that reports arrival on site.
pub const ARRIVE: &str = "arrive";

impl Notification {
    /// Title, body and link, a line each.
    pub fn text(&self) -> String {
        let parts = [self.title.as_str(), self.body.trim_end(), self.link.as_deref().unwrap_or_default()];
        parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// Rate limit of a channel's service (token bucket).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Sustained messages per minute.
    pub per_min: f64,
    /// Messages that may be sent at once after a pause.
    pub burst: f64,
    /// Pause after "too many requests", unless the service names one.
    pub cooldown_ms: u64,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The service has it.
    Accepted,
    /// Not sent, for a reason that may pass: it is tried again later.
    #[serde(rename = "later")]
    RetryLater {
        /// For how long, milliseconds, if that is known.
        after_ms: Option<u64>,
        /// The reason in words, such as the service's own answer.
        #[serde(rename = "why")]
        reason: String,
    },
    /// Refused for a reason that a repeat of the same message would not change.
    Rejected {
        /// The reason in words, such as the service's own answer.
        #[serde(rename = "why")]
        reason: String,
    },
    /// Nobody knows: it may have arrived.
    Unknown {
        /// The reason in words, such as a timeout while waiting for the answer.
        #[serde(rename = "why")]
        reason: String,
    },
}

/// Cuts a text to at most `most` bytes at a character boundary, with `…` at the end.
pub fn cut_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_string();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
