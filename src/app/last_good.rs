//! A configuration that was in force is kept: it runs when the next one does not check.

use std::path::Path;

/// Copies a configuration that is in force to where it is found when the next one does not check.
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
        if path.is_dir() && ["profiles", "vocabulary", "alarms", "calendars"].iter().any(|n| path.ends_with(n)) {
            copy(&path, &target)?;
        } else if path.extension().is_some_and(|e| e == "toml") {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
