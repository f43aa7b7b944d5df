//! The second copy of the register class: a day's meter readings stand in `day-…-register.db` and in `mirror-…-register.db`, each
//! written for itself, so that damage of one costs no meter's day.

use std::path::{Path, PathBuf};

use crate::journal::recover::files;
use crate::journal::seal::{remove_db, set_aside};
use crate::journal::sealed::DayFile;
use crate::journal::segment::{JournalError, corrupt, io_at};

/// What a day file is called that was replaced by its mirror.
const REPLACED: &str = "replaced";

/// The mirror of a day's file; `None` if its class has none.
pub fn of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix("day-").filter(|rest| rest.ends_with("-register.db"))?;
    Some(path.with_file_name(format!("mirror-{rest}")))
}

/// The day's file of a mirror.
fn original_of(path: &Path) -> Option<PathBuf> {
    Some(path.with_file_name(format!("day-{}", path.file_name()?.to_str()?.strip_prefix("mirror-")?)))
}

/// Days' files that are gone while their mirror is there.
pub fn orphans(dir: &Path) -> Vec<PathBuf> {
    files(dir, "mirror-").iter().filter_map(|mirror| original_of(mirror)).filter(|day| !day.exists()).collect()
}

/// A file of a day, or its mirror where that file gives nothing.
///
/// # Errors
/// Neither can be read: what the first one says.
pub fn open(path: &Path) -> Result<DayFile, JournalError> {
    let opened = DayFile::open(path);
    match (&opened, of(path)) {
        (Err(e), Some(mirror)) if e.is_unreadable() && mirror.exists() => DayFile::open(&mirror).or(opened),
        _ => opened,
    }
}

/// Before a mirror is written to: where there is none yet it begins with what the day's file has, if that holds together.
///
/// # Errors
/// The disk refuses; or the day's file is damaged, and named by the error: it is set aside like any other, and both begin anew.
pub fn begin(day: &Path, mirror: &Path) -> Result<(), JournalError> {
    if mirror.exists() || !day.exists() {
        return Ok(());
    }
    if !DayFile::open(day)?.check()? {
        return Err(corrupt(day, "its pages do not fit together"));
    }
    put_in_place(day, mirror).map_err(io_at(mirror))
}

/// Puts the mirror into the place of a day's file that is gone or gives nothing; whether there was one that can be read.
pub fn restore(day: &Path) -> bool {
    let Some(mirror) = of(day).filter(|mirror| mirror.exists()) else { return false };
    let look = || {
        DayFile::settle(&mirror)?;
        let file = DayFile::open(&mirror)?;
        file.segments()?;
        Ok(file.check().unwrap_or(false))
    };
    let is_sound = match look() {
        Ok(is_sound) => is_sound,
        Err(JournalError::Unfinished { .. }) => {
            remove_db(&mirror);
            return false;
        }
        Err(_) => {
            set_aside(&mirror);
            return false;
        }
    };
    if day.exists() {
        let _may_be_gone = std::fs::rename(day, format!("{}.{REPLACED}", day.display()));
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        let _may_not_exist = std::fs::remove_file(format!("{}{suffix}", day.display()));
    }
    // One that is damaged itself gives what it has, and is no second copy any more: the next damage sets the day aside.
    let put = if is_sound { put_in_place(&mirror, day) } else { std::fs::rename(&mirror, day) };
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

/// Writes a mirror anew from the day's file, which is whole.
///
/// # Errors
/// The disk refuses.
pub fn renew(day: &Path, mirror: &Path) -> std::io::Result<()> {
    remove_db(mirror);
    put_in_place(day, mirror)
}

/// Removes the mirror of a day's file, and what it once replaced.
pub fn remove(day: &Path) {
    if let Some(mirror) = of(day) {
        remove_db(&mirror);
        let _may_not_exist = std::fs::remove_file(format!("{}.{REPLACED}", day.display()));
    }
}

/// Copies a file that nobody writes to; it appears whole or not at all.
fn put_in_place(from: &Path, to: &Path) -> std::io::Result<()> {
    let beside = to.with_extension("copying");
    let copied = std::fs::copy(from, &beside)
        .and_then(|_| std::fs::File::open(&beside)?.sync_all())
        .and_then(|()| std::fs::rename(&beside, to));
    if copied.is_err() {
        let _may_not_exist = std::fs::remove_file(&beside);
    }
    copied
}
