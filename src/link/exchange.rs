//! One request and its outcome: the silence before it, the answer, and the state of the line after a failure.

use std::time::Duration;

use tokio_modbus::client::Client as _;
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::link::ambiguity::AmbiguityReason;
use crate::link::counters::add;
use crate::link::frame::{Field, Rejection};
use crate::link::guard::{ConnectionFailure, GuardHandle, GuardState, RequestFailure};
use crate::link::settings::LinkTransport;
use crate::link::{ExchangeError, LateAnswer, Link, LinkAnswer};
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange, RegisterType};

/// Wait after a frame of the right length with a wrong checksum: if no byte follows, nothing more is on its way.
const SPOILT_WAIT: Duration = Duration::from_millis(20);
/// Most requests that were given up and whose late answers are still recognised.
const TIMED_OUT_REQUESTS_MAX: usize = 16;
/// A surplus frame within this time after a request that was given up is its late answer, not a copy.
const LATE_WINDOW_US: u64 = 30_000_000;
/// An answer later than both this and four time-outs is not reported as late.
const LATE_REPORT_MAX_US: u64 = 3_000_000;
/// A line that carries bytes for longer than this, and than two time-outs, has no room for a request.
const BABBLE_US: u64 = 3_000_000;

impl Link {
    pub(super) async fn exchange(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, ExchangeError> {
        self.wait_for_silence(unit, span, pause_ms).await?;
        add(&self.counters.requests, 1);
        let sent_us = self.clock.mono_us();
        let Some(conn) = &mut self.conn else { return Err(ExchangeError::Cause(Cause::LinkDown)) };
        conn.context.set_slave(Slave(unit));
        let handle = conn.guard.clone();
        let may_be_late = self.timed_out_requests.back().is_some_and(|(_, _, sent)| sent_us < sent + LATE_WINDOW_US);
        let outcome = tokio::select! {
            biased;
            response = conn.context.call(request(span)) => ExchangeResult::Response(response),
            () = failed(&handle, may_be_late) => ExchangeResult::Failed,
            () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => ExchangeResult::TimedOut,
        };
        let at = self.clock.stamp();
        let now_us = self.clock.mono_us();
        self.idle_since_us = now_us;
        if !matches!(outcome, ExchangeResult::Response(Ok(_))) {
            handle.give_up();
        }
        let id = handle.transaction();
        let state = handle.take();
        if state.received_bytes > 0
            && let Some(conn) = &mut self.conn
        {
            conn.last_byte_us = now_us;
        }
        self.record_guard_state(&state, now_us);
        let sent = SentRequest { unit, span, timeout_ms, sent_us, now_us };
        match outcome {
            ExchangeResult::Response(Ok(Ok(response))) => match words_of(response, span) {
                Some(words) => {
                    let is_ambiguous = self.is_answer_ambiguous(&state, sent);
                    Ok(LinkAnswer { words, at, round_trip_us: now_us.saturating_sub(sent_us), is_ambiguous })
                }
                None => Err(self.unusable_answer(sent)),
            },
            ExchangeResult::Response(Ok(Err(exception))) => {
                self.count_answer();
                add(&self.counters.exceptions, 1);
                let reason = if self.is_ambiguous() { self.ambiguity.note_exception(unit, span, now_us) } else { None };
                if reason.is_some() {
                    // The next exchange drains the line before it repeats the request.
                    self.extend_silence(reason, sent);
                    return Err(ExchangeError::Ambiguous);
                }
                Err(ExchangeError::Cause(cause_of(exception)))
            }
            ExchangeResult::TimedOut => {
                add(&self.counters.timeouts, 1);
                self.timed_out_requests.push_back((id, unit, sent_us));
                if self.timed_out_requests.len() > TIMED_OUT_REQUESTS_MAX {
                    self.timed_out_requests.pop_front();
                }
                Err(self.timeout_error(&state, sent))
            }
            ExchangeResult::Response(Err(_)) | ExchangeResult::Failed => Err(self.failure_error(&state, sent)),
        }
    }

    /// Whether an answer that was received may belong to another request.
    fn is_answer_ambiguous(&mut self, state: &GuardState, sent: SentRequest) -> bool {
        self.count_answer();
        if !self.is_ambiguous() {
            return false;
        }
        let SentRequest { unit, span, sent_us, now_us, .. } = sent;
        let answer = (state.answer_crc, state.has_leading_bytes);
        let reason = self.ambiguity.note_answer((unit, span), answer, sent_us, now_us);
        let reason = reason.or(state.has_leading_frame.then_some(AmbiguityReason::Copy));
        self.extend_silence(reason, sent);
        reason.is_some()
    }

    /// Sets the silence that follows an ambiguous answer.
    fn extend_silence(&mut self, reason: Option<AmbiguityReason>, sent: SentRequest) {
        let settled_us = sent.now_us + self.ambiguity.settle_us(sent.unit);
        let until_us = match reason {
            // The real answer may still be on its way and must not be taken for the next one.
            Some(AmbiguityReason::Late) => settled_us.max(sent.sent_us + 2_000 * sent.timeout_ms),
            Some(AmbiguityReason::Copy) => settled_us,
            None => return,
        };
        self.silent_until_us = self.silent_until_us.max(until_us);
    }

    fn count_answer(&mut self) {
        add(&self.counters.answers, 1);
        self.conn.iter_mut().for_each(|c| c.answers += 1);
    }

    /// Keeps the line silent before a request: 3.5 characters between frames, the guard time after a time-out, the settle time where
    /// copies occur, the pause of the unit. Bytes received meanwhile are surplus and restart the silence.
    async fn wait_for_silence(&mut self, unit: u8, span: RegisterRange, pause_ms: u64) -> Result<(), ExchangeError> {
        let mut gap_us = match &self.settings.transport {
            LinkTransport::Serial(port) => port.silence_us().max(pause_ms * 1_000),
            LinkTransport::Tcp { .. } | LinkTransport::RtuOverTcp { .. } => pause_ms * 1_000,
        };
        let began_us = self.clock.mono_us().max(self.silent_until_us);
        if self.is_ambiguous() {
            if let Some(conn) = &self.conn {
                conn.guard.drain();
            }
            self.take_stray();
        }
        loop {
            let now_us = self.clock.mono_us();
            if self.is_ambiguous() && self.ambiguity.must_settle(unit, span, now_us) {
                gap_us = gap_us.max(self.ambiguity.settle_us(unit));
            }
            let wait_us = (self.idle_since_us + gap_us).max(self.silent_until_us).saturating_sub(now_us);
            if wait_us == 0 {
                return Ok(());
            }
            if now_us.saturating_sub(began_us) > BABBLE_US.max(2_000 * self.settings.timeout_ms) {
                return Err(ExchangeError::Cause(Cause::BadFrame));
            }
            if self.is_ambiguous() {
                self.listen(wait_us).await;
                if self.conn.as_ref().is_some_and(|c| c.guard.is_dead()) {
                    return Ok(()); // the exchange detects it
                }
            } else {
                self.wait(wait_us).await;
            }
        }
    }

    /// Waits between two cycles. After a request that was given up it listens meanwhile, so that a late answer is timed.
    pub async fn idle(&mut self, us: u64) {
        let until_us = self.clock.mono_us() + us;
        loop {
            let now_us = self.clock.mono_us();
            let remaining_us = until_us.saturating_sub(now_us);
            let may_be_late = self.timed_out_requests.back().is_some_and(|(_, _, sent)| now_us < sent + LATE_WINDOW_US);
            let is_alive = self.conn.as_ref().is_some_and(|c| !c.guard.is_dead());
            match (remaining_us, may_be_late && is_alive) {
                (0, _) => return,
                (_, true) => self.listen(remaining_us).await,
                (_, false) => return self.clock.sleep(Duration::from_micros(remaining_us)).await,
            }
        }
    }

    /// Waits until the time is over or something was received; what is received counts as surplus.
    async fn listen(&mut self, us: u64) {
        let Some(handle) = self.conn.as_ref().map(|c| c.guard.clone()) else { return self.wait(us).await };
        let has_received = tokio::select! {
            biased;
            () = handle.listen() => true,
            () = self.wait(us) => false,
        };
        if has_received {
            self.take_stray();
        }
    }

    /// Evaluates bytes received while no request was in flight: the line was not silent.
    fn take_stray(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        let state = conn.guard.take_stray();
        if state.stray_bytes == 0 && state.rejections.is_empty() {
            return;
        }
        let now_us = self.clock.mono_us();
        self.idle_since_us = now_us;
        if state.has_surplus {
            self.silent_until_us = self.silent_until_us.max(now_us + self.ambiguity.settle_max_us());
        }
        self.record_guard_state(&state, now_us);
    }

    async fn wait(&mut self, us: u64) {
        let real = self.clock.real(Duration::from_micros(us));
        if let Some(timer) = &mut self.timer
            && timer.wait_us(u64::try_from(real.as_micros()).unwrap_or(u64::MAX)).await.is_ok()
        {
            return;
        }
        tokio::time::sleep(real).await;
    }

    /// The result of a request that got no answer in time.
    fn timeout_error(&mut self, state: &GuardState, sent: SentRequest) -> ExchangeError {
        if !state.is_sent {
            // The peer accepts no bytes: half a request must not be followed by another.
            return ExchangeError::Closed;
        }
        if self.is_ambiguous() {
            self.start_guard_time(sent);
        }
        let is_foreign = |r: &(Rejection, u64)| r.0.field != Field::Transaction && r.0.field != Field::Unsolicited;
        if (self.is_rtu() && state.received_bytes > 0) || state.rejections.iter().any(is_foreign) {
            return ExchangeError::Cause(Cause::BadFrame);
        }
        ExchangeError::NoAnswer
    }

    /// The result of an unusable answer or a lost connection.
    fn failure_error(&mut self, state: &GuardState, sent: SentRequest) -> ExchangeError {
        match state.failure {
            Some(ConnectionFailure::Closed | ConnectionFailure::Failed) => return ExchangeError::Closed,
            Some(ConnectionFailure::Babble) => {
                self.close();
                self.can_reopen = !self.is_serial();
                return ExchangeError::Cause(Cause::BadFrame);
            }
            None => {}
        }
        if state.is_spoilt || state.is_wrong_length {
            // A complete frame: nothing else is on its way, unless this was a copy.
            self.ambiguity.note_spoilt(sent.unit, sent.span, sent.now_us);
            return ExchangeError::Cause(Cause::BadFrame);
        }
        self.unusable_answer(sent)
    }

    /// The answer may still come: no request is sent for one more time-out, and the next answer of its shape is read twice.
    fn start_guard_time(&mut self, sent: SentRequest) {
        self.silent_until_us = sent.now_us + sent.timeout_ms * 1_000;
        self.ambiguity.note_timeout(sent.unit, sent.span, sent.now_us);
    }

    fn unusable_answer(&mut self, sent: SentRequest) -> ExchangeError {
        if self.is_ambiguous() {
            self.start_guard_time(sent);
        }
        ExchangeError::Cause(Cause::BadFrame)
    }

    /// Counts what the guard saw, and recognises late answers.
    fn record_guard_state(&mut self, state: &GuardState, now_us: u64) {
        if state.has_surplus_frame && self.is_ambiguous() {
            let answers_late =
                self.timed_out_requests.back().is_some_and(|(_, _, sent)| now_us < sent + LATE_WINDOW_US);
            add(&self.counters.surplus, 1);
            // The late answer to a request that was given up is no copy.
            if !answers_late {
                self.ambiguity.note_surplus(now_us);
            }
        }
        self.counters.add_guard_counts(state);
        while self.timed_out_requests.front().is_some_and(|(_, _, sent)| now_us > sent + LATE_WINDOW_US) {
            self.timed_out_requests.pop_front();
        }
        for (rejection, at_us) in &state.rejections {
            let found = match rejection.field {
                Field::Transaction => self.timed_out_requests.iter().rposition(|g| g.0 == rejection.got),
                Field::Unsolicited if self.is_ambiguous() => {
                    self.timed_out_requests.iter().rposition(|g| u16::from(g.1) == rejection.got)
                }
                Field::Unsolicited => self.timed_out_requests.iter().rposition(|g| g.0 == rejection.expected),
                _ => None,
            };
            if let Some((_, unit, sent_us)) = found.and_then(|i| self.timed_out_requests.remove(i)) {
                let after_us = at_us.saturating_sub(sent_us);
                // Much later it is not a late answer, but one that carries the id of an earlier request.
                if after_us < LATE_REPORT_MAX_US.max(4_000 * self.settings.timeout_ms) {
                    self.late_answer = Some(LateAnswer { unit, after_us });
                }
            }
        }
    }
}

/// A request that was sent.
#[derive(Clone, Copy)]
struct SentRequest {
    unit: u8,
    span: RegisterRange,
    timeout_ms: u64,
    sent_us: u64,
    now_us: u64,
}

enum ExchangeResult {
    Response(tokio_modbus::Result<Response>),
    Failed,
    TimedOut,
}

/// Completes when the request in flight fails before its time-out. `may_be_late`: an earlier request was given up, and a frame of
/// another length may be its answer.
async fn failed(handle: &GuardHandle, may_be_late: bool) {
    loop {
        match handle.failed().await {
            RequestFailure::Final => return,
            RequestFailure::Spoilt { received, is_wrong_length: is_misfit } => {
                tokio::time::sleep(SPOILT_WAIT).await;
                if handle.received() == received && !(is_misfit && may_be_late) {
                    return;
                }
            }
        }
    }
}

fn request(span: RegisterRange) -> Request<'static> {
    match span.register_type {
        RegisterType::Coil => Request::ReadCoils(span.address, span.count),
        RegisterType::Discrete => Request::ReadDiscreteInputs(span.address, span.count),
        RegisterType::Holding => Request::ReadHoldingRegisters(span.address, span.count),
        RegisterType::Input => Request::ReadInputRegisters(span.address, span.count),
    }
}

/// The words of a response, if there are as many as requested.
fn words_of(response: Response, span: RegisterRange) -> Option<RegisterBlock> {
    let count = usize::from(span.count);
    let words = match response {
        Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) => {
            bits.into_iter().take(count).map(u16::from).collect()
        }
        Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => words,
        _ => return None,
    };
    (words.len() == count).then_some(RegisterBlock { range: span, words })
}

fn cause_of(exception: ExceptionCode) -> Cause {
    match exception {
        ExceptionCode::IllegalFunction => Cause::IllegalFunction,
        ExceptionCode::IllegalDataAddress => Cause::IllegalAddress,
        ExceptionCode::IllegalDataValue => Cause::IllegalValue,
        ExceptionCode::ServerDeviceFailure => Cause::DeviceFailure,
        ExceptionCode::Acknowledge | ExceptionCode::ServerDeviceBusy => Cause::Busy,
        ExceptionCode::GatewayPathUnavailable => Cause::GatewayNoPath,
        ExceptionCode::GatewayTargetDevice => Cause::GatewayNoAnswer,
        _ => Cause::OtherException,
    }
}
