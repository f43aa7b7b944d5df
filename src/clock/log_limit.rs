//! Limits of repeated log lines.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// Capacity of a [`LogLimit`] in causes; when it is full, all are forgotten.
const CAUSES_MAX: usize = 1_024;
/// Interval at which a repeated cause is logged again.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Rate limit for log lines of the same cause: the first is written, then one a minute with a count.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<BTreeMap<String, (Instant, u64)>>);

impl LogLimit {
    /// A limit that has not seen any cause.
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// `Some` if a line of this cause may be written: the number of lines since the last written one, this one included.
    pub fn allows(&self, cause: &str) -> Option<u64> {
        let mut causes = lock(&self.0);
        let now = Instant::now();
        if let Some((last_logged, count)) = causes.get_mut(cause) {
            *count += 1;
            if now.duration_since(*last_logged) < LOG_EVERY {
                return None;
            }
            *last_logged = now;
            return Some(std::mem::take(count));
        }
        if causes.len() >= CAUSES_MAX {
            causes.clear();
        }
        causes.insert(cause.to_string(), (now, 0));
        Some(1)
    }
}

/// When a lasting fault is logged: as it begins, and hourly while it lasts.
#[derive(Debug, Default)]
pub struct FaultLog {
    next_us: u64,
}

impl FaultLog {
    /// Microseconds from one line to the next.
    const EVERY_US: u64 = 3_600_000_000;

    /// Whether a line is due at this monotonic time, microseconds. `begins`: the fault was not there before.
    pub fn is_due(&mut self, begins: bool, now_us: u64) -> bool {
        let is_due = begins || now_us >= self.next_us;
        if is_due {
            self.next_us = now_us + Self::EVERY_US;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_line_of_a_cause_then_one_a_minute_with_a_count() {
        let limit = LogLimit::new();
        assert_eq!((limit.allows("a"), limit.allows("a"), limit.allows("b")), (Some(1), None, Some(1)));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(limit.allows("a"), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((limit.allows("a"), limit.allows("a")), (Some(3), None));
        let all = (0..5_000).filter_map(|n| limit.allows(&n.to_string())).sum::<u64>();
        assert_eq!(all, 5_000);
        assert!(limit.0.lock().unwrap().len() <= CAUSES_MAX);
    }
}
