//! The configuration that `scan` writes: comments say what was found, and what is a guess.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::link::settings::LinkTransport;
use crate::model::text::one_line;
use crate::profile::Profile;
use crate::scan::FoundUnit;

/// A guess with less confidence (percent) is written as a comment only.
const CONFIDENCE_MIN: u8 = 50;
/// Longest line of a comment about a guess, characters.
const COMMENT_MAX: usize = 300;

/// A bus on which units answered.
pub struct ScannedBus {
    pub transport: LinkTransport,
    pub found: Vec<FoundUnit>,
}

const SITE: &str = r#"# Written by `plantroom scan`. Every key is explained in the reference.

[site]
id = "site-1"
zh = "现场"
en = "Site"
time_zone = "Asia/Shanghai"

[clock]
source = "ntp"           # "rtc" where the box has a battery-backed clock and no network time

[[sink.mqtt]]
name = "broker"
url = "mqtt://127.0.0.1:1883"

# [[sink.influx]]
# name = "history"
# url = "http://127.0.0.1:8428"
# bucket = "plantroom"
"#;

/// The files as (name, text); `overload`: the bus carries less than its units' profiles ask for.
pub fn files(bus: &ScannedBus, profiles: &BTreeMap<String, Arc<Profile>>, overload: bool) -> Vec<(String, String)> {
    let (mut units, mut devices) = (ArrayOfTables::new(), ArrayOfTables::new());
    let mut comment = String::from(
        "# What answers on the wire, as far as reading it could tell. Confirm each against its nameplate.\n",
    );
    for unit in &bus.found {
        comment.push_str(&guesses(unit));
        let id = format!("unit-{}", unit.address);
        let best = unit.candidates.first().filter(|guess| guess.confidence >= CONFIDENCE_MIN);
        let Some((guess, profile)) = best.and_then(|g| Some((g, profiles.get(&*g.profile)?))) else {
            let address = unit.address;
            comment.push_str(&format!(
                "\n# Not sure enough. If one of these is right:\n# [[unit]]\n# id = \"{id}\"\n# link = \"bus-1\"\n# address = {address}\n# profile = \"…\"\n"
            ));
            continue;
        };
        let mut table = Table::from_iter([("id", value(id.as_str())), ("link", value("bus-1"))]);
        table.insert("address", value(i64::from(unit.address)));
        table.insert("profile", value(&*guess.profile));
        table.decor_mut().set_prefix(std::mem::take(&mut comment));
        units.push(table);
        devices.push(device(&id, profile));
    }
    let head = "# One device a unit, to begin with: give them their names, areas and numbers.\n";
    if let Some(first) = devices.get_mut(0) {
        first.decor_mut().set_prefix(format!("{head}\n"));
    }
    vec![
        ("site.toml".to_string(), SITE.to_string()),
        ("links.toml".to_string(), link(&bus.transport, overload)),
        ("units.toml".to_string(), format!("{}{comment}", document("unit", units))),
        ("devices.toml".to_string(), document("device", devices)),
    ]
}

fn document(key: &str, tables: ArrayOfTables) -> String {
    let mut out = DocumentMut::new();
    if !tables.is_empty() {
        out.insert(key, Item::ArrayOfTables(tables));
    }
    out.to_string()
}

/// A comment for each of the best three guesses.
fn guesses(unit: &FoundUnit) -> String {
    let mut out = String::new();
    for guess in unit.candidates.iter().take(3) {
        let read: Vec<String> = guess.evidence.iter().map(|(p, v)| format!("{p} {v}")).collect();
        let (address, profile, confidence) = (unit.address, &guess.profile, guess.confidence);
        let points = format!("{} of {} points", guess.readable_points, guess.total_points);
        // What a device says of itself may hold anything, line breaks included.
        let line =
            one_line(&format!("unit {address}: {profile} {confidence} %, {points}; {}", read.join(", ")), COMMENT_MAX);
        out.push_str(&format!("\n# {line}"));
    }
    out.push('\n');
    out
}

fn link(transport: &LinkTransport, overload: bool) -> String {
    let (kind, mut table) = match transport {
        LinkTransport::Tcp { address } | LinkTransport::RtuOverTcp { address } => {
            let kind = if matches!(transport, LinkTransport::Tcp { .. }) { "tcp" } else { "rtu_over_tcp" };
            let (host, port) = address.rsplit_once(':').unwrap_or((address, "502"));
            let port = port.parse::<i64>().unwrap_or(502);
            (kind, Table::from_iter([("id", value("bus-1")), ("host", value(host)), ("port", value(port))]))
        }
        LinkTransport::Serial(port) => {
            let mut table = Table::from_iter([("id", value("bus-1")), ("port", value(port.path.as_str()))]);
            table.insert("baud", value(i64::from(port.line.baud)));
            table.insert("parity", value(format!("{:?}", port.line.parity).to_lowercase()));
            table.insert("stop_bits", value(i64::from(port.line.stop_bits)));
            ("serial", table)
        }
    };
    if overload {
        let mut on = Value::from(true);
        let why = "more is asked than the line carries: it is read as fast as it goes; slower groups would be better";
        on.decor_mut().set_suffix(format!("           # {why}"));
        table.insert("overload", Item::Value(on));
    }
    table.decor_mut().set_prefix("# The bus that was scanned.\n\n");
    let mut links = Table::from_iter([(kind, Item::ArrayOfTables(ArrayOfTables::from_iter([table])))]);
    links.set_implicit(true);
    let mut out = DocumentMut::new();
    out.insert("link", Item::Table(links));
    out.to_string()
}

fn device(unit: &str, profile: &Profile) -> Table {
    let name = format!("{}-{unit}", profile.name);
    let class = if &*profile.class == "any" { "environment" } else { &*profile.class };
    let mut table = Table::from_iter([("id", value(name.as_str())), ("class", value(class)), ("area", value(""))]);
    table.extend([("zh", value(name.as_str())), ("en", value(name.as_str()))]);
    if &*profile.class != "any" {
        table.insert("unit", value(unit));
        return table;
    }
    // A module for many classes: only the wiring tells what each input means.
    let point_of = |name: &str| (format!("x_{}", name.trim_start_matches("x_")), value(format!("{unit}.{name}")));
    let mut points: Table = profile.variants[0].points.iter().map(|point| point_of(&point.name)).collect();
    points.decor_mut().set_suffix("              # name them as the vocabulary does once the wiring is known");
    table.insert("points", Item::Table(points));
    table
}
