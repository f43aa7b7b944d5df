//! A small file that is always whole: written beside, synced, renamed. A power cut leaves the old one or the new one.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file.
///
/// # Errors
/// What the disk says; the file is then as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&beside, path)?;
    match path.parent() {
        // The name is a line in the folder, and the folder is a file too.
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
