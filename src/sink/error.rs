//! Errors of sinks.

use crate::http::error::HttpError;
use crate::model::failure::{Failure, FailureKind};

/// Why a sink cannot work, or does not do what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// A file or the HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The settings give no connection.
    #[error("{0}")]
    Settings(String),
    /// The other side is away or broke off.
    #[error("{0}")]
    NoAnswer(String),
    /// The other side refused something.
    #[error("{0}")]
    Rejected(String),
    /// The request makes no sense for this sink, or not now.
    #[error("{0}")]
    Refused(String),
    /// The request itself is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// A file of the sink cannot be written.
    #[error("{path} cannot be written: {reason}")]
    File { path: String, reason: String },
}

impl Failure for SinkError {
    fn kind(&self) -> FailureKind {
        match self {
            SinkError::Http(error) => error.kind(),
            SinkError::Settings(_) | SinkError::BadRequest(_) => FailureKind::BadInput,
            SinkError::NoAnswer(_) | SinkError::File { .. } => FailureKind::Retry,
            SinkError::Rejected(_) | SinkError::Refused(_) => FailureKind::Refused,
        }
    }
}
