//! One request and its outcome: the silence before it, the answer, and the state of the line after a failure.

use std::time::Duration;

use tokio_modbus::client::Client as _;
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::link::ambiguity::Doubt;
use crate::link::counters::add;
use crate::link::frame::{Field, Rejection};
use crate::link::guard::{Death, Ear, GuardState, LinkFailure};
use crate::link::settings::LinkTransport;
use crate::link::{Late, Link, LinkAnswer, Miss};
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange, RegisterType};

/// Wait after a frame of the right length with a wrong checksum: if no byte follows, nothing more is on its way.
const SPOILT: Duration = Duration::from_millis(20);
/// Most requests that were given up and whose late answers are still recognised.
const GIVEN_UP: usize = 16;
/// A surplus frame within this time after a request that was given up is its late answer, not a copy.
const LATE_US: u64 = 30_000_000;
/// An answer later than both this and four time-outs is not reported as late.
const LATE_SAID_US: u64 = 3_000_000;
/// A line that carries bytes for longer than this, and than two time-outs, has no room for a request.
const BABBLE_US: u64 = 3_000_000;

impl Link {
    pub(super) async fn exchange(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, Miss> {
        self.silence(unit, span, pause_ms).await?;
        add(&self.counters.requests, 1);
        let sent_us = self.clock.mono_us();
        let Some(conn) = &mut self.conn else { return Err(Miss::Cause(Cause::LinkDown)) };
        conn.context.set_slave(Slave(unit));
        let ear = conn.ear.clone();
        let may_be_late = self.given_up.back().is_some_and(|(_, _, sent)| sent_us < sent + LATE_US);
        let said = tokio::select! {
            biased;
            said = conn.context.call(request(span)) => ExchangeResult::Result(said),
            () = failed(&ear, may_be_late) => ExchangeResult::Failed,
            () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => ExchangeResult::Nothing,
        };
        let at = self.clock.stamp();
        let now_us = self.clock.mono_us();
        self.quiet_since_us = now_us;
        if !matches!(said, ExchangeResult::Result(Ok(_))) {
            ear.give_up();
        }
        let id = ear.transaction();
        let state = ear.take();
        if state.received > 0
            && let Some(conn) = &mut self.conn
        {
            conn.heard_us = now_us;
        }
        self.note(&state, now_us);
        let asked = Asked { unit, span, timeout_ms, sent_us, now_us };
        match said {
            ExchangeResult::Result(Ok(Ok(response))) => match words_of(response, span) {
                Some(words) => {
                    let unsure = self.is_unsure(&state, asked);
                    Ok(LinkAnswer { words, at, round_trip_us: now_us.saturating_sub(sent_us), is_ambiguous: unsure })
                }
                None => Err(self.unusable(asked)),
            },
            ExchangeResult::Result(Ok(Err(exception))) => {
                self.note_answer();
                add(&self.counters.exceptions, 1);
                let doubt = if self.is_ambiguous() { self.ambiguity.refused(unit, span, now_us) } else { None };
                if doubt.is_some() {
                    // The next exchange drains the line before it repeats the request.
                    self.be_silent(doubt, asked);
                    return Err(Miss::Unsure);
                }
                Err(Miss::Cause(cause_of(exception)))
            }
            ExchangeResult::Nothing => {
                add(&self.counters.timeouts, 1);
                self.given_up.push_back((id, unit, sent_us));
                if self.given_up.len() > GIVEN_UP {
                    self.given_up.pop_front();
                }
                Err(self.nothing(&state, asked))
            }
            ExchangeResult::Result(Err(_)) | ExchangeResult::Failed => Err(self.broken(&state, asked)),
        }
    }

    /// Whether an answer that was received may belong to another request.
    fn is_unsure(&mut self, state: &GuardState, asked: Asked) -> bool {
        self.note_answer();
        if !self.is_ambiguous() {
            return false;
        }
        let Asked { unit, span, sent_us, now_us, .. } = asked;
        let what = (state.answer_sum, state.is_behind);
        let doubt = self.ambiguity.answered((unit, span), what, sent_us, now_us);
        let doubt = doubt.or(state.is_behind_frame.then_some(Doubt::Copy));
        self.be_silent(doubt, asked);
        doubt.is_some()
    }

    /// Sets the silence that follows an ambiguous answer.
    fn be_silent(&mut self, doubt: Option<Doubt>, asked: Asked) {
        let settled_us = asked.now_us + self.ambiguity.settle_us(asked.unit);
        let until_us = match doubt {
            // The real answer may still be on its way and must not be taken for the next one.
            Some(Doubt::Late) => settled_us.max(asked.sent_us + 2_000 * asked.timeout_ms),
            Some(Doubt::Copy) => settled_us,
            None => return,
        };
        self.guard_until_us = self.guard_until_us.max(until_us);
    }

    fn note_answer(&mut self) {
        add(&self.counters.answers, 1);
        self.conn.iter_mut().for_each(|c| c.answers += 1);
    }

    /// Keeps the line silent before a request: 3.5 characters between frames, the guard time after a time-out, the settle time where
    /// copies occur, the pause of the unit. Bytes received meanwhile are surplus and restart the silence.
    async fn silence(&mut self, unit: u8, span: RegisterRange, pause_ms: u64) -> Result<(), Miss> {
        let mut gap_us = match &self.settings.transport {
            LinkTransport::Serial(port) => port.silence_us().max(pause_ms * 1_000),
            LinkTransport::Tcp { .. } | LinkTransport::RtuOverTcp { .. } => pause_ms * 1_000,
        };
        let began_us = self.clock.mono_us().max(self.guard_until_us);
        if self.is_ambiguous() {
            if let Some(conn) = &self.conn {
                conn.ear.drain();
            }
            self.take_stray();
        }
        loop {
            let now_us = self.clock.mono_us();
            if self.is_ambiguous() && self.ambiguity.must_settle(unit, span, now_us) {
                gap_us = gap_us.max(self.ambiguity.settle_us(unit));
            }
            let wait_us = (self.quiet_since_us + gap_us).max(self.guard_until_us).saturating_sub(now_us);
            if wait_us == 0 {
                return Ok(());
            }
            if now_us.saturating_sub(began_us) > BABBLE_US.max(2_000 * self.settings.timeout_ms) {
                return Err(Miss::Cause(Cause::BadFrame));
            }
            if self.is_ambiguous() {
                self.listen(wait_us).await;
                if self.conn.as_ref().is_some_and(|c| c.ear.is_dead()) {
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
            let rest_us = until_us.saturating_sub(now_us);
            let may_be_late = self.given_up.back().is_some_and(|(_, _, sent)| now_us < sent + LATE_US);
            let is_alive = self.conn.as_ref().is_some_and(|c| !c.ear.is_dead());
            match (rest_us, may_be_late && is_alive) {
                (0, _) => return,
                (_, true) => self.listen(rest_us).await,
                (_, false) => return tokio::time::sleep(Duration::from_micros(rest_us)).await,
            }
        }
    }

    /// Waits until the time is over or something was received; what is received counts as surplus.
    async fn listen(&mut self, us: u64) {
        let Some(ear) = self.conn.as_ref().map(|c| c.ear.clone()) else { return self.wait(us).await };
        let came = tokio::select! {
            biased;
            () = ear.hear() => true,
            () = self.wait(us) => false,
        };
        if came {
            self.take_stray();
        }
    }

    /// Evaluates bytes received while no request was in flight: the line was not silent.
    fn take_stray(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        let state = conn.ear.take_stray();
        if state.stray == 0 && state.rejections.is_empty() {
            return;
        }
        let now_us = self.clock.mono_us();
        self.quiet_since_us = now_us;
        if state.surplus {
            self.guard_until_us = self.guard_until_us.max(now_us + self.ambiguity.settle_most_us());
        }
        self.note(&state, now_us);
    }

    async fn wait(&mut self, us: u64) {
        match &mut self.timer {
            Some(timer) => {
                if timer.wait_us(us).await.is_err() {
                    tokio::time::sleep(Duration::from_micros(us)).await;
                }
            }
            None => tokio::time::sleep(Duration::from_micros(us)).await,
        }
    }

    /// The result of a request that got no answer in time.
    fn nothing(&mut self, state: &GuardState, asked: Asked) -> Miss {
        if !state.sent {
            // The peer accepts no bytes: half a request must not be followed by another.
            return Miss::Closed;
        }
        if self.is_ambiguous() {
            self.keep_silent_for(asked);
        }
        let is_foreign = |r: &(Rejection, u64)| r.0.field != Field::Transaction && r.0.field != Field::Unasked;
        if (self.is_rtu() && state.received > 0) || state.rejections.iter().any(is_foreign) {
            return Miss::Cause(Cause::BadFrame);
        }
        Miss::Silent
    }

    /// The result of an unusable answer or a lost connection.
    fn broken(&mut self, state: &GuardState, asked: Asked) -> Miss {
        match state.dead {
            Some(Death::Closed | Death::Failed) => return Miss::Closed,
            Some(Death::Babble) => {
                self.close();
                self.is_ready = !self.is_serial();
                return Miss::Cause(Cause::BadFrame);
            }
            None => {}
        }
        if state.spoilt || state.misfit {
            // A complete frame: nothing else is on its way, unless this was a copy.
            self.ambiguity.note_spoilt(asked.unit, asked.span, asked.now_us);
            return Miss::Cause(Cause::BadFrame);
        }
        self.unusable(asked)
    }

    /// The answer may still come: no request is sent for one more time-out, and the next answer of its shape is read twice.
    fn keep_silent_for(&mut self, asked: Asked) {
        self.guard_until_us = asked.now_us + asked.timeout_ms * 1_000;
        self.ambiguity.unanswered(asked.unit, asked.span, asked.now_us);
    }

    fn unusable(&mut self, asked: Asked) -> Miss {
        if self.is_ambiguous() {
            self.keep_silent_for(asked);
        }
        Miss::Cause(Cause::BadFrame)
    }

    /// Counts what the guard saw, and recognises late answers.
    fn note(&mut self, state: &GuardState, now_us: u64) {
        if state.surplus_frame && self.is_ambiguous() {
            let answers_late = self.given_up.back().is_some_and(|(_, _, sent)| now_us < sent + LATE_US);
            add(&self.counters.surplus, 1);
            // The late answer to a request that was given up is no copy.
            if !answers_late {
                self.ambiguity.note_surplus(now_us);
            }
        }
        self.counters.take(state);
        while self.given_up.front().is_some_and(|(_, _, sent)| now_us > sent + LATE_US) {
            self.given_up.pop_front();
        }
        for (why, at_us) in &state.rejections {
            let found = match why.field {
                Field::Transaction => self.given_up.iter().rposition(|g| g.0 == why.got),
                Field::Unasked if self.is_ambiguous() => self.given_up.iter().rposition(|g| u16::from(g.1) == why.got),
                Field::Unasked => self.given_up.iter().rposition(|g| g.0 == why.expected),
                _ => None,
            };
            if let Some((_, unit, sent_us)) = found.and_then(|i| self.given_up.remove(i)) {
                let after_us = at_us.saturating_sub(sent_us);
                // Much later it is not a late answer, but one that carries the id of an earlier request.
                if after_us < LATE_SAID_US.max(4_000 * self.settings.timeout_ms) {
                    self.late = Some(Late { unit, after_us });
                }
            }
        }
    }
}

/// A request that was sent.
#[derive(Clone, Copy)]
struct Asked {
    unit: u8,
    span: RegisterRange,
    timeout_ms: u64,
    sent_us: u64,
    now_us: u64,
}

enum ExchangeResult {
    Result(tokio_modbus::Result<Response>),
    Failed,
    Nothing,
}

/// Completes when the request in flight fails before its time-out. `may_be_late`: an earlier request was given up, and a frame of
/// another length may be its answer.
async fn failed(ear: &Ear, may_be_late: bool) {
    loop {
        match ear.failed().await {
            LinkFailure::ForGood => return,
            LinkFailure::Spoilt { received, is_misfit } => {
                tokio::time::sleep(SPOILT).await;
                if ear.received() == received && !(is_misfit && may_be_late) {
                    return;
                }
            }
        }
    }
}

fn request(span: RegisterRange) -> Request<'static> {
    match span.area {
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
    (words.len() == count).then_some(RegisterBlock { span, words })
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
