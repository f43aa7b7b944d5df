//! The journal: append, commit, seal, read back; bytes on disk and bytes written for each sample.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plantroom::clock::{self, Clock};
use plantroom::journal::cursor::Position;
use plantroom::journal::fetch::Cursor;
use plantroom::journal::query::HistoryQuery;
use plantroom::journal::{Journal, JournalSettings};
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::reading::{Body, Reading, Sample, Stamp};
use plantroom::model::stream::Stream;
use plantroom::model::time::{MonotonicMillis, UnixMillis};
use plantroom::model::value::Value;
use rust_decimal::Decimal;

const DAY: i64 = 1_790_000_000_000 / 86_400_000 * 86_400_000;

fn stream(device: usize) -> Arc<Stream> {
    // As in a plant: 60 % scaled integers, 20 % noisy floats, 15 % counters, 5 % states.
    let point = |i: usize| {
        let (kind, retention, form) = match i % 20 {
            0..=11 => (PointKind::Number, Retention::Telemetry, Encoding::Exact(1)),
            12..=15 => (PointKind::Number, Retention::Telemetry, Encoding::F32),
            16..=18 => (PointKind::Counter, Retention::Cumulative, Encoding::Exact(2)),
            _ => (PointKind::Bool, Retention::State, Encoding::Bool),
        };
        PointMeta::new(format!("p{i}"), kind, retention, form)
    };
    let points = (0..100).map(point).collect();
    Stream::new(format!("d{device:02}"), "u/fast".into(), 1_000, points)
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 % 7).unwrap() - 3
    }
}

fn reading(stream: &Arc<Stream>, second: i64, walk: &mut [i64], noise: &mut Noise) -> Reading {
    let jitter = noise.next() + 3;
    let at = Stamp {
        mono: MonotonicMillis(second.unsigned_abs() * 1_000),
        wall: UnixMillis(DAY + second * 1_000 + jitter),
        trusted: true,
    };
    let sample = |(i, w): (usize, &mut i64)| -> Option<Sample> {
        *w += noise.next();
        Some(Ok(match i % 20 {
            0..=11 => Value::Exact(Decimal::new(2_300 + *w, 1)),
            12..=15 => Value::F32(*w as f32 * 0.137),
            16..=18 => Value::Exact(Decimal::new(1_000_000 + second * 3 + i as i64, 2)),
            _ => Value::Bool(second / 600 % 2 == 0),
        }))
    };
    let samples = walk.iter_mut().enumerate().map(sample).collect();
    Reading { stream: Arc::clone(stream), at, body: Body::Samples { samples, parts: vec![] } }
}

fn open(dir: &Path) -> (Journal, plantroom::journal::Writer) {
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let settings = JournalSettings { commit_ms: 1_000, max_gb: 50.0, keep_free_mb: 0, ..JournalSettings::default() };
    Journal::open(dir, &settings, &clock, "bench").unwrap()
}

/// Bytes that this process handed to the disk.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    io.lines().find_map(|l| l.strip_prefix("write_bytes: ")).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn size(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().flatten().map(|e| e.metadata().unwrap().len()).sum()
}

fn main() {
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let dir = PathBuf::from(std::env::var("BENCH_DIR").unwrap_or_else(|_| "target/bench-journal".to_string()));
    let _may_not_exist = std::fs::remove_dir_all(&dir);
    if std::env::var_os("MONTH_ONLY").is_some() {
        return month(&dir.with_extension("month"));
    }
    let (devices, seconds) = (50usize, 3_600i64);
    let streams: Vec<Arc<Stream>> = (0..devices).map(stream).collect();
    let mut walks = vec![vec![0i64; 100]; devices];
    let mut noise = Noise(42);
    let samples = (devices * 100) as f64 * seconds as f64;
    let (began, wrote) = (Instant::now(), written());
    let (journal, writer) = open(&dir);
    let mut append = Duration::ZERO;
    for second in 0..seconds {
        let readings: Vec<Reading> =
            streams.iter().zip(&mut walks).map(|(s, w)| reading(s, second, w, &mut noise)).collect();
        let at = Instant::now();
        readings.into_iter().for_each(|r| drop(journal.append(r)));
        append += at.elapsed();
        // An hour in a minute: the writer must not be outrun.
        while journal.health().samples.load(Ordering::Relaxed) + 100_000 < (second.unsigned_abs() + 1) * 5_000 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    writer.stop();
    println!("append (numbered, visible): {:.0} ns/sample", append.as_nanos() as f64 / samples);
    println!("an hour of 5,000 points/s: appended and committed in {:.1} s", began.elapsed().as_secs_f64());
    println!("raw: {:.2} bytes/sample on disk", size(&dir) as f64 / samples);
    println!("raw: {:.2} bytes/sample written (batched: an hour in a minute)", (written() - wrote) as f64 / samples);

    let (seal, wrote) = (Instant::now(), written());
    let (journal, _writer) = open(&dir);
    while journal.health().sealed.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("sealed in {:.1} s (paced: a tenth of a second in each 1.1)", seal.elapsed().as_secs_f64());
    println!("sealed: {:.2} bytes/sample on disk", size(&dir) as f64 / samples);
    println!("sealed: {:.2} bytes/sample written", (written() - wrote) as f64 / samples);

    let query = HistoryQuery { device: "d07".into(), point: "p3".into(), from_ms: DAY, to_ms: DAY + 3_600_000 };
    let at = Instant::now();
    let mut n = 0u64;
    journal
        .samples(&query, |_| {
            n += 1;
            true
        })
        .unwrap();
    println!("one point of one hour, every sample ({n}): {:.1} ms", at.elapsed().as_secs_f64() * 1e3);
    let at = Instant::now();
    let slots = journal.slots(&query, 900_000).unwrap().slots;
    println!("the same in {} quarter hours: {:.2} ms", slots.len(), at.elapsed().as_secs_f64() * 1e3);

    let at = Instant::now();
    let mut cursor = Cursor::new(journal.clone(), Position::at(0));
    let mut read = 0usize;
    loop {
        let items = cursor.fetch(200);
        if items.is_empty() {
            break;
        }
        read += items.len() * 100;
    }
    println!("scan of the sealed hour by a cursor: {:.2} M samples/s", read as f64 / at.elapsed().as_secs_f64() / 1e6);
    month(&dir.with_extension("month"));
    let _best_effort = std::fs::remove_dir_all(&dir);
}

/// Thirty days of one meter, a reading of ten registers a minute.
fn month(dir: &Path) {
    let _may_not_exist = std::fs::remove_dir_all(dir);
    let point =
        |i: usize| PointMeta::new(format!("p{i}"), PointKind::Counter, Retention::Cumulative, Encoding::Exact(2));
    let points = (0..10).map(point).collect();
    let stream = Stream::new("meter", "u/slow".into(), 60_000, points);
    for day in 0..30i64 {
        let (journal, writer) = open(dir);
        for minute in 0..1_440i64 {
            let wall = DAY + (day * 1_440 + minute) * 60_000;
            let samples =
                (0..10).map(|i| Some(Ok(Value::Exact(Decimal::new((day * 1_440 + minute) * 7 + i, 2))))).collect();
            let at = Stamp { mono: MonotonicMillis(0), wall: UnixMillis(wall), trusted: true };
            journal.append(Reading { stream: Arc::clone(&stream), at, body: Body::Samples { samples, parts: vec![] } });
        }
        writer.stop();
    }
    let (journal, _writer) = open(dir);
    while plantroom::journal::files::list(dir, "raw-").len() > 1 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let query = HistoryQuery { device: "meter".into(), point: "p3".into(), from_ms: DAY, to_ms: DAY + 30 * 86_400_000 };
    let at = Instant::now();
    let slots = journal.slots(&query, 900_000).unwrap().slots;
    println!(
        "30 days of one meter at 15 min ({} slots): {:.1} ms the first time",
        slots.len(),
        at.elapsed().as_secs_f64() * 1e3
    );
    let at = Instant::now();
    let slots = journal.slots(&query, 900_000).unwrap().slots;
    let full = slots.iter().filter(|s| s.aggregate.good == 15).count();
    println!(
        "again: {:.1} ms; {full} of {} slots complete; {:.2} bytes/sample",
        at.elapsed().as_secs_f64() * 1e3,
        slots.len(),
        size(dir) as f64 / (30.0 * 14_400.0)
    );
    let _best_effort = std::fs::remove_dir_all(dir);
}
