//! Tracks which part of the journal a store has: live writing follows the newest readings, backfill closes the gaps behind it. Pure.

use crate::journal::cursor::{AckedRange, Position};

/// Maximum number of acknowledged ranges; beyond it the oldest is dropped and its readings are written once more.
const RANGES_MAX: usize = 64;

/// Acknowledged ranges of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Low watermark, cursor within sealed files, and acknowledged ranges beyond the watermark. While live writing is ahead of the
    /// watermark, the last range is the one that it extends; it may be empty.
    position: Position,
    /// Sequence number that live writing has reached. It is the end of the last range, or the low watermark if there is none.
    live: u64,
}

impl Progress {
    /// Continues from a stored position; live reading begins after `newest`.
    pub fn new(kept: Position, newest: u64) -> Self {
        let mut out = Self { live: kept.acked_ranges.last().map_or(kept.low_watermark, |d| d.upto), position: kept };
        out.skip_to(newest);
        out
    }

    /// Sequence number after which live reading continues.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Live reading continues after `to`; what lies between is left to backfill.
    pub fn skip_to(&mut self, to: u64) {
        if to > self.live {
            self.live = to;
            if self.position.acked_ranges.len() >= RANGES_MAX {
                self.position.acked_ranges.remove(0);
            }
            self.position.acked_ranges.retain(|d| d.after < d.upto);
            self.position.acked_ranges.push(AckedRange { after: to, upto: to });
        }
    }

    /// Live values up to this sequence number are written.
    pub fn ack_live(&mut self, seq: u64) {
        self.live = self.live.max(seq);
        match self.position.acked_ranges.last_mut() {
            Some(range) => range.upto = self.live,
            None => self.position = Position::at(self.live),
        }
    }

    /// Where backfill continues; `None` if there is no gap.
    pub fn backfill_position(&self) -> Option<Position> {
        let next = self.position.acked_ranges.first()?;
        (self.position.low_watermark < next.after).then(|| Position {
            sealed_cursor: self.position.sealed_cursor.clone(),
            ..Position::at(self.position.low_watermark)
        })
    }

    /// Whether a sequence number is still to be backfilled.
    pub fn needs_backfill(&self, seq: u64) -> bool {
        seq <= self.live && !self.position.is_acked(seq)
    }

    /// Backfill up to this position is written. Returns whether its reader must be reopened elsewhere.
    pub fn ack_backfill(&mut self, reached: Position) -> bool {
        // The reader may have passed `live`: readings newer than that are not acknowledged by backfill.
        let watermark = reached.low_watermark.min(self.live);
        (self.position.low_watermark, self.position.sealed_cursor) =
            (watermark.max(self.position.low_watermark), reached.sealed_cursor);
        self.absorb();
        self.position.low_watermark != reached.low_watermark
    }

    /// The gap from `after + 1` to `upto`, which live reading left, is written.
    pub fn ack_gap(&mut self, after: u64, upto: u64) {
        if upto <= self.position.low_watermark {
            return;
        }
        let mut all = std::mem::take(&mut self.position.acked_ranges);
        // The last range is the one that live writing extends; it stays last.
        let live = all.pop();
        all.push(AckedRange { after, upto });
        all.extend(live);
        all.sort_by_key(|d| d.after);
        let mut merged: Vec<AckedRange> = Vec::with_capacity(all.len());
        for d in all {
            match merged.last_mut() {
                Some(before) if d.after <= before.upto => before.upto = before.upto.max(d.upto),
                _ => merged.push(d),
            }
        }
        if merged.len() > RANGES_MAX {
            merged.remove(0);
        }
        self.position.acked_ranges = merged;
        self.absorb();
    }

    /// Merges ranges that begin at or below the low watermark into it.
    fn absorb(&mut self) {
        while let Some(next) = self.position.acked_ranges.first().filter(|d| d.after <= self.position.low_watermark) {
            if self.position.low_watermark < next.upto {
                (self.position.low_watermark, self.position.sealed_cursor) =
                    (next.upto, Position::at(next.upto).sealed_cursor);
            }
            self.position.acked_ranges.remove(0);
        }
    }

    /// The position to store with the journal; empty ranges are left out.
    pub fn stored_position(&self) -> Position {
        let ranges = self.position.acked_ranges.iter().filter(|d| d.after < d.upto).copied().collect();
        Position { acked_ranges: ranges, ..self.position.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(p: &Progress) -> u64 {
        p.stored_position().unacked_between(1, p.live())
    }

    #[test]
    fn an_outage_leaves_a_gap_that_is_filled() {
        let mut p = Progress::new(Position::at(10), 10);
        assert_eq!((p.live(), p.backfill_position(), missing(&p)), (10, None, 0));
        p.ack_live(20);
        assert_eq!((p.stored_position(), p.backfill_position()), (Position::at(20), None));
        // The store was unreachable while 21..=50 were recorded.
        p.skip_to(50);
        assert_eq!(
            (p.live(), missing(&p), p.stored_position()),
            (50, 30, Position::at(20)),
            "nothing is done beyond the floor"
        );
        p.ack_live(60);
        let ahead = vec![AckedRange { after: 50, upto: 60 }];
        assert_eq!(p.stored_position(), Position { acked_ranges: ahead, ..Position::at(20) });
        assert!(
            p.needs_backfill(21)
                && p.needs_backfill(50)
                && !p.needs_backfill(51)
                && !p.needs_backfill(20)
                && !p.needs_backfill(61)
        );
        assert!(!p.ack_backfill(Position::at(40)), "it goes on where it is");
        // A second outage, and a restart in the middle of it.
        p.skip_to(80);
        p.ack_live(90);
        let mut p = Progress::new(p.stored_position(), 100);
        assert_eq!((missing(&p), p.live()), (10 + 20 + 10, 100));
        assert!(p.ack_backfill(Position::at(50)), "behind the range that is done");
        assert_eq!((p.backfill_position().unwrap().low_watermark, missing(&p)), (60, 30));
        assert!(p.ack_backfill(Position::at(85)), "a sealed hour may end within what is done");
        assert_eq!((p.backfill_position().unwrap().low_watermark, missing(&p)), (90, 10));
        p.ack_live(120);
        assert!(p.ack_backfill(Position::at(150)), "looking beyond the newest does not make it done");
        assert_eq!((p.stored_position(), p.backfill_position(), missing(&p)), (Position::at(120), None, 0));
    }

    #[test]
    fn a_gap_that_live_reading_left_is_closed_from_either_side() {
        let mut p = Progress::new(Position::at(10), 10);
        p.ack_live(20);
        p.skip_to(30);
        p.ack_live(35);
        p.skip_to(40);
        p.ack_live(45);
        assert_eq!((p.stored_position().low_watermark, missing(&p)), (20, 15));
        p.ack_gap(35, 40);
        assert_eq!(
            (p.stored_position().low_watermark, p.stored_position().acked_ranges.len(), missing(&p)),
            (20, 1, 10)
        );
        p.ack_gap(20, 30);
        assert_eq!((p.stored_position(), p.backfill_position(), missing(&p)), (Position::at(45), None, 0));
        p.ack_live(50);
        p.ack_gap(20, 30);
        assert_eq!(p.stored_position(), Position::at(50), "twice does nothing");
        // The newest readings are not written yet.
        p.skip_to(60);
        p.ack_gap(50, 60);
        p.ack_live(70);
        assert_eq!(p.stored_position(), Position::at(70));
    }

    #[test]
    fn a_store_that_comes_and_goes_costs_no_memory() {
        let mut p = Progress::new(Position::at(0), 0);
        for i in 1..1_000 {
            p.skip_to(i * 10);
            p.ack_live(i * 10 + 1);
        }
        assert_eq!(p.stored_position().acked_ranges.len(), RANGES_MAX);
        assert!(p.needs_backfill(11), "what was forgotten is written once more");
    }
}
