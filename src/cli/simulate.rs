//! `plantroom simulate`: the demo's plant alone, on fixed ports, for whoever wants to try a configuration.

use crate::cli::{Args as Global, Failure, Outcome, output, runtime};
use crate::clock::{self, Clock};
use crate::config::builtin;
use crate::config::doc::Problems;
use crate::model::time::Wall;
use crate::simulate::{Scenario, serve, site};
use tokio_util::sync::CancellationToken;

/// Where `demo --write` says that the serial line is.
pub const LINE: &str = "/tmp/plantroom-line-sump";

/// Options of `simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What happens in the plant.
    #[arg(long, value_enum, default_value_t)]
    scenario: Scenario,
    /// How many times faster than the clock, 1 to 20.
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    speed: f64,
    /// Where the serial line's name is linked to.
    #[arg(long, default_value = LINE, value_name = "FILE")]
    line: std::path::PathBuf,
}

/// A speed that the sockets can follow.
///
/// # Errors
/// It is not between 1 and 20.
pub fn speed(speed: f64) -> Result<f64, Failure> {
    if (1.0..=20.0).contains(&speed) {
        Ok(speed)
    } else {
        Err(Failure::usage(format!("--speed {speed} is not between 1 and 20")))
    }
}

/// Runs until a signal says stop.
pub fn run(global: &Global, args: &Args) -> Outcome {
    output::begin_log(global, false);
    let speed = speed(args.speed)?;
    runtime()?.block_on(async {
        let catalogue = builtin::read(None, &mut Problems::default());
        let units = site::units(&catalogue.profiles);
        let stop = CancellationToken::new();
        let clock = Clock::new(&clock::Settings::default(), Wall(0));
        let started = serve::start(&units, &site::fixed_ports(), args.scenario, speed, clock, stop.clone()).await;
        let plant = started.map_err(|e| Failure::later("the plant cannot start").because(e))?;
        for (server, address) in &plant.tcp {
            let on: Vec<String> =
                units.iter().filter(|u| u.server == *server).map(|u| format!("{} = {}", u.address, u.name)).collect();
            output::line(format!("tcp://{address}  {server}: unit {}", on.join(", ")));
        }
        for (server, device) in &plant.serial {
            let _stale = std::fs::remove_file(&args.line);
            let linked = std::os::unix::fs::symlink(device, &args.line);
            linked.map_err(|e| {
                Failure::later(format!("cannot link {} to {device}", args.line.display())).because(e.to_string())
            })?;
            let on: Vec<String> =
                units.iter().filter(|u| u.server == *server).map(|u| format!("{} = {}", u.address, u.name)).collect();
            output::line(format!("serial:{}  {server}: unit {}", args.line.display(), on.join(", ")));
        }
        output::line("the plant runs; Ctrl-C stops it");
        super::told_to_stop().await;
        stop.cancel();
        let _best_effort = std::fs::remove_file(&args.line);
        Ok(())
    })
}
