//! Loads the configuration: many files become one checked [`Configuration`].
//!
//! Any `.toml` file of the directory may hold any table. The files are parsed with the location of each value, environment
//! variables override them, each table is deserialized on its own, and `check` then checks references across tables. Every
//! problem is collected, with file, line, column and hint; a `Configuration` results only if none of them is an error.

pub mod budget;
pub mod build;
pub mod builtin;
pub mod check;
pub mod check_alarms;
mod check_field;
pub mod check_oncall;
mod check_reach;
pub mod check_site;
pub mod doc;
pub mod environment;
pub mod reference;
mod registers;
pub mod settings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::builtin::{Catalogue, CatalogueDirs};
use crate::config::doc::{Located, Problems, Texts, TomlEntry};
use crate::config::settings as file;
use crate::model::problem::Problem;
use crate::poll::BusConfig;
use crate::{alarm, channel, clock, control, derive, journal, link, oncall, sink, web};

/// A configuration that passed all checks.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub site: file::Site,
    pub clock: clock::ClockSettings,
    pub journal: journal::JournalSettings,
    pub health: web::HealthPageSettings,
    pub web: web::server::ServerSettings,
    /// Who may change something through the control socket.
    pub control: control::ControlSettings,
    pub buses: Vec<BusConfig>,
    pub devices: BTreeMap<String, Device>,
    pub derive: Vec<derive::DerivedDefinition>,
    pub sinks: Vec<sink::SinkSettings>,
    pub alarms: alarm::Rules,
    /// For each rule and each device of its class: the resulting alarms, or what is missing.
    pub rule_applications: Vec<check_alarms::RuleApplication>,
    pub oncall: check_oncall::OncallTables,
    /// Vocabulary, profiles, alarm rules and calendars.
    pub catalogue: Catalogue,
}

/// A device whose references are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub id: Arc<str>,
    pub class: String,
    pub area: String,
    pub zh: String,
    pub en: String,
    /// The transfer switch that feeds it, if the file names one.
    pub supply: Option<String>,
    /// Parameters by the vocabulary's names: `floor_m`, `rated_a`.
    pub parameters: BTreeMap<String, f64>,
    /// Point -> (unit, the profile's point).
    pub points: BTreeMap<String, (String, String)>,
}

/// The result of loading: problems, and a configuration if none of them is an error.
#[derive(Debug)]
pub struct Loaded {
    /// Sorted by file, line and column, without duplicates.
    pub problems: Vec<Problem>,
    pub configuration: Option<Configuration>,
}

/// The tables of all files by kind, each entry with its location.
#[derive(Default)]
pub struct Files<'a> {
    site: Vec<TomlEntry<'a, file::Site>>,
    clock: Vec<TomlEntry<'a, clock::ClockSettings>>,
    journal: Vec<TomlEntry<'a, journal::JournalSettings>>,
    health: Vec<TomlEntry<'a, web::HealthPageSettings>>,
    web: Vec<TomlEntry<'a, web::server::ServerSettings>>,
    control: Vec<TomlEntry<'a, control::ControlSettings>>,
    tcp: Vec<TomlEntry<'a, link::settings::TcpLink>>,
    serial: Vec<TomlEntry<'a, link::settings::SerialLink>>,
    rtu_over_tcp: Vec<TomlEntry<'a, link::settings::TcpLink>>,
    unit: Vec<TomlEntry<'a, file::UnitSettings>>,
    device: Vec<TomlEntry<'a, file::Device>>,
    derive: Vec<TomlEntry<'a, derive::DerivedSettings>>,
    mqtt: Vec<TomlEntry<'a, sink::mqtt::settings::MqttSettings>>,
    influx: Vec<TomlEntry<'a, sink::influx::settings::InfluxSettings>>,
    alarms: Vec<TomlEntry<'a, alarm::site::AlarmSettings>>,
    alarm: Vec<TomlEntry<'a, alarm::site::RuleOverride>>,
    oncall: Vec<TomlEntry<'a, oncall::settings::OncallSettings>>,
    person: Vec<TomlEntry<'a, oncall::settings::PersonSettings>>,
    rota: Vec<TomlEntry<'a, oncall::settings::RotaSettings>>,
    chain: Vec<TomlEntry<'a, oncall::settings::Chain>>,
    channel: Vec<(channel::ChannelSettings, Located<'a>)>,
}

/// Loads and checks the configuration in a directory, overridden by the environment.
pub fn load(dir: &Path) -> Loaded {
    let mut problems = Problems::default();
    let variables = environment::variables(&mut problems);
    let texts = Texts::read(dir, &mut problems);
    if texts.files.is_empty() {
        let hint = "`plantroom demo --write DIR` writes a complete example; --config DIR names another directory";
        problems.error(
            doc::file_location(&dir.display().to_string()),
            "there is no configuration here (no .toml file)",
            hint,
        );
    }
    finish(&texts, CatalogueDirs { dir: Some(dir), alarms: None }, &variables, problems)
}

/// As [`load`], with other alarm rules, to try them on recorded history.
pub fn load_trial(dir: &Path, alarms: Option<&Path>) -> Loaded {
    let mut problems = Problems::default();
    let variables = environment::variables(&mut problems);
    let texts = Texts::read(dir, &mut problems);
    finish(&texts, CatalogueDirs { dir: Some(dir), alarms }, &variables, problems)
}

/// Loads and checks a configuration from texts, for tests and the demo; the environment is not read.
pub fn load_texts(texts: &Texts, dir: Option<&Path>) -> Loaded {
    finish(texts, CatalogueDirs { dir, alarms: None }, &[], Problems::default())
}

/// As [`load_texts`], with environment variables.
pub fn load_with(texts: &Texts, variables: &[environment::Variable]) -> Loaded {
    finish(texts, CatalogueDirs::default(), variables, Problems::default())
}

fn finish(
    texts: &Texts,
    dirs: CatalogueDirs<'_>,
    variables: &[environment::Variable],
    mut problems: Problems,
) -> Loaded {
    let catalogue = builtin::read_dirs(dirs, &mut problems);
    let mut documents: Vec<Located<'_>> = Vec::new();
    for source in texts.sources() {
        documents.extend(doc::parse(source, &mut problems));
    }
    for variable in variables {
        overlay(&mut documents, variable, &mut problems);
    }
    let mut files = Files::default();
    for document in &documents {
        distribute_tables(document, &mut files, &mut problems);
    }
    let is_incomplete = problems.any_error();
    let configuration = check::check(&files, catalogue, is_incomplete, &mut problems);
    let any_error = problems.any_error();
    let mut list = problems.list;
    list.sort();
    list.dedup();
    Loaded { problems: list, configuration: configuration.filter(|_| !any_error) }
}

/// Puts a variable into the first document that has its table. A table that may occur only once is created in the first
/// document.
fn overlay<'a>(documents: &mut [Located<'a>], variable: &'a environment::Variable, problems: &mut Problems) {
    let source = environment::source(variable);
    let Ok(value) = toml::de::DeValue::parse(source.text) else { return };
    // The span 0..0 makes problems in this value point to the environment, not to a file.
    let value = toml::Spanned::new(0..0, value.into_inner());
    let path: Vec<String> = variable.path.clone();
    let lists = ["link", "sink", "channel"];
    for document in documents.iter_mut() {
        let has = document.keys().iter().any(|(k, _)| path.first().is_some_and(|p| p == k));
        if !has {
            continue;
        }
        // These tables hold one list per kind: the name is searched in each.
        let kinds: Vec<String> = match path.first() {
            Some(first) if lists.contains(&first.as_str()) => {
                document.get(first).map(|t| t.keys().into_iter().map(|(k, _)| k).collect()).unwrap_or_default()
            }
            _ => vec![String::new()],
        };
        for kind in kinds {
            let mut full = path.clone();
            if !kind.is_empty() {
                full.insert(1, kind);
            }
            if environment::set_at_path(&mut document.node, &full, value.clone()) {
                return;
            }
        }
    }
    let single = ["site", "clock", "journal", "health", "web", "control", "alarms", "oncall"];
    if let (Some(first), Some(document)) = (path.first(), documents.first_mut())
        && single.contains(&first.as_str())
        && environment::set_at_path(&mut document.node, &path, value)
    {
        return;
    }
    let hint = "PLANTROOM__TABLE__KEY, or PLANTROOM__SINK__NAME__KEY for an entry of a list";
    problems.error(doc::file_location(&variable.name), "the variable addresses nothing in the configuration", hint);
}

/// Distributes the tables of a file by kind; each entry is deserialized on its own.
fn distribute_tables<'a>(document: &Located<'a>, files: &mut Files<'a>, problems: &mut Problems) {
    for (key, span) in document.keys() {
        let Some(at) = document.get(&key) else { continue };
        match key.as_str() {
            "site" => files.site.extend(at.read(problems)),
            "clock" => files.clock.extend(at.read(problems)),
            "journal" => files.journal.extend(at.read(problems)),
            "health" => files.health.extend(at.read(problems)),
            "web" => files.web.extend(at.read(problems)),
            "control" => files.control.extend(at.read(problems)),
            "unit" => list(&at, &mut files.unit, problems),
            "device" => list(&at, &mut files.device, problems),
            "derive" => list(&at, &mut files.derive, problems),
            "alarms" => files.alarms.extend(at.read(problems)),
            "alarm" => list(&at, &mut files.alarm, problems),
            "oncall" => files.oncall.extend(at.read(problems)),
            "person" => list(&at, &mut files.person, problems),
            "rota" => list(&at, &mut files.rota, problems),
            "chain" => list(&at, &mut files.chain, problems),
            "link" | "sink" | "channel" => kinds(&key, &at, files, problems),
            _ => {
                let known = [
                    "site", "clock", "journal", "health", "web", "control", "alarms", "link", "unit", "device",
                    "derive", "alarm", "sink", "oncall", "person", "rota", "chain", "channel",
                ];
                let hint = crate::model::problem::did_you_mean(&key, known);
                problems.error(document.source.location_at(span.start), format!("unknown table `{key}`"), hint);
            }
        }
    }
}

fn kinds<'a>(table: &str, at: &Located<'a>, files: &mut Files<'a>, problems: &mut Problems) {
    for (kind, span) in at.keys() {
        let Some(entries) = at.get(&kind) else { continue };
        match (table, kind.as_str()) {
            ("link", "tcp") => list(&entries, &mut files.tcp, problems),
            ("link", "serial") => list(&entries, &mut files.serial, problems),
            ("link", "rtu_over_tcp") => list(&entries, &mut files.rtu_over_tcp, problems),
            ("sink", "mqtt") => list(&entries, &mut files.mqtt, problems),
            ("sink", "influx") => list(&entries, &mut files.influx, problems),
            ("channel", "ntfy") => channels(&entries, files, channel::ChannelSettings::Ntfy, problems),
            ("channel", "wecom") => channels(&entries, files, channel::ChannelSettings::Wecom, problems),
            ("channel", "dingtalk") => channels(&entries, files, channel::ChannelSettings::Dingtalk, problems),
            ("channel", "feishu") => channels(&entries, files, channel::ChannelSettings::Feishu, problems),
            ("channel", "email") => channels(&entries, files, channel::ChannelSettings::Email, problems),
            ("channel", "webhook") => channels(&entries, files, channel::ChannelSettings::Webhook, problems),
            ("channel", "sms") => channels(&entries, files, channel::ChannelSettings::Sms, problems),
            ("channel", "command") => channels(&entries, files, channel::ChannelSettings::Command, problems),
            _ => {
                let known: &[&str] = match table {
                    "link" => &["tcp", "serial", "rtu_over_tcp"],
                    "sink" => &["mqtt", "influx"],
                    _ => &["ntfy", "wecom", "dingtalk", "feishu", "email", "webhook", "sms", "command"],
                };
                let hint = crate::model::problem::did_you_mean(&kind, known.iter().copied());
                problems.error(at.source.location_at(span.start), format!("unknown kind `{kind}` of {table}"), hint);
            }
        }
    }
}

fn channels<'a, T: serde::de::DeserializeOwned>(
    at: &Located<'a>,
    files: &mut Files<'a>,
    of: fn(T) -> channel::ChannelSettings,
    problems: &mut Problems,
) {
    let mut entries: Vec<TomlEntry<'a, T>> = Vec::new();
    list(at, &mut entries, problems);
    files.channel.extend(entries.into_iter().map(|e| (of(e.value), e.table)));
}

fn list<'a, T: serde::de::DeserializeOwned>(
    at: &Located<'a>,
    into: &mut Vec<TomlEntry<'a, T>>,
    problems: &mut Problems,
) {
    match at.items() {
        Some(items) => into.extend(items.iter().filter_map(|item| item.read(problems))),
        None => problems.error(
            at.location(&[]),
            "this is one table where a list is meant",
            "write it with two brackets: [[…]]",
        ),
    }
}
