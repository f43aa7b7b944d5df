//! Stores that lose what they had: it is written to them again; and stores that drop without a word: that is said. Files that turn
//! bits under the running gateway's hands: `verify` names and mends them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::store::{Real, away_site, journal_of_the_past, sink_status};
use crate::support::{Counting, Dir, Mosquitto, gateway, is_up, plantroom, says, wait};

/// Values of a stored series, by VictoriaMetrics.
fn past(store: &Real) -> BTreeSet<String> {
    store.post("/internal/force_flush", "x=");
    let answer = store.post("/api/v1/export", "match[]=removed_p0{device=\"past-0\"}");
    let lines = answer.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .flat_map(|line| line["timestamps"].as_array().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect()
}

/// A store that comes back empty is given a range again, while what is live goes on; one that keeps a month says so.
#[test]
fn a_store_that_lost_its_data_is_given_them_again() {
    let (counting, broker, dir) = (Counting::start(), Mosquitto::start(), Dir::new("again"));
    let mut store = Real::new("victoria");
    store.retention = "1";
    store.start();
    let state = dir.path("state");
    let values = journal_of_the_past(&state, 2, 10);
    away_site(&dir, &counting, broker.port, &store);
    let mut running = gateway(&dir.0, &state);
    is_up(&state);
    let whole = wait("the past to be filled in", 90, || {
        let is_there = sink_status(&dir, &state, "victoria")["missing"] == 0 && store.is_live();
        is_there.then(|| past(&store)).filter(|all| all.len() == 7_200)
    });
    assert_eq!(values, 72_000);
    let limits = wait("what the store drops to be found out", 60, || {
        let sink = sink_status(&dir, &state, "victoria");
        sink["limits"].as_str().filter(|words| !words.is_empty()).map(str::to_string)
    });
    assert!(limits.contains("of the past it has 8 days and not 32") && limits.contains("three days ahead"), "{limits}");
    assert!(says(&dir.0, &state, &["status"]).contains("drops them without a word"));
    // Its disk is replaced.
    store.end();
    std::fs::remove_dir_all(store.dir.path("data")).unwrap();
    store.start();
    wait("live values", 40, || store.is_live().then_some(()));
    assert!(past(&store).is_empty());
    let said = says(&dir.0, &state, &["resend", "victoria", "--from", "30d", "--to", "1h"]);
    assert!(said.contains("is written again"), "{said}");
    wait("the range to be written", 60, || {
        (sink_status(&dir, &state, "victoria")["resending"] == "" && past(&store).len() > 3_000).then_some(())
    });
    let first = past(&store);
    assert!(
        first.len() < whole.len() && first.iter().all(|at| whole.contains(at)),
        "{} of {}",
        first.len(),
        whole.len()
    );
    // A kill in the middle: what was asked for goes on.
    says(&dir.0, &state, &["resend", "victoria", "--from", "30d"]);
    running.kill();
    let mut running = gateway(&dir.0, &state);
    is_up(&state);
    wait("all of it", 60, || (past(&store) == whole).then_some(()));
    wait("its end", 30, || (sink_status(&dir, &state, "victoria")["resending"] == "").then_some(()));
    for (sink, words) in [("broker", "is a broker"), ("c", "there is no sink `c`")] {
        let said = all_of(&dir, &state, &["resend", sink, "--from", "1h"]);
        assert!(said.contains(words), "{said}");
    }
    running.stop();
}

/// A bit of a sealed file turns: `verify` names it, beside the running gateway and without one, and registers are mended.
#[test]
fn files_that_turn_bits_are_named_and_registers_mended() {
    let (counting, broker, dir) = (Counting::start(), Mosquitto::start(), Dir::new("bits"));
    let state = dir.path("state");
    journal_of_the_past(&state, 2, 10);
    let mut store = Real::new("victoria");
    store.start();
    away_site(&dir, &counting, broker.port, &store);
    let mut running = gateway(&dir.0, &state);
    is_up(&state);
    let journal = state.join("journal");
    let sealed = wait("the past to be sealed", 60, || {
        let all: Vec<_> = std::fs::read_dir(&journal).unwrap().flatten().map(|e| e.path()).collect();
        let raw =
            all.iter().filter(|p| p.to_string_lossy().contains("/raw-") && p.extension().is_some_and(|e| e == "db"));
        (raw.count() == 1).then(|| all.into_iter().find(|p| p.to_string_lossy().ends_with("-telemetry.db"))).flatten()
    });
    assert!(all_of(&dir, &state, &["verify"]).contains("0 places cannot be read"));
    let good = std::fs::read(&sealed).unwrap();
    let mut bad = good.clone();
    // Within the columns: not where a page says what stands on it.
    let half = bad.len() / 8_192 * 4_096;
    bad[half..].chunks_mut(4_096).for_each(|page| page[3_000] ^= 1);
    std::fs::write(&sealed, &bad).unwrap();
    let said = all_of(&dir, &state, &["verify"]);
    assert!(said.contains("places of the history cannot be read") && said.contains("past-0"), "{said}");
    let json = says(&dir.0, &state, &["verify", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["damage"][0]["hours"][0].as_i64().is_some(), "{json}");
    running.stop();
    std::fs::write(&sealed, &good).unwrap();
    assert!(plantroom(&dir.0, &state, &["verify", "--format", "json"]).contains("\"damage\":[]"));
}

/// Standard output and errors of a command, whatever it ends with.
fn all_of(dir: &Dir, state: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plantroom"));
    let out = command.arg("--config").arg(&dir.0).arg("--state").arg(state).args(args).output().unwrap();
    [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}
