//! Work of the writer thread between two commits, in small steps: sealing, downsampling, limits of size and age, verification.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::journal::cursor::Position;
use crate::journal::downsample::Downsampling;
use crate::journal::files;
use crate::journal::mirror;
use crate::journal::retention::{self, ClockStability};
use crate::journal::seal::Sealing;
use crate::journal::segment::{Boot, JournalError, Offsets, SegmentReader};
use crate::journal::verify::{Verification, VerifyReport};
use crate::journal::{JournalShared, SegmentLocation, sealed};
use crate::lock::lock;
use crate::model::point::Retention;

/// Interval between checks of size, age and free space.
const LIMITS_EVERY_US: u64 = 30_000_000;
/// Interval between verifications of all sealed files.
const VERIFY_EVERY_MS: i64 = 7 * 86_400_000;
/// Interval between checks whether a verification is due.
const LOOK_AT_THE_DATE_US: u64 = 600_000_000;
/// Longest stretch of verification between two commits.
const VERIFY_US: u64 = 20_000;
/// Longest stretch of sealing and downsampling between two commits; a step that has begun is finished.
const STEP_US: u64 = 100_000;
/// Pause after a failure to seal.
const SEAL_AGAIN_US: u64 = 600_000_000;
/// Failures to seal a segment because of unreadable data, after which those rows are skipped.
const SEAL_TRIES: u32 = 3;
/// Files that one check of the limits may delete per class because of age, or because the disk is full: a wrong clock or a disk filled
/// by others must not delete the whole history at once.
const DELETE_MAX: usize = 2;

/// State of the maintenance.
pub struct Maintenance {
    shared: Arc<JournalShared>,
    sealing: Option<Sealing>,
    downsampling: Option<Downsampling>,
    /// Day files that could not be downsampled; tried again after a restart.
    not_downsampled: BTreeSet<PathBuf>,
    next_limits_us: u64,
    not_before_us: u64,
    is_disk_full: bool,
    /// Whether the clock has run steadily for long enough to delete files by date.
    clock_stability: ClockStability,
    verification: Option<Verification>,
    next_verify_us: u64,
    /// Segments whose data may already be in day files because an earlier attempt to seal them was interrupted.
    leftovers: BTreeSet<u64>,
    /// Segments with undated readings of this boot: they are sealed once the clock is trusted.
    waiting: BTreeSet<u64>,
    /// Per segment: how often sealing failed because of unreadable data.
    failures: BTreeMap<u64, u32>,
}

impl Maintenance {
    /// Initial state without work in progress.
    pub fn new(shared: Arc<JournalShared>, leftovers: BTreeSet<u64>) -> Self {
        Self {
            shared,
            sealing: None,
            downsampling: None,
            not_downsampled: BTreeSet::new(),
            next_limits_us: 0,
            not_before_us: 0,
            is_disk_full: false,
            clock_stability: ClockStability::default(),
            verification: None,
            next_verify_us: 0,
            leftovers,
            waiting: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Called when the disk is full: the limits are checked at the next opportunity.
    pub fn request_space(&mut self) {
        self.is_disk_full = true;
        self.next_limits_us = 0;
    }

    /// One stretch of maintenance. Verification runs only when there is nothing to seal or downsample. `open`: first number of the
    /// segment that is written to; `failing`: whether commits fail.
    pub fn run(&mut self, open: Option<u64>, failing: bool) {
        let clock = self.shared.clock.clone();
        let began = clock.mono_us();
        if began >= self.next_limits_us {
            self.next_limits_us = began + LIMITS_EVERY_US;
            self.enforce_limits();
        }
        while clock.mono_us() - began < STEP_US {
            let busy = (!failing && self.seal_step(open)) || self.downsample_step();
            if !busy {
                self.verify(began + VERIFY_US);
                return;
            }
        }
    }

    /// Continues the verification of sealed files until `until_us`; begins one each week and on request. Nothing is being sealed or
    /// downsampled at this point, so register files may be replaced.
    fn verify(&mut self, until_us: u64) {
        let shared = Arc::clone(&self.shared);
        let now_us = shared.clock.mono_us();
        let is_asked = shared.verify_now.swap(false, Ordering::Relaxed);
        if self.verification.is_none() {
            if now_us < self.next_verify_us && !is_asked {
                return;
            }
            self.next_verify_us = now_us + LOOK_AT_THE_DATE_US;
            let now = shared.clock.now();
            let age = VerifyReport::load(&shared.dir).map(|last| now.wall.0 - last.ended_ms);
            if is_asked || (now.wall_trusted && age.is_none_or(|age| !(0..VERIFY_EVERY_MS).contains(&age))) {
                self.verification = Some(Verification::begin(&shared.dir, true, false));
            }
        }
        while let Some(verification) = &mut self.verification {
            match verification.step() {
                Ok(true) => {}
                Ok(false) => {
                    let ended_ms = if shared.clock.is_trusted() { shared.clock.wall().0 } else { 0 };
                    let report = self.verification.take().map(|v| v.end(ended_ms)).unwrap_or_default();
                    self.report_verification(&report);
                }
                Err(e) => tracing::warn!(error = %e, "a journal file cannot be verified now"),
            }
            if shared.clock.mono_us() >= until_us {
                return;
            }
        }
    }

    fn report_verification(&self, report: &VerifyReport) {
        let (files, damaged, mended) = (report.files, report.damage.len(), report.repaired.len());
        tracing::info!(
            files,
            slices = report.slices,
            damaged,
            mended,
            "the journal's files were read once for a verification"
        );
        for damage in &report.damage {
            let (file, device) = (&damage.file, &damage.device);
            tracing::error!(%file, %device, why = %damage.reason, "history is damaged");
        }
        for file in &report.repaired {
            tracing::warn!(%file, "a day of registers was mended from its second copy");
        }
        // Files renamed to `.damaged` were counted then. A repaired file may be damaged again, so it is counted each time.
        let damaged = report.damage.iter().map(|d| &d.file).filter(|file| !file.ends_with(".damaged"));
        damaged.for_each(|file| self.shared.count_damaged(&self.shared.dir.join(file)));
        self.shared.health.damaged_files.fetch_add(report.repaired.len() as u64, Ordering::Relaxed);
    }

    /// One step of sealing. Returns whether there was anything to do.
    fn seal_step(&mut self, open: Option<u64>) -> bool {
        let committed = lock(&self.shared.tail).committed;
        let cursors = self.shared.committed_cursors(committed);
        let Some(sealing) = &mut self.sealing else { return self.begin_sealing(open) };
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
                // After the catalog: a reader that does not find the raw file looks up the catalog again.
                files::remove_db(&sealing.path);
                self.leftovers.remove(&sealing.first_seq);
                self.failures.remove(&sealing.first_seq);
                self.sealing = None;
                health.sealed.fetch_add(1, Ordering::Relaxed);
            }
            Err(e) => {
                let begun = self.sealing.take().map(|sealing| (sealing.first_seq, sealing.path.clone()));
                if let Some((first_seq, path)) = begun {
                    self.leftovers.insert(first_seq);
                    self.sealing_failed(&e, first_seq, &path);
                }
            }
        }
        true
    }

    /// Renames the damaged file, raw or day file; after any other error the segment is tried again later.
    fn sealing_failed(&mut self, error: &JournalError, first_seq: u64, raw: &Path) {
        tracing::error!(error = %error, "a journal segment could not be sealed");
        let failures = self.failures.entry(first_seq).or_default();
        *failures += u32::from(error.is_unreadable());
        // A transient read error loses nothing; a permanent one does.
        if !error.is_damage() && *failures <= SEAL_TRIES {
            self.not_before_us = self.shared.clock.mono_us() + SEAL_AGAIN_US;
            if error.is_full() {
                self.request_space();
            }
            return;
        }
        self.shared.health.damaged_files.fetch_add(1, Ordering::Relaxed);
        let day = error.path().to_path_buf();
        // Without the catalog's lock, because copying the mirror may be slow.
        if day != raw && mirror::restore(&day) {
            return;
        }
        let mut catalog = lock(&self.shared.catalog);
        if day == raw {
            catalog.remove(&first_seq);
            files::quarantine(raw);
        } else {
            catalog.values_mut().for_each(|place| place.sealed.retain(|p| *p != day));
            catalog.retain(|_, place| place.raw.is_some() || !place.sealed.is_empty());
            files::quarantine(&day);
        }
    }

    /// Begins to seal the oldest closed raw segment that is ready.
    fn begin_sealing(&mut self, open: Option<u64>) -> bool {
        let boot = lock(&self.shared.boot).clone();
        // Downsampling rewrites a day file, so nothing may be added to one meanwhile.
        // Undated segments of this boot wait for a trusted clock.
        let dated = self.shared.clock.is_trusted();
        if self.downsampling.is_some() || self.shared.clock.mono_us() < self.not_before_us {
            return false;
        }
        let next = {
            let catalog = lock(&self.shared.catalog);
            let closed = |(first, place): (&u64, &SegmentLocation)| Some((*first, place.raw.clone()?));
            let waits = |first: u64| first >= boot.first_seq || self.waiting.contains(&first);
            let ripe = |(first, _): &(u64, PathBuf)| Some(*first) != open && (dated || !waits(*first));
            catalog.iter().filter_map(closed).find(ripe)
        };
        let Some((first_seq, path)) = next else { return false };
        let is_leftover = self.leftovers.contains(&first_seq);
        let is_final = self.failures.get(&first_seq).is_some_and(|n| *n >= SEAL_TRIES);
        let offsets = lock(&self.shared.offsets).clone();
        if !dated && is_of_boot(&path, &boot.id, &offsets) {
            // The clock may become trusted during this boot.
            self.waiting.insert(first_seq);
            return true;
        }
        match Sealing::begin(&self.shared.dir, &path, first_seq, (is_leftover, is_final), &offsets) {
            Ok(sealing) => self.sealing = Some(sealing),
            Err(e) => self.sealing_failed(&e, first_seq, &path),
        }
        true
    }

    fn downsample_step(&mut self) -> bool {
        let Some(thinning) = &mut self.downsampling else { return false };
        match thinning.step() {
            Ok(false) => {}
            Ok(true) => {
                self.shared.health.downsampled_files.fetch_add(1, Ordering::Relaxed);
                if thinning.damaged > 0 {
                    self.shared.health.damaged_rows.fetch_add(thinning.damaged, Ordering::Relaxed);
                    let (file, readings) = (thinning.path.display(), thinning.damaged);
                    tracing::error!(%file, readings, "not all of a thinned day can be read: it stays beside as .damaged");
                }
                tracing::warn!(file = %thinning.path.display(), "journal is 85 % full: a day of telemetry was thinned");
                self.downsampling = None;
                self.next_limits_us = 0;
            }
            Err(e) => {
                tracing::error!(error = %e, "a journal file could not be thinned: the next one is tried");
                self.not_downsampled.insert(thinning.path.clone());
                self.downsampling = None;
            }
        }
        true
    }

    /// Enforces age, size and free space by deleting whole day files: telemetry first, then states, then registers, each oldest first.
    /// Above 85 % of the size limit it begins to downsample the oldest day of telemetry.
    fn enforce_limits(&mut self) {
        let max = self.shared.settings.max_bytes();
        self.delete_expired();
        let mut bytes = dir_bytes(&self.shared.dir);
        for class in Retention::ALL {
            for path in self.day_files(class) {
                if bytes <= max {
                    break;
                }
                bytes = bytes.saturating_sub(self.delete_early(&path, "the journal has reached its limit"));
            }
        }
        self.free_disk_space();
        self.shared.health.bytes.store(bytes, Ordering::Relaxed);
        let is_calm = self.downsampling.is_none() && self.sealing.is_none();
        if bytes > max / 100 * 85 && is_calm {
            let today = self.today();
            let old =
                self.day_files(Retention::Telemetry).into_iter().filter(|p| !p.to_string_lossy().contains(&today));
            let failed = &self.not_downsampled;
            let mut candidates = old.filter(|path| !failed.contains(path));
            let next = candidates.find_map(|path| Downsampling::begin(&path).ok().flatten());
            drop(candidates);
            self.downsampling = next;
        }
    }

    /// Deletes old days of telemetry, never today's, while the disk is short of free space.
    fn free_disk_space(&mut self) {
        let is_full = std::mem::take(&mut self.is_disk_full);
        let keep = self.shared.settings.keep_free_mb * 1_000_000;
        let is_short = || is_full || free_bytes(&self.shared.dir).is_some_and(|free| free < keep);
        let today = self.today();
        let old = self.day_files(Retention::Telemetry).into_iter().filter(|p| !p.to_string_lossy().contains(&today));
        for path in old.take(DELETE_MAX).collect::<Vec<_>>() {
            if is_short() {
                self.delete_early(&path, "the disk is full");
            }
        }
    }

    fn today(&self) -> String {
        sealed::day_of(self.shared.clock.wall().0)
    }

    /// Deletes a day file before its age requires it; returns the bytes freed, those of its mirror included.
    fn delete_early(&self, path: &Path, why: &str) -> u64 {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let bytes = length(path) + mirror::path_of(path).as_deref().map_or(0, length);
        tracing::warn!(file = %path.display(), why, "the oldest history of its class is deleted");
        self.delete(path);
        self.shared.health.dropped_files.fetch_add(1, Ordering::Relaxed);
        bytes
    }

    /// Deletes day files that exceed the retention of their class.
    fn delete_expired(&mut self) {
        let now = self.shared.clock.now();
        if !self.clock_stability.is_stable(now) {
            return;
        }
        for class in Retention::ALL {
            let keep_days = self.shared.settings.days(class);
            let days: Vec<String> = self.day_files(class).iter().filter_map(|p| day_of_file(p)).collect();
            let aged = retention::expired(&days, keep_days, now, sealed::day_of);
            let paths = aged.iter().map(|day| sealed::path_of(&self.shared.dir, day, class));
            // Undated readings may be recent: their age is that of their file.
            let oldest_ms = now.wall.0.saturating_sub(i64::from(keep_days) * 86_400_000);
            let is_recent = |path: &Path| path.to_string_lossy().contains("undated") && written_ms(path) >= oldest_ms;
            for path in paths.filter(|path| !is_recent(path)).take(DELETE_MAX).collect::<Vec<_>>() {
                tracing::info!(file = %path.display(), keep_days, "history that has served its time is deleted");
                self.delete(&path);
                self.shared.health.expired_files.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Day files of a class in the order of deletion: undated, then those of future days, then the oldest. Files that are being sealed into
    /// or downsampled are left out.
    fn day_files(&self, class: Retention) -> Vec<PathBuf> {
        let suffix = format!("-{}.db", class.word());
        let all = files::list(&self.shared.dir, "day-");
        let of_class = all.iter().filter(|p| p.to_string_lossy().ends_with(&suffix)).filter_map(|p| day_of_file(p));
        let days = retention::deletion_order(of_class.collect(), self.shared.clock.now(), sealed::day_of);
        let mut out: Vec<PathBuf> = days.iter().map(|day| sealed::path_of(&self.shared.dir, day, class)).collect();
        out.retain(|p| self.downsampling.as_ref().is_none_or(|t| t.path != *p));
        out.retain(|p| self.sealing.as_ref().is_none_or(|s| !s.is_writing(p)));
        out
    }

    /// Deletes a day file and its mirror; counts the readings that some reader had not acknowledged.
    fn delete(&self, path: &Path) {
        let readers: Vec<Position> = lock(&self.shared.cursors).values().cloned().collect();
        if let (Some(low_watermark), Ok(file)) =
            (readers.iter().map(|p| p.low_watermark).min(), sealed::DayFile::open(path))
        {
            let unseen = file.slices("last_seq > ?1", &[low_watermark.cast_signed()]).unwrap_or_default();
            let is_seen = |s: &sealed::Slice| readers.iter().all(|p| p.is_acked(s.first_seq) && p.is_acked(s.last_seq));
            let rows: u64 = unseen.iter().filter(|s| !is_seen(s)).map(|s| s.n as u64).sum();
            self.shared.health.lost_unsent.fetch_add(rows, Ordering::Relaxed);
        }
        // The mirror first: a mirror without its day file would be restored as a lost day at the next start.
        mirror::remove(path);
        files::remove_db(path);
        let mut catalog = lock(&self.shared.catalog);
        for place in catalog.values_mut() {
            place.sealed.retain(|p| p != path);
        }
        catalog.retain(|_, place| place.raw.is_some() || !place.sealed.is_empty());
    }
}

/// Whether a segment holds readings of a run of this boot whose clock was never trusted.
fn is_of_boot(path: &Path, boot: &str, offsets: &Offsets) -> bool {
    let is_undated = |b: &Boot| b.offset_ms.is_none() && !boot.is_empty() && b.id == boot;
    SegmentReader::open(path, offsets).is_ok_and(|reader| reader.boots().iter().any(is_undated))
}

/// The day in a day file's name, `20261121` or `undated`.
fn day_of_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_prefix("day-")?;
    name.split_once('-').map(|(day, _)| day.to_string())
}

/// Modification time of a file, milliseconds since 1970; `i64::MAX` if unknown.
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
