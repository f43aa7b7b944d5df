//! Pages, and the inputs and outputs of paging. Plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::notification::DeliveryOutcome;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::time::UnixMillis;
use crate::oncall::rota::Override;
use crate::oncall::settings::{Contact, Language};

/// A change of an alarm, as far as paging is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct OncallEvent {
    /// `rule.device`; empty for an alarm flood.
    pub key: Arc<str>,
    /// The alarm's occurrence number.
    pub occurrence: u64,
    pub priority: Priority,
    /// Whether an injected sample caused it.
    pub test: bool,
    /// Whether it is part of an alarm flood: it is sent together with the others.
    pub merged: bool,
    pub what: OncallEventKind,
}

/// The kinds of change that paging distinguishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OncallEventKind {
    /// It needs a person: raised, escalated, reminded, or no longer suppressed.
    Wanted(PageKind),
    /// It is active but suppressed, and the reason.
    Silenced(&'static str),
    Taken {
        by: String,
    },
    /// It was handed over to another person.
    HandedOver {
        by: String,
        to: String,
    },
    /// Somebody arrived on site.
    Arrived {
        by: String,
    },
    /// Nobody arrived in time.
    Late,
    /// Its condition ended.
    Gone {
        /// Whether it is latched until a person resets it.
        locked: bool,
    },
    /// It was resolved by a person: reset, or its rule removed; the reason.
    Over(String),
    /// It chatters and is held in alarm.
    Chatters,
    /// More alarms than people can read.
    FloodBegan {
        count: u64,
        within_ms: u64,
    },
    FloodEnded,
}

/// An input that is not an alarm event.
#[derive(Clone, Debug, PartialEq)]
pub enum OncallCommand {
    /// The outcome of a delivery.
    Answered {
        id: u64,
        answer: DeliveryOutcome,
    },
    /// A channel restarted: the outcome of its deliveries in flight will never be known.
    Lost {
        channel: String,
    },
    /// A reply to a page.
    Reply(PageReply),
    /// Send a test page.
    Test {
        person: String,
        by: String,
    },
    /// Add an override of a rota.
    StandIn(Override),
    Withdraw {
        number: u64,
        by: String,
    },
}

/// What a recipient does with the alarm of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Acknowledge,
    /// Arrived on site; acknowledges the alarm if nobody has.
    Arrive,
    /// Assign the alarm to a colleague.
    HandOver {
        to: String,
    },
    Shelve {
        for_ms: u64,
    },
    Reset,
}

/// A reply to a page, with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageReply {
    pub page: u64,
    pub reply: Reply,
    /// Who replies to a page that went to a channel and not to a person; empty if unknown.
    pub by: String,
    pub note: String,
    /// The method by which it came, for the log.
    pub how: String,
    /// Whether only the page's own alarm is meant, not every alarm of its message.
    pub is_single: bool,
    /// Whether a confirmation is sent: the method by which it came shows no result.
    pub is_confirmed: bool,
    /// The channel and its own id of the reply, where replies can be read again; replies up to this id are not read again.
    pub read: Option<(String, String)>,
}

impl PageReply {
    /// A reply for every alarm of the page's message.
    pub fn new(page: u64, reply: Reply, how: impl Into<String>) -> Self {
        let (by, note) = (String::new(), String::new());
        Self { page, reply, by, note, how: how.into(), is_single: false, is_confirmed: false, read: None }
    }
}

/// What a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// It was raised.
    Raised,
    /// It is more urgent than it was.
    Worsened,
    /// It is still there, long after somebody took it.
    Reminded,
    /// Somebody gave it to you.
    HandedOver,
    /// Somebody took it, and nobody is there.
    Late,
    /// Somebody took it: for those who were told.
    Taken,
    /// It is gone: for those who were told.
    Over,
    /// Its condition is gone and it is locked until somebody has inspected it: for those who were told.
    Locked,
    /// It comes and goes: for those who were told, once.
    Returns,
    /// What became of an answer: for whoever gave it.
    Answer,
    /// More alarms than people can read.
    Flood,
    /// The page of the week, or one that somebody asked for.
    Test,
}

impl PageKind {
    /// Whether a person has to answer; such a page is retried while its incident is paging.
    pub fn wants_answer(self) -> bool {
        use PageKind::{Answer, Flood, Locked, Over, Returns, Taken};
        !matches!(self, Taken | Over | Locked | Returns | Answer | Flood)
    }

    /// The name as printed and stored.
    pub const fn word(self) -> &'static str {
        match self {
            PageKind::Raised => "raised",
            PageKind::Worsened => "worsened",
            PageKind::Reminded => "reminded",
            PageKind::HandedOver => "handed_over",
            PageKind::Late => "late",
            PageKind::Taken => "taken",
            PageKind::Over => "over",
            PageKind::Locked => "locked",
            PageKind::Returns => "returns",
            PageKind::Answer => "answer",
            PageKind::Flood => "flood",
            PageKind::Test => "test",
        }
    }
}

/// One message to one person, or to a channel itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Its number.
    pub id: u64,
    /// What it says.
    pub kind: PageKind,
    /// Which occurrence of the alarm it was made for; 0: it is from before this was kept.
    #[serde(default)]
    pub occurrence: u64,
    /// A person's id, or `channel:ID`.
    pub whom: Arc<str>,
    /// The ways to them, the best first.
    pub ways: Vec<Contact>,
    /// The way that is next.
    pub way: usize,
    /// How often it was tried.
    pub tries: u32,
    /// How it stands.
    pub state: PageState,
    /// Not before this date: what can wait for the digest.
    #[serde(default)]
    pub not_before: Option<UnixMillis>,
    /// When it was tried last, on the monotonic scale.
    #[serde(default)]
    pub tried: Option<i64>,
    /// Whether it is told at any hour.
    #[serde(default)]
    pub urgent: bool,
    /// Whether an earlier try may have arrived: its answer was not seen.
    #[serde(default)]
    pub repeat: bool,
    /// Pages that went in the same message: whoever answers it takes them all.
    #[serde(default)]
    pub with: Vec<u64>,
    /// Whether it was answered: its token writes once.
    #[serde(default)]
    pub used: bool,
    /// What became of it last, in words.
    #[serde(default)]
    pub said: String,
    /// What became of an answer, for whoever gave it.
    #[serde(default)]
    pub answer: LocalizedText,
    /// Whether whoever reads it may still say that they are there.
    #[serde(default)]
    pub can_arrive: bool,
}

impl Page {
    /// Whether it is still to be sent.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, PageState::Waits(_))
    }

    /// Two digits that name the page in a short message, 10 to 99; unique among the next 89 pages.
    pub fn code(&self) -> u64 {
        code(self.id)
    }
}

/// Two digits that name a page in a short message, 10 to 99.
pub fn code(page: u64) -> u64 {
    10 + page % 90
}

/// How a page stands; moments are on the monotonic scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageState {
    /// It is tried from then on.
    Waits(i64),
    /// It is on its way since then.
    Sent(i64),
    /// The service has it.
    Accepted(i64),
    /// It is not sent any more.
    Dropped,
}

/// A message for a channel; it may merge several pages.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    /// Identifies the delivery in its outcome.
    pub id: u64,
    pub channel: Arc<str>,
    /// The address: a telephone number, a topic, a user id.
    pub to: String,
    pub whom: Arc<str>,
    pub language: Language,
    /// The pages of the message.
    pub about: Vec<PageItem>,
    /// The highest priority among its pages.
    pub priority: Priority,
    /// Whether an earlier delivery may have arrived.
    pub repeat: bool,
}

/// One page within a message.
#[derive(Clone, Debug, PartialEq)]
pub struct PageItem {
    pub page: u64,
    pub kind: PageKind,
    /// `rule.device`; empty for an alarm flood.
    pub key: Arc<str>,
    /// The alarm's occurrence number.
    pub occurrence: u64,
    pub priority: Priority,
    /// Who acknowledged the alarm or handed it over.
    pub by: String,
    /// The state of the alarm's condition.
    pub stands: Stands,
    /// Number of alarms, and the period in milliseconds; only of an alarm flood.
    pub flood: (u64, u64),
    /// Whether an injected sample caused it.
    pub test: bool,
    /// The result of a reply; empty for other kinds.
    pub answer: LocalizedText,
    /// Whether the reader may still report arrival.
    pub can_arrive: bool,
}

/// The state of an alarm's condition while it is unacknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stands {
    #[default]
    There,
    /// It ended, and nobody has acknowledged the alarm.
    Gone,
    /// It ended; the alarm is latched until a person resets it.
    Locked,
}

/// An entry of the event log; `key` and `what` are columns of their own, the rest is its JSON body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageLogEntry {
    #[serde(skip)]
    pub key: Arc<str>,
    #[serde(skip)]
    pub what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    /// The alarm's occurrence number.
    pub occurrence: u64,
    /// The kind of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<PageKind>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub whom: Arc<str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}
