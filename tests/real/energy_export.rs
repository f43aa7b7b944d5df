//! The demo's year as its users see it: reports, a decision, a correction, a closed month, and exports that spreadsheets and pandas read.

use std::process::Command;
use std::str::FromStr as _;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::support::*;

struct Asked<'a>(&'a str);

impl Asked<'_> {
    /// What a command says, and whether it succeeded.
    fn run(&self, args: &[&str]) -> (String, bool) {
        let out = Command::new(PLANTROOM).args(["--state", self.0, "energy"]).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (said, out.status.success())
    }

    fn rows(&self, args: &[&str]) -> Vec<Value> {
        let out = Command::new(PLANTROOM)
            .args(["--state", self.0, "energy"])
            .args(args)
            .args(["--format", "json"])
            .output()
            .unwrap();
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{args:?}: {out:?}"))
    }

    /// Keys of the active alarms of a rule.
    fn active(&self, rule: &str) -> Vec<String> {
        let list = ["alarm", "list", "--format", "json"];
        let out = Command::new(PLANTROOM).args(["--state", self.0]).args(list).output().unwrap();
        let rows: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{out:?}"));
        let active = rows.iter().filter(|row| row["state"] == "unacknowledged");
        let keys = active.map(|row| row["alarm"].as_str().unwrap().to_string());
        keys.filter(|key| key.starts_with(&format!("{rule}."))).collect()
    }

    /// The engine ran over the year: at each quarter hour it says that the meter is online.
    fn states_of_a_day(&self) {
        let day = jiff::Zoned::now().date().saturating_sub(jiff::Span::new().days(40));
        let (from, to) = (day.to_string(), day.tomorrow().unwrap().to_string());
        let history = ["history", "meter-main.state", "--from", &from, "--to", &to, "--format", "json"];
        let out = Command::new(PLANTROOM).args(["--state", self.0]).args(history).output().unwrap();
        let states: Vec<Value> = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{out:?}"));
        assert_eq!(states.len(), 96, "{states:#?}");
        assert!(states.iter().all(|row| row["value"].as_f64() == Some(1.0)), "{states:#?}");
    }

    /// Consumption of a point in a period, with its quality.
    fn consumed(&self, point: &str, period: &str) -> (Decimal, String) {
        let rows = self.rows(&["report", point, "--period", period]);
        let row = rows.iter().find(|row| row["point"] == point).unwrap_or_else(|| panic!("{rows:#?}"));
        (Decimal::from_str(row["consumed"].as_str().unwrap()).unwrap(), row["quality"].as_str().unwrap().to_string())
    }
}

fn sum(rows: &[Value], column: &str) -> Decimal {
    rows.iter().filter_map(|row| row[column].as_str()?.parse::<Decimal>().ok()).sum()
}

#[test]
fn a_year_is_reported_decided_corrected_closed_exported_and_verified() {
    let (_demo, _, state) = demo_with_past(&[]);
    let asked = Asked(&state);
    let dir = Dir::new("exports");
    wait("the year", 120, || asked.run(&["report", "incomer", "--period", "last-month"]).1.then_some(()));

    asked.states_of_a_day();
    // Days sum up to the month, groups to the incomer, and what is below it to what it counted within the meters' errors.
    let (october, quality) = asked.consumed("incomer", "last-month");
    assert_eq!(quality, "measured");
    assert!(october > Decimal::from(10_000), "{october}");
    assert_eq!(sum(&asked.rows(&["report", "incomer", "--period", "last-month", "--by", "day"]), "consumed"), october);
    assert_eq!(sum(&asked.rows(&["report", "--group", "end-use", "--period", "last-month"]), "consumed"), october);
    let by_period = asked.rows(&["report", "incomer", "--group", "tariff", "--period", "last-month", "--by", "day"]);
    assert_eq!(sum(&by_period, "consumed"), october);
    let reconciled = asked.rows(&["reconcile", "--period", "last-month"]);
    assert_eq!(reconciled[0]["result"], "within tolerance", "{reconciled:#?}");
    // Periods of the tariff sum up to the month, too; the total is that of what was rounded.
    let costs = asked.rows(&["cost", "incomer", "--period", "last-month"]);
    let (periods, total): (Vec<Value>, Vec<Value>) = costs.into_iter().partition(|row| row["period"] != "total");
    assert_eq!((sum(&periods, "consumed"), sum(&total, "consumed")), (october, october));
    assert_eq!(sum(&periods, "cost"), sum(&total, "cost"));
    assert!(sum(&total, "cost") > Decimal::ZERO);

    // The exchange waits for a person; the three days without the gateway are in the sum and in no maximum.
    let waiting = asked.rows(&["classify", "pumps"]);
    assert_eq!(waiting[0]["was"], "waits for a person", "{waiting:#?}");
    let alarm = |is_active: bool| {
        let active = asked.active("register_unexplained");
        (active.iter().any(|key| key.ends_with(".meter-pumps")) == is_active).then_some(active.len())
    };
    let unexplained = wait("the alarm about the exchange", 60, || alarm(true));
    let before: Decimal = waiting[0]["before"].as_str().unwrap().parse().unwrap();
    let after: Decimal = waiting[0]["after"].as_str().unwrap().parse().unwrap();
    let exchange = ["classify", "pumps", "--exchange", &(before + Decimal::ONE).to_string(), &after.to_string()];
    let (said, done) = asked.run(&exchange);
    assert!(!done && said.contains("needs a reason"), "{said}");
    let (said, done) = asked.run(&[&exchange[..], &["--note", "meter 4711 replaced, Li"]].concat());
    assert!(done && said.contains("1 counted") || said.contains("1.00 counted"), "{said}");
    // The other register of the meter waits, too.
    let reactive = "meter-pumps.energy_reactive_import_kvarh";
    assert!(asked.run(&["classify", reactive, "--reset", "--note", "meter 4711 replaced, Li"]).1);
    assert_eq!(wait("the alarm to clear", 60, || alarm(false)), unexplained - 1);
    let gaps = asked.rows(&["gaps", "incomer", "--from", "2020-01-01"]);
    assert!(gaps.iter().any(|row| row["what"] == "allocated"), "{gaps:#?}");

    // A closed month changes only with a revision.
    let month =
        asked.rows(&["report", "incomer", "--period", "last-month"])[0]["from"].as_str().unwrap()[..7].to_string();
    let (said, done) = asked.run(&["close", &month, "--note", "checked against the bill"]);
    assert!(done && said.contains("revision 1"), "{said}");
    let (first_day, second_day) = (format!("{month}-10"), format!("{month}-11"));
    let correct =
        ["correct", "garage", "12.5", "--from", &first_day, "--to", &second_day, "--note", "charger counted twice"];
    let (said, done) = asked.run(&correct);
    assert!(!done && said.contains("is closed (revision 1)"), "{said}");

    // Programs of others read the same sums.
    let file = dir.path("month.xlsx").display().to_string();
    others_read_it(&asked, &file, &month);

    // After a revision the file differs, and the cells are named.
    let (said, done) = asked.run(&[&correct[..], &["--revise"]].concat());
    assert!(done, "{said}");
    assert_eq!(asked.consumed("garage", &first_day), (Decimal::new(125, 1), "decided".to_string()));
    let (said, done) = asked.run(&["verify", &file]);
    assert!(!done && said.contains("intervals!") && said.contains("the file is as it was written"), "{said}");
    let (said, done) = asked.run(&["close", &month, "--note", "with the correction"]);
    assert!(done && said.contains("revision 2"), "{said}");
    let months = asked.rows(&["close"]);
    assert_eq!(months.len(), 2, "{months:#?}");
    assert_eq!(months[0]["reopened_because"], "charger counted twice");

    // Another form, and a file that somebody changed.
    let json = dir.path("month.json").display().to_string();
    assert!(asked.run(&["export", &json, "--period", &month, "--by", "day"]).1);
    assert!(asked.run(&["verify", &json]).1);
    let text = std::fs::read_to_string(&json).unwrap();
    std::fs::write(&json, text.replacen("12.5", "12.6", 1)).unwrap();
    let (said, done) = asked.run(&["verify", &json]);
    assert!(!done && said.contains("the file was changed after it was written"), "{said}");
}

/// Exports a month, and has openpyxl and pandas read it.
fn others_read_it(asked: &Asked<'_>, file: &str, month: &str) {
    let (said, done) = asked.run(&["export", file, "--period", month, "--unit", "kWh"]);
    assert!(done, "{said}");
    let read = Command::new("python3")
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/read_export.py"), file])
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    for point in ["incomer", "garage", "hvac"] {
        let ours = asked.consumed(point, month).0;
        for reader in ["openpyxl", "pandas"] {
            let theirs: Decimal = read[reader][format!("{point} (kWh)")].as_str().unwrap().parse().unwrap();
            assert_eq!(theirs, ours, "{reader} {point}");
        }
    }
    let (said, done) = asked.run(&["verify", file]);
    assert!(done && said.contains("every cell is what the ledger says"), "{said}");
}
