//! A request to send a range of the history to a store again. It is kept in a file until it is done; a restart begins the range anew.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::model::time::UnixMillis;
use crate::store::atomic_file;

/// From a date to before another, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResendRange {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// The resend request of one store; at most one range at a time.
#[derive(Clone, Debug)]
pub struct Resend {
    inner: Arc<ResendInner>,
}

#[derive(Debug)]
struct ResendInner {
    path: PathBuf,
    state: Mutex<ResendState>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct ResendState {
    range: Option<ResendRange>,
    progress: String,
}

impl Resend {
    /// Opens the request file; an unfinished request of an earlier run is taken up.
    pub fn open(path: &Path) -> Self {
        let range = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let state = Mutex::new(ResendState { range, progress: String::new() });
        Self { inner: Arc::new(ResendInner { path: path.to_path_buf(), state, notify: Notify::new() }) }
    }

    fn state(&self) -> MutexGuard<'_, ResendState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a range.
    ///
    /// # Errors
    /// Another range is in progress, the range is empty, or the file cannot be written.
    pub fn request(&self, range: ResendRange) -> Result<(), String> {
        let mut state = self.state();
        if let Some(other) = state.range {
            let (from, to) = (UnixMillis(other.from_ms).rfc3339(), UnixMillis(other.to_ms).rfc3339());
            return Err(format!("{from} to {to} is being written again: one range at a time (`plantroom status`)"));
        }
        if range.from_ms >= range.to_ms {
            return Err("the range ends before it begins".to_string());
        }
        let bytes = serde_json::to_vec(&range).map_err(|e| e.to_string())?;
        atomic_file::replace(&self.inner.path, &bytes)
            .map_err(|e| format!("{} cannot be written: {e}", self.inner.path.display()))?;
        state.range = Some(range);
        self.inner.notify.notify_one();
        Ok(())
    }

    /// The range in progress.
    pub fn range(&self) -> Option<ResendRange> {
        self.state().range
    }

    /// The range is written: deletes the request.
    pub fn finish(&self) {
        let _may_not_exist = std::fs::remove_file(&self.inner.path);
        *self.state() = ResendState::default();
    }

    /// Progress text; empty if there is no request, or before the first body.
    pub fn progress(&self) -> String {
        self.state().progress.clone()
    }

    pub fn set_progress(&self, text: String) {
        self.state().progress = text;
    }

    /// Waits for a request.
    pub async fn notified(&self) {
        self.inner.notify.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_kept_until_it_is_written() {
        let path = std::env::temp_dir().join(format!("plantroom-again-{}", std::process::id()));
        let _may_not_exist = std::fs::remove_file(&path);
        let again = Resend::open(&path);
        let range = ResendRange { from_ms: 10, to_ms: 20 };
        assert!(again.request(ResendRange { from_ms: 10, to_ms: 10 }).is_err() && again.range().is_none());
        assert_eq!(again.request(range), Ok(()));
        let said = again.request(ResendRange { from_ms: 30, to_ms: 40 }).unwrap_err();
        assert!(said.contains("1970-01-01T00:00:00.010Z") && said.contains("one range at a time"), "{said}");
        assert_eq!(Resend::open(&path).range(), Some(range), "a restart goes on with it");
        again.finish();
        assert_eq!((Resend::open(&path).range(), again.range()), (None, None));
    }
}
