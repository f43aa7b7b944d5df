//! The command line: one file per command.
//!
//! A failed command prints `error`, `caused by` and `hint` to standard error. Exit codes: 0; 64 usage; 65 damaged files; 69
//! refused by the gateway; 70 our bug; 75 try later; 77 not permitted; 78 bad configuration.

#![allow(clippy::disallowed_methods, reason = "a command waits for its files")]

pub mod alarm;
pub mod audit;
pub mod backup;
mod bus;
pub mod check;
pub mod clock;
pub mod demo;
mod demo_history;
mod demo_pages;
mod demo_table;
pub mod energy;
mod energy_classify;
mod energy_cost;
mod energy_entry;
mod energy_export;
mod energy_question;
mod energy_readings;
mod energy_report;
mod export_file;
pub mod flood;
mod flood_report;
pub mod history;
mod ledger;
pub mod output;
pub mod page;
pub mod probes;
pub mod read;
pub mod read_raw;
pub mod reference;
pub mod reload;
pub mod replay;
pub mod resend;
pub mod run;
pub mod scan;
mod scan_files;
pub mod set_aside;
pub mod simulate;
pub mod status;
pub mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};

use crate::model::failure::{Failure, FailureKind};

/// Edge gateway for plant rooms: Modbus in, MQTT and a time-series store out, a journal in between.
#[derive(Debug, Parser)]
#[command(name = "plantroom", version, about, max_term_width = 110)]
pub struct Args {
    /// Directory of the configuration. Default: `config` where that is a checkout's, else /etc/plantroom.
    #[arg(long, global = true, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom.
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Times in UTC. Default: in the site's time zone.
    #[arg(long, global = true)]
    pub utc: bool,
    /// How the log is written.
    #[arg(long, global = true, value_enum, default_value_t = LogForm::Auto)]
    pub log: LogForm,
    #[command(subcommand)]
    command: CliCommand,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// To journald where systemd runs us, else text to standard error.
    Auto,
    /// Text to standard error.
    Text,
    /// JSON, one object a line, to standard error.
    Json,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run a simulated plant, a broker, journal and gateway in one process: needs no file.
    Demo(demo::Args),
    /// Run the gateway until Ctrl-C or SIGTERM.
    Run,
    /// Check the configuration: every problem at once.
    Check(check::Args),
    /// Read a device now: values beside raw words.
    Read(read::Args),
    /// Find out which units answer on a bus, and what they are.
    Scan(scan::Args),
    /// Run the demo's plant alone: real Modbus servers on loopback.
    Simulate(simulate::Args),
    /// Links, units, sinks, journal and clock of the running gateway.
    Status(status::Args),
    /// Read back the history of a point.
    History(history::Args),
    /// Consumption in a period, each figure with the two readings behind it.
    Energy(energy::Args),
    /// What is in alarm, and what was.
    Alarm(alarm::Args),
    /// Try alarm rules on the past: what they would have raised beside what was.
    Replay(replay::Args),
    /// Take an alarm: who takes it first owns it.
    Ack(alarm::AckArgs),
    /// Put an alarm aside for a time; it comes back by itself.
    Shelve(alarm::ShelveArgs),
    /// Announce a test run of a device: nobody is told of what it raises.
    Test(alarm::TestArgs),
    /// Who did what, by which way: alarms, pages, rotas, the gateway itself.
    Audit(audit::Args),
    /// Why an alarm is, or is not, and what it waits for.
    Explain(alarm::ExplainArgs),
    /// Page somebody for a trial; what became of every page.
    Page(page::Args),
    /// Who is on call, and who stands in.
    Rota(page::RotaArgs),
    /// The flood level, what it follows from, and when it may go down.
    Flood(flood::Args),
    /// Give the alarms a sample for a trial: marked TEST, never history, evidence or energy.
    Inject(alarm::InjectArgs),
    /// What a store refused for good: listed, sent again, discarded.
    SetAside(set_aside::Args),
    /// Read every file of the history once, slowly, and say what of it cannot be read.
    Verify(verify::Args),
    /// Write a range of the history to a store again.
    Resend(resend::Args),
    /// Load the configuration again; what did not change misses no cycle.
    Reload,
    /// Keep configuration and state in one file; works beside the running gateway.
    Backup(backup::Args),
    /// Bring a backup back: unpacked, proved by opening it, put into place.
    Restore(backup::RestoreArgs),
    /// The clock of the running gateway.
    Clock(clock::Args),
    /// Print the reference of the configuration.
    Reference(reference::Args),
}

/// Why a command failed.
#[derive(Debug)]
pub struct CommandFailure {
    /// 64: the request is wrong; 65: files are damaged; 69: the gateway refused it; 70: a bug of ours; 75: try later; 77: not
    /// permitted; 78: configuration.
    pub code: u8,
    /// What could not be done.
    pub error: String,
    /// Causes, the outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: String,
}

/// Result of a command.
pub type CommandOutcome = Result<(), CommandFailure>;

impl CommandFailure {
    /// Code 64: the request itself is wrong.
    pub fn usage(error: impl Into<String>) -> Self {
        Self { code: 64, error: error.into(), causes: Vec::new(), hint: String::new() }
    }

    /// What could not be done because of a failure, whose kind gives the code.
    pub fn caused(error: impl Into<String>, failure: &impl Failure) -> Self {
        Self { code: code_of(failure.kind()), ..Self::usage(error) }.because(failure)
    }

    /// Code 75: it may work later.
    pub fn later(error: impl Into<String>) -> Self {
        Self { code: 75, ..Self::usage(error) }
    }

    /// Code 65: the answer is incomplete because files are damaged, or a file is not what it says.
    pub fn damaged(error: impl Into<String>) -> Self {
        Self { code: 65, ..Self::usage(error) }
    }

    /// Code 70: the engine's driver panicked.
    pub fn driver_ended() -> Self {
        Self { code: 70, ..Self::usage("the engine's driver panicked: the gateway ends, to be started anew") }
            .hint("this is a bug of ours: the log has the place; systemd starts it again")
    }

    /// Code 78: the configuration cannot be used.
    pub fn configuration(error: impl Into<String>) -> Self {
        Self { code: 78, ..Self::usage(error) }
    }

    #[must_use]
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// The exit code of a kind of failure.
const fn code_of(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::BadInput => 64,
        FailureKind::Broken => 65,
        FailureKind::Refused => 69,
        FailureKind::Retry => 75,
        FailureKind::NotPermitted => 77,
    }
}

impl Args {
    /// `--config`, else `config` if that holds a site, else /etc/plantroom.
    pub fn config_dir(&self) -> PathBuf {
        let local = PathBuf::from("config");
        match &self.config {
            Some(dir) => dir.clone(),
            None if local.join("site.toml").exists() => local,
            None => PathBuf::from("/etc/plantroom"),
        }
    }

    /// For commands that ask about a gateway: `--config`, else the configuration that the gateway of this state keeps as last good,
    /// which is the one in force, else as [`Args::config_dir`].
    pub fn config_in_force(&self) -> PathBuf {
        let kept = self.state_dir().join("last-good");
        if self.config.is_none() && kept.is_dir() { kept } else { self.config_dir() }
    }

    /// The zone of every time that people read: the site's, of the configuration in force. UTC with `--utc`, and where there is none.
    pub fn zone(&self) -> TimeZone {
        let of_site = || crate::config::load(&self.config_in_force()).configuration.map(|c| c.alarms.zone);
        (!self.utc).then(of_site).flatten().unwrap_or(TimeZone::UTC)
    }

    /// `--state`, else $STATE_DIRECTORY, else /var/lib/plantroom.
    pub fn state_dir(&self) -> PathBuf {
        let from_systemd = || std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
        self.state.clone().or_else(from_systemd).unwrap_or_else(|| PathBuf::from("/var/lib/plantroom"))
    }

    /// The journal's directory, existing and readable.
    ///
    /// # Errors
    /// It does not exist, or this user may not read it.
    pub fn journal_dir(&self, settings: &crate::journal::JournalSettings) -> Result<PathBuf, CommandFailure> {
        let dir = self.state_dir().join(&settings.dir);
        match std::fs::read_dir(&dir) {
            Ok(_) => Ok(dir),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                let what = format!("the journal in {} may not be read by this user", dir.display());
                Err(CommandFailure { code: 77, ..CommandFailure::usage(what) }
                    .hint("run it as the gateway's user, or as root (sudo)"))
            }
            Err(_) => Err(CommandFailure::usage(format!("there is no journal in {}", dir.display()))
                .hint("--state DIR names the gateway's state")),
        }
    }

    /// The control socket: in the directory that systemd makes for it, else beside the state.
    pub fn socket(&self) -> PathBuf {
        match (&self.state, std::env::var_os("RUNTIME_DIRECTORY")) {
            (None, Some(dir)) => PathBuf::from(dir).join("control.sock"),
            (None, None) if std::path::Path::new("/run/plantroom/control.sock").exists() => {
                PathBuf::from("/run/plantroom/control.sock")
            }
            _ => self.state_dir().join("control.sock"),
        }
    }
}

/// The entry point of the binary.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _best_effort = e.print();
            return if e.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let outcome = match &args.command {
        CliCommand::Demo(demo) => demo::run(&args, demo),
        CliCommand::Run => run::run(&args),
        CliCommand::Check(check) => check::run(&args, check),
        CliCommand::Read(read) => read::run(&args, read),
        CliCommand::Scan(of) => scan::run(&args, of),
        CliCommand::Simulate(simulate) => simulate::run(&args, simulate),
        CliCommand::Status(status) => status::run(&args, status),
        CliCommand::History(history) => history::run(&args, history),
        CliCommand::Energy(of) => energy::run(&args, of),
        CliCommand::Alarm(a) => alarm::run(&args, a),
        CliCommand::Replay(a) => replay::run(&args, a),
        CliCommand::Ack(a) => alarm::acknowledge(&args, a),
        CliCommand::Shelve(a) => alarm::shelve(&args, a),
        CliCommand::Test(a) => alarm::test(&args, a),
        CliCommand::Audit(of) => audit::run(&args, of),
        CliCommand::Explain(a) => alarm::explain(&args, a),
        CliCommand::Page(a) => page::run(&args, a),
        CliCommand::Rota(a) => page::rota(&args, a),
        CliCommand::Flood(of) => flood::run(&args, of),
        CliCommand::Inject(a) => alarm::inject(&args, a),
        CliCommand::SetAside(args_of) => set_aside::run(&args, args_of),
        CliCommand::Verify(of) => verify::run(&args, of),
        CliCommand::Resend(of) => resend::run(&args, of),
        CliCommand::Reload => reload::run(&args),
        CliCommand::Backup(of) => backup::run(&args, of),
        CliCommand::Restore(of) => backup::restore(&args, of),
        CliCommand::Clock(clock) => clock::run(&args, clock),
        CliCommand::Reference(reference) => reference::run(reference),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// A single-threaded runtime: a gateway mostly waits, and waking another thread costs more than the work that it would do. The
/// journal's writer and everything that reads files have their own threads.
///
/// # Errors
/// The operating system provides no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime, CommandFailure> {
    let built = tokio::runtime::Builder::new_current_thread().max_blocking_threads(8).enable_all().build();
    built.map_err(|e| CommandFailure::later("cannot start").because(e.to_string()))
}

/// Hint for a user who may not use the control socket.
const DENIED: &str = "sudo, or join its group: sudo usermod -aG plantroom $USER";

/// Sends a request to the running gateway.
///
/// # Errors
/// None runs, or it refuses.
pub fn send_request(
    args: &Args,
    request: &crate::control::ControlRequest,
) -> Result<serde_json::Value, CommandFailure> {
    let answer = runtime()?.block_on(crate::control::send_request(&args.socket(), request));
    answer.map_err(|e| {
        let failure = control_failure(&e);
        let is_refused = matches!(e, crate::control::ControlError::Refused(_));
        let error = if is_refused { output::times_in(&failure.error, &args.zone()) } else { failure.error };
        CommandFailure { error, ..failure }
    })
}

/// The same with every date in the answer in the zone of the site: for an answer that is printed.
pub fn ask_for_people(
    args: &Args,
    request: &crate::control::ControlRequest,
    format: output::Format,
) -> Result<serde_json::Value, CommandFailure> {
    let answer = send_request(args, request)?;
    Ok(if format == output::Format::Table { output::for_people(answer, &args.zone()) } else { answer })
}

/// A failed request as an error with the exit code of its kind.
pub fn control_failure(error: &crate::control::ControlError) -> CommandFailure {
    use crate::control::ControlError;
    let failure = CommandFailure { code: code_of(error.kind()), ..CommandFailure::usage(error.to_string()) };
    match error {
        ControlError::NotRunning(_) => {
            failure.hint("start it with `plantroom run`; --state DIR names another gateway's state")
        }
        ControlError::Denied(_) => failure.hint(DENIED),
        ControlError::NoAnswer(_) | ControlError::Refused(_) => failure,
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn stop_signal() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Name of whoever runs this command.
pub fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    uzers::get_user_by_uid(uid).map_or_else(|| format!("uid {uid}"), |user| user.name().to_string_lossy().into_owned())
}
