//! Line protocol: our encoder beside a naive one (a line a value, a string a part), and what gzip makes of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::reading::{Body, Reading, Sample, Stamp};
use plantroom::model::stream::Stream;
use plantroom::model::time::{MonotonicMillis, UnixMillis};
use plantroom::model::value::Value;
use plantroom::sink::DeviceTags;
use plantroom::sink::influx::line::{Encoder, values};
use rust_decimal::Decimal;

const BEGIN: i64 = 1_790_000_000_000;

/// As in a plant: 60 % scaled integers, 20 % floats, 15 % counters, 5 % states; values that walk.
fn readings(devices: usize, seconds: i64) -> Vec<Reading> {
    let mut state = 88_172_645_463_325_252u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        i64::try_from(state % 7).unwrap() - 3
    };
    let point = |i: usize| {
        let (kind, form) = match i % 20 {
            0..=11 => (PointKind::Number, Encoding::Exact(1)),
            12..=15 => (PointKind::Number, Encoding::F32),
            16..=18 => (PointKind::Counter, Encoding::Exact(2)),
            _ => (PointKind::Bool, Encoding::Bool),
        };
        PointMeta::new(format!("power_l{i}_kw"), kind, Retention::Telemetry, form)
    };
    let streams: Vec<Arc<Stream>> = (0..devices)
        .map(|d| {
            let points = (0..100).map(point).collect();
            Stream::new(format!("meter-{d:02}"), "u/fast".into(), 1_000, points)
        })
        .collect();
    let mut walks = vec![vec![23_000i64; 100]; devices];
    let mut out = Vec::new();
    for second in 0..seconds {
        for (stream, walk) in streams.iter().zip(&mut walks) {
            let sample = |(i, w): (usize, &mut i64)| -> Option<Sample> {
                *w += noise();
                Some(Ok(match i % 20 {
                    0..=11 => Value::Exact(Decimal::new(*w, 1)),
                    #[expect(clippy::cast_possible_truncation, reason = "a noisy float")]
                    12..=15 => Value::F32((*w as f64 / 7.0) as f32),
                    16..=18 => Value::Exact(Decimal::new(*w * 1_000, 2)),
                    _ => Value::Bool(*w % 500 == 0),
                }))
            };
            let samples = walk.iter_mut().enumerate().map(sample).collect();
            let at = Stamp { mono: MonotonicMillis(1), wall: UnixMillis(BEGIN + second * 1_000), trusted: true };
            out.push(Reading { stream: Arc::clone(stream), at, body: Body::Samples { samples, parts: Vec::new() } });
        }
    }
    out
}

fn naive(readings: &[Reading]) -> String {
    let mut out = String::new();
    for reading in readings {
        for (i, point) in reading.stream.points.iter().enumerate() {
            let Some(Ok(value)) = reading.sample(i) else { continue };
            let tags = format!("site={},device={},area={}", "tower", reading.stream.device, "B1");
            out += &format!("{},{} {}={} {}\n", "meter", tags, point.name, value, reading.at.wall.0);
        }
    }
    out
}

fn timed<T>(mut f: impl FnMut() -> T) -> (T, Duration) {
    let mut best = Duration::MAX;
    let mut last = f();
    for _ in 0..20 {
        let began = Instant::now();
        last = f();
        best = best.min(began.elapsed());
    }
    (last, best)
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn main() {
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    // What a flush a second holds at 5,000 values/s.
    let readings = readings(50, 1);
    let place = DeviceTags { class: "meter".into(), area: "B1".into(), ..DeviceTags::default() };
    let places: BTreeMap<String, DeviceTags> = (0..50).map(|d| (format!("meter-{d:02}"), place.clone())).collect();
    let mut encoder = Encoder::new("tower", Arc::new(places));
    let (ours, time) = timed(|| {
        let mut body = String::new();
        let written: usize = readings.iter().map(|r| encoder.encode(r, r.at.wall.0, None, &mut body)).sum();
        assert!(written > 0);
        body
    });
    let count = values(&ours) as f64;
    let per = |d: Duration| d.as_nanos() as f64 / count;
    let (packed, packing) = timed(|| gzip(&ours));
    let (plain, plain_time) = timed(|| naive(&readings));
    let (plain_packed, plain_packing) = timed(|| gzip(&plain));
    println!("{count:.0} values of 50 devices, one second");
    for (who, text, time, packed, packing) in
        [("ours", &ours, time, &packed, packing), ("naive", &plain, plain_time, &plain_packed, plain_packing)]
    {
        println!(
            "{who:6} encode {:6.1} ns a value, {:5.1} bytes a value; gzip {:6.1} ns, {:4.1} bytes a value",
            per(time),
            text.len() as f64 / count,
            per(packing),
            packed.len() as f64 / count
        );
    }
}
