//! `plantroom run`: the daemon. It reports readiness when everything has started, and feeds the watchdog while everything makes
//! progress.

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::error::AppError;
use crate::app::{App, Paths, last_good};
use crate::cli::{Args, CommandFailure, CommandOutcome, output, runtime};
use crate::config::{self, Configuration};
use crate::lock::lock;
use crate::model::actor::Actor;
use crate::model::problem::{Problem, Severity};

/// Runs until a signal or a fatal error.
pub fn run(args: &Args) -> CommandOutcome {
    output::begin_log(args, false);
    let dir = args.config_dir();
    let paths = Paths { state: args.state_dir(), socket: args.socket() };
    let (configuration, last_good) = boot(&dir, &paths)?;
    runtime()?.block_on(serve(configuration, last_good, &dir, &paths))
}

/// The configuration to run with: the present one, or the last good one with the reason.
fn boot(dir: &Path, paths: &Paths) -> Result<(Configuration, Option<String>), CommandFailure> {
    let loaded = config::load(dir);
    log(&loaded.problems);
    if let Some(configuration) = loaded.configuration {
        return Ok((configuration, None));
    }
    let why = summary(&loaded.problems);
    let last_good = paths.state.join("last-good");
    let kept = last_good.is_dir().then(|| config::load(&last_good).configuration).flatten();
    match kept {
        Some(configuration) => {
            tracing::error!(why, "the configuration does not check: running on the last good one");
            Ok((configuration, Some(why)))
        }
        None => Err(CommandFailure::configuration(format!("the configuration in {} cannot be used", dir.display()))
            .because(why)
            .hint("`plantroom check` lists every problem")),
    }
}

fn log(problems: &[Problem]) {
    for problem in problems {
        let (location, message, hint) = (problem.location.to_string(), &problem.message, &problem.hint);
        match problem.severity {
            Severity::Error => tracing::error!(location, hint, "{message}"),
            Severity::Warning => tracing::warn!(location, hint, "{message}"),
        }
    }
}

/// The first error, and the number of others.
fn summary(problems: &[Problem]) -> String {
    let errors: Vec<&Problem> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    let first = errors.first().map(|p| format!("{}: {}", p.location, p.message)).unwrap_or_default();
    if errors.len() > 1 { format!("{first} (and {} more)", errors.len() - 1) } else { first }
}

async fn serve(configuration: Configuration, last_good: Option<String>, dir: &Path, paths: &Paths) -> CommandOutcome {
    let on_last_good = last_good.is_some();
    let started = App::start(configuration, paths);
    let mut app = started.map_err(|e| CommandFailure::caused("the gateway cannot start", &e))?;
    *lock(&app.shared.process.last_good) = last_good;
    if !on_last_good {
        last_good::keep(dir, &paths.state);
    }
    let broken = |e: std::io::Error| CommandFailure::later("cannot listen to signals").because(e.to_string());
    let mut term = signal(SignalKind::terminate()).map_err(broken)?;
    let mut int = signal(SignalKind::interrupt()).map_err(broken)?;
    let mut hup = signal(SignalKind::hangup()).map_err(broken)?;
    let watchdog_interval = sd_notify::watchdog_enabled().map_or(Duration::from_secs(20), |d| d / 3);
    notify(&[NotifyState::Ready]);
    tracing::info!(
        site = app.shared.configuration().site.id,
        version = env!("CARGO_PKG_VERSION"),
        "gateway is running"
    );
    let mut ticks = tokio::time::interval(watchdog_interval);
    let fatal = app.shared.process.fatal.clone();
    loop {
        tokio::select! {
            () = fatal.cancelled() => break,
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                let actor = Actor::gateway().named("SIGHUP");
                crate::app::step::record_reload(&app.shared, &actor).await;
                drop(reload(&mut app, dir, paths, &actor).await);
            }
            Some((actor, reply)) = app.reloads_wanted.recv() => {
                let outcome = reload(&mut app, dir, paths, &actor).await;
                let _nobody_waits = reply.send(outcome);
            }
            _ = ticks.tick() => {
                if app.is_alive() {
                    notify(&[NotifyState::Watchdog]);
                } else {
                    tracing::error!("something has made no progress for two minutes: the watchdog is not fed");
                }
            }
        }
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    tokio::select! {
        () = app.stop() => {}
        // A second signal stops at once.
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("stopped");
    if fatal.is_cancelled() { Err(CommandFailure::driver_ended()) } else { Ok(()) }
}

fn notify(states: &[NotifyState<'_>]) {
    let _not_under_systemd = sd_notify::notify(states);
}

/// Loads the configuration again; one with errors changes nothing.
async fn reload(app: &mut App, dir: &Path, paths: &Paths, actor: &Actor) -> Result<Vec<String>, AppError> {
    notify(&[NotifyState::Reloading]);
    let (path, state) = (dir.to_path_buf(), paths.state.clone());
    let Ok(loaded) = tokio::task::spawn_blocking(move || config::load(&path)).await else {
        return Err(AppError::Inside);
    };
    log(&loaded.problems);
    let result = match loaded.configuration {
        Some(configuration) => {
            let changes = app.reload(configuration, actor).await;
            let from = dir.to_path_buf();
            let _logged = tokio::task::spawn_blocking(move || last_good::keep(&from, &state)).await;
            tracing::info!(done = changes.join("; "), "configuration is loaded again");
            Ok(changes)
        }
        None => {
            let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
            tracing::error!("the new configuration does not check: the one in force stays");
            Err(AppError::Configuration(said.join("\n")))
        }
    };
    notify(&[NotifyState::Ready]);
    result
}
