//! A time-series store as a kind of sink.

use tokio_util::sync::CancellationToken;

use crate::http::files::NamedFile;
use crate::http::{is_address, is_tls, without_secrets};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;
use crate::sink::SinkContext;
use crate::sink::influx;
use crate::sink::influx::settings::{Api, HttpTransport, InfluxSettings};
use crate::sink::kind::{ProbeResults, SinkFuture, SinkKind};

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
