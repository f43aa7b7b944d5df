//! Events and messages of a connection, the same for both versions of MQTT.

use crate::sink::error::SinkError;

/// An event on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttEvent {
    /// The broker accepted the connection.
    Connected(BrokerCapabilities),
    /// The next publish went out with this packet id.
    Sent(u16),
    /// The broker acknowledged a packet; `Some` if it rejected it.
    Acked(u16, Option<Refused>),
    /// The broker answered a subscription; the error is the reason for a rejection.
    Subscribed(Result<(), SinkError>),
    /// A message arrived on a subscription.
    Received(ReceivedMessage),
    Other,
}

/// Capabilities that a broker announces (CONNACK); 3.1.1 announces none, so all are assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerCapabilities {
    /// Whether it accepts QoS 1.
    pub supports_qos1: bool,
    /// Whether it retains messages.
    pub supports_retain: bool,
    /// Largest packet that it takes, bytes.
    pub max_packet: Option<u32>,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    pub kind: DisconnectKind,
    pub reason: String,
}

impl Disconnect {
    /// The end of a broken connection, with a reason.
    pub fn broke(reason: impl Into<String>) -> Self {
        Self { kind: DisconnectKind::Broke, reason: reason.into() }
    }
}

/// The kind of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectKind {
    /// The other side does not support this version of MQTT.
    NotUnderstood,
    /// It does not support retained messages, nor a retained last will.
    RetainRefused,
    /// It supports QoS 0 only.
    QosRefused,
    /// Another client with the same client id has connected.
    TakenOver,
    /// It acknowledged a packet that was never sent.
    ForeignAck,
    /// It closed the connection, perhaps because of a message.
    Closed,
    /// The connection broke or could not be made; no message is at fault.
    Broke,
}

/// A message received on a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    pub topic: String,
    pub payload: Vec<u8>,
    /// Whether it is a retained message rather than a new one.
    pub retained: bool,
    /// Topic for the response (MQTT 5).
    pub response_topic: Option<String>,
    /// Correlation data to be returned with the response (MQTT 5).
    pub correlation: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Reason code and reason string.
    pub reason: String,
    /// "Quota exceeded": the message is retried without a limit on attempts.
    pub is_quota_exceeded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttMessage {
    pub topic: String,
    /// Whether it is published as a retained message.
    pub retain: bool,
    pub payload: String,
}
