//! A feed that is asked at intervals: a CAP document, a list of them, or JSON.
//!
//! * The list is asked with its entity tag; a document of a list is fetched once.
//! * Documents of a list come from its own host, or from hosts that the configuration names: a list cannot send us elsewhere.
//! * A document that cannot be read is left out and said; the others count.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{StatusCode, Url};

use crate::http;
use crate::http::files::LoadedFiles;
use crate::intake::cap::{self, CapDocument};
use crate::intake::error::IntakeError;
use crate::intake::json::{JsonError, JsonMapping};
use crate::intake::settings::FeedSettings;
use crate::intake::xml::BYTES_MAX;
use crate::model::failure::{Failure as _, FailureKind};
use crate::model::flood::FeedReport;
use crate::model::warning::Warning;

/// A service answers within this time.
const TIMEOUT_MS: u64 = 20_000;
/// Documents of a list that are fetched in one look; the rest follows soon.
const DOCUMENTS_MAX: usize = 60;
/// A look at documents takes at most so long: what was read is not held back by what is slow.
const LOOK_MAX: Duration = Duration::from_secs(30);
/// How soon the rest follows.
const SOON: Duration = Duration::from_secs(10);
/// Documents of lists that are remembered; the longest known is forgotten first.
const KNOWN_MAX: usize = 5_000;
/// A document that cannot be read is tried so often; one that does not come, as long as it is listed.
const TRIES: u8 = 3;

/// Reads a feed again and again.
#[derive(Debug)]
pub struct FeedReader {
    settings: FeedSettings,
    files: LoadedFiles,
    client: Option<(u64, reqwest::Client)>,
    /// Headers of the last whole answer, to be sent with the next question.
    tags: Vec<(HeaderName, HeaderValue)>,
    /// Documents by address: number of the look that first saw it, and how often it was tried in vain; none: it was read.
    known: BTreeMap<String, (u64, Option<u8>)>,
    looks: u64,
    /// Whether documents of the list wait.
    has_more: bool,
}

/// What one look brought.
#[derive(Debug)]
pub struct FeedLook {
    pub report: FeedReport,
    /// What of it could not be read: address and reason.
    pub left_out: Vec<(String, String)>,
    /// When to look again.
    pub pause: Duration,
}

impl FeedReader {
    /// A reader that knows nothing yet.
    pub fn new(settings: FeedSettings, files: LoadedFiles) -> Self {
        let (client, tags, known) = Default::default();
        Self { settings, files, client, tags, known, looks: 0, has_more: false }
    }

    /// Asks the service one time, and fetches what a list names.
    pub async fn look(&mut self) -> FeedLook {
        self.looks += 1;
        let mut left_out = Vec::new();
        let report = match self.ask(&mut left_out).await {
            Ok(report) => report,
            Err(why) => FeedReport::failed(why.to_string()),
        };
        let every = Duration::from_millis(self.settings.every.0);
        let pause = if self.has_more && report.failed.is_none() { SOON } else { crate::clock::spread(every) };
        FeedLook { report, left_out, pause }
    }

    /// The rules did not take what was read, or forgot it: everything is read again.
    pub fn forget(&mut self) {
        (self.tags, self.known, self.has_more) = Default::default();
    }

    async fn ask(&mut self, left_out: &mut Vec<(String, String)>) -> Result<FeedReport, IntakeError> {
        let url = address(self.settings.url.as_deref().unwrap_or_default())?;
        // What is not read yet of an unchanged list would be forgotten.
        let tags = std::mem::take(&mut self.tags);
        let Some((body, new_tags)) = self.get(&url, tags.clone()).await? else {
            self.tags = tags;
            return Ok(FeedReport::default());
        };
        let (name, mapping) = (self.settings.name.clone(), self.settings.json.clone());
        let parsed = tokio::task::spawn_blocking(move || parse(mapping.as_ref(), &name, &body)).await??;
        let report = match parsed {
            Parsed::Warnings(warnings, others) => {
                self.has_more = false;
                left_out.extend(others.into_iter().map(|why| (self.settings.name.clone(), why.to_string())));
                FeedReport::answered(warnings)
            }
            Parsed::List(links) => self.documents(&url, links, left_out).await?,
        };
        if report.failed.is_none() && !self.has_more {
            self.tags = new_tags;
        }
        Ok(report)
    }

    /// The documents of a list that are not known yet, in the order of the list: services put the newest first.
    async fn documents(
        &mut self,
        list: &Url,
        links: Vec<String>,
        left_out: &mut Vec<(String, String)>,
    ) -> Result<FeedReport, IntakeError> {
        let (mut urls, mut foreign) = (Vec::new(), 0);
        for link in links {
            match list.join(&link).ok().filter(|url| self.may_ask(list, url)) {
                Some(url) => urls.push(url),
                None if foreign == 0 => {
                    foreign += 1;
                    left_out.push((link, IntakeError::ForeignHost.to_string()));
                }
                None => foreign += 1,
            }
        }
        if urls.is_empty() && foreign > 0 {
            return Err(IntakeError::ForeignHost);
        }
        let wanted = |url: &Url| self.known.get(url.as_str()).is_none_or(|(_, tries)| tries.is_some_and(|n| n < TRIES));
        let mut new: Vec<Url> = urls.into_iter().filter(wanted).collect();
        self.has_more = new.len() > DOCUMENTS_MAX;
        new.truncate(DOCUMENTS_MAX);
        let began = tokio::time::Instant::now();
        let (mut warnings, mut failed) = (Vec::new(), None);
        for url in &new {
            if began.elapsed() > LOOK_MAX {
                self.has_more = true;
                break;
            }
            let outcome = self.document(url).await;
            let looks = self.looks;
            let known = self.known.entry(url.to_string()).or_insert((looks, Some(0)));
            match outcome {
                Ok(warning) => {
                    known.1 = None;
                    warnings.push(warning);
                }
                Err(why) => {
                    left_out.push((url.to_string(), why.to_string()));
                    if why.kind() == FailureKind::BadInput {
                        // It will not become a document: a few tries, in case it was cut off.
                        known.1 = known.1.map(|tries| tries.saturating_add(1));
                    } else {
                        failed = Some(IntakeError::Document(Box::new(why)).to_string());
                    }
                }
            }
        }
        while self.known.len() > KNOWN_MAX {
            let Some(oldest) = self.known.iter().min_by_key(|(_, (look, _))| *look).map(|(link, _)| link.clone())
            else {
                break;
            };
            self.known.remove(&oldest);
        }
        Ok(FeedReport { warnings, failed })
    }

    /// Whether a document may be fetched: from where its list is, or from a host that the configuration names; never with a name or password
    /// in its address, and by TLS where the list is.
    fn may_ask(&self, list: &Url, url: &Url) -> bool {
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_http = matches!(url.scheme(), "http" | "https") && (url.scheme() == "https" || list.scheme() == "http");
        let is_host = |named: &str| url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(named));
        let is_named = |named: &String| match named.split_once(':') {
            Some((host, port)) => is_host(host) && url.port_or_known_default() == port.parse().ok(),
            None => is_host(named) && url.port().is_none(),
        };
        is_plain && is_http && (url.origin() == list.origin() || self.settings.hosts.iter().any(is_named))
    }

    async fn document(&mut self, url: &Url) -> Result<Warning, IntakeError> {
        let Some((body, _)) = self.get(url, Vec::new()).await? else {
            return Err(IntakeError::Status(304, String::new()));
        };
        match tokio::task::spawn_blocking(move || cap::read(&body)).await?? {
            CapDocument::Warning(warning) => Ok(*warning),
            CapDocument::List(_) => Err(IntakeError::List),
        }
    }

    /// A body with the tags of its answer; none: it has not changed. The secret goes to the address of the configuration only.
    async fn get(&mut self, url: &Url, tags: Tags) -> Result<Option<(Vec<u8>, Tags)>, IntakeError> {
        let mut request = self.client()?.get(url.clone());
        let own = address(self.settings.url.as_deref().unwrap_or_default())?;
        if own.origin() == url.origin()
            && let Some(secret) = self.files.secret(None, self.settings.secret_file.as_ref())?
        {
            request = match &self.settings.secret_header {
                Some(name) => request.header(name, secret),
                None => request.bearer_auth(secret),
            };
        }
        for (name, value) in tags {
            request = request.header(name, value);
        }
        let mut response = request.send().await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        if !response.status().is_success() {
            let moved = response.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok());
            let to = moved.map_or(String::new(), |to| format!(" (it says: {})", http::without_secrets(to)));
            return Err(IntakeError::Status(response.status().as_u16(), to));
        }
        let pairs = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];
        let tags = pairs.into_iter().filter_map(|(given, sent)| Some((sent, response.headers().get(given)?.clone())));
        let tags: Vec<_> = tags.collect();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES_MAX {
                return Err(IntakeError::TooLarge);
            }
        }
        Ok(Some((body, tags)))
    }

    fn client(&mut self) -> Result<reqwest::Client, IntakeError> {
        let version = self.files.version();
        if let Some((built, client)) = &self.client
            && *built == version
        {
            return Ok(client.clone());
        }
        let scheme = if self.settings.needs_authorities() { "https://" } else { "http://" };
        let client = http::client(scheme, TIMEOUT_MS, self.settings.ca_file.as_deref(), &self.files)?;
        self.client = Some((version, client.clone()));
        Ok(client)
    }

    /// Secrets and certificates may have been mended since.
    pub async fn refresh_files(&self) {
        self.files.refresh().await;
    }
}

type Tags = Vec<(HeaderName, HeaderValue)>;

enum Parsed {
    /// With what was left out.
    Warnings(Vec<Warning>, Vec<JsonError>),
    List(Vec<String>),
}

fn parse(mapping: Option<&JsonMapping>, sender: &str, document: &[u8]) -> Result<Parsed, IntakeError> {
    if let Some(mapping) = mapping {
        let read = mapping.read(sender, document)?;
        return Ok(Parsed::Warnings(read.warnings, read.left_out));
    }
    Ok(match cap::read(document)? {
        CapDocument::Warning(warning) => Parsed::Warnings(vec![*warning], Vec::new()),
        CapDocument::List(links) => Parsed::List(links),
    })
}

/// The warnings of a document that somebody sent to a feed.
///
/// # Errors
/// It is none, or a list of addresses: nobody is sent elsewhere.
pub fn read_sent(settings: &FeedSettings, document: &[u8]) -> Result<Vec<Warning>, IntakeError> {
    match parse(settings.json.as_ref(), &settings.name, document)? {
        Parsed::Warnings(warnings, _) => Ok(warnings),
        Parsed::List(_) => Err(IntakeError::List),
    }
}

/// # Errors
/// It is no address.
fn address(url: &str) -> Result<Url, IntakeError> {
    Url::parse(url).map_err(|_| IntakeError::Address(http::without_secrets(url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_ask(list: &str, hosts: &[&str], link: &str) -> bool {
        let text = format!("name = \"f\"\nurl = \"{list}\"\nhosts = {hosts:?}\n");
        let settings: FeedSettings = toml::from_str(&text).unwrap();
        let list = Url::parse(list).unwrap();
        let reader = FeedReader::new(settings, LoadedFiles::default());
        list.join(link).is_ok_and(|url| reader.may_ask(&list, &url))
    }

    #[test]
    fn documents_come_from_where_the_list_is_or_from_hosts_that_are_named() {
        let list = "https://list.example/rss.xml";
        for good in ["https://list.example/a", "HTTPS://LIST.example:443/a", "/a", "a.xml", "//list.example/a"] {
            assert!(may_ask(list, &[], good), "{good}");
        }
        let foreign = [
            "http://list.example/a",
            "https://list.example:8443/a",
            "https://other.example/a",
            "https://evil.example\\@list.example/a",
            "https://list.example@evil.example/a",
            "https://list.example.evil.example/a",
            "https://user@list.example/a",
            "http://127.0.0.1/a",
            "file:///etc/passwd",
        ];
        for bad in &foreign {
            assert!(!may_ask(list, &[], bad), "{bad}");
        }
        assert!(may_ask(list, &["Other.example"], "https://other.example/a"));
        assert!(!may_ask(list, &["other.example"], "https://other.example:8443/a"));
        assert!(may_ask(list, &["other.example:8443"], "https://other.example:8443/a"));
        assert!(!may_ask(list, &["other.example"], "http://other.example/a"));
        assert!(may_ask("http://list.example/l", &["other.example"], "https://other.example/a"));
    }
}
