//! One request and its answer on one bus: TCP, RTU on a serial line, RTU over TCP. Reads only: functions 1 to 4.
//!
//! tokio-modbus encodes and decodes; [`guard`] is the transport under it and passes up only the frame that answers the request in
//! flight ([`frame`] decides which bytes those are). [`ambiguity`] holds what a wire without usable transaction ids cannot tell apart.
//!
//! # States
//! A [`Link`] is owned by one task and has one request in flight at most.
//! * *Not open*: at first, after [`Link::close`], and after a failed connect. A read fails with [`Cause::LinkDown`] until
//!   [`Link::open`] succeeds.
//! * *Open*: there is a connection or port.
//! * *Reopenable*: there is none, but the next read connects by itself. That follows [`Link::pause`], and a connection that the peer
//!   closed or filled with bytes that are no answer. A serial port never gets here by itself: a lost port must be opened again.
//!
//! # One read
//! 1. Wait until the line may be used: 3.5 characters of silence on a serial port, the unit's pause, the guard time after a time-out,
//!    the settle time where copies of answers occur. Bytes received meanwhile are surplus and restart the silence.
//! 2. Send the request and wait for its answer, a failure that the guard detects, or the time-out.
//! 3. On failure, end the expectation in the guard first, so that nothing received later can pass as this answer.
//! 4. Count what the guard rejected, and match it with requests that were given up (late answers).
//!
//! The request is sent once more, within the same call, in three cases: a connection was closed instead of answering; a connection
//! that had answered, then was idle for 5 s, gives no answer; an exception was ambiguous. So a read may take two time-outs. On a
//! serial port only the third case applies. Other retries are the caller's affair.
//!
//! # Guarantees
//! * Words are returned only from a frame whose unit, function and byte count match the request, and transaction id (TCP) or CRC (RTU)
//!   too, unless [`frame::Lenient`] excepts a field. There are as many words as were requested.
//! * No byte received before an RTU request was sent is part of its answer. Over TCP the random transaction id ensures the same.
//! * An exception leaves the connection open. A request of an illegal length is refused before it is sent.
//! * After a time-out on an RTU line no request is sent for one more time-out, and the next answer of the same shape within 30 s is
//!   marked `is_ambiguous`.
//!
//! # Not guaranteed
//! * An answer marked `is_ambiguous` may belong to an earlier request. [`Link::read`] returns it all the same: the caller reads again
//!   until two agree, as [`Link::read_confirmed`] does.
//! * On RTU, and on TCP with ids ignored, an answer later than the guard time and a copy later than the settle time cannot be distinguished
//!   from the answer to a later request of the same shape.
//! * The link does not decide what is read, how often, or whether a unit is present; `poll` does.

pub mod ambiguity;
pub mod connect;
pub mod counters;
pub mod error;
mod exchange;
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

use tokio_modbus::client::Context;

use crate::clock::Clock;
use crate::link::ambiguity::Ambiguity;
use crate::link::connect::{BoxedByteStream, Dialer};
pub use crate::link::counters::Counters;
use crate::link::counters::add;
use crate::link::error::LinkError;
use crate::link::guard::{Framing, GuardHandle};
use crate::link::ids::TransactionIds;
use crate::link::record::{FrameRecorder, Recorder};
use crate::link::settings::{LinkSettings, LinkTransport};
use crate::link::timer::Timer;
use crate::model::quality::Cause;
use crate::model::reading::Stamp;
use crate::model::registers::{RegisterBlock, RegisterRange};

/// The answer to one read, checked against its request.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkAnswer {
    pub words: RegisterBlock,
    /// When the answer was received.
    pub at: Stamp,
    /// Microseconds from the request to the answer.
    pub round_trip_us: u64,
    /// It may answer an earlier request: the caller reads again until two answers agree.
    pub is_ambiguous: bool,
}

/// An answer that came after its request was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateAnswer {
    pub unit: u8,
    /// Microseconds after the request.
    pub after_us: u64,
}

/// A connection that has been idle this long and then gives no answer may be dead.
const IDLE_US: u64 = 5_000_000;
/// Most reads of one request whose answers stay ambiguous.
const CONFIRM_READS_MAX: usize = 4;

struct Conn {
    context: Context,
    guard: GuardHandle,
    /// When the last byte was received, or the connection was made.
    last_byte_us: u64,
    answers: u64,
}

/// Why one exchange gave no words.
enum ExchangeError {
    /// The connection is closed or has failed, or the peer accepts no bytes.
    Closed,
    /// No answer in time.
    NoAnswer,
    /// An exception that may answer an earlier request.
    Ambiguous,
    Cause(Cause),
}

/// One bus, owned by one task.
pub struct Link {
    settings: LinkSettings,
    clock: Clock,
    dialer: Option<Dialer>,
    id_seed: Option<u64>,
    conn: Option<Conn>,
    /// It was open before: the next request may open it again.
    can_reopen: bool,
    timer: Option<Timer>,
    /// Monotonic microseconds of the last byte on the line.
    idle_since_us: u64,
    /// Monotonic microseconds before which no request is sent.
    silent_until_us: u64,
    ambiguity: Ambiguity,
    /// Transaction id, unit and sending time of requests that were given up.
    timed_out_requests: VecDeque<(u16, u8, u64)>,
    late_answer: Option<LateAnswer>,
    /// Units that gave no answer on a new connection either: their silence causes no further reconnect.
    silent_after_reconnect: BTreeSet<u8>,
    recorder: Option<Recorder>,
    /// Shared with status and metrics.
    pub counters: Arc<Counters>,
}

impl Link {
    /// A link that is not open yet.
    pub fn new(settings: LinkSettings, clock: Clock, counters: Arc<Counters>) -> Self {
        Self {
            settings,
            clock,
            dialer: None,
            id_seed: None,
            conn: None,
            can_reopen: false,
            timer: None,
            idle_since_us: 0,
            silent_until_us: 0,
            ambiguity: Ambiguity::default(),
            timed_out_requests: VecDeque::new(),
            late_answer: None,
            silent_after_reconnect: BTreeSet::new(),
            recorder: None,
            counters,
        }
    }

    /// For simulations: connects through `dialer` instead of the configured transport; transaction ids follow from the seed.
    pub fn simulate(&mut self, dialer: Dialer, id_seed: u64) {
        (self.dialer, self.id_seed) = (Some(dialer), Some(id_seed));
    }

    /// Records every byte from the next connect on.
    pub fn set_recorder(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Whether a request can be made: a connection or port is open, or the request itself may open it again.
    pub fn is_open(&self) -> bool {
        self.conn.is_some() || self.can_reopen
    }

    /// Time-out of requests to units for which neither the site nor the profile sets one.
    pub fn timeout_ms(&self) -> u64 {
        self.settings.timeout_ms
    }

    /// Limit up to which late answers may raise the time-out of a unit.
    pub fn timeout_max_ms(&self) -> Option<u64> {
        self.settings.timeout_max_ms
    }

    /// Whether this link carries RTU frames: a time-out makes the next answer ambiguous.
    pub fn is_rtu(&self) -> bool {
        !matches!(self.settings.transport, LinkTransport::Tcp { .. })
    }

    /// Whether this is a local serial port.
    pub fn is_serial(&self) -> bool {
        matches!(self.settings.transport, LinkTransport::Serial(_))
    }

    /// Whether an answer is recognised by its shape only, without a usable transaction id.
    fn is_ambiguous(&self) -> bool {
        self.is_rtu() || self.settings.lenient.any_transaction
    }

    /// The latest late answer since the last call.
    pub fn take_late_answer(&mut self) -> Option<LateAnswer> {
        self.late_answer.take()
    }

    /// Opens the port or connects, and waits the settle time.
    ///
    /// # Errors
    /// A message that names the address and the error of the operating system or the peer.
    pub async fn open(&mut self) -> Result<(), LinkError> {
        self.connect().await?;
        if self.is_rtu() {
            // A program that used this line before may have left a request unanswered.
            self.silent_until_us = self.idle_since_us + self.settings.timeout_ms * 1_000;
        }
        self.silent_after_reconnect.clear();
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), LinkError> {
        self.can_reopen = false;
        let stream = self.open_stream().await.inspect_err(|_| add(&self.counters.failures, 1))?;
        if self.timer.is_none() && self.dialer.is_none() && self.is_serial() {
            self.timer = Some(Timer::new().map_err(|e| LinkError::Timer(e.to_string()))?);
        }
        let framing = if self.is_rtu() { Framing::Rtu } else { Framing::Tcp(self.settings.lenient) };
        let (guard, handle) = guard::guard(stream, framing, TransactionIds::new(self.id_seed), self.clock.clone());
        self.id_seed = self.id_seed.map(|seed| seed.wrapping_add(1));
        let context = match framing {
            Framing::Tcp(_) => tokio_modbus::client::tcp::attach(guard),
            Framing::Rtu => tokio_modbus::client::rtu::attach(guard),
        };
        add(&self.counters.connects, 1);
        if self.settings.settle_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.settings.settle_ms)).await;
        }
        self.idle_since_us = self.clock.mono_us();
        self.conn = Some(Conn { context, guard: handle, last_byte_us: self.idle_since_us, answers: 0 });
        self.can_reopen = true;
        Ok(())
    }

    async fn open_stream(&mut self) -> Result<BoxedByteStream, LinkError> {
        let to = self.recorder.clone().map(|r| (r, self.settings.id.clone(), self.is_rtu()));
        if let Some(dialer) = &self.dialer {
            return dialer().await.map_err(|e| LinkError::Simulated(e.to_string()));
        }
        let wait = Duration::from_millis(self.settings.connect_timeout_ms);
        Ok(match &self.settings.transport {
            LinkTransport::Tcp { address } | LinkTransport::RtuOverTcp { address } => {
                with_recorder(connect::tcp(address, wait).await?, to)
            }
            LinkTransport::Serial(port) => with_recorder(serial::open(port)?, to),
        })
    }

    /// Closes the connection or port and counts a loss; [`Link::open`] is needed before the next request.
    pub fn close(&mut self) {
        if self.conn.take().is_some() {
            add(&self.counters.losses, 1);
        }
        self.can_reopen = false;
    }

    /// Closes the connection; the next request opens it again. For devices that serve one client at a time.
    pub fn pause(&mut self) {
        self.conn = None;
    }

    /// Replaces the connection by a new one.
    async fn reconnect(&mut self) -> Result<(), ExchangeError> {
        self.close();
        self.connect().await.map_err(|_| ExchangeError::Cause(Cause::LinkDown))
    }

    /// Reads a range of registers or bits of a unit.
    ///
    /// # Errors
    /// The cause. An exception leaves the link open. [`Cause::Closed`]: the other side closed the connection instead of
    /// answering, on a new one too; the next request opens it again. [`Cause::LinkDown`]: it cannot be opened.
    /// [`Cause::IllegalValue`]: the range is empty or longer than one read may be; nothing was sent.
    pub async fn read(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, Cause> {
        let max_count = if span.register_type.is_bits() { 2000 } else { 125 };
        if span.count == 0 || span.count > max_count {
            return Err(Cause::IllegalValue);
        }
        match self.read_with_retry(unit, span, timeout_ms, pause_ms).await {
            Ok(answer) => Ok(answer),
            Err(ExchangeError::Cause(cause)) => Err(cause),
            Err(ExchangeError::NoAnswer) => Err(Cause::Timeout),
            Err(ExchangeError::Ambiguous) => Err(Cause::Unsettled),
            Err(ExchangeError::Closed) => {
                let is_serial = self.is_serial();
                self.close();
                self.can_reopen = !is_serial;
                Err(if is_serial { Cause::LinkDown } else { Cause::Closed })
            }
        }
    }

    /// Like [`Link::read`], but repeats an ambiguous answer until two reads give the same words.
    ///
    /// # Errors
    /// As [`Link::read`]; [`Cause::Unsettled`] if no two agree.
    pub async fn read_confirmed(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, Cause> {
        let mut before: Option<Vec<u16>> = None;
        for _ in 0..CONFIRM_READS_MAX {
            let answer = self.read(unit, span, timeout_ms, pause_ms).await?;
            if !answer.is_ambiguous || before.as_ref() == Some(&answer.words.words) {
                return Ok(answer);
            }
            self.delay_until_settled(unit);
            before = Some(answer.words.words);
        }
        Err(Cause::Unsettled)
    }

    /// One exchange, repeated once: on a new connection if the old one was gone or may be dead, or after an ambiguous exception.
    async fn read_with_retry(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, ExchangeError> {
        let mut is_new = false;
        if self.conn.as_ref().is_none_or(|c| c.guard.is_dead()) && !(self.is_serial() && self.conn.is_some()) {
            if !self.can_reopen {
                return Err(ExchangeError::Cause(Cause::LinkDown));
            }
            self.reconnect().await?;
            is_new = true;
        }
        let result = self.exchange(unit, span, timeout_ms, pause_ms).await;
        let needs_repeat = match &result {
            Err(ExchangeError::Ambiguous) => true,
            Err(ExchangeError::Closed) if !is_new && !self.is_serial() => {
                self.reconnect().await?;
                true
            }
            Err(ExchangeError::NoAnswer) if !is_new && self.may_be_dead(unit, timeout_ms) => {
                self.reconnect().await?;
                is_new = true;
                true
            }
            _ => false,
        };
        let result = if needs_repeat { self.exchange(unit, span, timeout_ms, pause_ms).await } else { result };
        match &result {
            Ok(_) => drop(self.silent_after_reconnect.remove(&unit)),
            Err(ExchangeError::NoAnswer) if is_new => drop(self.silent_after_reconnect.insert(unit)),
            _ => {}
        }
        result
    }

    /// Whether the connection may be dead rather than the unit: it had answered, was idle before this request, and gave no answer.
    fn may_be_dead(&self, unit: u8, timeout_ms: u64) -> bool {
        let Some(conn) = self.conn.as_ref().filter(|_| !self.is_serial()) else { return false };
        let idle_us = self.clock.mono_us().saturating_sub(conn.last_byte_us + timeout_ms * 1_000);
        conn.answers > 0 && idle_us >= IDLE_US && !self.silent_after_reconnect.contains(&unit)
    }

    /// Delays the next request until no copy of an earlier answer is expected any more.
    pub fn delay_until_settled(&mut self, unit: u8) {
        if self.is_ambiguous() {
            let until_us = self.clock.mono_us() + self.ambiguity.settle_us(unit);
            self.silent_until_us = self.silent_until_us.max(until_us);
        }
    }

    /// Marks the next answer of this shape as ambiguous, so that it is read twice.
    pub fn mark_ambiguous(&mut self, unit: u8, span: RegisterRange) {
        if self.is_ambiguous() {
            self.ambiguity.note_timeout(unit, span, self.clock.mono_us());
        }
    }
}

fn with_recorder<T: connect::ByteStream + 'static>(stream: T, to: Option<(Recorder, String, bool)>) -> BoxedByteStream {
    match to {
        Some(to) => Box::new(FrameRecorder::new(stream, Some(to))),
        None => Box::new(stream),
    }
}
