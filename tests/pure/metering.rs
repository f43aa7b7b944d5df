//! Metering points: tables with their problems, tables as spreadsheets write them, and consumption across meters.

use std::sync::Arc;

use plantroom::config::doc::Texts;
use plantroom::config::{self, Configuration};
use plantroom::energy::closure::Signature;
use plantroom::energy::consumption::{Consumption, MeteredPart};
use plantroom::energy::decision::Decisions;
use plantroom::energy::entry::EntryVersion;
use plantroom::energy::metering::{MeteringSource, Subject};
use plantroom::energy::profile::Profile;
use plantroom::energy::room::EnergyRoom;
use plantroom::model::actor::Actor;
use plantroom::model::command::{Command, Operation};
use plantroom::model::effects::Effects;
use plantroom::model::metering::{
    ClosedFigure, MeteringCommand, MeteringOperation, RegisterEntry, RegisterReading, TimeRange,
};
use plantroom::model::room::{Board, Input, Room as _, Start};
use plantroom::model::time::{MonotonicMillis, Now, UnixMillis};
use plantroom::report::consumption::{Grouping, groups};
use rust_decimal::Decimal;

use crate::energy::Kept;

const SITE: &str = "[site]\nid = \"s\"\nen = \"Site\"\ntime_zone = \"Asia/Shanghai\"\n[[link.tcp]]\nid = \"l\"\nhost = \"h\"\ngroups = { fast = \"700ms\" }\n";
/// Units and devices of three meters.
const UNITS: &str =
    "id,link,address,profile,retries\nu1,l,1,eastron-sdm630,2\nu2,l,2,eastron-sdm630,\nu3,l,3,eastron-sdm630,\n";
const DEVICES: &str = "id,class,area,zh,en,unit,numbers.rated_a\nm1,meter,B1,进线,Incomer,u1,400\nm2,meter,B1,,Lifts,u2,63\nm3,meter,T1,,\"Pumps, sump\",u3,\n";

fn load(files: &[(&str, &str)]) -> (String, Option<Configuration>) {
    let files = files.iter().map(|(name, text)| ((*name).to_string(), (*text).to_string())).collect();
    let loaded = config::load_texts(&Texts { files }, None);
    let said = loaded.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    (said, loaded.configuration)
}

fn meters(table: &str) -> (String, Option<Configuration>) {
    load(&[("site.toml", SITE), ("units.csv", UNITS), ("devices.csv", DEVICES), ("meters.csv", table)])
}

#[track_caller]
fn refused(table: &str, expect: &str) {
    assert_eq!(meters(table).0, expect);
}

#[test]
fn three_tables_of_a_spreadsheet_are_a_site() {
    let table = "point,register,from,serial,class,ct,readings,parent,end_use,area,sum,minus,share,calibration_due\n\
        incomer,m1.energy_import_kwh,,4711,0.5S,,,,,,,,,2029-06-30\n\
        lifts,m2.energy_import_kwh,,,1,100/5,secondary,incomer,lifts,b1,,,,\n\
        # a remark\n\
        lifts,,2026-03-01T10:15,4713,,200/5,secondary,,,,,,,\n\
        pumps,m3.energy_import_kwh,,,B,,,incomer,pumps,,,,,\n\
        rest,,,,,,,,,,incomer,lifts;pumps,,\n\
        \n";
    let areas = "[[area]]\nid = \"b1\"\nen = \"Basement\"\nfloor_area_m2 = 1200.5\n";
    let files =
        [("site.toml", SITE), ("a.toml", areas), ("units.csv", UNITS), ("devices.csv", DEVICES), ("meters.csv", table)];
    let (said, configuration) = load(&files);
    assert_eq!(said, "");
    let configuration = configuration.unwrap();
    let unit = &configuration.buses[0].units[0];
    let every: Vec<u64> = unit.groups.iter().map(|group| group.interval_ms).collect();
    assert_eq!((unit.retries, every.contains(&700)), (2, true), "{every:?}");
    assert_eq!(configuration.devices["m1"].parameters["rated_a"].to_bits(), 400f64.to_bits());
    assert_eq!(configuration.devices["m3"].en, "Pumps, sump");
    let points = &configuration.metering.points;
    assert_eq!(points.keys().map(String::as_str).collect::<Vec<_>>(), ["incomer", "lifts", "pumps", "rest"]);
    let lifts = &points["lifts"];
    let of_lifts: Vec<String> =
        lifts.meters().iter().map(|m| format!("{} {:?} {}", m.multiplier, m.serial, m.register)).collect();
    assert_eq!(of_lifts, ["20 None m2.energy_import_kwh", "40 Some(\"4713\") m2.energy_import_kwh"]);
    // 10:15 in Shanghai.
    assert_eq!(lifts.meters()[1].from.0, 1_772_331_300_000);
    assert_eq!(
        (lifts.unit.as_deref(), lifts.en.as_str(), points["incomer"].zh.as_str()),
        (Some("kWh"), "Lifts", "进线")
    );
    assert_eq!(points["pumps"].meters()[0].tolerance_pct, Some(rust_decimal::Decimal::ONE));
    assert!(matches!(&points["rest"].source, MeteringSource::Formula { minus, .. } if minus.len() == 2));
    assert_eq!(points["rest"].unit.as_deref(), Some("kWh"));
    // Spreadsheets elsewhere separate by semicolons, with a mark at the beginning, and write 20.0 for 20.
    let semicolons = format!("\u{feff}{}", UNITS.replace(',', ";").replace(";2\n", ";2.0\r\n"));
    let files = [("site.toml", SITE), ("units.csv", semicolons.as_str()), ("devices.csv", DEVICES)];
    let (said, configuration) = load(&files);
    assert_eq!((said.as_str(), configuration.unwrap().buses[0].units[0].retries), ("", 2));
}

#[test]
fn problems_of_spreadsheets_stand_at_their_cells() {
    let units = "id,link,adress,profile\nu1,l,1,eastron-sdm360\nu2,k,x,eastron-sdm630,7\n";
    let (said, _) =
        load(&[("site.toml", SITE), ("units.csv", units), ("devcies.csv", "id\n"), ("empty/areas.csv", "")]);
    assert_eq!(
        said,
        "devcies.csv: error: no table of the configuration has this name\n  hint: did you mean `devices.csv` or `derives.csv`?\n\
         empty/areas.csv: error: the file is empty\n  hint: its first line names the columns: id, …\n\
         units.csv:1:9: error: unknown column `adress`\n  hint: did you mean `address`?\n\
         units.csv:2:1: error: missing key `address`\n  hint: add `address = …`\n\
         units.csv:3:23: error: the row has 5 cells, the head names 4 columns\n  hint: put a text that has a comma in it in quotes"
    );
    let units = "id,link,address,profile,retries\n\"u1\",l,one,eastron-sdm360,2\nu2,\"k\",2,eastron-sdm630,\n";
    let (said, _) = load(&[("site.toml", SITE), ("units.csv", units)]);
    assert!(said.contains("units.csv:2:8: error: `address` is the text \"one\""), "{said}");
    let (said, _) = load(&[("site.toml", SITE), ("units.csv", &units.replace("one", "1").replace("360", "630"))]);
    assert!(said.contains("units.csv:3:4: error: unknown link `k`\n  hint: did you mean `l`?"), "{said}");
    // No file of bytes does more than be refused.
    for text in ["\"", "a,b\n\"x", "\u{feff}", ",,,\n1,2,3,4", "id\n\0", "id,id\n1,2", "id;link\n\"a\"\"b\";c\r\r\n"] {
        drop(load(&[("site.toml", SITE), ("units.csv", text)]));
    }
}

#[test]
fn metering_points_that_cannot_be() {
    let head = "point,register,from,ct,readings,parent,sum,unit,class,end_use,area";
    let table = |rows: &str| format!("{head}\n{rows}\n");
    refused(
        &table("a,m1.energy_import_kwh,,,,b,,,,,\nb,m2.energy_import_kwh,,,,a,,,,,"),
        "meters.csv:2:27: error: metering points go in a circle: a -> b -> a\n  hint: one of them refers to another one",
    );
    refused(
        &table("a,,,,,,b,,,,\nb,,,,,,a m1,,,,"),
        "meters.csv:2:8: error: metering points go in a circle: a -> b -> a\n  hint: one of them refers to another one\n\
         meters.csv:3:8: error: there is no metering point `m1`\n  hint: known: a",
    );
    refused(
        &table("a,m1.energy_import_kwh,,,,c,,,,,\nb,m2.energy_imprt_kwh,,,,a,,,,,"),
        "meters.csv:2:27: error: there is no metering point `c`\n  hint: did you mean `b`?\n\
         meters.csv:3:3: error: there is no cumulative register `m2.energy_imprt_kwh`\n  hint: did you mean `m2.energy_import_kwh` or `m1.energy_import_kwh` or `m3.energy_import_kwh`?",
    );
    refused(
        &table("a,m1.energy_import_kwh,,,,,,,,,\na,m2.energy_import_kwh,,,,,,,,,"),
        "meters.csv:3:1: error: two meters are on the metering point `a` at one time\n  hint: from = \"2026-03-01\" says since when the second one counts, or since when its transformers are others",
    );
    refused(
        &table("a,m1.energy_import_kwh,,100/5,,,,,,,\nb,m2.energy_import_kwh,,0/5,secondary,,,,9Z,,"),
        "meters.csv:2:25: error: the ratio does not say whether the register of `a` counts behind the transformers\n  hint: readings = \"primary\": it is in the register or in the profile's scale already; \"secondary\": readings are multiplied\n\
         meters.csv:3:25: error: `0/5` is no ratio of a transformer\n  hint: primary and secondary: ct = \"400/5\", pt = \"10000/100\"\n\
         meters.csv:3:42: error: `9Z` is no accuracy class\n  hint: 0.2S, 0.5S, 0.5, 1, 2, 3, or A, B, C of active energy meters",
    );
    refused(
        &table("a,m1.energy_import_kwh,,,,,,,,,\nb,m1.energy_import_kwh,,,,,,,,,\nc,,,,,,,,,,"),
        "meters.csv:3:3: error: the register `m1.energy_import_kwh` counts for `a` and for `b` at one time\n  hint: each register belongs to one metering point\n\
         meters.csv:4:1: error: the metering point `c` has neither a register nor other points\n  hint: register = \"device.point\"; or unit = \"kWh\" for a meter that people read",
    );
    refused(
        &table("a,m1.energy_import_kwh,,,,,,,,,\nw,,,,,,,m³,,water,roof"),
        "meters.csv:3:13: error: `water` is not one of the words that are known here\n  hint: one of: lighting, hvac, lifts, pumps, fans, hot_water, kitchen, server_room, charging, tenants, public_share, special",
    );
    refused(
        &table("a,m1.energy_import_kwh,,,,,,,,,\nb,m1.energy_reactive_import_kvarh,2026-13-01,,,a,,,,,\n"),
        "meters.csv:3:35: error: `2026-13-01` is no date\n  hint: from = \"2026-03-01\" or \"2026-03-01T10:15\", in the site's time zone",
    );
    refused(
        &table("a,m1.energy_import_kwh,,,,,,,,,\nb,m1.energy_reactive_import_kvarh,,,,a,,,,,\n"),
        "meters.csv:3:38: error: `b` is in kvarh, `a` in kWh\n  hint: only what has one unit is added and subtracted",
    );
    refused(
        &table("a,m1.energy_import_kwh,,,,,,,,,roof\n"),
        "meters.csv:2:32: error: there is no area `roof`\n  hint: [[area]] with id = \"roof\"",
    );
}

#[test]
fn an_overloaded_bus_says_which_rates_fit() {
    let serial = "[site]\nid = \"s\"\nen = \"Site\"\ntime_zone = \"UTC\"\n[[link.serial]]\nid = \"l\"\nport = \"/dev/serial/by-id/x\"\nbaud = 9600\n";
    let units: String = (1..=60).map(|i| format!("u{i},l,{i},eastron-sdm630\n")).collect();
    let devices: String = (1..=60).map(|i| format!("m{i},meter,Meter {i},u{i}\n")).collect();
    let (units, devices) = (format!("id,link,address,profile\n{units}"), format!("id,class,en,unit\n{devices}"));
    let of = |link: &str| load(&[("site.toml", link), ("units.csv", &units), ("devices.csv", &devices)]).0;
    let said = of(serial);
    let hint = said.split("hint: ").nth(1).unwrap().split(" of the link").next().unwrap().to_string();
    assert!(said.contains("link `l` cannot carry this") && hint.starts_with("groups = { "), "{said}");
    // What it proposes is accepted as it stands.
    let said = of(&format!("{serial}{hint}\n"));
    assert!(!said.contains("error") && !said.contains("little room"), "{said}");
    let said = of(&format!("{serial}groups = {{ fats = \"5s\", slow = \"soon\" }}\noverload = true\n"));
    assert!(said.contains("no unit on link `l` has a group `fats`\n  hint: did you mean `fast`"), "{said}");
    assert!(said.contains("`soon` is not a duration"), "{said}");
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn version(entry: RegisterEntry) -> EntryVersion {
    EntryVersion { entry, signature: Signature::default() }
}

fn reading(second: i64, value: &str) -> RegisterReading {
    RegisterReading { at: UnixMillis(second * 1_000), value: decimal(value) }
}

fn range(from_s: i64, to_s: i64) -> TimeRange {
    TimeRange { from: UnixMillis(from_s * 1_000), to: UnixMillis(to_s * 1_000) }
}

/// Entries of one register, in force.
fn said_of(entries: &[RegisterEntry]) -> Decisions {
    let versions: Vec<EntryVersion> = entries.iter().copied().map(version).collect();
    Decisions::default().with_entries(&versions)
}

/// Consumption from second to second, with its quality.
fn between(consumption: &Consumption, (from, to): (i64, i64)) -> String {
    let interval = consumption.interval(UnixMillis(from * 1_000), UnixMillis(to * 1_000));
    let consumed = interval.consumed.map_or("-".to_string(), |c| c.normalize().to_string());
    format!("{consumed} {}", interval.quality.word())
}

fn part(from_s: i64, to_s: i64, multiplier: &str, profile: Profile) -> MeteredPart {
    let TimeRange { from, to } = range(from_s, to_s);
    MeteredPart { from, to, multiplier: decimal(multiplier), profile: Arc::new(profile) }
}

#[test]
fn transformers_that_are_changed_leave_the_past_as_it_was() {
    // 900 s a quarter hour. The register of the meter counts 1 in each; its transformers are 20 until 1,350 s, 40 from then on.
    let kept = Kept::new(None, None).run("0:100 450:100.5 900:101 1350:101.5 1800:102 2250:102.5 2700:103");
    let profile = || kept.profile(&Decisions::default());
    let consumption =
        Consumption::Metered(vec![part(-9_000_000, 1_350, "20", profile()), part(1_350, 9_000_000, "40", profile())]);
    // By hand: 1 x 20; 0.5 x 20 + 0.5 x 40; 1 x 40. Kept are the readings at quarter hours, so the one at 1,350 s is interpolated.
    let quarters = [(0, 900), (900, 1_800), (1_800, 2_700)].map(|bounds| between(&consumption, bounds));
    assert_eq!(quarters, ["20 measured", "30 interpolated", "40 measured"]);
    assert_eq!(between(&consumption, (0, 2_700)), "90 interpolated");
}

#[test]
fn a_meter_that_is_exchanged_for_one_with_another_register_loses_nothing() {
    // Removed at 1,300 s with 54,325.5, last read at 900 s; the new one is installed at 1,300 s with 12.0 and first read at 1,800 s.
    let old = Kept::new(None, None).run("0:54320.5 900:54321.0");
    let new = Kept::new(None, None).run("1800:12.4 2700:13.4");
    let final_reading = said_of(&[RegisterEntry::Reading { reading: reading(1_290, "54325.5") }]);
    let initial_reading = said_of(&[RegisterEntry::Reading { reading: reading(1_300, "12.0") }]);
    let of = |old: Profile, new: Profile| {
        Consumption::Metered(vec![part(-9_000_000, 1_300, "1", old), part(1_300, 9_000_000, "1", new)])
    };
    let entered = of(old.profile(&final_reading), new.profile(&initial_reading));
    let without = of(old.profile(&Decisions::default()), new.profile(&Decisions::default()));
    // By hand: 54,325.5 - 54,321.0 and 12.4 - 12.0 are 4.9.
    assert_eq!(between(&entered, (900, 1_800)), "4.9 decided");
    assert_eq!(between(&entered, (0, 2_700)), "6.4 decided");
    assert_eq!(between(&without, (900, 1_800)), "- missing");
    assert_eq!(between(&without, (0, 2_700)), "1.5 partial");
}

#[test]
fn a_meter_that_people_read_counts_between_their_readings() {
    let entries = ["0:1000", "86400:1024", "172800:1000.5", "259200:1072"].map(|word| {
        let (at, value) = word.split_once(':').unwrap();
        RegisterEntry::Reading { reading: reading(at.parse().unwrap(), value) }
    });
    let profile = Profile::new(&[], &[], &said_of(&entries), 900_000);
    // A slip of the pen is below its neighbours: it counts nothing, and is said.
    assert_eq!(profile.contradicting(), [reading(172_800, "1000.5")]);
    let consumption = Consumption::of_register(profile);
    assert_eq!(between(&consumption, (0, 86_400)), "24 decided");
    assert_eq!(between(&consumption, (86_400, 172_800)), "24 decided");
    assert_eq!(between(&consumption, (172_800, 400_000)), "24 partial");
    let withdrawn = [entries[0], entries[3], RegisterEntry::NoReading { at: UnixMillis(259_200_000) }];
    let consumption = Consumption::of_register(Profile::new(&[], &[], &said_of(&withdrawn), 900_000));
    assert_eq!(between(&consumption, (0, 86_400)), "- missing");
}

#[test]
fn a_correction_changes_its_time_and_nothing_else() {
    let kept = Kept::new(None, None).run("0:0.001 900:10 1800:110 2700:120 3600:130");
    // 100 in the second quarter were 8; in the fourth nothing was counted that was 3.
    let entries = [
        RegisterEntry::Correction { range: range(900, 1_800), consumed: decimal("8") },
        RegisterEntry::Correction { range: range(2_700, 3_600), consumed: decimal("3") },
    ];
    let of = |entries: &[RegisterEntry]| Consumption::of_register(kept.profile(&said_of(entries)));
    let quarters = |consumption: &Consumption| {
        [(0, 900), (900, 1_800), (1_800, 2_700), (2_700, 3_600)].map(|b| between(consumption, b))
    };
    assert_eq!(quarters(&of(&entries)), ["9.999 measured", "8 decided", "10 measured", "3 decided"]);
    assert_eq!(between(&of(&entries), (0, 3_600)), "30.999 decided");
    // Halves of a corrected time sum up to it.
    assert_eq!([(900, 1_350), (1_350, 1_800)].map(|b| between(&of(&entries), b)), ["4 decided", "4 decided"]);
    let withdrawn = [entries[0], RegisterEntry::NoCorrection { range: range(900, 1_800) }];
    assert_eq!(quarters(&of(&withdrawn)), quarters(&of(&[])));
    // Whoever says what was consumed across a boundary has explained it.
    let exchanged = Kept::new(None, None).run("0:500 900:510 1800:3 2700:3.5 3600:3.7 4500:3.9 5400:4 6300:4.5 9000:5");
    let profile =
        exchanged.profile(&said_of(&[RegisterEntry::Correction { range: range(900, 1_800), consumed: decimal("7") }]));
    assert_eq!(between(&Consumption::of_register(profile), (0, 9_000)), "19 decided");
    assert_eq!(between(&of_register(&exchanged), (0, 9_000)), "12 pending");
}

fn of_register(kept: &Kept) -> Consumption {
    Consumption::of_register(kept.profile(&Decisions::default()))
}

#[test]
fn groups_count_each_kilowatt_hour_once() {
    let table = "point,register,parent,end_use,area\n\
        incomer,m1.energy_import_kwh,,,\nlifts,m2.energy_import_kwh,incomer,lifts,\npumps,m3.energy_import_kwh,incomer,pumps,\n";
    let plan = meters(table).1.unwrap().metering;
    let kept = ["0:0.5 900:100.5", "0:5 900:35", "0:7 900:27"].map(|words| Kept::new(None, None).run(words));
    let subjects = |missing: bool| -> Vec<(Subject, Arc<Consumption>)> {
        let of = |(id, kept): (&str, &Kept)| {
            let point = plan.points.get(id).cloned();
            let consumption =
                if missing && id == "pumps" { of_register(&Kept::new(None, None)) } else { of_register(kept) };
            (Subject { id: id.to_string(), unit: "kWh".to_string(), device: None, point }, Arc::new(consumption))
        };
        ["incomer", "lifts", "pumps"].into_iter().zip(&kept).map(of).collect()
    };
    let words = |missing: bool| {
        let groups = groups(&plan, &subjects(missing), Grouping::EndUse, false);
        groups.iter().map(|g| format!("{}: {}", g.id, between(&g.consumption, (0, 900)))).collect::<Vec<_>>()
    };
    // 100 of the incomer are 30 of lifts, 20 of pumps and 50 of which nobody says anything.
    assert_eq!(words(false), ["other: 50 measured", "lifts: 30 measured", "pumps: 20 measured"]);
    // A meter that is not read makes its group missing, and what is left of the main meter; nothing is 0.
    assert_eq!(words(true), ["other: - missing", "lifts: 30 measured", "pumps: - missing"]);
}

#[test]
fn contracts_that_cannot_be() {
    let table = "point,register\nincomer,m1.energy_import_kwh\n";
    let of = |contract: &str| {
        let text = format!("[[contract]]\n{contract}");
        load(&[
            ("site.toml", SITE),
            ("a.toml", &text),
            ("units.csv", UNITS),
            ("devices.csv", DEVICES),
            ("meters.csv", table),
        ])
    };
    let (said, configuration) =
        of("point = \"incomer\"\ntariff = \"guangdong-2021\"\nbase_price = \"0.6213\"\ndemand_kw = 1000\n");
    assert_eq!((said.as_str(), configuration.unwrap().contracts.len()), ("", 1));
    let wrong = "point = \"incomr\"\ntariff = \"guangdong\"\nfrom = \"soon\"\nbase_price = \"cheap\"\ndemand_kw = -1\ndays = { hot = [\"2026\"] }\nregisters = { peak = \"m1.energy_peak\" }\n";
    let lines: Vec<String> =
        of(wrong).0.lines().filter(|line| line.contains("error")).map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "a.toml:2:9: error: there is no metering point `incomr`",
            "a.toml:3:10: error: there is no tariff `guangdong`",
            "a.toml:4:8: error: `soon` is no date",
            "a.toml:5:14: error: `cheap` is no number",
            "a.toml:6:13: error: a contract's demand is above 0 kW",
            "a.toml:7:10: error: `2026` are no dates",
            "a.toml:7:10: error: the tariff asks for no days `hot`",
            "a.toml:8:22: error: there is no cumulative register `m1.energy_peak`",
        ]
    );
    let (said, _) = of("point = \"incomer\"\ntariff = \"guangdong-2021\"\n");
    assert_eq!(
        said,
        "a.toml:3:10: error: the tariff `guangdong-2021` has factors, and no base price\n  hint: base_price = \"0.6213\""
    );
}

#[test]
fn what_a_later_entry_does_not_say_is_that_of_the_one_before() {
    let table = "point,register,from,ct,pt,readings\n\
        a,m1.energy_import_kwh,,400/5,10000/100,secondary\n\
        a,,2026-03-01,600/5,,\n\
        a,,2026-04-01,,,primary\n\
        a,,2026-05-01,,,secondary\n";
    let (said, configuration) = meters(table);
    assert_eq!(said, "");
    let plan = configuration.unwrap().metering;
    let multipliers: Vec<String> = plan.points["a"].meters().iter().map(|m| m.multiplier.to_string()).collect();
    assert_eq!(multipliers, ["8000", "12000", "1", "12000"]);
}

#[test]
fn a_correction_is_asked_for_as_a_whole() {
    let correction = |from, to| RegisterEntry::Correction { range: range(from, to), consumed: Decimal::ONE };
    let of = said_of(&[correction(0, 100), correction(90, 200), correction(300, 400)]).entries;
    // A day within the second one needs the first one too, which overlaps it; the third one has nothing to do with it.
    assert_eq!(of.with_corrections(range(150, 160)), range(0, 200));
    assert_eq!(of.with_corrections(range(250, 260)), range(250, 260));
}

/// The room of the engine, with what it refuses.
fn command(
    room: &mut EnergyRoom,
    operation: MeteringOperation,
    affects: TimeRange,
    may_reopen: bool,
    note: &str,
) -> Option<String> {
    let metering = MeteringCommand { operation, affects, may_reopen };
    let actor = Actor::gateway().named("li");
    let command = Command { actor, note: note.to_string(), operation: Operation::Metering(metering) };
    let mut effects = Effects::default();
    let wall = UnixMillis(1_000_000_000);
    let now = Now { mono: MonotonicMillis(1), wall, wall_trusted: true };
    room.step(now, Input::Command(&command), &mut Board::default(), &mut effects);
    assert_eq!(effects.refused.is_none(), !effects.decided.keep.is_empty());
    effects.refused.map(|refusal| refusal.text.en)
}

#[test]
fn a_closed_month_changes_only_with_a_revision() {
    let directory = Arc::default();
    let (kept, now) =
        (std::collections::BTreeMap::new(), Now { mono: MonotonicMillis(0), wall: UnixMillis(0), wall_trusted: true });
    let start = Start { kept: &kept, directory: &directory, boot: "", now };
    let mut room = EnergyRoom::build(&Vec::new(), start, &mut Vec::new());
    let month = range(0, 1_000);
    let close = |consumed: &str, versions: usize| MeteringOperation::CloseMonth {
        month: "1970-01".to_string(),
        range: month,
        figures: vec![ClosedFigure {
            point: "a".into(),
            unit: "kWh".into(),
            consumed: consumed.into(),
            quality: "measured".into(),
        }],
        versions,
    };
    let correct = |value: &str| MeteringOperation::Enter {
        register: "m.e".to_string(),
        entry: RegisterEntry::Correction { range: range(10, 20), consumed: decimal(value) },
    };
    assert_eq!(
        command(&mut room, close("5", 0), month, false, " ").unwrap(),
        "what is said of consumption needs a reason (--note)"
    );
    assert_eq!(command(&mut room, close("5", 0), month, false, "done"), None);
    assert!(command(&mut room, close("5", 0), month, false, "again").unwrap().contains("no figure has changed"));
    let refused = command(&mut room, correct("3"), range(10, 20), false, "slip").unwrap();
    assert_eq!(
        refused,
        "1970-01 is closed (revision 1); --revise changes it all the same, and it has to be closed again"
    );
    assert_eq!(command(&mut room, correct("3"), range(2_000, 3_000), false, "elsewhere"), None);
    assert_eq!(command(&mut room, correct("3"), range(10, 20), true, "slip"), None);
    // Figures that were computed before what somebody else said meanwhile are not those of the month.
    assert!(command(&mut room, close("6", 0), month, false, "late").unwrap().contains("meanwhile"));
    assert_eq!(command(&mut room, close("6", 2), month, false, "with the correction"), None);
    for figure in ["79228162514264337593543950335", "-1", "0.12345678901"] {
        assert!(command(&mut room, correct(figure), range(2_000, 3_000), false, "x").is_some(), "{figure}");
    }
}

#[test]
fn what_cannot_be_read_is_not_missing() {
    // A unit with an error of its own: its device, register and point are not there, and nobody is told to add them.
    let units = UNITS.replace("u1,l,1,", "u1,l,one,");
    let table = "point,register,parent\nincomer,m1.energy_import_kwh,\nlifts,m2.energy_import_kwh,incomer\n";
    let (said, _) =
        load(&[("site.toml", SITE), ("units.csv", &units), ("devices.csv", DEVICES), ("meters.csv", table)]);
    assert!(said.starts_with("units.csv:2:6: error: `address` is the text") && said.lines().count() == 1, "{said}");
}

/// A ratio that the configuration corrects changes the figures from its meter on; names, areas and end uses change none.
#[test]
fn what_the_figures_of_a_point_follow_from() {
    let table = |ct: &str, more: &str| {
        format!(
            "[[meter]]\npoint = \"a\"\nregister = \"m1.energy_import_kwh\"\nct = \"100/5\"\nreadings = \"secondary\"\n{more}\n\
             [[meter]]\npoint = \"a\"\nfrom = \"2026-03-01\"\nct = \"{ct}/5\"\nreadings = \"secondary\"\n\
             [[meter]]\npoint = \"b\"\nsum = [\"a\"]\nshare = 0.5\n"
        )
    };
    let definition = |table: String, point: &str| {
        let files =
            [("site.toml", SITE), ("units.csv", UNITS), ("devices.csv", DEVICES), ("meters.toml", table.as_str())];
        let (problems, configuration) = load(&files);
        configuration.unwrap_or_else(|| panic!("{problems}")).metering.definition(point)
    };
    let (was, now) = (table("200", ""), table("300", ""));
    let march = plantroom::energy::metering::moment("2026-03-01", &jiff::tz::TimeZone::get("Asia/Shanghai").unwrap());
    for point in ["a", "b"] {
        let (was, now) = (definition(was.clone(), point), definition(now.clone(), point));
        assert_eq!(now.symmetric_difference(&was).next().map(|(from, _)| *from), march.map(|at| at.0), "{point}");
    }
    let renamed = table("200", "en = \"Another name\"\nend_use = \"lifts\"");
    assert_eq!(definition(was, "a"), definition(renamed, "a"));
}
