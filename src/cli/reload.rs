//! `plantroom reload`: makes the running gateway load its configuration again.

use crate::cli::{Args, CommandFailure, CommandOutcome, output, send_request};
use crate::control::ControlRequest;

/// Sends the request and prints what changed.
pub fn run(args: &Args) -> CommandOutcome {
    // Only a bad configuration is refused here.
    let said = send_request(args, &ControlRequest::Reload)
        .map_err(|f| if f.code == 69 { CommandFailure { code: 78, ..f } } else { f })?;
    for line in said.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        output::line(line);
    }
    Ok(())
}
