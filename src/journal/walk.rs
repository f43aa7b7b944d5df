//! The walk over history: sealed files, raw segments and the tail in order, with what is damaged on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::journal::column::Aggregate;
use crate::journal::damage::{self, Damage};
use crate::journal::history::HistoryQuery;
use crate::journal::sealed::{self, DayFile};
use crate::journal::segment::{JournalError, SegmentReader};
use crate::journal::slice::Slice;
use crate::journal::{Journal, SegmentLocation, lock, mirror};
use crate::model::point::Stream;
use crate::model::quality::Cause;
use crate::model::reading::{Reading, Sample};
use crate::model::value::Value;

/// How a walk through a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walked {
    On,
    Enough,
    Unreadable,
}

/// What is made of what the walk meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VisitMode {
    /// Every sample, handed to somebody who may take his time.
    Samples,
    /// Slots of any length.
    Slots,
    /// Slots that are made of quarter hours.
    Quarters,
}

/// What the walk over history meets.
pub(super) enum Visited<'a> {
    Row(i64, Result<&'a Value, Cause>),
    Quarter(i64, &'a Aggregate),
}

/// The same, kept.
#[derive(Clone, Debug)]
enum OwnedVisit {
    Row(i64, Sample),
    Quarter(i64, Aggregate),
}

impl Visited<'_> {
    fn kept(&self) -> OwnedVisit {
        match self {
            Visited::Row(at_ms, sample) => OwnedVisit::Row(*at_ms, sample.cloned()),
            Visited::Quarter(at_ms, quarter) => OwnedVisit::Quarter(*at_ms, **quarter),
        }
    }
}

impl OwnedVisit {
    fn lent(&self) -> Visited<'_> {
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

/// What a file gave.
#[derive(Default)]
struct Gathered {
    met: Vec<(OwnedVisit, VisitSource)>,
    damage: Vec<Damage>,
}

impl Gathered {
    /// What either has; the damage of one counts where the other is damaged at the same time.
    fn joined(mut self, other: Gathered) -> Self {
        let known: BTreeSet<i64> = self.met.iter().map(|(met, _)| met.at_ms()).collect();
        self.met.extend(other.met.into_iter().filter(|(met, _)| !known.contains(&met.at_ms())));
        self.met.sort_by_key(|(met, _)| met.at_ms());
        self.damage.retain(|d| d.is_of_any(&other.damage));
        self
    }
}

/// What is done with it; says whether to go on.
pub(super) type Visitor<'a> = &'a mut dyn FnMut(Visited<'_>, VisitSource) -> bool;

/// Where it is met.
#[derive(Clone, Copy)]
pub(super) struct VisitSource {
    /// Milliseconds between readings; 0 if irregular.
    pub(super) every_ms: u64,
    pub(super) thinned: bool,
}

impl Journal {
    /// Walks sealed files, raw segments and the tail in order.
    pub(super) fn walk(
        &self,
        query: &HistoryQuery,
        ask: VisitMode,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<(), JournalError> {
        let aside = damage::set_aside(&self.shared.dir);
        let all = aside.into_iter().chain(self.shared.passed_over.iter().cloned());
        damage.extend(all.filter(|d| d.touches(query.from_ms, query.to_ms)));
        let catalog = lock(&self.shared.catalog).clone();
        let offsets = lock(&self.shared.offsets).clone();
        let mut files: BTreeMap<String, &Path> = BTreeMap::new();
        for path in catalog.values().flat_map(|place| &place.sealed).filter(|p| may_hold(p, query.from_ms, query.to_ms))
        {
            files.insert(day_name(path), path);
        }
        // While a segment is being sealed its readings stand in both places: the raw file counts until it is gone.
        let in_raw: Vec<u64> = catalog.iter().filter(|(_, p)| p.raw.is_some()).map(|(first, _)| *first).collect();
        let mut last_seq = 0u64;
        for path in files.values() {
            if !self.walk_day(path, query, ask, &|seg| !in_raw.contains(&seg), damage, each)? {
                return Ok(());
            }
        }
        for (first, SegmentLocation { raw, .. }) in &catalog {
            let Some(path) = raw else { continue };
            let mut reader = match SegmentReader::open(path, &offsets) {
                Ok(reader) => reader,
                Err(_) if !path.exists() => {
                    // Sealed since we looked: where it is now.
                    if !self.walk_newly_sealed(*first, query, ask, damage, each)? {
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
                |s| *s.device == *query.device && point_of(s, &query.point).is_some(),
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

    /// A day's file; of registers its mirror where that file is damaged, and of both what each has where both are.
    fn walk_day(
        &self,
        path: &Path,
        query: &HistoryQuery,
        ask: VisitMode,
        wanted: &dyn Fn(u64) -> bool,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<bool, JournalError> {
        let Some(mirror) = mirror::of(path).filter(|mirror| mirror.exists()) else {
            return self.walk_file(path, query, ask, wanted, damage, each);
        };
        let gather = |path: &Path, ask: VisitMode| {
            let mut of = Gathered::default();
            let rows = &mut of.met;
            self.walk_file(path, query, ask, wanted, &mut of.damage, &mut |met, from| {
                rows.push((met.kept(), from));
                true
            })?;
            Ok::<_, JournalError>(of)
        };
        let mut day = gather(path, ask)?;
        if !day.damage.is_empty() {
            let second = gather(&mirror, ask)?;
            if second.damage.is_empty() {
                day = second;
            } else {
                let ask = if ask == VisitMode::Quarters { VisitMode::Slots } else { ask };
                day = gather(path, ask)?.joined(gather(&mirror, ask)?);
            }
        }
        damage.extend(day.damage);
        Ok(day.met.iter().all(|(met, from)| each(met.lent(), *from)))
    }

    /// One sealed file; whether to go on. What it does not give is damage.
    fn walk_file(
        &self,
        path: &Path,
        query: &HistoryQuery,
        ask: VisitMode,
        wanted: &dyn Fn(u64) -> bool,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<bool, JournalError> {
        match DayFile::open(path).and_then(|file| walk_sealed(&file, query, ask, wanted, damage, each)) {
            // The file was thinned or deleted meanwhile.
            Err(_) if !path.exists() => Ok(true),
            Err(e) if e.is_unreadable() => {
                damage.push(self.unreadable(path, query, &e));
                Ok(true)
            }
            result => result,
        }
    }

    /// A file that gives nothing is counted, and said with the answer.
    fn unreadable(&self, path: &Path, query: &HistoryQuery, why: &JournalError) -> Damage {
        self.shared.found_damaged(path);
        Damage::file(path, &query.device, why.to_string())
    }

    /// The slices of a segment that was sealed after the walk began.
    fn walk_newly_sealed(
        &self,
        first: u64,
        query: &HistoryQuery,
        ask: VisitMode,
        damage: &mut Vec<Damage>,
        each: Visitor<'_>,
    ) -> Result<bool, JournalError> {
        let sealed = match lock(&self.shared.catalog).get(&first) {
            Some(place) if !place.sealed.is_empty() => place.sealed.clone(),
            // Another process seals: its day files are found by looking.
            _ => crate::journal::recover::files(&self.shared.dir, "day-"),
        };
        for path in sealed.iter().filter(|p| may_hold(p, query.from_ms, query.to_ms)) {
            if !self.walk_day(path, query, ask, &|seg| seg == first, damage, each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a number of the tail lies in a sealed segment (a tail may reach back into the hour before).
fn is_on_disk(catalog: &crate::journal::Catalog, seq: u64) -> bool {
    catalog
        .range(..=seq)
        .next_back()
        .is_some_and(|(_, p)| p.raw.is_none() && p.last_seq.is_some_and(|last| last >= seq))
}

/// Whether a day's file can hold anything of the range: a segment belongs to the day on which it began.
pub(super) fn may_hold(path: &Path, from_ms: i64, to_ms: i64) -> bool {
    let name = day_name(path);
    let Some(day) = name.strip_prefix("day-").and_then(|n| n.get(..8)) else { return true };
    // A clock that was set back by less than an hour leaves what follows in the file.
    let (from, to) = (from_ms.saturating_sub(86_400_000), to_ms.saturating_add(3_600_000));
    let (from, to) = (sealed::day_of(from), sealed::day_of(to));
    (from.as_str()..=to.as_str()).contains(&day)
}

/// A name by which files are read in order of their days, be it a day's file or its mirror.
fn day_name(path: &Path) -> String {
    let name = path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    name.strip_prefix("mirror-").map_or(name.clone(), |rest| format!("day-{rest}"))
}

pub(super) fn point_of(stream: &Stream, point: &str) -> Option<usize> {
    // Transitions of alarms have a log of their own; here they are copies for the time-series stores.
    if stream.alarm_rule().is_some() {
        return None;
    }
    stream.points.iter().position(|p| *p.name == *point)
}

fn walk_reading(reading: &Reading, query: &HistoryQuery, each: Visitor<'_>) -> bool {
    let Some(index) = point_of(&reading.stream, &query.point) else { return true };
    let at_ms = reading.at.wall.0 + i64::from(reading.after_ms(index));
    if !reading.at.trusted || at_ms < query.from_ms || at_ms >= query.to_ms {
        return true;
    }
    match reading.sample(index) {
        Some(sample) => {
            each(Visited::Row(at_ms, sample), VisitSource { every_ms: reading.stream.every_ms, thinned: false })
        }
        None => true,
    }
}

fn walk_sealed(
    file: &DayFile,
    query: &HistoryQuery,
    ask: VisitMode,
    wanted: &dyn Fn(u64) -> bool,
    damage: &mut Vec<Damage>,
    each: Visitor<'_>,
) -> Result<bool, JournalError> {
    if ask != VisitMode::Samples {
        file.begin()?;
    }
    let (streams, unknown) = file.streams(Some(&query.device))?;
    if unknown > 0 {
        let why = format!("{unknown} of its streams cannot be read: whose they are nobody knows");
        damage.push(Damage::file(&file.path, "", why));
    }
    if file.path.to_string_lossy().contains("-register") {
        // Of counters each header is looked at: one that says another time, or another stream, would be missed.
        let all = damage::slices(file, &query.device, "1 = 1", &[], damage)?;
        let bad = all.iter().filter(|s| !s.is_whole).count();
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
        let Some(point) = point_of(&stream, &query.point) else { continue };
        let filter = "stream = ?1 AND dated = 1 AND first_ms < ?3 AND last_ms >= ?2 ORDER BY first_ms";
        for slice in damage::slices(file, &query.device, filter, &[id, query.from_ms, query.to_ms], damage)? {
            if !slice.is_whole {
                damage.push(Damage::file(&file.path, &query.device, "the header of a slice cannot be read"));
            } else if slice.points.contains(&point) && wanted(slice.seg) {
                found.push((slice, Arc::clone(&stream), point));
            }
        }
    }
    // A device that was configured anew within the day has several streams.
    found.sort_by_key(|(slice, ..)| slice.first_ms);
    for (slice, stream, point) in found {
        let from = VisitSource { every_ms: stream.every_ms, thinned: slice.thinned };
        let inside = slice.first_ms >= query.from_ms && slice.last_ms < query.to_ms;
        // Figures that cannot be read are made of the samples.
        let figures =
            if ask == VisitMode::Quarters && inside { file.aggregates(&slice, point).ok().flatten() } else { None };
        if let Some(aggregates) = figures {
            if !aggregates.iter().all(|(at, a)| each(Visited::Quarter(*at, a), from)) {
                return Ok(false);
            }
            continue;
        }
        match walk_slice(file, query, &slice, point, from, each) {
            Ok(Walked::On) => {}
            Ok(Walked::Enough) => return Ok(false),
            Ok(Walked::Unreadable) => {
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
) -> Result<Walked, JournalError> {
    let (Some(times), Some(samples), Some(offsets)) =
        (file.times(slice)?, file.samples(slice, point)?, file.offsets(slice)?)
    else {
        return Ok(Walked::Unreadable);
    };
    let lane = slice.points.iter().position(|p| *p == point).and_then(|i| offsets.get(i));
    for (row, (time, sample)) in times.into_iter().zip(samples).enumerate() {
        let at_ms = time + lane.and_then(|l| l.get(row)).map_or(0, |ms| i64::from(*ms));
        let Some(sample) = sample else { continue };
        if at_ms >= query.from_ms && at_ms < query.to_ms {
            let sample = sample.as_ref().map_err(|c| *c);
            if !each(Visited::Row(at_ms, sample), from) {
                return Ok(Walked::Enough);
            }
        }
    }
    Ok(Walked::On)
}
