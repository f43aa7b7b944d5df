//! Maps rumqttc's errors to the kind of a connection's end.

use std::io;

use crate::http;
use crate::sink::mqtt::event::{Disconnect, DisconnectKind};

/// Classifies an error of an MQTT 3.1.1 connection.
pub fn classify_v4(error: &rumqttc::ConnectionError) -> Disconnect {
    use rumqttc::{ConnectReturnCode, ConnectionError as C, StateError as S};
    let end = match error {
        C::MqttState(S::Unsolicited(_)) => DisconnectKind::ForeignAck,
        // A broker that does not understand the CONNECT may wait for more bytes, so a timeout counts as closed.
        C::MqttState(S::ConnectionAborted) | C::NetworkTimeout => DisconnectKind::Closed,
        C::MqttState(S::Io(e) | S::Deserialization(rumqttc::mqttbytes::Error::Io(e))) | C::Io(e) => classify_io(e),
        C::ConnectionRefused(ConnectReturnCode::RefusedProtocolVersion) | C::NotConnAck(_) => {
            DisconnectKind::NotUnderstood
        }
        _ => DisconnectKind::Broke,
    };
    Disconnect { kind: end, reason: words(end, http::chain(error)) }
}

/// Classifies an error of an MQTT 5 connection.
pub fn classify_v5(error: &rumqttc::v5::ConnectionError) -> Disconnect {
    use rumqttc::v5::mqttbytes::v5::ConnectReturnCode as Code;
    use rumqttc::v5::{ConnectionError as C, StateError as S};
    let end = match error {
        C::MqttState(S::ServerDisconnect { reason_code, reason_string }) => {
            let said = reason_string.as_ref().map_or(String::new(), |s| format!(": {s}"));
            let code = *reason_code as u8;
            let words = format!("the broker ended the connection: {reason_code:?} (0x{code:02X}){said}");
            let end = classify_code(code);
            return Disconnect { kind: end, reason: self::words(end, words) };
        }
        // A DISCONNECT with a reason code that rumqttc does not know, or a CONNACK of another version.
        C::MqttState(S::Deserialization(rumqttc::v5::mqttbytes::Error::InvalidConnectReturnCode(code))) => {
            let what = match code {
                0x93 => " (more messages than it takes at a time)",
                0x95 => " (packet too large)",
                0x99 => " (payload format)",
                _ => "",
            };
            return Disconnect {
                kind: DisconnectKind::NotUnderstood,
                reason: format!("the broker ended the connection with 0x{code:02X}{what}"),
            };
        }
        C::MqttState(S::Unsolicited(_)) => DisconnectKind::ForeignAck,
        C::MqttState(S::ConnectionAborted) | C::Timeout(_) => DisconnectKind::Closed,
        C::MqttState(S::Io(e) | S::Deserialization(rumqttc::v5::mqttbytes::Error::Io(e))) | C::Io(e) => classify_io(e),
        C::ConnectionRefused(Code::RetainNotSupported) => DisconnectKind::RetainRefused,
        C::ConnectionRefused(Code::QoSNotSupported) => DisconnectKind::QosRefused,
        C::ConnectionRefused(Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion)
        | C::MqttState(S::Deserialization(_))
        | C::NotConnAck(_) => DisconnectKind::NotUnderstood,
        _ => DisconnectKind::Broke,
    };
    Disconnect { kind: end, reason: words(end, http::chain(error)) }
}

/// Classifies a DISCONNECT reason code of MQTT 5. One that concerns the connection or the broker is not attributed to a message.
fn classify_code(code: u8) -> DisconnectKind {
    match code {
        0x8E => DisconnectKind::TakenOver,
        // Server busy, shutting down, keep alive timeout, rate too high, administrative action, other server, maximum connect time.
        0x89 | 0x8B | 0x8D | 0x96 | 0x98 | 0x9C | 0x9D | 0x9F | 0xA0 => DisconnectKind::Broke,
        _ => DisconnectKind::Closed,
    }
}

fn classify_io(error: &io::Error) -> DisconnectKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => DisconnectKind::Closed,
        _ => DisconnectKind::Broke,
    }
}

fn words(end: DisconnectKind, said: String) -> String {
    match end {
        DisconnectKind::Closed if said.contains("closed by peer") => {
            "the broker closed the connection without a word".to_string()
        }
        DisconnectKind::TakenOver => {
            format!("{said}; another client has the same id: give each a client_id of its own")
        }
        DisconnectKind::RetainRefused => format!("{said}; retain = false says the same"),
        DisconnectKind::QosRefused => format!("{said}; qos = 0 says the same"),
        _ => said,
    }
}
