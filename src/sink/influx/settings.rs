//! Configuration of a time-series store.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::sink::report;

/// A time-series store that takes InfluxDB line protocol: `[[sink.influx]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfluxSettings {
    /// The sink's name, unique among sinks.
    pub name: String,
    /// `http://host:8086` or `https://host`, with a path before `/api/v2/write` (or `/write`) where a proxy wants one.
    pub url: String,
    /// `v2`: `/api/v2/write` (InfluxDB 2 and 3, VictoriaMetrics). `v1`: `/write` (InfluxDB 1.x).
    #[serde(default)]
    pub api: Api,
    /// v2: the organisation that the bucket belongs to; empty where the store has none.
    #[serde(default)]
    pub org: String,
    /// v2: the bucket that values are written into; needed with v2.
    #[serde(default)]
    pub bucket: String,
    /// v2: the token; better in a file.
    pub token: Option<String>,
    /// v2: file that holds the token.
    pub token_file: Option<String>,
    /// v1: the database that values are written into; needed with v1.
    #[serde(default)]
    pub database: String,
    /// v1: the retention policy. Default: the database's own.
    pub retention_policy: Option<String>,
    /// v1: user name; without it there is no login.
    pub username: Option<String>,
    /// v1: password; better in a file.
    pub password: Option<String>,
    /// v1: file that holds the password.
    pub password_file: Option<String>,
    /// PEM file with the authorities that are trusted. Default: the system's.
    pub ca_file: Option<String>,
    /// What carries the requests: `reqwest`, or `influxdb2` where that feature was compiled in.
    #[serde(default)]
    pub transport: HttpTransport,
    /// Whether bodies are compressed.
    #[serde(default = "yes")]
    pub gzip: bool,
    /// Milliseconds between two writes.
    #[serde(default = "one_second")]
    pub flush_ms: u64,
    /// Most values in one write.
    #[serde(default = "five_thousand")]
    pub batch_points: usize,
    /// Longest wait for an answer, milliseconds.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
    /// Most values a second of the past, when an outage is made up for; live values go first and count extra.
    #[serde(default = "ten_thousand")]
    pub backfill_points_per_s: u64,
    /// Report by exception: which changes are too small to be sent. Default: every value is sent.
    #[serde(default)]
    pub report: report::ReportSettings,
}

/// Which write API is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `/api/v2/write`: InfluxDB 2 and 3, VictoriaMetrics.
    #[default]
    V2,
    /// `/write`: InfluxDB 1.x, with a database.
    V1,
}

/// What carries the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HttpTransport {
    /// reqwest: any base path, `Retry-After`, certificates.
    #[default]
    Reqwest,
    /// The `influxdb2` crate, behind the cargo feature of that name: v2 only, no base path, no `Retry-After`, no `ca_file`.
    Influxdb2,
}

fn yes() -> bool {
    true
}

fn one_second() -> u64 {
    1_000
}

fn ten_seconds() -> u64 {
    10_000
}

fn five_thousand() -> usize {
    5_000
}

fn ten_thousand() -> u64 {
    10_000
}

impl InfluxSettings {
    /// Settings with a name and a URL; everything else has its default.
    pub fn plain(name: &str, url: &str, api: Api) -> Self {
        Self {
            name: name.to_string(),
            url: url.to_string(),
            api,
            org: String::new(),
            bucket: String::new(),
            token: None,
            token_file: None,
            database: String::new(),
            retention_policy: None,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            transport: HttpTransport::Reqwest,
            gzip: true,
            flush_ms: one_second(),
            batch_points: five_thousand(),
            timeout_ms: ten_seconds(),
            backfill_points_per_s: ten_thousand(),
            report: report::ReportSettings::default(),
        }
    }
}
