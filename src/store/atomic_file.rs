//! Atomic replacement of a small file: the new contents are written beside it, synced and renamed. A power cut leaves either the old
//! or the new contents.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file and syncs its directory. Readers see the old or the new contents.
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
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
