//! Configuration of an MQTT sink.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::files::{FileKind, NamedFile};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;
use crate::sink::SinkContext;
use crate::sink::error::SinkError;
use crate::sink::kinds::{ProbeResults, SinkFuture, SinkKind, SinkSettings};
use crate::sink::mqtt;
use crate::sink::mqtt::commands::CommandContext;
use crate::sink::report;
use tokio_util::sync::CancellationToken;

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

/// Smallest packet that holds a reading of one point.
const PACKET_MIN: usize = 256;
/// Maximum lengths of prefix and client id, bytes.
const PREFIX_MAX: usize = 200;
const ID_MAX: usize = 128;

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

impl SinkKind for MqttSettings {
    fn name(&self) -> &str {
        &self.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn cursor(&self) -> String {
        mqtt::cursor_name(self)
    }

    fn files(&self) -> Vec<NamedFile> {
        let certificate = self.cert_file.clone().zip(self.key_file.clone());
        let certificate =
            certificate.map(|(path, key)| NamedFile { key: "cert_file", path, kind: FileKind::Certificate(key) });
        let secret = NamedFile::secret("password_file", self.password_file.as_ref());
        [NamedFile::ca_certificates(self.ca_file.as_ref(), self.address().is_ok_and(|a| a.tls)), certificate, secret]
            .into_iter()
            .flatten()
            .collect()
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        let mut out = Vec::new();
        if self.qos > 1 {
            out.push(("qos", format!("qos is 0 or 1, not {}", self.qos), "1: each message is acknowledged"));
        }
        if self.inflight == 0 {
            out.push(("inflight", "inflight is at least 1".to_string(), "50 is a good number"));
        }
        let spans = [("keep_alive_s", self.keep_alive_s, 5, 3_600), ("ack_timeout_s", self.ack_timeout_s, 1, 600)];
        for (key, value, least, most) in spans {
            if !(least..=most).contains(&value) {
                out.push((key, format!("{key} is {least} to {most} s, not {value}"), "30"));
            }
        }
        if self.max_packet_bytes < PACKET_MIN {
            let what = format!("{} bytes hold no reading", self.max_packet_bytes);
            out.push(("max_packet_bytes", what, "at least 256; without it a million"));
        }
        let is_level = |c: char| !"+#".contains(c) && !c.is_control();
        let prefix = &self.prefix;
        if prefix.is_empty() || !prefix.chars().all(is_level) || prefix.starts_with(['/', '$']) || prefix.ends_with('/')
        {
            let hint = "plantroom; levels are parted by /, without + # $ and without / at either end";
            out.push(("prefix", format!("`{prefix}` cannot begin a topic"), hint));
        }
        if prefix.len() > PREFIX_MAX {
            out.push(("prefix", format!("{} bytes are too long to begin a topic", prefix.len()), "at most 200"));
        }
        if let Some(id) = &self.client_id
            && (id.is_empty() || id.len() > ID_MAX || id.chars().any(char::is_control))
        {
            let hint = "1 to 128 characters; without it one is made of the site's id and the sink's name";
            out.push(("client_id", format!("`{id}` is no client id"), hint));
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            let key = if self.cert_file.is_some() { "cert_file" } else { "key_file" };
            out.push((key, "cert_file and key_file belong together".to_string(), "name both, or none"));
        }
        if self.password.is_some() && self.password_file.is_some() {
            out.push(("password", "password and password_file are both given".to_string(), "the file alone"));
        }
        if self.username.is_none() && (self.password.is_some() || self.password_file.is_some()) {
            let key = if self.password.is_some() { "password" } else { "password_file" };
            out.push((key, "a password without a username is not sent".to_string(), "username = \"…\""));
        }
        out
    }

    fn url_problem(&self) -> Option<(String, String)> {
        let hint = self.address().err()?.to_string();
        Some((format!("`{}` is not a broker's address", crate::http::without_secrets(&self.url)), hint))
    }

    /// Two clients with the same id at the same broker disconnect each other for ever.
    fn conflict(&self, other: &SinkSettings) -> Option<SettingsProblem> {
        let SinkSettings::Mqtt(other) = other else { return None };
        let broker = |s: &Self| (s.address(), s.client_id.clone());
        let is_same = self.client_id.is_some() && broker(self) == broker(other) && self.name != other.name;
        is_same.then(|| {
            let what = format!("the sink `{}` has the same client id at the same broker", other.name);
            ("client_id", what, "one of its own for each; without it one is made")
        })
    }

    /// Whoever subscribes to a broker has had its messages.
    fn can_resend(&self) -> Result<(), SinkError> {
        Err(SinkError::Refused(format!(
            "`{}` is a broker: whoever subscribes has had these messages; history is written again to stores only",
            self.name
        )))
    }

    fn probe<'a>(&'a self, site: &'a str, _now: UnixMillis) -> SinkFuture<'a, ProbeResults> {
        Box::pin(mqtt::probe::probe(self, site))
    }

    fn run(&self, context: SinkContext, stop: CancellationToken) -> SinkFuture<'static, ()> {
        let settings = self.clone();
        Box::pin(async move { mqtt::run(mqtt::MqttContext::new(settings, context).await, stop).await })
    }

    fn listen(&self, context: CommandContext, stop: CancellationToken) -> Option<SinkFuture<'static, ()>> {
        let settings = self.clone();
        self.commands.then(|| Box::pin(mqtt::commands::run(settings, context, stop)) as SinkFuture<'static, ()>)
    }

    fn takes_commands(&self) -> bool {
        self.commands
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
