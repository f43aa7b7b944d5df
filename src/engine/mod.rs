//! The desk where everything is decided, without a clock: one door in, one out, and the next wake-up.
//!
//! Rooms run in a fixed order; one that needs a later room's result sees it one step later. For now: `derive`, who is there
//! (`presence`), `alarm`, `oncall`.

pub mod liveness;
mod oncall_events;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alarm::alarm_view::Streams;
use crate::alarm::event::{AlarmCommand, EventKind, Inject};
use crate::alarm::life::Alarm;
use crate::alarm::resolved_condition::Definition as AlarmDefinition;
use crate::alarm::{self, Alarms, Rules};
use crate::derive::{self, Definition, Derive};
use crate::engine::liveness::{Change, Liveness};
use crate::model::point::LocalizedText;
use crate::model::reading::Reading;
use crate::model::time::{MonotonicMillis, Now};
use crate::oncall::{self, Oncall};

/// Rooms of rules that run at the desk.
pub const ROOMS: u64 = 4;
/// How often everything is said once more: each device's state, how many alarms are active.
pub const SAY_EVERY_MS: u64 = 60_000;

/// What comes in.
#[derive(Clone, Copy, Debug)]
pub enum EngineInput<'a> {
    /// A reading.
    Reading(&'a Reading),
    /// A person does something with alarms; refused if none of it can be done.
    Commands(&'a [AlarmCommand]),
    /// A sample for a trial.
    Inject(&'a Inject),
    /// Something about pages.
    Page(&'a oncall::page::OncallCommand),
    /// Nothing but time.
    Tick,
}

impl<'a> EngineInput<'a> {
    fn page(self) -> Option<&'a oncall::page::OncallCommand> {
        match self {
            EngineInput::Page(page) => Some(page),
            _ => None,
        }
    }

    fn reply(self) -> Option<&'a oncall::page::PageReply> {
        match self {
            EngineInput::Page(oncall::page::OncallCommand::Reply(reply)) => Some(reply),
            _ => None,
        }
    }
}

/// What goes out.
#[derive(Debug, Default)]
pub struct EngineOutput {
    /// Derived readings, states of devices and transitions of alarms, to be appended.
    pub derived: Vec<Reading>,
    /// Devices whose state changed.
    pub presence: Vec<Change>,
    /// What became of alarms: to be written down before it leaves.
    pub alarm: alarm::AlarmOutput,
    /// Who is to be told, and what became of it: to be written down before it leaves.
    pub oncall: oncall::OncallOutput,
    /// Why a command was not carried out, in words.
    pub refused: Option<LocalizedText>,
}

/// Everything that survives a restart.
#[derive(Clone, Debug, Default)]
pub struct PersistedEngine {
    /// Counts, and what conditions remember.
    pub snapshot: Snapshot,
    /// Alarms by key.
    pub alarms: BTreeMap<String, alarm::PersistedAlarm>,
    /// Pages.
    pub oncall: oncall::PersistedOncall,
}

/// What the desk is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct EnginePlan {
    /// Points out of points.
    pub derive: Vec<Definition>,
    /// Alarm rules.
    pub alarms: Rules,
    /// Who is told what.
    pub oncall: Arc<oncall::plan::OncallPlan>,
    /// How often everything is said once more, changed or not; years are simulated with less.
    pub say_every_ms: u64,
}

impl Default for EnginePlan {
    fn default() -> Self {
        Self { derive: Vec::new(), alarms: Rules::default(), oncall: Arc::default(), say_every_ms: SAY_EVERY_MS }
    }
}

/// What survives a restart although nothing was decided: counts, and what conditions remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of this form: 1.
    pub format: u32,
    /// Counts of derived points.
    pub derive: BTreeMap<String, derive::PersistedDerived>,
    /// What the conditions of alarms remember.
    #[serde(default)]
    pub alarm: BTreeMap<String, Vec<alarm::evaluator::PersistedEvaluator>>,
}

/// The engine.
#[derive(Debug, Default)]
pub struct Engine {
    plan: EnginePlan,
    derive: Derive,
    presence: Liveness,
    alarms: Alarms,
    oncall: Oncall,
    streams: Streams,
    summary: MonotonicMillis,
    /// Rooms that panicked and were switched off.
    disabled_rooms: Vec<&'static str>,
    /// Whether alarms may want somebody that the desk of pages has not heard of: after a start, or with new rules.
    needs_backfill: bool,
    /// A room that is to panic, for a test.
    provoked: Option<&'static str>,
}

impl Engine {
    /// Builds the rules, going on from what survived; `boot` is the kernel's name of this boot.
    pub fn new(plan: EnginePlan, survived: PersistedEngine, boot: &str, now: Now) -> Self {
        let PersistedEngine { snapshot, alarms, oncall } = survived;
        Self {
            derive: Derive::new(&plan.derive, &snapshot.derive, &plan.alarms.zone),
            alarms: Alarms::new(plan.alarms.clone(), &alarms, &snapshot.alarm, boot, now),
            oncall: Oncall::new(Arc::clone(&plan.oncall), oncall, boot, now),
            plan,
            needs_backfill: true,
            ..Self::default()
        }
    }

    /// One step.
    pub fn step(&mut self, now: Now, input: EngineInput<'_>) -> EngineOutput {
        let mut out = EngineOutput::default();
        if let EngineInput::Reading(reading) = input {
            out.derived = guarded("derive", &mut self.disabled_rooms, || self.derive.step(reading));
            out.presence.extend(self.presence.reading(reading));
        }
        out.presence.extend(self.presence.tick(now));
        for change in &out.presence {
            out.derived.push(self.presence.as_reading(change, now));
        }
        out.derived.extend(self.presence.beat(now, self.plan.say_every_ms));
        let replied = input.reply().map(|reply| oncall_events::replied(&self.alarms, &self.oncall, reply));
        let Self { alarms, oncall, disabled_rooms: off, provoked, .. } = self;
        let derived = &out.derived;
        let (decided, refused) = guarded("alarm", off, || {
            assert!(*provoked != Some("alarm"), "on purpose");
            let mut decided = alarm::AlarmOutput::default();
            let refused = match input {
                EngineInput::Reading(reading) => {
                    alarms.reading(reading, now, &mut decided);
                    None
                }
                EngineInput::Commands(commands) => act(alarms, oncall, commands, now, &mut decided),
                EngineInput::Inject(inject) => alarms.inject(inject, now, &mut decided).err().map(LocalizedText::from),
                EngineInput::Page(_) => match &replied {
                    Some(Ok(commands)) => act(alarms, oncall, commands, now, &mut decided),
                    Some(Err(why)) => Some(why.clone()),
                    None => None,
                },
                EngineInput::Tick => None,
            };
            derived.iter().for_each(|reading| alarms.reading(reading, now, &mut decided));
            alarms.tick(now, &mut decided);
            (decided, refused)
        });
        (out.alarm, out.refused) = (decided, refused);
        let wants_alarms = matches!(input, EngineInput::Commands(_) | EngineInput::Inject(_)) || replied.is_some();
        if wants_alarms && off.contains(&"alarm") {
            out.refused = Some(LocalizedText::both(
                "告警规则出错已停用，请工程师重新加载",
                "the alarm rules panicked and are switched off: `plantroom reload` tries them again",
            ));
        }
        self.pages(now, input, replied, &mut out);
        out.derived.extend(self.transitions(&out.alarm, now));
        if now.mono >= self.summary && self.has_alarms() {
            self.summary = now.mono.plus(self.plan.say_every_ms);
            out.derived.push(self.streams.summary(self.alarms.all().map(|(_, of, alarm)| (of, alarm)), now));
        }
        out
    }

    /// Who is to be told of what was decided, and what people say to that.
    fn pages(
        &mut self,
        now: Now,
        input: EngineInput<'_>,
        replied: Option<Result<Vec<AlarmCommand>, LocalizedText>>,
        out: &mut EngineOutput,
    ) {
        let flood_ms = &self.plan.alarms.settings.flood_within.0;
        let Self { alarms, oncall, disabled_rooms: off, provoked, needs_backfill: catches_up, .. } = self;
        let catches_up = std::mem::take(catches_up) && !off.contains(&"alarm");
        let answer = match (input, &replied) {
            (EngineInput::Commands(commands), _) => commands.first(),
            (_, Some(Ok(commands))) => commands.first(),
            _ => None,
        };
        let refused_alarm = out.refused.clone();
        let (pages, refused) = guarded("oncall", off, || {
            assert!(*provoked != Some("oncall"), "on purpose");
            let mut pages = oncall::OncallOutput::default();
            for news in out.alarm.events.iter().filter_map(|e| oncall_events::of(e, *flood_ms)) {
                oncall.handle_event(&news, now, &mut pages);
            }
            if catches_up {
                oncall_events::missed(alarms, oncall)
                    .iter()
                    .for_each(|news| oncall.handle_event(news, now, &mut pages));
                oncall_events::unheard(alarms, oncall)
                    .iter()
                    .for_each(|news| oncall.handle_event(news, now, &mut pages));
            }
            let refused = match answer {
                Some(test) if oncall::is_test(&test.key) => {
                    oncall.answer_test(&test.key, &test.by, now, &mut pages).err()
                }
                _ => input.page().and_then(|page| oncall_events::page(oncall, page, now, &mut pages)),
            };
            let refused = refused.map(LocalizedText::from);
            if let (Some(reply), Some(replied)) = (input.reply(), &replied) {
                // Whoever came too late has answered as well: it is not to take what comes later.
                let why = refused_alarm.as_ref().or(refused.as_ref()).or(replied.as_ref().err());
                oncall.replied(reply, why, now, &mut pages);
            }
            oncall.tick(now, &mut pages);
            (pages, refused)
        });
        // Whoever is being told of an alarm has to acknowledge it; so has whoever looks at a list, where nobody is told.
        let is_told = |e: &&oncall::page::PageLogEntry| matches!(e.what, "page_sent" | "not_told");
        pages.log.iter().filter(is_told).for_each(|e| alarms.told(&e.key, now, &mut out.alarm));
        out.oncall = pages;
        out.refused = out.refused.take().or(refused);
    }

    /// Transitions as readings: of an alarm that made several in one step the last, for one moment of a series has one value.
    fn transitions(&mut self, of: &alarm::AlarmOutput, now: Now) -> Vec<Reading> {
        let last: BTreeMap<&Arc<str>, usize> = of.events.iter().enumerate().map(|(i, e)| (&e.key, i)).collect();
        let events = of.events.iter().enumerate().filter(|(i, e)| last.get(&e.key) == Some(i));
        // What a reload says of a rule is no state of its alarm.
        let is_rule = |what| matches!(what, EventKind::RuleAdded | EventKind::RuleChanged | EventKind::RuleRemoved);
        let events = events.filter(|(_, e)| !is_rule(e.what));
        events.filter_map(|(_, e)| self.streams.transition(e, now)).collect()
    }

    fn has_alarms(&self) -> bool {
        !self.disabled_rooms.contains(&"alarm") && self.alarms.all().next().is_some()
    }

    /// Rooms that panicked: what they decide is unknown until the next start or reload, the others go on.
    pub fn off(&self) -> &[&'static str] {
        &self.disabled_rooms
    }

    /// Makes a room panic at its next step: for a test of what follows.
    pub fn provoke(&mut self, room: &'static str) {
        self.provoked = Some(room);
    }

    /// When the engine wants to be asked again although nothing came.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        let alarms = (!self.disabled_rooms.contains(&"alarm")).then(|| self.alarms.next_wake()).flatten();
        let summary = self.has_alarms().then_some(self.summary);
        let pages = (!self.disabled_rooms.contains(&"oncall")).then(|| self.oncall.next_wake()).flatten();
        [self.presence.next_wake(), alarms, summary, pages].into_iter().flatten().min()
    }

    /// What survives a restart.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { format: 1, derive: self.derive.kept(), alarm: self.alarms.memory() }
    }

    /// Every alarm with its definition, in order of their keys.
    pub fn alarms(&self) -> impl Iterator<Item = (&Arc<str>, &AlarmDefinition, &Alarm)> {
        self.alarms.all()
    }

    /// One alarm with its definition.
    pub fn alarm(&self, key: &str) -> Option<(&AlarmDefinition, &Alarm)> {
        self.alarms.get(key)
    }

    /// What the condition of an active alarm looks at now: its value and limit, where they are known.
    pub fn value_now(&self, key: &str) -> Option<(f64, Option<f64>)> {
        self.alarms.value_now(key)
    }

    /// What is active because of an alarm, or at the same device.
    pub fn beside(&self, key: &str) -> Vec<Arc<str>> {
        self.alarms.beside(key)
    }

    /// Whether more alarms come than people can read.
    pub fn is_flood(&self) -> bool {
        self.alarms.is_flood()
    }

    /// Why an alarm is, or is not.
    ///
    /// # Errors
    /// There is no such alarm, in words.
    pub fn explain(&self, key: &str, now: Now) -> Result<Vec<String>, String> {
        let mut lines = if oncall::is_test(key) { Vec::new() } else { self.alarms.explain(key, now)? };
        lines.extend(self.oncall.explain(key, now));
        Ok(lines)
    }

    /// The desk of pages.
    pub fn oncall(&self) -> &Oncall {
        &self.oncall
    }

    /// A new configuration: rules anew; counts, states and delays go on where the rule is the same.
    /// `stored`: alarms and pages as they were written down, where a room panicked; `by`: whose it is.
    pub fn reconfigure(
        &mut self,
        plan: EnginePlan,
        has: impl Fn(&str, &str) -> bool,
        stored: Option<PersistedEngine>,
        by: &str,
        now: Now,
    ) -> EngineOutput {
        let mut out = EngineOutput::default();
        let again = !self.disabled_rooms.is_empty();
        // Windows and edges run on where the definitions are the same.
        if self.plan.derive != plan.derive || self.plan.alarms.zone != plan.alarms.zone || again {
            self.derive = Derive::new(&plan.derive, &self.derive.kept(), &plan.alarms.zone);
        }
        if let Some(stored) = stored {
            let memory = self.alarms.memory();
            let boot = self.alarms.boot();
            self.alarms = Alarms::new(self.plan.alarms.clone(), &stored.alarms, &memory, &boot, now);
            self.oncall = Oncall::new(Arc::clone(&self.plan.oncall), stored.oncall, &boot, now);
        }
        if self.plan.alarms != plan.alarms || again {
            self.alarms.reconfigure(plan.alarms.clone(), by, now, &mut out.alarm);
            out.derived.extend(self.transitions(&out.alarm, now));
        }
        self.disabled_rooms.clear();
        self.provoked = None;
        let flood_ms = plan.alarms.settings.flood_within.0;
        let Self { oncall, disabled_rooms: off, plan: old, .. } = self;
        out.oncall = guarded("oncall", off, || {
            let mut pages = oncall::OncallOutput::default();
            if old.oncall != plan.oncall || again {
                oncall.reconfigure(Arc::clone(&plan.oncall), now);
            }
            for news in out.alarm.events.iter().filter_map(|e| oncall_events::of(e, flood_ms)) {
                oncall.handle_event(&news, now, &mut pages);
            }
            oncall.tick(now, &mut pages);
            pages
        });
        self.needs_backfill = true;
        self.plan = plan;
        self.presence.keep(has);
        out
    }
}

/// Does each command; why not, in words, if none of them could be done.
fn act(
    alarms: &mut Alarms,
    oncall: &Oncall,
    commands: &[AlarmCommand],
    now: Now,
    out: &mut alarm::AlarmOutput,
) -> Option<LocalizedText> {
    let alarms_only = commands.iter().filter(|c| !oncall::is_test(&c.key));
    let one = |c: &AlarmCommand| oncall_events::names_somebody(oncall, c).and_then(|()| alarms.command(c, now, out));
    let done: Vec<Result<(), LocalizedText>> = alarms_only.map(one).collect();
    let is_any = done.iter().any(Result::is_ok);
    done.into_iter().find_map(Result::err).filter(|_| !is_any)
}

/// Runs a room; one that panics is switched off, and what it decides is nothing.
fn guarded<T: Default>(room: &'static str, off: &mut Vec<&'static str>, step: impl FnOnce() -> T) -> T {
    if off.contains(&room) {
        return T::default();
    }
    // The room's state may be broken by then; it is not used again.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).unwrap_or_else(|_| {
        off.push(room);
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_panics_is_switched_off_and_the_others_go_on() {
        let mut off = Vec::new();
        let good: Vec<u8> = guarded("a", &mut off, || vec![1]);
        let bad: Vec<u8> = guarded("b", &mut off, || panic!("on purpose"));
        let never: Vec<u8> = guarded("b", &mut off, || vec![2]);
        let still: Vec<u8> = guarded("a", &mut off, || vec![3]);
        assert_eq!((good, bad, never, still), (vec![1], vec![], vec![], vec![3]));
        assert_eq!(off, ["b"]);
    }
}
