//! A feed that is asked at intervals: a CAP document, a list of them, or JSON.
//!
//! * The list is asked with its entity tag; a document of a list is fetched once.
//! * Documents of a list come from its own host, or from hosts that the configuration names: a list cannot send us elsewhere.
//! * A document that cannot be read is left out and said; the others count.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};

use crate::http;
use crate::http::files::LoadedFiles;
use crate::intake::cap::{self, CapDocument};
use crate::intake::error::IntakeError;
use crate::intake::json::JsonMapping;
use crate::intake::settings::FeedSettings;
use crate::intake::xml::BYTES_MAX;
use crate::model::flood::FeedReport;
use crate::model::warning::Warning;

/// A service answers within this time.
const TIMEOUT_MS: u64 = 20_000;
/// Documents of a list that are fetched in one look; the rest follows soon.
const DOCUMENTS_MAX: usize = 60;
/// How soon the rest follows.
const SOON: Duration = Duration::from_secs(10);
/// Documents of lists that are remembered; the longest known is forgotten first.
const KNOWN_MAX: usize = 5_000;
/// A document is tried so often.
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
            Ok(warnings) => FeedReport::Answered(warnings),
            Err(why) => FeedReport::Failed(why.to_string()),
        };
        let every = Duration::from_millis(self.settings.every.0);
        let pause = if self.has_more && report_is_good(&report) { SOON } else { crate::clock::spread(every) };
        FeedLook { report, left_out, pause }
    }

    async fn ask(&mut self, left_out: &mut Vec<(String, String)>) -> Result<Vec<Warning>, IntakeError> {
        let url = self.settings.url.clone().unwrap_or_default();
        let tags = if self.has_more { Vec::new() } else { self.tags.clone() };
        let Some((body, tags)) = self.get(&url, tags).await? else { return Ok(Vec::new()) };
        let (name, mapping) = (self.settings.name.clone(), self.settings.json.clone());
        let parsed = tokio::task::spawn_blocking(move || parse(mapping.as_ref(), &name, &body)).await??;
        let warnings = match parsed {
            Parsed::Warnings(warnings) => {
                self.has_more = false;
                warnings
            }
            Parsed::List(links) => self.documents(&url, links, left_out).await?,
        };
        self.tags = tags;
        Ok(warnings)
    }

    /// The documents of a list that are not known yet, in the order of the list: services put the newest first.
    async fn documents(
        &mut self,
        list: &str,
        links: Vec<String>,
        left_out: &mut Vec<(String, String)>,
    ) -> Result<Vec<Warning>, IntakeError> {
        let own = host(list).unwrap_or_default();
        let may_come_from = |link: &String| {
            let is_known_host = |host: &str| host == own || self.settings.hosts.iter().any(|known| known == host);
            host(link).is_some_and(is_known_host) && http::is_tls(link) >= http::is_tls(list)
        };
        let (links, foreign): (Vec<String>, Vec<String>) = links.into_iter().partition(may_come_from);
        if let Some(link) = foreign.first() {
            left_out.push((link.clone(), IntakeError::ForeignHost.to_string()));
        }
        let wanted = |link: &String| self.known.get(link).is_none_or(|(_, tries)| tries.is_some_and(|n| n < TRIES));
        let mut new: Vec<String> = links.iter().filter(|link| wanted(link)).cloned().collect();
        self.has_more = new.len() > DOCUMENTS_MAX;
        new.truncate(DOCUMENTS_MAX);
        let (mut warnings, mut failed, mut last) = (Vec::new(), 0, None);
        for link in &new {
            let outcome = self.document(link).await;
            let looks = self.looks;
            let known = self.known.entry(link.clone()).or_insert((looks, Some(0)));
            match outcome {
                Ok(warning) => {
                    known.1 = None;
                    warnings.push(warning);
                }
                Err(why) => {
                    failed += 1;
                    known.1 = known.1.map(|tries| tries.saturating_add(1));
                    left_out.push((link.clone(), why.to_string()));
                    last = Some(why);
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
        match last {
            Some(why) if failed == new.len() => Err(IntakeError::NoDocument { failed, why: Box::new(why) }),
            _ if links.is_empty() && !foreign.is_empty() => Err(IntakeError::ForeignHost),
            _ => Ok(warnings),
        }
    }

    async fn document(&mut self, link: &str) -> Result<Warning, IntakeError> {
        let Some((body, _)) = self.get(link, Vec::new()).await? else {
            return Err(IntakeError::Status(304, String::new()));
        };
        match tokio::task::spawn_blocking(move || cap::read(&body)).await?? {
            CapDocument::Warning(warning) => Ok(*warning),
            CapDocument::List(_) => Err(IntakeError::List),
        }
    }

    /// A body with the tags of its answer; none: it has not changed.
    async fn get(&mut self, url: &str, tags: Tags) -> Result<Option<(Vec<u8>, Tags)>, IntakeError> {
        let mut request = self.client()?.get(url);
        if let Some(secret) = self.files.secret(None, self.settings.secret_file.as_ref())? {
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
        let url = self.settings.url.as_deref().unwrap_or_default();
        let client = http::client(url, TIMEOUT_MS, self.settings.ca_file.as_deref(), &self.files)?;
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
    Warnings(Vec<Warning>),
    List(Vec<String>),
}

fn parse(mapping: Option<&JsonMapping>, sender: &str, document: &[u8]) -> Result<Parsed, IntakeError> {
    if let Some(mapping) = mapping {
        return Ok(Parsed::Warnings(mapping.read(sender, document)?));
    }
    Ok(match cap::read(document)? {
        CapDocument::Warning(warning) => Parsed::Warnings(vec![*warning]),
        CapDocument::List(links) => Parsed::List(links),
    })
}

/// The warnings of a document that somebody sent to a feed.
///
/// # Errors
/// It is none, or a list of addresses: nobody is sent elsewhere.
pub fn read_sent(settings: &FeedSettings, document: &[u8]) -> Result<Vec<Warning>, IntakeError> {
    match parse(settings.json.as_ref(), &settings.name, document)? {
        Parsed::Warnings(warnings) => Ok(warnings),
        Parsed::List(_) => Err(IntakeError::List),
    }
}

fn report_is_good(report: &FeedReport) -> bool {
    matches!(report, FeedReport::Answered(_))
}

/// Host and port of an address.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit('@').next().filter(|host| !host.is_empty())
}
