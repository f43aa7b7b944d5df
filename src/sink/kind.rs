//! What a kind of sink is.

use std::future::Future;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use crate::http::files::NamedFile;
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;
use crate::sink::SinkContext;
use crate::sink::command::CommandContext;
use crate::sink::error::SinkError;

/// Work of a sink.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What was tried, in words, and why it would not work.
pub type ProbeResults = Vec<(String, Result<String, SinkError>)>;

/// Something that only one sink may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// Key of the setting that makes it.
    pub key: &'static str,
    /// Equal where two sinks have the same.
    pub identity: String,
    /// What both have, after "the sink `x` has".
    pub what: &'static str,
    pub hint: &'static str,
}

/// What every kind of sink says of itself.
pub trait SinkKind: Sync {
    /// The sink's name, unique among sinks.
    fn name(&self) -> &str;

    /// The address of its server.
    fn url(&self) -> &str;

    /// The name of its cursor in the journal.
    fn cursor(&self) -> String;

    /// Files that the settings name.
    fn files(&self) -> Vec<NamedFile>;

    /// What is wrong with the settings.
    fn problems(&self) -> Vec<SettingsProblem>;

    /// What is wrong with the address, and how it is written; none where [`SinkKind::problems`] says it.
    fn url_problem(&self) -> Option<(String, String)> {
        None
    }

    /// What no other sink may have; none: it can stand beside any.
    fn exclusive(&self) -> Option<Exclusive> {
        None
    }

    /// Whether it writes a device's class and area beside each value: then it begins anew when they change.
    fn writes_device_tags(&self) -> bool {
        false
    }

    /// Why history cannot be written to it again.
    ///
    /// # Errors
    /// In words; the default is that it can.
    fn can_resend(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Tests whether the sink works, in words.
    fn probe<'a>(&'a self, site: &'a str, now: UnixMillis) -> SinkFuture<'a, ProbeResults>;

    /// Runs the sink until `stop`.
    fn run(&self, context: SinkContext, stop: CancellationToken) -> SinkFuture<'static, ()>;

    /// Listens to commands until `stop`; none: it takes none.
    fn listen(&self, _context: CommandContext, _stop: CancellationToken) -> Option<SinkFuture<'static, ()>> {
        None
    }

    /// Whether [`SinkKind::listen`] returns a future, so that commands are received.
    fn takes_commands(&self) -> bool {
        false
    }
}
