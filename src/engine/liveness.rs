//! Liveness of devices: each is online, degraded, offline or unknown, by the readings of its sources and by their absence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::model::directory::Directory;
use crate::model::effects::Effects;
use crate::model::latest::stale_after;
use crate::model::point::{PointKind, PointMeta};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::room::{Board, Input, Reconfiguration, Room, Start};
use crate::model::stream::{Source, Stream};
use crate::model::time::{MonotonicMillis, Now, UnixMillis};
use crate::model::value::Value;

/// A device's state, as in its retained topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// No reading has arrived yet.
    #[default]
    Unknown,
    /// Every sample is good, or bad by the device's own statement (sentinels).
    Online,
    /// Some samples or some sources are bad.
    Degraded,
    /// No source gives a good sample.
    Offline,
}

/// A change of a device's state.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceStateChange {
    pub device: Arc<str>,
    pub state: DeviceState,
    /// Cause if it is not online.
    pub cause: Option<Cause>,
    /// Date of the change, if the date is trusted.
    pub since: Option<UnixMillis>,
}

#[derive(Debug)]
struct LivenessSource {
    every_ms: u64,
    last: MonotonicMillis,
    state: DeviceState,
    cause: Option<Cause>,
}

#[derive(Debug, Default)]
pub struct Liveness {
    sources: BTreeMap<Arc<str>, BTreeMap<Source, LivenessSource>>,
    reported: BTreeMap<Arc<str>, (DeviceState, Option<Cause>)>,
    /// Streams of the state readings, created on first use.
    streams: BTreeMap<Arc<str>, Arc<Stream>>,
    /// When every state is next repeated.
    next_repeat: MonotonicMillis,
    /// Lower bound of the next deadline of a source; `None`: no source has one. It may be too early, never too late.
    due: Option<MonotonicMillis>,
}

impl DeviceState {
    /// The number used in history and in the time-series store.
    pub const fn code(self) -> i64 {
        match self {
            DeviceState::Unknown => 0,
            DeviceState::Online => 1,
            DeviceState::Degraded => 2,
            DeviceState::Offline => 3,
        }
    }
}

impl Liveness {
    /// Takes in a reading; returns the change of its device's state, if any.
    pub fn reading(&mut self, reading: &Reading) -> Option<DeviceStateChange> {
        if reading.stream.every_ms == 0 {
            return None;
        }
        let (state, why) = assess(reading);
        let device = Arc::clone(&reading.stream.device);
        let source = LivenessSource { every_ms: reading.stream.every_ms, last: reading.at.mono, state, cause: why };
        if source.state != DeviceState::Offline {
            let deadline = source.deadline();
            self.due = Some(self.due.map_or(deadline, |due| due.min(deadline)));
        }
        self.sources.entry(Arc::clone(&device)).or_default().insert(reading.stream.source.clone(), source);
        let since = reading.at.trusted.then_some(reading.at.wall);
        self.update_state(&device, since)
    }

    /// Marks sources without timely readings as stale; returns the changes that result.
    pub fn tick(&mut self, now: Now) -> Vec<DeviceStateChange> {
        if self.due.is_none_or(|due| now.mono < due) {
            return Vec::new();
        }
        let mut late = Vec::new();
        for (device, sources) in &mut self.sources {
            for source in sources.values_mut() {
                if source.state != DeviceState::Offline && now.mono >= source.deadline() {
                    (source.state, source.cause) = (DeviceState::Offline, Some(Cause::Stale));
                    late.push(Arc::clone(device));
                }
            }
        }
        let waiting = self.sources.values().flat_map(BTreeMap::values).filter(|s| s.state != DeviceState::Offline);
        self.due = waiting.map(LivenessSource::deadline).min();
        late.dedup();
        let since = now.wall_trusted.then_some(now.wall);
        late.iter().filter_map(|device| self.update_state(device, since)).collect()
    }

    /// When the next source may become stale or the states are repeated.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        let repeat = (!self.reported.is_empty()).then_some(self.next_repeat);
        self.due.into_iter().chain(repeat).min()
    }

    /// A change of state as a reading of the device: `state` ([`DeviceState::code`]), `why` ([`Cause::code`], 0 for none), `online`.
    pub fn as_reading(&mut self, change: &DeviceStateChange, now: Now) -> Reading {
        self.reading_of(&Arc::clone(&change.device), change.state, change.cause, now)
    }

    /// Repeats every state each `every_ms`, changed or not, so that a reader can tell how old the last one may be.
    pub fn repeat_states(&mut self, now: Now, every_ms: u64) -> Vec<Reading> {
        if now.mono < self.next_repeat || self.reported.is_empty() {
            return Vec::new();
        }
        self.next_repeat = now.mono.plus(every_ms);
        let states: Vec<_> =
            self.reported.iter().map(|(device, (state, why))| (Arc::clone(device), *state, *why)).collect();
        states.into_iter().map(|(device, state, why)| self.reading_of(&device, state, why, now)).collect()
    }

    fn reading_of(&mut self, device: &Arc<str>, state: DeviceState, why: Option<Cause>, now: Now) -> Reading {
        let stream = self.streams.entry(Arc::clone(device)).or_insert_with(|| stream_of(device));
        let at = Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted };
        let why = why.map_or(0, |cause| i64::from(cause.code()));
        let online = Value::Bool(state == DeviceState::Online);
        let samples = [Value::Code(state.code()), Value::Code(why), online].map(|v| Some(Ok(v))).to_vec();
        Reading { stream: Arc::clone(stream), at, body: Body::Samples { samples, parts: Vec::new() } }
    }

    /// Drops sources that are not in `streams`, those of the configuration.
    pub fn retain_sources(&mut self, streams: &BTreeSet<(Arc<str>, Source)>) {
        for (device, sources) in &mut self.sources {
            sources.retain(|source, _| streams.contains(&(Arc::clone(device), source.clone())));
        }
        self.sources.retain(|_, sources| !sources.is_empty());
        self.reported.retain(|device, _| self.sources.contains_key(device));
        self.streams.retain(|device, _| self.sources.contains_key(device));
    }

    fn update_state(&mut self, device: &Arc<str>, since: Option<UnixMillis>) -> Option<DeviceStateChange> {
        let sources = self.sources.get(device)?;
        let all = |state: DeviceState| sources.values().all(|s| s.state == state);
        let state = if all(DeviceState::Online) {
            DeviceState::Online
        } else if all(DeviceState::Offline) {
            DeviceState::Offline
        } else {
            DeviceState::Degraded
        };
        let why = sources.values().filter(|s| s.state != DeviceState::Online).find_map(|s| s.cause);
        let before = self.reported.insert(Arc::clone(device), (state, why));
        (before != Some((state, why))).then(|| DeviceStateChange {
            device: Arc::clone(device),
            state,
            cause: why,
            since,
        })
    }
}

/// Device states as a room of the engine.
#[derive(Debug)]
pub struct LivenessRoom {
    liveness: Liveness,
    plan: LivenessPlan,
    directory: Arc<Directory>,
}

/// What the room is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivenessPlan {
    /// How often every state is repeated, changed or not; years are simulated with less.
    pub repeat_every_ms: u64,
}

impl Default for LivenessPlan {
    fn default() -> Self {
        Self { repeat_every_ms: 60_000 }
    }
}

impl Room for LivenessRoom {
    const ID: &'static str = "liveness";
    type Plan = LivenessPlan;

    fn build(plan: &LivenessPlan, start: Start<'_>, _unreadable: &mut Vec<String>) -> Self {
        Self { liveness: Liveness::default(), plan: plan.clone(), directory: Arc::clone(start.directory) }
    }

    fn reconfigure(&mut self, plan: &LivenessPlan, change: Reconfiguration<'_>, _: &mut Board, _: &mut Effects) {
        (self.plan, self.directory) = (plan.clone(), Arc::clone(change.directory));
        self.liveness.retain_sources(change.streams);
    }

    fn step(&mut self, now: Now, input: Input<'_>, board: &mut Board, effects: &mut Effects) {
        let mut changes = Vec::new();
        if let Input::Reading(reading) = input {
            changes.extend(self.liveness.reading(reading));
        }
        changes.extend(self.liveness.tick(now));
        for change in &changes {
            board.readings.push(self.liveness.as_reading(change, now));
            effects.states.extend(self.retained(change));
        }
        board.readings.extend(self.liveness.repeat_states(now, self.plan.repeat_every_ms));
    }

    fn next_wake(&self) -> Option<MonotonicMillis> {
        self.liveness.next_wake()
    }
}

impl LivenessRoom {
    /// A device's retained status; none of what is no device.
    fn retained(&self, change: &DeviceStateChange) -> Option<(String, String)> {
        let device = self.directory.devices.get(&*change.device)?;
        let status = StatusView {
            state: change.state,
            since: change.since.map(UnixMillis::rfc3339),
            why: change.cause.map(Cause::word),
            class: &device.class,
            area: &device.area,
            zh: &device.name.zh,
            en: &device.name.en,
        };
        Some((format!("{}/status", change.device), serde_json::to_string(&status).ok()?))
    }
}

/// The payload of the retained topic `{device}/status`.
#[derive(Debug, Serialize)]
struct StatusView<'a> {
    state: DeviceState,
    since: Option<String>,
    why: Option<&'static str>,
    class: &'a str,
    area: &'a str,
    zh: &'a str,
    en: &'a str,
}

fn stream_of(device: &Arc<str>) -> Arc<Stream> {
    let code = |name| PointMeta::state(name, PointKind::Code);
    let points = vec![code("state"), code("why"), PointMeta::state("online", PointKind::Bool)];
    // Interval 0 (irregular), because changes come between repetitions.
    Stream::new(Arc::clone(device), Source::Status, 0, points)
}

impl LivenessSource {
    fn deadline(&self) -> MonotonicMillis {
        stale_after(self.last, self.every_ms)
    }
}

fn assess(reading: &Reading) -> (DeviceState, Option<Cause>) {
    match &reading.body {
        Body::Failed(cause) => (DeviceState::Offline, Some(*cause)),
        Body::Samples { samples, .. } => {
            let first_bad = samples.iter().flatten().find_map(|s| s.as_ref().err().copied());
            // A sentinel (such as "sensor not fitted") is a normal state of the device; a failed read is not.
            let failing = samples.iter().flatten().filter_map(|s| s.as_ref().err()).any(|c| !c.is_sentinel());
            let (good, _) = reading.good_of_all();
            match (good, failing) {
                (0, true) => (DeviceState::Offline, first_bad),
                (_, true) => (DeviceState::Degraded, first_bad),
                (_, false) => (DeviceState::Online, None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reading::{Sample, Stamp};
    use crate::model::value::Value;

    fn reading(ms: u64, samples: Option<[Sample; 2]>) -> Reading {
        let points = vec![PointMeta::state("a", PointKind::Bool), PointMeta::state("b", PointKind::Bool)];
        let stream = Stream::new("d", "u/fast".into(), 1_000, points);
        let at = Stamp { mono: MonotonicMillis(ms), wall: UnixMillis(7), trusted: true };
        let body = match samples {
            Some(s) => Body::Samples { samples: s.into_iter().map(Some).collect(), parts: vec![] },
            None => Body::Failed(Cause::Timeout),
        };
        Reading { stream, at, body }
    }

    #[test]
    fn a_device_is_online_degraded_offline_and_stale() {
        let mut p = Liveness::default();
        let good = || Ok(Value::Bool(true));
        let mut state = |r| p.reading(&r).map(|c| (c.state, c.cause));
        assert_eq!(state(reading(0, Some([good(), good()]))), Some((DeviceState::Online, None)));
        assert_eq!(state(reading(1_000, Some([good(), good()]))), None, "told once");
        assert_eq!(state(reading(2_000, Some([good(), Err(Cause::NotFitted)]))), None, "not fitted is normal");
        let degraded = Some((DeviceState::Degraded, Some(Cause::IllegalAddress)));
        assert_eq!(state(reading(3_000, Some([good(), Err(Cause::IllegalAddress)]))), degraded);
        assert_eq!(state(reading(4_000, None)), Some((DeviceState::Offline, Some(Cause::Timeout))));
        assert_eq!(state(reading(5_000, Some([good(), good()]))), Some((DeviceState::Online, None)));
        let now = |ms| Now { mono: MonotonicMillis(ms), wall: UnixMillis(0), wall_trusted: false };
        assert_eq!(p.next_wake(), Some(MonotonicMillis(0)), "every state is said at once");
        let said = p.repeat_states(now(5_000), 60_000);
        assert_eq!(
            (said.len(), &said[0].stream.source, said[0].sample(0)),
            (1, &Source::Status, Some(Ok(&Value::Code(1))))
        );
        assert!(p.repeat_states(now(64_999), 60_000).is_empty());
        assert_eq!(p.next_wake(), Some(MonotonicMillis(8_000)), "too early, never too late");
        assert!(p.tick(now(12_999)).is_empty());
        assert_eq!(p.next_wake(), Some(MonotonicMillis(13_000)));
        let stale = p.tick(now(13_000));
        assert_eq!((stale[0].state, stale[0].cause, stale[0].since), (DeviceState::Offline, Some(Cause::Stale), None));
        let reading = p.as_reading(&stale[0], now(13_000));
        assert_eq!([reading.sample(0), reading.sample(1)], [Some(Ok(&Value::Code(3))), Some(Ok(&Value::Code(61)))]);
        assert_eq!(p.next_wake(), Some(MonotonicMillis(65_000)));
    }
}
