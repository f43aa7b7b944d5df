//! Transport by the `influxdb2` crate. Only its write request is used, not its line protocol, its retries or its other calls (see
//! docs/decisions/0004-own-line-protocol.md).

use std::time::Duration;

use ::influxdb2::RequestError;
use ::influxdb2::api::write::TimestampPrecision;

use crate::http::files::LoadedFiles;
use crate::sink::error::SinkError;
use crate::sink::influx::answer::WriteAnswer;
use crate::sink::influx::settings::InfluxSettings;

/// A client of one bucket.
pub struct Client {
    client: ::influxdb2::Client,
    org: String,
    bucket: String,
    timeout: Duration,
}

impl Client {
    /// Builds a client with the token; sends nothing.
    ///
    /// # Errors
    /// The token's file cannot be read.
    pub fn new(settings: &InfluxSettings, files: &LoadedFiles) -> Result<Self, SinkError> {
        let token = files.secret(settings.token.as_ref(), settings.token_file.as_ref())?.unwrap_or_default();
        let url = settings.url.trim_end_matches('/');
        Ok(Self {
            client: ::influxdb2::Client::new(url, &settings.org, token),
            org: settings.org.clone(),
            bucket: settings.bucket.clone(),
            timeout: Duration::from_millis(settings.timeout_ms),
        })
    }

    /// Writes a body.
    ///
    /// # Errors
    /// No answer came; the reason.
    pub async fn write(&self, body: &str) -> Result<WriteAnswer, SinkError> {
        let precision = TimestampPrecision::Milliseconds;
        let writing =
            self.client.write_line_protocol_with_precision(&self.org, &self.bucket, body.to_string(), precision);
        match tokio::time::timeout(self.timeout, writing).await {
            Err(_) => Err(SinkError::NoAnswer("no answer in time".to_string())),
            Ok(Ok(())) => Ok(WriteAnswer { status: 204, ..WriteAnswer::default() }),
            // The crate reports status 200 as an error.
            Ok(Err(RequestError::Http { status, text })) => {
                Ok(WriteAnswer { status: status.as_u16(), body: text, retry_after: None })
            }
            Ok(Err(other)) => Err(SinkError::NoAnswer(format!("no connection: {other}"))),
        }
    }
}
