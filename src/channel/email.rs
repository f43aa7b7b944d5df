//! E-mail through an SMTP server, for digests and low priorities. A new connection is made for each message.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::channel::error::ChannelError;
use crate::channel::{BoxFuture, Channel, ChannelKind};
use crate::channel::{MINUTE_MS, named_files};
use crate::http;
use crate::http::files::{LoadedFiles, NamedFile};
use crate::model::notification::RateLimit;
use crate::model::notification::{DeliveryOutcome, Notification};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;

/// Timeout of one delivery attempt.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Retry delay after a mail server could not be reached.
const RETRY_MS: u64 = 60_000;

/// A mail server: `[[channel.email]]`. A contact's `to` is an address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// The channel's id, unique among channels: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Host name of the SMTP server: `mail.example.com`, without the port.
    pub host: String,
    /// Its port. Default: 465 with `tls`, 587 with `starttls`, 25 with `none`.
    pub port: Option<u16>,
    /// How the connection is kept private.
    #[serde(default)]
    pub security: Security,
    /// Address of the sender: `plantroom@example.com`.
    pub from: String,
    /// User name for the server; without it there is no login.
    pub username: Option<String>,
    /// Password; better in a file.
    pub password: Option<String>,
    /// File that holds it.
    pub password_file: Option<String>,
    /// PEM file with the authorities that are trusted. Default: the system's.
    pub ca_file: Option<String>,
    /// Most messages in a minute. Default: 40, of which 20 may go at once.
    pub per_min: Option<u32>,
}

/// How a connection is kept private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS from the first byte.
    #[default]
    Tls,
    /// TLS after asking for it; refused if the server has none.
    Starttls,
    /// Not at all: on this box or a network of its own only.
    None,
}

impl ChannelKind for EmailSettings {
    fn id(&self) -> &str {
        &self.id
    }

    fn per_min(&self) -> Option<u32> {
        self.per_min
    }

    fn service_limit(&self, _kind: &str) -> RateLimit {
        RateLimit { per_min: 20.0, burst: 20.0, cooldown_ms: 5 * MINUTE_MS }
    }

    fn requires_address(&self) -> bool {
        true
    }

    fn address_problem(&self, to: &str) -> Option<(String, &'static str)> {
        let is_mail = to.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.ends_with('.') && !to.contains(char::is_whitespace)
        });
        (!is_mail).then(|| (format!("`{to}` is no mail address"), "name@example.com"))
    }

    fn files(&self) -> Vec<NamedFile> {
        named_files(&[("password_file", &self.password_file)], self.ca_file.as_ref(), self.security != Security::None)
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        let mut out = Vec::new();
        if self.from.parse::<lettre::message::Mailbox>().is_err() {
            out.push(("from", format!("`{}` is no address", self.from), "plantroom@example.com"));
        }
        if self.host.is_empty() || self.host.contains(['/', ':', ' ']) {
            out.push((
                "host",
                format!("`{}` is no server", self.host),
                "mail.example.com; the port has a key of its own",
            ));
        }
        if self.password.is_some() && self.password_file.is_some() {
            out.push(("id", "the secret is given twice".to_string(), "in a file, or here"));
        }
        if self.security == Security::None && self.username.is_some() {
            out.push(("security", "a password would go over the wire as it is".to_string(), "tls or starttls"));
        }
        out
    }

    fn open(&self, _kind: &str, files: &LoadedFiles) -> Box<dyn Channel> {
        Box::new(Email::new(self.clone(), files.clone()))
    }
}

/// A channel that sends e-mail.
pub struct Email {
    settings: EmailSettings,
    files: LoadedFiles,
}

impl Email {
    /// Opens no connection before the first attempt.
    pub fn new(settings: EmailSettings, files: LoadedFiles) -> Self {
        Self { settings, files }
    }

    fn tls(&self) -> Result<TlsParameters, ChannelError> {
        let mut builder = TlsParameters::builder(self.settings.host.clone()).certificate_store(CertificateStore::None);
        for certificate in self.files.ca_certificates(self.settings.ca_file.as_deref())? {
            // One certificate of the system's list that cannot be parsed does not invalidate the others.
            if let Ok(certificate) = Certificate::from_der(certificate.to_vec()) {
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map_err(|e| ChannelError::Settings(e.to_string()))
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, ChannelError> {
        let s = &self.settings;
        let (port, tls) = match s.security {
            Security::Tls => (465, Tls::Wrapper(self.tls()?)),
            Security::Starttls => (587, Tls::Required(self.tls()?)),
            Security::None => (25, Tls::None),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&s.host)
            .port(s.port.unwrap_or(port))
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if let Some(user) = &s.username {
            let password = self.files.secret(s.password.as_ref(), s.password_file.as_ref())?.unwrap_or_default();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(builder.build())
    }

    /// Connects and logs in without sending a message.
    async fn log_in(&self) -> Result<String, ChannelError> {
        let transport = self.transport()?;
        match transport.test_connection().await {
            Ok(true) => Ok("the server lets us in".to_string()),
            Ok(false) => Err(ChannelError::Service("the server does not answer as a mail server does".to_string())),
            Err(e) => Err(ChannelError::Service(http::chain(&e))),
        }
    }

    fn message(&self, notification: &Notification) -> Result<Message, ChannelError> {
        let mailbox = |text: &str| {
            let no_address = |e| ChannelError::Address(format!("`{text}` is no address: {e}"));
            text.parse::<lettre::message::Mailbox>().map_err(no_address)
        };
        let (to, from) = (mailbox(&notification.address)?, mailbox(&self.settings.from)?);
        let host = self.settings.from.rsplit_once('@').map_or("plantroom", |(_, h)| h.trim_end_matches('>'));
        Message::builder()
            .from(from)
            .to(to)
            .subject(&notification.title)
            .message_id(Some(format!("<{}@{host}>", notification.id)))
            .header(ContentType::TEXT_PLAIN)
            .body(notification.text())
            .map_err(|e| ChannelError::Settings(e.to_string()))
    }

    async fn try_once(&self, notification: &Notification) -> Result<DeliveryOutcome, ChannelError> {
        let (transport, message) = (self.transport()?, self.message(notification)?);
        Ok(match tokio::time::timeout(TIMEOUT, transport.send(message)).await {
            Err(_) => DeliveryOutcome::Unknown { reason: "no answer in time".to_string() },
            Ok(Ok(_)) => DeliveryOutcome::Accepted,
            Ok(Err(e)) => {
                let why = http::chain(&e);
                if e.is_permanent() {
                    DeliveryOutcome::Rejected { reason: why }
                } else if e.is_transient() {
                    DeliveryOutcome::RetryLater { after_ms: None, reason: why }
                } else if e.is_timeout() || e.is_response() {
                    DeliveryOutcome::Unknown { reason: why }
                } else {
                    DeliveryOutcome::RetryLater { after_ms: Some(RETRY_MS), reason: why }
                }
            }
        })
    }
}

impl Channel for Email {
    fn probe(&self) -> BoxFuture<'_, Option<Result<String, ChannelError>>> {
        Box::pin(async { Some(self.log_in().await) })
    }

    fn send<'a>(&'a self, notification: &'a Notification, _: UnixMillis) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async move {
            self.try_once(notification)
                .await
                .unwrap_or_else(|error| DeliveryOutcome::Rejected { reason: error.to_string() })
        })
    }
}
