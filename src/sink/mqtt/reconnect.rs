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
pub struct Backoff {
    ms: u64,
    short_connections: u32,
}

/// How a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSummary {
    /// Duration from its acceptance to its end; 0 if it was not accepted.
    pub lasted_ms: u64,
    /// Whether any message was acknowledged.
    pub has_acked: bool,
    /// Whether another client with the same id ended it.
    pub taken_over: bool,
}

impl Backoff {
    /// Milliseconds until the next connection. Only a connection that lasted resets the pause; it doubles if nothing was acknowledged.
    pub fn next_pause_ms(&mut self, last: ConnectionSummary) -> u64 {
        if last.lasted_ms >= GOOD_MS {
            *self = Self::default();
        }
        self.short_connections = if last.lasted_ms > 0 { self.short_connections + 1 } else { 0 };
        let most = if last.taken_over { TAKEN_OVER_MS } else { PAUSE_MS.1.max(self.ms) };
        let grows = !last.has_acked || last.taken_over || self.short_connections > SHORT_MAX;
        self.ms = match self.ms {
            0 => PAUSE_MS.0,
            ms if grows => (ms * 2).min(most),
            ms => ms,
        };
        self.ms
    }

    /// Consecutive connections that were accepted and did not last.
    pub fn short_connections(&self) -> u32 {
        self.short_connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: ConnectionSummary = ConnectionSummary { lasted_ms: 0, has_acked: false, taken_over: false };

    fn after(pauses: &mut Backoff, times: u32, was: ConnectionSummary) -> u64 {
        (0..times).map(|_| pauses.next_pause_ms(was)).last().unwrap_or(0)
    }

    #[test]
    fn a_pause_grows_and_falls_back_only_after_a_good_connection() {
        let mut pauses = Backoff::default();
        assert_eq!((pauses.next_pause_ms(NEVER), pauses.next_pause_ms(NEVER)), (250, 500));
        assert_eq!(after(&mut pauses, 20, NEVER), 5_000);
        let short = ConnectionSummary { lasted_ms: 59_999, has_acked: true, taken_over: false };
        assert_eq!(after(&mut pauses, 20, short), 5_000);
        assert_eq!(pauses.next_pause_ms(ConnectionSummary { lasted_ms: 60_000, ..short }), 250);
    }

    #[test]
    fn what_brings_something_is_not_punished_at_once() {
        let mut pauses = Backoff::default();
        let short = ConnectionSummary { lasted_ms: 10, has_acked: true, taken_over: false };
        assert_eq!(after(&mut pauses, SHORT_MAX, short), 250);
        assert_eq!(after(&mut pauses, 20, short), 5_000);
        let mut pauses = Backoff::default();
        assert_eq!(
            after(&mut pauses, 30, ConnectionSummary { taken_over: true, ..short }),
            60_000,
            "two gateways of one id"
        );
    }
}
