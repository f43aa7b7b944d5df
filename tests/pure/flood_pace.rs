//! A storm at a read every two seconds of twenty sumps: no other device of the bus misses a poll, and the plans are made in advance.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plantroom::clock::Clock;
use plantroom::config;
use plantroom::config::doc::Texts;
use plantroom::link::connect::{BoxedByteStream, Dialer};
use plantroom::model::reading::{Body, Reading};
use plantroom::poll::BusConfig;
use plantroom::poll::bus::LinkWorker;
use plantroom::poll::health::BusHealth;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Sumps and meters on one bus.
const SUMPS: usize = 20;
const METERS: usize = 10;

/// A site of one bus; `rest` goes on with it.
fn site(round_trip_ms: u64, rest: &str) -> (Vec<String>, Option<config::Configuration>) {
    let mut text = format!(
        "[site]\nid = \"s\"\nen = \"Site\"\ntime_zone = \"UTC\"\n\
         [[link.tcp]]\nid = \"bus\"\nhost = \"127.0.0.1\"\nexpected_round_trip_ms = {round_trip_ms}\ngroups = {{ fast = \"10s\" }}\n{rest}\n"
    );
    let mut unit = |id: &str, address: usize, profile: &str| {
        let _infallible =
            write!(text, "[[unit]]\nid = \"{id}\"\nlink = \"bus\"\naddress = {address}\nprofile = \"{profile}\"\n");
    };
    for sump in 1..=SUMPS {
        unit(&format!("lt{sump}"), sump, "level-transmitter");
        unit(&format!("di{sump}"), 100 + sump, "contact-module-16");
    }
    for meter in 1..=METERS {
        unit(&format!("em{meter}"), 200 + meter, "eastron-sdm630");
    }
    for sump in 1..=SUMPS {
        let _infallible = write!(
            text,
            "[[device]]\nid = \"sump-{sump}\"\nclass = \"sump\"\nen = \"Sump {sump}\"\n[device.numbers]\narea_m2 = 4.0\nfloor_m = 2.4\n\
             [device.points]\nlevel_m = \"lt{sump}.level_m\"\npump1_running = \"di{sump}.in1\"\n"
        );
    }
    for meter in 1..=METERS {
        let _infallible = write!(
            text,
            "[[device]]\nid = \"meter-{meter}\"\nclass = \"meter\"\nen = \"Meter {meter}\"\nunit = \"em{meter}\"\n"
        );
    }
    let loaded = config::load_texts(&Texts { files: vec![("a.toml".into(), text)] }, None);
    let said = loaded.problems.iter().map(ToString::to_string).filter(|said| said.contains("flood level")).collect();
    (said, loaded.configuration)
}

/// Answers each request after a time with zeros.
async fn serve(mut wire: tokio::io::DuplexStream, takes: Duration) {
    let mut ask = [0u8; 12];
    while wire.read_exact(&mut ask).await.is_ok() {
        tokio::time::sleep(takes).await;
        let count = u16::from_be_bytes([ask[10], ask[11]]);
        let bytes = if ask[7] < 3 { count.div_ceil(8) } else { count * 2 };
        let bytes = u8::try_from(bytes).unwrap();
        let mut answer = vec![ask[0], ask[1], 0, 0, 0, 3 + bytes, ask[6], ask[7], bytes];
        answer.resize(9 + usize::from(bytes), 0);
        if wire.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Readings by device and group of two minutes at each rank, and the cycles that were skipped.
fn run(bus: &BusConfig, takes_ms: u64, ranks: &[u8]) -> (Vec<BTreeMap<String, usize>>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let began = Instant::now();
        let clock = Clock::simulated(move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let readings: Arc<Mutex<Vec<Reading>>> = Arc::default();
        let to = Arc::clone(&readings);
        let health = Arc::new(BusHealth::new(bus.units.len()));
        let deliver = Arc::new(move |reading| to.lock().unwrap().push(reading));
        let mut worker = LinkWorker::new(bus, clock, Arc::clone(&health), deliver);
        let dialer: Dialer = Arc::new(move || {
            Box::pin(async move {
                let (ours, theirs) = tokio::io::duplex(4_096);
                tokio::spawn(serve(theirs, Duration::from_millis(takes_ms)));
                let wire: BoxedByteStream = Box::new(ours);
                Ok(wire)
            })
        });
        worker.simulate(dialer, 1);
        let (_asks, receiver) = tokio::sync::mpsc::channel(1);
        let stop = CancellationToken::new();
        let polling = worker.run(receiver, stop.clone());
        tokio::pin!(polling);
        let mut counts = Vec::new();
        for rank in ranks {
            health.flood_rank.store(*rank, Ordering::Relaxed);
            // The first ten seconds belong to the change.
            for seconds in [10, 120] {
                readings.lock().unwrap().clear();
                tokio::select! {
                    () = &mut polling => panic!("it ended"),
                    () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                }
            }
            let mut count: BTreeMap<String, usize> = BTreeMap::new();
            for reading in readings.lock().unwrap().iter().filter(|r| matches!(r.body, Body::Samples { .. })) {
                *count.entry(format!("{} {}", reading.stream.device, reading.stream.source)).or_default() += 1;
            }
            counts.push(count);
        }
        let skipped = (0..bus.units.len()).filter_map(|i| health.with_unit(i, |unit| unit.skipped_cycles)).sum();
        (counts, skipped)
    })
}

#[test]
fn a_storm_at_two_seconds_costs_no_other_device_its_poll() {
    let (said, configuration) = site(8, "[flood]");
    assert_eq!(said, [] as [String; 0]);
    let bus = &configuration.unwrap().buses[0];
    // Without a level, at blue, at orange, and without one again.
    let (counts, skipped) = run(bus, 8, &[0, 1, 3, 0]);
    assert_eq!(skipped, 0);
    let near = |count: usize, wanted: usize| count.abs_diff(wanted) <= 1;
    for (count, water) in counts.iter().zip([12, 24, 60, 12]) {
        let sumps: Vec<_> = count.iter().filter(|(name, _)| name.starts_with("sump")).collect();
        assert_eq!(sumps.len(), 2 * SUMPS);
        assert!(sumps.iter().all(|(_, n)| near(**n, water)), "{water}: {sumps:?}");
        // Whatever the level, each group of each meter is read as often as without one.
        for (name, n) in count.iter().filter(|(name, _)| name.starts_with("meter")) {
            assert!(near(*n, counts[0][name]), "{name}: {n} of {}", counts[0][name]);
        }
    }
}

#[test]
fn a_bus_that_could_not_carry_it_reads_the_rest_less_often_or_is_refused() {
    // 40 units of water every two seconds at 20 ms each are 40 % and ten meters at 1 s take the rest.
    let (said, configuration) = site(19, "[flood]");
    let bus = &configuration.unwrap().buses[0];
    let slowed =
        bus.units.iter().flat_map(|unit| &unit.groups).any(|group| group.interval_at_ms(3) > group.interval_ms);
    assert_eq!(slowed, said.iter().any(|said| said.contains("as seldom")), "{said:?}");
    let (said, configuration) = site(19, "[flood]\npoll = { blue = \"500ms\", orange = \"500ms\" }");
    assert!(configuration.is_none() && said.iter().any(|said| said.contains("cannot carry flood level")), "{said:?}");
}
