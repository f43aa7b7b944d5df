//! `plantroom scan`: finds which units answer on a bus and what they are, and writes a configuration that `check` accepts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::bus;
use crate::cli::scan_files::ScannedBus;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output, runtime, scan_files};
use crate::clock::{self, Clock};
use crate::config::builtin;
use crate::config::doc::{Problems, Texts};
use crate::config::{self};
use crate::link::error::LinkError;
use crate::link::settings::LinkTransport;
use crate::model::line::{Parity, SerialParams};
use crate::model::quality::Cause;
use crate::model::time::UnixMillis;
use crate::scan::{self, FoundUnit};

/// Options of `scan`: which bus, which unit ids, and where the result is written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `tcp://host[:port]`, `rtu://host:port` (RTU over TCP), or `serial:/dev/serial/by-id/NAME`.
    bus: String,
    /// Unit ids to ask: `1-32`, `1,5,10-20`.
    #[arg(long, default_value = "1-32")]
    units: String,
    /// Serial: speed. Default: each that a profile is delivered with, until somebody answers.
    #[arg(long)]
    baud: Option<u32>,
    /// Serial: none, even or odd, with --baud.
    #[arg(long, default_value = "none")]
    parity: String,
    /// Longest wait for an answer, milliseconds.
    #[arg(long, default_value_t = 300)]
    timeout_ms: u64,
    /// Write what was found as a commented configuration into a directory.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: output::Format,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, true);
    let addresses = addresses(&args.units)?;
    if let Some(dir) = args.write.as_ref().filter(|d| d.join("site.toml").exists()) {
        return Err(CommandFailure::usage(format!("{} holds a configuration already", dir.display()))
            .hint("name another directory"));
    }
    let mut problems = Problems::default();
    let dir = global.config_dir();
    let catalogue = builtin::read(dir.is_dir().then_some(dir.as_path()), &mut problems);
    let transports = transports(args, &catalogue.profiles)?;
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let bus = runtime()?.block_on(async {
        let polled_links = bus::gateway_links(global).await?;
        for transport in transports {
            // A gateway that holds the bus has set its serial parameters already.
            let holder = polled_links.iter().find(|h| bus::is_same(&h.transport, &transport));
            let transport = holder.map_or(transport, |h| h.transport.clone());
            if let Some(h) = holder {
                output::note(format!("the running gateway holds it as link `{}`: asking between its cycles", h.link));
            }
            let reached = bus::BusAccess::connect(
                global,
                &polled_links,
                bus::settings(&transport, args.timeout_ms),
                clock.clone(),
            );
            let found = scan(&transport, reached, &addresses, args.timeout_ms, &catalogue.profiles).await?;
            if !found.is_empty() || holder.is_some() {
                return Ok((!found.is_empty()).then_some(ScannedBus { transport, found }));
            }
        }
        Ok::<_, CommandFailure>(None)
    })?;
    let Some(bus) = bus else {
        return Err(CommandFailure::later(format!("nobody answered on {} ({} unit ids)", args.bus, addresses.len()))
            .hint("other ids with --units; on a serial line --baud, --parity, and A and B the right way round"));
    };
    show(&bus, args.format);
    match &args.write {
        Some(dir) => write(dir, &bus, &catalogue.profiles),
        None => Ok(()),
    }
}

fn addresses(text: &str) -> Result<Vec<u8>, CommandFailure> {
    let bad = || CommandFailure::usage(format!("`{text}` are no unit ids")).hint("1-32, or 1,5,10-20; 0 to 255");
    let mut out = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u8, u8) =
            (first.trim().parse().map_err(|_| bad())?, last.trim().parse().map_err(|_| bad())?);
        out.extend(first..=last);
    }
    if out.is_empty() { Err(bad()) } else { Ok(out) }
}

type Profiles = std::collections::BTreeMap<String, Arc<crate::profile::Profile>>;

/// The transports to try, in order: on a serial line, all serial parameters with which the profiles' devices are delivered.
fn transports(args: &Args, profiles: &Profiles) -> Result<Vec<LinkTransport>, CommandFailure> {
    let parity = bus::parity(&args.parity)?;
    let lines = match args.baud {
        Some(baud) => vec![SerialParams { baud, parity, stop_bits: 1 }],
        None => {
            let mut lines = vec![SerialParams { baud: 9_600, parity: Parity::None, stop_bits: 1 }];
            for s in profiles.values().filter_map(|p| p.serial_defaults.as_ref()) {
                let line = SerialParams { baud: s.baud, parity: s.parity, stop_bits: s.stop_bits };
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
            lines
        }
    };
    let mut all = lines.into_iter().map(|line| bus::transport(&args.bus, line)).collect::<Result<Vec<_>, _>>()?;
    if !matches!(all.first(), Some(LinkTransport::Serial(_))) {
        all.truncate(1);
    }
    Ok(all)
}

async fn scan(
    transport: &LinkTransport,
    mut bus: bus::BusAccess,
    units: &[u8],
    timeout_ms: u64,
    profiles: &Profiles,
) -> Result<Vec<FoundUnit>, CommandFailure> {
    bus.open().await.map_err(|e| {
        CommandFailure::later("the bus cannot be opened")
            .because(e)
            .hint("another program may hold it; a gateway of another state directory is found with --state DIR")
    })?;
    if let LinkTransport::Serial(port) = transport {
        output::note(format!("{} baud, parity {:?}", port.line.baud, port.line.parity).to_lowercase());
    }
    let mut found = Vec::new();
    for (i, address) in units.iter().enumerate() {
        match scan::is_present(&mut bus, *address, timeout_ms).await {
            Ok(()) => {
                output::note(format!("unit {address} answers: reading it with {} profiles", profiles.len()));
                let guesses = scan::identify(&mut bus, *address, timeout_ms, profiles).await;
                found.push(FoundUnit { address: *address, candidates: guesses });
            }
            // Some devices close the connection instead of staying silent.
            Err(Cause::LinkDown) => {
                if let Err(why) = reopen(&mut bus).await {
                    output::note(format!("the bus was lost at unit {address} and cannot be opened again: {why}"));
                    break;
                }
            }
            Err(_) if (i + 1) % 16 == 0 => output::note(format!("{} of {} unit ids asked", i + 1, units.len())),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Opens the bus again, with up to five retries, one second apart.
async fn reopen(bus: &mut bus::BusAccess) -> Result<(), LinkError> {
    let mut opened = bus.open().await;
    for _ in 0..5 {
        if opened.is_ok() && !bus.is_through_gateway() {
            break;
        }
        // A gateway reopens its link by itself.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        opened = bus.open().await;
    }
    opened
}

fn show(bus: &ScannedBus, format: output::Format) {
    let mut rows = Vec::new();
    for unit in &bus.found {
        if unit.candidates.is_empty() {
            let hint =
                format!("refuses what every profile reads: plantroom read BUS --unit {} --address …", unit.address);
            rows.push(vec![unit.address.to_string(), "unknown".into(), String::new(), String::new(), hint]);
        }
        for guess in unit.candidates.iter().take(3) {
            let variant = if &*guess.variant == "base" { String::new() } else { format!(" ({})", guess.variant) };
            let ident = guess.ident.as_ref().map_or(String::new(), |i| format!("ident {i}  "));
            let read: Vec<String> = guess.evidence.iter().map(|(p, v)| format!("{p} {v}")).collect();
            rows.push(vec![
                unit.address.to_string(),
                format!("{}{variant}", guess.profile),
                guess.confidence.to_string(),
                format!("{} of {}", guess.readable_points, guess.total_points),
                format!("{ident}{}", read.join("  ")),
            ]);
        }
    }
    output::list(format, &["unit", "profile", "confidence %", "points", "read"], &rows);
}

/// Writes the configuration, and prints what `check` finds in it.
fn write(dir: &Path, bus: &ScannedBus, profiles: &Profiles) -> CommandOutcome {
    let mut files = scan_files::files(bus, profiles, false);
    let check = |files: &[(String, String)]| config::load_texts(&Texts { files: files.to_vec() }, None);
    let mut loaded = check(&files);
    if loaded.problems.iter().any(|p| p.message.contains("cannot carry this")) {
        files = scan_files::files(bus, profiles, true);
        loaded = check(&files);
    }
    let failed =
        |e: std::io::Error| CommandFailure::later(format!("cannot write {}", dir.display())).because(e.to_string());
    std::fs::create_dir_all(dir).map_err(failed)?;
    for (name, text) in files {
        std::fs::write(dir.join(&name), text).map_err(failed)?;
        output::line(dir.join(name).display().to_string());
    }
    loaded.problems.iter().for_each(|p| output::line(p.to_string()));
    output::line(format!("now: look at the names, then plantroom --config {} check --plan", dir.display()));
    Ok(())
}
