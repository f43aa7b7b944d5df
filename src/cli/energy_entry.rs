//! `plantroom energy reading`, `correct` and `close`: what people say of figures, each with a reason and kept as a version.

use rust_decimal::Decimal;
use serde_json::json;

use crate::cli::energy_question::print_table;
use crate::cli::history::parse_time;
use crate::cli::ledger::records;
use crate::cli::output::Format;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::clock::Clock;
use crate::control::ControlRequest;
use crate::model::metering::{RegisterEntry, RegisterReading, TimeRange};
use crate::model::time::UnixMillis;
use crate::report::table::{Cell, ReportTable};

/// Why, and whether a closed month may change with it.
#[derive(Debug, clap::Args)]
pub struct ReasonArgs {
    /// Why, or by whom it was read; it stays with the figure.
    #[arg(long, default_value = "")]
    pub note: String,
    /// Change a closed month all the same: it has to be closed again.
    #[arg(long)]
    pub revise: bool,
}

/// A reading that was taken at the meter.
#[derive(Debug, clap::Args)]
pub struct ReadingArgs {
    /// The metering point, or the register as `device.point`.
    register: String,
    /// What the meter showed.
    #[arg(required_unless_present = "withdraw")]
    value: Option<Decimal>,
    /// When: 2026-11-27T10:15, in the site's time zone. Default: now.
    #[arg(long)]
    at: Option<String>,
    /// Take the reading of this time back.
    #[arg(long, requires = "at", conflicts_with = "value")]
    withdraw: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

/// What was really consumed.
#[derive(Debug, clap::Args)]
pub struct CorrectArgs {
    /// The metering point, or the register as `device.point`.
    register: String,
    /// What its register really counted, in the register's unit and before it is multiplied.
    #[arg(required_unless_present = "withdraw")]
    consumed: Option<Decimal>,
    /// From: 2026-11-27T10:15, in the site's time zone.
    #[arg(long)]
    from: String,
    /// To: the same.
    #[arg(long)]
    to: String,
    /// Take the correction of this time back.
    #[arg(long, conflicts_with = "consumed")]
    withdraw: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

/// A month that is closed.
#[derive(Debug, clap::Args)]
pub struct CloseArgs {
    /// The month, such as 2026-10; without it the closed months are listed.
    month: Option<String>,
    /// Why.
    #[arg(long, default_value = "")]
    note: String,
    /// Form of the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn moment(global: &Global, text: &str) -> Result<UnixMillis, CommandFailure> {
    let now = Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0)).wall();
    let zone = crate::config::load(&global.config_in_force()).configuration.map(|c| c.alarms.zone);
    parse_time(text, now.0, &zone.unwrap_or(jiff::tz::TimeZone::UTC)).map(UnixMillis)
}

pub fn reading(global: &Global, args: &ReadingArgs) -> CommandOutcome {
    let at = match &args.at {
        Some(at) => moment(global, at)?,
        None => Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0)).wall(),
    };
    let entry = match args.value {
        Some(value) => RegisterEntry::Reading { reading: RegisterReading { at, value } },
        None => RegisterEntry::NoReading { at },
    };
    enter(global, &args.register, &entry, &args.reason)
}

pub fn correct(global: &Global, args: &CorrectArgs) -> CommandOutcome {
    let range = TimeRange { from: moment(global, &args.from)?, to: moment(global, &args.to)? };
    let entry = match args.consumed {
        Some(consumed) => RegisterEntry::Correction { range, consumed },
        None => RegisterEntry::NoCorrection { range },
    };
    enter(global, &args.register, &entry, &args.reason)
}

fn enter(global: &Global, register: &str, entry: &RegisterEntry, reason: &ReasonArgs) -> CommandOutcome {
    let (register, note, may_reopen) = (register.to_string(), reason.note.clone(), reason.revise);
    let entry = json!(entry);
    let said = crate::cli::send_request(global, &ControlRequest::EnterReading { register, entry, note, may_reopen })?;
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_string();
    let what = match text("as").as_str() {
        "reading" => {
            format!("reading {} {}", said["entry"]["reading"]["value"].as_str().unwrap_or_default(), text("unit"))
        }
        "reading_withdrawn" => "its reading is taken back".to_string(),
        "correction" => format!("{} {} consumed", said["entry"]["consumed"].as_str().unwrap_or_default(), text("unit")),
        _ => "its correction is taken back".to_string(),
    };
    output::line(format!("{}: {what}; who, when and why stay with it (`plantroom audit`)", text("register")));
    Ok(())
}

pub fn close(global: &Global, args: &CloseArgs) -> CommandOutcome {
    output::begin_log(global, true);
    let Some(month) = args.month.clone() else { return list(global, args.format) };
    let note = args.note.clone();
    let said = crate::cli::send_request(global, &ControlRequest::CloseMonth { month, note })?;
    let month = said["month"].as_str().unwrap_or_default();
    output::line(format!("{month} is closed: revision {}, {} figures", said["revision"], said["figures"]));
    for (key, words) in [("pending", "wait for a person's decision"), ("missing", "have no reading")] {
        if said[key].as_u64().is_some_and(|count| count > 0) {
            output::note(format!("{} of them {words}: `plantroom energy gaps --period {month}`", said[key]));
        }
    }
    Ok(())
}

fn list(global: &Global, format: Format) -> CommandOutcome {
    let head = vec![
        "month",
        "revision",
        "closed_at",
        "closed_by",
        "reason",
        "figures",
        "reopened_at",
        "reopened_by",
        "reopened_because",
    ];
    let mut rows = Vec::new();
    for closure in records(global)?.closures.into_values() {
        for (i, revision) in closure.revisions.iter().enumerate() {
            let reopened = revision.reopened.as_ref();
            rows.push(vec![
                Cell::text(&closure.month),
                Cell::Number(Decimal::from(i + 1)),
                Cell::Time(revision.closed.at),
                Cell::text(&revision.closed.actor),
                Cell::text(&revision.closed.reason),
                Cell::Number(Decimal::from(revision.figures.len())),
                Cell::time(reopened.map(|r| r.at)),
                Cell::text(reopened.map(|r| r.actor.clone()).unwrap_or_default()),
                Cell::text(reopened.map(|r| r.reason.clone()).unwrap_or_default()),
            ]);
        }
    }
    if rows.is_empty() {
        output::note("no month was closed yet");
    }
    print_table(format, &ReportTable::new("months", &head, rows), &global.zone());
    Ok(())
}
