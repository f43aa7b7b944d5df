//! Files of the journal by name: listed, removed, set aside.

use std::path::{Path, PathBuf};

/// The `.db` files whose names begin with `prefix`, sorted by name.
pub fn list(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let ours = |p: &PathBuf| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with(prefix) && p.extension().is_some_and(|e| e == "db")
    };
    let mut out: Vec<PathBuf> = entries.filter(ours).collect();
    out.sort();
    out
}

/// Removes a database file and SQLite's files beside it.
pub fn remove_db(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _may_not_exist = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}

/// Renames a damaged file, and SQLite's files beside it, to `.damaged`.
pub fn quarantine(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let from = format!("{}{suffix}", path.display());
        let to = format!("{}.damaged{suffix}", path.display());
        let _may_not_exist = std::fs::rename(from, to);
    }
}
