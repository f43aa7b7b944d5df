//! Maps rumqttc's errors to the kind of a connection's end.

use std::io;

use crate::http;
use crate::sink::mqtt::client::{End, Ended};

/// Classifies an error of an MQTT 3.1.1 connection.
pub fn of_v4(error: &rumqttc::ConnectionError) -> Ended {
    use rumqttc::{ConnectReturnCode, ConnectionError as C, StateError as S};
    let end = match error {
        C::MqttState(S::Unsolicited(_)) => End::ForeignAck,
        // A broker that does not understand the CONNECT may wait for more bytes, so a timeout counts as closed.
        C::MqttState(S::ConnectionAborted) | C::NetworkTimeout => End::Closed,
        C::MqttState(S::Io(e) | S::Deserialization(rumqttc::mqttbytes::Error::Io(e))) | C::Io(e) => of_io(e),
        C::ConnectionRefused(ConnectReturnCode::RefusedProtocolVersion) | C::NotConnAck(_) => End::NotUnderstood,
        _ => End::Broke,
    };
    Ended { end, words: words(end, http::chain(error)) }
}

/// Classifies an error of an MQTT 5 connection.
pub fn of_v5(error: &rumqttc::v5::ConnectionError) -> Ended {
    use rumqttc::v5::mqttbytes::v5::ConnectReturnCode as Code;
    use rumqttc::v5::{ConnectionError as C, StateError as S};
    let end = match error {
        C::MqttState(S::ServerDisconnect { reason_code, reason_string }) => {
            let said = reason_string.as_ref().map_or(String::new(), |s| format!(": {s}"));
            let code = *reason_code as u8;
            let words = format!("the broker ended the connection: {reason_code:?} (0x{code:02X}){said}");
            let end = of_code(code);
            return Ended { end, words: self::words(end, words) };
        }
        // A DISCONNECT with a reason code that rumqttc does not know, or a CONNACK of another version.
        C::MqttState(S::Deserialization(rumqttc::v5::mqttbytes::Error::InvalidConnectReturnCode(code))) => {
            let what = match code {
                0x93 => " (more messages than it takes at a time)",
                0x95 => " (packet too large)",
                0x99 => " (payload format)",
                _ => "",
            };
            return Ended {
                end: End::NotUnderstood,
                words: format!("the broker ended the connection with 0x{code:02X}{what}"),
            };
        }
        C::MqttState(S::Unsolicited(_)) => End::ForeignAck,
        C::MqttState(S::ConnectionAborted) | C::Timeout(_) => End::Closed,
        C::MqttState(S::Io(e) | S::Deserialization(rumqttc::v5::mqttbytes::Error::Io(e))) | C::Io(e) => of_io(e),
        C::ConnectionRefused(Code::RetainNotSupported) => End::RetainRefused,
        C::ConnectionRefused(Code::QoSNotSupported) => End::QosRefused,
        C::ConnectionRefused(Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion)
        | C::MqttState(S::Deserialization(_))
        | C::NotConnAck(_) => End::NotUnderstood,
        _ => End::Broke,
    };
    Ended { end, words: words(end, http::chain(error)) }
}

/// Classifies a DISCONNECT reason code of MQTT 5. One that concerns the connection or the broker is not attributed to a message.
fn of_code(code: u8) -> End {
    match code {
        0x8E => End::TakenOver,
        // Server busy, shutting down, keep alive timeout, rate too high, administrative action, other server, maximum connect time.
        0x89 | 0x8B | 0x8D | 0x96 | 0x98 | 0x9C | 0x9D | 0x9F | 0xA0 => End::Broke,
        _ => End::Closed,
    }
}

fn of_io(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => End::Closed,
        _ => End::Broke,
    }
}

fn words(end: End, said: String) -> String {
    match end {
        End::Closed if said.contains("closed by peer") => "the broker closed the connection without a word".to_string(),
        End::TakenOver => format!("{said}; another client has the same id: give each a client_id of its own"),
        End::RetainRefused => format!("{said}; retain = false says the same"),
        End::QosRefused => format!("{said}; qos = 0 says the same"),
        _ => said,
    }
}
