//! `plantroom reference`: prints the reference of the configuration, from its doc comments.

use crate::cli::{CommandOutcome, output};
use crate::config::reference;

/// Options of `reference`: the page, the schema or the points.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The JSON schema instead of the page.
    #[arg(long)]
    schema: bool,
    /// The points of every class instead of the settings.
    #[arg(long, conflicts_with = "schema")]
    points: bool,
}

pub fn run(args: &Args) -> CommandOutcome {
    output::raw(match args {
        Args { schema: true, .. } => reference::schema(),
        Args { points: true, .. } => reference::points(),
        _ => reference::page(),
    });
    Ok(())
}
