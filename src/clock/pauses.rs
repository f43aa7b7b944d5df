//! Pauses between attempts.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Pauses between attempts at the same thing: each twice as long as the one before, up to a longest.
#[derive(Debug)]
pub struct Pauses {
    settings: ExponentialBuilder,
    next: ExponentialBackoff,
}

impl Pauses {
    /// From the first pause to the longest.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let settings = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times();
        Self { settings, next: settings.build() }
    }

    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        // Without a limit of attempts there is always one.
        self.next.next().unwrap_or(Duration::from_secs(1))
    }

    /// An attempt succeeded: begins again with the first pause.
    pub fn reset(&mut self) {
        self.next = self.settings.build();
    }
}

/// A pause of up to a quarter more or less, so that many boxes do not try at the same moment.
pub fn spread(pause: Duration) -> Duration {
    pause.mul_f64(fastrand::f64().mul_add(0.5, 0.75))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again() {
        let mut pauses = Pauses::new(Duration::from_millis(250), Duration::from_secs(1));
        let three: Vec<u128> = (0..4).map(|_| pauses.next_pause().as_millis()).collect();
        assert_eq!(three, [250, 500, 1_000, 1_000]);
        pauses.reset();
        assert_eq!(pauses.next_pause().as_millis(), 250);
    }

    #[test]
    fn a_pause_is_spread_by_a_quarter() {
        let all: Vec<u128> = (0..1_000).map(|_| spread(Duration::from_secs(1)).as_millis()).collect();
        assert!(all.iter().all(|ms| (750..=1_250).contains(ms)));
        assert!(all.iter().any(|ms| *ms < 800) && all.iter().any(|ms| *ms > 1_200));
    }
}
