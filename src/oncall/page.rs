//! Pages, and the inputs and outputs of paging. Plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::page::{PageKind, code};
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::time::UnixMillis;
use crate::oncall::settings::Contact;

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
    /// The condition of the alarm ended.
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

/// One message to one person, or to a channel itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Number of the page; rises from page to page.
    pub id: u64,
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

/// An entry of the event log; `key` and `what` are columns of their own, the rest is its JSON body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageLogEntry {
    #[serde(skip)]
    pub key: Arc<str>,
    #[serde(skip)]
    pub event: &'static str,
    /// Whose doing it is; empty: it came by itself.
    #[serde(skip)]
    pub actor: String,
    #[serde(skip)]
    pub via: String,
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
