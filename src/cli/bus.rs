//! How a command reaches a bus: it opens the bus itself, or asks the running gateway that holds it, between poll cycles.

use std::path::PathBuf;
use std::sync::Arc;

use crate::app::control_handlers::Held;
use crate::cli::{Args as Global, CommandFailure};
use crate::clock::Clock;
use crate::control::{self, ControlRequest};
use crate::link::error::LinkError;
use crate::link::serial::PortSettings;
use crate::link::settings::{LinkSettings, LinkTransport};
use crate::link::{Counters, Link};
use crate::model::line::{Parity, SerialParams};
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange};
use crate::scan::RegisterReader;

/// A bus that can be read.
pub enum BusAccess {
    /// Opened by this process.
    Direct {
        link: Box<Link>,
        /// Round trip of the last answer.
        round_trip_ms: Option<u64>,
    },
    /// Polled by a running gateway.
    ThroughGateway {
        /// The gateway's control socket.
        socket: PathBuf,
        link: String,
    },
}

/// The links of the running gateway; none if none runs.
///
/// # Errors
/// One runs and does not answer: a bus that it polls must not be opened a second time.
pub async fn gateway_links(global: &Global) -> Result<Vec<Held>, CommandFailure> {
    match control::send_request(&global.socket(), &ControlRequest::Links).await {
        Ok(links) => serde_json::from_value(links)
            .map_err(|e| CommandFailure::later("the answer cannot be read").because(e.to_string())),
        Err(control::ControlError::NotRunning(_)) => Ok(Vec::new()),
        Err(e) => Err(super::control_failure(&e)),
    }
}

/// Whether both are the same port or address, even under different names.
pub fn is_same(a: &LinkTransport, b: &LinkTransport) -> bool {
    let real = |path: &str| std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    match (a, b) {
        (LinkTransport::Serial(a), LinkTransport::Serial(b)) => real(&a.path) == real(&b.path),
        (LinkTransport::Tcp { address: a }, LinkTransport::Tcp { address: b })
        | (LinkTransport::RtuOverTcp { address: a }, LinkTransport::RtuOverTcp { address: b }) => a == b,
        _ => false,
    }
}

/// The bus that a command names: `tcp://host[:port]`, `rtu://host:port` (RTU over TCP), or `serial:/dev/serial/by-id/NAME` with these serial
/// parameters.
///
/// # Errors
/// The text is none of these.
pub fn transport(text: &str, line: SerialParams) -> Result<LinkTransport, CommandFailure> {
    if let Some(rest) = text.strip_prefix("tcp://") {
        let address = if rest.contains(':') { rest.to_string() } else { format!("{rest}:502") };
        return Ok(LinkTransport::Tcp { address });
    }
    if let Some(address) = text.strip_prefix("rtu://") {
        return Ok(LinkTransport::RtuOverTcp { address: address.to_string() });
    }
    let Some(path) = text.strip_prefix("serial:") else {
        return Err(CommandFailure::usage(format!("`{text}` is no bus"))
            .hint("tcp://192.0.2.10, rtu://192.0.2.10:4001 or serial:/dev/serial/by-id/NAME"));
    };
    Ok(LinkTransport::Serial(PortSettings { path: path.to_string(), line, min_silence_us: 0 }))
}

/// The parity of a serial line.
///
/// # Errors
/// The text is none.
pub fn parity(text: &str) -> Result<Parity, CommandFailure> {
    match text {
        "none" => Ok(Parity::None),
        "even" => Ok(Parity::Even),
        "odd" => Ok(Parity::Odd),
        other => Err(CommandFailure::usage(format!("`{other}` is no parity")).hint("none, even or odd")),
    }
}

/// Settings of a link that a command opens for itself.
pub fn settings(transport: &LinkTransport, timeout_ms: u64) -> LinkSettings {
    LinkSettings {
        id: "command".into(),
        transport: transport.clone(),
        connect_timeout_ms: 3_000,
        timeout_ms,
        settle_ms: 0,
        lenient: crate::link::frame::Lenient::default(),
        close_after_cycle: false,
        timeout_max_ms: None,
        expected_round_trip_ms: 20,
        gateway_line: None,
        overload: true,
        groups_ms: std::collections::BTreeMap::new(),
    }
}

impl BusAccess {
    /// Through the gateway if it holds this bus, else by opening it.
    pub fn connect(global: &Global, polled_links: &[Held], settings: LinkSettings, clock: Clock) -> Self {
        match polled_links.iter().find(|h| is_same(&h.transport, &settings.transport)) {
            Some(h) => Self::ThroughGateway { socket: global.socket(), link: h.link.clone() },
            None => Self::Direct {
                link: Box::new(Link::new(settings, clock, Arc::new(Counters::default()))),
                round_trip_ms: None,
            },
        }
    }

    /// Opens the bus if it belongs to this process and is not open.
    ///
    /// # Errors
    /// The bus cannot be opened.
    pub async fn open(&mut self) -> Result<(), LinkError> {
        match self {
            Self::Direct { link, .. } if !link.is_open() => link.open().await,
            _ => Ok(()),
        }
    }

    /// Whether a gateway polls it.
    pub fn is_through_gateway(&self) -> bool {
        matches!(self, Self::ThroughGateway { .. })
    }

    /// Round trip of the last answer; unknown through a gateway.
    pub fn round_trip_ms(&self) -> Option<u64> {
        match self {
            Self::Direct { round_trip_ms, .. } => *round_trip_ms,
            Self::ThroughGateway { .. } => None,
        }
    }
}

impl RegisterReader for BusAccess {
    async fn read(
        &mut self,
        address: u8,
        span: RegisterRange,
        timeout_ms: u64,
        pause_ms: u64,
    ) -> Result<RegisterBlock, Cause> {
        self.open().await.map_err(|_| Cause::LinkDown)?;
        match self {
            Self::Direct { link, round_trip_ms, .. } => {
                let answer = link.read_confirmed(address, span, timeout_ms, pause_ms).await?;
                *round_trip_ms = Some(answer.round_trip_us / 1_000);
                Ok(answer.words)
            }
            Self::ThroughGateway { socket, link } => {
                let (function, first, count) = (span.register_type.function(), span.address, span.count);
                let request = ControlRequest::Registers {
                    link: link.clone(),
                    unit: address,
                    function,
                    first,
                    count,
                    timeout_ms,
                    pause_ms,
                };
                let answer = control::send_request(socket, &request).await.map_err(|_| Cause::LinkDown)?;
                let read: Result<Vec<u16>, Cause> = serde_json::from_value(answer).map_err(|_| Cause::LinkDown)?;
                read.map(|words| RegisterBlock { range: span, words })
            }
        }
    }
}
