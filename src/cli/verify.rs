//! `plantroom verify`: reads every file of the journal and the alarm log once, at low priority, and lists what cannot be read.
//! Works with or without a running gateway.

use std::path::Path;

use jiff::tz::TimeZone;

use crate::cli::output::Format;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output, send_request};
use crate::clock::Clock;
use crate::control::ControlRequest;
use crate::journal::Journal;
use crate::journal::damage::Damage;
use crate::model::time::UnixMillis;
use crate::{config, store};

/// Options of `verify`: the form of the output.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, true);
    let configuration = config::load(&global.config_in_force()).configuration;
    let settings = configuration.map_or_else(crate::journal::JournalSettings::default, |c| c.journal);
    let (state, dir) = (global.state_dir(), global.journal_dir(&settings)?);
    // A running gateway has priority.
    let _may_not_be_permitted = rustix::process::nice(10);
    let clock = Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0));
    let is_watched = args.format == Format::Table && output::is_terminal();
    let each = |file: &Path| {
        if is_watched {
            output::note(format!("reading {}", file.display()));
        }
    };
    let mut report = Journal::verify(&dir, clock.wall().0, each);
    let alarms = state.join("store.db");
    if alarms.exists() {
        report.files += 1;
        report.bytes += std::fs::metadata(&alarms).map_or(0, |m| m.len());
        if let Err(why) = store::log::verify(&alarms) {
            report.damage.push(Damage::file(&alarms, "", why.to_string()));
        }
    }
    print(args.format, &global.zone(), &report);
    report.repaired.iter().for_each(|file| output::note(format!("{file}: mended from the other copy")));
    if !report.repairable.is_empty() {
        let what = match send_request(global, &ControlRequest::Verify) {
            Ok(_) => "the running gateway mends it from the other copy now",
            Err(_) => "the other copy is whole: the gateway mends it within a week, or when its own user runs this",
        };
        report.repairable.iter().for_each(|file| output::note(format!("{file}: {what}")));
    }
    if report.damage.is_empty() {
        return Ok(());
    }
    let n = report.damage.len();
    Err(CommandFailure::damaged(format!("{n} places of the history cannot be read"))
        .hint("everything else is there; a backup may still hold what is missing (`plantroom restore`)"))
}

fn print(format: Format, zone: &TimeZone, report: &crate::journal::verify::VerifyReport) {
    if format == Format::Json {
        return output::line(serde_json::to_string(report).unwrap_or_default());
    }
    let date = |ms: i64| if format == Format::Table { UnixMillis(ms).local(zone) } else { UnixMillis(ms).rfc3339() };
    let row = |d: &Damage| {
        let (from, to) = d.period.map_or((String::new(), String::new()), |(from, to)| (date(from), date(to)));
        vec![d.file.clone(), d.device.clone(), from, to, d.reason.clone()]
    };
    let rows: Vec<Vec<String>> = report.damage.iter().map(row).collect();
    if !rows.is_empty() || format == Format::Csv {
        output::list(format, &["file", "device", "from", "to", "why"], &rows);
    }
    let (files, slices, damaged) = (report.files, report.slices, report.damage.len());
    let megabytes = report.bytes / 1_000_000;
    let print_line = if format == Format::Table { output::line } else { output::note };
    print_line(format!(
        "{files} files, {megabytes} MB, {slices} slices and rows read; {damaged} places cannot be read"
    ));
}
