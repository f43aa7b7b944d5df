//! Errors of journal files, and whether an error means that the file itself is damaged.

use std::path::Path;

use crate::model::failure::{Failure, FailureKind};
use crate::store::fault::is_file_fault;

/// Format version of all journal files (SQLite `user_version`).
pub const FORMAT: i64 = 1;

/// An error of one file or of the directory.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A newer version wrote it.
    #[error(
        "{path} has format {found}; this version reads up to {FORMAT}: install the version that wrote it, or move the file away"
    )]
    Newer { path: String, found: i64 },
    /// Another process holds the directory's lock.
    #[error("another gateway writes to {path}; give this one another --state, or stop the other")]
    Locked { path: String },
    /// The file has no format version and no rows: its creation was interrupted.
    #[error("{path} holds nothing: its making was interrupted")]
    Unfinished { path: String },
    /// SQLite or the file system failed: damaged file, full disk, missing permission.
    #[error("{path}: {source}")]
    Sql { path: String, source: rusqlite::Error },
}

impl Failure for JournalError {
    fn kind(&self) -> FailureKind {
        match self {
            JournalError::Newer { .. } => FailureKind::Refused,
            JournalError::Locked { .. } => FailureKind::Retry,
            JournalError::Sql { .. } if !self.is_damage() => FailureKind::Retry,
            JournalError::Unfinished { .. } | JournalError::Sql { .. } => FailureKind::Broken,
        }
    }
}

impl JournalError {
    /// Whether the file itself is damaged. False for a full disk or a missing permission.
    pub fn is_damage(&self) -> bool {
        let JournalError::Sql { source, .. } = self else { return false };
        matches!(
            source.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        )
    }
}

impl JournalError {
    /// Whether the file cannot be read for a reason that lies in the file or its medium, so that startup goes on without it. False if it is
    /// locked by another process, memory or disk space is short, or permission is missing.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, JournalError::Sql { path, source } if is_file_fault(source, Path::new(path)))
    }

    /// Whether the format number differs from ours in one bit. If the other files are ours, that is damage and not a newer version.
    pub fn is_single_bit_flip(&self) -> bool {
        matches!(self, JournalError::Newer { found, .. } if ((found ^ FORMAT) & 0xFFFF_FFFF).count_ones() == 1)
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        let JournalError::Sql { source, .. } = self else { return false };
        matches!(source.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull))
    }

    /// The file concerned, or the directory if another process holds its lock.
    pub fn path(&self) -> &Path {
        match self {
            JournalError::Newer { path, .. }
            | JournalError::Locked { path }
            | JournalError::Unfinished { path }
            | JournalError::Sql { path, .. } => Path::new(path),
        }
    }
}

/// Adds the path to an SQLite error.
pub fn at(path: &Path) -> impl Fn(rusqlite::Error) -> JournalError + '_ {
    move |source| JournalError::Sql { path: path.display().to_string(), source }
}

/// Adds the path to a file system error; never counts as damage.
pub fn io_at(path: &Path) -> impl Fn(std::io::Error) -> JournalError + '_ {
    move |error| at(path)(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// An error for a file whose contents are inconsistent; counts as damage.
pub fn corrupt(path: &Path, why: &str) -> JournalError {
    let damage = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    at(path)(rusqlite::Error::SqliteFailure(damage, Some(why.to_string())))
}
