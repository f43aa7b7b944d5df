//! What survives: another process, another boot, new rules, a date that is known late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alarm::event::EventKind;
use crate::alarm::life::{Alarm, Debounce, LifeStep, ms};
use crate::alarm::resolved_condition::Definition;
use crate::alarm::{AlarmOutput, Alarms, Live, PersistedAlarm, Rules, evaluator};
use crate::model::time::{MonotonicMillis, Now, UnixMillis, carried_by};

/// An alarm that came from another boot while the date was not known: its moments stand as if no time had passed.
#[derive(Clone, Debug)]
pub(super) struct RestoredState {
    /// As it stood then.
    alarm: Alarm,
    /// When it was kept.
    saved: UnixMillis,
}

impl Alarms {
    /// Built from rules; `kept` is what survived, by key, `memory` what their conditions remember, `boot` the kernel's name of
    /// this boot.
    pub fn new(
        rules: Rules,
        kept: &BTreeMap<String, PersistedAlarm>,
        memory: &BTreeMap<String, Vec<evaluator::PersistedEvaluator>>,
        boot: &str,
        now: Now,
    ) -> Self {
        let mut out = Self { rules, boot: boot.into(), began: now.mono, is_dated: now.wall_trusted, ..Self::default() };
        for of in hiding_first(&out.rules.definitions) {
            out.add(of);
        }
        out.hides = out.who_hides();
        for live in &mut out.live {
            if let Some(kept) = kept.get(&*live.key) {
                live.restore_one(kept, boot, now);
            }
            if let Some(memory) = memory.get(&*live.key) {
                let mut kept = memory.iter().cloned();
                live.when.restore(&mut kept);
                live.only.iter_mut().chain(&mut live.explains_while).for_each(|j| j.restore(&mut kept));
            }
        }
        // What hid an alarm may be gone, or new.
        out.unsettled = (0..out.live.len()).filter(|i| out.live[*i].alarm.step > 0).collect();
        // Deadlines and shelves may be over by now.
        out.schedule = (0..out.live.len()).map(|i| (now.mono, i)).collect();
        out.live.iter_mut().for_each(|l| l.wake = Some(now.mono));
        out
    }

    /// The boot that its moments are of.
    pub fn boot(&self) -> Arc<str> {
        Arc::clone(&self.boot)
    }

    /// Every alarm as it would be kept now, by key.
    pub fn kept(&self, now: Now) -> BTreeMap<String, PersistedAlarm> {
        self.live.iter().map(|l| (l.key.to_string(), self.kept_of(l, now))).collect()
    }

    pub(super) fn kept_of(&self, live: &Live, now: Now) -> PersistedAlarm {
        PersistedAlarm { alarm: live.alarm.clone(), saved: now, boot: Arc::clone(&self.boot), explains: live.explains }
    }

    /// What conditions remember that survives a restart, by key.
    pub fn memory(&self) -> BTreeMap<String, Vec<evaluator::PersistedEvaluator>> {
        let of = |live: &Live| {
            let mut kept = Vec::new();
            live.when.kept(&mut kept);
            live.only.iter().chain(&live.explains_while).for_each(|j| j.kept(&mut kept));
            (!kept.is_empty()).then(|| (live.key.to_string(), kept))
        };
        self.live.iter().filter_map(of).collect()
    }

    /// The date is known now: what was put off by another boot is moved by the time that passed in between, and what was raised
    /// without a date gets one.
    pub(super) fn date(&mut self, now: Now, out: &mut AlarmOutput) {
        self.is_dated = true;
        let age = |mono: i64| ms(now.mono) - mono;
        let began = ms(self.began);
        for i in 0..self.live.len() {
            let live = &mut self.live[i];
            let before = live.alarm.clone();
            if let Some(carried) = live.carried.take() {
                let passed = (now.wall.0 - age(began) - carried.saved.0).max(0);
                let mut was = carried.alarm;
                let was: BTreeSet<i64> = was.moments().map(|at| *at).collect();
                // What was set since stands on this boot's own scale.
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
                self.keep(i, now, out);
            }
        }
    }

    /// New rules: what is the same runs on with its delays and windows; a rule that is gone closes its alarm.
    pub fn reconfigure(&mut self, rules: Rules, by: &str, now: Now, out: &mut AlarmOutput) {
        out.events.extend(self.changes(&rules, by));
        let stays: BTreeSet<String> = rules.definitions.iter().map(|d| d.key()).collect();
        let gone = self.by_key.iter().filter(|(key, _)| !stays.contains(&***key));
        let gone: Vec<(usize, Arc<str>)> = gone.map(|(key, i)| (*i, Arc::clone(key))).collect();
        for (i, key) in gone {
            if !self.live[i].alarm.is_normal() {
                self.live[i].alarm = Alarm { occurrence: self.live[i].alarm.occurrence, ..Alarm::default() };
                let event = self.event(i, EventKind::Removed, LifeStep::of(EventKind::Removed), now);
                out.events.push(event);
            }
            out.changed.insert(key, None);
        }
        let old = std::mem::take(self);
        let (kept, memory) = (old.kept(now), old.memory());
        let mut before: BTreeMap<Arc<str>, Live> = old.live.into_iter().map(|l| (Arc::clone(&l.key), l)).collect();
        let mut fresh = Self::new(rules, &kept, &memory, &old.boot, now);
        for live in &mut fresh.live {
            let Some(was) = before.remove(&live.key) else { continue };
            live.carried = was.carried;
            if *was.of != *live.of {
                continue;
            }
            // Slots are numbered anew: the judges keep their memory and take the new numbers.
            live.when.remember(was.when);
            if let (Some(only), Some(was)) = (&mut live.only, was.only) {
                only.remember(was);
            }
            if let (Some(explains), Some(was)) = (&mut live.explains_while, was.explains_while) {
                explains.remember(was);
            }
            (live.steps, live.said, live.explains) = (was.steps, was.said, was.explains);
            (live.chatter, live.shows) = (was.chatter, was.shows);
        }
        fresh.latest.inherit(&old.latest);
        fresh.injected = old.injected.moved(|slot| fresh.latest.same(&old.latest, slot));
        (fresh.flood, fresh.began, fresh.is_dated) = (old.flood, old.began, old.is_dated);
        *self = fresh;
    }
}

impl Live {
    /// What is in alarm stays so until a fresh good sample says otherwise; delays that were running begin again.
    fn restore_one(&mut self, kept: &PersistedAlarm, boot: &str, now: Now) {
        self.alarm = kept.alarm.clone();
        self.explains = kept.explains;
        let by = carried_by((kept.saved, &kept.boot), (now, boot));
        self.alarm.moments().for_each(|at| *at = at.saturating_add(by));
        let is_open = kept.saved.wall_trusted && !now.wall_trusted && !self.alarm.is_normal();
        if is_open && *kept.boot != *boot {
            self.carried = Some(Box::new(RestoredState { alarm: self.alarm.clone(), saved: kept.saved.wall }));
        }
        let steps = u8::try_from(self.steps.len()).unwrap_or(u8::MAX);
        self.alarm.step = self.alarm.step.min(steps);
        if self.of.never_hidden {
            // A test that was announced goes on.
            self.alarm.shelved = self.alarm.shelved.take().filter(|s| s.is_test);
            self.alarm.out = None;
        }
        for (k, debounce) in (1u8..).zip(&mut self.steps) {
            *debounce = Debounce { on: k <= self.alarm.step, since: None };
        }
    }
}

/// What hides others is judged before them: an alarm that is raised together with its explanation is hidden from the start.
fn hiding_first(definitions: &[Arc<Definition>]) -> Vec<Arc<Definition>> {
    let by_key: BTreeMap<String, &Arc<Definition>> = definitions.iter().map(|d| (d.key(), d)).collect();
    // As deep as explanations go; there is no circle of them.
    fn depth(d: &Definition, by_key: &BTreeMap<String, &Arc<Definition>>, left: u8) -> u8 {
        let below = d.hidden_by.iter().filter_map(|key| by_key.get(&**key));
        if left == 0 { 0 } else { below.map(|by| 1 + depth(by, by_key, left - 1)).max().unwrap_or(0) }
    }
    let mut sorted: Vec<(u8, &Arc<Definition>)> = definitions.iter().map(|d| (depth(d, &by_key, 4), d)).collect();
    sorted.sort_by_key(|(depth, _)| *depth);
    sorted.into_iter().map(|(_, d)| Arc::clone(d)).collect()
}
