//! The second copy of the class `register`: a day's meter readings are written separately to `day-…-register.db` and
//! `mirror-…-register.db`, so that damage of one file loses nothing.

use std::path::{Path, PathBuf};

use crate::journal::files;
use crate::journal::files::{quarantine, remove_db};
use crate::journal::sealed::DayFile;
use crate::journal::segment::{JournalError, corrupt, io_at};

/// Suffix of a day file that was replaced by its mirror.
const REPLACED: &str = "replaced";

/// Path of the mirror of a day file; `None` if its class has none.
pub fn path_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix("day-").filter(|rest| rest.ends_with("-register.db"))?;
    Some(path.with_file_name(format!("mirror-{rest}")))
}

/// Path of the day file of a mirror.
fn original_of(path: &Path) -> Option<PathBuf> {
    Some(path.with_file_name(format!("day-{}", path.file_name()?.to_str()?.strip_prefix("mirror-")?)))
}

/// Paths of day files that are missing while their mirror exists.
pub fn orphans(dir: &Path) -> Vec<PathBuf> {
    files::list(dir, "mirror-").iter().filter_map(|mirror| original_of(mirror)).filter(|day| !day.exists()).collect()
}

/// Opens a day file, or its mirror if the day file is unreadable.
///
/// # Errors
/// Neither can be read: the error of the day file.
pub fn open(path: &Path) -> Result<DayFile, JournalError> {
    let opened = DayFile::open(path);
    match (&opened, path_of(path)) {
        (Err(e), Some(mirror)) if e.is_unreadable() && mirror.exists() => DayFile::open(&mirror).or(opened),
        _ => opened,
    }
}

/// Prepares a mirror for writing: if it does not exist yet, it begins as a copy of the day file, if that is sound.
///
/// # Errors
/// The copy fails, or the day file is damaged. The error then names the day file; the caller renames it, and both files begin anew.
pub fn begin(day: &Path, mirror: &Path) -> Result<(), JournalError> {
    if mirror.exists() || !day.exists() {
        return Ok(());
    }
    if !DayFile::open(day)?.is_sound()? {
        return Err(corrupt(day, "its pages do not fit together"));
    }
    copy_atomically(day, mirror).map_err(io_at(mirror))
}

/// Replaces a day file that is missing or unreadable by its mirror. Returns whether the mirror could be read and put in place.
pub fn restore(day: &Path) -> bool {
    let Some(mirror) = path_of(day).filter(|mirror| mirror.exists()) else { return false };
    let look = || {
        DayFile::rollback_interrupted(&mirror)?;
        let file = DayFile::open(&mirror)?;
        file.segments()?;
        Ok(file.is_sound().unwrap_or(false))
    };
    let is_sound = match look() {
        Ok(is_sound) => is_sound,
        Err(JournalError::Unfinished { .. }) => {
            remove_db(&mirror);
            return false;
        }
        Err(_) => {
            quarantine(&mirror);
            return false;
        }
    };
    if day.exists() {
        let _may_be_gone = std::fs::rename(day, format!("{}.{REPLACED}", day.display()));
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        let _may_not_exist = std::fs::remove_file(format!("{}{suffix}", day.display()));
    }
    // A damaged mirror is moved instead of copied: its readable part is kept, and it must not be restored a second time.
    let put = if is_sound { copy_atomically(&mirror, day) } else { std::fs::rename(&mirror, day) };
    match put {
        Ok(()) => {
            tracing::warn!(file = %day.display(), "the registers of a day were restored from their second copy");
            true
        }
        Err(error) => {
            tracing::error!(file = %day.display(), %error, "the registers of a day cannot be restored from their second copy");
            false
        }
    }
}

/// Replaces a mirror by a copy of its intact day file.
///
/// # Errors
/// The file cannot be copied; there is then no mirror.
pub fn rebuild(day: &Path, mirror: &Path) -> std::io::Result<()> {
    remove_db(mirror);
    copy_atomically(day, mirror)
}

/// Removes the mirror of a day file, and a `.replaced` file if there is one.
pub fn remove(day: &Path) {
    if let Some(mirror) = path_of(day) {
        remove_db(&mirror);
        let _may_not_exist = std::fs::remove_file(format!("{}.{REPLACED}", day.display()));
    }
}

/// Copies a file that nobody writes to, atomically: copy, sync, rename.
fn copy_atomically(from: &Path, to: &Path) -> std::io::Result<()> {
    let beside = to.with_extension("copying");
    let copied = std::fs::copy(from, &beside)
        .and_then(|_| std::fs::File::open(&beside)?.sync_all())
        .and_then(|()| std::fs::rename(&beside, to));
    if copied.is_err() {
        let _may_not_exist = std::fs::remove_file(&beside);
    }
    copied
}
