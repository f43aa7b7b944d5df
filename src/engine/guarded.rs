//! A room behind a guard: if it panics it is switched off, and what it did in that pass is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::effects::Effects;
use crate::model::room::Board;

/// A room and whether it runs.
#[derive(Debug)]
pub struct Guarded<R> {
    room: R,
    is_disabled: bool,
    panics_next: bool,
}

impl<R> Guarded<R> {
    /// A room that runs.
    pub fn new(room: R) -> Self {
        Self { room, is_disabled: false, panics_next: false }
    }

    /// Whether it panicked; it is never stepped again.
    pub fn is_disabled(&self) -> bool {
        self.is_disabled
    }

    /// Makes it panic the next time.
    pub fn panic_next(&mut self) {
        self.panics_next = true;
    }

    /// The room, as long as it runs.
    pub fn room(&self) -> Option<&R> {
        (!self.is_disabled).then_some(&self.room)
    }

    /// The room as it is, for whoever shows it: of one that panicked the last state that there is.
    pub fn peek(&self) -> &R {
        &self.room
    }

    /// Runs it; returns whether it ran to its end: not where it is switched off, nor where it panics.
    pub fn run(
        &mut self,
        board: &mut Board,
        effects: &mut Effects,
        pass: impl FnOnce(&mut R, &mut Board, &mut Effects),
    ) -> bool {
        if self.is_disabled {
            return false;
        }
        let (mark, board_mark) = (effects.mark(), board.mark());
        let Self { room, panics_next, .. } = self;
        // Its state may be broken afterwards: it is only shown, never stepped again.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            assert!(!*panics_next, "a fault that was asked for");
            pass(room, board, effects);
        }));
        if outcome.is_err() {
            self.is_disabled = true;
            effects.truncate(mark);
            board.truncate(board_mark);
        }
        outcome.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::room::Finding;

    #[test]
    fn a_room_that_panics_is_switched_off_and_leaves_nothing_behind() {
        let (mut board, mut effects) = (Board::default(), Effects::default());
        let finding = || Finding { device: "d".into(), name: "f".into(), state: Ok(true) };
        let (mut good, mut bad) = (Guarded::new(0), Guarded::new(0));
        good.run(&mut board, &mut effects, |n, board, effects| {
            *n += 1;
            board.findings.push(finding());
            effects.states.push(("a".into(), "1".into()));
        });
        bad.run(&mut board, &mut effects, |_, board, effects| {
            board.findings.push(finding());
            effects.states.push(("b".into(), "1".into()));
            panic!("on purpose");
        });
        bad.run(&mut board, &mut effects, |n, _, _| *n += 1);
        good.run(&mut board, &mut effects, |n, _, _| *n += 1);
        assert_eq!((good.room(), bad.room(), *bad.peek()), (Some(&2), None, 0));
        assert_eq!((board.findings.len(), effects.states.len()), (1, 1));
    }
}
