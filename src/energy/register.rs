//! One register: its readings become spans, marks and events.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::energy::span::{Link, Mark, RegisterEvent, RegisterEventKind, Span, SpanState};
use crate::model::counter::{Counter, CounterStep, RegisterLimits};
use crate::model::metering::RegisterReading;
use crate::model::quality::Cause;
use crate::model::time::UnixMillis;

/// A reading this close to a boundary stands for it.
pub const NEAR_MS: i64 = 30_000;
/// A register that has read nothing but 0 for so long stands at 0: a device that starts shows its register earlier.
const PROVEN_ZERO_MS: i64 = 3_600_000;
/// Readings dated before the last one by at most this are passed over; beyond it the date was corrected.
const CLOCK_STEP_MS: i64 = 60_000;

/// A span that readings are still added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OpenSpan {
    span: Span,
    /// Date of its last mark.
    marked: Option<UnixMillis>,
}

/// What a register is known to be, as the readings so far show. Persisted with the position up to which they were read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Register {
    counter: Counter,
    current: Option<OpenSpan>,
    pending: Option<OpenSpan>,
    /// The span that was given up for the current one, as long as it may come back.
    replaced: Option<OpenSpan>,
    /// Zeroes before the first reading that is believed: the first and the last of them.
    zeroes: Option<(UnixMillis, UnixMillis)>,
    spans: u32,
}

/// What a reading changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New marks.
    pub marks: Vec<Mark>,
    /// Spans that ended, were accepted or withdrawn; those that are open are in [`Register::open_spans`].
    pub spans: Vec<Span>,
    /// What happened.
    pub events: Vec<RegisterEvent>,
}

impl Register {
    /// Takes in the next reading. `grid_ms`: the grid of marks, from 1970 UTC.
    pub fn step(&mut self, reading: RegisterReading, limits: &RegisterLimits, grid_ms: i64, out: &mut Changes) {
        if let Some(newest) = self.newest_date().filter(|newest| reading.at <= *newest) {
            if newest.0 - reading.at.0 <= CLOCK_STEP_MS {
                return;
            }
            self.date_went_back(reading, limits, out);
            return;
        }
        let doubt_began = self.counter.doubt_began_ms();
        match self.counter.step(reading.value, reading.at.0, limits) {
            CounterStep::Began if self.current.is_none() => self.begin(reading, Link::First),
            // It stood at 0 and shows more than it can have counted since.
            CounterStep::Began => {
                self.end_current(RegisterEventKind::Replaced, reading, out);
                self.begin(reading, Link::Unexplained { cause: Cause::CounterZero });
            }
            CounterStep::Counted(_) => {
                self.withdraw_pending(reading, out);
                if self.current.is_none() {
                    // A new meter: it counted from 0.
                    let at = self.zeroes.map_or(reading.at, |(_, last)| last);
                    self.begin(RegisterReading { at, value: Decimal::ZERO }, Link::First);
                }
                self.extend_current(reading.at, grid_ms, out);
            }
            CounterStep::RolledOver(counted) => {
                self.withdraw_pending(reading, out);
                self.end_current(RegisterEventKind::RolledOver, reading, out);
                self.begin(reading, Link::RollOver { counted });
            }
            CounterStep::InDoubt(cause) => {
                let is_new = self.counter.doubt_began_ms() != doubt_began;
                self.doubt(reading, cause, is_new, grid_ms, out);
            }
            CounterStep::Replaced(_) => self.accept_pending(reading, grid_ms, out),
            CounterStep::Returned(_) => self.take_back(reading, grid_ms, out),
        }
    }

    /// Open spans as they stand: the one that counts, one in doubt, one that was given up and may return.
    pub fn open_spans(&self) -> impl Iterator<Item = Span> + '_ {
        [&self.replaced, &self.current, &self.pending].into_iter().flatten().map(|open| open.span)
    }

    fn newest_date(&self) -> Option<UnixMillis> {
        let dates = [&self.current, &self.pending].into_iter().flatten().map(|open| open.span.last.at);
        dates.chain(self.zeroes.map(|(_, last)| last)).max()
    }

    fn new_span(&mut self, first: RegisterReading, link: Link, state: SpanState) -> OpenSpan {
        self.spans += 1;
        OpenSpan { span: Span { number: self.spans, state, link, first, last: first }, marked: None }
    }

    fn begin(&mut self, first: RegisterReading, link: Link) {
        self.current = Some(self.new_span(first, link, SpanState::Accepted));
        self.zeroes = None;
    }

    fn extend_current(&mut self, at: UnixMillis, grid_ms: i64, out: &mut Changes) {
        if let (Some(open), Some(value)) = (&mut self.current, self.counter.accepted()) {
            open.extend(RegisterReading { at, value }, grid_ms, out);
        }
    }

    /// Ends the span that counts; the next one begins with `reading`.
    fn end_current(&mut self, kind: RegisterEventKind, reading: RegisterReading, out: &mut Changes) {
        let ended = self.current.take();
        out.spans.extend(ended.map(|open| open.span));
        let before = ended.map(|open| open.span.last);
        out.events.push(RegisterEvent { kind, span: self.spans + 1, before, reading });
        // What was given up before cannot be told apart from this one any more.
        out.spans.extend(self.replaced.take().map(|open| open.span));
    }

    fn withdraw_pending(&mut self, reading: RegisterReading, out: &mut Changes) {
        if let Some(open) = self.pending.take() {
            out.spans.push(Span { state: SpanState::Withdrawn, ..open.span });
            let before = self.current.map(|current| current.span.last);
            let kind = RegisterEventKind::PendingWithdrawn;
            out.events.push(RegisterEvent { kind, span: open.span.number, before, reading });
        }
    }

    fn doubt(&mut self, reading: RegisterReading, cause: Cause, is_new: bool, grid_ms: i64, out: &mut Changes) {
        if self.counter.accepted().is_none() {
            self.stand_at_zero(reading, grid_ms, out);
            return;
        }
        match &mut self.pending {
            Some(open) if !is_new => open.extend(reading, grid_ms, out),
            _ => {
                self.withdraw_pending(reading, out);
                let open = self.new_span(reading, Link::Unexplained { cause }, SpanState::Pending);
                let before = self.current.map(|current| current.span.last);
                let kind = RegisterEventKind::PendingBegan;
                out.events.push(RegisterEvent { kind, span: open.span.number, before, reading });
                self.pending = Some(open);
            }
        }
    }

    /// A 0 before any other reading: passed over at first, then taken for what the register shows.
    fn stand_at_zero(&mut self, reading: RegisterReading, grid_ms: i64, out: &mut Changes) {
        let (first, _) = *self.zeroes.get_or_insert((reading.at, reading.at));
        self.zeroes = Some((first, reading.at));
        if self.current.is_none() && reading.at.0 - first.0 >= PROVEN_ZERO_MS {
            self.current =
                Some(self.new_span(RegisterReading { at: first, ..reading }, Link::First, SpanState::Accepted));
        }
        if let Some(open) = &mut self.current {
            open.extend(reading, grid_ms, out);
        }
    }

    /// The readings in doubt are a register of their own.
    fn accept_pending(&mut self, reading: RegisterReading, grid_ms: i64, out: &mut Changes) {
        let Some(mut open) = self.pending.take() else { return };
        open.extend(reading, grid_ms, out);
        open.span.state = SpanState::Accepted;
        out.spans.extend(self.replaced.take().map(|open| open.span));
        let before = self.current.map(|current| current.span.last);
        let kind = RegisterEventKind::Replaced;
        out.events.push(RegisterEvent { kind, span: open.span.number, before, reading });
        self.replaced = self.current.take();
        self.current = Some(open);
    }

    /// The register that was given up is back: what counted since then was not it.
    fn take_back(&mut self, reading: RegisterReading, grid_ms: i64, out: &mut Changes) {
        self.withdraw_pending(reading, out);
        let Some(old) = self.replaced.take() else {
            // It cannot be gone on with: a roll-over or a corrected date lies between.
            let link = Link::Unexplained { cause: Cause::CounterJump };
            self.end_current(RegisterEventKind::Replaced, reading, out);
            self.begin(reading, link);
            return;
        };
        if let Some(open) = self.current.replace(old) {
            out.spans.push(Span { state: SpanState::Withdrawn, ..open.span });
            let (kind, span) = (RegisterEventKind::Returned, open.span.number);
            out.events.push(RegisterEvent { kind, span, before: Some(old.span.last), reading });
        }
        self.extend_current(reading.at, grid_ms, out);
    }

    /// A new span begins under the corrected date; what counted meanwhile is known, if the register is believed.
    fn date_went_back(&mut self, reading: RegisterReading, limits: &RegisterLimits, out: &mut Changes) {
        self.withdraw_pending(reading, out);
        let last = self.current.map(|open| open.span.last);
        self.counter.redate(reading.at.0);
        let believed = self.counter.accepted().map(|_| self.counter.step(reading.value, reading.at.0, limits));
        let link = match (last, believed) {
            (Some(last), Some(CounterStep::Counted(_))) => {
                Link::ClockStep { counted: (reading.value - last.value).max(Decimal::ZERO) }
            }
            (_, Some(CounterStep::RolledOver(counted))) => Link::RollOver { counted },
            // A register that stands at 0 goes on doing so.
            (Some(_), None) if reading.value.is_zero() => Link::ClockStep { counted: Decimal::ZERO },
            // Under its new date it cannot be told from another one.
            _ => {
                self.counter = Counter::default();
                let is_zero = self.counter.step(reading.value, reading.at.0, limits) != CounterStep::Began;
                self.end_current(RegisterEventKind::ClockStep, reading, out);
                if is_zero {
                    self.zeroes = Some((reading.at, reading.at));
                } else {
                    self.begin(reading, Link::Unexplained { cause: Cause::CounterJump });
                }
                return;
            }
        };
        self.end_current(RegisterEventKind::ClockStep, reading, out);
        let value = self.counter.accepted().unwrap_or(reading.value);
        self.begin(RegisterReading { value, ..reading }, link);
        if self.counter.accepted().is_none() {
            self.zeroes = Some((reading.at, reading.at));
        }
    }
}

impl OpenSpan {
    /// Adds a reading; keeps the nearest to a boundary of the grid between it and the one before, or both around it.
    fn extend(&mut self, reading: RegisterReading, grid_ms: i64, out: &mut Changes) {
        let before = self.span.last;
        let first = (before.at.0.div_euclid(grid_ms) + 1) * grid_ms;
        let last = reading.at.0.div_euclid(grid_ms) * grid_ms;
        if first <= last {
            let (to_first, from_last) = (first - before.at.0, reading.at.0 - last);
            let is_near = first == last && to_first.min(from_last) <= NEAR_MS;
            if !is_near || to_first <= from_last {
                self.mark(before, out);
            }
            if !is_near || from_last < to_first {
                self.mark(reading, out);
            }
        }
        self.span.last = reading;
    }

    fn mark(&mut self, reading: RegisterReading, out: &mut Changes) {
        if self.marked != Some(reading.at) {
            self.marked = Some(reading.at);
            out.marks.push(Mark { span: self.span.number, reading });
        }
    }
}
