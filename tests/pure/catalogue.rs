//! Every rule of the catalogue is raised once and cleared once, by input that is made from its own condition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plantroom::alarm::Rules;
use plantroom::alarm::build;
use plantroom::alarm::condition::ResolvedCondition;
use plantroom::alarm::condition::bad::ResolvedBad;
use plantroom::alarm::condition::change::ResolvedChange;
use plantroom::alarm::condition::count::ResolvedCount;
use plantroom::alarm::condition::deviation::ResolvedDeviation;
use plantroom::alarm::condition::frozen::ResolvedFrozen;
use plantroom::alarm::condition::idle::ResolvedIdle;
use plantroom::alarm::condition::is::ResolvedIs;
use plantroom::alarm::condition::lasting::ResolvedLasting;
use plantroom::alarm::condition::level::ResolvedLevel;
use plantroom::alarm::condition::no_effect::ResolvedNoEffect;
use plantroom::alarm::condition::offline::ResolvedOffline;
use plantroom::alarm::condition::rate::ResolvedRate;
use plantroom::alarm::condition::reaches::ResolvedReaches;
use plantroom::alarm::days::BaselineFigure;
use plantroom::alarm::definition::AlarmDefinition;
use plantroom::alarm::resolve::ConditionInput as Point;
use plantroom::alarm::resolve::RuleSubject;
use plantroom::config::builtin;
use plantroom::config::doc::Problems;
use plantroom::engine::{Engine, Persisted};
use plantroom::model::alarm::AlarmEventKind;
use plantroom::model::command::{AlarmAction, Command, Operation};
use plantroom::model::point::{Encoding, PointKind, PointMeta, Retention};
use plantroom::model::quality::Cause;
use plantroom::model::reading::{Body, Reading, Sample, Stamp};
use plantroom::model::room::Input;
use plantroom::model::stream::{STATUS, Stream};
use plantroom::model::time::{MonotonicMillis, Now, UnixMillis};
use plantroom::model::value::Value;

/// The number of rules that ship stands in the docs as it is.
#[test]
fn the_docs_say_how_many_rules_there_are() {
    let catalogue = builtin::read(None, &mut Problems::default());
    let count: usize = catalogue.rules.values().map(BTreeMap::len).sum();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let says = |file: &str, text: &str| std::fs::read_to_string(root.join(file)).unwrap().contains(text);
    assert!(says("docs/alarms.md", &format!("Built in now, {count} rules")), "docs/alarms.md: {count} rules");
    assert!(says("CHANGELOG.md", &format!("{count} default rules")), "CHANGELOG.md: {count} rules");
}

/// What a point does over time.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    base: f64,
    /// Change a minute from the beginning of the phase.
    per_min: f64,
    /// Goes between 0 and the base with this period.
    period_ms: Option<u64>,
    bad: Option<Cause>,
}

impl Course {
    fn at(self, ms: u64) -> Sample {
        if let Some(cause) = self.bad {
            return Err(cause);
        }
        let on = self.period_ms.is_none_or(|p| ms / (p / 2) % 2 == 1);
        let value = if on { self.base + self.per_min * ms as f64 / 60_000.0 } else { 0.0 };
        Ok(Value::F64(value))
    }
}

type Courses = BTreeMap<String, Course>;

fn name(point: &Point) -> String {
    format!("{}:{}", point.device, point.point)
}

/// The same of a condition that has to hold so often.
fn make_often(when: &ResolvedCondition, at_least: u32, within_ms: u64, holds: bool, to: &mut Courses) {
    make(when, true, to);
    let mut inputs = Vec::new();
    when.inputs(&mut |i| inputs.push(name(i)));
    for i in inputs {
        let course = to.get_mut(&i).unwrap();
        course.period_ms = holds.then_some(within_ms / (u64::from(at_least) + 2));
        course.base = if holds { course.base } else { 0.0 };
    }
}

/// Puts what makes a condition hold, or not, into the courses of its points.
fn make(node: &ResolvedCondition, holds: bool, to: &mut Courses) {
    use ResolvedCondition as C;
    let mut set = |point: &Point, f: &dyn Fn(&mut Course)| f(to.entry(name(point)).or_default());
    match node {
        C::High(level) | C::Low(level) => {
            let ResolvedLevel { inputs, high, limits, deadband } = level;
            let (near, far) = (limits[0], limits[limits.len() - 1]);
            let margin = 0.01 * near.abs().max(1.0);
            let value = match (holds, high) {
                (true, true) => far + margin,
                (true, false) => far - margin,
                (false, true) => near - deadband - margin,
                (false, false) => near + deadband + margin,
            };
            // What two conditions of a rule say of one point has to go together: the inner of both limits.
            inputs.iter().for_each(|i| {
                set(i, &|c| {
                    c.base = match (c.base, holds == *high) {
                        (0.0, _) => value,
                        (before, true) => before.max(value),
                        (before, false) => before.min(value),
                    };
                });
            });
        }
        C::Is(ResolvedIs { inputs, values, .. }) => {
            let yes = values.first().map_or(1.0, |v| *v as f64);
            let no = if values.contains(&0) { 9_999.0 } else { 0.0 };
            inputs.iter().for_each(|i| set(i, &|c| c.base = if holds { yes } else { no }));
        }
        C::Rate(ResolvedRate { input, per_min, .. }) => {
            set(input, &|c| c.per_min = if holds { per_min * 2.0 } else { 0.0 });
        }
        C::Change(ResolvedChange { input, delta: by, within_ms }) => {
            let per_min = by * 2.0 / (*within_ms as f64 / 60_000.0);
            set(input, &|c| (c.base, c.per_min) = (1_000.0, if holds { per_min } else { 0.0 }));
        }
        C::Deviation(ResolvedDeviation { a, limit, .. }) => set(a, &|c| c.base = if holds { limit * 2.0 } else { 0.0 }),
        C::Frozen(ResolvedFrozen { input, lasts_ms }) => {
            set(input, &|c| (c.base, c.period_ms) = (1.0, (!holds).then_some(lasts_ms / 4)));
        }
        C::Bad(ResolvedBad { input, causes }) => {
            let cause = causes.first().copied().unwrap_or(Cause::SensorFault);
            set(input, &|c| c.bad = holds.then_some(cause));
        }
        C::Offline(ResolvedOffline { inputs, .. }) | C::ShareOffline(ResolvedOffline { inputs, .. }) => {
            inputs.iter().for_each(|i| set(i, &|c| c.base = if holds { 3.0 } else { 1.0 }));
        }
        C::NoEffect(ResolvedNoEffect { running, .. }) => set(running, &|c| c.base = f64::from(u8::from(holds))),
        C::Idle(ResolvedIdle { input, .. }) => set(input, &|c| c.base = f64::from(u8::from(!holds))),
        C::Reaches(ResolvedReaches { input, limit, .. }) => {
            set(input, &|c| c.base = if holds { limit + 1.0 } else { limit / 2.0 });
        }
        C::Count(ResolvedCount { when, at_least, within_ms }) => make_often(when, *at_least, *within_ms, holds, to),
        C::AgainstDays(d) if d.figure == BaselineFigure::Starts => set(&d.input, &|c| {
            (c.base, c.period_ms) = (1.0, Some(if holds { 3_600_000 } else { 21_600_000 }));
        }),
        C::AgainstDays(d) => set(&d.input, &|c| c.base = if holds { 4.0 } else { 2.0 }),
        C::Lasting(ResolvedLasting { when, .. }) => make(when, holds, to),
        C::Hours(_) => {}
        C::Not(of) => make(&of.part, !holds, to),
        C::All(of) => of.parts.iter().for_each(|n| make(n, holds, to)),
        C::Any(of) => of.parts.iter().enumerate().for_each(|(i, n)| {
            if !holds || i == 0 {
                make(n, holds, to);
            }
        }),
    }
}

struct World {
    engine: Engine,
    streams: BTreeMap<String, Arc<Stream>>,
    now_ms: u64,
    seen: Vec<AlarmEventKind>,
}

impl World {
    fn new(of: &AlarmDefinition) -> Self {
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        // What hides it is not there: here it stands alone.
        let of = AlarmDefinition { suppressed_by: Vec::new(), ..of.clone() };
        let rules = Rules { definitions: vec![Arc::new(of)], zone, ..Rules::default() };
        let plan = crate::alarms::plan_of(rules, Arc::default());
        let begin = Now { mono: MonotonicMillis(1_000_000), wall: UnixMillis(1_780_243_200_000), wall_trusted: true };
        let engine = Engine::new(plan, &Persisted::default(), "boot", begin);
        Self { engine, streams: BTreeMap::new(), now_ms: 0, seen: Vec::new() }
    }

    fn now(&self) -> Now {
        let wall = UnixMillis(1_780_243_200_000 + self.now_ms as i64);
        Now { mono: MonotonicMillis(1_000_000 + self.now_ms), wall, wall_trusted: true }
    }

    fn step(&mut self, input: Input<'_>) {
        self.engine.step(self.now(), input);
        self.seen.extend(self.engine.board().transitions.iter().map(|e| e.kind));
    }

    fn phase(&mut self, courses: &Courses, length_ms: u64, every_ms: u64, until: AlarmEventKind) -> bool {
        let begin = self.now_ms;
        while self.now_ms - begin <= length_ms {
            for (point, course) in courses {
                let (device, name) = point.split_once(':').unwrap();
                let (source, name) = match name.strip_prefix("status/") {
                    Some(name) => (STATUS.to_string(), name),
                    None => (format!("u/{name}"), name),
                };
                let stream = self.streams.entry(point.clone()).or_insert_with(|| {
                    let meta = PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::F64);
                    let points = vec![meta];
                    Stream::new(device, source.into(), 0, points)
                });
                let stream = Arc::clone(stream);
                let now = self.now();
                let at = Stamp { mono: now.mono, wall: now.wall, trusted: true };
                let samples = vec![Some(course.at(self.now_ms - begin))];
                let reading = Reading { stream, at, body: Body::Samples { samples, parts: vec![] } };
                self.step(Input::Reading(&reading));
            }
            if self.seen.contains(&until) {
                return true;
            }
            self.now_ms += every_ms;
            self.step(Input::Tick);
        }
        false
    }
}

/// How often its input comes, so that a window sees enough of it and a test ends.
fn pace(of: &AlarmDefinition) -> (u64, u64) {
    let back = of.condition.looks_back_ms() + of.enable_if.as_ref().map_or(0, ResolvedCondition::looks_back_ms);
    let delay = of.steps.iter().map(|s| s.on_delay_ms).max().unwrap_or(0).max(of.off_delay_ms);
    let length = (back + delay) * 2 + 60_000;
    (length, (length / 5_000).clamp(500, 120_000))
}

fn try_one(of: &AlarmDefinition) -> Result<(), String> {
    let mut world = World::new(of);
    let (length, every) = pace(of);
    let (mut calm, mut alarm) = (Courses::new(), Courses::new());
    // What surrounds it holds all the time; the condition itself comes and goes.
    of.enable_if.iter().for_each(|n| make(n, true, &mut alarm));
    make(&of.condition, true, &mut alarm);
    make(&of.condition, false, &mut calm);
    of.enable_if.iter().for_each(|n| make(n, true, &mut calm));
    let mut inputs = Vec::new();
    of.condition.inputs(&mut |i| inputs.push(name(i)));
    of.enable_if.iter().for_each(|n| n.inputs(&mut |i| inputs.push(name(i))));
    for i in inputs {
        alarm.entry(i.clone()).or_default();
        calm.entry(i).or_default();
    }
    if world.phase(&calm, length, every, AlarmEventKind::Raised) {
        return Err(format!("is raised by what is good: {calm:?}"));
    }
    if !world.phase(&alarm, length, every, AlarmEventKind::Raised) {
        return Err(format!("is not raised by {alarm:?}"));
    }
    if of.latch {
        let action = AlarmAction::Reset;
        let command = Command {
            actor: crate::pages::person("t"),
            note: String::new(),
            operation: Operation::Alarm { keys: vec![of.key()], action },
        };
        let refused = world.engine.step(world.now(), Input::Command(&command)).refused;
        assert!(refused.is_some_and(|r| r.text.en.contains("still there")), "{}", of.key());
    }
    if !world.phase(&calm, length, every, AlarmEventKind::Cleared) {
        return Err(format!("does not clear by {calm:?}"));
    }
    Ok(())
}

#[test]
fn every_rule_of_the_catalogue_is_raised_and_cleared() {
    let catalogue = builtin::read(None, &mut Problems::default());
    let (mut count, mut wrong) = (0, Vec::new());
    for (class, rules) in &catalogue.rules {
        for (name, template) in rules {
            let mut points = BTreeSet::new();
            build::for_each_point(&template.rule, &mut |p| {
                points.insert(p.replace("{n}", "1").replace("{*}", "1"));
            });
            let mut numbers = BTreeMap::new();
            let rule = &template.rule;
            for condition in [Some(&rule.when), rule.only.as_ref(), rule.unless.as_ref()].into_iter().flatten() {
                build::for_each_parameter(condition, &mut |n| {
                    // Numbers that stand in the order in which they are: a level below a limit below the floor.
                    let value = match n {
                        "start1_m" | "electrical_room" => 1.0,
                        "high_m" => 1.6,
                        "high_high_m" => 2.2,
                        "floor_m" => 2.4,
                        _ => 100.0,
                    };
                    numbers.insert(n.replace("{n}", "1"), value);
                });
            }
            let subject = RuleSubject {
                id: "d",
                class,
                points: points.iter().map(String::as_str).collect(),
                parameters: &numbers,
                devices: vec!["d", "e", "f"],
                unit_of: Box::new(|_| String::new()),
            };
            let built = build::build(name, rule, &subject).unwrap_or_else(|m| panic!("{class}.{name} lacks {m:?}"));
            for definition in built {
                count += 1;
                if let Err(why) = try_one(&definition) {
                    wrong.push(format!("{class}.{name} {why}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 85, "the catalogue is there: {count}");
}

/// Whatever reports a fault, a trip, fire, gas, water or the loss of a supply is worth nothing if no rule looks at it.
#[test]
fn every_point_that_reports_a_fault_has_a_rule() {
    use plantroom::alarm::build;
    use plantroom::model::point::{GATEWAY_POINTS, PointKind};
    use plantroom::profile::vocabulary::reports_fault;
    let catalogue = plantroom::config::builtin::read(None, &mut plantroom::config::doc::Problems::default());
    let mut blind = Vec::new();
    for (class, file) in &catalogue.vocabulary.classes {
        let mut watched = std::collections::BTreeSet::new();
        for template in catalogue.rules.get(&**class).into_iter().flat_map(|rules| rules.values()) {
            build::for_each_point(&template.rule, &mut |point| {
                watched.insert(point.replace("{*}", "{n}"));
            });
        }
        for (name, entry) in &file.points {
            let is_told = matches!(entry.kind, PointKind::Bool | PointKind::Code) && reports_fault(name);
            // Of the gateway there is what it measures of itself.
            let is_there = &**class != "gateway" || GATEWAY_POINTS.contains(&name.as_str());
            if is_told && is_there && !watched.contains(name) {
                blind.push(format!("{class}.{name}"));
            }
        }
    }
    assert!(blind.is_empty(), "no rule looks at {}", blind.join(", "));
    for (name, is_fault) in [
        ("smoke", true),
        ("pump1_overload", true),
        ("x_door_fault", true),
        ("power_ok", true),
        ("gas_m3", false),
        ("running", false),
        ("leak_position_m", false),
        ("alarm_code", false),
        ("fault_code", true),
    ] {
        assert_eq!(reports_fault(name), is_fault, "{name}");
    }
}

/// Every rule that wakes people says why; the shares of the priorities stay near 20, 30 and 50 %: the protection
/// of lives keeps its priority, and what can wait for the day does not wake anybody.
#[test]
fn every_urgent_rule_says_why_and_few_are_urgent() {
    use plantroom::model::priority::Priority;
    let catalogue = plantroom::config::builtin::read(None, &mut plantroom::config::doc::Problems::default());
    let (mut count, mut all) = ([0usize; 4], 0usize);
    let mut silent = Vec::new();
    for (class, rules) in &catalogue.rules {
        for (name, template) in rules {
            let rule = &template.rule;
            count[usize::from(rule.priority.number()) - 1] += 1;
            all += 1;
            let says = |names: &Option<plantroom::model::point::LocalizedText>| {
                names.as_ref().is_some_and(|n| !n.zh.is_empty() && !n.en.is_empty() && !n.zh.contains([',', ':', ';']))
            };
            let is_told = says(&rule.cause)
                && says(&rule.consequence)
                && rule.respond.is_some_and(|l| l.0 > 0)
                && rule.basis.as_ref().is_some_and(|b| !b.is_empty());
            if rule.priority <= Priority::P2 && !is_told {
                silent.push(format!("{class}.{name}"));
            }
        }
    }
    assert!(silent.is_empty(), "no cause, consequence, time to respond or basis: {}", silent.join(", "));
    let share = |k: usize| 100 * count[k] / all;
    let shares = [share(0), share(1), 100 * (count[2] + count[3]) / all];
    assert!(shares[0] <= 18 && shares[1] <= 33 && shares[2] >= 50, "{count:?} of {all}: {shares:?} %");
}
