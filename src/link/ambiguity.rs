//! What a wire without transaction ids (RTU, or TCP with ids that the device ignores) cannot tell apart, and how it is told apart
//! all the same.
//!
//! There an answer is known only by its shape: unit, function, number of data bytes. Three things can go wrong.
//! *Late*: a request got no answer in time; its answer may come as the answer to the next request of its shape. So the line is
//! silent for a guard time, and the next answer of that shape is `unsure`: its reader asks until two agree.
//! *Surplus*: a device answers twice. The second copy may come as the answer to the next request of its shape. So an answer to a
//! request that followed one of its shape within the settle time is `provisional`: it holds when the line has been silent for the
//! settle time afterwards. Once a surplus frame was seen, for ten minutes requests that share their shape wait for that silence
//! and are read twice.
//! *Echo*: bytes equal to the request ([`crate::link::frame::rtu`]).
//! A copy that comes later than the settle time, and an answer later than the guard time, cannot be told apart on such a wire.

use crate::model::registers::{Area, Span};

/// How long a late answer is reckoned with: no unit that is still of use answers later.
const SUSPECT_US: u64 = 30_000_000;
/// How long a line on which a surplus frame was seen is treated as one that gives more.
const OUT_OF_STEP_US: u64 = 600_000_000;
/// Least silence after which no copy of an answer is reckoned with any more.
const SETTLE_MIN_US: u64 = 50_000;
/// Requests whose shapes are remembered.
const SHAPES_MAX: usize = 256;

/// A request that was made.
#[derive(Clone, Copy, Debug)]
struct Asked {
    unit: u8,
    span: Span,
    at_us: u64,
}

/// What is in doubt on one link.
#[derive(Debug, Default)]
pub struct Ambiguity {
    /// Requests that got no answer in time, and until when their answers are reckoned with.
    unanswered: Vec<Asked>,
    /// The requests of late, one of each unit and span.
    asked: Vec<Asked>,
    /// The last exception: unit, area, when.
    exception: Option<(u8, Area, u64)>,
    out_of_step_until_us: u64,
    /// The longest round trip of late; fades by a sixteenth an answer.
    round_trip_us: u64,
    /// The request that was just read, so that the second read of it confirms the first.
    confirming: Option<(u8, Span)>,
    surplus: u64,
}

impl Ambiguity {
    /// Silence after which no copy of an answer is reckoned with any more.
    pub fn settle_us(&self) -> u64 {
        (self.round_trip_us.saturating_mul(3) / 2).clamp(SETTLE_MIN_US, 2_000_000)
    }

    /// Surplus frames seen so far: a mark to compare with.
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    /// A surplus frame was seen.
    pub fn note_surplus(&mut self, now_us: u64) {
        self.surplus += 1;
        self.out_of_step_until_us = now_us + OUT_OF_STEP_US;
    }

    /// Whether a request shares its shape with another one and the line has shown surplus frames: it waits for the settle time.
    pub fn must_settle(&self, unit: u8, span: Span, now_us: u64) -> bool {
        now_us < self.out_of_step_until_us && self.sibling(unit, span).is_some()
    }

    /// The last request of the same shape with another address.
    fn sibling(&self, unit: u8, span: Span) -> Option<&Asked> {
        let same = |a: &&Asked| {
            a.unit == unit && a.span.area == span.area && same_length(a.span, span) && a.span.address != span.address
        };
        self.asked.iter().filter(same).max_by_key(|a| a.at_us)
    }

    /// A request goes out. Whether its answer is provisional.
    pub fn ask(&mut self, unit: u8, span: Span, now_us: u64) -> bool {
        let provisional = self.sibling(unit, span).is_some_and(|a| now_us < a.at_us + self.settle_us());
        self.touch(unit, span, now_us);
        provisional
    }

    /// The line was last used for this request at this moment.
    fn touch(&mut self, unit: u8, span: Span, now_us: u64) {
        match self.asked.iter_mut().find(|a| a.unit == unit && a.span == span) {
            Some(asked) => asked.at_us = now_us,
            None => {
                if self.asked.len() >= SHAPES_MAX {
                    self.asked.remove(0);
                }
                self.asked.push(Asked { unit, span, at_us: now_us });
            }
        }
    }

    /// An answer came. Whether it is unsure: it may be the late answer to an earlier request, or copies are about.
    pub fn answered(&mut self, unit: u8, span: Span, round_trip_us: u64, now_us: u64) -> bool {
        self.touch(unit, span, now_us);
        self.round_trip_us = round_trip_us.max(self.round_trip_us - self.round_trip_us / 16);
        let late = self.was_unanswered(unit, |s| s.area == span.area && same_length(*s, span), now_us);
        let is_second = self.confirming == Some((unit, span));
        self.confirming = Some((unit, span));
        late || (self.must_settle(unit, span, now_us) && !is_second)
    }

    /// An exception came. Whether it is unsure.
    pub fn refused(&mut self, unit: u8, span: Span, now_us: u64) -> bool {
        let copy = self.exception.is_some_and(|(u, area, at)| {
            u == unit && area == span.area && now_us < at + self.settle_us() && self.confirming != Some((unit, span))
        });
        self.exception = Some((unit, span.area, now_us));
        self.confirming = Some((unit, span));
        self.was_unanswered(unit, |s| s.area == span.area, now_us) || copy
    }

    /// A request got no answer in time, or two reads of it did not agree: the next answer of its shape is unsure.
    pub fn unanswered(&mut self, unit: u8, span: Span, now_us: u64) {
        self.unanswered.retain(|a| a.at_us > now_us);
        self.unanswered.push(Asked { unit, span, at_us: now_us + SUSPECT_US });
        self.confirming = None;
    }

    /// Whether an answer of this shape may be the late one to an earlier request; it is under suspicion once.
    fn was_unanswered(&mut self, unit: u8, same: impl Fn(&Span) -> bool, now_us: u64) -> bool {
        self.unanswered.retain(|a| a.at_us > now_us);
        let before = self.unanswered.len();
        self.unanswered.retain(|a| a.unit != unit || !same(&a.span));
        self.unanswered.len() < before
    }
}

/// Whether two spans of one area are answered with the same number of bytes.
fn same_length(a: Span, b: Span) -> bool {
    if a.area.is_bits() { a.count.div_ceil(8) == b.count.div_ceil(8) } else { a.count == b.count }
}
