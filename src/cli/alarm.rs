//! `plantroom alarm`, `ack`, `shelve`, `test`, `explain`, `inject`: lists and explains alarms, and sends people's commands to
//! the gateway.

use serde_json::json;

use crate::alarm::life::{SHELF_MAX_MS, TEST_MAX_MS};
use crate::alarm::people::TRIAL_MAX_MS;
use crate::alarm::room::AlarmRoom;
use crate::app::control_handlers::AlarmRow;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, ask_for_people, history, output, send_request};
use crate::clock::{self, Clock};
use crate::control::ControlRequest;
use crate::model::alarm::AlarmEvent;
use crate::model::command::AlarmAction;
use crate::model::room::Room as _;
use crate::model::time::{HumanDuration, UnixMillis, duration_ms};
use crate::report::alarms;
use crate::store::event::{EventQuery, EventRow};
use crate::store::log;

/// Options of `alarm`: what is listed, shown or done.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: AlarmQuestion,
}

#[derive(Debug, clap::Subcommand)]
enum AlarmQuestion {
    /// What is not normal; `--all`: every alarm there could be.
    List {
        /// The normal ones too.
        #[arg(long)]
        all: bool,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
    /// One alarm, and why it is as it is.
    Show {
        /// The alarm's key, `rule.device`, as `alarm list` shows it.
        key: String,
    },
    /// What happened to the alarms: raised, acknowledged, cleared, and by whom.
    History {
        /// `rule.device`; all if none is named.
        key: Option<String>,
        /// From: a date, or so long ago (`24h`, `7d`).
        #[arg(long, default_value = "7d")]
        from: String,
        /// To: a date, or so long ago (`24h`). Default: now.
        #[arg(long)]
        to: Option<String>,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
    /// How healthy the alarms were: how many, how often, how long, how late.
    Report {
        /// The month, `2026-11`; the last 30 days if none is named.
        #[arg(long)]
        month: Option<String>,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
    /// Give it to somebody else, who is paged.
    Handover {
        #[command(flatten)]
        whose: AlarmArgs,
        /// Who gets it: a person's id, as in `[[person]]`.
        #[arg(long)]
        to: String,
    },
    /// Record that somebody is on site.
    Arrived(AlarmArgs),
    /// It is inspected: a latched alarm goes.
    Reset(AlarmArgs),
    /// Take it out of service until it is put back.
    Out(AlarmArgs),
    /// Put it back into service.
    Back(AlarmArgs),
}

/// An alarm, and a word on it.
#[derive(Debug, clap::Args)]
pub struct AlarmArgs {
    /// The alarm's key, `rule.device`, as `alarm list` shows it.
    key: String,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    note: String,
}

/// Options of `ack`: which alarms are acknowledged, and why.
#[derive(Debug, clap::Args)]
pub struct AckArgs {
    /// The alarm's key, `rule.device`, as `alarm list` shows it.
    #[arg(required_unless_present_any = ["all", "device", "area", "priority"])]
    key: Option<String>,
    /// Everything that waits for somebody.
    #[arg(long, conflicts_with_all = ["key", "device", "area", "priority"])]
    all: bool,
    /// Everything of a device.
    #[arg(long, conflicts_with = "key")]
    device: Option<String>,
    /// Everything in an area.
    #[arg(long, conflicts_with = "key")]
    area: Option<String>,
    /// Everything of a priority: `P3`.
    #[arg(long, conflicts_with = "key")]
    priority: Option<String>,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    note: String,
}

/// Options of `shelve`: which alarm, and for how long.
#[derive(Debug, clap::Args)]
pub struct ShelveArgs {
    #[command(flatten)]
    whose: AlarmArgs,
    /// For how long: `30m`, `8h`, `2d`.
    #[arg(long = "for", default_value = "8h")]
    lasts: String,
    /// Take it off the shelf.
    #[arg(long)]
    off: bool,
}

/// Options of `test`: which device, how long, and by whom.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// The device that is tested.
    device: String,
    /// For how long: `30m`, at most 4 hours.
    #[arg(long = "for", default_value = "30m")]
    lasts: String,
    /// Who tests, for the record. Default: whoever enters the command.
    #[arg(long, default_value = "")]
    by: String,
}

/// Options of `explain`: which alarm is explained.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The alarm's key, `rule.device`; of a test page `page_test.PERSON`.
    key: String,
}

/// Options of `inject`: which point gets which value, and for how long.
#[derive(Debug, clap::Args)]
pub struct InjectArgs {
    /// Id of the device, as in `[[device]]`.
    device: String,
    /// Name of its point; an alarm has to read it.
    point: String,
    /// A number, true or false.
    value: String,
    /// For how long: `60s`, `10m`, at most 1 hour.
    #[arg(long = "for", default_value = "60s")]
    lasts: String,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    match &args.what {
        AlarmQuestion::List { all, format } => list(global, *all, *format),
        AlarmQuestion::Show { key } => explain(global, &ExplainArgs { key: key.clone() }),
        AlarmQuestion::History { key, from, to, format } => past(global, key.as_deref(), from, to.as_deref(), *format),
        AlarmQuestion::Report { month, format } => report(global, month.as_deref(), *format),
        AlarmQuestion::Handover { whose, to } => act(global, whose, &AlarmAction::HandOver { to: to.clone() }),
        AlarmQuestion::Arrived(whose) => act(global, whose, &AlarmAction::Arrive),
        AlarmQuestion::Reset(whose) => act(global, whose, &AlarmAction::Reset),
        AlarmQuestion::Out(whose) => act(global, whose, &AlarmAction::TakeOutOfService),
        AlarmQuestion::Back(whose) => act(global, whose, &AlarmAction::ReturnToService),
    }
}

pub fn acknowledge(global: &Global, args: &AckArgs) -> CommandOutcome {
    if let Some(key) = &args.key {
        return act(global, &AlarmArgs { key: key.clone(), note: args.note.clone() }, &AlarmAction::Acknowledge);
    }
    let (device, area) = (args.device.clone(), args.area.clone());
    let request =
        ControlRequest::AcknowledgeAll { device, area, priority: args.priority.clone(), note: args.note.clone() };
    let keys: Vec<String> = read(send_request(global, &request)?)?;
    if keys.is_empty() {
        output::line("nothing waits for that");
    }
    keys.iter().for_each(|key| output::line(format!("{key}: acknowledged")));
    Ok(())
}

pub fn shelve(global: &Global, args: &ShelveArgs) -> CommandOutcome {
    if args.off {
        return act(global, &args.whose, &AlarmAction::Unshelve);
    }
    let for_ms = parse_duration(&args.lasts, SHELF_MAX_MS)?;
    act(global, &args.whose, &AlarmAction::Shelve { for_ms })
}

pub fn test(global: &Global, args: &TestArgs) -> CommandOutcome {
    let for_ms = parse_duration(&args.lasts, TEST_MAX_MS)?;
    let request = ControlRequest::AnnounceTest { device: args.device.clone(), for_ms, tester: args.by.clone() };
    let keys: Vec<String> = read(send_request(global, &request)?)?;
    output::line(format!("{} is tested for {}: nobody is told of", args.device, HumanDuration(for_ms).text()));
    keys.iter().for_each(|key| output::line(format!("  {key}")));
    output::line("what is still there after that is told; `plantroom shelve KEY --off` ends it earlier");
    Ok(())
}

pub fn explain(global: &Global, args: &ExplainArgs) -> CommandOutcome {
    let request = ControlRequest::Explain { key: args.key.clone() };
    let lines: Vec<String> = read(ask_for_people(global, &request, output::Format::Table)?)?;
    lines.iter().for_each(output::line);
    Ok(())
}

pub fn inject(global: &Global, args: &InjectArgs) -> CommandOutcome {
    let value = match args.value.as_str() {
        "true" => 1.0,
        "false" => 0.0,
        number => number
            .parse()
            .map_err(|_| CommandFailure::usage(format!("`{number}` is no value")).hint("a number, true or false"))?,
    };
    let for_ms = parse_duration(&args.lasts, TRIAL_MAX_MS)?;
    let request = ControlRequest::Inject { device: args.device.clone(), point: args.point.clone(), value, for_ms };
    let rows: Vec<AlarmRow> = read(ask_for_people(global, &request, output::Format::Table)?)?;
    output::line(format!("{}.{} is {} for {}, for the alarms only", args.device, args.point, args.value, args.lasts));
    table(&rows, output::Format::Table);
    Ok(())
}

fn parse_duration(text: &str, most: u64) -> Result<u64, CommandFailure> {
    match duration_ms(text) {
        Some(ms) if ms <= most => Ok(ms),
        Some(_) => Err(CommandFailure::usage(format!("{text} is too long: at most {}", HumanDuration(most).text()))),
        None => Err(CommandFailure::usage(format!("`{text}` is not a length of time")).hint("30m, 8h, 2d")),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, CommandFailure> {
    serde_json::from_value(value).map_err(|e| CommandFailure::later("the answer cannot be read").because(e.to_string()))
}

fn list(global: &Global, all: bool, format: output::Format) -> CommandOutcome {
    let rows: Vec<AlarmRow> = read(ask_for_people(global, &ControlRequest::Alarms { all }, format)?)?;
    if rows.is_empty() && format == output::Format::Table {
        output::line("nothing is in alarm");
        return Ok(());
    }
    table(&rows, format);
    Ok(())
}

fn table(rows: &[AlarmRow], format: output::Format) {
    let cells = |r: &AlarmRow| {
        let age =
            r.age_s.map_or(String::new(), |s| HumanDuration(if s < 60 { s * 1_000 } else { s / 60 * 60_000 }).text());
        let input = if r.input == "good" { String::new() } else { r.input.clone() };
        let state = if input.is_empty() { r.state.clone() } else { format!("{} ({input})", r.state) };
        vec![
            r.priority.clone(),
            r.key.clone(),
            state,
            r.since.clone().unwrap_or_default(),
            age,
            r.owner.clone(),
            r.en.clone(),
            r.zh.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::list(format, &["priority", "alarm", "state", "since", "age", "owner", "en", "zh"], &rows);
}

fn act(global: &Global, target: &AlarmArgs, action: &AlarmAction) -> CommandOutcome {
    let action = serde_json::to_value(action).unwrap_or(json!(null));
    let request = ControlRequest::Alarm { key: target.key.clone(), action, note: target.note.clone() };
    let row: Option<AlarmRow> = read(ask_for_people(global, &request, output::Format::Table)?)?;
    if let Some(row) = row {
        output::line(format!("{}: {} {}", row.key, row.state, row.owner).trim_end());
    }
    Ok(())
}

fn report(global: &Global, month: Option<&str>, format: output::Format) -> CommandOutcome {
    let rules = rules(global);
    let (zone, deadlines) = (global.zone(), rules.settings.deadlines);
    let now = Clock::new(&clock::ClockSettings::default(), UnixMillis(0)).wall().0;
    let (from, to) = match month {
        None => (now - 30 * 86_400_000, now),
        Some(month) => {
            let first = format!("{month}-01")
                .parse::<jiff::civil::Date>()
                .map_err(|_| CommandFailure::usage(format!("`{month}` is no month")).hint("2026-11"))?;
            let begin =
                |date: jiff::civil::Date| date.to_zoned(zone.clone()).map_or(now, |z| z.timestamp().as_millisecond());
            (begin(first), begin(first.last_of_month().tomorrow().unwrap_or(first)).min(now))
        }
    };
    // A year earlier: an alarm that is still active may have been raised long ago.
    let query = EventQuery {
        room: AlarmRoom::ID.into(),
        from: Some(UnixMillis(from - 366 * 86_400_000)),
        to: Some(UnixMillis(to)),
        ..EventQuery::default()
    };
    let report = alarms::report(&dated_events(&read_events(global, &query)?), &deadlines, from, to);
    if format == output::Format::Json {
        output::line(serde_json::to_string_pretty(&report).unwrap_or_default());
        return Ok(());
    }
    let figures: Vec<Vec<String>> =
        report.figures.iter().map(|f| vec![f.name.clone(), f.value.clone(), f.target.to_string()]).collect();
    output::list(format, &["figure", "value", "target"], &figures);
    let top: Vec<Vec<String>> =
        report.top.iter().map(|t| vec![t.alarm.clone(), t.raised.to_string(), format!("{:.0}", t.share_pct)]).collect();
    output::line("");
    output::list(format, &["most frequent", "raised", "share %"], &top);
    for (what, keys) in [("chattering", &report.chattering), ("standing over 24 h", &report.standing)] {
        if !keys.is_empty() {
            output::line(format!("{what}: {}", keys.join(", ")));
        }
    }
    Ok(())
}

fn rules(global: &Global) -> crate::alarm::Rules {
    crate::config::load(&global.config_in_force()).configuration.map(|c| c.alarms).unwrap_or_default()
}

/// When an event was written, for people; seconds after the boot if the date was not trusted.
pub fn event_time(row: &EventRow, zone: &jiff::tz::TimeZone) -> String {
    if row.trusted {
        history::format_local(row.at.0, zone)
    } else {
        format!("undated, {} s after the boot", row.mono.0 / 1_000)
    }
}

/// Events from the log, read from the file beside a running gateway.
pub fn read_events(global: &Global, query: &EventQuery) -> Result<Vec<EventRow>, CommandFailure> {
    let path = global.state_dir().join("store.db");
    if !path.exists() {
        return Err(CommandFailure::later(format!("nothing was ever decided here: there is no {}", path.display()))
            .hint("--state DIR names another gateway's state"));
    }
    log::events(&path, query).map_err(|e| CommandFailure::later("the log cannot be read").because(e))
}

/// Prints events; for programs with the columns `actor`, `via` and `note`, which people read in `why`.
pub fn list_events(
    format: output::Format,
    head: &[&str],
    events: &[EventRow],
    cells: impl Fn(&EventRow) -> Vec<String>,
) {
    if format == output::Format::Table {
        return output::list(format, head, &events.iter().map(cells).collect::<Vec<_>>());
    }
    let head: Vec<&str> = head.iter().copied().chain(["actor", "via", "note"]).collect();
    let with_actor = |row: &EventRow| {
        let who = [&row.actor, &row.via, &row.note].map(String::clone);
        cells(row).into_iter().chain(who).collect::<Vec<String>>()
    };
    output::list(format, &head, &events.iter().map(with_actor).collect::<Vec<_>>());
}

fn past(global: &Global, key: Option<&str>, from: &str, to: Option<&str>, format: output::Format) -> CommandOutcome {
    let zone = global.zone();
    let now = Clock::new(&clock::ClockSettings::default(), UnixMillis(0)).wall().0;
    let query = EventQuery {
        room: AlarmRoom::ID.to_string(),
        key: key.map(str::to_string),
        from: Some(UnixMillis(history::parse_time(from, now, &zone)?)),
        to: to.map(|t| history::parse_time(t, now, &zone)).transpose()?.map(UnixMillis),
        ..EventQuery::default()
    };
    let cells = |row: &EventRow| {
        let body: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_string();
        let number = |key: &str| body[key].as_f64().map_or(String::new(), crate::model::text::format_number);
        let mut why = [text("cause"), text("by"), text("note")].join(" ").trim().to_string();
        if body["test"] == true {
            why = format!("TEST {why}");
        }
        vec![
            event_time(row, &zone),
            row.key.clone(),
            row.event.clone(),
            text("priority"),
            number("value"),
            number("limit"),
            why.trim().to_string(),
            body["text"]["en"].as_str().unwrap_or_default().to_string(),
            body["text"]["zh"].as_str().unwrap_or_default().to_string(),
        ]
    };
    let head = ["at", "alarm", "what", "priority", "value", "limit", "why", "en", "zh"];
    list_events(format, &head, &read_events(global, &query)?, cells);
    Ok(())
}

/// Readable events with a trusted date, as (Unix milliseconds, event).
pub fn dated_events(rows: &[EventRow]) -> Vec<(i64, AlarmEvent)> {
    let of = |row: &EventRow| Some((row.at.0, serde_json::from_str::<AlarmEvent>(&row.body).ok()?));
    rows.iter().filter(|r| r.trusted).filter_map(of).collect()
}
