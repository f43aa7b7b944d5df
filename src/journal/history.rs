//! Queries: one point of one device between two dates, as samples or as slots with completeness. Files are read one hour
//! at a time, so memory does not grow with the length of the range.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::Journal;
use crate::journal::aggregate::Aggregate;
use crate::journal::damage::Damage;
use crate::journal::query::HistoryQuery;
use crate::journal::sealed::{DayFile, QUARTER_MS};
use crate::journal::segment::{JournalError, Offsets, SegmentReader};
use crate::journal::walk::{VisitMode, Visited, may_hold, point_index};
use crate::lock::lock;
use crate::model::reading::Sample;
use crate::model::stream::Stream;
use crate::model::value::Numeric;

/// One sample with its own time, milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// When it was received.
    pub at_ms: i64,
    pub sample: Sample,
    /// Whether samples beside it were removed by downsampling.
    pub downsampled: bool,
}

/// One interval of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slot {
    /// Start of the interval, milliseconds since 1970.
    pub start_ms: i64,
    pub aggregate: Aggregate,
    /// How many samples were due at the polling interval of the last sample in this slot (of earlier ones if it is empty); 0 if the source
    /// is irregular.
    pub expected: u32,
    /// Whether data in this interval may exist that cannot be read.
    pub damaged: bool,
    /// Whether samples were removed by downsampling. Sum, extremes and completeness of whole quarter hours still cover all samples.
    pub downsampled: bool,
}

impl Slot {
    /// Good samples divided by due ones, 0 to 1; divided by all samples if the source is irregular.
    pub fn completeness(&self) -> f64 {
        let due = if self.expected > 0 { self.expected } else { self.aggregate.all };
        if due == 0 { 0.0 } else { (f64::from(self.aggregate.good) / f64::from(due)).min(1.0) }
    }

    /// Mean of the good values.
    pub fn mean(&self) -> Option<f64> {
        (self.aggregate.good > 0).then(|| self.aggregate.sum.as_f64() / f64::from(self.aggregate.good))
    }
}

/// An answer in slots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    pub slots: Vec<Slot>,
    /// Data in the range that could not be read.
    pub damage: Vec<Damage>,
}

/// Number of newest segments in which names of devices and points are looked up.
const NAMES_FROM: usize = 48;

/// Most slots in one answer.
pub const SLOTS_MAX: usize = 200_000;

impl Journal {
    /// Calls `each` with every sample, in order of segments, until it returns `false`. Returns what could not be read.
    ///
    /// # Errors
    /// A file cannot be read for another reason than damage.
    pub fn samples(
        &self,
        query: &HistoryQuery,
        mut each: impl FnMut(HistoryRow) -> bool,
    ) -> Result<Vec<Damage>, JournalError> {
        let (mut go_on, mut damage) = (true, Vec::new());
        self.walk(query, VisitMode::Samples, &mut damage, &mut |met, from| {
            if let Visited::Row(at_ms, sample) = met {
                go_on = go_on && each(HistoryRow { at_ms, sample: sample.cloned(), downsampled: from.downsampled });
            }
            go_on
        })?;
        Ok(damage)
    }

    /// The history in slots of `every_ms` milliseconds, aligned to 1970 UTC, empty slots included.
    ///
    /// # Errors
    /// As [`Journal::samples`].
    pub fn slots(&self, query: &HistoryQuery, every_ms: i64) -> Result<Slots, JournalError> {
        let every_ms = every_ms.max(1);
        let first = query.from_ms.div_euclid(every_ms) * every_ms;
        let count = usize::try_from((query.to_ms - first).max(0) / every_ms + 1).unwrap_or(0).min(SLOTS_MAX);
        let starts = (0..count).map(|i| first + i64::try_from(i).unwrap_or(0) * every_ms);
        let mut bounds: Vec<i64> = starts.filter(|s| *s < query.to_ms).collect();
        bounds.extend(bounds.last().map(|last| last + every_ms));
        self.slots_between(query, &bounds)
    }

    /// The history in slots between consecutive `bounds`, which must rise.
    ///
    /// # Errors
    /// As [`Journal::samples`].
    pub fn slots_between(&self, query: &HistoryQuery, bounds: &[i64]) -> Result<Slots, JournalError> {
        let spans: Vec<(i64, i64)> = bounds.windows(2).take(SLOTS_MAX).map(|w| (w[0], w[1])).collect();
        let mut out: Vec<Slot> =
            spans.iter().map(|(start_ms, _)| Slot { start_ms: *start_ms, ..Slot::default() }).collect();
        let index = |ms: i64| spans.partition_point(|(start, _)| *start <= ms).wrapping_sub(1);
        let mut cadences = vec![0u64; out.len()];
        let mut damage = Vec::new();
        let mode = if bounds.iter().all(|b| b % QUARTER_MS == 0) { VisitMode::Quarters } else { VisitMode::Slots };
        self.walk(query, mode, &mut damage, &mut |met, from| {
            let at = match met {
                Visited::Row(at, _) | Visited::Quarter(at, _) => index(at),
            };
            let (Some(slot), Some(cadence)) = (out.get_mut(at), cadences.get_mut(at)) else { return true };
            match met {
                Visited::Row(at_ms, sample) => slot.aggregate.add(at_ms, sample.ok().and_then(Numeric::of)),
                Visited::Quarter(_, quarter) => slot.aggregate.merge(quarter),
            }
            slot.downsampled |= from.downsampled;
            *cadence = from.every_ms;
            true
        })?;
        self.count_expected(query, &spans, &cadences, &mut out)?;
        for (slot, (start, end)) in out.iter_mut().zip(&spans) {
            slot.damaged = damage.iter().any(|d| d.overlaps(*start, *end));
        }
        Ok(Slots { slots: out, damage })
    }

    /// Sets how many samples were due in each slot. Nothing was due before the first sample of the point, since every cycle of a configured
    /// point leaves a sample, good or bad. In a gap after that the interval before the gap applies, or else the first one after it.
    fn count_expected(
        &self,
        query: &HistoryQuery,
        spans: &[(i64, i64)],
        cadences: &[u64],
        out: &mut [Slot],
    ) -> Result<(), JournalError> {
        let mut cadence = cadences.iter().copied().find(|c| *c > 0).unwrap_or(0);
        let is_complete =
            |s: &Slot, (start, end): (i64, i64)| u64::from(s.aggregate.all) * cadence >= (end - start).unsigned_abs();
        let began_ms = match (out.first(), spans.first()) {
            (Some(first), Some(span)) if !is_complete(first, *span) => self.first_ms(query)?.unwrap_or(query.to_ms),
            _ => query.from_ms,
        };
        for ((slot, own), (start, end)) in out.iter_mut().zip(cadences).zip(spans) {
            if slot.aggregate.all > 0 {
                cadence = *own;
            }
            if cadence > 0 {
                let (from, to) = ((*start).max(query.from_ms), (*end).min(query.to_ms));
                let passed = (to - from.max(began_ms)).max(0).unsigned_abs();
                // Counted from the first sample, that one included.
                let due = if began_ms > from { passed.div_ceil(cadence) } else { passed / cadence };
                let is_configured = *end > began_ms;
                slot.expected = u32::try_from(due).unwrap_or(u32::MAX).max(u32::from(is_configured));
            }
        }
        Ok(())
    }

    /// Devices and their points in memory and in the newest segments.
    pub fn names(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut take = |stream: &Stream| {
            if stream.source.alarm_rule().is_none() {
                let points = out.entry(stream.device.to_string()).or_default();
                points.extend(stream.points.iter().map(|p| p.name.to_string()));
            }
        };
        self.recent().iter().for_each(|entry| take(&entry.reading.stream));
        let catalog = lock(&self.shared.catalog).clone();
        let mut files: BTreeSet<&std::path::Path> = BTreeSet::new();
        for place in catalog.values().rev().take(NAMES_FROM) {
            if let Some(Ok(reader)) = place.raw.as_deref().map(|path| SegmentReader::open(path, &Offsets::new())) {
                reader.streams().for_each(|stream| take(stream));
            }
            files.extend(place.sealed.iter().map(std::path::PathBuf::as_path));
        }
        for (streams, _) in files.into_iter().filter_map(|path| DayFile::open(path).ok()?.streams(None).ok()) {
            streams.values().for_each(|stream| take(stream));
        }
        out
    }

    /// First and last numbers of segments that may hold readings of the range, in order.
    pub fn segments_between(&self, from_ms: i64, to_ms: i64) -> Vec<(u64, u64)> {
        let catalog = lock(&self.shared.catalog).clone();
        let newest = self.newest_seq();
        let mut found: BTreeSet<u64> =
            catalog.iter().filter(|(_, place)| place.raw.is_some()).map(|(first, _)| *first).collect();
        let mut files: BTreeMap<&std::path::Path, Vec<u64>> = BTreeMap::new();
        for (first, place) in &catalog {
            place.sealed.iter().for_each(|path| files.entry(path).or_default().push(*first));
        }
        for (path, segments) in files.into_iter().filter(|(path, _)| may_hold(path, from_ms, to_ms)) {
            let filter = "dated = 1 AND first_ms < ?2 AND last_ms >= ?1";
            match DayFile::open(path).and_then(|file| file.slices(filter, &[from_ms, to_ms])) {
                Ok(slices) => found.extend(slices.iter().map(|slice| slice.segment)),
                Err(_) => found.extend(segments),
            }
        }
        let last = |first: u64| catalog.get(&first).map(|place| (first, place.last_seq.unwrap_or(newest)));
        found.into_iter().filter_map(last).collect()
    }

    /// Number of undated readings of a point, from boots in which the clock was never trusted. They are in no answer and are not written to
    /// time-series stores.
    pub fn undated(&self, query: &HistoryQuery) -> u64 {
        let is_ours = |stream: &Stream| *stream.device == *query.device && point_index(stream, &query.point).is_some();
        let catalog = lock(&self.shared.catalog).clone();
        let offsets = lock(&self.shared.offsets).clone();
        let files: BTreeSet<&std::path::PathBuf> = catalog.values().flat_map(|place| &place.sealed).collect();
        let mut count = 0;
        for path in files.into_iter().filter(|path| path.to_string_lossy().contains("-undated-")) {
            let Ok(file) = DayFile::open(path) else { continue };
            let streams = file.streams(Some(&query.device)).map(|(streams, _)| streams).unwrap_or_default();
            for slice in file.slices("dated = 0", &[]).unwrap_or_default() {
                let point = streams.get(&slice.stream).and_then(|stream| point_index(stream, &query.point));
                count += if point.is_some_and(|p| slice.points.contains(&p)) { slice.n as u64 } else { 0 };
            }
        }
        for path in catalog.values().filter_map(|place| place.raw.as_ref()) {
            let Ok(mut reader) = SegmentReader::open(path, &offsets) else { continue };
            if reader.boots().iter().any(|boot| boot.offset_ms.is_none()) {
                let counted = reader.scan(is_ours, |_, reading| count += u64::from(!reading.at.trusted));
                let _damage_is_said_elsewhere = counted;
            }
        }
        count
    }

    /// Time of the first retained sample before the end of the query's range.
    fn first_ms(&self, query: &HistoryQuery) -> Result<Option<i64>, JournalError> {
        let mut first = None;
        let all = HistoryQuery { from_ms: 0, ..query.clone() };
        self.walk(&all, VisitMode::Samples, &mut Vec::new(), &mut |met, _| {
            let (Visited::Row(at_ms, _) | Visited::Quarter(at_ms, _)) = met;
            first = Some(at_ms);
            false
        })?;
        Ok(first)
    }
}
