//! Configuration of a time-series store.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::files::NamedFile;
use crate::http::{is_address, is_tls, without_secrets};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;
use crate::sink::SinkContext;
use crate::sink::influx;
use crate::sink::kinds::{ProbeResults, SinkFuture, SinkKind};
use crate::sink::report;
use tokio_util::sync::CancellationToken;

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

impl SinkKind for InfluxSettings {
    fn name(&self) -> &str {
        &self.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn cursor(&self) -> String {
        influx::cursor_name(self)
    }

    fn files(&self) -> Vec<NamedFile> {
        let secrets = [("token_file", &self.token_file), ("password_file", &self.password_file)];
        let secrets = secrets.into_iter().filter_map(|(key, path)| NamedFile::secret(key, path.as_ref()));
        secrets.chain(NamedFile::ca_certificates(self.ca_file.as_ref(), is_tls(&self.url))).collect()
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        let mut out = Vec::new();
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        let host = rest.map(|r| r.split('/').next().unwrap_or_default());
        if !is_address(&self.url) {
            let what = format!("`{}` is not the address of a store", without_secrets(&self.url));
            out.push((
                "url",
                what,
                "http://host:8086 or https://host/path; user, password and token have keys of their own",
            ));
        }
        let of_v1 = [
            ("database", !self.database.is_empty()),
            ("retention_policy", self.retention_policy.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("password_file", self.password_file.is_some()),
        ];
        let of_v2 = [
            ("org", !self.org.is_empty()),
            ("bucket", !self.bucket.is_empty()),
            ("token", self.token.is_some()),
            ("token_file", self.token_file.is_some()),
        ];
        let (wanted, foreign, other) = match self.api {
            Api::V2 => (("bucket", self.bucket.is_empty()), &of_v1[..], "api = \"v1\""),
            Api::V1 => (("database", self.database.is_empty()), &of_v2[..], "api = \"v2\""),
        };
        if wanted.1 {
            out.push((wanted.0, format!("{} is missing", wanted.0), "where the store keeps the values"));
        }
        for (key, _) in foreign.iter().filter(|(_, is_set)| *is_set) {
            out.push((key, format!("{key} belongs to {other}"), "see docs/timeseries.md"));
        }
        if self.password.is_some() && self.password_file.is_some() || self.token.is_some() && self.token_file.is_some()
        {
            out.push(("name", "the secret is given twice".to_string(), "in a file, or here"));
        }
        if self.transport == HttpTransport::Influxdb2 {
            let what =
                "the influxdb2 transport speaks v2 at the root of a host, and trusts what is built in".to_string();
            let path = host.zip(rest).is_some_and(|(h, r)| r.len() > h.len() && r[h.len()..] != *"/");
            if self.api == Api::V1 || self.ca_file.is_some() || path {
                out.push(("transport", what, "leave `transport` away"));
            } else if cfg!(not(feature = "influxdb2")) {
                let what = "this build is without the influxdb2 transport".to_string();
                out.push(("transport", what, "leave `transport` away, or build with --features influxdb2"));
            }
        }
        for (key, is_good) in [
            ("flush_ms", (100..=60_000).contains(&self.flush_ms)),
            ("batch_points", (100..=100_000).contains(&self.batch_points)),
            ("timeout_ms", (100..=120_000).contains(&self.timeout_ms)),
            ("backfill_points_per_s", (100..=10_000_000).contains(&self.backfill_points_per_s)),
        ] {
            if !is_good {
                out.push((key, format!("{key} makes no sense"), "see docs/reference.md for what is usual"));
            }
        }
        out
    }

    fn writes_device_tags(&self) -> bool {
        true
    }

    fn probe<'a>(&'a self, site: &'a str, now: UnixMillis) -> SinkFuture<'a, ProbeResults> {
        Box::pin(async move { vec![("a value is written".to_string(), influx::probe(self, site, now).await)] })
    }

    fn run(&self, context: SinkContext, stop: CancellationToken) -> SinkFuture<'static, ()> {
        Box::pin(influx::run(self.clone(), context, stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_belong_together_is_said() {
        let good =
            InfluxSettings { bucket: "b".into(), ..InfluxSettings::plain("x", "https://h/insert/0/influx", Api::V2) };
        let keys = |s: &InfluxSettings| s.problems().into_iter().map(|(key, ..)| key).collect::<Vec<_>>();
        assert!(keys(&good).is_empty());
        assert_eq!(keys(&InfluxSettings { bucket: String::new(), ..good.clone() }), ["bucket"]);
        assert_eq!(keys(&InfluxSettings { api: Api::V1, ..good.clone() }), ["database", "bucket"]);
        assert_eq!(
            keys(&InfluxSettings { database: "d".into(), flush_ms: 0, ..good.clone() }),
            ["database", "flush_ms"]
        );
        for url in ["h:8086", "http://", "http://u:p@h", "http://h?x=1", "ftp://h"] {
            assert_eq!(keys(&InfluxSettings { url: url.into(), ..good.clone() }), ["url"], "{url}");
        }
        assert_eq!(
            keys(&InfluxSettings { transport: HttpTransport::Influxdb2, ..good }),
            ["transport"],
            "no base path"
        );
    }
}
