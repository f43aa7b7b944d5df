//! Records every byte on a link with its time, so that a fault report can be replayed.

#![allow(clippy::disallowed_methods, reason = "of the command `read --record`, which has nothing else to do")]

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::Clock;
use crate::lock::lock;
use crate::model::frames::{Frame, HEAD};

/// A file that several links write to.
#[derive(Clone, Debug)]
pub struct Recorder {
    file: Arc<Mutex<BufWriter<File>>>,
    clock: Clock,
    began_us: u64,
}

impl Recorder {
    /// Creates the file and writes its first line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(path: &Path, clock: &Clock) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(file, "{HEAD}")?;
        Ok(Self { file: Arc::new(Mutex::new(file)), clock: clock.clone(), began_us: clock.mono_us() })
    }

    /// Flushes the file.
    ///
    /// # Errors
    /// What is still buffered cannot be written.
    pub fn end(&self) -> io::Result<()> {
        lock(&self.file).flush()
    }

    fn write(&self, link: &str, is_rtu: bool, is_sent: bool, bytes: &[u8]) {
        let at_us = self.clock.mono_us().saturating_sub(self.began_us);
        let frame = Frame { at_us, link: link.to_string(), is_rtu, is_sent, bytes: bytes.to_vec() };
        let mut file = lock(&self.file);
        let _reported_by_end = writeln!(file, "{}", frame.to_line());
    }
}

/// A transport whose bytes are recorded where a recorder is given.
#[derive(Debug)]
pub struct FrameRecorder<T> {
    inner: T,
    to: Option<(Recorder, String, bool)>,
}

impl<T> FrameRecorder<T> {
    /// Wraps a transport; `to` is the recorder, the link's name and whether frames lie as RTU.
    pub fn new(inner: T, to: Option<(Recorder, String, bool)>) -> Self {
        Self { inner, to }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FrameRecorder<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
        if let Some((recorder, link, is_rtu)) = &this.to
            && buf.filled().len() > before
        {
            recorder.write(link, *is_rtu, false, &buf.filled()[before..]);
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FrameRecorder<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes));
        if let (Some((recorder, link, is_rtu)), Ok(n)) = (&this.to, &result) {
            recorder.write(link, *is_rtu, true, &bytes[..*n]);
        }
        Poll::Ready(result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
