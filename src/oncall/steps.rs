//! The steps of an escalation policy: the recipients of each, and when the next one starts.

use std::sync::Arc;

use crate::model::page::PageKind;
use crate::model::page::is_test;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::time::{MonotonicMillis, Now};
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{OncallEvent, Page, PageState};
use crate::oncall::plan::{EscalationPolicy, EscalationStep, OncallPlan};
use crate::oncall::rota::{self, Override};
use crate::oncall::settings::{Contact, StepTarget};
use crate::oncall::{Oncall, OncallOutput, hours, ms};

/// Recipients with their contact methods, and notes on those without any.
type NotifiedContacts = (Vec<(Arc<str>, Vec<Contact>)>, Vec<String>);

/// The recipients of a step at a moment.
pub(super) fn resolve(plan: &OncallPlan, overrides: &[Override], step: &EscalationStep, now: Now) -> NotifiedContacts {
    let mut recipients: Vec<Arc<str>> = Vec::new();
    let mut notes = Vec::new();
    let mut channels: Vec<(Arc<str>, Vec<Contact>)> = Vec::new();
    for target in &step.targets {
        match target {
            StepTarget::Rota(id) | StepTarget::Next(id) => {
                if !now.wall_trusted {
                    // Without a trusted date the person on call is unknown: everyone of the rota is paged.
                    notes.push(format!("the date is not known: everybody of rota {id}"));
                    recipients.extend(plan.rotas.get(id).map(rota::all).unwrap_or_default());
                    continue;
                }
                let is_next = matches!(target, StepTarget::Next(_));
                let find = if is_next { rota::next } else { rota::on_call };
                match find(plan, id, overrides, now.wall) {
                    Some(person) => recipients.push(person),
                    None => notes.push(format!("nobody is on call in rota {id}")),
                }
            }
            StepTarget::Role(role) => {
                let has = plan.people.iter().filter(|(_, p)| p.roles.contains(role));
                recipients.extend(has.map(|(id, _)| Arc::clone(id)));
            }
            StepTarget::Person(id) => recipients.push(id.as_str().into()),
            StepTarget::Channel(id) => {
                let way = Contact { channel: id.clone(), to: String::new() };
                channels.push((format!("channel:{id}").into(), vec![way]));
            }
        }
    }
    let mut out: Vec<(Arc<str>, Vec<Contact>)> = Vec::new();
    for person in recipients {
        if out.iter().any(|(p, _)| *p == person) {
            continue;
        }
        let ways = plan.contact_methods(&person, &step.channels);
        if ways.is_empty() {
            notes.push(format!("{person} has no way to be reached"));
        } else {
            out.push((person, ways));
        }
    }
    out.extend(channels);
    (out, notes)
}

impl Oncall {
    /// Starts the steps that are due; a test that is due counts as missed.
    pub(super) fn start_due_steps(&mut self, now: Now, out: &mut OncallOutput) {
        let mono = ms(now.mono);
        let due = self.incidents.iter().filter(|(_, i)| i.next_step_at.is_some_and(|at| at <= mono));
        let due: Vec<Arc<str>> = due.map(|(key, _)| Arc::clone(key)).collect();
        for key in due {
            if is_test(&key) {
                self.test_missed(&key, out);
            } else {
                self.start_next_step(&key, now, out);
            }
        }
        if let Some(next) = self.incidents.values().filter_map(|i| i.next_step_at).min() {
            self.wake_at(next);
        }
    }

    /// Starts the next step of an incident; steps without recipients are skipped at once.
    fn start_next_step(&mut self, key: &Arc<str>, now: Now, out: &mut OncallOutput) {
        let plan = Arc::clone(&self.plan);
        let Some(incident) = self.incidents.get_mut(key) else { return };
        self.touched.insert(Arc::clone(key));
        let chain = incident.escalation_policy.clone();
        let device = key.rsplit_once('.').map_or("", |(_, d)| d);
        let same = plan.escalation_policies.iter().find(|c| Some(&c.id) == chain.as_ref());
        if same.is_none() {
            // The policy was renamed or removed: the matching one starts from its first step.
            incident.escalation_policy = plan.escalation_policy(incident.priority, device).map(|c| Arc::clone(&c.id));
            (incident.step, incident.round) = (0, 0);
        }
        let Some(chain) = same.or_else(|| plan.escalation_policy(incident.priority, device)) else {
            incident.next_step_at = None;
            incident.stage = IncidentStage::Suppressed("its chain is gone".to_string());
            return;
        };
        if chain.repeat > 0 && incident.step == 0 && incident.round >= chain.repeat {
            let why = format!("nobody took it in {} rounds of chain {}", chain.repeat, chain.id);
            incident.next_step_at = None;
            incident.note(why.clone());
            self.log(out, key, "exhausted", None, &why);
            return;
        }
        let is_first = incident.step == 0 && incident.round == 0;
        if incident.priority >= Priority::P3
            && let Some(end) = hours::quiet_hours_end(&plan, now.wall).filter(|_| now.wall_trusted && !is_first)
        {
            // P3 and P4 do not escalate during quiet hours; whoever is paged in the morning has the full wait.
            let before = incident.step.checked_sub(1).unwrap_or(chain.steps.len() - 1);
            let waited = chain.steps[before.min(chain.steps.len() - 1)].wait_ms;
            incident.next_step_at = Some(ms(now.mono.plus(waited)) + (end.0 - now.wall.0));
            return;
        }
        for _ in 0..chain.steps.len() {
            let (step, reached) = self.one_step(key, chain, now);
            let together = is_first.then(|| self.leader(key)).flatten().and_then(|leader| {
                let leader = self.incidents.get(&leader)?;
                Some((leader.step, leader.round, leader.next_step_at?))
            });
            let Some(incident) = self.incidents.get_mut(key) else { return };
            let is_last = incident.step == 0;
            incident.next_step_at = Some(ms(now.mono.plus(step.wait_ms)));
            if let (Some(leader), true) = (together, reached) {
                // Similar alarms share one escalation: from now on their steps coincide.
                let next;
                (incident.step, incident.round, next) = leader;
                incident.next_step_at = Some(next);
            }
            if incident.priority == Priority::P4 {
                incident.next_step_at = None;
                return;
            }
            if reached || is_last {
                return;
            }
        }
    }

    /// The earliest incident of the same priority and policy that is paging for a device of the same class or area.
    pub(super) fn leader(&self, key: &Arc<str>) -> Option<Arc<str>> {
        let own = self.incidents.get(key)?;
        let device = |key: &str| key.rsplit_once('.').map_or(String::new(), |(_, d)| d.to_string());
        let mine = device(key);
        let leads = |(other, i): &(&Arc<str>, &Incident)| {
            *other != key
                && i.stage == IncidentStage::Paging
                && (i.priority, &i.escalation_policy) == (own.priority, &own.escalation_policy)
                && i.next_step_at.is_some()
                && (i.step, i.round) != (0, 0)
                && self.plan.shares_class_or_area(&device(other), &mine)
        };
        let leader = self.incidents.iter().filter(leads).min_by_key(|(_, i)| i.current().map(|p| p.id).min());
        leader.map(|(key, _)| Arc::clone(key))
    }

    /// Creates the pages of one step; returns the step and whether it has recipients.
    fn one_step<'a>(&mut self, key: &Arc<str>, chain: &'a EscalationPolicy, now: Now) -> (&'a EscalationStep, bool) {
        let plan = Arc::clone(&self.plan);
        let Some(incident) = self.incidents.get_mut(key) else { return (&chain.steps[0], false) };
        let at = incident.step.min(chain.steps.len() - 1);
        let step = &chain.steps[at];
        let (recipients_found, notes) = resolve(&plan, &self.meta.overrides, step, now);
        for note in notes {
            incident.note(format!("step {} of {}: {note}", at + 1, chain.id));
        }
        let names: Vec<&str> = recipients_found.iter().map(|(w, _)| &**w).collect();
        incident.note(format!(
            "step {} of {}: {}",
            at + 1,
            chain.id,
            if names.is_empty() { "nobody".into() } else { names.join(", ") }
        ));
        let digest = (incident.priority == Priority::P4 && now.wall_trusted)
            .then(|| hours::next(&plan, plan.digest, now.wall))
            .flatten();
        let kind = incident.kind;
        incident.step = if at + 1 < chain.steps.len() { at + 1 } else { 0 };
        incident.round += u32::from(incident.step == 0);
        let reached = !recipients_found.is_empty();
        for (recipients_found, ways) in recipients_found {
            if self
                .incidents
                .get_mut(key)
                .is_some_and(|i| i.merge_into_waiting(kind, &recipients_found, &ways, ms(now.mono)))
            {
                continue;
            }
            let page = self.new_page(key, kind, recipients_found, ways, now);
            if let Some(incident) = self.incidents.get_mut(key) {
                incident.pages.push(Page { not_before: digest, ..page });
            }
        }
        (step, reached)
    }

    pub(super) fn new_page(
        &mut self,
        key: &Arc<str>,
        kind: PageKind,
        recipient: Arc<str>,
        contact_methods: Vec<Contact>,
        now: Now,
    ) -> Page {
        self.meta.next_page += 1;
        self.is_meta_touched = true;
        Page {
            id: self.meta.next_page,
            occurrence: self.incidents.get(key).map_or(0, |i| i.occurrence),
            kind,
            recipient,
            contact_methods,
            way: 0,
            tries: 0,
            state: PageState::Waiting(ms(now.mono)),
            not_before: None,
            last_attempt: None,
            ignores_quiet_hours: false,
            may_be_duplicate: false,
            merged_with: Vec::new(),
            is_answered: false,
            last_result: String::new(),
            reply_result: LocalizedText::default(),
            can_arrive: false,
        }
    }

    /// Sends an informational page to recipients, each through the contact method that reached them.
    pub(super) fn send_info(&mut self, key: &Arc<str>, kind: PageKind, recipients: Vec<Arc<str>>, now: Now) {
        for recipients_found in recipients {
            // The contact method whose page was accepted last.
            let Some(incident) = self.incidents.get(key) else { return };
            let reached = |p: &&Page| p.recipient == recipients_found && matches!(p.state, PageState::Accepted(_));
            let Some(way) =
                incident.pages.iter().rev().find(reached).and_then(|p| p.contact_methods.get(p.way).cloned())
            else {
                continue;
            };
            let page = self.new_page(key, kind, recipients_found, vec![way], now);
            self.incidents.entry(Arc::clone(key)).and_modify(|i| i.pages.push(page));
        }
        self.touched.insert(Arc::clone(key));
        self.wake = Some(now.mono);
    }

    /// Sends an informational page to the recipients of a step.
    pub(super) fn send_step_info(&mut self, key: &Arc<str>, priority: Priority, at: usize, kind: PageKind, now: Now) {
        let plan = Arc::clone(&self.plan);
        let device = key.rsplit_once('.').map_or("gateway", |(_, d)| d);
        let Some(chain) = plan.escalation_policy(priority, device) else { return };
        let Some(step) = chain.steps.get(at).or(chain.steps.last()) else { return };
        let (recipients_found, _) = resolve(&plan, &self.meta.overrides, step, now);
        for (recipients_found, ways) in recipients_found {
            let page = self.new_page(key, kind, recipients_found, ways, now);
            self.incidents.entry(Arc::clone(key)).and_modify(|i| i.pages.push(page));
        }
    }

    pub(super) fn arrival_overdue(&mut self, event: &OncallEvent, now: Now, out: &mut OncallOutput) {
        if self.incidents.contains_key(&event.key) {
            self.send_step_info(&event.key, event.priority, 1, PageKind::ArrivalOverdue, now);
            self.log(out, &event.key, "late", None, "nobody is there");
        }
    }

    /// Starts the next step at once if no recipient could be reached; only in the first round.
    pub(super) fn skip_wait_if_unreached(&mut self, key: &Arc<str>, now: Now) {
        let Some(incident) = self.incidents.get_mut(key) else { return };
        let asks = |p: &&Page| p.kind == incident.kind;
        let is_in_vain = incident.current().filter(asks).all(|p| {
            let all_tried = usize::try_from(p.tries).unwrap_or(usize::MAX) >= p.contact_methods.len();
            !matches!(p.state, PageState::Accepted(_)) && all_tried
        });
        if incident.stage == IncidentStage::Paging
            && is_in_vain
            && incident.round == 0
            && incident.next_step_at.is_some()
        {
            incident.note("nobody could be reached: the next step begins".to_string());
            incident.next_step_at = Some(ms(now.mono));
            self.wake = Some(MonotonicMillis(now.mono.0));
        }
    }
}
