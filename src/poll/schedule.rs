//! When each poll group is due: fixed phase with spread; a late cycle is skipped and counted. Pure.

/// One poll group of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ScheduleSlot {
    interval_us: u64,
    anchor_us: u64,
    next_us: u64,
}

impl ScheduleSlot {
    /// Its first phase after a moment.
    fn phase_after(&self, us: u64) -> u64 {
        match us.checked_sub(self.anchor_us) {
            Some(past) => self.anchor_us + (past / self.interval_us + 1) * self.interval_us,
            None => self.anchor_us,
        }
    }
}

/// The schedule of one bus.
#[derive(Clone, Debug)]
pub struct Schedule {
    slots: Vec<ScheduleSlot>,
    overload: bool,
}

impl Schedule {
    /// `every_ms` of each slot. Slots of the same interval are spread over it, so that the load of the bus is even; everything is
    /// read once within the first second (or its interval, if that is shorter).
    ///
    /// `overload`: more is polled than fits. A late slot is then due again at once, behind those that already wait.
    pub fn new(intervals_ms: &[u64], start_us: u64, overload: bool) -> Self {
        let n = intervals_ms.len().max(1) as u64;
        let slot = |(i, ms): (usize, &u64)| {
            let every_us = ms.max(&1) * 1_000;
            let share = |of: u64| of / n * i as u64;
            let first = start_us + share(every_us.min(1_000_000));
            ScheduleSlot { interval_us: every_us, anchor_us: start_us + share(every_us), next_us: first }
        };
        Self { slots: intervals_ms.iter().enumerate().map(slot).collect(), overload }
    }

    /// The slot that is due first, and when; the more frequent one where two are due together.
    pub fn next_due(&self) -> Option<(usize, u64)> {
        let key = |(_, s): &(usize, &ScheduleSlot)| (s.next_us, s.interval_us);
        self.slots.iter().enumerate().min_by_key(key).map(|(i, s)| (i, s.next_us))
    }

    /// When a slot is due.
    pub fn due_at(&self, slot: usize) -> Option<u64> {
        self.slots.get(slot).map(|s| s.next_us)
    }

    /// Another interval for each slot, from its next read on: nobody waits longer than the new interval, and slots stay spread.
    pub fn set_intervals(&mut self, intervals_ms: &[u64], now_us: u64) {
        let n = intervals_ms.len().max(1) as u64;
        for (i, (slot, ms)) in (0..).zip(self.slots.iter_mut().zip(intervals_ms)) {
            let interval_us = ms.max(&1) * 1_000;
            if slot.interval_us != interval_us {
                let soon = now_us + interval_us / n * i;
                (slot.interval_us, slot.next_us) = (interval_us, slot.next_us.min(soon));
                slot.anchor_us = slot.next_us;
            }
        }
    }

    /// Makes a slot due at once, because its unit answers again.
    pub fn make_due(&mut self, slot: usize, now_us: u64) {
        if let Some(s) = self.slots.get_mut(slot) {
            s.next_us = s.next_us.min(now_us);
        }
    }

    /// Marks a slot as served: it is due again at its next phase after `now_us`. Returns how many cycles were missed.
    pub fn advance(&mut self, slot: usize, now_us: u64) -> u64 {
        let Some(s) = self.slots.get_mut(slot) else { return 0 };
        if self.overload && now_us >= s.next_us + s.interval_us {
            let missed = (now_us - s.next_us) / s.interval_us;
            s.next_us = now_us;
            return missed;
        }
        let first = s.phase_after(s.next_us);
        s.next_us = s.phase_after(now_us).max(first);
        (s.next_us - first) / s.interval_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_spread_and_keep_their_phase() {
        let mut s = Schedule::new(&[1_000, 1_000], 5_000_000, false);
        assert_eq!(s.next_due(), Some((0, 5_000_000)));
        assert_eq!(s.advance(0, 5_012_345), 0);
        assert_eq!(s.next_due(), Some((1, 5_500_000)));
        assert_eq!(s.advance(1, 5_600_000), 0);
        assert_eq!(s.next_due(), Some((0, 6_000_000)), "no drift by the time the read took");
    }

    #[test]
    fn missed_cycles_are_skipped_and_counted() {
        let mut s = Schedule::new(&[1_000], 0, false);
        assert_eq!(s.advance(0, 3_200_000), 3);
        assert_eq!(s.next_due(), Some((0, 4_000_000)));
    }

    #[test]
    fn under_overload_every_slot_has_its_turn_and_the_bus_is_never_idle() {
        let mut s = Schedule::new(&[100, 100, 100], 0, true);
        let mut turns = Vec::new();
        for now in 0..9u64 {
            let (slot, due) = s.next_due().unwrap();
            assert!(due <= now * 70_000 + 100_000);
            turns.push(slot);
            s.advance(slot, (now + 1) * 70_000);
        }
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn another_interval_counts_from_the_next_read_on() {
        let mut s = Schedule::new(&[10_000, 10_000, 60_000], 0, false);
        assert_eq!((0..3).map(|slot| s.advance(slot, 1_000_000)).sum::<u64>(), 0);
        // Faster: within two seconds, a third of the interval apart; the third slot stays as it is.
        let due = s.due_at(2);
        s.set_intervals(&[2_000, 2_000, 60_000], 1_500_000);
        assert_eq!((s.due_at(0), s.due_at(1), s.due_at(2)), (Some(1_500_000), Some(2_166_666), due));
        assert_eq!(s.advance(0, 1_510_000), 0);
        assert_eq!(s.due_at(0), Some(3_500_000));
        // Slower again: one read now, then one each ten seconds.
        s.set_intervals(&[10_000, 10_000, 60_000], 3_000_000);
        assert_eq!((s.due_at(0), s.due_at(1)), (Some(3_000_000), Some(2_166_666)));
        s.advance(0, 3_010_000);
        assert_eq!(s.due_at(0), Some(13_000_000));
    }

    #[test]
    fn a_slow_group_is_read_at_once_and_then_at_its_phase() {
        let mut s = Schedule::new(&[60_000, 60_000], 0, false);
        assert_eq!(s.advance(0, 10), 0);
        assert_eq!(s.next_due(), Some((1, 500_000)), "within the first second");
        assert_eq!(s.advance(1, 500_010), 0);
        assert_eq!(s.next_due(), Some((1, 30_000_000)), "half an interval after the other");
        assert_eq!(s.advance(1, 30_000_010), 0);
        assert_eq!(s.next_due(), Some((0, 60_000_000)));
    }
}
