//! When something is in alarm, and the life of each alarm. Pure: time comes in as an argument.
//!
//! A rule of a file and a device give a [`Definition`]; its condition is judged at each sample that it looks at and when time
//! changes something. Unknown input never clears and never raises. Every transition is an [`Event`].

pub mod build;
mod carry;
mod conditions;
pub mod days;
pub mod event;
pub mod explain;
mod flood;
pub mod inject;
pub mod judge;
pub mod life;
pub mod limit;
pub mod node;
mod people;
pub mod settings;
pub mod site;
pub mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::alarm::carry::Carried;
use crate::alarm::event::{Event, What};
use crate::alarm::flood::Flood;
use crate::alarm::inject::Injected;
use crate::alarm::judge::{Context, Judge, State, Verdict};
use crate::alarm::life::{Alarm, Debounce, Step, ms};
use crate::alarm::node::{Definition, Input, Node};
use crate::alarm::site::Settings;
use crate::model::latest::Latest;
use crate::model::priority::Priority;
use crate::model::quality::Cause;
use crate::model::reading::Reading;
use crate::model::time::{Mono, Now};

/// What the alarms are built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Every rule for every device.
    pub definitions: Vec<Arc<Definition>>,
    /// What the site says of alarms.
    pub settings: Settings,
    /// The site's time zone.
    pub zone: TimeZone,
}

impl Default for Rules {
    fn default() -> Self {
        Self { definitions: Vec::new(), settings: Settings::default(), zone: TimeZone::UTC }
    }
}

/// What survives a restart of one alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The alarm.
    pub alarm: Alarm,
    /// When it was kept.
    pub saved: Now,
    /// The boot that its moments are of.
    #[serde(default)]
    pub boot: Arc<str>,
}

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Transitions, in order.
    pub events: Vec<Event>,
    /// Alarms whose state changed, by key; `None`: there is nothing to keep any more.
    pub changed: BTreeMap<Arc<str>, Option<Kept>>,
}

/// A rule at work.
#[derive(Clone, Debug)]
struct Live {
    of: Arc<Definition>,
    key: Arc<str>,
    when: Judge,
    only: Option<Judge>,
    steps: Vec<Debounce>,
    alarm: Alarm,
    /// Whether a sample like the one before changes nothing: what time changes is on the schedule.
    skips_the_same: bool,
    /// What it said last.
    said: Verdict,
    /// When it is on the schedule.
    wake: Option<Mono>,
    /// What came from another boot, as long as nobody knows how long ago that was.
    carried: Option<Box<Carried>>,
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
    lookers: Vec<Vec<usize>>,
    /// Which alarms each alarm hides.
    hides: Vec<Vec<usize>>,
    schedule: BTreeSet<(Mono, usize)>,
    flood: Flood,
    /// Alarms whose hiding ones changed in this step: looked at when everything is judged.
    unsettled: BTreeSet<usize>,
    /// This boot, and when this began in it.
    boot: Arc<str>,
    began: Mono,
    /// Whether the date was ever known since.
    is_dated: bool,
}

impl Alarms {
    fn add(&mut self, of: Arc<Definition>) {
        let index = self.live.len();
        let key: Arc<str> = of.key().into();
        let Self { latest, lookers, .. } = self;
        let mut looked = BTreeSet::new();
        let mut slot = |input: &Input| {
            let slot = latest.slot(&input.device, &input.point);
            looked.insert(slot);
            slot
        };
        let when = Judge::new(&of.when, &mut slot);
        let only = of.only.as_ref().map(|n| Judge::new(n, &mut slot));
        lookers.resize(latest.slots(), Vec::new());
        looked.iter().for_each(|slot| lookers[*slot].push(index));
        self.by_key.insert(Arc::clone(&key), index);
        self.live.push(Live {
            key,
            when,
            only,
            steps: vec![Debounce::default(); of.steps.len()],
            alarm: Alarm::default(),
            skips_the_same: of.when.skips_the_same() && of.only.as_ref().is_none_or(Node::skips_the_same),
            said: Verdict { state: State::No, value: None, limit: None },
            wake: None,
            carried: None,
            of,
        });
    }

    fn who_hides(&self) -> Vec<Vec<usize>> {
        let mut hides = vec![Vec::new(); self.live.len()];
        for (i, live) in self.live.iter().enumerate() {
            for by in &live.of.hidden_by {
                if let Some(by) = self.by_key.get(by) {
                    hides[*by].push(i);
                }
            }
        }
        hides
    }

    /// A reading came.
    pub fn reading(&mut self, reading: &Reading, now: Now, out: &mut Output) {
        let Self { latest, lookers, live, .. } = self;
        let mut due: Vec<usize> = Vec::new();
        latest.take(reading, now.mono, |slot, is_same| {
            due.extend(lookers[slot].iter().filter(|i| !(is_same && live[**i].skips_the_same)));
        });
        self.judge_all(due, now, out);
        self.settle(now, out);
    }

    /// Judges each of these once, what hides others first.
    fn judge_all(&mut self, mut due: Vec<usize>, now: Now, out: &mut Output) {
        due.sort_unstable();
        due.dedup();
        due.into_iter().for_each(|i| self.judge(i, now, out));
    }

    /// Time passed.
    pub fn tick(&mut self, now: Now, out: &mut Output) {
        if now.wall_trusted && !self.is_dated {
            self.date(now, out);
        }
        let Self { latest, lookers, injected, .. } = self;
        let mut due: Vec<usize> = injected.end(now.mono).iter().flat_map(|slot| &lookers[*slot]).copied().collect();
        latest.stale(now.mono, |slot| due.extend(&lookers[slot]));
        self.judge_all(due, now, out);
        while let Some(&(at, i)) = self.schedule.first() {
            if at > now.mono {
                break;
            }
            self.schedule.remove(&(at, i));
            self.live[i].wake = None;
            self.judge(i, now, out);
        }
        self.settle(now, out);
        out.events.extend(self.flood.look(&self.rules.settings, now.mono));
    }

    /// When time next changes something.
    pub fn next_wake(&self) -> Option<Mono> {
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
    fn judge(&mut self, i: usize, now: Now, out: &mut Output) {
        // What time brings comes first: each event is seen as the alarm is at that point.
        let live = &mut self.live[i];
        let over = live.alarm.tick(&live.of, now);
        self.transitions(i, over, now, out);
        let live = &mut self.live[i];
        let held = live.reached();
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
        let (mut wake, test) = (context.wake, context.simulated);
        live.said = said;
        let mut input = None;
        let unknown = match said.state {
            State::Unknown(cause) => Some(cause),
            _ => None,
        };
        // After a start nothing is known yet: that is no news.
        let is_news = |c: Option<Cause>| c != Some(Cause::StartingUp);
        let is_change = is_news(unknown) && unknown.is_some() != live.alarm.unknown.is_some();
        if live.alarm.step > 0 && is_change {
            let what = if unknown.is_some() { What::InputLost } else { What::InputBack };
            let cause = unknown.map_or(String::new(), |c| c.word().to_string());
            input = Some(Step { cause, ..Step::of(what) });
        }
        if is_news(unknown) {
            live.alarm.unknown = unknown;
        }
        let reached = match said.state {
            State::Yes(k) => Some(k),
            State::No => Some(0),
            State::Unknown(_) => None,
        };
        for (k, (debounce, urgency)) in (1u8..).zip(live.steps.iter_mut().zip(&live.of.steps)) {
            let says = reached.map(|r| r >= k);
            let at = debounce.observe(says, urgency.on_delay_ms, live.of.off_delay_ms, now.mono);
            wake = earlier(wake, at);
        }
        let step = live.reached();
        // The trial is over and what it stood for is true.
        let is_real = live.alarm.test && !test && live.alarm.step > 0 && matches!(said.state, State::Yes(_));
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
            self.transitions(i, what.map(Step::of), now, out);
        }
        wake = earlier(wake, self.live[i].alarm.wake().map(|at| Mono(u64::try_from(at).unwrap_or(0))));
        self.wake(i, wake, now);
    }

    /// Puts an alarm on the schedule; one that is on it for earlier stays there and is looked at once more than it must be.
    fn wake(&mut self, i: usize, at: Option<Mono>, now: Now) {
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
    fn transitions(&mut self, i: usize, steps: impl IntoIterator<Item = Step>, now: Now, out: &mut Output) {
        let before = out.events.len();
        for step in steps {
            let Some(what) = step.what else { continue };
            if what == What::Raised {
                let hidden_by = self.hidden_by(i);
                let first = self.is_first(i);
                let alarm = &mut self.live[i].alarm;
                (alarm.hidden_by, alarm.first) = (hidden_by, first);
                if !alarm.is_quiet() {
                    self.flood.raised(now.mono);
                }
            }
            let event = self.event(i, what, step, now);
            out.events.push(event);
            if what == What::Cleared {
                self.live[i].alarm.hidden_by = None;
            }
        }
        if out.events.len() == before {
            return;
        }
        out.events.extend(self.flood.look(&self.rules.settings, now.mono));
        self.unsettled.extend(&self.hides[i]);
        self.keep(i, now, out);
    }

    /// Everything is judged: what is hidden now, and what is not any more.
    fn settle(&mut self, now: Now, out: &mut Output) {
        for j in std::mem::take(&mut self.unsettled) {
            let before = self.live[j].alarm.hidden_by.clone();
            let by = self.hidden_by(j).filter(|_| self.live[j].alarm.step > 0);
            if before == by {
                continue;
            }
            self.live[j].alarm.hidden_by.clone_from(&by);
            if before.is_some() != by.is_some() {
                let what = if by.is_some() { What::Hidden } else { What::Shown };
                let cause = by.or(before).map_or(String::new(), |key| key.to_string());
                let event = self.event(j, what, Step { cause, ..Step::of(what) }, now);
                out.events.push(event);
            }
            self.keep(j, now, out);
        }
    }

    fn keep(&self, i: usize, now: Now, out: &mut Output) {
        let live = &self.live[i];
        out.changed.insert(Arc::clone(&live.key), Some(self.kept_of(live, now)));
    }

    fn event(&self, i: usize, what: What, step: Step, now: Now) -> Event {
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
            after_s: alarm.age_s(now).filter(|_| what != What::Raised),
            quiet: alarm.is_quiet()
                || (self.flood.is_on && what == What::Raised && alarm.priority(&live.of) > Priority::P1),
            test: alarm.test,
            first: alarm.first,
            active: alarm.step > 0,
        }
    }

    /// The first alarm that is active and hides this one.
    fn hidden_by(&self, i: usize) -> Option<Arc<str>> {
        let is_active = |key: &&Arc<str>| self.by_key.get(*key).is_some_and(|j| self.live[*j].alarm.step > 0);
        self.live[i].of.hidden_by.iter().find(is_active).cloned()
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
    /// The highest step whose delays are over: 0 for none.
    fn reached(&self) -> u8 {
        self.steps.iter().rposition(|s| s.on).map_or(0, |k| u8::try_from(k + 1).unwrap_or(u8::MAX))
    }

    fn say(&mut self, context: &mut Context<'_>) -> Verdict {
        let only = self.only.as_mut().map(|j| j.judge(context).state);
        // The condition is judged in any case: its windows must not miss what comes.
        let when = self.when.judge(context);
        let state = match only {
            None | Some(State::Yes(_)) => when.state,
            Some(unknown @ State::Unknown(_)) if when.state != State::No => unknown,
            Some(State::No | State::Unknown(_)) => State::No,
        };
        Verdict { state, ..when }
    }
}

fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
