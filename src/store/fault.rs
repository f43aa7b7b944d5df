//! What a fault of SQLite says of a file: that it is damaged, or only of the disk, of another process, of what is short now.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rusqlite::ffi;

/// Whether the file itself gives nothing, so that it is put aside and another begun. Not: no room on the disk, too many open files,
/// not ours to read or write, held by another process: then the file is sound and stays where it is.
pub fn is_of_file(error: &rusqlite::Error, path: &Path) -> bool {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    let extended = error.sqlite_error().map_or(0, |e| e.extended_code);
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked | DiskFull | OutOfMemory | PermissionDenied) => false,
        // Files beside it cannot be made or written (a full disk): nothing is said of this one. What cannot be read is lost.
        Some(SystemIoFailure) => {
            matches!(extended, ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | SQLITE_IOERR_CORRUPTFS)
                || cannot_be_read(path)
        }
        Some(CannotOpen | ReadOnly) => cannot_be_read(path),
        _ => !is_forbidden(path),
    }
}

const SQLITE_IOERR_CORRUPTFS: i32 = ffi::SQLITE_IOERR | (33 << 8);

fn is_forbidden(path: &Path) -> bool {
    std::fs::File::open(path).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
}

/// Whether the beginning of a file cannot be read, and not for want of a right or of free descriptors.
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
