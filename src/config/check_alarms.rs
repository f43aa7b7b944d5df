//! Alarm rules: compiled in, the site's own, and the site's overrides. Each rule is instantiated for every device that has the
//! points and numbers that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize as _;
use toml::de::ValueDeserializer;

use crate::alarm::build;
use crate::alarm::condition::Condition;
use crate::alarm::definition::AlarmDefinition;
use crate::alarm::resolve::ConditionInput;
use crate::alarm::resolve::{Missing, RuleSubject, UnitOf};
use crate::alarm::settings::RuleSettings;
use crate::alarm::{self, Rules};
use crate::config::catalogue::{Catalogue, Template};
use crate::config::doc::Problems;
use crate::config::plant::CheckedPlant;
use crate::config::serde_message;
use crate::config::{ConfiguredDevice, Files};
use crate::flood::points::FLOOD_POINTS;
use crate::model::flood::FLOOD_DEVICE;
use crate::model::point::GATEWAY_POINTS;
use crate::model::problem::{FileFinding, did_you_mean};
use crate::model::time::duration_ms;
use crate::poll::BusConfig;
use crate::profile::vocabulary::{Vocabulary, reports_fault};

/// The result of applying a rule to a device of its class.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleApplication {
    pub device: String,
    /// The rule's full name, `class.rule`.
    pub rule: String,
    /// Keys of the resulting alarms, or what is missing.
    pub alarms: Result<Vec<String>, Missing>,
}

/// Classes in rule files beside the vocabulary's: `link` for rules about links, `any` for rules that apply to every device
/// class.
const LINK: &str = "link";
const ANY: &str = "any";

/// Builds every rule for every device, every link and the gateway, and reports what is wrong.
pub fn check(
    files: &Files<'_>,
    catalogue: &Catalogue,
    plant: &CheckedPlant<'_>,
    zone: jiff::tz::TimeZone,
    problems: &mut Problems,
) -> (Rules, Vec<RuleApplication>) {
    let settings = crate::config::doc::single(&files.alarms, "alarms", problems).cloned().unwrap_or_default();
    if let Some(entry) = files.alarms.first() {
        for (key, is_bad) in
            [("flood_more_than", settings.flood_more_than == 0), ("keep_days", settings.keep_days == 0)]
        {
            if is_bad {
                problems.error(entry.table.location(&[key]), format!("{key} is at least 1"), "");
            }
        }
    }
    if let Some(entry) = files.alarms.first() {
        let within = settings.chatter_within;
        if settings.chatter_times == 1 {
            let what = "chatter_times is 1: every alarm would be held at once";
            problems.error(entry.table.location(&["chatter_times"]), what, "3 or more; 0 holds none");
        }
        if !(10_000..=3_600_000).contains(&within.0) {
            let what = format!("chatter_within is {}", within.text());
            problems.error(
                entry.table.location(&["chatter_within"]),
                what,
                "10s to 1h: so long a held alarm stays in alarm",
            );
        }
    }
    let overrides = rule_overrides(files, catalogue, plant, problems);
    let mut definitions: Vec<AlarmDefinition> = Vec::new();
    let mut applies = Vec::new();
    for subject in &subjects(plant, &catalogue.vocabulary) {
        for (name, template) in rules_of(subject.class, catalogue) {
            let rule = match overrides.get(&(subject.id, subject.class, name)) {
                Some(None) => continue,
                Some(Some(changed)) => changed,
                None => &template.rule,
            };
            let built = build::build(name, rule, subject);
            let keys = |d: &Vec<AlarmDefinition>| d.iter().map(AlarmDefinition::key).collect();
            let applied = built.as_ref().map(keys).map_err(Clone::clone);
            let full_name = format!("{}.{name}", subject.class);
            applies.push(RuleApplication { device: subject.id.to_string(), rule: full_name, alarms: applied });
            let mut built = built.unwrap_or_default();
            plant.flood.into_iter().for_each(|flood| flood.connect(rule, &mut built));
            definitions.extend(built);
        }
    }
    warn_missing_parameters(&applies, files, problems);
    expand_suppressors(&mut definitions, plant);
    break_suppression_cycles(&mut definitions, files, problems);
    short_delays(&definitions, files, plant, problems);
    (Rules { definitions: definitions.into_iter().map(Arc::new).collect(), settings, zone }, applies)
}

/// The rules of a class: its own, and those of `any` whose names it does not define itself. Links, the gateway and the flood level take
/// none of `any`.
fn rules_of<'a>(class: &str, catalogue: &'a Catalogue) -> impl Iterator<Item = (&'a str, &'a Template)> {
    let own = catalogue.rules.get(class);
    let any = catalogue.rules.get(ANY).filter(|_| ![LINK, "gateway", FLOOD_DEVICE].contains(&class));
    let is_own = move |name: &str| own.is_some_and(|o| o.contains_key(name));
    let any = any.into_iter().flatten().filter(move |(name, _)| !is_own(name));
    own.into_iter().flatten().chain(any).map(|(name, rule)| (name.as_str(), rule))
}

/// Devices, links, the gateway and the flood level as subjects of rules.
fn subjects<'a>(plant: &CheckedPlant<'a>, vocabulary: &'a Vocabulary) -> Vec<RuleSubject<'a>> {
    static NONE: BTreeMap<String, f64> = BTreeMap::new();
    let unit_of = |class: &'a str| -> UnitOf<'a> {
        Box::new(move |point| vocabulary.point(class, point).and_then(|p| p.unit.clone()).unwrap_or_default())
    };
    let device = |d: &'a ConfiguredDevice| {
        let mut points: BTreeSet<&str> = d.points.keys().map(String::as_str).collect();
        points.extend(plant.derive.iter().filter(|x| x.settings.device == *d.id).map(|x| x.settings.point.as_str()));
        points.extend(plant.computed_points.get(&*d.id).into_iter().flatten().map(|point| &**point));
        RuleSubject {
            id: &d.id,
            class: &d.class,
            points,
            parameters: &d.parameters,
            devices: Vec::new(),
            unit_of: unit_of(&d.class),
        }
    };
    let link = |bus: &'a BusConfig| RuleSubject {
        id: &bus.link.id,
        class: LINK,
        points: BTreeSet::new(),
        parameters: &NONE,
        devices: devices_on(bus).into_iter().collect(),
        unit_of: unit_of(LINK),
    };
    let own = RuleSubject {
        id: "gateway",
        class: "gateway",
        points: GATEWAY_POINTS.iter().copied().collect(),
        parameters: &NONE,
        devices: Vec::new(),
        unit_of: unit_of("gateway"),
    };
    let flood = plant.flood.map(|flood| RuleSubject {
        id: FLOOD_DEVICE,
        class: FLOOD_DEVICE,
        points: FLOOD_POINTS.into(),
        parameters: &flood.numbers,
        devices: Vec::new(),
        unit_of: unit_of(FLOOD_DEVICE),
    });
    plant.devices.values().map(device).chain(plant.buses.iter().map(link)).chain([own]).chain(flood).collect()
}

fn devices_on(bus: &BusConfig) -> BTreeSet<&str> {
    let device_mappings = bus.units.iter().flat_map(|u| &u.groups).flat_map(|g| &g.device_mappings);
    device_mappings.map(|o| &*o.stream.device).collect()
}

/// Expands `class.rule` in `hidden_by` to that rule's alarms of every device of the class. Of links, only those that the device
/// is connected through count; of transfer switches, only the one that feeds it.
fn expand_suppressors(definitions: &mut [AlarmDefinition], plant: &CheckedPlant<'_>) {
    let keys: BTreeSet<Arc<str>> = definitions.iter().map(|d| d.key().into()).collect();
    let mut of_rule: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
    for d in definitions.iter() {
        of_rule.entry(Arc::clone(&d.source_rule)).or_default().push(d.key().into());
    }
    let links: BTreeMap<&str, BTreeSet<&str>> =
        plant.buses.iter().map(|b| (b.link.id.as_str(), devices_on(b))).collect();
    for d in definitions.iter_mut() {
        let device = Arc::clone(&d.device);
        let expand_key = |suppressor: &Arc<str>| -> Vec<Arc<str>> {
            if keys.contains(suppressor) {
                return vec![Arc::clone(suppressor)];
            }
            let applies_here = |key: &&Arc<str>| match (suppressor.split_once('.'), key.rsplit_once('.')) {
                (Some(("link", _)), Some((_, link))) => links.get(link).is_some_and(|on| on.contains(&*device)),
                (Some(("ats", _)), Some((_, ats))) => plant.is_fed_by(&device, ats),
                _ => true,
            };
            of_rule.get(suppressor).into_iter().flatten().filter(applies_here).cloned().collect()
        };
        let own = d.key();
        // An alarm never suppresses itself.
        d.suppressed_by = d.suppressed_by.iter().flat_map(expand_key).filter(|key| **key != *own).collect();
    }
}

/// Finds cycles of alarms that suppress each other, which would all stay silent. Each cycle is reported once, then broken.
fn break_suppression_cycles(definitions: &mut [AlarmDefinition], files: &Files<'_>, problems: &mut Problems) {
    let by_key: BTreeMap<String, usize> = definitions.iter().enumerate().map(|(i, d)| (d.key(), i)).collect();
    let mut visited = vec![false; definitions.len()];
    for start in 0..definitions.len() {
        // The path of the depth-first search: (definition, index of its next `hidden_by` entry).
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some(&mut (i, ref mut next)) = path.last_mut() {
            let next_suppressor = (!visited[i]).then(|| definitions[i].suppressed_by.get(*next).cloned()).flatten();
            let Some(suppressor) = next_suppressor else {
                visited[i] = true;
                path.pop();
                continue;
            };
            *next += 1;
            let Some(&j) = by_key.get(&*suppressor) else { continue };
            let Some(begin) = path.iter().position(|(k, _)| *k == j) else {
                path.push((j, 0));
                continue;
            };
            let circle: Vec<&AlarmDefinition> = path[begin..].iter().map(|(k, _)| &definitions[*k]).collect();
            let names: Vec<String> =
                circle.iter().map(|d| format!("`{}`", d.key())).chain([format!("`{suppressor}`")]).collect();
            let entry = files.alarm.iter().find(|e| circle.iter().any(|d| *d.source_rule == *e.value.rule));
            let place =
                entry.map_or_else(|| crate::config::doc::file_location("alarms"), |e| e.table.location(&["set"]));
            let what =
                format!("alarms hide each other in a circle, nobody would be told: {}", names.join(" is hidden by "));
            problems.error(place, what, "take one of them out of the other's hidden_by");
            definitions[i].suppressed_by.retain(|key| *key != suppressor);
            path.last_mut().into_iter().for_each(|(_, next)| *next -= 1);
        }
    }
}

type RuleOverrides<'a> = BTreeMap<(&'a str, &'a str, &'a str), Option<RuleSettings>>;

/// The site's overrides by (device, class, rule); `None`: the rule is switched off there.
fn rule_overrides<'a>(
    files: &'a Files<'_>,
    catalogue: &'a Catalogue,
    plant: &CheckedPlant<'a>,
    problems: &mut Problems,
) -> RuleOverrides<'a> {
    let mut out = RuleOverrides::new();
    let subjects = subjects(plant, &catalogue.vocabulary);
    for entry in &files.alarm {
        let rule_override = &entry.value;
        let (class, name) = rule_override.rule.split_once('.').unwrap_or(("", &rule_override.rule));
        let known: Vec<(&str, &Template)> = rules_of(class, catalogue).collect();
        let Some((name, template)) = known.iter().find(|(n, _)| *n == name) else {
            let all = catalogue.rules.iter().flat_map(|(c, rules)| rules.keys().map(move |n| format!("{c}.{n}")));
            let all: Vec<String> = all.collect();
            let what = format!("there is no rule `{}`", rule_override.rule);
            problems.error(
                entry.table.location(&["rule"]),
                what,
                did_you_mean(&rule_override.rule, all.iter().map(String::as_str)),
            );
            continue;
        };
        if !may_apply_override(entry, name, problems) {
            continue;
        }
        let rule = if rule_override.off { None } else { apply_override(entry, template, class, catalogue, problems) };
        if rule.is_none() && !rule_override.off {
            continue;
        }
        for (i, id) in rule_override.devices.iter().enumerate() {
            if !subjects.iter().any(|s| s.id == id && s.class == class) {
                let known = subjects.iter().filter(|s| s.class == class).map(|s| s.id);
                let what = format!("there is no device `{id}` of class `{class}`");
                problems.error(entry.table.location(&["devices", &i.to_string()]), what, did_you_mean(id, known));
            }
        }
        for s in subjects.iter().filter(|s| s.class == class) {
            if rule_override.devices.is_empty() || rule_override.devices.iter().any(|id| id == s.id) {
                out.insert((s.id, s.class, name), rule.clone());
            }
        }
    }
    out
}

/// Rules that protect lives: an override that switches one off or weakens it needs `accept_risk`.
const LIFE_SAFETY_RULES: [&str; 3] = ["unintended_movement", "entrapment", "overtravel"];
/// Longest on-delay of such a rule without `accept_risk`.
const LIFE_SAFETY_ON_DELAY_MAX_MS: u64 = 120_000;

/// Whether an override may be applied. If it weakens a rule that protects lives, this reports an error without `accept_risk`
/// and a warning with it.
fn may_apply_override(
    entry: &crate::config::doc::TomlEntry<'_, alarm::site::RuleOverride>,
    name: &str,
    problems: &mut Problems,
) -> bool {
    let rule_override = &entry.value;
    let is_weaker = |key: &str, value: &toml::Value| match key {
        "no" | "zh" | "en" | "action" | "cause" | "consequence" | "respond" | "basis" | "group" | "off_delay"
        | "realarm" | "explains_while" => false,
        "on_delay" => value.as_str().and_then(duration_ms).is_some_and(|ms| ms > LIFE_SAFETY_ON_DELAY_MAX_MS),
        "never_hidden" | "latch" => value.as_bool() == Some(false),
        "in_test" => value.as_bool() == Some(true),
        _ => true,
    };
    let what = if rule_override.off {
        "is switched off"
    } else if rule_override.set.iter().any(|(key, value)| is_weaker(key, value)) {
        "is hidden, unlatched, late or made less urgent"
    } else {
        return true;
    };
    if !LIFE_SAFETY_RULES.contains(&name) {
        return true;
    }
    let key = if rule_override.off { "off" } else { "set" };
    if rule_override.accept_risk.trim().is_empty() {
        let what = format!("`{}` guards lives and {what}", rule_override.rule);
        let hint = "accept_risk = \"whose decision it is, and what guards people instead\"";
        problems.error(entry.table.location(&[key]), what, hint);
        return false;
    }
    let what = format!("`{}` guards lives and {what}: {}", rule_override.rule, rule_override.accept_risk.trim());
    problems.warning(
        entry.table.location(&[key]),
        what,
        "accepted by this configuration; look at it again at each inspection",
    );
    true
}

/// Warns about each number without a safe default that a device does not give, where rules lack nothing but numbers.
fn warn_missing_parameters(applies: &[RuleApplication], files: &Files<'_>, problems: &mut Problems) {
    let mut missing_parameters: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for a in applies {
        let Err(missing) = &a.alarms else { continue };
        let numbers: Vec<&str> = missing.iter().filter_map(|m| m.strip_prefix("number ")).collect();
        for number in numbers.iter().filter(|n| numbers.len() == missing.len() && NO_SAFE_DEFAULT.contains(n)) {
            missing_parameters.entry((&a.device, number)).or_default().push(&a.rule);
        }
    }
    for ((device, number), rules) in missing_parameters {
        let Some(entry) = files.device.iter().find(|e| *e.value.id == *device) else { continue };
        let what = format!("`{device}` does not say `{number}`: without it there is no alarm {}", rules.join(", "));
        let hint = format!(
            "[device.numbers] {number} = … (a wrong default would be dangerous); or [[alarm]] rule = \"{}\", off = true",
            rules[0]
        );
        problems.warning(entry.table.location(&["id"]), what, hint);
    }
}

/// Numbers that a site must give itself: a wrong default would hide a danger.
const NO_SAFE_DEFAULT: [&str; 4] =
    ["hydrant_low_mpa", "sprinkler_low_mpa", "diesel_battery_nominal_v", "battery_nominal_v"];

/// Points that report a fault and that no alarm evaluates, as (device, point).
pub fn unwatched_fault_points(configuration: &super::Configuration) -> Vec<(String, String)> {
    let mut watched: BTreeSet<(Arc<str>, Arc<str>)> = BTreeSet::new();
    for d in &configuration.alarms.definitions {
        let mut each = |i: &ConditionInput| {
            watched.insert((Arc::clone(&i.device), Arc::clone(&i.point)));
        };
        d.condition.inputs(&mut each);
        d.enable_if.iter().for_each(|n| n.inputs(&mut each));
    }
    let devices = configuration.devices.iter();
    let points = devices.flat_map(|(id, d)| d.points.keys().map(move |point| (id.as_str(), point.as_str())));
    let is_unwatched = |(device, point): &(&str, &str)| {
        reports_fault(point) && !watched.iter().any(|(d, p)| **d == **device && **p == **point)
    };
    points.filter(is_unwatched).map(|(device, point)| (device.to_string(), point.to_string())).collect()
}
/// The rule with an override applied. `None` if the result is not a valid rule; the reason is reported.
fn apply_override(
    entry: &crate::config::doc::TomlEntry<'_, alarm::site::RuleOverride>,
    template: &Template,
    class: &str,
    catalogue: &Catalogue,
    problems: &mut Problems,
) -> Option<RuleSettings> {
    let mut table = template.table.clone();
    merge(&mut table, &entry.value.set);
    match RuleSettings::deserialize(toml::Value::Table(table)) {
        Ok(rule) => {
            let mut findings = findings("", &rule, class, &catalogue.vocabulary);
            findings.iter_mut().for_each(|f| f.path = vec!["set".into()]);
            let is_good = findings.is_empty();
            problems.findings(&entry.table, findings);
            is_good.then_some(rule)
        }
        Err(error) => {
            let (why, hint) = serde_message::translate(error.message(), "");
            let what = format!("`{}` with these values is no rule: {why}", entry.value.rule);
            let keys = "the keys are those of the rule in alarms/*.toml";
            let hint = if hint.is_empty() { keys.to_string() } else { format!("{hint}; {keys}") };
            problems.error(entry.table.location(&["set"]), what, hint);
            None
        }
    }
}

/// Merges key by key; a condition that becomes another kind is replaced entirely.
fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => {
                let is_another_kind = (key == "when" || key == "only") && !new.keys().all(|k| old.contains_key(k));
                if is_another_kind { *old = new.clone() } else { merge(old, new) }
            }
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

/// Checks a rule against the vocabulary of its class; empty if nothing is wrong.
pub fn findings(name: &str, rule: &RuleSettings, class: &str, vocabulary: &Vocabulary) -> Vec<FileFinding> {
    let mut out = Vec::new();
    let known_class = vocabulary.classes.contains_key(class);
    build::for_each_point(rule, &mut |point| {
        let plain = point.replace("{*}", "{n}").replace("{n}", "1");
        if known_class && vocabulary.point(class, &plain).is_none() && !plain.starts_with("x_") {
            let what = format!("class `{class}` has no point `{point}`");
            out.push(FileFinding::error(&["when"], what, vocabulary.did_you_mean(class, &plain)));
        }
        if point.contains("{n}") && !name.is_empty() && !name.contains("{n}") {
            let what = format!("`{point}` has an index, and the rule's name has none");
            out.push(FileFinding::error(
                &["when"],
                what,
                format!("name it `…{{n}}…`, or write `{}`", point.replace("{n}", "{*}")),
            ));
        }
    });
    let mut each = |condition: &Condition| {
        out.extend(
            build::problems(condition).into_iter().map(|(what, hint)| FileFinding::error(&["when"], what, hint)),
        );
        build::for_each_parameter(condition, &mut |number| {
            let plain = number.replace("{n}", "1");
            if known_class && !vocabulary.has_number(class, &plain) {
                let known = vocabulary.classes[class].numbers.keys().map(String::as_str);
                let what = format!("class `{class}` has no number `{number}`");
                out.push(FileFinding::error(&["when"], what, did_you_mean(number, known)));
            }
        });
    };
    each(&rule.when);
    rule.only.iter().chain(&rule.unless).chain(&rule.explains_while).for_each(&mut each);
    if rule.zh.trim().is_empty() && rule.en.trim().is_empty() {
        out.push(FileFinding::error(&[], "the alarm says nothing", "zh = \"…\" or en = \"…\": where, what"));
    }
    out
}

/// Warns, once per device, about delays shorter than two polls: they cannot be kept.
fn short_delays(definitions: &[AlarmDefinition], files: &Files<'_>, plant: &CheckedPlant<'_>, problems: &mut Problems) {
    let device_mappings =
        || plant.buses.iter().flat_map(|b| &b.units).flat_map(|u| &u.groups).flat_map(|g| &g.device_mappings);
    let mut interval_ms_by_point: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for out in device_mappings() {
        for point in &out.stream.points {
            interval_ms_by_point.insert((&out.stream.device, &point.name), out.stream.every_ms);
        }
    }
    for entry in &files.device {
        let mut short: Vec<(u64, &str)> = Vec::new();
        for d in definitions.iter().filter(|d| *d.device == *entry.value.id) {
            let mut slowest = 0;
            d.condition.inputs(&mut |i: &ConditionInput| {
                slowest = slowest.max(interval_ms_by_point.get(&(&*i.device, &*i.point)).copied().unwrap_or(0));
            });
            let delay = d.steps.iter().map(|s| s.on_delay_ms).filter(|ms| *ms > 0).min();
            if delay.is_some_and(|ms| ms < 2 * slowest) {
                short.push((slowest, &d.rule));
            }
        }
        if let Some(slowest) = short.iter().map(|(ms, _)| *ms).max() {
            let names: Vec<&str> = short.iter().map(|(_, name)| *name).collect();
            let what = format!(
                "alarms of `{}` have delays shorter than two polls (of up to {}): {}",
                entry.value.id,
                crate::model::time::HumanDuration(slowest).text(),
                names.join(", ")
            );
            let hint = "poll the group faster, or give them a longer on_delay: what comes and goes between two polls is not seen";
            problems.warning(entry.table.location(&["id"]), what, hint);
        }
    }
}

/// Whether a rule's name is legal: it becomes part of an MQTT topic.
pub fn is_rule_name(name: &str) -> bool {
    let plain = name.replacen("{n}", "1", 1);
    plain.starts_with(|c: char| c.is_ascii_lowercase())
        && plain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// A rule's table as written in the file, so that single keys can be overridden.
pub fn raw_table(at: &crate::config::doc::Located<'_>) -> toml::Table {
    toml::Table::deserialize(ValueDeserializer::from(at.node.clone())).unwrap_or_default()
}
