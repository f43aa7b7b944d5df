//! Odd devices after public reports, on the simulated bus: what the gateway asks, what it publishes, what it says of it. Each device is
//! a closure from a request to what it does; a run is some minutes of simulated time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plantroom::clock::Clock;
use plantroom::link::connect::{BoxedByteStream, Dialer};
use plantroom::link::frame::{Lenient, crc16};
use plantroom::link::serial::PortSettings;
use plantroom::link::settings::{LinkSettings, LinkTransport};
use plantroom::model::line::{Parity, SerialParams};
use plantroom::model::quality::Cause;
use plantroom::model::reading::Reading;
use plantroom::poll::BusConfig;
use plantroom::poll::bus::LinkWorker;
use plantroom::poll::health::{BusHealth, UnitHealth, UnitPresence};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::field::{Random, link, profile, unit};

/// A request as a device sees it.
#[derive(Clone, Copy, Debug)]
struct Ask {
    /// Milliseconds since the start.
    ms: u64,
    /// Which connection, from 0.
    conn: u64,
    unit: u8,
    function: u8,
    address: u16,
    count: u16,
}

impl Ask {
    fn covers(&self, address: u16) -> bool {
        (self.address..self.address + self.count).contains(&address)
    }
}

/// What it does.
#[derive(Clone, Debug)]
enum Act {
    Good,
    Exception(u8),
    Silence,
    /// Ends the connection instead of answering.
    Close,
    /// Answers and ends it.
    GoodAndClose,
    /// Answers after milliseconds.
    Late(u64),
    /// Answers under another unit.
    AsUnit(u8),
    /// Answers under transaction 0.
    AsTransaction(u16),
    /// Answers with this behind it.
    Trailing(&'static [u8]),
    /// Answers with a register less.
    Short,
    /// Answers with this before it.
    Leading(&'static [u8]),
    /// A bit of the answer is wrong.
    Spoilt(u64),
}

fn truth(unit: u8, address: u16) -> u16 {
    u16::from(unit).wrapping_mul(4_099).wrapping_add(address.wrapping_mul(13)).wrapping_add(7)
}

type Device = Arc<dyn Fn(Ask) -> Act + Send + Sync>;

/// Milliseconds, unit, samples.
type Row = (u64, u8, Vec<Result<u16, Cause>>);

/// What came of a run.
struct Run {
    /// Milliseconds, unit, and each point's good value or cause, of each reading.
    readings: Vec<Row>,
    asks: Vec<Ask>,
    health: Vec<UnitHealth>,
    connects: u64,
    last_rejected: String,
    points: Vec<u16>,
}

impl Run {
    /// Share of good samples of a point, of readings from a moment on.
    fn share(&self, unit: u8, address: u16, from_ms: u64) -> f64 {
        let i = self.points.iter().position(|a| *a == address).unwrap();
        let of: Vec<bool> =
            self.readings.iter().filter(|r| r.1 == unit && r.0 >= from_ms).map(|r| r.2[i].is_ok()).collect();
        let good = u32::try_from(of.iter().filter(|g| **g).count()).unwrap();
        f64::from(good) / f64::from(u32::try_from(of.len().max(1)).unwrap())
    }

    fn causes(&self, address: u16, from_ms: u64) -> Vec<Cause> {
        let i = self.points.iter().position(|a| *a == address).unwrap();
        self.readings.iter().filter(|r| r.0 >= from_ms).filter_map(|r| r.2[i].err()).collect()
    }
}

struct Plant {
    rtu: bool,
    every_ms: u64,
    points: Vec<u16>,
    units: Vec<u8>,
    settings: Box<dyn Fn(&mut LinkSettings)>,
    seconds: u64,
    retries: u32,
    /// When a reload tells the bus to forget, milliseconds.
    reload_ms: Option<u64>,
    /// Milliseconds during which no connection is taken.
    down: std::ops::Range<u64>,
}

impl Plant {
    fn new(points: &[u16], seconds: u64) -> Self {
        Self {
            rtu: false,
            every_ms: 1_000,
            points: points.to_vec(),
            units: vec![1],
            settings: Box::new(|_| {}),
            seconds,
            retries: 1,
            reload_ms: None,
            down: 0..0,
        }
    }

    fn run(self, device: impl Fn(Ask) -> Act + Send + Sync + 'static) -> Run {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(self.simulate(Arc::new(device)))
    }

    async fn simulate(self, device: Device) -> Run {
        let began = Instant::now();
        let clock = Clock::simulated(move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let named: Vec<(String, u8, u16)> = self.points.iter().map(|a| (format!("x_r{a:05}"), 3, *a)).collect();
        let every = format!("{}ms", self.every_ms);
        let profile = Arc::new(profile(&named, &every));
        let mut settings = link(self.rtu, Lenient::default());
        (self.settings)(&mut settings);
        let units = self.units.iter().map(|u| {
            let mut unit = unit(*u, &profile, &named, self.every_ms);
            unit.retries = self.retries;
            unit
        });
        let config = BusConfig { link: settings, units: units.collect() };
        let health = Arc::new(BusHealth::new(self.units.len()));
        let readings: Arc<Mutex<Vec<Reading>>> = Arc::default();
        let to = Arc::clone(&readings);
        let mut bus = LinkWorker::new(
            &config,
            clock,
            Arc::clone(&health),
            Arc::new(move |reading| to.lock().unwrap().push(reading)),
        );
        let asks: Arc<Mutex<Vec<Ask>>> = Arc::default();
        let connects = Arc::new(AtomicU64::new(0));
        let (a, c, rtu, down) = (Arc::clone(&asks), Arc::clone(&connects), self.rtu, self.down.clone());
        let dialer: Dialer = Arc::new(move || {
            let (device, asks) = (Arc::clone(&device), Arc::clone(&a));
            let is_down = down.contains(&u64::try_from(began.elapsed().as_millis()).unwrap());
            let conn = c.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if is_down {
                    return Err(std::io::ErrorKind::ConnectionRefused.into());
                }
                let (ours, theirs) = tokio::io::duplex(4_096);
                tokio::spawn(serve(device, asks, theirs, rtu, began, conn));
                let wire: BoxedByteStream = Box::new(ours);
                Ok(wire)
            })
        });
        bus.simulate(dialer, 7);
        let (_asks, receiver) = tokio::sync::mpsc::channel(1);
        if let Some(ms) = self.reload_ms {
            let health = Arc::clone(&health);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                health.should_reset_learned.store(true, Ordering::SeqCst);
            });
        }
        let _ended =
            tokio::time::timeout(Duration::from_secs(self.seconds), bus.run(receiver, CancellationToken::default()))
                .await;
        let readings = rows(&readings.lock().unwrap(), &self.points);
        let asks = asks.lock().unwrap().clone();
        let of = |i: usize| health.with_unit(i, |h| h.clone()).unwrap();
        Run {
            readings,
            asks,
            health: (0..self.units.len()).map(of).collect(),
            connects: connects.load(Ordering::SeqCst),
            last_rejected: health.counters.last_rejected(),
            points: self.points,
        }
    }
}

/// The readings as rows; no good value may differ from the truth.
fn rows(readings: &[Reading], points: &[u16]) -> Vec<Row> {
    let sample = |r: &Reading, i: usize| match r.sample(i) {
        Some(Ok(v)) => Ok(v.as_decimal().unwrap().try_into().unwrap()),
        Some(Err(cause)) => Err(cause),
        None => unreachable!("nothing is thinned"),
    };
    let row = |r: &Reading| -> Row {
        let unit = r.stream.device.parse().unwrap();
        let samples: Vec<Result<u16, Cause>> = (0..points.len()).map(|i| sample(r, i)).collect();
        for (value, address) in samples.iter().zip(points) {
            assert!(value.is_err() || *value == Ok(truth(unit, *address)), "unit {unit} {address}: {value:?}");
        }
        (r.at.mono.0, unit, samples)
    };
    readings.iter().map(row).collect()
}

async fn serve(
    device: Device,
    asks: Arc<Mutex<Vec<Ask>>>,
    mut stream: tokio::io::DuplexStream,
    rtu: bool,
    began: Instant,
    conn: u64,
) {
    let size = if rtu { 8 } else { 12 };
    let mut bytes = [0u8; 12];
    while stream.read_exact(&mut bytes[..size]).await.is_ok() {
        let p = if rtu { 0 } else { 6 };
        let word = |i: usize| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap();
        let ask = Ask { ms, conn, unit: bytes[p], function: bytes[p + 1], address: word(p + 2), count: word(p + 4) };
        asks.lock().unwrap().push(ask);
        let act = device(ask);
        let words = (0..ask.count).flat_map(|i| truth(ask.unit, ask.address + i).to_be_bytes());
        let mut pdu = vec![ask.function, u8::try_from(ask.count * 2).unwrap()];
        pdu.extend(words);
        if matches!(act, Act::Short) {
            pdu.truncate(pdu.len() - 2);
            pdu[1] -= 2;
        }
        if let Act::Exception(code) = act {
            pdu = vec![ask.function | 0x80, code];
        }
        let unit = if let Act::AsUnit(unit) = act { unit } else { ask.unit };
        let id = if let Act::AsTransaction(id) = act { id } else { word(0) };
        let mut frame = if rtu {
            let mut out = [&[unit][..], &pdu].concat();
            out.extend(crc16(&out).to_le_bytes());
            out
        } else {
            let length = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
            [&id.to_be_bytes()[..], &[0, 0], &length, &[unit], &pdu].concat()
        };
        match act {
            Act::Silence => continue,
            Act::Close => return,
            Act::Late(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Act::Trailing(bytes) => frame.extend(bytes),
            Act::Leading(bytes) => frame = [bytes, &frame].concat(),
            Act::Spoilt(bit) => {
                let at = usize::try_from(bit).unwrap() % (frame.len() * 8);
                frame[at / 8] ^= 1 << (at % 8);
            }
            _ => {}
        }
        if stream.write_all(&frame).await.is_err() || matches!(act, Act::GoodAndClose) {
            return;
        }
    }
}

/// Three blocks of two registers.
const THREE: [u16; 6] = [0, 1, 1_000, 1_001, 2_000, 2_001];

#[test]
fn a_connection_that_ends_after_each_answer_costs_nothing() {
    let run = Plant::new(&THREE, 60).run(|_| Act::GoodAndClose);
    assert!(THREE.iter().all(|a| run.share(1, *a, 0) >= 1.0));
    // And one that was closed while it was idle: the request is sent again at once.
    let last = Arc::new(AtomicU64::new(0));
    let plant = Plant { every_ms: 6_000, ..Plant::new(&THREE, 90) };
    let run = plant.run(move |ask| {
        let before = last.swap(ask.ms, Ordering::SeqCst);
        if ask.ms - before > 4_000 && before > 0 { Act::Close } else { Act::Good }
    });
    assert!(THREE.iter().all(|a| run.share(1, *a, 0) >= 1.0), "{:?}", run.readings.last());
}

#[test]
fn a_device_that_serves_one_client_gets_its_connection_closed_after_each_cycle() {
    let settings = Box::new(|s: &mut LinkSettings| s.close_after_cycle = true);
    let run = Plant { settings, ..Plant::new(&THREE, 20) }.run(|_| Act::Good);
    assert!(THREE.iter().all(|a| run.share(1, *a, 0) >= 1.0));
    assert!((15..=25).contains(&run.connects), "one for each cycle: {}", run.connects);
    assert_eq!(run.health[0].presence, UnitPresence::Online);
}

#[test]
fn a_reset_for_what_it_does_not_know_is_that_blocks_affair() {
    let run = Plant::new(&THREE, 90).run(|ask| if ask.covers(1_001) { Act::Close } else { Act::Good });
    for address in [0, 1, 1_000, 2_000, 2_001] {
        assert!(run.share(1, address, 60_000) >= 0.9, "{address}: {}", run.share(1, address, 60_000));
    }
    assert!(run.causes(1_001, 10_000).iter().all(|c| *c == Cause::Closed), "said as it is");
    assert_eq!(run.health[0].presence, UnitPresence::Degraded);
    let holes = run.health[0].unreadable_ranges.join("\n");
    assert!(holes.contains("function 3 address 1001+1 (x_r01001): closed since 1970-01-01T00:00:0"), "{holes}");
}

#[test]
fn what_a_booting_device_refuses_is_back_soon_and_in_one_request() {
    let points: Vec<u16> = (0..40).collect();
    for code in [1, 2, 3, 4] {
        let run = Plant::new(&points, 120).run(move |a| if a.ms < 6_000 { Act::Exception(code) } else { Act::Good });
        assert!(points.iter().all(|a| run.share(1, *a, 30_000) >= 1.0), "exception {code}");
        let late: Vec<&Ask> = run.asks.iter().filter(|a| a.ms > 100_000).collect();
        assert!(late.len() <= 21 && late.iter().all(|a| a.count == 40), "exception {code}: {} requests", late.len());
        assert_eq!(run.health[0].presence, UnitPresence::Online);
    }
    // One block of three, and one refusal in the fifth read.
    let run = Plant::new(&THREE, 60)
        .run(|a| if a.ms < 6_000 && a.address / 1_000 == 1 { Act::Exception(2) } else { Act::Good });
    assert!(THREE.iter().all(|a| run.share(1, *a, 30_000) >= 1.0));
    let count = AtomicU64::new(0);
    let run = Plant::new(&[0, 1_000, 2_000], 60).run(move |a| {
        let is_fifth = a.address == 1_000 && count.fetch_add(1, Ordering::SeqCst) == 4;
        if is_fifth { Act::Exception(3) } else { Act::Good }
    });
    assert!(run.causes(1_000, 0).len() <= 1, "a passing refusal costs one sample: {:?}", run.causes(1_000, 0));
}

#[test]
fn silence_of_a_block_is_not_the_units() {
    // The first of three, two of four, all reads of more than ten registers.
    let first = Plant::new(&THREE, 60).run(|a| if a.address == 0 { Act::Silence } else { Act::Good });
    assert!(THREE[2..].iter().all(|a| first.share(1, *a, 20_000) >= 1.0));
    let causes = first.causes(0, 20_000);
    assert!(!causes.is_empty() && causes.iter().all(|c| *c == Cause::Timeout), "silent is not refused: {causes:?}");
    assert_eq!(first.health[0].presence, UnitPresence::Degraded);
    let tries = first.asks.iter().filter(|a| a.address == 0 && a.ms > 10_000).count();
    assert!(tries <= 4, "asked again after 10, 20, 40 s: {tries}");

    let four = [0, 1_000, 2_000, 3_000];
    let two = Plant::new(&four, 60).run(|a| if [0, 1_000].contains(&a.address) { Act::Silence } else { Act::Good });
    assert!([2_000, 3_000].iter().all(|a| two.share(1, *a, 20_000) >= 1.0), "two silent ones do not hide the others");

    let forty: Vec<u16> = (0..40).collect();
    let long = Plant::new(&forty, 60).run(|a| if a.count > 10 { Act::Silence } else { Act::Good });
    assert!(forty.iter().all(|a| long.share(1, *a, 30_000) >= 0.9), "{}", long.share(1, 0, 30_000));
    assert!(
        long.health[0].unreadable_ranges.join("").contains("requests more than planned"),
        "{:?}",
        long.health[0].unreadable_ranges
    );
}

#[test]
fn the_gateways_own_time_out_for_one_block_does_not_end_the_cycle() {
    let run = Plant::new(&THREE, 30).run(|a| if a.address == 0 { Act::Exception(11) } else { Act::Good });
    assert!(THREE[2..].iter().all(|a| run.share(1, *a, 0) >= 1.0));
    assert!(run.causes(0, 0).contains(&Cause::GatewayNoAnswer));
}

#[test]
fn a_mute_connection_is_made_anew_on_rtu_over_tcp_as_on_tcp() {
    for rtu in [false, true] {
        let plant = Plant { rtu, units: vec![1, 2], ..Plant::new(&THREE, 60) };
        let run = plant.run(|a| if a.conn == 0 && a.ms > 6_000 { Act::Silence } else { Act::Good });
        for unit in [1, 2] {
            assert!(THREE.iter().all(|a| run.share(unit, *a, 25_000) >= 1.0), "rtu {rtu} unit {unit}");
        }
    }
}

#[test]
fn a_link_with_slow_polls_is_found_alive_again_without_waiting_for_them() {
    for every_ms in [30_000, 600_000] {
        let plant = Plant { every_ms, ..Plant::new(&THREE, 3_000) };
        // Well for one poll, away for the next ones, well again; the connection that was there stays mute.
        let (gone, back) = (every_ms + 500, every_ms * 2 + 40_000);
        let run =
            plant.run(move |a| if a.ms > gone && (a.ms < back || a.conn == 0) { Act::Silence } else { Act::Good });
        let good = run.readings.iter().find(|r| r.0 > back && r.2[0].is_ok()).map(|r| r.0);
        assert!(good.is_some_and(|ms| ms < back + 70_000), "every {every_ms} ms: back at {back}, read at {good:?}");
    }
}

#[test]
fn an_idle_flow_that_was_dropped_is_found_within_one_time_out() {
    let plant = Plant { every_ms: 30_000, ..Plant::new(&[0], 200) };
    let run = plant.run(|a| if a.conn == 0 && a.ms > 45_000 { Act::Silence } else { Act::Good });
    assert!(run.share(1, 0, 0) >= 1.0, "asked again on a new connection in the same cycle");
}

#[test]
fn odd_unit_and_transaction_ids_through_a_setting_and_named_without() {
    let as_unit_1 = |s: &mut LinkSettings| s.lenient.any_unit = true;
    let plant = Plant { units: vec![3], settings: Box::new(as_unit_1), ..Plant::new(&THREE, 20) };
    let run = plant.run(|_| Act::AsUnit(1));
    assert!(THREE.iter().all(|a| run.share(3, *a, 0) >= 1.0));
    let strict = Plant { units: vec![3], ..Plant::new(&THREE, 20) }.run(|_| Act::AsUnit(1));
    assert_eq!(strict.last_rejected, "unit id 1 where 3 was expected (any_unit = true accepts it)");

    let ignore = |s: &mut LinkSettings| s.lenient.any_transaction = true;
    let plant = Plant { settings: Box::new(ignore), ..Plant::new(&THREE, 30) };
    let run = plant.run(|_| Act::AsTransaction(0));
    assert!(THREE.iter().all(|a| run.share(1, *a, 0) >= 1.0));
    let strict = Plant::new(&THREE, 20).run(|_| Act::AsTransaction(0));
    assert!(strict.last_rejected.starts_with("transaction id 0 where "), "{}", strict.last_rejected);
    // Unit 0 in one answer of seven.
    let n = AtomicU64::new(0);
    let plant = Plant { units: vec![1, 19], ..Plant::new(&THREE, 60) };
    let run = plant.run(move |_| if n.fetch_add(1, Ordering::SeqCst) % 7 == 6 { Act::AsUnit(0) } else { Act::Good });
    assert!(THREE.iter().all(|a| run.share(19, *a, 0) >= 0.95));
}

#[test]
fn surplus_bytes_behind_a_frame_cost_nothing() {
    for rtu in [false, true] {
        for bytes in [&[0u8][..], &[0, 0], &[0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF]] {
            let run = Plant { rtu, ..Plant::new(&THREE, 30) }.run(move |_| Act::Trailing(bytes));
            assert!(THREE.iter().all(|a| run.share(1, *a, 3_000) >= 1.0), "rtu {rtu} {bytes:?}");
            assert_eq!(run.connects, 1);
        }
    }
}

#[test]
fn late_answers_are_named_and_a_time_out_may_grow() {
    for rtu in [false, true] {
        let run = Plant { rtu, ..Plant::new(&[0], 30) }.run(|a| if a.ms > 5_000 { Act::Late(250) } else { Act::Good });
        let remark = &run.health[0].late_answer_hint;
        assert!(remark.starts_with("answers after 0.25"), "rtu {rtu}: {remark}");
        assert!(remark.contains("the time-out is 0.200 s: raise `timeout_ms`"), "rtu {rtu}: {remark}");
        let grows = Box::new(|s: &mut LinkSettings| s.timeout_max_ms = Some(1_000));
        let plant = Plant { rtu, settings: grows, ..Plant::new(&[0], 60) };
        let run = plant.run(|a| if a.ms > 5_000 { Act::Late(250) } else { Act::Good });
        assert!(run.share(1, 0, 30_000) >= 1.0, "rtu {rtu}: {:?}", run.health[0].late_answer_hint);
    }
}

#[test]
fn spoilt_answers_are_asked_for_once_more_within_the_bus_budget() {
    for (one_in, least) in [(5, 0.90), (50, 0.999)] {
        let random = Mutex::new(Random::new(11));
        let plant = Plant { rtu: true, units: (1..=10).collect(), ..Plant::new(&[0, 1, 2, 3], 900) };
        let run = plant.run(move |_| {
            let mut random = random.lock().unwrap();
            if random.one_in(one_in) { Act::Spoilt(random.below(1_000)) } else { Act::Good }
        });
        let shares: f64 = (1..=10).map(|u| run.share(u, 0, 0)).sum::<f64>() / 10.0;
        assert!(shares >= least, "one in {one_in}: {shares}");
        assert!(run.health.iter().all(|h| h.retries > 0));
    }
    // Without retries the same line loses what it spoils.
    let random = Mutex::new(Random::new(11));
    let run = Plant { rtu: true, retries: 0, ..Plant::new(&[0], 300) }.run(move |_| {
        let mut random = random.lock().unwrap();
        if random.one_in(5) { Act::Spoilt(random.below(1_000)) } else { Act::Good }
    });
    assert!(run.share(1, 0, 0) < 0.9);
}

#[test]
fn a_dead_unit_costs_its_neighbours_nothing_and_a_dying_one_little() {
    for rtu in [false, true] {
        let plant = Plant { rtu, units: (1..=10).collect(), ..Plant::new(&[0, 1], 120) };
        let run = plant.run(|a| if a.unit == 4 { Act::Silence } else { Act::Good });
        let readings: BTreeMap<u8, usize> =
            (1..=10).map(|u| (u, run.readings.iter().filter(|r| r.1 == u).count())).collect();
        assert!(readings.values().all(|n| *n >= 118), "rtu {rtu}: {readings:?}");
        assert!((1..=10).filter(|u| *u != 4).all(|u| run.share(u, 0, 0) >= 1.0));
        let plant = Plant { rtu, units: (1..=10).collect(), ..Plant::new(&[0, 1], 120) };
        let run = plant.run(|a| if a.unit == 4 && a.ms > 60_000 { Act::Silence } else { Act::Good });
        let least = (1..=10).map(|u| run.readings.iter().filter(|r| r.1 == u && r.2[0].is_ok()).count());
        assert!(least.enumerate().all(|(u, n)| u == 3 || n >= 115), "rtu {rtu}");
    }
}

#[test]
fn what_was_learned_is_forgotten_when_the_link_was_lost() {
    let plant = Plant { down: 30_000..32_000, ..Plant::new(&THREE, 120) };
    // Refused for half a minute; then the link goes down, and the device that comes back knows everything.
    let run = plant.run(|a| match a {
        Ask { ms: 30_000..32_000, .. } => Act::Close,
        Ask { conn: 0, address: 1_000..1_002, .. } => Act::Exception(2),
        _ => Act::Good,
    });
    assert!(run.connects >= 2);
    let back = run.readings.iter().find(|r| r.0 > 32_000 && r.2[0].is_ok()).unwrap();
    assert!(back.2[2].is_ok(), "asked for in the first cycle of the new connection: {back:?}");
}

#[test]
fn what_was_learned_is_forgotten_at_a_reload_without_a_missed_cycle() {
    let plant = Plant { reload_ms: Some(36_500), ..Plant::new(&THREE, 60) };
    let run = plant.run(|a| if a.ms < 36_000 && a.covers(1_000) { Act::Exception(2) } else { Act::Good });
    let after: Vec<_> = run.readings.iter().filter(|r| r.0 > 37_500).collect();
    assert!(after.iter().all(|r| r.2[2].is_ok()), "asked for at once, not when its pause is over");
    assert!(run.readings.windows(2).all(|w| w[1].0 - w[0].0 <= 1_100), "no cycle is missed");
}

#[test]
fn a_unit_of_which_everything_is_left_out_is_seen_to_be_gone() {
    let run = Plant::new(&THREE, 120).run(|a| if a.ms < 40_000 { Act::Exception(2) } else { Act::Silence });
    assert_eq!(run.health[0].presence, UnitPresence::Offline, "{:?}", run.health[0].unreadable_ranges);
}

#[test]
fn a_unit_that_refuses_everything_costs_a_serial_line_little() {
    let points: Vec<u16> = (0..40).map(|i| i * 3).collect();
    let plant = Plant { rtu: true, units: vec![1, 2], ..Plant::new(&points, 120) };
    let run = plant.run(|a| if a.unit == 1 { Act::Exception(2) } else { Act::Good });
    assert_eq!([&run.health[0], &run.health[1]].map(|h| h.presence), [UnitPresence::Refusing, UnitPresence::Online]);
    let gaps: Vec<u64> = {
        let at: Vec<u64> = run.readings.iter().filter(|r| r.1 == 2 && r.2[0].is_ok()).map(|r| r.0).collect();
        at.windows(2).map(|w| w[1] - w[0]).collect()
    };
    assert!(gaps.len() > 100 && gaps.iter().all(|g| *g < 3_500), "{:?}", gaps.iter().max());
}

#[test]
fn a_unit_that_refuses_a_part_is_degraded_and_one_that_gives_again_is_online() {
    let run = Plant::new(&THREE, 60).run(|a| if a.covers(1_000) { Act::Exception(2) } else { Act::Good });
    assert_eq!(run.health[0].presence, UnitPresence::Degraded);
    let run = Plant::new(&THREE, 60).run(|_| Act::Exception(2));
    assert_eq!((run.health[0].presence, run.health[0].cause), (UnitPresence::Refusing, Some(Cause::IllegalAddress)));
    let run = Plant::new(&THREE, 400).run(|a| if a.ms < 20_000 { Act::Exception(2) } else { Act::Good });
    assert_eq!(run.health[0].presence, UnitPresence::Online);
}

#[test]
fn a_slow_unit_with_a_mute_register_is_split_all_the_same() {
    for mute in [0, 1] {
        let plant = Plant { every_ms: 15_000, ..Plant::new(&[0, 1], 300) };
        let run = plant.run(move |a| if a.covers(mute) { Act::Silence } else { Act::Good });
        assert!(run.share(1, 1 - mute, 150_000) >= 0.9, "register {mute} mute: {}", run.share(1, 1 - mute, 150_000));
        assert!(run.asks.len() < 200, "register {mute} mute: {} requests", run.asks.len());
    }
}

#[test]
fn a_line_with_junk_before_each_answer_is_read() {
    for junk in [&[0xFFu8, 0xFF][..], &[0, 0xFF, 0, 0xFF, 0, 0xFF]] {
        let run = Plant { rtu: true, ..Plant::new(&[0, 1], 30) }.run(move |_| Act::Leading(junk));
        assert!(run.share(1, 0, 3_000) >= 1.0, "{junk:?}");
    }
}

#[test]
fn a_unit_that_comes_back_among_dead_ones_is_asked_in_its_turn() {
    for rtu in [false, true] {
        let plant = Plant { rtu, every_ms: 2_000, units: (1..=8).collect(), ..Plant::new(&[0], 240) };
        let run = plant.run(|a| match a.unit {
            6 | 7 => Act::Silence,
            8 if a.ms < 40_000 => Act::Silence,
            _ => Act::Good,
        });
        let back = run.readings.iter().find(|r| r.1 == 8 && r.2[0].is_ok()).map(|r| r.0);
        assert!(back.is_some_and(|ms| ms < 100_000), "rtu {rtu}: {back:?}");
        assert!((1..=5).all(|u| run.share(u, 0, 0) >= 1.0));
    }
}

#[test]
fn a_short_answer_and_late_ones_do_not_cost_a_serial_line_its_cycles() {
    // One register short in every sixth answer, with a good checksum.
    let n = AtomicU64::new(0);
    let plant = Plant { rtu: true, ..Plant::new(&THREE, 80) };
    let run = plant.run(move |_| if n.fetch_add(1, Ordering::SeqCst) % 6 == 5 { Act::Short } else { Act::Good });
    assert!(THREE.iter().all(|a| run.share(1, *a, 20_000) >= 0.9), "{}", run.share(1, 0, 20_000));
    assert!(run.readings.len() >= 70, "{} cycles", run.readings.len());
    assert_eq!(run.last_rejected, "2 data bytes where 4 were expected");
    // Answers that come now before and now after the time-out: nothing is split or left out for that.
    let n = AtomicU64::new(0);
    let plant = Plant { rtu: true, every_ms: 3_000, ..Plant::new(&THREE, 300) };
    let run = plant.run(move |_| Act::Late(n.fetch_add(1, Ordering::SeqCst) * 37 % 290));
    assert!(run.health[0].unreadable_ranges.is_empty(), "{:?}", run.health[0].unreadable_ranges);
}

#[test]
fn a_serial_port_that_is_gone_is_tried_each_second() {
    let serial = |s: &mut LinkSettings| {
        s.transport = LinkTransport::Serial(PortSettings {
            path: "simulated".into(),
            line: SerialParams { baud: 9_600, parity: Parity::None, stop_bits: 1 },
            min_silence_us: 0,
        });
    };
    let plant = Plant { rtu: true, settings: Box::new(serial), down: 10_000..90_000, ..Plant::new(&[0], 120) };
    let run = plant.run(|a| if a.ms > 10_000 && a.conn == 0 { Act::Close } else { Act::Good });
    let back = run.readings.iter().find(|r| r.0 > 80_000 && r.2[0].is_ok()).map(|r| r.0);
    assert!(back.is_some_and(|ms| (90_000..93_000).contains(&ms)), "{back:?}");
}

#[test]
fn pauses_of_probing_end_with_the_connection_that_they_were_for() {
    // Dead for so long that it is probed once a minute; then the link goes down, and what comes back is well.
    let plant = Plant { down: 200_000..270_000, ..Plant::new(&[0], 320) };
    let run = plant.run(|a| if a.ms < 200_000 { Act::Silence } else { Act::Good });
    let back = run.readings.iter().find(|r| r.2[0].is_ok()).map(|r| r.0);
    assert!(back.is_some_and(|ms| ms < 285_000), "{back:?}");
}
