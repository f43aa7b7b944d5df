//! A state directory written by the last version (tests/fixtures/state-0.1.tar.gz: `state`, the configuration `site`, and in `expected` what
//! that version said of it) opens, says the same, and goes on.

use std::path::Path;

use crate::support::*;

const FROM: &str = "2026-11-27T08:44:00Z";
const TO: &str = "2026-11-27T08:48:00Z";

fn expected(dir: &Dir, name: &str) -> String {
    std::fs::read_to_string(dir.path("expected").join(name)).unwrap()
}

#[test]
fn the_files_of_the_last_version_open_and_say_the_same() {
    let dir = Dir::new("old-state");
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state-0.1.tar.gz");
    let unpacked = std::process::Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(&dir.0).status().unwrap();
    assert!(unpacked.success());
    let (site, state) = (dir.path("site"), dir.path("state"));
    let compare = |when: &str| {
        for point in
            ["meter-main.energy_import_kwh", "meter-main.x_energy_today_kwh", "sump-1.level_m", "sump-1.pump1_running"]
        {
            let said = plantroom(&site, &state, &["history", point, "--from", FROM, "--to", TO, "--format", "csv"]);
            assert_eq!(said, expected(&dir, &format!("{point}.csv")), "{when}: {point}");
        }
        let slots = ["history", "sump-1.level_m", "--every", "15m", "--from", FROM, "--to", TO, "--format", "csv"];
        assert_eq!(plantroom(&site, &state, &slots), expected(&dir, "slots-sump-1.level_m.csv"), "{when}");
        let rows = plantroom(&site, &state, &["alarm", "history", "--from", FROM, "--to", TO, "--format", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&rows).unwrap();
        let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), ToString::to_string);
        let line = |r: &serde_json::Value| {
            ["at", "alarm", "what", "priority", "value", "limit", "actor", "via", "note"]
                .map(|key| text(&r[key]))
                .join("|")
                + "\n"
        };
        assert_eq!(rows.iter().map(line).collect::<String>(), expected(&dir, "alarms.txt"), "{when}");
    };
    compare("stopped");
    let text = std::fs::read_to_string(site.join("site.toml")).unwrap();
    assert!(!text.contains("listen = \"127"), "no port of its own");
    let mut running = gateway(&site, &state);
    is_up(&state);
    let listed = plantroom(&site, &state, &["set-aside", "broker"]);
    assert!(listed.contains("PacketTooLarge"), "dead letters are kept: {listed}");
    let listed = plantroom(&site, &state, &["alarm", "list", "--all"]);
    assert!(listed.contains("high_high.sump-1"), "{listed}");
    compare("running");
    running.stop();
    compare("after a run");
    plantroom(&site, &state, &["verify"]);
    let damaged = std::fs::read_dir(state.join("journal"))
        .unwrap()
        .flatten()
        .any(|f| f.file_name().to_string_lossy().contains("damaged"));
    assert!(!damaged && plantroom(&site, &state, &["check"]).contains("no errors"));
}
