//! What the configuration says of an MQTT sink.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::sink::report;

/// A broker: `[[sink.mqtt]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The sink's name, unique among sinks.
    pub name: String,
    /// `mqtt://host:1883`, or `mqtts://host:8883` for TLS.
    pub url: String,
    /// `5` or `3.1.1`.
    #[serde(default)]
    pub version: Version,
    /// Client id. Default: `plantroom-` and the site's id.
    pub client_id: Option<String>,
    /// User name.
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
    /// Seconds between signs of life.
    #[serde(default = "thirty")]
    pub keep_alive_s: u64,
    /// Largest message, bytes: what is larger is set aside, not sent.
    #[serde(default = "one_mb")]
    pub max_packet_bytes: usize,
    /// First level of every topic.
    #[serde(default = "plantroom")]
    pub prefix: String,
    /// Whether commands are taken from this broker: whoever may publish below `…/command/` can take alarms.
    #[serde(default)]
    pub commands: bool,
    /// Report by exception.
    #[serde(default)]
    pub report: report::Settings,
}

/// Version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    /// 5.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
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

/// An address taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl Settings {
    /// A sink with nothing but a name and an address.
    pub fn plain(name: &str, url: &str) -> Self {
        Self {
            name: name.to_string(),
            url: url.to_string(),
            version: Version::V5,
            client_id: None,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            inflight: fifty(),
            keep_alive_s: thirty(),
            max_packet_bytes: one_mb(),
            prefix: plantroom(),
            commands: false,
            report: report::Settings::default(),
        }
    }

    /// The address, or what is wrong with it.
    ///
    /// # Errors
    /// A sentence that says how it is to be written.
    pub fn address(&self) -> Result<Address, String> {
        let (scheme, rest) = self.url.split_once("://").ok_or("write it as mqtt://host:1883 or mqtts://host:8883")?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => {
                return Err(format!(
                    "`{scheme}` is not spoken here; write it as mqtt://host:1883 or mqtts://host:8883"
                ));
            }
        };
        let rest = rest.trim_end_matches('/');
        let default = if tls { 8883 } else { 1883 };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| format!("`{port}` is not a port"))?)
            }
            _ => (rest, default),
        };
        if host.is_empty() || host.contains('/') || host.contains('@') {
            let mend = "a host and a port, nothing else; user and password have keys of their own";
            return Err(format!("`{host}` is not a host: {mend}"));
        }
        Ok(Address { host: host.trim_matches(['[', ']']).to_string(), port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let of = |url: &str| Settings::plain("x", url).address();
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
