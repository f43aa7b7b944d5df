//! MQTT as a kind of sink.

use tokio_util::sync::CancellationToken;

use crate::http::files::{FileKind, NamedFile};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;
use crate::sink::SinkContext;
use crate::sink::command::CommandContext;
use crate::sink::error::SinkError;
use crate::sink::kind::{Exclusive, ProbeResults, SinkFuture, SinkKind};
use crate::sink::mqtt;
use crate::sink::mqtt::settings::{Address, MqttSettings};

/// Smallest packet that holds a reading of one point.
const PACKET_MIN: usize = 256;
/// Maximum lengths of prefix and client id, bytes.
const PREFIX_MAX: usize = 200;
const ID_MAX: usize = 128;

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
    fn exclusive(&self) -> Option<Exclusive> {
        let (Address { host, port, tls }, id) = (self.address().ok()?, self.client_id.as_ref()?);
        Some(Exclusive {
            key: "client_id",
            identity: format!("mqtt {host} {port} {tls} {id}"),
            what: "the same client id at the same broker",
            hint: "one of its own for each; without it one is made",
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
