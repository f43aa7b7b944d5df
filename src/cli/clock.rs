//! `plantroom clock accept`: a person confirms that the date is right.

use crate::cli::{Args as Global, CommandOutcome, output, send_request};
use crate::control::ControlRequest;

/// Options of `clock`: what is done with the date.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: ClockAction,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum ClockAction {
    /// The date that the gateway shows is right: believe it from now on.
    Accept,
}

/// Sends the confirmation to the running gateway.
pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    match args.what {
        ClockAction::Accept => {
            let date = send_request(global, &ControlRequest::AcceptClock)?;
            let date = output::times_in(date.as_str().unwrap_or_default(), &global.zone());
            output::line(format!("the date is believed from now on: {date}"));
            Ok(())
        }
    }
}
