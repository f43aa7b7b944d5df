//! Configuration of an MQTT sink.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::sink::error::SinkError;
use crate::sink::report;

/// An MQTT broker that gets readings and states: `[[sink.mqtt]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttSettings {
    /// The sink's name, unique among sinks.
    pub name: String,
    /// `mqtt://host:1883`, or `mqtts://host:8883` for TLS.
    pub url: String,
    /// `5` or `3.1.1`. Default: 5, and 3.1.1 where the broker does not understand it.
    pub version: Option<Version>,
    /// 1: the broker acknowledges each message. 0: it does not, and what is on the way when a connection breaks is lost.
    #[serde(default = "one")]
    pub qos: u8,
    /// Whether states are retained: the broker keeps them for later subscribers.
    #[serde(default = "yes")]
    pub retain: bool,
    /// Client id, of this sink alone. Default: `plantroom-`, the site's id and the sink's name.
    pub client_id: Option<String>,
    /// User name for the broker; without it there is no login, and a password is an error.
    pub username: Option<String>,
    /// Password; better in a file.
    pub password: Option<String>,
    /// File that holds the password.
    pub password_file: Option<String>,
    /// PEM file with the authorities that are trusted. Default: the system's.
    pub ca_file: Option<String>,
    /// PEM file with the client's certificate.
    pub cert_file: Option<String>,
    /// PEM file with the client's key.
    pub key_file: Option<String>,
    /// Messages on the way that the broker has not acknowledged yet.
    #[serde(default = "fifty")]
    pub inflight: u16,
    /// Seconds after which a message that is not acknowledged ends the connection.
    #[serde(default = "thirty")]
    pub ack_timeout_s: u64,
    /// Seconds between signs of life.
    #[serde(default = "thirty")]
    pub keep_alive_s: u64,
    /// Largest message, bytes: a reading that is larger is sent in parts.
    #[serde(default = "one_mb")]
    pub max_packet_bytes: usize,
    /// First level of every topic.
    #[serde(default = "plantroom")]
    pub prefix: String,
    /// Whether commands are taken from this broker: whoever may publish below `…/command/` can take alarms.
    #[serde(default)]
    pub commands: bool,
    /// Report by exception: which changes are too small to be sent. Default: every value is sent.
    #[serde(default)]
    pub report: report::ReportSettings,
}

/// Version of the MQTT protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    /// MQTT 5, with reasons for refusals.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1, for brokers that do not understand 5.
    #[serde(rename = "3.1.1")]
    V311,
}

fn one() -> u8 {
    1
}

fn yes() -> bool {
    true
}

fn fifty() -> u16 {
    50
}

fn thirty() -> u64 {
    30
}

fn one_mb() -> usize {
    1_000_000
}

fn plantroom() -> String {
    "plantroom".to_string()
}

/// A parsed broker URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    pub port: u16,
    /// Whether TLS is used (`mqtts`).
    pub tls: bool,
}

impl MqttSettings {
    /// Settings with a name and a URL; everything else has its default.
    pub fn plain(name: &str, url: &str) -> Self {
        Self {
            name: name.to_string(),
            url: url.to_string(),
            version: None,
            qos: one(),
            retain: yes(),
            client_id: None,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            inflight: fifty(),
            ack_timeout_s: thirty(),
            keep_alive_s: thirty(),
            max_packet_bytes: one_mb(),
            prefix: plantroom(),
            commands: false,
            report: report::ReportSettings::default(),
        }
    }

    /// The MQTT client id. Two clients with one id end each other's connections.
    pub fn client_id(&self, site: &str) -> String {
        self.client_id.clone().unwrap_or_else(|| format!("plantroom-{site}-{}", self.name))
    }

    /// Parses the URL.
    ///
    /// # Errors
    /// The URL is invalid; the text says how to write it.
    pub fn address(&self) -> Result<Address, SinkError> {
        const FORM: &str = "write it as mqtt://host:1883 or mqtts://host:8883";
        let wrong = |what: String| SinkError::Settings(what);
        let (scheme, rest) = self.url.split_once("://").ok_or_else(|| wrong(FORM.to_string()))?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => return Err(wrong(format!("`{scheme}` is not spoken here; {FORM}"))),
        };
        let rest = rest.trim_end_matches('/');
        let default = if tls { 8883 } else { 1883 };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| wrong(format!("`{port}` is not a port")))?)
            }
            _ => (rest, default),
        };
        if host.is_empty() || host.contains('/') || host.contains('@') {
            let hint = "a host and a port, nothing else; user and password have keys of their own";
            return Err(wrong(format!("`{host}` is not a host: {hint}")));
        }
        Ok(Address { host: host.trim_matches(['[', ']']).to_string(), port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let of = |url: &str| MqttSettings::plain("x", url).address();
        assert_eq!(of("mqtt://a"), Ok(Address { host: "a".into(), port: 1883, tls: false }));
        assert_eq!(of("mqtts://a.b:99/"), Ok(Address { host: "a.b".into(), port: 99, tls: true }));
        assert_eq!(of("mqtt://[::1]:5"), Ok(Address { host: "::1".into(), port: 5, tls: false }));
        assert!(
            of("http://a").is_err()
                && of("a:1883").is_err()
                && of("mqtt://u:p@h").is_err()
                && of("mqtt://h:x").is_err()
        );
    }
}
