//! `plantroom reference`: prints the reference of the configuration, from its doc comments.

use crate::cli::{CommandOutcome, output};
use crate::config::reference;

/// Options of `reference`: the page or the schema.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The JSON schema instead of the page.
    #[arg(long)]
    schema: bool,
}

pub fn run(args: &Args) -> CommandOutcome {
    output::raw(if args.schema { reference::schema() } else { reference::page() });
    Ok(())
}
