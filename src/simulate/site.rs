//! The demo's site: its units, and the configuration that reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, value};

use crate::model::time::UnixMillis;
use crate::profile::Profile;
use crate::simulate::serve::SimulatedUnit;
use crate::simulate::year::YearDates;

/// Name, server, unit id, profile.
const UNITS: [(&str, &str, u8, &str); 16] = [
    ("lt1", "line-sump", 1, "level-transmitter"),
    ("di7", "line-sump", 2, "contact-module-16"),
    ("vfd1", "line-sump", 3, "vfd-generic"),
    ("vfd2", "line-sump", 4, "vfd-generic"),
    ("dw1", "plant", 1, "grundfos-cim"),
    ("gen1", "plant", 10, "deepsea-dse"),
    ("ats1", "plant", 11, "ats-generic"),
    ("rg1", "plant", 20, "rain-gauge-sen0575"),
    ("di8", "lifts", 1, "contact-module-16"),
    ("em0", "meters", 1, "schneider-iem3000"),
    ("em1", "meters", 11, "eastron-sdm630"),
    ("em2", "meters", 12, "eastron-sdm630"),
    ("em3", "meters", 13, "abb-b23"),
    ("em4", "meters", 14, "abb-b23"),
    ("em5", "meters", 15, "carlo-gavazzi-em340"),
    ("em6", "meters", 16, "carlo-gavazzi-em340"),
];

/// Time zone of the site.
pub const ZONE: &str = "Asia/Shanghai";

/// The simulated units whose profiles exist.
pub fn units(profiles: &BTreeMap<String, Arc<Profile>>) -> Vec<SimulatedUnit> {
    let unit = |(name, server, address, profile): &(&'static str, &'static str, u8, &str)| {
        let profile = Arc::clone(profiles.get(*profile)?);
        Some(SimulatedUnit { name, server, address: *address, profile })
    };
    UNITS.iter().filter_map(unit).collect()
}

/// TCP ports of `demo --write` and `simulate`, so that the written configuration fits the simulator.
pub fn fixed_ports() -> BTreeMap<&'static str, u16> {
    BTreeMap::from([("plant", 15_020), ("lifts", 15_021), ("meters", 15_022)])
}

/// Addresses that the demo's configuration refers to.
#[derive(Clone, Debug)]
pub struct DemoAddresses {
    /// TCP servers: name -> port.
    pub ports: BTreeMap<&'static str, u16>,
    /// Device file of the serial line.
    pub line: String,
    /// URL of the broker.
    pub broker: String,
    /// Address of the health page; empty for none.
    pub health: String,
}

/// The configuration files as (name, text).
pub fn files(at: &DemoAddresses) -> Vec<(String, String)> {
    let links = edited(LINKS, |doc| {
        for table in tables(doc, &["link", "serial"]) {
            table["port"] = keep_comment(table.get("port"), at.line.as_str());
        }
        for table in tables(doc, &["link", "tcp"]) {
            let port = table.get("id").and_then(Item::as_str).and_then(|id| at.ports.get(id));
            if let Some(port) = port {
                table["port"] = value(i64::from(*port));
            }
        }
    });
    let site = edited(SITE, |doc| {
        doc["health"]["listen"] = value(at.health.as_str());
        for table in tables(doc, &["sink", "mqtt"]) {
            table["url"] = value(at.broker.as_str());
        }
    });
    vec![
        ("site.toml".to_string(), site),
        ("links.toml".to_string(), links),
        ("units.toml".to_string(), units_text()),
        ("devices.toml".to_string(), DEVICES.to_string()),
        ("meters.toml".to_string(), METERS.to_string()),
    ]
}

/// The meters of a site that has had a year: one was exchanged, the transformers of another one were programmed into its meter.
pub fn meters_after(dates: &YearDates, zone: &TimeZone) -> String {
    let local = |at: UnixMillis| at.local(zone)[..16].to_string();
    let secondary = "\nct = \"150/5\"\nreadings = \"secondary\"";
    let hvac = format!("{HVAC}{secondary}");
    let later = format!(
        "\n# Since then the meter itself multiplies.\n[[meter]]\npoint = \"hvac\"\nfrom = \"{}\"\nct = \"150/5\"\nreadings = \"primary\"\n",
        local(dates.transformers)
    );
    METERS.replace(HVAC, &hvac) + &later
}

/// A text with values set, comments and order as they are.
pub fn edited(text: &str, edit: impl FnOnce(&mut DocumentMut)) -> String {
    // A test holds that each text can be read.
    let mut doc: DocumentMut = text.parse().unwrap_or_default();
    edit(&mut doc);
    doc.to_string()
}

/// The tables of an array such as `[[link.tcp]]`.
pub fn tables<'a>(doc: &'a mut DocumentMut, [outer, inner]: &[&str; 2]) -> impl Iterator<Item = &'a mut Table> {
    let array = doc.get_mut(outer).and_then(|t| t.get_mut(inner)).and_then(Item::as_array_of_tables_mut);
    array.into_iter().flat_map(ArrayOfTables::iter_mut)
}

/// A value with what stands around the one before.
fn keep_comment(before: Option<&Item>, new: &str) -> Item {
    let mut new = toml_edit::Value::from(new);
    if let Some(before) = before.and_then(Item::as_value) {
        *new.decor_mut() = before.decor().clone();
    }
    Item::Value(new)
}

fn units_text() -> String {
    let mut units = ArrayOfTables::new();
    for (name, server, address, profile) in &UNITS {
        let mut table = Table::from_iter([("id", value(*name)), ("link", value(*server))]);
        table.extend([("address", value(i64::from(*address))), ("profile", value(*profile))]);
        if *name == "gen1" {
            let mut groups = toml_edit::Value::from(InlineTable::from_iter([("fast", "2s")]));
            groups.decor_mut().set_suffix("    # alarms on oil pressure wait 5 s: two polls at least");
            table.insert("groups", Item::Value(groups));
        }
        if units.is_empty() {
            table.decor_mut().set_prefix("# What answers on the wire: link, unit id, profile.\n\n");
        }
        units.push(table);
    }
    let mut out = DocumentMut::new();
    out.insert("unit", Item::ArrayOfTables(units));
    out.to_string()
}

const SITE: &str = r#"# The site, its journal and its sinks. Every key is explained in docs/reference.md.

[site]
id = "demo"
zh = "示范小区"
en = "Demo estate"
time_zone = "Asia/Shanghai"

[clock]
source = "rtc"          # believe the clock of the box at once; "ntp" waits for the kernel to call it synchronised

[journal]
max_gb = 4.0            # what happens at the limit: docs/operations.md; `check --plan` says how many days fit
state_days = 100        # states and registers are kept before telemetry: what they take, it does not get
register_days = 1200

[health]
listen = ""

# Flood levels (docs/flood.md). A real site says where it is, and leaves the holds of the scheme as they are.
[flood]
scheme = "cn-rainstorm-4"
geocodes = ["310115"]
min_hold = { blue = "2m", yellow = "2m", orange = "3m", red = "3m" }    # short, for the demo

[[flood.item]]
id = "sandbags"
zh = "沙袋、挡水板和移动泵"
en = "Sandbags, flood boards and the portable pump"

# Where warnings come from; this one is a relay of the Chinese service and may stop.
# [[feed]]
# name = "cma"
# url = "https://severeweather.wmo.int/v2/cap-alerts/cn-cma-xx/rss.xml"

[[sink.mqtt]]
name = "broker"
url = "mqtt://127.0.0.1:1883"

# A time-series store for Grafana (docs/timeseries.md): VictoriaMetrics, InfluxDB 2 or 3; `api = "v1"` for InfluxDB 1.x.
# [[sink.influx]]
# name = "history"
# url = "http://127.0.0.1:8428"
# bucket = "plantroom"
"#;

const LINKS: &str = r#"# Buses and connections. One link for each address or port; its units share it.

[[link.serial]]
id = "line-sump"
port = "/dev/serial"         # on a real box: a name below /dev/serial/by-id
baud = 19200
timeout_ms = 500

[[link.tcp]]
id = "plant"
host = "127.0.0.1"
port = 15020
expected_round_trip_ms = 10

[[link.tcp]]
id = "lifts"
host = "127.0.0.1"
port = 15021
expected_round_trip_ms = 10

[[link.tcp]]
id = "meters"
host = "127.0.0.1"
port = 15022
expected_round_trip_ms = 10
"#;

const DEVICES: &str = r#"# Pieces of equipment: what staff, alarms and dashboards know. Points come from units.

# One device made of four units: a transmitter, contacts and two drives.
[[device]]
id = "sump-1"
class = "sump"
area = "B2"
zh = "地库1#集水井"
en = "Basement sump 1"
[device.numbers]
stop_m = 0.4
start1_m = 1.0
start2_m = 1.4
high_m = 1.6
high_high_m = 2.2
floor_m = 2.4
area_m2 = 4.0
pumps = 2
pump1_rated_a = 6.2
pump2_rated_a = 6.2
pump1_rated_flow_m3h = 36.0
pump2_rated_flow_m3h = 36.0
[device.points]
level_m = "lt1.level_m"
pump1_running = "di7.in1"
pump2_running = "di7.in2"
pump1_overload = "di7.in3"
pump2_overload = "di7.in4"
pump1_selector_auto = "di7.in5"
pump2_selector_auto = "di7.in6"
high_high_float = "di7.in7"
leak_wet = "di7.in8"
pump1_current_a = "vfd1.current_a"
pump2_current_a = "vfd2.current_a"
pump1_power_kw = "vfd1.power_kw"
pump2_power_kw = "vfd2.power_kw"
pump1_run_h = "vfd1.run_h"
pump2_run_h = "vfd2.run_h"
pump1_starts = "vfd1.starts"
pump2_starts = "vfd2.starts"

[[derive]]
device = "sump-1"
point = "pump1_run_counted_h"
how = "run_time_h"
of = ["pump1_running"]

[[derive]]
device = "sump-1"
point = "pump2_run_counted_h"
how = "run_time_h"
of = ["pump2_running"]

[[derive]]
device = "sump-1"
point = "pump1_starts_counted"
how = "starts"
of = ["pump1_running"]

[[derive]]
device = "sump-1"
point = "pump2_starts_counted"
how = "starts"
of = ["pump2_running"]

# Two devices on one unit: two lifts on one contact module.
[[device]]
id = "lift-1"
class = "elevator"
area = "T1"
zh = "1号楼1#电梯"
en = "Tower 1 lift 1"
[device.points]
car_running = "di8.in1"
door_closed = "di8.in2"
door_zone = "di8.in3"
occupied = "di8.in4"
fault = "di8.in5"
alarm_button = "di8.in6"
in_service = "di8.in7"
safety_circuit_open = "di8.in8"

[[device]]
id = "lift-2"
class = "elevator"
area = "T1"
zh = "1号楼2#电梯"
en = "Tower 1 lift 2"
[device.points]
car_running = "di8.in9"
door_closed = "di8.in10"
door_zone = "di8.in11"
occupied = "di8.in12"
fault = "di8.in13"
alarm_button = "di8.in14"
in_service = "di8.in15"
safety_circuit_open = "di8.in16"

[[device]]
id = "supply-1"
class = "water_supply"
area = "B1"
zh = "生活水泵房"
en = "Domestic water"
[device.numbers]
setpoint_mpa = 0.42
[device.points]
supply_pressure_mpa = "dw1.remote_pressure_mpa"
flow_m3h = "dw1.flow_m3h"
tank_level_m = "dw1.tank_level_m"
volume_m3 = "dw1.volume_m3"

[[device]]
id = "booster-1"
class = "pump"
area = "B1"
zh = "生活水泵1#"
en = "Booster pump 1"
unit = "dw1"

[[device]]
id = "genset-1"
class = "generator"
area = "B1"
zh = "1#柴油发电机"
en = "Generating set 1"
unit = "gen1"
[device.numbers]
rated_kw = 200.0
battery_nominal_v = 24.0

[[device]]
id = "ats-1"
class = "ats"
area = "B1"
zh = "双电源切换柜"
en = "Transfer switch"
unit = "ats1"

[[device]]
id = "weather-1"
class = "weather"
area = "roof"
zh = "屋面雨量计"
en = "Rain gauge"
unit = "rg1"

[[device]]
id = "meter-main"
class = "meter"
area = "B1"
zh = "总进线"
en = "Incomer"
unit = "em0"

[[device]]
id = "meter-lighting"
class = "meter"
area = "B1"
zh = "公共照明"
en = "Lighting"
unit = "em1"

[[device]]
id = "meter-lifts"
class = "meter"
area = "B1"
zh = "电梯"
en = "Lifts"
unit = "em2"

[[device]]
id = "meter-pumps"
class = "meter"
area = "B1"
zh = "水泵"
en = "Pumps"
unit = "em3"

[[device]]
id = "meter-garage"
class = "meter"
area = "B1"
zh = "车库"
en = "Garage"
unit = "em4"

[[device]]
id = "meter-shops"
class = "meter"
area = "B1"
zh = "商铺"
en = "Shops"
unit = "em5"

[[device]]
id = "meter-hvac"
class = "meter"
area = "B1"
zh = "空调"
en = "Air conditioning"
unit = "em6"
"#;

const HVAC: &str = "register = \"meter-hvac.energy_import_kwh\"";

const METERS: &str = include_str!("../../config/meters.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_and_comments_stay() {
        for text in [SITE, LINKS, DEVICES] {
            assert!(text.parse::<DocumentMut>().is_ok(), "{text}");
        }
        let ports = BTreeMap::from([("plant", 1), ("lifts", 2), ("meters", 3)]);
        let (line, broker, health) = ("/dev/pts/7".into(), "mqtt://h:9".into(), "127.0.0.1:4".into());
        let texts: BTreeMap<String, String> =
            files(&DemoAddresses { ports, line, broker, health }).into_iter().collect();
        for words in
            ["port = \"/dev/pts/7\"         # on a real box", "id = \"lifts\"\nhost = \"127.0.0.1\"\nport = 2\n"]
        {
            assert!(texts["links.toml"].contains(words), "{}", texts["links.toml"]);
        }
        assert!(
            texts["site.toml"].contains("listen = \"127.0.0.1:4\"\n")
                && texts["site.toml"].contains("url = \"mqtt://h:9\"\n")
        );
        assert!(
            texts["units.toml"]
                .starts_with("# What answers on the wire: link, unit id, profile.\n\n[[unit]]\nid = \"lt1\"\n")
        );
        assert!(texts["units.toml"].contains("groups = { fast = \"2s\" }    # alarms"), "{}", texts["units.toml"]);
    }
}
