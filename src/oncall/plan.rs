//! What the files say, resolved: every name leads somewhere. Plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use crate::model::notification::RateLimit;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::oncall::calendar::Calendar;
use crate::oncall::settings::{Contact, Days, Language, StepTarget, Turn};

/// Who is told what, when and how.
#[derive(Clone, Debug, PartialEq)]
pub struct OncallPlan {
    /// People by id.
    pub people: BTreeMap<Arc<str>, PersonPlan>,
    /// Rotas by id.
    pub rotas: BTreeMap<String, RotaPlan>,
    /// Chains, in order.
    pub chains: Vec<Chain>,
    /// Channels by id.
    pub channels: BTreeMap<String, RateLimit>,
    /// Hours in which only P1 and P2 are told.
    pub quiet: Vec<(Time, Time)>,
    /// When what could wait is told.
    pub digest: Time,
    /// How long P3 waits for others.
    pub gather_ms: u64,
    /// An alarm that comes back within this time goes on with the escalation that it had.
    pub returns_ms: u64,
    /// How long somebody may stand in for another at a time.
    pub override_ms: u64,
    /// The page of each week: when, and how long there is to acknowledge it.
    pub test: Option<(Weekday, Time, u64)>,
    /// Working days.
    pub calendar: Calendar,
    /// The site's time zone.
    pub zone: TimeZone,
    /// What each device is and where: class, area.
    pub places: BTreeMap<String, (String, String)>,
}

impl Default for OncallPlan {
    fn default() -> Self {
        Self {
            people: BTreeMap::new(),
            rotas: BTreeMap::new(),
            chains: Vec::new(),
            channels: BTreeMap::new(),
            quiet: Vec::new(),
            digest: Time::midnight(),
            gather_ms: 0,
            returns_ms: 600_000,
            override_ms: 14 * 86_400_000,
            test: None,
            calendar: Calendar::default(),
            zone: TimeZone::UTC,
            places: BTreeMap::new(),
        }
    }
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonPlan {
    /// Names.
    pub names: LocalizedText,
    /// What they read.
    pub language: Language,
    /// What they are.
    pub roles: Vec<String>,
    /// How they are reached, the best way first.
    pub contacts: Vec<Contact>,
}

/// Who is on call when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotaPlan {
    /// Shifts; at each moment the first that covers it counts.
    pub shifts: Vec<ShiftPlan>,
}

/// A shift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftPlan {
    /// Who take turns.
    pub people: Vec<Arc<str>>,
    /// How often they do.
    pub turn: Turn,
    /// The day on which the first of them begins.
    pub since: Date,
    /// When it begins.
    pub from: Time,
    /// When it ends; the same as it begins: a whole day.
    pub to: Time,
    /// Days on which it begins.
    pub days: Days,
}

/// Who is told, one step after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub id: Arc<str>,
    /// Priorities that it is for; empty: all.
    pub priorities: Vec<Priority>,
    /// Classes that it is for; empty: all.
    pub classes: Vec<String>,
    /// Areas that it is for; empty: all.
    pub areas: Vec<String>,
    /// Steps; at least one.
    pub steps: Vec<EscalationStep>,
    /// How often it is gone through; 0: without end.
    pub rounds: u32,
}

/// A step of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationStep {
    /// Whom it tells.
    pub tell: Vec<StepTarget>,
    /// Channels that are tried, in this order; empty: each person's own ways.
    pub by: Vec<String>,
    /// How long it waits.
    pub wait_ms: u64,
}

impl OncallPlan {
    /// The chain that is meant for an alarm of this priority on this device.
    pub fn chain(&self, priority: Priority, device: &str) -> Option<&Chain> {
        let (class, area) = self.places.get(device).map_or(("", ""), |(c, a)| (c.as_str(), a.as_str()));
        let has = |list: &[String], name: &str| list.is_empty() || list.iter().any(|x| x == name);
        self.chains.iter().find(|c| {
            (c.priorities.is_empty() || c.priorities.contains(&priority))
                && has(&c.classes, class)
                && has(&c.areas, area)
        })
    }

    /// Whether two devices are of one class or in one area: what happens to them at once is told in one message.
    pub fn is_alike(&self, a: &str, b: &str) -> bool {
        let (Some(a), Some(b)) = (self.places.get(a), self.places.get(b)) else { return false };
        (a.0 == b.0 && !a.0.is_empty()) || (a.1 == b.1 && !a.1.is_empty())
    }

    /// The ways to a person by these channels; by all if none of theirs is among them.
    pub fn ways(&self, person: &str, by: &[String]) -> Vec<Contact> {
        let Some(person) = self.people.get(person) else { return Vec::new() };
        let mut chosen: Vec<Contact> = Vec::new();
        for channel in by {
            chosen.extend(person.contacts.iter().filter(|c| c.channel == *channel).cloned());
        }
        if chosen.is_empty() { person.contacts.clone() } else { chosen }
    }
}
