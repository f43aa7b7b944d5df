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
    pub is_test: bool,
    /// Whether it is part of an alarm flood: it is sent together with the others.
    pub merged: bool,
    pub kind: OncallEventKind,
}

/// The kinds of change that paging distinguishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OncallEventKind {
    /// It needs a person: raised, escalated, reminded, or no longer suppressed.
    PageRequired(PageKind),
    /// It is active but suppressed, and the reason.
    Suppressed(&'static str),
    Acknowledged {
        actor: String,
    },
    /// It was handed over to another person.
    HandedOver {
        actor: String,
        to: String,
    },
    /// Somebody arrived on site.
    Arrived {
        actor: String,
    },
    /// Nobody arrived in time.
    ArrivalOverdue,
    /// Its condition ended.
    ConditionEnded {
        /// Whether it is latched until a person resets it.
        latched: bool,
    },
    /// It was resolved by a person: reset, or its rule removed; the reason.
    Resolved(String),
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
    DeliveryFinished {
        id: u64,
        outcome: DeliveryOutcome,
    },
    /// A channel restarted: the outcome of its deliveries in flight will never be known.
    ChannelRestarted {
        channel: String,
    },
    /// A reply to a page.
    Reply(PageReply),
    /// Send a test page.
    Test {
        person: String,
        actor: String,
    },
    /// Add an override of a rota.
    AddOverride(Override),
    RemoveOverride {
        number: u64,
        actor: String,
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
    pub actor: String,
    pub note: String,
    /// The method by which it came, for the log.
    pub via: String,
    /// Whether only the page's own alarm is meant, not every alarm of its message.
    pub is_single: bool,
    /// Whether a confirmation is sent: the method by which it came shows no result.
    pub needs_confirmation: bool,
    /// The channel and its own id of the reply, where replies can be read again; replies up to this id are not read again.
    pub read_up_to: Option<(String, String)>,
}

impl PageReply {
    /// A reply for every alarm of the page's message.
    pub fn new(page: u64, reply: Reply, via: impl Into<String>) -> Self {
        let (by, note) = (String::new(), String::new());
        Self { page, reply, actor: by, note, via: via.into(), is_single: false, needs_confirmation: false, read_up_to: None }
    }
}

/// What a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// It was raised.
    Raised,
    /// It is more urgent than it was.
    #[serde(rename = "worsened")]
    Escalated,
    /// It is still there, long after somebody took it.
    Reminded,
    /// Somebody gave it to you.
    HandedOver,
    /// Somebody took it, and nobody is there.
    #[serde(rename = "late")]
    ArrivalOverdue,
    /// Somebody took it: for those who were told.
    #[serde(rename = "taken")]
    Acknowledged,
    /// It is gone: for those who were told.
    #[serde(rename = "over")]
    Resolved,
    /// Its condition is gone and it is locked until somebody has inspected it: for those who were told.
    #[serde(rename = "locked")]
    Latched,
    /// It comes and goes: for those who were told, once.
    #[serde(rename = "returns")]
    Recurring,
    /// What became of an answer: for whoever gave it.
    #[serde(rename = "answer")]
    ReplyResult,
    /// More alarms than people can read.
    #[serde(rename = "flood")]
    AlarmFlood,
    /// The page of the week, or one that somebody asked for.
    Test,
}

impl PageKind {
    /// Whether a person has to answer; such a page is retried while its incident is paging.
    pub fn requires_ack(self) -> bool {
        use PageKind::{ReplyResult, AlarmFlood, Latched, Resolved, Recurring, Acknowledged};
        !matches!(self, Acknowledged | Resolved | Latched | Recurring | ReplyResult | AlarmFlood)
    }

    /// The name as printed and stored.
    pub const fn word(self) -> &'static str {
        match self {
            PageKind::Raised => "raised",
            PageKind::Escalated => "worsened",
            PageKind::Reminded => "reminded",
            PageKind::HandedOver => "handed_over",
            PageKind::ArrivalOverdue => "late",
            PageKind::Acknowledged => "taken",
            PageKind::Resolved => "over",
            PageKind::Latched => "locked",
            PageKind::Recurring => "returns",
            PageKind::ReplyResult => "answer",
            PageKind::AlarmFlood => "flood",
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
    #[serde(rename = "whom")]
    pub recipient: Arc<str>,
    /// The ways to them, the best first.
    #[serde(rename = "ways")]
    pub contact_methods: Vec<Contact>,
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
    #[serde(rename = "tried")]
    pub last_attempt: Option<i64>,
    /// Whether it is told at any hour.
    #[serde(default)]
    #[serde(rename = "urgent")]
    pub ignores_quiet_hours: bool,
    /// Whether an earlier try may have arrived: its answer was not seen.
    #[serde(default)]
    #[serde(rename = "repeat")]
    pub may_be_duplicate: bool,
    /// Pages that went in the same message: whoever answers it takes them all.
    #[serde(default)]
    #[serde(rename = "with")]
    pub merged_with: Vec<u64>,
    /// Whether it was answered: its token writes once.
    #[serde(default)]
    #[serde(rename = "used")]
    pub is_answered: bool,
    /// What became of it last, in words.
    #[serde(default)]
    #[serde(rename = "said")]
    pub last_result: String,
    /// What became of an answer, for whoever gave it.
    #[serde(default)]
    #[serde(rename = "answer")]
    pub reply_result: LocalizedText,
    /// Whether whoever reads it may still say that they are there.
    #[serde(default)]
    pub can_arrive: bool,
}

impl Page {
    /// Whether it is still to be sent.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, PageState::Waiting(_))
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
    #[serde(rename = "waits")]
    Waiting(i64),
    /// It is on its way since then.
    #[serde(rename = "sent")]
    InFlight(i64),
    /// The service has it.
    Accepted(i64),
    /// It is not sent any more.
    Dropped,
}

/// A message for a channel; it may merge several pages.
#[derive(Clone, Debug, PartialEq)]
pub struct PageDelivery {
    /// Identifies the delivery in its outcome.
    pub id: u64,
    pub channel: Arc<str>,
    /// The address: a telephone number, a topic, a user id.
    pub to: String,
    pub recipient: Arc<str>,
    pub language: Language,
    /// The pages of the message.
    pub about: Vec<PageItem>,
    /// The highest priority among its pages.
    pub priority: Priority,
    /// Whether an earlier delivery may have arrived.
    pub may_be_duplicate: bool,
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
    pub actor: String,
    /// The state of the alarm's condition.
    pub condition: ConditionStatus,
    /// Number of alarms, and the period in milliseconds; only of an alarm flood.
    pub alarm_flood: (u64, u64),
    /// Whether an injected sample caused it.
    pub is_test: bool,
    /// The result of a reply; empty for other kinds.
    pub reply_result: LocalizedText,
    /// Whether the reader may still report arrival.
    pub can_arrive: bool,
}

/// The state of an alarm's condition while it is unacknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionStatus {
    #[default]
    Active,
    /// It ended, and nobody has acknowledged the alarm.
    Ended,
    /// It ended; the alarm is latched until a person resets it.
    Latched,
}

/// An entry of the event log; `key` and `what` are columns of their own, the rest is its JSON body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageLogEntry {
    #[serde(skip)]
    pub key: Arc<str>,
    #[serde(skip)]
    pub event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    /// The alarm's occurrence number.
    pub occurrence: u64,
    /// The kind of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<PageKind>,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[serde(rename = "whom")]
    pub recipient: Arc<str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[serde(rename = "why")]
    pub reason: String,
}
