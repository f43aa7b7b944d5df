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
use crate::plan::{self, ReadBlock, ReadPlan};
use crate::poll::request::{BlockResponse, Requester};
use crate::poll::{DeviceMapping, GroupConfig};
use crate::profile::{PointDef, ProfileVariant};

/// Requests that splitting refused blocks may cost in one cycle.
const SPLITS_MAX: usize = 20;
/// Blocks in a row that may be silent before the cycle ends: while nothing has answered, and afterwards.
const SILENT_MAX_BEFORE_ANSWER: usize = 2;
const SILENT_MAX_AFTER_ANSWER: usize = 3;
/// Cycles in a row in which a single need must fail before it is left out: refused though it answered before; a device failure
/// (exception 4), or silent.
const REFUSALS_TO_LEAVE_OUT: u32 = 2;
const FAILURES_TO_LEAVE_OUT: u32 = 3;
/// Cycles in a row in which a block must be silent before it is split.
const SILENT_CYCLES_TO_SPLIT: u32 = 2;

/// A poll group with its plan.
#[derive(Debug)]
pub struct PollGroup {
    pub config: GroupConfig,
    pub plan: ReadPlan,
    pub(super) defs: Vec<PointDef>,
    /// For each device mapping, for each of its points: the index of its definition; `None` if the variant of the unit lacks it.
    pub(super) selected_points: Vec<Vec<Option<usize>>>,
    /// Whether the last cycle brought no register, although the unit answered.
    pub(super) gives_nothing: bool,
    /// Counts probes, so that each reads another need.
    probe_turn: usize,
    /// Wall time of the last readings, milliseconds.
    last_wall_ms: AtomicI64,
}

/// Moves a time stamp behind the last one if both have the same millisecond, or one that earlier readings were moved to.
fn after_last(last_ms: i64, at: Stamp) -> Stamp {
    match last_ms.checked_sub(at.wall.0) {
        Some(back @ 0..SHIFT_MAX_MS) => {
            let later = back + 1;
            Stamp { mono: MonotonicMillis(at.mono.0 + later.unsigned_abs()), wall: UnixMillis(at.wall.0 + later), ..at }
        }
        _ => at,
    }
}

/// Most milliseconds that a reading is moved: a clock that was set back further is accepted.
const SHIFT_MAX_MS: i64 = 10;

/// The outcome of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CycleOutcome {
    /// Every point is good.
    Good,
    /// The unit answers, and some points are bad.
    Degraded(Cause),
    /// The unit does not answer.
    Silent(Cause),
    /// The connection or port is gone.
    LinkLost(Cause),
    /// Nothing was read: the variant of the unit has none of the points.
    NothingToRead,
}

/// The state of a running cycle.
#[derive(Default)]
struct Cycle {
    queue: VecDeque<ReadBlock>,
    responses: Vec<BlockResponse>,
    failed: Vec<(RegisterRange, Cause)>,
    silent: Vec<(ReadBlock, Cause)>,
    silent_in_a_row: usize,
    splits: usize,
    has_answered: bool,
    /// A point that was left out could be read.
    is_given: bool,
    /// The unit answered a probe and nothing else.
    is_probed: bool,
    ended: Option<Cause>,
}

impl PollGroup {
    /// Plans the group for a variant of the profile.
    pub fn new(config: &GroupConfig, variant: &ProfileVariant) -> Self {
        let by_name: BTreeMap<&str, &PointDef> = variant.points.iter().map(|p| (&*p.name, p)).collect();
        let mut defs: Vec<PointDef> = Vec::new();
        let mut index: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut select = |name: &Arc<str>| -> Option<usize> {
            if let Some(found) = index.get(name) {
                return Some(*found);
            }
            let def = by_name.get(&**name)?;
            defs.push((*def).clone());
            index.insert(Arc::clone(name), defs.len() - 1);
            Some(defs.len() - 1)
        };
        let selected_points =
            config.device_mappings.iter().map(|out| out.points.iter().map(&mut select).collect()).collect();
        let plan = plan::plan(&defs, &variant.read_rules);
        Self {
            config: config.clone(),
            plan,
            defs,
            selected_points,
            gives_nothing: false,
            probe_turn: 0,
            last_wall_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Reads the group once and returns a reading for each device that has points in it. `is_trusted`: the unit answered in its last
    /// cycle, so that a missing answer is worth a retry. `has_answered`: it has just answered something else.
    pub async fn run(
        &mut self,
        requester: &mut Requester<'_>,
        is_trusted: bool,
        has_answered: bool,
    ) -> (Vec<Reading>, CycleOutcome) {
        self.plan.begin(requester.clock.mono_us());
        let mut cycle = Cycle { queue: self.plan.blocks_in_order().into(), has_answered, ..Cycle::default() };
        if cycle.queue.is_empty() && !self.probe_left_out(&mut cycle, requester).await {
            return (
                self.readings(&[], &[], requester.clock, CycleOutcome::NothingToRead),
                CycleOutcome::NothingToRead,
            );
        }
        while let Some(block) = cycle.queue.pop_front() {
            if let Some(cause) = cycle.ended {
                cycle.failed.push((block.span, cause));
                continue;
            }
            let retries_timeout = is_trusted && self.plan.failures(&block) < SILENT_CYCLES_TO_SPLIT;
            match requester.read_with_retry(&self.defs, block.span, retries_timeout).await {
                Ok(response) => {
                    self.plan.note_answer(&block);
                    cycle.has_answered = true;
                    cycle.silent_in_a_row = 0;
                    cycle.responses.push(response);
                }
                Err(cause) => self.handle_failure(block, cause, &mut cycle, requester.clock),
            }
        }
        if cycle.ended != Some(Cause::LinkDown) && !cycle.silent.is_empty() {
            self.resolve_silence(&mut cycle, requester).await;
        }
        let outcome = self.outcome(&cycle);
        self.gives_nothing =
            cycle.responses.is_empty() && !cycle.is_given && matches!(outcome, CycleOutcome::Degraded(_));
        (self.readings(&cycle.responses, &cycle.failed, requester.clock, outcome), outcome)
    }

    /// Every need is left out: one of them is read, so that an absent unit is detected. False: there is nothing to read.
    async fn probe_left_out(&mut self, cycle: &mut Cycle, requester: &mut Requester<'_>) -> bool {
        let Some(probe) = self.probe(&[]) else { return false };
        match requester.read_once(probe.span).await {
            Ok(()) => {
                self.plan.note_answer(&probe);
                cycle.is_given = true;
            }
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

    fn outcome(&self, cycle: &Cycle) -> CycleOutcome {
        let left_out = self.plan.left_out().next().map(|(_, l)| l.cause);
        match (cycle.ended, cycle.silent.first(), cycle.failed.first().map(|f| f.1).or(left_out)) {
            (Some(Cause::LinkDown), _, _) => CycleOutcome::LinkLost(Cause::LinkDown),
            (_, Some((_, cause)), _) if !cycle.has_answered => CycleOutcome::Silent(*cause),
            (_, _, Some(cause)) => CycleOutcome::Degraded(cause),
            (_, _, None) => CycleOutcome::Good,
        }
    }

    fn handle_failure(&mut self, block: ReadBlock, cause: Cause, cycle: &mut Cycle, clock: &Clock) {
        use Cause::{DeviceFailure, IllegalAddress, IllegalFunction, IllegalValue};
        match cause {
            Cause::LinkDown => {
                cycle.failed.push((block.span, cause));
                cycle.ended = Some(cause);
            }
            IllegalFunction | IllegalAddress | IllegalValue | DeviceFailure => {
                (cycle.has_answered, cycle.silent_in_a_row) = (true, 0);
                self.handle_refusal(block, cause, cycle, clock);
            }
            _ if cause.unit_answered() || cause == Cause::Unsettled => {
                (cycle.has_answered, cycle.silent_in_a_row) = (true, 0);
                cycle.failed.push((block.span, cause));
            }
            _ => {
                cycle.silent_in_a_row += 1;
                let silent_max = if cycle.has_answered { SILENT_MAX_AFTER_ANSWER } else { SILENT_MAX_BEFORE_ANSWER };
                // A block that was joined again on trial and failed is read as before.
                let pieces = self.plan.close_cuts(&block, clock.mono_us());
                if pieces.is_empty() {
                    cycle.failed.push((block.span, cause));
                    cycle.silent.push((block, cause));
                } else {
                    pieces.into_iter().rev().for_each(|piece| cycle.queue.push_front(piece));
                }
                if cycle.silent_in_a_row >= silent_max {
                    cycle.ended = Some(cause);
                }
            }
        }
    }

    /// Splits a refused block and reads its parts at once; leaves out what cannot be split.
    fn handle_refusal(&mut self, block: ReadBlock, cause: Cause, cycle: &mut Cycle, clock: &Clock) {
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
            Cause::DeviceFailure => FAILURES_TO_LEAVE_OUT,
            _ if self.plan.has_answered(&block) => REFUSALS_TO_LEAVE_OUT,
            _ => 1,
        };
        let is_on_trial = self.plan.is_on_trial(&block);
        if self.plan.note_failure(&block) >= times || is_on_trial {
            self.plan.leave_out(&block, cause, now_us, clock.wall());
        }
    }

    /// Decides whether silent blocks or the whole unit failed; splits or leaves out blocks accordingly.
    async fn resolve_silence(&mut self, cycle: &mut Cycle, requester: &mut Requester<'_>) {
        if !cycle.has_answered {
            let silent: Vec<RegisterRange> = cycle.silent.iter().map(|(b, _)| b.span).collect();
            let Some(probe) = self.probe(&silent) else { return };
            match requester.read_once(probe.span).await {
                Ok(()) => self.plan.note_answer(&probe),
                Err(cause) if cause.unit_answered() || cause == Cause::Unsettled => {}
                Err(_) => return,
            }
            (cycle.has_answered, cycle.is_probed) = (true, true);
        }
        let (now_us, now) = (requester.clock.mono_us(), requester.clock.wall());
        let mut is_split = false;
        for (block, cause) in &cycle.silent {
            // The answer is late rather than missing: splitting would not make it faster.
            if requester.is_late && *cause == Cause::Timeout {
                continue;
            }
            let is_on_trial = self.plan.is_on_trial(block);
            let times = self.plan.note_failure(block);
            if block.is_single() {
                if times >= FAILURES_TO_LEAVE_OUT || is_on_trial {
                    self.plan.leave_out(block, *cause, now_us, now);
                }
            } else if !is_split && (times >= SILENT_CYCLES_TO_SPLIT || cycle.is_probed) {
                // One split per cycle: each may cost a time-out in the next.
                is_split = self.plan.split(block, *cause, now_us).is_some();
            }
        }
    }

    /// A need to read when the unit is silent: another one each time, none of these ranges.
    pub fn probe(&mut self, excluded: &[RegisterRange]) -> Option<ReadBlock> {
        self.probe_turn += 1;
        self.plan.probe(excluded, self.probe_turn - 1)
    }

    /// Readings with every point bad for the same cause: a cycle that could not begin.
    pub fn failed_readings(&self, cause: Cause, clock: &Clock) -> Vec<Reading> {
        let at = self.distinct_stamp(clock.stamp());
        let reading = |out: &DeviceMapping| Reading { stream: Arc::clone(&out.stream), at, body: Body::Failed(cause) };
        self.config.device_mappings.iter().map(reading).collect()
    }

    /// A time stamp that none of the last readings has: a time-series store merges two readings of a stream at the same millisecond.
    /// A late cycle may be followed by the next one at once.
    pub(super) fn distinct_stamp(&self, at: Stamp) -> Stamp {
        let at = after_last(self.last_wall_ms.load(Ordering::Relaxed), at);
        self.last_wall_ms.store(at.wall.0, Ordering::Relaxed);
        at
    }

    /// What is left out and which gaps are not read across, as text.
    pub fn learned_restrictions(&self) -> Vec<String> {
        let at =
            |s: &RegisterRange| format!("function {} address {}+{}", s.register_type.function(), s.address, s.count);
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
        if out.is_empty() && self.plan.closed_cuts() > 0 {
            out.push(format!("{} is read in {} requests more than planned", self.config.name, self.plan.closed_cuts()));
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
            last = after_last(last, at(ms)).wall.0;
            last
        });
        assert_eq!(made, [100, 101, 102, 103, 104, 300, 250, 251], "and a clock that was set back is believed");
        assert_eq!(after_last(100, at(100)).mono, MonotonicMillis(8));
    }
}
