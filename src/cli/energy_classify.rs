//! `plantroom energy classify`: people say what the boundaries of registers were.

use rust_decimal::Decimal;

use crate::cli::energy_entry::ReasonArgs;
use crate::cli::history::format_local;
use crate::cli::ledger::{book_now, failed, number, open_ledger};
use crate::cli::output::Format;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::control::ControlRequest;
use crate::energy::decision::boundaries;
use crate::model::metering::Classification;

/// Which boundary, and what it was.
#[derive(Debug, clap::Args)]
pub struct ClassifyArgs {
    /// The metering point, or the register as `device.point`; without it all boundaries are listed.
    register: Option<String>,
    /// Number of the span behind the boundary, as the list has it. Default: the only one that nobody has explained.
    #[arg(long)]
    span: Option<u32>,
    /// Another meter: the final reading of the old one and the initial reading of the new one.
    #[arg(long, num_args = 2, value_names = ["FINAL", "INITIAL"], group = "classification")]
    exchange: Option<Vec<Decimal>>,
    /// The register began again at 0: what it shows since counts.
    #[arg(long, group = "classification")]
    reset: bool,
    /// The same register went on; what it showed above the reading behind the boundary was garbage.
    #[arg(long, group = "classification")]
    continued: bool,
    /// It reached this value and went on from 0.
    #[arg(long, value_name = "MODULUS", group = "classification")]
    rolled_over: Option<Decimal>,
    /// Take an earlier decision back: nobody knows.
    #[arg(long, group = "classification")]
    reopen: bool,
    #[command(flatten)]
    reason: ReasonArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(global: &Global, args: &ClassifyArgs) -> CommandOutcome {
    match (args.classification(), &args.register) {
        (Some(classification), Some(register)) => classify(global, args, register, classification),
        (Some(_), None) => Err(CommandFailure::usage("which register is meant?")
            .hint("plantroom energy classify DEVICE.POINT ...; without anything it lists what waits for a person")),
        (None, _) => list_boundaries(global, args),
    }
}

impl ClassifyArgs {
    fn classification(&self) -> Option<Classification> {
        match (&self.exchange, self.rolled_over) {
            (Some(readings), _) => {
                Some(Classification::Exchange { final_reading: *readings.first()?, initial_reading: *readings.get(1)? })
            }
            (None, Some(modulus)) => Some(Classification::RolledOver { modulus }),
            (None, None) if self.reset => Some(Classification::Reset),
            (None, None) if self.continued => Some(Classification::Continued),
            (None, None) if self.reopen => Some(Classification::Open),
            (None, None) => None,
        }
    }
}

fn classify(global: &Global, args: &ClassifyArgs, register: &str, classification: Classification) -> CommandOutcome {
    let (register, classification) = (register.to_string(), serde_json::to_value(classification).unwrap_or_default());
    let (note, may_reopen) = (args.reason.note.clone(), args.reason.revise);
    let request = ControlRequest::Classify { register, span: args.span, classification, note, may_reopen };
    let said = crate::cli::ask_for_people(global, &request, args.format)?;
    if args.format == Format::Json {
        output::line(serde_json::to_string_pretty(&said).unwrap_or_default());
        return Ok(());
    }
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_string();
    let (value, counted) = (|side: &str| said[side]["value"].as_str().unwrap_or_default().to_string(), text("counted"));
    output::line(format!(
        "{}: {} between {} and {}, {counted} counted; who, when and why stay with it (`plantroom audit`)",
        text("register"),
        text("as"),
        value("before"),
        value("after")
    ));
    Ok(())
}

/// Boundaries that wait for a person, and what was decided of others.
fn list_boundaries(global: &Global, args: &ClassifyArgs) -> CommandOutcome {
    book_now(global);
    let loaded = crate::config::load(&global.config_in_force());
    let query = open_ledger(global, loaded.configuration.as_ref())?;
    let zone = global.zone();
    let (mut rows, mut is_known) = (Vec::new(), false);
    for series in query.all_series() {
        let name = series.full_name();
        let of_point = query.plan.by_register(&name).map(|(point, _)| point.id.as_str());
        let is_meant = |register: &str| register == name || register == &*series.device || of_point == Some(register);
        if args.register.as_ref().is_some_and(|register| !is_meant(register)) {
            continue;
        }
        is_known = true;
        let spans = query.ledger().spans(series.id).map_err(|error| failed(&error))?;
        let of = query.records.decisions.get(&name).map(Vec::as_slice).unwrap_or_default();
        for boundary in boundaries(&spans) {
            let last = of.iter().rev().find(|v| v.boundary.before == boundary.before);
            let said = last.filter(|v| v.classification != Classification::Open);
            let open = if boundary.is_in_doubt { "in doubt, it may come back" } else { "waits for a person" };
            let (was, who) = said.map_or((open, String::new()), |v| {
                (v.classification.word(), format!("{}: {}", v.signature.actor, v.signature.reason))
            });
            rows.push(vec![
                name.clone(),
                boundary.span.to_string(),
                format_local(boundary.before.at.0, &zone),
                number(boundary.before.value),
                format_local(boundary.after.at.0, &zone),
                number(boundary.after.value),
                was.to_string(),
                said.map(|v| number(v.counted)).unwrap_or_default(),
                who,
            ]);
        }
    }
    let head = ["register", "span", "before_at", "before", "after_at", "after", "was", "counted", "who"];
    output::list(args.format, &head, &rows);
    if let Some(register) = args.register.as_ref().filter(|_| !is_known) {
        return Err(CommandFailure::usage(format!("the ledger has no register `{register}`"))
            .hint("`plantroom energy report` lists them all"));
    }
    if rows.is_empty() {
        output::note("no register has a boundary that a person has to explain");
    }
    Ok(())
}
