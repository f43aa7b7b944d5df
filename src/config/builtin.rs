//! Vocabulary, profiles, alarm rules, calendars, tariffs and flood schemes. They are compiled in; a file of the same name beside the configuration
//! overrides one.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::alarm::settings::RulesFile;
use crate::config::catalogue::{Catalogue, Template};
use crate::config::check_alarms;
use crate::config::doc::{self, Problems, Texts, TomlEntry, TomlSource, file_location, parse};
use crate::energy::tariff_file::{self, TariffFile};
use crate::flood::scheme_file::{self, SchemeFile};
use crate::model::calendar::{self, Calendar};
use crate::profile::build;
use crate::profile::settings::ProfileFile;
use crate::profile::vocabulary::ClassFile;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// Reads the compiled-in catalogue and the files in `vocabulary/`, `profiles/`, `calendars/`, `tariffs/`, `flood/` and `alarms/` below the directory.
pub fn read(dir: Option<&Path>, problems: &mut Problems) -> Catalogue {
    read_dirs(CatalogueDirs { dir, alarms: None }, problems)
}

/// Where a site keeps its own catalogue files.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogueDirs<'a> {
    pub dir: Option<&'a Path>,
    /// Directory of alarm rules, if not `alarms/` below the configuration.
    pub alarms: Option<&'a Path>,
}

/// As [`read`], with alarm rules from another directory if one is given.
pub fn read_dirs(dirs: CatalogueDirs<'_>, problems: &mut Problems) -> Catalogue {
    let dir = dirs.dir;
    let mut catalogue = Catalogue::default();
    let texts = own_texts(dir, "vocabulary", problems);
    for_each("vocabulary", VOCABULARY, &texts, problems, |stem, entry: TomlEntry<'_, ClassFile>, problems| {
        if entry.value.class != stem {
            problems.error(
                entry.table.location(&["class"]),
                format!("the file is named `{stem}`"),
                "class = the file's name",
            );
        }
        problems.findings(&entry.table, entry.value.findings());
        catalogue.vocabulary.classes.insert(stem.into(), entry.value);
    });
    let texts = own_texts(dir, "profiles", problems);
    for_each("profiles", PROFILES, &texts, problems, |stem, entry: TomlEntry<'_, ProfileFile>, problems| {
        if entry.value.name != stem {
            problems.error(
                entry.table.location(&["name"]),
                format!("the file is named `{stem}`"),
                "name = the file's name",
            );
        }
        let (profile, findings) = build::build(&entry.value, &catalogue.vocabulary);
        problems.findings(&entry.table, findings);
        if let Some(profile) = profile {
            catalogue.profiles.insert(stem.to_string(), Arc::new(profile));
        }
    });
    let texts = own_texts(dir, "calendars", problems);
    for_each(
        "calendars",
        CALENDARS,
        &texts,
        problems,
        |stem, entry: TomlEntry<'_, calendar::HolidayFile>, problems| match Calendar::build(&entry.value) {
            Ok(calendar) => drop(catalogue.calendars.insert(stem.to_string(), calendar)),
            Err(what) => problems.error(entry.table.location(&["free"]), what.to_string(), "dates as 2026-10-01"),
        },
    );
    tariffs(dir, &mut catalogue, problems);
    let texts = own_texts(dir, "flood", problems);
    for_each("flood", FLOOD, &texts, problems, |stem, entry: TomlEntry<'_, SchemeFile>, problems| {
        let (scheme, findings) = scheme_file::scheme(stem, &entry.value);
        problems.findings(&entry.table, findings);
        catalogue.flood_schemes.insert(stem.to_string(), Arc::new(scheme));
    });
    let alarm_texts = match dirs.alarms {
        Some(alarms) => Texts::read(alarms, problems),
        None => own_texts(dir, "alarms", problems),
    };
    for_each("alarms", ALARMS, &alarm_texts, problems, |_, entry: TomlEntry<'_, RulesFile>, problems| {
        rules(&mut catalogue, &entry, problems);
    });
    catalogue
}

/// Adds the rules of a file to those of its class; a duplicate name is an error.
fn rules(catalogue: &mut Catalogue, entry: &TomlEntry<'_, RulesFile>, problems: &mut Problems) {
    let file = &entry.value;
    let classes = &catalogue.vocabulary.classes;
    let place = |key: &str| entry.table.location(&[key]);
    if file.format != 1 {
        problems.error(place("format"), format!("format {} is not known", file.format), "this version reads format 1");
    }
    if !classes.contains_key(file.class.as_str()) && !["any", "link"].contains(&file.class.as_str()) {
        let known = classes.keys().map(|k| &**k).chain(["any", "link"]);
        let hint = crate::model::problem::did_you_mean(&file.class, known);
        problems.error(place("class"), format!("unknown class `{}`", file.class), hint);
    }
    for (name, rule) in &file.rules {
        let Some(at) = entry.table.get("rules").and_then(|rules| rules.get(name)) else { continue };
        if !check_alarms::is_rule_name(name) {
            let hint = "lower-case letters, digits and _, beginning with a letter; {n} for an index";
            problems.error(entry.table.location(&["rules", name]), format!("`{name}` is no rule's name"), hint);
        }
        problems.findings(&at, check_alarms::findings(name, rule, &file.class, &catalogue.vocabulary));
        let template = Template { rule: rule.clone(), table: check_alarms::raw_table(&at) };
        let before = catalogue.rules.entry(file.class.clone()).or_default().insert(name.clone(), template);
        if before.is_some() {
            let what = format!("class `{}` has a rule `{name}` already", file.class);
            problems.error(entry.table.location(&["rules", name]), what, "[[alarm]] in the configuration changes one");
        }
    }
}

/// Tariffs, with the files of prices beside them.
fn tariffs(dir: Option<&Path>, catalogue: &mut Catalogue, problems: &mut Problems) {
    let all = dir.map(|d| Texts::read(&d.join("tariffs"), problems)).unwrap_or_default();
    let (prices, files): (Vec<_>, Vec<_>) = all.files.into_iter().partition(|(name, _)| doc::is_table(name));
    let (texts, calendars) = (Texts { files }, catalogue.calendars.clone());
    let series = |name: &str| {
        let of = prices.iter().find(|(path, _)| Path::new(path).file_name().is_some_and(|file| file == name));
        of.map(|(_, text)| text.clone())
    };
    for_each("tariffs", TARIFFS, &texts, problems, |stem, entry: TomlEntry<'_, TariffFile>, problems| {
        let (tariff, findings) = tariff_file::tariff(stem, &entry.value, &calendars, &series);
        problems.findings(&entry.table, findings);
        catalogue.tariffs.insert(stem.to_string(), Arc::new(tariff));
    });
}

fn own_texts(dir: Option<&Path>, folder: &str, problems: &mut Problems) -> Texts {
    let mut texts = dir.map(|d| Texts::read(&d.join(folder), problems)).unwrap_or_default();
    texts.files.retain(|(name, _)| !doc::is_table(name));
    texts
}

fn for_each<T: DeserializeOwned>(
    folder: &str,
    builtin: &[(&str, &str)],
    own: &Texts,
    problems: &mut Problems,
    mut each: impl FnMut(&str, TomlEntry<'_, T>, &mut Problems),
) {
    let stem = |name: &str| Path::new(name).file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_string();
    let overridden: Vec<String> = own.files.iter().map(|(name, _)| stem(name)).collect();
    let names: Vec<String> = builtin.iter().map(|(s, _)| format!("(built in) {folder}/{s}.toml")).collect();
    for ((name, text), shown) in builtin.iter().zip(&names) {
        if !overridden.iter().any(|o| o == name) {
            one(name, TomlSource { name: shown, text }, problems, &mut each);
        }
    }
    for ((name, text), stem) in own.files.iter().zip(&overridden) {
        if stem.is_empty() {
            problems.error(file_location(name), "the file has no name", "");
        }
        one(stem, TomlSource { name, text }, problems, &mut each);
    }
}

fn one<'a, T: DeserializeOwned>(
    stem: &str,
    source: TomlSource<'a>,
    problems: &mut Problems,
    each: &mut impl FnMut(&str, TomlEntry<'a, T>, &mut Problems),
) {
    if let Some(entry) = parse(source, problems).and_then(|at| at.read::<T>(problems)) {
        each(stem, entry, problems);
    }
}
