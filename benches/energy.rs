//! A year of 200 meters with four registers each, at quarter hours: writes a ledger and a site (units.csv, devices.csv, meters.csv) into a directory, and
//! measures questions about it. `cargo bench --bench energy -- DIR` keeps them, so that the program itself can be timed beside other databases
//! (scripts/bench-energy.sh).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use jiff::tz::TimeZone;
use plantroom::config;
use plantroom::energy::balance::ConsumptionByPoint;
use plantroom::energy::calendar::grid_ms;
use plantroom::energy::register::{Changes, Register};
use plantroom::energy::room::MeteringRecords;
use plantroom::ledger::query::LedgerQuery;
use plantroom::ledger::{FILE, Ledger, SeriesChange};
use plantroom::model::counter::RegisterLimits;
use plantroom::model::metering::{RegisterReading, TimeRange};
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::time::UnixMillis;
use plantroom::report::consumption::{ConsumptionQuery, Grouping, consumption, groups};
use plantroom::report::reconciliation::reconciliation;
use rust_decimal::Decimal;

const METERS: i64 = 200;
const POINTS: [&str; 4] =
    ["energy_import_kwh", "energy_export_kwh", "energy_reactive_import_kvarh", "energy_reactive_export_kvarh"];
const END_USES: [&str; 6] = ["lighting", "lifts", "pumps", "charging", "tenants", "hvac"];
const STEP_MS: i64 = 900_000;
/// 1 January 2026 in Shanghai.
const BEGIN: i64 = 1_767_196_800_000;
const STEPS: i64 = 365 * 96;

fn write_site(dir: &Path) {
    let site = "[site]\nid = \"bench\"\nen = \"Bench\"\ntime_zone = \"Asia/Shanghai\"\n[clock]\nsource = \"rtc\"\n[[link.tcp]]\nid = \"l\"\nhost = \"127.0.0.1\"\noverload = true\n";
    let (mut units, mut devices) = ("id,link,address,profile\n".to_string(), "id,class,en,unit\n".to_string());
    let mut meters = "point,register,parent,end_use,class\n".to_string();
    for i in 0..METERS {
        writeln!(units, "u{i},l,{},eastron-sdm630", i + 1).unwrap();
        writeln!(devices, "m{i},meter,Meter {i},u{i}").unwrap();
        let (parent, end_use) = if i == 0 { ("", "") } else { ("p0", END_USES[usize::try_from(i).unwrap() % 6]) };
        writeln!(meters, "p{i},m{i}.energy_import_kwh,{parent},{end_use},1").unwrap();
    }
    for (name, text) in [("site.toml", site), ("units.csv", &units), ("devices.csv", &devices), ("meters.csv", &meters)]
    {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

fn write_ledger(dir: &Path) {
    let mut ledger = Ledger::open(&dir.join(FILE)).unwrap();
    let limits = RegisterLimits {
        modulus: None,
        max_per_h: Some(Decimal::from(1_000_000)),
        is_rated: false,
        resolution: Decimal::new(1, 2),
    };
    for meter in 0..METERS {
        let device: Arc<str> = format!("m{meter}").into();
        for (p, point) in POINTS.iter().enumerate() {
            let meta = PointMeta {
                unit: Some(if point.ends_with("kwh") { "kWh" } else { "kvarh" }.into()),
                resolution: Some(Decimal::new(1, 2)),
                ..PointMeta::new(*point, PointKind::Counter, Retention::Cumulative, Encoding::Exact(2))
            };
            let series = ledger.series_of(&device, &meta).unwrap();
            let (mut register, mut changes) = (Register::default(), Changes::default());
            let mut value = 100_000 + meter;
            for i in 0..=STEPS {
                let at = UnixMillis(BEGIN + i * STEP_MS);
                register.step(
                    RegisterReading { at, value: Decimal::new(value, 2) },
                    &limits,
                    grid_ms(15),
                    &mut changes,
                );
                // The main meter counts what the others do, and one percent.
                let own = |meter: i64| 40 + (meter * 7 + i * 13 + i64::try_from(p).unwrap()) % 90;
                value += if meter == 0 { (1..METERS).map(own).sum::<i64>() * 101 / 100 } else { own(meter) };
            }
            ledger.commit("", &[SeriesChange { series: &series, register: &register, changes: &changes }]).unwrap();
        }
    }
}

fn timed<T>(what: &str, of: impl Fn() -> T) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begin = Instant::now();
        std::hint::black_box(of());
        best = best.min(begin.elapsed().as_secs_f64());
    }
    println!("{what}: {:.1} ms", best * 1_000.0);
}

fn main() {
    let named = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let dir = named
        .map_or_else(|| std::env::temp_dir().join(format!("plantroom-bench-{}", std::process::id())), PathBuf::from);
    std::fs::create_dir_all(dir.join("journal")).unwrap();
    write_site(&dir);
    if !dir.join(FILE).exists() {
        let begin = Instant::now();
        write_ledger(&dir);
        println!("{} readings booked in {:.1} s", METERS * 4 * STEPS, begin.elapsed().as_secs_f64());
    }
    let size = std::fs::metadata(dir.join(FILE)).unwrap().len();
    println!("ledger: {:.1} MB, {:.2} bytes a reading", size as f64 / 1e6, size as f64 / (METERS * 4 * STEPS) as f64);
    let loaded = config::load(&dir);
    let plan = loaded.configuration.unwrap_or_else(|| panic!("{:#?}", loaded.problems)).metering;
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let open = || {
        LedgerQuery::open(&dir.join(FILE), MeteringRecords::default(), Arc::clone(&plan), (zone.clone(), 15)).unwrap()
    };
    // October.
    let month = TimeRange { from: UnixMillis(BEGIN + 273 * 86_400_000), to: UnixMillis(BEGIN + 304 * 86_400_000) };
    let year = TimeRange { from: UnixMillis(BEGIN), to: UnixMillis(BEGIN + STEPS * STEP_MS) };
    let all = |query: &LedgerQuery, range| {
        let points = query.subjects().into_iter().filter(|s| s.point.is_some());
        points.map(|s| (s.clone(), Arc::new(query.consumption(&s, range).unwrap()))).collect::<Vec<_>>()
    };
    for (name, range) in [("month", month), ("year", year)] {
        timed(&format!("{name} by end use, 200 meters"), || {
            let query = open();
            let subjects = groups(&plan, &all(&query, range), Grouping::EndUse, false);
            let asked =
                ConsumptionQuery { bounds: &[range.from, range.to], minutes: 15, zone: &zone, is_compared: false };
            consumption(&subjects, &asked)
        });
    }
    timed("reconciliation of a month", || {
        let query = open();
        let by_point: ConsumptionByPoint = all(&query, month).into_iter().map(|(s, of)| (s.id, of)).collect();
        reconciliation(&plan, &by_point, month, (15, &zone))
    });
}
