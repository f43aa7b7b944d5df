//! `plantroom energy`: consumption from the ledger, with the two readings behind each figure. Every cumulative register is a metering
//! point of its own.

use std::collections::BTreeMap;

use clap::Subcommand;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::cli::energy_classify;
use crate::cli::history::{format_local, journal_now};
use crate::cli::ledger::{book_now, failed, number, open_ledger, versions};
use crate::cli::output::{BYTE_ORDER_MARK, Format};
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::clock::Clock;
use crate::config;
use crate::energy::calendar::{Step, bounds, grid_ms};
use crate::energy::decision::Decisions;
use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::profile::Profile;
use crate::energy::settings::EnergySettings;
use crate::energy::span::{RegisterEvent, RegisterEventKind, SpanState};
use crate::energy::summary::Summary;
use crate::journal::Journal;
use crate::ledger::{Ledger, Series};
use crate::model::metering::RegisterReading;
use crate::model::problem::did_you_mean;
use crate::model::time::UnixMillis;

/// Options of `energy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: EnergyCommand,
}

#[derive(Debug, Subcommand)]
enum EnergyCommand {
    /// What each register consumed in a period, with the readings at both ends and how complete it is.
    Report(ReportArgs),
    /// The readings that are kept of a register.
    Readings(QueryArgs),
    /// Where a figure is not measured: gaps, boundaries that nobody has explained, what is pending.
    Gaps(QueryArgs),
    /// Say what a boundary of a register was; without a register, list the boundaries that wait for a person.
    Classify(energy_classify::ClassifyArgs),
}

/// Which registers, which period, and the form of the output.
#[derive(Debug, clap::Args)]
struct QueryArgs {
    /// Devices, or registers as `device.point`. Default: all.
    names: Vec<String>,
    /// The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year.
    #[arg(long, default_value = "this-month", conflicts_with_all = ["from", "to"])]
    period: String,
    /// From: a date as in `history`, instead of a period.
    #[arg(long)]
    from: Option<String>,
    /// To: the same. Default: now.
    #[arg(long, requires = "from")]
    to: Option<String>,
    /// Only registers of this unit, such as kWh, m³, h.
    #[arg(long)]
    unit: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    #[command(flatten)]
    query: QueryArgs,
    /// A row for each of these instead of one for the period.
    #[arg(long, value_enum)]
    by: Option<By>,
}

/// The rows of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// The intervals of the configuration: a quarter of an hour, unless it says otherwise.
    Interval,
    /// Hours of the clock.
    Hour,
    /// Days of the site.
    Day,
    /// Months of the site.
    Month,
    /// Years of the site.
    Year,
}

/// An open ledger, and what the command line asks of it.
struct Question {
    ledger: Ledger,
    series: Vec<Series>,
    decisions: BTreeMap<String, Decisions>,
    from: UnixMillis,
    to: UnixMillis,
    zone: TimeZone,
    minutes: u32,
    format: Format,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, true);
    match &args.what {
        EnergyCommand::Report(report) => self::report(&open(global, &report.query)?, report.by),
        EnergyCommand::Readings(query) => readings(&open(global, query)?),
        EnergyCommand::Gaps(query) => gaps(&open(global, query)?),
        EnergyCommand::Classify(args) => energy_classify::run(global, args),
    }
}

fn open(global: &Global, query: &QueryArgs) -> Result<Question, CommandFailure> {
    book_now(global);
    let loaded = config::load(&global.config_in_force());
    let settings = loaded.configuration.as_ref();
    let journal_settings = settings.map(|c| c.journal.clone()).unwrap_or_default();
    let dir = global.journal_dir(&journal_settings)?;
    let ledger = open_ledger(global)?;
    let clock = Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0));
    let journal = Journal::open_read_only(&dir, &journal_settings, &clock)
        .map_err(|error| CommandFailure::caused("cannot open the journal", &error))?;
    let (now, zone) = (journal_now(&journal, &clock), global.zone());
    let (from, to) = match &query.from {
        None => period(&query.period, now, &zone)?,
        Some(from) => {
            let parse = |text: &str| crate::cli::history::parse_time(text, now, &zone);
            (parse(from)?, query.to.as_deref().map_or(Ok(now), parse)?)
        }
    };
    // What has not been yet is not missing.
    let to = to.min(now);
    if from >= to {
        return Err(CommandFailure::usage("the period ends before it begins, or has not begun"));
    }
    let series = select(&ledger, query)?;
    let minutes = settings.map_or(EnergySettings::default().interval_min, |c| c.energy.interval_min);
    let (from, to, format) = (UnixMillis(from), UnixMillis(to), query.format);
    let decisions = versions(global)?.iter().map(|(name, all)| (name.clone(), Decisions::in_force(all))).collect();
    Ok(Question { ledger, series, decisions, from, to, zone, minutes, format })
}

/// Beginning and end of a period, Unix milliseconds.
fn period(text: &str, now: i64, zone: &TimeZone) -> Result<(i64, i64), CommandFailure> {
    let today = || Some(Timestamp::from_millisecond(now).ok()?.to_zoned(zone.clone()).date());
    let dates = || {
        let month = |first: jiff::civil::Date| Some((first, first.checked_add(1.month()).ok()?));
        let year = |first: jiff::civil::Date| Some((first, first.checked_add(1.year()).ok()?));
        let day = |date: jiff::civil::Date| Some((date, date.tomorrow().ok()?));
        match text {
            "today" => day(today()?),
            "yesterday" => day(today()?.yesterday().ok()?),
            "this-month" => month(today()?.first_of_month()),
            "last-month" => month(today()?.first_of_month().checked_sub(1.month()).ok()?),
            "this-year" => year(today()?.first_of_year()),
            "last-year" => year(today()?.first_of_year().checked_sub(1.year()).ok()?),
            _ if text.len() == 4 => year(format!("{text}-01-01").parse().ok()?),
            _ if text.len() == 7 => month(format!("{text}-01").parse().ok()?),
            _ => day(text.parse().ok()?),
        }
    };
    let bounds = || {
        let (first, next) = dates()?;
        let at = |date: jiff::civil::Date| crate::energy::calendar::start_of(date, zone);
        Some((at(first)?.0, at(next)?.0))
    };
    bounds().ok_or_else(|| {
        CommandFailure::usage(format!("`{text}` is no period"))
            .hint("2026, 2026-11, 2026-11-27, today, yesterday, this-month, last-month; --from and --to for any other")
    })
}

/// The registers that are meant.
fn select(ledger: &Ledger, query: &QueryArgs) -> Result<Vec<Series>, CommandFailure> {
    let all = ledger.series().map_err(|error| failed(&error))?;
    for name in &query.names {
        let known = all.iter().any(|s| *s.device == **name || s.full_name() == *name);
        if !known {
            let names: Vec<String> = all.iter().map(Series::full_name).collect();
            let devices = all.iter().map(|s| &*s.device);
            let near = did_you_mean(name, names.iter().map(String::as_str).chain(devices));
            return Err(CommandFailure::usage(format!("the ledger has no register `{name}`")).hint(near));
        }
    }
    let is_named = |s: &Series| {
        query.names.is_empty() || query.names.iter().any(|name| *s.device == **name || s.full_name() == *name)
    };
    let is_of_unit = |s: &Series| query.unit.as_deref().is_none_or(|unit| s.meta.unit.as_deref() == Some(unit));
    let units: std::collections::BTreeSet<&str> = all.iter().filter_map(|s| s.meta.unit.as_deref()).collect();
    let units = units.into_iter().collect::<Vec<_>>().join(", ");
    let chosen: Vec<Series> = all.iter().filter(|s| is_named(s) && is_of_unit(s)).cloned().collect();
    match (chosen.is_empty(), &query.unit) {
        (true, Some(unit)) => {
            Err(CommandFailure::usage(format!("no register has the unit `{unit}`")).hint(format!("there are: {units}")))
        }
        (true, None) => Err(CommandFailure::later("the ledger has no register yet").hint(
            "it books what is on disk and has a date: `plantroom status` says whether the clock is trusted (`plantroom clock accept`)",
        )),
        (false, _) => Ok(chosen),
    }
}

impl Question {
    fn profile(&self, series: &Series) -> Result<Profile, CommandFailure> {
        let decisions = self.decisions.get(&series.full_name()).cloned().unwrap_or_default();
        let profile = self.ledger.profile(series.id, (self.from, self.to), &decisions, grid_ms(self.minutes));
        profile.map_err(|error| failed(&error))
    }

    fn at(&self, at: UnixMillis) -> String {
        format_local(at.0, &self.zone)
    }

    /// Value and date of a reading; empty where there is none.
    fn reading(&self, reading: Option<RegisterReading>) -> [String; 2] {
        reading.map_or_else(Default::default, |r| [number(r.value), self.at(r.at)])
    }

    fn print(&self, head: &[&str], rows: &[Vec<String>]) {
        if self.format == Format::Csv {
            output::raw(BYTE_ORDER_MARK);
        }
        output::list(self.format, head, rows);
    }
}

fn report(question: &Question, by: Option<By>) -> CommandOutcome {
    let head = [
        "device",
        "point",
        "unit",
        "from",
        "to",
        "consumed",
        "quality",
        "complete_pct",
        "max_demand",
        "max_demand_at",
        "allocated",
        "opening",
        "opening_at",
        "closing",
        "closing_at",
    ];
    let step = by.map(|by| match by {
        By::Interval => Step::Minutes(question.minutes),
        By::Hour => Step::Minutes(60),
        By::Day => Step::Day,
        By::Month => Step::Month,
        By::Year => Step::Year,
    });
    let mut rows = Vec::new();
    for series in &question.series {
        let profile = question.profile(series)?;
        let periods = match step {
            Some(step) => bounds(question.from, question.to, step, &question.zone),
            None => vec![question.from, question.to],
        };
        for pair in periods.windows(2) {
            let summary = Summary::of(&profile, (pair[0], pair[1]), question.minutes, &question.zone);
            rows.push(report_row(question, series, &summary));
        }
    }
    question.print(&head, &rows);
    explain_qualities(question, &rows);
    Ok(())
}

fn report_row(question: &Question, series: &Series, summary: &Summary) -> Vec<String> {
    let Interval { start, end, consumed, quality, readings } = summary.whole;
    let [opening, opening_at] = question.reading(readings.map(|(first, _)| first));
    let demand = summary.max_demand();
    let [closing, closing_at] = question.reading(readings.map(|(_, last)| last));
    vec![
        series.device.to_string(),
        series.meta.name.to_string(),
        series.meta.unit.as_deref().unwrap_or_default().to_string(),
        question.at(start),
        question.at(end),
        consumed.map(number).unwrap_or_default(),
        quality.word().to_string(),
        summary.complete_pct().to_string(),
        demand.map(|(_, rate)| number(rate.round_dp(6))).unwrap_or_default(),
        demand.map(|(at, _)| question.at(at)).unwrap_or_default(),
        number(summary.allocated),
        opening,
        opening_at,
        closing,
        closing_at,
    ]
}

/// What the words of a table mean, for whoever reads it the first time.
fn explain_qualities(question: &Question, rows: &[Vec<String>]) {
    if question.format != Format::Table {
        return;
    }
    let has = |quality: IntervalQuality| rows.iter().any(|row| row.iter().any(|cell| cell == quality.word()));
    let meanings = [
        (
            IntervalQuality::Partial,
            "partial: the first or last reading lies within the period; what came before or after is not known",
        ),
        (
            IntervalQuality::Pending,
            "pending: a boundary that nobody has explained lies in it and counts nothing; see `plantroom energy gaps`",
        ),
        (IntervalQuality::Allocated, "allocated: it begins or ends in a gap, whose energy is divided evenly"),
        (IntervalQuality::Interpolated, "interpolated: an end lies between two readings"),
        (IntervalQuality::Missing, "missing: there is no reading, which is not 0"),
    ];
    for (quality, meaning) in meanings {
        if has(quality) {
            output::note(meaning);
        }
    }
}

fn readings(question: &Question) -> CommandOutcome {
    let head = ["device", "point", "unit", "at", "reading", "span", "counts"];
    let mut rows = Vec::new();
    for series in &question.series {
        let spans = question.ledger.spans(series.id).map_err(|error| failed(&error))?;
        let kept = question.ledger.readings(series.id, question.from, question.to).map_err(|error| failed(&error))?;
        for mark in kept {
            let state = spans.iter().find(|span| span.number == mark.span).map(|span| span.state);
            rows.push(vec![
                series.device.to_string(),
                series.meta.name.to_string(),
                series.meta.unit.as_deref().unwrap_or_default().to_string(),
                question.at(mark.reading.at),
                number(mark.reading.value),
                mark.span.to_string(),
                match state {
                    Some(SpanState::Accepted) => "yes",
                    Some(SpanState::Pending) => "pending",
                    Some(SpanState::Withdrawn) | None => "withdrawn",
                }
                .to_string(),
            ]);
        }
    }
    question.print(&head, &rows);
    Ok(())
}

fn gaps(question: &Question) -> CommandOutcome {
    let head = ["device", "point", "unit", "from", "to", "what", "consumed", "before", "after"];
    let mut rows = Vec::new();
    for series in &question.series {
        let profile = question.profile(series)?;
        let grid = bounds(question.from, question.to, Step::Minutes(question.minutes), &question.zone);
        let mut found: Vec<(UnixMillis, Vec<String>)> = Vec::new();
        for gap in merged(&profile.intervals(&grid)) {
            found.push((gap.start, gap_row(question, series, &gap)));
        }
        let events = question.ledger.events(series.id, question.from, question.to);
        for event in events.map_err(|error| failed(&error))? {
            found.push((event.reading.at, event_row(question, series, &event)));
        }
        found.sort_by_key(|(at, _)| *at);
        rows.extend(found.into_iter().map(|(_, row)| row));
    }
    question.print(&head, &rows);
    if rows.is_empty() {
        output::note("every interval of this time is measured");
    }
    Ok(())
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

fn gap_row(question: &Question, series: &Series, gap: &Interval) -> Vec<String> {
    let reading = |r: Option<RegisterReading>| question.reading(r).join(" ").trim().to_string();
    row(
        question,
        series,
        (gap.start, gap.end),
        gap.quality.word(),
        [
            gap.consumed.map(number).unwrap_or_default(),
            reading(gap.readings.map(|(first, _)| first)),
            reading(gap.readings.map(|(_, last)| last)),
        ],
    )
}

fn event_row(question: &Question, series: &Series, event: &RegisterEvent) -> Vec<String> {
    let what = match event.kind {
        RegisterEventKind::PendingBegan => "event: fell or jumped, nothing counts until it is back or proven",
        RegisterEventKind::PendingWithdrawn => "event: it is back, counted once",
        RegisterEventKind::Replaced => "event: another register, what lies before it waits for a person",
        RegisterEventKind::Returned => "event: the old register is back, the other one is withdrawn",
        RegisterEventKind::RolledOver => "event: rolled over",
        RegisterEventKind::ClockStep => "event: the date was set back",
    };
    let at = event.reading.at;
    let from = event.before.map_or(at, |before| before.at);
    let reading = |r: Option<RegisterReading>| question.reading(r).join(" ").trim().to_string();
    row(question, series, (from, at), what, [String::new(), reading(event.before), reading(Some(event.reading))])
}

fn row(
    question: &Question,
    series: &Series,
    (from, to): (UnixMillis, UnixMillis),
    what: &str,
    figures: [String; 3],
) -> Vec<String> {
    let mut row = vec![
        series.device.to_string(),
        series.meta.name.to_string(),
        series.meta.unit.as_deref().unwrap_or_default().to_string(),
        question.at(from),
        question.at(to),
        what.to_string(),
    ];
    row.extend(figures);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_sites() {
        let zone = TimeZone::get("Europe/London").unwrap();
        let at = |text: &str| text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone.clone()).unwrap();
        let now = at("2026-03-29T12:00").timestamp().as_millisecond();
        let hours = |text: &str| period(text, now, &zone).map(|(from, to)| (to - from) / 3_600_000).ok();
        assert_eq!((hours("today"), hours("2026-10-25"), hours("yesterday")), (Some(23), Some(25), Some(24)));
        assert_eq!(
            (hours("last-month"), hours("this-month"), hours("2024")),
            (Some(28 * 24), Some(31 * 24 - 1), Some(366 * 24))
        );
        assert_eq!((hours("2026-13"), hours("gestern"), hours("99999-1")), (None, None, None));
    }
}
