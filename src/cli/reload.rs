//! `plantroom reload`: the running gateway loads its configuration again.

use crate::cli::{Args, CommandFailure, CommandOutcome, ask, output};
use crate::control::ControlRequest;

/// Asks and prints what was done.
pub fn run(args: &Args) -> CommandOutcome {
    // What is refused here is the configuration.
    let said = ask(args, &ControlRequest::Reload)
        .map_err(|f| if f.code == 69 { CommandFailure { code: 78, ..f } } else { f })?;
    for line in said.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        output::line(line);
    }
    Ok(())
}
