//! The writer thread: commits the tail and begins a new segment each hour. Its work between commits is in `maintenance`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::journal::files;
use crate::journal::maintenance::Maintenance;
use crate::journal::segment::{Commit, JournalError, Segment};
use crate::journal::tail::JournalEntry;
use crate::journal::{JournalShared, SegmentLocation};
use crate::lock::lock;
use crate::model::time::UnixMillis;

/// Numbers reserved on disk beyond the next one; renewed when fewer than half of them are left.
const RESERVE: u64 = 10_000_000;
/// Most readings in one transaction.
const COMMIT_MAX: usize = 20_000;
/// Pause after a panic before the thread's state is rebuilt.
const REBUILD: Duration = Duration::from_secs(5);

/// State of the writer thread.
pub struct WriterState {
    shared: Arc<JournalShared>,
    segment: Option<Segment>,
    hour: i64,
    reserved: u64,
    maintenance: Maintenance,
    next_sync_us: u64,
    failing: bool,
}

impl WriterState {
    /// Creates the first segment and reserves numbers, so that a directory that cannot be written is an error at startup.
    pub fn new(shared: Arc<JournalShared>) -> Result<Self, JournalError> {
        let leftovers =
            lock(&shared.catalog).iter().filter(|(_, p)| p.raw.is_some()).map(|(first, _)| *first).collect();
        let hour = hour_of(&shared);
        let upkeep = Maintenance::new(Arc::clone(&shared), leftovers);
        let mut work =
            Self { shared, segment: None, hour, reserved: 0, maintenance: upkeep, next_sync_us: 0, failing: false };
        let (next_seq, committed) = {
            let tail = lock(&work.shared.tail);
            (tail.next_seq, tail.committed)
        };
        work.reserved = next_seq + RESERVE;
        work.write(&[], committed)?;
        work.shared.health.ok.store(true, Ordering::Relaxed);
        Ok(work)
    }

    /// Runs until stopped. A panic must not end the journal: it is logged, and the state is rebuilt after a pause, because the cause may
    /// still exist. If a stop is requested meanwhile, one more attempt is made to commit.
    pub fn run_guarded(mut self) {
        let mut last_try = false;
        loop {
            let shared = Arc::clone(&self.shared);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || self.run()));
            if ended.is_ok() {
                return;
            }
            tracing::error!("the journal's writer panicked and is built anew");
            shared.health.ok.store(false, Ordering::Relaxed);
            shared.health.failures.fetch_add(1, Ordering::Relaxed);
            if last_try {
                return;
            }
            let committed = lock(&shared.tail).committed;
            for place in lock(&shared.catalog).values_mut().filter(|p| p.last_seq.is_none()) {
                place.last_seq = Some(committed);
            }
            self = loop {
                let guard = lock(&shared.stop);
                let waited = shared.wake.wait_timeout_while(guard, REBUILD, |stop| !*stop);
                last_try = *waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
                match Self::new(Arc::clone(&shared)) {
                    Ok(work) => break work,
                    Err(e) => tracing::error!(error = %e, "the journal's writer cannot begin anew"),
                }
                if last_try {
                    return;
                }
            };
        }
    }

    /// The thread's loop: commit, rotate, run maintenance. After a stop request it commits what is left and returns.
    pub fn run(&mut self) {
        // Before the first wait: what was appended since `new` is committed at once.
        self.commit();
        let mut first = true;
        loop {
            let wait = Duration::from_millis(self.shared.settings.commit_ms.clamp(10, 60_000));
            let guard = lock(&self.shared.stop);
            let result = self.shared.wake.wait_timeout_while(guard, wait, |stop| !*stop);
            let stop = *result.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            self.commit();
            if stop {
                self.close();
                return;
            }
            if std::mem::take(&mut first) {
                // The clock may have become trusted since the start; that must not begin a new segment at once.
                self.hour = hour_of(&self.shared);
            }
            self.rotate();
            let open = self.segment.as_ref().map(|segment| segment.first_seq);
            self.maintenance.run(open, self.failing);
        }
    }

    fn commit(&mut self) {
        self.shared.health.last_attempt_ms.store(self.shared.clock.mono().0, Ordering::Relaxed);
        for _ in 0..16 {
            let (entries, next_seq) = {
                let tail = lock(&self.shared.tail);
                (tail.uncommitted(COMMIT_MAX), tail.next_seq)
            };
            let more = entries.len() == COMMIT_MAX;
            if self.reserved < next_seq + RESERVE / 2 {
                self.reserved = next_seq + RESERVE;
            }
            let committed = entries.last().map_or_else(|| lock(&self.shared.tail).committed, |e| e.seq);
            let result = self.write(&entries, committed);
            self.report(&result);
            if let Err(e) = result {
                return self.after_failure(&e);
            }
            lock(&self.shared.tail).mark_committed(committed);
            let health = &self.shared.health;
            health.committed.fetch_add(entries.len() as u64, Ordering::Relaxed);
            health.samples.fetch_add(entries.iter().map(|e| e.sample_count() as u64).sum(), Ordering::Relaxed);
            if !more {
                return;
            }
        }
    }

    fn write(&mut self, entries: &[Arc<JournalEntry>], committed: u64) -> Result<(), JournalError> {
        if self.segment.is_none() {
            let before = lock(&self.shared.tail).committed;
            self.segment = Some(self.new_segment(before)?);
        }
        let cursors = self.shared.committed_cursors(committed);
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let shared = &self.shared;
        let boot = lock(&shared.boot).clone();
        let now_us = shared.clock.mono_us();
        let full_sync = now_us >= self.next_sync_us;
        // The latest date is stored in every segment, because older ones are deleted. Only `Journal::accept` lowers it.
        let accepted_upto = shared.accepted_upto.load(Ordering::Relaxed);
        let counts = |e: &&Arc<JournalEntry>| e.reading.at.trusted && e.seq > accepted_upto;
        let newest = entries.iter().rev().find(counts).map_or(0, |e| e.reading.at.wall.0);
        let before = shared.health.last_wall.load(Ordering::Relaxed);
        let last_wall = UnixMillis(newest.max(before));
        let commit = Commit {
            entries,
            cursors: &cursors,
            reserved: self.reserved,
            boot: &boot,
            last_wall: Some(last_wall).filter(|w| w.0 > 0),
            full_sync,
        };
        segment.commit(&commit)?;
        if full_sync {
            self.next_sync_us = now_us + shared.settings.sync_s.max(1) * 1_000_000;
        }
        let last = &shared.health.last_wall;
        let _was_put_right = last.compare_exchange(before, last_wall.0, Ordering::Relaxed, Ordering::Relaxed);
        shared.health.last_commit_ms.store(now_us / 1_000, Ordering::Relaxed);
        Ok(())
    }

    /// Logs when commits begin to fail and when they succeed again; updates the health.
    fn report(&mut self, result: &Result<(), JournalError>) {
        let health = &self.shared.health;
        let mut error = lock(&health.error);
        match result {
            Ok(()) if self.failing => {
                *error = String::new();
                tracing::info!(failures = health.failures.load(Ordering::Relaxed), "journal writes again");
            }
            Err(e) => {
                *error = e.to_string();
                health.failures.fetch_add(1, Ordering::Relaxed);
                if !self.failing {
                    tracing::error!(error = %e, "journal cannot write: readings are kept in memory, as many as fit");
                }
            }
            Ok(()) => {}
        }
        self.failing = result.is_err();
        health.ok.store(result.is_ok(), Ordering::Relaxed);
    }

    /// Renames a damaged segment, so that the next commit creates a new one; requests that files are deleted if the disk is full.
    fn after_failure(&mut self, error: &JournalError) {
        if error.is_damage()
            && let Some(segment) = self.segment.take()
        {
            lock(&self.shared.catalog).remove(&segment.first_seq);
            let path = segment.path.clone();
            drop(segment);
            files::quarantine(&path);
            self.shared.health.damaged_files.fetch_add(1, Ordering::Relaxed);
        }
        if error.is_full() {
            self.maintenance.request_space();
        }
    }

    fn new_segment(&self, committed: u64) -> Result<Segment, JournalError> {
        let segment = Segment::create(&self.shared.dir, committed + 1)?;
        let place = SegmentLocation { last_seq: None, raw: Some(segment.path.clone()), sealed: Vec::new() };
        lock(&self.shared.catalog).insert(segment.first_seq, place);
        Ok(segment)
    }

    /// Begins a new segment when the hour has changed, unless the present one is empty or commits fail.
    fn rotate(&mut self) {
        let hour = hour_of(&self.shared);
        let committed = lock(&self.shared.tail).committed;
        let begun = self.segment.as_ref().is_some_and(|s| committed >= s.first_seq);
        if hour == self.hour || !begun || self.failing {
            return;
        }
        match self.new_segment(committed) {
            Ok(next) => {
                let Some(old) = self.segment.replace(next) else { return };
                if let Some(place) = lock(&self.shared.catalog).get_mut(&old.first_seq) {
                    place.last_seq = Some(committed);
                }
                if let Err(e) = old.close() {
                    tracing::warn!(error = %e, "journal segment could not be folded");
                }
                self.hour = hour;
                // The new segment's reservation and cursors must be synced before the old segment can be deleted.
                self.next_sync_us = 0;
                self.commit();
            }
            Err(e) => self.report(&Err(e)),
        }
    }

    fn close(&mut self) {
        if let Some(segment) = self.segment.take()
            && let Err(e) = segment.close()
        {
            tracing::warn!(error = %e, "journal segment could not be folded");
        }
    }
}

/// Hours since 1970 if the clock is trusted, else hours since boot.
fn hour_of(shared: &JournalShared) -> i64 {
    if shared.clock.is_trusted() {
        shared.clock.wall().0.div_euclid(3_600_000)
    } else {
        i64::try_from(shared.clock.mono().0 / 3_600_000).unwrap_or(0)
    }
}
