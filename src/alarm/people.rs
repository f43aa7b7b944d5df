//! Commands of people: on one alarm, and trial samples.

use crate::alarm::life::LifeStep;
use crate::alarm::resolve::ConditionInput;
use crate::alarm::{AlarmOutput, Alarms};
use crate::model::actor::{Actor, Proof};
use crate::model::alarm::{AlarmEvent, AlarmEventKind};
use crate::model::command::{AlarmAction, Inject};
use crate::model::failure::Refusal;
use crate::model::point::LocalizedText;
use crate::model::problem::unknown;
use crate::model::text::{KEY, REMARK, one_line};
use crate::model::time::{HumanDuration, MonotonicMillis, Now};
use crate::model::value::Value;

/// Longest duration of a trial sample.
pub const TRIAL_MAX_MS: u64 = 3_600_000;

impl Alarms {
    /// Applies an action to an alarm. Whoever answers a page hands over, shelves and resets only what is theirs.
    ///
    /// # Errors
    /// There is no such alarm, or the action does not fit its state; the text is for the person.
    pub fn command(
        &mut self,
        (key, action): (&str, &AlarmAction),
        actor: &Actor,
        note: &str,
        now: Now,
        out: &mut AlarmOutput,
    ) -> Result<(), LocalizedText> {
        let i = self.find(key)?;
        let is_by_page = matches!(actor.proof, Proof::PageToken | Proof::PagedContact);
        let alarm = &self.live[i].alarm;
        match action {
            AlarmAction::HandOver { .. } | AlarmAction::Shelve { .. } | AlarmAction::Reset
                if is_by_page && (alarm.needs_ack || alarm.owner != actor.id) =>
            {
                Err(LocalizedText::both("请先接单", "acknowledge it first: whoever has it may do that"))
            }
            AlarmAction::AcknowledgeAndArrive => {
                let needs_ack = alarm.needs_ack;
                if needs_ack {
                    self.act(i, &AlarmAction::Acknowledge, actor, note, now, out)?;
                }
                // Whoever acknowledged with it was not refused, whatever there is to arrive at.
                let arrived = self.act(i, &AlarmAction::Arrive, actor, note, now, out);
                if needs_ack { Ok(()) } else { arrived }
            }
            action => self.act(i, action, actor, note, now, out),
        }
    }

    fn act(
        &mut self,
        i: usize,
        action: &AlarmAction,
        actor: &Actor,
        note: &str,
        now: Now,
        out: &mut AlarmOutput,
    ) -> Result<(), LocalizedText> {
        let (by, note) = (one_line(&actor.id, REMARK), one_line(note, REMARK));
        let deadlines = &self.rules.settings.deadlines;
        let live = &mut self.live[i];
        let step = live.alarm.act(&live.definition, action, &by, &note, now)?;
        if step.kind == Some(AlarmEventKind::HandedOver) {
            live.alarm.restart_ack_deadline(deadlines.for_priority(live.alarm.priority(&live.definition)), now);
        }
        let wake = live.alarm.wake().map(|at| MonotonicMillis(u64::try_from(at).unwrap_or(0)));
        self.wake(i, wake, now);
        self.transitions(i, vec![LifeStep { via: actor.via.to_string(), ..step }], now, out);
        self.settle_suppression(now, out);
        Ok(())
    }

    /// Injects a trial sample and evaluates the alarms that read it; returns how many those are.
    ///
    /// # Errors
    /// No alarm reads this point, or the trial is longer than [`TRIAL_MAX_MS`].
    pub fn inject(
        &mut self,
        inject: &Inject,
        actor: &Actor,
        now: Now,
        out: &mut AlarmOutput,
    ) -> Result<usize, Refusal> {
        let is_it = |input: &ConditionInput| *input.device == *inject.device && *input.point == *inject.point;
        let mut is_read = false;
        let mut known: Vec<String> = Vec::new();
        for live in &self.live {
            let mut each = |input: &ConditionInput| {
                is_read |= is_it(input);
                if *input.device == *inject.device {
                    known.push(input.point.to_string());
                }
            };
            live.definition.condition.inputs(&mut each);
            let more = live.definition.enable_if.iter().chain(&live.definition.suppresses_while);
            more.for_each(|n| n.inputs(&mut each));
        }
        if !is_read {
            known.sort();
            known.dedup();
            let hint = crate::model::problem::did_you_mean(&inject.point, known.iter().map(String::as_str));
            let what = format!("no alarm looks at `{}` of `{}`; {hint}", inject.point, inject.device);
            return Err(Refusal::refused(what));
        }
        if inject.for_ms > TRIAL_MAX_MS {
            let what = format!("a trial lasts at most {}", HumanDuration(TRIAL_MAX_MS).text());
            return Err(Refusal::refused(what));
        }
        let slot = self.latest.slot(&inject.device, &inject.point);
        self.injected.put(slot, Value::F64(inject.value), now.mono.plus(inject.for_ms));
        let subscribers = self.subscribers[slot].clone();
        let count = subscribers.len();
        for i in &subscribers {
            let cause = format!("{} = {} for {}", inject.point, inject.value, HumanDuration(inject.for_ms).text());
            let (actor, via) = (one_line(&actor.id, REMARK), actor.via.to_string());
            let step = LifeStep { cause, actor, via, ..LifeStep::of(AlarmEventKind::SampleInjected) };
            let event = self.event(*i, AlarmEventKind::SampleInjected, step, now);
            out.events.push(AlarmEvent { test: true, ..event });
        }
        subscribers.into_iter().for_each(|i| self.evaluate(i, now, out));
        self.settle_suppression(now, out);
        Ok(count)
    }

    pub(super) fn find(&self, key: &str) -> Result<usize, LocalizedText> {
        let known = || self.by_key.keys().map(|k| &**k);
        self.by_key.get(key).copied().ok_or_else(|| unknown(("告警", "alarm"), &one_line(key, KEY), known()))
    }
}
