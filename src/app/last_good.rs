//! Keeps a copy of the configuration in force: it is used when a later one does not check.

#![allow(clippy::disallowed_methods, reason = "called on a thread that may wait")]

use std::path::Path;

/// Copies the configuration in force to `last-good` in the state directory; a failure is logged.
pub fn keep(from: &Path, state: &Path) {
    let to = state.join("last-good");
    let fresh = state.join("last-good.new");
    let _may_not_exist = std::fs::remove_dir_all(&fresh);
    let copied = copy(from, &fresh).and_then(|()| {
        let _may_not_exist = std::fs::remove_dir_all(&to);
        std::fs::rename(&fresh, &to)
    });
    if let Err(error) = copied {
        tracing::warn!(%error, "the configuration in force cannot be kept as last-good");
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let path = entry.path();
        let target = to.join(entry.file_name());
        if path.is_dir()
            && ["profiles", "vocabulary", "alarms", "calendars", "tariffs"].iter().any(|n| path.ends_with(n))
        {
            copy(&path, &target)?;
        } else if crate::config::doc::is_configuration(&path) {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
