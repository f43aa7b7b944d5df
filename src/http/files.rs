//! Checks the files that sinks and channels refer to: CA certificates, client certificates, keys, secrets.

use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

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

    /// A file with CA certificates, if `path` is configured.
    pub fn ca_certificates(path: Option<&String>) -> Option<Self> {
        Some(Self { key: "ca_file", path: path?.clone(), kind: FileKind::CaCertificates })
    }

    /// The problem with the file, if there is one; `now` is the time since 1970.
    pub fn problem(&self, now: Duration) -> Option<String> {
        let result = match &self.kind {
            FileKind::Secret => secret(&self.path),
            FileKind::CaCertificates => certificates(&self.path).and_then(|all| authorities(&all, now)),
            FileKind::Certificate(key) => certificates(&self.path).and_then(|all| check_key_pair(all, key, now)),
        };
        result.err().map(|why| format!("{} = \"{}\": {why}", self.key, self.path))
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))
}

fn secret(path: &str) -> Result<(), String> {
    let text = String::from_utf8(read(path)?).map_err(|_| "holds no text".to_string())?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("is empty".to_string()),
        line if line.contains(['\r', '\n']) => Err("holds more than one line".to_string()),
        line if line.trim() != line => Err("begins or ends with a blank, which belongs to the secret then".to_string()),
        _ => Ok(()),
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|e| format!("is no PEM file: {e}"))?;
    if all.is_empty() { Err("holds no certificate (-----BEGIN CERTIFICATE-----)".to_string()) } else { Ok(all) }
}

/// A list of authorities is usable as long as one certificate of it is valid.
fn authorities(all: &[CertificateDer<'static>], now: Duration) -> Result<(), String> {
    let states: Vec<Result<(), String>> = all.iter().map(|c| valid(c, now)).collect();
    if states.iter().any(Result::is_ok) { Ok(()) } else { states.into_iter().next().unwrap_or(Ok(())) }
}

fn check_key_pair(chain: Vec<CertificateDer<'static>>, key: &str, now: Duration) -> Result<(), String> {
    valid(&chain[0], now)?;
    let pem = read(key).map_err(|why| format!("its key {key} {why}"))?;
    let private =
        PrivateKeyDer::from_pem_slice(&pem).map_err(|e| format!("its key {key} is no PEM file of a key: {e}"))?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, private, &provider)
        .map(drop)
        .map_err(|e| format!("does not belong to the key {key}: {e}"))
}

/// Whether a certificate is valid now and `SOON` after that.
fn valid(certificate: &CertificateDer<'static>, now: Duration) -> Result<(), String> {
    match certificate_error(certificate, now) {
        Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Err("has expired".to_string()),
        Some(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            Err("is not valid yet: is the date of this machine right?".to_string())
        }
        Some(CertificateError::BadEncoding) => Err("holds what is no certificate".to_string()),
        _ => match certificate_error(certificate, now + SOON) {
            Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                Err("expires within 30 days".to_string())
            }
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
