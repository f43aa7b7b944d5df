//! Appends readings; hands them out by cursor; seals history; answers queries. The store-and-forward of every sink.
//!
//! A directory of files: raw segments (an hour each), sealed files (a day and retention class each). `append` numbers a
//! reading and puts it into the tail in memory, where readers see it at once; a thread of its own commits, seals, thins
//! and deletes. A damaged file is set aside and counted, its neighbours untouched. Retention deletes files.

pub mod codec;
pub mod column;
pub mod copy;
pub mod cursor;
pub mod damage;
pub mod downsample;
pub mod error;
pub mod fetch;
pub mod history;
pub mod maintenance;
pub mod mirror;
pub mod recover;
pub mod retention;
pub mod rows;
pub mod seal;
pub mod sealed;
pub mod segment;
pub mod slice;
pub mod tail;
pub mod verify;
pub mod walk;
pub mod writer;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests wait for real things in real time")]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::journal::cursor::Position;
use crate::journal::segment::{Boot, JournalError, Offsets, io_at};
use crate::journal::tail::{JournalEntry, Tail};
use crate::model::point::Retention;
use crate::model::reading::Reading;
use crate::model::time::UnixMillis;

/// Limits of the journal.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSettings {
    /// Where it lies, relative to the state directory.
    pub dir: String,
    /// Most bytes it may take, in GB (10^9).
    pub max_gb: f64,
    /// How often readings are written to disk, milliseconds: 1000 to 10000. Less often spares flash; a
    /// kill costs at most this much of the history.
    pub commit_ms: u64,
    /// How often the disk is told to keep what was written, seconds (a power cut loses at most this).
    pub sync_s: u64,
    /// Days that measured quantities are kept.
    pub telemetry_days: u32,
    /// Days that states and codes are kept.
    pub state_days: u32,
    /// Days that register readings are kept.
    pub register_days: u32,
    /// Megabytes of the disk that are left free for everything else.
    pub keep_free_mb: u64,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            dir: "journal".to_string(),
            max_gb: 4.0,
            commit_ms: 1_000,
            sync_s: 10,
            telemetry_days: 400,
            state_days: 800,
            register_days: 3_650,
            keep_free_mb: 200,
        }
    }
}

impl JournalSettings {
    /// Days that a class is kept.
    pub fn days(&self, class: Retention) -> u32 {
        match class {
            Retention::Telemetry => self.telemetry_days,
            Retention::State => self.state_days,
            Retention::Register => self.register_days,
        }
    }

    /// Most bytes that the journal may take.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float to bytes saturates, as meant")]
    pub fn max_bytes(&self) -> u64 {
        (self.max_gb * 1e9) as u64
    }
}

/// What the journal shows of itself. Counts are since the process started.
#[derive(Debug, Default)]
pub struct JournalHealth {
    /// Bytes on disk.
    pub bytes: AtomicU64,
    /// Readings committed.
    pub committed: AtomicU64,
    /// Samples committed.
    pub samples: AtomicU64,
    /// Commits that failed.
    pub failures: AtomicU64,
    /// Files that were found damaged and set aside.
    pub damaged_files: AtomicU64,
    /// Rows and slices that could not be decoded.
    pub damaged_rows: AtomicU64,
    /// Readings that were lost because the disk took nothing for too long.
    pub lost: AtomicU64,
    /// Readings that were deleted before every sink had them.
    pub lost_unsent: AtomicU64,
    /// Files that were thinned.
    pub thinned_files: AtomicU64,
    /// Files that have served their time and were deleted.
    pub aged_files: AtomicU64,
    /// Files that were deleted for room before their time.
    pub dropped_files: AtomicU64,
    /// Segments sealed.
    pub sealed: AtomicU64,
    /// Whether the last commit succeeded.
    pub ok: AtomicBool,
    /// When the last commit succeeded, monotonic milliseconds.
    pub last_commit_ms: AtomicU64,
    /// When the writer's thread last tried, monotonic milliseconds.
    pub tried_ms: AtomicU64,
    /// Last believed date that was committed.
    pub last_wall: AtomicI64,
    /// What the disk said, while commits fail.
    pub error: Mutex<String>,
}

/// Where the data of a segment are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentLocation {
    /// Last number; `None` while it is written.
    pub last_seq: Option<u64>,
    /// The raw file, until it is sealed.
    pub raw: Option<PathBuf>,
    /// Day files that hold it, once sealed.
    pub sealed: Vec<PathBuf>,
}

/// Which segments there are, by their first number.
pub type Catalog = BTreeMap<u64, SegmentLocation>;

/// Shared by every handle and the writer's thread.
pub struct JournalShared {
    dir: PathBuf,
    settings: JournalSettings,
    clock: Clock,
    /// Files that cannot be read and are not set aside: this is a mere reader.
    passed_over: Vec<damage::Damage>,
    tail: Mutex<Tail>,
    newest: watch::Sender<u64>,
    catalog: Mutex<Catalog>,
    cursors: Mutex<BTreeMap<String, Position>>,
    boot: Mutex<Boot>,
    /// What is known of the dates of boots, by runs of theirs.
    offsets: Mutex<Offsets>,
    stop: Mutex<bool>,
    wake: Condvar,
    verify_now: AtomicBool,
    /// Dates of readings up to this number say nothing of today's: somebody has put the date right since.
    accepted_upto: AtomicU64,
    /// Files that were found damaged and are counted: whoever reads one again finds nothing new.
    counted: Mutex<BTreeSet<PathBuf>>,
    /// What the journal shows of itself.
    pub health: JournalHealth,
}

/// A handle of the journal.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<JournalShared>,
}

/// The writer's thread; stops and joins when told.
pub struct Writer {
    shared: Arc<JournalShared>,
    thread: Option<std::thread::JoinHandle<()>>,
    _hold: std::fs::File,
}

/// Takes the directory for this process alone: a second writer would seal the first one's live segment.
fn hold(dir: &Path) -> Result<std::fs::File, JournalError> {
    let path = dir.join("lock");
    let opened = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path));
    let file = opened.map_err(io_at(&path))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| JournalError::Held { path: dir.display().to_string() })?;
    Ok(file)
}

impl JournalShared {
    /// A reader met a damaged file: it is counted, once a run.
    fn found_damaged(&self, path: &Path) {
        if lock(&self.counted).insert(path.to_path_buf()) {
            self.health.damaged_files.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// Opens the journal in a directory and starts its writer. Damaged files are set aside.
    ///
    /// # Errors
    /// The directory cannot be used, or a newer version wrote it.
    pub fn open(
        dir: &Path,
        settings: &JournalSettings,
        clock: &Clock,
        boot_id: &str,
    ) -> Result<(Journal, Writer), JournalError> {
        let hold = hold(dir)?;
        let found = recover::recover(dir)?;
        let (damaged, last_wall) = (found.damaged, found.last_wall);
        let shared = Self::shared(dir, settings, clock, boot_id, found);
        shared.health.damaged_files.store(damaged, Ordering::Relaxed);
        shared.health.last_wall.store(last_wall.0, Ordering::Relaxed);
        let writer = writer::Work::new(Arc::clone(&shared))?;
        // From here on the jump is reserved on disk.
        let _may_not_be_there = std::fs::remove_file(dir.join(recover::RESTORED));
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run_guarded());
        let thread = thread.map_err(io_at(dir))?;
        Ok((Journal { shared: Arc::clone(&shared) }, Writer { shared, thread: Some(thread), _hold: hold }))
    }

    /// Opens the journal to read, beside a running writer or without one. Nothing is written, nothing mended.
    ///
    /// # Errors
    /// A file cannot be read, or a newer version wrote it.
    pub fn view(dir: &Path, settings: &JournalSettings, clock: &Clock) -> Result<Journal, JournalError> {
        let found = recover::look_at(dir, false)?;
        Ok(Journal { shared: Self::shared(dir, settings, clock, "", found) })
    }

    fn shared(
        dir: &Path,
        settings: &JournalSettings,
        clock: &Clock,
        boot_id: &str,
        found: recover::Recovered,
    ) -> Arc<JournalShared> {
        let boot = Boot { first_seq: found.next_seq, id: boot_id.to_string(), offset_ms: None };
        Arc::new(JournalShared {
            dir: dir.to_path_buf(),
            settings: settings.clone(),
            clock: clock.clone(),
            passed_over: found.passed_over,
            tail: Mutex::new(Tail::new(found.next_seq)),
            newest: watch::Sender::new(found.next_seq.saturating_sub(1)),
            catalog: Mutex::new(found.catalog),
            cursors: Mutex::new(found.cursors),
            boot: Mutex::new(boot),
            offsets: Mutex::new(found.offsets),
            stop: Mutex::new(false),
            wake: Condvar::new(),
            verify_now: AtomicBool::new(false),
            accepted_upto: AtomicU64::new(0),
            counted: Mutex::default(),
            health: JournalHealth::default(),
        })
    }

    /// Numbers a reading; readers see it at once, the disk within the commit interval. Never blocks on the disk.
    pub fn append(&self, reading: Reading) -> Arc<JournalEntry> {
        let mut tail = lock(&self.shared.tail);
        let entry = tail.push(reading);
        let lost = tail.lost;
        drop(tail);
        self.shared.health.lost.store(lost, Ordering::Relaxed);
        self.shared.newest.send_replace(entry.seq);
        entry
    }

    /// Rings with the newest number at each append.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    /// What the journal shows of itself.
    pub fn health(&self) -> &JournalHealth {
        &self.shared.health
    }

    /// The date is believed from now on: what this run, and earlier ones of the same boot, wrote without one is dated.
    pub fn date(&self, wall: UnixMillis, mono: crate::model::time::MonotonicMillis) {
        let offset = wall.0 - i64::try_from(mono.0).unwrap_or(i64::MAX);
        let mut boot = lock(&self.shared.boot);
        boot.offset_ms = Some(offset);
        // Earlier runs of the same boot are dated with it.
        if !boot.id.is_empty() {
            lock(&self.shared.offsets).insert(boot.id.clone(), offset);
        }
    }

    /// A person says that this date is right: what later starts are measured by, though readings of a later date are stored.
    pub fn accept(&self, wall: UnixMillis) {
        self.shared.accepted_upto.store(self.newest_seq(), Ordering::Relaxed);
        self.shared.health.last_wall.store(wall.0, Ordering::Relaxed);
    }

    /// Reads all sealed files once, now and not only when a week has passed.
    pub fn verify_now(&self) {
        self.shared.verify_now.store(true, Ordering::Relaxed);
    }

    /// What the last verification found.
    pub fn verified(&self) -> Option<verify::VerifyReport> {
        verify::VerifyReport::load(&self.shared.dir)
    }

    /// Reads every file once here and now. Whoever owns the directory and alone holds it mends registers; beside a running gateway
    /// nothing is written. `each` is told which file comes next.
    pub fn verify(dir: &Path, ended_ms: i64, mut each: impl FnMut(&Path)) -> verify::VerifyReport {
        // Whoever may not write here reads all the same.
        let alone = if verify::is_ours(dir) { hold(dir).ok() } else { None };
        let mut verification = verify::Verification::begin(dir, alone.is_some(), true);
        let mut last = PathBuf::new();
        loop {
            if let Some(file) = verification.file().filter(|file| **file != last) {
                last = file.to_path_buf();
                each(&last);
            }
            match verification.step() {
                Ok(true) => {}
                Ok(false) => return verification.end(ended_ms),
                Err(e) => {
                    let why = format!("it cannot be read now: {e}");
                    verification.report.damage.push(damage::Damage::file(e.path(), "", why));
                }
            }
        }
    }

    /// The stored position of a cursor; a new one begins at the newest reading (it is not flooded with the past).
    pub fn position(&self, name: &str) -> Position {
        let mut cursors = lock(&self.shared.cursors);
        let newest = *self.shared.newest.borrow();
        cursors.entry(name.to_string()).or_insert_with(|| Position::at(newest)).clone()
    }

    /// Everything up to a position is done for this reader; stored with the next commit, never beyond it.
    pub fn ack(&self, name: &str, position: Position) {
        let mut cursors = lock(&self.shared.cursors);
        match cursors.get_mut(name) {
            Some(known) => *known = position,
            None => drop(cursors.insert(name.to_string(), position)),
        }
    }

    /// Forgets cursors that no reader has any more, so that they count as lagging no longer.
    pub fn keep_cursors(&self, names: &[String]) {
        lock(&self.shared.cursors).retain(|name, _| names.contains(name));
    }

    /// Readings up to `newest` that a reader who stands here has not seen yet, by the numbers of the segments that there are
    /// (an upper bound: a few numbers may never have been given).
    pub fn lag(&self, position: &Position, newest: u64) -> u64 {
        let catalog = lock(&self.shared.catalog);
        let begin = catalog.range(..=position.low_watermark).next_back().map_or(0, |(first, _)| *first);
        let behind = |(first, place): (&u64, &SegmentLocation)| {
            position.behind(*first, place.last_seq.unwrap_or(newest).min(newest))
        };
        catalog.range(begin..=newest.max(begin)).map(behind).sum()
    }

    /// The newest number.
    pub fn newest_seq(&self) -> u64 {
        *self.shared.newest.borrow()
    }

    /// Where a reader begins that wants the newest first: everything after this number is in memory.
    pub fn begin_of_tail(&self) -> u64 {
        lock(&self.shared.tail).first_seq().saturating_sub(1)
    }

    /// When a reading was received, if the date was known then or has come to be known in this run; `None`: not yet, or,
    /// of an earlier boot, never.
    pub fn dated(&self, entry: &JournalEntry) -> Option<UnixMillis> {
        let at = &entry.reading.at;
        if at.trusted {
            return Some(at.wall);
        }
        let boot = lock(&self.shared.boot);
        let offset = boot.offset_ms.filter(|_| entry.seq >= boot.first_seq)?;
        Some(UnixMillis(i64::try_from(at.mono.0).unwrap_or(i64::MAX).saturating_add(offset)))
    }

    /// The kernel's name of the boot that a reading is of, if it is this one.
    pub fn boot_of(&self, entry: &JournalEntry) -> Option<String> {
        let boot = lock(&self.shared.boot);
        (entry.seq >= boot.first_seq).then(|| boot.id.clone())
    }

    /// Readings in memory, the newest last: what `status` and the live table show.
    pub fn recent(&self) -> Vec<Arc<JournalEntry>> {
        lock(&self.shared.tail).all()
    }
}

impl Writer {
    /// Commits what is there and stops the thread.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        *lock(&self.shared.stop) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _a_panic_was_reported_already = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shut();
    }
}
