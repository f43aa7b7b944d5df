//! Timelines in text: rules and input above, the transitions that come of it below. `UPDATE=1` writes what lies below.
//!
//! A file holds, in TOML, rules as in `alarms/*.toml` and a `[device]` with its numbers; then a line `----`, then what happens,
//! then a line `====`, then the transitions. A line of input is a moment and what happens at it:
//!
//! ```text
//! 10s level_m 1.7                one sample
//! 10s..2m/1s level_m 1.7         the same sample each second
//! 10s..2m/1s level_m 1.0..1.7    from one value to another
//! 10s level_m !timeout           a bad sample
//! 10s ack high.d wang: going     a person
//! 10s clock +2h                  the date jumps
//! 10s restart 5m                 the process ends and begins again so much later, after a reboot
//! 10s inject level_m 2.0 30s     a sample for a trial
//! 10s answer alarm 7 samples d.level_m 1.0 !timeout 1.2   the past that a room asked for; also `none REASON`
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use plantroom::alarm::build;
use plantroom::alarm::resolve::RuleSubject;
use plantroom::alarm::room::AlarmPlan;
use plantroom::alarm::settings::RulesFile;
use plantroom::alarm::{self, Rules};
use plantroom::engine::authorize::Policy;
use plantroom::engine::{Engine, EnginePlan, Persisted, ROOMS, RoomPlans};
use plantroom::model::actor::{Actor, Proof, Role, Via};
use plantroom::model::alarm::AlarmEvent;
use plantroom::model::command::{AlarmAction, Command, Inject, Operation, PageReply, Reply};
use plantroom::model::directory::{Directory, PersonInfo};
use plantroom::model::effects::{Effects, Keep};
use plantroom::model::history::{Answer, FirstLast, HistoryData, NoAnswer, PointHistory, SlotFigures};
use plantroom::model::notification::DeliveryOutcome;
use plantroom::model::page::PageKind;
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::quality::Cause;
use plantroom::model::reading::{Body, Reading, Sample, Stamp};
use plantroom::model::room::Input;
use plantroom::model::stream::{STATUS, Stream};
use plantroom::model::text::format_number;
use plantroom::model::time::{HumanDuration, MonotonicMillis, Now, UnixMillis, duration_ms};
use plantroom::model::value::{Numeric, Value};
use plantroom::oncall::plan::OncallPlan;
use serde::Deserialize as _;

/// 2026-06-01T00:00:00 in Shanghai, a Monday.
const BEGIN: i64 = 1_780_243_200_000;
/// The boot was so long before.
const UP: u64 = 1_000_000;

struct World {
    engine: Engine,
    plan: EnginePlan,
    kept: Persisted,
    streams: BTreeMap<String, Arc<Stream>>,
    /// Since the beginning of the timeline.
    at_ms: u64,
    mono_offset: i64,
    wall_offset: i64,
    trusted: bool,
    boot: String,
    /// Samples of a point come so often; without it a sample holds for ever.
    every_ms: u64,
    out: String,
}

/// One person who can be reached, and no chain.
fn somebody() -> Arc<plantroom::oncall::plan::OncallPlan> {
    use plantroom::model::point::Language;
    use plantroom::model::point::LocalizedText;
    use plantroom::oncall::plan::{OncallPlan, PersonPlan};
    let contacts = vec![plantroom::oncall::settings::Contact { channel: "push".into(), to: String::new() }];
    let li = PersonPlan { names: LocalizedText::default(), language: Language::default(), roles: Vec::new(), contacts };
    Arc::new(OncallPlan { people: [("li".into(), li)].into(), ..OncallPlan::default() })
}

/// The engine's plan of these rules and pages.
pub fn plan_of(rules: Rules, oncall: Arc<OncallPlan>) -> EnginePlan {
    let person = |p: &plantroom::oncall::plan::PersonPlan| PersonInfo {
        name: p.names.clone(),
        language: p.language,
        is_reachable: !p.contacts.is_empty(),
    };
    let people = oncall.people.iter().map(|(id, p)| (Arc::clone(id), person(p))).collect();
    let directory = Directory { zone: rules.zone.clone(), people, ..Directory::default() };
    EnginePlan {
        directory: Arc::new(directory),
        policy: Policy { people: oncall.people.keys().cloned().collect() },
        rooms: RoomPlans { alarm: AlarmPlan { rules, ..AlarmPlan::default() }, oncall, ..RoomPlans::default() },
        ..EnginePlan::default()
    }
}

/// What rooms keep, as the store does.
pub fn keep(kept: &mut Persisted, changes: Vec<Keep>) {
    for Keep { room, key, format, bytes } in changes {
        let of_room = kept.entry(room.to_string()).or_default();
        match bytes {
            Some(bytes) => drop(of_room.insert(key, (format, bytes))),
            None => drop(of_room.remove(&key)),
        }
    }
}

impl World {
    fn new(header: &str) -> Self {
        let mut table: toml::Table = header.parse().unwrap_or_else(|e| panic!("the header is no TOML: {e}"));
        let device = table.remove("device").map_or_else(toml::Table::new, |d| d.as_table().unwrap().clone());
        let every_ms = device.get("every").map_or(0, |e| duration_ms(e.as_str().unwrap()).unwrap());
        let numbers: BTreeMap<String, f64> = device
            .get("numbers")
            .map(|n| n.as_table().unwrap().iter().map(|(k, v)| (k.clone(), number(v))).collect())
            .unwrap_or_default();
        let mut settings = alarm::site::AlarmSettings::default();
        if let Some(text) = table.remove("alarms") {
            settings = alarm::site::AlarmSettings::deserialize(text).unwrap();
        }
        table.entry("format").or_insert(toml::Value::Integer(1));
        table.entry("class").or_insert(toml::Value::String("sump".into()));
        let file = RulesFile::deserialize(toml::Value::Table(table)).unwrap_or_else(|e| panic!("no rules: {e}"));
        let named: Vec<String> = device
            .get("points")
            .map(|p| p.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_string()).collect())
            .unwrap_or_default();
        let mut points: BTreeSet<&str> = named.iter().map(String::as_str).collect();
        for rule in file.rules.values() {
            build::for_each_point(rule, &mut |p| {
                if !p.contains('{') {
                    points.insert(p);
                }
            });
        }
        let subject = RuleSubject {
            id: "d",
            class: &file.class,
            points,
            parameters: &numbers,
            devices: vec!["d", "e", "f"],
            unit_of: Box::new(|_| String::new()),
        };
        let mut definitions = Vec::new();
        for (name, rule) in &file.rules {
            for condition in [Some(&rule.when), rule.only.as_ref()].into_iter().flatten() {
                assert_eq!(build::problems(condition), [], "{name}");
            }
            let built = build::build(name, rule, &subject).unwrap_or_else(|m| panic!("{name} lacks {m:?}"));
            definitions.extend(built.into_iter().map(Arc::new));
        }
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        let rules = Rules { definitions, settings, zone };
        let plan = plan_of(rules, somebody());
        let mut world = Self {
            engine: Engine::new(EnginePlan::default(), &Persisted::default(), "", Now::default()),
            plan: plan.clone(),
            kept: Persisted::default(),
            streams: BTreeMap::new(),
            at_ms: 0,
            mono_offset: UP as i64,
            wall_offset: BEGIN,
            trusted: true,
            boot: "boot-0".into(),
            every_ms,
            out: String::new(),
        };
        world.engine = Engine::new(plan, &Persisted::default(), "boot-0", world.now());
        world
    }

    fn now(&self) -> Now {
        Now {
            mono: MonotonicMillis((self.at_ms as i64 + self.mono_offset) as u64),
            wall: UnixMillis(self.at_ms as i64 + self.wall_offset),
            wall_trusted: self.trusted,
        }
    }

    /// Time goes on to a moment; whoever wants to be asked in between is.
    fn go(&mut self, to_ms: u64) {
        while let Some(wake) = self.engine.next_wake() {
            let at = (wake.0 as i64 - self.mono_offset).max(self.at_ms as i64) as u64;
            if at >= to_ms {
                break;
            }
            self.at_ms = at;
            self.step(Input::Tick);
        }
        self.at_ms = to_ms;
    }

    fn step(&mut self, input: Input<'_>) {
        let effects = self.engine.step(self.now(), input);
        self.take(effects);
    }

    fn take(&mut self, effects: Effects) {
        if let Some(refused) = effects.refused {
            let _infallible = writeln!(self.out, "{:>8}  refused: {refused}", self.time());
        }
        for event in self.engine.board().transitions.clone() {
            let line = self.line(&event);
            self.out.push_str(&line);
        }
        keep(&mut self.kept, effects.decided.keep);
    }

    /// Somebody at the box does something.
    fn command(&mut self, by: &str, note: &str, operation: Operation) {
        let actor = Actor::local(by, 0, Role::Engineer);
        self.step(Input::Command(&Command { actor, note: note.to_string(), operation }));
    }

    fn time(&self) -> String {
        let s = self.at_ms / 1_000;
        if self.at_ms.is_multiple_of(1_000) { clock(s) } else { HumanDuration(self.at_ms).text() }
    }

    fn line(&self, e: &AlarmEvent) -> String {
        let mut line = format!("{:>8}  {}", self.time(), e.kind.word());
        if !e.key.is_empty() {
            let _infallible = write!(line, " {} {} {}", e.key, e.priority.word(), e.state.word());
        }
        if let Some(value) = e.value {
            let _infallible = write!(line, " {}", format_number(value));
        }
        if let Some(limit) = e.limit {
            let _infallible = write!(line, "/{}", format_number(limit));
        }
        for (word, is) in
            [("quiet", e.is_silenced), ("merged", e.in_alarm_flood), ("TEST", e.test), ("first", e.is_first_out)]
        {
            if is {
                let _infallible = write!(line, " {word}");
            }
        }
        for text in [&e.cause, &e.actor, &e.note] {
            if !text.is_empty() {
                let _infallible = write!(line, " ({text})");
            }
        }
        line.push('\n');
        line
    }

    fn sample(&mut self, point: &str, sample: Sample) {
        let reading = self.reading(point, sample);
        self.step(Input::Reading(&reading));
    }

    fn reading(&mut self, point: &str, sample: Sample) -> Reading {
        let (device, name) = point.split_once(':').unwrap_or(("d", point));
        let (source, every_ms, name) = match name.strip_prefix("status/") {
            Some(name) => (STATUS.to_string(), 0, name),
            None => (format!("u/{name}"), self.every_ms, name),
        };
        let stream = self.streams.entry(point.to_string()).or_insert_with(|| {
            let meta = PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::F64);
            Stream::new(device, source.into(), every_ms, vec![meta])
        });
        let stream = Arc::clone(stream);
        let now = self.now();
        let at = Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted };
        Reading { stream, at, body: Body::Samples { samples: vec![Some(sample)], parts: vec![] } }
    }

    fn restart(&mut self, away_ms: u64) {
        keep(&mut self.kept, self.engine.snapshots().encode());
        self.at_ms += away_ms;
        // The machine was off: its monotonic clock begins anew.
        self.mono_offset = 60_000 - self.at_ms as i64;
        self.boot = format!("boot-{}", self.at_ms);
        self.engine = Engine::new(self.plan.clone(), &self.kept, &self.boot, self.now());
    }

    fn reconfigure(&mut self, plan: EnginePlan) {
        let actor = Actor::local("wang", 0, Role::Engineer);
        let effects = self.engine.reconfigure(plan, &BTreeSet::new(), &self.kept, &actor, self.now());
        self.take(effects);
    }

    /// What happens at a moment.
    fn happens(&mut self, what: &str, share: f64) {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let note = |text: &str| text.split_once(": ").map_or(String::new(), |(_, n)| n.to_string());
        let mut act = |action: AlarmAction| {
            let mut words = rest.split([' ', ':']).filter(|w| !w.is_empty());
            let key = words.next().unwrap().to_string();
            let by = words.find(|w| duration_ms(w).is_none()).unwrap_or("somebody").to_string();
            self.command(&by, &note(rest), Operation::Alarm { keys: vec![key], action });
        };
        let length = || rest.split([' ', ':']).find_map(duration_ms).unwrap_or_else(|| panic!("no length in {what}"));
        match verb {
            "ack" => act(AlarmAction::Acknowledge),
            "arrived" => act(AlarmAction::Arrive),
            "handover" => act(AlarmAction::HandOver { to: "li".into() }),
            "explain" => self.explain(rest),
            "reset" => act(AlarmAction::Reset),
            "shelve" => act(AlarmAction::Shelve { for_ms: length() }),
            "test" => act(AlarmAction::AnnounceTest { for_ms: length() }),
            "unshelve" => act(AlarmAction::Unshelve),
            "out" => act(AlarmAction::TakeOutOfService),
            "back" => act(AlarmAction::ReturnToService),
            "tick" => self.step(Input::Tick),
            "restart" => self.restart(length()),
            "untrusted" => self.trusted = false,
            "trusted" => self.trusted = true,
            "clock" => {
                let (sign, length) = rest.split_at(1);
                let ms = duration_ms(length).unwrap() as i64;
                self.wall_offset += if sign == "-" { -ms } else { ms };
            }
            "remove" => {
                self.plan.rooms.alarm.rules.definitions.retain(|d| d.key() != rest);
                self.reconfigure(self.plan.clone());
            }
            "reload" => {
                let mut other = self.plan.clone();
                other.rooms.alarm.rules.settings.keep_days += 1;
                self.reconfigure(other);
            }
            "answer" => self.step(Input::Answer(&self.history(rest))),
            "inject" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let inject = Inject {
                    device: "d".into(),
                    point: words[0].into(),
                    value: words[1].parse().unwrap(),
                    for_ms: duration_ms(words[2]).unwrap(),
                };
                self.command("wang", "", Operation::Inject(inject));
            }
            point => {
                let sample = match rest.strip_prefix('!') {
                    Some(cause) => Err(Cause::from_word(cause).unwrap_or_else(|| panic!("no cause {cause}"))),
                    None => Ok(Value::F64(match rest.split_once("..") {
                        Some((a, b)) => {
                            let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
                            a + (b - a) * share
                        }
                        None => rest.parse().unwrap_or_else(|e| panic!("{what}: {e}")),
                    })),
                };
                self.sample(point, sample);
            }
        }
    }

    /// The past of one point as a room asked for it: `ROOM NUMBER none REASON`, or `ROOM NUMBER FORM DEVICE.POINT VALUE VALUE …`, one
    /// value a minute until now. Forms: `samples`, `registers`, `slots` (a minute each), `first_last`.
    fn history(&self, text: &str) -> Answer {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("too short: answer {text}"));
        let name = word();
        let room = ROOMS.iter().find(|room| **room == name).unwrap_or_else(|| panic!("no room {name}"));
        let (id, form) = (word().parse().unwrap(), word());
        if form == "none" {
            let reason = words.collect::<Vec<_>>().join(" ");
            return Answer { room, id, outcome: Err(NoAnswer { reason }) };
        }
        let (device, point) = word().split_once('.').unwrap();
        let values: Vec<&str> = words.collect();
        let minutes = values.len() as i64;
        let dated =
            values.iter().enumerate().map(|(i, v)| (UnixMillis(self.now().wall.0 - (minutes - i as i64) * 60_000), *v));
        let sample = |text: &str| match text.strip_prefix('!') {
            Some(cause) => Err(Cause::from_word(cause).unwrap_or_else(|| panic!("no cause {cause}"))),
            None => Ok(Value::F64(text.parse().unwrap())),
        };
        let samples: Vec<(UnixMillis, Sample)> = dated.clone().map(|(at, text)| (at, sample(text))).collect();
        let good: Vec<_> = samples.iter().filter(|(_, s)| s.is_ok()).cloned().collect();
        let (due, good_count) = (samples.len() as u64, good.len() as u64);
        let slot = |(at, s): &(UnixMillis, Sample)| {
            let mean = s.as_ref().ok().and_then(Value::as_f64);
            let figure = mean.map(Numeric::Float);
            SlotFigures { start: *at, mean, min: figure, max: figure, good: u32::from(mean.is_some()), due: 1 }
        };
        let data = match form {
            "samples" => HistoryData::Samples(samples),
            "registers" => HistoryData::Registers(dated.map(|(at, text)| (at, text.parse().unwrap())).collect()),
            "slots" => HistoryData::Slots(samples.iter().map(slot).collect()),
            "first_last" => {
                let ends = good.first().cloned().zip(good.last().cloned());
                HistoryData::FirstLast(ends.map(|(first, last)| FirstLast { first, last }))
            }
            other => panic!("no form {other}"),
        };
        let (device, point, hash) = (device.into(), point.into(), String::new());
        let history = PointHistory { device, point, data, due, good: good_count, is_damaged: false, hash };
        Answer { room, id, outcome: Ok(vec![history]) }
    }

    fn explain(&mut self, key: &str) {
        let lines = self.engine.explain(key, self.now()).unwrap_or_else(|why| panic!("{why}"));
        for line in lines {
            let _infallible = writeln!(self.out, "{:>8}  | {line}", self.time());
        }
    }

    fn line_of_input(&mut self, line: &str) {
        let (when, what) = line.split_once(' ').unwrap_or_else(|| panic!("no moment in {line:?}"));
        let ms = |text: &str| if text == "0s" { 0 } else { duration(text) };
        match when.split_once("..") {
            None => {
                self.go(ms(when));
                self.happens(what.trim(), 0.0);
            }
            Some((from, rest)) => {
                let (to, every) = rest.split_once('/').unwrap_or((rest, "1s"));
                let (from, to, every) = (ms(from), ms(to), ms(every));
                let mut at = from;
                while at <= to {
                    self.go(at);
                    // Several points at one moment: `a 1 & b 2`.
                    for one in what.split(" & ") {
                        self.happens(one.trim(), (at - from) as f64 / (to - from).max(1) as f64);
                    }
                    at += every;
                }
            }
        }
    }
}

fn number(value: &toml::Value) -> f64 {
    value.as_float().or_else(|| value.as_integer().map(|i| i as f64)).unwrap()
}

/// `1h30m`, `90s`, `2d`.
pub fn duration(text: &str) -> u64 {
    let mut total = 0;
    let mut part = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        part.push(c);
        let ends = c.is_ascii_alphabetic() && chars.peek().is_none_or(char::is_ascii_digit);
        if ends {
            let is_none = part.starts_with('0') && part.len() == 2;
            total += if is_none { 0 } else { duration_ms(&part).unwrap_or_else(|| panic!("no length: {text}")) };
            part.clear();
        }
    }
    total
}

/// Seconds as `1d02:03:04` or `02:03:04` or `03:04`.
pub fn clock(s: u64) -> String {
    let (d, h, m, s) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    match (d, h) {
        (0, 0) => format!("{m:02}:{s:02}"),
        (0, _) => format!("{h:02}:{m:02}:{s:02}"),
        _ => format!("{d}d{h:02}:{m:02}:{s:02}"),
    }
}

/// Plays a file: a header, `----`, what happens, `====`, what is expected of it. `UPDATE=1` writes what came.
pub fn compare(path: &Path, play: impl Fn(&str, &mut dyn Iterator<Item = &str>) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.display();
    let (head, expected) = text.split_once("\n====\n").unwrap_or((text.trim_end(), ""));
    let (header, timeline) = head.split_once("\n----\n").unwrap_or_else(|| panic!("{name}: no line ----"));
    let came =
        play(header, &mut timeline.lines().map(|l| l.split('#').next().unwrap().trim()).filter(|l| !l.is_empty()));
    if came == expected {
        return;
    }
    assert!(std::env::var_os("UPDATE").is_some(), "{name}: this came\n{came}\nand this was expected\n{expected}");
    std::fs::write(path, format!("{head}\n====\n{came}")).unwrap();
}

fn play(path: &Path) {
    compare(path, |header, lines| {
        let mut world = World::new(header);
        lines.for_each(|line| world.line_of_input(line));
        world.out
    });
}

#[test]
fn timelines_come_out_as_they_are_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pure/timelines");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    paths.sort();
    assert!(paths.len() > 20, "the timelines are there");
    paths.iter().for_each(|p| play(p));
}

impl World {
    /// A world with the people of the pages' timelines.
    fn with_people(header: &str) -> Self {
        let mut world = Self::new(header);
        let rules = world.plan.rooms.alarm.rules.clone();
        world.plan = plan_of(rules, crate::pages::plan("").0);
        world.engine = Engine::new(world.plan.clone(), &Persisted::default(), "boot-0", world.now());
        world
    }

    /// Somebody answers a page; what that did, and why it was refused.
    fn answer(&mut self, via: Via, reply: PageReply, note: &str) -> (Vec<String>, String) {
        let proof = if via == Via::Link { Proof::PageToken } else { Proof::PagedContact };
        let command =
            Command { actor: Actor::paged("", via, proof), note: note.into(), operation: Operation::Reply(reply) };
        let effects = self.engine.step(self.now(), Input::Command(&command));
        let of = |e: &AlarmEvent| format!("{} {} {} {}", e.kind.word(), e.key, e.actor, e.note).trim().to_string();
        let events = self.engine.board().transitions.iter().map(of).collect();
        keep(&mut self.kept, effects.decided.keep);
        (events, effects.refused.map(|r| format!("{} / {}", r.text.zh, r.text.en)).unwrap_or_default())
    }
}

/// Two alarms in one message: whoever answers it takes both, once; an alarm that is over cannot be taken by it any more.
#[test]
fn whoever_answers_a_message_takes_all_that_it_says() {
    let rule = "zh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P3\"\n";
    let mut world = World::with_people(&format!(
        "[rules.a]\n{rule}when = {{ is = {{ point = \"a\" }} }}\n[rules.b]\n{rule}when = {{ is = {{ point = \"b\" }} }}\n"
    ));
    world.at_ms = 10 * 3_600_000;
    world.engine = Engine::new(world.plan.clone(), &Persisted::default(), "boot-0", world.now());
    world.happens("a 1", 0.0);
    world.happens("b 1", 0.0);
    world.at_ms += 30_000;
    let effects = world.engine.step(world.now(), Input::Tick);
    let sent = world.engine.board().sends.clone();
    assert_eq!((sent.len(), sent[0].items.len()), (1, 2), "{sent:?}");
    let [addressed] = &effects.decided.notifications[..] else { panic!("{effects:?}") };
    assert_eq!((&*addressed.channel, addressed.attempt), (&*sent[0].channel, sent[0].id));
    assert!(addressed.notification.title.contains("2条告警"), "it is whole: {:?}", addressed.notification);
    let page = sent[0].items[0].page;
    let button = || Via::Button("push".into());
    let take = || PageReply::new(page, Reply::Acknowledge);
    let command = Command {
        actor: Actor::paged("", button(), Proof::PageToken),
        note: String::new(),
        operation: Operation::Reply(take()),
    };
    let effects = world.engine.step(world.now(), Input::Command(&command));
    let events: Vec<[&str; 4]> =
        effects.decided.events.iter().map(|e| [e.event, &*e.key, e.actor.as_str(), e.via.as_str()]).collect();
    assert_eq!(events[0], ["acknowledged", "a.d", "wang", "push: button"]);
    assert_eq!(events[1], ["acknowledged", "b.d", "wang", "push: button"]);
    assert_eq!(events.last(), Some(&["page_answered", "a.d", "wang", "push: button"]));
    let (events, again) = world.answer(button(), take(), "");
    assert!(events.is_empty() && again.ends_with("this page was answered already"), "{again}");
    // What is done with one of them is done with that one only, by whoever has it.
    let does = |world: &mut World, reply| world.answer(Via::Link, PageReply::new(page, reply), "");
    let (events, _) = does(&mut world, Reply::Shelve { for_ms: 3_600_000 });
    assert_eq!(events, ["shelved a.d wang"]);
    world.happens("unshelve a.d wang", 0.0);
    let (events, refused) = does(&mut world, Reply::HandOver { to: "li".into() });
    assert_eq!((events, refused.as_str()), (vec!["handed_over a.d wang".to_string()], ""));
    for reply in [Reply::HandOver { to: "zhao".into() }, Reply::Shelve { for_ms: 3_600_000 }, Reply::Reset] {
        let (events, refused) = does(&mut world, reply);
        assert!(events.is_empty() && refused.contains("acknowledge it first"), "it is Li's now: {refused}");
    }
    world.happens("a 0", 0.0);
    let (_, late) = world.answer(Via::Link, PageReply::new(99, Reply::Acknowledge), "");
    assert!(late.ends_with("that alarm is over"), "{late}");
}

/// Whoever has a page does more with it than taking it: each is refused in both languages where it makes no sense.
#[test]
fn a_page_is_answered_in_every_way_there_is() {
    let rule = "zh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nlatch = true\n";
    let mut world = World::with_people(&format!("[rules.a]\n{rule}when = {{ is = {{ point = \"a\" }} }}\n"));
    world.at_ms = 10 * 3_600_000;
    world.engine = Engine::new(world.plan.clone(), &Persisted::default(), "boot-0", world.now());
    world.happens("a 1", 0.0);
    world.engine.step(world.now(), Input::Tick);
    let page = world.engine.board().sends.first().map_or(1, |s| s.items[0].page);
    let shelve = || Reply::Shelve { for_ms: 3_600_000 };
    let answer = |world: &mut World, reply: Reply| {
        let reply = PageReply { needs_confirmation: true, ..PageReply::new(page, reply) };
        let (events, refused) = world.answer(Via::Link, reply, "filter");
        let sends = world.engine.board().sends.clone();
        let results = sends.iter().flat_map(|s| &s.items).filter(|i| i.kind == PageKind::ReplyResult);
        let results: Vec<String> = results.map(|i| i.reply_result.zh.clone()).collect();
        for send in &sends {
            let outcome = &DeliveryOutcome::Accepted;
            world.engine.step(world.now(), Input::Delivery { attempt: send.id, outcome });
        }
        (events, refused, results.concat())
    };
    let (events, refused, result) = answer(&mut world, shelve());
    assert!(events.is_empty() && refused.starts_with("请先接单 / acknowledge it first"), "{events:?} {refused}");
    assert_eq!(result, "没有变化：请先接单。");
    // Whoever is there has it with that.
    let (events, refused, result) = answer(&mut world, Reply::Arrive);
    assert_eq!(
        (events, refused.as_str()),
        (vec!["acknowledged a.d wang filter".into(), "arrived a.d wang filter".into()], "")
    );
    assert_eq!(result, "已记录到场：");
    let (events, refused, _) = answer(&mut world, Reply::Reset);
    assert!(events.is_empty() && refused.contains("its condition is still there"), "{refused}");
    let (events, refused, _) = answer(&mut world, Reply::HandOver { to: "wong".into() });
    assert!(events.is_empty() && refused.contains("没有人员“wong”，是否指 wang？"), "{refused}");
    let (events, refused, result) = answer(&mut world, shelve());
    assert_eq!((events, refused.as_str(), result.as_str()), (vec!["shelved a.d wang filter".into()], "", ""));
    world.happens("a 0", 0.0);
    let (events, refused, _) = answer(&mut world, Reply::Reset);
    assert_eq!((events, refused.as_str()), (vec!["reset a.d wang filter".into()], ""));
}

/// The pages' room panics: alarms go on; when it is built again it hears of what it missed, and pages it once.
#[test]
fn a_room_of_pages_that_panics_hears_later_of_what_it_missed() {
    let mut world = World::with_people(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"a\" } }\n",
    );
    world.engine.inject_fault("oncall");
    world.happens("a 1", 0.0);
    assert_eq!(world.engine.disabled_rooms(), ["oncall"]);
    assert!(world.out.contains("raised a.d P1"), "alarms go on: {}", world.out);
    world.reconfigure(world.plan.clone());
    assert!(world.engine.disabled_rooms().is_empty() && world.engine.board().sends.is_empty());
    world.engine.step(world.now(), Input::Tick);
    let sends = &world.engine.board().sends;
    assert_eq!((sends.len(), &*sends[0].items[0].key), (1, "a.d"));
    world.engine.step(world.now(), Input::Tick);
    assert!(world.engine.board().sends.is_empty(), "once");
}

/// Whoever is there and takes the alarm with that is not refused because there is nothing to arrive at any more.
#[test]
fn an_arrival_that_acknowledges_is_not_refused_although_the_alarm_ended() {
    let mut world = World::with_people(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"a\" } }\n",
    );
    world.happens("a 1", 0.0);
    let page = world.engine.board().sends[0].items[0].page;
    world.happens("a 0", 0.0);
    let (events, refused) = world.answer(Via::Link, PageReply::new(page, Reply::Arrive), "");
    assert_eq!((events, refused.as_str()), (vec!["acknowledged a.d li".to_string()], ""));
}

/// A reload says what changed of rules; a series of an alarm's state shows none of that.
#[test]
fn a_changed_rule_is_no_change_of_its_alarms_state() {
    let mut world = World::new(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"a\" } }\n",
    );
    world.happens("a 1", 0.0);
    let mut plan = world.plan.clone();
    let mut changed = (*plan.rooms.alarm.rules.definitions[0]).clone();
    changed.off_delay_ms += 1;
    plan.rooms.alarm.rules.definitions = vec![Arc::new(changed)];
    let actor = Actor::local("wang", 0, Role::Engineer);
    let effects = world.engine.reconfigure(plan, &BTreeSet::new(), &world.kept, &actor, world.now());
    let events: Vec<&str> = effects.decided.events.iter().map(|e| e.event).collect();
    assert_eq!((events, effects.decided.readings.len()), (vec!["rule_changed"], 0));
}

/// A rule that makes its room panic is removed by a reload: its alarm is closed, its record and topic are cleared.
#[test]
fn a_reload_that_removes_the_rule_of_a_panic_clears_what_it_left() {
    let mut world = World::with_people(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"a\" } }\n",
    );
    world.happens("a 1", 0.0);
    world.engine.inject_fault("alarm");
    world.happens("tick", 0.0);
    let mut plan = world.plan.clone();
    plan.rooms.alarm.rules.definitions.clear();
    let actor = Actor::local("wang", 0, Role::Engineer);
    let effects = world.engine.reconfigure(plan, &BTreeSet::new(), &world.kept, &actor, world.now());
    let events: Vec<&str> = effects.decided.events.iter().filter(|e| e.room == "alarm").map(|e| e.event).collect();
    assert_eq!(events, ["rule_removed", "removed"]);
    assert_eq!(effects.decided.retained, [("alarm/a.d".to_string(), None)]);
    assert!(effects.decided.keep.iter().any(|k| k.key == "a.d" && k.bytes.is_none()));
}

/// The pages' room is off: whoever has a page still acknowledges with it.
#[test]
fn a_page_acknowledges_while_its_room_is_switched_off() {
    let mut world = World::with_people(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"a\" } }\n",
    );
    world.happens("a 1", 0.0);
    let page = world.engine.board().sends[0].items[0].page;
    world.engine.inject_fault("oncall");
    world.happens("tick", 0.0);
    let (events, refused) = world.answer(Via::Link, PageReply::new(page, Reply::Acknowledge), "");
    assert_eq!((events, refused.as_str()), (vec!["acknowledged a.d li".to_string()], ""));
    // A page for a trial is the room's own affair.
    world.command("wang", "", Operation::TestPage { person: "wang".into() });
    assert!(world.out.contains("refused: the oncall rules panicked"), "{}", world.out);
}

/// The alarm rules panic: commands are refused with what to do about it, answers to pages too; derived points and pages go on.
#[test]
fn alarm_rules_that_panic_refuse_commands_in_words() {
    let mut world = World::with_people(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"a\" } }\n",
    );
    world.happens("a 1", 0.0);
    let page = world.engine.board().sends.first().map_or(1, |s| s.items[0].page);
    world.engine.inject_fault("alarm");
    world.happens("tick", 0.0);
    assert_eq!(world.engine.disabled_rooms(), ["alarm"]);
    world.happens("ack a.d wang", 0.0);
    assert!(world.out.contains("refused: the alarm rules panicked"), "{}", world.out);
    let (_, refused) = world.answer(Via::Link, PageReply::new(page, Reply::Acknowledge), "");
    assert!(refused.contains("`plantroom reload` tries them again"), "{refused}");
    // The command itself makes it panic: that is no "done" either, by whichever way it came.
    world.reconfigure(world.plan.clone());
    world.engine.inject_fault("alarm");
    world.happens("ack a.d wang", 0.0);
    assert_eq!(world.out.matches("refused: the alarm rules panicked").count(), 2, "{}", world.out);
    world.reconfigure(world.plan.clone());
    world.engine.inject_fault("alarm");
    let (events, refused) = world.answer(Via::Link, PageReply::new(page, Reply::Acknowledge), "");
    assert!(events.is_empty() && refused.contains("tries them again"), "{events:?} {refused}");
    world.reconfigure(world.plan.clone());
    world.happens("ack a.d wang", 0.0);
    assert!(world.out.ends_with("acknowledged a.d P1 acknowledged 1 (wang)\n"), "{}", world.out);
}

/// A rule that is gone at the next start pages nobody any more.
#[test]
fn an_alarm_whose_rule_went_while_the_gateway_was_away_pages_nobody() {
    let rule = |name: &str| {
        format!(
            "[rules.{name}]\nzh = \"高\"\nen = \"high\"\naction = {{ zh = \"查\", en = \"look\" }}\npriority = \"P1\"\nwhen = {{ is = {{ point = \"a\" }} }}\n"
        )
    };
    let mut world = World::with_people(&rule("old"));
    world.happens("a 1", 0.0);
    assert!(world.kept["oncall"].contains_key("incident/old.d"));
    let mut other = World::with_people(&rule("new"));
    other.engine = Engine::new(other.plan.clone(), &world.kept, "boot-0", other.now());
    let effects = other.engine.step(other.now(), Input::Tick);
    assert!(other.engine.board().sends.is_empty(), "{effects:?}");
    let forgotten = |k: &Keep| k.key == "incident/old.d" && k.bytes.is_none();
    assert!(effects.decided.keep.iter().any(forgotten), "{effects:?}");
}

/// What another room found reaches the alarms in the same step, as a point that rules look at.
#[test]
fn a_finding_raises_an_alarm_in_the_same_step() {
    use plantroom::alarm::room::AlarmRoom;
    use plantroom::model::room::{Board, Finding, Kept, Room, Start};
    let world = World::new(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"overdue\" } }\n",
    );
    let (kept, now) = (Kept::default(), world.now());
    let start = Start { kept: &kept, directory: &world.plan.directory, boot: "b", now };
    let mut room = AlarmRoom::build(&world.plan.rooms.alarm, start, &mut Vec::new());
    let finding = |state| Finding { device: "d".into(), name: "overdue".into(), state };
    for (state, expected) in [
        (Ok(false), vec![]),
        (Ok(true), vec!["raised"]),
        (Err(Cause::NotAvailable), vec!["input_lost"]),
        (Ok(true), vec!["input_back"]),
        (Ok(false), vec!["cleared"]),
    ] {
        let (mut board, mut effects) = (Board::default(), Effects::default());
        board.findings.push(finding(state));
        room.step(now, Input::Tick, &mut board, &mut effects);
        let events: Vec<&str> = board.transitions.iter().map(|e| e.kind.word()).collect();
        assert_eq!(events, expected, "{state:?}");
    }
}

/// The default rules of DOMAIN.md, by number, that ship with another room than measured points need.
const ELSEWHERE: [(&str, &str); 3] = [("GE-15", "maintenance"), ("EL-13", "maintenance"), ("EL-14", "maintenance")];

#[test]
fn every_default_rule_ships_somewhere() {
    let catalogue = plantroom::config::builtin::read(None, &mut plantroom::config::doc::Problems::default());
    let rules = catalogue.rules.values().flatten();
    let mut shipped: BTreeSet<String> = rules.filter_map(|(_, t)| t.rule.no.clone()).collect();
    for (no, _) in ELSEWHERE {
        assert!(shipped.insert(no.to_string()), "{no} ships twice");
    }
    // A gateway that is gone cannot say so: its last will does.
    shipped.insert("CO-4".to_string());
    let lists = [("SU", 15), ("DW", 8), ("FP", 9), ("GE", 16), ("AT", 4), ("EM", 13), ("EL", 15), ("CO", 13)];
    let all = lists.iter().flat_map(|(list, n)| (1..=*n).map(move |i| format!("{list}-{i}")));
    let missing: Vec<String> = all.filter(|no| !shipped.contains(no)).collect();
    assert!(missing.is_empty(), "nowhere: {missing:?}");
    for (class, rules) in &catalogue.rules {
        for name in rules.keys() {
            assert!(!catalogue.rules.contains_key(name), "`{class}.{name}` bears the name of a class");
        }
    }
}
