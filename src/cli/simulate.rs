//! `plantroom simulate`: the demo's plant alone, on fixed ports, to try a configuration on.

use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output, runtime};
use crate::clock::{self, Clock};
use crate::config::builtin;
use crate::config::doc::Problems;
use crate::model::time::UnixMillis;
use crate::simulate::{Scenario, play, serve, site};
use tokio_util::sync::CancellationToken;

/// Name of the serial line in the configuration that `demo --write` writes.
pub const LINE: &str = "/tmp/plantroom-line-sump";

/// What the plant does and how fast: the same for `simulate` and `demo`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SimulationSpeed {
    /// What happens in the plant.
    #[arg(long, value_enum, default_value_t)]
    pub scenario: Scenario,
    /// How many times faster than the clock the plant runs, 1 to 20; in the demo polls, rules and the date too.
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    speed: f64,
}

impl SimulationSpeed {
    /// The speed, limited to what the sockets can follow.
    ///
    /// # Errors
    /// It is not between 1 and 20.
    pub fn speed(&self) -> Result<f64, CommandFailure> {
        if (1.0..=20.0).contains(&self.speed) {
            Ok(self.speed)
        } else {
            Err(CommandFailure::usage(format!("--speed {} is not between 1 and 20", self.speed)))
        }
    }
}

/// Options of `simulate`: what the plant does, and where it is reached.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pace: SimulationSpeed,
    /// Instead of the plant: play back what `read --record` wrote, each link on a port of its own.
    #[arg(long, value_name = "FILE")]
    play: Option<std::path::PathBuf>,
    /// Take free ports instead of 15020 to 15022, for more than one plant at a time.
    #[arg(long)]
    any_port: bool,
    /// Where the serial line's name is linked to.
    #[arg(long, default_value = LINE, value_name = "FILE")]
    line: std::path::PathBuf,
}

/// Runs until a signal.
pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, false);
    let speed = args.pace.speed()?;
    if let Some(file) = &args.play {
        return play(file);
    }
    runtime()?.block_on(async {
        let catalogue = builtin::read(None, &mut Problems::default());
        let units = site::units(&catalogue.profiles);
        let stop = CancellationToken::new();
        let clock = Clock::new(&clock::ClockSettings::default(), UnixMillis(0)).at_speed(speed);
        let ports = if args.any_port { std::collections::BTreeMap::new() } else { site::fixed_ports() };
        let started = serve::start(&units, &ports, args.pace.scenario, clock, stop.clone()).await;
        let plant = started.map_err(|e| CommandFailure::later("the plant cannot start").because(e))?;
        for (server, address) in &plant.tcp {
            let on: Vec<String> =
                units.iter().filter(|u| u.server == *server).map(|u| format!("{} = {}", u.address, u.name)).collect();
            output::line(format!("tcp://{address}  {server}: unit {}", on.join(", ")));
        }
        for (server, device) in &plant.serial {
            let _stale = std::fs::remove_file(&args.line);
            let linked = std::os::unix::fs::symlink(device, &args.line);
            linked.map_err(|e| {
                CommandFailure::later(format!("cannot link {} to {device}", args.line.display())).because(e.to_string())
            })?;
            let on: Vec<String> =
                units.iter().filter(|u| u.server == *server).map(|u| format!("{} = {}", u.address, u.name)).collect();
            output::line(format!("serial:{}  {server}: unit {}", args.line.display(), on.join(", ")));
        }
        output::line("the plant runs; Ctrl-C stops it");
        super::stop_signal().await;
        stop.cancel();
        let _best_effort = std::fs::remove_file(&args.line);
        Ok(())
    })
}

/// Plays a recording back until a signal.
fn play(file: &std::path::Path) -> CommandOutcome {
    let text = std::fs::read_to_string(file)
        .map_err(|e| CommandFailure::usage(format!("cannot read {}", file.display())).because(e.to_string()))?;
    let links = play::read(&text)
        .map_err(|e| CommandFailure::usage(format!("{} is no record of frames", file.display())).because(e))?;
    runtime()?.block_on(async {
        for (name, record) in links {
            let scheme = if record.is_rtu { "rtu" } else { "tcp" };
            let address = play::serve(record, 0).await;
            let address = address.map_err(|e| CommandFailure::later("the record cannot be played").because(e))?;
            output::line(format!("{scheme}://{address}  {name}"));
        }
        output::line("the record is played; Ctrl-C stops it");
        super::stop_signal().await;
        Ok(())
    })
}
