//! Errors of channels.

use crate::http::error::HttpError;
use crate::model::failure::{Failure, FailureKind};

/// Why a service cannot be used, or an attempt could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// A file or the HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The modem.
    #[error(transparent)]
    Modem(#[from] ModemError),
    /// Where to, or where from, is no address of the service.
    #[error("{0}")]
    Address(String),
    /// The settings give no connection.
    #[error("{0}")]
    Settings(String),
    /// The service does not answer as it should.
    #[error("{0}")]
    Service(String),
}

/// Why a modem operation failed; the variants differ in whether a message may have been sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModemError {
    /// There is no modem, or it does not respond. Nothing was sent.
    #[error("the modem does not answer: {0}")]
    Away(String),
    /// The modem returned an error. Nothing was sent.
    #[error("the modem does not answer: {0}")]
    Refused(String),
    /// The modem stopped responding in the middle of a command. A message may have been sent.
    #[error("the modem does not answer: {0}")]
    Silent(String),
}

impl Failure for ChannelError {
    fn kind(&self) -> FailureKind {
        match self {
            ChannelError::Http(error) => error.kind(),
            ChannelError::Address(_) | ChannelError::Settings(_) => FailureKind::BadInput,
            ChannelError::Service(_) | ChannelError::Modem(_) => FailureKind::Retry,
        }
    }
}

impl From<reqwest::Error> for ChannelError {
    fn from(error: reqwest::Error) -> Self {
        HttpError::from(error).into()
    }
}
