//! Alarms: conditions over points, and the life cycle of each alarm (states as in ISA-18.2). Pure: time comes in as an argument,
//! output is an [`AlarmOutput`]; nothing here reads a clock, writes a file or notifies anybody.
//!
//! A rule of a file and a device give a definition, with key `rule.device`. [`Alarms`] evaluates it when a reading brings a sample that
//! its condition reads, when such a sample becomes stale, when an injected sample ends, and when a delay or deadline is due.
//!
//! States: an evaluation is yes (with a step of urgency), no or unknown. Per step a [`Debounce`] applies on-delay and off-delay. The
//! [`Alarm`] itself has four independent parts: condition, acknowledgement, latch and visibility (shelved, out of service, suppressed).
//!
//! Invariants
//! * Unknown input (bad, stale, never seen) neither raises nor clears, and restarts a delay that is pending.
//! * Every transition is an [`AlarmEvent`], and puts the alarm's present record into the output under its key.
//! * Delays and deadlines use monotonic time; only conditions on days, hours and long idleness use the date, and only while it is trusted.
//! * A suppressed or shelved alarm is evaluated and recorded like any other; its events are marked as quiet.
//!
//! Order within a step: timers of an alarm, then its condition, then loss or return of its input, then the change of step. Of alarms that
//! read the same sample or are due at the same moment, suppressing ones come first, so that an alarm raised together with its cause is
//! suppressed from the start. Suppression is settled when all are evaluated. An alarm whose suppressing alarm is gone is shown after its
//! on-delay has passed once more.
//!
//! Restart: an active alarm stays active until fresh samples say otherwise, shelves and deadlines keep their dates, pending delays begin
//! again. While the date is not trusted, times of an earlier boot are kept as if no time had passed, and corrected when the date is known.
//!
//! Not guaranteed: windows of rates, changes and counts do not survive a restart (last activity and daily baselines do). An alarm
//! that came and went while the process was down is not reconstructed. Delivery is the matter of `oncall`; durability that of the driver,
//! which has to commit events and records of one output together.

mod alarm_flood;
pub mod alarm_view;
pub mod build;
pub mod changes;
pub mod condition;
pub mod days;
pub mod definition;
pub mod evaluation;
pub mod evaluator;
pub mod explain;
pub mod inject;
pub mod life;
pub mod limit;
mod live;
pub mod local_time;
pub mod people;
pub mod resolve;
mod restore;
pub mod room;
pub mod settings;
pub mod site;
mod suppression;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::alarm::alarm_flood::{AlarmFloodDetector, Chatter};
use crate::alarm::condition::ResolvedCondition;
use crate::alarm::definition::AlarmDefinition;
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth};
use crate::alarm::evaluator::Evaluator;
use crate::alarm::inject::Injected;
use crate::alarm::life::{Alarm, Debounce, LifeStep, ms};
use crate::alarm::live::Live;
use crate::alarm::resolve::ConditionInput;
use crate::alarm::site::AlarmSettings;
use crate::model::alarm::{AlarmEvent, AlarmEventKind};
use crate::model::flood::FloodCause;
use crate::model::latest::Latest;
use crate::model::priority::Priority;
use crate::model::quality::Cause;
use crate::model::reading::Reading;
use crate::model::time::{MonotonicMillis, Now};

#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    pub definitions: Vec<Arc<AlarmDefinition>>,
    pub settings: AlarmSettings,
    pub zone: TimeZone,
}

impl Default for Rules {
    fn default() -> Self {
        Self { definitions: Vec::new(), settings: AlarmSettings::default(), zone: TimeZone::UTC }
    }
}

/// What survives a restart of one alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersistedAlarm {
    pub alarm: Alarm,
    /// When it was kept.
    pub saved: Now,
    /// The boot that its moments are of.
    #[serde(default)]
    pub boot: Arc<str>,
    /// Whether it hides what it explains.
    #[serde(default = "yes")]
    #[serde(rename = "explains")]
    pub suppresses: bool,
}

/// Default for records written before the field existed.
fn yes() -> bool {
    true
}

/// The result of a step; both parts are to be committed in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmOutput {
    pub events: Vec<AlarmEvent>,
    /// Records to be written, by key; `None`: the record is to be deleted.
    pub changed: BTreeMap<Arc<str>, Option<PersistedAlarm>>,
}

#[derive(Debug, Default)]
pub struct Alarms {
    rules: Rules,
    latest: Latest,
    injected: Injected,
    live: Vec<Live>,
    by_key: BTreeMap<Arc<str>, usize>,
    /// By slot: the alarms whose conditions read it.
    subscribers: Vec<Vec<usize>>,
    /// By alarm: those that it suppresses.
    suppressed_alarms: Vec<Vec<usize>>,
    schedule: BTreeSet<(MonotonicMillis, usize)>,
    alarm_flood: AlarmFloodDetector,
    /// Alarms whose suppression may have changed in this step; settled when all are evaluated.
    unsettled: BTreeSet<usize>,
    boot: Arc<str>,
    started_at: MonotonicMillis,
    is_dated: bool,
    /// Whether an alarm that readiness depends on became known, unknown, true or false since somebody looked.
    is_readiness_changed: bool,
}

impl Alarms {
    fn add(&mut self, definition: Arc<AlarmDefinition>) {
        let index = self.live.len();
        let key: Arc<str> = definition.key().into();
        let Self { latest, subscribers, .. } = self;
        let mut looked = BTreeSet::new();
        let mut slot = |input: &ConditionInput| {
            let slot = latest.slot(&input.device, &input.point);
            looked.insert(slot);
            slot
        };
        let when = Evaluator::new(&definition.condition, &mut slot);
        let only = definition.enable_if.as_ref().map(|n| Evaluator::new(n, &mut slot));
        let explains_while = definition.suppresses_while.as_ref().map(|n| Evaluator::new(n, &mut slot));
        let more_urgent_while = definition.more_urgent_while.as_ref().map(|n| Evaluator::new(n, &mut slot));
        let skips_the_same = definition.conditions().all(ResolvedCondition::skips_unchanged);
        subscribers.resize(latest.slots(), Vec::new());
        looked.iter().for_each(|slot| subscribers[*slot].push(index));
        self.by_key.insert(Arc::clone(&key), index);
        self.live.push(Live {
            key,
            condition: when,
            enable_if: only,
            suppresses_while: explains_while,
            suppresses: true,
            more_urgent_while,
            debounces: vec![Debounce::default(); definition.steps.len()],
            alarm: Alarm::default(),
            skips_unchanged: skips_the_same,
            last_evaluation: Evaluation { truth: Truth::No, value: None, limit: None },
            wake: None,
            chatter: Chatter::default(),
            show_at: None,
            unrebased: None,
            definition,
        });
    }

    pub fn reading(&mut self, reading: &Reading, now: Now, out: &mut AlarmOutput) {
        let Self { latest, subscribers, live, .. } = self;
        let mut due: Vec<usize> = Vec::new();
        latest.take(reading, now.mono, |slot, is_same| {
            due.extend(subscribers[slot].iter().filter(|i| !(is_same && live[**i].skips_unchanged)));
        });
        self.evaluate_all(due, now, out);
        self.settle_suppression(now, out);
    }

    /// Evaluates each once, in ascending order: suppressing alarms come first.
    fn evaluate_all(&mut self, mut due: Vec<usize>, now: Now, out: &mut AlarmOutput) {
        due.sort_unstable();
        due.dedup();
        due.into_iter().for_each(|i| self.evaluate(i, now, out));
    }

    /// Applies what time alone changes: ended trials, stale samples, delays and deadlines that are due.
    pub fn tick(&mut self, now: Now, out: &mut AlarmOutput) {
        if now.wall_trusted && !self.is_dated {
            self.apply_trusted_date(now, out);
        }
        let Self { latest, subscribers, injected, .. } = self;
        let mut due: Vec<usize> = injected.end(now.mono).iter().flat_map(|slot| &subscribers[*slot]).copied().collect();
        latest.stale(now.mono, |slot| due.extend(&subscribers[slot]));
        self.evaluate_all(due, now, out);
        while let Some(&(at, i)) = self.schedule.first() {
            if at > now.mono {
                break;
            }
            self.schedule.remove(&(at, i));
            self.live[i].wake = None;
            self.evaluate(i, now, out);
        }
        self.settle_suppression(now, out);
        out.events.extend(self.alarm_flood.update(&self.rules.settings, now.mono));
    }

    /// When [`Self::tick`] has to run although nothing arrives.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        let flood = self.alarm_flood.wake(&self.rules.settings);
        self.schedule
            .first()
            .map(|(at, _)| *at)
            .into_iter()
            .chain(flood)
            .chain(self.injected.next_end())
            .chain(self.latest.next_stale())
            .min()
    }

    fn evaluate(&mut self, i: usize, now: Now, out: &mut AlarmOutput) {
        // Timers first, so that each event carries the state at its own point of the sequence.
        let live = &mut self.live[i];
        let over = live.alarm.tick(&live.definition, now);
        self.transitions(i, over, now, out);
        let (evaluation, mut wake, test) = self.condition(i, now, out);
        let live = &mut self.live[i];
        let mut input = None;
        let unknown = match evaluation.truth {
            Truth::Unknown(cause) => Some(cause),
            _ => None,
        };
        // `StartingUp` is no transition: after a start no input is known yet.
        let is_known_cause = |c: Option<Cause>| c != Some(Cause::StartingUp);
        let is_change = is_known_cause(unknown) && unknown.is_some() != live.alarm.unknown_cause.is_some();
        if live.alarm.step > 0 && is_change {
            let what = if unknown.is_some() { AlarmEventKind::InputBad } else { AlarmEventKind::InputRestored };
            let cause = unknown.map_or(String::new(), |c| c.word().to_string());
            input = Some(LifeStep { cause, ..LifeStep::of(what) });
        }
        if is_known_cause(unknown) {
            live.alarm.unknown_cause = unknown;
        }
        let reached = match evaluation.truth {
            Truth::Yes(k) => Some(k),
            Truth::No => Some(0),
            Truth::Unknown(_) => None,
        };
        let off_delay_ms = live.alarm.off_delay_ms(&live.definition, self.rules.settings.chatter_within.0);
        for (k, (debounce, urgency)) in (1u8..).zip(live.debounces.iter_mut().zip(&live.definition.steps)) {
            let says = reached.map(|r| r >= k);
            let at = debounce.observe(says, urgency.on_delay_ms, off_delay_ms, now.mono);
            wake = earlier(wake, at);
        }
        if let Some(at) = live.show_at {
            // The suppressing alarm is gone and this one lasted: it is shown at the end of the step.
            let is_due = now.mono >= at;
            self.unsettled.extend(is_due.then_some(i));
            wake = if is_due { wake } else { earlier(wake, Some(at)) };
        }
        let live = &mut self.live[i];
        let step = live.debounced_step();
        // The trial has ended and real samples fulfil the condition: the alarm is no test any more.
        let is_real = live.alarm.test && !test && live.alarm.step > 0 && matches!(evaluation.truth, Truth::Yes(_));
        live.alarm.test &= !is_real;
        self.transitions(i, input, now, out);
        if is_real {
            self.record_change(i, now, out);
        }
        let live = &mut self.live[i];
        if step != live.alarm.step {
            (live.alarm.value, live.alarm.limit) = (evaluation.value, evaluation.limit);
            if live.alarm.step == 0 {
                live.alarm.test = test;
            }
            let deadlines = &self.rules.settings.deadlines;
            let what = live.alarm.set_step(step, &live.definition, |p| deadlines.for_priority(p), now);
            self.transitions(i, what.map(LifeStep::of), now, out);
        }
        wake = earlier(wake, self.live[i].alarm.wake().map(|at| MonotonicMillis(u64::try_from(at).unwrap_or(0))));
        self.wake(i, wake, now);
    }

    /// Evaluates the condition: the result, when time next changes it, and whether an injected sample was read.
    fn condition(&mut self, i: usize, now: Now, out: &mut AlarmOutput) -> (Evaluation, Option<MonotonicMillis>, bool) {
        let live = &mut self.live[i];
        let (held, explained) = (live.debounced_step(), live.suppresses);
        let mut context = EvaluationContext {
            latest: &self.latest,
            injected: &self.injected,
            now,
            zone: &self.rules.zone,
            active_step: held,
            wake: None,
            used_injected: false,
        };
        let evaluation = live.evaluate(&mut context);
        let (wake, is_simulated) = (context.wake, context.used_injected);
        let is_other = std::mem::discriminant(&live.last_evaluation.truth) != std::mem::discriminant(&evaluation.truth);
        self.is_readiness_changed |= live.definition.readiness && is_other;
        live.last_evaluation = evaluation;
        if explained != live.suppresses {
            self.unsettled.extend(&self.suppressed_alarms[i]);
            self.record_change(i, now, out);
        }
        (evaluation, wake, is_simulated)
    }

    /// Schedules an alarm. An earlier entry stays and costs one superfluous evaluation.
    fn wake(&mut self, i: usize, at: Option<MonotonicMillis>, now: Now) {
        let Some(at) = at else { return };
        let at = at.max(now.mono.plus(1));
        let live = &mut self.live[i];
        if live.wake.is_some_and(|before| before <= at) {
            return;
        }
        if let Some(before) = live.wake.replace(at) {
            self.schedule.remove(&(before, i));
        }
        self.schedule.insert((at, i));
    }

    /// Turns transitions into events; alarms that this one suppresses are settled at the end of the step.
    fn transitions(&mut self, i: usize, steps: impl IntoIterator<Item = LifeStep>, now: Now, out: &mut AlarmOutput) {
        let before = out.events.len();
        for step in steps {
            let Some(what) = step.kind else { continue };
            if what == AlarmEventKind::Raised {
                let hidden_by = self.active_suppressor(i);
                let first = self.is_first(i);
                let live = &mut self.live[i];
                (live.alarm.suppressed_by, live.alarm.is_first_out) = (hidden_by, first);
                live.alarm.never_notified = true;
                if !live.alarm.is_silenced() {
                    self.alarm_flood.raised(&live.key, now.mono);
                    out.events.extend(self.alarm_flood.update(&self.rules.settings, now.mono));
                }
            }
            self.live[i].mark_urgent_notified(what);
            let event = self.event(i, what, step, now);
            out.events.push(event);
            if what == AlarmEventKind::Raised {
                self.detect_chatter(i, now, out);
            }
            if what == AlarmEventKind::Cleared {
                let live = &mut self.live[i];
                (live.alarm.suppressed_by, live.show_at) = (None, None);
            }
        }
        if out.events.len() == before {
            return;
        }
        self.unsettled.extend(&self.suppressed_alarms[i]);
        self.record_change(i, now, out);
    }

    /// Somebody is being notified of an alarm: its return to normal will have to be acknowledged.
    pub fn mark_notified(&mut self, key: &str, now: Now, out: &mut AlarmOutput) {
        let Some(i) = self.by_key.get(key).copied() else { return };
        if std::mem::take(&mut self.live[i].alarm.never_notified) {
            self.record_change(i, now, out);
        }
    }

    /// Keys of related active alarms: first those that this one suppresses, then others of the same device.
    pub fn related_active(&self, key: &str) -> Vec<Arc<str>> {
        let Some(own) = self.by_key.get(key).map(|i| &self.live[*i]) else { return Vec::new() };
        let active = self.live.iter().filter(|l| l.alarm.step > 0 && *l.key != *own.key);
        let is_visible = |l: &&Live| l.alarm.shelved.is_none() && l.alarm.out_of_service_by.is_none();
        let (explained, rest): (Vec<&Live>, Vec<&Live>) =
            active.filter(is_visible).partition(|l| l.alarm.suppressed_by.as_deref() == Some(key));
        let same = rest
            .into_iter()
            .filter(|l| l.definition.device == own.definition.device && l.alarm.suppressed_by.is_none());
        explained.into_iter().chain(same).map(|l| Arc::clone(&l.key)).collect()
    }

    /// `None` while the alarm is not active or its input is unknown.
    pub fn value_now(&self, key: &str) -> Option<(f64, Option<f64>)> {
        let live = &self.live[*self.by_key.get(key)?];
        let is_known = live.alarm.step > 0 && !matches!(live.last_evaluation.truth, Truth::Unknown(_));
        Some((live.last_evaluation.value.filter(|_| is_known)?, live.last_evaluation.limit))
    }

    fn record_change(&self, i: usize, now: Now, out: &mut AlarmOutput) {
        let live = &self.live[i];
        out.changed.insert(Arc::clone(&live.key), Some(self.record_of(live, now)));
    }

    fn event(&self, i: usize, kind: AlarmEventKind, step: LifeStep, now: Now) -> AlarmEvent {
        let live = &self.live[i];
        let alarm = &live.alarm;
        AlarmEvent {
            key: Arc::clone(&live.key),
            kind,
            state: alarm.state(),
            occurrence: alarm.occurrence,
            priority: alarm.priority(&live.definition),
            value: live.last_evaluation.value.or(alarm.value),
            limit: live.last_evaluation.limit.or(alarm.limit),
            cause: step.cause,
            actor: step.actor,
            via: step.via,
            note: step.note,
            within_ms: None,
            after_s: alarm.age_s(now).filter(|_| kind != AlarmEventKind::Raised),
            is_silenced: alarm.is_silenced(),
            in_alarm_flood: self.alarm_flood.is_on && alarm.priority(&live.definition) > Priority::P1,
            test: alarm.test,
            is_first_out: alarm.is_first_out,
            active: alarm.step > 0,
        }
    }

    /// Whether no other alarm of its group is active.
    fn is_first(&self, i: usize) -> bool {
        let of = &self.live[i].definition;
        let Some(group) = &of.first_out_group else { return false };
        let others = self.live.iter().enumerate().filter(|(j, l)| *j != i && l.definition.device == of.device);
        !others.into_iter().any(|(_, l)| l.definition.first_out_group.as_ref() == Some(group) && l.alarm.step > 0)
    }

    /// Every alarm with its definition, in order of their keys.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, &AlarmDefinition, &Alarm)> {
        self.by_key.iter().map(|(key, i)| (key, &*self.live[*i].definition, &self.live[*i].alarm))
    }

    /// Active alarms that demand a flood level: neither trials nor those that somebody took out of service.
    pub fn flood_causes(&self) -> Vec<FloodCause> {
        let demands = |live: &&Live| {
            let alarm = &live.alarm;
            let is_real = alarm.step > 0 && !alarm.test && alarm.out_of_service_by.is_none();
            is_real && live.definition.flood_rank > 0
        };
        let cause = |live: &Live| FloodCause { key: Arc::clone(&live.key), rank: live.definition.flood_rank };
        self.live.iter().filter(demands).map(cause).collect()
    }

    /// Alarms that readiness depends on: ready while not active; none where nobody knows.
    pub fn readiness(&self) -> impl Iterator<Item = (&Arc<str>, &AlarmDefinition, &Alarm, Option<bool>)> {
        let of = |live: &Live| match live.last_evaluation.truth {
            _ if live.alarm.step > 0 => Some(false),
            _ if live.alarm.out_of_service_by.is_some() => None,
            Truth::Unknown(_) => None,
            Truth::Yes(_) | Truth::No => Some(true),
        };
        let of_readiness = self.live.iter().filter(|live| live.definition.readiness);
        of_readiness.map(move |live| (&live.key, &*live.definition, &live.alarm, of(live)))
    }

    /// Whether [`Alarms::readiness`] may say something else than at the last call.
    pub fn take_readiness_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_readiness_changed)
    }

    /// One alarm with its definition.
    pub fn get(&self, key: &str) -> Option<(&AlarmDefinition, &Alarm)> {
        self.by_key.get(key).map(|i| (&*self.live[*i].definition, &self.live[*i].alarm))
    }

    pub fn is_alarm_flood(&self) -> bool {
        self.alarm_flood.is_on
    }
}

fn earlier(a: Option<MonotonicMillis>, b: Option<MonotonicMillis>) -> Option<MonotonicMillis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
