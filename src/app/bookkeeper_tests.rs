//! The bookkeeper over a real journal: dates that come late, sealed hours, restarts, a journal without registers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, ClockSettings, ClockSource};
use crate::energy::decision::Decisions;
use crate::journal::{JournalSettings, Writer};
use crate::model::point::Encoding;
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::time::MonotonicMillis;
use crate::model::value::Value;

/// Noon of some day, milliseconds since 1970, and when the machine booted.
const NOON: i64 = 1_760_011_200_000;
const BOOTED: i64 = NOON - 3_600_000;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("plantroom-books-{}-{name}", std::process::id()));
        let _left_over = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn journal(&self) -> (Journal, Writer) {
        self.journal_by(&Clock::new(&ClockSettings { source: ClockSource::Rtc }, UnixMillis(0)))
    }

    fn journal_by(&self, clock: &Clock) -> (Journal, Writer) {
        let settings = JournalSettings { commit_ms: 20, register_days: 36_500, ..JournalSettings::default() };
        Journal::open(&self.0.join("journal"), &settings, clock, "boot").unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

fn stream(device: &str, point: &str, kind: PointKind, retention: Retention) -> Arc<Stream> {
    Stream::new(device, "u/fast".into(), 60_000, vec![PointMeta::new(point, kind, retention, Encoding::Exact(1))])
}

fn meter(device: &str) -> Arc<Stream> {
    stream(device, "energy_import_kwh", PointKind::Counter, Retention::Cumulative)
}

/// The reading of a minute after noon: a tenth of a kWh each.
fn reading(stream: &Arc<Stream>, minute: i64, is_dated: bool) -> Reading {
    let wall = NOON + minute * 60_000;
    let wall = if is_dated { UnixMillis(wall) } else { UnixMillis(0) };
    let mono = MonotonicMillis((NOON - BOOTED + minute * 60_000).unsigned_abs());
    let samples = vec![Some(Ok(Value::Exact(Decimal::new(1_000 + minute, 1))))];
    let body = Body::Samples { samples, parts: Vec::new() };
    Reading { stream: Arc::clone(stream), at: Stamp { mono, wall, trusted: is_dated }, body }
}

fn committed(journal: &Journal) {
    for _ in 0..1_000 {
        if journal.committed_seq() >= journal.newest_seq() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the journal does not commit");
}

/// Books until there is no more.
fn book(of: &mut Bookkeeper) {
    let limits = Arc::default();
    while of.work(&EnergySettings::default(), &limits, true).unwrap() {}
}

/// What the ledger has of each device: consumption, first and last minute.
fn booked(dir: &Dir) -> Vec<(String, Decimal, i64, i64)> {
    let ledger = Ledger::open_read_only(&dir.0.join(ledger::FILE)).unwrap();
    let all = ledger.series().unwrap();
    let of = |series: &Series| {
        let period = (UnixMillis(0), UnixMillis(NOON * 2));
        let profile = ledger.profile(series.id, period, &Decisions::default(), 900_000).unwrap();
        let (first, last) = profile.ends()?;
        let minute = |at: UnixMillis| (at.0 - NOON) / 60_000;
        Some((series.device.to_string(), profile.total().normalize(), minute(first.at), minute(last.at)))
    };
    all.iter().filter_map(of).collect()
}

fn tenths(n: i64) -> Decimal {
    Decimal::new(n, 1).normalize()
}

#[test]
fn readings_of_two_runs_wait_for_the_date_of_their_boot() {
    let dir = Dir::new("dates");
    // A clock that is not trusted: nothing is sealed without a date.
    let clock = Clock::new(&ClockSettings { source: ClockSource::Rtc }, UnixMillis(i64::MAX));
    let one = meter("m");
    let (journal, writer) = dir.journal_by(&clock);
    (0..30).for_each(|minute| drop(journal.append(reading(&one, minute, false))));
    committed(&journal);
    book(&mut Bookkeeper::open(journal, &dir.0).unwrap());
    writer.stop();
    let (journal, writer) = dir.journal_by(&clock);
    (30..60).for_each(|minute| drop(journal.append(reading(&one, minute, false))));
    committed(&journal);
    let mut of = Bookkeeper::open(journal.clone(), &dir.0).unwrap();
    book(&mut of);
    assert_eq!(booked(&dir), [], "nothing under no date");
    journal.set_date(UnixMillis(NOON), MonotonicMillis((NOON - BOOTED).unsigned_abs()));
    (60..90).for_each(|minute| drop(journal.append(reading(&one, minute, true))));
    committed(&journal);
    book(&mut of);
    assert_eq!(booked(&dir), [("m".to_string(), tenths(89), 0, 89)], "both runs, and what came after");
    writer.stop();
}

#[test]
fn sealed_hours_and_restarts_book_each_step_once() {
    let dir = Dir::new("sealed");
    let (a, b) = (meter("a"), meter("b"));
    let noise = stream("n", "level_m", PointKind::Number, Retention::Telemetry);
    let mut minute = 0;
    for run in 0..6 {
        let (journal, writer) = dir.journal();
        for _ in 0..50 {
            [&a, &b, &noise].iter().for_each(|stream| drop(journal.append(reading(stream, minute, true))));
            minute += 1;
        }
        committed(&journal);
        // Every other run is not booked before its hour is sealed by the next one.
        if run % 2 == 0 {
            book(&mut Bookkeeper::open(journal.clone(), &dir.0).unwrap());
        }
        for _ in 0..500 {
            if crate::journal::files::list(&dir.0.join("journal"), "raw-").len() <= 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        writer.stop();
    }
    let (journal, writer) = dir.journal();
    book(&mut Bookkeeper::open(journal, &dir.0).unwrap());
    writer.stop();
    let each = |device: &str| (device.to_string(), tenths(minute - 1), 0, minute - 1);
    assert_eq!(booked(&dir), [each("a"), each("b")]);
}

#[test]
fn without_registers_the_cursor_moves_all_the_same() {
    let dir = Dir::new("none");
    let noise = stream("n", "level_m", PointKind::Number, Retention::Telemetry);
    let (journal, writer) = dir.journal();
    let mut of = Bookkeeper::open(journal.clone(), &dir.0).unwrap();
    for minute in 0..200 {
        journal.append(reading(&noise, minute, true));
        of.work(&EnergySettings::default(), &Arc::default(), false).unwrap();
    }
    committed(&journal);
    book(&mut of);
    assert_eq!(of.booked, Some(Position::at(journal.newest_seq())));
    let ledger = Ledger::open_read_only(&dir.0.join(ledger::FILE)).unwrap();
    assert_eq!(ledger.cursor().unwrap(), Some(journal.newest_seq().to_string()));
    assert!(of.waiting.is_empty());
    writer.stop();
}

#[test]
fn garbage_beyond_every_register_is_none() {
    assert_eq!(VALUE_MAX, Decimal::from(10u64.pow(18)));
    let dir = Dir::new("garbage");
    let one = meter("m");
    let (journal, writer) = dir.journal();
    for minute in 0..30 {
        let mut now = reading(&one, minute, true);
        if minute % 7 == 0 {
            let most = if minute % 2 == 0 { Decimal::MAX } else { Decimal::MIN };
            now.body = Body::Samples { samples: vec![Some(Ok(Value::Exact(most)))], parts: Vec::new() };
        }
        journal.append(now);
    }
    committed(&journal);
    book(&mut Bookkeeper::open(journal, &dir.0).unwrap());
    assert_eq!(booked(&dir), [("m".to_string(), tenths(28), 1, 29)]);
    writer.stop();
}
