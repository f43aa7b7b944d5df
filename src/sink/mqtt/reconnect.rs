//! How long a sink waits between two connections. Pure.

/// Shortest and longest pause, milliseconds.
const PAUSE_MS: (u64, u64) = (250, 5_000);
/// Longest pause where another client of the same id takes the connection each time.
const TAKEN_OVER_MS: u64 = 60_000;
/// A connection that lasts so long is a good one.
const GOOD_MS: u64 = 60_000;
/// Short connections in a row that may bring something before the pause grows all the same.
const SHORT_MAX: u32 = 20;

/// The pauses of one sink.
#[derive(Debug, Default)]
pub struct Pauses {
    ms: u64,
    short: u32,
}

/// What a connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Was {
    /// How long it lasted after it was accepted; 0: it was not.
    pub lasted_ms: u64,
    /// Whether anything was acknowledged.
    pub brought: bool,
    /// Whether another client of the same id ended it.
    pub taken_over: bool,
}

impl Pauses {
    /// Until the next connection. It falls back only after a connection that lasted, and grows where one brings nothing.
    pub fn next(&mut self, was: Was) -> u64 {
        if was.lasted_ms >= GOOD_MS {
            *self = Self::default();
        }
        self.short = if was.lasted_ms > 0 { self.short + 1 } else { 0 };
        let most = if was.taken_over { TAKEN_OVER_MS } else { PAUSE_MS.1.max(self.ms) };
        let grows = !was.brought || was.taken_over || self.short > SHORT_MAX;
        self.ms = match self.ms {
            0 => PAUSE_MS.0,
            ms if grows => (ms * 2).min(most),
            ms => ms,
        };
        self.ms
    }

    /// Connections in a row that were accepted and did not last.
    pub fn short(&self) -> u32 {
        self.short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Was = Was { lasted_ms: 0, brought: false, taken_over: false };

    fn after(pauses: &mut Pauses, times: u32, was: Was) -> u64 {
        (0..times).map(|_| pauses.next(was)).last().unwrap_or(0)
    }

    #[test]
    fn a_pause_grows_and_falls_back_only_after_a_good_connection() {
        let mut pauses = Pauses::default();
        assert_eq!((pauses.next(NEVER), pauses.next(NEVER)), (250, 500));
        assert_eq!(after(&mut pauses, 20, NEVER), 5_000);
        let short = Was { lasted_ms: 59_999, brought: true, taken_over: false };
        assert_eq!(after(&mut pauses, 20, short), 5_000);
        assert_eq!(pauses.next(Was { lasted_ms: 60_000, ..short }), 250);
    }

    #[test]
    fn what_brings_something_is_not_punished_at_once() {
        let mut pauses = Pauses::default();
        let short = Was { lasted_ms: 10, brought: true, taken_over: false };
        assert_eq!(after(&mut pauses, SHORT_MAX, short), 250);
        assert_eq!(after(&mut pauses, 20, short), 5_000);
        let mut pauses = Pauses::default();
        assert_eq!(after(&mut pauses, 30, Was { taken_over: true, ..short }), 60_000, "two gateways of one id");
    }
}
