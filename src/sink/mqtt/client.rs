//! One interface to rumqttc for both MQTT versions. A client is created for each connection, so that no state of an earlier session is left
//! in it: the journal is the outbox.

use std::time::Duration;

use rumqttc::{NetworkOptions, TlsConfiguration, Transport};

use crate::http::files::{LoadedFiles, SYSTEM_CA};
use crate::sink::error::SinkError;
use crate::sink::mqtt::disconnect;
use crate::sink::mqtt::event::{BrokerCapabilities, Disconnect, MqttEvent, MqttMessage, ReceivedMessage, Refused};
use crate::sink::mqtt::negotiation::Offer;
use crate::sink::mqtt::settings::{MqttSettings, Version};

enum VersionedClient {
    V4(rumqttc::AsyncClient, Box<rumqttc::EventLoop>),
    V5(rumqttc::v5::AsyncClient, Box<rumqttc::v5::EventLoop>),
}

pub struct Connection {
    inner: VersionedClient,
    offer: Offer,
}

/// Largest packet that is taken from a broker, bytes: a warning with its topic.
const INCOMING_MAX: u32 = 272 * 1024;

impl Connection {
    /// Creates a connection, which is made at the first `poll`. The broker publishes the last will if it breaks.
    ///
    /// # Errors
    /// The URL is invalid, or a file cannot be read.
    pub fn new(
        (settings, files): (&MqttSettings, &LoadedFiles),
        offer: Offer,
        client_id: &str,
        will: &MqttMessage,
    ) -> Result<Self, SinkError> {
        Self::open((settings, files), offer, client_id, Some(will))
    }

    /// As `new`, without a last will.
    ///
    /// # Errors
    /// The URL is invalid, or a file cannot be read.
    pub fn without_will(
        (settings, files): (&MqttSettings, &LoadedFiles),
        offer: Offer,
        client_id: &str,
    ) -> Result<Self, SinkError> {
        Self::open((settings, files), offer, client_id, None)
    }

    fn open(
        (settings, files): (&MqttSettings, &LoadedFiles),
        offer: Offer,
        client_id: &str,
        will: Option<&MqttMessage>,
    ) -> Result<Self, SinkError> {
        let address = settings.address()?;
        let keep_alive = Duration::from_secs(settings.keep_alive_s);
        let password = files.secret(settings.password.as_ref(), settings.password_file.as_ref())?;
        let transport = if address.tls { Transport::Tls(tls(settings, files)?) } else { Transport::Tcp };
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(5);
        let window = settings.inflight.max(1);
        let capacity = usize::from(window);
        let inner = match offer.version {
            Version::V311 => {
                let mut o = rumqttc::MqttOptions::new(client_id, address.host, address.port);
                o.set_keep_alive(keep_alive).set_clean_session(true).set_inflight(window).set_transport(transport);
                o.set_max_packet_size(INCOMING_MAX as usize, settings.max_packet_bytes);
                if let Some(will) = will {
                    let (qos, retain) = (qos_v4(offer), will.retain && offer.retain);
                    o.set_last_will(rumqttc::LastWill::new(&will.topic, will.payload.as_str(), qos, retain));
                }
                if let Some(user) = &settings.username {
                    o.set_credentials(user, password.as_deref().unwrap_or_default());
                }
                let (client, mut event_loop) = rumqttc::AsyncClient::new(o, capacity);
                event_loop.set_network_options(network);
                VersionedClient::V4(client, Box::new(event_loop))
            }
            Version::V5 => {
                let mut o = rumqttc::v5::MqttOptions::new(client_id, address.host, address.port);
                o.set_keep_alive(keep_alive).set_clean_start(true).set_transport(transport).set_connection_timeout(5);
                o.set_outgoing_inflight_upper_limit(window);
                // Announced to the broker, which sends no larger packet: a warning has up to 256 kB, and rumqttc's own limit is 10 kB.
                o.set_max_packet_size(Some(INCOMING_MAX));
                o.set_network_options(network);
                if let Some(will) = will {
                    o.set_last_will(rumqttc::v5::mqttbytes::v5::LastWill::new(
                        will.topic.as_str(),
                        will.payload.clone(),
                        qos_v5(offer),
                        will.retain && offer.retain,
                        None,
                    ));
                }
                if let Some(user) = &settings.username {
                    o.set_credentials(user, password.as_deref().unwrap_or_default());
                }
                let (client, event_loop) = rumqttc::v5::AsyncClient::new(o, capacity);
                VersionedClient::V5(client, Box::new(event_loop))
            }
        };
        Ok(Self { inner, offer })
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The connection has ended; it must not be polled again.
    pub async fn poll(&mut self) -> Result<MqttEvent, Disconnect> {
        match &mut self.inner {
            VersionedClient::V4(_, event_loop) => {
                event_loop.poll().await.map(event_from_v4).map_err(|e| disconnect::classify_v4(&e))
            }
            VersionedClient::V5(_, event_loop) => {
                event_loop.poll().await.map(event_from_v5).map_err(|e| disconnect::classify_v5(&e))
            }
        }
    }

    /// Restricts QoS and retained messages to an offer, from now on.
    pub fn limit(&mut self, offer: Offer) {
        self.offer = offer;
    }

    /// Queues a message in rumqttc's channel; `false` if the channel is full.
    pub fn try_publish(&self, message: &MqttMessage) -> bool {
        let MqttMessage { topic, payload, .. } = message;
        let retain = message.retain && self.offer.retain;
        match &self.inner {
            VersionedClient::V4(client, _) => {
                client.try_publish(topic, qos_v4(self.offer), retain, payload.as_str()).is_ok()
            }
            VersionedClient::V5(client, _) => {
                client.try_publish(topic, qos_v5(self.offer), retain, payload.clone()).is_ok()
            }
        }
    }

    /// Subscribes to a topic filter; `false` if the channel is full.
    pub fn subscribe(&self, filter: &str) -> bool {
        match &self.inner {
            VersionedClient::V4(client, _) => client.try_subscribe(filter, rumqttc::QoS::AtLeastOnce).is_ok(),
            VersionedClient::V5(client, _) => {
                client.try_subscribe(filter, rumqttc::v5::mqttbytes::QoS::AtLeastOnce).is_ok()
            }
        }
    }

    /// Publishes a response; it is dropped if the channel is full.
    pub fn respond(&self, message: &MqttMessage, correlation: Option<Vec<u8>>) {
        let _gone = match &self.inner {
            VersionedClient::V4(..) => self.try_publish(message),
            VersionedClient::V5(client, _) => {
                let properties = rumqttc::v5::mqttbytes::v5::PublishProperties {
                    correlation_data: correlation.map(Into::into),
                    ..Default::default()
                };
                let qos = qos_v5(self.offer);
                let MqttMessage { topic, retain, payload } = message;
                client.try_publish_with_properties(topic, qos, *retain, payload.clone(), properties).is_ok()
            }
        };
    }

    /// Sends a DISCONNECT, so that the broker does not publish the last will.
    pub fn disconnect(&self) {
        let _too_late_anyway = match &self.inner {
            VersionedClient::V4(client, _) => client.try_disconnect().is_ok(),
            VersionedClient::V5(client, _) => client.try_disconnect().is_ok(),
        };
    }
}

fn qos_v4(offer: Offer) -> rumqttc::QoS {
    if offer.is_qos1 { rumqttc::QoS::AtLeastOnce } else { rumqttc::QoS::AtMostOnce }
}

fn qos_v5(offer: Offer) -> rumqttc::v5::mqttbytes::QoS {
    use rumqttc::v5::mqttbytes::QoS;
    if offer.is_qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce }
}

fn event_from_v4(event: rumqttc::Event) -> MqttEvent {
    use rumqttc::{Event, Outgoing, Packet};
    match event {
        Event::Incoming(Packet::ConnAck(_)) => {
            MqttEvent::Connected(BrokerCapabilities { supports_qos1: true, supports_retain: true, max_packet: None })
        }
        Event::Incoming(Packet::PubAck(ack)) => MqttEvent::Acked(ack.pkid, None),
        Event::Incoming(Packet::SubAck(ack)) => {
            let is_refused = ack.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure);
            MqttEvent::Subscribed(if is_refused {
                Err(SinkError::Rejected("the broker refuses the subscription".to_string()))
            } else {
                Ok(())
            })
        }
        Event::Outgoing(Outgoing::Publish(pkid)) => MqttEvent::Sent(pkid),
        Event::Incoming(Packet::Publish(p)) => MqttEvent::Received(ReceivedMessage {
            topic: p.topic,
            payload: p.payload.to_vec(),
            retained: p.retain,
            response_topic: None,
            correlation: None,
        }),
        _ => MqttEvent::Other,
    }
}

fn event_from_v5(event: rumqttc::v5::Event) -> MqttEvent {
    use rumqttc::Outgoing;
    use rumqttc::v5::Event;
    use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, Packet, PubAckReason};
    match event {
        Event::Incoming(Packet::ConnAck(ack)) => {
            let says = |f: fn(&ConnAckProperties) -> Option<u8>| ack.properties.as_ref().and_then(f);
            MqttEvent::Connected(BrokerCapabilities {
                supports_qos1: says(|p| p.max_qos) != Some(0),
                supports_retain: says(|p| p.retain_available) != Some(0),
                max_packet: ack.properties.as_ref().and_then(|p| p.max_packet_size),
            })
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            let refused = match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
                reason => {
                    let said = ack.properties.and_then(|p| p.reason_string).map_or(String::new(), |s| format!(": {s}"));
                    Some(Refused {
                        reason: format!("{reason:?}{said}"),
                        is_quota_exceeded: reason == PubAckReason::QuotaExceeded,
                    })
                }
            };
            MqttEvent::Acked(ack.pkid, refused)
        }
        Event::Incoming(Packet::SubAck(ack)) => {
            use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
            let refused = ack.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
            let says = |code| format!("the broker refuses the subscription: {code:?}");
            MqttEvent::Subscribed(refused.map_or(Ok(()), |code| Err(SinkError::Rejected(says(code)))))
        }
        Event::Outgoing(Outgoing::Publish(pkid)) => MqttEvent::Sent(pkid),
        Event::Incoming(Packet::Publish(p)) => {
            let properties = p.properties.unwrap_or_default();
            MqttEvent::Received(ReceivedMessage {
                topic: String::from_utf8_lossy(&p.topic).into_owned(),
                payload: p.payload.to_vec(),
                retained: p.retain,
                response_topic: properties.response_topic,
                correlation: properties.correlation_data.map(|d| d.to_vec()),
            })
        }
        _ => MqttEvent::Other,
    }
}

fn tls(settings: &MqttSettings, files: &LoadedFiles) -> Result<TlsConfiguration, SinkError> {
    let ca = files.bytes(settings.ca_file.as_deref().unwrap_or(SYSTEM_CA))?.to_vec();
    let client_auth = match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => Some((files.bytes(cert)?.to_vec(), files.bytes(key)?.to_vec())),
        (None, None) => None,
        _ => return Err(SinkError::Settings("cert_file and key_file belong together".to_string())),
    };
    Ok(TlsConfiguration::Simple { ca, alpn: None, client_auth })
}
