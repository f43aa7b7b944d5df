//! Bad configurations with the exact message that the user sees; the example site; the reference.

use std::path::Path;

use plantroom::config::doc::{Problems, Texts};
use plantroom::config::{self, environment, reference};

const GOOD: &str = "[site]\nid = \"s\"\nzh = \"站\"\nen = \"Site\"\ntime_zone = \"UTC\"\n";
const METER: &str = "[[link.tcp]]\nid = \"l\"\nhost = \"h\"\n[[unit]]\nid = \"u\"\nlink = \"l\"\naddress = 1\nprofile = \"eastron-sdm630\"\n\
    [[device]]\nid = \"d\"\nclass = \"meter\"\nzh = \"表\"\nen = \"Meter\"\nunit = \"u\"\n";

fn said(files: &[(&str, &str)]) -> String {
    let files = files.iter().map(|(n, t)| ((*n).to_string(), (*t).to_string())).collect();
    let loaded = config::load_texts(&Texts { files }, None);
    let lines: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What is said of a configuration: the good site, then this text as `a.toml`.
fn check(text: &str, expect: &str) {
    assert_eq!(said(&[("site.toml", GOOD), ("a.toml", text)]), expect.trim());
}

#[test]
fn a_good_one_says_nothing() {
    check(METER, "");
}

#[test]
fn every_problem_of_a_table_is_reported_at_once() {
    check(
        "[[unit]]\nid = \"u\"\nlink = \"l\"\nadress = 1\nprofile = 7\ntimeout_ms = \"fast\"\n",
        "a.toml:4:1: error: unknown key `adress`\n  hint: did you mean `address`?\n\
         a.toml:5:11: error: `profile` is 7; a text in quotes belongs here\n  hint: in quotes: profile = \"7\"\n\
         a.toml:6:14: error: `timeout_ms` is the text \"fast\"; a whole number of 0 or more belongs here",
    );
}

#[test]
fn what_is_not_toml_has_its_place() {
    let text = said(&[("site.toml", GOOD), ("a.toml", "[[unit]]\nid = \n[site\n")]);
    assert!(text.contains("a.toml:2:6: error: not TOML:") && text.contains("a.toml:3:6: error: not TOML:"), "{text}");
}

#[test]
fn names_that_lead_nowhere_have_their_nearest_names() {
    check(
        &METER.replace("sdm630", "sdm360").replace("class = \"meter\"", "class = \"metre\""),
        "a.toml:8:11: error: unknown profile `eastron-sdm360`\n  hint: did you mean `eastron-sdm630`?\n\
         a.toml:11:9: error: unknown class `metre`\n  hint: did you mean `meter`?",
    );
    check(
        &METER.replace("link = \"l\"", "link = \"k\""),
        "a.toml:6:8: error: unknown link `k`\n  hint: did you mean `l`?",
    );
}

#[test]
fn a_serial_line_behind_a_converter_has_a_speed() {
    // Eleven reads of 20 ms each over a network; at 1200 baud behind it a second is not enough.
    let fast = METER.replace("address = 1", "address = 1\ngroups = { fast = \"1s\" }");
    check(&fast, "");
    let rtu = fast.replace("link.tcp", "link.rtu_over_tcp").replace("host =", "baud = 1200\nhost =");
    assert!(said(&[("site.toml", GOOD), ("a.toml", &rtu)]).contains("link `l` cannot carry this"), "{rtu}");
    let behind = fast.replace("host =", "baud = 1200\nhost =");
    assert!(said(&[("site.toml", GOOD), ("a.toml", &behind)]).contains("link `l` cannot carry this"), "{behind}");
}

#[test]
fn two_units_on_one_address_and_two_links_to_one_place() {
    let two = format!(
        "{METER}[[link.tcp]]\nid = \"m\"\nhost = \"h\"\n[[unit]]\nid = \"v\"\nlink = \"l\"\naddress = 1\nprofile = \"abb-b23\"\n"
    );
    check(
        &two,
        "a.toml:16:6: error: links `l` and `m` lead to the same h:502\n  hint: one link for one address or port; its units share the connection\n\
         a.toml:21:11: error: units `u` and `v` have the address 1 on link `l`\n  hint: each unit on a link has an address of its own",
    );
}

#[test]
fn points_are_the_vocabularys() {
    check(
        "[[link.tcp]]\nid = \"l\"\nhost = \"h\"\n[[unit]]\nid = \"di\"\nlink = \"l\"\naddress = 1\nprofile = \"contact-module-16\"\n\
         [[device]]\nid = \"d\"\nclass = \"sump\"\nzh = \"井\"\nen = \"Sump\"\n[device.points]\nlevel_m = \"di.in1\"\npump1_runing = \"di.in2\"\n\
         pump2_running = \"di.in77\"\nleak_wet = \"dj.in1\"\n[device.numbers]\nfloor = 2.4\n",
        "a.toml:15:11: error: `level_m` is a number in the vocabulary, `in1` gives bool\n  hint: take the point from a source of its kind\n\
         a.toml:16:16: error: class `sump` has no point `pump1_runing`\n  hint: did you mean `pump1_running` or `pumps_running` or `pump1_run_h`?; a maker's extra begins with x_\n\
         a.toml:17:17: error: profile `contact-module-16` of unit `di` has no point `in77`\n  hint: did you mean `in7` or `in1` or `in10`?\n\
         a.toml:18:12: error: unknown unit `dj`\n  hint: did you mean `di`?\n\
         a.toml:20:9: error: class `sump` has no number `floor`\n  hint: did you mean `floor_m`?",
    );
}

#[test]
fn a_bus_that_cannot_carry_its_groups_is_refused() {
    let line = METER.replace(
        "[[link.tcp]]\nid = \"l\"\nhost = \"h\"",
        "[[link.serial]]\nid = \"l\"\nport = \"/dev/ttyUSB0\"\nbaud = 1200",
    );
    let text = said(&[("site.toml", GOOD), ("a.toml", &line)]);
    assert!(text.contains("error: link `l` cannot carry this: the poll groups need "), "{text}");
    assert!(text.contains("`u/fast` alone takes"), "{text}");
    assert!(text.contains("warning: /dev/ttyUSB0 may be another adapter after the next boot\n  hint: use its name below /dev/serial/by-id"), "{text}");
}

#[test]
fn sites_sinks_and_limits() {
    let text = said(&[(
        "a.toml",
        "[site]\nid = \"My Site\"\nzh = \"\"\nen = \"\"\ntime_zone = \"Mars/Olympus\"\n[journal]\ncommit_ms = 5\n[health]\nlisten = \"0.0.0.0:80\"\n\
         [[sink.mqtt]]\nname = \"b\"\nurl = \"http://x\"\n[[sink.kafka]]\nname = \"k\"\n[sitte]\n\
         [[sink.influx]]\nname = \"b\"\nurl = \"http://u:p@h\"\ndatabase = \"d\"\n",
    )]);
    for line in [
        "a.toml:2:6: error: `My Site` cannot be a site's id",
        "a.toml:5:13: error: unknown time zone `Mars/Olympus`",
        "a.toml:7:13: error: commit_ms is 1000 to 10000",
        "a.toml:9:10: error: 0.0.0.0:80 can be reached from outside",
        "a.toml:12:7: error: `http://x` is not a broker's address",
        "error: unknown kind `kafka` of sink\n  hint: known: influx, mqtt",
        "a.toml:18:7: error: `http://***@h` is not the address of a store",
        "a.toml:16:1: error: bucket is missing",
        "a.toml:19:12: error: database belongs to api = \"v1\"",
        "a.toml:17:8: error: there is a sink `b` already",
        "error: unknown table `sitte`\n  hint: did you mean `site`?",
    ] {
        assert!(text.contains(line), "missing: {line}\nin:\n{text}");
    }
}

#[test]
fn derived_points_are_made_of_points_that_exist() {
    check(
        &format!(
            "{METER}[[derive]]\ndevice = \"d\"\npoint = \"x_share\"\nhow = \"share_pct\"\nof = [\"power_kw\", \"d.power_kv\", \"power_kw\"]\n"
        ),
        "a.toml:19:1: error: 3 inputs where 2 to 2 are meant\na.toml:19:19: error: there is no point `power_kv` of `d`\n  hint: did you mean `power_kw` or `power_l1_kw` or `power_l2_kw`?",
    );
}

#[test]
fn a_profile_beside_the_configuration_is_checked_too() {
    let dir = std::env::temp_dir().join(format!("plantroom-configs-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("profiles")).unwrap();
    let profile = "format = 1\nname = \"own\"\nmaker = \"m\"\nmodel = \"m\"\nclass = \"meter\"\nsource = \"s\"\nchecked_on_hardware = false\n\
        [read]\nbase = 1\nmax_regs = 200\n[groups]\nfast = \"1 s\"\n[points.power_kw]\naddress = 0\ntype = \"u16\"\nscale = \"0,1\"\n\
        [points.voltage_l1_v]\naddress = 65536\ntype = \"f32\"\nsentinels = { 0xFFFF = \"nothing\" }\n[points.wattage]\naddress = 7\ntype = \"bool\"\n";
    std::fs::write(dir.join("profiles/own.toml"), profile).unwrap();
    let loaded = config::load_texts(&Texts { files: vec![("site.toml".into(), GOOD.into())] }, Some(&dir));
    let text: Vec<String> =
        loaded.problems.iter().map(|p| p.to_string().replace(&format!("{}/", dir.display()), "")).collect();
    let text = text.join("\n");
    for line in [
        "profiles/own.toml:10:12: error: 200 is not between 1 and 125",
        "profiles/own.toml:12:8: error: `1 s` is not a duration\n  hint: write it as 500ms, 1s, 15m or 1h",
        "profiles/own.toml:14:11: error: address 0 is below base 1",
        "profiles/own.toml:16:9: error: `0,1` is not a decimal number",
        "profiles/own.toml:18:11: error: address 65536 is beyond 65535",
        "error: unknown reason `nothing`",
        "error: this type does not go with this function",
    ] {
        assert!(text.contains(line), "missing: {line}\nin:\n{text}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_environment_goes_over_the_files_through_the_same_reader() {
    let load = |pairs: &[(&str, &str)]| {
        let map = pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let variables = environment::variables_from_map(map, &mut Problems::default());
        let sink = "[[sink.mqtt]]\nname = \"Main-Broker\"\nurl = \"mqtt://a\"\n";
        let files = vec![("site.toml".into(), GOOD.into()), ("a.toml".into(), format!("{METER}{sink}"))];
        config::load_with(&Texts { files }, &variables)
    };
    let good = load(&[
        ("PLANTROOM__JOURNAL__MAX_GB", "2.5"),
        ("PLANTROOM__SINK__MAIN_BROKER__URL", "mqtt://b:99"),
        ("PLANTROOM__LINK__L__PORT", "503"),
    ]);
    assert_eq!(good.problems, vec![]);
    let c = good.configuration.unwrap();
    assert!((c.journal.max_gb - 2.5).abs() < 1e-9);
    assert_eq!(c.sinks[0].url(), "mqtt://b:99");
    assert_eq!(c.buses[0].link.transport.address(), "h:503");
    let bad = load(&[
        ("PLANTROOM__LINK__L__PORT", "5.7"),
        ("PLANTROOM__LINK__X__PORT", "1"),
        ("PLANTROOM__JOURNAL__MAXGB", "1"),
    ]);
    let text: Vec<String> = bad.problems.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    assert!(text.contains("environment: error: `port` is 5.7; a whole number from 0 to 65535 belongs here"), "{text}");
    assert!(
        text.contains("PLANTROOM__LINK__X__PORT: error: the variable addresses nothing in the configuration"),
        "{text}"
    );
    assert!(text.contains("unknown key `maxgb`"), "{text}");
}

#[test]
fn the_example_site_checks_clean_and_is_what_demo_writes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let loaded = config::load(&dir);
    assert_eq!(loaded.problems, vec![]);
    let at = plantroom::simulate::site::DemoAddresses {
        ports: plantroom::simulate::site::fixed_ports(),
        line: plantroom::cli::simulate::LINE.to_string(),
        broker: "mqtt://127.0.0.1:1883".to_string(),
        health: "127.0.0.1:9464".to_string(),
    };
    for (name, text) in plantroom::simulate::site::files(&at) {
        fresh(&dir.join(name), &text);
    }
}

#[test]
fn reference_and_schema_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fresh(&root.join("docs/reference.md"), &reference::page());
    fresh(&root.join("docs/schema.json"), &reference::schema());
    fresh(&root.join("docs/points.md"), &reference::points());
}

/// A committed file that is made by the program; `UPDATE=1` writes it anew.
fn fresh(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == text, "{} is not fresh: UPDATE=1 cargo test --test pure", path.display());
}

#[test]
fn the_page_of_the_stores_lists_every_code() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/timeseries.md")).unwrap();
    for cause in plantroom::model::quality::Cause::ALL {
        let row = format!("| {} | `{}` | {} |", cause.code(), cause.word(), cause.says());
        assert!(page.contains(&row), "docs/timeseries.md lacks: {row}");
    }
}

#[test]
fn completions_and_man_pages_are_fresh() {
    use clap::CommandFactory as _;
    use clap_complete::Shell;

    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for (shell, name) in [(Shell::Bash, "plantroom.bash"), (Shell::Zsh, "_plantroom"), (Shell::Fish, "plantroom.fish")]
    {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut plantroom::cli::Args::command(), "plantroom", &mut text);
        fresh(&packaging.join("completions").join(name), &String::from_utf8(text).unwrap());
    }
    let made = std::env::temp_dir().join(format!("plantroom-man-{}", std::process::id()));
    std::fs::create_dir_all(&made).unwrap();
    clap_mangen::generate_to(plantroom::cli::Args::command(), &made).unwrap();
    let names = |dir: &Path| -> std::collections::BTreeSet<_> {
        std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect()
    };
    for name in &names(&made) {
        fresh(&packaging.join("man").join(name), &std::fs::read_to_string(made.join(name)).unwrap());
    }
    assert_eq!(names(&made), names(&packaging.join("man")), "packaging/man has pages of commands that are gone");
    std::fs::remove_dir_all(&made).unwrap();
}

#[test]
fn the_dashboards_are_fresh() {
    let generator = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/generate.py");
    let update = std::env::var_os("UPDATE").is_some();
    let mut command = std::process::Command::new("python3");
    command.arg(generator).args((!update).then_some("--check"));
    let out = command.output().expect("python3: run scripts/setup-tests.sh");
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

/// What is said of rules in `alarms/own.toml` beside a good configuration.
fn rules(text: &str, expect: &str) {
    let dir = std::env::temp_dir().join(format!("plantroom-rules-{}-{}", std::process::id(), text.len()));
    std::fs::create_dir_all(dir.join("alarms")).unwrap();
    std::fs::write(dir.join("alarms/own.toml"), text).unwrap();
    let files = vec![("site.toml".to_string(), GOOD.to_string())];
    let loaded = config::load_texts(&Texts { files }, Some(&dir));
    let lines: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    let said = lines.join("\n").replace(&format!("{}/", dir.display()), "");
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(said, expect.trim());
}

/// A rule whose condition is this.
fn rule(when: &str) -> String {
    format!(
        "format = 1\nclass = \"sump\"\n[rules.own]\nzh = \"自\"\nen = \"own\"\naction = {{ zh = \"查\", en = \"look\" }}\n\
         priority = \"P2\"\nwhen = {when}\n"
    )
}

#[test]
fn a_malformed_rule_has_its_line_and_its_mend() {
    rules(&rule("{ high = { point = \"level_m\", limit = 1 } }"), "");
    for (when, expect) in [
        (
            "{ hgh = { point = \"level_m\", limit = 1 } }",
            "alarms/own.toml:8:10: error: `hgh` is not one of the words that are known here\n  hint: one of: high, low, is, rate, \
             change, deviation, frozen, bad, offline, share_offline, count, no_effect, idle, reaches, against_days, lasting, hours, \
             all, any, not",
        ),
        (
            "{ high = { point = \"leval_m\", limit = 1 } }",
            "alarms/own.toml:8:1: error: class `sump` has no point `leval_m`\n  hint: did you mean `level_m`?",
        ),
        (
            "{ high = { point = \"level_m\", limit = \"hihg_m\" } }",
            "alarms/own.toml:8:1: error: class `sump` has no number `hihg_m`\n  hint: did you mean `high_m`?",
        ),
        (
            "{ high = { point = \"level_m\" } }",
            "alarms/own.toml:8:1: error: no limit\n  hint: limit = 1.6, or limit = \"high_m\"",
        ),
        (
            "{ high = { point = \"level_m\", limit = true } }",
            "alarms/own.toml:8:46: error: `limit` is true; a number, the name of a number of the device, or \
             { number = \"…\", times = …, plus = …, or = … } belongs here",
        ),
        (
            "{ high = { point = \"level_m\", limit = 1, steps = [{ limit = 2, priority = \"P1\" }] } }",
            "alarms/own.toml:8:1: error: both a limit and steps\n  hint: a limit, or steps with a limit each",
        ),
        (
            "{ high = { point = \"level_m\", limit = 1, deadband = -1 } }",
            "alarms/own.toml:8:1: error: a deadband below nothing\n  hint: 0 or more, in the unit of the point",
        ),
        (
            "{ rate = { point = \"level_m\", per_min = 1, within = \"soon\" } }",
            "alarms/own.toml:8:60: error: \"soon\" is not a length of time: 500ms, 30s, 15m, 1h or 9d",
        ),
        ("{}", "alarms/own.toml:8:8: error: exactly one word is meant here, there are 0"),
        ("{ all = [] }", "alarms/own.toml:8:1: error: nothing in a list of conditions\n  hint: at least one"),
        (
            "{ is = { point = \"pump{n}_running\" } }",
            "alarms/own.toml:8:1: error: `pump{n}_running` has an index, and the rule's name has none\n  hint: name it `…{n}…`, or \
             write `pump{*}_running`",
        ),
        (
            "{ not = { hours = { from = \"25:00\", to = \"04:00\" } } }",
            "alarms/own.toml:8:1: error: hours that are none\n  hint: from = \"22:00\", to = \"06:00\"",
        ),
        (
            "{ all = [{ high = { point = \"level_m\", steps = [{ limit = 2, priority = \"P1\" }] } }] }",
            "alarms/own.toml:8:1: error: steps within another condition\n  hint: steps stand alone; `only` says when they count",
        ),
        (
            "{ count = { when = { is = { point = \"leak_wet\" } }, at_least = 0, within = \"1h\" } }",
            "alarms/own.toml:8:1: error: a count of nothing\n  hint: at_least = 3, within = \"10m\"",
        ),
    ] {
        rules(&rule(when), expect);
    }
}

#[test]
fn what_surrounds_a_condition_is_checked_as_well() {
    let good = rule("{ is = { point = \"leak_wet\" } }");
    rules(
        &good.replace("P2", "P5"),
        "alarms/own.toml:7:12: error: `P5` is not one of the words that are known here\n  hint: one of: P1, P2, P3, P4",
    );
    rules(&good.replace("zh = \"自\"\n", ""), "");
    rules(
        &good.replace("priority", "on_dely = \"1s\"\npriority"),
        "alarms/own.toml:7:1: error: unknown key `on_dely`\n  hint: did you mean `on_delay` or `off_delay` or `only`?",
    );
    rules(
        &good.replace("class = \"sump\"", "class = \"sumpp\""),
        "alarms/own.toml:2:9: error: unknown class `sumpp`\n  hint: did you mean `sump` or `pump`?",
    );
    rules(
        &good.replace("[rules.own]", "[rules.wet]"),
        "alarms/own.toml:3:8: error: class `sump` has a rule `wet` already\n  hint: [[alarm]] in the configuration changes one",
    );
    rules(
        &good.replace("[rules.own]", "[rules.\"Own rule\"]"),
        "alarms/own.toml:3:8: error: `Own rule` is no rule's name\n  hint: lower-case letters, digits and _, beginning with a \
         letter; {n} for an index",
    );
}

#[test]
fn what_a_site_changes_of_a_rule_is_checked_like_a_rule() {
    let change = |text: &str| format!("{METER}[[alarm]]\n{text}\n");
    check(&change("rule = \"meter.frequency\"\nset = { on_delay = \"1m\", priority = \"P4\" }"), "");
    check(&change("rule = \"meter.frequency\"\noff = true"), "");
    check(
        &change("rule = \"meter.frequenzy\""),
        "a.toml:16:8: error: there is no rule `meter.frequenzy`\n  hint: did you mean `meter.frequency`?",
    );
    check(
        &change("rule = \"meter.frequency\"\ndevices = [\"e\"]\nset = { on_delay = \"1m\" }"),
        "a.toml:17:12: error: there is no device `e` of class `meter`\n  hint: did you mean `d`?",
    );
    check(
        &change("rule = \"meter.overload\"\nset = { when = { high = { deadband = \"much\" } } }"),
        "a.toml:17:1: error: `meter.overload` with these values is no rule: the value is the text \"much\"; a number belongs here\n  hint: the \
         keys are those of the rule in alarms/*.toml",
    );
    check(
        &change("rule = \"meter.overload\"\nset = { when = { high = { point = \"curent_l1_a\" } } }"),
        "a.toml:17:1: error: class `meter` has no point `curent_l1_a`\n  hint: did you mean `current_l1_a` or `current_l2_a` or `current_l3_a`?",
    );
    check(
        &change(
            "rule = \"meter.frequency\"\nset = { hidden_by = [\"overvoltage\"] }\n[[alarm]]\nrule = \"meter.overvoltage\"\nset = { \
             hidden_by = [\"phase_loss\", \"frequency\"] }",
        ),
        "a.toml:17:1: error: alarms hide each other in a circle, nobody would be told: `frequency.d` is hidden by `overvoltage.d` is \
         hidden by `frequency.d`\n  hint: take one of them out of the other's hidden_by",
    );
    check(
        &METER.replace("[[device]]", "groups = { fast = \"20s\" }\n[[device]]"),
        "a.toml:11:6: warning: alarms of `d` have delays shorter than two polls (of up to 20s): overvoltage, phase_loss, undervoltage\n  \
         hint: poll the group faster, or give them a longer on_delay: what comes and goes between two polls is not seen",
    );
}

#[test]
fn the_example_of_the_page_on_call_checks_clean() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/oncall.md");
    let text = std::fs::read_to_string(path).unwrap();
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        // The second goes on from the first.
        let rest = if block.contains("[[person]]") { String::new() } else { block.to_string() };
        let first = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let first = if rest.is_empty() { first.to_string() } else { String::new() };
        // The token of the page is that of another machine.
        let token = std::env::temp_dir().join(format!("plantroom-token-{}", std::process::id()));
        std::fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
        let rest = rest.replace("/etc/plantroom/scada-token", &token.display().to_string());
        check(&format!("{first}{rest}"), "");
        std::fs::remove_file(token).unwrap();
    }
}

#[test]
fn people_rotas_chains_and_channels_lead_somewhere() {
    const SMS: &str = "[[channel.sms]]\nid = \"sms\"\nport = \"/dev/ttyUSB2\"\n";
    let person =
        |contacts: &str| format!("[[person]]\nid = \"wang\"\nzh = \"王\"\nen = \"Wang\"\ncontacts = {contacts}\n");
    let wang = person("[{ channel = \"sms\", to = \"13800001111\" }]");
    let chain = |step: &str| format!("[[chain]]\nid = \"all\"\n[[chain.step]]\n{step}\n");
    let all = |more: &str| format!("{SMS}{wang}{}{more}", chain("tell = [\"person:wang\"]"));
    check(&all(""), "");
    check(
        &format!("{SMS}{}", person("[]")),
        "a.toml:5:6: warning: there are people, and nobody is told of anything\n  hint: [[chain]] with steps: who is told first, who next\n\
         a.toml:8:1: error: `wang` has no way to be reached\n  hint: contacts = [{ channel = \"…\", to = \"…\" }]: whoever cannot be \
         reached cannot be on call",
    );
    check(
        &format!("{SMS}{}{}", person("[{ channel = \"smss\" }]"), chain("tell = [\"person:wang\"]")),
        "a.toml:8:25: error: unknown channel `smss`\n  hint: did you mean `sms`?",
    );
    check(
        &format!("{SMS}{}{}", person("[{ channel = \"sms\" }]"), chain("tell = [\"person:wang\"]")),
        "a.toml:8:25: error: `wang` does not say where to\n  hint: to = \"…\"",
    );
    check(
        &format!("{SMS}{wang}{}", chain("tell = [\"duty\", \"role:boss\", \"person:wan\", \"everybody:x\"]")),
        "a.toml:12:8: error: `everybody:` is nobody: a rota's id, next:ROTA, role:ROLE, person:ID or channel:ID",
    );
    check(
        &format!("{SMS}{wang}{}", chain("tell = [\"person:wan\"]\nby = [\"push\"]\nwait = \"0s\"")),
        "a.toml:12:9: error: unknown person `wan`\n  hint: did you mean `wang`?\na.toml:13:7: error: unknown channel `push`\n  hint: known: sms\n\
         a.toml:14:8: error: a step that waits for nobody\n  hint: wait = \"5m\"",
    );
    check(
        &all("[[rota]]\nid = \"duty\"\n[[rota.shift]]\npeople = [\"wang\", \"li\"]\n"),
        "a.toml:16:1: error: several people, and nobody says who begins\n  hint: since = \"2026-11-02\"\n\
         a.toml:16:19: error: unknown person `li`\n  hint: known: wang",
    );
    check(
        &all("[oncall]\nquiet = [\"21-8\"]\ntest = \"monday\"\ncalendar = \"de\"\n"),
        "a.toml:14:10: error: `21-8` are no hours\n  hint: 21:00-08:00\na.toml:15:8: error: `monday` is no day and time\n  hint: mon 10:00\n\
         a.toml:16:12: error: unknown calendar `de`\n  hint: known: cn",
    );
    check(
        &all("[web]\nlisten = \"0.0.0.0:80\"\n"),
        "a.toml:14:10: error: 0.0.0.0:80 can be reached from other machines, and without TLS\n  hint: 127.0.0.1 behind a proxy with TLS; or \
         insecure_http = true",
    );
}

#[test]
fn the_field_side_is_bounded() {
    let two_units = METER.replace(
        "[[device]]",
        "[[unit]]\nid = \"u2\"\nlink = \"l\"\naddress = 2\nprofile = \"eastron-sdm630\"\n[[device]]",
    );
    let text = two_units
        .replace("host = \"h\"", "host = \"h\"\ntransaction_id = \"ignore\"\ntimeout_ms = 500\ntimeout_max_ms = 100")
        .replace("id = \"u\"\n", "id = \"u\"\nretries = 9\ntimeout_ms = 0\n")
        + "[[device]]\nid = \"d2\"\nclass = \"meter\"\nunit = \"u2\"\nzh = \"x\"\nen = \"x\"\n";
    let files = vec![("site.toml".into(), GOOD.into()), ("a.toml".into(), text)];
    let loaded = config::load_texts(&Texts { files }, None);
    let text: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    for line in [
        "error: 2 units are behind link `l`, and without transaction ids their answers mix\n  hint: ignore is for a single device",
        "error: timeout_max_ms is not between timeout_ms (500) and 60000",
        "error: 9 retries in one cycle\n  hint: 0 to 5",
        "error: not a time-out\n  hint: 1 to 60000 ms",
    ] {
        assert!(text.contains(line), "missing: {line}\nin:\n{text}");
    }
}

#[test]
fn a_stream_of_more_points_than_history_holds_is_refused() {
    let dir = std::env::temp_dir().join(format!("plantroom-stream-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("profiles")).unwrap();
    let mut profile = "format = 1\nname = \"own\"\nmaker = \"m\"\nmodel = \"m\"\nclass = \"any\"\nsource = \"s\"\n\
        checked_on_hardware = false\n[groups]\nfast = \"1h\"\n"
        .to_string();
    (0..4_097).for_each(|a| profile.push_str(&format!("[points.x_p{a}]\naddress = {a}\ntype = \"u16\"\n")));
    std::fs::write(dir.join("profiles/own.toml"), profile).unwrap();
    let text = METER.replace("eastron-sdm630", "own").replace("class = \"meter\"", "class = \"environment\"");
    let files = vec![("site.toml".into(), GOOD.into()), ("a.toml".into(), text)];
    let loaded = config::load_texts(&Texts { files }, Some(&dir));
    let text: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(text.join("\n").contains("takes 4097 points from u/fast, and a stream has at most 4096"), "{text:?}");
    std::fs::remove_dir_all(&dir).unwrap();
}
