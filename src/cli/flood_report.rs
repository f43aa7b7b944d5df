//! `plantroom flood report`: what a flood was: levels with times, the course of each sump, who did what, which alarms there were, what was
//! pumped. Text for the terminal, or a page to print.

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::alarm::room::AlarmRoom;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, alarm, history, output, page};
use crate::clock::{self, Clock};
use crate::config::Configuration;
use crate::flood::plan::SumpPlan;
use crate::flood::room::FloodRoom;
use crate::flood::state::NO_LEVEL;
use crate::flood::view::no_level;
use crate::journal::Journal;
use crate::journal::query::HistoryQuery;
use crate::model::room::Room as _;
use crate::model::text::format_number;
use crate::model::time::UnixMillis;
use crate::store::event::{EventQuery, EventRow};
use crate::web::chart::{self, Chart};

/// Slots of the course and of what was pumped, milliseconds.
const SLOT_MS: i64 = 60_000;
/// Slots in an hour.
const SLOTS_AN_HOUR: f64 = 60.0;
/// How far back floods are looked for.
const BACK_MS: i64 = 400 * 86_400_000;

/// Options of `flood report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// Which one: 1 is the last, 2 the one before.
    #[arg(long, default_value_t = 1)]
    last: usize,
    /// Write a page to print into this file.
    #[arg(long, value_name = "FILE")]
    html: Option<std::path::PathBuf>,
    /// Language of what is written.
    #[arg(long, value_enum, default_value_t)]
    language: ReportLanguage,
}

/// The language in which a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ReportLanguage {
    /// Chinese.
    #[default]
    Zh,
    /// English.
    En,
}

/// From the first level to the last: rows of the log, and where each sump stood.
struct FloodEvent {
    from: UnixMillis,
    /// None: it is not over.
    to: Option<UnixMillis>,
    rows: Vec<EventRow>,
    alarms: Vec<EventRow>,
    sumps: Vec<SumpCourse>,
}

/// The course of a sump with what its pumps did.
struct SumpCourse {
    name: String,
    chart: Chart,
    highest_m: Option<f64>,
    run_h: f64,
    /// None: no pump's capacity is known.
    pumped_m3: Option<f64>,
    kwh: Option<f64>,
}

fn body(row: &EventRow) -> Value {
    serde_json::from_str(&row.body).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Begins and ends of floods, the last first.
fn spans(rows: &[EventRow]) -> Vec<(UnixMillis, Option<UnixMillis>)> {
    let mut out: Vec<(UnixMillis, Option<UnixMillis>)> = Vec::new();
    for row in rows.iter().filter(|row| row.key == "level") {
        let body = body(row);
        let is_open = out.last().is_some_and(|(_, to)| to.is_none());
        match (text(&body, "from"), text(&body, "to")) {
            ("none", to) if to != "none" && !to.is_empty() && !is_open => out.push((row.at, None)),
            (_, "none") => {
                if let Some((_, to)) = out.last_mut().filter(|(_, to)| to.is_none()) {
                    *to = Some(row.at);
                }
            }
            _ => {}
        }
    }
    out.reverse();
    out
}

pub fn run(global: &Global, args: &ReportArgs) -> CommandOutcome {
    let configuration = page::configuration(global)?;
    let since = Some(UnixMillis(page::now() - BACK_MS));
    let query = EventQuery { room: FloodRoom::ID.to_string(), from: since, ..EventQuery::default() };
    let rows = alarm::read_events(global, &query)?;
    let all = spans(&rows);
    let Some((from, to)) = all.get(args.last.saturating_sub(1)).copied() else {
        let what = format!("there were {} floods within {} days", all.len(), BACK_MS / 86_400_000);
        return Err(CommandFailure::usage(what).hint("--last 1 is the last one"));
    };
    let is_chinese = args.language == ReportLanguage::Zh;
    let event = event(global, &configuration, rows, (from, to), is_chinese)?;
    match &args.html {
        Some(path) => write(path, &page_of(&event, &configuration, is_chinese).into_string()),
        None => {
            print(&event, &configuration, is_chinese);
            Ok(())
        }
    }
}

fn event(
    global: &Global,
    configuration: &Configuration,
    rows: Vec<EventRow>,
    (from, to): (UnixMillis, Option<UnixMillis>),
    is_chinese: bool,
) -> Result<FloodEvent, CommandFailure> {
    let clock = Clock::new(&clock::ClockSettings::default(), UnixMillis(0));
    let dir = global.journal_dir(&configuration.journal)?;
    let opened = Journal::open_read_only(&dir, &configuration.journal, &clock);
    let journal = opened.map_err(|e| CommandFailure::later("cannot open the journal").because(e.to_string()))?;
    let end = to.unwrap_or(UnixMillis(history::journal_now(&journal, &clock)));
    let within = |row: &EventRow| row.at >= from && row.at <= end;
    let query = EventQuery {
        room: AlarmRoom::ID.to_string(),
        from: Some(from),
        to: Some(UnixMillis(end.0 + 1)),
        ..EventQuery::default()
    };
    let alarms = alarm::read_events(global, &query)?;
    let course = |sump: &SumpPlan| course(&journal, configuration, sump, (from, end), is_chinese);
    let sumps = configuration.flood.sumps.iter().map(course).collect::<Result<Vec<_>, _>>()?;
    Ok(FloodEvent { from, to, rows: rows.into_iter().filter(within).collect(), alarms, sumps })
}

/// Means of a point by minute; none where there was no good sample.
fn minutes(
    journal: &Journal,
    device: &str,
    point: &str,
    (from, to): (UnixMillis, UnixMillis),
) -> Result<Vec<(i64, Option<f64>)>, CommandFailure> {
    let query = HistoryQuery { device: device.into(), point: point.into(), from_ms: from.0, to_ms: to.0 };
    let slots = journal.slots(&query, SLOT_MS);
    let slots = slots.map_err(|e| CommandFailure::later("history cannot be read").because(e.to_string()))?;
    Ok(slots.slots.iter().map(|slot| (slot.start_ms, slot.mean())).collect())
}

fn course(
    journal: &Journal,
    configuration: &Configuration,
    sump: &SumpPlan,
    span: (UnixMillis, UnixMillis),
    is_chinese: bool,
) -> Result<SumpCourse, CommandFailure> {
    let device = &*sump.device;
    let read = |point: &str| minutes(journal, device, point, span);
    let hours =
        |values: &[(i64, Option<f64>)]| values.iter().filter_map(|(_, mean)| *mean).sum::<f64>() / SLOTS_AN_HOUR;
    let values = read(crate::flood::water::LEVEL)?;
    let (mut run_h, mut pumped_m3, mut kwh) = (0.0, None, None);
    for pump in 1..=sump.pumps {
        let ran_h = hours(&read(&format!("pump{pump}_running"))?);
        run_h += ran_h;
        let measured = read(&format!("pump{pump}_capacity_m3h"))?.iter().rev().find_map(|(_, mean)| *mean);
        let rated = sump.geometry.rated_m3h.get(pump - 1).copied().flatten();
        if let Some(capacity) = measured.or(rated) {
            pumped_m3 = Some(pumped_m3.unwrap_or(0.0) + ran_h * capacity);
        }
        let power = read(&format!("pump{pump}_power_kw"))?;
        if power.iter().any(|(_, mean)| mean.is_some()) {
            kwh = Some(kwh.unwrap_or(0.0) + hours(&power));
        }
    }
    let named = configuration.devices.get(device);
    let name = named.map_or(device.to_string(), |of| if is_chinese { of.zh.clone() } else { of.en.clone() });
    let ends = (local(configuration, span.0, "%m-%d %H:%M"), local(configuration, span.1, "%m-%d %H:%M"));
    let highest_m = values.iter().filter_map(|(_, mean)| *mean).reduce(f64::max);
    let limit = Some(sump.geometry.floor_m);
    let chart = Chart { name: name.clone(), unit: "m".into(), values, limit, ends };
    Ok(SumpCourse { name, chart, highest_m, run_h, pumped_m3, kwh })
}

fn local(configuration: &Configuration, at: UnixMillis, format: &str) -> String {
    at.in_form(&configuration.alarms.zone, format)
}

/// The name of a level by its id; of a scheme that is not in force any more the id.
fn level_name(configuration: &Configuration, id: &str, is_chinese: bool) -> String {
    let scheme = configuration.flood.scheme.as_ref();
    let level = scheme.and_then(|scheme| scheme.level(scheme.rank_of(id)?));
    match level {
        Some(level) => level.name.in_language(is_chinese).to_string(),
        None if id == NO_LEVEL => no_level().in_language(is_chinese).to_string(),
        None => id.to_string(),
    }
}

/// What a row of the flood says, in one line.
fn said(row: &EventRow, configuration: &Configuration, is_chinese: bool) -> (String, String) {
    let of = body(row);
    let language = if is_chinese { "zh" } else { "en" };
    let what = match (row.event.as_str(), is_chinese) {
        ("raised", true) => "升级",
        ("lowered", true) => "降级",
        ("warning", true) => "预警",
        ("warning_updated", true) => "预警变更",
        ("warning_cancelled", true) => "预警解除",
        ("warning_expired", true) => "预警到期（未解除）",
        ("set", true) => "人工设定",
        ("withdrawn", true) => "人工撤销",
        ("forced_down", true) => "强制降级",
        ("set_expired", true) => "人工设定到期",
        ("ticked", true) => "已检查",
        ("notice_issued", true) => "通知业主",
        ("notice_withdrawn", true) => "通知撤回",
        ("situation_report", true) => "情况报告",
        (other, _) => other,
    };
    let name = |id: &str| level_name(configuration, id, is_chinese);
    let levels = match (of["from"].as_str(), of["to"].as_str(), of["level"].as_str()) {
        (Some(from), Some(to), _) => format!("{} → {}", name(from), name(to)),
        (_, _, Some(level)) => name(level),
        _ => String::new(),
    };
    let title = text(&of, &format!("title_{language}")).to_string();
    let parts = [levels, text(&of, language).to_string(), title, row.actor.clone(), row.note.clone()];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (what.replace('_', " "), parts.join("; "))
}

/// Alarms that were raised: time, priority, text.
fn raised(event: &FloodEvent, is_chinese: bool) -> impl Iterator<Item = (UnixMillis, String, String)> + '_ {
    let is_raised = |row: &&EventRow| row.event == "raised" || row.event == "worsened" || row.event == "acknowledged";
    event.alarms.iter().filter(is_raised).map(move |row| {
        let of = body(row);
        let words = text(&of["text"], if is_chinese { "zh" } else { "en" }).to_string();
        let who = if row.actor.is_empty() { String::new() } else { format!(" ({} {})", row.event, row.actor) };
        (row.at, text(&of, "priority").to_string(), format!("{words}{who}"))
    })
}

/// Water, run time and energy of a sump, in words.
fn figures(of: &SumpCourse, is_chinese: bool) -> String {
    let number = |value: Option<f64>| value.map_or("–".to_string(), format_number);
    let (highest, run) = (number(of.highest_m), format_number(of.run_h));
    let (pumped, kwh) = (number(of.pumped_m3), number(of.kwh));
    if is_chinese {
        format!("{}：最高 {highest} m，水泵运行 {run} h，排水约 {pumped} m³，用电 {kwh} kWh", of.name)
    } else {
        format!("{}: highest {highest} m, pumps ran {run} h, pumped about {pumped} m³, {kwh} kWh", of.name)
    }
}

fn title(event: &FloodEvent, configuration: &Configuration, is_chinese: bool) -> String {
    let from = local(configuration, event.from, "%Y-%m-%d %H:%M");
    let over = if is_chinese { "尚未结束" } else { "not over yet" };
    let to = event.to.map_or(over.to_string(), |to| local(configuration, to, "%Y-%m-%d %H:%M"));
    let site = if is_chinese { &configuration.site.zh } else { &configuration.site.en };
    if is_chinese {
        format!("{site} 防汛报告 {from} – {to}")
    } else {
        format!("{site}: flood report {from} – {to}")
    }
}

fn print(event: &FloodEvent, configuration: &Configuration, is_chinese: bool) {
    output::line(title(event, configuration, is_chinese));
    event.sumps.iter().for_each(|of| output::line(format!("  {}", figures(of, is_chinese))));
    let row = |row: &EventRow| {
        let (what, words) = said(row, configuration, is_chinese);
        vec![local(configuration, row.at, "%m-%d %H:%M:%S"), what, words]
    };
    let head = if is_chinese { ["时间", "事项", ""] } else { ["at", "what", ""] };
    output::raw(output::table(&head, &event.rows.iter().map(row).collect::<Vec<_>>()));
    let alarm = |(at, priority, words): (UnixMillis, String, String)| {
        vec![local(configuration, at, "%m-%d %H:%M:%S"), priority, words]
    };
    let head = if is_chinese { ["时间", "告警", ""] } else { ["at", "alarm", ""] };
    output::raw(output::table(&head, &raised(event, is_chinese).map(alarm).collect::<Vec<_>>()));
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:46em;margin:1em auto;color:#111}table{border-collapse:collapse;width:100%}\
    td{border-bottom:1px solid #ddd;padding:2px 8px 2px 0;vertical-align:top}svg{width:100%;height:auto}h1{font-size:1.3em}h2{font-size:1.1em}\
    @media print{body{margin:0;max-width:none}tr,svg{break-inside:avoid}}";

fn page_of(event: &FloodEvent, configuration: &Configuration, is_chinese: bool) -> Markup {
    let title = title(event, configuration, is_chinese);
    let at = |at: UnixMillis| local(configuration, at, "%m-%d %H:%M:%S");
    let head = |zh: &'static str, en: &'static str| if is_chinese { zh } else { en };
    html! {
        (DOCTYPE)
        html lang=(head("zh", "en")) {
            head { meta charset="utf-8"; title { (title) } style { (PreEscaped(STYLE)) } }
            body {
                h1 { (title) }
                @for of in &event.sumps {
                    p { (figures(of, is_chinese)) }
                    (chart::svg(&of.chart, is_chinese))
                }
                h2 { (head("经过", "What happened")) }
                table {
                    @for row in &event.rows {
                        @let (what, words) = said(row, configuration, is_chinese);
                        tr { td { (at(row.at)) } td { (what) } td { (words) } }
                    }
                }
                h2 { (head("告警", "Alarms")) }
                table {
                    @for (moment, priority, words) in raised(event, is_chinese) {
                        tr { td { (at(moment)) } td { (priority) } td { (words) } }
                    }
                }
            }
        }
    }
}

fn write(path: &Path, text: &str) -> CommandOutcome {
    std::fs::write(path, text)
        .map_err(|e| CommandFailure::later(format!("cannot write {}", path.display())).because(e.to_string()))?;
    output::line(path.display().to_string());
    Ok(())
}
