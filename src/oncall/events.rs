//! Alarm events and their effect on paging.
//!
//! An unacknowledged P1 or P2 keeps paging when its condition ends; only a person ends it. An alarm that comes back soon
//! continues its previous escalation.

use std::sync::Arc;

use crate::model::priority::Priority;
use crate::model::time::Now;
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{OncallEvent, OncallEventKind, Page, PageKind, PageState};
use crate::oncall::{Oncall, OncallOutput, is_test, ms};

/// Longest wait of a P2 for other alarms of its class or area, even if `gather` is longer.
const FOLLOW_MAX_MS: i64 = 30_000;
/// During an alarm flood, alarms below P1 are sent in one message per recipient at this interval.
const FLOOD_EVERY_MS: u64 = 60_000;
/// Whoever acknowledged a P1 within this time before its end is notified of the end even during quiet hours.
const STILL_AWAKE_MS: i64 = 7_200_000;

impl Oncall {
    /// Applies an alarm event. The effects appear at the next [`Oncall::tick`].
    pub fn handle_event(&mut self, news: &OncallEvent, now: Now, out: &mut OncallOutput) {
        match &news.what {
            OncallEventKind::Wanted(kind) => self.wanted(news, *kind, now, out),
            OncallEventKind::Silenced(why) => self.silenced(news, why),
            OncallEventKind::Taken { by } => self.taken(news, by, now, out),
            OncallEventKind::HandedOver { by, to } => self.handed_over(news, by, to, now, out),
            OncallEventKind::Arrived { by } => self.arrived(news, by),
            OncallEventKind::Late => self.late(news, now, out),
            OncallEventKind::Gone { locked } => self.gone(news, *locked, now, out),
            OncallEventKind::Over(why) => self.over(news, why, PageKind::Over, now, out),
            OncallEventKind::Chatters => self.comes_and_goes(&news.key, "it chatters", now),
            OncallEventKind::FloodBegan { count, within_ms } => self.flood_begins((*count, *within_ms), now, out),
            OncallEventKind::FloodEnded => self.flood = None,
        }
        self.touched.insert(Arc::clone(&news.key));
        self.wake = Some(now.mono);
    }

    fn wanted(&mut self, news: &OncallEvent, kind: PageKind, now: Now, out: &mut OncallOutput) {
        let device = news.key.rsplit_once('.').map_or("", |(_, d)| d);
        let chain = self.plan.chain(news.priority, device).map(|c| Arc::clone(&c.id));
        let fresh = || Incident::new(news.occurrence, news.priority, kind);
        let incident = self.incidents.entry(Arc::clone(&news.key)).or_insert_with(fresh);
        let is_told =
            incident.stage == IncidentStage::Wanted && incident.chain.is_some() && incident.priority == news.priority;
        if incident.occurrence == news.occurrence {
            if is_told && kind != PageKind::Reminded {
                // Paging is already under way.
                return;
            }
        } else {
            let returns = ms(now.mono.plus(0)) - incident.gone.unwrap_or(i64::MIN / 2);
            let is_soon = u64::try_from(returns).is_ok_and(|r| r < self.plan.returns_ms);
            if is_told && is_soon && kind == PageKind::Raised {
                (incident.occurrence, incident.gone, incident.locked) = (news.occurrence, None, false);
                incident.test = news.test;
                self.comes_and_goes(&news.key, "it came back", now);
                return;
            }
            incident.renew(news.occurrence, news.priority, kind);
        }
        if kind != PageKind::Raised {
            // Earlier messages described a lesser state: a reply to them must not acknowledge this one.
            incident.pages.iter_mut().for_each(|p| p.used = true);
        }
        (incident.priority, incident.kind, incident.test) = (news.priority, kind, news.test);
        (incident.merges, incident.chain, incident.stage) = (news.merged, chain, IncidentStage::Wanted);
        (incident.step, incident.round, incident.taken) = (0, 0, None);
        self.touched.insert(Arc::clone(&news.key));
        let begins = ms(now.mono) + self.gather_ms(&news.key, now);
        let Some(incident) = self.incidents.get_mut(&news.key) else { return };
        incident.next = Some(begins);
        if incident.chain.is_none() {
            let why = if self.plan.chains.is_empty() {
                "nobody is to be told of anything: the configuration has no [[chain]]".to_string()
            } else {
                format!("no [[chain]] is meant for {} of this device", news.priority.word())
            };
            incident.next = None;
            incident.stage = IncidentStage::Silent(why.clone());
            self.log(out, &news.key, "not_told", None, &why);
        }
    }

    /// Group wait: milliseconds that an alarm waits for others to merge with. 0 for P1.
    fn gather_ms(&self, key: &Arc<str>, now: Now) -> i64 {
        let Some(incident) = self.incidents.get(key) else { return 0 };
        let gather = i64::try_from(self.plan.gather_ms).unwrap_or(i64::MAX);
        match incident.priority {
            Priority::P1 => 0,
            _ if incident.merges
                && let Some(since) = self.flood =>
            {
                let passed = now.mono.since(since);
                i64::try_from(FLOOD_EVERY_MS - passed % FLOOD_EVERY_MS).unwrap_or(0)
            }
            Priority::P2 => {
                // Alarms of the same class or area were paged a moment ago: wait for the remaining ones.
                let leader = self.leader(key).and_then(|leader| self.incidents.get(&leader));
                let told = leader.and_then(|l| l.current().filter_map(|p| p.tried).min());
                let most = gather.min(FOLLOW_MAX_MS);
                told.map_or(0, |at| at + most - ms(now.mono)).clamp(0, most)
            }
            Priority::P3 | Priority::P4 => gather,
        }
    }

    /// Informs, once per incident, everyone who was paged that the alarm is fleeting.
    fn comes_and_goes(&mut self, key: &Arc<str>, why: &str, now: Now) {
        let Some(incident) = self.incidents.get_mut(key) else { return };
        incident.note(format!("{why}: its escalation goes on"));
        if std::mem::replace(&mut incident.flaps, true) {
            return;
        }
        let told = incident.told();
        self.inform(key, PageKind::Returns, told, now);
    }

    fn silenced(&mut self, news: &OncallEvent, why: &str) {
        let fresh = || Incident::new(news.occurrence, news.priority, PageKind::Raised);
        let incident = self.incidents.entry(Arc::clone(&news.key)).or_insert_with(fresh);
        if incident.occurrence != news.occurrence {
            incident.renew(news.occurrence, news.priority, PageKind::Raised);
        }
        if matches!(incident.stage, IncidentStage::Wanted | IncidentStage::Silent(_)) {
            incident.stage = IncidentStage::Silent(why.to_string());
            incident.next = None;
            incident.drop_waiting(why);
        }
    }

    fn taken(&mut self, news: &OncallEvent, by: &str, now: Now, out: &mut OncallOutput) {
        let Some(incident) = self.incidents.get_mut(&news.key) else { return };
        if matches!(incident.stage, IncidentStage::Taken(_)) {
            // The first acknowledgement counts.
            return;
        }
        let is_over = incident.gone.is_some() && !incident.locked;
        incident.stage = if is_over {
            IncidentStage::Over(format!("{by} took it after it had gone"))
        } else {
            IncidentStage::Taken(by.to_string())
        };
        incident.next = None;
        (incident.taken, incident.by) = (Some(ms(now.mono)), by.to_string());
        incident.note(format!("{by} took it"));
        let told = incident.told();
        let dropped = incident.drop_waiting(&format!("{by} took it"));
        for page in dropped {
            self.log(out, &news.key, "page_dropped", Some(page), &format!("{by} took it"));
        }
        if news.priority <= Priority::P2 && !is_test(&news.key) {
            let others = told.into_iter().filter(|whom| **whom != *by && !whom.starts_with("channel:"));
            self.inform(&news.key, PageKind::Taken, others.collect(), now);
        }
    }

    fn arrived(&mut self, news: &OncallEvent, by: &str) {
        let Some(incident) = self.incidents.get_mut(&news.key) else { return };
        incident.note(format!("{by} is there"));
        let waits = |p: &&mut Page| p.kind == PageKind::Late && p.is_waiting();
        for page in incident.pages.iter_mut().filter(waits) {
            (page.state, page.said) = (PageState::Dropped, format!("{by} is there"));
        }
    }

    /// The condition ended. An unacknowledged P1 or P2 keeps paging until a person acknowledges it.
    fn gone(&mut self, news: &OncallEvent, locked: bool, now: Now, out: &mut OncallOutput) {
        let Some(incident) = self.incidents.get_mut(&news.key) else { return };
        let is_news = incident.gone.is_none() && !matches!(incident.stage, IncidentStage::Over(_));
        incident.locked = locked;
        if !is_news {
            return;
        }
        incident.gone = Some(ms(now.mono));
        let goes_on =
            incident.stage == IncidentStage::Wanted && incident.priority <= Priority::P2 && incident.chain.is_some();
        if goes_on {
            let how = if locked { "and it is locked until somebody has inspected it" } else { "by itself" };
            incident.note(format!("its condition is gone {how}: nobody has taken it"));
        } else if locked && matches!(incident.stage, IncidentStage::Taken(_)) {
            incident.note("its condition is gone, and it is locked until somebody has inspected it".to_string());
            let told = incident.told();
            self.inform(&news.key, PageKind::Locked, told, now);
        } else {
            let kind = if locked { PageKind::Locked } else { PageKind::Over };
            self.over(news, "its condition is gone", kind, now, out);
        }
    }

    fn over(&mut self, news: &OncallEvent, why: &str, kind: PageKind, now: Now, out: &mut OncallOutput) {
        let Some(incident) = self.incidents.get_mut(&news.key) else { return };
        if matches!(incident.stage, IncidentStage::Over(_)) {
            return;
        }
        let awake = match (&incident.stage, incident.taken) {
            (IncidentStage::Taken(by), Some(at)) if incident.priority == Priority::P1 => {
                (ms(now.mono) - at <= STILL_AWAKE_MS).then(|| by.clone())
            }
            _ => None,
        };
        incident.stage = IncidentStage::Over(why.to_string());
        incident.next = None;
        let told = incident.told();
        for page in incident.drop_waiting(why) {
            self.log(out, &news.key, "page_dropped", Some(page), why);
        }
        self.inform(&news.key, kind, told, now);
        let pages = self.incidents.get_mut(&news.key).into_iter().flat_map(|i| &mut i.pages);
        let is_theirs = |p: &&mut Page| p.kind == kind && awake.as_deref() == Some(&*p.whom);
        pages.filter(is_theirs).for_each(|p| p.urgent = true);
    }

    fn flood_begins(&mut self, flood: (u64, u64), now: Now, out: &mut OncallOutput) {
        self.flood = Some(now.mono);
        let key: Arc<str> = "".into();
        let mut incident = Incident::new(0, Priority::P2, PageKind::Flood);
        incident.stage = IncidentStage::Taken(String::new());
        incident.flood = flood;
        self.incidents.insert(Arc::clone(&key), incident);
        self.tell_step(&key, Priority::P2, 0, PageKind::Flood, now);
        self.log(out, &key, "flood", None, &format!("{} alarms in {} s", flood.0, flood.1 / 1_000));
    }
}
