//! Alarm events and their effect on paging.
//!
//! An unacknowledged P1 or P2 keeps paging when its condition ends; only a person ends it. An alarm that comes back soon
//! continues its previous escalation.

use std::sync::Arc;

use crate::model::page::PageKind;
use crate::model::page::is_test;
use crate::model::priority::Priority;
use crate::model::time::Now;
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{OncallEvent, OncallEventKind, Page, PageState};
use crate::oncall::{Oncall, OncallOutput, ms};

/// Longest wait of a P2 for other alarms of its class or area, even if `gather` is longer.
const FOLLOW_MAX_MS: i64 = 30_000;
/// During an alarm flood, alarms below P1 are sent in one message per recipient at this interval.
const FLOOD_EVERY_MS: u64 = 60_000;
/// Whoever acknowledged a P1 within this time before its end is notified of the end even during quiet hours.
const STILL_AWAKE_MS: i64 = 7_200_000;

impl Oncall {
    /// Applies an alarm event. The effects appear at the next [`Oncall::tick`].
    pub fn handle_event(&mut self, event: &OncallEvent, now: Now, out: &mut OncallOutput) {
        match &event.kind {
            OncallEventKind::PageRequired(kind) => self.start_paging(event, *kind, now, out),
            OncallEventKind::Suppressed(why) => self.suppress(event, why),
            OncallEventKind::Acknowledged { actor: by } => self.acknowledge(event, by, now, out),
            OncallEventKind::HandedOver { actor: by, to } => self.handed_over(event, by, to, now, out),
            OncallEventKind::Arrived { actor: by } => self.record_arrival(event, by),
            OncallEventKind::ArrivalOverdue => self.arrival_overdue(event, now, out),
            OncallEventKind::ConditionEnded { latched: locked } => self.condition_ended(event, *locked, now, out),
            OncallEventKind::Resolved(why) => self.resolve(event, why, PageKind::Resolved, now, out),
            OncallEventKind::Chatters => self.comes_and_goes(&event.key, "it chatters", now),
            OncallEventKind::FloodBegan { count, within_ms } => self.begin_alarm_flood((*count, *within_ms), now, out),
            OncallEventKind::FloodEnded => self.alarm_flood_since = None,
        }
        self.touched.insert(Arc::clone(&event.key));
        self.wake = Some(now.mono);
    }

    fn start_paging(&mut self, event: &OncallEvent, kind: PageKind, now: Now, out: &mut OncallOutput) {
        let device = event.key.rsplit_once('.').map_or("", |(_, d)| d);
        let chain = self.plan.escalation_policy(event.priority, device).map(|c| Arc::clone(&c.id));
        let fresh = || Incident::new(event.occurrence, event.priority, kind);
        let incident = self.incidents.entry(Arc::clone(&event.key)).or_insert_with(fresh);
        let is_paging = incident.stage == IncidentStage::Paging
            && incident.escalation_policy.is_some()
            && incident.priority == event.priority;
        if incident.occurrence == event.occurrence {
            if is_paging && kind != PageKind::Reminded {
                // Paging is already under way.
                return;
            }
        } else {
            let returns = ms(now.mono.plus(0)) - incident.condition_ended_at.unwrap_or(i64::MIN / 2);
            let is_soon = u64::try_from(returns).is_ok_and(|r| r < self.plan.recurrence_ms);
            if is_paging && is_soon && kind == PageKind::Raised {
                (incident.occurrence, incident.condition_ended_at, incident.latched) = (event.occurrence, None, false);
                incident.is_test = event.is_test;
                self.comes_and_goes(&event.key, "it came back", now);
                return;
            }
            incident.restart_escalation(event.occurrence, event.priority, kind);
        }
        if kind != PageKind::Raised {
            // Earlier messages described a lesser state: a reply to them must not acknowledge this one.
            incident.pages.iter_mut().for_each(|p| p.is_answered = true);
        }
        (incident.priority, incident.kind, incident.is_test) = (event.priority, kind, event.is_test);
        (incident.is_merged, incident.escalation_policy, incident.stage) = (event.merged, chain, IncidentStage::Paging);
        (incident.step, incident.round, incident.acknowledged_at) = (0, 0, None);
        self.touched.insert(Arc::clone(&event.key));
        let begins = ms(now.mono) + self.group_wait_ms(&event.key, now);
        let Some(incident) = self.incidents.get_mut(&event.key) else { return };
        incident.next_step_at = Some(begins);
        if incident.escalation_policy.is_none() {
            let why = if self.plan.escalation_policies.is_empty() {
                "nobody is to be told of anything: the configuration has no [[chain]]".to_string()
            } else {
                format!("no [[chain]] is meant for {} of this device", event.priority.word())
            };
            incident.next_step_at = None;
            incident.stage = IncidentStage::Suppressed(why.clone());
            self.log(out, &event.key, "not_told", None, &why);
        }
    }

    /// Group wait: milliseconds that an alarm waits for others to merge with. 0 for P1.
    fn group_wait_ms(&self, key: &Arc<str>, now: Now) -> i64 {
        let Some(incident) = self.incidents.get(key) else { return 0 };
        let gather = i64::try_from(self.plan.group_wait_ms).unwrap_or(i64::MAX);
        match incident.priority {
            Priority::P1 => 0,
            _ if incident.is_merged
                && let Some(since) = self.alarm_flood_since =>
            {
                let passed = now.mono.since(since);
                i64::try_from(FLOOD_EVERY_MS - passed % FLOOD_EVERY_MS).unwrap_or(0)
            }
            Priority::P2 => {
                // Alarms of the same class or area were paged a moment ago: wait for the remaining ones.
                let leader = self.leader(key).and_then(|leader| self.incidents.get(&leader));
                let reached = leader.and_then(|l| l.current().filter_map(|p| p.last_attempt).min());
                let most = gather.min(FOLLOW_MAX_MS);
                reached.map_or(0, |at| at + most - ms(now.mono)).clamp(0, most)
            }
            Priority::P3 | Priority::P4 => gather,
        }
    }

    /// Informs, once per incident, everyone who was paged that the alarm is fleeting.
    fn comes_and_goes(&mut self, key: &Arc<str>, why: &str, now: Now) {
        let Some(incident) = self.incidents.get_mut(key) else { return };
        incident.note(format!("{why}: its escalation goes on"));
        if std::mem::replace(&mut incident.recurrence_reported, true) {
            return;
        }
        let reached = incident.reached_recipients();
        self.send_info(key, PageKind::Recurring, reached, now);
    }

    fn suppress(&mut self, event: &OncallEvent, why: &str) {
        let fresh = || Incident::new(event.occurrence, event.priority, PageKind::Raised);
        let incident = self.incidents.entry(Arc::clone(&event.key)).or_insert_with(fresh);
        if incident.occurrence != event.occurrence {
            incident.restart_escalation(event.occurrence, event.priority, PageKind::Raised);
        }
        if matches!(incident.stage, IncidentStage::Paging | IncidentStage::Suppressed(_)) {
            incident.stage = IncidentStage::Suppressed(why.to_string());
            incident.next_step_at = None;
            incident.drop_waiting(why);
        }
    }

    fn acknowledge(&mut self, event: &OncallEvent, by: &str, now: Now, out: &mut OncallOutput) {
        let Some(incident) = self.incidents.get_mut(&event.key) else { return };
        if matches!(incident.stage, IncidentStage::Acknowledged(_)) {
            // The first acknowledgement counts.
            return;
        }
        let is_over = incident.condition_ended_at.is_some() && !incident.latched;
        incident.stage = if is_over {
            IncidentStage::Resolved(format!("{by} took it after it had gone"))
        } else {
            IncidentStage::Acknowledged(by.to_string())
        };
        incident.next_step_at = None;
        (incident.acknowledged_at, incident.actor) = (Some(ms(now.mono)), by.to_string());
        incident.note(format!("{by} took it"));
        let reached = incident.reached_recipients();
        let dropped = incident.drop_waiting(&format!("{by} took it"));
        for page in dropped {
            self.log(out, &event.key, "page_dropped", Some(page), &format!("{by} took it"));
        }
        if event.priority <= Priority::P2 && !is_test(&event.key) {
            let others =
                reached.into_iter().filter(|recipient| **recipient != *by && !recipient.starts_with("channel:"));
            self.send_info(&event.key, PageKind::Acknowledged, others.collect(), now);
        }
    }

    fn record_arrival(&mut self, event: &OncallEvent, by: &str) {
        let Some(incident) = self.incidents.get_mut(&event.key) else { return };
        incident.note(format!("{by} is there"));
        let waits = |p: &&mut Page| p.kind == PageKind::ArrivalOverdue && p.is_waiting();
        for page in incident.pages.iter_mut().filter(waits) {
            (page.state, page.last_result) = (PageState::Dropped, format!("{by} is there"));
        }
    }

    /// The condition ended. An unacknowledged P1 or P2 keeps paging until a person acknowledges it.
    fn condition_ended(&mut self, event: &OncallEvent, locked: bool, now: Now, out: &mut OncallOutput) {
        let Some(incident) = self.incidents.get_mut(&event.key) else { return };
        let is_first = incident.condition_ended_at.is_none() && !matches!(incident.stage, IncidentStage::Resolved(_));
        incident.latched = locked;
        if !is_first {
            return;
        }
        incident.condition_ended_at = Some(ms(now.mono));
        let goes_on = incident.stage == IncidentStage::Paging
            && incident.priority <= Priority::P2
            && incident.escalation_policy.is_some();
        if goes_on {
            let how = if locked { "and it is locked until somebody has inspected it" } else { "by itself" };
            incident.note(format!("its condition is gone {how}: nobody has taken it"));
        } else if locked && matches!(incident.stage, IncidentStage::Acknowledged(_)) {
            incident.note("its condition is gone, and it is locked until somebody has inspected it".to_string());
            let reached = incident.reached_recipients();
            self.send_info(&event.key, PageKind::Latched, reached, now);
        } else {
            let kind = if locked { PageKind::Latched } else { PageKind::Resolved };
            self.resolve(event, "its condition is gone", kind, now, out);
        }
    }

    fn resolve(&mut self, event: &OncallEvent, why: &str, kind: PageKind, now: Now, out: &mut OncallOutput) {
        let Some(incident) = self.incidents.get_mut(&event.key) else { return };
        if matches!(incident.stage, IncidentStage::Resolved(_)) {
            return;
        }
        let awake = match (&incident.stage, incident.acknowledged_at) {
            (IncidentStage::Acknowledged(by), Some(at)) if incident.priority == Priority::P1 => {
                (ms(now.mono) - at <= STILL_AWAKE_MS).then(|| by.clone())
            }
            _ => None,
        };
        incident.stage = IncidentStage::Resolved(why.to_string());
        incident.next_step_at = None;
        let reached = incident.reached_recipients();
        for page in incident.drop_waiting(why) {
            self.log(out, &event.key, "page_dropped", Some(page), why);
        }
        self.send_info(&event.key, kind, reached, now);
        let pages = self.incidents.get_mut(&event.key).into_iter().flat_map(|i| &mut i.pages);
        let is_theirs = |p: &&mut Page| p.kind == kind && awake.as_deref() == Some(&*p.recipient);
        pages.filter(is_theirs).for_each(|p| p.ignores_quiet_hours = true);
    }

    fn begin_alarm_flood(&mut self, flood: (u64, u64), now: Now, out: &mut OncallOutput) {
        self.alarm_flood_since = Some(now.mono);
        let key: Arc<str> = "".into();
        let mut incident = Incident::new(0, Priority::P2, PageKind::AlarmFlood);
        incident.stage = IncidentStage::Acknowledged(String::new());
        incident.alarm_flood = flood;
        self.incidents.insert(Arc::clone(&key), incident);
        self.send_step_info(&key, Priority::P2, 0, PageKind::AlarmFlood, now);
        self.log(out, &key, "flood", None, &format!("{} alarms in {} s", flood.0, flood.1 / 1_000));
    }
}
