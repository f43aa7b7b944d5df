//! The files that sinks, channels and the web server refer to: CA certificates, client certificates, keys, secrets. They are read at the
//! start, at a reload and after a failure, by a thread that may wait for a disk; and they are checked.

#![allow(clippy::disallowed_methods, reason = "the one place that reads these files, on a thread that may wait")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::CertificateError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::http::error::{FileProblem, HttpError};

/// Debian's bundle of the system's trusted CA certificates.
pub const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long a disk is waited for before the contents of before are used.
const DISK_ANSWERS: Duration = Duration::from_secs(2);
/// A certificate that expires within this time is reported.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// The expected content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// CA certificates in PEM, against which a server's certificate is verified.
    CaCertificates,
    /// Our certificate chain, PEM; the field is the path of its private key.
    Certificate(String),
    /// A password, token or key of a service.
    Secret,
}

/// A file that is named in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The TOML key that names it.
    pub key: &'static str,
    pub path: String,
    pub kind: FileKind,
}

impl NamedFile {
    /// A file with a secret, if `path` is configured.
    pub fn secret(key: &'static str, path: Option<&String>) -> Option<Self> {
        Some(Self { key, path: path?.clone(), kind: FileKind::Secret })
    }

    /// The file with the CA certificates of a connection: the configured one, or with TLS the system's.
    pub fn ca_certificates(path: Option<&String>, is_tls: bool) -> Option<Self> {
        let path = path.cloned().or_else(|| is_tls.then(|| SYSTEM_CA.to_string()))?;
        Some(Self { key: "ca_file", path, kind: FileKind::CaCertificates })
    }

    /// The problem with the file, if there is one; `now` is the time since 1970.
    pub fn problem(&self, now: Duration) -> Option<String> {
        let result = match &self.kind {
            // What the system trusts is the system's; a connection that finds it missing says so.
            FileKind::CaCertificates if self.path == SYSTEM_CA => Ok(()),
            FileKind::Secret => secret(&self.path),
            FileKind::CaCertificates => certificates(&self.path).and_then(|all| authorities(&all, now)),
            FileKind::Certificate(key) => certificates(&self.path).and_then(|all| check_key_pair(all, key, now)),
        };
        result.err().map(|why| format!("{} = \"{}\": {why}", self.key, self.path))
    }
}

/// The contents of named files as they were last read. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LoadedFiles(Arc<Loaded>);

#[derive(Debug, Default)]
struct Loaded {
    contents: RwLock<Contents>,
    /// How often they were found changed.
    version: AtomicU64,
    /// Whether a thread reads them: a disk that hangs costs one thread, not one for each attempt.
    is_reading: AtomicBool,
}

/// By path: the bytes, or why there are none.
type Contents = BTreeMap<String, Result<Arc<[u8]>, HttpError>>;

impl PartialEq for LoadedFiles {
    fn eq(&self, other: &Self) -> bool {
        *self.contents() == *other.contents()
    }
}

impl LoadedFiles {
    /// Reads the files; waits for the disk. A file that cannot be read is an error of whoever needs it.
    pub fn read(files: &[NamedFile]) -> Self {
        let mut contents = Contents::new();
        for file in files {
            contents.insert(file.path.clone(), read_bytes(&file.path));
            if let FileKind::Certificate(key) = &file.kind {
                contents.insert(key.clone(), read_bytes(key));
            }
        }
        Self(Arc::new(Loaded { contents: RwLock::new(contents), ..Loaded::default() }))
    }

    /// As [`LoadedFiles::read`], on a thread that may wait.
    pub async fn load(files: Vec<NamedFile>) -> Self {
        tokio::task::spawn_blocking(move || Self::read(&files)).await.unwrap_or_default()
    }

    /// Reads the same files again, on a thread that may wait: a secret may have been mended or renewed since. Returns after two seconds in
    /// any case: until the disk answers the contents stay. So does what was read of a file that cannot be read any more; a reload says that.
    pub async fn refresh(&self) {
        let paths: Vec<String> = self.contents().keys().cloned().collect();
        if paths.is_empty() || self.0.is_reading.swap(true, Ordering::Relaxed) {
            return;
        }
        let this = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = |path: String| {
                let bytes = read_bytes(&path).or_else(|error| this.bytes(&path).map_err(|_| error));
                (path, bytes)
            };
            let contents: Contents = paths.into_iter().map(read).collect();
            let is_changed = contents != *this.contents();
            if is_changed {
                *this.0.contents.write().unwrap_or_else(PoisonError::into_inner) = contents;
                this.0.version.fetch_add(1, Ordering::Relaxed);
            }
            this.0.is_reading.store(false, Ordering::Relaxed);
        });
        let _it_goes_on = tokio::time::timeout(DISK_ANSWERS, reading).await;
    }

    /// Rises when [`LoadedFiles::refresh`] finds another content: what was built from the files is out of date.
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Relaxed)
    }

    fn contents(&self) -> std::sync::RwLockReadGuard<'_, Contents> {
        self.0.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a file that the settings name; the error names it too.
    ///
    /// # Errors
    /// It could not be read.
    pub fn bytes(&self, path: &str) -> Result<Arc<[u8]>, HttpError> {
        let unread = || Err(unreadable(path, "it was not read"));
        self.contents().get(path).cloned().unwrap_or_else(unread)
    }

    /// A secret given in place or in its file, without trailing line ends. The file wins.
    ///
    /// # Errors
    /// The file could not be read, or holds no text.
    pub fn secret(&self, given: Option<&String>, file: Option<&String>) -> Result<Option<String>, HttpError> {
        let Some(path) = file else { return Ok(given.cloned()) };
        let bytes = self.bytes(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unreadable(path, "it holds no text"))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_string()))
    }

    /// Certificates of a PEM file, of the system's where none is named. Whether each of them can be used is not looked at.
    ///
    /// # Errors
    /// The file could not be read or is no PEM file.
    pub fn ca_certificates(&self, ca_file: Option<&str>) -> Result<Vec<CertificateDer<'static>>, HttpError> {
        let path = ca_file.unwrap_or(SYSTEM_CA);
        let pem = self.bytes(path)?;
        let no_pem =
            |e: rustls::pki_types::pem::Error| HttpError::NoPem { path: path.to_string(), reason: e.to_string() };
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(no_pem)
    }
}

fn unreadable(path: &str, reason: impl ToString) -> HttpError {
    HttpError::File { path: path.to_string(), reason: reason.to_string() }
}

fn read_bytes(path: &str) -> Result<Arc<[u8]>, HttpError> {
    std::fs::read(path).map(Arc::from).map_err(|e| unreadable(path, e))
}

fn read(path: &str) -> Result<Vec<u8>, FileProblem> {
    std::fs::read(path).map_err(|e| FileProblem::Unreadable(e.to_string()))
}

fn secret(path: &str) -> Result<(), FileProblem> {
    let text = String::from_utf8(read(path)?).map_err(|_| FileProblem::NoText)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(FileProblem::Empty),
        line if line.contains(['\r', '\n']) => Err(FileProblem::ManyLines),
        line if line.trim() != line => Err(FileProblem::Blank),
        _ => Ok(()),
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|e| FileProblem::NoPem(e.to_string()))?;
    if all.is_empty() { Err(FileProblem::NoCertificates) } else { Ok(all) }
}

/// A list of authorities is usable as long as one certificate of it is valid.
fn authorities(all: &[CertificateDer<'static>], now: Duration) -> Result<(), FileProblem> {
    let states: Vec<Result<(), FileProblem>> = all.iter().map(|c| valid(c, now)).collect();
    if states.iter().any(Result::is_ok) { Ok(()) } else { states.into_iter().next().unwrap_or(Ok(())) }
}

fn check_key_pair(chain: Vec<CertificateDer<'static>>, key: &str, now: Duration) -> Result<(), FileProblem> {
    valid(&chain[0], now)?;
    let pem = read(key).map_err(|problem| FileProblem::Key { key: key.to_string(), problem: Box::new(problem) })?;
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|e| FileProblem::NoKey { key: key.to_string(), reason: e.to_string() })?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, private, &provider)
        .map(drop)
        .map_err(|e| FileProblem::OtherKey { key: key.to_string(), reason: e.to_string() })
}

/// Whether a certificate is valid now and `SOON` after that.
fn valid(certificate: &CertificateDer<'static>, now: Duration) -> Result<(), FileProblem> {
    match certificate_error(certificate, now) {
        Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Err(FileProblem::Expired),
        Some(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            Err(FileProblem::NotYetValid)
        }
        Some(CertificateError::BadEncoding) => Err(FileProblem::NoCertificate),
        _ => match certificate_error(certificate, now + SOON) {
            Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Err(FileProblem::ExpiresSoon),
            _ => Ok(()),
        },
    }
}

/// rustls' verdict on a certificate at a time. rustls checks the dates first, so an error about the issuer means that the dates are good.
fn certificate_error(certificate: &CertificateDer<'static>, at: Duration) -> Option<CertificateError> {
    let mut roots = rustls::RootCertStore::empty();
    // Any root will do, since only the dates matter here.
    let (added, _) = roots.add_parsable_certificates([certificate.clone()]);
    if added == 0 {
        return Some(CertificateError::BadEncoding);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let name = ServerName::try_from("certificate.invalid").ok()?;
    match verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::since_unix_epoch(at)) {
        Err(rustls::Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for this test (openssl req -x509, CN=box), valid from 2026-11-26 for ten years, its key, and another key.
    const CERTIFICATE: &str = include_str!("../../tests/pure/example-ca.pem");
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
         MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEky/cBbzWTJ/Zd/M\n\
         WGltLao/7++6CClHu/kuPRhwPzmhRANCAAQ6FyX7Uqx869+08EWIL5yNpR/4/WB6\n\
         2NBr3CfgNWINxE29UtCbuxOSJHhRejxm4WvMwfpAz6vMsUv4EvVMmyeb\n\
         -----END PRIVATE KEY-----\n";
    const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
         MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvL8c4XQnoKCpfBG0\n\
         8N7CjidbnHiwUqXz0EONW9xd+IGhRANCAATerwWBvF3TQxCSfFz/Qk5XFqPdYrDO\n\
         ihxfO4hRkPRPkwGrrp3XKzeOaUWPum7Y5Ox/sausvgqSbdXcijIPIcVr\n\
         -----END PRIVATE KEY-----\n";
    const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const DAY: u64 = 86_400;
    /// 2026-12-01, seconds since 1970.
    const NOW: u64 = 20_788 * DAY;

    #[tokio::test]
    async fn files_are_read_when_asked_and_compared_by_content() {
        let dir = std::env::temp_dir().join(format!("plantroom-loaded-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("token").display().to_string();
        let named = vec![NamedFile { key: "token_file", path: path.clone(), kind: FileKind::Secret }];
        let files = LoadedFiles::load(named.clone()).await;
        let secret = |files: &LoadedFiles| files.secret(Some(&"given".to_string()), Some(&path));
        assert!(secret(&files).unwrap_err().to_string().contains("token: No such file"));
        std::fs::write(&path, "s3cret\n").unwrap();
        assert!(secret(&files).is_err(), "nobody asked for it to be read");
        let again = LoadedFiles::read(&named);
        assert_ne!(files, again);
        files.refresh().await;
        assert_eq!((secret(&files), &files), (Ok(Some("s3cret".to_string())), &again));
        files.refresh().await;
        assert_eq!(files.version(), 1, "the same content is no change");
        std::fs::remove_file(&path).unwrap();
        files.refresh().await;
        assert_eq!(secret(&files), Ok(Some("s3cret".to_string())), "what was known stays");
        assert!(secret(&LoadedFiles::read(&named)).is_err(), "a reload says that it is gone");
        std::fs::write(&path, [0xFF]).unwrap();
        files.clone().refresh().await;
        assert!(secret(&files).unwrap_err().to_string().contains("holds no text"), "clones share what was read");
        assert_eq!(files.secret(Some(&"given".to_string()), None), Ok(Some("given".to_string())));
        assert!(files.bytes("/other").unwrap_err().to_string().contains("was not read"));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let dir = std::env::temp_dir().join(format!("plantroom-files-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let problem = |kind: FileKind, path: &str, days: i64| {
            let now = Duration::from_secs(NOW.saturating_add_signed(days * DAY.cast_signed()));
            NamedFile { key: "k", path: path.to_string(), kind }.problem(now).unwrap_or_default()
        };
        for (text, expected) in [
            ("s3cret\n", ""),
            ("s3cret", ""),
            ("", "is empty"),
            ("\n", "is empty"),
            ("a\nb\n", "more than one line"),
            (" a\n", "a blank"),
        ] {
            let said = problem(FileKind::Secret, &write("secret", text), 0);
            assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{text:?}: {said}");
        }
        assert!(problem(FileKind::Secret, "/no/such", 0).contains("cannot be read: No such file"));
        let (pem, key, other) = (write("a.pem", CERTIFICATE), write("a.key", KEY), write("b.key", OTHER_KEY));
        let own = |key: &str| FileKind::Certificate(key.to_string());
        assert_eq!(
            (problem(own(&key), &pem, 0), problem(FileKind::CaCertificates, &pem, 0)),
            (String::new(), String::new())
        );
        assert!(problem(own(&other), &pem, 0).contains("does not belong to the key"));
        assert!(problem(own(&pem), &pem, 0).contains("is no PEM file of a key"));
        assert!(problem(own(&key), &key, 0).contains("holds no certificate"));
        assert!(problem(own(&key), &pem, 3_630).contains("expires within 30 days"));
        for kind in [own(&key), FileKind::CaCertificates] {
            assert!(problem(kind.clone(), &pem, 3_700).contains("has expired"));
            assert!(problem(kind, &pem, -30).contains("not valid yet"));
        }
        assert!(
            problem(FileKind::CaCertificates, &write("none.pem", NO_CERTIFICATE), 0).contains("what is no certificate")
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
