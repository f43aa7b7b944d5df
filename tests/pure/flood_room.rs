//! Flood as the engine runs it, with the built-in rules: timelines in text. `UPDATE=1` writes what lies below `====`.
//!
//! A file holds tables that go over the site of [`SITE`], a line `----`, then what happens, then a line `====`, then what came. A line of
//! input is a moment and what happens at it:
//!
//! ```text
//! 10m level 1.7                        a sample of the sump's level; also `pump 1 on`, `float on`, `rain 12.5`, `wet on`
//! 10m..20m/10s level 1.0..1.9          the same each ten seconds, from one value to another
//! 10m warning A orange 6h              a warning A comes, and expires six hours after it was sent; 0h: it does not say when
//! 10m update B red 6h of A             one that takes its place; also `cancel B of A`, `exercise A red 2h`
//! 10m fails no answer                  the feed does not answer; `answers` without news
//! 10m set orange 2h wang: reason       a person; also `withdraw wang: reason`, `force none 1h manager: reason`
//! 10m restart 5m | process 1m          the machine, or the process alone, is away for so long
//! 10m reload | reload A -> B            the configuration is loaded again, as it is or with another text
//! 10m clock +2h | untrusted | trusted  the date
//! 10m tick bags li: 200 of them          somebody looks; `ready` says what is not ready; `accepted`, `later`: what became of texts
//! 10m show                             what the topic says; `figures flood`, `figures sump-1`, `figures rain`: points that were computed
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use plantroom::app::engine_plan;
use plantroom::config;
use plantroom::config::doc::Texts;
use plantroom::engine::{Engine, EnginePlan, Persisted};
use plantroom::model::actor::{Actor, Role};
use plantroom::model::command::{Command, Operation};
use plantroom::model::effects::Effects;
use plantroom::model::flood::{FeedReport, FloodOperation};
use plantroom::model::notification::DeliveryOutcome;
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::reading::{Body, Reading, Stamp};
use plantroom::model::room::Input;
use plantroom::model::stream::{Source, Stream};
use plantroom::model::time::{MonotonicMillis, Now, UnixMillis};
use plantroom::model::value::Value;
use plantroom::model::warning::{Warning, WarningId, WarningInfo, WarningKind, WarningStatus};
use plantroom::presentation::token::PageTokens;

use crate::alarms::{clock, compare, duration, keep};

/// A sump with two pumps, floats and a leak sensor, a rain gauge, and a feed.
const SITE: &str = include_str!("flood/site.toml");

/// 2026-08-01T00:00:00 in Shanghai.
const BEGIN: i64 = 1_785_513_600_000;

struct Site {
    engine: Engine,
    plan: EnginePlan,
    header: String,
    kept: Persisted,
    streams: BTreeMap<String, Arc<Stream>>,
    at_ms: u64,
    mono_offset: i64,
    wall_offset: i64,
    trusted: bool,
    boot: String,
    /// The last sample of each point, which comes again every ten seconds.
    samples: BTreeMap<String, f64>,
    next_poll: u64,
    topic: serde_json::Value,
    /// The newest figures of computed points.
    figures: BTreeMap<String, String>,
    /// Attempts of texts whose outcome is not known yet.
    attempts: Vec<u64>,
    out: String,
}

const POLL_MS: u64 = 10_000;

/// The engine's plan of the site with these tables.
fn plan(header: &str) -> EnginePlan {
    let files = vec![("site.toml".to_string(), SITE.to_string()), ("own.toml".to_string(), header.to_string())];
    let loaded = config::load_texts(&Texts { files }, None);
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    let configuration = loaded.configuration.unwrap_or_else(|| panic!("{problems:#?}"));
    engine_plan::engine_plan(&configuration, &Arc::new(PageTokens::new(&[7; 32])))
}

impl Site {
    fn new(header: &str) -> Self {
        let plan = plan(header);
        let mut site = Self {
            engine: Engine::new(EnginePlan::default(), &Persisted::default(), "", Now::default()),
            plan,
            header: header.to_string(),
            kept: Persisted::default(),
            streams: BTreeMap::new(),
            at_ms: 0,
            mono_offset: 1_000_000,
            wall_offset: BEGIN,
            trusted: true,
            boot: "boot-0".into(),
            samples: BTreeMap::new(),
            next_poll: 0,
            topic: serde_json::Value::Null,
            figures: BTreeMap::new(),
            attempts: Vec::new(),
            out: String::new(),
        };
        for (point, value) in [("level", 0.6), ("pump 1", 0.0), ("pump 2", 0.0), ("float", 0.0), ("wet", 0.0)] {
            site.samples.insert(point.to_string(), value);
        }
        site.engine = Engine::new(site.plan.clone(), &Persisted::default(), "boot-0", site.now());
        site
    }

    fn now(&self) -> Now {
        Now {
            mono: MonotonicMillis((self.at_ms as i64 + self.mono_offset) as u64),
            wall: UnixMillis(self.at_ms as i64 + self.wall_offset),
            wall_trusted: self.trusted,
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let effects = self.engine.step(self.now(), input);
        self.take(effects);
    }

    fn say(&mut self, text: &str) {
        let at = clock(self.at_ms / 1_000);
        let _infallible = writeln!(self.out, "{at:>8}  {text}");
    }

    fn take(&mut self, effects: Effects) {
        if let Some(refused) = effects.refused {
            self.say(&format!("refused: {refused}"));
        }
        for event in effects.decided.events.iter().filter(|event| event.room == "flood") {
            let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
            let mut line = event.event.to_string();
            for key in ["from", "to", "level", "identifier"] {
                if let Some(text) = body[key].as_str() {
                    let _infallible = write!(line, " {text}");
                }
            }
            if let Some(title) = body["title_en"].as_str() {
                let _infallible = write!(line, " {title}");
            }
            for body in body["body_en"].as_str().into_iter().flat_map(str::lines) {
                let _infallible = write!(line, " | {body}");
            }
            for alarm in body["alarms"].as_array().into_iter().flatten() {
                let _infallible = write!(line, " {}", alarm.as_str().unwrap());
            }
            for text in [&event.actor, &event.note] {
                if !text.is_empty() {
                    let _infallible = write!(line, " ({text})");
                }
            }
            self.say(&line);
        }
        for sent in effects.decided.notifications.iter().filter(|sent| &*sent.channel == "office") {
            self.say(&format!("  to {} {}: {}", sent.channel, sent.notification.address, sent.notification.title));
            self.attempts.push(sent.attempt);
        }
        for event in self.engine.board().transitions.clone() {
            let text = self.engine.alarm_room().subject(&event.key).0.text.en;
            self.say(&format!("  {} {} {}: {text}", event.kind.word(), event.key, event.priority.word()));
        }
        for reading in &effects.readings {
            if matches!(reading.stream.source, Source::Flood | Source::Water) {
                let Body::Samples { samples, .. } = &reading.body else { continue };
                for (point, sample) in reading.stream.points.iter().zip(samples) {
                    let shown = match sample.as_ref().unwrap() {
                        Ok(value) => value.to_string(),
                        Err(cause) => cause.word().to_string(),
                    };
                    self.figures.insert(format!("{}.{}", reading.stream.device, point.name), shown);
                }
            }
        }
        for (topic, json) in &effects.decided.retained {
            match (topic.as_str(), json) {
                ("flood", Some(json)) => self.topic = serde_json::from_str(json).unwrap(),
                ("flood", None) => self.topic = serde_json::Value::Null,
                (topic, Some(_)) if topic.starts_with("notice/") => self.say(&format!("  topic {topic}")),
                (topic, None) if topic.starts_with("notice/") => self.say(&format!("  topic {topic} cleared")),
                _ => {}
            }
        }
        keep(&mut self.kept, effects.decided.keep);
    }

    /// Time goes on to a moment; points are read every ten seconds.
    fn go(&mut self, to_ms: u64) {
        loop {
            let wake =
                self.engine.next_wake().map(|wake| (wake.0 as i64 - self.mono_offset).max(self.at_ms as i64) as u64);
            let at = wake.map_or(self.next_poll, |wake| wake.min(self.next_poll));
            if at >= to_ms {
                break;
            }
            self.at_ms = at;
            if at >= self.next_poll {
                self.poll();
            } else {
                self.step(Input::Tick);
            }
        }
        self.at_ms = to_ms;
    }

    fn poll(&mut self) {
        self.next_poll = self.at_ms + POLL_MS;
        for (point, value) in self.samples.clone() {
            self.sample(&point, value);
        }
    }

    fn sample(&mut self, point: &str, value: f64) {
        let (device, name) = match point {
            "level" => ("sump-1", "level_m"),
            "pump 1" => ("sump-1", "pump1_running"),
            "pump 2" => ("sump-1", "pump2_running"),
            "float" => ("sump-1", "high_high_float"),
            "wet" => ("sump-1", "leak_wet"),
            "rain" => ("rain", "rain_mm"),
            "auto 1" => ("sump-1", "pump1_selector_auto"),
            _ => panic!("no point {point}"),
        };
        let stream = self.streams.entry(point.to_string()).or_insert_with(|| {
            let meta = PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::F64);
            Stream::new(device, format!("u/{name}").into(), POLL_MS, vec![meta])
        });
        let stream = Arc::clone(stream);
        let now = self.now();
        let at = Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted };
        let samples = vec![Some(Ok(Value::F64(value)))];
        self.step(Input::Reading(&Reading { stream, at, body: Body::Samples { samples, parts: vec![] } }));
    }

    fn set_sample(&mut self, point: &str, value: f64) {
        self.samples.insert(point.to_string(), value);
        self.poll();
    }

    fn command(&mut self, operation: FloodOperation, text: &str) {
        let (who, why) = text.split_once(": ").unwrap_or((text, ""));
        let who = who.rsplit(' ').next().unwrap();
        let role = if who == "manager" { Role::Manager } else { Role::Engineer };
        let actor = Actor::local(who, 1_000, role);
        let operation = Operation::Flood(operation);
        self.step(Input::Command(&Command { actor, note: why.to_string(), operation }));
    }

    fn warning(&mut self, verb: &str, rest: &str) {
        let (rest, refers) = rest.split_once(" of ").unwrap_or((rest, ""));
        let mut words = rest.split(' ');
        let identifier = words.next().unwrap().to_string();
        let (colour, lasts) = (words.next().unwrap_or("none"), words.next().unwrap_or("0h"));
        let id = |identifier: &str| WarningId { sender: "office".into(), identifier: identifier.into() };
        let sent = self.now().wall;
        let lasts = if lasts == "0h" { None } else { Some(UnixMillis(sent.0 + duration(lasts) as i64)) };
        let info = |language: &str, headline: String| WarningInfo {
            language: language.into(),
            event: "rainstorm".into(),
            headline,
            expires: lasts,
            ..WarningInfo::default()
        };
        let warning = Warning {
            id: id(&identifier),
            sent,
            status: if verb == "exercise" { WarningStatus::Exercise } else { WarningStatus::Actual },
            kind: match verb {
                "update" => WarningKind::Update,
                "cancel" => WarningKind::Cancel,
                _ => WarningKind::Alert,
            },
            references: refers.split_whitespace().map(id).collect(),
            infos: vec![info("en-US", format!("{colour} rainstorm")), info("zh-CN", format!("暴雨 {colour}"))],
            hash: format!("{identifier} {colour} {lasts:?}"),
        };
        self.feed(&FeedReport::answered(vec![warning]));
    }

    fn feed(&mut self, report: &FeedReport) {
        self.step(Input::Feed { feed: "office", report });
    }

    fn outcome(&mut self, outcome: &DeliveryOutcome) {
        for attempt in std::mem::take(&mut self.attempts) {
            self.step(Input::Delivery { attempt, outcome });
        }
    }

    /// The same site, or the same with another text of its tables.
    fn reload(&mut self, rest: &str) {
        if let Some((from, to)) = rest.split_once(" -> ") {
            assert!(self.header.contains(from), "{from}");
            self.header = self.header.replace(from, to);
            self.plan = plan(&self.header);
        }
        let actor = Actor::local("li", 0, Role::Engineer);
        let streams = std::collections::BTreeSet::new();
        let effects = self.engine.reconfigure(self.plan.clone(), &streams, &self.kept, &actor, self.now());
        self.take(effects);
    }

    fn restart(&mut self, away_ms: u64, is_reboot: bool) {
        keep(&mut self.kept, self.engine.snapshots().encode());
        self.at_ms += away_ms;
        if is_reboot {
            self.mono_offset = 60_000 - self.at_ms as i64;
            self.boot = format!("boot-{}", self.at_ms);
        }
        self.engine = Engine::new(self.plan.clone(), &self.kept, &self.boot, self.now());
        assert_eq!(self.engine.unreadable(), [] as [String; 0]);
        self.next_poll = self.at_ms;
    }

    fn show(&mut self) {
        let topic = self.topic.clone();
        let text = |key: &str| topic[key].as_str().unwrap_or("-").to_string();
        let mut line = format!("= {} since {} down {}", text("level"), text("since"), text("next_step_down"));
        for key in ["external", "local", "manual", "forced_down"] {
            if let Some(level) = topic[key]["level"].as_str() {
                let _infallible = write!(line, ", {key} {level}");
            }
        }
        if let Some(why) = topic["last_ended"]["why"].as_str() {
            let _infallible = write!(line, ", last {why}");
        }
        self.say(&line);
    }

    fn show_figures(&mut self, device: &str) {
        let of = self.figures.iter().filter_map(|(name, value)| Some((name.strip_prefix(device)?, value)));
        let figures: Vec<String> = of.map(|(name, value)| format!("{name} {value}")).collect();
        for figures in figures.chunks(4) {
            self.say(&format!("= {device} {}", figures.join(", ")));
        }
    }

    fn happens(&mut self, what: &str, share: f64) {
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let on = |rest: &str| if rest.ends_with("on") { 1.0 } else { 0.0 };
        let length = || duration(rest.split(' ').nth(1).unwrap());
        let level = || rest.split(' ').next().unwrap().to_string();
        match verb {
            "level" | "rain" => {
                let value = match rest.split_once("..") {
                    None => rest.parse().unwrap(),
                    Some((from, to)) => {
                        let (from, to): (f64, f64) = (from.parse().unwrap(), to.parse().unwrap());
                        from + (to - from) * share
                    }
                };
                self.set_sample(verb, value);
            }
            "pump" | "auto" => self.set_sample(&format!("{verb} {}", &rest[..1]), on(rest)),
            "float" | "wet" => self.set_sample(verb, on(rest)),
            "warning" | "update" | "cancel" | "exercise" => self.warning(verb, rest),
            "answers" => self.feed(&FeedReport::answered(Vec::new())),
            "fails" => self.feed(&FeedReport::failed(rest)),
            "set" => self.command(FloodOperation::Set { level: level(), for_ms: length() }, rest),
            "withdraw" => self.command(FloodOperation::Withdraw, rest),
            "force" => self.command(FloodOperation::ForceDown { level: level(), for_ms: length() }, rest),
            "restart" => self.restart(duration(rest), true),
            "process" => self.restart(duration(rest), false),
            "reload" => self.reload(rest),
            "untrusted" => self.trusted = false,
            "trusted" => self.trusted = true,
            "show" => self.show(),
            "tick" => self.command(FloodOperation::Tick { item: level() }, rest),
            "accepted" => self.outcome(&DeliveryOutcome::Accepted),
            "later" => self.outcome(&DeliveryOutcome::RetryLater { after_ms: None, reason: "away".into() }),
            "ready" => {
                let of = self.topic["readiness"].clone();
                self.say(&format!("= ready {} % ({} of {})", of["pct"], of["ready"], of["all"]));
                for open in of["open"].as_array().unwrap() {
                    let known = if open["is_known"] == true { "" } else { " (not known)" };
                    self.say(&format!(
                        "= open {}{known}: {}",
                        open["key"].as_str().unwrap(),
                        open["en"].as_str().unwrap()
                    ));
                }
            }
            "figures" => self.show_figures(&format!("{rest}.")),
            "clock" => {
                let (sign, length) = rest.split_at(1);
                let ms = duration(length) as i64;
                self.wall_offset += if sign == "-" { -ms } else { ms };
            }
            _ => panic!("nobody knows {what:?}"),
        }
    }

    fn line_of_input(&mut self, line: &str) {
        let (when, what) = line.split_once(' ').unwrap_or_else(|| panic!("no moment in {line:?}"));
        let ms = |text: &str| if text == "0s" { 0 } else { duration(text) };
        let Some((from, rest)) = when.split_once("..") else {
            self.go(ms(when));
            return self.happens(what.trim(), 0.0);
        };
        let (to, every) = rest.split_once('/').unwrap();
        let (from, to, every) = (ms(from), ms(to), ms(every));
        let mut at = from;
        while at <= to {
            self.go(at);
            self.happens(what.trim(), (at - from) as f64 / (to - from).max(1) as f64);
            at += every;
        }
    }
}

#[test]
fn flood_timelines_come_out_as_they_are_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pure/flood");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|of| of == "txt"));
    paths.sort();
    assert!(paths.len() > 10, "the timelines are there");
    for path in paths {
        compare(&path, |header, lines| {
            let mut site = Site::new(header);
            lines.for_each(|line| site.line_of_input(line));
            site.out
        });
    }
}
