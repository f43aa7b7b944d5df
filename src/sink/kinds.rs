//! The kinds of sinks: one more is its own folder, whose settings are a [`SinkKind`], and one line in the list at the end.

use std::future::Future;
use std::pin::Pin;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::http::files::NamedFile;
use crate::model::settings::{SettingsProblem, SettingsReader};
use crate::model::time::UnixMillis;
use crate::sink::SinkContext;
use crate::sink::error::SinkError;
use crate::sink::influx::settings::InfluxSettings;
use crate::sink::mqtt::commands::CommandContext;
use crate::sink::mqtt::settings::MqttSettings;

/// Work of a sink.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What was tried, in words, and why it would not work.
pub type ProbeResults = Vec<(String, Result<String, SinkError>)>;

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

    /// Why it cannot stand beside another sink: the key, what, and what to do.
    fn conflict(&self, _other: &SinkSettings) -> Option<SettingsProblem> {
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

macro_rules! sink_kinds {
    ($($(#[doc = $doc:literal])* $name:ident: $variant:ident($settings:ty),)*) => {
        /// A sink, as configured.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the list has a line each")]
        pub enum SinkSettings {
            $($variant($settings),)*
        }

        /// Where readings go: a list for each kind of sink.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Sinks {
            $($(#[doc = $doc])* pub $name: Vec<$settings>,)*
        }

        /// Names of all kinds, as in `[[sink.NAME]]`.
        pub const KINDS: &[&str] = &[$(stringify!($name),)*];

        impl SinkSettings {
            /// Reads an entry of a kind; none: there is no such kind, or the entry has errors.
            pub fn read(kind: &str, reader: &mut impl SettingsReader) -> Option<Self> {
                match kind {
                    $(stringify!($name) => reader.read::<$settings>().map(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl SinkSettings {
            /// The kind's place in the list.
            pub fn order(&self) -> usize {
                let name = match self {
                    $(Self::$variant(_) => stringify!($name),)*
                };
                KINDS.iter().position(|kind| *kind == name).unwrap_or(KINDS.len())
            }
        }

        impl std::ops::Deref for SinkSettings {
            type Target = dyn SinkKind + 'static;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$variant(settings) => settings,)*
                }
            }
        }
    };
}

sink_kinds! {
    /// MQTT brokers that get readings and states.
    mqtt: Mqtt(MqttSettings),
    /// Time-series stores that take InfluxDB line protocol.
    influx: Influx(InfluxSettings),
}
