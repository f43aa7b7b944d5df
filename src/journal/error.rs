//! What goes wrong with a file of the journal, and what that says of it.

use std::path::Path;

use crate::store::fault::is_of_file;

/// Version of the files of this room.
pub const FORMAT: i64 = 1;

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A newer version wrote it.
    #[error(
        "{path} has format {found}; this version reads up to {FORMAT}: install the version that wrote it, or move the file away"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
    },
    /// Another process writes here.
    #[error("another gateway writes to {path}; give this one another --state, or stop the other")]
    Held {
        /// The directory.
        path: String,
    },
    /// Its making was interrupted: it holds nothing.
    #[error("{path} holds nothing: its making was interrupted")]
    Unfinished {
        /// The file.
        path: String,
    },
    /// SQLite refuses: damaged, full, not permitted.
    #[error("{path}: {source}")]
    Sql {
        /// The file.
        path: String,
        /// What it says.
        source: rusqlite::Error,
    },
}

impl JournalError {
    /// Whether the file itself is damaged, so that it is set aside (and not: disk full, not permitted).
    pub fn is_damage(&self) -> bool {
        let JournalError::Sql { source, .. } = self else { return false };
        matches!(
            source.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        )
    }
}

impl JournalError {
    /// Whether the file gives nothing, whatever the reason is, so that the start goes on without it: not while another process
    /// holds it, memory or room is short, or it is not ours to read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, JournalError::Sql { path, source } if is_of_file(source, Path::new(path)))
    }

    /// Whether a newer version's number is ours with one bit turned: then, beside files of ours, it is damage.
    pub fn is_turned_bit(&self) -> bool {
        matches!(self, JournalError::Newer { found, .. } if ((found ^ FORMAT) & 0xFFFF_FFFF).count_ones() == 1)
    }

    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        let JournalError::Sql { source, .. } = self else { return false };
        matches!(source.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull))
    }

    /// The file that it is about.
    pub fn path(&self) -> &Path {
        match self {
            JournalError::Newer { path, .. }
            | JournalError::Held { path }
            | JournalError::Unfinished { path }
            | JournalError::Sql { path, .. } => Path::new(path),
        }
    }
}

/// Names the file in an error.
pub fn at(path: &Path) -> impl Fn(rusqlite::Error) -> JournalError + '_ {
    move |source| JournalError::Sql { path: path.display().to_string(), source }
}

/// Names the file in an error of the file system.
pub fn io_at(path: &Path) -> impl Fn(std::io::Error) -> JournalError + '_ {
    move |error| at(path)(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A file whose contents do not hold together.
pub fn corrupt(path: &Path, why: &str) -> JournalError {
    let damage = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    at(path)(rusqlite::Error::SqliteFailure(damage, Some(why.to_string())))
}
