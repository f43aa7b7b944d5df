//! The transport under tokio-modbus: it knows the request in flight and hands up only the frame that answers it.
//!
//! On its own the client returns, after one time-out on a serial line, the previous request's value for ever, and on TCP
//! header mismatches for ever. Here nothing but the answer passes: what is late, crossed or noise is counted and dropped.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::link::frame::{self, Expect, Rtu, Tcp};

/// How frames lie on this transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Modbus TCP; `any_unit` accepts answers as unit 0 or 255.
    Tcp {
        /// See [`Expect::any_unit`].
        any_unit: bool,
    },
    /// RTU, on a serial line or over TCP.
    Rtu,
}

/// What the guard saw; shared with the link that owns the request.
#[derive(Debug, Default)]
pub struct Seen {
    state: Mutex<State>,
    /// Rings when the request has failed for good before its time is over.
    pub broken: Notify,
}

/// Counts since the guard was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Answers that came after their request was given up.
    pub late: u64,
    /// Frames that bore our transaction id and were no answer to our request.
    pub crossed: u64,
    /// Bytes that belonged to no answer (serial line).
    pub noise_bytes: u64,
    /// Bytes received since the request was sent.
    pub received: u64,
    /// The peer closed, or frame borders are lost: the connection is of no use any more.
    pub dead: Option<Death>,
    /// The request in flight got a crossed answer.
    pub refused: bool,
    /// The request has been handed to the operating system whole.
    pub sent: bool,
}

/// Why a connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The peer closed it.
    Closed,
    /// What came is not Modbus.
    Unparseable,
    /// The operating system reported an error.
    Failed,
}

impl Seen {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of the counts.
    pub fn get(&self) -> State {
        self.with(|s| *s)
    }

    fn die(&self, death: Death) {
        self.with(|s| s.dead = Some(death));
        self.broken.notify_one();
    }
}

/// Most bytes kept while looking for an answer: two frames.
const MOST: usize = 600;

/// A transport that only lets answers through.
#[derive(Debug)]
pub struct Guard<T> {
    inner: T,
    framing: Framing,
    expect: Option<Expect>,
    request_len: usize,
    written: usize,
    came: Vec<u8>,
    up: Vec<u8>,
    seen: Arc<Seen>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Guard<T> {
    /// Wraps a transport.
    pub fn new(inner: T, framing: Framing, seen: Arc<Seen>) -> Self {
        let (came, up) = (Vec::with_capacity(MOST), Vec::with_capacity(MOST));
        Self { inner, framing, expect: None, request_len: 0, written: 0, came, up, seen }
    }

    /// A new request begins: nothing from before it may pass on a serial line; on TCP a half-received late frame stays,
    /// or the frame borders would be lost.
    fn begin(&mut self, request: &[u8], cx: &mut Context<'_>) {
        self.up.clear();
        self.request_len = request.len();
        self.written = 0;
        self.expect = match self.framing {
            Framing::Tcp { any_unit } => Expect::of_tcp(request, any_unit),
            Framing::Rtu => Expect::of_rtu(request),
        };
        if self.framing == Framing::Rtu {
            let mut noise = self.came.len();
            self.came.clear();
            while let Poll::Ready(Ok(n @ 1..)) = self.receive(cx) {
                noise += n;
                self.came.clear();
            }
            self.seen.with(|s| s.noise_bytes += noise as u64);
        }
        self.seen.with(|s| (s.received, s.refused, s.sent) = (0, false, false));
    }

    /// Takes what the transport has into `came`.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0u8; MOST];
        let mut buf = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
        self.came.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Moves the answer from `came` to `up` if it is there; drops what is none.
    fn sort(&mut self) {
        match self.framing {
            Framing::Tcp { .. } => self.sort_tcp(),
            Framing::Rtu => {
                let Some(expect) = &self.expect else { return self.came.clear() };
                if let Rtu::Answer { start, end } = frame::rtu(&self.came, expect) {
                    self.up.extend_from_slice(&self.came[start..end]);
                    let noise = self.came.len() - (end - start);
                    self.came.clear();
                    self.expect = None;
                    self.seen.with(|s| s.noise_bytes += noise as u64);
                } else if self.came.len() > MOST {
                    let surplus = self.came.len() - MOST / 2;
                    self.came.drain(..surplus);
                    self.seen.with(|s| s.noise_bytes += surplus as u64);
                }
            }
        }
    }

    fn sort_tcp(&mut self) {
        while self.up.is_empty() {
            match frame::tcp(&self.came, self.expect.as_ref()) {
                Tcp::Partial => return,
                Tcp::Answer(end) => {
                    self.up.extend(self.came.drain(..end));
                    self.expect = None;
                }
                Tcp::Late(end) => {
                    self.came.drain(..end);
                    self.seen.with(|s| s.late += 1);
                }
                Tcp::Crossed(end) => {
                    self.came.drain(..end);
                    self.expect = None;
                    self.seen.with(|s| {
                        s.crossed += 1;
                        s.refused = true;
                    });
                    self.seen.broken.notify_one();
                }
                Tcp::Unparseable => {
                    self.came.clear();
                    return self.seen.die(Death::Unparseable);
                }
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.up.is_empty() {
                let n = this.up.len().min(buf.remaining());
                buf.put_slice(&this.up[..n]);
                this.up.drain(..n);
                return Poll::Ready(Ok(()));
            }
            if this.seen.get().dead.is_some() {
                return Poll::Pending; // `broken` has rung: the link drops this future
            }
            match ready!(this.receive(cx)) {
                Ok(0) => this.seen.die(Death::Closed),
                Ok(n) => {
                    this.seen.with(|s| s.received += n as u64);
                    this.sort();
                }
                Err(_) => this.seen.die(Death::Failed),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written >= this.request_len {
            this.begin(buf, cx);
        }
        let n = ready!(Pin::new(&mut this.inner).poll_write(cx, buf))?;
        this.written += n;
        if this.written >= this.request_len {
            this.seen.with(|s| s.sent = true);
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
