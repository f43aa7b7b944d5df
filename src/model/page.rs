//! Pages as rooms tell each other of them: what a page says, and an attempt to deliver one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::point::{Language, LocalizedText};
use crate::model::priority::Priority;

/// The first part of a test page's key: `page_test.wang`.
pub const TEST: &str = "page_test";

/// Whether a key belongs to a test page and not to an alarm.
pub fn is_test(key: &str) -> bool {
    key.split_once('.').is_some_and(|(head, _)| head == TEST)
}

/// What a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// The alarm was raised, and somebody has to acknowledge it.
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
        use PageKind::{Acknowledged, AlarmFlood, Latched, Recurring, ReplyResult, Resolved};
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

/// Two digits that name a page in a short message, 10 to 99.
pub fn code(page: u64) -> u64 {
    10 + page % 90
}

/// A message for a channel; it may merge several pages.
#[derive(Clone, Debug, PartialEq)]
pub struct PageDelivery {
    /// Identifies the delivery in its outcome.
    pub id: u64,
    /// Id of the channel that sends the message.
    pub channel: Arc<str>,
    /// The address: a telephone number, a topic, a user id.
    pub to: String,
    /// A person's id, or `channel:ID` for a channel itself.
    pub recipient: Arc<str>,
    /// Language of the message; the default language for a channel itself.
    pub language: Language,
    /// The pages of the message.
    pub items: Vec<PageItem>,
    /// The highest priority among its pages.
    pub priority: Priority,
    /// Whether an earlier delivery may have arrived.
    pub may_be_duplicate: bool,
}

/// One page within a message.
#[derive(Clone, Debug, PartialEq)]
pub struct PageItem {
    /// Number of the page; a short reply names it by [`code`].
    pub page: u64,
    /// What the page says about the alarm.
    pub kind: PageKind,
    /// `rule.device`; empty for an alarm flood.
    pub key: Arc<str>,
    /// The alarm's occurrence number.
    pub occurrence: u64,
    /// Priority of the alarm that the page is about.
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
    /// Its condition still holds, as far as the on-call room knows.
    #[default]
    Active,
    /// It ended, and nobody has acknowledged the alarm.
    Ended,
    /// It ended; the alarm is latched until a person resets it.
    Latched,
}
