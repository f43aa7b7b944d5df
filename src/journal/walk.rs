//! Iteration over history: sealed files, raw segments and the tail in order, collecting the damage that it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::journal::aggregate::Aggregate;
use crate::journal::damage::{self, Damage};
use crate::journal::query::HistoryQuery;
use crate::journal::sealed::{self, DayFile};
use crate::journal::segment::{JournalError, SegmentReader};
use crate::journal::slice::Slice;
use crate::journal::{Journal, SegmentLocation, mirror};
use crate::lock::lock;
use crate::model::quality::Cause;
use crate::model::reading::{Reading, Sample};
use crate::model::stream::Stream;
use crate::model::value::Value;

/// How the iteration over a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SliceOutcome {
    Continue,
    Stop,
    Unreadable,
}

/// What the visitor needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VisitMode {
    /// Every sample. The visitor may be slow, so no transaction is held open on the file.
    Samples,
    /// Samples for slots of any length, read within one transaction per file.
    Slots,
    /// Stored quarter-hour aggregates where a slice lies within the range and has them; samples otherwise.
    Quarters,
}

/// One visited item: time in milliseconds since 1970 and sample, or start and aggregate of a quarter hour.
pub(super) enum Visited<'a> {
    Row(i64, Result<&'a Value, Cause>),
    Quarter(i64, &'a Aggregate),
}

/// Owned form of [`Visited`].
#[derive(Clone, Debug)]
enum OwnedVisit {
    Row(i64, Sample),
    Quarter(i64, Aggregate),
}

impl Visited<'_> {
    fn to_owned_visit(&self) -> OwnedVisit {
        match self {
            Visited::Row(at_ms, sample) => OwnedVisit::Row(*at_ms, sample.cloned()),
            Visited::Quarter(at_ms, quarter) => OwnedVisit::Quarter(*at_ms, **quarter),
        }
    }
}

impl OwnedVisit {
    fn as_visited(&self) -> Visited<'_> {
        match self {
            OwnedVisit::Row(at_ms, sample) => Visited::Row(*at_ms, sample.as_ref().map_err(|c| *c)),
            OwnedVisit::Quarter(at_ms, quarter) => Visited::Quarter(*at_ms, quarter),
        }
    }

    fn at_ms(&self) -> i64 {
        let (OwnedVisit::Row(at_ms, _) | OwnedVisit::Quarter(at_ms, _)) = self;
        *at_ms
    }
}

/// Items and damage collected from one file.
#[derive(Default)]
struct FileVisits {
    visits: Vec<(OwnedVisit, VisitSource)>,
    damage: Vec<Damage>,
}

impl FileVisits {
    /// The union of both copies. Damage of one copy counts only if the other is damaged in the same period.
    fn union(mut self, other: FileVisits) -> Self {
        let known: BTreeSet<i64> = self.visits.iter().map(|(met, _)| met.at_ms()).collect();
        self.visits.extend(other.visits.into_iter().filter(|(met, _)| !known.contains(&met.at_ms())));
        self.visits.sort_by_key(|(met, _)| met.at_ms());
        self.damage.retain(|d| d.overlaps_any(&other.damage));
        self
    }
}

/// Called for each item; returns whether to go on.
pub(super) type Visitor<'a> = &'a mut dyn FnMut(Visited<'_>, VisitSource) -> bool;

/// Properties of the stream and slice that an item comes from.
#[derive(Clone, Copy)]
pub(super) struct VisitSource {
    /// Milliseconds between readings; 0 if irregular.
    pub(super) every_ms: u64,
    pub(super) downsampled: bool,
}

impl Journal {
    /// Visits sealed files, raw segments and the tail in order. Unreadable data are added to `damage`.
    pub(super) fn walk(
        &self,
        query: &HistoryQuery,
        mode: VisitMode,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<(), JournalError> {
        let quarantined = damage::quarantined(&self.shared.dir);
        let all = quarantined.into_iter().chain(self.shared.unreadable_files.iter().cloned());
        damage.extend(all.filter(|d| d.overlaps(query.from_ms, query.to_ms)));
        let catalog = lock(&self.shared.catalog).clone();
        let offsets = lock(&self.shared.offsets).clone();
        let mut files: BTreeMap<String, &Path> = BTreeMap::new();
        for path in catalog.values().flat_map(|place| &place.sealed).filter(|p| may_hold(p, query.from_ms, query.to_ms))
        {
            files.insert(day_name(path), path);
        }
        // While a segment is being sealed its readings are in both places: the raw file counts until it is removed.
        let in_raw: Vec<u64> = catalog.iter().filter(|(_, p)| p.raw.is_some()).map(|(first, _)| *first).collect();
        let mut last_seq = 0u64;
        for path in files.values() {
            if !self.walk_day(path, query, mode, &|seg| !in_raw.contains(&seg), damage, each)? {
                return Ok(());
            }
        }
        for (first, SegmentLocation { raw, .. }) in &catalog {
            let Some(path) = raw else { continue };
            let mut reader = match SegmentReader::open(path, &offsets) {
                Ok(reader) => reader,
                Err(_) if !path.exists() => {
                    // Sealed since the catalog was copied.
                    if !self.walk_newly_sealed(*first, query, mode, damage, each)? {
                        return Ok(());
                    }
                    continue;
                }
                Err(e) if e.is_unreadable() => {
                    damage.push(self.unreadable(path, query, &e));
                    continue;
                }
                Err(e) => return Err(e),
            };
            let mut go_on = true;
            let scanned = reader.scan(
                |s| *s.device == *query.device && point_index(s, &query.point).is_some(),
                |seq, reading| {
                    last_seq = last_seq.max(seq);
                    go_on = go_on && walk_reading(&reading, query, each);
                },
            );
            match scanned {
                Ok(0) => {}
                Ok(damaged) => {
                    self.health().damaged_rows.fetch_add(damaged, Ordering::Relaxed);
                    damage.push(Damage::file(path, &query.device, format!("{damaged} of its rows cannot be read")));
                }
                Err(e) if e.is_unreadable() => damage.push(self.unreadable(path, query, &e)),
                Err(e) => return Err(e),
            }
            if !go_on {
                return Ok(());
            }
        }
        let committed = last_seq;
        for entry in self.recent() {
            let ours = *entry.reading.stream.device == *query.device && entry.seq > committed;
            if ours && !is_on_disk(&catalog, entry.seq) && !walk_reading(&entry.reading, query, each) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Visits a day file. If a register file is damaged its mirror is visited instead; if both are damaged, the union of both.
    fn walk_day(
        &self,
        path: &Path,
        query: &HistoryQuery,
        mode: VisitMode,
        is_wanted: &dyn Fn(u64) -> bool,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<bool, JournalError> {
        let Some(mirror) = mirror::path_of(path).filter(|mirror| mirror.exists()) else {
            return self.walk_file(path, query, mode, is_wanted, damage, each);
        };
        let gather = |path: &Path, ask: VisitMode| {
            let mut of = FileVisits::default();
            let rows = &mut of.visits;
            self.walk_file(path, query, ask, is_wanted, &mut of.damage, &mut |met, from| {
                rows.push((met.to_owned_visit(), from));
                true
            })?;
            Ok::<_, JournalError>(of)
        };
        let mut day = gather(path, mode)?;
        if !day.damage.is_empty() {
            let second = gather(&mirror, mode)?;
            if second.damage.is_empty() {
                day = second;
            } else {
                let mode = if mode == VisitMode::Quarters { VisitMode::Slots } else { mode };
                day = gather(path, mode)?.union(gather(&mirror, mode)?);
            }
        }
        damage.extend(day.damage);
        Ok(day.visits.iter().all(|(met, from)| each(met.as_visited(), *from)))
    }

    /// Visits one sealed file; returns whether to go on. Unreadable data become damage.
    fn walk_file(
        &self,
        path: &Path,
        query: &HistoryQuery,
        mode: VisitMode,
        is_wanted: &dyn Fn(u64) -> bool,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<bool, JournalError> {
        match DayFile::open(path).and_then(|file| walk_sealed(&file, query, mode, is_wanted, damage, each)) {
            // The file was deleted meanwhile.
            Err(_) if !path.exists() => Ok(true),
            Err(e) if e.is_unreadable() => {
                damage.push(self.unreadable(path, query, &e));
                Ok(true)
            }
            result => result,
        }
    }

    /// Counts an unreadable file and describes it for the answer.
    fn unreadable(&self, path: &Path, query: &HistoryQuery, why: &JournalError) -> Damage {
        self.shared.count_damaged(path);
        Damage::file(path, &query.device, why.to_string())
    }

    /// Visits the slices of a segment that was sealed after the iteration began.
    fn walk_newly_sealed(
        &self,
        first: u64,
        query: &HistoryQuery,
        mode: VisitMode,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<bool, JournalError> {
        let sealed = match lock(&self.shared.catalog).get(&first) {
            Some(place) if !place.sealed.is_empty() => place.sealed.clone(),
            // Another process seals: its day files are not in this catalog, so the directory is listed.
            _ => crate::journal::files::list(&self.shared.dir, "day-"),
        };
        for path in sealed.iter().filter(|p| may_hold(p, query.from_ms, query.to_ms)) {
            if !self.walk_day(path, query, mode, &|seg| seg == first, damage, each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a number lies in a sealed segment; the tail may reach back into the hour before.
fn is_on_disk(catalog: &crate::journal::Catalog, seq: u64) -> bool {
    catalog
        .range(..=seq)
        .next_back()
        .is_some_and(|(_, p)| p.raw.is_none() && p.last_seq.is_some_and(|last| last >= seq))
}

/// Whether a day file can hold anything of the range. A segment belongs to the day on which it began.
pub(super) fn may_hold(path: &Path, from_ms: i64, to_ms: i64) -> bool {
    let name = day_name(path);
    let Some(day) = name.strip_prefix("day-").and_then(|n| n.get(..8)) else { return true };
    // A clock that is set back by less than an hour does not begin a new slice, so a file may hold times of the day before.
    let (from, to) = (from_ms.saturating_sub(86_400_000), to_ms.saturating_add(3_600_000));
    let (from, to) = (sealed::day_of(from), sealed::day_of(to));
    (from.as_str()..=to.as_str()).contains(&day)
}

/// Sort key by day; a mirror has the key of its day file.
fn day_name(path: &Path) -> String {
    let name = path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    name.strip_prefix("mirror-").map_or(name.clone(), |rest| format!("day-{rest}"))
}

pub(super) fn point_index(stream: &Stream, point: &str) -> Option<usize> {
    // Alarm transitions have their own log; the journal only carries copies for the time-series stores.
    if stream.source.alarm_rule().is_some() {
        return None;
    }
    stream.points.iter().position(|p| *p.name == *point)
}

fn walk_reading(reading: &Reading, query: &HistoryQuery, each: Visitor<'_>) -> bool {
    let Some(index) = point_index(&reading.stream, &query.point) else { return true };
    let at_ms = reading.at.wall.0 + i64::from(reading.after_ms(index));
    if !reading.at.trusted || at_ms < query.from_ms || at_ms >= query.to_ms {
        return true;
    }
    match reading.sample(index) {
        Some(sample) => {
            each(Visited::Row(at_ms, sample), VisitSource { every_ms: reading.stream.every_ms, downsampled: false })
        }
        None => true,
    }
}

fn walk_sealed(
    file: &DayFile,
    query: &HistoryQuery,
    mode: VisitMode,
    is_wanted: &dyn Fn(u64) -> bool,
    damage: &mut Vec<Damage>,
    each: Visitor<'_>,
) -> Result<bool, JournalError> {
    if mode != VisitMode::Samples {
        file.begin()?;
    }
    let (streams, unknown) = file.streams(Some(&query.device))?;
    if unknown > 0 {
        let why = format!("{unknown} of its streams cannot be read: whose they are nobody knows");
        damage.push(Damage::file(&file.path, "", why));
    }
    if file.path.to_string_lossy().contains("-register") {
        // For registers every header is checked: one damaged into another time or stream would be missed by the filter below.
        let all = damage::readable_slices(file, &query.device, "1 = 1", &[], damage)?;
        let bad = all.iter().filter(|s| !s.is_intact).count();
        if bad > 0 {
            damage.push(Damage::file(
                &file.path,
                "",
                format!("{bad} of its slices cannot be read: whose they are nobody knows"),
            ));
        }
    }
    let mut found: Vec<(Slice, Arc<Stream>, usize)> = Vec::new();
    for (id, stream) in streams {
        let Some(point) = point_index(&stream, &query.point) else { continue };
        let filter = "stream = ?1 AND dated = 1 AND first_ms < ?3 AND last_ms >= ?2 ORDER BY first_ms";
        for slice in damage::readable_slices(file, &query.device, filter, &[id, query.from_ms, query.to_ms], damage)? {
            if !slice.is_intact {
                damage.push(Damage::file(&file.path, &query.device, "the header of a slice cannot be read"));
            } else if slice.points.contains(&point) && is_wanted(slice.segment) {
                found.push((slice, Arc::clone(&stream), point));
            }
        }
    }
    // A device whose configuration changed within the day has several streams.
    found.sort_by_key(|(slice, ..)| slice.first_ms);
    for (slice, stream, point) in found {
        let from = VisitSource { every_ms: stream.every_ms, downsampled: slice.downsampled };
        let inside = slice.first_ms >= query.from_ms && slice.last_ms < query.to_ms;
        // If the aggregates cannot be read, the samples are used.
        let quarters =
            if mode == VisitMode::Quarters && inside { file.aggregates(&slice, point).ok().flatten() } else { None };
        if let Some(aggregates) = quarters {
            if !aggregates.iter().all(|(at, a)| each(Visited::Quarter(*at, a), from)) {
                return Ok(false);
            }
            continue;
        }
        match walk_slice(file, query, &slice, point, from, each) {
            Ok(SliceOutcome::Continue) => {}
            Ok(SliceOutcome::Stop) => return Ok(false),
            Ok(SliceOutcome::Unreadable) => {
                damage.push(Damage::slice(&file.path, &query.device, &slice, "its columns cannot be read"));
            }
            Err(e) if e.is_unreadable() => {
                damage.push(Damage::slice(&file.path, &query.device, &slice, e.to_string()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

fn walk_slice(
    file: &DayFile,
    query: &HistoryQuery,
    slice: &Slice,
    point: usize,
    from: VisitSource,
    each: Visitor<'_>,
) -> Result<SliceOutcome, JournalError> {
    let (Some(times), Some(samples), Some(offsets)) =
        (file.times(slice)?, file.samples(slice, point)?, file.offsets(slice)?)
    else {
        return Ok(SliceOutcome::Unreadable);
    };
    let column_offsets = slice.points.iter().position(|p| *p == point).and_then(|i| offsets.get(i));
    for (row, (time, sample)) in times.into_iter().zip(samples).enumerate() {
        let at_ms = time + column_offsets.and_then(|l| l.get(row)).map_or(0, |ms| i64::from(*ms));
        let Some(sample) = sample else { continue };
        if at_ms >= query.from_ms && at_ms < query.to_ms {
            let sample = sample.as_ref().map_err(|c| *c);
            if !each(Visited::Row(at_ms, sample), from) {
                return Ok(SliceOutcome::Stop);
            }
        }
    }
    Ok(SliceOutcome::Continue)
}
