//! Back-off between two connections. Pure.

/// Shortest and longest pause, milliseconds.
const PAUSE_MS: (u64, u64) = (250, 5_000);
/// Longest pause while another client with the same id takes over the connection each time, milliseconds.
const TAKEN_OVER_MS: u64 = 60_000;
/// A connection that lasts this long resets the back-off, milliseconds.
const GOOD_MS: u64 = 60_000;
/// Consecutive short connections after which the pause grows even if messages were acknowledged.
const SHORT_MAX: u32 = 20;

/// The back-off of one sink.
#[derive(Debug, Default)]
pub struct Pauses {
    ms: u64,
    short: u32,
}

/// How a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Was {
    /// Duration from its acceptance to its end; 0 if it was not accepted.
    pub lasted_ms: u64,
    /// Whether any message was acknowledged.
    pub brought: bool,
    /// Whether another client with the same id ended it.
    pub taken_over: bool,
}

impl Pauses {
    /// Milliseconds until the next connection. Only a connection that lasted resets the pause; it doubles if nothing was acknowledged.
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

    /// Consecutive connections that were accepted and did not last.
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
