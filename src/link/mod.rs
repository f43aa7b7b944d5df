//! One request and its answer on one bus: TCP, RTU on a serial line, RTU over TCP.
//!
//! tokio-modbus speaks, [`guard`] sees to it that only the answer to the request in flight comes through. What a wire without
//! transaction ids cannot tell apart is in [`ambiguity`]. A connection that the other side closes is opened again at once and the
//! request sent once more; so is one that was idle and gives no answer. What a link does not do: decide what is asked, how
//! often, or whether a unit is there (`poll`).

pub mod ambiguity;
pub mod connect;
pub mod counters;
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
use crate::link::connect::{BoxedWire, Dialer};
pub use crate::link::counters::Counters;
use crate::link::counters::add;
use crate::link::guard::{Ear, Framing};
use crate::link::ids::TransactionIds;
use crate::link::record::{FrameRecorder, Recorder};
use crate::link::settings::{LinkSettings, LinkTransport};
use crate::link::timer::Timer;
use crate::model::quality::Cause;
use crate::model::reading::Stamp;
use crate::model::registers::{RegisterBlock, RegisterRange};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkAnswer {
    /// What came.
    pub words: RegisterBlock,
    /// When it came.
    pub at: Stamp,
    /// Microseconds from the request to the answer.
    pub round_trip_us: u64,
    /// It may answer an earlier request: to be read until two agree.
    pub is_ambiguous: bool,
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
/// Reads after which an answer that stays unsure is given up.
const SURE_MAX: usize = 4;

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
    settings: LinkSettings,
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
    pub fn new(settings: LinkSettings, clock: Clock, counters: Arc<Counters>) -> Self {
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
        !matches!(self.settings.transport, LinkTransport::Tcp { .. })
    }

    /// Whether this is a serial port of our own.
    pub fn is_serial(&self) -> bool {
        matches!(self.settings.transport, LinkTransport::Serial(_))
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
            LinkTransport::Tcp { address } | LinkTransport::RtuOverTcp { address } => {
                tapped(connect::tcp(address, wait).await?, to)
            }
            LinkTransport::Serial(port) => tapped(serial::open(port)?, to),
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
    pub async fn read(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, Cause> {
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

    /// The same; an answer that is unsure is read again until two bring the same words.
    ///
    /// # Errors
    /// As [`Link::read`]; [`Cause::Unsettled`] if no two agree.
    pub async fn read_sure(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, Cause> {
        let mut before: Option<Vec<u16>> = None;
        for _ in 0..SURE_MAX {
            let answer = self.read(unit, span, timeout_ms, pause_ms).await?;
            if !answer.is_ambiguous || before.as_ref() == Some(&answer.words.words) {
                return Ok(answer);
            }
            self.settle(unit);
            before = Some(answer.words.words);
        }
        Err(Cause::Unsettled)
    }

    /// One exchange, and once more on a new connection where the old one was gone.
    async fn read_again(
        &mut self,
        unit: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<LinkAnswer, Miss> {
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
            Err(Miss::Unsure) => true,
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

    /// The next request waits until no copy of an answer is reckoned with any more.
    pub fn settle(&mut self, unit: u8) {
        if self.is_ambiguous() {
            let until_us = self.clock.mono_us() + self.ambiguity.settle_us(unit);
            self.guard_until_us = self.guard_until_us.max(until_us);
        }
    }

    /// The next answer of this shape is to be read twice once more (two reads did not agree).
    pub fn doubt(&mut self, unit: u8, span: RegisterRange) {
        if self.is_ambiguous() {
            self.ambiguity.unanswered(unit, span, self.clock.mono_us());
        }
    }
}

fn tapped<T: connect::ByteStream + 'static>(wire: T, to: Option<(Recorder, String, bool)>) -> BoxedWire {
    match to {
        Some(to) => Box::new(FrameRecorder::new(wire, Some(to))),
        None => Box::new(wire),
    }
}
