//! What every HTTP client of this program shares: a client with its trusted authorities and timeouts, secrets, error texts.
//!
//! No proxy is used and no redirect is followed.

pub mod error;
pub mod files;

use std::time::Duration;

use crate::http::error::HttpError;
use crate::http::files::{LoadedFiles, SYSTEM_CA};

/// Upper bound of the connect timeout, which is never longer than the request's.
const CONNECT_MS: u64 = 5_000;
/// Bytes of a response body that are read; the rest is discarded.
const BODY_MAX: usize = 262_144;

/// A URL with user info and query replaced by `***`, since both may hold a password.
pub fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(s, r)| (s, r));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let (path, query) = rest.split_once('?').map_or((rest, ""), |(p, _)| (p, "?***"));
    let host = path.rsplit_once('@').map_or_else(|| path.to_string(), |(_, host)| format!("***@{host}"));
    format!("{scheme}{host}{query}")
}

/// Whether this is an `http` or `https` URL without user info, query and fragment.
pub fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|r| r.split('/').next().unwrap_or_default());
    host.is_some_and(|h| !h.is_empty() && !h.contains('@')) && !url.contains(['?', '#', ' '])
}

/// A client for one service: no proxy, no redirects, one idle connection.
///
/// # Errors
/// The CA file cannot be read or holds no certificate.
pub fn client(
    url: &str,
    timeout_ms: u64,
    ca_file: Option<&str>,
    files: &LoadedFiles,
) -> Result<reqwest::Client, HttpError> {
    let builder = reqwest::Client::builder()
        .timeout(Duration::from_millis(timeout_ms))
        .connect_timeout(Duration::from_millis(timeout_ms.min(CONNECT_MS)))
        .pool_max_idle_per_host(1)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("plantroom/", env!("CARGO_PKG_VERSION")));
    let builder = builder.tls_backend_preconfigured(tls(is_tls(url), ca_file, files)?);
    builder.build().map_err(|e| HttpError::Client(error_text(&e)))
}

/// Whether the address is reached by TLS.
pub fn is_tls(url: &str) -> bool {
    url.starts_with("https://")
}

fn tls(is_needed: bool, ca_file: Option<&str>, files: &LoadedFiles) -> Result<rustls::ClientConfig, HttpError> {
    let mut roots = rustls::RootCertStore::empty();
    if !is_needed {
        // Plain HTTP needs no trusted authority, so the CA file need not exist.
        return Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    }
    let (added, _) = roots.add_parsable_certificates(files.ca_certificates(ca_file)?);
    if added == 0 {
        return Err(HttpError::NoCertificate { path: ca_file.unwrap_or(SYSTEM_CA).to_string() });
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// The body up to `BODY_MAX` bytes: enough for an error message, bounded in memory.
pub async fn body_text(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= BODY_MAX {
            bytes.truncate(BODY_MAX);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `Retry-After` if it is given in seconds. A date is ignored: it would depend on both clocks.
pub fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    seconds(response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?)
}

fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// An error with its innermost cause and without its URL.
pub fn error_text(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut out = if error.is_timeout() { "no answer in time".to_string() } else { "no connection".to_string() };
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.source().is_none() {
            out = format!("{out}: {inner}");
        }
        source = inner.source();
    }
    out
}

/// An error with its causes; a cause whose text is contained in an earlier one is left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let said = e.to_string();
        if !out.contains(&said) {
            out = format!("{out}: {said}");
        }
        cause = e.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_and_dates_are_not() {
        assert_eq!((seconds(" 7 "), seconds("Fri, 31 Dec 1999 23:59:59 GMT")), (Some(Duration::from_secs(7)), None));
    }
}
