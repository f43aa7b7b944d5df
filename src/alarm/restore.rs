//! Continuity of alarms over a restart of the process, a reboot, a reload of rules, and a date that becomes trusted late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alarm::definition::AlarmDefinition;
use crate::alarm::life::{Alarm, Debounce, LifeStep, ms};
use crate::alarm::{AlarmOutput, Alarms, Live, PersistedAlarm, Rules, evaluation};
use crate::model::actor::Actor;
use crate::model::alarm::AlarmEventKind;
use crate::model::time::{MonotonicMillis, Now, UnixMillis, rebase_offset};

/// An alarm of an earlier boot, restored while the date was not trusted: its moments stand as if no time had passed.
#[derive(Clone, Debug)]
pub(super) struct RestoredState {
    /// Its state right after restoring.
    alarm: Alarm,
    /// When its record was written.
    saved: UnixMillis,
}

impl Alarms {
    /// Builds alarms from rules. `kept`: persisted alarms by key; `memory`: persisted memory of their conditions by key; `boot`: the
    /// kernel's id of this boot.
    pub fn new(
        rules: Rules,
        kept: &BTreeMap<String, PersistedAlarm>,
        memory: &BTreeMap<String, Vec<evaluation::PersistedEvaluator>>,
        boot: &str,
        now: Now,
    ) -> Self {
        let mut out =
            Self { rules, boot: boot.into(), started_at: now.mono, is_dated: now.wall_trusted, ..Self::default() };
        for of in suppressors_first(&out.rules.definitions) {
            out.add(of);
        }
        out.suppressed_alarms = out.suppression_map();
        for live in &mut out.live {
            if let Some(kept) = kept.get(&*live.key) {
                live.restore(kept, boot, now);
            }
            if let Some(memory) = memory.get(&*live.key) {
                let mut kept = memory.iter().cloned();
                live.condition.restore(&mut kept);
                live.enable_if.iter_mut().chain(&mut live.suppresses_while).for_each(|j| j.restore(&mut kept));
            }
        }
        // The rules of suppression may have changed.
        out.unsettled = (0..out.live.len()).filter(|i| out.live[*i].alarm.step > 0).collect();
        // Deadlines and shelves may have expired.
        out.schedule = (0..out.live.len()).map(|i| (now.mono, i)).collect();
        out.live.iter_mut().for_each(|l| l.wake = Some(now.mono));
        out
    }

    /// The boot to which monotonic moments refer.
    pub fn boot(&self) -> Arc<str> {
        Arc::clone(&self.boot)
    }

    /// The record of every alarm as of now, by key.
    pub fn records(&self, now: Now) -> BTreeMap<String, PersistedAlarm> {
        self.live.iter().map(|l| (l.key.to_string(), self.record_of(l, now))).collect()
    }

    pub(super) fn record_of(&self, live: &Live, now: Now) -> PersistedAlarm {
        PersistedAlarm {
            alarm: live.alarm.clone(),
            saved: now,
            boot: Arc::clone(&self.boot),
            suppresses: live.suppresses,
        }
    }

    /// The persistent memory of conditions, by key.
    pub fn memory(&self) -> BTreeMap<String, Vec<evaluation::PersistedEvaluator>> {
        let of = |live: &Live| {
            let mut kept = Vec::new();
            live.condition.persist(&mut kept);
            live.enable_if.iter().chain(&live.suppresses_while).for_each(|j| j.persist(&mut kept));
            (!kept.is_empty()).then(|| (live.key.to_string(), kept))
        };
        self.live.iter().filter_map(of).collect()
    }

    /// The date has become trusted: moments of an earlier boot are moved by the time that passed in between, and alarms raised without a
    /// date get one.
    pub(super) fn apply_trusted_date(&mut self, now: Now, out: &mut AlarmOutput) {
        self.is_dated = true;
        let age = |mono: i64| ms(now.mono) - mono;
        let began = ms(self.started_at);
        for i in 0..self.live.len() {
            let live = &mut self.live[i];
            let before = live.alarm.clone();
            if let Some(unrebased) = live.unrebased.take() {
                let passed = (now.wall.0 - age(began) - unrebased.saved.0).max(0);
                let mut was = unrebased.alarm;
                let was: BTreeSet<i64> = was.moments().map(|at| *at).collect();
                // Moments set since the restart are on this boot's scale already.
                live.alarm.moments().filter(|at| was.contains(at)).for_each(|at| *at = at.saturating_sub(passed));
            }
            for m in live.alarm.since.iter_mut().chain(&mut live.alarm.cleared) {
                if !m.trusted && m.mono >= began {
                    (m.wall, m.trusted) = (UnixMillis(now.wall.0 - age(m.mono)), true);
                }
            }
            if live.alarm != before {
                let wake = live.alarm.wake().map(|at| MonotonicMillis(u64::try_from(at).unwrap_or(0)));
                self.wake(i, wake, now);
                self.record_change(i, now, out);
            }
        }
    }

    /// Applies new rules. An unchanged definition keeps its delays and windows; a removed one closes its alarm.
    pub fn reconfigure(&mut self, rules: Rules, actor: &Actor, now: Now, out: &mut AlarmOutput) {
        out.events.extend(self.changes(&rules, actor));
        let stays: BTreeSet<String> = rules.definitions.iter().map(|d| d.key()).collect();
        let gone = self.by_key.iter().filter(|(key, _)| !stays.contains(&***key));
        let gone: Vec<(usize, Arc<str>)> = gone.map(|(key, i)| (*i, Arc::clone(key))).collect();
        for (i, key) in gone {
            if !self.live[i].alarm.is_normal() {
                self.live[i].alarm = Alarm { occurrence: self.live[i].alarm.occurrence, ..Alarm::default() };
                let event = self.event(i, AlarmEventKind::Removed, LifeStep::of(AlarmEventKind::Removed), now);
                out.events.push(event);
            }
            out.changed.insert(key, None);
        }
        let old = std::mem::take(self);
        let (kept, memory) = (old.records(now), old.memory());
        let mut before: BTreeMap<Arc<str>, Live> = old.live.into_iter().map(|l| (Arc::clone(&l.key), l)).collect();
        let mut fresh = Self::new(rules, &kept, &memory, &old.boot, now);
        for live in &mut fresh.live {
            let Some(was) = before.remove(&live.key) else { continue };
            live.unrebased = was.unrebased;
            if *was.definition != *live.definition {
                continue;
            }
            // Slots are numbered anew: evaluators keep their memory and use the new numbers.
            live.condition.take_memory_of(was.condition);
            if let (Some(only), Some(was)) = (&mut live.enable_if, was.enable_if) {
                only.take_memory_of(was);
            }
            if let (Some(explains), Some(was)) = (&mut live.suppresses_while, was.suppresses_while) {
                explains.take_memory_of(was);
            }
            (live.debounces, live.last_evaluation, live.suppresses) =
                (was.debounces, was.last_evaluation, was.suppresses);
            (live.chatter, live.show_at) = (was.chatter, was.show_at);
        }
        fresh.latest.inherit(&old.latest);
        fresh.injected = old.injected.moved(|slot| fresh.latest.corresponding_slot(&old.latest, slot));
        (fresh.alarm_flood, fresh.started_at, fresh.is_dated) = (old.alarm_flood, old.started_at, old.is_dated);
        *self = fresh;
    }
}

impl Live {
    /// An active alarm stays active until a fresh good sample says otherwise; pending delays begin again.
    fn restore(&mut self, kept: &PersistedAlarm, boot: &str, now: Now) {
        self.alarm = kept.alarm.clone();
        self.suppresses = kept.suppresses;
        let by = rebase_offset((kept.saved, &kept.boot), (now, boot));
        self.alarm.moments().for_each(|at| *at = at.saturating_add(by));
        let is_open = kept.saved.wall_trusted && !now.wall_trusted && !self.alarm.is_normal();
        if is_open && *kept.boot != *boot {
            self.unrebased = Some(Box::new(RestoredState { alarm: self.alarm.clone(), saved: kept.saved.wall }));
        }
        let steps = u8::try_from(self.debounces.len()).unwrap_or(u8::MAX);
        self.alarm.step = self.alarm.step.min(steps);
        if self.definition.never_suppressed {
            // Only the shelf of an announced test is allowed for it.
            self.alarm.shelved = self.alarm.shelved.take().filter(|s| s.is_test);
            self.alarm.out_of_service_by = None;
        }
        for (k, debounce) in (1u8..).zip(&mut self.debounces) {
            *debounce = Debounce { on: k <= self.alarm.step, since: None };
        }
    }
}

/// Sorts suppressing alarms before those that they suppress, so that an alarm raised together with its cause is suppressed at once.
fn suppressors_first(definitions: &[Arc<AlarmDefinition>]) -> Vec<Arc<AlarmDefinition>> {
    let by_key: BTreeMap<String, &Arc<AlarmDefinition>> = definitions.iter().map(|d| (d.key(), d)).collect();
    // Four levels are told apart; `config` has removed cycles.
    fn depth(d: &AlarmDefinition, by_key: &BTreeMap<String, &Arc<AlarmDefinition>>, left: u8) -> u8 {
        let below = d.suppressed_by.iter().filter_map(|key| by_key.get(&**key));
        if left == 0 { 0 } else { below.map(|by| 1 + depth(by, by_key, left - 1)).max().unwrap_or(0) }
    }
    let mut sorted: Vec<(u8, &Arc<AlarmDefinition>)> = definitions.iter().map(|d| (depth(d, &by_key, 4), d)).collect();
    sorted.sort_by_key(|(depth, _)| *depth);
    sorted.into_iter().map(|(_, d)| Arc::clone(d)).collect()
}
