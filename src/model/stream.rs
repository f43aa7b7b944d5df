//! Streams: the readings of one device from one source, always with the same points in the same order.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::model::point::PointMeta;

/// Where the readings of a stream come from. Its text is stored with the history and names the measurement of decided streams in a
/// time-series store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    /// A poll group of a unit; text `unit/group`.
    PollGroup {
        /// Id of the unit; none of [`SOURCE_WORDS`].
        unit: Arc<str>,
        /// Name of the poll group.
        group: Arc<str>,
    },
    /// The rules of derived points; text `derived`.
    Derived,
    /// The gateway's metrics on itself; text `gateway`.
    Gateway,
    /// The states of devices, which the engine decides; text `status`.
    Status,
    /// The counts of alarms, every minute; text `alarms`.
    Alarms,
    /// The transitions of the alarms of a rule; text `alarm/{rule}`.
    Alarm(Arc<str>),
    /// Consumption of a metering point in closed intervals, dated by their starts; text `energy`.
    Energy,
    /// Demand of a metering point with a contract, in the same way; text `demand`.
    Demand,
    /// The flood level, by the device `flood`; text `flood`.
    Flood,
    /// What the flood rules compute of a sump or a rain gauge: inflow, capacity of pumps, rain sums; text `water`.
    Water,
    /// A finding of a rule room, which is not journaled; text `finding/{name}`.
    Finding(Arc<str>),
    /// Any other text: history that `replay` puts together, or files of another version.
    Other(Arc<str>),
}

/// The source of device states as a text, and the measurement of that name in a time-series store.
pub const STATUS: &str = "status";

/// Words before the `/` of a source's text that are no ids of units.
pub const SOURCE_WORDS: [&str; 2] = ["alarm", "finding"];

impl Source {
    /// Whether it carries decisions instead of measurements; those are retained topics at a broker.
    pub const fn is_decided(&self) -> bool {
        self.decided_measurement().is_some()
    }

    /// The measurement of decisions in a time-series store; `None` for measurements, which are stored by the class of their device.
    pub const fn decided_measurement(&self) -> Option<&'static str> {
        match self {
            Source::Status => Some(STATUS),
            Source::Alarms => Some("alarms"),
            Source::Alarm(_) => Some("alarm"),
            Source::Energy => Some("energy"),
            Source::Demand => Some("demand"),
            Source::Flood => Some("flood"),
            _ => None,
        }
    }

    /// The alarm rule whose transitions it carries, if it does.
    pub fn alarm_rule(&self) -> Option<&str> {
        match self {
            Source::Alarm(rule) => Some(rule),
            _ => None,
        }
    }
}

/// The text that the history stores.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::PollGroup { unit, group } => write!(f, "{unit}/{group}"),
            Source::Derived => f.write_str("derived"),
            Source::Gateway => f.write_str("gateway"),
            Source::Status => f.write_str(STATUS),
            Source::Alarms => f.write_str("alarms"),
            Source::Energy => f.write_str("energy"),
            Source::Demand => f.write_str("demand"),
            Source::Flood => f.write_str("flood"),
            Source::Water => f.write_str("water"),
            Source::Alarm(rule) => write!(f, "alarm/{rule}"),
            Source::Finding(name) => write!(f, "finding/{name}"),
            Source::Other(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        match (text, text.split_once('/')) {
            ("derived", _) => Source::Derived,
            ("gateway", _) => Source::Gateway,
            (STATUS, _) => Source::Status,
            ("alarms", _) => Source::Alarms,
            ("energy", _) => Source::Energy,
            ("demand", _) => Source::Demand,
            ("flood", _) => Source::Flood,
            ("water", _) => Source::Water,
            (_, Some(("alarm", rule))) => Source::Alarm(rule.into()),
            (_, Some(("finding", name))) => Source::Finding(name.into()),
            (_, Some((unit, group))) => Source::PollGroup { unit: unit.into(), group: group.into() },
            (other, None) => Source::Other(other.into()),
        }
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

/// A stream: the readings of one device from one source, always the same points in the same order. Two streams are equal if these are;
/// their ids differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stream {
    /// Id of the device; `gateway` for the gateway itself.
    pub device: Arc<str>,
    /// Where the readings come from.
    pub source: Source,
    /// Milliseconds between readings when all is well; 0 if irregular.
    pub every_ms: u64,
    /// The points, in the order of a reading's samples.
    pub points: Vec<PointMeta>,
    #[serde(skip)]
    id: StreamId,
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        (&self.device, &self.source, self.every_ms, &self.points)
            == (&other.device, &other.source, other.every_ms, &other.points)
    }
}

impl Stream {
    /// A stream with an id of its own.
    pub fn new(device: impl Into<Arc<str>>, source: Source, every_ms: u64, points: Vec<PointMeta>) -> Arc<Self> {
        Arc::new(Self { device: device.into(), source, every_ms, points, id: StreamId::default() })
    }
}

/// The number of a stream object in this process: the lowest that no other has, so numbers stay dense when streams come and go. It is an
/// index for [`StreamMap`] and is stored nowhere. [`UNNUMBERED`] if all are taken.
#[derive(Debug)]
struct StreamId(usize);

/// The number of streams beyond the most that can be numbered: nothing is remembered of them.
const UNNUMBERED: usize = usize::MAX;

/// One bit a number, set while a stream has it.
static TAKEN: [AtomicU64; 1_024] = [const { AtomicU64::new(0) }; 1_024];

impl Default for StreamId {
    fn default() -> Self {
        for (word, bits) in TAKEN.iter().enumerate() {
            let mut seen = bits.load(Ordering::Relaxed);
            while seen != u64::MAX {
                let bit = seen.trailing_ones();
                seen = bits.fetch_or(1 << bit, Ordering::Relaxed);
                if seen & (1 << bit) == 0 {
                    return StreamId(word * 64 + bit as usize);
                }
            }
        }
        StreamId(UNNUMBERED)
    }
}

impl Clone for StreamId {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for StreamId {
    fn drop(&mut self) {
        if self.0 != UNNUMBERED {
            TAKEN[self.0 / 64].fetch_and(!(1 << (self.0 % 64)), Ordering::Relaxed);
        }
    }
}

/// Something known of each stream object, found by one indexed access. It holds its streams, so no number in it is given again.
#[derive(Clone, Debug)]
pub struct StreamMap<T> {
    entries: Vec<Option<(Arc<Stream>, T)>>,
    len: usize,
    capacity: usize,
}

impl<T> StreamMap<T> {
    /// An empty map that is emptied again when it holds `capacity` streams: streams of removed devices must not stay for ever.
    pub const fn new(capacity: usize) -> Self {
        Self { entries: Vec::new(), len: 0, capacity }
    }

    /// What is known of the stream.
    pub fn get(&self, stream: &Stream) -> Option<&T> {
        self.entries.get(stream.id.0)?.as_ref().map(|(_, known)| known)
    }

    /// Sets what is known of the stream.
    pub fn insert(&mut self, stream: &Arc<Stream>, known: T) {
        let id = stream.id.0;
        if id == UNNUMBERED {
            return;
        }
        if self.len >= self.capacity {
            self.clear();
        }
        if self.entries.len() <= id {
            self.entries.resize_with(id + 1, || None);
        }
        self.len += usize::from(self.entries[id].is_none());
        self.entries[id] = Some((Arc::clone(stream), known));
    }

    /// Forgets all streams.
    pub fn clear(&mut self) {
        (self.entries, self.len) = (Vec::new(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_comes_back_from_its_text() {
        let unit = Source::PollGroup { unit: "pump-plc".into(), group: "fast".into() };
        let all = [
            unit,
            Source::Derived,
            Source::Gateway,
            Source::Status,
            Source::Alarms,
            Source::Alarm("level-high".into()),
            Source::Finding("leak".into()),
            Source::Other("replay".into()),
        ];
        for source in all {
            assert_eq!(Source::from(source.to_string()), source);
        }
    }

    #[test]
    fn a_map_knows_each_stream_object_and_holds_a_bounded_number() {
        let mut map = StreamMap::new(3);
        let streams: Vec<_> = (0..4).map(|_| Stream::new("d", Source::Derived, 0, vec![])).collect();
        for (i, stream) in streams.iter().enumerate().take(3) {
            map.insert(stream, i);
        }
        assert_eq!(streams[0], streams[3], "equal content");
        assert_eq!((map.get(&streams[2]), map.get(&streams[3])), (Some(&2), None), "another object");
        map.insert(&streams[3], 3);
        assert_eq!((map.get(&streams[0]), map.get(&streams[3])), (None, Some(&3)), "emptied when it was full");
    }
}
