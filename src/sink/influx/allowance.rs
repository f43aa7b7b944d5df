//! Rate limit of backfill: a token bucket in values, so that live values keep their share of the store. Pure.

/// The tokens (values that may be written), and when they were last refilled.
#[derive(Debug)]
pub struct Allowance {
    values: u64,
    at_ms: u64,
}

/// Smallest body, values, unless the batch itself is smaller: fewer are not worth a request.
const BODY_VALUES_MIN: usize = 1_000;

impl Allowance {
    pub fn new(now_ms: u64) -> Self {
        Self { values: 0, at_ms: now_ms }
    }

    /// How many values one body may have now, with a refill of `per_s` values a second and at most `batch` per body; `None` if too few.
    pub fn available(&mut self, now_ms: u64, per_s: u64, batch: usize) -> Option<usize> {
        let earned = now_ms.saturating_sub(self.at_ms) * per_s / 1_000;
        if earned > 0 {
            self.values = (self.values + earned).min(per_s.max(batch as u64));
            self.at_ms = now_ms;
        }
        let allowed = usize::try_from(self.values).unwrap_or(usize::MAX).min(batch);
        (allowed >= batch.min(BODY_VALUES_MIN)).then_some(allowed)
    }

    /// Takes `values` from the bucket; it does not go below zero.
    pub fn spend(&mut self, values: usize) {
        self.values = self.values.saturating_sub(values as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_written_at_its_pace() {
        let mut allowance = Allowance::new(0);
        assert_eq!(allowance.available(0, 5_000, 2_000), None);
        assert_eq!(allowance.available(100, 5_000, 2_000), None, "five hundred are too few");
        assert_eq!(allowance.available(200, 5_000, 2_000), Some(1_000));
        allowance.spend(1_000);
        assert_eq!(allowance.available(200, 5_000, 2_000), None);
        // The bucket holds at most one second's values.
        assert_eq!(allowance.available(60_000, 5_000, 2_000), Some(2_000));
        allowance.spend(4_500);
        assert_eq!(allowance.available(60_000, 5_000, 2_000), None);
        assert_eq!(allowance.available(60_001, 5_000, 50), Some(50), "small bodies are worth it");
    }
}
