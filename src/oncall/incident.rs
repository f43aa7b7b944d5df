//! An incident: an alarm that needs a person, from the first page until it is acknowledged or resolved.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::page::PageKind;
use crate::model::priority::Priority;
use crate::oncall::page::{Page, PageState};
use crate::oncall::settings::Contact;

/// Notes kept per incident; the oldest are dropped.
const NOTES: usize = 40;
/// Finished pages kept per incident; the oldest are dropped.
const DONE: usize = 60;

/// The escalation and the pages of one alarm, or of a test page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Which occurrence of the alarm.
    pub occurrence: u64,
    /// How much it matters.
    pub priority: Priority,
    /// What its pages say.
    pub kind: PageKind,
    /// The chain that it goes through.
    #[serde(rename = "chain")]
    pub escalation_policy: Option<Arc<str>>,
    pub stage: IncidentStage,
    /// The step that is next.
    pub step: usize,
    /// How often the chain was gone through.
    pub round: u32,
    /// When the next step begins, on the monotonic scale; of a test: when it is missed.
    #[serde(rename = "next")]
    pub next_step_at: Option<i64>,
    /// Pages to people and channels; the oldest finished ones are dropped.
    pub pages: Vec<Page>,
    /// What became of it, the oldest first.
    pub notes: Vec<String>,
    /// Whether it comes of a trial.
    #[serde(default)]
    #[serde(rename = "test")]
    pub is_test: bool,
    /// Whether it was one of a flood: what is said of it goes together with the others.
    #[serde(default)]
    #[serde(rename = "merges")]
    pub is_merged: bool,
    /// The occurrence at which people began to be told: one that comes back soon goes on with the same escalation.
    #[serde(default)]
    #[serde(rename = "first")]
    pub first_occurrence: u64,
    /// When its condition went, on the monotonic scale.
    #[serde(default)]
    #[serde(rename = "gone")]
    pub condition_ended_at: Option<i64>,
    /// Whether it is locked until somebody has inspected it.
    #[serde(default)]
    #[serde(rename = "locked")]
    pub latched: bool,
    /// Whether it was said that it comes and goes.
    #[serde(default)]
    #[serde(rename = "flaps")]
    pub recurrence_reported: bool,
    /// When somebody took it, on the monotonic scale.
    #[serde(default)]
    #[serde(rename = "taken")]
    pub acknowledged_at: Option<i64>,
    /// Who took it, or gave it to somebody.
    #[serde(default)]
    #[serde(rename = "by")]
    pub actor: String,
    /// How many alarms, and within how many milliseconds; of an alarm flood.
    #[serde(default)]
    #[serde(rename = "flood")]
    pub alarm_flood: (u64, u64),
}

/// How an incident stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentStage {
    /// People are paged until somebody acknowledges.
    #[serde(rename = "wanted")]
    Paging,
    /// Somebody acknowledged it; the field is their id.
    #[serde(rename = "taken")]
    Acknowledged(String),
    /// Nobody is told, and why.
    #[serde(rename = "silent")]
    Suppressed(String),
    /// It is over, and why.
    #[serde(rename = "over")]
    Resolved(String),
}

impl Incident {
    pub fn new(occurrence: u64, priority: Priority, kind: PageKind) -> Self {
        Self {
            occurrence,
            priority,
            kind,
            escalation_policy: None,
            stage: IncidentStage::Paging,
            step: 0,
            round: 0,
            next_step_at: None,
            pages: Vec::new(),
            notes: Vec::new(),
            is_test: false,
            is_merged: false,
            first_occurrence: occurrence,
            condition_ended_at: None,
            latched: false,
            recurrence_reported: false,
            acknowledged_at: None,
            actor: String::new(),
            alarm_flood: (0, 0),
        }
    }

    /// Starts a new escalation. Earlier pages stay answerable: a reply to one acknowledges the present occurrence.
    pub fn restart_escalation(&mut self, occurrence: u64, priority: Priority, kind: PageKind) {
        let pages = std::mem::take(&mut self.pages);
        let notes = std::mem::take(&mut self.notes);
        *self = Self { pages, notes, ..Self::new(occurrence, priority, kind) };
    }

    /// Pages of the present escalation.
    pub fn current(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(|p| p.occurrence >= self.first_occurrence)
    }

    /// Appends a note; a repetition of the last one is skipped.
    pub fn note(&mut self, text: String) {
        if self.notes.last() != Some(&text) {
            self.notes.push(text);
        }
        if self.notes.len() > NOTES {
            self.notes.remove(0);
        }
    }

    /// Whether a page waits or is in flight.
    pub fn has_pending_pages(&self) -> bool {
        self.pages.iter().any(|p| matches!(p.state, PageState::Waiting(_) | PageState::InFlight(_)))
    }

    /// Recipients whose page requiring an answer was accepted by a service, without duplicates.
    pub fn reached_recipients(&self) -> Vec<Arc<str>> {
        let mut out: Vec<Arc<str>> = Vec::new();
        for page in self.current().filter(|p| p.kind.requires_ack()) {
            if matches!(page.state, PageState::Accepted(_)) && !out.contains(&page.recipient) {
                out.push(Arc::clone(&page.recipient));
            }
        }
        out
    }

    /// Drops waiting pages that require an answer and returns their ids. Pages in flight and accepted ones remain.
    pub fn drop_waiting(&mut self, why: &str) -> Vec<u64> {
        let mut out = Vec::new();
        for page in self.pages.iter_mut().filter(|p| p.kind.requires_ack()) {
            if matches!(page.state, PageState::Waiting(_)) {
                page.state = PageState::Dropped;
                page.last_result = why.to_string();
                out.push(page.id);
            }
        }
        out
    }

    /// Whether a waiting page of this kind to this recipient exists; contact methods new to it are added and tried next.
    pub fn merge_into_waiting(
        &mut self,
        kind: PageKind,
        recipient: &str,
        contact_methods: &[Contact],
        now: i64,
    ) -> bool {
        let occurrence = self.occurrence;
        let same =
            |p: &&mut Page| p.kind == kind && *p.recipient == *recipient && matches!(p.state, PageState::Waiting(_));
        let Some(page) = self.pages.iter_mut().find(same) else { return false };
        page.occurrence = occurrence;
        let fresh: Vec<Contact> =
            contact_methods.iter().filter(|w| !page.contact_methods.contains(w)).cloned().collect();
        if !fresh.is_empty() {
            page.way = page.contact_methods.len();
            page.contact_methods.extend(fresh);
            page.state = PageState::Waiting(now);
        }
        true
    }

    /// Removes the oldest finished pages beyond `DONE`.
    pub fn tidy(&mut self) {
        let is_done = |p: &Page| matches!(p.state, PageState::Accepted(_) | PageState::Dropped);
        let mut over = self.pages.iter().filter(|p| is_done(p)).count().saturating_sub(DONE);
        self.pages.retain(|p| {
            let forget = over > 0 && is_done(p);
            over -= usize::from(forget);
            !forget
        });
    }

    /// Every time stamp on the monotonic scale: they are rebased after a restart.
    pub fn moments(&mut self) -> impl Iterator<Item = &mut i64> {
        let pages = self.pages.iter_mut().flat_map(|p| {
            let state = match &mut p.state {
                PageState::Waiting(at) | PageState::InFlight(at) | PageState::Accepted(at) => Some(at),
                PageState::Dropped => None,
            };
            state.into_iter().chain(&mut p.last_attempt)
        });
        let own = self.next_step_at.iter_mut().chain(&mut self.condition_ended_at).chain(&mut self.acknowledged_at);
        own.chain(pages)
    }
}
