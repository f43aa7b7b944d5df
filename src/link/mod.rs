//! One request and its answer on one bus: TCP, RTU on a serial line, RTU over TCP.
//!
//! tokio-modbus speaks, [`guard`] sees to it that only the answer to the request in flight comes through. After a time-out a
//! serial line stays silent for a guard time. A late answer can then be taken only for the answer to a request of the same
//! unit, function and length: the next answer of that shape is marked `unsure`, and its reader asks twice. What comes later
//! than the guard time cannot be told apart on such a wire.

pub mod frame;
pub mod guard;
pub mod record;
pub mod serial;
pub mod settings;
pub mod timer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_modbus::client::{Client as _, Context};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::clock::Clock;
use crate::link::guard::{Framing, Guard, Seen};
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
    /// The first answer after a time-out on a serial line: to be read twice.
    pub unsure: bool,
}

macro_rules! counters {
    ($( $name:ident $says:literal; )*) => {
        /// What happened on a link since the process started.
        #[derive(Debug, Default)]
        pub struct Counters { $( #[doc = $says] pub $name: AtomicU64, )* }

        impl Counters {
            /// Name, meaning and value of each.
            pub fn list(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![ $( (stringify!($name), $says, self.$name.load(Ordering::Relaxed)), )* ]
            }
        }
    };
}

counters! {
    requests "Requests sent.";
    answers "Answers received, exceptions included.";
    exceptions "Answers that were a Modbus exception.";
    timeouts "Requests that got no answer in time.";
    late "Answers that came after their request was given up.";
    crossed "Frames that answered another request.";
    noise_bytes "Bytes that belonged to no answer.";
    connects "Connections made, or ports opened.";
    failures "Attempts to connect or open that failed.";
    losses "Connections lost.";
}

/// How long a late answer is reckoned with: no unit that is still of use answers later.
const SUSPECT_US: u64 = 30_000_000;

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

struct Conn {
    context: Context,
    seen: Arc<Seen>,
    counted: guard::State,
}

/// One bus, owned by one task.
pub struct Link {
    settings: Settings,
    clock: Clock,
    conn: Option<Conn>,
    timer: Option<Timer>,
    /// When the last byte was on the line, microseconds.
    quiet_since_us: u64,
    /// Until when the line stays silent after a time-out.
    guard_until_us: u64,
    /// Requests that got no answer in time: a late answer to one of them looks like an answer to the next of its shape.
    suspects: Vec<(u8, Span, u64)>,
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
            conn: None,
            timer: None,
            quiet_since_us: 0,
            guard_until_us: 0,
            suspects: Vec::new(),
            recorder: None,
            counters,
        }
    }

    /// Writes down every byte from the next opening on.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Whether a connection or port is open.
    pub fn is_open(&self) -> bool {
        self.conn.is_some()
    }

    /// How long an answer may take where the profile does not say.
    pub fn timeout_ms(&self) -> u64 {
        self.settings.timeout_ms
    }

    /// Whether frames lie on this link as RTU: a time-out makes the next answer ambiguous.
    pub fn is_rtu(&self) -> bool {
        !matches!(self.settings.transport, Transport::Tcp { .. })
    }

    /// Opens the port or connects, and waits the settle time.
    ///
    /// # Errors
    /// What the operating system or the peer said, in words that name the address.
    pub async fn open(&mut self) -> Result<(), String> {
        let wait = Duration::from_millis(self.settings.connect_timeout_ms);
        let seen = Arc::new(Seen::default());
        let to = self.recorder.clone().map(|r| (r, self.settings.id.clone(), self.is_rtu()));
        let opened = match &self.settings.transport {
            Transport::Tcp { address } | Transport::RtuOverTcp { address } => {
                let connected = tokio::time::timeout(wait, TcpStream::connect(address.as_str())).await;
                match connected {
                    Ok(Ok(stream)) => {
                        let _best_effort = stream.set_nodelay(true);
                        let framing = self.framing();
                        Ok(attach(Guard::new(Tap::new(stream, to), framing, Arc::clone(&seen)), framing))
                    }
                    Ok(Err(e)) => Err(format!("cannot connect to {address}: {e}")),
                    Err(_elapsed) => {
                        Err(format!("cannot connect to {address}: no answer within {} ms", wait.as_millis()))
                    }
                }
            }
            Transport::Serial(port) => serial::open(port)
                .map(|s| attach(Guard::new(Tap::new(s, to), Framing::Rtu, Arc::clone(&seen)), Framing::Rtu)),
        };
        let context = opened.inspect_err(|_| add(&self.counters.failures, 1))?;
        if self.timer.is_none() && matches!(self.settings.transport, Transport::Serial(_)) {
            self.timer = Some(Timer::new().map_err(|e| format!("cannot make a timer: {e}"))?);
        }
        self.conn = Some(Conn { context, seen, counted: guard::State::default() });
        add(&self.counters.connects, 1);
        tokio::time::sleep(Duration::from_millis(self.settings.settle_ms)).await;
        self.quiet_since_us = self.clock.mono_us();
        if self.is_rtu() {
            // Whoever had this line before us may have left a question open.
            self.guard_until_us = self.quiet_since_us + self.settings.timeout_ms * 1_000;
        }
        Ok(())
    }

    fn framing(&self) -> Framing {
        match self.settings.transport {
            Transport::Tcp { .. } => Framing::Tcp { any_unit: self.settings.any_unit },
            Transport::RtuOverTcp { .. } | Transport::Serial(_) => Framing::Rtu,
        }
    }

    /// Closes the connection or port.
    pub fn close(&mut self) {
        if self.conn.take().is_some() {
            add(&self.counters.losses, 1);
        }
    }

    /// Reads a run of registers or bits of a unit.
    ///
    /// # Errors
    /// The cause: an exception leaves the link open, a lost connection closes it.
    pub async fn read(&mut self, unit: u8, span: Span, timeout_ms: u64, pause_ms: u64) -> Result<Answer, Cause> {
        let most = if span.area.is_bits() { 2000 } else { 125 };
        if span.count == 0 || span.count > most {
            return Err(Cause::IllegalValue);
        }
        self.silence(pause_ms).await;
        let Some(conn) = &mut self.conn else { return Err(Cause::LinkDown) };
        conn.context.set_slave(Slave(unit));
        let request = match span.area {
            Area::Coil => Request::ReadCoils(span.address, span.count),
            Area::Discrete => Request::ReadDiscreteInputs(span.address, span.count),
            Area::Holding => Request::ReadHoldingRegisters(span.address, span.count),
            Area::Input => Request::ReadInputRegisters(span.address, span.count),
        };
        add(&self.counters.requests, 1);
        let sent_us = self.clock.mono_us();
        let seen = Arc::clone(&conn.seen);
        let said = tokio::select! {
            biased;
            said = conn.context.call(request) => Said::Result(said),
            () = seen.broken.notified() => Said::Broken,
            () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => Said::Nothing,
        };
        let at = self.clock.stamp();
        let now_us = self.clock.mono_us();
        self.quiet_since_us = now_us;
        self.take_counts();
        let words = match said {
            Said::Result(Ok(Ok(response))) => words_of(response, span),
            Said::Result(Ok(Err(exception))) => {
                add(&self.counters.answers, 1);
                add(&self.counters.exceptions, 1);
                if self.was_suspect(unit, |s| s.area == span.area, now_us) {
                    // It may be the late answer to the request before: the line is drained, and it is asked again.
                    self.guard_until_us = now_us + timeout_ms * 1_000;
                    return Err(Cause::Unsettled);
                }
                return Err(cause_of(exception));
            }
            Said::Result(Err(_)) | Said::Broken => return Err(self.broken(unit, span, timeout_ms, now_us)),
            Said::Nothing => return Err(self.nothing(unit, span, timeout_ms, now_us)),
        };
        let Some(words) = words else { return Err(self.broken(unit, span, timeout_ms, now_us)) };
        add(&self.counters.answers, 1);
        let unsure = self.was_suspect(unit, |s| s.area == span.area && s.count == span.count, now_us);
        if unsure {
            // If this was a late answer, ours is still on its way: it must not answer the next request.
            self.guard_until_us = now_us + timeout_ms * 1_000;
        }
        Ok(Answer { words, at, round_trip_us: now_us.saturating_sub(sent_us), unsure })
    }

    /// The next answer of this shape is to be read twice once more (two reads did not agree).
    pub fn doubt(&mut self, unit: u8, span: Span) {
        let now_us = self.clock.mono_us();
        self.suspect(unit, span, now_us);
    }

    fn suspect(&mut self, unit: u8, span: Span, now_us: u64) {
        if self.is_rtu() {
            self.suspects.retain(|(_, _, until)| *until > now_us);
            self.suspects.push((unit, span, now_us + SUSPECT_US));
        }
    }

    /// Whether an answer of this shape may be the late one to an earlier request; it is under suspicion once.
    fn was_suspect(&mut self, unit: u8, same: impl Fn(&Span) -> bool, now_us: u64) -> bool {
        self.suspects.retain(|(_, _, until)| *until > now_us);
        let before = self.suspects.len();
        self.suspects.retain(|(u, s, _)| *u != unit || !same(s));
        self.suspects.len() < before
    }

    /// Keeps the line silent: 3.5 characters between frames, the guard time after a time-out, the unit's own pause.
    async fn silence(&mut self, pause_ms: u64) {
        let gap_us = match &self.settings.transport {
            Transport::Serial(port) => port.silence_us().max(pause_ms * 1_000),
            Transport::Tcp { .. } | Transport::RtuOverTcp { .. } => pause_ms * 1_000,
        };
        let until = (self.quiet_since_us + gap_us).max(self.guard_until_us);
        let wait_us = until.saturating_sub(self.clock.mono_us());
        if wait_us == 0 {
            return;
        }
        match &mut self.timer {
            Some(timer) => {
                if timer.wait_us(wait_us).await.is_err() {
                    tokio::time::sleep(Duration::from_micros(wait_us)).await;
                }
            }
            None => tokio::time::sleep(Duration::from_micros(wait_us)).await,
        }
    }

    /// No answer came in time.
    fn nothing(&mut self, unit: u8, span: Span, timeout_ms: u64, now_us: u64) -> Cause {
        add(&self.counters.timeouts, 1);
        let state = self.conn.as_ref().map(|c| c.seen.get()).unwrap_or_default();
        if !state.sent {
            // The peer takes no bytes: half a request must not be followed by another.
            self.close();
            return Cause::LinkDown;
        }
        if self.is_rtu() {
            self.guard_until_us = now_us + timeout_ms * 1_000;
            self.suspect(unit, span, now_us);
            if state.received > 0 {
                return Cause::BadFrame;
            }
        }
        Cause::Timeout
    }

    /// The answer was none, or the connection is gone.
    fn broken(&mut self, unit: u8, span: Span, timeout_ms: u64, now_us: u64) -> Cause {
        let state = self.conn.as_ref().map(|c| c.seen.get()).unwrap_or_default();
        if state.dead.is_some() || !state.refused {
            self.close();
            return if state.dead == Some(guard::Death::Unparseable) { Cause::BadFrame } else { Cause::LinkDown };
        }
        if self.is_rtu() {
            self.guard_until_us = now_us + timeout_ms * 1_000;
            self.suspect(unit, span, now_us);
        }
        Cause::BadFrame
    }

    /// Adds what the guard counted since last time.
    fn take_counts(&mut self) {
        let Some(conn) = &mut self.conn else { return };
        let (now, before) = (conn.seen.get(), conn.counted);
        add(&self.counters.late, now.late - before.late);
        add(&self.counters.crossed, now.crossed - before.crossed);
        add(&self.counters.noise_bytes, now.noise_bytes - before.noise_bytes);
        conn.counted = now;
    }
}

enum Said {
    Result(tokio_modbus::Result<Response>),
    Broken,
    Nothing,
}

fn attach<T>(transport: Guard<T>, framing: Framing) -> Context
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + std::fmt::Debug + 'static,
{
    match framing {
        Framing::Tcp { .. } => tokio_modbus::client::tcp::attach(transport),
        Framing::Rtu => tokio_modbus::client::rtu::attach(transport),
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
