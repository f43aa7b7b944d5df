//! A reading: what one cycle of one unit's poll group brought for one device.

use std::sync::Arc;

use crate::model::quality::Cause;
use crate::model::stream::Stream;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::model::value::Value;

/// A good value or the cause why there is none. A bad sample is never 0 and never the last good value.
pub type Sample = Result<Value, Cause>;

/// When a response was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Monotonic time of this boot.
    pub mono: MonotonicMillis,
    /// The date as the clock showed it.
    pub wall: UnixMillis,
    /// Whether that date is trusted.
    pub trusted: bool,
}

/// Consecutive samples that came with the same response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many samples, in the order of the stream's points.
    pub len: u32,
    /// Milliseconds after the reading's own stamp.
    pub after_ms: u32,
}

/// The content of a reading.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// One sample for each point of the stream. `None`: not kept (thinned history only).
    Samples {
        /// In the order of the stream's points.
        samples: Vec<Option<Sample>>,
        /// When each run of samples was received; empty if all came with one response.
        parts: Vec<Part>,
    },
    /// The whole cycle failed: every point is bad with this cause.
    Failed(Cause),
}

/// A reading before the journal has numbered it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The device, source and points.
    pub stream: Arc<Stream>,
    /// Receipt of the first response, or the moment at which the cycle was given up.
    pub at: Stamp,
    /// The samples, or the cause of a failed cycle.
    pub body: Body,
}

impl Reading {
    /// The sample of point number `index`; `None` if history no longer has it.
    pub fn sample(&self, index: usize) -> Option<Result<&Value, Cause>> {
        match &self.body {
            Body::Failed(cause) => Some(Err(*cause)),
            Body::Samples { samples, .. } => samples.get(index)?.as_ref().map(|s| s.as_ref().map_err(|c| *c)),
        }
    }

    /// How long after `at` the sample of point number `index` was received, in milliseconds.
    pub fn after_ms(&self, index: usize) -> u32 {
        let Body::Samples { parts, .. } = &self.body else { return 0 };
        let mut end = 0usize;
        for part in parts {
            end += part.len as usize;
            if index < end {
                return part.after_ms;
            }
        }
        0
    }

    /// Good samples and all samples of this reading.
    pub fn good_of_all(&self) -> (usize, usize) {
        match &self.body {
            Body::Failed(_) => (0, self.stream.points.len()),
            Body::Samples { samples, .. } => {
                let good = samples.iter().filter(|s| matches!(s, Some(Ok(_)))).count();
                (good, samples.iter().filter(|s| s.is_some()).count())
            }
        }
    }
}
