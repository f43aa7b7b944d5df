//! Years of a site, from a seed: readings each hour, faults, people, restarts, clocks that jump; what must hold is checked at
//! each step. A point changes once in `PLANTROOM_FAULTS` hours (60: some 40 events a day of each asset). `PLANTROOM_YEARS=5 cargo test --release --test pure years -- --nocapture` by hand; `PLANTROOM_SEED=n` repeats one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plantroom::alarm::build;
use plantroom::alarm::life::Alarm;
use plantroom::alarm::resolve::RuleSubject;
use plantroom::alarm::{self, Rules};
use plantroom::config::builtin;
use plantroom::config::doc::Problems;
use plantroom::engine::{Engine, EnginePlan, Persisted};
use plantroom::model::alarm::{AlarmEvent, AlarmEventKind};
use plantroom::model::command::{AlarmAction, Command, Operation};
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::quality::Cause;
use plantroom::model::reading::{Body, Reading, Stamp};
use plantroom::model::room::Input;
use plantroom::model::stream::Stream;
use plantroom::model::time::{MonotonicMillis, Now, UnixMillis};
use plantroom::model::value::Value;

const HOUR: u64 = 3_600_000;

struct Random(u64);

impl Random {
    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A device: its points wander; now and then it is away.
struct Device {
    stream: Arc<Stream>,
    values: Vec<f64>,
    away: u64,
}

/// What must hold for an alarm, as its events tell it.
#[derive(Default)]
struct Told {
    active: bool,
    occurrence: u64,
    owned: bool,
    shelved: bool,
    out: bool,
}

struct Site {
    engine: Engine,
    plan: EnginePlan,
    kept: Persisted,
    told: BTreeMap<Arc<str>, Told>,
    /// Alarms that wait for somebody, or for a reset.
    waiting: BTreeSet<Arc<str>>,
    devices: Vec<Device>,
    random: Random,
    seed: u64,
    at: u64,
    mono_offset: i64,
    wall_offset: i64,
    trusted: bool,
    boot: String,
    events: u64,
    raised: BTreeSet<Arc<str>>,
    steps: u64,
    /// A point changes once in so many hours.
    faults: u64,
}

/// 60 assets: so many of each class.
const ASSETS: [(&str, usize); 7] = [
    ("sump", 10),
    ("meter", 14),
    ("elevator", 12),
    ("generator", 4),
    ("ats", 4),
    ("water_supply", 8),
    ("fire_water", 8),
];

/// The devices with every rule of the catalogue that is for them.
fn assets() -> (Vec<plantroom::alarm::definition::AlarmDefinition>, Vec<Device>) {
    let catalogue = builtin::read(None, &mut Problems::default());
    let mut definitions = Vec::new();
    let mut devices = Vec::new();
    let numbers: BTreeMap<String, f64> = [
        ("high_m", 1.6),
        ("high_high_m", 2.2),
        ("start1_m", 1.0),
        ("floor_m", 2.4),
        ("setpoint_mpa", 0.4),
        ("rated_a", 100.0),
        ("rated_kw", 200.0),
    ]
    .map(|(n, v)| (n.to_string(), v))
    .into();
    for (class, count) in ASSETS {
        for i in 1..=count {
            let id = format!("{class}-{i}");
            let mut points = BTreeSet::new();
            for template in catalogue.rules[class].values() {
                build::for_each_point(&template.rule, &mut |p| {
                    for n in ["1", "2"] {
                        points.insert(p.replace("{n}", n).replace("{*}", n));
                    }
                });
            }
            let subject = RuleSubject {
                id: &id,
                class,
                points: points.iter().map(String::as_str).collect(),
                parameters: &numbers,
                devices: Vec::new(),
                unit_of: Box::new(|_| String::new()),
            };
            for (name, template) in &catalogue.rules[class] {
                definitions.extend(build::build(name, &template.rule, &subject).unwrap_or_default());
            }
            let meta = |p: &String| PointMeta::new(p.as_str(), PointKind::Number, Retention::Telemetry, Encoding::F64);
            let stream = Stream::new(id.as_str(), "u/hourly".into(), HOUR, points.iter().map(meta).collect());
            devices.push(Device { values: vec![0.0; stream.points.len()], stream, away: 0 });
        }
    }
    (definitions, devices)
}

impl Site {
    fn new(seed: u64) -> Self {
        let (definitions, devices) = assets();
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        let rules = Rules { definitions: definitions.into_iter().map(Arc::new).collect(), zone, ..Rules::default() };
        let mut plan = crate::alarms::plan_of(rules, Arc::default());
        plan.rooms.liveness.repeat_every_ms = 24 * HOUR;
        plan.rooms.alarm.summary_every_ms = 24 * HOUR;
        let mut site = Self {
            engine: Engine::new(EnginePlan::default(), &Persisted::default(), "", Now::default()),
            plan,
            kept: Persisted::default(),
            told: BTreeMap::new(),
            waiting: BTreeSet::new(),
            devices,
            random: Random(seed | 1),
            seed,
            at: 0,
            mono_offset: 100_000,
            wall_offset: 1_767_222_000_000,
            trusted: true,
            boot: "boot-0".into(),
            events: 0,
            raised: BTreeSet::new(),
            steps: 0,
            faults: std::env::var("PLANTROOM_FAULTS").ok().and_then(|n| n.parse().ok()).unwrap_or(60),
        };
        site.engine = Engine::new(site.plan.clone(), &Persisted::default(), "boot-0", site.now());
        site
    }

    fn now(&self) -> Now {
        let mono = MonotonicMillis((self.at as i64 + self.mono_offset) as u64);
        Now { mono, wall: UnixMillis(self.at as i64 + self.wall_offset), wall_trusted: self.trusted }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("PLANTROOM_SEED={} hour {}: {what}", self.seed, self.at / HOUR);
    }

    fn step(&mut self, input: Input<'_>) {
        self.steps += 1;
        let effects = self.engine.step(self.now(), input);
        for event in self.engine.board().transitions.clone() {
            self.events += 1;
            self.check(&event);
        }
        for change in effects.decided.keep.iter().filter(|k| k.room == "alarm") {
            let key: Arc<str> = change.key.as_str().into();
            let needs_somebody = self.engine.alarms().get(&key).is_some_and(|(_, a)| a.needs_ack || a.latched);
            if needs_somebody {
                self.waiting.insert(key);
            } else {
                self.waiting.remove(&key);
            }
        }
        crate::alarms::keep(&mut self.kept, effects.decided.keep);
        if let Some(wake) = self.engine.next_wake()
            && wake <= self.now().mono
            && matches!(input, Input::Tick)
        {
            self.fail(&format!("wants to be asked again at {wake:?}, which is over"));
        }
    }

    /// Each alarm is raised and cleared in turn; what is not told is not told; who owns it is known.
    fn check(&mut self, e: &AlarmEvent) {
        if e.key.is_empty() {
            return;
        }
        let mut told = self.told.remove(&e.key).unwrap_or_default();
        let is_right = match e.kind {
            AlarmEventKind::Raised => {
                let right = !told.active && e.occurrence == told.occurrence + 1;
                (told.active, told.occurrence, told.owned) = (true, e.occurrence, false);
                self.raised.insert(Arc::clone(&e.key));
                right
            }
            AlarmEventKind::Cleared => std::mem::replace(&mut told.active, false),
            AlarmEventKind::Escalated => {
                told.owned = false;
                told.active
            }
            AlarmEventKind::Reminded => {
                let right = told.active && told.owned;
                told.owned = false;
                right
            }
            AlarmEventKind::AcknowledgeOverdue => told.active && !told.owned,
            AlarmEventKind::Deescalated
            | AlarmEventKind::InputBad
            | AlarmEventKind::InputRestored
            | AlarmEventKind::Suppressed
            | AlarmEventKind::Unsuppressed
            | AlarmEventKind::ArriveOverdue
            | AlarmEventKind::Chattering
            | AlarmEventKind::SampleInjected
            | AlarmEventKind::RuleAdded
            | AlarmEventKind::RuleChanged
            | AlarmEventKind::RuleRemoved
            | AlarmEventKind::ResolveOverdue => told.active,
            AlarmEventKind::Acknowledged => !std::mem::replace(&mut told.owned, true),
            AlarmEventKind::HandedOver => {
                // Whoever has it now has to say yes.
                told.owned = false;
                true
            }
            AlarmEventKind::Shelved => {
                told.shelved = true;
                true
            }
            AlarmEventKind::Unshelved => std::mem::replace(&mut told.shelved, false),
            AlarmEventKind::OutOfService => !std::mem::replace(&mut told.out, true),
            AlarmEventKind::ReturnedToService => std::mem::replace(&mut told.out, false),
            // Whoever inspects what is locked is there although its condition is gone.
            AlarmEventKind::Arrived => told.active || self.engine.alarms().get(&e.key).is_some_and(|(of, _)| of.latch),
            AlarmEventKind::Reset => !told.active,
            AlarmEventKind::Removed | AlarmEventKind::AlarmFloodBegan | AlarmEventKind::AlarmFloodEnded => true,
        };
        if !is_right
            || e.occurrence != told.occurrence
            || ((told.shelved || told.out) && !e.is_silenced && e.kind != AlarmEventKind::ReturnedToService)
        {
            self.fail(&format!("{e:?} after active {} owned {} shelved {}", told.active, told.owned, told.shelved));
        }
        self.told.insert(Arc::clone(&e.key), told);
    }

    /// An hour: time that passes, readings, people.
    fn hour(&mut self) {
        let end = self.at + HOUR;
        while let Some(wake) = self.engine.next_wake() {
            let at = (wake.0 as i64 - self.mono_offset).max(self.at as i64) as u64;
            if at >= end {
                break;
            }
            self.at = at;
            self.step(Input::Tick);
        }
        self.at = end;
        for i in 0..self.devices.len() {
            self.read(i);
        }
        self.people();
        if self.random.once_in(500) {
            self.restart();
        }
        if self.random.once_in(700) {
            let hours = self.random.below(30) as i64 - 15;
            self.wall_offset += hours * HOUR as i64;
        }
        if self.random.once_in(1_000) {
            self.trusted = !self.trusted;
        }
    }

    fn read(&mut self, i: usize) {
        let (random, now) = (&mut self.random, self.at);
        let device = &mut self.devices[i];
        if random.once_in(400) {
            device.away = now + random.below(50) * HOUR;
        }
        let failed = now < device.away;
        for (value, point) in device.values.iter_mut().zip(&device.stream.points) {
            // What is usual, and now and then what is not, for some hours.
            if random.once_in(self.faults) {
                *value = match (random.below(6), point.name.as_ref()) {
                    (0, _) => 500.0,
                    (1, _) => -5.0,
                    (2, _) => 1.0,
                    (_, name) if name.ends_with("_v") => 230.0,
                    (_, "battery_v") => 26.0,
                    (_, "frequency_hz") => 50.0,
                    (_, name) if name.ends_with("_pct") => 95.0,
                    _ => 0.0,
                };
            }
        }
        let stamp = Stamp {
            mono: MonotonicMillis((now as i64 + self.mono_offset) as u64),
            wall: UnixMillis(now as i64 + self.wall_offset),
            trusted: self.trusted,
        };
        let body = if failed {
            Body::Failed(Cause::Timeout)
        } else {
            let sample = |v: &f64| Some(if *v < 0.0 { Err(Cause::SensorFault) } else { Ok(Value::F64(*v)) });
            Body::Samples { samples: device.values.iter().map(sample).collect(), parts: Vec::new() }
        };
        let reading = Reading { stream: Arc::clone(&device.stream), at: stamp, body };
        self.step(Input::Reading(&reading));
    }

    fn people(&mut self) {
        let waiting: Vec<String> = self.waiting.iter().map(ToString::to_string).collect();
        for key in waiting {
            if !self.random.once_in(4) {
                continue;
            }
            let for_ms = (1 + self.random.below(20)) * HOUR;
            let actions = [
                AlarmAction::Acknowledge,
                AlarmAction::Acknowledge,
                AlarmAction::Arrive,
                AlarmAction::HandOver { to: "another".into() },
                AlarmAction::Reset,
                AlarmAction::Shelve { for_ms },
                AlarmAction::Unshelve,
                AlarmAction::TakeOutOfService,
                AlarmAction::ReturnToService,
            ];
            let action = actions[usize::try_from(self.random.below(9)).unwrap()].clone();
            let operation = Operation::Alarm { keys: vec![key], action };
            let command = Command { actor: crate::pages::person("somebody"), note: String::new(), operation };
            // What cannot be done is refused, and changes nothing.
            self.step(Input::Command(&command));
        }
    }

    /// The process ends and begins again: everything is as it was.
    fn restart(&mut self) {
        let state = |engine: &Engine| -> Vec<(String, Alarm)> {
            let plain = |a: &Alarm| Alarm {
                unknown_cause: None,
                since: None,
                cleared: None,
                deadlines: [None; 3],
                realarm_at: None,
                shelved: a.shelved.clone().map(|s| alarm::life::Shelf { until: 0, ..s }),
                ..a.clone()
            };
            engine
                .alarms()
                .all()
                .filter(|(_, _, a)| !a.is_normal())
                .map(|(k, _, a)| (k.to_string(), plain(a)))
                .collect()
        };
        let before = state(&self.engine);
        crate::alarms::keep(&mut self.kept, self.engine.snapshots().encode());
        if self.random.once_in(2) {
            self.mono_offset = 60_000 - self.at as i64;
            self.boot = format!("boot-{}", self.at);
        }
        self.engine = Engine::new(self.plan.clone(), &self.kept, &self.boot, self.now());
        let after = state(&self.engine);
        if before != after {
            let lost: Vec<_> = before.iter().filter(|b| !after.contains(b)).take(3).collect();
            let other: Vec<_> = after.iter().filter(|a| !before.contains(a)).take(3).collect();
            self.fail(&format!("a restart changed {lost:?} to {other:?}"));
        }
    }
}

#[test]
fn years_of_a_site_keep_what_must_hold() {
    #[expect(clippy::cast_possible_truncation, reason = "years of hours")]
    let hours = |years: f64| (years * 8_766.0) as u64;
    let years: f64 = std::env::var("PLANTROOM_YEARS").ok().and_then(|y| y.parse().ok()).unwrap_or(0.05);
    let seed = std::env::var("PLANTROOM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) | now.as_secs() << 30
    });
    let mut site = Site::new(seed);
    let alarms = site.plan.rooms.alarm.rules.definitions.len();
    for _ in 0..hours(years) {
        site.hour();
    }
    #[allow(clippy::print_stderr, reason = "figures for whoever runs it by hand")]
    let say = |text: String| eprintln!("{text}");
    say(format!("seed {seed}: {alarms} alarms of 60 assets, {} steps, {} events", site.steps, site.events));
    let share = site.raised.len() as f64 / alarms as f64;
    assert!(share > 0.3, "PLANTROOM_SEED={seed}: only {} of {alarms} were ever raised", site.raised.len());
}
