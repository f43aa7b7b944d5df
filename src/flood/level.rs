//! The flood level: the highest of its inputs; up at once, down one rank at a time.

use serde::{Deserialize, Serialize};

use crate::model::time::{MonotonicMillis, Now, UnixMillis};

/// The site's own water must stay below a rank for so long before the level goes down to it.
pub const LOCAL_CALM_MS: u64 = 15 * 60_000;
/// A person's level lasts at most so long.
pub const MANUAL_MAX_MS: u64 = 12 * 3_600_000;

/// Ranks that the inputs demand; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Of warnings in force.
    pub external: u8,
    /// Of the site's own water and rain, with the delays and reset levels of their rules.
    pub local: u8,
    /// Of a person.
    pub manual: u8,
}

impl Inputs {
    /// The highest.
    pub fn highest(self) -> u8 {
        self.external.max(self.local).max(self.manual)
    }
}

/// Below what a manager holds the level although an input demands more, until it ends or an input rises further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedDown {
    pub rank: u8,
    /// What the inputs were then.
    pub against: Inputs,
    /// When it ends, on the monotonic scale of [`FloodLevel`].
    pub until: MonotonicMillis,
}

/// The level with what its next step down depends on. Moments are milliseconds of the monotonic scale of one
/// boot, negative before it; [`FloodLevel::rebase`] brings them into another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloodLevel {
    pub rank: u8,
    /// When this rank was reached.
    pub since: i64,
    /// Its date; none: the clock was not trusted.
    pub since_date: Option<UnixMillis>,
    /// Since when the site's own water has demanded less than this rank; none while it demands it.
    pub calm_since: Option<i64>,
    pub forced: Option<ForcedDown>,
}

/// A change of the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelChange {
    pub from: u8,
    pub to: u8,
    /// What was demanded then.
    pub inputs: Inputs,
}

impl FloodLevel {
    /// One step; at most one change of it. `min_hold_ms` says how long a rank lasts at least.
    pub fn step(&mut self, now: Now, inputs: Inputs, min_hold_ms: impl Fn(u8) -> u64) -> Option<LevelChange> {
        self.end_force(now, inputs);
        let demanded = inputs.highest().min(self.forced.map_or(u8::MAX, |forced| forced.rank));
        self.calm_since = (inputs.local < self.rank).then(|| self.calm_since.unwrap_or(signed(now.mono)));
        if demanded > self.rank {
            return Some(self.change(demanded, now, inputs));
        }
        let may_go_down = self.next_step_down(min_hold_ms).is_some_and(|at| now.mono >= at);
        (demanded < self.rank && may_go_down).then(|| self.change(self.rank - 1, now, inputs))
    }

    /// When the level may go down by one if no input demands it any more; none: it is 0, or the site's own water demands it.
    pub fn next_step_down(&self, min_hold_ms: impl Fn(u8) -> u64) -> Option<MonotonicMillis> {
        let after = |since: i64, ms: u64| since.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        let calm = after(self.calm_since?, LOCAL_CALM_MS);
        let at = after(self.since, min_hold_ms(self.rank)).max(calm);
        (self.rank > 0).then(|| MonotonicMillis(u64::try_from(at).unwrap_or(0)))
    }

    /// A manager brings the level down, whatever demands it: to a rank at once, for at most [`MANUAL_MAX_MS`].
    pub fn force_down(&mut self, rank: u8, inputs: Inputs, for_ms: u64, now: Now) -> Option<LevelChange> {
        if rank >= self.rank {
            return None;
        }
        self.forced = Some(ForcedDown { rank, against: inputs, until: now.mono.plus(for_ms.min(MANUAL_MAX_MS)) });
        Some(self.change(rank, now, inputs))
    }

    /// A force ends with its time, or when an input demands more than it was set against.
    fn end_force(&mut self, now: Now, inputs: Inputs) {
        let is_over = |forced: &ForcedDown| {
            let was = forced.against;
            let has_risen = inputs.external > was.external || inputs.local > was.local || inputs.manual > was.manual;
            now.mono >= forced.until || has_risen
        };
        self.forced = self.forced.filter(|forced| !is_over(forced));
        // What has gone down and comes up again has risen.
        if let Some(forced) = &mut self.forced {
            forced.against.external = forced.against.external.min(inputs.external);
            forced.against.local = forced.against.local.min(inputs.local);
            forced.against.manual = forced.against.manual.min(inputs.manual);
        }
    }

    fn change(&mut self, to: u8, now: Now, inputs: Inputs) -> LevelChange {
        let change = LevelChange { from: self.rank, to, inputs };
        self.rank = to;
        self.since = signed(now.mono);
        self.since_date = now.wall_trusted.then_some(now.wall);
        self.calm_since = (inputs.local < to).then(|| self.calm_since.unwrap_or(signed(now.mono)));
        change
    }

    /// Moments of another boot on the scale of this one, `offset` milliseconds later.
    pub fn rebase(&mut self, offset: i64) {
        let moved = |at: MonotonicMillis| MonotonicMillis(at.0.saturating_add_signed(offset));
        self.since = self.since.saturating_add(offset);
        self.calm_since = self.calm_since.map(|at| at.saturating_add(offset));
        self.forced = self.forced.map(|forced| ForcedDown { until: moved(forced.until), ..forced });
    }
}

fn signed(at: MonotonicMillis) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
