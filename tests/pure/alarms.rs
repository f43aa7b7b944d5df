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
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use plantroom::alarm::build::{self, RuleSubject};
use plantroom::alarm::event::{Action, AlarmCommand, Event, Inject};
use plantroom::alarm::settings::RulesFile;
use plantroom::alarm::{self, Rules};
use plantroom::engine::{Engine, EngineInput, EngineOutput, EnginePlan, PersistedEngine, Snapshot};
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention, STATUS, Stream};
use plantroom::model::quality::Cause;
use plantroom::model::reading::{Body, Reading, Sample, Stamp};
use plantroom::model::text::format_number;
use plantroom::model::time::{HumanDuration, MonotonicMillis, Now, UnixMillis, duration_ms};
use plantroom::model::value::Value;
use serde::Deserialize as _;

/// 2026-06-01T00:00:00 in Shanghai, a Monday.
const BEGIN: i64 = 1_780_243_200_000;
/// The boot was so long before.
const UP: u64 = 1_000_000;

struct World {
    engine: Engine,
    plan: EnginePlan,
    kept: BTreeMap<String, alarm::PersistedAlarm>,
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
    use plantroom::model::point::LocalizedText;
    use plantroom::oncall::plan::{OncallPlan, PersonPlan};
    use plantroom::oncall::settings::Language;
    let contacts = vec![plantroom::oncall::settings::Contact { channel: "push".into(), to: String::new() }];
    let li = PersonPlan { names: LocalizedText::default(), language: Language::default(), roles: Vec::new(), contacts };
    Arc::new(OncallPlan { people: [("li".into(), li)].into(), ..OncallPlan::default() })
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
        let plan =
            EnginePlan { alarms: Rules { definitions, settings, zone }, oncall: somebody(), ..EnginePlan::default() };
        let mut world = Self {
            engine: Engine::default(),
            plan: plan.clone(),
            kept: BTreeMap::new(),
            streams: BTreeMap::new(),
            at_ms: 0,
            mono_offset: UP as i64,
            wall_offset: BEGIN,
            trusted: true,
            boot: "boot-0".into(),
            every_ms,
            out: String::new(),
        };
        world.engine = Engine::new(plan, PersistedEngine::default(), "boot-0", world.now());
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
            self.step(EngineInput::Tick);
        }
        self.at_ms = to_ms;
    }

    fn step(&mut self, input: EngineInput<'_>) {
        let out = self.engine.step(self.now(), input);
        self.take(out);
    }

    fn take(&mut self, out: EngineOutput) {
        if let Some(refused) = out.refused {
            let _infallible = writeln!(self.out, "{:>8}  refused: {refused}", self.time());
        }
        for event in &out.alarm.events {
            let line = self.line(event);
            self.out.push_str(&line);
        }
        for (key, kept) in out.alarm.changed {
            match kept {
                // As the store has it: written and read back.
                Some(kept) => {
                    let text = serde_json::to_vec(&kept).unwrap();
                    self.kept.insert(key.to_string(), serde_json::from_slice(&text).unwrap());
                }
                None => drop(self.kept.remove(&*key)),
            }
        }
    }

    fn time(&self) -> String {
        let s = self.at_ms / 1_000;
        if self.at_ms.is_multiple_of(1_000) { clock(s) } else { HumanDuration(self.at_ms).text() }
    }

    fn line(&self, e: &Event) -> String {
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
        for (word, is) in [("quiet", e.is_silenced), ("merged", e.in_alarm_flood), ("TEST", e.test), ("first", e.is_first_out)] {
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
        self.step(EngineInput::Reading(&reading));
    }

    fn reading(&mut self, point: &str, sample: Sample) -> Reading {
        let (device, name) = point.split_once(':').unwrap_or(("d", point));
        let (source, every_ms, name) = match name.strip_prefix("status/") {
            Some(name) => (STATUS.to_string(), 0, name),
            None => (format!("u/{name}"), self.every_ms, name),
        };
        let stream = self.streams.entry(point.to_string()).or_insert_with(|| {
            let meta = PointMeta {
                name: name.into(),
                kind: PointKind::Number,
                retention: Retention::Telemetry,
                encoding: Encoding::F64,
            };
            Arc::new(Stream { device: device.into(), source: source.into(), every_ms, points: vec![meta] })
        });
        let stream = Arc::clone(stream);
        let now = self.now();
        let at = Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted };
        Reading { stream, at, body: Body::Samples { samples: vec![Some(sample)], parts: vec![] } }
    }

    fn restart(&mut self, away_ms: u64) {
        let snapshot = serde_json::to_vec(&self.engine.snapshot()).unwrap();
        let snapshot: Snapshot = serde_json::from_slice(&snapshot).unwrap();
        self.at_ms += away_ms;
        // The machine was off: its monotonic clock begins anew.
        self.mono_offset = 60_000 - self.at_ms as i64;
        self.boot = format!("boot-{}", self.at_ms);
        self.engine = Engine::new(
            self.plan.clone(),
            PersistedEngine { snapshot, alarms: self.kept.clone(), ..PersistedEngine::default() },
            &self.boot,
            self.now(),
        );
    }

    /// What happens at a moment.
    fn happens(&mut self, what: &str, share: f64) {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let note = |text: &str| text.split_once(": ").map_or(String::new(), |(_, n)| n.to_string());
        let mut act = |action: Action| {
            let mut words = rest.split([' ', ':']).filter(|w| !w.is_empty());
            let key = words.next().unwrap().to_string();
            let by = words.find(|w| duration_ms(w).is_none()).unwrap_or("somebody").to_string();
            let command = AlarmCommand { key, action, actor: by, note: note(rest) };
            self.step(EngineInput::Commands(&[command]));
        };
        let length = || rest.split([' ', ':']).find_map(duration_ms).unwrap_or_else(|| panic!("no length in {what}"));
        match verb {
            "ack" => act(Action::Acknowledge),
            "arrived" => act(Action::Arrive),
            "handover" => act(Action::HandOver { to: "li".into() }),
            "explain" => self.explain(rest),
            "reset" => act(Action::Reset),
            "shelve" => act(Action::Shelve { for_ms: length() }),
            "test" => act(Action::AnnounceTest { for_ms: length() }),
            "unshelve" => act(Action::Unshelve),
            "out" => act(Action::TakeOutOfService),
            "back" => act(Action::ReturnToService),
            "tick" => self.step(EngineInput::Tick),
            "restart" => self.restart(length()),
            "untrusted" => self.trusted = false,
            "trusted" => self.trusted = true,
            "clock" => {
                let (sign, length) = rest.split_at(1);
                let ms = duration_ms(length).unwrap() as i64;
                self.wall_offset += if sign == "-" { -ms } else { ms };
            }
            "remove" => {
                let mut plan = self.plan.clone();
                plan.alarms.definitions.retain(|d| d.key() != rest);
                self.plan = plan.clone();
                let now = self.now();
                let out = self.engine.reconfigure(plan, |_, _| true, None, "wang", now);
                self.take(out);
            }
            "reload" => {
                let (plan, now) = (self.plan.clone(), self.now());
                let mut other = plan.clone();
                other.alarms.settings.keep_days += 1;
                let out = self.engine.reconfigure(other, |_, _| true, None, "wang", now);
                self.take(out);
            }
            "inject" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let inject = Inject {
                    device: "d".into(),
                    point: words[0].into(),
                    value: words[1].parse().unwrap(),
                    for_ms: duration_ms(words[2]).unwrap(),
                    actor: "wang".into(),
                };
                self.step(EngineInput::Inject(&inject));
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

/// Two alarms in one message: whoever answers it takes both, once; an alarm that is over cannot be taken by it any more.
#[test]
fn whoever_answers_a_message_takes_all_that_it_says() {
    use plantroom::oncall::page::{OncallCommand as PageCommand, PageReply, Reply};
    let rule = "zh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P3\"\n";
    let mut world = World::new(&format!(
        "[rules.a]\n{rule}when = {{ is = {{ point = \"a\" }} }}\n[rules.b]\n{rule}when = {{ is = {{ point = \"b\" }} }}\n"
    ));
    world.plan.oncall = crate::pages::plan("").0;
    world.at_ms = 10 * 3_600_000;
    world.engine = Engine::new(world.plan.clone(), PersistedEngine::default(), "boot-0", world.now());
    world.happens("a 1", 0.0);
    world.happens("b 1", 0.0);
    world.at_ms += 30_000;
    let now = world.now();
    let sent = world.engine.step(now, EngineInput::Tick).oncall.sends;
    assert_eq!((sent.len(), sent[0].about.len()), (1, 2), "{sent:?}");
    let page = sent[0].about[0].page;
    let take = PageCommand::Reply(PageReply::new(page, Reply::Acknowledge, "button"));
    let out = world.engine.step(now, EngineInput::Oncall(&take));
    let taken: Vec<String> = out.alarm.events.iter().map(|e| format!("{} {} {}", e.kind.word(), e.key, e.actor)).collect();
    assert_eq!(taken, ["acknowledged a.d wang", "acknowledged b.d wang"]);
    assert_eq!(out.oncall.log.last().map(|e| (e.event, e.reason.as_str())), Some(("page_answered", "button")));
    let again = world.engine.step(now, EngineInput::Oncall(&take));
    assert_eq!(again.refused.unwrap().en, "this page was answered already");
    // What is done with one of them is done with that one only, by whoever has it.
    let does = |world: &mut World, reply| {
        let reply = PageCommand::Reply(PageReply::new(page, reply, "link"));
        let out = world.engine.step(world.now(), EngineInput::Oncall(&reply));
        let events = out.alarm.events.iter().map(|e| format!("{} {}", e.kind.word(), e.key)).collect::<Vec<_>>();
        (events, out.refused.map(|r| r.en).unwrap_or_default())
    };
    let (events, _) = does(&mut world, Reply::Shelve { for_ms: 3_600_000 });
    assert_eq!(events, ["shelved a.d"]);
    world.happens("unshelve a.d wang", 0.0);
    let (events, refused) = does(&mut world, Reply::HandOver { to: "li".into() });
    assert_eq!((events, refused.as_str()), (vec!["handed_over a.d".to_string()], ""));
    for reply in [Reply::HandOver { to: "zhao".into() }, Reply::Shelve { for_ms: 3_600_000 }, Reply::Reset] {
        let (events, refused) = does(&mut world, reply);
        assert!(events.is_empty() && refused.starts_with("acknowledge it first"), "it is Li's now: {refused}");
    }
    world.happens("a 0", 0.0);
    let late = PageCommand::Reply(PageReply::new(99, Reply::Acknowledge, ""));
    let late = world.engine.step(world.now(), EngineInput::Oncall(&late));
    assert_eq!(late.refused.unwrap().en, "that alarm is over");
}

/// Whoever has a page does more with it than taking it: each is refused in both languages where it makes no sense.
#[test]
fn a_page_is_answered_in_every_way_there_is() {
    use plantroom::model::notification::DeliveryOutcome;
    use plantroom::oncall::page::{OncallCommand as PageCommand, PageKind, PageReply, Reply};
    let rule = "zh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nlatch = true\n";
    let mut world = World::new(&format!("[rules.a]\n{rule}when = {{ is = {{ point = \"a\" }} }}\n"));
    world.plan.oncall = crate::pages::plan("").0;
    world.at_ms = 10 * 3_600_000;
    world.engine = Engine::new(world.plan.clone(), PersistedEngine::default(), "boot-0", world.now());
    world.happens("a 1", 0.0);
    let now = world.now();
    let sent = world.engine.step(now, EngineInput::Tick).oncall.sends;
    let page = sent.first().map_or(1, |s| s.about[0].page);
    let shelve = || Reply::Shelve { for_ms: 3_600_000 };
    let answer = |world: &mut World, reply: Reply| {
        let reply = PageReply { needs_confirmation: true, note: "filter".into(), ..PageReply::new(page, reply, "link") };
        let out = world.engine.step(world.now(), EngineInput::Oncall(&PageCommand::Reply(reply)));
        let events: Vec<String> = out
            .alarm
            .events
            .iter()
            .map(|e| format!("{} {} {}", e.kind.word(), e.actor, e.note).trim().to_string())
            .collect();
        let told = out.oncall.sends.iter().flat_map(|s| &s.about).filter(|a| a.kind == PageKind::ReplyResult);
        let told: Vec<String> = told.map(|a| a.reply_result.zh.clone()).collect();
        for send in &out.oncall.sends {
            let took = PageCommand::DeliveryFinished { id: send.id, outcome: DeliveryOutcome::Accepted };
            world.engine.step(world.now(), EngineInput::Oncall(&took));
        }
        (events, out.refused.map(|r| format!("{} / {}", r.zh, r.en)).unwrap_or_default(), told.concat())
    };
    let (events, refused, told) = answer(&mut world, shelve());
    assert!(events.is_empty() && refused.starts_with("请先接单 / acknowledge it first"), "{events:?} {refused}");
    assert_eq!(told, "没有变化：请先接单。");
    // Whoever is there has it with that.
    let (events, refused, told) = answer(&mut world, Reply::Arrive);
    assert_eq!((events, refused.as_str()), (vec!["acknowledged wang filter".into(), "arrived wang filter".into()], ""));
    assert_eq!(told, "已记录到场：");
    let (events, refused, _) = answer(&mut world, Reply::Reset);
    assert!(events.is_empty() && refused.contains("its condition is still there"), "{refused}");
    let (events, refused, _) = answer(&mut world, Reply::HandOver { to: "wong".into() });
    assert!(events.is_empty() && refused.contains("没有人员“wong”，是否指 wang？"), "{refused}");
    let (events, refused, told) = answer(&mut world, shelve());
    assert_eq!((events, refused.as_str(), told.as_str()), (vec!["shelved wang filter".into()], "", ""));
    world.happens("a 0", 0.0);
    let (events, refused, _) = answer(&mut world, Reply::Reset);
    assert_eq!((events, refused.as_str()), (vec!["reset wang filter".into()], ""));
}

/// The desk of pages panics: alarms go on; when it is back it hears of what it missed, and tells it once.
#[test]
fn a_desk_of_pages_that_panics_hears_later_of_what_it_missed() {
    let mut world = World::new(
        "[rules.a]\nzh = \"高\"\nen = \"high\"\naction = { zh = \"查\", en = \"look\" }\npriority = \"P1\"\nwhen = { is = { point = \"a\" } }\n",
    );
    world.plan.oncall = crate::pages::plan("").0;
    world.engine = Engine::new(world.plan.clone(), PersistedEngine::default(), "boot-0", world.now());
    world.engine.inject_fault("oncall");
    world.happens("a 1", 0.0);
    assert_eq!(world.engine.disabled_rooms(), ["oncall"]);
    assert!(world.out.contains("raised a.d P1"), "alarms go on: {}", world.out);
    let stored = PersistedEngine { alarms: world.kept.clone(), ..PersistedEngine::default() };
    let now = world.now();
    let out = world.engine.reconfigure(world.plan.clone(), |_, _| true, Some(stored), "wang", now);
    assert!(out.oncall.sends.is_empty());
    let told = world.engine.step(now, EngineInput::Tick).oncall.sends;
    assert_eq!((told.len(), &*told[0].about[0].key), (1, "a.d"));
    assert!(world.engine.step(now, EngineInput::Tick).oncall.sends.is_empty(), "once");
}

/// A rule that is gone at the next start pages nobody any more.
#[test]
fn an_alarm_whose_rule_went_while_the_gateway_was_away_pages_nobody() {
    use plantroom::oncall::PersistedOncall;
    let rule = |name: &str| {
        format!(
            "[rules.{name}]\nzh = \"高\"\nen = \"high\"\naction = {{ zh = \"查\", en = \"look\" }}\npriority = \"P1\"\nwhen = {{ is = {{ point = \"a\" }} }}\n"
        )
    };
    let mut world = World::new(&rule("old"));
    world.plan.oncall = crate::pages::plan("").0;
    world.engine = Engine::new(world.plan.clone(), PersistedEngine::default(), "boot-0", world.now());
    let reading = world.reading("a", Ok(Value::F64(1.0)));
    let out = world.engine.step(world.now(), EngineInput::Reading(&reading));
    let incidents = out.oncall.changed.into_iter().filter_map(|(k, v)| Some((k.to_string(), v?))).collect();
    let stored = PersistedOncall { incidents, meta: out.oncall.meta.unwrap() };
    assert!(stored.incidents.contains_key("old.d"));
    let mut other = World::new(&rule("new"));
    other.plan.oncall = crate::pages::plan("").0;
    let survived = PersistedEngine { oncall: stored, ..PersistedEngine::default() };
    other.engine = Engine::new(other.plan.clone(), survived, "boot-0", other.now());
    let out = other.engine.step(other.now(), EngineInput::Tick);
    assert!(out.oncall.sends.is_empty(), "{:?}", out.oncall);
    assert_eq!(out.oncall.changed.get("old.d"), Some(&None));
}

/// The default rules of DOMAIN.md, by number, that ship with another room than measured points need.
const ELSEWHERE: [(&str, &str); 8] = [
    ("SU-14", "flood"),
    ("CO-11", "flood"),
    ("GE-15", "maintenance"),
    ("EL-13", "maintenance"),
    ("EL-14", "maintenance"),
    ("EM-7", "energy"),
    ("EM-11", "energy"),
    ("EM-12", "energy"),
];

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
