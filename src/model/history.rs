//! The past, as rules ask for it: a question is an effect, its answer an input.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::model::reading::Sample;
use crate::model::time::UnixMillis;
use crate::model::value::Numeric;

/// A question about the past of some points, `from..to`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The room that asks.
    pub room: &'static str,
    /// The room's own number of the question.
    pub id: u64,
    /// Device id and point name of each point.
    pub points: Vec<(Arc<str>, Arc<str>)>,
    /// Start of the period, inclusive.
    pub from: UnixMillis,
    /// End of the period, exclusive.
    pub to: UnixMillis,
    /// What of it is wanted.
    pub form: AskForm,
}

/// What of the past is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskForm {
    /// Every sample, at most [`SAMPLES_MAX`] a point.
    Samples,
    /// Figures of each interval of so many milliseconds, aligned to 1970 UTC.
    Slots {
        /// Length of an interval in milliseconds, at least 1.
        every_ms: u64,
    },
    /// Every exact value of a register, as decimals; at most [`SAMPLES_MAX`] a point.
    Registers,
    /// The first and the last good value.
    FirstLast,
}

/// Samples of one point in an answer at most: whoever needs more asks for slots.
pub const SAMPLES_MAX: usize = 100_000;

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The room that asked.
    pub room: &'static str,
    /// The room's own number of the question.
    pub id: u64,
    /// One entry a point, in the order of the question; or why there is none. No answer is never a proof.
    pub outcome: Result<Vec<PointHistory>, NoAnswer>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// The reason in English, such as a file that cannot be read.
    pub reason: String,
}

/// The past of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct PointHistory {
    /// Device id, as in the question.
    pub device: Arc<str>,
    /// Point name, as in the question.
    pub point: Arc<str>,
    /// What was asked for.
    pub data: HistoryData,
    /// Samples that were due at the polling interval; all samples where the source is irregular.
    pub due: u64,
    /// Number of good samples in the period.
    pub good: u64,
    /// Whether something of this time is recorded and cannot be read.
    pub is_damaged: bool,
    /// SHA-256 over the lines `milliseconds value` of `data`, in hexadecimal: the same data give the same.
    pub hash: String,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryData {
    /// [`AskForm::Samples`], in order of recording.
    Samples(Vec<(UnixMillis, Sample)>),
    /// [`AskForm::Slots`], empty ones included.
    Slots(Vec<SlotFigures>),
    /// [`AskForm::Registers`], in order of recording.
    Registers(Vec<(UnixMillis, Decimal)>),
    /// [`AskForm::FirstLast`]; none: there was no good value.
    FirstLast(Option<FirstLast>),
}

/// The first and the last good value of a time.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstLast {
    /// Date and value of the first good sample; an exact register stays exact.
    pub first: (UnixMillis, Sample),
    /// Date and value of the last good sample; equal to `first` if there is only one.
    pub last: (UnixMillis, Sample),
}

/// Figures of an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotFigures {
    /// Start of the interval, inclusive.
    pub start: UnixMillis,
    /// Mean of the good values; none: there was none.
    pub mean: Option<f64>,
    /// The lowest good value, exact if all are.
    pub min: Option<Numeric>,
    /// The highest good value, exact if all are.
    pub max: Option<Numeric>,
    /// Number of good samples in the interval.
    pub good: u32,
    /// Samples that were due; all samples where the source is irregular.
    pub due: u32,
}
