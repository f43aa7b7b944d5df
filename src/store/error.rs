//! Errors of the store.

use crate::model::failure::{Failure, FailureKind};
use crate::store::migrations::FORMAT;

/// Why the store cannot be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A newer version wrote it.
    #[error("{path} is of format {found}, this version knows {FORMAT}: use the newer version again")]
    Newer { path: String, found: i64 },
    /// The disk or another process is the cause; the file may be sound.
    #[error("cannot open {path}: {reason}")]
    Open { path: String, reason: String },
    /// It is damaged and cannot be replaced.
    #[error("{damage}; it cannot be put aside: {reason}")]
    Quarantine { damage: String, reason: String },
    /// A new one cannot be begun.
    #[error("cannot begin {path}: {reason}")]
    Begin { path: String, reason: String },
    #[error("no thread for the store: {0}")]
    Thread(String),
    /// Too many transactions wait.
    #[error("the disk takes nothing: too much waits for it")]
    QueueFull,
    /// The store's thread has ended.
    #[error("the store's thread is gone")]
    Ended,
    /// SQLite did not write the transaction.
    #[error("{0}")]
    Write(String),
    #[error("cannot read {path}: {reason}")]
    Read { path: String, reason: String },
    #[error("cannot copy {path}: {reason}")]
    Copy { path: String, reason: String },
    /// It is no sound store of this version.
    #[error("{path}: {reason}")]
    Unsound { path: String, reason: String },
}

impl Failure for StoreError {
    fn kind(&self) -> FailureKind {
        match self {
            StoreError::Newer { .. } => FailureKind::Refused,
            StoreError::Quarantine { .. } | StoreError::Unsound { .. } | StoreError::Ended => FailureKind::Broken,
            _ => FailureKind::Retry,
        }
    }
}
