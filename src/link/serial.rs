//! Serial ports: opened exclusively and locked (TIOCEXCL and flock, by the library), with the silence that RTU prescribes.

use std::pin::Pin;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::{DataBits, SerialPortBuilderExt as _, SerialStream, StopBits};

use crate::link::error::LinkError;
use crate::model::line::{Parity, SerialParams};

/// A serial port as it is to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSettings {
    /// Path of the device file, such as `/dev/ttyUSB0`.
    pub path: String,
    /// Speed and form of the characters.
    pub line: SerialParams,
    /// Silence between frames where 3.5 characters are not enough.
    pub min_silence_us: u64,
}

impl PortSettings {
    /// Silence between frames, microseconds.
    pub fn silence_us(&self) -> u64 {
        self.line.silence_us().max(self.min_silence_us)
    }
}

#[derive(Debug)]
pub struct Port {
    stream: SerialStream,
}

/// Opens a port for exclusive use.
///
/// # Errors
/// A message that names the port and the error of the operating system.
pub fn open(settings: &PortSettings) -> Result<Port, LinkError> {
    let path = &settings.path;
    let parity = match settings.line.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits = if settings.line.stop_bits == 2 { StopBits::Two } else { StopBits::One };
    let stream = tokio_serial::new(path, settings.line.baud)
        .data_bits(DataBits::Eight)
        .parity(parity)
        .stop_bits(stop_bits)
        .open_native_async()
        .map_err(|e| LinkError::Port { path: path.clone(), reason: e.to_string() })?;
    Ok(Port { stream })
}

impl AsyncRead for Port {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // SerialStream's own flush calls tcdrain, which blocks the thread until the last bit is on the line.
        let _ = (self, cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
