//! HTTP transport to a store: one write request and its answer, by reqwest or by the `influxdb2` crate.

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http;
use crate::http::error::HttpError;
use crate::http::files::LoadedFiles;
use crate::sink::error::SinkError;
use crate::sink::influx::answer::WriteAnswer;
use crate::sink::influx::settings::{Api, HttpTransport, InfluxSettings};

/// The client of a store.
pub enum StoreClient {
    Reqwest(Box<ReqwestClient>),
    #[cfg(feature = "influxdb2")]
    Influxdb2(Box<super::by_crate::Client>),
}

/// A reqwest client with URL, credentials and compression.
pub struct ReqwestClient {
    client: reqwest::Client,
    url: reqwest::Url,
    /// Read APIs that the store may have; a start time is added to the query.
    read_apis: Vec<ReadApi>,
    auth: HttpAuth,
    gzip: bool,
}

/// A read API: InfluxQL's `/query`, or VictoriaMetrics' `/api/v1/export`.
enum ReadApi {
    InfluxQl(reqwest::Url),
    Export(reqwest::Url),
}

/// How requests are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HttpAuth {
    Anonymous,
    /// The value of the `Authorization` header.
    Token(String),
    Password(String, String),
}

impl StoreClient {
    /// Reads the secrets and builds a client; sends nothing.
    ///
    /// # Errors
    /// A file cannot be read, the URL is invalid, or the transport is not compiled in.
    pub fn new(settings: &InfluxSettings, files: &LoadedFiles) -> Result<Self, SinkError> {
        match settings.transport {
            HttpTransport::Reqwest => Ok(StoreClient::Reqwest(Box::new(build_client(settings, files)?))),
            #[cfg(feature = "influxdb2")]
            HttpTransport::Influxdb2 => {
                Ok(StoreClient::Influxdb2(Box::new(super::by_crate::Client::new(settings, files)?)))
            }
            #[cfg(not(feature = "influxdb2"))]
            HttpTransport::Influxdb2 => {
                Err(SinkError::Settings("this build is without the influxdb2 transport".to_string()))
            }
        }
    }

    /// Writes a body and returns the answer, whatever its status.
    ///
    /// # Errors
    /// No answer came; the reason.
    pub async fn write(&self, body: &str) -> Result<WriteAnswer, SinkError> {
        match self {
            StoreClient::Reqwest(http) => http.write(body).await,
            #[cfg(feature = "influxdb2")]
            StoreClient::Influxdb2(client) => client.write(body).await,
        }
    }
}

impl StoreClient {
    /// The `plantroom_probe` values since a date, as the bodies of all read APIs that answer. Empty if none does.
    pub async fn read_back(&self, since_ms: i64) -> Vec<String> {
        match self {
            StoreClient::Reqwest(http) => http.read_back(since_ms).await,
            #[cfg(feature = "influxdb2")]
            StoreClient::Influxdb2(_) => Vec::new(),
        }
    }
}

fn build_client(settings: &InfluxSettings, files: &LoadedFiles) -> Result<ReqwestClient, SinkError> {
    let client = http::client(&settings.url, settings.timeout_ms, settings.ca_file.as_deref(), files)?;
    let base = settings.url.trim_end_matches('/');
    let (path, mut query) = match settings.api {
        Api::V2 => ("/api/v2/write", vec![("org", settings.org.as_str()), ("bucket", &settings.bucket)]),
        Api::V1 => ("/write", vec![("db", settings.database.as_str())]),
    };
    if let (Api::V1, Some(policy)) = (settings.api, &settings.retention_policy) {
        query.push(("rp", policy));
    }
    query.push(("precision", "ms"));
    query.retain(|(_, value)| !value.is_empty());
    let url = reqwest::Url::parse_with_params(&format!("{base}{path}"), query);
    let url = url.map_err(|e| SinkError::Settings(e.to_string()))?;
    let login = match (settings.api, &settings.username) {
        (Api::V2, _) => files
            .secret(settings.token.as_ref(), settings.token_file.as_ref())?
            .map_or(HttpAuth::Anonymous, |token| HttpAuth::Token(format!("Token {token}"))),
        (Api::V1, None) => HttpAuth::Anonymous,
        (Api::V1, Some(user)) => {
            let password =
                files.secret(settings.password.as_ref(), settings.password_file.as_ref())?.unwrap_or_default();
            HttpAuth::Password(user.clone(), password)
        }
    };
    let at = |path: &str| reqwest::Url::parse(&format!("{base}{path}"));
    let mut reads: Vec<ReadApi> = at("/api/v1/export").map(ReadApi::Export).into_iter().collect();
    if let (Api::V1, Ok(mut url)) = (settings.api, at("/query")) {
        url.query_pairs_mut().append_pair("db", &settings.database).append_pair("epoch", "ms");
        reads.push(ReadApi::InfluxQl(url));
    }
    Ok(ReqwestClient { client, url, read_apis: reads, auth: login, gzip: settings.gzip })
}

impl ReqwestClient {
    fn authenticate(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.auth {
            HttpAuth::Anonymous => request,
            HttpAuth::Token(token) => request.header(reqwest::header::AUTHORIZATION, token),
            HttpAuth::Password(user, password) => request.basic_auth(user, Some(password)),
        }
    }

    async fn read_back(&self, since_ms: i64) -> Vec<String> {
        let mut answers = Vec::new();
        for read in &self.read_apis {
            let url = match read {
                ReadApi::InfluxQl(url) => {
                    let mut url = url.clone();
                    let query = format!("SELECT age FROM plantroom_probe WHERE time > {since_ms}ms");
                    url.query_pairs_mut().append_pair("q", &query);
                    url
                }
                ReadApi::Export(url) => {
                    let mut url = url.clone();
                    let start = (since_ms / 1_000).to_string();
                    url.query_pairs_mut().append_pair("match[]", "plantroom_probe_age").append_pair("start", &start);
                    url
                }
            };
            if let Ok(response) = self.authenticate(self.client.get(url)).send().await
                && response.status().is_success()
            {
                answers.push(http::body_text(response).await);
            }
        }
        answers
    }

    async fn write(&self, body: &str) -> Result<WriteAnswer, SinkError> {
        use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        let mut request = self.authenticate(request);
        request = if self.gzip {
            request.header(CONTENT_ENCODING, "gzip").body(gzip(body).map_err(|e| SinkError::Settings(e.to_string()))?)
        } else {
            request.body(body.to_string())
        };
        let response = request.send().await.map_err(HttpError::from)?;
        let status = response.status().as_u16();
        let retry_after = http::retry_after(&response);
        // The body of a success is not read: an error while reading it would not undo the write.
        let body = if (200..300).contains(&status) { String::new() } else { http::body_text(response).await };
        Ok(WriteAnswer { status, retry_after, body })
    }
}

fn gzip(body: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 6), Compression::fast());
    encoder.write_all(body.as_bytes())?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_besides_the_body() {
        let login = |s: &InfluxSettings| build_client(s, &LoadedFiles::default()).unwrap().auth;
        let v2 = InfluxSettings {
            org: "o".into(),
            bucket: "plant room".into(),
            token: Some("t".into()),
            ..InfluxSettings::plain("x", "http://h:1/insert/0/influx/", Api::V2)
        };
        assert_eq!(
            build_client(&v2, &LoadedFiles::default()).unwrap().url.as_str(),
            "http://h:1/insert/0/influx/api/v2/write?org=o&bucket=plant+room&precision=ms"
        );
        assert_eq!(login(&v2), HttpAuth::Token("Token t".into()));
        let v1 = InfluxSettings {
            database: "d".into(),
            username: Some("u".into()),
            ..InfluxSettings::plain("x", "http://h", Api::V1)
        };
        assert_eq!(
            build_client(&v1, &LoadedFiles::default()).unwrap().url.as_str(),
            "http://h/write?db=d&precision=ms"
        );
        assert_eq!(login(&v1), HttpAuth::Password("u".into(), String::new()));
        assert!(
            build_client(
                &InfluxSettings { password: None, password_file: Some("/none".into()), ..v1 },
                &LoadedFiles::default()
            )
            .is_err_and(|e| e.to_string().contains("/none"))
        );
    }
}
