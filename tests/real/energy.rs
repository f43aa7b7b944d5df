//! The energy ledger of the real binary: what the wire counted is booked once, through kill -9 and a damaged file.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::support::*;

/// Rounds of kill -9: `PLANTROOM_KILLS=1000` by hand.
fn rounds() -> u64 {
    std::env::var("PLANTROOM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

/// The counter of [`Counting`] as an energy register.
fn metered(dir: &Dir, counting: &Counting) -> String {
    let config = counting.config(dir, "20ms");
    let profile = dir.path("profiles/counting.toml");
    let text = std::fs::read_to_string(&profile).unwrap();
    std::fs::write(&profile, text.replace("x_n", "energy_import_kwh")).unwrap();
    config.replace("x_n", "energy_import_kwh").replace("\"environment\"", "\"meter\"")
}

/// The rows of a report; none as long as nothing is booked.
fn report(dir: &Path, state: &Path) -> Vec<serde_json::Value> {
    let mut command = Command::new(PLANTROOM);
    command.arg("--config").arg(dir).arg("--state").arg(state);
    let out = command.args(["energy", "report", "--from", "1h", "--format", "json"]).output().unwrap();
    match out.status.code() {
        Some(0) => serde_json::from_slice(&out.stdout).unwrap(),
        Some(75 | 64) => Vec::new(),
        _ => panic!("{out:?}"),
    }
}

fn decimal(row: &serde_json::Value, key: &str) -> Decimal {
    row[key].as_str().unwrap().parse().unwrap_or_else(|_| panic!("{key}: {row}"))
}

/// The only register: consumed, opening and closing reading.
fn booked(dir: &Path, state: &Path) -> (Decimal, Decimal, Decimal) {
    let rows = report(dir, state);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    (decimal(&rows[0], "consumed"), decimal(&rows[0], "opening"), decimal(&rows[0], "closing"))
}

#[test]
fn each_step_of_a_register_is_booked_once_whatever_is_killed() {
    let (broker, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("ledger"));
    let units = metered(&dir, &counting);
    dir.write("site.toml", &site(broker.port, "5", &units));
    let state = dir.path("state");
    let mut began = None;
    for round in 0..rounds() {
        let mut running = gateway(&dir.0, &state);
        // Some are killed before the first commit of the journal, some while the ledger is written.
        std::thread::sleep(Duration::from_millis(300 + round * 97 % 800));
        if round % 3 > 0 {
            let (consumed, opening, closing) = wait("the ledger", 20, || {
                let rows = report(&dir.0, &state);
                (rows.len() == 1 && rows[0]["consumed"] != "").then(|| booked(&dir.0, &state))
            });
            assert_eq!(consumed, closing - opening, "round {round}");
            assert_eq!(*began.get_or_insert(opening), opening, "round {round}: what was kept stays");
        }
        running.kill();
    }
    let mut running = gateway(&dir.0, &state);
    std::thread::sleep(Duration::from_secs(2));
    running.stop();
    // What the journal holds is what was booked: the last reading, and each only once.
    let (consumed, opening, closing) = booked(&dir.0, &state);
    assert_eq!((consumed, Some(opening)), (closing - opening, began));
    let rows: Vec<serde_json::Value> = serde_json::from_str(&plantroom(
        &dir.0,
        &state,
        &["history", "counter.energy_import_kwh", "--from", "1h", "--format", "json"],
    ))
    .unwrap();
    let good: Vec<Decimal> = rows.iter().filter_map(|row| row["value"].to_string().parse().ok()).collect();
    assert!(good.len() > 100, "{}", good.len());
    assert!(closing <= *good.iter().max().unwrap(), "nothing is booked that the journal does not hold");
    a_damaged_ledger_is_made_anew(&dir.0, &state, (opening, *good.iter().max().unwrap()));
}

/// From the registers that the journal holds.
fn a_damaged_ledger_is_made_anew(dir: &Path, state: &Path, (opening, newest): (Decimal, Decimal)) {
    let file = state.join("ledger.db");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, vec![0x55; bytes.len()]).unwrap();
    for log in ["ledger.db-wal", "ledger.db-shm"] {
        let _may_not_exist = std::fs::remove_file(state.join(log));
    }
    let mut running = gateway(dir, state);
    let (consumed, again, closing) = wait("the ledger to be made anew", 30, || {
        if !state.join("ledger.db.damaged").exists() {
            return None;
        }
        let rows = report(dir, state);
        (rows.len() == 1 && rows[0]["consumed"] != "")
            .then(|| booked(dir, state))
            .filter(|(_, _, closing)| *closing >= newest)
    });
    running.stop();
    assert_eq!((consumed, again), (closing - opening, opening), "from the journal, from its first reading on");
}
