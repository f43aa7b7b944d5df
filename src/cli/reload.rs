//! `plantroom reload`: the running gateway loads its configuration again.

use crate::cli::{Args, Failure, Outcome, ask, output};
use crate::control::Request;

/// Asks and prints what was done.
pub fn run(args: &Args) -> Outcome {
    // What is refused here is the configuration.
    let said = ask(args, &Request::Reload).map_err(|f| if f.code == 69 { Failure { code: 78, ..f } } else { f })?;
    for line in said.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        output::line(line);
    }
    Ok(())
}
