//! Backup of the journal while its writer runs. Each file is copied in a consistent state, in an order that misses no reading.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;

use crate::journal::files;
use crate::journal::segment::{JournalError, OpenMode, at, open_db};

/// Raw segments, to be copied before the day files: a segment that is sealed meanwhile is then in both copies, and the raw one counts.
pub fn raw_files(dir: &Path) -> Vec<PathBuf> {
    files::list(dir, "raw-")
}

/// Day files, to be listed after the raw segments were copied.
pub fn day_files(dir: &Path) -> Vec<PathBuf> {
    files::list(dir, "day-")
}

/// Copies one file in a consistent state while others write to it. `false` if it no longer exists, because its readings are in a day
/// file by now, or holds nothing yet.
///
/// # Errors
/// It cannot be read, or the copy cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<bool, JournalError> {
    let source = match open_db(from, OpenMode::ReadOnly) {
        Ok(source) => source,
        Err(_) if !from.exists() => return Ok(false),
        Err(JournalError::Unfinished { .. }) => return Ok(false),
        Err(e) => return Err(e),
    };
    let mut target = rusqlite::Connection::open(to).map_err(at(to))?;
    // Small steps with pauses let the writer make progress.
    let copied =
        Backup::new(&source, &mut target).and_then(|b| b.run_to_completion(500, Duration::from_millis(2), None));
    copied.map_err(at(from))?;
    target.pragma_update(None, "journal_mode", "DELETE").map_err(at(to))?;
    Ok(true)
}
