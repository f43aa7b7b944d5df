//! Who may read the state: its owner alone, whoever runs the gateway and whatever was there before.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::Mode;

/// Folders below the state directory at most.
const DEEP: u8 = 4;

/// Files that are made from now on are for their owner alone; those below the state directory become so.
pub fn tighten(state: &Path) {
    let _before = rustix::process::umask(Mode::from_raw_mode(0o077));
    directory(state, DEEP);
}

/// Nothing is followed; what is not ours is left alone.
fn directory(dir: &Path, deep: u8) {
    set(dir, 0o700);
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && deep > 0 {
            directory(&entry.path(), deep - 1);
        } else if kind.is_file() {
            set(&entry.path(), 0o600);
        }
    }
}

fn set(path: &Path, mode: u32) {
    let Ok(found) = std::fs::symlink_metadata(path) else { return };
    if found.uid() != rustix::process::geteuid().as_raw() || found.permissions().mode() & 0o777 == mode {
        return;
    }
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), %error, "others on this machine may read it");
    }
}
