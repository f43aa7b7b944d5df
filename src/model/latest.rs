//! The newest sample of every point that rules read, in numbered slots, with detection of stale samples.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::quality::Cause;
use crate::model::reading::{Reading, Sample};
use crate::model::stream::{STATUS, Source, Stream, StreamMap};
use crate::model::time::MonotonicMillis;
use crate::model::value::Value;

/// The newest sample of a point.
#[derive(Clone, Debug)]
pub struct LatestSample {
    /// A value, or the cause why there is none.
    pub sample: Sample,
    /// Receipt of the reading that brought it.
    pub at: MonotonicMillis,
    /// Nominal milliseconds between samples; 0 if irregular.
    pub every_ms: u64,
    /// Whether its becoming stale has been reported.
    stale_reported: bool,
}

/// A sample is stale after this many intervals and this many milliseconds more.
const STALE_INTERVALS: u64 = 3;
const STALE_MS: u64 = 5_000;

/// When a sample received at `at` becomes stale, at a nominal interval of `every_ms`.
pub fn stale_after(at: MonotonicMillis, every_ms: u64) -> MonotonicMillis {
    at.plus(every_ms * STALE_INTERVALS + STALE_MS)
}

impl LatestSample {
    /// When it becomes stale; `None` if its source is irregular.
    pub fn stale_at(&self) -> Option<MonotonicMillis> {
        (self.every_ms > 0).then(|| stale_after(self.at, self.every_ms))
    }

    fn is_same(&self, got: Result<&Value, Cause>, every_ms: u64) -> bool {
        self.every_ms == every_ms && self.sample.as_ref().map_err(|cause| *cause) == got
    }

    /// The value at `now`.
    ///
    /// # Errors
    /// The sample is bad, or stale.
    pub fn value_at(&self, now: MonotonicMillis) -> Result<&Value, Cause> {
        match self.stale_at() {
            Some(at) if now >= at => Err(Cause::Stale),
            _ => self.sample.as_ref().map_err(|cause| *cause),
        }
    }
}

/// Capacity of the cache of routes, in streams.
const ROUTES_MAX: usize = 8_192;

/// The source of a stream, and pairs of sample number and slot.
type Route = (usize, Vec<(usize, usize)>);

/// A source of samples: its slots become stale together.
#[derive(Clone, Debug, Default)]
struct SourceAge {
    slots: Vec<usize>,
    /// Lower bound of the moment at which one of them becomes stale.
    due: Option<MonotonicMillis>,
}

/// The table of newest samples. Only points that have a slot are kept.
#[derive(Clone, Debug)]
pub struct Latest {
    slots: BTreeMap<Arc<str>, BTreeMap<Arc<str>, usize>>,
    seen: Vec<Option<LatestSample>>,
    routes: StreamMap<Arc<Route>>,
    /// By device and source.
    by_name: HashMap<(Arc<str>, Source), usize>,
    sources: Vec<SourceAge>,
    due: BTreeSet<(MonotonicMillis, usize)>,
}

impl Default for Latest {
    fn default() -> Self {
        Self {
            slots: BTreeMap::new(),
            seen: Vec::new(),
            routes: StreamMap::new(ROUTES_MAX),
            by_name: HashMap::new(),
            sources: Vec::new(),
            due: BTreeSet::new(),
        }
    }
}

/// The name under which rules read a point of a device's own state ([`STATUS`]): `status/state`.
pub fn status_point(point: &str) -> String {
    format!("{STATUS}/{point}")
}

impl Latest {
    /// The slot of a device's point; created if there is none.
    pub fn slot(&mut self, device: &str, point: &str) -> usize {
        let next = self.seen.len();
        let slot = *self.slots.entry(device.into()).or_default().entry(point.into()).or_insert(next);
        if slot == next {
            self.seen.push(None);
            self.routes.clear();
        }
        slot
    }

    /// Number of slots; they are numbered from 0.
    pub fn slots(&self) -> usize {
        self.seen.len()
    }

    /// The slot here of the point that has `slot` in another table.
    pub fn corresponding_slot(&self, other: &Latest, slot: usize) -> Option<usize> {
        let of = |(device, points): (&Arc<str>, &BTreeMap<Arc<str>, usize>)| {
            let (point, _) = points.iter().find(|(_, s)| **s == slot)?;
            self.slots.get(device)?.get(point).copied()
        };
        other.slots.iter().find_map(of)
    }

    /// Takes in a reading. Calls `each` for each slot that got a sample, with whether the sample equals the one before and that one was not
    /// stale.
    pub fn take(&mut self, reading: &Reading, now: MonotonicMillis, mut each: impl FnMut(usize, bool)) {
        let route = self.route(&reading.stream);
        let (at, every_ms) = (reading.at.mono, reading.stream.every_ms);
        let mut due: Option<MonotonicMillis> = None;
        for &(sample, slot) in &route.1 {
            let Some(got) = reading.sample(sample) else { continue };
            match &mut self.seen[slot] {
                Some(was) if was.is_same(got, every_ms) && was.at <= at && was.stale_at().is_none_or(|s| now < s) => {
                    was.at = at;
                    due = was.stale_at();
                    each(slot, true);
                }
                seen => {
                    let new = LatestSample { sample: got.cloned(), at, every_ms, stale_reported: false };
                    due = new.stale_at();
                    *seen = Some(new);
                    each(slot, false);
                }
            }
        }
        self.schedule_check(route.0, due);
    }

    /// Schedules a check of a source for stale samples, unless an earlier one is scheduled.
    fn schedule_check(&mut self, source: usize, at: Option<MonotonicMillis>) {
        let Some(at) = at else { return };
        let due = &mut self.sources[source].due;
        if due.is_some_and(|before| before <= at) {
            return;
        }
        if let Some(before) = due.replace(at) {
            self.due.remove(&(before, source));
        }
        self.due.insert((at, source));
    }

    /// When a sample may next become stale.
    pub fn next_stale(&self) -> Option<MonotonicMillis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Calls with each slot whose sample has become stale since the last call.
    pub fn stale(&mut self, now: MonotonicMillis, mut each: impl FnMut(usize)) {
        while let Some(&(at, id)) = self.due.first() {
            if at > now {
                break;
            }
            self.due.remove(&(at, id));
            self.sources[id].due = None;
            let mut next: Option<MonotonicMillis> = None;
            for slot in &self.sources[id].slots {
                let Some(seen) = self.seen[*slot].as_mut().filter(|s| !s.stale_reported) else { continue };
                let Some(at) = seen.stale_at() else { continue };
                if at <= now {
                    seen.stale_reported = true;
                    each(*slot);
                } else {
                    next = Some(next.map_or(at, |n| n.min(at)));
                }
            }
            self.schedule_check(id, next);
        }
    }

    /// The newest sample of a slot; `None` if there was none.
    pub fn get(&self, slot: usize) -> Option<&LatestSample> {
        self.seen.get(slot)?.as_ref()
    }

    /// Takes over the samples of another table, for points that have slots in both.
    pub fn inherit(&mut self, before: &Latest) {
        let mut moved: HashMap<usize, usize> = HashMap::new();
        for (device, points) in &self.slots {
            let Some(old) = before.slots.get(device) else { continue };
            for (point, slot) in points {
                if let Some(was) = old.get(point) {
                    self.seen[*slot].clone_from(&before.seen[*was]);
                    moved.insert(*was, *slot);
                }
            }
        }
        for (name, id) in &before.by_name {
            let was = &before.sources[*id];
            let own = self.source(name.clone());
            self.sources[own].slots = was.slots.iter().filter_map(|slot| moved.get(slot)).copied().collect();
            self.schedule_check(own, was.due);
        }
    }

    fn source(&mut self, name: (Arc<str>, Source)) -> usize {
        let next = self.sources.len();
        let id = *self.by_name.entry(name).or_insert(next);
        if id == next {
            self.sources.push(SourceAge::default());
        }
        id
    }

    fn route(&mut self, stream: &Arc<Stream>) -> Arc<Route> {
        if let Some(route) = self.routes.get(stream) {
            return Arc::clone(route);
        }
        let mut to: Vec<(usize, usize)> = Vec::new();
        if let Some(points) = self.slots.get(&stream.device) {
            for (i, point) in stream.points.iter().enumerate() {
                let slot = if stream.source == Source::Status {
                    points.get(status_point(&point.name).as_str())
                } else {
                    points.get(&point.name)
                };
                to.extend(slot.map(|slot| (i, *slot)));
            }
        }
        let id = self.source((Arc::clone(&stream.device), stream.source.clone()));
        let slots = &mut self.sources[id].slots;
        for (_, slot) in &to {
            if !slots.contains(slot) {
                slots.push(*slot);
            }
        }
        let route = Arc::new((id, to));
        self.routes.insert(stream, Arc::clone(&route));
        route
    }
}
