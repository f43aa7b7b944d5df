//! `plantroom energy`: consumption from the ledger, with the two readings behind each figure. Every cumulative register that belongs to no
//! metering point is one of its own.

use clap::Subcommand;

use crate::cli::energy_question::{QueryArgs, Question};
use crate::cli::{Args as Global, CommandOutcome, output};
use crate::cli::{energy_classify, energy_cost, energy_entry, energy_export, energy_readings, energy_report};

/// Options of `energy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: EnergyCommand,
}

#[derive(Debug, Subcommand)]
enum EnergyCommand {
    /// What each metering point or register consumed in a period, with the readings at both ends and how complete it is.
    Report(energy_report::ReportArgs),
    /// The readings that are kept of a register.
    Readings(QueryArgs),
    /// Where a figure is not measured: gaps, boundaries that nobody has explained, what is pending.
    Gaps(QueryArgs),
    /// Metering points and their meters: serial numbers, transformers, classes, calibration.
    Meters(energy_report::MetersArgs),
    /// Main meters beside the meters below them, and whether the difference can be the meters' errors.
    Reconcile(QueryArgs),
    /// What consumption costs by time-of-use tariff, and demand beside the contract; for comparison, never an invoice.
    Cost(energy_cost::CostArgs),
    /// Maximum demand in blocks of the configured intervals, and in windows of any start (sliding).
    Demand(QueryArgs),
    /// Night base load, load factor, consumption per square metre, per cubic metre and per lift run.
    Indicators(QueryArgs),
    /// What all owners share, with opening and closing readings, by month: for disclosure.
    Disclosure(energy_report::DisclosureArgs),
    /// Write everything of a period into one file: FILE.xlsx (sheets), FILE.json or FILE.csv (a row for each point and interval).
    Export(energy_export::ExportArgs),
    /// Compute an export again from the ledger, and say which cell differs.
    Verify(energy_export::VerifyArgs),
    /// Say what a boundary of a register was; without a register, list the boundaries that wait for a person.
    Classify(energy_classify::ClassifyArgs),
    /// Enter a reading that was taken at the meter.
    Reading(energy_entry::ReadingArgs),
    /// Say what was really consumed in a time.
    Correct(energy_entry::CorrectArgs),
    /// Close a month, or close it again after a change: its figures are kept as its next revision; without a month, list them.
    Close(energy_entry::CloseArgs),
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, true);
    match &args.what {
        EnergyCommand::Report(report) => energy_report::report(global, report),
        EnergyCommand::Readings(query) => energy_readings::readings(&Question::open(global, query)?),
        EnergyCommand::Gaps(query) => energy_readings::gaps(&Question::open(global, query)?),
        EnergyCommand::Meters(args) => energy_report::meters(global, args),
        EnergyCommand::Reconcile(query) => energy_report::reconcile(&Question::open(global, query)?),
        EnergyCommand::Cost(args) => energy_cost::cost(global, args),
        EnergyCommand::Demand(query) => energy_cost::demand(&Question::open(global, query)?),
        EnergyCommand::Indicators(query) => energy_report::indicators(&Question::open(global, query)?),
        EnergyCommand::Disclosure(args) => energy_report::disclosure(global, args),
        EnergyCommand::Export(args) => energy_export::export(global, args),
        EnergyCommand::Verify(args) => energy_export::verify(global, args),
        EnergyCommand::Classify(args) => energy_classify::run(global, args),
        EnergyCommand::Reading(args) => energy_entry::reading(global, args),
        EnergyCommand::Correct(args) => energy_entry::correct(global, args),
        EnergyCommand::Close(args) => energy_entry::close(global, args),
    }
}
