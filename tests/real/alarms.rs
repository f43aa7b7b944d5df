//! Alarms of the real binary: from the wire to the broker, the log and the person, through kill -9 and a room that panics.

use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::*;

/// Rules on the counter of [`Counting`]: one is raised at each ten reads, and one looks at what is injected.
pub fn counting_rules(dir: &Dir, steps: u32) {
    let mut text = String::from("format = 1\nclass = \"environment\"\n");
    let mut rule = |name: &str, limit: u32, more: &str| {
        text.push_str(&format!(
            "[rules.{name}]\nzh = \"{{device}}到 {{v}}\"\nen = \"{{device}} is at {{v}}\"\naction = {{ zh = \"查\", en = \"look\" }}\n\
             priority = \"P2\"\n{more}when = {{ high = {{ point = \"x_n\", limit = {limit} }} }}\n"
        ));
    };
    rule("never", 4_000_000_000, "");
    for k in 1..=steps {
        rule(&format!("at_{k}"), k * 10, "");
    }
    rule("latched", 20, "latch = true\n");
    dir.write("alarms/own.toml", &text);
}

fn json(text: &str) -> Vec<serde_json::Value> {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn history(dir: &Dir, state: &Path) -> Vec<serde_json::Value> {
    json(&plantroom(&dir.0, state, &["alarm", "history", "--from", "1h", "--format", "json"]))
}

fn happened(rows: &[serde_json::Value], key: &str) -> Vec<String> {
    rows.iter().filter(|r| r["alarm"] == key).map(|r| r["what"].as_str().unwrap().to_string()).collect()
}

#[test]
fn an_alarm_goes_from_the_wire_to_the_broker_the_log_and_the_person() {
    let (broker, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("alarm"));
    dir.write("site.toml", &site(broker.port, "5", &counting.config(&dir, "100ms")));
    counting_rules(&dir, 1);
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut running = gateway(&dir.0, &state);
    let topic = "plantroom/test/alarm/at_1.counter";
    let told = wait("the alarm", 30, || subscriber.newest(topic));
    assert_eq!(
        (&told["state"], &told["priority"], &told["occurrence"]),
        (&"unacknowledged".into(), &"P2".into(), &1.into())
    );
    assert!(told["value"].as_f64().unwrap() >= 10.0 && told["limit"] == 10.0, "{told}");
    assert!(told["text"]["en"].as_str().unwrap().starts_with("Counter is at 1"), "{told}");
    assert!(told["text"]["zh"].as_str().unwrap().starts_with("计到 1"), "{told}");
    assert!(subscriber.newest("plantroom/test/alarm/never.counter").is_none(), "what never was has no topic");
    let said = plantroom(&dir.0, &state, &["ack", "at_1.counter", "--note", "on my way"]);
    assert!(said.contains("acknowledged"), "{said}");
    wait("the broker to know", 10, || (subscriber.newest(topic)?["state"] == "acknowledged").then_some(()));
    let told = subscriber.newest(topic).unwrap();
    assert!(told["owner"] != "" && told["note"] == "on my way", "{told}");
    // The log was written before that left.
    let rows = history(&dir, &state);
    assert_eq!(happened(&rows, "at_1.counter"), ["raised", "acknowledged"]);
    running.kill();
    let mut running = gateway(&dir.0, &state);
    let list = wait("it to answer", 20, || {
        let mut command = Command::new(PLANTROOM);
        command.arg("--config").arg(&dir.0).arg("--state").arg(&state).args(["alarm", "list", "--format", "json"]);
        let out = command.output().unwrap();
        out.status.success().then(|| json(&String::from_utf8_lossy(&out.stdout)))
    });
    let row = list.iter().find(|r| r["alarm"] == "at_1.counter").unwrap();
    assert_eq!(
        row["state"].as_str().unwrap().split(' ').next(),
        Some("acknowledged"),
        "kill -9 forgets nothing: {row}"
    );
    wait("the latched one", 20, || subscriber.newest("plantroom/test/alarm/latched.counter"));
    let refused = Command::new(PLANTROOM)
        .arg("--state")
        .arg(&state)
        .args(["alarm", "reset", "latched.counter"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("its condition is still there"), "{refused:?}");
    // A trial: marked, told, and over by itself.
    let said = plantroom(&dir.0, &state, &["inject", "counter", "x_n", "4000000001", "--for", "2s"]);
    assert!(said.contains("TEST Counter is at"), "{said}");
    let never = "plantroom/test/alarm/never.counter";
    wait("the trial to be told", 10, || {
        let told = subscriber.newest(never)?;
        (told["test"] == true && told["text"]["zh"].as_str().unwrap().starts_with("【测试】")).then_some(())
    });
    wait("the trial to end", 10, || (subscriber.newest(never)?["state"] == "returned").then_some(()));
    let explained = plantroom(&dir.0, &state, &["explain", "never.counter"]);
    assert!(explained.contains("counter.x_n high: no") && explained.contains("limit 4000000000"), "{explained}");
    plantroom(&dir.0, &state, &["shelve", "at_1.counter", "--for", "1s", "--note", "trying"]);
    wait("the shelf to end", 10, || {
        let rows = history(&dir, &state);
        happened(&rows, "at_1.counter").ends_with(&["shelved".to_string(), "unshelved".to_string()]).then_some(())
    });
    let values = wait("history of what was injected", 5, || {
        Some(plantroom(&dir.0, &state, &["history", "counter.x_n", "--from", "1m", "--format", "csv"]))
    });
    assert!(!values.contains("4000000001"), "a trial is no history");
    a_rule_that_is_gone(&broker, &dir, &state, topic);
    running.stop();
    the_report_counts(&dir, &state);
}

/// What was raised, without trials.
fn the_report_counts(dir: &Dir, state: &Path) {
    let rows = history(dir, state);
    let raised = rows.iter().filter(|r| r["what"] == "raised" && !r["why"].as_str().unwrap().starts_with("TEST"));
    let report: serde_json::Value =
        serde_json::from_str(&plantroom(&dir.0, state, &["alarm", "report", "--format", "json"])).unwrap();
    assert_eq!(report["figures"][0]["value"], raised.count().to_string(), "{report}");
}

/// It closes its alarm, and its topic is cleared.
fn a_rule_that_is_gone(broker: &Mosquitto, dir: &Dir, state: &Path, topic: &str) {
    std::fs::remove_file(dir.path("alarms/own.toml")).unwrap();
    plantroom(&dir.0, state, &["reload"]);
    wait("the log to say so", 10, || {
        happened(&history(dir, state), "at_1.counter").ends_with(&["removed".to_string()]).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    let late = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    wait("what is retained", 10, || late.newest("plantroom/test/counter/status"));
    assert!(late.newest(topic).is_none(), "cleared");
}

/// Rounds of kill -9: `PLANTROOM_KILLS=1000` by hand.
fn rounds() -> u32 {
    std::env::var("PLANTROOM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

#[test]
fn kill_9_loses_no_decision_that_has_left() {
    let (broker, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("decisions"));
    dir.write("site.toml", &site(broker.port, "5", &counting.config(&dir, "10ms")));
    counting_rules(&dir, 400);
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/test/alarm/#", "mqttv5");
    for round in 0..rounds() {
        let mut running = gateway(&dir.0, &state);
        let before = subscriber.all().len();
        wait("an alarm", 30, || (subscriber.all().len() > before).then_some(()));
        std::thread::sleep(Duration::from_millis(u64::from(round * 137 % 700)));
        running.kill();
        // What everybody was told is in the log, and is the state from which the next one goes on.
        let rows = history(&dir, &state);
        let logged: BTreeSet<&str> =
            rows.iter().filter(|r| r["what"] == "raised").filter_map(|r| r["alarm"].as_str()).collect();
        let told = subscriber.all();
        let keys: BTreeSet<&str> = told.iter().filter_map(|m| m.topic.strip_prefix("plantroom/test/alarm/")).collect();
        let lost: Vec<&&str> = keys.iter().filter(|k| !logged.contains(*k)).collect();
        assert!(lost.is_empty(), "round {round}: told, and not in the log: {lost:?}");
        let raised = rows.iter().filter(|r| r["what"] == "raised").count();
        assert_eq!(raised, logged.len(), "round {round}: each is raised once, over all the kills");
    }
    let mut running = gateway(&dir.0, &state);
    wait("the last one", 60, || subscriber.newest("plantroom/test/alarm/at_400.counter"));
    running.stop();
    let rows = history(&dir, &state);
    let raised: Vec<&str> = rows.iter().filter(|r| r["what"] == "raised").filter_map(|r| r["alarm"].as_str()).collect();
    assert_eq!(raised.len(), 402 - 1, "every alarm of the four hundred and the latched one, once");
}

#[test]
fn a_room_of_rules_that_panics_is_switched_off_and_polling_goes_on() {
    let (broker, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("panic"));
    dir.write("site.toml", &site(broker.port, "5", &counting.config(&dir, "100ms")));
    counting_rules(&dir, 1);
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut command = Command::new(PLANTROOM);
    command.arg("--config").arg(&dir.0).arg("--state").arg(&state).arg("run").env("PLANTROOM_PANIC", "alarm");
    let mut running = Process::start("plantroom", command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait("it to be said", 20, || {
        (subscriber.newest("plantroom/test/gateway/status")?["rules_off"] == true).then_some(())
    });
    let before = subscriber.count("plantroom/test/counter/telemetry");
    wait("polling to go on", 20, || (subscriber.count("plantroom/test/counter/telemetry") > before + 10).then_some(()));
    assert_eq!(
        subscriber.newest("plantroom/test/counter/status").unwrap()["state"],
        "online",
        "the other rooms decide"
    );
    let refused = Command::new(PLANTROOM).arg("--state").arg(&state).args(["ack", "at_1.counter"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("switched off"), "{refused:?}");
    assert!(subscriber.newest("plantroom/test/alarm/at_1.counter").is_none());
    plantroom(&dir.0, &state, &["reload"]);
    wait("the alarm", 20, || subscriber.newest("plantroom/test/alarm/at_1.counter"));
    running.stop();
}

/// A plant that runs six times as fast wants rules that do.
const SIX_TIMES: &str = "
[[alarm]]
rule = \"sump.overflow_soon\"
set = { on_delay = \"5s\", when = { reaches = { within = \"200s\", rate_over = \"30s\" } } }
[[alarm]]
rule = \"sump.rising\"
set = { on_delay = \"10s\", when = { all = [{ rate = { point = \"level_m\", per_min = 0.18, within = \"20s\" } }, { high = { point = \"level_m\", limit = \"start1_m\" } }] } }
[[alarm]]
rule = \"sump.pump_required\"
set = { on_delay = \"5s\" }
[[alarm]]
rule = \"sump.pump{n}_no_effect\"
set = { when = { no_effect = { within = \"25s\" } } }
[[alarm]]
rule = \"sump.wet\"
set = { on_delay = \"2s\" }
[[alarm]]
rule = \"elevator.entrapment\"
set = { on_delay = \"5s\" }
[[alarm]]
rule = \"elevator.out_of_service\"
set = { on_delay = \"50s\" }
";

/// A plant that runs a scenario, and a configuration that reads it.
pub struct Plant {
    pub config: PathBuf,
    pub state: PathBuf,
    _broker: Mosquitto,
    _plant: Process,
    _dir: Dir,
}

pub fn plant(name: &str) -> Plant {
    let (broker, dir) = (Mosquitto::start(), Dir::new(name));
    let line = dir.path("line");
    let mut command = Command::new(PLANTROOM);
    command.args(["simulate", "--any-port", "--speed", "6", "--scenario", name, "--line"]).arg(&line);
    let written = dir.path("site");
    plantroom(&dir.0, &dir.path("x"), &["demo", "--write", &written.display().to_string()]);
    let mut plant = Process::start("simulate", command.stdout(Stdio::piped()));
    let mut links = std::fs::read_to_string(written.join("links.toml")).unwrap();
    let mut out = std::io::BufReader::new(plant.child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        // tcp://127.0.0.1:PORT  lifts: unit …
        let said = out.next().unwrap().unwrap();
        let port = said.split(':').nth(2).unwrap().split(' ').next().unwrap().to_string();
        let fixed = [("plant:", "15020"), ("lifts:", "15021"), ("meters:", "15022")];
        let (_, was) = fixed.iter().find(|(n, _)| said.contains(n)).unwrap_or_else(|| panic!("{said}"));
        links = links.replace(was, &port);
    }
    links = links.replace("/tmp/plantroom-line-sump", &line.display().to_string());
    std::fs::write(written.join("links.toml"), links).unwrap();
    let site = std::fs::read_to_string(written.join("site.toml")).unwrap();
    let site = site.replace("127.0.0.1:9464", "").replace(":1883", &format!(":{}", broker.port));
    std::fs::write(written.join("site.toml"), format!("{site}\n{SIX_TIMES}")).unwrap();
    Plant { config: written, state: dir.path("state"), _broker: broker, _plant: plant, _dir: dir }
}

/// What a scenario of the demo raises, in order, until so many seconds of its plant have passed: at ten times the speed as at any. By
/// hand `PLANTROOM_SPEED=1`; what the machine is late by grows with the speed. How full the disk is that the tests run on is a matter of that
/// machine: its alarm is none of the scenario.
fn scenario(name: &str, plant_seconds: u64, expected: &[&str]) {
    let speed: u64 = std::env::var("PLANTROOM_SPEED").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let dir = Dir::new(name);
    let config = dir.path("site");
    plantroom(&dir.0, &dir.path("x"), &["demo", "--write", &config.display().to_string()]);
    let began = jiff::Timestamp::now();
    let (mut running, _, state) = demo(&["--scenario", name, "--speed", &speed.to_string()]);
    // Two seconds more for the journal to commit what was read until then.
    std::thread::sleep(Duration::from_secs(plant_seconds / speed + 2));
    // The date of the demo runs ahead with its plant.
    let end = began + jiff::SignedDuration::from_secs(plant_seconds.cast_signed());
    let (from, to, state) = (began.to_string(), end.to_string(), PathBuf::from(state));
    let asked = |args: &[&str]| {
        let period = ["--from", from.as_str(), "--to", to.as_str(), "--format", "json"];
        json(&plantroom(&config, &state, &[args, &period].concat()))
    };
    let names = |rows: &[serde_json::Value]| -> Vec<String> {
        let raised = rows.iter().filter(|r| r["what"] == "raised").map(|r| r["alarm"].as_str().unwrap().to_string());
        raised.filter(|alarm| alarm != "disk_low.gateway").collect()
    };
    assert_eq!(names(&asked(&["alarm", "history"])), expected, "{name}");
    // The rules in force on what was recorded give what happened.
    if !expected.is_empty() {
        let rows = asked(&["replay"]);
        let replayed: Vec<serde_json::Value> = rows.iter().filter(|r| r["replayed"] == "yes").cloned().collect();
        assert_eq!(names(&replayed), expected, "{name}: {rows:#?}");
        assert!(rows.iter().all(|r| r["replayed"] == "yes" && r["recorded"] == "yes"), "{name}: {rows:#?}");
    }
    running.stop();
}

#[test]
fn a_calm_day_raises_nothing() {
    // A quarter of an hour of the plant; by hand `PLANTROOM_CALM=36000` for ten hours.
    scenario("calm", std::env::var("PLANTROOM_CALM").ok().and_then(|s| s.parse().ok()).unwrap_or(900), &[]);
}

#[test]
fn a_lift_that_stops_between_floors_raises_entrapment() {
    let expected = ["safety_circuit", "alarm_button", "entrapment", "fault", "out_of_service"];
    scenario("entrapment", 440, &expected.map(|rule| format!("{rule}.lift-1")).each_ref().map(String::as_str));
}

#[test]
fn a_blackout_raises_what_follows_from_it() {
    scenario("blackout", 300, &["utility_lost.ats-1", "supplying.genset-1"]);
}

#[test]
fn a_rainstorm_raises_what_follows_from_it() {
    // More comes in than one pump carries away: that is what it looks like from there.
    scenario("rainstorm", 420, &["level.flood", "overflow_soon.sump-1", "rising.sump-1", "pump1_no_effect.sump-1"]);
}

#[test]
fn a_pump_that_is_blocked_is_found_and_nothing_else_is_said() {
    scenario("pump-blocked", 480, &["pump1_no_effect.sump-1"]);
}
