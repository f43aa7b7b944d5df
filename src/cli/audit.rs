//! `plantroom audit`: who did what, by which way, in one list for alarms, pages, rotas and the gateway itself.

use crate::cli::{Args as Global, CommandOutcome, alarm, history, output, page};
use crate::model::time::UnixMillis;
use crate::store::event::{EventQuery, EventRow};

/// Options of `audit`: which period, whose actions, and the form of the output.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// From: a date, or so long ago (`24h`, `7d`).
    #[arg(long, default_value = "7d")]
    from: String,
    /// To: a date, or so long ago (`24h`). Default: now.
    #[arg(long)]
    to: Option<String>,
    /// One person or program only.
    #[arg(long)]
    actor: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: output::Format,
}

/// Lists what people and programs did; what came by itself is in `alarm history` and `page log`.
pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    let zone = global.zone();
    let moment = |text: &str| history::parse_time(text, page::now(), &zone).map(UnixMillis);
    let query = EventQuery {
        from: Some(moment(&args.from)?),
        only_actors: true,
        to: args.to.as_deref().map(moment).transpose()?,
        ..EventQuery::default()
    };
    let is_wanted = |row: &&EventRow| !row.actor.is_empty() && args.actor.as_ref().is_none_or(|a| *a == row.actor);
    let cells = |row: &EventRow| {
        vec![
            alarm::event_time(row, &zone),
            row.actor.clone(),
            row.via.clone(),
            row.room.clone(),
            row.event.clone(),
            row.key.clone(),
            row.note.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = alarm::read_events(global, &query)?.iter().filter(is_wanted).map(cells).collect();
    output::list(args.format, &["at", "actor", "via", "room", "what", "about", "note"], &rows);
    Ok(())
}
