//! `plantroom resend`: writes a range of the history to a store again, beside live data.

use crate::cli::history::{format_local, parse_time};
use crate::cli::{Args as Global, CommandOutcome, output, send_request};
use crate::clock::Clock;
use crate::control::ControlRequest;
use crate::model::time::UnixMillis;

/// Options of `resend`: which store, and which part of the history.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The store, by its name in `[[sink.influx]]`.
    sink: String,
    /// From: a date (2026-11-21, 2026-11-21T08:00, with or without zone), or so long ago (24h).
    #[arg(long)]
    from: String,
    /// To before: the same. Default: now.
    #[arg(long)]
    to: Option<String>,
}

/// Sends the request to the running gateway.
pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    let zone = global.zone();
    let now = Clock::new(&crate::clock::ClockSettings::default(), UnixMillis(0)).wall().0;
    let from_ms = parse_time(&args.from, now, &zone)?;
    let to_ms = args.to.as_deref().map_or(Ok(now), |to| parse_time(to, now, &zone))?;
    send_request(global, &ControlRequest::Resend { sink: args.sink.clone(), from_ms, to_ms })?;
    let (from, to) = (format_local(from_ms, &zone), format_local(to_ms, &zone));
    output::line(format!("{}: {from} to {to} is written again; `plantroom status` shows how far it is", args.sink));
    Ok(())
}
