//! Points become the fewest legal reads; a refused read is split until only the hole is left out.
//!
//! Pure: the plan is told what happened and says what to read next. `poll` does the reading.

pub mod wire;

use std::collections::BTreeSet;

use crate::model::quality::Cause;
use crate::model::registers::Span;
use crate::profile::{PointDef, ReadRules};

/// One read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What is read.
    pub span: Span,
    /// Runs within it that must not be cut, in order of their address: points, scale registers, atomic runs.
    pub needs: Vec<Span>,
}

/// The reads of one poll group of one unit, and what was learned about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is read, in order of area and address.
    pub blocks: Vec<Block>,
    /// Runs that the unit refused when asked for them alone, with the exception that it gave.
    pub refused: Vec<(Span, Cause)>,
    /// Gaps that the unit refused to read across: shown by `check --plan`.
    pub holes: BTreeSet<Span>,
}

/// The fewest reads that cover the points under the rules: from the left, each read as long as it may be.
///
/// That is the least number, because a read that ends earlier can never let a later one begin further right.
pub fn plan<'a>(points: impl IntoIterator<Item = &'a PointDef>, rules: &ReadRules) -> Plan {
    let mut needs: BTreeSet<Span> = BTreeSet::new();
    for point in points {
        needs.insert(whole(point.span, rules));
        needs.extend(point.scale_from.iter().map(|from| whole(from.span, rules)));
    }
    let mut blocks: Vec<Block> = Vec::new();
    for need in needs {
        match blocks.last_mut() {
            Some(last) if may_join(last, need, rules) => {
                let end = last.span.end().max(need.end());
                last.span.count = u16::try_from(end - u32::from(last.span.address)).unwrap_or(u16::MAX);
                last.needs.push(need);
            }
            _ => blocks.push(Block { span: need, needs: vec![need] }),
        }
    }
    Plan { blocks, ..Plan::default() }
}

/// The atomic run that a span lies in, or the span itself.
fn whole(span: Span, rules: &ReadRules) -> Span {
    rules.atomic.iter().find(|run| run.overlaps(&span)).copied().unwrap_or(span)
}

fn may_join(block: &Block, need: Span, rules: &ReadRules) -> bool {
    let span = block.span;
    let most = if span.area.is_bits() { rules.max_bits } else { rules.max_regs };
    let start = u32::from(need.address);
    let end = span.end().max(need.end());
    let gap = start.saturating_sub(span.end());
    let atomic = |s: &Span| rules.atomic.contains(s);
    let barrier = rules.barriers.iter().any(|b| u32::from(span.address) < u32::from(*b) && u32::from(*b) < end);
    span.area == need.area
        && end - u32::from(span.address) <= u32::from(most)
        && gap <= u32::from(rules.max_gap)
        && !barrier
        && !atomic(&need)
        && !block.needs.iter().any(atomic)
}

/// What to do about a block that was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Read these two instead, in this cycle.
    Split(Block, Block),
    /// It cannot be split: this run is what the unit refuses.
    Hole(Span),
}

/// Splits a refused block at its widest gap, or in the middle where there is none.
pub fn refuse(block: &Block) -> Refusal {
    if block.needs.len() < 2 {
        return Refusal::Hole(block.span);
    }
    let gap_before = |i: usize| u32::from(block.needs[i].address).saturating_sub(end_of(&block.needs[..i]));
    let middle = block.needs.len() / 2;
    let widest =
        (1..block.needs.len()).max_by_key(|&i| (gap_before(i), usize::MAX - i.abs_diff(middle))).unwrap_or(middle);
    let at = if gap_before(widest) > 0 { widest } else { middle };
    Refusal::Split(block_of(&block.needs[..at]), block_of(&block.needs[at..]))
}

fn end_of(needs: &[Span]) -> u32 {
    needs.iter().map(Span::end).max().unwrap_or(0)
}

fn block_of(needs: &[Span]) -> Block {
    let first = needs[0];
    let count = u16::try_from(end_of(needs) - u32::from(first.address)).unwrap_or(u16::MAX);
    Block { span: Span { count, ..first }, needs: needs.to_vec() }
}

impl Plan {
    /// Replaces a block by what was found to work; `refused` are the runs that did not.
    pub fn learn(&mut self, block: &Block, works: Vec<Block>, refused: Vec<(Span, Cause)>) {
        let Some(index) = self.blocks.iter().position(|b| b == block) else { return };
        let mut ends: Vec<Span> = works.iter().map(|b| b.span).chain(refused.iter().map(|r| r.0)).collect();
        ends.sort_unstable();
        for pair in ends.windows(2) {
            let gap = u32::from(pair[1].address).saturating_sub(pair[0].end());
            if let (Ok(address), Ok(count)) = (u16::try_from(pair[0].end()), u16::try_from(gap))
                && gap > 0
            {
                self.holes.insert(Span { area: pair[0].area, address, count });
            }
        }
        self.blocks.splice(index..=index, works);
        self.refused.extend(refused);
    }

    /// The refused runs become blocks again, to be tried once more.
    pub fn retry_refused(&mut self) {
        for (span, _) in std::mem::take(&mut self.refused) {
            self.blocks.push(Block { span, needs: vec![span] });
        }
    }

    /// Why a run is not read, if it was refused.
    pub fn refusal_of(&self, span: &Span) -> Option<Cause> {
        self.refused.iter().find(|(run, _)| run.overlaps(span)).map(|(_, cause)| *cause)
    }
}

#[cfg(test)]
mod tests;
