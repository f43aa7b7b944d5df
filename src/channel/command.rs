//! Runs a local program for each notification, for example to switch a siren or a relay. The exit status is the outcome; a program that
//! exceeds its timeout is killed with its process group.

use std::process::Stdio;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::channel::MINUTE_MS;
use crate::channel::{BoxFuture, Channel, ChannelKind};
use crate::http::files::LoadedFiles;
use crate::model::notification::RateLimit;
use crate::model::notification::{DeliveryOutcome, Notification};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;

/// Exit status that asks for a retry (sysexits.h: EX_TEMPFAIL).
const EX_TEMPFAIL: i32 = 75;

/// A program on this box: `[[channel.command]]`. It gets the message as JSON on its standard input, and in the environment
/// `PLANTROOM_TITLE`, `PLANTROOM_SHORT`, `PLANTROOM_PRIORITY`, `PLANTROOM_ASKS`, `PLANTROOM_TO` and `PLANTROOM_LINK`, with `PATH` and
/// `LANG` and nothing else. 0: done; 75: later; else no. What takes too long is ended with everything that it began.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSettings {
    /// The channel's id, unique among channels: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// The program, with its whole path.
    pub program: String,
    /// What it is given.
    #[serde(default)]
    pub args: Vec<String>,
    /// How long it may take, milliseconds.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
    /// How often a minute.
    pub per_min: Option<u32>,
}

fn ten_seconds() -> u64 {
    10_000
}

impl ChannelKind for CommandSettings {
    fn id(&self) -> &str {
        &self.id
    }

    fn per_min(&self) -> Option<u32> {
        self.per_min
    }

    fn service_limit(&self, _kind: &str) -> RateLimit {
        RateLimit { per_min: 120.0, burst: 60.0, cooldown_ms: MINUTE_MS }
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        let mut out = Vec::new();
        if !self.program.starts_with('/') {
            out.push(("program", format!("`{}` is no whole path", self.program), "/usr/local/bin/siren"));
        }
        if !(100..=60_000).contains(&self.timeout_ms) {
            out.push(("timeout_ms", "timeout_ms makes no sense".to_string(), "100 to 60000"));
        }
        out
    }

    fn open(&self, _kind: &str, _files: &LoadedFiles) -> Box<dyn Channel> {
        Box::new(CommandChannel::new(self.clone()))
    }
}

/// The `PATH` of the program.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process group of a program. Dropping it kills the group, unless the program has exited by itself (`None`).
struct ProcessGroup(Option<u32>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // Also reached when the attempt is cancelled: no process may be left behind.
            let _gone = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

/// A channel that runs a program.
pub struct CommandChannel {
    settings: CommandSettings,
}

impl CommandChannel {
    pub fn new(settings: CommandSettings) -> Self {
        Self { settings }
    }

    async fn run(&self, notification: &Notification) -> DeliveryOutcome {
        let s = &self.settings;
        let spawned = tokio::process::Command::new(&s.program)
            .args(&s.args)
            // The daemon's own environment may hold secrets of the configuration.
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("PLANTROOM_TITLE", &notification.title)
            .env("PLANTROOM_SHORT", &notification.summary)
            .env("PLANTROOM_PRIORITY", notification.priority.word())
            .env("PLANTROOM_ASKS", if notification.requires_ack { "1" } else { "0" })
            .env("PLANTROOM_TO", &notification.address)
            .env("PLANTROOM_LINK", notification.link.as_deref().unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            // The file is being written at this moment.
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                return DeliveryOutcome::RetryLater {
                    after_ms: None,
                    reason: format!("cannot start {}: {e}", s.program),
                };
            }
            Err(e) => return DeliveryOutcome::Rejected { reason: format!("cannot start {}: {e}", s.program) },
        };
        let mut group = ProcessGroup(child.id());
        let (input, mut errors) = (child.stdin.take(), child.stderr.take());
        let object = notification.payload.to_string();
        let running = async {
            if let Some(mut input) = input {
                // A program need not read its input.
                let _closed = input.write_all(object.as_bytes()).await;
            }
            child.wait().await
        };
        match tokio::time::timeout(Duration::from_millis(s.timeout_ms), running).await {
            Err(_) => {
                DeliveryOutcome::Unknown { reason: format!("{} took longer than {} ms", s.program, s.timeout_ms) }
            }
            Ok(Err(e)) => DeliveryOutcome::Unknown { reason: format!("{}: {e}", s.program) },
            Ok(Ok(status)) => {
                // It exited by itself: background processes that it started on purpose keep running.
                group.0 = None;
                // Such a process may keep stderr open, so only what is already there is read.
                let mut bytes = [0u8; 400];
                let reading = async {
                    match &mut errors {
                        Some(errors) => errors.read(&mut bytes).await.unwrap_or(0),
                        None => 0,
                    }
                };
                let read = tokio::time::timeout(Duration::from_millis(100), reading).await.unwrap_or(0);
                let words = String::from_utf8_lossy(&bytes[..read]).trim().to_string();
                match status.code() {
                    Some(0) => DeliveryOutcome::Accepted,
                    Some(EX_TEMPFAIL) => {
                        DeliveryOutcome::RetryLater { after_ms: None, reason: format!("{}: {words}", s.program) }
                    }
                    _ => DeliveryOutcome::Rejected { reason: format!("{}: {status} {words}", s.program) },
                }
            }
        }
    }
}

impl Channel for CommandChannel {
    fn send<'a>(&'a self, notification: &'a Notification, _: UnixMillis) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(self.run(notification))
    }
}
