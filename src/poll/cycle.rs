//! One cycle of one poll group: every block read, refused blocks split, doubtful answers read twice, readings built.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::decode;
use crate::link::{Answer, Link};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Part, Reading, Sample, Stamp};
use crate::model::registers::{Span, Words};
use crate::plan::{self, Block, Plan, Refusal};
use crate::poll::health::UnitHealth;
use crate::poll::{GroupConfig, OutConfig};
use crate::profile::{Layout, PointDef, ReadRules};

/// Requests that splitting refused blocks may cost in one cycle.
const SPLITS_MAX: usize = 40;
/// How long what a unit refused is not asked for again.
const REFUSED_FOR_US: u64 = 3_600_000_000;
/// How often a doubtful answer is read again before it is given up.
const CONFIRM_MAX: usize = 4;

/// How a unit is asked.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Unit id on the wire.
    pub address: u8,
    /// Longest wait for an answer.
    pub timeout_ms: u64,
    /// Silence before each request.
    pub pause_ms: u64,
}

/// A poll group with its plan.
#[derive(Debug)]
pub struct Group {
    /// As configured.
    pub config: GroupConfig,
    /// What is read.
    pub plan: Plan,
    defs: Vec<PointDef>,
    /// Runs that got no answer although the unit answered others: how often in a row.
    mute: BTreeMap<Span, u32>,
    /// When what was refused is asked for again, and how long that pause was.
    retry_at_us: u64,
    retry_pause_us: u64,
    /// For each out, for each of its points: its definition; `None` if the unit's layout lacks it.
    picks: Vec<Vec<Option<usize>>>,
}

/// One block's outcome.
struct Got {
    words: Words,
    at: Stamp,
}

/// What a cycle came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything good.
    Good,
    /// The unit answers, and some blocks are bad.
    Degraded(Cause),
    /// The unit does not answer.
    Silent(Cause),
    /// The connection or port is gone.
    LinkLost(Cause),
}

impl Group {
    /// Plans the group for a layout.
    pub fn new(config: &GroupConfig, layout: &Layout) -> Self {
        let by_name: BTreeMap<&str, &PointDef> = layout.points.iter().map(|p| (&*p.name, p)).collect();
        let mut defs: Vec<PointDef> = Vec::new();
        let mut index: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut pick = |name: &Arc<str>| -> Option<usize> {
            if let Some(found) = index.get(name) {
                return Some(*found);
            }
            let def = by_name.get(&**name)?;
            defs.push((*def).clone());
            index.insert(Arc::clone(name), defs.len() - 1);
            Some(defs.len() - 1)
        };
        let picks = config.outs.iter().map(|out| out.points.iter().map(&mut pick).collect()).collect();
        let plan = plan::plan(&defs, &layout.read);
        let mute = BTreeMap::new();
        Self { config: config.clone(), plan, mute, retry_at_us: 0, retry_pause_us: 0, defs, picks }
    }

    /// Reads the group once and gives a reading for each device that has points in it.
    pub async fn run(
        &mut self,
        link: &mut Link,
        clock: &Clock,
        manner: Manner,
        health: &mut UnitHealth,
    ) -> (Vec<Reading>, Outcome) {
        let mut got: Vec<Got> = Vec::with_capacity(self.plan.blocks.len());
        let mut failed: Vec<(Span, Cause)> = Vec::new();
        let mut splits = 0;
        self.ask_again(clock.mono_us());
        let (mut fatal, mut silent) = (None, Vec::new());
        let mut refused: Vec<(Block, Cause)> = Vec::new();
        for block in &self.plan.blocks {
            if let Some(cause) = fatal {
                failed.push((block.span, cause));
                continue;
            }
            match self.read_block(link, manner, &block.span, health).await {
                Ok(answer) => got.push(answer),
                // One silent block of a unit that just answered is that block's affair; a second one is the unit's.
                Err(cause @ (Cause::Timeout | Cause::BadFrame))
                    if !got.is_empty() && silent.is_empty() && link.is_open() =>
                {
                    failed.push((block.span, cause));
                    silent.push(block.span);
                }
                Err(cause @ (Cause::IllegalAddress | Cause::IllegalValue)) => refused.push((block.clone(), cause)),
                Err(cause) => {
                    failed.push((block.span, cause));
                    if !cause.unit_answered() && cause != Cause::Unsettled {
                        fatal = Some(cause);
                    }
                }
            }
        }
        if fatal.is_none() {
            self.note_mute(&silent);
        }
        for (block, cause) in refused {
            match fatal {
                None if splits < SPLITS_MAX => {
                    fatal = self.bisect(link, manner, &block, cause, &mut splits, &mut got, &mut failed, health).await;
                }
                _ => failed.push((block.span, fatal.unwrap_or(cause))),
            }
        }
        let outcome = match (fatal, got.is_empty(), failed.first()) {
            (Some(Cause::LinkDown), _, _) => Outcome::LinkLost(Cause::LinkDown),
            (Some(cause), true, _) => Outcome::Silent(cause),
            (_, _, Some((_, cause))) => Outcome::Degraded(*cause),
            (_, true, None) => Outcome::Degraded(self.plan.refused.first().map_or(Cause::NotAvailable, |r| r.1)),
            (_, false, None) => Outcome::Good,
        };
        (self.readings(&got, &failed, clock, outcome), outcome)
    }

    /// What was refused is asked for again: soon where everything was (a unit that is starting), hourly else.
    fn ask_again(&mut self, now_us: u64) {
        if self.plan.refused.is_empty() {
            return;
        }
        if self.retry_at_us == 0 {
            let first = if self.plan.blocks.is_empty() { 10_000_000 } else { REFUSED_FOR_US };
            self.retry_pause_us = (self.retry_pause_us * 2).clamp(first, REFUSED_FOR_US);
            self.retry_at_us = now_us + self.retry_pause_us;
        } else if now_us >= self.retry_at_us {
            self.retry_at_us = 0;
            self.plan.retry_refused();
        }
    }

    /// A block that is silent three times while others answer is left out like a refused one: asking costs two time-outs.
    fn note_mute(&mut self, silent: &[Span]) {
        self.mute.retain(|span, _| silent.contains(span));
        for span in silent {
            let times = self.mute.entry(*span).or_insert(0);
            *times += 1;
            if *times >= 3
                && let Some(block) = self.plan.blocks.iter().find(|b| b.span == *span).cloned()
            {
                let refused = block.needs.iter().map(|need| (*need, Cause::Timeout)).collect();
                self.plan.learn(&block, Vec::new(), refused);
            }
        }
    }

    /// One block; busy units are asked again until their time is over, doubtful answers are read until two agree.
    async fn read_block(
        &self,
        link: &mut Link,
        manner: Manner,
        span: &Span,
        health: &mut UnitHealth,
    ) -> Result<Got, Cause> {
        let mut last: Option<Answer> = None;
        for _ in 0..=CONFIRM_MAX {
            let answer = read_patiently(link, manner, *span, health).await?;
            let agrees = last.as_ref().is_none_or(|before| self.agree(&before.words, &answer.words));
            if !answer.unsure && agrees {
                return Ok(Got { words: answer.words, at: answer.at });
            }
            last = Some(answer);
        }
        link.doubt(manner.address, *span);
        Err(Cause::Unsettled)
    }

    /// Whether every point of two reads of the same block can be true in both.
    fn agree(&self, a: &Words, b: &Words) -> bool {
        let (one, two) = (std::slice::from_ref(a), std::slice::from_ref(b));
        self.defs.iter().all(|def| match (a.slice(&def.span), b.slice(&def.span)) {
            (Some(x), Some(y)) => {
                let (p, q) = (decode::decode_words(def, x, one), decode::decode_words(def, y, two));
                // Where the scale lies in another block only the words can be compared.
                if p == Err(Cause::NoScale) { x == y } else { decode::agree(def, &p, &q) }
            }
            _ => true,
        })
    }

    /// Splits a refused block until only the hole is left out, and remembers. Returns a cause that ends the cycle.
    #[expect(clippy::too_many_arguments, reason = "the state of one cycle")]
    async fn bisect(
        &mut self,
        link: &mut Link,
        manner: Manner,
        block: &Block,
        cause: Cause,
        splits: &mut usize,
        got: &mut Vec<Got>,
        failed: &mut Vec<(Span, Cause)>,
        health: &mut UnitHealth,
    ) -> Option<Cause> {
        let mut todo: Vec<(Block, Cause)> = vec![(block.clone(), cause)];
        let (mut works, mut refused, mut fatal) = (Vec::new(), Vec::new(), None);
        while let Some((piece, cause)) = todo.pop() {
            let halves = match plan::refuse(&piece) {
                Refusal::Hole(span) => {
                    refused.push((span, cause));
                    continue;
                }
                Refusal::Split(..) if *splits >= SPLITS_MAX || fatal.is_some() => {
                    failed.push((piece.span, fatal.unwrap_or(cause)));
                    works.push(piece);
                    continue;
                }
                Refusal::Split(left, right) => [right, left],
            };
            for half in halves {
                if let Some(cause) = fatal {
                    failed.push((half.span, cause));
                    works.push(half);
                    continue;
                }
                *splits += 1;
                match self.read_block(link, manner, &half.span, health).await {
                    Ok(answer) => {
                        got.push(answer);
                        works.push(half);
                    }
                    Err(again @ (Cause::IllegalAddress | Cause::IllegalValue)) => todo.push((half, again)),
                    Err(other) => {
                        failed.push((half.span, other));
                        works.push(half);
                        if !other.unit_answered() && other != Cause::Unsettled {
                            fatal = Some(other);
                        }
                    }
                }
            }
        }
        works.sort_by_key(|b| b.span);
        self.plan.learn(block, works, refused);
        fatal
    }

    /// A reading for each device.
    fn readings(&self, got: &[Got], failed: &[(Span, Cause)], clock: &Clock, outcome: Outcome) -> Vec<Reading> {
        let whole = match outcome {
            Outcome::Silent(cause) => Some(cause),
            Outcome::LinkLost(cause) if got.is_empty() => Some(cause),
            _ => None,
        };
        let first = got.iter().map(|g| g.at).min_by_key(|at| at.mono);
        let at = first.unwrap_or_else(|| clock.stamp());
        let reads: Vec<Words> = if self.defs.iter().any(|d| !d.scale_from.is_empty()) {
            got.iter().map(|g| g.words.clone()).collect()
        } else {
            Vec::new()
        };
        let reading = |(out, picks): (&OutConfig, &Vec<Option<usize>>)| {
            let stream = Arc::clone(&out.stream);
            if let Some(cause) = whole {
                return Reading { stream, at, body: Body::Failed(cause) };
            }
            let mut samples = Vec::with_capacity(picks.len());
            let mut parts: Vec<Part> = Vec::new();
            for pick in picks {
                let (sample, received) = self.sample(*pick, got, failed, &reads);
                let after = received.map_or(0, |r| r.mono.since(at.mono));
                let after_ms = u32::try_from(after).unwrap_or(u32::MAX);
                match parts.last_mut() {
                    Some(part) if part.after_ms == after_ms => part.len += 1,
                    _ => parts.push(Part { len: 1, after_ms }),
                }
                samples.push(Some(sample));
            }
            if parts.len() == 1 && parts[0].after_ms == 0 {
                parts.clear();
            }
            Reading { stream, at, body: Body::Samples { samples, parts } }
        };
        self.config.outs.iter().zip(&self.picks).map(reading).collect()
    }

    fn sample(
        &self,
        pick: Option<usize>,
        got: &[Got],
        failed: &[(Span, Cause)],
        reads: &[Words],
    ) -> (Sample, Option<Stamp>) {
        let Some(def) = pick.and_then(|i| self.defs.get(i)) else { return (Err(Cause::NotFitted), None) };
        for read in got {
            if let Some(words) = read.words.slice(&def.span) {
                return (decode::decode_words(def, words, reads), Some(read.at));
            }
        }
        let failure = failed.iter().find(|(span, _)| span.overlaps(&def.span)).map(|(_, cause)| *cause);
        (Err(failure.or_else(|| self.plan.refusal_of(&def.span)).unwrap_or(Cause::NotAvailable)), None)
    }

    /// Every point bad with the same cause: a cycle that could not begin.
    pub fn failed(&self, cause: Cause, clock: &Clock) -> Vec<Reading> {
        let at = clock.stamp();
        let reading = |out: &OutConfig| Reading { stream: Arc::clone(&out.stream), at, body: Body::Failed(cause) };
        self.config.outs.iter().map(reading).collect()
    }
}

/// Reads until the unit is no longer busy or its time is over; counts.
async fn read_patiently(link: &mut Link, manner: Manner, span: Span, health: &mut UnitHealth) -> Result<Answer, Cause> {
    let mut waited_ms = 0;
    loop {
        let result = link.read(manner.address, span, manner.timeout_ms, manner.pause_ms).await;
        match &result {
            Ok(answer) => health.round_trip(answer.round_trip_us),
            Err(Cause::Busy) if waited_ms < manner.timeout_ms => {
                health.exceptions += 1;
                let pause = 50.max(waited_ms).min(manner.timeout_ms - waited_ms).max(1);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                waited_ms += pause;
                continue;
            }
            Err(Cause::Timeout | Cause::BadFrame) => health.timeouts += 1,
            Err(cause) if cause.unit_answered() => health.exceptions += 1,
            Err(_) => {}
        }
        return result;
    }
}

/// Reads and prints the ident register of a unit.
///
/// # Errors
/// Why there is none.
pub async fn read_ident(
    link: &mut Link,
    def: &PointDef,
    manner: Manner,
    health: &mut UnitHealth,
) -> Result<String, Cause> {
    let mut before: Option<String> = None;
    for _ in 0..=CONFIRM_MAX {
        let answer = read_patiently(link, manner, def.span, health).await?;
        let ident = decode::decode_words(def, &answer.words.words, &[])?.to_string();
        if !answer.unsure && before.as_ref().is_none_or(|b| *b == ident) {
            return Ok(ident);
        }
        before = Some(ident);
    }
    Err(Cause::Unsettled)
}

/// The smallest read that a unit cannot refuse for its length: how a silent unit is probed.
pub fn probe_span(groups: &[Group], rules: &ReadRules) -> Option<Span> {
    let needs = groups.iter().flat_map(|g| &g.plan.blocks).flat_map(|b| &b.needs);
    needs.min_by_key(|n| (n.count, n.address)).map(|n| Span { count: n.count.min(rules.max_regs.max(1)), ..*n })
}
