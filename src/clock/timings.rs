//! Durations as histograms.

use prometheus_client::metrics::histogram::Histogram;

/// How long something takes, as a histogram in seconds.
#[derive(Clone, Debug)]
pub struct Timings(Histogram);

impl Default for Timings {
    /// From a millisecond to a minute: answers of other machines.
    fn default() -> Self {
        Self(Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]))
    }
}

impl Timings {
    /// From a microsecond to a second: work of this process.
    pub fn of_work() -> Self {
        Self(Histogram::new([1e-6, 5e-6, 2e-5, 1e-4, 5e-4, 2e-3, 1e-2, 0.1, 1.0]))
    }

    /// Adds a duration of so many microseconds.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    pub fn observe_us(&self, us: u64) {
        self.0.observe(us as f64 / 1e6);
    }

    /// The histogram, for whoever shows it.
    pub fn histogram(&self) -> &Histogram {
        &self.0
    }
}
