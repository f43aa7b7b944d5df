//! The checked on-call configuration: every reference is resolved. Plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use crate::model::calendar::Calendar;
use crate::model::notification::RateLimit;
use crate::model::point::Language;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::oncall::settings::{Contact, Days, StepTarget, Turn};

/// People, rotas, escalation policies and channels of a site.
#[derive(Clone, Debug, PartialEq)]
pub struct OncallPlan {
    pub people: BTreeMap<Arc<str>, PersonPlan>,
    pub rotas: BTreeMap<String, RotaPlan>,
    /// Escalation policies; the first that matches an alarm applies.
    pub escalation_policies: Vec<EscalationPolicy>,
    pub channels: BTreeMap<String, RateLimit>,
    /// Daily periods in which only P1 and P2 are sent; one may cross midnight.
    pub quiet_hours: Vec<(Time, Time)>,
    /// Time of day at which P4 is sent.
    pub digest: Time,
    /// Group wait of P3 and P4, and at most of P2.
    pub group_wait_ms: u64,
    /// An alarm that comes back within this time continues its previous escalation.
    pub recurrence_ms: u64,
    pub override_ms: u64,
    /// The weekly test: weekday, time, and milliseconds to acknowledge.
    pub test: Option<(Weekday, Time, u64)>,
    pub calendar: Calendar,
    pub zone: TimeZone,
    /// Class and area of each device.
    pub device_tags: BTreeMap<String, (String, String)>,
}

impl Default for OncallPlan {
    fn default() -> Self {
        Self {
            people: BTreeMap::new(),
            rotas: BTreeMap::new(),
            escalation_policies: Vec::new(),
            channels: BTreeMap::new(),
            quiet_hours: Vec::new(),
            digest: Time::midnight(),
            group_wait_ms: 0,
            recurrence_ms: 600_000,
            override_ms: 14 * 86_400_000,
            test: None,
            calendar: Calendar::default(),
            zone: TimeZone::UTC,
            device_tags: BTreeMap::new(),
        }
    }
}

/// A person who can be paged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonPlan {
    pub names: LocalizedText,
    pub language: Language,
    pub roles: Vec<String>,
    /// Contact methods, the preferred one first.
    pub contacts: Vec<Contact>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotaPlan {
    /// At each moment the first shift that covers it applies.
    pub shifts: Vec<ShiftPlan>,
}

/// A shift of a rota; its people rotate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftPlan {
    pub people: Vec<Arc<str>>,
    pub turn: Turn,
    /// The day on which the first of `people` starts.
    pub since: Date,
    pub from: Time,
    /// End of the shift; equal to `from`: 24 hours.
    pub to: Time,
    /// Days on which it starts.
    pub days: Days,
}

/// An escalation policy, `[[chain]]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationPolicy {
    pub id: Arc<str>,
    /// Matching priorities; empty: all.
    pub priorities: Vec<Priority>,
    /// Matching device classes; empty: all.
    pub classes: Vec<String>,
    /// Matching areas; empty: all.
    pub areas: Vec<String>,
    /// At least one step, in order.
    pub steps: Vec<EscalationStep>,
    /// Repetitions of all steps; 0: unlimited.
    pub repeat: u32,
}

/// A step of an escalation policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationStep {
    pub targets: Vec<StepTarget>,
    /// Channels to try, in this order; empty: each person's own contact methods.
    pub channels: Vec<String>,
    /// Milliseconds until the next step.
    pub wait_ms: u64,
}

impl OncallPlan {
    /// The escalation policy of an alarm of this priority on this device.
    pub fn escalation_policy(&self, priority: Priority, device: &str) -> Option<&EscalationPolicy> {
        let (class, area) = self.device_tags.get(device).map_or(("", ""), |(c, a)| (c.as_str(), a.as_str()));
        let has = |list: &[String], name: &str| list.is_empty() || list.iter().any(|x| x == name);
        self.escalation_policies.iter().find(|c| {
            (c.priorities.is_empty() || c.priorities.contains(&priority))
                && has(&c.classes, class)
                && has(&c.areas, area)
        })
    }

    /// Whether two devices share a class or an area: their simultaneous alarms are merged into one message.
    pub fn shares_class_or_area(&self, a: &str, b: &str) -> bool {
        let (Some(a), Some(b)) = (self.device_tags.get(a), self.device_tags.get(b)) else { return false };
        (a.0 == b.0 && !a.0.is_empty()) || (a.1 == b.1 && !a.1.is_empty())
    }

    /// A person's contact methods through these channels; all of them if none matches.
    pub fn contact_methods(&self, person: &str, channels: &[String]) -> Vec<Contact> {
        let Some(person) = self.people.get(person) else { return Vec::new() };
        let mut chosen: Vec<Contact> = Vec::new();
        for channel in channels {
            chosen.extend(person.contacts.iter().filter(|c| c.channel == *channel).cloned());
        }
        if chosen.is_empty() { person.contacts.clone() } else { chosen }
    }
}
