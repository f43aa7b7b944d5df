//! What the writer's thread does between two commits: seals closed segments in small steps, thins, keeps within the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::journal::cursor::Position;
use crate::journal::downsample::Downsampling;
use crate::journal::mirror;
use crate::journal::recover::files;
use crate::journal::retention::{self, Proof};
use crate::journal::seal::{self, Sealing};
use crate::journal::segment::{Boot, JournalError, Offsets, SegmentReader};
use crate::journal::verify::{Verification, VerifyReport};
use crate::journal::writer::Work;
use crate::journal::{SegmentLocation, lock, sealed};
use crate::model::point::Retention;

/// How often limits are looked at.
const LIMITS_EVERY_US: u64 = 30_000_000;
/// How often files are read once.
const VERIFY_EVERY_MS: i64 = 7 * 86_400_000;
/// How often it is asked whether that time has come.
const LOOK_AT_THE_DATE_US: u64 = 600_000_000;
/// How long files are read at a time.
const VERIFY_US: u64 = 20_000;
/// Longest stretch of upkeep between two commits.
const STEP_US: u64 = 100_000;
/// How long a segment that could not be sealed is left alone.
const SEAL_AGAIN_US: u64 = 600_000_000;
/// Times that sealing a segment fails because a block cannot be read before that block is given up.
const SEAL_TRIES: u32 = 3;
/// Files that one look at the limits may delete for their age, or for the room that others need: a wrong date or a disk that
/// others fill must not cost everything at once.
const DELETE_MAX: usize = 2;

/// Where the upkeep stands.
pub struct Upkeep {
    sealing: Option<Sealing>,
    thinning: Option<Downsampling>,
    next_limits_us: u64,
    not_before_us: u64,
    full: bool,
    /// Whether files are deleted by the date.
    proof: Proof,
    verification: Option<Verification>,
    next_verify_us: u64,
    /// Segments that an earlier run may have begun to seal.
    leftovers: BTreeSet<u64>,
    /// Segments of this boot, of a run that did not know the date.
    waiting: BTreeSet<u64>,
    /// How often sealing a segment failed because something could not be read.
    failures: BTreeMap<u64, u32>,
}

impl Upkeep {
    /// Nothing is in hand yet.
    pub fn new(leftovers: BTreeSet<u64>) -> Self {
        Self {
            sealing: None,
            thinning: None,
            next_limits_us: 0,
            not_before_us: 0,
            full: false,
            proof: Proof::default(),
            verification: None,
            next_verify_us: 0,
            leftovers,
            waiting: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// The disk took nothing: the limits are looked at now.
    pub fn needs_room(&mut self) {
        self.full = true;
        self.next_limits_us = 0;
    }
}

impl Work {
    /// Sealing, thinning and limits, for a short while.
    pub(super) fn run_maintenance(&mut self) {
        let clock = self.shared.clock.clone();
        let began = clock.mono_us();
        if began >= self.upkeep.next_limits_us {
            self.upkeep.next_limits_us = began + LIMITS_EVERY_US;
            self.limits();
        }
        while clock.mono_us() - began < STEP_US {
            let busy = self.seal_step() || self.thin_step();
            if !busy {
                self.verify(began + VERIFY_US);
                return;
            }
        }
    }

    /// Reads on in the files that are sealed, for a short while: all of them once a week, and when somebody asks for it. Nothing is being
    /// sealed or thinned now, so that a file may be put into the place of another.
    fn verify(&mut self, until_us: u64) {
        let shared = Arc::clone(&self.shared);
        let now_us = shared.clock.mono_us();
        let is_asked = shared.verify_now.swap(false, Ordering::Relaxed);
        if self.upkeep.verification.is_none() {
            if now_us < self.upkeep.next_verify_us && !is_asked {
                return;
            }
            self.upkeep.next_verify_us = now_us + LOOK_AT_THE_DATE_US;
            let now = shared.clock.now();
            let age = VerifyReport::load(&shared.dir).map(|last| now.wall.0 - last.ended_ms);
            if is_asked || (now.wall_trusted && age.is_none_or(|age| !(0..VERIFY_EVERY_MS).contains(&age))) {
                self.upkeep.verification = Some(Verification::begin(&shared.dir, true, false));
            }
        }
        while let Some(verification) = &mut self.upkeep.verification {
            match verification.step() {
                Ok(true) => {}
                Ok(false) => {
                    let ended_ms = if shared.clock.trusted() { shared.clock.wall().0 } else { 0 };
                    let report = self.upkeep.verification.take().map(|v| v.end(ended_ms)).unwrap_or_default();
                    self.verified(&report);
                }
                Err(e) => tracing::warn!(error = %e, "a journal file cannot be verified now"),
            }
            if shared.clock.mono_us() >= until_us {
                return;
            }
        }
    }

    fn verified(&self, report: &VerifyReport) {
        let (files, damaged, mended) = (report.files, report.damage.len(), report.mended.len());
        tracing::info!(
            files,
            slices = report.slices,
            damaged,
            mended,
            "the journal's files were read once for a verification"
        );
        for damage in &report.damage {
            let (file, device) = (&damage.file, &damage.device);
            tracing::error!(%file, %device, why = %damage.why, "history is damaged");
        }
        for file in &report.mended {
            tracing::warn!(%file, "a day of registers was mended from its second copy");
        }
        // What was set aside was counted when that was done; a file that was mended may be damaged again.
        let damaged = report.damage.iter().map(|d| &d.file).filter(|file| !file.ends_with(".damaged"));
        damaged.for_each(|file| self.shared.found_damaged(&self.shared.dir.join(file)));
        self.shared.health.damaged_files.fetch_add(report.mended.len() as u64, Ordering::Relaxed);
    }

    /// One step of sealing; whether there was anything to do.
    fn seal_step(&mut self) -> bool {
        if self.failing {
            return false;
        }
        let committed = lock(&self.shared.tail).committed;
        let cursors = self.cursors(committed);
        let Some(sealing) = &mut self.upkeep.sealing else { return self.begin_sealing() };
        match sealing.step(&cursors) {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                let health = &self.shared.health;
                health.damaged_rows.fetch_add(sealing.damaged, Ordering::Relaxed);
                let mut catalog = lock(&self.shared.catalog);
                if sealed.is_empty() {
                    catalog.remove(&sealing.first_seq);
                } else {
                    let last_seq = Some(sealing.last_seq);
                    catalog.insert(sealing.first_seq, SegmentLocation { last_seq, raw: None, sealed });
                }
                drop(catalog);
                // Only now: whoever looks for the raw file and does not find it asks the catalog again.
                seal::remove_db(&sealing.path);
                self.upkeep.leftovers.remove(&sealing.first_seq);
                self.upkeep.failures.remove(&sealing.first_seq);
                self.upkeep.sealing = None;
                health.sealed.fetch_add(1, Ordering::Relaxed);
            }
            Err(e) => {
                let begun = self.upkeep.sealing.take().map(|sealing| (sealing.first_seq, sealing.path.clone()));
                if let Some((first_seq, path)) = begun {
                    self.upkeep.leftovers.insert(first_seq);
                    self.sealing_failed(&e, first_seq, &path);
                }
            }
        }
        true
    }

    /// Sets aside what is damaged, be it the raw file or a day's; anything else is tried again later.
    fn sealing_failed(&mut self, trouble: &JournalError, first_seq: u64, raw: &Path) {
        tracing::error!(error = %trouble, "a journal segment could not be sealed");
        let failures = self.upkeep.failures.entry(first_seq).or_default();
        *failures += u32::from(trouble.is_unreadable());
        // A disk that stumbles once has lost nothing; one that keeps a block for itself has.
        if !trouble.is_damage() && *failures <= SEAL_TRIES {
            self.upkeep.not_before_us = self.shared.clock.mono_us() + SEAL_AGAIN_US;
            if trouble.is_full() {
                self.upkeep.needs_room();
            }
            return;
        }
        self.shared.health.damaged_files.fetch_add(1, Ordering::Relaxed);
        let day = trouble.path().to_path_buf();
        // Without the lock: a slow disk must hold up nobody who asks the catalog.
        if day != raw && mirror::restore(&day) {
            return;
        }
        let mut catalog = lock(&self.shared.catalog);
        if day == raw {
            catalog.remove(&first_seq);
            seal::set_aside(raw);
        } else {
            catalog.values_mut().for_each(|place| place.sealed.retain(|p| *p != day));
            catalog.retain(|_, place| place.raw.is_some() || !place.sealed.is_empty());
            seal::set_aside(&day);
        }
    }

    /// Takes the oldest closed raw segment in hand.
    fn begin_sealing(&mut self) -> bool {
        let current = self.segment.as_ref().map(|s| s.first_seq);
        let boot = lock(&self.shared.boot).clone();
        // Thinning rewrites a day's file: nothing is added to it meanwhile. Hours without a date wait for one.
        let dated = self.shared.clock.trusted();
        if self.upkeep.thinning.is_some() || self.shared.clock.mono_us() < self.upkeep.not_before_us {
            return false;
        }
        let next = {
            let catalog = lock(&self.shared.catalog);
            let closed = |(first, place): (&u64, &SegmentLocation)| Some((*first, place.raw.clone()?));
            let waits = |first: u64| first >= boot.first_seq || self.upkeep.waiting.contains(&first);
            let ripe = |(first, _): &(u64, PathBuf)| Some(*first) != current && (dated || !waits(*first));
            catalog.iter().filter_map(closed).find(ripe)
        };
        let Some((first_seq, path)) = next else { return false };
        let is_leftover = self.upkeep.leftovers.contains(&first_seq);
        let is_final = self.upkeep.failures.get(&first_seq).is_some_and(|n| *n >= SEAL_TRIES);
        let offsets = lock(&self.shared.offsets).clone();
        if !dated && is_of_boot(&path, &boot.id, &offsets) {
            // This boot may come to know its date.
            self.upkeep.waiting.insert(first_seq);
            return true;
        }
        match Sealing::begin(&self.shared.dir, &path, first_seq, (is_leftover, is_final), &offsets) {
            Ok(sealing) => self.upkeep.sealing = Some(sealing),
            Err(e) => self.sealing_failed(&e, first_seq, &path),
        }
        true
    }

    fn thin_step(&mut self) -> bool {
        let Some(thinning) = &mut self.upkeep.thinning else { return false };
        match thinning.step() {
            Ok(false) => {}
            Ok(true) => {
                self.shared.health.thinned_files.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(file = %thinning.path.display(), "journal is 85 % full: a day of telemetry was thinned");
                self.upkeep.thinning = None;
                self.upkeep.next_limits_us = 0;
            }
            Err(e) => {
                tracing::error!(error = %e, "a journal file could not be thinned");
                self.upkeep.thinning = None;
            }
        }
        true
    }

    /// Age, bytes, free space: deletes whole files, oldest first, telemetry first.
    fn limits(&mut self) {
        let max = self.shared.settings.max_bytes();
        self.delete_aged();
        let mut bytes = dir_bytes(&self.shared.dir);
        for class in Retention::ALL {
            for path in self.day_files(class) {
                if bytes <= max {
                    break;
                }
                bytes = bytes.saturating_sub(self.drop_file(&path, "the journal has reached its limit"));
            }
        }
        self.make_room();
        self.shared.health.bytes.store(bytes, Ordering::Relaxed);
        let is_calm = self.upkeep.thinning.is_none() && self.upkeep.sealing.is_none();
        if bytes > max / 100 * 85 && is_calm {
            let today = self.today();
            let old =
                self.day_files(Retention::Telemetry).into_iter().filter(|p| !p.to_string_lossy().contains(&today));
            self.upkeep.thinning = old.into_iter().find_map(|path| Downsampling::begin(&path).ok().flatten());
        }
    }

    /// A disk that others have filled costs a few old days of telemetry, never this one, and nothing else.
    fn make_room(&mut self) {
        let is_full = std::mem::take(&mut self.upkeep.full);
        let keep = self.shared.settings.keep_free_mb * 1_000_000;
        let is_short = || is_full || free_bytes(&self.shared.dir).is_some_and(|free| free < keep);
        let today = self.today();
        let old = self.day_files(Retention::Telemetry).into_iter().filter(|p| !p.to_string_lossy().contains(&today));
        for path in old.take(DELETE_MAX).collect::<Vec<_>>() {
            if is_short() {
                self.drop_file(&path, "the disk is full");
            }
        }
    }

    fn today(&self) -> String {
        sealed::day_of(self.shared.clock.wall().0)
    }

    /// Deletes a file before its time; the bytes that it had.
    fn drop_file(&self, path: &Path, why: &str) -> u64 {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let bytes = length(path) + mirror::of(path).as_deref().map_or(0, length);
        tracing::warn!(file = %path.display(), why, "the oldest history of its class is deleted");
        self.delete(path);
        self.shared.health.dropped_files.fetch_add(1, Ordering::Relaxed);
        bytes
    }

    /// Deletes what has served its time, said and counted.
    fn delete_aged(&mut self) {
        let now = self.shared.clock.now();
        if !self.upkeep.proof.holds(now) {
            return;
        }
        for class in Retention::ALL {
            let keep_days = self.shared.settings.days(class);
            let days: Vec<String> = self.day_files(class).iter().filter_map(|p| day_of_file(p)).collect();
            let aged = retention::aged(&days, keep_days, now, sealed::day_of);
            let paths = aged.iter().map(|day| sealed::path_of(&self.shared.dir, day, class));
            // What has no date may be of last night: it is as old as its file.
            let oldest_ms = now.wall.0.saturating_sub(i64::from(keep_days) * 86_400_000);
            let is_recent = |path: &Path| path.to_string_lossy().contains("undated") && written_ms(path) >= oldest_ms;
            for path in paths.filter(|path| !is_recent(path)).take(DELETE_MAX).collect::<Vec<_>>() {
                tracing::info!(file = %path.display(), keep_days, "history that has served its time is deleted");
                self.delete(&path);
                self.shared.health.aged_files.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Day files of a class in the order in which they go: what has no date, what is of a day to come, then the oldest.
    fn day_files(&self, class: Retention) -> Vec<PathBuf> {
        let suffix = format!("-{}.db", class.word());
        let all = files(&self.shared.dir, "day-");
        let of_class = all.iter().filter(|p| p.to_string_lossy().ends_with(&suffix)).filter_map(|p| day_of_file(p));
        let days = retention::in_order(of_class.collect(), self.shared.clock.now(), sealed::day_of);
        let mut out: Vec<PathBuf> = days.iter().map(|day| sealed::path_of(&self.shared.dir, day, class)).collect();
        // What is being written to or written anew is not deleted under its writer's hands.
        out.retain(|p| self.upkeep.thinning.as_ref().is_none_or(|t| t.path != *p));
        out.retain(|p| self.upkeep.sealing.as_ref().is_none_or(|s| !s.writes(p)));
        out
    }

    /// Deletes a day file; counts what some reader had not seen.
    fn delete(&self, path: &Path) {
        let readers: Vec<Position> = lock(&self.shared.cursors).values().cloned().collect();
        if let (Some(floor), Ok(file)) = (readers.iter().map(|p| p.low_watermark).min(), sealed::DayFile::open(path)) {
            let unseen = file.slices("last_seq > ?1", &[floor.cast_signed()]).unwrap_or_default();
            let is_seen = |s: &sealed::Slice| readers.iter().all(|p| p.has(s.first_seq) && p.has(s.last_seq));
            let rows: u64 = unseen.iter().filter(|s| !is_seen(s)).map(|s| s.n as u64).sum();
            self.shared.health.lost_unsent.fetch_add(rows, Ordering::Relaxed);
        }
        // The mirror first: one that is left over would be taken for a day that was lost.
        mirror::remove(path);
        seal::remove_db(path);
        let mut catalog = lock(&self.shared.catalog);
        for place in catalog.values_mut() {
            place.sealed.retain(|p| p != path);
        }
        catalog.retain(|_, place| place.raw.is_some() || !place.sealed.is_empty());
    }
}

/// Whether a run of this boot wrote to a segment that did not know the date.
fn is_of_boot(path: &Path, boot: &str, offsets: &Offsets) -> bool {
    let is_undated = |b: &Boot| b.offset_ms.is_none() && !boot.is_empty() && b.id == boot;
    SegmentReader::open(path, offsets).is_ok_and(|reader| reader.boots().iter().any(is_undated))
}

/// The day in a day file's name.
fn day_of_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_prefix("day-")?;
    name.split_once('-').map(|(day, _)| day.to_string())
}

/// When a file was last written to, milliseconds since 1970; not known: now.
fn written_ms(path: &Path) -> i64 {
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(i64::MAX)
}

fn dir_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
