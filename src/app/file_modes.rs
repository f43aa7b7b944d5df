//! Restricts the state directory to its owner, whatever the umask and the modes found.

#![allow(clippy::disallowed_methods, reason = "at the start, before anything runs")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::Mode;

/// Depth of directories below the state directory.
const DEEP: u8 = 4;

/// Prefixes of our files beside the journal: `--state` may name a directory that others use as well.
const OWN: [&str; 4] = ["store.db", "engine.json", "driver-ends.json", "last-good"];

/// Sets the umask to 077 and tightens existing files of ours. `fresh`: the directory was created just now.
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

/// Follows no symbolic links and leaves files of other owners alone.
fn directory(dir: &Path, deep: u8) {
    set(dir, 0o700);
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    entries.flatten().for_each(|entry| one(&entry, deep));
}

fn set(path: &Path, mode: u32) {
    let Ok(found) = std::fs::symlink_metadata(path) else { return };
    // A directory with the sticky bit is shared, such as /tmp.
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
