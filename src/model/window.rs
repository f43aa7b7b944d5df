//! The values of the last so many milliseconds, thinned so that a window never holds more than some sixty.

use std::collections::VecDeque;

use crate::model::time::MonotonicMillis;

/// Values that a window holds about.
const KEPT: u64 = 60;

/// A sliding window.
#[derive(Clone, Debug)]
pub struct SampleWindow {
    length_ms: u64,
    values: VecDeque<(MonotonicMillis, f64)>,
    /// The newest value, kept or not.
    newest: Option<(MonotonicMillis, f64)>,
}

impl SampleWindow {
    /// A window of this length.
    pub fn new(length_ms: u64) -> Self {
        Self { length_ms, values: VecDeque::new(), newest: None }
    }

    /// Takes a value in. A value at or before the newest is not taken.
    pub fn push(&mut self, now: MonotonicMillis, value: f64) {
        if self.newest.is_some_and(|(at, _)| now <= at) {
            return;
        }
        self.newest = Some((now, value));
        if self.values.back().is_none_or(|(at, _)| now.since(*at) >= self.length_ms / KEPT) {
            self.values.push_back((now, value));
        }
        // The oldest that is kept lies at the window's beginning or just before it.
        while self.values.get(1).is_some_and(|(at, _)| now.since(*at) >= self.length_ms) {
            self.values.pop_front();
        }
    }

    /// Forgets everything: nothing is reckoned across a gap.
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

    /// The newest value.
    pub fn newest(&self) -> Option<f64> {
        self.newest.map(|(_, value)| value)
    }

    /// The newest value less the oldest.
    pub fn change(&self) -> Option<f64> {
        Some(self.newest?.1 - self.values.front()?.1)
    }

    /// The newest value less the lowest (`true`) or the highest.
    pub fn change_from(&self, lowest: bool) -> Option<f64> {
        let newest = self.newest?.1;
        let all = self.values.iter().map(|(_, v)| *v);
        let from = if lowest { all.fold(newest, f64::min) } else { all.fold(newest, f64::max) };
        Some(newest - from)
    }

    /// Change a minute; `None` before half the window is there: a rate over less would shout at the first ripple.
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
