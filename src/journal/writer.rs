//! The writer's thread: commits, begins a new segment each hour, seals closed ones in small steps, keeps within the limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::journal::cursor::Position;
use crate::journal::recover::files;
use crate::journal::seal::{self, Sealing};
use crate::journal::segment::{Commit, Segment, Trouble};
use crate::journal::thin::Thinning;
use crate::journal::{Place, Shared, lock, sealed};
use crate::model::point::Retention;
use crate::model::time::Wall;

/// Numbers reserved at a time.
const RESERVE: u64 = 10_000_000;
/// Readings of one transaction.
const COMMIT_MAX: usize = 20_000;
/// How often limits are looked at.
const LIMITS_EVERY_US: u64 = 30_000_000;
/// Longest stretch of sealing between two commits.
const STEP_US: u64 = 100_000;

/// What the thread works on.
pub struct Work {
    shared: Arc<Shared>,
    segment: Option<Segment>,
    hour: i64,
    reserved: u64,
    sealing: Option<Sealing>,
    thinning: Option<Thinning>,
    next_limits_us: u64,
    next_sync_us: u64,
    failing: bool,
    full: bool,
}

impl Work {
    /// Makes the first segment, so that a directory that cannot be written is found at the start.
    pub fn new(shared: Arc<Shared>) -> Result<Self, Trouble> {
        let first_seq = lock(&shared.tail).next_seq;
        let segment = Segment::create(&shared.dir, first_seq)?;
        let place = Place { last_seq: None, raw: Some(segment.path.clone()), sealed: Vec::new() };
        lock(&shared.catalog).insert(first_seq, place);
        shared.health.ok.store(true, Ordering::Relaxed);
        let hour = hour_of(&shared);
        Ok(Self {
            shared,
            segment: Some(segment),
            hour,
            reserved: 0,
            sealing: None,
            thinning: None,
            next_limits_us: 0,
            next_sync_us: 0,
            failing: false,
            full: false,
        })
    }

    /// Until told to stop; then commits what is left.
    pub fn run(&mut self) {
        // The first commit reserves numbers before anything else is done.
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
                // By now the date is believed, or it is not.
                self.hour = hour_of(&self.shared);
            }
            self.rotate();
            self.keep_house();
        }
    }

    fn commit(&mut self) {
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
            lock(&self.shared.tail).commit(committed);
            let health = &self.shared.health;
            health.committed.fetch_add(entries.len() as u64, Ordering::Relaxed);
            health.samples.fetch_add(entries.iter().map(|e| e.weight() as u64).sum(), Ordering::Relaxed);
            if !more {
                return;
            }
        }
    }

    fn write(&mut self, entries: &[Arc<crate::journal::tail::Entry>], committed: u64) -> Result<(), Trouble> {
        if self.segment.is_none() {
            self.segment = Some(self.new_segment(committed)?);
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let shared = &self.shared;
        let clamp = |(name, p): (&String, &Position)| {
            (name.clone(), if p.floor > committed { Position::at(committed) } else { p.clone() })
        };
        let cursors: BTreeMap<String, Position> = lock(&shared.cursors).iter().map(clamp).collect();
        let boot = lock(&shared.boot).clone();
        let now_us = shared.clock.mono_us();
        let full_sync = now_us >= self.next_sync_us;
        let last_wall = entries.iter().rev().find(|e| e.reading.at.trusted).map(|e| e.reading.at.wall);
        let commit = Commit { entries, cursors: &cursors, reserved: self.reserved, boot: &boot, last_wall, full_sync };
        segment.commit(&commit)?;
        if full_sync {
            self.next_sync_us = now_us + shared.settings.sync_s.max(1) * 1_000_000;
        }
        if let Some(Wall(wall)) = last_wall {
            shared.health.last_wall.store(wall, Ordering::Relaxed);
        }
        shared.health.last_commit_ms.store(now_us / 1_000, Ordering::Relaxed);
        Ok(())
    }

    /// Says when failing begins and when it ends.
    fn report(&mut self, result: &Result<(), Trouble>) {
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

    /// A damaged segment is set aside and a new one begun; a full disk gets room.
    fn after_failure(&mut self, trouble: &Trouble) {
        if trouble.is_damage()
            && let Some(segment) = self.segment.take()
        {
            lock(&self.shared.catalog).remove(&segment.first_seq);
            let path = segment.path.clone();
            drop(segment);
            seal::set_aside(&path);
            self.shared.health.damaged_files.fetch_add(1, Ordering::Relaxed);
        }
        self.full = true;
        self.next_limits_us = 0;
    }

    fn new_segment(&self, committed: u64) -> Result<Segment, Trouble> {
        let segment = Segment::create(&self.shared.dir, committed + 1)?;
        let place = Place { last_seq: None, raw: Some(segment.path.clone()), sealed: Vec::new() };
        lock(&self.shared.catalog).insert(segment.first_seq, place);
        Ok(segment)
    }

    /// A new segment when the hour changes.
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
                // The new segment must hold the reservation and cursors before the old one goes.
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

    /// Sealing, thinning and limits, for a short while.
    fn keep_house(&mut self) {
        let clock = self.shared.clock.clone();
        let began = clock.mono_us();
        if began >= self.next_limits_us {
            self.next_limits_us = began + LIMITS_EVERY_US;
            self.limits();
        }
        while clock.mono_us() - began < STEP_US {
            let busy = self.seal_step() || self.thin_step();
            if !busy {
                return;
            }
        }
    }

    /// One step of sealing; whether there was anything to do.
    fn seal_step(&mut self) -> bool {
        if self.failing {
            return false;
        }
        let Some(sealing) = &mut self.sealing else { return self.begin_sealing() };
        match sealing.step() {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                let health = &self.shared.health;
                health.damaged_rows.fetch_add(sealing.damaged, Ordering::Relaxed);
                health.sealed.fetch_add(1, Ordering::Relaxed);
                let mut catalog = lock(&self.shared.catalog);
                if sealed.is_empty() {
                    catalog.remove(&sealing.first_seq);
                } else {
                    let last_seq = Some(sealing.last_seq);
                    catalog.insert(sealing.first_seq, Place { last_seq, raw: None, sealed });
                }
                drop(catalog);
                self.sealing = None;
            }
            Err(e) => self.sealing_failed(&e),
        }
        true
    }

    fn sealing_failed(&mut self, trouble: &Trouble) {
        tracing::error!(error = %trouble, "a journal segment could not be sealed");
        let Some(sealing) = self.sealing.take() else { return };
        if trouble.is_damage() {
            lock(&self.shared.catalog).remove(&sealing.first_seq);
            seal::set_aside(&crate::journal::segment::path_of(&self.shared.dir, sealing.first_seq));
            self.shared.health.damaged_files.fetch_add(1, Ordering::Relaxed);
        } else {
            self.full = true;
            self.next_limits_us = 0;
            self.failing = true;
        }
    }

    /// Takes the oldest closed raw segment in hand.
    fn begin_sealing(&mut self) -> bool {
        let current = self.segment.as_ref().map(|s| s.first_seq);
        let next = {
            let catalog = lock(&self.shared.catalog);
            let closed = |(first, place): (&u64, &Place)| {
                Some((*first, place.raw.clone()?)).filter(|(f, _)| Some(*f) != current)
            };
            catalog.iter().find_map(closed)
        };
        let Some((first_seq, path)) = next else { return false };
        match Sealing::begin(&self.shared.dir, &path, first_seq, &files(&self.shared.dir, "day-")) {
            Ok(sealing) => self.sealing = Some(sealing),
            Err(e) if e.is_damage() => {
                tracing::error!(error = %e, "a journal segment is damaged: set aside");
                lock(&self.shared.catalog).remove(&first_seq);
                seal::set_aside(&path);
                self.shared.health.damaged_files.fetch_add(1, Ordering::Relaxed);
            }
            Err(e) => {
                tracing::error!(error = %e, "a journal segment could not be sealed");
                return false;
            }
        }
        true
    }

    fn thin_step(&mut self) -> bool {
        let Some(thinning) = &mut self.thinning else { return false };
        match thinning.step() {
            Ok(false) => {}
            Ok(true) => {
                self.shared.health.thinned_files.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(file = %thinning.path.display(), "journal is 85 % full: a day of telemetry was thinned");
                self.thinning = None;
                self.next_limits_us = 0;
            }
            Err(e) => {
                tracing::error!(error = %e, "a journal file could not be thinned");
                self.thinning = None;
            }
        }
        true
    }

    /// Age, bytes, free space: deletes whole files, oldest first, telemetry first.
    fn limits(&mut self) {
        let settings = self.shared.settings.clone();
        let max = settings.max_bytes();
        self.delete_aged();
        let mut bytes = dir_bytes(&self.shared.dir);
        let is_full = std::mem::take(&mut self.full);
        let mut short =
            free_bytes(&self.shared.dir).is_some_and(|free| free < settings.keep_free_mb * 1_000_000) || is_full;
        let today = sealed::day_of(self.shared.clock.wall().0);
        for class in Retention::ALL {
            for path in self.day_files(class) {
                // A disk that others have filled costs old days, not this one.
                let spared = bytes <= max && path.to_string_lossy().contains(&today);
                if (bytes <= max && !short) || spared {
                    break;
                }
                let freed = std::fs::metadata(&path).map_or(0, |m| m.len());
                tracing::warn!(file = %path.display(), "journal is full: its oldest file is deleted");
                self.delete(&path);
                self.shared.health.dropped_files.fetch_add(1, Ordering::Relaxed);
                bytes = bytes.saturating_sub(freed);
                short = free_bytes(&self.shared.dir).is_some_and(|free| free < settings.keep_free_mb * 1_000_000);
            }
        }
        self.shared.health.bytes.store(bytes, Ordering::Relaxed);
        if bytes > max / 100 * 85 && self.thinning.is_none() {
            let old =
                self.day_files(Retention::Telemetry).into_iter().filter(|p| !p.to_string_lossy().contains(&today));
            self.thinning = old.into_iter().find_map(|path| Thinning::begin(&path).ok().flatten());
        }
    }

    fn delete_aged(&self) {
        if !self.shared.clock.trusted() {
            return;
        }
        let settings = &self.shared.settings;
        for class in Retention::ALL {
            let days = match class {
                Retention::Telemetry => settings.telemetry_days,
                Retention::State => settings.state_days,
                Retention::Register => settings.register_days,
            };
            let oldest = sealed::day_of(self.shared.clock.wall().0 - i64::from(days) * 86_400_000);
            let floor = sealed::path_of(&self.shared.dir, &oldest, class);
            for path in self.day_files(class).into_iter().filter(|p| *p < floor) {
                self.delete(&path);
            }
        }
    }

    /// Day files of a class, oldest first; what has no date goes first of all.
    fn day_files(&self, class: Retention) -> Vec<PathBuf> {
        let suffix = format!("-{}.db", class.word());
        let mut out = files(&self.shared.dir, "day-");
        out.retain(|p| p.to_string_lossy().ends_with(&suffix));
        out.sort_by_key(|p| (!p.to_string_lossy().contains("undated"), p.clone()));
        out
    }

    /// Deletes a day file; counts what some reader had not seen.
    fn delete(&self, path: &Path) {
        let floors: Vec<u64> = lock(&self.shared.cursors).values().map(|p| p.floor).collect();
        if let (Some(floor), Ok(file)) = (floors.into_iter().min(), sealed::DayFile::open(path)) {
            let unseen = file.slices("last_seq > ?1", &[floor.cast_signed()]).unwrap_or_default();
            let rows: u64 = unseen.iter().map(|s| s.n as u64).sum();
            self.shared.health.lost_unsent.fetch_add(rows, Ordering::Relaxed);
        }
        seal::remove_db(path);
        let mut catalog = lock(&self.shared.catalog);
        for place in catalog.values_mut() {
            place.sealed.retain(|p| p != path);
        }
        catalog.retain(|_, place| place.raw.is_some() || !place.sealed.is_empty());
    }
}

/// The hour that a segment belongs to: of the date if it is believed, else of the time since boot.
fn hour_of(shared: &Shared) -> i64 {
    if shared.clock.trusted() {
        shared.clock.wall().0.div_euclid(3_600_000)
    } else {
        i64::try_from(shared.clock.mono().0 / 3_600_000).unwrap_or(0)
    }
}

fn dir_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
