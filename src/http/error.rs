//! Errors of HTTP clients and of the files that connections need.

use crate::model::failure::{Failure, FailureKind};

/// Why a client cannot be built or a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The file could not be read.
    #[error("cannot read {path}: {reason}")]
    File { path: String, reason: String },
    /// The file is no PEM file.
    #[error("{path}: {reason}")]
    NoPem { path: String, reason: String },
    /// The file has no usable certificate.
    #[error("{path} holds no certificate")]
    NoCertificate { path: String },
    /// The client refuses its settings.
    #[error("{0}")]
    Client(String),
    /// No response came, or it broke off; nothing is known about what the other side did.
    #[error("{0}")]
    NoAnswer(String),
}

impl Failure for HttpError {
    fn kind(&self) -> FailureKind {
        match self {
            HttpError::NoAnswer(_) => FailureKind::Retry,
            HttpError::File { .. }
            | HttpError::NoPem { .. }
            | HttpError::NoCertificate { .. }
            | HttpError::Client(_) => FailureKind::BadInput,
        }
    }
}

/// The request failed before a response came, or while it was read.
impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        HttpError::NoAnswer(super::error_text(&error))
    }
}

/// What is wrong with a file that the configuration names; its path stands before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("holds no text")]
    NoText,
    #[error("is empty")]
    Empty,
    #[error("holds more than one line")]
    ManyLines,
    #[error("begins or ends with a blank, which belongs to the secret then")]
    Blank,
    #[error("is no PEM file: {0}")]
    NoPem(String),
    #[error("holds no certificate (-----BEGIN CERTIFICATE-----)")]
    NoCertificates,
    #[error("holds what is no certificate")]
    NoCertificate,
    #[error("its key {key} {problem}")]
    Key { key: String, problem: Box<FileProblem> },
    #[error("its key {key} is no PEM file of a key: {reason}")]
    NoKey { key: String, reason: String },
    #[error("does not belong to the key {key}: {reason}")]
    OtherKey { key: String, reason: String },
    #[error("has expired")]
    Expired,
    #[error("is not valid yet: is the date of this machine right?")]
    NotYetValid,
    #[error("expires within 30 days")]
    ExpiresSoon,
}
