//! When something is in alarm, and the life of each alarm. Pure: time comes in as an argument.
//!
//! A rule of a file and a device give a [`Definition`]; its condition is judged at each sample that it looks at and when time
//! changes something. Unknown input never clears and never raises. Every transition is an [`Event`].

mod alarm_flood;
pub mod alarm_view;
pub mod build;
pub mod changes;
mod conditions;
pub mod days;
pub mod evaluator;
pub mod event;
pub mod explain;
pub mod inject;
pub mod life;
pub mod limit;
pub mod people;
pub mod resolved_condition;
mod restore;
pub mod settings;
pub mod site;
mod suppression;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::alarm::alarm_flood::{Chatter, Flood};
use crate::alarm::evaluator::{Context, Evaluation, Evaluator, Truth};
use crate::alarm::event::{Event, EventKind};
use crate::alarm::inject::Injected;
use crate::alarm::life::{Alarm, Debounce, LifeStep, ms};
use crate::alarm::resolved_condition::{ConditionInput, Definition};
use crate::alarm::restore::RestoredState;
use crate::alarm::site::AlarmSettings;
use crate::model::latest::Latest;
use crate::model::priority::Priority;
use crate::model::quality::Cause;
use crate::model::reading::Reading;
use crate::model::time::{MonotonicMillis, Now};

/// What the alarms are built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Every rule for every device.
    pub definitions: Vec<Arc<Definition>>,
    /// What the site says of alarms.
    pub settings: AlarmSettings,
    /// The site's time zone.
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
    /// The alarm.
    pub alarm: Alarm,
    /// When it was kept.
    pub saved: Now,
    /// The boot that its moments are of.
    #[serde(default)]
    pub boot: Arc<str>,
    /// Whether it hides what it explains.
    #[serde(default = "yes")]
    pub explains: bool,
}

/// Alarms that were kept before this was known explain.
fn yes() -> bool {
    true
}

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmOutput {
    /// Transitions, in order.
    pub events: Vec<Event>,
    /// Alarms whose state changed, by key; `None`: there is nothing to keep any more.
    pub changed: BTreeMap<Arc<str>, Option<PersistedAlarm>>,
}

/// A rule at work.
#[derive(Clone, Debug)]
struct Live {
    of: Arc<Definition>,
    key: Arc<str>,
    when: Evaluator,
    only: Option<Evaluator>,
    /// Whether it hides others, and whether it does now.
    explains_while: Option<Evaluator>,
    explains: bool,
    steps: Vec<Debounce>,
    alarm: Alarm,
    /// Whether a sample like the one before changes nothing: what time changes is on the schedule.
    skips_the_same: bool,
    /// What it said last.
    said: Evaluation,
    /// When it is on the schedule.
    wake: Option<MonotonicMillis>,
    /// How often it was raised lately.
    chatter: Chatter,
    /// What hid it is gone: when it is shown, if it is still there.
    shows: Option<MonotonicMillis>,
    /// What came from another boot, as long as nobody knows how long ago that was.
    carried: Option<Box<RestoredState>>,
}

/// All alarms.
#[derive(Debug, Default)]
pub struct Alarms {
    rules: Rules,
    latest: Latest,
    injected: Injected,
    live: Vec<Live>,
    by_key: BTreeMap<Arc<str>, usize>,
    /// Which alarms look at a slot.
    subscribers: Vec<Vec<usize>>,
    /// Which alarms each alarm hides.
    hides: Vec<Vec<usize>>,
    schedule: BTreeSet<(MonotonicMillis, usize)>,
    flood: Flood,
    /// Alarms whose hiding ones changed in this step: looked at when everything is judged.
    unsettled: BTreeSet<usize>,
    /// This boot, and when this began in it.
    boot: Arc<str>,
    began: MonotonicMillis,
    /// Whether the date was ever known since.
    is_dated: bool,
}

impl Alarms {
    fn add(&mut self, of: Arc<Definition>) {
        let index = self.live.len();
        let key: Arc<str> = of.key().into();
        let Self { latest, subscribers: lookers, .. } = self;
        let mut looked = BTreeSet::new();
        let mut slot = |input: &ConditionInput| {
            let slot = latest.slot(&input.device, &input.point);
            looked.insert(slot);
            slot
        };
        let when = Evaluator::new(&of.when, &mut slot);
        let only = of.only.as_ref().map(|n| Evaluator::new(n, &mut slot));
        let explains_while = of.explains_while.as_ref().map(|n| Evaluator::new(n, &mut slot));
        let skips_the_same =
            [Some(&of.when), of.only.as_ref(), of.explains_while.as_ref()].iter().flatten().all(|n| n.skips_the_same());
        lookers.resize(latest.slots(), Vec::new());
        looked.iter().for_each(|slot| lookers[*slot].push(index));
        self.by_key.insert(Arc::clone(&key), index);
        self.live.push(Live {
            key,
            when,
            only,
            explains_while,
            explains: true,
            steps: vec![Debounce::default(); of.steps.len()],
            alarm: Alarm::default(),
            skips_the_same,
            said: Evaluation { state: Truth::No, value: None, limit: None },
            wake: None,
            chatter: Chatter::default(),
            shows: None,
            carried: None,
            of,
        });
    }

    /// A reading came.
    pub fn reading(&mut self, reading: &Reading, now: Now, out: &mut AlarmOutput) {
        let Self { latest, subscribers: lookers, live, .. } = self;
        let mut due: Vec<usize> = Vec::new();
        latest.take(reading, now.mono, |slot, is_same| {
            due.extend(lookers[slot].iter().filter(|i| !(is_same && live[**i].skips_the_same)));
        });
        self.judge_all(due, now, out);
        self.settle(now, out);
    }

    /// Judges each of these once, what hides others first.
    fn judge_all(&mut self, mut due: Vec<usize>, now: Now, out: &mut AlarmOutput) {
        due.sort_unstable();
        due.dedup();
        due.into_iter().for_each(|i| self.evaluate(i, now, out));
    }

    /// Time passed.
    pub fn tick(&mut self, now: Now, out: &mut AlarmOutput) {
        if now.wall_trusted && !self.is_dated {
            self.date(now, out);
        }
        let Self { latest, subscribers: lookers, injected, .. } = self;
        let mut due: Vec<usize> = injected.end(now.mono).iter().flat_map(|slot| &lookers[*slot]).copied().collect();
        latest.stale(now.mono, |slot| due.extend(&lookers[slot]));
        self.judge_all(due, now, out);
        while let Some(&(at, i)) = self.schedule.first() {
            if at > now.mono {
                break;
            }
            self.schedule.remove(&(at, i));
            self.live[i].wake = None;
            self.evaluate(i, now, out);
        }
        self.settle(now, out);
        out.events.extend(self.flood.look(&self.rules.settings, now.mono));
    }

    /// When time next changes something.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        let flood = self.flood.wake(&self.rules.settings);
        self.schedule
            .first()
            .map(|(at, _)| *at)
            .into_iter()
            .chain(flood)
            .chain(self.injected.next_end())
            .chain(self.latest.next_stale())
            .min()
    }

    /// Judges one alarm and lets it live on.
    fn evaluate(&mut self, i: usize, now: Now, out: &mut AlarmOutput) {
        // What time brings comes first: each event is seen as the alarm is at that point.
        let live = &mut self.live[i];
        let over = live.alarm.tick(&live.of, now);
        self.transitions(i, over, now, out);
        let (said, mut wake, test) = self.condition(i, now, out);
        let live = &mut self.live[i];
        let mut input = None;
        let unknown = match said.state {
            Truth::Unknown(cause) => Some(cause),
            _ => None,
        };
        // After a start nothing is known yet: that is no news.
        let is_news = |c: Option<Cause>| c != Some(Cause::StartingUp);
        let is_change = is_news(unknown) && unknown.is_some() != live.alarm.unknown.is_some();
        if live.alarm.step > 0 && is_change {
            let what = if unknown.is_some() { EventKind::InputLost } else { EventKind::InputBack };
            let cause = unknown.map_or(String::new(), |c| c.word().to_string());
            input = Some(LifeStep { cause, ..LifeStep::of(what) });
        }
        if is_news(unknown) {
            live.alarm.unknown = unknown;
        }
        let reached = match said.state {
            Truth::Yes(k) => Some(k),
            Truth::No => Some(0),
            Truth::Unknown(_) => None,
        };
        let off_delay_ms = live.alarm.off_delay_ms(&live.of, self.rules.settings.chatter_within.0);
        for (k, (debounce, urgency)) in (1u8..).zip(live.steps.iter_mut().zip(&live.of.steps)) {
            let says = reached.map(|r| r >= k);
            let at = debounce.observe(says, urgency.on_delay_ms, off_delay_ms, now.mono);
            wake = earlier(wake, at);
        }
        if let Some(at) = live.shows {
            // What hid it is gone, and it stayed: people are told now.
            let is_due = now.mono >= at;
            self.unsettled.extend(is_due.then_some(i));
            wake = if is_due { wake } else { earlier(wake, Some(at)) };
        }
        let live = &mut self.live[i];
        let step = live.reached();
        // The trial is over and what it stood for is true.
        let is_real = live.alarm.test && !test && live.alarm.step > 0 && matches!(said.state, Truth::Yes(_));
        live.alarm.test &= !is_real;
        self.transitions(i, input, now, out);
        if is_real {
            self.keep(i, now, out);
        }
        let live = &mut self.live[i];
        if step != live.alarm.step {
            (live.alarm.value, live.alarm.limit) = (said.value, said.limit);
            if live.alarm.step == 0 {
                live.alarm.test = test;
            }
            let deadlines = &self.rules.settings.deadlines;
            let what = live.alarm.set_step(step, &live.of, |p| deadlines.of(p), now);
            self.transitions(i, what.map(LifeStep::of), now, out);
        }
        wake = earlier(wake, self.live[i].alarm.wake().map(|at| MonotonicMillis(u64::try_from(at).unwrap_or(0))));
        self.wake(i, wake, now);
    }

    /// What the condition of an alarm says, when time next changes that, and whether it comes of injected values.
    fn condition(&mut self, i: usize, now: Now, out: &mut AlarmOutput) -> (Evaluation, Option<MonotonicMillis>, bool) {
        let live = &mut self.live[i];
        let (held, explained) = (live.reached(), live.explains);
        let mut context = Context {
            latest: &self.latest,
            injected: &self.injected,
            now,
            zone: &self.rules.zone,
            held,
            wake: None,
            simulated: false,
        };
        let said = live.say(&mut context);
        let (wake, is_simulated) = (context.wake, context.simulated);
        live.said = said;
        if explained != live.explains {
            self.unsettled.extend(&self.hides[i]);
            self.keep(i, now, out);
        }
        (said, wake, is_simulated)
    }

    /// Puts an alarm on the schedule; one that is on it for earlier stays there and is looked at once more than it must be.
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

    /// Transitions of an alarm become events; those that it hides are looked at later in the step.
    fn transitions(&mut self, i: usize, steps: impl IntoIterator<Item = LifeStep>, now: Now, out: &mut AlarmOutput) {
        let before = out.events.len();
        for step in steps {
            let Some(what) = step.what else { continue };
            if what == EventKind::Raised {
                let hidden_by = self.hidden_by(i);
                let first = self.is_first(i);
                let live = &mut self.live[i];
                (live.alarm.hidden_by, live.alarm.first) = (hidden_by, first);
                live.alarm.untold = true;
                if !live.alarm.is_quiet() {
                    self.flood.raised(&live.key, now.mono);
                    out.events.extend(self.flood.look(&self.rules.settings, now.mono));
                }
            }
            self.live[i].will_be_told(what);
            let event = self.event(i, what, step, now);
            out.events.push(event);
            if what == EventKind::Raised {
                self.count_raised(i, now, out);
            }
            if what == EventKind::Cleared {
                let live = &mut self.live[i];
                (live.alarm.hidden_by, live.shows) = (None, None);
            }
        }
        if out.events.len() == before {
            return;
        }
        self.unsettled.extend(&self.hides[i]);
        self.keep(i, now, out);
    }

    /// People are being told of an alarm: that it is gone has to be acknowledged.
    pub fn told(&mut self, key: &str, now: Now, out: &mut AlarmOutput) {
        let Some(i) = self.by_key.get(key).copied() else { return };
        if std::mem::take(&mut self.live[i].alarm.untold) {
            self.keep(i, now, out);
        }
    }

    /// What is active because of an alarm, or at the same device: the keys of those that it explains first.
    pub fn beside(&self, key: &str) -> Vec<Arc<str>> {
        let Some(own) = self.by_key.get(key).map(|i| &self.live[*i]) else { return Vec::new() };
        let active = self.live.iter().filter(|l| l.alarm.step > 0 && *l.key != *own.key);
        let is_told = |l: &&Live| l.alarm.shelved.is_none() && l.alarm.out.is_none();
        let (explained, rest): (Vec<&Live>, Vec<&Live>) =
            active.filter(is_told).partition(|l| l.alarm.hidden_by.as_deref() == Some(key));
        let same = rest.into_iter().filter(|l| l.of.device == own.of.device && l.alarm.hidden_by.is_none());
        explained.into_iter().chain(same).map(|l| Arc::clone(&l.key)).collect()
    }

    /// What the condition of an alarm that is active looks at now: its value and limit; none where that is not known.
    pub fn value_now(&self, key: &str) -> Option<(f64, Option<f64>)> {
        let live = &self.live[*self.by_key.get(key)?];
        let is_known = live.alarm.step > 0 && !matches!(live.said.state, Truth::Unknown(_));
        Some((live.said.value.filter(|_| is_known)?, live.said.limit))
    }

    fn keep(&self, i: usize, now: Now, out: &mut AlarmOutput) {
        let live = &self.live[i];
        out.changed.insert(Arc::clone(&live.key), Some(self.kept_of(live, now)));
    }

    fn event(&self, i: usize, what: EventKind, step: LifeStep, now: Now) -> Event {
        let live = &self.live[i];
        let alarm = &live.alarm;
        Event {
            key: Arc::clone(&live.key),
            what,
            seen: alarm.seen(),
            occurrence: alarm.occurrence,
            priority: alarm.priority(&live.of),
            value: live.said.value.or(alarm.value),
            limit: live.said.limit.or(alarm.limit),
            cause: step.cause,
            by: step.by,
            note: step.note,
            after_s: alarm.age_s(now).filter(|_| what != EventKind::Raised),
            quiet: alarm.is_quiet(),
            merged: self.flood.is_on && alarm.priority(&live.of) > Priority::P1,
            test: alarm.test,
            first: alarm.first,
            active: alarm.step > 0,
        }
    }

    /// Whether no other alarm of its group is active.
    fn is_first(&self, i: usize) -> bool {
        let of = &self.live[i].of;
        let Some(group) = &of.group else { return false };
        let others = self.live.iter().enumerate().filter(|(j, l)| *j != i && l.of.device == of.device);
        !others.into_iter().any(|(_, l)| l.of.group.as_ref() == Some(group) && l.alarm.step > 0)
    }

    /// Every alarm with its definition, in order of their keys.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Definition, &Alarm)> {
        self.by_key.iter().map(|(key, i)| (key, &*self.live[*i].of, &self.live[*i].alarm))
    }

    /// One alarm with its definition.
    pub fn get(&self, key: &str) -> Option<(&Definition, &Alarm)> {
        self.by_key.get(key).map(|i| (&*self.live[*i].of, &self.live[*i].alarm))
    }

    /// Whether more come than people can read.
    pub fn is_flood(&self) -> bool {
        self.flood.is_on
    }
}

impl Live {
    /// Whether people are about to be told: of what is urgent at once, of the rest when a message leaves.
    fn will_be_told(&mut self, what: EventKind) {
        let wants = matches!(
            what,
            EventKind::Raised
                | EventKind::Worsened
                | EventKind::Reminded
                | EventKind::Unshelved
                | EventKind::PutBack
                | EventKind::Shown
        );
        if wants && self.alarm.step > 0 && !self.alarm.is_quiet() && self.alarm.priority(&self.of) <= Priority::P2 {
            self.alarm.untold = false;
        }
    }

    /// The highest step whose delays are over: 0 for none.
    fn reached(&self) -> u8 {
        self.steps.iter().rposition(|s| s.on).map_or(0, |k| u8::try_from(k + 1).unwrap_or(u8::MAX))
    }

    fn say(&mut self, context: &mut Context<'_>) -> Evaluation {
        let only = self.only.as_mut().map(|j| j.evaluate(context).state);
        if only == Some(Truth::No) {
            // A change is of a time in which it counts: fuel that a run has used is not lost afterwards.
            self.when.forget_changes();
        }
        // Where nobody knows it explains nothing: two pages for one cause are the lesser harm.
        let explains = self.explains_while.as_mut().map(|j| j.evaluate(context).state);
        // After a start it stays as it was until a fresh sample says otherwise: what is hidden is not shown for a moment.
        if explains != Some(Truth::Unknown(Cause::StartingUp)) {
            self.explains = matches!(explains, None | Some(Truth::Yes(_)));
        }
        // The condition is judged in any case: its windows must not miss what comes.
        let when = self.when.evaluate(context);
        let state = match only {
            None | Some(Truth::Yes(_)) => when.state,
            Some(unknown @ Truth::Unknown(_)) if when.state != Truth::No => unknown,
            Some(Truth::No | Truth::Unknown(_)) => Truth::No,
        };
        Evaluation { state, ..when }
    }
}

fn earlier(a: Option<MonotonicMillis>, b: Option<MonotonicMillis>) -> Option<MonotonicMillis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
