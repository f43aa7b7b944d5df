//! A simulated bus with odd devices on a simulated clock: whatever a device does, a good value is one that it had between the request and
//! its receipt. What a wire without transaction ids cannot tell apart (docs/operations.md) is left out: answers later than the guard
//! time, copies later than the settle time. Of a device that answers both twice and late the value may be as old as the first of
//! the requests that were made for it in that cycle.
//!
//! `SEED=n` runs one seed and prints what went over the wire; `SEEDS=n` sets how many are run (10,000).

#![allow(clippy::print_stdout, clippy::type_complexity, reason = "what a failing seed did is printed")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plantroom::clock::Clock;
use plantroom::link::connect::{BoxedByteStream, Dialer};
use plantroom::link::frame::{Lenient, crc16};
use plantroom::link::settings::{LinkSettings, LinkTransport};
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::reading::{Body, Reading};
use plantroom::model::stream::Stream;
use plantroom::model::value::Value;
use plantroom::poll::bus::LinkWorker;
use plantroom::poll::health::BusHealth;
use plantroom::poll::{BusConfig, DeviceMapping, GroupConfig, UnitConfig};
use plantroom::profile::Profile;
use plantroom::profile::vocabulary::Vocabulary;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub const TIMEOUT_MS: u64 = 200;
/// A copy comes at most so long after the answer: less than the least settle time.
const COPY_MS: u64 = 40;
/// The truth stays for so long.
const STEP_US: u64 = 100_000;

/// xorshift: the same numbers for the same seed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}

/// One in how many answers a device does what; 0 never.
#[derive(Clone, Debug, Default)]
struct Habits {
    late: u64,
    ahead: u64,
    repeats: u64,
    echoes: u64,
    glued: u64,
    split: u64,
    closes: u64,
    resets: u64,
    mute: u64,
    foreign: u64,
    spoilt: u64,
    refuses: u64,
    trailing: u64,
}

impl Habits {
    /// A few of them, each now and then or always.
    fn new(random: &mut Random) -> Self {
        let mut h = Self::default();
        for field in [
            &mut h.late,
            &mut h.ahead,
            &mut h.repeats,
            &mut h.echoes,
            &mut h.glued,
            &mut h.split,
            &mut h.closes,
            &mut h.resets,
            &mut h.mute,
            &mut h.foreign,
            &mut h.spoilt,
            &mut h.refuses,
            &mut h.trailing,
        ] {
            if random.one_in(4) {
                *field = [1, 2, 3, 5, 9][usize::try_from(random.below(5)).unwrap()];
            }
        }
        // A device that never answers, or only too late, tells nothing.
        for field in [&mut h.mute, &mut h.late, &mut h.resets, &mut h.refuses, &mut h.spoilt] {
            *field = if *field == 1 { 2 } else { *field };
        }
        h
    }
}

/// What a register holds at a moment.
fn truth(unit: u8, area: u8, address: u16, us: u64) -> u16 {
    let mixed = u64::from(unit) * 4_099 + u64::from(area) * 257 + u64::from(address) * 13 + us / STEP_US * 7_919;
    u16::try_from(mixed.wrapping_mul(0x9E37_79B9) >> 7 & 0xFFFF).unwrap()
}

fn bit(unit: u8, area: u8, address: u16, us: u64) -> bool {
    truth(unit, area, address, us) & 1 == 1
}

/// Everything that a run shares.
struct World {
    random: Mutex<Random>,
    habits: Habits,
    rtu: bool,
    /// Answers are told apart by their shape only.
    is_ambiguous: bool,
    began: Instant,
    loud: bool,
    /// Moments at which a block was asked for: (unit, function, address, count).
    asked: Mutex<BTreeMap<(u8, u8, u16, u16), Vec<u64>>>,
}

#[derive(Clone, Copy)]
struct Ask {
    id: [u8; 2],
    unit: u8,
    function: u8,
    address: u16,
    count: u16,
}

impl World {
    fn us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    fn one_in(&self, n: u64) -> bool {
        self.random.lock().unwrap().one_in(n)
    }

    fn below(&self, n: u64) -> u64 {
        self.random.lock().unwrap().below(n)
    }

    fn say(&self, what: &str, bytes: &[u8]) {
        if self.loud {
            println!("{:>10} us {what} {bytes:02x?}", self.us());
        }
    }

    fn pdu(&self, ask: &Ask) -> Vec<u8> {
        let us = self.us();
        if ask.function < 3 {
            let mut bytes = vec![0u8; usize::from(ask.count.div_ceil(8))];
            for i in 0..ask.count {
                bytes[usize::from(i / 8)] |= u8::from(bit(ask.unit, ask.function, ask.address + i, us)) << (i % 8);
            }
            return [&[ask.function, u8::try_from(bytes.len()).unwrap()][..], &bytes].concat();
        }
        let words = (0..ask.count).flat_map(|i| truth(ask.unit, ask.function, ask.address + i, us).to_be_bytes());
        let mut out = vec![ask.function, u8::try_from(ask.count * 2).unwrap()];
        out.extend(words);
        out
    }

    fn frame(&self, id: [u8; 2], unit: u8, pdu: &[u8]) -> Vec<u8> {
        if self.rtu {
            let mut out = [&[unit], pdu].concat();
            out.extend(crc16(&out).to_le_bytes());
            return out;
        }
        let length = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
        [&id[..], &[0, 0], &length, &[unit], pdu].concat()
    }
}

type Writer = Arc<tokio::sync::Mutex<tokio::io::WriteHalf<DuplexStream>>>;

async fn send(world: &World, to: &Writer, bytes: &[u8]) {
    world.say("<", bytes);
    let _gone = to.lock().await.write_all(bytes).await;
}

/// Serves one connection.
async fn serve(world: Arc<World>, stream: DuplexStream) {
    let (mut from, to) = tokio::io::split(stream);
    let to: Writer = Arc::new(tokio::sync::Mutex::new(to));
    let size = if world.rtu { 8 } else { 12 };
    let mut bytes = [0u8; 12];
    while from.read_exact(&mut bytes[..size]).await.is_ok() {
        let p = if world.rtu { 0 } else { 6 };
        let word = |i: usize| u16::from_be_bytes([bytes[i], bytes[i + 1]]);
        let (unit, function) = (bytes[p], bytes[p + 1]);
        let ask = Ask { id: [bytes[0], bytes[1]], unit, function, address: word(p + 2), count: word(p + 4) };
        world.say(">", &bytes[..size]);
        let key = (ask.unit, ask.function, ask.address, ask.count);
        world.asked.lock().unwrap().entry(key).or_default().push(world.us());
        if world.rtu && world.one_in(world.habits.echoes) {
            send(&world, &to, &bytes[..size]).await;
        }
        if answer(&world, &to, ask).await.is_none() {
            world.say("closed", &[]);
            let _closed = to.lock().await.shutdown().await;
            return;
        }
    }
}

/// Answers in the device's way. `None`: the connection ends.
async fn answer(world: &Arc<World>, to: &Writer, ask: Ask) -> Option<()> {
    let h = &world.habits;
    if world.one_in(h.mute) {
        return Some(());
    }
    if world.one_in(h.resets) {
        return None;
    }
    let mut good = world.frame(ask.id, ask.unit, &world.pdu(&ask));
    if world.one_in(h.refuses) {
        let code = 1 + u8::try_from(world.below(6)).unwrap();
        good = world.frame(ask.id, ask.unit, &[ask.function | 0x80, code]);
    }
    if world.rtu && world.one_in(h.spoilt) {
        let at = usize::try_from(world.below(good.len() as u64)).unwrap();
        good[at] ^= 1 << world.below(8);
    }
    if !world.rtu && world.one_in(h.foreign) {
        let foreign = Ask { address: ask.address.wrapping_add(100), ..ask };
        let id = if world.one_in(2) { [ask.id[0], ask.id[1].wrapping_add(1)] } else { [0, 0] };
        send(world, to, &world.frame(id, ask.unit, &world.pdu(&foreign))).await;
    } else if world.one_in(h.foreign) {
        send(world, to, &world.frame(ask.id, ask.unit ^ 0x40, &world.pdu(&ask))).await;
    }
    if world.one_in(h.late) {
        // Within the guard time where answers have no number, any time else.
        let most = if world.is_ambiguous { TIMEOUT_MS * 8 / 5 } else { TIMEOUT_MS * 4 };
        sleep(Duration::from_millis(world.below(most))).await;
    }
    let mut surplus: Vec<u8> = Vec::new();
    if world.one_in(h.trailing) {
        surplus.extend([0u8; 4].iter().take(usize::try_from(world.below(4) + 1).unwrap()));
    }
    if world.one_in(h.glued) {
        surplus.extend(&good);
    }
    if world.one_in(h.ahead) {
        let next = Ask { address: ask.address.wrapping_add(1_000), ..ask };
        let id = u16::from_be_bytes(ask.id).wrapping_add(1).to_be_bytes();
        surplus.extend(world.frame(id, ask.unit, &world.pdu(&next)));
    }
    if world.one_in(h.split) {
        let cut = 1 + usize::try_from(world.below(good.len() as u64 - 1)).unwrap();
        let pause = Duration::from_millis(world.below(15));
        world.say("< split", &good);
        let mut to = to.lock().await;
        let _gone = to.write_all(&good[..cut]).await;
        sleep(pause).await;
        let _gone = to.write_all(&[&good[cut..], &surplus].concat()).await;
    } else {
        send(world, to, &[&good[..], &surplus].concat()).await;
    }
    if world.one_in(h.repeats) {
        let (world, to) = (Arc::clone(world), Arc::clone(to));
        tokio::spawn(async move {
            sleep(Duration::from_millis(world.below(COPY_MS))).await;
            send(&world, &to, &good).await;
        });
    }
    (!world.one_in(h.closes)).then_some(())
}

/// Points: (name, function, address); runs far apart, some of one shape.
fn points(random: &mut Random) -> Vec<(String, u8, u16)> {
    let mut out = Vec::new();
    for run in 0..2 + random.below(3) {
        let function = [3, 3, 4, 1][usize::try_from(random.below(4)).unwrap()];
        let count =
            if function == 1 { [3, 17, 20][usize::try_from(random.below(3)).unwrap()] } else { 1 + random.below(3) };
        for i in 0..count {
            let address = u16::try_from(run * 0x300 + i).unwrap();
            out.push((format!("x_f{function}_{address}"), function, address));
        }
    }
    out
}

pub fn profile(points: &[(String, u8, u16)], every: &str) -> Profile {
    let mut text = "format = 1\nname = \"p\"\nmaker = \"t\"\nmodel = \"t\"\nclass = \"any\"\nsource = \"t\"\n\
                    checked_on_hardware = false\n"
        .to_string();
    text.push_str(&format!("[groups]\ng = \"{every}\"\n"));
    for (name, function, address) in points {
        let kind = if *function < 3 { "bool" } else { "u16" };
        text.push_str(&format!("[points.{name}]\naddress = {address}\nfunction = {function}\ntype = \"{kind}\"\n"));
    }
    let (profile, findings) = plantroom::profile::build::build(&toml::from_str(&text).unwrap(), &Vocabulary::default());
    profile.unwrap_or_else(|| panic!("{findings:?}"))
}

pub fn unit(address: u8, profile: &Arc<Profile>, points: &[(String, u8, u16)], every_ms: u64) -> UnitConfig {
    let names: Vec<Arc<str>> = points.iter().map(|p| p.0.as_str().into()).collect();
    let meta =
        |name: &Arc<str>| PointMeta::new(Arc::clone(name), PointKind::Number, Retention::Telemetry, Encoding::Exact(0));
    let metas = names.iter().map(meta).collect();
    let device: Arc<str> = address.to_string().into();
    let stream = Stream::new(device, "u/g".into(), every_ms, metas);
    let out = DeviceMapping { stream, points: names };
    let groups = vec![GroupConfig {
        name: "g".into(),
        interval_ms: every_ms,
        flood_intervals_ms: vec![],
        device_mappings: vec![out],
    }];
    UnitConfig { id: "u".into(), address, profile: Arc::clone(profile), timeout_ms: None, retries: 1, groups }
}

/// A simulated link.
pub fn link(rtu: bool, lenient: Lenient) -> LinkSettings {
    let address = "simulated".to_string();
    LinkSettings {
        id: "l".into(),
        transport: if rtu { LinkTransport::RtuOverTcp { address } } else { LinkTransport::Tcp { address } },
        connect_timeout_ms: 100,
        timeout_ms: TIMEOUT_MS,
        settle_ms: 0,
        lenient,
        close_after_cycle: false,
        timeout_max_ms: None,
        expected_round_trip_ms: 1,
        gateway_line: None,
        overload: false,
        groups_ms: BTreeMap::default(),
    }
}

/// One run. Returns how many good values came, and what was wrong.
fn run(seed: u64, loud: bool) -> (u64, Vec<String>) {
    let mut random = Random::new(seed);
    let (rtu, ignores) = (random.one_in(2), random.one_in(8));
    let mut habits = Habits::new(&mut random);
    if ignores && !rtu {
        habits.foreign = 0;
    }
    let points = points(&mut random);
    let profile = Arc::new(profile(&points, "1s"));
    let units = if random.one_in(3) && !ignores { vec![1, 2] } else { vec![1] };
    if loud {
        println!("seed {seed} rtu {rtu} ignores {ignores} {habits:?} {points:?}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let began = Instant::now();
        let asked = Mutex::default();
        let world = Arc::new(World {
            random: Mutex::new(random),
            habits,
            rtu,
            is_ambiguous: rtu || ignores,
            began,
            loud,
            asked,
        });
        let clock = Clock::simulated(move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let link = link(rtu, Lenient { any_unit: false, any_transaction: ignores && !rtu });
        let config = BusConfig { link, units: units.iter().map(|u| unit(*u, &profile, &points, 1_000)).collect() };
        let readings: Arc<Mutex<Vec<Reading>>> = Arc::default();
        let to = Arc::clone(&readings);
        let deliver = Arc::new(move |reading| to.lock().unwrap().push(reading));
        let mut bus = LinkWorker::new(&config, clock, Arc::new(BusHealth::new(units.len())), deliver);
        let device = Arc::clone(&world);
        let dialer: Dialer = Arc::new(move || {
            let device = Arc::clone(&device);
            Box::pin(async move {
                let (ours, theirs) = tokio::io::duplex(4_096);
                tokio::spawn(serve(device, theirs));
                let wire: BoxedByteStream = Box::new(ours);
                Ok(wire)
            })
        });
        bus.simulate(dialer, seed);
        let (_asks, receiver) = tokio::sync::mpsc::channel(1);
        let _ended =
            tokio::time::timeout(Duration::from_secs(6), bus.run(receiver, CancellationToken::default())).await;
        let readings = std::mem::take(&mut *readings.lock().unwrap());
        judge(&world, &points, &readings)
    })
}

/// Every good value is one that its register had between a request for it and its receipt.
fn judge(world: &World, points: &[(String, u8, u16)], readings: &[Reading]) -> (u64, Vec<String>) {
    let (mut good, mut wrong) = (0, Vec::new());
    let asked = world.asked.lock().unwrap();
    for reading in readings {
        let Body::Samples { .. } = &reading.body else { continue };
        let unit: u8 = reading.stream.device.parse().unwrap();
        for (i, (name, function, address)) in points.iter().enumerate() {
            let Some(Ok(value)) = reading.sample(i) else { continue };
            good += 1;
            let received_us = (reading.at.mono.0 + u64::from(reading.after_ms(i)) + 1) * 1_000;
            // The last request of a block that may hold it, before it was received.
            let of_it = asked.iter().filter(|((u, f, first, count), _)| {
                (u, f) == (&unit, function) && first <= address && *address < first + count
            });
            let mut moments: Vec<u64> = of_it.flat_map(|(_, moments)| moments).copied().collect();
            moments.retain(|us| *us < received_us);
            moments.sort_unstable();
            // A request in the very millisecond of the receipt may already be the next one.
            let is_next = moments.last().is_some_and(|us| us + 1_000 >= received_us);
            let is_twice_and_late =
                world.is_ambiguous && world.habits.repeats + world.habits.glued > 0 && world.habits.late > 0;
            let allowed_us = TIMEOUT_MS * if is_twice_and_late { 2_000 } else { 1_000 };
            let before = moments.iter().rev().nth(1).copied();
            let before = before.filter(|us| (is_next || is_twice_and_late) && us + allowed_us >= received_us);
            let sent_us = before.or(moments.last().copied()).unwrap_or(received_us);
            let mut steps = sent_us / STEP_US..=received_us / STEP_US;
            let fits = match value {
                Value::Bool(b) => steps.any(|s| bit(unit, *function, *address, s * STEP_US) == *b),
                other => {
                    let got = other.as_f64().unwrap();
                    steps.any(|s| (f64::from(truth(unit, *function, *address, s * STEP_US)) - got).abs() < 0.5)
                }
            };
            if !fits {
                wrong.push(format!("unit {unit} {name} = {value} received by {received_us} us, asked at {sent_us} us"));
            }
        }
    }
    (good, wrong)
}

#[test]
fn no_device_however_odd_makes_a_good_value_that_is_not_true() {
    if let Ok(seed) = std::env::var("SEED") {
        let (good, wrong) = run(seed.parse().unwrap(), true);
        panic!("{good} good values, wrong: {wrong:#?}");
    }
    let seeds: u64 = std::env::var("SEEDS").map_or(10_000, |n| n.parse().unwrap());
    let threads: Vec<_> = (0..2u64)
        .map(|half| {
            std::thread::spawn(move || {
                let (mut good, mut failed) = (0, Vec::new());
                for seed in (half..seeds).step_by(2) {
                    let (values, wrong) = run(seed, false);
                    good += values;
                    if !wrong.is_empty() {
                        failed.push(format!("SEED={seed}: {} wrong, {}", wrong.len(), wrong[0]));
                    }
                }
                (good, failed)
            })
        })
        .collect();
    let results: Vec<(u64, Vec<String>)> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let good: u64 = results.iter().map(|r| r.0).sum();
    let failed: Vec<String> = results.into_iter().flat_map(|r| r.1).collect();
    println!("{good} good values of {seeds} seeds");
    assert!(failed.is_empty(), "{} of {seeds} seeds: {}", failed.len(), failed[..failed.len().min(10)].join("\n"));
    assert!(good > seeds * 10, "{good} good values of {seeds} seeds: the devices tell too little");
}
