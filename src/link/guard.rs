//! The transport under tokio-modbus: it knows the request in flight and passes up only the frame that answers it.
//!
//! Without it, the client returns the previous request's value for ever after one time-out on a serial line, and header mismatches
//! for ever on TCP. The guard drops what was received before the request was sent; late frames, foreign frames and noise are counted
//! and named. It replaces the client's transaction ids by random ones. Between two requests the link listens through [`GuardHandle`], so
//! that a surplus frame is detected before the next request.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::link::connect::BoxedByteStream;
use crate::link::frame::{self, Expect, Field, Lenient, Rejection, Rtu, Tcp};
use crate::link::ids::TransactionIds;
use crate::lock::lock;

/// How frames are delimited and checked on this transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Tcp(Lenient),
    /// RTU, on a serial line or over TCP.
    Rtu,
}

/// Counts since the last [`GuardHandle::take`], and the state of the request in flight.
#[derive(Clone, Debug, Default)]
pub struct GuardState {
    /// Frames that were not accepted and when they came (monotonic microseconds), oldest first; the newest `REJECTIONS_MAX`.
    pub rejections: VecDeque<(Rejection, u64)>,
    /// Bytes that belonged to no answer.
    pub noise_bytes: u64,
    /// Bytes received since the request was sent.
    pub received_bytes: u64,
    /// Bytes received while no request was in flight, since the last request.
    pub stray_bytes: u64,
    /// `SURPLUS_BYTES` or more came while no request was in flight, or behind the answer, since the last [`GuardHandle::take`].
    pub has_surplus: bool,
    /// Those were a complete frame with a good checksum: the other side sends more than was requested.
    pub has_surplus_frame: bool,
    /// CRC-32 of the answer without its TCP header; computed where answers are distinguished by their content.
    pub answer_crc: u32,
    /// `SURPLUS_BYTES` or more came before the answer, the unit id among them (RTU): it may be the second frame behind a spoilt one.
    pub has_leading_bytes: bool,
    /// Those bytes look like a spoilt answer to this request: the frame behind them may answer nothing.
    pub has_leading_frame: bool,
    /// The connection is unusable.
    pub failure: Option<ConnectionFailure>,
    /// The request in flight got a frame with its transaction id that does not answer it.
    pub is_mismatched: bool,
    /// The bytes since the request are as long as its answer, and the checksum is wrong.
    pub is_spoilt: bool,
    /// They are a complete frame of the unit and function, with another number of bytes.
    pub is_wrong_length: bool,
    /// The whole request was handed to the operating system.
    pub is_sent: bool,
}

/// Why a connection is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFailure {
    /// The peer closed it.
    Closed,
    /// The operating system reported an error.
    Failed,
    /// More than `BABBLE_BYTES` bytes came without an answer among them.
    Babble,
}

/// Most bytes kept while looking for an answer: two frames.
const BUFFER_MAX: usize = 600;
/// More bytes than this after one request, without an answer among them: the connection is given up.
const BABBLE_BYTES: u64 = 65_536;
/// Most rejections kept until the link takes them.
const REJECTIONS_MAX: usize = 16;
/// This many unrequested bytes count as a frame, even without a good checksum.
const SURPLUS_BYTES: usize = 5;

#[derive(Debug)]
struct GuardInner {
    stream: BoxedByteStream,
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
pub struct GuardHandle {
    inner: Arc<Mutex<GuardInner>>,
    changed: Arc<Notify>,
}

/// A guarded transport and the link's handle to it.
pub fn guard(stream: BoxedByteStream, framing: Framing, ids: TransactionIds, clock: Clock) -> (Guard, GuardHandle) {
    let changed = Arc::new(Notify::new());
    let inner = GuardInner {
        stream,
        clock,
        framing,
        ids,
        expect: None,
        client_id: [0; 2],
        request: Vec::with_capacity(16),
        written: 0,
        incoming: Vec::with_capacity(BUFFER_MAX),
        answer: Vec::with_capacity(BUFFER_MAX / 2),
        state: GuardState::default(),
        changed: Arc::clone(&changed),
    };
    let inner = Arc::new(Mutex::new(inner));
    (Guard(Arc::clone(&inner)), GuardHandle { inner, changed })
}

impl GuardHandle {
    fn with<R>(&self, f: impl FnOnce(&mut GuardInner) -> R) -> R {
        f(&mut lock(&self.inner))
    }

    /// The current state; rejections, noise and surplus are handed over and reset.
    pub fn take(&self) -> GuardState {
        self.with(|inner| {
            let state = inner.state.clone();
            inner.state.rejections.clear();
            inner.state.noise_bytes = 0;
            (inner.state.has_surplus, inner.state.has_surplus_frame) = (false, false);
            state
        })
    }

    /// Like [`GuardHandle::take`], and resets the count of stray bytes.
    pub fn take_stray(&self) -> GuardState {
        let state = self.take();
        self.with(|inner| inner.state.stray_bytes = 0);
        state
    }

    /// The transaction id of the request in flight.
    pub fn transaction(&self) -> u16 {
        self.with(|inner| inner.ids.current())
    }

    /// Whether the connection is unusable.
    pub fn is_dead(&self) -> bool {
        self.with(|inner| inner.state.failure.is_some())
    }

    /// Completes when the request in flight fails before its time-out; otherwise it never does.
    pub async fn failed(&self) -> RequestFailure {
        loop {
            let failure = self.with(|inner| match &inner.state {
                s if s.failure.is_some() || s.is_mismatched => Some(RequestFailure::Final),
                s if s.is_spoilt || s.is_wrong_length => {
                    Some(RequestFailure::Spoilt { received: s.received_bytes, is_wrong_length: s.is_wrong_length })
                }
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
        self.with(|inner| inner.state.received_bytes)
    }

    /// Listens while no request is in flight; completes when something was received or the connection died.
    pub async fn listen(&self) {
        std::future::poll_fn(|cx| self.with(|inner| inner.poll_stray(cx))).await;
    }

    /// Takes what was received while no request was in flight, without waiting.
    pub fn drain(&self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.with(|inner| while inner.poll_stray(&mut cx).is_ready() && inner.state.failure.is_none() {});
    }
}

/// How a request failed before its time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// The connection is dead, or a frame with the transaction id of the request does not answer it.
    Final,
    /// A frame of the right length with a wrong checksum; final if nothing follows.
    Spoilt {
        /// Bytes received when that was detected.
        received: u64,
        /// The checksum is right and the number of bytes is not: it may be the late answer to another request.
        is_wrong_length: bool,
    },
}

impl GuardInner {
    /// Starts a request: nothing received before it may pass. On TCP an incomplete frame stays in `incoming`, to be skipped when it is
    /// complete.
    fn begin(&mut self, request: &[u8], cx: &mut Context<'_>) {
        while self.poll_stray(cx).is_ready() && self.state.failure.is_none() {}
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
        (s.has_leading_bytes, s.has_leading_frame) = (false, false);
        s.is_wrong_length = false;
        (s.received_bytes, s.is_mismatched, s.is_spoilt, s.is_sent, s.stray_bytes) = (0, false, false, false, 0);
    }

    /// Reads from the transport into `incoming`. 0 at its end.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0u8; BUFFER_MAX];
        let mut buf = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        self.incoming.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Reads while no request is in flight.
    fn poll_stray(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.failure.is_some() {
            return Poll::Ready(());
        }
        self.expect = None;
        match ready!(self.receive(cx)) {
            Ok(0) => self.set_failure(ConnectionFailure::Closed),
            Ok(n) => {
                self.state.stray_bytes += n as u64;
                self.extract_answer();
            }
            Err(_) => self.set_failure(ConnectionFailure::Failed),
        }
        Poll::Ready(())
    }

    fn set_failure(&mut self, failure: ConnectionFailure) {
        self.state.failure = Some(failure);
        self.changed.notify_one();
    }

    fn reject(&mut self, rejection: Rejection) {
        let rejections = &mut self.state.rejections;
        if rejections.len() >= REJECTIONS_MAX {
            rejections.pop_front();
        }
        rejections.push_back((rejection, self.clock.mono_us()));
    }

    /// Moves the answer from `incoming` to `answer` if it is there; drops what is not an answer.
    fn extract_answer(&mut self) {
        match self.framing {
            Framing::Tcp(_) => self.extract_tcp(),
            Framing::Rtu => self.extract_rtu(),
        }
        if self.incoming.len() > BUFFER_MAX {
            let surplus = self.incoming.len() - BUFFER_MAX / 2;
            self.drop_noise(surplus);
        }
        if self.state.received_bytes.max(self.state.stray_bytes) > BABBLE_BYTES {
            self.set_failure(ConnectionFailure::Babble);
        }
    }

    fn drop_noise(&mut self, bytes: usize) {
        self.incoming.drain(..bytes);
        self.state.noise_bytes += bytes as u64;
    }

    fn extract_rtu(&mut self) {
        let Some(expect) = self.expect else {
            // No request in flight: bytes are kept until one begins or a frame is complete.
            if let Some(why) = frame::rtu_rejection(&self.incoming, None) {
                self.reject(why);
                self.drop_noise(self.incoming.len());
                (self.state.has_surplus, self.state.has_surplus_frame) = (true, true);
            } else if self.incoming.len() >= SURPLUS_BYTES {
                self.state.has_surplus = true;
            }
            return;
        };
        (self.state.is_spoilt, self.state.is_wrong_length) = (false, false);
        match frame::rtu(&self.incoming, &expect) {
            Rtu::Answer { start, end, noise } => {
                let before = &self.incoming[start - noise..start];
                self.state.has_leading_bytes = noise >= SURPLUS_BYTES && before.contains(&expect.unit);
                self.state.has_leading_frame = noise >= SURPLUS_BYTES && frame::may_hold_spoilt(before, &expect);
                self.answer.extend_from_slice(&self.incoming[start..end]);
                self.state.answer_crc = crc32fast::hash(&self.answer);
                self.expect = None;
                let behind = self.incoming.len() - end;
                self.state.has_surplus |= behind >= SURPLUS_BYTES;
                self.state.has_surplus_frame |= frame::rtu_rejection(&self.incoming[end..], None).is_some();
                self.drop_noise(self.incoming.len());
                self.state.noise_bytes -= (end - start) as u64;
            }
            Rtu::Spoilt => {
                self.state.is_spoilt = true;
                self.changed.notify_one();
            }
            Rtu::Partial => {
                let why = frame::rtu_rejection(&self.incoming, Some(&expect));
                if why.is_some_and(|why| why.field == Field::ByteCount) {
                    self.state.is_wrong_length = true;
                    self.changed.notify_one();
                }
            }
        }
    }

    fn extract_tcp(&mut self) {
        while self.answer.is_empty() && !self.incoming.is_empty() {
            match frame::tcp(&self.incoming, self.expect.as_ref()) {
                Tcp::Partial => return,
                Tcp::Answer { start, end } => {
                    self.drop_noise(start);
                    self.answer.extend(self.incoming.drain(..end - start));
                    if matches!(self.framing, Framing::Tcp(l) if l.any_transaction) {
                        self.state.answer_crc = crc32fast::hash(&self.answer[6..]);
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
                    if is_lenient && why.field == Field::Unsolicited {
                        (self.state.has_surplus, self.state.has_surplus_frame) = (true, true);
                    }
                    if !matches!(why.field, Field::Transaction | Field::Unsolicited) && !is_lenient {
                        self.state.is_mismatched = true;
                        self.expect = None;
                        self.changed.notify_one();
                    }
                }
                Tcp::Surplus(bytes) => self.drop_noise(bytes),
            }
        }
    }

    /// Records which field was wrong in the bytes that did not answer a serial request.
    fn record_unmatched(&mut self) {
        if self.framing == Framing::Rtu
            && !self.incoming.is_empty()
            && let Some(why) = frame::rtu_rejection(&self.incoming, self.expect.as_ref())
        {
            self.reject(why);
        }
    }
}

impl GuardHandle {
    /// Gives up the request in flight: the bytes received for it are recorded, and no answer is expected any more.
    pub fn give_up(&self) {
        self.with(|inner| {
            inner.record_unmatched();
            inner.expect = None;
            if inner.framing == Framing::Rtu {
                inner.drop_noise(inner.incoming.len());
            }
        });
    }
}

impl Guard {
    fn inner(&self) -> std::sync::MutexGuard<'_, GuardInner> {
        lock(&self.0)
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
            if this.state.failure.is_some() {
                return Poll::Pending; // `failed` has completed: the link drops this future
            }
            match ready!(this.receive(cx)) {
                Ok(0) => this.set_failure(ConnectionFailure::Closed),
                Ok(n) => {
                    this.state.received_bytes += n as u64;
                    this.extract_answer();
                }
                Err(_) => this.set_failure(ConnectionFailure::Failed),
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
        let GuardInner { stream: wire, request, written, .. } = &mut *this;
        let n = match ready!(Pin::new(wire).poll_write(cx, &request[*written..])) {
            Ok(n) => n,
            Err(e) => {
                this.set_failure(ConnectionFailure::Failed);
                return Poll::Ready(Err(e));
            }
        };
        *written += n;
        if this.written >= this.request.len() {
            this.state.is_sent = true;
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().stream).poll_shutdown(cx)
    }
}
