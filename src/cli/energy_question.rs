//! What the command line asks of the ledger: which metering points and registers, in which period.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::cli::history::{format_local, journal_now};
use crate::cli::ledger::{book_now, open_ledger};
use crate::cli::output::{BYTE_ORDER_MARK, Format};
use crate::cli::{Args as Global, CommandFailure, output};
use crate::clock::Clock;
use crate::config;
use crate::energy::metering::Subject;
use crate::energy::tariff::Contract;
use crate::journal::Journal;
use crate::ledger::query::LedgerQuery;
use crate::model::metering::TimeRange;
use crate::model::problem::did_you_mean;
use crate::model::time::UnixMillis;
use crate::report::table::{Cell, ReportTable};

/// Which metering points and registers, which period, and the form of the output.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryArgs {
    /// Metering points, devices, or registers as `device.point`. Default: all.
    pub names: Vec<String>,
    /// The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year.
    #[arg(long, default_value = "this-month", conflicts_with_all = ["from", "to"])]
    pub period: String,
    /// From: a date as in `history`, instead of a period.
    #[arg(long)]
    pub from: Option<String>,
    /// To: the same. Default: now.
    #[arg(long, requires = "from")]
    pub to: Option<String>,
    /// Only what has this unit, such as kWh, m³, h.
    #[arg(long)]
    pub unit: Option<String>,
    /// Registers that belong to no metering point too, where there are metering points.
    #[arg(long)]
    pub all: bool,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// An open ledger, and what the command line asks of it.
pub struct Question {
    /// The ledger with all that figures depend on.
    pub query: LedgerQuery,
    /// What rows are about.
    pub subjects: Vec<Subject>,
    /// The period, up to now at most.
    pub range: TimeRange,
    /// This moment.
    pub now: UnixMillis,
    /// Contracts of the configuration.
    pub contracts: Arc<Vec<Contract>>,
    pub journal: Journal,
    /// Zone of the times in the output.
    shown_in: TimeZone,
    format: Format,
}

impl Question {
    /// Opens the ledger of the configured gateway.
    ///
    /// # Errors
    /// There is none, it cannot be read, or the period or a name is none.
    pub fn open(global: &Global, query: &QueryArgs) -> Result<Self, CommandFailure> {
        book_now(global);
        let loaded = config::load(&global.config_in_force());
        let settings = loaded.configuration.as_ref();
        let journal_settings = settings.map(|c| c.journal.clone()).unwrap_or_default();
        let dir = global.journal_dir(&journal_settings)?;
        let ledger = open_ledger(global, settings)?;
        let clock = Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0));
        let journal = Journal::open_read_only(&dir, &journal_settings, &clock)
            .map_err(|error| CommandFailure::caused("cannot open the journal", &error))?;
        let now = journal_now(&journal, &clock);
        let (from, to) = match &query.from {
            None => period(&query.period, now, &ledger.zone)?,
            Some(from) => {
                let parse = |text: &str| crate::cli::history::parse_time(text, now, &ledger.zone);
                (parse(from)?, query.to.as_deref().map_or(Ok(now), parse)?)
            }
        };
        // What has not been yet is not missing.
        let to = to.min(now);
        if from >= to {
            return Err(CommandFailure::usage("the period ends before it begins, or has not begun"));
        }
        let subjects = select(&ledger, query)?;
        let range = TimeRange { from: UnixMillis(from), to: UnixMillis(to) };
        let shown_in = if global.utc { TimeZone::UTC } else { ledger.zone.clone() };
        let contracts = settings.map(|c| Arc::clone(&c.contracts)).unwrap_or_default();
        let now = UnixMillis(now);
        Ok(Self { query: ledger, subjects, range, now, contracts, journal, shown_in, format: query.format })
    }

    /// A moment as it is printed.
    pub fn at(&self, at: UnixMillis) -> String {
        format_local(at.0, &self.shown_in)
    }

    /// The form of the output.
    pub fn format(&self) -> Format {
        self.format
    }

    pub fn print(&self, table: &ReportTable) {
        print_table(self.format, table, &self.shown_in);
    }
}

/// Prints a table; people are spared columns that are empty in every row.
pub fn print_table(format: Format, table: &ReportTable, zone: &TimeZone) {
    let is_filled =
        |column: usize| table.rows.iter().any(|row| row.get(column).is_some_and(|cell| *cell != Cell::Empty));
    let is_shown = |column: usize| format != Format::Table || table.rows.is_empty() || is_filled(column);
    let head: Vec<&str> = (0..table.head.len()).filter(|c| is_shown(*c)).map(|c| table.head[c].as_str()).collect();
    let text = |cell: &Cell| match cell {
        Cell::Time(at) if format == Format::Table => short_time(*at, zone),
        _ => cell_text(cell, zone),
    };
    let row =
        |row: &Vec<Cell>| row.iter().enumerate().filter(|(c, _)| is_shown(*c)).map(|(_, cell)| text(cell)).collect();
    let rows: Vec<Vec<String>> = table.rows.iter().map(row).collect();
    if format == Format::Csv {
        output::raw(BYTE_ORDER_MARK);
    }
    output::list(format, &head, &rows);
    let has_times = table.rows.iter().flatten().any(|cell| matches!(cell, Cell::Time(_)));
    if format == Format::Table && has_times {
        output::note(format!("times in {}", zone.iana_name().unwrap_or("UTC")));
    }
}

/// A moment for people: without zone, and without what is 0 of seconds.
fn short_time(at: UnixMillis, zone: &TimeZone) -> String {
    let full = at.local(zone);
    let (date, rest) = full.split_at(full.len().min(10));
    let time = rest.trim_start_matches('T');
    let shown = match time.get(5..12) {
        Some(":00.000") => &time[..5],
        Some(seconds) if seconds.ends_with(".000") => &time[..8],
        _ => time.get(..12).unwrap_or(time),
    };
    format!("{date} {shown}")
}

/// A cell as a text.
pub fn cell_text(cell: &Cell, zone: &TimeZone) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => text.clone(),
        Cell::Number(value) => value.to_string(),
        Cell::Time(at) => format_local(at.0, zone),
    }
}

/// The subjects that are meant.
fn select(ledger: &LedgerQuery, query: &QueryArgs) -> Result<Vec<Subject>, CommandFailure> {
    let all = ledger.subjects();
    // A register of a metering point is found by its own name, too.
    let named = |name: &String| {
        let of_device = |s: &&Subject| s.id == *name || s.device.as_deref() == Some(name);
        let mut found: Vec<Subject> = all.iter().filter(of_device).cloned().collect();
        let of_register = ledger.plan.points.values().filter(|point| {
            let is_meant =
                |register: &str| register == name || register.split_once('.').is_some_and(|(d, _)| d == name);
            point.meters().iter().any(|meter| is_meant(&meter.register))
        });
        let is_other = |s: &&Subject| of_register.clone().any(|point| point.id == s.id);
        found.extend(all.iter().filter(is_other).filter(|s| s.id != *name).cloned());
        found
    };
    let mut chosen: Vec<Subject> = Vec::new();
    for name in &query.names {
        let found = named(name);
        if found.is_empty() {
            let devices = all.iter().filter_map(|s| s.device.as_deref());
            let near = did_you_mean(name, all.iter().map(|s| s.id.as_str()).chain(devices));
            return Err(CommandFailure::usage(format!("there is no metering point or register `{name}`")).hint(near));
        }
        chosen.extend(found.into_iter().filter(|s| !chosen.iter().any(|c| c.id == s.id)).collect::<Vec<_>>());
    }
    if query.names.is_empty() {
        chosen.clone_from(&all);
        // Whoever names metering points wants to see those.
        let has_points = all.iter().any(|subject| subject.point.is_some());
        chosen.retain(|subject| query.all || !has_points || subject.point.is_some());
    }
    chosen.retain(|s| query.unit.as_ref().is_none_or(|unit| s.unit == *unit));
    let units: std::collections::BTreeSet<&str> =
        all.iter().map(|s| s.unit.as_str()).filter(|u| !u.is_empty()).collect();
    let units = units.into_iter().collect::<Vec<_>>().join(", ");
    match (chosen.is_empty(), &query.unit) {
        (true, Some(unit)) => {
            Err(CommandFailure::usage(format!("nothing has the unit `{unit}`")).hint(format!("there are: {units}")))
        }
        (true, None) => Err(CommandFailure::later("the ledger has no register yet").hint(
            "it books what is on disk and has a date: `plantroom status` says whether the clock is trusted (`plantroom clock accept`)",
        )),
        (false, _) => Ok(chosen),
    }
}

/// Beginning and end of a period, Unix milliseconds.
pub fn period(text: &str, now: i64, zone: &TimeZone) -> Result<(i64, i64), CommandFailure> {
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
