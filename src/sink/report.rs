//! Report by exception: a sample is sent only if it moved by its deadband, or when its heartbeat is due. The filter is applied per sink;
//! the journal keeps every sample.
//!
//! Meter registers, states and changes of quality always pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::point::Retention;
use crate::model::reading::{Body, Reading, Sample};
use crate::model::stream::{Stream, StreamMap};
use crate::model::time::MonotonicMillis;
use crate::model::value::Value;

/// What has to change by how much.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSettings {
    /// Point, or `device.point`, -> how far it must move from what was last sent. A point that is not named is always sent.
    pub deadband: BTreeMap<String, f64>,
    /// Milliseconds after which it is sent anyway. Default 300000.
    pub heartbeat_ms: Option<u64>,
    /// Point, or `device.point`, -> milliseconds after which it is sent anyway, where that differs.
    pub heartbeat: BTreeMap<String, u64>,
}

/// The samples of one stream that were last sent.
struct LastSent {
    stream: Arc<Stream>,
    deadbands: Vec<Option<f64>>,
    heartbeats_ms: Vec<u64>,
    sent: Vec<Option<(Sample, MonotonicMillis)>>,
}

/// The filter of one sink.
pub struct Filter {
    settings: ReportSettings,
    streams: Vec<LastSent>,
    /// Index in `streams`; streams from sealed files are objects of their own with equal content.
    indices: StreamMap<usize>,
}

/// Capacity of the cache of indices, in streams.
const INDICES_MAX: usize = 1_024;

const HEARTBEAT_MS: u64 = 300_000;

impl Filter {
    /// A filter that has sent nothing yet, so the first sample of each point passes.
    pub fn new(settings: ReportSettings) -> Self {
        Self { settings, streams: Vec::new(), indices: StreamMap::new(INDICES_MAX) }
    }

    /// Forgets what was sent, so that every point is sent again: after a reconnect subscribers may have missed it.
    pub fn reset(&mut self) {
        self.streams.clear();
        self.indices.clear();
    }

    /// Which samples of a reading are to be sent; `None` for all of them.
    pub fn select(&mut self, reading: &Reading) -> Option<Vec<bool>> {
        if self.settings.deadband.is_empty() {
            return None;
        }
        let index = self.index(&reading.stream);
        let last = &mut self.streams[index];
        let now =
            if reading.at.mono.0 > 0 { reading.at.mono } else { MonotonicMillis(reading.at.wall.0.unsigned_abs()) };
        let mut out = vec![true; reading.stream.points.len()];
        for (i, send) in out.iter_mut().enumerate() {
            let sample: Sample = match (&reading.body, reading.sample(i)) {
                (Body::Failed(cause), _) => Err(*cause),
                (_, Some(sample)) => sample.cloned(),
                (_, None) => continue,
            };
            if let (Some(band), Some((before, at))) = (last.deadbands[i], &last.sent[i]) {
                // Readings from files are compared by date, those from memory by time since boot. A step back means a change between the
                // two, so the sample is sent.
                *send = now < *at || now.since(*at) >= last.heartbeats_ms[i] || exceeds_deadband(before, &sample, band);
            }
            if *send {
                last.sent[i] = Some((sample, now));
            }
        }
        Some(out)
    }
}

impl Filter {
    fn index(&mut self, stream: &Arc<Stream>) -> usize {
        if let Some(index) = self.indices.get(stream) {
            return *index;
        }
        let same = |l: &LastSent| {
            l.stream.device == stream.device && l.stream.source == stream.source && l.stream.points == stream.points
        };
        let index = self.streams.iter().position(same).unwrap_or_else(|| {
            self.streams.push(LastSent::new(stream, &self.settings));
            self.streams.len() - 1
        });
        self.indices.insert(stream, index);
        index
    }
}

impl LastSent {
    fn new(stream: &Arc<Stream>, settings: &ReportSettings) -> Self {
        let band = |p: &crate::model::point::PointMeta| {
            if p.retention != Retention::Telemetry {
                return None;
            }
            setting_for_point(&settings.deadband, stream, &p.name)
        };
        let default_ms = settings.heartbeat_ms.unwrap_or(HEARTBEAT_MS);
        let heartbeat_of = |p: &crate::model::point::PointMeta| {
            setting_for_point(&settings.heartbeat, stream, &p.name).unwrap_or(default_ms)
        };
        let heartbeats = stream.points.iter().map(heartbeat_of).collect();
        let bands = stream.points.iter().map(band).collect();
        Self {
            stream: Arc::clone(stream),
            deadbands: bands,
            heartbeats_ms: heartbeats,
            sent: vec![None; stream.points.len()],
        }
    }
}

/// The setting for `device.point`, or else for the point of every device.
fn setting_for_point<T: Copy>(settings: &BTreeMap<String, T>, stream: &Stream, point: &str) -> Option<T> {
    settings.get(&format!("{}.{point}", stream.device)).or_else(|| settings.get(point)).copied()
}

fn exceeds_deadband(before: &Sample, now: &Sample, band: f64) -> bool {
    let number = |s: &Sample| s.as_ref().ok().and_then(Value::as_f64);
    match (number(before), number(now)) {
        (Some(a), Some(b)) => (a - b).abs() >= band && a.to_bits() != b.to_bits(),
        _ => before != now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::point::{Encoding, PointKind, PointMeta};
    use crate::model::quality::Cause;
    use crate::model::reading::Stamp;
    use crate::model::time::UnixMillis;

    #[test]
    fn small_changes_wait_for_the_heartbeat_and_quality_never_does() {
        let point = |name: &str, retention| PointMeta::new(name, PointKind::Number, retention, Encoding::F64);
        let points = vec![point("level_m", Retention::Telemetry), point("energy_kwh", Retention::Cumulative)];
        let stream = Stream::new("s", "u/fast".into(), 1_000, points);
        let deadband = BTreeMap::from([("level_m".to_string(), 0.1), ("energy_kwh".to_string(), 99.0)]);
        let mut filter = Filter::new(ReportSettings {
            deadband,
            heartbeat_ms: None,
            heartbeat: BTreeMap::from([("s.level_m".to_string(), 10_000)]),
        });
        let mut pick = |ms: u64, level: Sample| {
            let at = Stamp { mono: MonotonicMillis(ms), wall: UnixMillis(0), trusted: true };
            let samples = vec![Some(level), Some(Ok(Value::F64(1.0)))];
            filter
                .select(&Reading { stream: Arc::clone(&stream), at, body: Body::Samples { samples, parts: vec![] } })
                .unwrap()
        };
        assert_eq!(pick(0, Ok(Value::F64(1.0))), [true, true], "first");
        assert_eq!(pick(1_000, Ok(Value::F64(1.05))), [false, true], "within the band; registers always pass");
        assert_eq!(pick(2_000, Ok(Value::F64(1.2))), [true, true], "moved");
        assert_eq!(pick(3_000, Err(Cause::Timeout)), [true, true], "quality changed");
        assert_eq!(pick(4_000, Err(Cause::Timeout)), [false, true], "still the same");
        assert_eq!(pick(14_000, Err(Cause::Timeout)), [true, true], "heartbeat");
        assert_eq!(
            pick(500, Err(Cause::Timeout)),
            [true, true],
            "another clock: from files come dates, from memory not"
        );
    }
}
