//! Wires without transaction ids (RTU, or TCP with ids that the device ignores): which answers are ambiguous, and how that is settled.
//!
//! On such a wire an answer is recognised by its shape only: unit, function, number of data bytes. Three things can go wrong.
//! *Late*: a request timed out; its answer may arrive as the answer to the next request of its shape. So the line stays silent for
//! a guard time, and the next answer of that shape is ambiguous: its reader repeats the request until two answers agree.
//! *Copy*: a device answers twice. The second copy may arrive as the answer to the next request of its shape. So an answer equal to
//! that to another request of its shape, within the settle time of it, is ambiguous too: the line stays silent for the settle
//! time, and the request is repeated. After a surplus frame, for a minute all requests that share their shape wait for that
//! silence and are read twice.
//! *Echo*: bytes equal to the request ([`crate::link::frame::rtu`]).
//! A copy later than the settle time and an answer later than the guard time cannot be distinguished on such a wire.

use std::collections::BTreeMap;

use crate::model::registers::{RegisterRange, RegisterType};

/// How long a late answer is expected: no unit that is still usable answers later.
const LATE_WINDOW_US: u64 = 30_000_000;
/// How long a line counts as out of step after a surplus frame.
const OUT_OF_STEP_US: u64 = 60_000_000;
/// Shortest silence after which no copy of an answer is expected any more.
const SETTLE_MIN_US: u64 = 50_000;
/// Most requests that are remembered with their shapes.
const SHAPES_MAX: usize = 256;

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
struct TrackedRequest {
    unit: u8,
    span: RegisterRange,
    /// When it was answered; for one without an answer, until when the answer is expected.
    at_us: u64,
    /// CRC-32 of the last answer.
    answer_crc: Option<u32>,
}

/// Why an answer is not accepted before a second one agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmbiguityReason {
    /// It may be the late answer to an earlier request; the answer to this one is still on its way.
    Late,
    /// It may be a copy of the answer to another request.
    Copy,
}

/// What makes answers ambiguous on one link.
#[derive(Debug, Default)]
pub struct Ambiguity {
    /// Requests that timed out, and until when their answers are expected.
    timed_out: Vec<TrackedRequest>,
    /// Recent requests, one of each unit and range.
    recent_requests: Vec<TrackedRequest>,
    /// The last exception: unit, register type, time.
    exception: Option<(u8, RegisterType, u64)>,
    /// The last request with a spoilt answer: unit, range, time. The spoilt frame may have been a copy, with the answer still to come.
    spoilt: Option<(u8, RegisterRange, u64)>,
    out_of_step_until_us: u64,
    /// Longest recent round trip of each unit; decays by a sixteenth with each answer.
    round_trips_us: BTreeMap<u8, u64>,
    /// The request that was read last, so that a second read of it confirms the first.
    confirming: Option<(u8, RegisterRange)>,
}

impl Ambiguity {
    /// Silence after which no copy of an answer is expected any more: 1.5 times the longest recent round trip, 50 ms to 2 s.
    pub fn settle_us(&self, unit: u8) -> u64 {
        let round_trip_us = self.round_trips_us.get(&unit).copied().unwrap_or(0);
        (round_trip_us.saturating_mul(3) / 2).clamp(SETTLE_MIN_US, 2_000_000)
    }

    /// The longest settle time of all units, for frames of unknown origin.
    pub fn settle_max_us(&self) -> u64 {
        self.round_trips_us.keys().map(|unit| self.settle_us(*unit)).max().unwrap_or(SETTLE_MIN_US)
    }

    /// Records that a surplus frame was received.
    pub fn note_surplus(&mut self, now_us: u64) {
        self.out_of_step_until_us = now_us + OUT_OF_STEP_US;
    }

    /// Whether a request waits for the settle time: it shares its shape with another one and the line has shown surplus frames.
    pub fn must_settle(&self, unit: u8, span: RegisterRange, now_us: u64) -> bool {
        now_us < self.out_of_step_until_us && self.siblings(unit, span).next().is_some()
    }

    /// The requests of the same shape with another address.
    fn siblings(&self, unit: u8, span: RegisterRange) -> impl Iterator<Item = &TrackedRequest> {
        self.recent_requests.iter().filter(move |a| {
            a.unit == unit
                && a.span.register_type == span.register_type
                && same_length(a.span, span)
                && a.span.address != span.address
        })
    }

    /// Records the answer to a request that was sent at `sent_us`; returns why it is ambiguous, if it is.
    /// `has_leading_bytes`: another frame, or as many bytes, came before it.
    pub fn note_answer(
        &mut self,
        (unit, span): (u8, RegisterRange),
        (answer_crc, has_leading_bytes): (u32, bool),
        sent_us: u64,
        now_us: u64,
    ) -> Option<AmbiguityReason> {
        let (sum, settle_us) = (Some(answer_crc), self.settle_us(unit));
        let is_copy = self.siblings(unit, span).any(|a| a.answer_crc == sum && sent_us < a.at_us + settle_us);
        let peak_us = self.round_trips_us.entry(unit).or_insert(0);
        *peak_us = (now_us - sent_us).max(*peak_us - *peak_us / 16);
        match self.recent_requests.iter_mut().find(|a| a.unit == unit && a.span == span) {
            Some(recent) => (recent.at_us, recent.answer_crc) = (now_us, sum),
            None => {
                if self.recent_requests.len() >= SHAPES_MAX {
                    self.recent_requests.remove(0);
                }
                self.recent_requests.push(TrackedRequest { unit, span, at_us: now_us, answer_crc: sum });
            }
        }
        let is_late =
            self.matches_timed_out(unit, |s| s.register_type == span.register_type && same_length(*s, span), now_us);
        let is_second = self.confirming == Some((unit, span));
        self.confirming = Some((unit, span));
        if is_late {
            return Some(AmbiguityReason::Late);
        }
        let follows_spoilt = self.spoilt.take_if(|(u, s, at)| {
            *u == unit
                && s.register_type == span.register_type
                && same_length(*s, span)
                && s.address != span.address
                && now_us < *at + OUT_OF_STEP_US
        });
        let is_suspect =
            is_copy || has_leading_bytes || follows_spoilt.is_some() || self.must_settle(unit, span, now_us);
        (!is_second && is_suspect).then_some(AmbiguityReason::Copy)
    }

    /// Records that the answer to a request was spoilt.
    pub fn note_spoilt(&mut self, unit: u8, span: RegisterRange, now_us: u64) {
        self.spoilt = Some((unit, span, now_us));
        self.confirming = None;
    }

    /// Records an exception; returns why it is ambiguous, if it is.
    pub fn note_exception(&mut self, unit: u8, span: RegisterRange, now_us: u64) -> Option<AmbiguityReason> {
        let is_copy = self.exception.is_some_and(|(u, area, at)| {
            u == unit
                && area == span.register_type
                && now_us < at + self.settle_us(unit)
                && self.confirming != Some((unit, span))
        });
        self.exception = Some((unit, span.register_type, now_us));
        self.confirming = Some((unit, span));
        if self.matches_timed_out(unit, |s| s.register_type == span.register_type, now_us) {
            return Some(AmbiguityReason::Late);
        }
        is_copy.then_some(AmbiguityReason::Copy)
    }

    /// Records that a request timed out, or that two reads of it did not agree: the next answer of its shape is ambiguous.
    pub fn note_timeout(&mut self, unit: u8, span: RegisterRange, now_us: u64) {
        self.timed_out.retain(|a| a.at_us > now_us);
        self.timed_out.push(TrackedRequest { unit, span, at_us: now_us + LATE_WINDOW_US, answer_crc: None });
        self.confirming = None;
    }

    /// Whether an answer of this shape may be the late one to an earlier request. The matching requests are removed: one answer is
    /// suspected.
    fn matches_timed_out(&mut self, unit: u8, same: impl Fn(&RegisterRange) -> bool, now_us: u64) -> bool {
        self.timed_out.retain(|a| a.at_us > now_us);
        let before = self.timed_out.len();
        self.timed_out.retain(|a| a.unit != unit || !same(&a.span));
        self.timed_out.len() < before
    }
}

/// Whether two ranges of one register type are answered with the same number of bytes.
fn same_length(a: RegisterRange, b: RegisterRange) -> bool {
    if a.register_type.is_bits() { a.count.div_ceil(8) == b.count.div_ceil(8) } else { a.count == b.count }
}
