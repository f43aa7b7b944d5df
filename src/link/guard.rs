//! The transport under tokio-modbus: it knows the request in flight and passes up only the frame that answers it.
//!
//! Without it, the client returns the previous request's value for ever after one time-out on a serial line, and header mismatches
//! for ever on TCP. The guard drops what was received before the request was sent; late frames, foreign frames and noise are counted
//! and named. It replaces the client's transaction ids by random ones. Between two requests the link listens through [`Ear`], so
//! that a surplus frame is detected before the next request.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::link::connect::BoxedWire;
use crate::link::frame::{self, Expect, Field, Lenient, Rejection, Rtu, Tcp};
use crate::link::ids::TransactionIds;

/// How frames are delimited and checked on this transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Tcp(Lenient),
    /// RTU, on a serial line or over TCP.
    Rtu,
}

/// Counts since the last [`Ear::take`], and the state of the request in flight.
#[derive(Clone, Debug, Default)]
pub struct GuardState {
    /// Frames that were not accepted and when they came (monotonic microseconds), oldest first; the newest `REJECTIONS_MAX`.
    pub rejections: VecDeque<(Rejection, u64)>,
    /// Bytes that belonged to no answer.
    pub noise_bytes: u64,
    /// Bytes received since the request was sent.
    pub received: u64,
    /// Bytes received while no request was in flight, since the last request.
    pub stray: u64,
    /// `SURPLUS_BYTES` or more came while no request was in flight, or behind the answer, since the last [`Ear::take`].
    pub surplus: bool,
    /// Those were a complete frame with a good checksum: the other side sends more than was requested.
    pub surplus_frame: bool,
    /// CRC-32 of the answer without its TCP header; computed where answers are distinguished by their content.
    pub answer_sum: u32,
    /// `SURPLUS_BYTES` or more came before the answer, the unit id among them (RTU): it may be the second frame behind a spoilt one.
    pub is_behind: bool,
    /// Those bytes look like a spoilt answer to this request: the frame behind them may answer nothing.
    pub is_behind_frame: bool,
    /// The connection is unusable.
    pub dead: Option<Death>,
    /// The request in flight got a frame with its transaction id that does not answer it.
    pub refused: bool,
    /// The bytes since the request are as long as its answer, and the checksum is wrong.
    pub spoilt: bool,
    /// They are a complete frame of the unit and function, with another number of bytes.
    pub misfit: bool,
    /// The whole request was handed to the operating system.
    pub sent: bool,
}

/// Why a connection is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The peer closed it.
    Closed,
    /// The operating system reported an error.
    Failed,
    /// More than `BABBLE` bytes came without an answer among them.
    Babble,
}

/// Most bytes kept while looking for an answer: two frames.
const MOST: usize = 600;
/// More bytes than this after one request, without an answer among them: the connection is given up.
const BABBLE: u64 = 65_536;
/// Most rejections kept until the link takes them.
const REJECTIONS_MAX: usize = 16;
/// This many unrequested bytes count as a frame, even without a good checksum.
const SURPLUS_BYTES: usize = 5;

#[derive(Debug)]
struct GuardInner {
    wire: BoxedWire,
    clock: Clock,
    framing: Framing,
    ids: TransactionIds,
    expect: Option<Expect>,
    /// The client's own transaction id of the request in flight.
    client_id: [u8; 2],
    /// The request as it is sent, and how much of it has been written.
    request: Vec<u8>,
    written: usize,
    incoming: Vec<u8>,
    answer: Vec<u8>,
    state: GuardState,
    changed: Arc<Notify>,
}

/// The transport that tokio-modbus gets.
#[derive(Debug)]
pub struct Guard(Arc<Mutex<GuardInner>>);

/// The link's side of the same transport.
#[derive(Clone, Debug)]
pub struct Ear {
    inner: Arc<Mutex<GuardInner>>,
    changed: Arc<Notify>,
}

/// A guarded transport and the link's handle to it.
pub fn guard(wire: BoxedWire, framing: Framing, ids: TransactionIds, clock: Clock) -> (Guard, Ear) {
    let changed = Arc::new(Notify::new());
    let inner = GuardInner {
        wire,
        clock,
        framing,
        ids,
        expect: None,
        client_id: [0; 2],
        request: Vec::with_capacity(16),
        written: 0,
        incoming: Vec::with_capacity(MOST),
        answer: Vec::with_capacity(MOST / 2),
        state: GuardState::default(),
        changed: Arc::clone(&changed),
    };
    let inner = Arc::new(Mutex::new(inner));
    (Guard(Arc::clone(&inner)), Ear { inner, changed })
}

impl Ear {
    fn with<R>(&self, f: impl FnOnce(&mut GuardInner) -> R) -> R {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The current state; rejections, noise and surplus are handed over and reset.
    pub fn take(&self) -> GuardState {
        self.with(|inner| {
            let state = inner.state.clone();
            inner.state.rejections.clear();
            inner.state.noise_bytes = 0;
            (inner.state.surplus, inner.state.surplus_frame) = (false, false);
            state
        })
    }

    /// Like [`Ear::take`], and resets the count of stray bytes.
    pub fn take_stray(&self) -> GuardState {
        let state = self.take();
        self.with(|inner| inner.state.stray = 0);
        state
    }

    /// The transaction id of the request in flight.
    pub fn transaction(&self) -> u16 {
        self.with(|inner| inner.ids.current())
    }

    /// Whether the connection is unusable.
    pub fn is_dead(&self) -> bool {
        self.with(|inner| inner.state.dead.is_some())
    }

    /// Completes when the request in flight fails before its time-out; otherwise it never does.
    pub async fn failed(&self) -> LinkFailure {
        loop {
            let failure = self.with(|inner| match &inner.state {
                s if s.dead.is_some() || s.refused => Some(LinkFailure::ForGood),
                s if s.spoilt || s.misfit => Some(LinkFailure::Spoilt { received: s.received, is_misfit: s.misfit }),
                _ => None,
            });
            match failure {
                Some(failure) => return failure,
                None => self.changed.notified().await,
            }
        }
    }

    /// Bytes received since the request was sent.
    pub fn received(&self) -> u64 {
        self.with(|inner| inner.state.received)
    }

    /// Listens while no request is in flight; completes when something was received or the connection died.
    pub async fn hear(&self) {
        std::future::poll_fn(|cx| self.with(|inner| inner.hear(cx))).await;
    }

    /// Takes what was received while no request was in flight, without waiting.
    pub fn drain(&self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.with(|inner| while inner.hear(&mut cx).is_ready() && inner.state.dead.is_none() {});
    }
}

/// How a request failed before its time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFailure {
    /// The connection is dead, or a frame with the transaction id of the request does not answer it.
    ForGood,
    /// A frame of the right length with a wrong checksum; final if nothing follows.
    Spoilt {
        /// Bytes received when that was detected.
        received: u64,
        /// The checksum is right and the number of bytes is not: it may be the late answer to another request.
        is_misfit: bool,
    },
}

impl GuardInner {
    /// Starts a request: nothing received before it may pass. On TCP an incomplete frame stays in `incoming`, to be skipped when it is
    /// complete.
    fn begin(&mut self, request: &[u8], cx: &mut Context<'_>) {
        while self.hear(cx).is_ready() && self.state.dead.is_none() {}
        self.answer.clear();
        self.written = 0;
        self.request.clear();
        self.request.extend_from_slice(request);
        match self.framing {
            Framing::Tcp(lenient) => {
                self.client_id = [request.first().copied().unwrap_or(0), request.get(1).copied().unwrap_or(0)];
                let id = self.ids.draw().to_be_bytes();
                self.request.iter_mut().zip(id).for_each(|(byte, id)| *byte = id);
                self.expect = Expect::of_tcp(&self.request, lenient);
                if lenient.any_transaction {
                    self.incoming.clear();
                }
            }
            Framing::Rtu => {
                self.expect = Expect::of_rtu(request);
                self.incoming.clear();
            }
        }
        let s = &mut self.state;
        (s.is_behind, s.is_behind_frame) = (false, false);
        s.misfit = false;
        (s.received, s.refused, s.spoilt, s.sent, s.stray) = (0, false, false, false, 0);
    }

    /// Reads from the transport into `incoming`. 0 at its end.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0u8; MOST];
        let mut buf = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buf))?;
        self.incoming.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Reads while no request is in flight.
    fn hear(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.dead.is_some() {
            return Poll::Ready(());
        }
        self.expect = None;
        match ready!(self.receive(cx)) {
            Ok(0) => self.die(Death::Closed),
            Ok(n) => {
                self.state.stray += n as u64;
                self.sort();
            }
            Err(_) => self.die(Death::Failed),
        }
        Poll::Ready(())
    }

    fn die(&mut self, death: Death) {
        self.state.dead = Some(death);
        self.changed.notify_one();
    }

    fn reject(&mut self, why: Rejection) {
        let rejections = &mut self.state.rejections;
        if rejections.len() >= REJECTIONS_MAX {
            rejections.pop_front();
        }
        rejections.push_back((why, self.clock.mono_us()));
    }

    /// Moves the answer from `incoming` to `answer` if it is there; drops what is not an answer.
    fn sort(&mut self) {
        match self.framing {
            Framing::Tcp(_) => self.sort_tcp(),
            Framing::Rtu => self.sort_rtu(),
        }
        if self.incoming.len() > MOST {
            let surplus = self.incoming.len() - MOST / 2;
            self.drop_noise(surplus);
        }
        if self.state.received.max(self.state.stray) > BABBLE {
            self.die(Death::Babble);
        }
    }

    fn drop_noise(&mut self, bytes: usize) {
        self.incoming.drain(..bytes);
        self.state.noise_bytes += bytes as u64;
    }

    fn sort_rtu(&mut self) {
        let Some(expect) = self.expect else {
            // No request in flight: bytes are kept until one begins or a frame is complete.
            if let Some(why) = frame::rtu_rejection(&self.incoming, None) {
                self.reject(why);
                self.drop_noise(self.incoming.len());
                (self.state.surplus, self.state.surplus_frame) = (true, true);
            } else if self.incoming.len() >= SURPLUS_BYTES {
                self.state.surplus = true;
            }
            return;
        };
        (self.state.spoilt, self.state.misfit) = (false, false);
        match frame::rtu(&self.incoming, &expect) {
            Rtu::Answer { start, end, noise } => {
                let before = &self.incoming[start - noise..start];
                self.state.is_behind = noise >= SURPLUS_BYTES && before.contains(&expect.unit);
                self.state.is_behind_frame = noise >= SURPLUS_BYTES && frame::may_hold_spoilt(before, &expect);
                self.answer.extend_from_slice(&self.incoming[start..end]);
                self.state.answer_sum = crc32fast::hash(&self.answer);
                self.expect = None;
                let behind = self.incoming.len() - end;
                self.state.surplus |= behind >= SURPLUS_BYTES;
                self.state.surplus_frame |= frame::rtu_rejection(&self.incoming[end..], None).is_some();
                self.drop_noise(self.incoming.len());
                self.state.noise_bytes -= (end - start) as u64;
            }
            Rtu::Spoilt => {
                self.state.spoilt = true;
                self.changed.notify_one();
            }
            Rtu::Partial => {
                let why = frame::rtu_rejection(&self.incoming, Some(&expect));
                if why.is_some_and(|why| why.field == Field::ByteCount) {
                    self.state.misfit = true;
                    self.changed.notify_one();
                }
            }
        }
    }

    fn sort_tcp(&mut self) {
        while self.answer.is_empty() && !self.incoming.is_empty() {
            match frame::tcp(&self.incoming, self.expect.as_ref()) {
                Tcp::Partial => return,
                Tcp::Answer { start, end } => {
                    self.drop_noise(start);
                    self.answer.extend(self.incoming.drain(..end - start));
                    if matches!(self.framing, Framing::Tcp(l) if l.any_transaction) {
                        self.state.answer_sum = crc32fast::hash(&self.answer[6..]);
                    }
                    // The client checks both ids too, so it gets its own back.
                    self.answer.iter_mut().zip(self.client_id).for_each(|(byte, id)| *byte = id);
                    if let (Some(expect), Some(unit)) = (self.expect.take(), self.answer.get_mut(6)) {
                        *unit = expect.unit;
                    }
                }
                Tcp::Rejected(end, why) => {
                    self.ids.avoid(u16::from_be_bytes([self.incoming[0], self.incoming[1]]));
                    self.incoming.drain(..end);
                    self.reject(why);
                    let is_lenient = matches!(self.framing, Framing::Tcp(l) if l.any_transaction);
                    if is_lenient && why.field == Field::Unasked {
                        (self.state.surplus, self.state.surplus_frame) = (true, true);
                    }
                    if !matches!(why.field, Field::Transaction | Field::Unasked) && !is_lenient {
                        self.state.refused = true;
                        self.expect = None;
                        self.changed.notify_one();
                    }
                }
                Tcp::Surplus(bytes) => self.drop_noise(bytes),
            }
        }
    }

    /// Records which field was wrong in the bytes that did not answer a serial request.
    fn name_rejected(&mut self) {
        if self.framing == Framing::Rtu
            && !self.incoming.is_empty()
            && let Some(why) = frame::rtu_rejection(&self.incoming, self.expect.as_ref())
        {
            self.reject(why);
        }
    }
}

impl Ear {
    /// Gives up the request in flight: the bytes received for it are recorded, and no answer is expected any more.
    pub fn give_up(&self) {
        self.with(|inner| {
            inner.name_rejected();
            inner.expect = None;
            if inner.framing == Framing::Rtu {
                inner.drop_noise(inner.incoming.len());
            }
        });
    }
}

impl Guard {
    fn inner(&self) -> std::sync::MutexGuard<'_, GuardInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut this = self.inner();
        loop {
            if !this.answer.is_empty() {
                let n = this.answer.len().min(buf.remaining());
                buf.put_slice(&this.answer[..n]);
                this.answer.drain(..n);
                return Poll::Ready(Ok(()));
            }
            if this.state.dead.is_some() {
                return Poll::Pending; // `failed` has completed: the link drops this future
            }
            match ready!(this.receive(cx)) {
                Ok(0) => this.die(Death::Closed),
                Ok(n) => {
                    this.state.received += n as u64;
                    this.sort();
                }
                Err(_) => this.die(Death::Failed),
            }
        }
    }
}

impl AsyncWrite for Guard {
    /// One call carries a whole request (the codec's buffer); it is sent with a transaction id of the guard.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut this = self.inner();
        if this.written >= this.request.len() {
            this.begin(buf, cx);
        }
        let GuardInner { wire, request, written, .. } = &mut *this;
        let n = match ready!(Pin::new(wire).poll_write(cx, &request[*written..])) {
            Ok(n) => n,
            Err(e) => {
                this.die(Death::Failed);
                return Poll::Ready(Err(e));
            }
        };
        *written += n;
        if this.written >= this.request.len() {
            this.state.sent = true;
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().wire).poll_shutdown(cx)
    }
}
