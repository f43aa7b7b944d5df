//! One request and its answer on one bus: TCP, RTU on a serial line, RTU over TCP.
//!
//! tokio-modbus speaks, [`guard`] sees to it that only the answer to the request in flight comes through. What a wire without
//! transaction ids cannot tell apart is in [`ambiguity`]. A connection that the other side closes is opened again at once and the
//! request sent once more; so is one that was idle and gives no answer. What a link does not do: decide what is asked, how
//! often, or whether a unit is there (`poll`).

pub mod ambiguity;
pub mod connect;
pub mod counters;
pub mod frame;
pub mod guard;
pub mod ids;
pub mod record;
pub mod serial;
pub mod settings;
pub mod timer;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio_modbus::client::{Client as _, Context};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::clock::Clock;
use crate::link::ambiguity::Ambiguity;
use crate::link::connect::{BoxedWire, Dialer};
pub use crate::link::counters::Counters;
use crate::link::counters::add;
use crate::link::frame::Field;
use crate::link::guard::{Death, Ear, Failure, Framing, GuardState};
use crate::link::ids::TransactionIds;
use crate::link::record::{Recorder, Tap};
use crate::link::settings::{Settings, Transport};
use crate::link::timer::Timer;
use crate::model::quality::Cause;
use crate::model::reading::Stamp;
use crate::model::registers::{Area, Span, Words};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What came.
    pub words: Words,
    /// When it came.
    pub at: Stamp,
    /// Microseconds from the request to the answer.
    pub round_trip_us: u64,
    /// It may answer an earlier request: to be read until two agree.
    pub unsure: bool,
    /// It may be a copy of an earlier answer: it holds when [`Link::is_settled`] says so.
    pub provisional: bool,
}

/// An answer that came after its request was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Whose.
    pub unit: u8,
    /// Microseconds after the request.
    pub after_us: u64,
}

/// A connection that has been idle for so long, and then gives no answer, may be dead.
const IDLE_US: u64 = 5_000_000;
/// What came is as long as an answer and its checksum is wrong: if nothing follows for so long, nothing is on its way.
const SPOILT: Duration = Duration::from_millis(20);
/// Requests given up whose late answers are still recognised.
const GIVEN_UP: usize = 16;
/// A line that is not silent for so long has no room for a request.
const BABBLE_US: u64 = 3_000_000;

struct Conn {
    context: Context,
    ear: Ear,
    /// When the last byte came, or the connection was made.
    heard_us: u64,
    answers: u64,
}

/// Why one exchange brought no words.
enum Miss {
    /// The connection is gone; nothing of an answer had come.
    Closed,
    /// No answer in time.
    Silent,
    /// An exception that may answer an earlier request.
    Unsure,
    Cause(Cause),
}

/// One bus, owned by one task.
pub struct Link {
    settings: Settings,
    clock: Clock,
    dialer: Option<Dialer>,
    id_seed: Option<u64>,
    conn: Option<Conn>,
    /// It was open: a request may open it again.
    is_ready: bool,
    timer: Option<Timer>,
    /// When the last byte was on the line, microseconds.
    quiet_since_us: u64,
    /// Until when the line stays silent after a time-out.
    guard_until_us: u64,
    ambiguity: Ambiguity,
    /// Transaction id, unit and moment of requests that were given up.
    given_up: VecDeque<(u16, u8, u64)>,
    late: Option<Late>,
    /// Units that gave no answer on a new connection either: for them none is made again.
    silent_on_new: BTreeSet<u8>,
    recorder: Option<Recorder>,
    /// Shared with whoever shows them.
    pub counters: Arc<Counters>,
}

impl Link {
    /// A link that is not open yet.
    pub fn new(settings: Settings, clock: Clock, counters: Arc<Counters>) -> Self {
        Self {
            settings,
            clock,
            dialer: None,
            id_seed: None,
            conn: None,
            is_ready: false,
            timer: None,
            quiet_since_us: 0,
            guard_until_us: 0,
            ambiguity: Ambiguity::default(),
            given_up: VecDeque::new(),
            late: None,
            silent_on_new: BTreeSet::new(),
            recorder: None,
            counters,
        }
    }

    /// Opens what `dialer` gives instead of what the settings name, with transaction ids that follow from a seed: simulations.
    pub fn simulate(&mut self, dialer: Dialer, id_seed: u64) {
        (self.dialer, self.id_seed) = (Some(dialer), Some(id_seed));
    }

    /// Writes down every byte from the next opening on.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Whether a request can be made: a connection or port is open, or may be opened again by the request itself.
    pub fn is_open(&self) -> bool {
        self.conn.is_some() || self.is_ready
    }

    /// How long an answer may take where the profile does not say.
    pub fn timeout_ms(&self) -> u64 {
        self.settings.timeout_ms
    }

    /// How far a time-out may grow where answers come late.
    pub fn timeout_max_ms(&self) -> Option<u64> {
        self.settings.timeout_max_ms
    }

    /// Whether frames lie on this link as RTU: a time-out makes the next answer ambiguous.
    pub fn is_rtu(&self) -> bool {
        !matches!(self.settings.transport, Transport::Tcp { .. })
    }

    /// Whether this is a serial port of our own.
    pub fn is_serial(&self) -> bool {
        matches!(self.settings.transport, Transport::Serial(_))
    }

    /// Whether only the shape of an answer tells what it answers.
    fn is_ambiguous(&self) -> bool {
        self.is_rtu() || self.settings.lenient.any_transaction
    }

    /// An answer that came too late since this was last asked.
    pub fn take_late(&mut self) -> Option<Late> {
        self.late.take()
    }

    /// Opens the port or connects, and waits the settle time.
    ///
    /// # Errors
    /// What the operating system or the peer said, in words that name the address.
    pub async fn open(&mut self) -> Result<(), String> {
        self.connect().await?;
        if self.is_rtu() {
            // Whoever had this line before us may have left a question open.
            self.guard_until_us = self.quiet_since_us + self.settings.timeout_ms * 1_000;
        }
        self.silent_on_new.clear();
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), String> {
        self.is_ready = false;
        let wire = self.wire().await.inspect_err(|_| add(&self.counters.failures, 1))?;
        if self.timer.is_none() && self.dialer.is_none() && self.is_serial() {
            self.timer = Some(Timer::new().map_err(|e| format!("cannot make a timer: {e}"))?);
        }
        let framing = if self.is_rtu() { Framing::Rtu } else { Framing::Tcp(self.settings.lenient) };
        let (guard, ear) = guard::guard(wire, framing, TransactionIds::new(self.id_seed), self.clock.clone());
        self.id_seed = self.id_seed.map(|seed| seed.wrapping_add(1));
        let context = match framing {
            Framing::Tcp(_) => tokio_modbus::client::tcp::attach(guard),
            Framing::Rtu => tokio_modbus::client::rtu::attach(guard),
        };
        add(&self.counters.connects, 1);
        if self.settings.settle_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.settings.settle_ms)).await;
        }
        self.quiet_since_us = self.clock.mono_us();
        self.conn = Some(Conn { context, ear, heard_us: self.quiet_since_us, answers: 0 });
        self.is_ready = true;
        Ok(())
    }

    async fn wire(&mut self) -> Result<BoxedWire, String> {
        let to = self.recorder.clone().map(|r| (r, self.settings.id.clone(), self.is_rtu()));
        if let Some(dialer) = &self.dialer {
            return dialer().await.map_err(|e| format!("cannot open the simulated bus: {e}"));
        }
        let wait = Duration::from_millis(self.settings.connect_timeout_ms);
        Ok(match &self.settings.transport {
            Transport::Tcp { address } | Transport::RtuOverTcp { address } => {
                tapped(connect::tcp(address, wait).await?, to)
            }
            Transport::Serial(port) => tapped(serial::open(port)?, to),
        })
    }

    /// Closes the connection or port: it is lost.
    pub fn close(&mut self) {
        if self.conn.take().is_some() {
            add(&self.counters.losses, 1);
        }
        self.is_ready = false;
    }

    /// Closes the connection until the next request opens it again: for devices that serve one client at a time.
    pub fn pause(&mut self) {
        self.conn = None;
    }

    /// A new connection in place of the one that is there.
    async fn reconnect(&mut self) -> Result<(), Miss> {
        self.close();
        self.connect().await.map_err(|_| Miss::Cause(Cause::LinkDown))
    }

    /// Reads a run of registers or bits of a unit.
    ///
    /// # Errors
    /// The cause. An exception leaves the link open. [`Cause::Closed`]: the other side closed the connection instead of
    /// answering, on a new one too; the next request opens it again. [`Cause::LinkDown`]: it cannot be opened.
    pub async fn read(&mut self, unit: u8, span: Span, timeout_ms: u64, pause_ms: u64) -> Result<Answer, Cause> {
        let most = if span.area.is_bits() { 2000 } else { 125 };
        if span.count == 0 || span.count > most {
            return Err(Cause::IllegalValue);
        }
        match self.read_again(unit, span, timeout_ms, pause_ms).await {
            Ok(answer) => Ok(answer),
            Err(Miss::Cause(cause)) => Err(cause),
            Err(Miss::Silent) => Err(Cause::Timeout),
            Err(Miss::Unsure) => Err(Cause::Unsettled),
            Err(Miss::Closed) => {
                let is_serial = self.is_serial();
                self.close();
                self.is_ready = !is_serial;
                Err(if is_serial { Cause::LinkDown } else { Cause::Closed })
            }
        }
    }

    /// One exchange, and once more on a new connection where the old one was gone.
    async fn read_again(&mut self, unit: u8, span: Span, timeout_ms: u64, pause_ms: u64) -> Result<Answer, Miss> {
        let mut is_new = false;
        if self.conn.as_ref().is_none_or(|c| c.ear.is_dead()) && !(self.is_serial() && self.conn.is_some()) {
            if !self.is_ready {
                return Err(Miss::Cause(Cause::LinkDown));
            }
            self.reconnect().await?;
            is_new = true;
        }
        let result = self.exchange(unit, span, timeout_ms, pause_ms).await;
        let again = match &result {
            Err(Miss::Unsure) => {
                // A copy of the exception before, it may be: the line is drained, and it is asked again.
                self.guard_until_us = self.clock.mono_us() + self.ambiguity.settle_us().max(timeout_ms * 1_000);
                true
            }
            Err(Miss::Closed) if !is_new && !self.is_serial() => {
                self.reconnect().await?;
                true
            }
            Err(Miss::Silent) if !is_new && self.may_be_dead(unit, timeout_ms) => {
                self.reconnect().await?;
                is_new = true;
                true
            }
            _ => false,
        };
        let result = if again { self.exchange(unit, span, timeout_ms, pause_ms).await } else { result };
        match &result {
            Ok(_) => drop(self.silent_on_new.remove(&unit)),
            Err(Miss::Silent) if is_new => drop(self.silent_on_new.insert(unit)),
            _ => {}
        }
        result
    }

    /// Whether the connection may be dead rather than the unit: it had answered, was idle before this request, and gave no answer.
    fn may_be_dead(&self, unit: u8, timeout_ms: u64) -> bool {
        let Some(conn) = self.conn.as_ref().filter(|_| !self.is_serial()) else { return false };
        let idle_us = self.clock.mono_us().saturating_sub(conn.heard_us + timeout_ms * 1_000);
        conn.answers > 0 && idle_us >= IDLE_US && !self.silent_on_new.contains(&unit)
    }

    async fn exchange(&mut self, unit: u8, span: Span, timeout_ms: u64, pause_ms: u64) -> Result<Answer, Miss> {
        self.silence(unit, span, pause_ms).await?;
        let Some(conn) = &mut self.conn else { return Err(Miss::Cause(Cause::LinkDown)) };
        conn.context.set_slave(Slave(unit));
        add(&self.counters.requests, 1);
        let sent_us = self.clock.mono_us();
        let provisional = self.is_rtu_or_lenient_ask(unit, span, sent_us);
        let Some(conn) = &mut self.conn else { return Err(Miss::Cause(Cause::LinkDown)) };
        let ear = conn.ear.clone();
        let said = tokio::select! {
            biased;
            said = conn.context.call(request(span)) => Said::Result(said),
            () = failed(&ear) => Said::Failed,
            () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => Said::Nothing,
        };
        let at = self.clock.stamp();
        let now_us = self.clock.mono_us();
        self.quiet_since_us = now_us;
        if !matches!(said, Said::Result(Ok(_))) {
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
        let round_trip_us = now_us.saturating_sub(sent_us);
        match said {
            Said::Result(Ok(Ok(response))) => {
                let Some(words) = words_of(response, span) else { return Err(self.unusable(unit, span, timeout_ms, now_us)) };
                self.note_answer();
                let is_ambiguous = self.is_ambiguous();
                let unsure = is_ambiguous && self.ambiguity.answered(unit, span, round_trip_us, now_us);
                if unsure {
                    // If this was a late answer, ours is still on its way: it must not answer the next request.
                    self.guard_until_us = now_us + self.ambiguity.settle_us().max(timeout_ms * 1_000);
                }
                Ok(Answer { words, at, round_trip_us, unsure, provisional })
            }
            Said::Result(Ok(Err(exception))) => {
                self.note_answer();
                add(&self.counters.exceptions, 1);
                if self.is_ambiguous() && self.ambiguity.refused(unit, span, now_us) {
                    return Err(Miss::Unsure);
                }
                Err(Miss::Cause(cause_of(exception)))
            }
            Said::Nothing => {
                add(&self.counters.timeouts, 1);
                self.given_up.push_back((id, unit, sent_us));
                if self.given_up.len() > GIVEN_UP {
                    self.given_up.pop_front();
                }
                Err(self.nothing(&state, unit, span, timeout_ms, now_us))
            }
            Said::Result(Err(_)) | Said::Failed => Err(self.broken(&state, unit, span, timeout_ms, now_us)),
        }
    }

    fn is_rtu_or_lenient_ask(&mut self, unit: u8, span: Span, now_us: u64) -> bool {
        self.is_ambiguous() && self.ambiguity.ask(unit, span, now_us)
    }

    fn note_answer(&mut self) {
        add(&self.counters.answers, 1);
        self.conn.iter_mut().for_each(|c| c.answers += 1);
    }

    /// The next answer of this shape is to be read twice once more (two reads did not agree).
    pub fn doubt(&mut self, unit: u8, span: Span) {
        if self.is_ambiguous() {
            self.ambiguity.unanswered(unit, span, self.clock.mono_us());
        }
    }

    /// Surplus frames seen so far: what [`Link::is_settled`] compares with.
    pub fn surplus(&self) -> u64 {
        self.ambiguity.surplus()
    }

    /// Listens for the settle time; whether no surplus frame came since the mark: then provisional answers hold.
    pub async fn is_settled(&mut self, mark: u64) -> bool {
        let until_us = self.quiet_since_us + self.ambiguity.settle_us();
        while self.surplus() == mark {
            let wait_us = until_us.saturating_sub(self.clock.mono_us());
            if wait_us == 0 {
                break;
            }
            self.listen(wait_us).await;
            if self.conn.as_ref().is_none_or(|c| c.ear.is_dead()) {
                break;
            }
        }
        self.surplus() == mark
    }

    /// Keeps the line silent: 3.5 characters between frames, the guard time after a time-out, the settle time where copies are
    /// about, the unit's own pause. What comes meanwhile is surplus, and the silence begins anew.
    async fn silence(&mut self, unit: u8, span: Span, pause_ms: u64) -> Result<(), Miss> {
        let mut gap_us = match &self.settings.transport {
            Transport::Serial(port) => port.silence_us().max(pause_ms * 1_000),
            Transport::Tcp { .. } | Transport::RtuOverTcp { .. } => pause_ms * 1_000,
        };
        let began_us = self.clock.mono_us();
        if self.is_ambiguous() {
            if let Some(conn) = &self.conn {
                conn.ear.drain();
            }
            self.take_stray();
        }
        loop {
            let now_us = self.clock.mono_us();
            if self.is_ambiguous() && self.ambiguity.must_settle(unit, span, now_us) {
                gap_us = gap_us.max(self.ambiguity.settle_us());
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
                    return Ok(()); // the exchange finds it so
                }
            } else {
                self.wait(wait_us).await;
            }
        }
    }

    /// Waits, or until something has come; what comes is taken for surplus.
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

    /// What came while nothing was asked: the line was not silent.
    fn take_stray(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        let state = conn.ear.take_stray();
        if state.stray == 0 && state.rejections.is_empty() {
            return;
        }
        let now_us = self.clock.mono_us();
        self.quiet_since_us = now_us;
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

    /// No answer came in time.
    fn nothing(&mut self, state: &GuardState, unit: u8, span: Span, timeout_ms: u64, now_us: u64) -> Miss {
        if !state.sent {
            // The peer takes no bytes: half a request must not be followed by another.
            return Miss::Closed;
        }
        if self.is_ambiguous() {
            self.guard_until_us = now_us + timeout_ms * 1_000;
            self.ambiguity.unanswered(unit, span, now_us);
        }
        let is_foreign = |r: &(frame::Rejection, u64)| r.0.field != Field::Transaction && r.0.field != Field::Unasked;
        if (self.is_rtu() && state.received > 0) || state.rejections.iter().any(is_foreign) {
            return Miss::Cause(Cause::BadFrame);
        }
        Miss::Silent
    }

    /// The answer was none, or the connection is gone.
    fn broken(&mut self, state: &GuardState, unit: u8, span: Span, timeout_ms: u64, now_us: u64) -> Miss {
        match state.dead {
            Some(Death::Closed | Death::Failed) => return Miss::Closed,
            Some(Death::Babble) => {
                self.close();
                self.is_ready = !self.is_serial();
                return Miss::Cause(Cause::BadFrame);
            }
            None => {}
        }
        if state.spoilt {
            // A whole frame: nothing is on its way.
            return Miss::Cause(Cause::BadFrame);
        }
        self.unusable(unit, span, timeout_ms, now_us)
    }

    fn unusable(&mut self, unit: u8, span: Span, timeout_ms: u64, now_us: u64) -> Miss {
        if self.is_ambiguous() {
            self.guard_until_us = now_us + timeout_ms * 1_000;
            self.ambiguity.unanswered(unit, span, now_us);
        }
        Miss::Cause(Cause::BadFrame)
    }

    /// Counts what the guard saw, and recognises late answers.
    fn note(&mut self, state: &GuardState, now_us: u64) {
        if state.surplus && self.is_ambiguous() {
            let answers_late = self.given_up.back().is_some_and(|(_, _, sent)| now_us < sent + 30_000_000);
            add(&self.counters.surplus, 1);
            // The late answer to a request that was given up is no copy.
            if !answers_late {
                self.ambiguity.note_surplus(now_us);
            }
        }
        self.counters.take(state);
        for (why, at_us) in &state.rejections {
            let found = match why.field {
                Field::Transaction => self.given_up.iter().rposition(|g| g.0 == why.got),
                Field::Unasked if self.is_rtu() => self.given_up.iter().rposition(|g| u16::from(g.1) == why.got),
                Field::Unasked => self.given_up.iter().rposition(|g| g.0 == why.expected),
                _ => None,
            };
            if let Some((_, unit, sent_us)) = found.and_then(|i| self.given_up.remove(i)) {
                self.late = Some(Late { unit, after_us: at_us.saturating_sub(sent_us) });
            }
        }
    }
}

enum Said {
    Result(tokio_modbus::Result<Response>),
    Failed,
    Nothing,
}

/// Ends when the request in flight has failed before its time is over.
async fn failed(ear: &Ear) {
    loop {
        match ear.failed().await {
            Failure::ForGood => return,
            Failure::Spoilt { received } => {
                tokio::time::sleep(SPOILT).await;
                if ear.received() == received {
                    return;
                }
            }
        }
    }
}

fn tapped<T: connect::Wire + 'static>(wire: T, to: Option<(Recorder, String, bool)>) -> BoxedWire {
    match to {
        Some(to) => Box::new(Tap::new(wire, Some(to))),
        None => Box::new(wire),
    }
}

fn request(span: Span) -> Request<'static> {
    match span.area {
        Area::Coil => Request::ReadCoils(span.address, span.count),
        Area::Discrete => Request::ReadDiscreteInputs(span.address, span.count),
        Area::Holding => Request::ReadHoldingRegisters(span.address, span.count),
        Area::Input => Request::ReadInputRegisters(span.address, span.count),
    }
}

/// The words of a response, if they are as many as were asked for.
fn words_of(response: Response, span: Span) -> Option<Words> {
    let count = usize::from(span.count);
    let words = match response {
        Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) => {
            bits.into_iter().take(count).map(u16::from).collect()
        }
        Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => words,
        _ => return None,
    };
    (words.len() == count).then_some(Words { span, words })
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
