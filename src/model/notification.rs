//! A message on its way to somebody, and what became of a try.

use serde::{Deserialize, Serialize};

use crate::model::priority::Priority;

/// A message for one service, ready to be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The same for every try of the same page: who gets it twice can tell.
    pub id: String,
    /// Where to, in the channel's own terms; may be empty.
    pub to: String,
    /// The first line: where, what and what to do.
    pub title: String,
    /// The rest; may be empty.
    pub body: String,
    /// All of it in one line of at most 70 characters.
    pub short: String,
    /// How much it matters.
    pub priority: Priority,
    /// Whether somebody has to answer.
    pub requires_ack: bool,
    /// What proves that an answer is to this; none where there is nothing to answer.
    pub token: Option<String>,
    /// Where the alarm's page is.
    pub link: Option<String>,
    /// What can be answered, the first first.
    pub buttons: Vec<Button>,
    /// Everything as an object, for programs.
    pub object: serde_json::Value,
}

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// What it says.
    pub label: String,
    /// Whether it says that somebody is there; else it acknowledges.
    pub is_there: bool,
}

/// What an answer through a topic says after its token when somebody is there.
pub const ARRIVE: &str = "arrive";

impl Notification {
    /// Title, body and link, a line each.
    pub fn text(&self) -> String {
        let parts = [self.title.as_str(), self.body.trim_end(), self.link.as_deref().unwrap_or_default()];
        parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

/// How much a service lets itself be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Messages a minute, over time.
    pub per_min: f64,
    /// Messages at once.
    pub burst: f64,
    /// How long it is left alone when it says "too many", unless it says how long.
    pub cooldown_ms: u64,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The service has it.
    Accepted,
    /// Not now.
    Later {
        /// For how long, milliseconds, if that is known.
        after_ms: Option<u64>,
        /// Why, in words.
        why: String,
    },
    /// Not like this.
    Rejected {
        /// Why, in words.
        why: String,
    },
    /// Nobody knows: it may have arrived.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

/// The first so many bytes of a text, cut between characters.
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
