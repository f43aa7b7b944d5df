//! The kinds of sinks: one more is its own folder, whose settings are a [`SinkKind`], and one line in the list at the end.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::settings::SettingsReader;
use crate::sink::influx::settings::InfluxSettings;
use crate::sink::kind::SinkKind;
use crate::sink::mqtt::settings::MqttSettings;

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
