//! Errors of the running gateway.

use crate::journal::error::JournalError;
use crate::ledger::error::LedgerError;
use crate::model::failure::{Failure, FailureKind, Refusal};
use crate::sink::error::SinkError;
use crate::store::error::StoreError;

/// Why the gateway does not start, or does not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot make the state directory {path}: {reason}")]
    StateDirectory { path: String, reason: String },
    #[error("cannot open the journal: {0}")]
    Journal(JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rules, or a look at what is configured, refused a command.
    #[error("{0}")]
    Rules(Refusal),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("the ledger is not up to date: {0}")]
    Ledger(#[from] LedgerError),
    /// A name that the configuration lacks, or a value that makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The new configuration has errors; they follow, one a line.
    #[error("the new configuration does not check, the one in force stays\n{0}")]
    Configuration(String),
    #[error("the gateway is stopping")]
    Stopping,
    /// A part of this program failed.
    #[error("that failed inside: see the log")]
    Inside,
}

impl Failure for AppError {
    fn kind(&self) -> FailureKind {
        match self {
            AppError::StateDirectory { .. } | AppError::Stopping => FailureKind::Retry,
            AppError::Journal(error) => error.kind(),
            AppError::Store(error) => error.kind(),
            AppError::Rules(refusal) => refusal.kind(),
            AppError::Sink(error) => error.kind(),
            AppError::Ledger(error) => error.kind(),
            AppError::BadRequest(_) => FailureKind::BadInput,
            AppError::Configuration(_) => FailureKind::Refused,
            AppError::Inside => FailureKind::Broken,
        }
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        AppError::Rules(refusal)
    }
}
