//! `plantroom status`: the state of the running gateway.

use crate::app::status::Status;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, ask_for_people, output};
use crate::control::ControlRequest;

/// Options of `status`: the form of the output.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: output::Format,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    let value = ask_for_people(global, &ControlRequest::Status, args.format)?;
    if args.format == output::Format::Json {
        output::line(serde_json::to_string_pretty(&value).unwrap_or_default());
        return Ok(());
    }
    let status: Status = serde_json::from_value(value)
        .map_err(|e| CommandFailure::later("the running gateway is another version").because(e.to_string()))?;
    let units = units(&status);
    let head =
        ["link", "unit", "address", "profile", "state", "why", "since", "cycles", "good", "skipped", "round trip"];
    if args.format == output::Format::Csv {
        output::list(output::Format::Csv, &head, &units);
        return Ok(());
    }
    header(&status);
    links(&status);
    output::line("");
    output::raw(output::table(&head, &units));
    field_remarks(&status);
    sinks(&status);
    alarms(&status);
    pages(&status);
    journal(&status);
    ledger(&status);
    status.task_failures.iter().for_each(|t| output::line(format!("trouble: {t}")));
    Ok(())
}

/// Prints remarks on links and units beyond their state: rejected frames, late answers, points that are left out.
fn field_remarks(s: &Status) {
    for link in &s.links {
        let of = |name: &str| link.counters.get(name).copied().unwrap_or(0);
        let kinds = ["late", "wrong_unit", "wrong_function", "wrong_length", "wrong_checksum", "surplus"];
        let counts: Vec<String> =
            kinds.iter().filter(|k| of(k) > 0).map(|k| format!("{} {}", of(k), k.replace('_', " "))).collect();
        if of("noise_bytes") > 0 {
            output::line(format!("{}: {} bytes of noise, which belonged to no answer", link.id, of("noise_bytes")));
        }
        if of("losses") > 0 {
            output::line(format!("{}: {} connections ended and were made anew", link.id, of("losses")));
        }
        if !link.last_rejected.is_empty() {
            let line = format!("{}: frames rejected: {}; the last: {}", link.id, counts.join(", "), link.last_rejected);
            output::line(line);
        }
        for unit in &link.units {
            let name = format!("{}/{}", link.id, unit.id);
            if !unit.remark.is_empty() {
                output::line(format!("{name} {} ({} late)", unit.remark, unit.late));
            }
            if unit.state == "refusing" {
                // A line for each of its points would say no more.
                output::line(format!("{name} answers and refuses everything: is its address right, and its profile?"));
            } else {
                unit.unreadable_ranges.iter().for_each(|range| output::line(format!("{name} leaves out: {range}")));
            }
        }
    }
}

fn header(s: &Status) {
    let trusted = if s.clock.trusted {
        "believed".to_string()
    } else {
        format!("not believed: {}; `plantroom clock accept` if it is right", s.clock.reason)
    };
    output::line(format!("plantroom {}  site {}  up {}", s.version, s.site, format_duration(s.uptime_s)));
    output::line(format!("clock {} ({trusted})", s.clock.date));
    if let Some(why) = &s.last_good {
        output::line(format!("RUNNING ON THE LAST GOOD CONFIGURATION: {why}"));
    }
    s.rules_off.iter().for_each(output::line);
    output::line("");
}

fn alarms(s: &Status) {
    let a = &s.alarms;
    let flood = if a.flood { "; MORE THAN CAN BE READ" } else { "" };
    let unwritten = if a.commit_failed { "; DECISIONS CANNOT BE WRITTEN" } else { "" };
    output::line("");
    output::line(format!(
        "alarms {} of {} active, {} unacknowledged, {} quiet{flood}{unwritten}",
        a.active, a.all, a.unacknowledged, a.suppressed
    ));
}

fn pages(s: &Status) {
    let p = &s.pages;
    if p.channels.is_empty() {
        return;
    }
    let unreached = if p.unreached > 0 { format!("; NOBODY COULD BE TOLD OF {}", p.unreached) } else { String::new() };
    output::line(format!("pages {} waiting, {} sent, {} tries failed{unreached}", p.waiting, p.sent, p.failed));
    let row =
        |(id, why): &(String, String)| vec![id.clone(), if why.is_empty() { "ready".into() } else { why.clone() }];
    output::raw(output::table(&["channel", "state"], &p.channels.iter().map(row).collect::<Vec<_>>()));
    reply_ways(s);
}

/// Prints the ways on which replies cannot be received, and what to use instead.
pub fn reply_ways(s: &Status) {
    for way in s.pages.reply_ways.iter().filter(|w| !w.failed.is_empty()) {
        output::line(format!("ANSWERS THROUGH {} CANNOT BE HEARD: {}; use {}", way.name, way.failed, way.instead));
    }
}

fn links(s: &Status) {
    let get = |l: &crate::app::status::LinkStatus, name: &str| l.counters.get(name).copied().unwrap_or(0).to_string();
    let row = |l: &crate::app::status::LinkStatus| {
        let state = if l.is_connected { "up".to_string() } else { format!("down: {}", l.error) };
        let mut row = vec![l.id.clone(), l.address.clone(), state];
        row.extend(["requests", "timeouts", "exceptions", "late", "crossed", "connects"].map(|c| get(l, c)));
        row
    };
    let rows: Vec<Vec<String>> = s.links.iter().map(row).collect();
    output::raw(output::table(
        &["link", "address", "state", "requests", "timeouts", "exceptions", "late", "crossed", "connects"],
        &rows,
    ));
}

fn units(s: &Status) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for link in &s.links {
        for u in &link.units {
            let profile =
                if u.variant == "base" { u.profile.clone() } else { format!("{} ({})", u.profile, u.variant) };
            rows.push(vec![
                link.id.clone(),
                u.id.clone(),
                u.address.to_string(),
                profile,
                u.state.clone(),
                u.reason.clone(),
                u.since.clone(),
                u.cycles.to_string(),
                u.good.to_string(),
                u.skipped.to_string(),
                format!("{}.{:01} ms", u.round_trip_us / 1_000, u.round_trip_us % 1_000 / 100),
            ]);
        }
    }
    rows
}

fn sinks(s: &Status) {
    output::line("");
    let row = |k: &crate::app::status::SinkStatus| {
        let state = match (k.is_connected, k.paused) {
            (true, _) => "up".to_string(),
            (false, false) => format!("down: {}", k.error),
            (false, true) => format!("PAUSED until somebody mends it: {}", k.error),
        };
        let dead_letters = match (k.dead_letters, k.dead_letters_kept) {
            (0, kept) => kept.to_string(),
            (_, kept) => format!("{} since the start, {kept} kept ({})", k.dead_letters, k.last_dead_letter),
        };
        vec![
            k.name.clone(),
            k.url.clone(),
            state,
            k.delivered.to_string(),
            k.lag.to_string(),
            format_duration(k.lag_s),
            dead_letters,
        ]
    };
    let rows: Vec<Vec<String>> = s.sinks.iter().map(row).collect();
    output::raw(output::table(&["sink", "url", "state", "delivered", "behind", "for", "set aside"], &rows));
    for k in &s.sinks {
        let name = &k.name;
        if !k.limits.is_empty() {
            output::line(format!("{name}: {}", k.limits));
        }
        let commands = s.pages.reply_ways.iter().find(|way| way.name == format!("mqtt {name}"));
        if let Some(way) = commands {
            let state = if way.failed.is_empty() { "heard".to_string() } else { format!("NOT HEARD: {}", way.failed) };
            output::line(format!("{name}: commands are {state}"));
        }
        if !k.resending.is_empty() {
            output::line(format!("{name}: {}", k.resending));
        }
        if k.refused > 0 {
            output::line(format!("{name}: REFUSED NOW, everything else goes on: {}", k.refused_what));
        }
        if k.clashes {
            output::line(format!("{name}: ANOTHER CLIENT HAS THE SAME ID: give each gateway a client_id of its own"));
        }
        let dropped = [
            (k.too_old, "values were older than the store keeps"),
            (k.undated, "readings have no date, a store cannot have them"),
            (k.dead_letters_dropped, "of what was set aside were dropped for room, age or want of a disk"),
        ];
        dropped
            .iter()
            .filter(|(n, _)| *n > 0)
            .for_each(|(n, what)| output::line(format!("{name}: DROPPED {n}: {what}")));
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn journal(s: &Status) {
    let j = &s.journal;
    let state = if j.ok { "writes".to_string() } else { format!("CANNOT WRITE: {}", j.error) };
    output::line(format!(
        "\njournal {state}; {:.1} of {:.1} MB; {} readings since the start; lost {}, damaged files {}, thinned {}, dropped {}, served their time {}",
        j.bytes as f64 / 1e6,
        j.max_bytes as f64 / 1e6,
        j.committed,
        j.lost,
        j.damaged_files,
        j.thinned_files,
        j.dropped_files,
        j.aged_files
    ));
    if let Some(v) = &j.verified {
        let (at, files) = (if v.at.is_empty() { "without a date" } else { &v.at }, v.files);
        let found = match (v.damaged, v.mended) {
            (0, 0) => "nothing is damaged".to_string(),
            (0, mended) => format!("{mended} files of registers mended from their second copy"),
            (damaged, mended) => {
                format!("{damaged} PLACES CANNOT BE READ (`plantroom verify` names them), {mended} mended")
            }
        };
        output::line(format!("verified {at}: {files} files, {found}"));
    }
}

fn ledger(s: &Status) {
    let of = &s.ledger;
    let state = if of.error.is_empty() { "writes".to_string() } else { format!("CANNOT WRITE: {}", of.error) };
    let upto = if of.written_to.is_empty() { String::new() } else { format!(", up to {}", of.written_to) };
    output::line(format!("ledger {state}; {} registers{upto}", of.registers));
    if of.pending > 0 {
        output::line(format!("{} REGISTERS IN DOUBT, counted nowhere: `plantroom energy gaps`", of.pending));
    }
}

/// A duration in a unit that reads well.
pub fn format_duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
