//! A copy of the journal beside its running writer: each file as it is at one moment, in an order in which nothing is missed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;

use crate::journal::recover::files;
use crate::journal::segment::{JournalError, Open, at, open_db};

/// Files that hold the journal. Raw ones first: what is sealed while they are copied is then in both, and the raw file counts.
pub fn sources(dir: &Path) -> Vec<PathBuf> {
    files(dir, "raw-")
}

/// The sealed files, to be asked for after the raw ones were copied.
pub fn sealed(dir: &Path) -> Vec<PathBuf> {
    files(dir, "day-")
}

/// Copies one file as it is now, whoever writes to it; `false` if it is gone (its readings are in a sealed file by now).
///
/// # Errors
/// It cannot be read, or the copy cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<bool, JournalError> {
    let source = match open_db(from, Open::ReadOnly) {
        Ok(source) => source,
        Err(_) if !from.exists() => return Ok(false),
        Err(JournalError::Unfinished { .. }) => return Ok(false),
        Err(e) => return Err(e),
    };
    let mut target = rusqlite::Connection::open(to).map_err(at(to))?;
    // Small steps with pauses, so that the writer gets its turn.
    let copied =
        Backup::new(&source, &mut target).and_then(|b| b.run_to_completion(500, Duration::from_millis(2), None));
    copied.map_err(at(from))?;
    target.pragma_update(None, "journal_mode", "DELETE").map_err(at(to))?;
    Ok(true)
}
