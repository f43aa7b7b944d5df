//! Who is told what, when, through which channel, and why not. Pure: time comes in as an argument.
//!
//! An alarm that wants somebody is an [`Incident`]: it goes through the steps of its chain, each of which makes pages. A page is
//! tried through one way to its person after the other until a service has it; rate, rest, merging and quiet hours are decided
//! here, so that a channel does nothing but try.

pub mod ahead;
pub mod answers;
pub mod calendar;
mod dispatch;
mod events;
mod explain;
pub mod hours;
pub mod incident;
pub mod page;
mod people;
pub mod plan;
pub mod rota;
pub mod settings;
mod steps;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::time::{MonotonicMillis, Now, UnixMillis, carried_by};
use crate::oncall::dispatch::{Channel, OnTheWay};
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{Page, PageLogEntry, PageState, Send};
use crate::oncall::plan::OncallPlan;
use crate::oncall::rota::Override;

/// What begins the key of a test: `page_test.wang`.
pub const TEST: &str = "page_test";
/// Whether a key is a test's, not an alarm's.
pub fn is_test(key: &str) -> bool {
    key.split_once('.').is_some_and(|(head, _)| head == TEST)
}

/// Rounds of one step of the desk.
const STEPS_AT_ONCE: u32 = 8;

/// What survives a restart of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersistedIncident {
    /// The incident.
    pub incident: Incident,
    /// When it was kept.
    pub saved: Now,
    /// The boot that its moments are of.
    pub boot: Arc<str>,
}

/// What else survives.
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
    pub answered: BTreeMap<String, String>,
}

/// Everything that survives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersistedOncall {
    /// Incidents by key.
    pub incidents: BTreeMap<String, PersistedIncident>,
    /// The rest.
    pub meta: Meta,
}

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OncallOutput {
    /// For the log, in order.
    pub log: Vec<PageLogEntry>,
    /// Tries, for channels.
    pub sends: Vec<Send>,
    /// Incidents that changed; `None`: there is nothing to keep any more.
    pub changed: BTreeMap<Arc<str>, Option<PersistedIncident>>,
    /// The rest, if it changed.
    pub meta: Option<Meta>,
}

/// How the pages are doing, for the gateway's own health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OncallFigures {
    /// Alarms that want somebody, and of which nobody could be told.
    pub unreached: u64,
    /// People who did not answer their last test.
    pub tests_missed: u64,
    /// Pages that wait or are on their way.
    pub waiting: u64,
    /// Channels that rest, or were not there the last time.
    pub resting: u64,
    /// Tries that a service took, since the start.
    pub sent: u64,
    /// Tries that came to nothing, since the start.
    pub failed: u64,
}

/// The desk of pages.
#[derive(Debug, Default)]
pub struct Oncall {
    plan: Arc<OncallPlan>,
    incidents: BTreeMap<Arc<str>, Incident>,
    meta: Meta,
    channels: BTreeMap<String, Channel>,
    on_the_way: BTreeMap<u64, OnTheWay>,
    next_send: u64,
    boot: Arc<str>,
    /// When time next changes something.
    wake: Option<MonotonicMillis>,
    /// Incidents that changed in this step, and whether the rest did.
    touched: BTreeSet<Arc<str>>,
    is_meta_touched: bool,
    /// Since when there is an alarm flood: what is not urgent is told once a minute from then on.
    flood: Option<MonotonicMillis>,
    /// What is counted since the start.
    counted: OncallFigures,
}

impl Oncall {
    /// Built from a plan, going on from what survived.
    pub fn new(plan: Arc<OncallPlan>, stored: PersistedOncall, boot: &str, now: Now) -> Self {
        let mut meta = stored.meta;
        for o in meta.overrides.iter_mut().filter(|o| o.number == 0) {
            meta.last_override += 1;
            o.number = meta.last_override;
        }
        let mut out = Self { plan, meta, boot: boot.into(), wake: Some(now.mono), ..Self::default() };
        for (key, kept) in stored.incidents {
            let mut incident = kept.incident;
            let by = carried_by((kept.saved, &kept.boot), (now, boot));
            incident.moments().for_each(|at| *at = at.saturating_add(by));
            incident.first = if incident.first == 0 { incident.occurrence } else { incident.first };
            for page in &mut incident.pages {
                // Its answer was not seen: it may come once more.
                page.occurrence = if page.occurrence == 0 { incident.occurrence } else { page.occurrence };
                if let PageState::Sent(at) = page.state {
                    (page.state, page.repeat) = (PageState::Waits(at), true);
                }
            }
            out.incidents.insert(key.into(), incident);
        }
        out.drop_removed_channels();
        out
    }

    /// A new plan: incidents go on; what cannot be told any more is dropped.
    pub fn reconfigure(&mut self, plan: Arc<OncallPlan>, now: Now) {
        self.meta.next_test = self.meta.next_test.filter(|_| plan.test == self.plan.test);
        self.plan = plan;
        self.wake = Some(now.mono);
        self.drop_removed_channels();
    }

    /// Pages through channels that are gone go another way, or none.
    fn drop_removed_channels(&mut self) {
        let channels = &self.plan.channels;
        self.channels.retain(|id, _| channels.contains_key(id));
        for page in self.incidents.values_mut().flat_map(|i| &mut i.pages) {
            if !matches!(page.state, PageState::Waits(_)) {
                continue;
            }
            page.ways.retain(|w| channels.contains_key(&w.channel));
            page.way = 0;
            if page.ways.is_empty() {
                page.state = PageState::Dropped;
                page.said = "its channel is gone".to_string();
            }
        }
    }

    /// What happened is in the log.
    fn log(&self, out: &mut OncallOutput, key: &Arc<str>, what: &'static str, page: Option<u64>, why: &str) {
        let incident = self.incidents.get(key);
        let found: Option<&Page> = incident.and_then(|i| i.pages.iter().find(|p| Some(p.id) == page));
        out.log.push(PageLogEntry {
            key: Arc::clone(key),
            what,
            page,
            occurrence: incident.map_or(0, |i| i.occurrence),
            kind: found.map(|p| p.kind),
            whom: found.map_or_else(|| "".into(), |p| Arc::clone(&p.whom)),
            channel: found.and_then(|p| p.ways.get(p.way)).map_or(String::new(), |w| w.channel.clone()),
            why: why.to_string(),
        });
    }

    /// Time passed: steps begin, pages leave, what is over is forgotten.
    pub fn tick(&mut self, now: Now, out: &mut OncallOutput) {
        // A step may want the next one at once.
        for _ in 0..STEPS_AT_ONCE {
            if self.wake.is_none_or(|at| at > now.mono) {
                break;
            }
            self.wake = None;
            self.tests(now, out);
            self.steps(now, out);
            self.dispatch(now, out);
        }
        self.wake = self.wake.map(|at| at.max(now.mono.plus(1)));
        for key in std::mem::take(&mut self.touched) {
            let Some(incident) = self.incidents.get_mut(&key) else {
                out.changed.insert(key, None);
                continue;
            };
            incident.tidy();
            let is_over = matches!(incident.stage, IncidentStage::Over(_)) && !is_test(&key);
            if (is_over || key.is_empty()) && !incident.is_live() {
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

    /// When time next changes something.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        self.wake
    }

    fn wake_at(&mut self, at: i64) {
        let at = MonotonicMillis(u64::try_from(at).unwrap_or(0));
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    /// How the pages are doing.
    pub fn figures(&self) -> OncallFigures {
        let unreached = self.incidents.values().filter(|i| {
            let tried = i.current().filter(|p| p.kind.wants_answer());
            let (mut any, mut reached) = (false, false);
            for page in tried {
                any |= page.tries > 0;
                reached |= matches!(page.state, PageState::Accepted(_));
            }
            // Steps that found nobody count as well.
            let is_begun = any || (i.round > 0 && i.pages.is_empty());
            i.stage == IncidentStage::Wanted && is_begun && !reached
        });
        let people = &self.plan.people;
        let missed = |(key, i): &(&Arc<str>, &Incident)| {
            let is_known = key.split_once('.').is_some_and(|(_, person)| people.contains_key(person));
            is_test(key) && is_known && matches!(i.stage, IncidentStage::Over(_))
        };
        let live = |p: &&Page| matches!(p.state, PageState::Waits(_) | PageState::Sent(_));
        OncallFigures {
            unreached: unreached.count() as u64,
            tests_missed: self.incidents.iter().filter(missed).count() as u64,
            waiting: self.incidents.values().flat_map(|i| &i.pages).filter(live).count() as u64,
            resting: self.channels.values().filter(|c| c.is_away()).count() as u64,
            ..self.counted
        }
    }

    /// The plan in force.
    pub fn plan(&self) -> &OncallPlan {
        &self.plan
    }

    /// Who stands in for whom.
    pub fn overrides(&self) -> &[Override] {
        &self.meta.overrides
    }

    /// An incident.
    pub fn incident(&self, key: &str) -> Option<&Incident> {
        self.incidents.get(key)
    }

    /// A page, with the alarm that it is about.
    pub fn page(&self, id: u64) -> Option<(&Arc<str>, &Incident, &Page)> {
        for (key, incident) in &self.incidents {
            if let Some(page) = incident.pages.iter().find(|p| p.id == id) {
                return Some((key, incident, page));
            }
        }
        // What it was for may be over, and others of its message may not.
        for (key, incident) in &self.incidents {
            if let Some(page) = incident.pages.iter().find(|p| p.with.contains(&id)) {
                return Some((key, incident, page));
            }
        }
        None
    }

    /// The keys of what people are told of.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.incidents.keys()
    }
}

/// Milliseconds on the monotonic scale as they can be reckoned with.
fn ms(mono: MonotonicMillis) -> i64 {
    i64::try_from(mono.0).unwrap_or(i64::MAX)
}
