//! The journal: a crash-safe log of readings on the local disk. It is the store-and-forward queue of every sink and the history.
//!
//! One directory has one writer thread (an exclusive `flock` on the file `lock` keeps a second one out) and any number of readers.
//!
//! * The tail holds the newest readings in memory. Readers see a reading there as soon as [`Journal::append`] returns.
//! * A raw segment (`raw-<first number>.db`, SQLite with a write-ahead log) holds about an hour, one row per reading. Cursors, reserved
//!   numbers and clock offsets are stored in the same transactions.
//! * A day file (`day-<date>-<class>.db`) holds the sealed hours of one day and retention class, one compressed column per point.
//!   The class `register` has a second copy in `mirror-<date>-register.db`.
//!
//! A segment is open (it is written to), closed (only its raw file exists) or sealed (only its day files hold it). While it is being
//! sealed both exist, and the raw file is authoritative. A day file of telemetry may later be downsampled. Retention deletes whole files.
//!
//! Order of writes:
//!
//! 1. `append` numbers the reading and adds it to the tail. It never waits for the disk.
//! 2. Every `commit_ms` a transaction writes new readings, cursors and reserved numbers. Every `sync_s` such a transaction is synced.
//! 3. When the hour changes, a new segment is created and its first commit, with cursors and reserved numbers, is synced.
//! 4. Sealing writes and syncs the day files, then replaces the catalog entry, then deletes the raw file. What an interrupted attempt
//!    left in day files is deleted before the next attempt.
//! 5. Downsampling writes a complete copy and renames it over the day file. Deletion removes the mirror before the day file.
//!
//! Invariants:
//!
//! * Numbers rise and are given once; gaps mean nothing. This survives kills and power cuts as long as fewer than 5 million readings
//!   are appended after the last synced commit. After damage or a restored backup numbering jumps by 2^36.
//! * A stored cursor never points beyond the readings stored in or before its transaction.
//! * Rows, columns, slice headers and stream descriptions carry a CRC-32 (headers and descriptions of earlier versions do not).
//! * An unreadable raw or day file is renamed to `.damaged`, or to `.replaced` where its mirror takes its place; only files without any
//!   row are removed. Other files are not touched, and each answer lists what it misses.
//!
//! Guaranteed: a reader gets every retained, readable reading after its position at least once, per device in rising order of numbers.
//! Registers are never downsampled and are the last class to be deleted for space.
//!
//! Not guaranteed:
//!
//! * Durability before the commit: a kill loses up to `commit_ms`, a power cut up to `sync_s`, even if a sink has published it already.
//! * Unlimited memory: while the disk refuses writes the tail holds 250,000 samples; beyond that the oldest readings are lost and counted.
//! * Delivery once only: after a crash a reader resumes at its last stored cursor.
//! * Delivery before deletion: limits may delete what a reader has not read yet; those readings are counted.
//! * Damage reports after downsampling: slices and columns that cannot be read are left out of the copy without being counted.
//! * In sealed hours: order between devices, monotonic times of dated readings, and a failed cycle as such (each point gets a bad sample).

#![allow(clippy::disallowed_methods, reason = "files are its work: on its own threads, and on those that may wait")]

pub mod aggregate;
mod ask;
pub mod codec;
pub mod column;
pub mod copy;
pub mod cursor;
pub mod damage;
pub mod device_hour;
pub mod downsample;
pub mod error;
pub mod fetch;
pub mod files;
pub mod history;
pub mod maintenance;
pub mod mirror;
pub mod query;
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
use std::sync::{Arc, Condvar, Mutex};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::journal::cursor::Position;
use crate::journal::segment::{Boot, JournalError, Offsets, io_at};
use crate::journal::tail::{JournalEntry, Tail};
use crate::lock::lock;
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
            Retention::Cumulative => self.register_days,
        }
    }

    /// Most bytes that the journal may take.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float to bytes saturates, as meant")]
    pub fn max_bytes(&self) -> u64 {
        (self.max_gb * 1e9) as u64
    }
}

/// Counters and state for `status` and `/metrics`. Counts start at 0 with the process.
#[derive(Debug, Default)]
pub struct JournalHealth {
    /// Of the whole directory, measured every 30 s.
    pub bytes: AtomicU64,
    pub committed: AtomicU64,
    pub samples: AtomicU64,
    pub failures: AtomicU64,
    /// Files found damaged, repaired ones included.
    pub damaged_files: AtomicU64,
    /// Rows and slices that could not be decoded.
    pub damaged_rows: AtomicU64,
    /// Readings dropped from memory because the disk refused writes for too long.
    pub lost: AtomicU64,
    /// Readings deleted before every sink had read them.
    pub lost_unsent: AtomicU64,
    /// Day files that were downsampled.
    pub downsampled_files: AtomicU64,
    /// Files deleted because of their age.
    pub expired_files: AtomicU64,
    /// Files deleted before that age to free disk space.
    pub dropped_files: AtomicU64,
    pub sealed: AtomicU64,
    /// Whether the last commit succeeded.
    pub ok: AtomicBool,
    /// When the last commit succeeded, monotonic milliseconds.
    pub last_commit_ms: AtomicU64,
    /// When the writer thread last tried to commit, monotonic milliseconds.
    pub last_attempt_ms: AtomicU64,
    /// Latest trusted date that was committed, milliseconds since 1970.
    pub last_wall: AtomicI64,
    /// Error of the last commit; empty while commits succeed.
    pub error: Mutex<String>,
}

/// Files that hold the data of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentLocation {
    /// Last number; `None` while the segment is open.
    pub last_seq: Option<u64>,
    /// The raw file, until it is sealed.
    pub raw: Option<PathBuf>,
    /// Day files that hold it, once sealed.
    pub sealed: Vec<PathBuf>,
}

/// All segments, by their first number.
pub type Catalog = BTreeMap<u64, SegmentLocation>;

/// State shared by every handle and the writer thread.
pub struct JournalShared {
    dir: PathBuf,
    settings: JournalSettings,
    clock: Clock,
    /// Unreadable files that a read-only journal leaves in place.
    unreadable_files: Vec<damage::Damage>,
    tail: Mutex<Tail>,
    newest: watch::Sender<u64>,
    catalog: Mutex<Catalog>,
    cursors: Mutex<BTreeMap<String, Position>>,
    boot: Mutex<Boot>,
    /// Clock offset of each boot in which any run had a trusted clock.
    offsets: Mutex<Offsets>,
    stop: Mutex<bool>,
    wake: Condvar,
    verify_now: AtomicBool,
    /// Dates of readings up to this number do not raise `last_wall`: a person has corrected the clock since.
    accepted_upto: AtomicU64,
    /// Damaged files that `health` counts already.
    counted_damage: Mutex<BTreeSet<PathBuf>>,
    pub health: JournalHealth,
}

/// A cheap, cloneable handle.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<JournalShared>,
}

/// Owner of the writer thread; dropping it commits what is pending, stops the thread and releases the directory.
pub struct Writer {
    shared: Arc<JournalShared>,
    thread: Option<std::thread::JoinHandle<()>>,
    _directory_lock: std::fs::File,
}

/// Locks the directory for this process: a second writer would seal the first one's open segment.
fn lock_directory(dir: &Path) -> Result<std::fs::File, JournalError> {
    let path = dir.join("lock");
    let opened = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path));
    let file = opened.map_err(io_at(&path))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| JournalError::Locked { path: dir.display().to_string() })?;
    Ok(file)
}

impl JournalShared {
    /// All cursors, clamped to what is committed.
    fn committed_cursors(&self, committed: u64) -> BTreeMap<String, Position> {
        let clamp = |(name, p): (&String, &Position)| (name.clone(), p.clamped(committed));
        lock(&self.cursors).iter().map(clamp).collect()
    }

    /// Counts a damaged file once per run.
    fn count_damaged(&self, path: &Path) {
        if lock(&self.counted_damage).insert(path.to_path_buf()) {
            self.health.damaged_files.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Journal {
    /// Opens the journal in a directory and starts its writer. Damaged files are renamed to `.damaged`.
    ///
    /// # Errors
    /// The directory cannot be used, or a newer version wrote it.
    pub fn open(
        dir: &Path,
        settings: &JournalSettings,
        clock: &Clock,
        boot_id: &str,
    ) -> Result<(Journal, Writer), JournalError> {
        let directory_lock = lock_directory(dir)?;
        let found = recover::recover(dir)?;
        let damaged = found.damaged;
        let shared = Self::shared(dir, settings, clock, boot_id, found);
        shared.health.damaged_files.store(damaged, Ordering::Relaxed);
        let writer = writer::WriterState::new(Arc::clone(&shared))?;
        // The writer has stored the jump in numbering, so the marker is no longer needed.
        let _may_not_be_there = std::fs::remove_file(dir.join(recover::RESTORED));
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run_guarded());
        let thread = thread.map_err(io_at(dir))?;
        Ok((
            Journal { shared: Arc::clone(&shared) },
            Writer { shared, thread: Some(thread), _directory_lock: directory_lock },
        ))
    }

    /// Opens the journal read-only, with or without a running writer. Nothing is appended or repaired.
    ///
    /// # Errors
    /// A file cannot be read, or a newer version wrote it.
    pub fn open_read_only(dir: &Path, settings: &JournalSettings, clock: &Clock) -> Result<Journal, JournalError> {
        let found = recover::inspect(dir, false)?;
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
            unreadable_files: found.unreadable_files,
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
            counted_damage: Mutex::default(),
            health: JournalHealth { last_wall: AtomicI64::new(found.last_wall.0), ..JournalHealth::default() },
        })
    }

    /// Numbers a reading. Readers see it at once; it is on disk after the commit interval. Never blocks on the disk.
    pub fn append(&self, reading: Reading) -> Arc<JournalEntry> {
        let mut tail = lock(&self.shared.tail);
        let entry = tail.push(reading);
        let lost = tail.lost;
        drop(tail);
        self.shared.health.lost.store(lost, Ordering::Relaxed);
        self.shared.newest.send_replace(entry.seq);
        entry
    }

    /// A watch on the newest number, updated at each append.
    pub fn watch_newest(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    pub fn health(&self) -> &JournalHealth {
        &self.shared.health
    }

    /// Records that the clock is trusted from now on: undated readings of this run and of earlier runs of the same boot get dates.
    pub fn set_date(&self, wall: UnixMillis, mono: crate::model::time::MonotonicMillis) {
        let offset = wall.0 - i64::try_from(mono.0).unwrap_or(i64::MAX);
        let mut boot = lock(&self.shared.boot);
        boot.offset_ms = Some(offset);
        if !boot.id.is_empty() {
            lock(&self.shared.offsets).insert(boot.id.clone(), offset);
        }
    }

    /// Sets the date below which later starts do not trust the clock, because a person has confirmed it, even if stored readings are
    /// dated later.
    pub fn accept(&self, wall: UnixMillis) {
        self.shared.accepted_upto.store(self.newest_seq(), Ordering::Relaxed);
        self.shared.health.last_wall.store(wall.0, Ordering::Relaxed);
    }

    /// Starts a verification of all sealed files now instead of a week after the last one.
    pub fn verify_now(&self) {
        self.shared.verify_now.store(true, Ordering::Relaxed);
    }

    /// Report of the last verification; `None` if there is none.
    pub fn last_verification(&self) -> Option<verify::VerifyReport> {
        verify::VerifyReport::load(&self.shared.dir)
    }

    /// Verifies every file in the calling thread. Register files are repaired only if this user owns the directory and no gateway holds
    /// its lock; otherwise nothing is written. `each` is called with each file before it is read.
    pub fn verify(dir: &Path, ended_ms: i64, mut each: impl FnMut(&Path)) -> verify::VerifyReport {
        // Without write permission the verification only reads.
        let alone = if verify::is_owned_by_user(dir) { lock_directory(dir).ok() } else { None };
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

    /// The stored position of a cursor. A new cursor begins at the newest reading, so that it does not receive the whole history.
    pub fn position(&self, name: &str) -> Position {
        let mut cursors = lock(&self.shared.cursors);
        let newest = *self.shared.newest.borrow();
        cursors.entry(name.to_string()).or_insert_with(|| Position::at(newest)).clone()
    }

    /// Acknowledges everything up to a position for this reader. Stored with the next commit, never beyond committed readings.
    pub fn ack(&self, name: &str, position: Position) {
        let mut cursors = lock(&self.shared.cursors);
        match cursors.get_mut(name) {
            Some(known) => *known = position,
            None => drop(cursors.insert(name.to_string(), position)),
        }
    }

    /// Removes all cursors but these, so that readers that no longer exist do not count as lagging.
    pub fn retain_cursors(&self, names: &[String]) {
        lock(&self.shared.cursors).retain(|name, _| names.contains(name));
    }

    /// Number of readings up to `newest` that a reader at this position has not acknowledged, computed from segment bounds. It is an
    /// upper bound because some numbers may never have been given.
    pub fn lag(&self, position: &Position, newest: u64) -> u64 {
        let catalog = lock(&self.shared.catalog);
        let begin = catalog.range(..=position.low_watermark).next_back().map_or(0, |(first, _)| *first);
        let behind = |(first, place): (&u64, &SegmentLocation)| {
            position.unacked_between(*first, place.last_seq.unwrap_or(newest).min(newest))
        };
        catalog.range(begin..=newest.max(begin)).map(behind).sum()
    }

    pub fn newest_seq(&self) -> u64 {
        *self.shared.newest.borrow()
    }

    /// Up to this number every reading is on disk, or was dropped because the disk took nothing for too long. A kill loses none of them, a
    /// power cut those of the last `sync_s`.
    pub fn committed_seq(&self) -> u64 {
        lock(&self.shared.tail).committed
    }

    /// Start position for a reader that takes the newest first: everything after this number is in memory.
    pub fn tail_start(&self) -> u64 {
        lock(&self.shared.tail).first_seq().saturating_sub(1)
    }

    /// Date of receipt, if the clock was trusted then or has become trusted in this run. `None`: not known yet, or never for a reading
    /// of an earlier run.
    pub fn date_of(&self, entry: &JournalEntry) -> Option<UnixMillis> {
        let at = &entry.reading.at;
        if at.trusted {
            return Some(at.wall);
        }
        let boot = lock(&self.shared.boot);
        let offset = boot.offset_ms.filter(|_| entry.seq >= boot.first_seq)?;
        Some(UnixMillis(i64::try_from(at.mono.0).unwrap_or(i64::MAX).saturating_add(offset)))
    }

    /// Whether the date of this boot is known: readings of it that came without one have got theirs.
    pub fn is_dated(&self) -> bool {
        lock(&self.shared.boot).offset_ms.is_some()
    }

    /// Kernel boot id of a reading of this run; `None` for an earlier run.
    pub fn boot_id_of(&self, entry: &JournalEntry) -> Option<String> {
        let boot = lock(&self.shared.boot);
        (entry.seq >= boot.first_seq).then(|| boot.id.clone())
    }

    /// Readings in memory, the newest last. `status` and the live table show them.
    pub fn recent(&self) -> Vec<Arc<JournalEntry>> {
        lock(&self.shared.tail).all()
    }
}

impl Writer {
    /// Commits pending readings and stops the thread.
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
