//! The newest sample of every point that rules look at, and which of them a reading brings.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::point::{STATUS, Stream};
use crate::model::quality::Cause;
use crate::model::reading::{Reading, Sample};
use crate::model::time::Mono;
use crate::model::value::Value;

/// A sample and its age.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The sample.
    pub sample: Sample,
    /// When it came.
    pub at: Mono,
    /// Milliseconds between samples when all is well; 0 if irregular.
    pub every_ms: u64,
}

/// After so many intervals, and a little more, a sample is stale.
const STALE_INTERVALS: u64 = 3;
const STALE_MS: u64 = 5_000;

impl Seen {
    /// When it will be too old; never if its source is irregular.
    pub fn stale_at(&self) -> Option<Mono> {
        (self.every_ms > 0).then(|| self.at.plus(self.every_ms * STALE_INTERVALS + STALE_MS))
    }

    /// The value, or why there is none now.
    ///
    /// # Errors
    /// The sample is bad, or too old.
    pub fn now(&self, now: Mono) -> Result<&Value, Cause> {
        match self.stale_at() {
            Some(at) if now >= at => Err(Cause::Stale),
            _ => self.sample.as_ref().map_err(|cause| *cause),
        }
    }
}

/// Streams whose ways are remembered; beyond that they are looked up anew.
const ROUTES_MAX: usize = 8_192;

/// Sample numbers of a stream and the slots that they go to.
type Route = Vec<(usize, usize)>;

/// The newest samples.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    slots: BTreeMap<Arc<str>, BTreeMap<Arc<str>, usize>>,
    seen: Vec<Option<Seen>>,
    /// By the stream's address; the stream is kept, so that the address stays its own.
    routes: HashMap<usize, (Arc<Stream>, Arc<Route>)>,
}

/// How a rule names a point of a device's own state ([`STATUS`]): `status/state`.
pub fn of_status(point: &str) -> String {
    format!("{STATUS}/{point}")
}

impl Latest {
    /// The slot of a point of a device.
    pub fn slot(&mut self, device: &str, point: &str) -> usize {
        let next = self.seen.len();
        let slot = *self.slots.entry(device.into()).or_default().entry(point.into()).or_insert(next);
        if slot == next {
            self.seen.push(None);
            self.routes.clear();
        }
        slot
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nobody looks at anything.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Takes a reading in; `changed` is called with each slot that it brought something for.
    pub fn take(&mut self, reading: &Reading, mut changed: impl FnMut(usize)) {
        let route = self.route(&reading.stream);
        for &(sample, slot) in route.iter() {
            if let Some(got) = reading.sample(sample) {
                let every_ms = reading.stream.every_ms;
                self.seen[slot] = Some(Seen { sample: got.cloned(), at: reading.at.mono, every_ms });
                changed(slot);
            }
        }
    }

    /// What was last seen.
    pub fn get(&self, slot: usize) -> Option<&Seen> {
        self.seen.get(slot)?.as_ref()
    }

    /// Takes over what another table had seen.
    pub fn inherit(&mut self, before: &Latest) {
        for (device, points) in &self.slots {
            let Some(old) = before.slots.get(device) else { continue };
            for (point, slot) in points {
                if let Some(was) = old.get(point) {
                    self.seen[*slot].clone_from(&before.seen[*was]);
                }
            }
        }
    }

    fn route(&mut self, stream: &Arc<Stream>) -> Arc<Route> {
        let key = Arc::as_ptr(stream) as usize;
        if let Some((_, route)) = self.routes.get(&key) {
            return Arc::clone(route);
        }
        let mut route = Route::new();
        if let Some(points) = self.slots.get(&stream.device) {
            for (i, point) in stream.points.iter().enumerate() {
                let slot = if *stream.source == *STATUS {
                    points.get(of_status(&point.name).as_str())
                } else {
                    points.get(&point.name)
                };
                route.extend(slot.map(|slot| (i, *slot)));
            }
        }
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let route = Arc::new(route);
        self.routes.insert(key, (Arc::clone(stream), Arc::clone(&route)));
        route
    }
}
