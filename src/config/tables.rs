//! The tables of a configuration: one list, from which the reader, the schema, the reference and the known names are made. One
//! more table is one line here, and its check.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::doc::{Located, Problems, TomlEntry};
use crate::config::settings::{Device, Links, Site, UnitSettings};
use crate::config::{kinds, list};
use crate::model::settings::SettingsReader as _;
use crate::{alarm, channel, clock, control, derive, energy, flood, intake, journal, link, oncall, sink, web};

/// The type of a table in the schema: `single` occurs once, `list` with two brackets, the others hold a list for each kind.
macro_rules! schema_type {
    (list $settings:ty) => {
        Vec<$settings>
    };
    ($form:ident $settings:ty) => {
        $settings
    };
}

/// What [`Files`] holds of a table.
macro_rules! entries_type {
    (links $settings:ty) => {
        LinkEntries<'a>
    };
    (sinks $settings:ty) => {
        Vec<(sink::kinds::SinkSettings, Located<'a>)>
    };
    (channels $settings:ty) => {
        Vec<(channel::kinds::ChannelSettings, Located<'a>)>
    };
    ($form:ident $settings:ty) => {
        Vec<TomlEntry<'a, $settings>>
    };
}

macro_rules! read_table {
    (single $into:expr, $name:expr, $at:expr, $problems:expr) => {
        $into.extend($at.read($problems))
    };
    (list $into:expr, $name:expr, $at:expr, $problems:expr) => {
        list($at, &mut $into, $problems)
    };
    ($kinds:ident $into:expr, $name:expr, $at:expr, $problems:expr) => {
        ReadKinds::read_kinds(&mut $into, $name, $at, $problems)
    };
}

macro_rules! single_name {
    (single $name:ident) => {
        stringify!($name)
    };
    ($form:ident $name:ident) => {
        ""
    };
}

macro_rules! list_name {
    (list $name:ident) => {
        stringify!($name)
    };
    ($form:ident $name:ident) => {
        ""
    };
}

macro_rules! kinds_name {
    (single $name:ident) => {
        ""
    };
    (list $name:ident) => {
        ""
    };
    ($kinds:ident $name:ident) => {
        stringify!($name)
    };
}

macro_rules! tables {
    ($($(#[$meta:meta])* $name:ident: $form:ident $settings:ty,)*) => {
        /// Everything that the files of a configuration may hold, spread over them as the user likes.
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Root {
            $($(#[$meta])* pub $name: schema_type!($form $settings),)*
        }

        /// The tables of all files, each entry with its location.
        #[derive(Default)]
        pub struct Files<'a> {
            $(pub(super) $name: entries_type!($form $settings),)*
        }

        /// Names of all tables.
        pub(super) const TABLES: &[&str] = &[$(stringify!($name),)*];
        /// Names of the tables that occur once.
        pub(super) const SINGLE: &[&str] = &[$(single_name!($form $name),)*];
        /// Names of the tables that are a list.
        pub(super) const LISTS: &[&str] = &[$(list_name!($form $name),)*];
        /// Names of the tables that hold a list for each kind.
        pub(super) const OF_KINDS: &[&str] = &[$(kinds_name!($form $name),)*];

        impl<'a> Files<'a> {
            /// Reads a table; false: there is none of that name.
            pub(super) fn read(&mut self, name: &str, at: &Located<'a>, problems: &mut Problems) -> bool {
                match name {
                    $(stringify!($name) => read_table!($form self.$name, name, at, problems),)*
                    _ => return false,
                }
                true
            }
        }
    };
}

/// Reads the lists of a table of kinds.
trait ReadKinds<'a> {
    fn read_kinds(&mut self, table: &str, at: &Located<'a>, problems: &mut Problems);
}

impl<'a> ReadKinds<'a> for Vec<(sink::kinds::SinkSettings, Located<'a>)> {
    fn read_kinds(&mut self, table: &str, at: &Located<'a>, problems: &mut Problems) {
        kinds((table, sink::kinds::KINDS), at, self, problems, |kind, entry| {
            sink::kinds::SinkSettings::read(kind, entry)
        });
    }
}

impl<'a> ReadKinds<'a> for Vec<(channel::kinds::ChannelSettings, Located<'a>)> {
    fn read_kinds(&mut self, table: &str, at: &Located<'a>, problems: &mut Problems) {
        let known = channel::kinds::KINDS;
        kinds((table, known), at, self, problems, |kind, entry| channel::kinds::ChannelSettings::read(kind, entry));
    }
}

/// Links of all files by kind.
#[derive(Default)]
pub struct LinkEntries<'a> {
    pub(super) tcp: Vec<TomlEntry<'a, link::settings::TcpLink>>,
    pub(super) serial: Vec<TomlEntry<'a, link::settings::SerialLink>>,
    pub(super) rtu_over_tcp: Vec<TomlEntry<'a, link::settings::TcpLink>>,
}

impl<'a> ReadKinds<'a> for LinkEntries<'a> {
    fn read_kinds(&mut self, table: &str, at: &Located<'a>, problems: &mut Problems) {
        enum LinkEntry {
            Tcp(link::settings::TcpLink),
            Serial(link::settings::SerialLink),
            RtuOverTcp(link::settings::TcpLink),
        }
        let mut all = Vec::new();
        kinds((table, &["tcp", "serial", "rtu_over_tcp"]), at, &mut all, problems, |kind, entry| match kind {
            "tcp" => entry.read().map(LinkEntry::Tcp),
            "serial" => entry.read().map(LinkEntry::Serial),
            _ => entry.read().map(LinkEntry::RtuOverTcp),
        });
        for (settings, table) in all {
            match settings {
                LinkEntry::Tcp(value) => self.tcp.push(TomlEntry { value, table }),
                LinkEntry::Serial(value) => self.serial.push(TomlEntry { value, table }),
                LinkEntry::RtuOverTcp(value) => self.rtu_over_tcp.push(TomlEntry { value, table }),
            }
        }
    }
}

tables! {
    /// The site: its id, its names and its time zone.
    site: single Site,
    /// When the date may be believed.
    #[serde(default)]
    clock: single clock::ClockSettings,
    /// Limits of the journal.
    #[serde(default)]
    journal: single journal::JournalSettings,
    /// The health page: metrics, and whether the gateway works.
    #[serde(default)]
    health: single web::HealthPageSettings,
    /// Who reaches this box over the network.
    #[serde(default)]
    web: single web::server::ServerSettings,
    /// Who may change something through the control socket.
    #[serde(default)]
    control: single control::ControlSettings,
    /// Serial lines and network connections through which units are read.
    #[serde(default)]
    link: links Links,
    /// What answers on the wire.
    #[serde(default)]
    unit: list UnitSettings,
    /// Pieces of equipment, each of a class and with points of its own.
    #[serde(default)]
    device: list Device,
    /// Points made out of points.
    #[serde(default)]
    derive: list derive::DerivedSettings,
    /// How consumption is booked.
    #[serde(default)]
    energy: single energy::settings::EnergySettings,
    /// Meters at metering points.
    #[serde(default)]
    meter: list energy::meter::MeterSettings,
    /// Areas whose consumption is compared.
    #[serde(default)]
    area: list energy::meter::AreaSettings,
    /// Tariffs and contracted demand at metering points.
    #[serde(default)]
    contract: list energy::tariff_file::ContractSettings,
    /// Alarms: floods of them, deadlines, how long they are kept.
    #[serde(default)]
    alarms: single alarm::site::AlarmSettings,
    /// What the site changes of alarm rules.
    #[serde(default)]
    alarm: list alarm::site::RuleOverride,
    /// Flood levels of the site.
    #[serde(default)]
    flood: single flood::settings::FloodSettings,
    /// Where warnings of floods and rainstorms come from.
    #[serde(default)]
    feed: list intake::settings::FeedSettings,
    /// Where readings go: MQTT brokers and time-series stores.
    #[serde(default)]
    sink: sinks sink::kinds::Sinks,
    /// Who is told: what holds for all.
    #[serde(default)]
    oncall: single oncall::settings::OncallSettings,
    /// People who are told of alarms, and how each is reached.
    #[serde(default)]
    person: list oncall::settings::PersonSettings,
    /// Who is on call when.
    #[serde(default)]
    rota: list oncall::settings::RotaSettings,
    /// Who is told of what, one step after the other.
    #[serde(default)]
    chain: list oncall::settings::Chain,
    /// How people are reached.
    #[serde(default)]
    channel: channels channel::kinds::Channels,
}
