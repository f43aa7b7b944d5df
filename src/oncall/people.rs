//! Actions of people: handing over, overrides, test pages; and the weekly test.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::actor::Actor;
use crate::model::failure::Refusal;
use crate::model::page::{PageKind, TEST};
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::problem::unknown;
use crate::model::text::{REMARK, one_line};
use crate::model::time::{Now, UnixMillis};
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{OncallEvent, Page};
use crate::oncall::rota::{self, Override};
use crate::oncall::{Oncall, OncallOutput, hours, ms};

/// A weekly test that could not be sent on time is made up for within this period, else skipped.
const LATE_TEST_MS: i64 = 86_400_000;
/// Latest start of an override, from now.
const AHEAD_MS: i64 = 366 * 86_400_000;
/// Overrides stored at a time.
const OVERRIDES: usize = 1_000;

impl Oncall {
    pub(super) fn handed_over(&mut self, event: &OncallEvent, by: &str, to: &str, now: Now, out: &mut OncallOutput) {
        let fresh = || Incident::new(event.occurrence, event.priority, PageKind::Raised);
        let device = event.key.rsplit_once('.').map_or("", |(_, d)| d);
        let chain = self.plan.escalation_policy(event.priority, device).cloned();
        let incident = self.incidents.entry(Arc::clone(&event.key)).or_insert_with(fresh);
        incident.note(format!("{by} gave it to {to}"));
        for page in incident.drop_waiting(&format!("{by} gave it to {to}")) {
            self.log(out, &event.key, "page_dropped", Some(page), &format!("{by} gave it to {to}"));
        }
        let Some(incident) = self.incidents.get_mut(&event.key) else { return };
        incident.pages.iter_mut().for_each(|p| p.is_answered = true);
        // The recipient has the first step's wait to acknowledge; then the escalation starts from its first step.
        (incident.stage, incident.acknowledged_at, incident.kind) = (IncidentStage::Paging, None, PageKind::Raised);
        (incident.step, incident.round, incident.actor) = (0, 0, by.to_string());
        let wait = chain.as_ref().and_then(|c| c.steps.first()).map(|s| s.wait_ms);
        incident.escalation_policy = chain.map(|c| c.id);
        incident.next_step_at = wait.map(|wait| ms(now.mono.plus(wait)));
        let ways = self.plan.contact_methods(to, &[]);
        let page = self.new_page(&event.key, PageKind::HandedOver, to.into(), ways, now);
        self.incidents.entry(Arc::clone(&event.key)).and_modify(|i| i.pages.push(page));
    }

    /// Sends the weekly test if it is due.
    pub(super) fn run_weekly_test(&mut self, now: Now, out: &mut OncallOutput) {
        let plan = Arc::clone(&self.plan);
        let Some((day, time, _)) = plan.test else { return };
        if !now.wall_trusted {
            // The date may become trusted at any moment.
            self.wake_at(ms(now.mono) + 60_000);
            return;
        }
        let due = self.meta.next_test;
        if due.is_none_or(|at| now.wall >= at) {
            if due.is_some_and(|at| now.wall.0 - at.0 <= LATE_TEST_MS) {
                let on_call =
                    plan.rotas.keys().filter_map(|id| rota::on_call(&plan, id, &self.meta.overrides, now.wall));
                let people: BTreeSet<Arc<str>> = on_call.collect();
                for person in people {
                    let weekly = Actor { id: String::new(), ..Actor::gateway() };
                    let _has_ways = self.send_test_page(&person, &weekly, now, out);
                }
            }
            self.meta.next_test = hours::next_weekly(&plan, day, time, now.wall);
            self.is_meta_touched = true;
        }
        if let Some(at) = self.meta.next_test {
            // At most an hour: a corrected date is noticed within it.
            let left = (at.0 - now.wall.0).clamp(1, 3_600_000);
            self.wake_at(ms(now.mono) + left);
        }
    }

    /// Sends a test page that has to be acknowledged.
    ///
    /// # Errors
    /// There is no such person, or no contact method.
    pub fn send_test_page(
        &mut self,
        person: &str,
        actor: &Actor,
        now: Now,
        out: &mut OncallOutput,
    ) -> Result<u64, LocalizedText> {
        if !self.plan.people.contains_key(person) {
            let known = self.plan.people.keys().map(|k| &**k);
            return Err(unknown(("人员", "person"), &one_line(person, REMARK), known));
        }
        let ways = self.plan.contact_methods(person, &[]);
        if ways.is_empty() {
            let en = format!("{person} has no way to be reached");
            return Err(LocalizedText::both(format!("{person} 没有联系方式"), en));
        }
        let key: Arc<str> = format!("{TEST}.{person}").into();
        let occurrence = self.incidents.get(&key).map_or(1, |i| i.occurrence + 1);
        let mut page = self.new_page(&key, PageKind::Test, person.into(), ways, now);
        page.occurrence = occurrence;
        let id = page.id;
        let mut incident = Incident::new(occurrence, Priority::P2, PageKind::Test);
        let within = self.plan.test.map_or(900_000, |(_, _, within)| within);
        incident.next_step_at = Some(ms(now.mono.plus(within)));
        incident.pages.push(Page { ..page });
        self.incidents.insert(Arc::clone(&key), incident);
        self.touched.insert(Arc::clone(&key));
        self.log_by(out, &key, ("test", Some(id), &one_line(&actor.id, REMARK)), actor);
        self.wake = Some(now.mono);
        Ok(id)
    }

    pub(super) fn test_missed(&mut self, key: &Arc<str>, out: &mut OncallOutput) {
        let Some(incident) = self.incidents.get_mut(key) else { return };
        incident.next_step_at = None;
        incident.drop_waiting("time is over");
        incident.stage = IncidentStage::Resolved("nobody answered in time".to_string());
        self.touched.insert(Arc::clone(key));
        self.log(out, key, "test_missed", None, "nobody answered in time");
    }

    /// Records the acknowledgement of a test page.
    ///
    /// # Errors
    /// There is no such test, or it is over.
    pub fn answer_test(&mut self, key: &str, actor: &Actor, now: Now, out: &mut OncallOutput) -> Result<(), Refusal> {
        let Some((key, incident)) = self.incidents.get_key_value(key).filter(|(k, _)| k.starts_with(TEST)) else {
            return Err(Refusal::refused(format!("there is no test `{key}`")));
        };
        if incident.stage != IncidentStage::Paging {
            return Err(Refusal::refused("it is answered already, or its time is over"));
        }
        let key = Arc::clone(key);
        let (occurrence, priority) = (incident.occurrence, incident.priority);
        let what = crate::oncall::page::OncallEventKind::Acknowledged { actor: actor.id.clone() };
        self.handle_event(
            &OncallEvent { key: Arc::clone(&key), occurrence, priority, is_test: true, merged: false, kind: what },
            now,
            out,
        );
        self.log_by(out, &key, ("test_answered", None, &actor.id), actor);
        Ok(())
    }

    /// Adds an override of a rota.
    ///
    /// # Errors
    /// Unknown rota or person, an invalid period, or too many overrides.
    pub fn add_override(
        &mut self,
        mut new_override: Override,
        actor: &Actor,
        now: Now,
        out: &mut OncallOutput,
    ) -> Result<(), Refusal> {
        let know = |what: &str, name: &str, known: Vec<&str>| {
            let hint = crate::model::problem::did_you_mean(name, known.iter().copied());
            if known.contains(&name) {
                Ok(())
            } else {
                Err(Refusal::refused(format!("there is no {what} `{name}`; {hint}")))
            }
        };
        know("rota", &new_override.rota, self.plan.rotas.keys().map(String::as_str).collect())?;
        know("person", &new_override.person, self.plan.people.keys().map(|k| &**k).collect())?;
        if new_override.to <= new_override.from || new_override.to <= now.wall {
            return Err(Refusal::refused("it ends before it begins, or is over already"));
        }
        let most = i64::try_from(self.plan.override_ms).unwrap_or(i64::MAX);
        if new_override.to.0.saturating_sub(new_override.from.0) > most
            || new_override.from.0.saturating_sub(now.wall.0) > AHEAD_MS
        {
            let most = crate::model::time::HumanDuration(self.plan.override_ms).text();
            return Err(Refusal::refused(format!(
                "at most {most} at a time (`override_max` of [oncall]), and at most a year ahead: longer is a change of the rota"
            )));
        }
        new_override.number = self.meta.last_override + 1;
        let why = format!(
            "{} stands in until {} (number {})",
            new_override.person,
            new_override.to.local(&self.plan.zone),
            new_override.number
        );
        let key: Arc<str> = format!("rota.{}", new_override.rota).into();
        // Overrides that ended more than a day ago are dropped here; the log keeps them.
        self.meta.overrides.retain(|o| o.to > UnixMillis(now.wall.0 - LATE_TEST_MS));
        if self.meta.overrides.len() >= OVERRIDES {
            return Err(Refusal::refused(format!("{OVERRIDES} of them are enough")));
        }
        let reason = format!("{why} (said {})", new_override.actor);
        self.log_by(out, &key, ("stand_in", None, &reason), actor);
        self.meta.last_override = new_override.number;
        self.meta.overrides.push(new_override);
        self.is_meta_touched = true;
        Ok(())
    }

    /// Removes an override: the rota applies again at once.
    ///
    /// # Errors
    /// There is no override of that number.
    pub fn remove_override(&mut self, number: u64, actor: &Actor, out: &mut OncallOutput) -> Result<(), Refusal> {
        let Some(i) = self.meta.overrides.iter().position(|o| o.number == number) else {
            let known: Vec<String> = self.meta.overrides.iter().map(|o| o.number.to_string()).collect();
            let known = if known.is_empty() { "there are none".to_string() } else { known.join(", ") };
            let what = format!("there is no override {number} ({known}): `plantroom rota overrides` lists them");
            return Err(Refusal::refused(what));
        };
        let taken = self.meta.overrides.remove(i);
        let key: Arc<str> = format!("rota.{}", taken.rota).into();
        let reason = format!("{} (number {number}, said {})", taken.person, one_line(&actor.id, REMARK));
        self.log_by(out, &key, ("stand_in_withdrawn", None, &reason), actor);
        self.is_meta_touched = true;
        Ok(())
    }
}
