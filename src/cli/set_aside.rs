//! `plantroom set-aside`: dead letters, which a store refused for good, with its error; they can be sent again or discarded.

use crate::app::control_handlers::DeadLetterList;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, ask_for_people, output};
use crate::control::{ControlRequest, DeadLetterAction};

/// Options of `set-aside`: which sink, and what is done with what it refused.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One sink. Default: all.
    sink: Option<String>,
    /// Send everything again; what is refused again is set aside again.
    #[arg(long, conflicts_with = "discard")]
    send: bool,
    /// Discard everything that was set aside; it cannot be sent from here again.
    #[arg(long)]
    discard: bool,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: output::Format,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    let action = match (args.send, args.discard) {
        (true, _) => DeadLetterAction::Send,
        (_, true) => DeadLetterAction::Discard,
        _ => DeadLetterAction::List,
    };
    let value = ask_for_people(global, &ControlRequest::DeadLetters { sink: args.sink.clone(), action }, args.format)?;
    let sinks: Vec<DeadLetterList> = serde_json::from_value(value)
        .map_err(|e| CommandFailure::later("the running gateway is another version").because(e.to_string()))?;
    if action == DeadLetterAction::List {
        let row = |sink: &str, r: &crate::sink::dead_letters::DeadLetter| {
            vec![sink.to_string(), r.at.clone(), r.topic.clone(), r.payload.clone(), r.reason.clone()]
        };
        let rows: Vec<Vec<String>> = sinks.iter().flat_map(|s| s.records.iter().map(|r| row(&s.sink, r))).collect();
        output::list(args.format, &["sink", "at", "topic", "what", "said"], &rows);
        return Ok(());
    }
    let verb = if action == DeadLetterAction::Send { "sent again" } else { "discarded" };
    sinks.iter().for_each(|s| output::line(format!("{}: {} {verb}", s.sink, s.affected)));
    Ok(())
}
