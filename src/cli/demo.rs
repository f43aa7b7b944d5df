//! `plantroom demo`: plant, broker, journal and gateway in one process; needs no files, uses a temporary directory and free
//! ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::app::shared::Shared;
use crate::app::{App, Paths};
use crate::cli::demo_history;
use crate::cli::demo_pages::{self, DemoPages, WeatherOffice};
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, demo_table, output, runtime, simulate, stop_signal};
use crate::clock::{self, Clock};
use crate::config::doc::{Problems, Texts};
use crate::config::{self, builtin};
use crate::model::time::UnixMillis;
use crate::simulate::{serve, site};

/// Options of `demo`: what the plant does, and where its values go.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pace: simulate::SimulationSpeed,
    /// Write into a time-series store too: its address (VictoriaMetrics, InfluxDB 2 or 3; bucket `plantroom`), or `v1:` and the
    /// address for InfluxDB 1.x (database `plantroom`). More than one may be named.
    #[arg(long, value_name = "URL")]
    store: Vec<String>,
    /// Begin without a past: no year of simulated history.
    #[arg(long)]
    fresh: bool,
    /// Write the demo's site as a commented configuration into a directory, and do nothing else.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// Runs until Ctrl-C or SIGTERM.
pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    if let Some(dir) = &args.write {
        return write(dir);
    }
    output::begin_log(global, true);
    let speed = args.pace.speed()?;
    let dir = std::env::temp_dir().join(format!("plantroom-demo-{}", std::process::id()));
    let outcome = runtime()?.block_on(demo(global, args, speed, &dir));
    let _best_effort = std::fs::remove_dir_all(&dir);
    outcome
}

/// Writes the demo's configuration; refuses to overwrite files.
fn write(dir: &Path) -> CommandOutcome {
    let at = site::DemoAddresses {
        ports: site::fixed_ports(),
        line: simulate::LINE.to_string(),
        broker: "mqtt://127.0.0.1:1883".to_string(),
        health: "127.0.0.1:9464".to_string(),
    };
    let files = site::files(&at);
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).exists()) {
        return Err(CommandFailure::usage(format!("{} is there already", dir.join(name).display()))
            .hint("name an empty directory"));
    }
    write_files(dir, &files)?;
    files.iter().for_each(|(name, _)| output::line(dir.join(name).display().to_string()));
    output::line(format!("now: plantroom simulate, and beside it: plantroom --config {} run", dir.display()));
    Ok(())
}

fn write_files(dir: &Path, files: &[(String, String)]) -> CommandOutcome {
    let failed = |path: &Path, e: std::io::Error| {
        CommandFailure::later(format!("cannot write {}", path.display())).because(e.to_string())
    };
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

async fn demo(global: &Global, args: &Args, speed: f64, dir: &Path) -> CommandOutcome {
    let broker = broker().map_err(|e| CommandFailure::later("the demo's broker cannot start").because(e))?;
    output::line(format!("mqtt://127.0.0.1:{}", broker.v4));
    let catalogue = builtin::read(None, &mut Problems::default());
    let units = site::units(&catalogue.profiles);
    let stop = CancellationToken::new();
    let past = if args.fresh { None } else { Some(demo_history::write(dir).await?) };
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0)).at_speed(speed);
    // Two days ago in UTC: past in every time zone, and the first week of the rota is not over.
    let two_days_ago = UnixMillis(clock.now().wall.0 - 2 * 86_400_000).rfc3339();
    let started = serve::start(&units, &BTreeMap::new(), args.pace.scenario, clock.clone(), stop.clone()).await;
    let office = WeatherOffice::new(args.pace.scenario, &clock);
    let plant = started.map_err(|e| CommandFailure::caused("the plant cannot start", &e))?;
    let health = format!("127.0.0.1:{}", free_port().map_err(|e| CommandFailure::later("no free port").because(e))?);
    let at = site::DemoAddresses {
        ports: plant.tcp.iter().map(|(name, a)| (*name, a.port())).collect(),
        line: plant.serial.values().next().cloned().unwrap_or_default(),
        broker: format!("mqtt://127.0.0.1:{}", broker.v5),
        health: health.clone(),
    };
    let mut files = site::files(&at);
    past.iter().for_each(|dates| demo_history::change_meters(&mut files, dates));
    files.iter_mut().filter(|(name, _)| name == "site.toml").for_each(|(_, text)| *text = WeatherOffice::tell(text));
    files.push(("stores.toml".to_string(), stores(&args.store)));
    let pages = DemoPages::default();
    let no_port = |e: std::io::Error| CommandFailure::later("no free port").because(e.to_string());
    let notification_port = demo_pages::listen(pages.clone(), office, stop.clone()).await.map_err(no_port)?;
    files.push(("feed.toml".to_string(), WeatherOffice::feed(notification_port)));
    let web_port = free_port().map_err(|e| CommandFailure::later("no free port").because(e))?;
    files
        .push(("people.toml".to_string(), demo_pages::oncall_config(notification_port, web_port, &two_days_ago[..10])));
    let loaded = config::load_texts(&Texts { files: files.clone() }, None);
    let Some(configuration) = loaded.configuration else {
        let said = loaded.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        return Err(CommandFailure {
            code: 70,
            ..CommandFailure::usage("the demo's own configuration does not check")
        }
        .because(said));
    };
    let paths = Paths {
        state: dir.to_path_buf(),
        socket: global.state.clone().unwrap_or(dir.to_path_buf()).join("control.sock"),
    };
    let started = App::start_by(configuration, &paths, clock);
    let app = started.map_err(|e| CommandFailure::caused("the gateway cannot start", &e))?;
    // As `run` keeps it: commands beside the demo know its zone, names and rules.
    write_files(&dir.join("last-good"), &files)?;
    let addresses = [
        format!("mqtt 5 on port {}; health page http://{health}/metrics", broker.v5),
        format!("status: plantroom --state {} status", dir.display()),
        format!("listen: mosquitto_sub -p {} -v -t 'plantroom/demo/#'", broker.v4),
    ];
    // On a terminal they stand below the table, which would scroll them away.
    let below = if output::is_terminal() { &addresses[..] } else { &[] };
    if below.is_empty() {
        addresses.iter().for_each(output::line);
    }
    let shared = std::sync::Arc::clone(&app.shared);
    tokio::select! {
        () = stop_signal() => {}
        () = shared.process.fatal.cancelled() => {}
        () = show(&shared, &pages, below) => {}
    }
    output::line("stopping");
    app.stop().await;
    stop.cancel();
    if shared.process.fatal.is_cancelled() { Err(CommandFailure::driver_ended()) } else { Ok(()) }
}

/// Sink tables for the given stores.
fn stores(urls: &[String]) -> String {
    let sink = |(i, url): (usize, &String)| {
        let (url, kept) = match url.strip_prefix("v1:") {
            Some(url) => (url, [("api", "v1"), ("database", "plantroom")].as_slice()),
            None => (url.as_str(), [("bucket", "plantroom")].as_slice()),
        };
        let mut table = Table::from_iter([("name", value(format!("store-{i}"))), ("url", value(url))]);
        table.extend(kept.iter().map(|(key, text)| (*key, value(*text))));
        table
    };
    let stores: ArrayOfTables = urls.iter().enumerate().map(sink).collect();
    let mut out = DocumentMut::new();
    if !stores.is_empty() {
        let mut sinks = Table::from_iter([("influx", Item::ArrayOfTables(stores))]);
        sinks.set_implicit(true);
        out.insert("sink", Item::Table(sinks));
    }
    out.to_string()
}

/// The live table: redrawn each second on a terminal, else once, and a line every ten seconds.
async fn show(shared: &Shared, pages: &DemoPages, addresses: &[String]) {
    let mut drawn = 0;
    let mut seconds = 0u32;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        seconds += 1;
        let table = || demo_table::table(shared, addresses, &pages.text(), output::terminal_size());
        if output::is_terminal() {
            let table = table();
            if drawn > 0 {
                output::raw(format!("\x1b[{drawn}A\x1b[J"));
            }
            drawn = table.matches('\n').count();
            output::raw(table);
        } else if seconds == 3 {
            output::raw(table());
        } else if seconds.is_multiple_of(10) {
            output::line(format!("{seconds} s: {}", demo_table::count(shared)));
        }
    }
}

/// Ports of the demo's broker, for MQTT 3.1.1 and 5.
struct Broker {
    v4: u16,
    v5: u16,
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|e| e.to_string())?;
    listener.local_addr().map(|a| a.port()).map_err(|e| e.to_string())
}

/// Starts the broker in its own thread; it ends with the process.
#[cfg(feature = "embedded-broker")]
fn broker() -> Result<Broker, String> {
    use std::collections::HashMap;
    let ports = Broker { v4: free_port()?, v5: free_port()? };
    let server = |name: &str, port: u16| {
        let connections = rumqttd::ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: 1_000_000,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        };
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let settings = rumqttd::ServerSettings {
            name: name.to_string(),
            listen,
            tls: None,
            next_connection_delay_ms: 1,
            connections,
        };
        HashMap::from([(name.to_string(), settings)])
    };
    let router = rumqttd::RouterConfig {
        max_connections: 64,
        max_outgoing_packet_count: 200,
        max_segment_size: 4_000_000,
        max_segment_count: 4,
        ..rumqttd::RouterConfig::default()
    };
    let config = rumqttd::Config {
        id: 0,
        router,
        v4: Some(server("v4", ports.v4)),
        v5: Some(server("v5", ports.v5)),
        ..rumqttd::Config::default()
    };
    let mut broker = rumqttd::Broker::new(config);
    let spawned = std::thread::Builder::new().name("broker".into()).spawn(move || {
        if let Err(e) = broker.start() {
            output::note(format!("error: the demo's broker ended: {e}"));
        }
    });
    spawned.map_err(|e| e.to_string())?;
    wait_for(ports.v4)?;
    wait_for(ports.v5)?;
    Ok(ports)
}

/// Without the feature the demo uses a broker that already runs on port 1883.
#[cfg(not(feature = "embedded-broker"))]
fn broker() -> Result<Broker, String> {
    wait_for(1883).map_err(|_| {
        "this build has no broker of its own, and none listens on 127.0.0.1:1883 (start mosquitto)".to_string()
    })?;
    Ok(Broker { v4: 1883, v5: 1883 })
}

#[expect(clippy::disallowed_methods, reason = "before anything else runs")]
fn wait_for(port: u16) -> Result<(), String> {
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(format!("nothing listens on 127.0.0.1:{port}"))
}
