//! Errors of the ledger's file.

use std::path::Path;

use crate::model::failure::{Failure, FailureKind};
use crate::store::fault::is_file_fault;

/// Format version of the file (SQLite `user_version`).
pub const FORMAT: i64 = 1;

/// Why the ledger cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer version wrote it.
    #[error("{path} has format {found}; this version reads up to {FORMAT}: install the version that wrote it")]
    Newer { path: String, found: i64 },
    /// There is no ledger yet.
    #[error("there is no ledger at {path}: the gateway begins it when it has run with a trusted date")]
    Absent { path: String },
    /// SQLite or the file system failed: damaged file, full disk, missing permission.
    #[error("{path}: {source}")]
    Sql { path: String, source: rusqlite::Error },
}

impl Failure for LedgerError {
    fn kind(&self) -> FailureKind {
        match self {
            LedgerError::Newer { .. } => FailureKind::Refused,
            LedgerError::Absent { .. } => FailureKind::BadInput,
            LedgerError::Sql { .. } if self.is_damage() => FailureKind::Broken,
            LedgerError::Sql { .. } => FailureKind::Retry,
        }
    }
}

impl LedgerError {
    /// Whether the file itself cannot be read, so that it is put aside and made anew from the journal.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SystemIoFailure};
        let LedgerError::Sql { path, source } = self else { return false };
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => true,
            Some(SystemIoFailure) => is_file_fault(source, Path::new(path)),
            _ => false,
        }
    }
}

/// Adds the path to an SQLite error.
pub fn at(path: &Path) -> impl Fn(rusqlite::Error) -> LedgerError + '_ {
    move |source| LedgerError::Sql { path: path.display().to_string(), source }
}

/// An error for a file whose contents are inconsistent; counts as damage.
pub fn corrupt(path: &Path, why: &str) -> LedgerError {
    let damage = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    at(path)(rusqlite::Error::SqliteFailure(damage, Some(why.to_string())))
}
