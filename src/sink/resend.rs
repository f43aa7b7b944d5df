//! A request to send a range of the history to a store again. It is kept in a file until it is done; a restart begins the range anew.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::lock::lock;
use crate::model::time::UnixMillis;
use crate::sink::error::SinkError;
use crate::store::small_file;

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
    /// Held while the file is written or removed; never while anything else waits for `state`.
    disk: Mutex<()>,
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
        let bytes = small_file::read(path).ok().flatten();
        let range = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let state = Mutex::new(ResendState { range, progress: String::new() });
        let (path, disk, notify) = (path.to_path_buf(), Mutex::default(), Notify::new());
        Self { inner: Arc::new(ResendInner { path, disk, state, notify }) }
    }

    fn disk(&self) -> MutexGuard<'_, ()> {
        lock(&self.inner.disk)
    }

    fn state(&self) -> MutexGuard<'_, ResendState> {
        lock(&self.inner.state)
    }

    /// Requests a range; waits for the disk.
    ///
    /// # Errors
    /// Another range is in progress, the range is empty, or the file cannot be written.
    pub fn request(&self, range: ResendRange) -> Result<(), SinkError> {
        let _one_at_a_time = self.disk();
        if let Some(other) = self.range() {
            let (from, to) = (UnixMillis(other.from_ms).rfc3339(), UnixMillis(other.to_ms).rfc3339());
            let busy = format!("{from} to {to} is being written again: one range at a time (`plantroom status`)");
            return Err(SinkError::Refused(busy));
        }
        if range.from_ms >= range.to_ms {
            return Err(SinkError::BadRequest("the range ends before it begins".to_string()));
        }
        let written = serde_json::to_vec(&range)
            .map_err(std::io::Error::other)
            .and_then(|bytes| small_file::replace(&self.inner.path, &bytes));
        let path = || self.inner.path.display().to_string();
        written.map_err(|e| SinkError::File { path: path(), reason: e.to_string() })?;
        self.state().range = Some(range);
        self.inner.notify.notify_one();
        Ok(())
    }

    /// The range in progress.
    pub fn range(&self) -> Option<ResendRange> {
        self.state().range
    }

    /// The range is written: deletes the request. Does not wait for the disk.
    pub fn finish(&self) {
        *self.state() = ResendState::default();
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let _one_at_a_time = this.disk();
            if this.range().is_none() {
                let _written_again_after_a_restart = small_file::remove(&this.inner.path);
            }
        });
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
#[allow(clippy::disallowed_methods, reason = "tests look at the files")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_range_is_kept_until_it_is_written() {
        let path = std::env::temp_dir().join(format!("plantroom-again-{}", std::process::id()));
        let _may_not_exist = std::fs::remove_file(&path);
        let again = Resend::open(&path);
        let range = ResendRange { from_ms: 10, to_ms: 20 };
        assert!(again.request(ResendRange { from_ms: 10, to_ms: 10 }).is_err() && again.range().is_none());
        assert_eq!(again.request(range), Ok(()));
        let said = again.request(ResendRange { from_ms: 30, to_ms: 40 }).unwrap_err().to_string();
        assert!(said.contains("1970-01-01T00:00:00.010Z") && said.contains("one range at a time"), "{said}");
        assert_eq!(Resend::open(&path).range(), Some(range), "a restart goes on with it");
        again.finish();
        assert_eq!(again.range(), None);
        while path.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}
