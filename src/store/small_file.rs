//! Small files. Every call waits for the disk: rooms whose tasks share the polling thread call it on a thread that may wait.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file: the new contents are written beside it, synced and renamed, then the directory is synced. Readers, also after a
/// power cut, see the old or the new contents.
///
/// # Errors
/// An operation failed. The file is unchanged, unless only the directory could not be synced.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        // The rename is durable only once the directory is synced.
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// The contents of a file; none if there is no such file.
///
/// # Errors
/// It is there and cannot be read: that must not pass for an empty file.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Appends to a file, which is created if there is none, and syncs it.
///
/// # Errors
/// An operation failed; a part of the bytes may be in the file.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Removes a file; it need not exist.
///
/// # Errors
/// It is there still.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays_as_it_was() {
        let dir = std::env::temp_dir().join(format!("plantroom-whole-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.json");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
        assert!(replace(&dir.join("no/such"), b"x").is_err());
        append(&path, b" and more").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"new and more"[..]));
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        assert!(read(&dir).is_err(), "a directory cannot be read");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
