//! A sliding window over a value, downsampled so that it never holds more than about sixty values.

use std::collections::VecDeque;

use crate::model::time::MonotonicMillis;

/// Approximate number of values in a full window.
const KEPT: u64 = 60;

/// The values of the last `length_ms` milliseconds.
#[derive(Clone, Debug)]
pub struct SampleWindow {
    length_ms: u64,
    values: VecDeque<(MonotonicMillis, f64)>,
    /// The newest value, which downsampling may have left out of `values`.
    newest: Option<(MonotonicMillis, f64)>,
}

impl SampleWindow {
    /// An empty window of this length.
    pub fn new(length_ms: u64) -> Self {
        Self { length_ms, values: VecDeque::new(), newest: None }
    }

    /// Adds a value. A value that is not later than the newest is ignored.
    pub fn push(&mut self, now: MonotonicMillis, value: f64) {
        if self.newest.is_some_and(|(at, _)| now <= at) {
            return;
        }
        self.newest = Some((now, value));
        if self.values.back().is_none_or(|(at, _)| now.since(*at) >= self.length_ms / KEPT) {
            self.values.push_back((now, value));
        }
        // The oldest value stays at or just before the beginning of the window.
        while self.values.get(1).is_some_and(|(at, _)| now.since(*at) >= self.length_ms) {
            self.values.pop_front();
        }
    }

    /// Removes all values: nothing is computed across a gap.
    pub fn clear(&mut self) {
        self.values.clear();
        self.newest = None;
    }

    /// Milliseconds between the oldest and the newest value.
    pub fn span_ms(&self) -> u64 {
        match (self.values.front(), self.newest) {
            (Some((first, _)), Some((last, _))) => last.since(*first),
            _ => 0,
        }
    }

    /// The newest value, whether or not it is among those kept.
    pub fn newest(&self) -> Option<f64> {
        self.newest.map(|(_, value)| value)
    }

    /// The newest value minus the oldest.
    pub fn change(&self) -> Option<f64> {
        Some(self.newest?.1 - self.values.front()?.1)
    }

    /// The newest value minus the lowest (`true`) or highest one.
    pub fn change_from(&self, lowest: bool) -> Option<f64> {
        let newest = self.newest?.1;
        let all = self.values.iter().map(|(_, v)| *v);
        let from = if lowest { all.fold(newest, f64::min) } else { all.fold(newest, f64::max) };
        Some(newest - from)
    }

    /// Change per minute; `None` until half of the window is filled, because a rate over less reacts to every ripple.
    pub fn per_min(&self) -> Option<f64> {
        let ms = self.span_ms();
        if ms < self.length_ms / 2 || ms == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a window of at most some days of milliseconds")]
        let minutes = ms as f64 / 60_000.0;
        Some(self.change()? / minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_what_is_older_and_stays_small() {
        let mut w = SampleWindow::new(60_000);
        assert_eq!((w.per_min(), w.change()), (None, None));
        for s in 0..20u32 {
            w.push(MonotonicMillis(u64::from(s) * 1_000), f64::from(s));
        }
        assert_eq!(w.per_min(), None, "less than half of it");
        for s in 20..100_000u32 {
            w.push(MonotonicMillis(u64::from(s) * 100), f64::from(s) / 10.0);
        }
        assert!(w.values.len() <= 62, "{}", w.values.len());
        assert!(w.span_ms() >= 60_000);
        assert!((w.per_min().unwrap() - 60.0).abs() < 0.01);
        assert!((w.change_from(true).unwrap() - 60.0).abs() < 1.1);
        assert!(w.change_from(false).unwrap().abs() < 1e-9);
        w.clear();
        assert_eq!(w.span_ms(), 0);
    }
}
