//! The points of the device that bears the level.

use std::sync::Arc;

use crate::model::flood::FLOOD_DEVICE;
use crate::model::point::{Encoding, PointKind, PointMeta, Retention};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::stream::{Source, Stream};
use crate::model::time::Now;
use crate::model::value::Value;

/// In the order of a reading's samples: four ranks, minutes, percent.
pub const FLOOD_POINTS: [&str; 6] =
    ["level_rank", "external_rank", "local_rank", "manual_rank", "feed_silent_min", "readiness_pct"];

/// The stream of these points, repeated each `every_ms`.
pub fn stream(every_ms: u64) -> Arc<Stream> {
    let ranks = FLOOD_POINTS[..4].iter().map(|name| PointMeta::state(*name, PointKind::Code));
    let number = |(name, unit): (&&str, &str)| PointMeta {
        unit: Some(unit.into()),
        ..PointMeta::new(*name, PointKind::Number, Retention::State, Encoding::Exact(0))
    };
    let points = ranks.chain(FLOOD_POINTS[4..].iter().zip(["min", "%"]).map(number)).collect();
    Stream::new(FLOOD_DEVICE, Source::Flood, every_ms, points)
}

/// Ranks of the level and of its inputs, minutes of the longest silence of a feed, readiness in percent.
pub fn reading(stream: &Arc<Stream>, (ranks, silent_min, pct): ([u8; 4], i64, Option<u8>), now: Now) -> Reading {
    let mut samples: Vec<_> = ranks.iter().map(|rank| Some(Ok(Value::Code(i64::from(*rank))))).collect();
    samples.push(Some(Ok(Value::Exact(silent_min.into()))));
    samples.push(Some(pct.map(|pct| Value::Exact(pct.into())).ok_or(Cause::StartingUp)));
    let at = Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted };
    Reading { stream: Arc::clone(stream), at, body: Body::Samples { samples, parts: Vec::new() } }
}
