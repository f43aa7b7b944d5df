//! `plantroom reference`: the reference of the configuration, from its doc comments.

use crate::cli::{Outcome, output};
use crate::config::reference;

/// Options of `reference`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The JSON schema instead of the page.
    #[arg(long)]
    schema: bool,
}

/// Prints it.
pub fn run(args: &Args) -> Outcome {
    output::raw(if args.schema { reference::schema() } else { reference::page() });
    Ok(())
}
