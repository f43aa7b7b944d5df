//! What a wire without transaction ids (RTU, or TCP with ids that the device ignores) cannot tell apart, and how it is told apart
//! all the same.
//!
//! There an answer is known only by its shape: unit, function, number of data bytes. Three things can go wrong.
//! *Late*: a request got no answer in time; its answer may come as the answer to the next request of its shape. So the line is
//! silent for a guard time, and the next answer of that shape is `unsure`: its reader asks until two agree.
//! *Copy*: a device answers twice. The second copy may come as the answer to the next request of its shape. So an answer that is the
//! same as the one to another request of its shape, within the settle time of it, is `unsure` too: the line is silent for the settle
//! time, and it is asked again. Once a surplus frame was seen, for a minute all requests that share their shape wait for that
//! silence and are read twice.
//! *Echo*: bytes equal to the request ([`crate::link::frame::rtu`]).
//! A copy that comes later than the settle time, and an answer later than the guard time, cannot be told apart on such a wire.

use std::collections::BTreeMap;

use crate::model::registers::{RegisterRange, RegisterType};

/// How long a late answer is reckoned with: no unit that is still of use answers later.
const SUSPECT_US: u64 = 30_000_000;
/// How long a line on which a surplus frame was seen is treated as one that gives more.
const OUT_OF_STEP_US: u64 = 60_000_000;
/// Least silence after which no copy of an answer is reckoned with any more.
const SETTLE_MIN_US: u64 = 50_000;
/// Requests whose shapes are remembered.
const SHAPES_MAX: usize = 256;

/// A request that was made.
#[derive(Clone, Copy, Debug)]
struct Asked {
    unit: u8,
    span: RegisterRange,
    at_us: u64,
    /// A sum over the bytes of the last answer.
    sum: Option<u32>,
}

/// Why an answer is not believed before a second one agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It may be the late answer to an earlier request: ours is still on its way.
    Late,
    /// It may be a copy of the answer to another request.
    Copy,
}

/// What is in doubt on one link.
#[derive(Debug, Default)]
pub struct Ambiguity {
    /// Requests that got no answer in time, and until when their answers are reckoned with.
    unanswered: Vec<Asked>,
    /// The requests of late, one of each unit and span.
    asked: Vec<Asked>,
    /// The last exception: unit, area, when.
    exception: Option<(u8, RegisterType, u64)>,
    /// The last request whose answer was spoilt: unit, span, when. What was spoilt may have been a copy, and the answer be on its way.
    spoilt: Option<(u8, RegisterRange, u64)>,
    out_of_step_until_us: u64,
    /// The longest round trip of late of each unit; fades by a sixteenth an answer.
    round_trips_us: BTreeMap<u8, u64>,
    /// The request that was just read, so that the second read of it confirms the first.
    confirming: Option<(u8, RegisterRange)>,
}

impl Ambiguity {
    /// Silence after which no copy of an answer is reckoned with any more.
    pub fn settle_us(&self, unit: u8) -> u64 {
        let round_trip_us = self.round_trips_us.get(&unit).copied().unwrap_or(0);
        (round_trip_us.saturating_mul(3) / 2).clamp(SETTLE_MIN_US, 2_000_000)
    }

    /// The same for whatever unit a frame may come from.
    pub fn settle_most_us(&self) -> u64 {
        self.round_trips_us.keys().map(|unit| self.settle_us(*unit)).max().unwrap_or(SETTLE_MIN_US)
    }

    /// A surplus frame was seen.
    pub fn note_surplus(&mut self, now_us: u64) {
        self.out_of_step_until_us = now_us + OUT_OF_STEP_US;
    }

    /// Whether a request shares its shape with another one and the line has shown surplus frames: it waits for the settle time.
    pub fn must_settle(&self, unit: u8, span: RegisterRange, now_us: u64) -> bool {
        now_us < self.out_of_step_until_us && self.siblings(unit, span).next().is_some()
    }

    /// The requests of the same shape with another address.
    fn siblings(&self, unit: u8, span: RegisterRange) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(move |a| {
            a.unit == unit && a.span.area == span.area && same_length(a.span, span) && a.span.address != span.address
        })
    }

    /// An answer came to a request that went out at `sent_us`. Whether it is in doubt.
    /// `is_behind`: another frame, or as many bytes, came before it.
    pub fn answered(
        &mut self,
        (unit, span): (u8, RegisterRange),
        (sum, is_behind): (u32, bool),
        sent_us: u64,
        now_us: u64,
    ) -> Option<Doubt> {
        let (sum, settle_us) = (Some(sum), self.settle_us(unit));
        let is_copy = self.siblings(unit, span).any(|a| a.sum == sum && sent_us < a.at_us + settle_us);
        let peak_us = self.round_trips_us.entry(unit).or_insert(0);
        *peak_us = (now_us - sent_us).max(*peak_us - *peak_us / 16);
        match self.asked.iter_mut().find(|a| a.unit == unit && a.span == span) {
            Some(asked) => (asked.at_us, asked.sum) = (now_us, sum),
            None => {
                if self.asked.len() >= SHAPES_MAX {
                    self.asked.remove(0);
                }
                self.asked.push(Asked { unit, span, at_us: now_us, sum });
            }
        }
        let is_late = self.was_unanswered(unit, |s| s.area == span.area && same_length(*s, span), now_us);
        let is_second = self.confirming == Some((unit, span));
        self.confirming = Some((unit, span));
        if is_late {
            return Some(Doubt::Late);
        }
        let is_behind_spoilt = self.spoilt.take_if(|(u, s, at)| {
            *u == unit
                && s.area == span.area
                && same_length(*s, span)
                && s.address != span.address
                && now_us < *at + OUT_OF_STEP_US
        });
        let is_doubtful = is_copy || is_behind || is_behind_spoilt.is_some() || self.must_settle(unit, span, now_us);
        (!is_second && is_doubtful).then_some(Doubt::Copy)
    }

    /// The answer to a request was spoilt.
    pub fn note_spoilt(&mut self, unit: u8, span: RegisterRange, now_us: u64) {
        self.spoilt = Some((unit, span, now_us));
        self.confirming = None;
    }

    /// An exception came. Whether it is in doubt.
    pub fn refused(&mut self, unit: u8, span: RegisterRange, now_us: u64) -> Option<Doubt> {
        let is_copy = self.exception.is_some_and(|(u, area, at)| {
            u == unit
                && area == span.area
                && now_us < at + self.settle_us(unit)
                && self.confirming != Some((unit, span))
        });
        self.exception = Some((unit, span.area, now_us));
        self.confirming = Some((unit, span));
        if self.was_unanswered(unit, |s| s.area == span.area, now_us) {
            return Some(Doubt::Late);
        }
        is_copy.then_some(Doubt::Copy)
    }

    /// A request got no answer in time, or two reads of it did not agree: the next answer of its shape is unsure.
    pub fn unanswered(&mut self, unit: u8, span: RegisterRange, now_us: u64) {
        self.unanswered.retain(|a| a.at_us > now_us);
        self.unanswered.push(Asked { unit, span, at_us: now_us + SUSPECT_US, sum: None });
        self.confirming = None;
    }

    /// Whether an answer of this shape may be the late one to an earlier request; it is under suspicion once.
    fn was_unanswered(&mut self, unit: u8, same: impl Fn(&RegisterRange) -> bool, now_us: u64) -> bool {
        self.unanswered.retain(|a| a.at_us > now_us);
        let before = self.unanswered.len();
        self.unanswered.retain(|a| a.unit != unit || !same(&a.span));
        self.unanswered.len() < before
    }
}

/// Whether two spans of one area are answered with the same number of bytes.
fn same_length(a: RegisterRange, b: RegisterRange) -> bool {
    if a.area.is_bits() { a.count.div_ceil(8) == b.count.div_ceil(8) } else { a.count == b.count }
}
