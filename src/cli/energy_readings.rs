//! `plantroom energy readings` and `gaps`: what is kept of registers, and where figures are not measured.

use crate::cli::energy_question::Question;
use crate::cli::ledger::{failed, number};
use crate::cli::{CommandOutcome, output};
use crate::energy::calendar::{Step, bounds};
use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::metering::Subject;
use crate::energy::span::{RegisterEvent, RegisterEventKind, SpanState};
use crate::model::metering::{RegisterReading, TimeRange};
use crate::model::time::UnixMillis;
use crate::report::table::{Cell, ReportTable};

/// Registers of the subjects that are meant, each with the subject's id and unit.
fn registers(question: &Question) -> Vec<(String, String, String)> {
    let of = |subject: &Subject| {
        let own = |register: &str| (subject.id.clone(), register.to_string(), subject.unit.clone());
        match &subject.point {
            Some(point) => point.meters().iter().map(|meter| own(&meter.register)).collect::<Vec<_>>(),
            None => vec![own(&subject.id)],
        }
    };
    let mut all: Vec<_> = question.subjects.iter().flat_map(of).collect();
    all.dedup();
    all
}

/// The kept readings of registers, and those that people entered.
pub fn readings_table(question: &Question) -> Result<ReportTable, crate::cli::CommandFailure> {
    let head = vec!["point", "register", "unit", "at", "reading", "span", "counts"];
    let mut rows = Vec::new();
    let TimeRange { from, to } = question.range;
    for (id, register, unit) in registers(question) {
        let row = |at: UnixMillis, value, span: Cell, counts: &str| {
            vec![
                Cell::text(&id),
                Cell::text(&register),
                Cell::text(&unit),
                Cell::Time(at),
                Cell::number(Some(value)),
                span,
                Cell::text(counts),
            ]
        };
        let mut of: Vec<(UnixMillis, Vec<Cell>)> = Vec::new();
        if let Some(series) = question.query.series(&register) {
            let spans = question.query.ledger().spans(series.id).map_err(|error| failed(&error))?;
            for mark in question.query.ledger().readings(series.id, from, to).map_err(|error| failed(&error))? {
                let counts = match spans.iter().find(|span| span.number == mark.span).map(|span| span.state) {
                    Some(SpanState::Accepted) => "yes",
                    Some(SpanState::Pending) => "pending",
                    Some(SpanState::Withdrawn) | None => "withdrawn",
                };
                of.push((
                    mark.reading.at,
                    row(mark.reading.at, mark.reading.value, Cell::Number(mark.span.into()), counts),
                ));
            }
        }
        let profile = question.query.profile(&register, question.range).map_err(|error| failed(&error))?;
        for reading in question.query.entered_readings(&register) {
            let is_none = profile.contradicting().contains(&reading);
            let counts = if is_none { "no: it contradicts the register" } else { "entered" };
            if from <= reading.at && reading.at < to {
                of.push((reading.at, row(reading.at, reading.value, Cell::Empty, counts)));
            }
        }
        of.sort_by_key(|(at, _)| *at);
        rows.extend(of.into_iter().map(|(_, row)| row));
    }
    Ok(ReportTable::new("readings", &head, rows))
}

pub fn readings(question: &Question) -> CommandOutcome {
    question.print(&readings_table(question)?);
    Ok(())
}

pub fn gaps(question: &Question) -> CommandOutcome {
    let table = gaps_table(question)?;
    question.print(&table);
    if table.rows.is_empty() {
        output::note("every interval of this time is measured");
    }
    Ok(())
}

/// Everything that is not measured, and what happened to registers.
pub fn gaps_table(question: &Question) -> Result<ReportTable, crate::cli::CommandFailure> {
    let head = vec!["point", "register", "unit", "from", "to", "what", "consumed", "before", "after"];
    let mut rows = Vec::new();
    for (id, register, unit) in registers(question) {
        let profile = question.query.profile(&register, question.range).map_err(|error| failed(&error))?;
        let TimeRange { from, to } = question.range;
        let grid = bounds(from, to, Step::Minutes(question.query.minutes), &question.query.zone);
        let names = [Cell::text(&id), Cell::text(&register), Cell::text(&unit)];
        let mut found: Vec<(UnixMillis, Vec<Cell>)> = Vec::new();
        for gap in merged(&profile.intervals(&grid)) {
            found.push((gap.start, gap_row(question, &names, &gap)));
        }
        if let Some(series) = question.query.series(&register) {
            for event in question.query.ledger().events(series.id, from, to).map_err(|error| failed(&error))? {
                found.push((event.reading.at, event_row(question, &names, &event)));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        rows.extend(found.into_iter().map(|(_, row)| row));
    }
    Ok(ReportTable::new("gaps", &head, rows))
}

/// A reading with its date, for people.
fn reading_text(question: &Question, reading: Option<RegisterReading>) -> Cell {
    reading.map_or(Cell::Empty, |r| Cell::Text(format!("{} {}", number(r.value), question.at(r.at))))
}

/// Intervals of the same quality that follow each other as one; measured ones are left out.
fn merged(intervals: &[Interval]) -> Vec<Interval> {
    let mut out: Vec<Interval> = Vec::new();
    for interval in intervals.iter().filter(|i| i.quality != IntervalQuality::Measured) {
        match out.last_mut() {
            Some(last) if last.end == interval.start && last.quality == interval.quality => {
                last.end = interval.end;
                last.consumed = last.consumed.zip(interval.consumed).map(|(a, b)| a + b);
                last.readings = last.readings.zip(interval.readings).map(|(a, b)| (a.0, b.1));
            }
            _ => out.push(*interval),
        }
    }
    out
}

fn gap_row(question: &Question, names: &[Cell; 3], gap: &Interval) -> Vec<Cell> {
    let mut row = names.to_vec();
    row.extend([
        Cell::Time(gap.start),
        Cell::Time(gap.end),
        Cell::text(gap.quality.word()),
        Cell::number(gap.consumed),
        reading_text(question, gap.readings.map(|(first, _)| first)),
        reading_text(question, gap.readings.map(|(_, last)| last)),
    ]);
    row
}

fn event_row(question: &Question, names: &[Cell; 3], event: &RegisterEvent) -> Vec<Cell> {
    let what = match event.kind {
        RegisterEventKind::PendingBegan => "event: fell or jumped, nothing counts until it is back or proven",
        RegisterEventKind::PendingWithdrawn if event.before.is_some_and(|b| event.reading.value < b.value) => {
            "event: what was in doubt is withdrawn, it shows something else"
        }
        RegisterEventKind::PendingWithdrawn => "event: it is back, counted once",
        RegisterEventKind::Replaced => "event: another register, what lies before it waits for a person",
        RegisterEventKind::Returned => "event: the old register is back, the other one is withdrawn",
        RegisterEventKind::RolledOver => "event: rolled over",
        RegisterEventKind::ClockStep => "event: the date was set back",
    };
    let at = event.reading.at;
    let from = event.before.map_or(at, |before| before.at);
    let mut row = names.to_vec();
    row.extend([
        Cell::Time(from),
        Cell::Time(at),
        Cell::text(what),
        Cell::Empty,
        reading_text(question, event.before),
        reading_text(question, Some(event.reading)),
    ]);
    row
}
