//! `plantroom flood`: the flood level, what it follows from and when it may go down; people set it, withdraw that, or force it down.

use serde_json::Value;

use crate::cli::{
    Args as Global, CommandFailure, CommandOutcome, alarm, ask_for_people, flood_report, history, output, page,
    send_request,
};
use crate::control::ControlRequest;
use crate::flood::room::FloodRoom;
use crate::model::flood::FloodOperation;
use crate::model::room::Room as _;
use crate::model::time::{UnixMillis, duration_ms};
use crate::store::event::{EventQuery, EventRow};

/// Options of `flood`: nothing shows the level.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<FloodAction>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: output::Format,
}

#[derive(Debug, clap::Subcommand)]
enum FloodAction {
    /// Set a level: it holds until its time is over, whatever else says less.
    Set {
        /// The level: its id in the scheme, such as `orange`.
        level: String,
        /// For how long: at most `12h`.
        #[arg(long = "for", default_value = "2h")]
        lasts: String,
        /// Why, for the record.
        #[arg(long)]
        note: String,
    },
    /// End what was set; what else demands a level goes on.
    Withdraw {
        /// Why, for the record.
        #[arg(long)]
        note: String,
    },
    /// A manager brings the level down at once, until an input rises or the time is over.
    ForceDown {
        /// The level, or `none`.
        level: String,
        /// For how long: at most `12h`.
        #[arg(long = "for", default_value = "2h")]
        lasts: String,
        /// Why, for the record.
        #[arg(long)]
        note: String,
    },
    /// Whether the site could pump now: what is not ready, device by device.
    Readiness {
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
    /// Say that somebody has looked at something that only people can see, such as sandbags.
    Tick {
        /// The item: its id in `[[flood.item]]`.
        item: String,
        /// What was seen, for the record.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// What a flood was: levels, the course of each sump, who did what, alarms, water pumped; as text or a page to print.
    Report(flood_report::ReportArgs),
    /// What happened: levels, warnings, and who did what.
    Log {
        /// From: a date, or so long ago (`24h`, `7d`).
        #[arg(long, default_value = "7d")]
        from: String,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t)]
        format: output::Format,
    },
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    let (operation, note) = match &args.what {
        None => return show(global, args.format),
        Some(FloodAction::Log { from, format }) => return log(global, from, *format),
        Some(FloodAction::Report(of)) => return flood_report::run(global, of),
        Some(FloodAction::Readiness { format }) => return readiness(global, *format),
        Some(FloodAction::Tick { item, note }) => (FloodOperation::Tick { item: item.clone() }, note),
        Some(FloodAction::Set { level, lasts, note }) => {
            (FloodOperation::Set { level: level.clone(), for_ms: length(lasts)? }, note)
        }
        Some(FloodAction::Withdraw { note }) => (FloodOperation::Withdraw, note),
        Some(FloodAction::ForceDown { level, lasts, note }) => {
            (FloodOperation::ForceDown { level: level.clone(), for_ms: length(lasts)? }, note)
        }
    };
    let view = send_request(global, &ControlRequest::FloodCommand { operation, note: note.clone() })?;
    output::line(headline(&output::for_people(view, &global.zone())));
    Ok(())
}

/// How ready the site is, in one line.
fn ready(of: &Value) -> String {
    match of["pct"].as_u64() {
        Some(pct) => format!("ready to pump: {pct} % ({} of {})", of["ready"], of["all"]),
        None => "ready to pump: nothing says anything of it".to_string(),
    }
}

fn readiness(global: &Global, format: output::Format) -> CommandOutcome {
    let view = ask_for_people(global, &ControlRequest::Flood, format)?;
    let of = &view["readiness"];
    if format == output::Format::Json {
        output::line(of.to_string());
        return Ok(());
    }
    let open = of["open"].as_array().into_iter().flatten();
    let row = |open: &Value| {
        let state = if open["is_known"] == true { "not ready" } else { "not known" };
        vec![
            state.to_string(),
            text(open, "key").to_string(),
            text(open, "zh").to_string(),
            text(open, "en").to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = open.map(row).collect();
    let head = ["state", "what", "", ""];
    if format == output::Format::Csv {
        output::raw(output::csv_lines(std::iter::once(head.map(str::to_string).to_vec()).chain(rows)));
        return Ok(());
    }
    output::line(ready(of));
    for (device, count) in of["devices"].as_object().into_iter().flatten() {
        output::line(format!("  {device}: {} of {}", count["ready"], count["all"]));
    }
    if !rows.is_empty() {
        output::raw(output::table(&head, &rows));
    }
    Ok(())
}

fn length(text: &str) -> Result<u64, CommandFailure> {
    duration_ms(text).ok_or_else(|| {
        CommandFailure::usage(format!("`{text}` is no length of time")).hint("write it as 30m, 2h or 12h")
    })
}

fn text<'a>(view: &'a Value, key: &str) -> &'a str {
    view[key].as_str().unwrap_or_default()
}

/// The level in one line.
fn headline(view: &Value) -> String {
    let since = text(view, "since");
    let since = if since.is_empty() { String::new() } else { format!(" since {since}") };
    format!("flood level {} ({} {}){since}", text(view, "level"), text(view, "zh"), text(view, "en"))
}

fn show(global: &Global, format: output::Format) -> CommandOutcome {
    let view = ask_for_people(global, &ControlRequest::Flood, format)?;
    if format != output::Format::Table {
        output::line(view.to_string());
        return Ok(());
    }
    output::line(headline(&view));
    let of = |key: &str| view.get(key).filter(|value| !value.is_null());
    if let Some(external) = of("external") {
        let (level, feed, expires) = (text(external, "level"), text(external, "feed"), text(external, "expires"));
        output::line(format!("  warnings demand {level}: feed {feed}, until {expires}"));
    }
    if let Some(local) = of("local") {
        let alarms = local["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let alarms: Vec<&str> = alarms.collect();
        output::line(format!("  the site's own alarms demand {}: {}", text(local, "level"), alarms.join(", ")));
    }
    for (key, what) in [("manual", "set"), ("forced_down", "forced down to")] {
        if let Some(person) = of(key) {
            let (who, level) = (text(person, "person"), text(person, "level"));
            let (until, why) = (text(person, "until"), text(person, "reason"));
            output::line(format!("  {who} {what} {level} until {until}: {why}"));
        }
    }
    if let Some(at) = view["next_step_down"].as_str() {
        output::line(format!("  may go down by one level at {at}"));
    }
    output::line(format!("  {}", ready(&view["readiness"])));
    for warning in view["warnings"].as_array().into_iter().flatten() {
        let exercise = if warning["exercise"] == true { "exercise, " } else { "" };
        let own = if warning["says_expiry"] == true { "" } else { " (it does not say so: our limit)" };
        let known = if warning["is_level_known"] == true { "" } else { ", no level that is known" };
        output::line(format!(
            "  warning ({exercise}{}{known}) of {} until {}{own}: {}",
            text(warning, "level"),
            text(warning, "feed"),
            text(warning, "expires"),
            text(warning, "zh")
        ));
    }
    if let Some(ended) = of("last_ended") {
        let why = text(ended, "why");
        let not = if why == "expired" { ", which is not cancelled" } else { "" };
        output::line(format!("  last warning {why}{not} at {}: {}", text(ended, "at"), text(ended, "zh")));
    }
    for feed in view["feeds"].as_array().into_iter().flatten() {
        let state = if feed["is_answering"] == true { "answers" } else { "does not answer" };
        let why = text(feed, "why");
        output::line(format!("  feed {} {state}{}{why}", text(feed, "name"), if why.is_empty() { "" } else { ": " }));
    }
    Ok(())
}

fn log(global: &Global, from: &str, format: output::Format) -> CommandOutcome {
    let zone = global.zone();
    let from = Some(UnixMillis(history::parse_time(from, page::now(), &zone)?));
    let query = EventQuery { room: FloodRoom::ID.to_string(), from, ..EventQuery::default() };
    let cells = |row: &EventRow| {
        let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
        let level = match (body["from"].as_str(), body["to"].as_str()) {
            (Some(from), Some(to)) => format!("{from} -> {to}"),
            _ => text(&body, "level").to_string(),
        };
        let warning = body.get("warning").filter(|warning| !warning.is_null()).unwrap_or(&body);
        let alarms = body["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let said = [text(warning, "zh").to_string(), alarms.collect::<Vec<_>>().join(" "), row.note.clone()];
        let said: Vec<String> = said.into_iter().filter(|said| !said.is_empty()).collect();
        vec![alarm::event_time(row, &zone), row.event.clone(), level, row.actor.clone(), said.join("; ")]
    };
    let head = ["at", "what", "level", "who", "why"];
    alarm::list_events(format, &head, &alarm::read_events(global, &query)?, cells);
    Ok(())
}
