//! The configuration of a link: as written in the file, and resolved for use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::link::frame::Lenient;
use crate::link::serial::PortSettings;
use crate::model::line::{Parity, SerialParams};
use crate::model::time::DurationText;

/// A link as the configuration writes it: `[[link.tcp]]`, `[[link.serial]]` or `[[link.rtu_over_tcp]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpLink {
    /// The link's name, unique among links.
    pub id: String,
    /// Host name or IP address.
    pub host: String,
    /// TCP port on which the device or its gateway listens.
    #[serde(default = "modbus_port")]
    pub port: u16,
    /// Longest wait for a connection, milliseconds.
    #[serde(default = "three_seconds")]
    pub connect_timeout_ms: u64,
    /// Longest wait for an answer where the profile does not say, milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
    /// Wait after connecting before the first request: some gateways need it. Milliseconds.
    #[serde(default)]
    pub settle_ms: u64,
    /// Accept answers that bear another unit id than the request: some gateways answer as 0, 1 or 255.
    #[serde(default)]
    pub any_unit: bool,
    /// `match`: an answer bears the transaction id of its request. `ignore`: for a device that answers with another one, as the
    /// only unit on its link; its answers are then told apart as on a serial line. Default match.
    #[serde(default)]
    pub transaction_id: TransactionId,
    /// Close the connection after each cycle, for devices that serve one client at a time.
    #[serde(default)]
    pub close_after_cycle: bool,
    /// Let the time-out of a unit grow up to this where its answers come late, and shrink again where they do not.
    /// Milliseconds. Default: it stays as it is set.
    pub timeout_max_ms: Option<u64>,
    /// What a round trip is expected to take, for the prediction of `check`; the time on a serial line behind a gateway
    /// comes on top. Milliseconds.
    #[serde(default = "twenty")]
    pub expected_round_trip_ms: u64,
    /// Speed of the serial line behind a gateway or converter, for the prediction of `check`. Default: for `rtu_over_tcp`
    /// what the profiles on this link agree on, else 9600; for `tcp` there is no line.
    pub baud: Option<u32>,
    /// Ask for more than fits: the link is read as fast as it goes, cycles for which there is no time are skipped and
    /// counted, every unit has its turn.
    #[serde(default)]
    pub overload: bool,
    /// How often poll groups of the units on it are read, where it differs from their profiles: `groups = { fast = "5s" }`. A unit's own
    /// `groups` come first.
    #[serde(default)]
    pub groups: BTreeMap<String, DurationText>,
}

/// A serial line on which RTU is spoken: `[[link.serial]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SerialLink {
    /// The link's name, unique among links.
    pub id: String,
    /// The port; a name below /dev/serial/by-id stays the same when adapters are plugged in another order.
    pub port: String,
    /// Bits per second. Default: what the profiles on this line agree on, else 9600.
    pub baud: Option<u32>,
    /// none, even or odd. Default: what the profiles on this line agree on, else none.
    pub parity: Option<Parity>,
    /// 1 or 2. Default: what the profiles on this line agree on, else 1.
    pub stop_bits: Option<u8>,
    /// Longest wait for an answer where the profile does not say, milliseconds.
    #[serde(default = "one_second")]
    pub timeout_ms: u64,
    /// Wait after opening before the first request, milliseconds.
    #[serde(default)]
    pub settle_ms: u64,
    /// Let the time-out of a unit grow up to this where its answers come late, and shrink again where they do not.
    /// Milliseconds. Default: it stays as it is set.
    pub timeout_max_ms: Option<u64>,
    /// Silence between frames where 3.5 characters are not enough, microseconds.
    #[serde(default)]
    pub min_silence_us: u64,
    /// Ask for more than fits: the line is read as fast as it goes, cycles for which there is no time are skipped and
    /// counted, every unit has its turn.
    #[serde(default)]
    pub overload: bool,
    /// How often poll groups of the units on it are read, where it differs from their profiles: `groups = { fast = "5s" }`. A unit's own
    /// `groups` come first.
    #[serde(default)]
    pub groups: BTreeMap<String, DurationText>,
}

/// What is asked of the transaction id of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransactionId {
    /// It is the request's.
    #[default]
    Match,
    /// It may be anything.
    Ignore,
}

fn modbus_port() -> u16 {
    502
}

fn one_second() -> u64 {
    1_000
}

fn three_seconds() -> u64 {
    3_000
}

fn twenty() -> u64 {
    20
}

/// A link of any transport, with the defaults applied.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSettings {
    pub id: String,
    pub transport: LinkTransport,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub settle_ms: u64,
    /// See [`TcpLink::any_unit`] and [`TcpLink::transaction_id`].
    pub lenient: Lenient,
    pub close_after_cycle: bool,
    pub timeout_max_ms: Option<u64>,
    pub expected_round_trip_ms: u64,
    /// The serial line behind a gateway or converter, as far as it is known.
    pub gateway_line: Option<SerialParams>,
    pub overload: bool,
    /// Intervals of poll groups that differ from the profiles', milliseconds.
    pub groups_ms: BTreeMap<String, u64>,
}

fn groups_ms(groups: &BTreeMap<String, DurationText>) -> BTreeMap<String, u64> {
    groups.iter().filter_map(|(name, every)| Some((name.clone(), every.ms()?))).collect()
}

/// What a link runs over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkTransport {
    /// Modbus TCP, with the MBAP header.
    Tcp {
        /// Host and port, as `host:port`.
        address: String,
    },
    /// RTU frames over TCP.
    RtuOverTcp {
        /// Host and port, as `host:port`.
        address: String,
    },
    /// RTU on a serial line.
    Serial(PortSettings),
}

impl LinkTransport {
    /// The address or port, for messages.
    pub fn address(&self) -> &str {
        match self {
            LinkTransport::Tcp { address } | LinkTransport::RtuOverTcp { address } => address,
            LinkTransport::Serial(port) => &port.path,
        }
    }
}

impl TcpLink {
    /// Whether answers may bear any transaction id.
    pub fn ignores_transactions(&self) -> bool {
        self.transaction_id == TransactionId::Ignore
    }

    /// The settings of this link; `rtu`: RTU frames over TCP. `delivered`: serial parameters that the units have by default.
    pub fn settings(&self, rtu: bool, factory_line: SerialParams) -> LinkSettings {
        // An IPv6 address may be written with or without its brackets.
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_string() };
        let address = format!("{host}:{}", self.port);
        LinkSettings {
            id: self.id.clone(),
            transport: if rtu { LinkTransport::RtuOverTcp { address } } else { LinkTransport::Tcp { address } },
            connect_timeout_ms: self.connect_timeout_ms,
            timeout_ms: self.timeout_ms,
            settle_ms: self.settle_ms,
            lenient: Lenient {
                any_unit: self.any_unit,
                any_transaction: !rtu && self.transaction_id == TransactionId::Ignore,
            },
            close_after_cycle: self.close_after_cycle,
            timeout_max_ms: self.timeout_max_ms,
            expected_round_trip_ms: self.expected_round_trip_ms,
            gateway_line: (rtu || self.baud.is_some())
                .then(|| SerialParams { baud: self.baud.unwrap_or(factory_line.baud), ..factory_line }),
            overload: self.overload,
            groups_ms: groups_ms(&self.groups),
        }
    }
}

impl SerialLink {
    /// The settings of this link, with the serial parameters of the maker where the configuration names none.
    pub fn settings(&self, factory_line: SerialParams) -> LinkSettings {
        let line = SerialParams {
            baud: self.baud.unwrap_or(factory_line.baud),
            parity: self.parity.unwrap_or(factory_line.parity),
            stop_bits: self.stop_bits.unwrap_or(factory_line.stop_bits),
        };
        LinkSettings {
            id: self.id.clone(),
            transport: LinkTransport::Serial(PortSettings {
                path: self.port.clone(),
                line,
                min_silence_us: self.min_silence_us,
            }),
            connect_timeout_ms: 0,
            timeout_ms: self.timeout_ms,
            settle_ms: self.settle_ms,
            lenient: Lenient::default(),
            close_after_cycle: false,
            timeout_max_ms: self.timeout_max_ms,
            expected_round_trip_ms: 0,
            gateway_line: None,
            overload: self.overload,
            groups_ms: groups_ms(&self.groups),
        }
    }
}
