//! One cycle of one poll group: every block is read, failed blocks are split or left out, readings are built.
//!
//! Three kinds of failure. A *refusal* (exceptions 1 to 4) concerns the block only and costs little: the block is split in the same
//! cycle. *Silence* (no answer, a spoilt one, the gateway's own time-out, a closed connection) concerns the block only if the
//! unit answers anything else in this cycle, or a probe; a block is split when it was silent in two cycles in a row, and one that
//! cannot be split is left out after three. A lost *link* ends the cycle.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Clock;
use crate::model::quality::Cause;
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::registers::RegisterRange;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::plan::{self, Block, ReadPlan};
use crate::poll::request::{BlockResponse, Requester};
use crate::poll::{GroupConfig, OutConfig};
use crate::profile::{PointDef, ProfileVariant};

/// Requests that splitting refused blocks may cost in one cycle.
const SPLITS_MAX: usize = 20;
/// Blocks in a row that may be silent before the cycle ends: while nothing has answered, and afterwards.
const SILENT_FIRST: usize = 2;
const SILENT_LATER: usize = 3;
/// Cycles in a row in which a single need must fail before it is left out: refused though it answered before; a device failure
/// (exception 4), or silent.
const REFUSED_TIMES: u32 = 2;
const SILENT_TIMES: u32 = 3;
/// Cycles in a row in which a block must be silent before it is split.
const SPLIT_TIMES: u32 = 2;

/// A poll group with its plan.
#[derive(Debug)]
pub struct PollGroup {
    pub config: GroupConfig,
    pub plan: ReadPlan,
    pub(super) defs: Vec<PointDef>,
    /// For each device mapping, for each of its points: the index of its definition; `None` if the variant of the unit lacks it.
    pub(super) picks: Vec<Vec<Option<usize>>>,
    /// Counts probes, so that each reads another need.
    turn: usize,
    /// Wall time of the last readings, milliseconds.
    last_ms: AtomicI64,
}

/// Moves a time stamp behind the last one if both have the same millisecond, or one that earlier readings were moved to.
fn after(last_ms: i64, at: Stamp) -> Stamp {
    match last_ms.checked_sub(at.wall.0) {
        Some(back @ 0..SAME_MS) => {
            let later = back + 1;
            Stamp { mono: MonotonicMillis(at.mono.0 + later.unsigned_abs()), wall: UnixMillis(at.wall.0 + later), ..at }
        }
        _ => at,
    }
}

/// Most milliseconds that a reading is moved: a clock that was set back further is accepted.
const SAME_MS: i64 = 10;

/// The outcome of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockOutcome {
    /// Every point is good.
    Good,
    /// The unit answers, and some points are bad.
    Degraded(Cause),
    /// The unit does not answer.
    Silent(Cause),
    /// The connection or port is gone.
    LinkLost(Cause),
    /// Nothing was read: the variant of the unit has none of the points.
    Unasked,
}

/// The state of a running cycle.
#[derive(Default)]
struct Cycle {
    queue: VecDeque<Block>,
    got: Vec<BlockResponse>,
    failed: Vec<(RegisterRange, Cause)>,
    silent: Vec<(Block, Cause)>,
    silent_in_a_row: usize,
    splits: usize,
    has_answered: bool,
    /// The unit answered a probe and nothing else.
    is_probed: bool,
    ended: Option<Cause>,
}

impl PollGroup {
    /// Plans the group for a variant of the profile.
    pub fn new(config: &GroupConfig, layout: &ProfileVariant) -> Self {
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
        Self { config: config.clone(), plan, defs, picks, turn: 0, last_ms: AtomicI64::new(i64::MIN) }
    }

    /// Reads the group once and returns a reading for each device that has points in it. `is_trusted`: the unit answered in its last
    /// cycle, so that a missing answer is worth a retry. `has_answered`: it has just answered something else.
    pub async fn run(
        &mut self,
        ask: &mut Requester<'_>,
        is_trusted: bool,
        has_answered: bool,
    ) -> (Vec<Reading>, BlockOutcome) {
        self.plan.begin(ask.clock.mono_us());
        let mut cycle = Cycle { queue: self.plan.in_order().into(), has_answered, ..Cycle::default() };
        if cycle.queue.is_empty() && !self.is_there(&mut cycle, ask).await {
            return (self.readings(&[], &[], ask.clock, BlockOutcome::Unasked), BlockOutcome::Unasked);
        }
        while let Some(block) = cycle.queue.pop_front() {
            if let Some(cause) = cycle.ended {
                cycle.failed.push((block.span, cause));
                continue;
            }
            let is_patient = is_trusted && self.plan.failures(&block) < SPLIT_TIMES;
            match ask.block(&self.defs, block.span, is_patient).await {
                Ok(response) => {
                    self.plan.answered(&block);
                    cycle.has_answered = true;
                    cycle.silent_in_a_row = 0;
                    cycle.got.push(response);
                }
                Err(cause) => self.block_failed(block, cause, &mut cycle, ask.clock),
            }
        }
        if cycle.ended != Some(Cause::LinkDown) && !cycle.silent.is_empty() {
            self.weigh_silence(&mut cycle, ask).await;
        }
        let outcome = self.outcome(&cycle);
        (self.readings(&cycle.got, &cycle.failed, ask.clock, outcome), outcome)
    }

    /// Every need is left out: one of them is read, so that an absent unit is detected. False: there is nothing to read.
    async fn is_there(&mut self, cycle: &mut Cycle, ask: &mut Requester<'_>) -> bool {
        let Some(probe) = self.probe(&[]) else { return false };
        match ask.once(probe.span).await {
            Ok(()) => self.plan.answered(&probe),
            Err(Cause::LinkDown) => cycle.ended = Some(Cause::LinkDown),
            Err(cause) if cause.unit_answered() || cause == Cause::Unsettled => {}
            Err(cause) => {
                cycle.failed.push((probe.span, cause));
                cycle.silent.push((probe, cause));
                return true;
            }
        }
        cycle.has_answered = true;
        true
    }

    fn outcome(&self, cycle: &Cycle) -> BlockOutcome {
        let left_out = self.plan.left_out().next().map(|(_, l)| l.cause);
        match (cycle.ended, cycle.silent.first(), cycle.failed.first().map(|f| f.1).or(left_out)) {
            (Some(Cause::LinkDown), _, _) => BlockOutcome::LinkLost(Cause::LinkDown),
            (_, Some((_, cause)), _) if !cycle.has_answered => BlockOutcome::Silent(*cause),
            (_, _, Some(cause)) => BlockOutcome::Degraded(cause),
            (_, _, None) => BlockOutcome::Good,
        }
    }

    fn block_failed(&mut self, block: Block, cause: Cause, cycle: &mut Cycle, clock: &Clock) {
        use Cause::{DeviceFailure, IllegalAddress, IllegalFunction, IllegalValue};
        match cause {
            Cause::LinkDown => {
                cycle.failed.push((block.span, cause));
                cycle.ended = Some(cause);
            }
            IllegalFunction | IllegalAddress | IllegalValue | DeviceFailure => {
                (cycle.has_answered, cycle.silent_in_a_row) = (true, 0);
                self.refused(block, cause, cycle, clock);
            }
            _ if cause.unit_answered() || cause == Cause::Unsettled => {
                (cycle.has_answered, cycle.silent_in_a_row) = (true, 0);
                cycle.failed.push((block.span, cause));
            }
            _ => {
                cycle.silent_in_a_row += 1;
                let most = if cycle.has_answered { SILENT_LATER } else { SILENT_FIRST };
                // A block that was joined again on trial and failed is read as before.
                let pieces = self.plan.close_cuts(&block, clock.mono_us());
                if pieces.is_empty() {
                    cycle.failed.push((block.span, cause));
                    cycle.silent.push((block, cause));
                } else {
                    pieces.into_iter().rev().for_each(|piece| cycle.queue.push_front(piece));
                }
                if cycle.silent_in_a_row >= most {
                    cycle.ended = Some(cause);
                }
            }
        }
    }

    /// Splits a refused block and reads its parts at once; leaves out what cannot be split.
    fn refused(&mut self, block: Block, cause: Cause, cycle: &mut Cycle, clock: &Clock) {
        let now_us = clock.mono_us();
        if !block.is_single() && cycle.splits < SPLITS_MAX {
            cycle.splits += 2;
            if let Some((left, right)) = self.plan.split(&block, cause, now_us) {
                cycle.queue.push_front(right);
                cycle.queue.push_front(left);
                return;
            }
        }
        cycle.failed.push((block.span, cause));
        if !block.is_single() {
            // The splits of this cycle are used up: the next cycle continues.
            let _read_next_time = self.plan.close_cuts(&block, now_us);
            return;
        }
        let times = match cause {
            Cause::DeviceFailure => SILENT_TIMES,
            _ if self.plan.has_answered(&block) => REFUSED_TIMES,
            _ => 1,
        };
        let is_on_trial = self.plan.is_on_trial(&block);
        if self.plan.failed(&block) >= times || is_on_trial {
            self.plan.leave_out(&block, cause, now_us, clock.wall());
        }
    }

    /// Decides whether silent blocks or the whole unit failed; splits or leaves out blocks accordingly.
    async fn weigh_silence(&mut self, cycle: &mut Cycle, ask: &mut Requester<'_>) {
        if !cycle.has_answered {
            let silent: Vec<RegisterRange> = cycle.silent.iter().map(|(b, _)| b.span).collect();
            let Some(probe) = self.probe(&silent) else { return };
            match ask.once(probe.span).await {
                Ok(()) => self.plan.answered(&probe),
                Err(cause) if cause.unit_answered() || cause == Cause::Unsettled => {}
                Err(_) => return,
            }
            (cycle.has_answered, cycle.is_probed) = (true, true);
        }
        let (now_us, now) = (ask.clock.mono_us(), ask.clock.wall());
        let mut is_split = false;
        for (block, cause) in &cycle.silent {
            // The answer is late rather than missing: splitting would not make it faster.
            if ask.is_late && *cause == Cause::Timeout {
                continue;
            }
            let is_on_trial = self.plan.is_on_trial(block);
            let times = self.plan.failed(block);
            if block.is_single() {
                if times >= SILENT_TIMES || is_on_trial {
                    self.plan.leave_out(block, *cause, now_us, now);
                }
            } else if !is_split && (times >= SPLIT_TIMES || cycle.is_probed) {
                // One split per cycle: each may cost a time-out in the next.
                is_split = self.plan.split(block, *cause, now_us).is_some();
            }
        }
    }

    /// A need to read when the unit is silent: another one each time, none of these ranges.
    pub fn probe(&mut self, not_in: &[RegisterRange]) -> Option<Block> {
        self.turn += 1;
        self.plan.probe(not_in, self.turn - 1)
    }

    /// Readings with every point bad for the same cause: a cycle that could not begin.
    pub fn failed(&self, cause: Cause, clock: &Clock) -> Vec<Reading> {
        let at = self.distinct(clock.stamp());
        let reading = |out: &OutConfig| Reading { stream: Arc::clone(&out.stream), at, body: Body::Failed(cause) };
        self.config.outs.iter().map(reading).collect()
    }

    /// A time stamp that none of the last readings has: a time-series store merges two readings of a stream at the same millisecond.
    /// A late cycle may be followed by the next one at once.
    pub(super) fn distinct(&self, at: Stamp) -> Stamp {
        let at = after(self.last_ms.load(Ordering::Relaxed), at);
        self.last_ms.store(at.wall.0, Ordering::Relaxed);
        at
    }

    /// What is left out and which gaps are not read across, as text.
    pub fn learned(&self) -> Vec<String> {
        let at = |s: &RegisterRange| format!("function {} address {}+{}", s.area.function(), s.address, s.count);
        let left_out = self.plan.left_out().map(|(span, left)| {
            let of = self.defs.iter().filter(|d| d.span.overlaps(&span)).map(|d| &*d.name);
            let points: Vec<&str> = of.collect();
            let (cause, since, pause) = (left.cause.word(), left.since.rfc3339(), left.pause_us / 1_000_000);
            format!("{} ({}): {cause} since {since}, asked again after {pause} s", at(&span), points.join(", "))
        });
        let gaps = self
            .plan
            .gaps()
            .map(|(span, cause)| format!("{} (no point): not read across, {}", at(&span), cause.word()));
        let mut out: Vec<String> = left_out.chain(gaps).collect();
        if out.is_empty() && self.plan.cuts() > 0 {
            out.push(format!("{} is read in {} requests more than planned", self.config.name, self.plan.cuts()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_readings_of_a_stream_never_have_the_same_millisecond() {
        let at = |ms: i64| Stamp { mono: MonotonicMillis(7), wall: UnixMillis(ms), trusted: true };
        let mut last = i64::MIN;
        let given = [100, 100, 100, 101, 102, 300, 250, 250];
        let made = given.map(|ms| {
            last = after(last, at(ms)).wall.0;
            last
        });
        assert_eq!(made, [100, 101, 102, 103, 104, 300, 250, 251], "and a clock that was set back is believed");
        assert_eq!(after(100, at(100)).mono, MonotonicMillis(8));
    }
}
