//! The file: what was committed comes back, a newer one is refused, damage is named.

use rust_decimal::Decimal;

use super::*;
use crate::energy::calendar::{Step, bounds, grid_ms};
use crate::energy::decision::Decisions;
use crate::model::counter::RegisterLimits;
use crate::model::failure::{Failure as _, FailureKind};
use crate::model::metering::RegisterReading;
use crate::model::point::{Encoding, PointKind, Retention};
use crate::model::time::UnixMillis;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("plantroom-ledger-{}-{name}", std::process::id()));
        let _left_over = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

fn meta() -> PointMeta {
    PointMeta::new("energy_import_kwh", PointKind::Counter, Retention::Cumulative, Encoding::Exact(1))
}

/// Minutes from 1970 on, a tenth of a kWh each; committed every hour.
fn fill(ledger: &mut Ledger, minutes: std::ops::Range<i64>) {
    let series = ledger.series_of(&Arc::from("meter"), &meta()).unwrap();
    let mut register = ledger.registers().unwrap().remove(&series.id).unwrap_or_default();
    let limits = RegisterLimits { resolution: Decimal::new(1, 1), ..RegisterLimits::default() };
    let mut changes = Changes::default();
    for minute in minutes {
        let reading = RegisterReading { at: UnixMillis(minute * 60_000), value: Decimal::new(1_000 + minute, 1) };
        register.step(reading, &limits, grid_ms(15), &mut changes);
        if minute % 60 == 59 {
            let change = SeriesChange { series: &series, register: &register, changes: &changes };
            ledger.commit(&minute.to_string(), &[change]).unwrap();
            changes = Changes::default();
        }
    }
}

#[test]
fn what_was_committed_comes_back_and_a_part_is_enough() {
    let dir = Dir::new("back");
    let days = 3;
    for day in 0..days {
        let mut ledger = Ledger::open(&dir.file()).unwrap();
        fill(&mut ledger, day * 1_440..(day + 1) * 1_440);
    }
    let ledger = Ledger::open_read_only(&dir.file()).unwrap();
    assert_eq!(ledger.cursor().unwrap().as_deref(), Some("4319"));
    let series = &ledger.series().unwrap()[0];
    assert_eq!((series.full_name().as_str(), series.meta.clone()), ("meter.energy_import_kwh", meta()));
    let at = |minute: i64| UnixMillis(minute * 60_000);
    let of = |from: i64, to: i64| {
        let profile = ledger.profile(series.id, (at(from), at(to)), &Decisions::default(), grid_ms(15)).unwrap();
        let all = profile.intervals(&bounds(at(from), at(to), Step::Minutes(15), &jiff::tz::TimeZone::UTC));
        (all.iter().filter_map(|i| i.consumed).sum::<Decimal>().normalize(), all.len())
    };
    assert_eq!(of(0, 4_320), (Decimal::new(4_319, 1), 288));
    assert_eq!(of(1_440, 2_880), (Decimal::from(144), 96), "a day in the middle");
    assert_eq!(of(2_000, 2_015), (Decimal::new(15, 1), 2));
    assert_eq!(ledger.readings(series.id, at(0), at(60)).unwrap().len(), 4, "each quarter hour has its reading");
    ledger.prune(2).unwrap_err();
    drop(ledger);
    Ledger::open(&dir.file()).unwrap().prune(3).unwrap();
    assert_eq!(Ledger::open_read_only(&dir.file()).unwrap().readings(1, at(1), at(1_440)).unwrap().len(), 95);
    Ledger::open(&dir.file()).unwrap().prune(2).unwrap();
    let ledger = Ledger::open_read_only(&dir.file()).unwrap();
    assert_eq!(ledger.readings(1, at(1), at(1_440)).unwrap(), [], "the first day has served its time");
    assert_eq!(ledger.readings(1, at(1_440), at(2_880)).unwrap().len(), 96);
}

#[test]
fn a_newer_file_and_a_damaged_one_are_told_apart() {
    let dir = Dir::new("newer");
    assert_eq!(Ledger::open_read_only(&dir.file()).err().map(|e| e.kind()), Some(FailureKind::BadInput));
    fill(&mut Ledger::open(&dir.file()).unwrap(), 0..120);
    let sql = |text: &str| Connection::open(dir.file()).unwrap().execute_batch(text).unwrap();
    sql("PRAGMA user_version = 7");
    let newer = Ledger::open(&dir.file()).err().unwrap();
    assert!(!newer.is_damage() && newer.to_string().contains("has format 7"), "{newer}");
    sql("PRAGMA user_version = 1; UPDATE marks SET body = x'00112233445566'");
    let damaged = Ledger::open(&dir.file()).unwrap().readings(1, UnixMillis(0), UnixMillis(60_000)).unwrap_err();
    assert!(damaged.is_damage() && damaged.to_string().contains("register 1 of day 0"), "{damaged}");
    std::fs::write(dir.file(), vec![0x55; 8_192]).unwrap();
    let _log = std::fs::remove_file(dir.0.join("ledger.db-wal"));
    assert!(Ledger::open(&dir.file()).err().unwrap().is_damage());
}
