//! `plantroom energy export` and `verify`: everything that an auditor takes along in one file, and whether a file is still what the ledger
//! says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::energy_cost::costs_of;
use crate::cli::energy_question::{QueryArgs, Question};
use crate::cli::energy_readings::gaps_table;
use crate::cli::energy_report::{By, Group, meters_table, reconcile_table, report_table, step_of};
use crate::cli::export_file::{self, FileTable, SHEET_COLUMNS_MAX, SHEET_ROWS_MAX};
use crate::cli::ledger::failed;
use crate::cli::output::Format;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::energy::calendar::bounds;
use crate::energy::closure::Signature;
use crate::energy::consumption::Consumption;
use crate::energy::interval::IntervalQuality;
use crate::energy::meter::EndUse;
use crate::model::time::UnixMillis;
use crate::report::table::{Cell, ReportTable};

/// Name of the sheet that says how the others were made.
const MADE: &str = "how it was made";
/// Tables that are lists.
const LISTS: [&str; 3] = ["meters", "gaps", "events"];
/// Differences that are printed.
const SHOWN_MAX: usize = 20;

/// What is exported, and where to.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// FILE.xlsx, FILE.json or FILE.csv.
    file: PathBuf,
    #[command(flatten)]
    query: QueryArgs,
    /// Length of the rows of consumption and readings.
    #[arg(long, value_enum, default_value_t = By::Interval)]
    by: By,
}

/// Which file is verified.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// An export: FILE.xlsx or FILE.json.
    file: PathBuf,
}

pub fn export(global: &Global, args: &ExportArgs) -> CommandOutcome {
    let kind = args.file.extension().and_then(|e| e.to_str()).unwrap_or_default().to_string();
    if !["xlsx", "json", "csv"].contains(&kind.as_str()) {
        return Err(CommandFailure::usage(format!("`{}` says no form", args.file.display()))
            .hint("FILE.xlsx, FILE.json or FILE.csv"));
    }
    let question = Question::open(global, &args.query)?;
    let zone = question.query.zone.clone();
    let wrote = |error: std::io::Error| {
        CommandFailure::later(format!("cannot write {}", args.file.display())).because(error.to_string())
    };
    let tables = if kind == "csv" { vec![rows_table(&question, args.by)?] } else { tables(&question, args)? };
    // It takes the name only when it is whole.
    let part = args.file.with_extension("part");
    match kind.as_str() {
        "csv" => export_file::write_csv(&part, &tables[0], &zone).map_err(wrote)?,
        "json" => export_file::write_json(&part, &tables, &zone).map_err(wrote)?,
        _ => export_file::write_workbook(&part, &tables, &zone).map_err(|e| wrote(std::io::Error::other(e)))?,
    }
    std::fs::rename(&part, &args.file).map_err(wrote)?;
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    output::line(format!("{}: {} tables, {rows} rows", args.file.display(), tables.len()));
    Ok(())
}

/// Every sheet of an export; the last one says how they were made.
fn tables(question: &Question, args: &ExportArgs) -> Result<Vec<ReportTable>, CommandFailure> {
    let grid =
        bounds(question.range.from, question.range.to, step_of(args.by, question.query.minutes), &question.query.zone);
    if grid.len() > SHEET_ROWS_MAX || question.subjects.len() >= SHEET_COLUMNS_MAX {
        let what = format!("{} rows of {} points do not fit a sheet", grid.len(), question.subjects.len());
        return Err(CommandFailure::usage(what).hint("a shorter --period, --by hour or --by day, or --unit kWh"));
    }
    let mut out = vec![report_table(question, None, Group::Point, false)?];
    out.extend(wide(question, &grid)?);
    out.push(readings_at(question, &grid)?);
    out.push(meters_table(&question.query));
    out.push(gaps_table(question)?);
    out.push(events(question));
    out.push(costs_of(question, false)?);
    out.push(reconcile_table(question)?);
    let zone = &question.query.zone;
    let files: Vec<FileTable> = out.iter().map(|table| export_file::file_table(table, zone)).collect();
    out.push(made(question, args, &export_file::hash(&files))?);
    Ok(out)
}

/// Consumption with a column for each point, and the quality of what is not measured in the same places.
fn wide(question: &Question, grid: &[UnixMillis]) -> Result<[ReportTable; 2], CommandFailure> {
    let subjects = &question.subjects;
    let mut head = vec!["from".to_string()];
    head.extend(subjects.iter().map(|subject| format!("{} ({})", subject.id, subject.unit)));
    let times: Vec<UnixMillis> = grid[..grid.len().saturating_sub(1)].to_vec();
    let mut consumed: Vec<Vec<Cell>> = times.iter().map(|at| vec![Cell::Time(*at)]).collect();
    let mut quality = consumed.clone();
    let mut progress = output::Progress::new("reading the ledger", subjects.len());
    for subject in subjects {
        let consumption = question.query.consumption(subject, question.range).map_err(|error| failed(&error))?;
        for ((interval, consumed), quality) in consumption.intervals(grid).iter().zip(&mut consumed).zip(&mut quality) {
            consumed.push(Cell::number(interval.consumed));
            let is_measured = interval.quality == IntervalQuality::Measured;
            quality.push(Cell::text(if is_measured { "" } else { interval.quality.word() }));
        }
        progress.step();
    }
    let table = |name, rows| ReportTable { name, head: head.clone(), rows };
    Ok([table("intervals", consumed), table("quality", quality)])
}

/// The readings that stand at the boundaries, with a column for each register.
fn readings_at(question: &Question, grid: &[UnixMillis]) -> Result<ReportTable, CommandFailure> {
    let mut head = vec!["at".to_string()];
    let mut rows: Vec<Vec<Cell>> = grid.iter().map(|at| vec![Cell::Time(*at)]).collect();
    for subject in &question.subjects {
        let of_point =
            subject.point.as_ref().map(|point| point.meters().iter().map(|meter| meter.register.clone()).collect());
        let mut registers: Vec<String> = of_point.unwrap_or_else(|| vec![subject.id.clone()]);
        registers.dedup();
        for register in registers {
            let profile = question.query.profile(&register, question.range).map_err(|error| failed(&error))?;
            for (row, at) in rows.iter_mut().zip(grid) {
                row.push(Cell::number(profile.reading_at(*at).map(|reading| reading.value)));
            }
            head.push(register);
        }
    }
    Ok(ReportTable { name: "readings", head, rows })
}

/// What people said: decisions, readings, corrections, closed months.
fn events(question: &Question) -> ReportTable {
    let records = &question.query.records;
    let mut rows: Vec<(UnixMillis, Vec<Cell>)> = Vec::new();
    let mut add = |subject: &str, what: &str, details: String, signature: &Signature| {
        let Signature { actor, via, reason, at } = signature;
        let who = [actor, via, reason].map(Cell::text);
        let mut row = vec![Cell::Time(*at), Cell::text(subject), Cell::text(what), Cell::text(details)];
        row.extend(who);
        rows.push((*at, row));
    };
    let at = |at: UnixMillis| at.local(&question.query.zone);
    for (register, versions) in &records.decisions {
        for v in versions {
            let (before, after) = (v.boundary.before, v.boundary.after);
            let (left, right) = (at(before.at), at(after.at));
            let details = format!("{} at {left} -> {} at {right}: {} counted", before.value, after.value, v.counted);
            add(register, v.classification.word(), details, &v.signature);
        }
    }
    for (register, versions) in &records.entries {
        for v in versions {
            add(register, v.entry.word(), serde_json::to_string(&v.entry).unwrap_or_default(), &v.signature);
        }
    }
    for (month, closure) in &records.closures {
        for (i, revision) in closure.revisions.iter().enumerate() {
            add(month, "month_closed", format!("revision {}", i + 1), &revision.closed);
            if let Some(reopened) = &revision.reopened {
                add(month, "month_reopened", format!("revision {}", i + 1), reopened);
            }
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    let head = ["at", "of", "event", "details", "actor", "via", "reason"];
    ReportTable::new("events", &head, rows.into_iter().map(|(_, row)| row).collect())
}

/// How an export was made: enough to make it again.
fn made(question: &Question, args: &ExportArgs, hash: &str) -> Result<ReportTable, CommandFailure> {
    let query = &question.query;
    let text = |key: &str, value: String| vec![Cell::text(key), Cell::text(value)];
    let cursor = query.ledger().cursor().map_err(|error| failed(&error))?.unwrap_or_default();
    let by = clap::ValueEnum::to_possible_value(&args.by).map(|value| value.get_name().to_string()).unwrap_or_default();
    let rows = vec![
        text("program", format!("plantroom {}", env!("CARGO_PKG_VERSION"))),
        text("made_at", question.now.local(&query.zone)),
        text("made_by", crate::cli::user_name()),
        text("names", args.query.names.join(" ")),
        text("unit", args.query.unit.clone().unwrap_or_default()),
        text("all", if args.query.all { "yes" } else { "" }.to_string()),
        text("by", by),
        text("from", question.range.from.local(&query.zone)),
        text("to", question.range.to.local(&query.zone)),
        text("time_zone", query.zone.iana_name().unwrap_or("UTC").to_string()),
        text("intervals", format!("{} minutes, named by their start, aligned to the hour of the zone", query.minutes)),
        text("rounding", "none: differences of readings; values between two readings to 6 decimals, a half away from zero; money to the cent, a half away from zero".to_string()),
        text("empty_cell", "not known, which is not 0".to_string()),
        text("ledger_position", cursor),
        text("sha256", hash.to_string()),
        text("verify", "plantroom energy verify FILE".to_string()),
    ];
    Ok(ReportTable::new(MADE, &["key", "value"], rows))
}

/// A row for each point and interval, as a database takes it.
fn rows_table(question: &Question, by: By) -> Result<ReportTable, CommandFailure> {
    let head = [
        "point_id",
        "name_zh",
        "end_use",
        "interval_start",
        "interval_s",
        "value",
        "unit",
        "quality",
        "method",
        "first_reading",
        "last_reading",
        "meter_id",
        "multiplier",
    ];
    let step = step_of(by, question.query.minutes);
    let grid = bounds(question.range.from, question.range.to, step, &question.query.zone);
    let mut rows = Vec::new();
    let mut progress = output::Progress::new("reading the ledger", question.subjects.len());
    for subject in &question.subjects {
        let consumption = question.query.consumption(subject, question.range).map_err(|error| failed(&error))?;
        for interval in consumption.intervals(&grid) {
            let point = subject.point.as_ref();
            let meter = point.and_then(|p| p.meters().iter().rev().find(|meter| meter.from <= interval.start));
            let method = match (&consumption, interval.quality) {
                (Consumption::Combined(_) | Consumption::Group(_), _) => "formula",
                (_, IntervalQuality::Allocated) => "allocated",
                (_, IntervalQuality::Decided) => "manual",
                (_, IntervalQuality::Missing) => "",
                _ => "register",
            };
            rows.push(vec![
                Cell::text(&subject.id),
                Cell::text(point.map(|p| p.zh.clone()).unwrap_or_default()),
                Cell::text(point.and_then(|p| p.end_use).map(EndUse::word).unwrap_or_default()),
                Cell::Time(interval.start),
                Cell::Number(((interval.end.0 - interval.start.0) / 1_000).into()),
                Cell::number(interval.consumed),
                Cell::text(&subject.unit),
                Cell::text(interval.quality.word()),
                Cell::text(method),
                Cell::number(interval.readings.map(|(first, _)| first.value)),
                Cell::number(interval.readings.map(|(_, last)| last.value)),
                Cell::text(meter.and_then(|m| m.serial.clone()).unwrap_or_default()),
                Cell::number(meter.map(|m| m.multiplier)),
            ]);
        }
        progress.step();
    }
    Ok(ReportTable::new("intervals", &head, rows))
}

pub fn verify(global: &Global, args: &VerifyArgs) -> CommandOutcome {
    let shown = args.file.display();
    let there = export_file::read(&args.file).map_err(|why| {
        CommandFailure::usage(format!("{shown} cannot be read"))
            .because(why)
            .hint("an export as FILE.xlsx or FILE.json")
    })?;
    let Some(made) = there.iter().find(|table| table.name == MADE) else {
        return Err(CommandFailure::usage(format!("{shown} is no export: it has no sheet `{MADE}`")));
    };
    let value = |key: &str| {
        made.rows.iter().find(|row| row.first().is_some_and(|k| k == key)).and_then(|row| row.get(1).cloned())
    };
    let by = value("by").and_then(|by| <By as clap::ValueEnum>::from_str(&by, false).ok());
    let (Some(from), Some(to), Some(by)) = (value("from"), value("to"), by) else {
        return Err(CommandFailure::usage(format!("{shown} does not say how it was made"))
            .hint("from, to and by of its last sheet"));
    };
    let rest: Vec<FileTable> = there.iter().filter(|table| table.name != MADE).cloned().collect();
    let is_as_written = value("sha256").is_some_and(|hash| hash == export_file::hash(&rest));
    let names: Vec<String> = value("names").unwrap_or_default().split_whitespace().map(ToString::to_string).collect();
    let unit = value("unit").filter(|unit| !unit.is_empty());
    let all = value("all").is_some_and(|all| all == "yes");
    let query =
        QueryArgs { names, unit, all, period: "today".into(), from: Some(from), to: Some(to), format: Format::Table };
    let question = Question::open(global, &query)?;
    let again = tables(&question, &ExportArgs { file: args.file.clone(), query, by })?;
    let zone = &question.query.zone;
    let again: Vec<FileTable> =
        again.iter().filter(|t| t.name != MADE).map(|t| export_file::file_table(t, zone)).collect();
    let differences = differences(&rest, &again);
    differences.iter().take(SHOWN_MAX).for_each(output::line);
    if differences.len() > SHOWN_MAX {
        output::line(format!("and {} more", differences.len() - SHOWN_MAX));
    }
    let edited =
        if is_as_written { "the file is as it was written" } else { "the file was changed after it was written" };
    if differences.is_empty() && is_as_written {
        output::line(format!("{shown}: every cell is what the ledger says, and {edited}"));
        return Ok(());
    }
    let since = if is_as_written {
        "decisions, corrections or settings changed since, or later readings withdrew what was in doubt: sheet `events`, `plantroom audit`"
    } else {
        "ask for the original"
    };
    Err(CommandFailure::damaged(format!("{} cells differ from the ledger; {edited}", differences.len())).hint(since))
}

/// Cells that differ, as a spreadsheet names them.
fn differences(there: &[FileTable], again: &[FileTable]) -> Vec<String> {
    let mut out = Vec::new();
    for table in again {
        let Some(of_file) = there.iter().find(|other| other.name == table.name) else {
            out.push(format!("{}: the file has no such table", table.name));
            continue;
        };
        if LISTS.contains(&table.name.as_str()) {
            out.extend(rows_that_differ(of_file, table));
            continue;
        }
        let none = Vec::new();
        for at in 0..table.rows.len().max(of_file.rows.len()) {
            let (left, right) = (of_file.rows.get(at).unwrap_or(&none), table.rows.get(at).unwrap_or(&none));
            for column in 0..left.len().max(right.len()) {
                let text = |row: &Vec<String>| row.get(column).cloned().unwrap_or_default();
                let (left, right) = (text(left), text(right));
                if left != right {
                    let cell = format!("{}!{}{}", table.name, column_name(column), at + 1);
                    let said = |text: &str| if text.is_empty() { "nothing".to_string() } else { text.to_string() };
                    out.push(format!("{cell}: the file says {}, the ledger {}", said(&left), said(&right)));
                }
            }
        }
    }
    out
}

/// Rows of a list that only one of two tables has: a row more does not move the others.
fn rows_that_differ(of_file: &FileTable, again: &FileTable) -> Vec<String> {
    let only = |rows: &FileTable, other: &FileTable, says: &str| {
        let others: BTreeSet<&Vec<String>> = other.rows.iter().collect();
        let of = rows.rows.iter().filter(|row| !others.contains(row));
        of.map(|row| format!("{}: only {says} has: {}", rows.name, row.join(" "))).collect::<Vec<_>>()
    };
    let mut out = only(of_file, again, "the file");
    out.extend(only(again, of_file, "the ledger"));
    out
}

/// A, B, …, Z, AA.
fn column_name(mut column: usize) -> String {
    let mut out = String::new();
    loop {
        out.insert(0, char::from(b'A' + u8::try_from(column % 26).unwrap_or_default()));
        if column < 26 {
            return out;
        }
        column = column / 26 - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_in_a_spreadsheet() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(column_name), ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }
}
