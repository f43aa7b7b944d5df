//! What a condition says now: yes, no, or unknown where an input is bad, stale or was never seen. Unknown is never "no".

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::alarm::conditions::{
    beyond, count, day_by_day, frozen, hours, idle, is, lasting, level, minutes, no_effect, offline, together, windowed,
};
use crate::alarm::days::DayByDay;
use crate::alarm::inject::Injected;
use crate::alarm::node::{Input, Node};
use crate::model::latest::Latest;
use crate::model::quality::Cause;
use crate::model::time::{Mono, Now, Wall};
use crate::model::value::Value;
use crate::model::window::Window;

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds; which step of urgency, counted from one.
    Yes(u8),
    /// It does not.
    No,
    /// Nobody can say.
    Unknown(Cause),
}

/// What a condition says, and of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What it says.
    pub state: State,
    /// The value that it looked at, where there is one.
    pub value: Option<f64>,
    /// The limit that it was held against.
    pub limit: Option<f64>,
}

/// What a judge is told.
pub struct Context<'a> {
    /// Newest samples.
    pub latest: &'a Latest,
    /// Samples that somebody gave for a trial.
    pub injected: &'a Injected,
    /// The time.
    pub now: Now,
    /// The site's time zone.
    pub zone: &'a TimeZone,
    /// The highest step that is in alarm already: what has to come back further.
    pub held: u8,
    /// When it wants to be asked again although nothing came.
    pub wake: Option<Mono>,
    /// Whether a sample that was given for a trial was looked at.
    pub simulated: bool,
}

impl Context<'_> {
    /// Wants to be asked again at this moment.
    pub(super) fn at(&mut self, at: Mono) {
        if at > self.now.mono {
            self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
        }
    }

    /// The sample of a slot, or the one that stands in for it.
    fn sample(&mut self, slot: usize) -> Result<&Value, Cause> {
        let (injected, latest) = (self.injected, self.latest);
        if let Some((value, until)) = injected.get(slot) {
            self.simulated = true;
            self.at(until);
            return Ok(value);
        }
        let seen = latest.get(slot).ok_or(Cause::StartingUp)?;
        seen.now(self.now.mono)
    }

    /// Why there is no value, if there is none.
    pub(super) fn bad(&mut self, slot: usize) -> Option<Cause> {
        self.sample(slot).err()
    }

    pub(super) fn number(&mut self, slot: usize) -> Result<f64, Cause> {
        self.sample(slot)?.as_f64().ok_or(Cause::NotFinite)
    }

    pub(super) fn truth(&mut self, slot: usize) -> Result<bool, Cause> {
        Ok(self.number(slot)? != 0.0)
    }
}

/// A condition with its memory.
#[derive(Clone, Debug)]
pub struct Judge {
    node: Node,
    slots: Vec<usize>,
    memory: Memory,
    parts: Vec<Judge>,
    /// What it said last.
    last: Verdict,
}

#[derive(Clone, Debug)]
enum Memory {
    None,
    Window(Window),
    /// Something has been as it is since then.
    Since(Option<(Mono, f64)>),
    Times {
        was: bool,
        times: VecDeque<Mono>,
    },
    Idle {
        last: Option<Wall>,
        /// Idle since then on our clock, and so many milliseconds before.
        since: Option<(Mono, u64)>,
    },
    Days(Box<DayByDay>),
}

/// What of a judge's memory survives a restart, in the order of its tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// When it was last true.
    Last(Option<Wall>),
    /// Figures of the days.
    Days(crate::alarm::days::Kept),
}

pub(super) const fn yes() -> State {
    State::Yes(1)
}

pub(super) const fn truth(holds: bool) -> State {
    if holds { yes() } else { State::No }
}

pub(super) fn verdict(state: State, value: Option<f64>, limit: Option<f64>) -> Verdict {
    Verdict { state, value, limit }
}

impl Judge {
    /// Built for a condition; `slot` says where an input's samples are.
    pub fn new(node: &Node, slot: &mut impl FnMut(&Input) -> usize) -> Self {
        let mut slots = Vec::new();
        let mut parts = Vec::new();
        match node {
            Node::All(of) | Node::Any(of) => parts.extend(of.iter().map(|n| Judge::new(n, slot))),
            Node::Not(n) | Node::Lasting { when: n, .. } | Node::Count { when: n, .. } => {
                parts.push(Judge::new(n, slot));
            }
            _ => node.inputs(&mut |input| slots.push(slot(input))),
        }
        let memory = match node {
            Node::Rate { within_ms, .. } | Node::Change { within_ms, .. } | Node::NoEffect { within_ms, .. } => {
                Memory::Window(Window::new(*within_ms))
            }
            Node::Reaches { over_ms, .. } => Memory::Window(Window::new(*over_ms)),
            Node::Frozen { .. } | Node::Lasting { .. } => Memory::Since(None),
            Node::Count { .. } => Memory::Times { was: true, times: VecDeque::new() },
            Node::Idle { .. } => Memory::Idle { last: None, since: None },
            Node::Days(_) => Memory::Days(Box::default()),
            _ => Memory::None,
        };
        let last = verdict(State::Unknown(Cause::StartingUp), None, None);
        Self { node: node.clone(), slots, memory, parts, last }
    }

    /// What it says now.
    pub fn judge(&mut self, c: &mut Context<'_>) -> Verdict {
        self.last = self.judged(c);
        self.last
    }

    /// Changes are looked for from now on.
    pub fn forget_changes(&mut self) {
        if let (Node::Change { .. }, Memory::Window(window)) = (&self.node, &mut self.memory) {
            window.clear();
        }
        self.parts.iter_mut().for_each(Judge::forget_changes);
    }

    /// What it said last, with its parts: for explaining.
    pub fn said(&self) -> (&Node, Verdict, &[Judge]) {
        (&self.node, self.last, &self.parts)
    }

    fn judged(&mut self, c: &mut Context<'_>) -> Verdict {
        let Self { node, slots, memory, parts, .. } = self;
        match (node, memory) {
            (Node::Level { high, limits, deadband, .. }, _) => level(c, slots, *high, limits, *deadband),
            (Node::Is { values, every, .. }, _) => is(c, slots, values, *every),
            (Node::Rate { per_min, .. }, Memory::Window(w)) => windowed(c, slots[0], w, |w| {
                let rate = w.per_min().ok_or(Cause::StartingUp)?;
                Ok((beyond(rate, *per_min), rate, *per_min))
            }),
            (Node::Change { by, .. }, Memory::Window(w)) => windowed(c, slots[0], w, |w| {
                let change = w.change_from(*by > 0.0).ok_or(Cause::StartingUp)?;
                // What there is now: people ask what is left.
                let value = w.newest().ok_or(Cause::StartingUp)?;
                Ok((beyond(change, *by), value, *by))
            }),
            (Node::Deviation { limit, deadband, .. }, _) => match (c.number(slots[0]), c.number(slots[1])) {
                (Ok(a), Ok(b)) => {
                    let off = (a - b).abs();
                    let from = if c.held > 0 { *limit - *deadband } else { *limit };
                    verdict(truth(off >= from), Some(off), Some(*limit))
                }
                (Err(cause), _) | (_, Err(cause)) => verdict(State::Unknown(cause), None, Some(*limit)),
            },
            (Node::Frozen { lasts_ms, .. }, Memory::Since(since)) => frozen(c, slots[0], since, *lasts_ms),
            (Node::Bad { causes, .. }, _) => match c.bad(slots[0]) {
                None => verdict(State::No, c.number(slots[0]).ok(), None),
                Some(Cause::StartingUp) if c.latest.get(slots[0]).is_none() => {
                    verdict(State::Unknown(Cause::StartingUp), None, None)
                }
                Some(cause) => verdict(truth(causes.is_empty() || causes.contains(&cause)), None, None),
            },
            (Node::Offline { pct, .. }, _) => offline(c, slots, *pct),
            (Node::NoEffect { by, within_ms, .. }, Memory::Window(w)) => no_effect(c, slots, w, *by, *within_ms),
            (Node::Idle { lasts_ms, .. }, Memory::Idle { last, since }) => idle(c, slots[0], last, since, *lasts_ms),
            (Node::Reaches { limit, within_ms, .. }, Memory::Window(w)) => {
                let (limit, within_min) = (*limit, minutes(*within_ms));
                windowed(c, slots[0], w, |w| {
                    let value = w.newest().ok_or(Cause::StartingUp)?;
                    let rate = w.per_min().ok_or(Cause::StartingUp)?;
                    let left = if value >= limit { 0.0 } else { (limit - value) / rate };
                    Ok((value >= limit || (rate > 0.0 && left <= within_min), left, limit))
                })
            }
            (Node::Days(days), Memory::Days(memory)) => day_by_day(c, slots[0], days, memory),
            (Node::Hours { from, to, days }, _) => hours(c, *from, *to, days),
            (Node::Lasting { lasts_ms, .. }, Memory::Since(since)) => {
                let inner = parts[0].judge(c);
                lasting(c, inner, since, *lasts_ms)
            }
            (Node::Count { at_least, within_ms, .. }, Memory::Times { was, times }) => {
                let inner = parts[0].judge(c);
                count(c, inner, was, times, *at_least, *within_ms)
            }
            (Node::Not(_), _) => {
                let inner = parts[0].judge(c);
                let state = match inner.state {
                    State::Yes(_) => State::No,
                    State::No => yes(),
                    unknown @ State::Unknown(_) => unknown,
                };
                Verdict { state, ..inner }
            }
            (Node::All(_), _) => together(parts.iter_mut().map(|p| p.judge(c)), false),
            (Node::Any(_), _) => together(parts.iter_mut().map(|p| p.judge(c)), true),
            // `new` gives each node its memory.
            (_, _) => verdict(State::Unknown(Cause::StartingUp), None, None),
        }
    }

    /// Takes over what the same condition remembered before; slots are this one's own.
    pub fn remember(&mut self, was: Judge) {
        (self.memory, self.last) = (was.memory, was.last);
        self.parts.iter_mut().zip(was.parts).for_each(|(part, was)| part.remember(was));
    }

    /// What survives a restart.
    pub fn kept(&self, into: &mut Vec<Kept>) {
        match &self.memory {
            Memory::Idle { last, .. } => into.push(Kept::Last(*last)),
            Memory::Days(d) => into.push(Kept::Days(d.kept())),
            _ => {}
        }
        self.parts.iter().for_each(|p| p.kept(into));
    }

    /// Goes on from what was kept.
    pub fn restore(&mut self, from: &mut impl Iterator<Item = Kept>) {
        match &mut self.memory {
            Memory::Idle { last, .. } => {
                if let Some(Kept::Last(kept)) = from.next() {
                    *last = kept;
                }
            }
            Memory::Days(d) => {
                if let Some(Kept::Days(kept)) = from.next() {
                    d.restore(kept);
                }
            }
            _ => {}
        }
        self.parts.iter_mut().for_each(|p| p.restore(from));
    }
}
