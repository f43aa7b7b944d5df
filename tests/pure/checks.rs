//! What `check` says of a site whose alarms would reach nobody, or say nothing: warnings and errors with their mend.

use plantroom::config::doc::Texts;
use plantroom::config::{self, Configuration};

const SITE: &str =
    "[site]\nid = \"s\"\nzh = \"站\"\nen = \"Site\"\ntime_zone = \"UTC\"\n[[link.tcp]]\nid = \"l\"\nhost = \"h\"\n";

fn load(text: &str) -> (Vec<String>, Option<Configuration>) {
    let files = vec![("a.toml".to_string(), format!("{SITE}{text}"))];
    let loaded = config::load_texts(&Texts { files }, None);
    (loaded.problems.iter().map(ToString::to_string).collect(), loaded.configuration)
}

/// Contacts as points of a device on a contact module.
fn device(class: &str, id: &str, area: &str, points: &[&str], more: &str) -> String {
    let unit = format!(
        "[[unit]]\nid = \"di-{id}\"\nlink = \"l\"\naddress = {}\nprofile = \"contact-module-16\"\n",
        id.len() + 1
    );
    let points: Vec<String> =
        points.iter().enumerate().map(|(i, p)| format!("{p} = \"di-{id}.in{}\"", i + 1)).collect();
    format!(
        "{unit}[[device]]\nid = \"{id}\"\nclass = \"{class}\"\narea = \"{area}\"\nzh = \"甲\"\nen = \"A\"\n{more}[device.points]\n{}\n",
        points.join("\n")
    )
}

fn says(problems: &[String], parts: &[&str]) {
    for part in parts {
        assert!(problems.iter().any(|p| p.contains(part)), "{part:?} is not in {problems:#?}");
    }
}

#[test]
fn rules_that_guard_lives_are_not_switched_off_in_passing() {
    let lift = device("elevator", "lift", "", &["entrapment", "unintended_movement", "overtravel_top"], "");
    let weaker = [
        ("entrapment", "off = true"),
        ("entrapment", "set = { never_hidden = false }"),
        ("entrapment", "set = { hidden_by = [\"fault\"] }"),
        ("entrapment", "set = { in_test = true }"),
        ("entrapment", "set = { on_delay = \"10m\" }"),
        ("entrapment", "set = { when = { any = [{ is = { point = \"overtravel_top\" } }] } }"),
        ("entrapment", "set = { only = { is = { point = \"overtravel_top\" } } }"),
        ("entrapment", "set = { unless = { any = [{ is = { point = \"overtravel_top\" } }] } }"),
        ("overtravel", "set = { latch = false }"),
        ("overtravel", "set = { priority = \"P3\" }"),
    ];
    for (rule, change) in weaker {
        let text = |risk: &str| format!("{lift}[[alarm]]\nrule = \"elevator.{rule}\"\n{change}\n{risk}");
        let (problems, configuration) = load(&text(""));
        says(&problems, &["error: `elevator.", "guards lives", "accept_risk = "]);
        assert!(configuration.is_none());
        let (problems, configuration) = load(&text("accept_risk = \"the firm watches it itself, contract 7\"\n"));
        says(&problems, &["warning: `elevator.", "contract 7"]);
        assert!(configuration.is_some(), "{problems:?}");
    }
    let (problems, _) =
        load(&format!("{lift}[[alarm]]\nrule = \"elevator.entrapment\"\nset = {{ on_delay = \"20s\" }}\n"));
    assert!(problems.is_empty(), "a delay is the site's: {problems:?}");
    let (problems, _) = load(&format!("{lift}[[alarm]]\nrule = \"elevator.out_of_service\"\noff = true\n"));
    assert!(problems.is_empty(), "others are the site's: {problems:?}");
}

#[test]
fn a_number_without_a_safe_default_is_asked_for() {
    let set = |numbers: &str| {
        format!(
            "[[unit]]\nid = \"g\"\nlink = \"l\"\naddress = 1\nprofile = \"deepsea-dse\"\n[[device]]\nid = \"gen\"\nclass = \"generator\"\nzh = \"甲\"\n\
             en = \"A\"\n{numbers}[device.points]\nbattery_v = \"g.battery_v\"\n"
        )
    };
    let (problems, configuration) = load(&set(""));
    says(
        &problems,
        &["warning: `gen` does not say `battery_nominal_v`: without it there is no alarm generator.battery_low"],
    );
    says(&problems, &["battery_nominal_v = …"]);
    assert!(!configuration.unwrap().alarms.definitions.iter().any(|d| &*d.rule == "battery_low"), "no guess");
    let (problems, configuration) = load(&set("numbers = { battery_nominal_v = 24.0 }\n"));
    assert!(problems.is_empty(), "{problems:?}");
    assert!(configuration.unwrap().alarms.definitions.iter().any(|d| &*d.rule == "battery_low"));
}

#[test]
fn a_point_that_reports_a_fault_and_has_no_rule_is_named() {
    let site = device("environment", "room", "", &["smoke", "x_boiler_fault", "x_lamp"], "");
    let (problems, configuration) = load(&site);
    let unwatched =
        config::check_alarms::unwatched_fault_points(&configuration.unwrap_or_else(|| panic!("{problems:?}")));
    assert_eq!(unwatched, [("room".to_string(), "x_boiler_fault".to_string())]);
}

#[test]
fn a_supply_explains_what_it_feeds_and_nothing_else() {
    let ats = |id: &str, area: &str| device("ats", id, area, &["source1_available", "on_source2"], "");
    let pump = |id: &str, area: &str, more: &str| device("pump", id, area, &["fault"], more);
    let text = [
        ats("ats-a", "A"),
        ats("ats-bb", "B"),
        pump("pump-aaa", "A", ""),
        pump("pump-bbbb", "B", ""),
        pump("pump-ccccc", "C", ""),
        pump("pump-dddddd", "A", "supply = \"ats-bb\"\n"),
    ];
    let (problems, configuration) = load(&text.concat());
    let configuration = configuration.unwrap_or_else(|| panic!("{problems:?}"));
    let hidden_by = |device: &str| {
        let d = configuration.alarms.definitions.iter().find(|d| &*d.device == device && &*d.rule == "fault").unwrap();
        d.suppressed_by.iter().filter(|k| k.starts_with("utility_lost")).map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(hidden_by("pump-aaa"), ["utility_lost.ats-a"]);
    assert_eq!(hidden_by("pump-bbbb"), ["utility_lost.ats-bb"]);
    assert!(hidden_by("pump-ccccc").is_empty(), "another area's supply explains nothing here");
    assert_eq!(hidden_by("pump-dddddd"), ["utility_lost.ats-bb"]);
    let (problems, _) = load(&format!("{}{}", ats("ats-a", ""), pump("p", "", "supply = \"ats-b\"\n")));
    says(&problems, &["`ats-b` is no transfer switch\n  hint: did you mean `ats-a`?"]);
}

#[test]
fn what_is_told_to_nobody_is_said() {
    let lift = device("elevator", "lift", "T1", &["entrapment"], "");
    let people = "[[channel.sms]]\nid = \"sms\"\nport = \"/dev/ttyUSB2\"\n[[channel.email]]\nid = \"mail\"\nhost = \"h\"\nfrom = \"a@b.cn\"\n\
        [[person]]\nid = \"wang\"\nzh = \"王\"\nen = \"Wang\"\ncontacts = [{ channel = \"sms\", to = \"13800001111\" }]\n";
    let chain = |more: &str| format!("[[chain]]\nid = \"a\"\n{more}[[chain.step]]\ntell = [\"person:wang\"]\n");
    let (problems, _) = load(&format!("{lift}{people}{}", chain("priorities = [\"P1\"]\n")));
    says(&problems, &["warning: P2 of any device is told to nobody", "warning: P3 of any device is told to nobody"]);
    let (problems, _) = load(&format!("{lift}{people}{}", chain("classes = [\"pump\"]\n")));
    says(&problems, &["warning: P1 of any device is told to nobody"]);
    let (problems, _) = load(&format!("{lift}{people}{}", chain("")));
    assert!(problems.is_empty(), "{problems:?}");
    let bad = [
        (people.replace("13800001111", "wang"), "`wang` cannot be reached so: `wang` is no telephone number"),
        (people.replace("13800001111", "12"), "`12` is no telephone number"),
        (
            people.replace("channel = \"sms\", to = \"13800001111\"", "channel = \"mail\", to = \"wang\""),
            "is no mail address",
        ),
    ];
    for (people, part) in bad {
        let (problems, configuration) = load(&format!("{lift}{people}{}", chain("")));
        says(&problems, &[part]);
        assert!(configuration.is_none());
    }
    let rota = "[[rota]]\nid = \"duty\"\n[[rota.shift]]\npeople = [\"wang\"]\nsince = \"2199-01-01\"\n";
    let (problems, _) = load(&format!("{lift}{people}{rota}{}", chain("")));
    says(&problems, &["warning: rota `duty`: this shift has not begun yet"]);
}

#[test]
fn tokens_and_bounds_are_looked_at() {
    let dir = std::env::temp_dir().join(format!("plantroom-checks-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("short"), "hunter2\n").unwrap();
    let token = |file: &str| {
        format!(
            "[web]\nlisten = \"127.0.0.1:1\"\n[[web.token]]\nid = \"scada\"\ntoken_file = \"{}/{file}\"\n",
            dir.display()
        )
    };
    says(&load(&token("short")).0, &["warning: the token of `scada` has 7 characters", "openssl rand -hex 16"]);
    says(&load(&token("none")).0, &["warning: the token of `scada` cannot be read"]);
    std::fs::remove_dir_all(dir).unwrap();
    says(&load("[alarms]\nchatter_times = 1\n").0, &["chatter_times is 1"]);
    says(&load("[alarms]\nchatter_within = \"2h\"\n").0, &["chatter_within is 2h"]);
    says(&load("[alarms]\nchatter_within = \"1s\"\n").0, &["chatter_within is 1s"]);
    let phone = "[oncall]\nprocedure = \"wiki\"\n[[oncall.phone]]\nzh = \"甲\"\nen = \"A\"\nnumber = \"call me\"\nclasses = [\"lift\"]\n";
    says(&load(phone).0, &["`wiki` is no address", "`call me` is no telephone number", "unknown class `lift`"]);
}
