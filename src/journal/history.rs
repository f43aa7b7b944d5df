//! Queries: one point of one device between two dates, as samples or as slots with completeness. A point at a time, an
//! hour at a time: a month never needs the memory of a month.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use crate::journal::column::Aggregate;
use crate::journal::damage::{self, Damage};
use crate::journal::sealed::{self, DayFile, QUARTER_MS, Slice};
use crate::journal::segment::{Reader, Trouble};
use crate::journal::{Journal, Place, lock};
use crate::model::point::Stream;
use crate::model::quality::Cause;
use crate::model::reading::{Reading, Sample};
use crate::model::value::Value;

/// One sample with its own time, milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When it was received.
    pub at_ms: i64,
    /// Value or cause.
    pub sample: Sample,
    /// Whether its neighbours were thinned out.
    pub thinned: bool,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// The device.
    pub device: String,
    /// The point.
    pub point: String,
    /// From this date, milliseconds.
    pub from_ms: i64,
    /// To before this date.
    pub to_ms: i64,
}

/// One slot of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slot {
    /// Its start, milliseconds.
    pub start_ms: i64,
    /// What came.
    pub of: Aggregate,
    /// How many samples were due, at the pace at which the last of this slot were read (an empty one: those before it); 0
    /// if the source is irregular.
    pub due: u32,
    /// Whether something of it is there and cannot be read.
    pub damaged: bool,
    /// Whether something of it was thinned: sum, lowest, highest and completeness of whole quarter hours are still of all.
    pub thinned: bool,
}

impl Slot {
    /// Good samples of due ones, 0 to 1; of those that came where the source is irregular.
    pub fn completeness(&self) -> f64 {
        let due = if self.due > 0 { self.due } else { self.of.all };
        if due == 0 { 0.0 } else { (f64::from(self.of.good) / f64::from(due)).min(1.0) }
    }

    /// Mean of the good values.
    pub fn mean(&self) -> Option<f64> {
        (self.of.good > 0).then(|| self.of.sum / f64::from(self.of.good))
    }
}

/// An answer in slots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    /// In order of time.
    pub slots: Vec<Slot>,
    /// What is there and could not be read.
    pub damage: Vec<Damage>,
}

/// How a walk through a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walked {
    On,
    Enough,
    Unreadable,
}

/// Segments that are asked for names.
const NAMES_FROM: usize = 48;

/// Slots that one answer may have.
pub const SLOTS_MAX: usize = 200_000;

/// What is made of what the walk meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// Every sample, handed to somebody who may take his time.
    Samples,
    /// Slots of any length.
    Slots,
    /// Slots that are made of quarter hours.
    Quarters,
}

/// What the walk over history meets.
enum Met<'a> {
    Row(i64, Result<&'a Value, Cause>),
    Quarter(i64, &'a Aggregate),
}

/// What is done with it; says whether to go on.
type Each<'a> = &'a mut dyn FnMut(Met<'_>, From) -> bool;

/// Where it is met.
#[derive(Clone, Copy)]
struct From {
    /// Milliseconds between readings; 0 if irregular.
    every_ms: u64,
    thinned: bool,
}

impl Journal {
    /// Calls `each` with every sample, in order of segments; `each` says whether to go on.
    ///
    /// # Errors
    /// A file cannot be read for another reason than damage (which is counted and passed over).
    pub fn samples(&self, query: &Query, mut each: impl FnMut(Row) -> bool) -> Result<Vec<Damage>, Trouble> {
        let (mut go_on, mut damage) = (true, Vec::new());
        self.walk(query, Ask::Samples, &mut damage, &mut |met, from| {
            if let Met::Row(at_ms, sample) = met {
                go_on = go_on && each(Row { at_ms, sample: sample.cloned(), thinned: from.thinned });
            }
            go_on
        })?;
        Ok(damage)
    }

    /// The history in slots of `every_ms`, aligned to 1970 UTC; empty slots within the range are there too.
    ///
    /// # Errors
    /// As [`Journal::samples`].
    pub fn slots(&self, query: &Query, every_ms: i64) -> Result<Slots, Trouble> {
        let every_ms = every_ms.max(1);
        let first = query.from_ms.div_euclid(every_ms) * every_ms;
        let count = usize::try_from((query.to_ms - first).max(0) / every_ms + 1).unwrap_or(0).min(SLOTS_MAX);
        let starts = (0..count).map(|i| first + i64::try_from(i).unwrap_or(0) * every_ms);
        let mut bounds: Vec<i64> = starts.filter(|s| *s < query.to_ms).collect();
        bounds.extend(bounds.last().map(|last| last + every_ms));
        self.slots_between(query, &bounds)
    }

    /// The history in slots from each of these moments to the next, which rise.
    ///
    /// # Errors
    /// As [`Journal::samples`].
    pub fn slots_between(&self, query: &Query, bounds: &[i64]) -> Result<Slots, Trouble> {
        let spans: Vec<(i64, i64)> = bounds.windows(2).take(SLOTS_MAX).map(|w| (w[0], w[1])).collect();
        let mut out: Vec<Slot> =
            spans.iter().map(|(start_ms, _)| Slot { start_ms: *start_ms, ..Slot::default() }).collect();
        let index = |ms: i64| spans.partition_point(|(start, _)| *start <= ms).wrapping_sub(1);
        let mut cadences = vec![0u64; out.len()];
        let mut damage = Vec::new();
        let ask = if bounds.iter().all(|b| b % QUARTER_MS == 0) { Ask::Quarters } else { Ask::Slots };
        self.walk(query, ask, &mut damage, &mut |met, from| {
            let at = match met {
                Met::Row(at, _) | Met::Quarter(at, _) => index(at),
            };
            let (Some(slot), Some(cadence)) = (out.get_mut(at), cadences.get_mut(at)) else { return true };
            match met {
                Met::Row(at_ms, sample) => slot.of.add(at_ms, sample.ok().and_then(Value::as_f64)),
                Met::Quarter(_, quarter) => slot.of.join(quarter),
            }
            slot.thinned |= from.thinned;
            *cadence = from.every_ms;
            true
        })?;
        self.due(query, &spans, &cadences, &mut out)?;
        for (slot, (start, end)) in out.iter_mut().zip(&spans) {
            slot.damaged = damage.iter().any(|d| d.touches(*start, *end));
        }
        Ok(Slots { slots: out, damage })
    }

    /// How many samples were due in each slot. Nothing was before the point was first configured: from then on every cycle leaves a
    /// sample, good or bad. In a hole after that what was due is what was due later, or before.
    fn due(&self, query: &Query, spans: &[(i64, i64)], cadences: &[u64], out: &mut [Slot]) -> Result<(), Trouble> {
        let mut cadence = cadences.iter().copied().find(|c| *c > 0).unwrap_or(0);
        let is_whole =
            |s: &Slot, (start, end): (i64, i64)| u64::from(s.of.all) * cadence >= (end - start).unsigned_abs();
        let began_ms = match (out.first(), spans.first()) {
            (Some(first), Some(span)) if !is_whole(first, *span) => self.first_ms(query)?.unwrap_or(query.to_ms),
            _ => query.from_ms,
        };
        for ((slot, own), (start, end)) in out.iter_mut().zip(cadences).zip(spans) {
            if slot.of.all > 0 {
                cadence = *own;
            }
            if cadence > 0 {
                let (from, to) = ((*start).max(query.from_ms), (*end).min(query.to_ms));
                let passed = (to - from.max(began_ms)).max(0).unsigned_abs();
                // From its first sample on, that one included.
                let due = if began_ms > from { passed.div_ceil(cadence) } else { passed / cadence };
                let is_configured = *end > began_ms;
                slot.due = u32::try_from(due).unwrap_or(u32::MAX).max(u32::from(is_configured));
            }
        }
        Ok(())
    }

    /// Devices and their points, as far as the newest files and the memory know them.
    pub fn names(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut take = |stream: &Stream| {
            if stream.alarm_rule().is_none() {
                let points = out.entry(stream.device.to_string()).or_default();
                points.extend(stream.points.iter().map(|p| p.name.to_string()));
            }
        };
        self.recent().iter().for_each(|entry| take(&entry.reading.stream));
        let catalog = lock(&self.shared.catalog).clone();
        let mut files: BTreeSet<&std::path::Path> = BTreeSet::new();
        for place in catalog.values().rev().take(NAMES_FROM) {
            if let Some(Ok(reader)) = place.raw.as_deref().map(Reader::open) {
                reader.streams().for_each(|stream| take(stream));
            }
            files.extend(place.sealed.iter().map(std::path::PathBuf::as_path));
        }
        for (streams, _) in files.into_iter().filter_map(|path| DayFile::open(path).ok()?.streams(None).ok()) {
            streams.values().for_each(|stream| take(stream));
        }
        out
    }

    /// When the first sample came that history still has, before a query's end.
    fn first_ms(&self, query: &Query) -> Result<Option<i64>, Trouble> {
        let mut first = None;
        let all = Query { from_ms: 0, ..query.clone() };
        self.walk(&all, Ask::Samples, &mut Vec::new(), &mut |met, _| {
            let (Met::Row(at_ms, _) | Met::Quarter(at_ms, _)) = met;
            first = Some(at_ms);
            false
        })?;
        Ok(first)
    }

    /// Walks sealed files, raw segments and the tail in order.
    fn walk(&self, query: &Query, ask: Ask, damage: &mut Vec<Damage>, each: Each<'_>) -> Result<(), Trouble> {
        let aside = damage::set_aside(&self.shared.dir);
        let all = aside.into_iter().chain(self.shared.passed_over.iter().cloned());
        damage.extend(all.filter(|d| d.touches(query.from_ms, query.to_ms)));
        let catalog = lock(&self.shared.catalog).clone();
        let mut files: BTreeSet<std::path::PathBuf> = BTreeSet::new();
        for place in catalog.values() {
            files.extend(place.sealed.iter().filter(|p| may_hold(p, query)).cloned());
        }
        // While a segment is being sealed its readings stand in both places: the raw file counts until it is gone.
        let in_raw: Vec<u64> = catalog.iter().filter(|(_, p)| p.raw.is_some()).map(|(first, _)| *first).collect();
        let mut last_seq = 0u64;
        for path in &files {
            let result = DayFile::open(path)
                .and_then(|file| walk_sealed(&file, query, ask, &|seg| !in_raw.contains(&seg), damage, each));
            match result {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // The file was thinned or deleted meanwhile, or is damaged: what it held is missing in the answer.
                Err(_) if !path.exists() => {}
                Err(e) if e.is_unreadable() => damage.push(self.unreadable(path, query, &e)),
                Err(e) => return Err(e),
            }
        }
        for (first, Place { raw, .. }) in &catalog {
            let Some(path) = raw else { continue };
            let mut reader = match Reader::open(path) {
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

    /// A file that gives nothing is counted, and said with the answer.
    fn unreadable(&self, path: &std::path::Path, query: &Query, why: &Trouble) -> Damage {
        self.health().damaged_files.fetch_add(1, Ordering::Relaxed);
        Damage::file(path, &query.device, why.to_string())
    }

    /// The slices of a segment that was sealed after the walk began.
    fn walk_newly_sealed(
        &self,
        first: u64,
        query: &Query,
        ask: Ask,
        damage: &mut Vec<Damage>,
        each: Each<'_>,
    ) -> Result<bool, Trouble> {
        let sealed = match lock(&self.shared.catalog).get(&first) {
            Some(place) if !place.sealed.is_empty() => place.sealed.clone(),
            // Another process seals: its day files are found by looking.
            _ => crate::journal::recover::files(&self.shared.dir, "day-"),
        };
        for path in sealed.iter().filter(|p| may_hold(p, query)) {
            let file = DayFile::open(path)?;
            if !walk_sealed(&file, query, ask, &|seg| seg == first, damage, each)? {
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
fn may_hold(path: &std::path::Path, query: &Query) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let Some(day) = name.strip_prefix("day-").and_then(|n| n.get(..8)) else { return true };
    let (from, to) = (sealed::day_of(query.from_ms - 86_400_000), sealed::day_of(query.to_ms));
    (from.as_str()..=to.as_str()).contains(&day)
}

fn point_of(stream: &Stream, point: &str) -> Option<usize> {
    // Transitions of alarms have a log of their own; here they are copies for the time-series stores.
    if stream.alarm_rule().is_some() {
        return None;
    }
    stream.points.iter().position(|p| *p.name == *point)
}

fn walk_reading(reading: &Reading, query: &Query, each: Each<'_>) -> bool {
    let Some(index) = point_of(&reading.stream, &query.point) else { return true };
    let at_ms = reading.at.wall.0 + i64::from(reading.after_ms(index));
    if !reading.at.trusted || at_ms < query.from_ms || at_ms >= query.to_ms {
        return true;
    }
    match reading.sample(index) {
        Some(sample) => each(Met::Row(at_ms, sample), From { every_ms: reading.stream.every_ms, thinned: false }),
        None => true,
    }
}

fn walk_sealed(
    file: &DayFile,
    query: &Query,
    ask: Ask,
    wanted: &dyn Fn(u64) -> bool,
    damage: &mut Vec<Damage>,
    each: Each<'_>,
) -> Result<bool, Trouble> {
    if ask != Ask::Samples {
        file.hold()?;
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
    for (id, stream) in streams {
        let Some(point) = point_of(&stream, &query.point) else { continue };
        let filter = "stream = ?1 AND dated = 1 AND first_ms < ?3 AND last_ms >= ?2 ORDER BY first_ms";
        for slice in damage::slices(file, &query.device, filter, &[id, query.from_ms, query.to_ms], damage)? {
            if !slice.is_whole {
                damage.push(Damage::file(&file.path, &query.device, "the header of a slice cannot be read"));
                continue;
            }
            if !slice.points.contains(&point) || !wanted(slice.seg) {
                continue;
            }
            let from = From { every_ms: stream.every_ms, thinned: slice.thinned };
            let inside = slice.first_ms >= query.from_ms && slice.last_ms < query.to_ms;
            // Figures that cannot be read are made of the samples.
            let figures =
                if ask == Ask::Quarters && inside { file.aggregates(&slice, point).ok().flatten() } else { None };
            if let Some(aggregates) = figures {
                if !aggregates.iter().all(|(at, a)| each(Met::Quarter(*at, a), from)) {
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
    }
    Ok(true)
}

fn walk_slice(
    file: &DayFile,
    query: &Query,
    slice: &Slice,
    point: usize,
    from: From,
    each: Each<'_>,
) -> Result<Walked, Trouble> {
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
            if !each(Met::Row(at_ms, sample), from) {
                return Ok(Walked::Enough);
            }
        }
    }
    Ok(Walked::On)
}
