//! `plantroom energy cost` and `demand`.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::cli::energy_question::{QueryArgs, Question};
use crate::cli::ledger::failed;
use crate::cli::output::Format;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::energy::calendar::{Step, bounds};
use crate::energy::consumption::Consumption;
use crate::energy::demand::sliding_maximum;
use crate::energy::metering::Subject;
use crate::energy::summary::Summary;
use crate::energy::tariff::Contract;
use crate::journal::query::HistoryQuery;
use crate::model::metering::{RegisterReading, TimeRange};
use crate::model::time::UnixMillis;
use crate::report::cost::{CostSubject, cost_table, costs};
use crate::report::table::{Cell, ReportTable};

/// Maxima of so long before are looked at: the mean of 24 months and a little.
const LOOK_BACK_MS: i64 = 800 * 86_400_000;

/// What is computed.
#[derive(Debug, clap::Args)]
pub struct CostArgs {
    #[command(flatten)]
    query: QueryArgs,
    /// Rows for each day instead of each month.
    #[arg(long)]
    daily: bool,
}

pub fn cost(global: &Global, args: &CostArgs) -> CommandOutcome {
    let question = Question::open(global, &args.query)?;
    let table = costs_of(&question, args.daily)?;
    if table.rows.is_empty() {
        return Err(no_contract());
    }
    question.print(&table);
    if question.format() == Format::Table {
        output::note(
            "a calculation for comparison, no invoice; consumption of a period times its price, rounded to the cent, a half away from zero",
        );
    }
    Ok(())
}

/// The answer where nothing has a tariff.
pub fn no_contract() -> CommandFailure {
    CommandFailure::usage("no metering point that is meant has a contract")
        .hint("[[contract]] with point and tariff: docs/energy.md")
}

/// Costs of all points that are meant and have a contract.
///
/// # Errors
/// The ledger cannot be read.
pub fn costs_of(question: &Question, is_daily: bool) -> Result<ReportTable, CommandFailure> {
    let (query, range) = (&question.query, question.range);
    let grid = (query.minutes, &query.zone);
    let mut rows = Vec::new();
    for subject in &question.subjects {
        let contracts: Vec<&Contract> = question.contracts.iter().filter(|c| c.point == subject.id).collect();
        if contracts.is_empty() {
            continue;
        }
        // A mean of the maxima of some months needs a year before.
        let needed = TimeRange { from: UnixMillis(range.from.0 - LOOK_BACK_MS), to: range.to };
        let consumption = query.consumption(subject, needed).map_err(|error| failed(&error))?;
        let mut own = Vec::new();
        let named =
            contracts.iter().flat_map(|c| c.registers.iter().map(|(period, register)| (c.from, period, register)));
        for (from, period, register) in named {
            let profile = query.profile(register, range).map_err(|error| failed(&error))?;
            let own_register = Consumption::of_register(profile);
            // It counts in the circuit of the main register.
            let multiplier =
                subject.point.as_ref().and_then(|point| point.meter()).map_or(Decimal::ONE, |m| m.multiplier);
            own.push((from, *period, Consumption::Combined(vec![(multiplier, Arc::new(own_register))])));
        }
        let of = CostSubject { point: &subject.id, unit: &subject.unit, contracts, consumption: &consumption, own };
        let step = if is_daily { Step::Day } else { Step::Month };
        for pair in bounds(range.from, range.to, step, &query.zone).windows(2) {
            rows.extend(costs(&of, TimeRange { from: pair[0], to: pair[1] }, grid, !is_daily));
        }
    }
    Ok(cost_table(rows))
}

pub fn demand(question: &Question) -> CommandOutcome {
    let head = vec!["point", "window", "minutes", "maximum", "unit", "from", "to", "opening", "closing", "clock"];
    let (query, range) = (&question.query, question.range);
    let mut rows = Vec::new();
    for subject in
        question.subjects.iter().filter(|subject| ["kWh", "kvarh", "kVAh", "m³"].contains(&subject.unit.as_str()))
    {
        let unit = match subject.unit.strip_suffix('h') {
            Some(power) => power.to_string(),
            None => format!("{}/h", subject.unit),
        };
        let consumption = query.consumption(subject, range).map_err(|error| failed(&error))?;
        let length_ms = i64::from(query.minutes) * 60_000;
        let mut add = |window: &str, rate: Decimal, (from, to), readings: Option<(Decimal, Decimal)>| {
            rows.push(vec![
                Cell::text(&subject.id),
                Cell::text(window),
                Cell::Number(query.minutes.into()),
                Cell::number(Some(rate.round_dp(3))),
                Cell::text(&unit),
                Cell::Time(from),
                Cell::Time(to),
                Cell::number(readings.map(|(opening, _)| opening)),
                Cell::number(readings.map(|(_, closing)| closing)),
                Cell::text("gateway"),
            ]);
        };
        if let Some((at, rate)) =
            Summary::of(&consumption, (range.from, range.to), query.minutes, &query.zone).max_demand()
        {
            let to = UnixMillis(at.0 + length_ms);
            let readings = consumption.interval(at, to).readings;
            add("block", rate, (at, to), readings.map(|(opening, closing)| (opening.value, closing.value)));
        }
        if let Some((register, multiplier)) = single_register(subject) {
            let readings = all_readings(question, &register)?;
            let profile = query.profile(&register, range).map_err(|error| failed(&error))?;
            if let Some(best) = sliding_maximum(&readings, length_ms, &profile) {
                let ends = Some((best.from.value, best.to.value));
                add("sliding", best.rate * multiplier, (best.from.at, best.to.at), ends);
            }
        }
    }
    let table = ReportTable::new("demand", &head, rows);
    question.print(&table);
    if question.format() == Format::Table {
        output::note("of measured intervals, by the gateway's clock; a meter's own maximum is by its own clock");
    }
    Ok(())
}

/// The register of a subject that has had one meter, and its multiplier.
fn single_register(subject: &Subject) -> Option<(String, Decimal)> {
    match &subject.point {
        None => Some((subject.id.clone(), Decimal::ONE)),
        Some(point) => match point.meters() {
            [meter] => Some((meter.register.clone(), meter.multiplier)),
            _ => None,
        },
    }
}

/// Every good reading of a register in the period, from the journal.
fn all_readings(question: &Question, register: &str) -> Result<Vec<RegisterReading>, CommandFailure> {
    let Some((device, point)) = register.split_once('.') else { return Ok(Vec::new()) };
    let (device, point) = (device.to_string(), point.to_string());
    let TimeRange { from, to } = question.range;
    let query = HistoryQuery { device, point, from_ms: from.0, to_ms: to.0 };
    let mut out: Vec<RegisterReading> = Vec::new();
    let each = |row: crate::journal::history::HistoryRow| {
        let value = row.sample.ok().and_then(|value| value.as_decimal());
        // After a clock was set back, what lies before is left out.
        if let Some(value) = value.filter(|_| out.last().is_none_or(|last| last.at.0 < row.at_ms)) {
            out.push(RegisterReading { at: UnixMillis(row.at_ms), value });
        }
        true
    };
    question
        .journal
        .samples(&query, each)
        .map_err(|error| CommandFailure::caused("the history cannot be read", &error))?;
    Ok(out)
}
