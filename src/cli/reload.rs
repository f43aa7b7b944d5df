//! `plantroom reload`: the running gateway loads its configuration again.

use crate::cli::{Args, Outcome, ask, output};
use crate::control::Request;

/// Asks and prints what was done.
pub fn run(args: &Args) -> Outcome {
    let said = ask(args, &Request::Reload)?;
    for line in said.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        output::line(line);
    }
    Ok(())
}
