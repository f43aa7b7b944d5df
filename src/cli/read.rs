//! `plantroom read`: a device's points now, decoded beside raw words; through the running gateway if there is one.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::app::device_read::{self, ReadRow};
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output, runtime};
use crate::clock::Clock;
use crate::config::{self, Configuration};
use crate::control::{self, ControlRequest};
use crate::link::record::Recorder;
use crate::link::{Counters, Link};
use crate::model::failure::Failure as _;
use crate::model::quality::Cause;
use crate::model::time::UnixMillis;

/// Options of `read`: which device, which point, and the form of the output.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the device, as in `[[device]]`; or a bus: `tcp://host[:port]`, `rtu://host:port`, `serial:/dev/serial/by-id/NAME`.
    device: String,
    /// One of its points; all if none is named.
    point: Option<String>,
    /// Write down every byte of it: a fault report that `simulate --play` plays back. Only while no gateway runs.
    #[arg(long, value_name = "FILE")]
    record: Option<std::path::PathBuf>,
    #[command(flatten)]
    raw: super::read_raw::RawArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: output::Format,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, true);
    let is_bus = super::read_raw::is_bus(&args.device);
    if is_bus && (args.point.is_some() || args.record.is_some()) || !is_bus && args.raw.unit.is_some() {
        return Err(CommandFailure::usage("a device is read by its points, a bus by --unit and --address").hint(
            "plantroom read DEVICE [POINT] [--record FILE], or plantroom read tcp://192.0.2.10 --unit 1 --address 0",
        ));
    }
    if is_bus {
        return super::read_raw::run(global, &args.device, &args.raw, args.format);
    }
    let request = ControlRequest::Read { device: args.device.clone(), point: args.point.clone() };
    let socket = global.socket();
    let runtime = runtime()?;
    let rows: Vec<ReadRow> = match runtime.block_on(control::send_request(&socket, &request)) {
        Ok(_) if args.record.is_some() => {
            return Err(CommandFailure::later(
                "a gateway is running: only who holds the line can write down its bytes",
            )
            .hint("stop it for the moment"));
        }
        Ok(value) => serde_json::from_value(value)
            .map_err(|e| CommandFailure::later("the answer cannot be read").because(e.to_string()))?,
        Err(control::ControlError::NotRunning(_)) => {
            let loaded = config::load(&global.config_dir());
            let Some(configuration) = loaded.configuration else {
                return Err(CommandFailure::configuration("the configuration cannot be used")
                    .hint("`plantroom check` lists every problem"));
            };
            runtime.block_on(read_directly(&configuration, args))?
        }
        Err(e) => return Err(super::control_failure(&e)),
    };
    let cells = |r: &ReadRow| {
        let value = match (r.quality == "good", r.shown.is_empty() || args.format != output::Format::Table) {
            (true, true) => r.value.clone(),
            (true, false) => r.shown.clone(),
            (false, _) => r.quality.clone(),
        };
        vec![r.point.clone(), value, r.unit_of.clone(), r.text.clone(), r.from.clone(), r.raw.clone()]
    };
    let is_nothing_read = !rows.is_empty() && rows.iter().all(|r| r.raw.is_empty());
    let cells_of: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::list(args.format, &["point", "value", "unit", "text", "from", "raw"], &cells_of);
    if is_nothing_read {
        return Err(CommandFailure::later(format!("nothing could be read of `{}`", args.device))
            .hint("`plantroom status` shows its link and unit; `plantroom check --online` tries the way to it"));
    }
    Ok(())
}

/// Without a gateway: this process opens the links itself; requests on one link take turns.
async fn read_directly(configuration: &Configuration, args: &Args) -> Result<Vec<ReadRow>, CommandFailure> {
    let clock = Clock::new(&configuration.clock, UnixMillis(0));
    let begin = |path: &std::path::PathBuf| {
        Recorder::begin(path, &clock)
            .map_err(|e| CommandFailure::usage(format!("cannot write {}", path.display())).because(e))
    };
    let recorder = args.record.as_ref().map(begin).transpose()?;
    let open = |bus: &crate::poll::BusConfig| {
        let mut link = Link::new(bus.link.clone(), clock.clone(), Arc::new(Counters::default()));
        recorder.iter().for_each(|r| link.set_recorder(r.clone()));
        (bus.link.id.clone(), Arc::new(Mutex::new(link)))
    };
    let links: Vec<(String, Arc<Mutex<Link>>)> = configuration.buses.iter().map(open).collect();
    let rows = device_read::read(configuration, &args.device, args.point.as_deref(), |id, unit, span| {
        let link = links.iter().find(|(name, _)| *name == id).map(|(_, link)| Arc::clone(link));
        async move {
            let Some(link) = link else { return Err(Cause::LinkDown) };
            let mut link = link.lock().await;
            if !link.is_open()
                && let Err(why) = link.open().await
            {
                tracing::warn!("{why}");
                return Err(Cause::LinkDown);
            }
            let rules = &unit.profile.variant(None).read_rules;
            let timeout = unit.timeout_ms.or(rules.timeout_ms).unwrap_or_else(|| link.timeout_ms());
            link.read_confirmed(unit.address, span, timeout, rules.pause_ms).await.map(|answer| answer.words)
        }
    })
    .await;
    let ended = recorder.map_or(Ok(()), |r| r.end());
    ended.map_err(|e| CommandFailure::later("what was recorded is not whole").because(e))?;
    rows.map_err(|e| CommandFailure { code: super::code_of(e.kind()), ..CommandFailure::usage(e.to_string()) })
}
