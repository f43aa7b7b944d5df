//! Loads the configuration: many files become one checked [`Configuration`].
//!
//! Any `.toml` file of the directory may hold any table. The files are parsed with the location of each value, environment
//! variables override them, each table is deserialized on its own, and `check` then checks references across tables. Every
//! problem is collected, with file, line, column and hint; a `Configuration` results only if none of them is an error.

#![allow(clippy::disallowed_methods, reason = "called at the start, and at a reload on a thread that may wait")]

pub mod budget;
pub mod build;
pub mod builtin;
pub mod catalogue;
pub mod check;
pub mod check_alarms;
mod check_derive;
mod check_field;
mod check_flood;
mod check_metering;
pub mod check_oncall;
mod check_pace;
mod check_reach;
pub mod check_site;
mod csv_table;
pub mod doc;
pub mod environment;
mod languages;
mod plant;
pub mod reference;
pub mod registers;
mod serde_message;
pub mod settings;
pub mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::builtin::CatalogueDirs;
use crate::config::catalogue::Catalogue;
use crate::config::doc::{Located, Problems, Texts, TomlEntry};
use crate::config::settings as file;
use crate::config::tables::{Files, OF_KINDS, SINGLE, TABLES};
use crate::energy::forecast::DemandWatch;
use crate::model::problem::Problem;
use crate::model::settings::SettingsReader;
use crate::poll::BusConfig;
use crate::{alarm, clock, control, derive, energy, flood, intake, journal, sink, web};

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
    pub devices: BTreeMap<String, ConfiguredDevice>,
    pub derive: Vec<derive::DerivedDefinition>,
    /// How consumption is booked.
    pub energy: energy::settings::EnergySettings,
    /// Metering points.
    pub metering: Arc<energy::metering::MeteringPlan>,
    /// Contracts at metering points.
    pub contracts: Arc<Vec<energy::tariff::Contract>>,
    /// Limits of the registers that are read.
    pub registers: Arc<registers::RegisterLimitsByPoint>,
    /// Flood levels, sumps and rain gauges.
    pub flood: flood::plan::FloodPlan,
    /// Feeds of warnings.
    pub feeds: Vec<intake::settings::FeedSettings>,
    pub sinks: Vec<sink::kinds::SinkSettings>,
    pub alarms: alarm::Rules,
    /// For each rule and each device of its class: the resulting alarms, or what is missing.
    pub rule_applications: Vec<check_alarms::RuleApplication>,
    pub oncall: check_oncall::OncallTables,
    /// Vocabulary, profiles, alarm rules and calendars.
    pub catalogue: Catalogue,
}

impl Configuration {
    /// Registers whose demand is held against a contract: those of metering points that have one now.
    pub fn demand_watches(&self) -> Vec<DemandWatch> {
        check_metering::demand_watches(&self.contracts, &self.metering, self.energy.interval_min)
    }
}

/// A device whose references are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfiguredDevice {
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
    /// The configuration in spite of errors, where there is one: to be shown, not to be run.
    pub rejected: Option<Configuration>,
}

/// Loads and checks the configuration in a directory, overridden by the environment.
pub fn load(dir: &Path) -> Loaded {
    let mut problems = Problems::default();
    let variables = environment::variables(&mut problems);
    let texts = Texts::read(dir, &mut problems);
    if texts.files.is_empty() {
        let what = match std::fs::read_dir(dir) {
            Ok(_) => "there is no configuration here (no .toml file)".to_string(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "there is no such directory".to_string(),
            Err(error) => format!("the directory cannot be read: {error}"),
        };
        let hint = "`plantroom demo --write DIR` writes a complete example; --config DIR names another directory";
        problems.error(doc::file_location(&dir.display().to_string()), what, hint);
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
        let read = if doc::is_table(source.name) { csv_table::parse } else { doc::parse };
        documents.extend(read(source, &mut problems));
    }
    for variable in variables {
        overlay(&mut documents, variable, &mut problems);
    }
    let mut files = Files::default();
    for document in &documents {
        distribute_tables(document, &mut files, &mut problems);
    }
    languages::fall_back(&mut files, &mut problems);
    let is_incomplete = problems.any_error();
    let configuration = check::check(&files, catalogue, is_incomplete, &mut problems);
    let any_error = problems.any_error();
    let mut list = problems.list;
    list.sort();
    list.dedup();
    let (configuration, rejected) = if any_error { (None, configuration) } else { (configuration, None) };
    Loaded { problems: list, configuration, rejected }
}

/// Puts a variable into the first document that has its table. A table that may occur only once is created in the first
/// document.
fn overlay<'a>(documents: &mut [Located<'a>], variable: &'a environment::Variable, problems: &mut Problems) {
    let source = environment::source(variable);
    let Ok(value) = toml::de::DeValue::parse(source.text) else { return };
    // Problems in this value point to the environment, not to a file.
    let value = toml::Spanned::new(doc::FROM_ENVIRONMENT, value.into_inner());
    let path: Vec<String> = variable.path.clone();
    for document in documents.iter_mut() {
        let has = document.keys().iter().any(|(k, _)| path.first().is_some_and(|p| p == k));
        if !has {
            continue;
        }
        // These tables hold one list per kind: the name is searched in each.
        let kinds: Vec<String> = match path.first() {
            Some(first) if OF_KINDS.contains(&first.as_str()) => {
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
    if let (Some(first), Some(document)) = (path.first(), documents.first_mut())
        && SINGLE.contains(&first.as_str())
        && environment::set_at_path(&mut document.node, &path, value)
    {
        return;
    }
    let hint = "PLANTROOM__TABLE__KEY, or PLANTROOM__SINK__NAME__KEY for an entry of a list";
    problems.error(doc::file_location(&variable.name), "the variable addresses nothing in the configuration", hint);
}

/// Distributes the tables of a file; each entry is deserialized on its own.
fn distribute_tables<'a>(document: &Located<'a>, files: &mut Files<'a>, problems: &mut Problems) {
    for (key, span) in document.keys() {
        let Some(at) = document.get(&key) else { continue };
        if !files.read(&key, &at, problems) {
            let hint = crate::model::problem::did_you_mean(&key, TABLES.iter().copied());
            problems.error(document.source.location_at(span.start), format!("unknown table `{key}`"), hint);
        }
    }
}

/// A table of kinds: `[[sink.mqtt]]`, `[[channel.ntfy]]`, `[[link.tcp]]`.
fn kinds<'a, T>(
    (table, known): (&str, &[&str]),
    at: &Located<'a>,
    into: &mut Vec<(T, Located<'a>)>,
    problems: &mut Problems,
    read: impl Fn(&str, &mut EntryReader<'a, '_>) -> Option<T>,
) {
    for (kind, span) in at.keys() {
        let Some(entries) = at.get(&kind) else { continue };
        if !known.contains(&kind.as_str()) {
            let hint = crate::model::problem::did_you_mean(&kind, known.iter().copied());
            problems.error(at.source.location_at(span.start), format!("unknown kind `{kind}` of {table}"), hint);
            continue;
        }
        let Some(items) = items(&entries, problems) else { continue };
        for item in items {
            let mut reader = EntryReader { entry: &item, problems };
            if let Some(value) = read(&kind, &mut reader) {
                into.push((value, item));
            }
        }
    }
}

/// An entry of a list of tables, for the room that knows its settings.
pub struct EntryReader<'a, 'b> {
    entry: &'b Located<'a>,
    problems: &'b mut Problems,
}

impl SettingsReader for EntryReader<'_, '_> {
    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        self.entry.read(self.problems).map(|entry| entry.value)
    }
}

fn list<'a, T: serde::de::DeserializeOwned>(
    at: &Located<'a>,
    into: &mut Vec<TomlEntry<'a, T>>,
    problems: &mut Problems,
) {
    into.extend(items(at, problems).into_iter().flatten().filter_map(|item| item.read(problems)));
}

fn items<'a>(at: &Located<'a>, problems: &mut Problems) -> Option<Vec<Located<'a>>> {
    let items = at.items();
    if items.is_none() {
        let hint = "write it with two brackets: [[…]]";
        problems.error(at.location(&[]), "this is one table where a list is meant", hint);
    }
    items
}
