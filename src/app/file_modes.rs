//! Who may read the state: its owner alone, whoever runs the gateway and whatever was there before.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::Mode;

/// Folders below the state directory at most.
const DEEP: u8 = 4;

/// Files of ours beside the journal's, by how their names begin: `--state` may name a folder that others use as well.
const OWN: [&str; 4] = ["store.db", "engine.json", "driver-ends.json", "last-good"];

/// Files that are made from now on are for their owner alone; those of ours that are there become so. `fresh`: the folder was
/// made just now.
pub fn tighten(state: &Path, journal: &Path, fresh: bool) {
    let _before = rustix::process::umask(Mode::from_raw_mode(0o077));
    if fresh || state.join("store.db").exists() {
        set(state, 0o700);
    }
    if journal.starts_with(state) && journal != state {
        directory(journal, DEEP);
    }
    let Ok(entries) = std::fs::read_dir(state) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if OWN.iter().any(|own| name.to_string_lossy().starts_with(own)) {
            one(&entry, DEEP);
        }
    }
}

fn one(entry: &std::fs::DirEntry, deep: u8) {
    match entry.file_type() {
        Ok(kind) if kind.is_dir() && deep > 0 => directory(&entry.path(), deep - 1),
        Ok(kind) if kind.is_file() => set(&entry.path(), 0o600),
        _ => {}
    }
}

/// Nothing is followed; what is not ours is left alone.
fn directory(dir: &Path, deep: u8) {
    set(dir, 0o700);
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    entries.flatten().for_each(|entry| one(&entry, deep));
}

fn set(path: &Path, mode: u32) {
    let Ok(found) = std::fs::symlink_metadata(path) else { return };
    // A folder with the sticky bit is everybody's.
    if found.uid() != rustix::process::geteuid().as_raw()
        || found.permissions().mode() & 0o1000 != 0
        || found.permissions().mode() & 0o777 == mode
    {
        return;
    }
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), %error, "others on this machine may read it");
    }
}
