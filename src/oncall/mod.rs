//! On-call: who is paged about an alarm, when, through which channel, and why not. Pure rules: time is an argument, and every
//! effect is returned in an [`OncallOutput`]; nothing here does I/O, reads a clock or logs.
//!
//! # States
//!
//! Each alarm that may need a person has one [`Incident`], keyed `rule.device`; `page_test.<person>` is a test page and the
//! empty key an alarm flood. An incident is *paging*, *acknowledged*, *suppressed* (shelved, out of service, explained by
//! another alarm, or without an escalation policy) or *resolved*. While it is paging, the steps of its escalation policy
//! start one after the other, and each step creates pages: one per recipient, with contact methods in order of preference.
//!
//! A page waits, is in flight, is accepted by a service, or is dropped. Any outcome but acceptance moves it to its next
//! contact method. After all of them it waits 15 s, doubled each round up to 10 min (P1: at most 60 s). A page that requires
//! an answer is retried as long as its incident is paging; any other is dropped after three rounds.
//!
//! # Invariants and guarantees
//!
//! * An unacknowledged P1 or P2 keeps paging after its condition ended. Paging stops when a person acknowledges or resets the
//!   alarm, when it is suppressed or its rule removed, or when the repetitions of the policy are used up.
//! * An alarm that returns within `returns_within` continues its escalation; its recipients are informed of that once.
//! * At most two deliveries per channel are in flight; one without an outcome after 120 s counts as unknown.
//! * Quiet hours delay P3, P4 and messages about an end; the digest delays P4; the group wait delays P2 to P4. The most
//!   urgent page is sent first, and part of each channel's burst is reserved for P1.
//! * A service's pause is capped at 10 min. A P1 without a free alternative is tried every 60 s in spite of the pause, within
//!   the channel's own rate limit.
//!
//! # Order of effects
//!
//! Events and commands only change state and make [`Oncall::tick`] due. The tick runs up to eight passes of weekly test, due
//! steps and dispatch, then returns log entries, messages and changed incidents. The caller commits log and state in one
//! transaction before it passes the messages to the channels (`app::outbox`, which waits for the disk 2 s at most).
//!
//! # Restart
//!
//! Incidents, overrides, the page counter and the time of the next test are restored, with time stamps rebased on the new
//! boot. A page in flight is sent again, marked as a possible repetition. Rate limits, cooldowns, counters and the start of
//! an alarm flood are not persisted.
//!
//! # Not guaranteed
//!
//! * Accepted means accepted by the service, not read by a person; only a reply proves that.
//! * Delivery is at least once: an unknown outcome leads to another attempt.
//! * Without a trusted date the person on call is unknown: everyone of the rota is paged, and neither quiet hours nor the
//!   digest apply.
//! * A page whose channels were all removed by a reload is dropped; later steps of the policy may still reach its recipient.

pub mod ahead;
pub mod answers;
mod dispatch;
mod downtime;
mod events;
mod explain;
pub mod hours;
pub mod incident;
pub mod page;
mod people;
pub mod plan;
pub mod room;
pub mod rota;
pub mod settings;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::actor::Actor;
use crate::model::page::{PageDelivery, is_test};
use crate::model::text::{REMARK, one_line};
use crate::model::time::{MonotonicMillis, Now, UnixMillis, rebase_offset};
use crate::oncall::dispatch::{ChannelState, InFlightDelivery};
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{Page, PageLogEntry, PageState};
use crate::oncall::plan::OncallPlan;
use crate::oncall::rota::Override;

/// Passes of one [`Oncall::tick`]; what remains due is done a millisecond later.
const STEPS_AT_ONCE: u32 = 8;

/// What survives a restart of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersistedIncident {
    pub incident: Incident,
    /// When it was kept.
    pub saved: Now,
    /// The boot that its moments are of.
    pub boot: Arc<str>,
}

/// What survives a restart beside the incidents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Who stands in for whom.
    pub overrides: Vec<Override>,
    /// The number of the last of them.
    pub last_override: u64,
    /// The next page's number.
    pub next_page: u64,
    /// When the page of the week is due.
    pub next_test: Option<UnixMillis>,
    /// The last answer that was carried out of each channel that reads its answers again: what came before it is old.
    #[serde(rename = "answered")]
    pub last_replies: BTreeMap<String, String>,
}

/// State restored at a start: a row of the store per incident and one for `meta`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersistedOncall {
    pub incidents: BTreeMap<String, PersistedIncident>,
    pub meta: Meta,
}

/// The effects of one input. The caller persists `log`, `changed` and `meta` in one transaction, then sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OncallOutput {
    /// Entries of the event log, in order.
    pub log: Vec<PageLogEntry>,
    pub sends: Vec<PageDelivery>,
    /// Changed incidents; `None`: delete the stored row.
    pub changed: BTreeMap<Arc<str>, Option<PersistedIncident>>,
    /// The other state, if it changed.
    pub meta: Option<Meta>,
}

/// Statistics of paging, for the gateway's own health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OncallStats {
    /// Alarms in need of a person of which nobody has been notified.
    pub unreached: u64,
    /// People who missed their last test page.
    pub tests_missed: u64,
    /// Pages that wait or are in flight.
    pub waiting: u64,
    /// Channels whose last delivery failed.
    pub unavailable_channels: u64,
    /// Deliveries accepted by a service since the start.
    pub sent: u64,
    /// Deliveries that were not accepted since the start.
    pub failed: u64,
}

/// The state machine of paging: incidents, their pages, and the state of the channels.
#[derive(Debug, Default)]
pub struct Oncall {
    plan: Arc<OncallPlan>,
    incidents: BTreeMap<Arc<str>, Incident>,
    meta: Meta,
    channels: BTreeMap<String, ChannelState>,
    in_flight: BTreeMap<u64, InFlightDelivery>,
    next_send: u64,
    boot: Arc<str>,
    /// When [`Oncall::tick`] has something to do without an input.
    wake: Option<MonotonicMillis>,
    /// Incidents that changed in this step; `is_meta_touched`: whether `meta` did.
    touched: BTreeSet<Arc<str>>,
    is_meta_touched: bool,
    /// Start of the present alarm flood: alarms below P1 are then sent once a minute.
    alarm_flood_since: Option<MonotonicMillis>,
    /// Counters since the start.
    counters: OncallStats,
}

impl Oncall {
    /// Restores the stored state under a plan; time stamps are rebased on the present boot.
    pub fn new(plan: Arc<OncallPlan>, stored: PersistedOncall, boot: &str, now: Now) -> Self {
        let mut meta = stored.meta;
        for o in meta.overrides.iter_mut().filter(|o| o.number == 0) {
            meta.last_override += 1;
            o.number = meta.last_override;
        }
        let mut out = Self { plan, meta, boot: boot.into(), wake: Some(now.mono), ..Self::default() };
        for (key, kept) in stored.incidents {
            let mut incident = kept.incident;
            let by = rebase_offset((kept.saved, &kept.boot), (now, boot));
            incident.moments().for_each(|at| *at = at.saturating_add(by));
            incident.first_occurrence =
                if incident.first_occurrence == 0 { incident.occurrence } else { incident.first_occurrence };
            for page in &mut incident.pages {
                // The outcome of a page in flight is unknown: it is sent again, marked as a possible repetition.
                page.occurrence = if page.occurrence == 0 { incident.occurrence } else { page.occurrence };
                if let PageState::InFlight(at) = page.state {
                    (page.state, page.may_be_duplicate) = (PageState::Waiting(at), true);
                }
            }
            out.incidents.insert(key.into(), incident);
        }
        out.drop_removed_channels();
        out
    }

    /// Applies a new plan: incidents continue; pages that have no channel left are dropped.
    pub fn reconfigure(&mut self, plan: Arc<OncallPlan>, now: Now) {
        self.meta.next_test = self.meta.next_test.filter(|_| plan.test == self.plan.test);
        self.plan = plan;
        self.wake = Some(now.mono);
        self.drop_removed_channels();
    }

    /// Removes contact methods of channels that no longer exist; a waiting page without any is dropped.
    fn drop_removed_channels(&mut self) {
        let channels = &self.plan.channels;
        self.channels.retain(|id, _| channels.contains_key(id));
        for page in self.incidents.values_mut().flat_map(|i| &mut i.pages) {
            if !matches!(page.state, PageState::Waiting(_)) {
                continue;
            }
            page.contact_methods.retain(|w| channels.contains_key(&w.channel));
            page.way = 0;
            if page.contact_methods.is_empty() {
                page.state = PageState::Dropped;
                page.last_result = "its channel is gone".to_string();
            }
        }
    }

    /// Appends an entry to the log of this step.
    fn log(&self, out: &mut OncallOutput, key: &Arc<str>, event: &'static str, page: Option<u64>, reason: &str) {
        let incident = self.incidents.get(key);
        let found: Option<&Page> = incident.and_then(|i| i.pages.iter().find(|p| Some(p.id) == page));
        out.log.push(PageLogEntry {
            key: Arc::clone(key),
            event,
            actor: String::new(),
            via: String::new(),
            page,
            occurrence: incident.map_or(0, |i| i.occurrence),
            kind: found.map(|p| p.kind),
            recipient: found.map_or_else(|| "".into(), |p| Arc::clone(&p.recipient)),
            channel: found.and_then(|p| p.contact_methods.get(p.way)).map_or(String::new(), |w| w.channel.clone()),
            reason: reason.to_string(),
        });
    }

    /// Adds to the log what somebody did.
    fn log_by(
        &self,
        out: &mut OncallOutput,
        key: &Arc<str>,
        (event, page, reason): (&'static str, Option<u64>, &str),
        actor: &Actor,
    ) {
        self.log(out, key, event, page, reason);
        if let Some(entry) = out.log.last_mut() {
            (entry.actor, entry.via) = (one_line(&actor.id, REMARK), actor.via.to_string());
        }
    }

    /// Does what is due: starts steps, sends pages, removes resolved incidents. Ends every step of the engine.
    pub fn tick(&mut self, now: Now, out: &mut OncallOutput) {
        // A step may make the next one due at once.
        for _ in 0..STEPS_AT_ONCE {
            if self.wake.is_none_or(|at| at > now.mono) {
                break;
            }
            self.wake = None;
            self.run_weekly_test(now, out);
            self.start_due_steps(now, out);
            self.dispatch(now, out);
        }
        self.wake = self.wake.map(|at| at.max(now.mono.plus(1)));
        for key in std::mem::take(&mut self.touched) {
            let Some(incident) = self.incidents.get_mut(&key) else {
                out.changed.insert(key, None);
                continue;
            };
            incident.tidy();
            let is_over = matches!(incident.stage, IncidentStage::Resolved(_)) && !is_test(&key);
            if (is_over || key.is_empty()) && !incident.has_pending_pages() {
                self.incidents.remove(&key);
                out.changed.insert(key, None);
            } else {
                let (incident, boot) = (incident.clone(), Arc::clone(&self.boot));
                out.changed.insert(key, Some(PersistedIncident { incident, saved: now, boot }));
            }
        }
        if std::mem::take(&mut self.is_meta_touched) {
            out.meta = Some(self.meta.clone());
        }
    }

    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        self.wake
    }

    fn wake_at(&mut self, at: i64) {
        let at = MonotonicMillis(u64::try_from(at).unwrap_or(0));
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    /// Statistics at this moment.
    pub fn stats(&self) -> OncallStats {
        let unreached = self.incidents.values().filter(|i| {
            let tried = i.current().filter(|p| p.kind.requires_ack());
            let (mut any, mut reached) = (false, false);
            for page in tried {
                any |= page.tries > 0;
                reached |= matches!(page.state, PageState::Accepted(_));
            }
            // A step without recipients counts as well.
            let is_begun = any || (i.round > 0 && i.pages.is_empty());
            i.stage == IncidentStage::Paging && is_begun && !reached
        });
        let people = &self.plan.people;
        let missed = |(key, i): &(&Arc<str>, &Incident)| {
            let is_known = key.split_once('.').is_some_and(|(_, person)| people.contains_key(person));
            is_test(key) && is_known && matches!(i.stage, IncidentStage::Resolved(_))
        };
        let live = |p: &&Page| matches!(p.state, PageState::Waiting(_) | PageState::InFlight(_));
        OncallStats {
            unreached: unreached.count() as u64,
            tests_missed: self.incidents.iter().filter(missed).count() as u64,
            waiting: self.incidents.values().flat_map(|i| &i.pages).filter(live).count() as u64,
            unavailable_channels: self.channels.values().filter(|c| c.is_unavailable()).count() as u64,
            ..self.counters
        }
    }

    pub fn plan(&self) -> &OncallPlan {
        &self.plan
    }

    pub fn overrides(&self) -> &[Override] {
        &self.meta.overrides
    }

    pub fn incident(&self, key: &str) -> Option<&Incident> {
        self.incidents.get(key)
    }

    /// Finds a page by its number, with its incident and key.
    pub fn page(&self, id: u64) -> Option<(&Arc<str>, &Incident, &Page)> {
        for (key, incident) in &self.incidents {
            if let Some(page) = incident.pages.iter().find(|p| p.id == id) {
                return Some((key, incident, page));
            }
        }
        // The incident of this page may be resolved while others of the same message are not.
        for (key, incident) in &self.incidents {
            if let Some(page) = incident.pages.iter().find(|p| p.merged_with.contains(&id)) {
                return Some((key, incident, page));
            }
        }
        None
    }

    /// The keys of all incidents.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.incidents.keys()
    }
}

/// Monotonic milliseconds as a signed number, for subtraction.
fn ms(mono: MonotonicMillis) -> i64 {
    i64::try_from(mono.0).unwrap_or(i64::MAX)
}
