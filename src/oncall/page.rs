//! Pages, what they are about, and what comes in and goes out. Plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::notification::DeliveryOutcome;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::time::UnixMillis;
use crate::oncall::rota::Override;
use crate::oncall::settings::{Contact, Language};

/// What happened to an alarm, as far as people are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct OncallEvent {
    /// `rule.device`; empty for what concerns all alarms.
    pub key: Arc<str>,
    /// Which occurrence of it.
    pub occurrence: u64,
    /// How much it matters.
    pub priority: Priority,
    /// Whether it comes of a trial.
    pub test: bool,
    /// Whether it is one of an alarm flood: it is told together with the others.
    pub merged: bool,
    /// What happened.
    pub what: OncallEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OncallEventKind {
    /// It wants somebody: raised, worse, again, or not hidden any more.
    Wanted(PageKind),
    /// It would, but nobody is told, and why.
    Silenced(&'static str),
    /// Somebody took it.
    Taken {
        /// Who.
        by: String,
    },
    /// Somebody gave it to somebody else.
    HandedOver {
        /// Who.
        by: String,
        /// To whom.
        to: String,
    },
    /// Somebody is there.
    Arrived {
        /// Who.
        by: String,
    },
    /// Nobody was there in time.
    Late,
    /// Its condition is gone by itself.
    Gone {
        /// Whether it is locked until somebody has inspected it.
        locked: bool,
    },
    /// It is over, by what a person did: its rule is gone, or it was reset.
    Over(String),
    /// It comes and goes too often and is held.
    Chatters,
    /// More alarms than people can read.
    FloodBegan {
        /// How many.
        count: u64,
        /// Within so many milliseconds.
        within_ms: u64,
    },
    /// No longer.
    FloodEnded,
}

/// What comes in besides alarms.
#[derive(Clone, Debug, PartialEq)]
pub enum OncallCommand {
    /// What became of a try.
    Answered {
        /// The try.
        id: u64,
        /// What.
        answer: DeliveryOutcome,
    },
    /// A channel began anew: of what was on its way nobody will hear.
    Lost {
        /// The channel.
        channel: String,
    },
    /// Whoever got a page answers it.
    Reply(PageReply),
    /// A page for a trial.
    Test {
        /// To whom.
        person: String,
        /// Who asks for it.
        by: String,
    },
    /// Somebody stands in for whoever the plan names.
    StandIn(Override),
    /// Somebody's standing in is taken back.
    Withdraw {
        /// Its number.
        number: u64,
        /// Who says so.
        by: String,
    },
}

/// What somebody who was paged does with the alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// I have it.
    Acknowledge,
    /// I am there; it is acknowledged with that if nobody has done so.
    Arrive,
    /// A colleague has it from now on.
    HandOver {
        /// A person's id.
        to: String,
    },
    /// Put it aside for so long.
    Shelve {
        /// Milliseconds.
        for_ms: u64,
    },
    /// It is inspected.
    Reset,
}

/// An answer to a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageReply {
    /// The page.
    pub page: u64,
    /// What is to be done.
    pub reply: Reply,
    /// Who answers a page that went to a channel and not to a person; empty: nobody says so.
    pub by: String,
    /// Why.
    pub note: String,
    /// By which way it came, for the log.
    pub how: String,
    /// Whether only the page's own alarm is meant, not all of its message.
    pub is_single: bool,
    /// Whether it is confirmed by a message of its own: the way that it came by shows nothing.
    pub is_confirmed: bool,
    /// The channel, and its own name of the answer, where it can read answers again: what came up to it is not read again.
    pub read: Option<(String, String)>,
}

impl PageReply {
    /// For all that the page's message says.
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
    /// Whether somebody has to answer: it is tried until somebody is reached.
    pub fn wants_answer(self) -> bool {
        use PageKind::{Answer, Flood, Locked, Over, Returns, Taken};
        !matches!(self, Taken | Over | Locked | Returns | Answer | Flood)
    }

    /// As it is printed.
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

    /// Two digits that name it in a short message, 10 to 99: other ones for the next 89 pages.
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

/// A try, for a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    /// Its number: the answer names it.
    pub id: u64,
    /// The channel.
    pub channel: Arc<str>,
    /// Where to.
    pub to: String,
    /// Who reads it.
    pub whom: Arc<str>,
    /// What they read.
    pub language: Language,
    /// What the message says; several of them are merged.
    pub about: Vec<PageItem>,
    /// How much the most urgent of it matters.
    pub priority: Priority,
    /// Whether an earlier try may have arrived.
    pub repeat: bool,
}

/// One thing that a message says.
#[derive(Clone, Debug, PartialEq)]
pub struct PageItem {
    /// The page.
    pub page: u64,
    /// What it says.
    pub kind: PageKind,
    /// `rule.device`; empty for what concerns all.
    pub key: Arc<str>,
    /// Which occurrence of it.
    pub occurrence: u64,
    /// How much it matters.
    pub priority: Priority,
    /// Who took it, or gave it.
    pub by: String,
    /// How its condition stands.
    pub stands: Stands,
    /// How many alarms there are, and within how many milliseconds; of an alarm flood.
    pub flood: (u64, u64),
    /// Whether it is a trial.
    pub test: bool,
    /// What became of an answer; of [`PageKind::Answer`].
    pub answer: LocalizedText,
    /// Whether whoever reads it may say that they are there.
    pub can_arrive: bool,
}

/// How the condition of an alarm stands while somebody is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stands {
    /// It is there.
    #[default]
    There,
    /// It is gone by itself, and nobody has taken it.
    Gone,
    /// It is gone, and locked until somebody has inspected it.
    Locked,
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageLogEntry {
    /// `rule.device`.
    #[serde(skip)]
    pub key: Arc<str>,
    /// What happened.
    #[serde(skip)]
    pub what: &'static str,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    /// Which occurrence of the alarm.
    pub occurrence: u64,
    /// What the page says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<PageKind>,
    /// Whom.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub whom: Arc<str>,
    /// Through what.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// Why, or who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}
