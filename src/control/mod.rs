//! The unix socket of the CLI: one JSON request per line, one JSON answer per line.
//!
//! The kernel's credentials of the peer identify the person. Everyone who can connect may read; only root, the gateway's user
//! and configured `writers` may change something. Requests are limited to 64 kB, connections to 16, idle time to 60 s.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::model::actor::{Actor, Role};
use crate::model::failure::{Failure, FailureKind};
use crate::model::flood::FloodOperation;

/// Who may change something through the socket: `[control]`. Whoever can connect (the gateway's own user and its group) may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// Users of this machine who may acknowledge, shelve, inject, reload and so on, beside root and the gateway's own user.
    pub writers: Vec<String>,
    /// Users of this machine who may do that, and force the flood level down, too; root always may.
    pub managers: Vec<String>,
}

/// What can be asked of a running gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum ControlRequest {
    /// Links, units, sinks, journal, clock.
    Status,
    /// Read a device's points now, decoded beside raw words.
    Read {
        device: String,
        /// One point, or all.
        point: Option<String>,
    },
    /// Which links the gateway holds.
    Links,
    /// Read registers of whatever answers on a link, between two cycles.
    Registers {
        link: String,
        /// Unit id on the wire.
        unit: u8,
        /// Function code, 1 to 4.
        function: u8,
        /// Address of the first register on the wire, from 0.
        first: u16,
        /// Number of registers or bits.
        count: u16,
        /// Longest wait for the answer.
        timeout_ms: u64,
        /// Silence before the request.
        pause_ms: u64,
    },
    /// Bring the ledger up to date with what is on disk.
    Book,
    /// A person says what a boundary of a register was.
    Classify {
        /// `device.point`.
        register: String,
        /// Number of the span behind the boundary; `None`: the only one that nobody has explained.
        span: Option<u32>,
        /// What it was: a classification.
        classification: Value,
        /// Why.
        note: String,
        /// Whether a closed month may change with it.
        #[serde(default)]
        may_reopen: bool,
    },
    /// A person enters a reading or a correction, or takes one back.
    EnterReading {
        /// A metering point or `device.point`.
        register: String,
        /// What is entered.
        entry: Value,
        /// Why.
        note: String,
        /// Whether a closed month may change with it.
        #[serde(default)]
        may_reopen: bool,
    },
    /// A person closes a month.
    CloseMonth {
        /// `2026-10`.
        month: String,
        /// Why.
        note: String,
    },
    /// Load the configuration again.
    Reload,
    /// Every alarm that is not normal; all of them.
    Alarms {
        /// The normal ones too.
        all: bool,
    },
    /// A person does something with an alarm.
    Alarm {
        /// The alarm's key, `rule.device`.
        key: String,
        /// What: an action of the alarm's.
        action: Value,
        /// Reason, for the event log.
        note: String,
    },
    /// A person takes every alarm that waits for somebody and is of this device, area and priority.
    AcknowledgeAll {
        /// Only alarms of this device; `None`: of every device.
        device: Option<String>,
        /// Only alarms of this area; `None`: of every area.
        area: Option<String>,
        /// Only alarms of this priority, such as `P3`; `None`: of every priority.
        priority: Option<String>,
        /// Reason, for the event log.
        note: String,
    },
    /// Why an alarm is, or is not.
    Explain {
        /// The alarm's key, `rule.device`.
        key: String,
    },
    /// A page for a trial.
    PageTest {
        /// Id of the person who is paged.
        person: String,
    },
    /// Somebody stands in for whoever a rota names.
    #[serde(rename = "stand_in")]
    AddOverride {
        /// `rota`, `person`, `from`, `to`.
        #[serde(rename = "wanted")]
        new_override: Value,
    },
    /// Somebody's standing in is taken back.
    #[serde(rename = "withdraw")]
    RemoveOverride {
        /// The number that the override got when it was accepted.
        number: u64,
    },
    /// A test run of a device is announced: nobody is told of what it raises.
    AnnounceTest {
        device: String,
        /// Length of the test, at most four hours.
        for_ms: u64,
        /// Who tests; empty: whoever asks.
        #[serde(rename = "by")]
        tester: String,
    },
    /// The flood level, with what it follows from.
    Flood,
    /// A person sets the flood level, withdraws that, or forces the level down.
    FloodCommand {
        /// What is done with the level.
        operation: FloodOperation,
        /// Why.
        note: String,
    },
    /// A sample for a trial of alarms.
    Inject {
        device: String,
        point: String,
        /// A number; true and false are 1 and 0.
        value: f64,
        /// How long the sample stands in, at most an hour.
        for_ms: u64,
    },
    /// The date is right: a person says so.
    AcceptClock,
    /// All sealed files are read once, now.
    Verify,
    /// A range of the journal is written to a store again.
    Resend {
        sink: String,
        /// From this date, milliseconds since 1970.
        from_ms: i64,
        /// To before this date.
        to_ms: i64,
    },
    /// What sinks have set aside.
    #[serde(rename = "set_aside")]
    DeadLetters {
        /// One sink, or all.
        sink: Option<String>,
        /// What to do with it.
        action: DeadLetterAction,
    },
}

/// What to do with what was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterAction {
    /// Returns the records and changes nothing.
    List,
    /// Send it again: somebody has mended the cause.
    Send,
    /// Deletes the records for good.
    Discard,
}

/// The peer of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id reported by the kernel.
    pub uid: u32,
    /// The user's name by the system's user database, or `uid N`.
    pub name: String,
}

impl Caller {
    /// Looks the name up on a thread that may wait: the database can be on another machine.
    async fn of(uid: u32) -> Self {
        let looking = tokio::task::spawn_blocking(move || uzers::get_user_by_uid(uid));
        // Where the database does not answer, the number has to do: `status` must not wait for it.
        let found = tokio::time::timeout(NAME_ANSWERS, looking).await.ok().and_then(Result::ok).flatten();
        let name = found.map_or_else(|| format!("uid {uid}"), |user| user.name().to_string_lossy().into_owned());
        Self { uid, name }
    }

    /// The caller as an actor: root and `managers` may do everything, the gateway's own user and `writers` change something, others read.
    pub fn actor(self, settings: &ControlSettings) -> Actor {
        let own = rustix::process::geteuid().as_raw();
        let role = if self.uid == 0 || settings.managers.contains(&self.name) {
            Role::Manager
        } else if self.uid == own || settings.writers.contains(&self.name) {
            Role::Engineer
        } else {
            Role::Viewer
        };
        Actor::local(self.name, self.uid, role)
    }
}

/// Why a request was not carried out, as it goes over the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRefusal {
    /// What it means for whoever asked; a gateway of an earlier version sends none.
    #[serde(default = "refused")]
    pub kind: FailureKind,
    /// The reason in English.
    #[serde(rename = "error")]
    pub reason: String,
}

fn refused() -> FailureKind {
    FailureKind::Refused
}

impl<F: Failure> From<F> for ControlRefusal {
    fn from(failure: F) -> Self {
        Self { kind: failure.kind(), reason: failure.to_string() }
    }
}

/// An answer, or why there is none.
pub type ControlAnswer = Result<Value, ControlRefusal>;

pub type Handler =
    Arc<dyn Fn(ControlRequest, Caller) -> Pin<Box<dyn Future<Output = ControlAnswer> + Send>> + Send + Sync>;

const REQUEST_MAX: u64 = 64 * 1024;
const CONNECTIONS_MAX: usize = 16;

/// How long the name of a user is waited for.
const NAME_ANSWERS: Duration = Duration::from_secs(2);
/// Longest pause between two requests of a connection.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// The answer to a connection beyond [`CONNECTIONS_MAX`].
const BUSY: &str =
    "{\"kind\":\"retry\",\"error\":\"the gateway is busy: 16 others are asking it; try again in a moment\"}\n";

/// Serves the socket until `stop`.
pub async fn serve(path: PathBuf, handler: Handler, stop: CancellationToken) {
    let _stale = tokio::fs::remove_file(&path).await;
    if let Some(dir) = path.parent() {
        let _may_exist = tokio::fs::create_dir_all(dir).await;
    }
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(socket = %path.display(), %error, "no control socket: `plantroom status` and others will not reach this gateway");
            return stop.cancelled().await;
        }
    };
    // Mode 0660: members of our group may connect.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
    if let Err(error) = tokio::fs::set_permissions(&path, mode).await {
        tracing::warn!(socket = %path.display(), %error, "only we ourselves can use the control socket");
    }
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Too many open files: accept again shortly.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // The line fits into the socket's buffer, so a client that does not read it blocks nobody.
            let _gone = stream.try_write(BUSY.as_bytes());
            continue;
        };
        let (handler, stop) = (Arc::clone(&handler), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                _ended = serve_one(stream, handler) => {}
            }
        });
    }
    let _best_effort = tokio::fs::remove_file(&path).await;
}

async fn serve_one(stream: UnixStream, handler: Handler) -> std::io::Result<()> {
    let caller = Caller::of(stream.peer_cred()?.uid()).await;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(REQUEST_MAX)).lines();
    let idle = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    while let Some(line) = tokio::time::timeout(IDLE_MAX, lines.next_line()).await.map_err(|_| idle())?? {
        let answer = match serde_json::from_str::<ControlRequest>(&line) {
            Ok(request) => handler(request, caller.clone()).await,
            Err(e) => Err(ControlRefusal { kind: FailureKind::BadInput, reason: format!("not a request: {e}") }),
        };
        let answer = match answer {
            Ok(value) => serde_json::json!({ "ok": value }),
            Err(refusal) => serde_json::to_value(&refusal).unwrap_or_default(),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        lines.get_mut().get_mut().set_limit(REQUEST_MAX);
    }
    Ok(())
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No process listens on the socket.
    #[error("no gateway runs here ({0})")]
    NotRunning(String),
    /// The socket's mode does not permit us to connect.
    #[error("a gateway runs here, and we may not ask it ({0})")]
    Denied(String),
    /// The connection broke, or the answer is none.
    #[error("{0}")]
    NoAnswer(String),
    /// The gateway did not carry it out.
    #[error("{}", .0.reason)]
    Refused(ControlRefusal),
}

impl Failure for ControlError {
    fn kind(&self) -> FailureKind {
        match self {
            ControlError::NotRunning(_) | ControlError::NoAnswer(_) => FailureKind::Retry,
            ControlError::Denied(_) => FailureKind::NotPermitted,
            ControlError::Refused(refusal) => refusal.kind,
        }
    }
}

/// Sends a request to the running gateway.
///
/// # Errors
/// No gateway runs, or it refused the request.
pub async fn send_request(socket: &Path, request: &ControlRequest) -> Result<Value, ControlError> {
    let gone = |e: std::io::Error| {
        let why = format!("{}: {e}", socket.display());
        if e.kind() == std::io::ErrorKind::PermissionDenied {
            ControlError::Denied(why)
        } else {
            ControlError::NotRunning(why)
        }
    };
    let (read, mut write) = UnixStream::connect(socket).await.map_err(gone)?.into_split();
    let line = serde_json::to_string(request).unwrap_or_default();
    // A busy gateway answers before it reads the request, and closes: a failed write is judged after reading.
    let written = write.write_all(format!("{line}\n").as_bytes()).await;
    let mut answer = String::new();
    let read = BufReader::new(read).read_line(&mut answer).await;
    if answer.is_empty() {
        let why = written.err().or(read.err()).map_or("it is stopping".to_string(), |e| e.to_string());
        return Err(ControlError::NoAnswer(format!("the gateway closed the connection: {why}")));
    }
    let mut value: Value =
        serde_json::from_str(&answer).map_err(|e| ControlError::NoAnswer(format!("the answer is not JSON: {e}")))?;
    match value.get_mut("ok").map(Value::take) {
        Some(answer) => Ok(answer),
        None => Err(serde_json::from_value(value)
            .map_or_else(|e| ControlError::NoAnswer(format!("the answer is none: {e}")), ControlError::Refused)),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests look at the files")]
mod tests {
    use super::*;
    use crate::model::actor::Proof;

    #[tokio::test]
    async fn one_too_many_hears_that_the_gateway_is_busy() {
        let path = std::env::temp_dir().join(format!("plantroom-busy-{}.sock", std::process::id()));
        let stop = CancellationToken::new();
        let handler: Handler = Arc::new(|_, _| Box::pin(async { Ok(Value::from(1)) }));
        let serving = tokio::spawn(serve(path.clone(), handler, stop.clone()));
        while !path.exists() {
            tokio::task::yield_now().await;
        }
        assert_eq!(send_request(&path, &ControlRequest::Status).await.unwrap(), Value::from(1));
        let mut others = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            others.push(UnixStream::connect(&path).await.unwrap());
        }
        let busy = send_request(&path, &ControlRequest::Status).await.unwrap_err();
        assert!(busy.kind() == FailureKind::Retry && busy.to_string().contains("busy"), "{busy}");
        stop.cancel();
        serving.await.unwrap();
        let gone = send_request(&path, &ControlRequest::Status).await.unwrap_err();
        assert!(matches!(gone, ControlError::NotRunning(_)), "{gone}");
    }

    #[tokio::test]
    async fn whoever_may_read_changes_nothing_unless_named() {
        let own = rustix::process::geteuid().as_raw();
        let settings = ControlSettings {
            writers: vec!["uid 4000000002".to_string()],
            managers: vec!["uid 4000000003".to_string()],
        };
        for (uid, role) in [
            (0, Role::Manager),
            (own, if own == 0 { Role::Manager } else { Role::Engineer }),
            (4_000_000_002, Role::Engineer),
            (4_000_000_003, Role::Manager),
            (4_000_000_001, Role::Viewer),
        ] {
            let actor = Caller::of(uid).await.actor(&settings);
            assert_eq!((actor.role, actor.proof), (role, Proof::PeerUid(uid)));
        }
        assert_eq!(Caller::of(0).await.name, "root");
        assert_eq!(Caller::of(4_000_000_001).await.actor(&settings).id, "uid 4000000001");
    }
}
