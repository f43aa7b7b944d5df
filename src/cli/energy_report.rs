//! `plantroom energy report`, `meters`, `reconcile`, `indicators` and `disclosure`.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::cli::energy_cost::no_contract;
use crate::cli::energy_question::{QueryArgs, Question, print_table};
use crate::cli::ledger::{failed, open_ledger};
use crate::cli::output::Format;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::config;
use crate::energy::balance::ConsumptionByPoint;
use crate::energy::calendar::{Step, before, bounds, year_ago};
use crate::energy::consumption::Consumption;
use crate::energy::interval::IntervalQuality;
use crate::energy::meter::EndUse;
use crate::energy::metering::{MeteringSource, Subject};
use crate::energy::tariff::Contract;
use crate::model::metering::TimeRange;
use crate::model::time::UnixMillis;
use crate::report::consumption::{COARSE, ConsumptionQuery, Grouping, ReportSubject, consumption, groups};
use crate::report::cost::{CostSubject, PERIOD_COLUMNS, by_period};
use crate::report::reconciliation::{
    Indicator, indicator_table, load_indicators, reconciliation, specific_consumption,
};
use crate::report::table::{Cell, ReportTable};

/// What is reported, and how it is grouped.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    #[command(flatten)]
    pub query: QueryArgs,
    /// A row for each of these instead of one for the period.
    #[arg(long, value_enum)]
    pub by: Option<By>,
    /// What the rows are about.
    #[arg(long, value_enum, default_value_t)]
    pub group: Group,
    /// With the period before, and the same dates a year ago.
    #[arg(long)]
    pub compare: bool,
}

/// The rows of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
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

/// What the rows of a report are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// Metering points, and registers that belong to none.
    #[default]
    Point,
    /// What it is used for: lighting, lifts, pumps.
    EndUse,
    /// Areas of the site, with consumption per square metre.
    Area,
    /// Tariff periods of the points that have a contract.
    Tariff,
}

/// Options of `energy meters`.
#[derive(Debug, clap::Args)]
pub struct MetersArgs {
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Options of `energy disclosure`.
#[derive(Debug, clap::Args)]
pub struct DisclosureArgs {
    /// The month, such as 2026-10.
    #[arg(long, default_value = "last-month")]
    month: String,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn report(global: &Global, args: &ReportArgs) -> CommandOutcome {
    let question = Question::open(global, &args.query)?;
    let table = report_table(&question, args.by, args.group, args.compare)?;
    question.print(&table);
    if question.format() == Format::Table {
        explain(&table);
    }
    Ok(())
}

/// The report as a table.
///
/// # Errors
/// The ledger cannot be read, or nothing is grouped.
pub fn report_table(
    question: &Question,
    by: Option<By>,
    group: Group,
    is_compared: bool,
) -> Result<ReportTable, CommandFailure> {
    let (query, range) = (&question.query, question.range);
    let bounds = match by {
        Some(by) => bounds(range.from, range.to, step_of(by, query.minutes), &query.zone),
        None => vec![range.from, range.to],
    };
    let first = TimeRange { from: range.from, to: bounds.get(1).copied().unwrap_or(range.to) };
    let earlier = [before(first, &query.zone), year_ago(first, &query.zone)];
    let from = earlier.into_iter().flatten().map(|r| r.from).min().filter(|_| is_compared).unwrap_or(range.from);
    let needed = TimeRange { from, to: range.to };
    let subjects = match group {
        Group::Point => question.subjects.iter().map(|s| of_subject(question, s, needed)).collect::<Result<_, _>>()?,
        Group::EndUse => grouped(question, Grouping::EndUse, needed)?,
        Group::Area => grouped(question, Grouping::Area, needed)?,
        Group::Tariff => return tariff_table(question, &bounds),
    };
    let asked = ConsumptionQuery { bounds: &bounds, minutes: query.minutes, zone: &query.zone, is_compared };
    Ok(consumption(&subjects, &asked))
}

/// Consumption of the points that have a contract, by tariff period.
fn tariff_table(question: &Question, bounds: &[UnixMillis]) -> Result<ReportTable, CommandFailure> {
    let mut rows = Vec::new();
    for subject in &question.subjects {
        let contracts: Vec<&Contract> = question.contracts.iter().filter(|c| c.point == subject.id).collect();
        if contracts.is_empty() {
            continue;
        }
        let of = of_subject(question, subject, question.range)?;
        let (point, unit, consumption) = (&*subject.id, &*subject.unit, &*of.consumption);
        let of_point = CostSubject { point, unit, contracts, consumption, own: Vec::new() };
        rows.extend(by_period((&of_point, &of.name), bounds, &question.query.zone));
    }
    if rows.is_empty() {
        return Err(no_contract());
    }
    Ok(ReportTable::new("summary", &PERIOD_COLUMNS, rows))
}

/// The step of rows. `minutes`: length of the configured intervals.
pub fn step_of(by: By, minutes: u32) -> Step {
    match by {
        By::Interval => Step::Minutes(minutes),
        By::Hour => Step::Minutes(60),
        By::Day => Step::Day,
        By::Month => Step::Month,
        By::Year => Step::Year,
    }
}

fn of_subject(question: &Question, subject: &Subject, range: TimeRange) -> Result<ReportSubject, CommandFailure> {
    let consumption = question.query.consumption(subject, range).map_err(|error| failed(&error))?;
    let point = subject.point.as_ref();
    let meter = point.and_then(|point| point.meter());
    let register = meter.map_or(subject.id.as_str(), |meter| meter.register.as_str());
    let multiplier = meter.map(|meter| meter.multiplier);
    Ok(ReportSubject {
        id: subject.id.clone(),
        name: point.map(|point| if is_chinese() { point.zh.clone() } else { point.en.clone() }).unwrap_or_default(),
        unit: subject.unit.clone(),
        floor_area_m2: None,
        multiplier,
        resolution: question.query.resolution(register).map(|step| step * multiplier.unwrap_or(Decimal::ONE)),
        consumption: Arc::new(consumption),
    })
}

/// Whether names are shown in Chinese: as the environment has it.
fn is_chinese() -> bool {
    let language =
        ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    language.is_some_and(|language| language.starts_with("zh"))
}

/// Every metering point with its consumption.
fn points(question: &Question, range: TimeRange) -> Result<Vec<(Subject, Arc<Consumption>)>, CommandFailure> {
    let declared = question.query.subjects().into_iter().filter(|subject| subject.point.is_some());
    let of = |subject: Subject| {
        let consumption = question.query.consumption(&subject, range).map_err(|error| failed(&error))?;
        Ok((subject, Arc::new(consumption)))
    };
    declared.map(of).collect()
}

fn grouped(question: &Question, grouping: Grouping, range: TimeRange) -> Result<Vec<ReportSubject>, CommandFailure> {
    let all = points(question, range)?;
    if all.is_empty() {
        return Err(CommandFailure::usage("nothing can be grouped: the configuration has no metering points")
            .hint("[[meter]] or meters.csv with end_use and area: docs/energy.md"));
    }
    let of_unit = |subject: &ReportSubject| question.subjects.iter().any(|s| s.unit == subject.unit);
    Ok(groups(&question.query.plan, &all, grouping, is_chinese()).into_iter().filter(of_unit).collect())
}

/// What the words of a table mean, for whoever reads it the first time.
fn explain(table: &ReportTable) {
    let has = |word: &str| table.rows.iter().any(|row| row.contains(&Cell::Text(word.to_string())));
    let meanings = [
        (
            IntervalQuality::Partial.word(),
            "partial: the first or last reading lies within the period; what came before or after is not known",
        ),
        (
            IntervalQuality::Pending.word(),
            "pending: a boundary that nobody has explained lies in it and counts nothing; see `plantroom energy gaps`",
        ),
        (IntervalQuality::Allocated.word(), "allocated: it begins or ends in a gap, whose energy is divided evenly"),
        (IntervalQuality::Interpolated.word(), "interpolated: an end lies between two readings"),
        (IntervalQuality::Decided.word(), "decided: people entered a reading or said what was consumed"),
        (IntervalQuality::Missing.word(), "missing: there is no reading, which is not 0"),
        (COARSE, "coarse: the figure is below four steps of its register"),
    ];
    meanings.iter().filter(|(word, _)| has(word)).for_each(|(_, meaning)| output::note(meaning));
}

pub fn meters(global: &Global, args: &MetersArgs) -> CommandOutcome {
    let loaded = config::load(&global.config_in_force());
    let query = open_ledger(global, loaded.configuration.as_ref())?;
    let table = meters_table(&query);
    print_table(args.format, &table, &global.zone());
    if table.rows.is_empty() {
        output::note("the configuration has no metering points: each register is one of its own");
    }
    Ok(())
}

/// Every metering point with the meters that it has had.
pub fn meters_table(query: &crate::ledger::query::LedgerQuery) -> ReportTable {
    let head = vec![
        "point",
        "name_zh",
        "name_en",
        "unit",
        "parent",
        "end_use",
        "area",
        "register",
        "since",
        "serial",
        "class",
        "ct",
        "pt",
        "multiplier",
        "calibration_due",
        "made_of",
    ];
    let mut rows = Vec::new();
    for point in query.plan.points.values() {
        let own = |text: Option<&str>| Cell::text(text.unwrap_or_default());
        let of_point = [
            Cell::text(&point.id),
            Cell::text(&point.zh),
            Cell::text(&point.en),
            own(point.unit.as_deref()),
            own(point.parent.as_deref()),
            own(point.end_use.map(EndUse::word)),
            own(point.area.as_deref()),
        ];
        if let MeteringSource::Formula { sum, minus, share } = &point.source {
            let less = if minus.is_empty() { String::new() } else { format!(" - {}", minus.join(" - ")) };
            let times = if *share == Decimal::ONE { String::new() } else { format!("{share} x ") };
            let mut row = of_point.to_vec();
            row.extend((0..8).map(|_| Cell::Empty));
            row.push(Cell::Text(format!("{times}({}{less})", sum.join(" + "))));
            rows.push(row);
        }
        for meter in point.meters() {
            let mut row = of_point.to_vec();
            row.extend([
                Cell::text(&meter.register),
                if meter.from == UnixMillis(i64::MIN) { Cell::Empty } else { Cell::Time(meter.from) },
                own(meter.serial.as_deref()),
                own(meter.class.as_deref()),
                own(meter.ct.as_deref()),
                own(meter.pt.as_deref()),
                Cell::number(Some(meter.multiplier)),
                Cell::text(meter.calibration_due.map(|date| date.to_string()).unwrap_or_default()),
                Cell::Empty,
            ]);
            rows.push(row);
        }
    }
    ReportTable::new("meters", &head, rows)
}

pub fn reconcile(question: &Question) -> CommandOutcome {
    let table = reconcile_table(question)?;
    question.print(&table);
    if table.rows.is_empty() {
        output::note("no metering point has others below it: `parent` in [[meter]] or meters.csv says so");
    }
    Ok(())
}

/// Main meters beside those below them.
pub fn reconcile_table(question: &Question) -> Result<ReportTable, CommandFailure> {
    let all = points(question, question.range)?;
    let by_point: ConsumptionByPoint = all.into_iter().map(|(subject, of)| (subject.id, of)).collect();
    let grid = (question.query.minutes, &question.query.zone);
    Ok(reconciliation(&question.query.plan, &by_point, question.range, grid))
}

pub fn indicators(question: &Question) -> CommandOutcome {
    let (query, range) = (&question.query, question.range);
    let mut out: Vec<Indicator> = Vec::new();
    let mut of: Vec<(&Subject, Consumption)> = Vec::new();
    for subject in &question.subjects {
        of.push((subject, query.consumption(subject, range).map_err(|error| failed(&error))?));
    }
    for (subject, consumption) in &of {
        out.extend(load_indicators((&subject.id, &subject.unit), consumption, range, (query.minutes, &query.zone)));
    }
    for area in if query.plan.areas.is_empty() { Vec::new() } else { grouped(question, Grouping::Area, range)? } {
        let Some(m2) = area.floor_area_m2 else { continue };
        let consumed = area.consumption.interval(range.from, range.to).consumed;
        out.push(Indicator {
            of: area.id,
            name: "per_m2",
            value: consumed.and_then(|consumed| consumed.checked_div(m2)).map(|value| value.round_dp(4)),
            unit: format!("{}/m²", area.unit),
            made_of: format!("{} m²", m2.normalize()),
        });
    }
    let find = |id: &str| of.iter().find(|(subject, _)| is_register(subject, id)).map(|(s, c)| (s.id.as_str(), c));
    // Energy by what it was used for, of devices that count both.
    let outputs = [("volume_m3", "per_m3", "kWh/m³"), ("trips", "per_run", "kWh"), ("trips_counted", "per_run", "kWh")];
    let devices: std::collections::BTreeSet<&str> =
        query.all_series().map(|series| &*series.device).filter(|device| *device != "gateway").collect();
    for device in devices {
        let Some(energy) =
            find(&format!("{device}.energy_import_kwh")).or_else(|| find(&format!("{device}.energy_kwh")))
        else {
            continue;
        };
        for (point, name, unit) in outputs {
            if let Some(output) = find(&format!("{device}.{point}")) {
                out.push(specific_consumption((name, unit), energy, output, range));
            }
        }
    }
    question.print(&indicator_table(out, range));
    Ok(())
}

/// Whether a subject is this register, or a metering point that has it.
fn is_register(subject: &Subject, register: &str) -> bool {
    let has =
        |point: &crate::energy::metering::MeteringPoint| point.meters().iter().any(|meter| meter.register == register);
    subject.id == register || subject.point.as_ref().is_some_and(has)
}

pub fn disclosure(global: &Global, args: &DisclosureArgs) -> CommandOutcome {
    let (names, unit, from, to) = (Vec::new(), None, None, None);
    let query = QueryArgs { names, period: args.month.clone(), from, to, unit, all: false, format: args.format };
    let mut question = Question::open(global, &query)?;
    let is_shared = |subject: &Subject| {
        let of_tenants = |end_use: EndUse| matches!(end_use, EndUse::Tenants);
        subject.point.as_ref().and_then(|point| point.end_use).is_some_and(|end_use| !of_tenants(end_use))
    };
    question.subjects.retain(is_shared);
    if question.subjects.is_empty() {
        return Err(CommandFailure::usage("no metering point has an end use that owners share")
            .hint("end_use = \"public_share\", \"lifts\", \"pumps\" or \"lighting\" in [[meter]] or meters.csv"));
    }
    let report = report_table(&question, None, Group::Point, true)?;
    let wanted = [
        "point",
        "name",
        "unit",
        "opening",
        "opening_at",
        "closing",
        "closing_at",
        "multiplier",
        "consumed",
        "quality",
        "before",
        "year_ago",
    ];
    let columns: Vec<usize> =
        wanted.iter().filter_map(|name| report.head.iter().position(|head| head == name)).collect();
    let rows = report.rows.iter().map(|row| columns.iter().map(|column| row[*column].clone()).collect()).collect();
    question.print(&ReportTable::new("disclosure", &wanted, rows));
    Ok(())
}
