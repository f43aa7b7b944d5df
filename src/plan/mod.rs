//! Plans the fewest legal reads for a set of points, and adapts the plan to what a unit refuses. Pure; times are monotonic microseconds.
//!
//! A plan is a list of *needs* (ranges that must not be cut: points, scale registers, atomic ranges) in order of their address. Its
//! reads are the fewest over the needs that are not *left out*, under the rules and the learned *cuts*: boundaries between two
//! needs that no read crosses. A failed read gets a cut, until only the failing need remains. That need is left out and tried again
//! after 10 s, 20 s, 40 s, … up to five minutes if it ever answered, up to an hour if it never did. A cut is tried again in the same
//! way, up to an hour, so that reads split by a passing fault are joined again.

pub mod wire;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::quality::Cause;
use crate::model::registers::RegisterRange;
use crate::model::time::UnixMillis;
use crate::profile::{PointDef, ReadRules};

/// The first pause before something that failed is tried again.
const RETRY_FIRST_US: u64 = 10_000_000;
/// The longest pause for a need that once answered.
const RETRY_MAX_US: u64 = 300_000_000;
/// The longest pause for a need that never answered, and for a cut.
const RETRY_MAX_NEVER_ANSWERED_US: u64 = 3_600_000_000;
/// Needs tried again in one cycle: each may cost a request that fails.
const TRIALS_MAX: usize = 10;

/// One read request, over one need or several adjacent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBlock {
    pub span: RegisterRange,
    /// Index of its first need.
    pub first: usize,
    /// Index of its last need.
    pub last: usize,
}

impl ReadBlock {
    /// Whether it is one need, which cannot be split.
    pub fn is_single(&self) -> bool {
        self.first == self.last
    }
}

/// Why a need is not read, and when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// How the last read of it failed.
    pub cause: Cause,
    /// When it was first left out; kept while tries fail.
    pub since: UnixMillis,
    /// Pause before the next try.
    pub pause_us: u64,
    retry_at_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    span: RegisterRange,
    left_out: Option<LeftOut>,
    /// The previous failure, while the need is on trial.
    on_trial: Option<LeftOut>,
    has_answered: bool,
    /// Cycles in a row in which it failed.
    failures: u32,
}

/// A boundary that no read runs across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    cause: Cause,
    pause_us: u64,
    retry_at_us: u64,
    /// On trial: reads cross it.
    is_on_trial: bool,
}

/// The reads of one poll group of one unit, and what was learned about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPlan {
    /// In order of register type and address.
    pub blocks: Vec<ReadBlock>,
    needs: Vec<Need>,
    /// By the index of the need that follows.
    cuts: BTreeMap<usize, Cut>,
    rules: ReadRules,
    /// A need on trial has answered: it may be joined with others again.
    is_stale: bool,
    revision: u64,
}

/// The fewest reads that cover the points under the rules: from the lowest address, each read as long as it may be.
///
/// That is the least number, because a read that ends earlier can never let a later one begin further right.
pub fn plan<'a>(points: impl IntoIterator<Item = &'a PointDef>, rules: &ReadRules) -> ReadPlan {
    let mut spans: BTreeSet<RegisterRange> = BTreeSet::new();
    for point in points {
        spans.insert(atomic_range_of(point.span, rules));
        spans.extend(point.scale_registers.iter().map(|from| atomic_range_of(from.span, rules)));
    }
    let need = |span| Need { span, left_out: None, on_trial: None, has_answered: false, failures: 0 };
    let needs = spans.into_iter().map(need).collect();
    let mut plan = ReadPlan { needs, rules: rules.clone(), ..ReadPlan::default() };
    plan.rebuild_blocks();
    plan
}

/// The atomic range that a span overlaps, or the span itself.
fn atomic_range_of(span: RegisterRange, rules: &ReadRules) -> RegisterRange {
    rules.atomic.iter().find(|run| run.overlaps(&span)).copied().unwrap_or(span)
}

impl ReadPlan {
    fn rebuild_blocks(&mut self) {
        let mut blocks: Vec<ReadBlock> = Vec::with_capacity(self.blocks.len());
        for (i, need) in self.needs.iter().enumerate().filter(|(_, n)| n.left_out.is_none()) {
            let is_cut = self.cuts.get(&i).is_some_and(|c| !c.is_on_trial);
            match blocks.last_mut() {
                // A need on trial is read alone, so that its failure affects no other.
                Some(last)
                    if last.last + 1 == i
                        && !is_cut
                        && need.on_trial.is_none()
                        && self.needs[last.last].on_trial.is_none()
                        && self.may_join(last, need.span) =>
                {
                    let end = last.span.end().max(need.span.end());
                    last.span.count = u16::try_from(end - u32::from(last.span.address)).unwrap_or(u16::MAX);
                    last.last = i;
                }
                _ => blocks.push(ReadBlock { span: need.span, first: i, last: i }),
            }
        }
        self.blocks = blocks;
        self.is_stale = false;
        self.revision += 1;
    }

    /// Changes when something was learned or dropped.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn may_join(&self, block: &ReadBlock, need: RegisterRange) -> bool {
        let (span, rules) = (block.span, &self.rules);
        let max_count = if span.register_type.is_bits() { rules.max_bits } else { rules.max_regs };
        let end = span.end().max(need.end());
        let gap = u32::from(need.address).saturating_sub(span.end());
        let atomic = |s: &RegisterRange| rules.atomic.contains(s);
        let barrier = rules.barriers.iter().any(|b| u32::from(span.address) < u32::from(*b) && u32::from(*b) < end);
        span.register_type == need.register_type
            && end - u32::from(span.address) <= u32::from(max_count)
            && gap <= u32::from(rules.max_gap)
            && !barrier
            && !atomic(&need)
            && !self.needs[block.first..=block.last].iter().any(|n| atomic(&n.span))
    }

    /// Starts a cycle: what is due is tried again. Cuts made by refusals are opened together, because a refusal costs little; of those
    /// made by silence one at a time.
    pub fn begin(&mut self, now_us: u64) {
        let mut changed = 0;
        for need in &mut self.needs {
            if changed < TRIALS_MAX && need.left_out.is_some_and(|l| now_us >= l.retry_at_us) {
                need.on_trial = need.left_out.take();
                changed += 1;
            }
        }
        let is_crossed = |at: usize| self.blocks.iter().any(|b| b.first < at && at <= b.last);
        let mut is_silence_open =
            self.cuts.iter().any(|(at, c)| c.is_on_trial && is_silence(c.cause) && is_crossed(*at));
        for cut in self.cuts.values_mut().filter(|c| !c.is_on_trial && now_us >= c.retry_at_us) {
            if is_silence(cut.cause) && std::mem::replace(&mut is_silence_open, true) {
                continue;
            }
            cut.is_on_trial = true;
            changed += 1;
        }
        if changed > 0 || self.is_stale {
            self.rebuild_blocks();
        }
    }

    /// The blocks in the order of their requests: those that answered last time first.
    pub fn blocks_in_order(&self) -> Vec<ReadBlock> {
        let mut blocks = self.blocks.clone();
        blocks.sort_by_key(|b| self.failures(b));
        blocks
    }

    /// Cycles in a row in which a block failed.
    pub fn failures(&self, block: &ReadBlock) -> u32 {
        self.needs[block.first..=block.last]
            .iter()
            .map(|n| n.failures.max(u32::from(n.on_trial.is_some())))
            .max()
            .unwrap_or(0)
    }

    /// Whether any need of the block ever answered.
    pub fn has_answered(&self, block: &ReadBlock) -> bool {
        self.needs[block.first..=block.last].iter().any(|n| n.has_answered)
    }

    /// Records an answer: its needs are no longer on trial or left out, and cuts inside the block are removed.
    pub fn note_answer(&mut self, block: &ReadBlock) {
        for need in &mut self.needs[block.first..=block.last] {
            self.is_stale |= need.on_trial.is_some() || need.left_out.is_some();
            (need.has_answered, need.failures, need.on_trial, need.left_out) = (true, 0, None, None);
        }
        if !block.is_single() && !self.cuts.is_empty() {
            self.cuts.retain(|at, _| *at <= block.first || *at > block.last);
        }
    }

    /// Records a failure of a block although the unit answered. Returns the number of failures in a row.
    pub fn note_failure(&mut self, block: &ReadBlock) -> u32 {
        self.needs[block.first..=block.last].iter_mut().for_each(|n| n.failures += 1);
        self.failures(block)
    }

    /// Splits a block that failed at its widest gap, or in the middle where there is none. `None`: it is one need.
    pub fn split(&mut self, block: &ReadBlock, cause: Cause, now_us: u64) -> Option<(ReadBlock, ReadBlock)> {
        if block.is_single() {
            return None;
        }
        let needs = &self.needs[block.first..=block.last];
        let gap_before = |i: usize| u32::from(needs[i].span.address).saturating_sub(end_of(&needs[..i]));
        let middle = needs.len() / 2;
        let widest =
            (1..needs.len()).max_by_key(|&i| (gap_before(i), usize::MAX - i.abs_diff(middle))).unwrap_or(middle);
        let at = block.first + if gap_before(widest) > 0 { widest } else { middle };
        let pause_us =
            self.cuts.get(&at).map_or(RETRY_FIRST_US, |c| doubled_pause_us(c.pause_us, RETRY_MAX_NEVER_ANSWERED_US));
        self.cuts.insert(at, Cut { cause, pause_us, retry_at_us: now_us + pause_us, is_on_trial: false });
        self.rebuild_blocks();
        Some((self.block_of(block.first, at - 1), self.block_of(at, block.last)))
    }

    fn block_of(&self, first: usize, last: usize) -> ReadBlock {
        let start = self.needs[first].span;
        let count = u16::try_from(end_of(&self.needs[first..=last]) - u32::from(start.address)).unwrap_or(u16::MAX);
        ReadBlock { span: RegisterRange { count, ..start }, first, last }
    }

    /// A block across open cuts failed: they are closed for twice as long, and the reads that are known to work are returned.
    pub fn close_cuts(&mut self, block: &ReadBlock, now_us: u64) -> Vec<ReadBlock> {
        let inside = block.first + 1..block.last + 1;
        let mut bounds = vec![block.first];
        for (at, cut) in self.cuts.range_mut(inside).filter(|(_, c)| c.is_on_trial) {
            let pause_us = doubled_pause_us(cut.pause_us, RETRY_MAX_NEVER_ANSWERED_US);
            (cut.pause_us, cut.retry_at_us, cut.is_on_trial) = (pause_us, now_us + pause_us, false);
            bounds.push(*at);
        }
        if bounds.len() == 1 {
            return Vec::new();
        }
        bounds.push(block.last + 1);
        self.rebuild_blocks();
        bounds.windows(2).map(|w| self.block_of(w[0], w[1] - 1)).collect()
    }

    /// Stops reading a block of one need for a while.
    pub fn leave_out(&mut self, block: &ReadBlock, cause: Cause, now_us: u64, now: UnixMillis) {
        for need in &mut self.needs[block.first..=block.last] {
            let most = if need.has_answered { RETRY_MAX_US } else { RETRY_MAX_NEVER_ANSWERED_US };
            let before = need.on_trial.take();
            let pause_us = before.map_or(RETRY_FIRST_US, |b| doubled_pause_us(b.pause_us, most));
            let since = before.map_or(now, |b| b.since);
            need.left_out = Some(LeftOut { cause, since, pause_us, retry_at_us: now_us + pause_us });
            need.failures = 0;
        }
        self.rebuild_blocks();
    }

    /// Whether the block contains a need on trial: one failure is enough to leave it out again.
    pub fn is_on_trial(&self, block: &ReadBlock) -> bool {
        self.needs[block.first..=block.last].iter().any(|n| n.on_trial.is_some())
    }

    /// Drops everything learned, because the link, the unit or the configuration is new.
    pub fn reset_learned(&mut self) {
        self.cuts.clear();
        for need in &mut self.needs {
            (need.left_out, need.on_trial, need.failures) = (None, None, 0);
        }
        self.rebuild_blocks();
    }

    /// Why a range is not read, if it is left out.
    pub fn left_out_of(&self, span: &RegisterRange) -> Option<LeftOut> {
        self.needs.iter().find_map(|n| n.left_out.or(n.on_trial).filter(|_| n.span.overlaps(span)))
    }

    /// The ranges that are left out, those on trial included.
    pub fn left_out(&self) -> impl Iterator<Item = (RegisterRange, LeftOut)> + '_ {
        self.needs.iter().filter_map(|n| Some((n.span, n.left_out.or(n.on_trial)?)))
    }

    /// Gaps that no read crosses any more, with the cause. A cut between two adjacent needs has no gap.
    pub fn gaps(&self) -> impl Iterator<Item = (RegisterRange, Cause)> + '_ {
        self.cuts.iter().filter(|(_, c)| !c.is_on_trial).filter_map(|(at, cut)| {
            let (before, after) = (self.needs[*at - 1].span, self.needs[*at].span);
            let address = u16::try_from(before.end()).ok()?;
            let count = u16::try_from(u32::from(after.address).checked_sub(before.end())?).ok().filter(|c| *c > 0)?;
            (before.register_type == after.register_type)
                .then_some((RegisterRange { register_type: before.register_type, address, count }, cut.cause))
        })
    }

    /// The number of closed cuts.
    pub fn closed_cuts(&self) -> usize {
        self.cuts.values().filter(|c| !c.is_on_trial).count()
    }

    /// A need that overlaps none of these ranges, or at least equals none; one that has answered before, if there is any.
    /// `turn` selects among them.
    pub fn probe(&self, excluded: &[RegisterRange], turn: usize) -> Option<ReadBlock> {
        let outside = |(_, n): &(usize, &Need)| !excluded.iter().any(|s| s.overlaps(&n.span));
        let all = || self.needs.iter().enumerate();
        let mut candidates: Vec<usize> = all().filter(outside).map(|(i, _)| i).collect();
        if candidates.is_empty() {
            candidates = all().filter(|(_, n)| !excluded.contains(&n.span)).map(|(i, _)| i).collect();
        }
        if candidates.iter().any(|i| self.needs[*i].has_answered) {
            candidates.retain(|i| self.needs[*i].has_answered);
        }
        let at = *candidates.get(turn % candidates.len().max(1))?;
        Some(self.block_of(at, at))
    }
}

fn doubled_pause_us(pause_us: u64, most_us: u64) -> u64 {
    (pause_us * 2).clamp(RETRY_FIRST_US, most_us)
}

/// Whether a failure costs a time-out or a connection rather than an exception.
fn is_silence(cause: Cause) -> bool {
    !cause.unit_answered()
}

fn end_of(needs: &[Need]) -> u32 {
    needs.iter().map(|n| n.span.end()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
