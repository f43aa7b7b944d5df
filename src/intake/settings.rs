//! The `[[feed]]` table.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::http;
use crate::http::files::NamedFile;
use crate::intake::json::JsonMapping;
use crate::model::time::HumanDuration;

/// Where warnings come from: `[[feed]]`. With a `url` it is asked at intervals; without one programs send them (docs/flood.md).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedSettings {
    /// Its name, in events and in topics: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Address of a CAP document, of an Atom or RSS list of them, or of JSON that `json` describes.
    pub url: Option<String>,
    /// How often it is asked: 1 to 20 minutes.
    #[serde(default = "five_minutes")]
    pub every: HumanDuration,
    /// Hosts from which documents of a list are taken, besides the address of the list itself; `host:port` where it is no usual port. The secret
    /// is not sent there.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Every warning of this feed concerns the site, whatever area it names: the service is asked by place.
    #[serde(default)]
    pub concerns_site: bool,
    /// Where the values of a warning stand in a JSON answer; none: the answer is CAP.
    pub json: Option<JsonMapping>,
    /// A header that is sent with its value from `secret_file`, such as `X-QW-Api-Key`. Default: `Authorization: Bearer …`.
    pub secret_header: Option<String>,
    /// File with a secret of the service.
    pub secret_file: Option<String>,
    /// PEM file with the authorities that are trusted. Default: the system's.
    pub ca_file: Option<String>,
}

fn five_minutes() -> HumanDuration {
    HumanDuration(300_000)
}

/// Shortest interval: services ask for no more.
const EVERY_MIN_MS: u64 = 60_000;
/// Longest: a feed that has been silent for half an hour is an alarm.
const EVERY_MAX_MS: u64 = 20 * 60_000;

impl FeedSettings {
    /// What is wrong: key, what, and what to do.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut out = Vec::new();
        let is_http = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if let Some(url) = self.url.as_ref().filter(|url| !is_http(url) || url.contains(' ')) {
            let shown = http::without_secrets(url);
            out.push(("url", format!("`{shown}` is no address"), "url = \"https://host/path\""));
        }
        if !(EVERY_MIN_MS..=EVERY_MAX_MS).contains(&self.every.0) {
            out.push(("every", format!("every is {}", self.every.text()), "1m to 20m: every = \"5m\""));
        }
        if let Some(host) = self.hosts.iter().find(|host| host.is_empty() || host.contains(['/', '@', '*', ' '])) {
            let hint = "a name alone, or with its port: hosts = [\"files.example\", \"files.example:8443\"]";
            out.push(("hosts", format!("`{host}` is no host"), hint));
        }
        let with_url = [
            ("hosts", !self.hosts.is_empty()),
            ("secret_header", self.secret_header.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("ca_file", self.ca_file.is_some()),
        ];
        for (key, is_given) in with_url {
            if is_given && self.url.is_none() {
                out.push((key, format!("`{key}` belongs to a feed with a url"), "add url, or take it out"));
            }
        }
        if self.secret_header.is_some() && self.secret_file.is_none() {
            out.push(("secret_header", "there is no secret for this header".to_string(), "secret_file = \"/etc/…\""));
        }
        let is_token = |name: &String| reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if let Some(name) = self.secret_header.as_ref().filter(|name| !is_token(name)) {
            out.push(("secret_header", format!("`{name}` is no name of a header"), "secret_header = \"X-QW-Api-Key\""));
        }
        if let Some(problem) = self.json.as_ref().and_then(JsonMapping::problem) {
            out.push(("json", problem, "pointers as `/alerts/0/id`; / before each name"));
        }
        out
    }

    /// Whether a connection by TLS may be made: to the address, or to other hosts.
    pub fn needs_authorities(&self) -> bool {
        self.url.as_ref().is_some_and(|url| http::is_tls(url)) || !self.hosts.is_empty()
    }

    /// Files that it refers to.
    pub fn files(&self) -> Vec<NamedFile> {
        let is_tls = self.needs_authorities();
        let secret = NamedFile::secret("secret_file", self.secret_file.as_ref());
        secret.into_iter().chain(NamedFile::ca_certificates(self.ca_file.as_ref(), is_tls)).collect()
    }
}
