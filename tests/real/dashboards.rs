//! Every query of every panel and variable of the dashboards, sent to the stores that the demo has filled; a panel without data
//! fails. And their types, against Grafana's own schema.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::store::Real;
use crate::support::{Dir, PLANTROOM, Process, plantroom, wait};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// The dashboards of one query language, by file.
fn dashboards(language: &str) -> BTreeMap<PathBuf, Value> {
    let mut out = BTreeMap::new();
    for lang in ["zh", "en"] {
        for entry in std::fs::read_dir(root().join(language).join(lang)).unwrap().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            out.insert(entry.path(), serde_json::from_str(&text).unwrap());
        }
    }
    assert_eq!(out.len(), 12, "six dashboards in two languages");
    out
}

/// A range that ends at `now`, seconds since 1970, and the bucket of what is shown in it.
#[derive(Clone, Copy)]
struct Shown {
    now: u64,
    seconds: u64,
    bucket: &'static str,
}

impl Shown {
    /// Of a dashboard: the last quarter of an hour; where it shows months, as many as the demo's year has sent.
    fn of(dashboard: &Value, now: u64) -> Self {
        if dashboard["time"]["from"] == "now-30d" {
            return Self { now, seconds: 120 * 86_400, bucket: "1d" };
        }
        Self { now, seconds: 900, bucket: "1m" }
    }
}

/// What Grafana puts in for its variables and for a range; `chosen` is a site, else everything is.
fn filled_in(query: &str, chosen: Option<&str>, shown: Shown) -> String {
    let mut out = query.to_string();
    let Shown { now, seconds, bucket } = shown;
    let range = format!("time > {}s AND time <= {now}s", now - seconds);
    let whole = format!("{seconds}s");
    for (variable, value) in [
        ("$timeFilter", range.as_str()),
        ("$__interval", "1m"),
        ("$__rate_interval", "2m"),
        ("$__range", whole.as_str()),
        ("$bucket", bucket),
        ("$site", chosen.unwrap_or(".*")),
        ("$area", if chosen.is_some() { "(B1|B2|T1|roof)" } else { ".*" }),
        ("$device", ".*"),
    ] {
        out = out.replace(variable, value);
    }
    let unknown =
        out.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || "_{".contains(c)));
    assert!(!unknown, "a variable that nobody knows: {out}");
    out
}

/// How many values a query brings.
fn influx(store: &Real, query: &str) -> usize {
    let answer = store.post("/query?db=plantroom&epoch=ms", &format!("q={query}"));
    let json: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
    assert!(json["error"].is_null() && json["results"][0]["error"].is_null(), "{query}\n{answer}");
    let series = json["results"][0]["series"].as_array().cloned().unwrap_or_default();
    let rows = series.iter().flat_map(|s| s["values"].as_array().cloned().unwrap_or_default());
    rows.filter(|row| row.as_array().is_some_and(|r| r.iter().skip(1).any(|v| !v.is_null()))).count()
}

fn prometheus(store: &Real, target: &Value, chosen: Option<&str>, shown: Shown) -> usize {
    let now = shown.now;
    let query = filled_in(target["expr"].as_str().unwrap(), chosen, shown);
    let path = if target["instant"] == true {
        format!("/api/v1/query?time={now}")
    } else {
        format!("/api/v1/query_range?start={}&end={now}&step={}", now - shown.seconds, shown.seconds / 15)
    };
    let answer = store.post(&path, &format!("query={query}"));
    let json: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
    assert_eq!(json["status"], "success", "{query}\n{answer}");
    let results = json["data"]["result"].as_array().cloned().unwrap_or_default();
    results.iter().map(|r| r["values"].as_array().map_or(usize::from(!r["value"].is_null()), Vec::len)).sum()
}

/// What a variable offers. Grafana sends `label_values(metric, label)` as a question for the values of a label.
fn variable(store: &Real, query: &str, shown: Shown) -> usize {
    let query = filled_in(query, None, shown);
    let Some(inner) = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')) else {
        return influx(store, &query);
    };
    let (metric, label) = inner.rsplit_once(", ").unwrap();
    let answer = store.post(&format!("/api/v1/label/{label}/values?x="), &format!("match[]={metric}"));
    let json: Value = serde_json::from_str(&answer).unwrap();
    json["data"].as_array().map_or(0, Vec::len)
}

/// The demo, writing into both stores at ten times the pace of a plant; and the date, seconds since 1970, up to which it wrote.
fn filled() -> (Real, Real, u64) {
    let (mut victoria, mut influx) = (Real::new("victoria"), Real::new("influx"));
    victoria.start();
    influx.start();
    let dir = Dir::new("filled");
    let mut command = Command::new(PLANTROOM);
    command
        .arg("--state")
        .arg(&dir.0)
        .args(["demo", "--scenario", "rainstorm", "--speed", "10"])
        .args(["--store", &format!("http://127.0.0.1:{}", victoria.port)])
        .args(["--store", &format!("v1:http://127.0.0.1:{}", influx.port)])
        .stdout(Stdio::piped());
    let mut demo = Process::start("demo", &mut command);
    let mut lines = BufReader::new(demo.child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("mqtt://"));
    std::thread::spawn(move || lines.for_each(drop));
    // The year comes first. The slowest groups are read once a minute, and a rise needs two buckets of a minute.
    wait("the demo", 120, || dir.path("control.sock").exists().then_some(()));
    std::thread::sleep(Duration::from_secs(75));
    // Its own date, which runs ahead; the store calls a value stale whose successor does not come in time.
    let status: Value = serde_json::from_str(&plantroom(&dir.0, &dir.0, &["status", "--format", "json"])).unwrap();
    let date: jiff::Timestamp = status["clock"]["date"].as_str().unwrap().parse().unwrap();
    let now = date.as_second().unsigned_abs() - 10;
    demo.stop();
    victoria.post("/internal/force_flush", "x=");
    wait("the stores to show what they have", 30, || {
        let newest = |store: &Real| {
            let export = store.post("/api/v1/export", "match[]=meter_power_kw");
            !export.is_empty()
        };
        newest(&victoria).then_some(())
    });
    (victoria, influx, now)
}

#[test]
fn every_query_of_every_panel_and_variable_brings_data() {
    let (victoria, influxdb, now) = filled();
    let mut empty = Vec::new();
    let mut asked = 0;
    for (language, store) in [("influxql", &influxdb), ("promql", &victoria)] {
        for (file, dashboard) in dashboards(language) {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            let shown = Shown::of(&dashboard, now);
            for v in dashboard["templating"]["list"].as_array().unwrap().iter().filter(|v| v["type"] == "query") {
                asked += 1;
                if variable(store, v["query"].as_str().unwrap(), shown) == 0 {
                    empty.push(format!("{name}: variable {}: {}", v["name"], v["query"]));
                }
            }
            for panel in dashboard["panels"].as_array().unwrap() {
                for target in panel["targets"].as_array().unwrap() {
                    for chosen in [None, Some("demo")] {
                        asked += 1;
                        let found = match target["query"].as_str() {
                            Some(query) => influx(store, &filled_in(query, chosen, shown)),
                            None => prometheus(store, target, chosen, shown),
                        };
                        // No tariff of the demo has a deep valley.
                        let is_absent = target.to_string().contains("deep_valley");
                        // The gateway has no area: nobody finds it by one.
                        if found == 0 && !is_absent {
                            let query = if target["query"].is_null() { &target["expr"] } else { &target["query"] };
                            empty.push(format!("{name}: {} ({}): {query}", panel["title"], panel["type"]));
                        }
                    }
                }
            }
        }
    }
    assert!(asked > 500, "{asked}");
    assert!(empty.is_empty(), "{} of {asked} bring nothing:\n{}", empty.len(), empty.join("\n"));
}

#[test]
fn the_dashboards_are_what_grafana_takes_for_dashboards() {
    // Kept between runs: the packages are large, and the registry may be away.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grafana-schema");
    std::fs::create_dir_all(&dir).unwrap();
    let run = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).current_dir(&dir).output();
        let out = out.unwrap_or_else(|e| panic!("{program} ({e}): run scripts/setup-tests.sh"));
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{program} {args:?}\n{said}");
    };
    if !dir.join("node_modules/@grafana/schema").exists() || !dir.join("node_modules/.bin/tsc").exists() {
        std::fs::write(dir.join("package.json"), "{}").unwrap();
        run(
            "npm",
            &["install", "--no-audit", "--no-fund", "--ignore-scripts", "@grafana/schema@13.2.3", "typescript@5.9.3"],
        );
    }
    let raw = "./node_modules/@grafana/schema/dist/types/raw/composable";
    let kinds = [
        ("timeseries", "TimeSeries", true),
        ("state-timeline", "StateTimeline", true),
        ("stat", "Stat", false),
        ("gauge", "Gauge", false),
        ("bargauge", "BarGauge", false),
        ("table", "Table", false),
    ];
    let mut text =
        String::from("import type { Dashboard, Panel } from './node_modules/@grafana/schema/dist/types/index';\n");
    for (kind, name, _) in kinds {
        let folder = kind.replace('-', "");
        text.push_str(&format!("import type * as {name} from '{raw}/{folder}/panelcfg/x/types.gen';\n"));
    }
    // An enumeration of texts takes its texts.
    text.push_str(
        "type Plain<T> = T extends string ? `${T}` : T extends readonly (infer U)[] ? Plain<U>[] : \
         T extends object ? { [K in keyof T]: Plain<T[K]> } : T;\n",
    );
    let mut number = 0;
    for dashboard in dashboards("influxql").into_values().chain(dashboards("promql").into_values()) {
        number += 1;
        text.push_str(&format!("export const d{number}: Plain<Dashboard> = {dashboard};\n"));
        for panel in dashboard["panels"].as_array().unwrap() {
            let (_, name, custom) =
                kinds.iter().find(|(kind, ..)| panel["type"] == *kind).expect("a kind that is checked");
            let custom = if *custom { format!("{name}.FieldConfig") } else { "{}".to_string() };
            number += 1;
            text.push_str(&format!(
                "export const p{number}: Plain<Panel<Partial<{name}.Options>, Partial<{custom}>>> = {panel};\n"
            ));
        }
    }
    std::fs::write(dir.join("dashboards.ts"), text).unwrap();
    run(
        "node_modules/.bin/tsc",
        &[
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--target",
            "es2022",
            "--module",
            "esnext",
            "--moduleResolution",
            "bundler",
            "dashboards.ts",
        ],
    );
}
