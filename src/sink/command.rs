//! Commands that a sink receives: what they say, and what listening to them needs.

use std::pin::Pin;
use std::sync::Arc;

use serde::Deserialize;

use crate::http::files::LoadedFiles;
use crate::model::failure::Refusal;
use crate::sink::SinkHealth;
use crate::sink::error::SinkError;

/// A command as it comes from the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandRequest {
    /// Whether it says that somebody is there; else it acknowledges.
    #[serde(skip)]
    pub is_arrival: bool,
    /// The alarm's key, `rule.device`.
    pub alarm: String,
    /// The name that the sender gives; it is not verified.
    #[serde(rename = "by")]
    pub actor: String,
    /// Reason or remark, for the event log.
    pub note: String,
    /// The token of a page, instead of all that.
    pub token: String,
}

/// Executes a command; the error is the reason why it was not executed.
pub type CommandHandler =
    Arc<dyn Fn(CommandRequest) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>> + Send + Sync>;

/// Takes a warning that was sent to a feed: its name and the document; the error is the reason why it was not taken.
pub type WarningHandler =
    Arc<dyn Fn(String, Vec<u8>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>> + Send + Sync>;

/// Called with whether commands can be received, or why not.
pub type ListeningHandler = Arc<dyn Fn(Result<(), SinkError>) + Send + Sync>;

/// What listening to commands needs.
#[derive(Clone)]
pub struct CommandContext {
    pub site: String,
    pub handler: CommandHandler,
    /// Takes warnings that are sent to feeds.
    pub on_warning: WarningHandler,
    /// Called whenever the subscription is made or lost.
    pub on_listening: ListeningHandler,
    /// Health of the sink's own connection, which has precedence: a broker may limit the number of connections.
    pub outbox_health: Arc<SinkHealth>,
    /// What was read of the files that the settings name.
    pub files: LoadedFiles,
    /// Another client id than that of the running gateway, for a trial beside it.
    pub client_id: Option<String>,
}
