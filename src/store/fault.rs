//! Classifies SQLite errors: the file is damaged, or the cause is the disk, another process or a lack of resources.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rusqlite::ffi;

/// Whether the file itself is unreadable, so that it is renamed and a new one begun. False if the disk is full, too many files are open,
/// permission is missing or another process holds the file: then the file is sound and stays where it is.
pub fn is_file_fault(error: &rusqlite::Error, path: &Path) -> bool {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) {
        // A file system error while a file was copied or a directory created.
        return false;
    }
    let extended = error.sqlite_error().map_or(0, |e| e.extended_code);
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked | DiskFull | OutOfMemory | PermissionDenied) => false,
        // Files beside it cannot be created or written (a full disk): this file may be sound. Only a failed read means that it is damaged.
        Some(SystemIoFailure) => {
            matches!(extended, ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | SQLITE_IOERR_CORRUPTFS)
                || cannot_be_read(path)
        }
        Some(CannotOpen) => cannot_be_read(path),
        // The file is writable, but SQLite finds a format version in it that it may not write.
        Some(ReadOnly) => extended == ffi::SQLITE_READONLY && is_writable(path),
        _ => !is_forbidden(path),
    }
}

const SQLITE_IOERR_CORRUPTFS: i32 = ffi::SQLITE_IOERR | (33 << 8);

fn is_writable(path: &Path) -> bool {
    std::fs::OpenOptions::new().append(true).open(path).is_ok()
}

fn is_forbidden(path: &Path) -> bool {
    std::fs::File::open(path).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
}

/// Whether the beginning of a file cannot be read, for another reason than missing permission, memory or file descriptors.
fn cannot_be_read(path: &Path) -> bool {
    let mut first = [0u8; 100];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut first));
    let is_short = |e: &std::io::Error| {
        // Too many open files, of this process or of the system.
        matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::OutOfMemory)
            || matches!(e.raw_os_error(), Some(23 | 24))
    };
    read.is_err_and(|e| !is_short(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_sound_file_is_never_to_blame_for_the_disk() {
        let path = std::env::temp_dir().join(format!("plantroom-fault-{}", std::process::id()));
        std::fs::write(&path, [0; 200]).unwrap();
        let of = |code: i32| is_file_fault(&error(code), &path);
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_NOMEM,
            // What opening a write-ahead log on a full disk gives.
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_IOERR_SHMMAP,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY_CANTINIT,
        ] {
            assert!(!of(code), "{code}");
        }
        let full = rusqlite::Error::ToSqlConversionFailure(Box::new(std::io::Error::from_raw_os_error(28)));
        assert!(!is_file_fault(&full, &path));
        for code in [
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_IOERR_SHORT_READ,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_ERROR,
        ] {
            assert!(of(code), "{code}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(of(ffi::SQLITE_CANTOPEN), "a directory in its place");
        std::fs::remove_dir(&path).unwrap();
    }
}
