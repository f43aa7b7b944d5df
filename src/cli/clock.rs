//! `plantroom clock accept`: a person says that the date is right.

use crate::cli::{Args as Global, Outcome, ask, output};
use crate::control::Request;

/// Options of `clock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum What {
    /// The date that the gateway shows is right: believe it from now on.
    Accept,
}

/// Tells the running gateway.
pub fn run(global: &Global, args: &Args) -> Outcome {
    match args.what {
        What::Accept => {
            let date = ask(global, &Request::AcceptClock)?;
            output::line(format!("the date is believed from now on: {}", date.as_str().unwrap_or_default()));
            Ok(())
        }
    }
}
