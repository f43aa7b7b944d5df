//! Dead letters: messages and values that the other side rejected for good, kept in a file with the reason, one JSON record per line.
//! They are counted and listed, and sent again on request (`plantroom set-aside`). Both the number of records and the bytes are bounded.
//!
//! What touches the file waits for the disk and is called on a thread that may; figures and the request to send again are in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::lock::lock;
use crate::model::time::UnixMillis;
use crate::store::small_file;

/// Limits of the file. Beyond them records older than `AGE_MAX_MS` are dropped, or if there are none the older half; both are counted.
const RECORDS_MAX: usize = 10_000;
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Age from which a record is dropped when the file is full, milliseconds.
const AGE_MAX_MS: i64 = 90 * 86_400_000;

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it was refused, RFC 3339.
    pub at: String,
    /// Where to, of a message; empty for a store.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// What was sent: a line of line protocol, or a message.
    #[serde(rename = "what")]
    pub payload: String,
    /// What the other side said.
    #[serde(rename = "said")]
    pub reason: String,
}

/// The dead-letter file of one sink.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    inner: Arc<DeadLettersInner>,
}

#[derive(Debug)]
struct DeadLettersInner {
    path: PathBuf,
    /// Held while the files are read or written; never while anything else waits for `state`.
    disk: Mutex<()>,
    state: Mutex<DeadLettersState>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct DeadLettersState {
    count: usize,
    bytes: u64,
    dropped: u64,
    /// Records to be sent again that the sink has not taken yet; empty: no request.
    resend: Vec<DeadLetter>,
    /// Whether everything in the resend file is delivered, so that it may be removed.
    is_resend_done: bool,
}

impl DeadLetters {
    /// Opens the file of a sink; existing records are kept.
    pub fn open(path: &Path) -> Self {
        let count = read(path).map_or(0, |all| all.len());
        let bytes = small_file::read(path).ok().flatten().map_or(0, |bytes| bytes.len() as u64);
        // A resend that the last run did not finish is continued.
        let resend = read(&resend_path_of(path)).unwrap_or_default();
        let state = Mutex::new(DeadLettersState { count, bytes, resend, ..DeadLettersState::default() });
        let (path, disk, notify) = (path.to_path_buf(), Mutex::default(), Notify::new());
        Self { inner: Arc::new(DeadLettersInner { path, disk, state, notify }) }
    }

    fn disk(&self) -> MutexGuard<'_, ()> {
        lock(&self.inner.disk)
    }

    fn state(&self) -> MutexGuard<'_, DeadLettersState> {
        lock(&self.inner.state)
    }

    /// Where the records are.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.state().count
    }

    /// Records dropped for lack of room or because of a disk error, since the start.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// The records, oldest first.
    pub fn list(&self) -> Vec<DeadLetter> {
        let _one_at_a_time = self.disk();
        read(&self.inner.path).unwrap_or_default()
    }

    /// Appends records with fsync. `now` is `None` while the date is not trusted; then no record counts as too old.
    ///
    /// # Errors
    /// The I/O error; the records are then counted as dropped.
    pub fn add(&self, records: &[DeadLetter], now: Option<UnixMillis>) -> std::io::Result<()> {
        let _one_at_a_time = self.disk();
        let result = self.append(records, now);
        if result.is_err() {
            self.state().dropped += records.len() as u64;
        }
        result
    }

    fn append(&self, records: &[DeadLetter], now: Option<UnixMillis>) -> std::io::Result<()> {
        let (count, size) = {
            let state = self.state();
            (state.count, state.bytes)
        };
        if count + records.len() > RECORDS_MAX || size > BYTES_MAX {
            let mut all = read(&self.inner.path)?;
            let before = all.len();
            // All dates have one format and zone, so the order of the texts is the order of time.
            let oldest = now.map(|now| UnixMillis(now.0 - AGE_MAX_MS).rfc3339());
            all.retain(|r| oldest.as_ref().is_none_or(|oldest| r.at >= *oldest));
            if all.len() == before {
                all.drain(..before.div_ceil(2));
            }
            let text = bytes(&all)?;
            small_file::replace(&self.inner.path, &text)?;
            let mut state = self.state();
            state.dropped += (before - all.len()) as u64;
            (state.count, state.bytes) = (all.len(), text.len() as u64);
        }
        // The leading newline separates the records from a line that was torn off (no space, no power); empty lines are skipped.
        let mut text = vec![b'\n'];
        text.extend(bytes(records)?);
        small_file::append(&self.inner.path, &text)?;
        let mut state = self.state();
        state.count += records.len();
        state.bytes += text.len() as u64;
        Ok(())
    }

    /// Deletes all records; returns how many there were.
    ///
    /// # Errors
    /// The I/O error.
    pub fn discard(&self) -> std::io::Result<usize> {
        let _one_at_a_time = self.disk();
        small_file::replace(&self.inner.path, b"")?;
        let mut state = self.state();
        state.bytes = 0;
        Ok(std::mem::take(&mut state.count))
    }

    /// Moves all records to the resend file and notifies the sink; returns their number. What is rejected again becomes a dead letter
    /// again.
    ///
    /// # Errors
    /// The I/O error.
    pub fn request_resend(&self) -> std::io::Result<usize> {
        let one_at_a_time = self.disk();
        let resend_path = resend_path_of(&self.inner.path);
        let all = read(&self.inner.path)?;
        let count = all.len();
        let unfinished = if self.state().is_resend_done { Vec::new() } else { read(&resend_path)? };
        let waiting: Vec<DeadLetter> = unfinished.into_iter().chain(all).collect();
        // The resend file is written before the records are removed: a crash in between sends them twice and loses none.
        small_file::replace(&resend_path, &bytes(&waiting)?)?;
        small_file::replace(&self.inner.path, b"")?;
        {
            let mut state = self.state();
            (state.count, state.bytes, state.resend, state.is_resend_done) = (0, 0, waiting, false);
        }
        drop(one_at_a_time);
        self.inner.notify.notify_one();
        Ok(count)
    }

    /// The records to be sent again; empty if there is no request, or if it was taken already.
    pub fn take_resend(&self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.state().resend)
    }

    /// All records that were taken are delivered or are dead letters again: deletes the resend file, unless there is a new request. Does
    /// not wait for the disk.
    pub fn finish_resend(&self) {
        {
            let mut state = self.state();
            state.is_resend_done = state.resend.is_empty();
        }
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let _one_at_a_time = this.disk();
            if this.state().is_resend_done {
                let _sent_once_more_after_a_restart = small_file::remove(&resend_path_of(&this.inner.path));
            }
        });
    }

    /// Waits for a request to send records again.
    pub async fn notified(&self) {
        self.inner.notify.notified().await;
    }
}

/// Path of the resend file.
fn resend_path_of(path: &Path) -> PathBuf {
    path.with_extension("again")
}

/// Records of a file; none if it does not exist. A line that cannot be parsed (power cut during the write) is skipped.
///
/// # Errors
/// The file cannot be read: an unreadable file must not pass for an empty one.
fn read(path: &Path) -> std::io::Result<Vec<DeadLetter>> {
    let bytes = small_file::read(path)?.unwrap_or_default();
    Ok(bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn bytes(records: &[DeadLetter]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for record in records {
        serde_json::to_writer(&mut out, record).map_err(std::io::Error::other)?;
        out.push(b'\n');
    }
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests look at the files")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_are_kept_bounded_and_handed_back() {
        let dir = std::env::temp_dir().join(format!("plantroom-aside-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("aside.jsonl");
        let record = |i: usize| DeadLetter {
            at: "t".into(),
            topic: String::new(),
            payload: format!("m f={i} 5"),
            reason: "no".into(),
        };
        let full: Vec<DeadLetter> = (0..RECORDS_MAX).map(record).collect();
        let records = DeadLetters::open(&path);
        records.add(&full, None).unwrap();
        records.add(&[record(77_777)], None).unwrap();
        assert_eq!((records.count(), records.dropped()), (RECORDS_MAX / 2 + 1, (RECORDS_MAX / 2) as u64));
        let records = DeadLetters::open(&path);
        assert_eq!((records.count(), records.list().pop()), (RECORDS_MAX / 2 + 1, Some(record(77_777))));
        assert_eq!(records.request_resend().unwrap(), RECORDS_MAX / 2 + 1);
        assert_eq!(
            (records.count(), records.take_resend().len(), records.take_resend().len()),
            (0, RECORDS_MAX / 2 + 1, 0)
        );
        let after_a_crash = DeadLetters::open(&path);
        assert_eq!(after_a_crash.take_resend().len(), RECORDS_MAX / 2 + 1, "they were never said to be sent");
        after_a_crash.finish_resend();
        while resend_path_of(&path).exists() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(DeadLetters::open(&path).take_resend().is_empty());
        records.add(&[record(1)], None).unwrap();
        assert_eq!((records.discard().unwrap(), records.list().len()), (1, 0));
        // Too many bytes: records that are too old go first, and only those if there are any.
        let now = UnixMillis(1_800_000_000_000);
        let of = |days: i64, text: &str| DeadLetter {
            at: UnixMillis(now.0 - days * 86_400_000).rfc3339(),
            payload: text.into(),
            ..record(0)
        };
        let large = "x".repeat(9 << 20);
        records.add(&[of(100, &large), of(80, &large)], Some(now)).unwrap();
        records.add(&[of(0, "new")], Some(now)).unwrap();
        assert_eq!(records.list().iter().map(|r| r.payload.len()).collect::<Vec<_>>(), [large.len(), 3]);
        records.add(&[of(0, &large)], None).unwrap();
        records.add(&[of(0, "newer")], None).unwrap();
        assert_eq!(records.list().iter().map(|r| r.payload.len()).collect::<Vec<_>>(), [large.len(), 5]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
