//! Events of alarms, commands to them, and their ISA-18.2 states. Plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::priority::Priority;
use crate::model::time::UnixMillis;

/// How an alarm is seen: the names of ISA-18.2, a projection of condition, acknowledgement, latch and visibility.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// Not in alarm, not latched, and nobody has to acknowledge anything.
    #[default]
    Normal,
    /// In alarm, and nobody has taken it.
    Unacknowledged,
    /// In alarm, and somebody has.
    Acknowledged,
    /// Cleared by itself, and nobody has seen it.
    Returned,
    /// Cleared, and waits for an inspection and a reset.
    Latched,
    /// Put aside by a person for a time.
    Shelved,
    /// Hidden by another alarm that explains it.
    Suppressed,
    /// Taken out by a person.
    OutOfService,
}

impl AlarmState {
    /// Every state, in order of its code.
    pub const ALL: [AlarmState; 8] = [
        AlarmState::Normal,
        AlarmState::Unacknowledged,
        AlarmState::Acknowledged,
        AlarmState::Returned,
        AlarmState::Latched,
        AlarmState::Shelved,
        AlarmState::Suppressed,
        AlarmState::OutOfService,
    ];

    /// The number used in the time-series store.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// As printed and serialized.
    pub const fn word(self) -> &'static str {
        match self {
            AlarmState::Normal => "normal",
            AlarmState::Unacknowledged => "unacknowledged",
            AlarmState::Acknowledged => "acknowledged",
            AlarmState::Returned => "returned",
            AlarmState::Latched => "latched",
            AlarmState::Shelved => "shelved",
            AlarmState::Suppressed => "suppressed",
            AlarmState::OutOfService => "out_of_service",
        }
    }
}

/// Kind of an alarm event; its word is the event's kind in the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmEventKind {
    /// The condition came and lasted.
    Raised,
    /// It is more urgent than it was.
    #[serde(rename = "worsened")]
    Escalated,
    /// It is less urgent than it was.
    #[serde(rename = "eased")]
    Deescalated,
    /// The condition is gone, and stayed so.
    Cleared,
    /// Its input is not known any more: it stays as it is.
    #[serde(rename = "input_lost")]
    InputBad,
    /// Its input is known again.
    #[serde(rename = "input_back")]
    InputRestored,
    /// Somebody acknowledged it (`actor`).
    Acknowledged,
    /// Who had it gave it to somebody else (`cause`).
    HandedOver,
    /// Somebody reported arrival on site (`actor`).
    Arrived,
    /// Somebody reset it after an inspection.
    Reset,
    /// It is still there and wants to be acknowledged again.
    Reminded,
    /// Put aside for a time.
    Shelved,
    /// Shelving ended: its time was over, or somebody ended it.
    Unshelved,
    /// Taken out by a person.
    #[serde(rename = "taken_out")]
    OutOfService,
    /// Somebody returned it to service.
    #[serde(rename = "put_back")]
    ReturnedToService,
    /// Another alarm explains it.
    #[serde(rename = "hidden")]
    Suppressed,
    /// No other alarm explains it any more.
    #[serde(rename = "shown")]
    Unsuppressed,
    /// Nobody took it in time.
    AcknowledgeOverdue,
    /// Nobody was there in time.
    ArriveOverdue,
    /// It did not clear in time.
    ResolveOverdue,
    /// Its rule is gone.
    Removed,
    /// Its rule is new, by a reload (`by`).
    RuleAdded,
    /// Its rule says something else, by a reload (`by`).
    RuleChanged,
    /// Its rule is not there any more, by a reload (`by`).
    RuleRemoved,
    /// Somebody gave a sample of one's own for a trial (`cause`).
    #[serde(rename = "trial")]
    SampleInjected,
    /// It comes and goes too often: it is held in alarm until its condition has stayed away.
    #[serde(rename = "chatters")]
    Chattering,
    /// More alarms than people can read.
    #[serde(rename = "flood_began")]
    AlarmFloodBegan,
    /// The number of recent alarms fell to half of the count at which a flood begins.
    #[serde(rename = "flood_ended")]
    AlarmFloodEnded,
}

impl AlarmEventKind {
    /// As printed and serialized.
    pub const fn word(self) -> &'static str {
        match self {
            AlarmEventKind::Raised => "raised",
            AlarmEventKind::Escalated => "worsened",
            AlarmEventKind::Deescalated => "eased",
            AlarmEventKind::Cleared => "cleared",
            AlarmEventKind::InputBad => "input_lost",
            AlarmEventKind::InputRestored => "input_back",
            AlarmEventKind::Acknowledged => "acknowledged",
            AlarmEventKind::HandedOver => "handed_over",
            AlarmEventKind::Arrived => "arrived",
            AlarmEventKind::Reset => "reset",
            AlarmEventKind::Reminded => "reminded",
            AlarmEventKind::Shelved => "shelved",
            AlarmEventKind::Unshelved => "unshelved",
            AlarmEventKind::OutOfService => "taken_out",
            AlarmEventKind::ReturnedToService => "put_back",
            AlarmEventKind::Suppressed => "hidden",
            AlarmEventKind::Unsuppressed => "shown",
            AlarmEventKind::AcknowledgeOverdue => "acknowledge_overdue",
            AlarmEventKind::ArriveOverdue => "arrive_overdue",
            AlarmEventKind::ResolveOverdue => "resolve_overdue",
            AlarmEventKind::Removed => "removed",
            AlarmEventKind::RuleAdded => "rule_added",
            AlarmEventKind::RuleChanged => "rule_changed",
            AlarmEventKind::RuleRemoved => "rule_removed",
            AlarmEventKind::SampleInjected => "trial",
            AlarmEventKind::Chattering => "chatters",
            AlarmEventKind::AlarmFloodBegan => "flood_began",
            AlarmEventKind::AlarmFloodEnded => "flood_ended",
        }
    }
}

/// An entry in the history of an alarm, of its rule, or of an alarm flood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmEvent {
    /// `rule.device`; empty for what concerns all alarms.
    pub key: Arc<str>,
    /// What happened to the alarm, the rule or the flood.
    #[serde(rename = "what")]
    pub kind: AlarmEventKind,
    /// How the alarm is seen from now on.
    #[serde(rename = "seen")]
    pub state: AlarmState,
    /// Which occurrence of it, counted from one.
    pub occurrence: u64,
    /// How much it matters.
    pub priority: Priority,
    /// The value of the alarm's point; of an alarm flood, the number of alarms; `None` if there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The limit in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Why: a quality, another alarm's key, a number.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub cause: String,
    /// Name of the person or program; empty if nobody did it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    #[serde(rename = "by")]
    pub actor: String,
    /// By which way it came; empty where nobody did it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub via: String,
    /// Remark of whoever did it; empty if they made none.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
    /// Seconds from raising to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_s: Option<u64>,
    /// Of an alarm flood: the period in which its alarms were raised, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within_ms: Option<u64>,
    /// Nobody is told: it is shelved, out of service or hidden.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    #[serde(rename = "quiet")]
    pub is_silenced: bool,
    /// It is one of an alarm flood: it is told together with the others.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    #[serde(rename = "merged")]
    pub in_alarm_flood: bool,
    /// It comes of a sample that was given for a trial.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub test: bool,
    /// It was the first of its group.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    #[serde(rename = "first")]
    pub is_first_out: bool,
    /// Whether it is in alarm from now on.
    #[serde(default)]
    pub active: bool,
}

impl AlarmEvent {
    /// An event without value, actor and note.
    pub fn bare(key: &str, what: AlarmEventKind, occurrence: u64, priority: Priority) -> Self {
        Self {
            key: key.into(),
            kind: what,
            state: AlarmState::Normal,
            occurrence,
            priority,
            value: None,
            limit: None,
            cause: String::new(),
            actor: String::new(),
            via: String::new(),
            note: String::new(),
            after_s: None,
            within_ms: None,
            is_silenced: false,
            in_alarm_flood: false,
            test: false,
            is_first_out: false,
            active: false,
        }
    }
}

/// A moment that may lie before the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Milliseconds on the monotonic scale; negative before the boot.
    pub mono: i64,
    /// The date at that moment by the wall clock.
    pub wall: UnixMillis,
    /// Whether that may be believed.
    pub trusted: bool,
}

/// Every alarm, as the pages need it after a start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmSummaries {
    /// Whether there are more alarms than people can read.
    pub is_alarm_flood: bool,
    /// In order of their keys.
    pub alarms: Vec<AlarmSummary>,
}

/// What the pages need to know of an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmSummary {
    /// The alarm's key, `rule.device`.
    pub key: Arc<str>,
    /// How often it was raised.
    pub occurrence: u64,
    /// Its priority now, or when it was last active.
    pub priority: Priority,
    /// Whether an injected value caused it.
    pub is_test: bool,
    /// Whether its condition holds.
    pub is_active: bool,
    /// Whether somebody still has to acknowledge it.
    pub needs_ack: bool,
    /// Whether it waits for a reset.
    pub latched: bool,
    /// Whether it is shelved, out of service or suppressed.
    pub is_silenced: bool,
    /// Whether nobody was notified of this occurrence.
    pub never_notified: bool,
    /// Who acknowledged it; empty: nobody.
    pub owner: String,
}
