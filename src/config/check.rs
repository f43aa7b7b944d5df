//! Checks that span several tables: names must be unique, references must resolve, buses must be able to carry their load.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::build::UnitEntry;
use crate::config::catalogue::Catalogue;
use crate::config::check_alarms;
use crate::config::check_flood::{self, FloodSubject};
use crate::config::check_oncall;
use crate::config::check_site::{ID_HINT, check_sinks, is_id, process_settings, single_site};
use crate::config::doc::{Problems, TomlEntry, single};
use crate::config::plant::CheckedPlant;
use crate::config::settings as file;
use crate::config::{Configuration, ConfiguredDevice, Files, budget, build};
use crate::config::{check_field, check_metering, check_pace};
use crate::link::settings::{LinkSettings, TcpLink};
use crate::model::line::{Parity, SerialParams};
use crate::model::point::{Encoding, PointKind};
use crate::model::problem::did_you_mean;
use crate::model::stream::SOURCE_WORDS;

/// Device ids that MQTT topics reserve.
const RESERVED: [&str; 5] = ["alarm", "flood", "gateway", "notice", "command"];

/// Checks the whole configuration; the result is usable only if no problem is an error. If some table could not be read before,
/// unresolved references are not reported a second time.
pub fn check(
    files: &Files<'_>,
    catalogue: Catalogue,
    is_incomplete: bool,
    problems: &mut Problems,
) -> Option<Configuration> {
    let site = single_site(files, is_incomplete, problems);
    let (clock, journal, health, web) = process_settings(files, problems);
    let c = Check { files, catalogue: &catalogue, is_incomplete };
    let units = c.units(problems);
    let links = c.links(&units, problems);
    let devices = c.devices(&units, problems);
    c.unused(&devices, problems);
    let mut buses = build::buses(&links, &units, &devices, &catalogue);
    for bus in &buses {
        if let Some(at) = c.link_location(&bus.link.id) {
            budget::check(bus, at, problems);
        }
    }
    check_field::check(files, &buses, problems);
    check_field::check_rates(files, &units, problems);
    let derive = c.derive(&devices, &units, problems);
    let registers = Arc::new(build::register_limits(&devices, &units, &catalogue));
    let energy = single(&files.energy, "energy", problems).cloned().unwrap_or_default();
    for (key, what, hint) in energy.problems() {
        problems.error(files.energy[0].table.location(&[key]), what, hint);
    }
    let sinks = check_sinks(files, problems);
    let zone =
        site.as_ref().and_then(|s| jiff::tz::TimeZone::get(&s.time_zone).ok()).unwrap_or(jiff::tz::TimeZone::UTC);
    let known = check_metering::known_registers(&devices, &registers, &derive, &catalogue);
    let metering = Arc::new(check_metering::check(files, &known, &zone, is_incomplete, problems));
    let contracts = (&known, &*metering, &catalogue);
    let contracts = Arc::new(check_metering::contracts(files, contracts, &zone, is_incomplete, problems));
    let oncall = check_oncall::check(files, &catalogue, &devices, &zone, is_incomplete, problems);
    let watches = check_metering::demand_watches(&contracts, &metering, energy.interval_min);
    let energy_points = check_metering::energy_points(&known, &metering, &watches);
    let (flood, feeds) = check_flood::check(files, &catalogue, (&devices, &derive), problems);
    if let Some(scheme) = &flood.scheme {
        let class = |id: &str| devices.get(id).map_or("", |device| device.class.as_str());
        check_pace::set(&mut buses, scheme, class, |link| c.link_location(link), problems);
    }
    let computed_points = check_flood::with_computed_points(energy_points, &flood);
    let subject = FloodSubject::of(&flood);
    let plant = CheckedPlant {
        devices: &devices,
        derive: &derive,
        buses: &buses,
        computed_points: &computed_points,
        flood: subject.as_ref(),
    };
    let (alarms, applies) = check_alarms::check(files, &catalogue, &plant, zone, problems);
    Some(Configuration {
        site: site?,
        clock,
        journal,
        health,
        web,
        control: single(&files.control, "control", problems).cloned().unwrap_or_default(),
        buses,
        devices,
        derive,
        energy,
        metering,
        contracts,
        registers,
        flood,
        feeds,
        alarms,
        rule_applications: applies,
        sinks,
        oncall,
        catalogue,
    })
}

const SERIAL_PORT_HINT: &str = "ls -l /dev/serial/by-id shows the names of adapters: port = \"/dev/serial/by-id/…\"";

/// Whether a port is named as `COM3`.
fn is_windows_port(port: &str) -> bool {
    let number = port.get(..3).filter(|p| p.eq_ignore_ascii_case("com")).and_then(|_| port.get(3..));
    number.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
}

/// A host is a name or an address alone: no URL, no port.
fn check_host(entry: &TomlEntry<'_, TcpLink>, problems: &mut Problems) {
    let host = entry.value.host.as_str();
    let at = entry.table.location(&["host"]);
    let rest = host.split_once("://").map_or(host, |(_, rest)| rest);
    let bare = rest.split('/').next().unwrap_or_default();
    let (name, port) = match bare.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']')) => {
            (name, Some(port))
        }
        _ => (bare, None),
    };
    if host != name {
        let and = port.map_or(String::new(), |p| format!(", port = {p}"));
        problems.error(
            at,
            format!("`{host}` is no host: a name or an address alone"),
            format!("host = \"{name}\"{and}"),
        );
    } else if host.trim().is_empty() || host.contains(char::is_whitespace) {
        problems.error(at, format!("`{host}` is no host"), "a name or an address: host = \"192.0.2.10\"");
    }
}

pub(super) struct Check<'a> {
    pub(super) files: &'a Files<'a>,
    pub(super) catalogue: &'a Catalogue,
    pub(super) is_incomplete: bool,
}

impl<'a> Check<'a> {
    fn link_locations(&self) -> BTreeMap<&'a str, crate::model::problem::SourceLocation> {
        let f = self.files;
        let tcp =
            f.link.tcp.iter().chain(&f.link.rtu_over_tcp).map(|e| (e.value.id.as_str(), e.table.location(&["id"])));
        tcp.chain(f.link.serial.iter().map(|e| (e.value.id.as_str(), e.table.location(&["id"])))).collect()
    }

    fn link_location(&self, id: &str) -> Option<crate::model::problem::SourceLocation> {
        self.link_locations().remove(id)
    }

    /// Units with their profiles. Ids and addresses must be unique, addresses legal, poll groups known.
    fn units(&self, problems: &mut Problems) -> BTreeMap<&'a str, UnitEntry<'a>> {
        let mut out: BTreeMap<&str, UnitEntry<'_>> = BTreeMap::new();
        let mut on_wire: BTreeMap<(&str, u8), &str> = BTreeMap::new();
        let links = self.link_locations();
        for entry in &self.files.unit {
            let unit = &entry.value;
            let at = |key: &str| entry.table.location(&[key]);
            if !is_id(&unit.id) || SOURCE_WORDS.contains(&unit.id.as_str()) {
                let hint = if is_id(&unit.id) { "history needs this name for itself; take another" } else { ID_HINT };
                problems.error(at("id"), format!("`{}` cannot be a unit's id", unit.id), hint);
            }
            if !links.contains_key(unit.link.as_str()) && !self.is_incomplete {
                problems.error(
                    at("link"),
                    format!("unknown link `{}`", unit.link),
                    did_you_mean(&unit.link, links.keys().copied()),
                );
            }
            if let Some(other) = on_wire.insert((&unit.link, unit.address), &unit.id) {
                let what = format!(
                    "units `{other}` and `{}` have the address {} on link `{}`",
                    unit.id, unit.address, unit.link
                );
                problems.error(at("address"), what, "each unit on a link has an address of its own");
            }
            let serial = self.files.link.serial.iter().any(|l| l.value.id == unit.link);
            if serial && !(1..=247).contains(&unit.address) {
                problems.error(at("address"), format!("{} is no address on a serial line", unit.address), "1 to 247");
            }
            let Some(profile) = self.catalogue.profiles.get(&unit.profile) else {
                let known = self.catalogue.profiles.keys().map(String::as_str);
                problems.error(
                    at("profile"),
                    format!("unknown profile `{}`", unit.profile),
                    did_you_mean(&unit.profile, known),
                );
                continue;
            };
            for (group, every) in &unit.groups {
                let place = || entry.table.location(&["groups", group]);
                if !profile.groups.contains_key(group.as_str()) {
                    let known = profile.groups.keys().map(|k| &**k);
                    problems.error(
                        place(),
                        format!("profile `{}` has no group `{group}`", unit.profile),
                        did_you_mean(group, known),
                    );
                } else if every.ms().is_none() {
                    let what = format!("`{}` is not a duration", every.0);
                    problems.error(place(), what, "write it as 500ms, 1s, 15m or 1h");
                }
            }
            if out.insert(&unit.id, UnitEntry { settings: unit, profile }).is_some() {
                problems.error(
                    at("id"),
                    format!("there is a unit `{}` already", unit.id),
                    "ids are unique among units",
                );
            }
        }
        out
    }

    /// Links. Ids and addresses must be unique; serial parameters default to those with which the units are delivered.
    fn links(&self, units: &BTreeMap<&str, UnitEntry<'_>>, problems: &mut Problems) -> Vec<LinkSettings> {
        let mut out: Vec<LinkSettings> = Vec::new();
        let mut add = |link: LinkSettings,
                       entry_place: &dyn Fn(&str) -> crate::model::problem::SourceLocation,
                       problems: &mut Problems| {
            if !is_id(&link.id) {
                problems.error(entry_place("id"), format!("`{}` cannot be a link's id", link.id), ID_HINT);
            }
            if out.iter().any(|l| l.id == link.id) {
                problems.error(
                    entry_place("id"),
                    format!("there is a link `{}` already", link.id),
                    "ids are unique among links",
                );
            }
            if let Some(other) = out.iter().find(|l| l.transport.address() == link.transport.address()) {
                let what =
                    format!("links `{}` and `{}` lead to the same {}", other.id, link.id, link.transport.address());
                problems.error(
                    entry_place("id"),
                    what,
                    "one link for one address or port; its units share the connection",
                );
            }
            out.push(link);
        };
        for (entries, rtu) in [(&self.files.link.tcp, false), (&self.files.link.rtu_over_tcp, true)] {
            for entry in entries {
                check_host(entry, problems);
                let is_explicit = !rtu || entry.value.baud.is_some();
                let line = Self::line_of(&entry.value.id, is_explicit, units, &entry.table, problems);
                add(entry.value.settings(rtu, line), &|key| entry.table.location(&[key]), problems);
            }
        }
        for entry in &self.files.link.serial {
            let is_explicit = entry.value.baud.is_some() && entry.value.parity.is_some();
            let line = Self::line_of(&entry.value.id, is_explicit, units, &entry.table, problems);
            if entry.value.port.starts_with("/dev/ttyUSB") || entry.value.port.starts_with("/dev/ttyACM") {
                let what = format!("{} may be another adapter after the next boot", entry.value.port);
                problems.warning(entry.table.location(&["port"]), what, "use its name below /dev/serial/by-id");
            }
            if is_windows_port(&entry.value.port) {
                let what = format!("{} is a port's name under Windows", entry.value.port);
                problems.error(entry.table.location(&["port"]), what, SERIAL_PORT_HINT);
            }
            if entry.value.stop_bits.is_some_and(|s| s != 1 && s != 2) {
                problems.error(entry.table.location(&["stop_bits"]), "stop_bits is 1 or 2", "");
            }
            add(entry.value.settings(line), &|key| entry.table.location(&[key]), problems);
        }
        out
    }

    /// Serial parameters with which the units of a line are delivered: those of the first unit whose profile has some, else
    /// 9600 baud, no parity, 1 stop bit. Warns if units differ and the link does not set them.
    fn line_of(
        link: &str,
        is_explicit: bool,
        units: &BTreeMap<&str, UnitEntry<'_>>,
        at: &crate::config::doc::Located<'_>,
        problems: &mut Problems,
    ) -> SerialParams {
        let mut line: Option<(SerialParams, &str)> = None;
        for unit in units.values().filter(|u| u.settings.link == link) {
            let Some(s) = &unit.profile.serial_defaults else { continue };
            let delivered = SerialParams { baud: s.baud, parity: s.parity, stop_bits: s.stop_bits };
            match line {
                None => line = Some((delivered, &unit.settings.id)),
                Some((first, name)) if first != delivered && !is_explicit => {
                    let what = format!(
                        "units `{name}` and `{}` on link `{link}` are delivered with different line settings",
                        unit.settings.id
                    );
                    problems.warning(
                        at.location(&["id"]),
                        what,
                        "say baud, parity and stop_bits of the link, as the units are set",
                    );
                }
                Some(_) => {}
            }
        }
        line.map_or(SerialParams { baud: 9600, parity: Parity::None, stop_bits: 1 }, |(l, _)| l)
    }

    fn devices(
        &self,
        units: &BTreeMap<&str, UnitEntry<'_>>,
        problems: &mut Problems,
    ) -> BTreeMap<String, ConfiguredDevice> {
        let mut out: BTreeMap<String, ConfiguredDevice> = BTreeMap::new();
        for entry in &self.files.device {
            let d = &entry.value;
            let at = |key: &str| entry.table.location(&[key]);
            if !is_id(&d.id) || RESERVED.contains(&d.id.as_str()) {
                let hint = if is_id(&d.id) { "topics need this name for themselves; take another" } else { ID_HINT };
                problems.error(at("id"), format!("`{}` cannot be a device's id", d.id), hint);
            }
            let classes = || self.catalogue.vocabulary.classes.keys().map(|k| &**k).collect::<Vec<_>>();
            if !classes().contains(&d.class.as_str()) {
                problems.error(at("class"), format!("unknown class `{}`", d.class), did_you_mean(&d.class, classes()));
                continue;
            }
            for name in d.numbers.keys() {
                if !self.catalogue.vocabulary.has_number(&d.class, name) {
                    let known = self.catalogue.vocabulary.classes[d.class.as_str()].numbers.keys().map(String::as_str);
                    let what = format!("class `{}` has no number `{name}`", d.class);
                    problems.error(entry.table.location(&["numbers", name]), what, did_you_mean(name, known));
                }
            }
            let points = self.device_points(entry, units, problems);
            if points.is_empty() && !problems.any_error() {
                problems.warning(
                    at("id"),
                    format!("device `{}` has no points", d.id),
                    "unit = \"…\", or [device.points]",
                );
            }
            let device = ConfiguredDevice {
                id: d.id.as_str().into(),
                class: d.class.clone(),
                area: d.area.clone(),
                supply: d.supply.clone(),
                zh: d.zh.clone(),
                en: d.en.clone(),
                parameters: d.numbers.clone(),
                points,
            };
            if out.insert(d.id.clone(), device).is_some() {
                problems.error(
                    at("id"),
                    format!("there is a device `{}` already", d.id),
                    "ids are unique among devices",
                );
            }
        }
        for entry in &self.files.device {
            let Some(supply) = &entry.value.supply else { continue };
            if out.get(supply).is_none_or(|d| d.class != "ats") {
                let known: Vec<&str> = out.values().filter(|d| d.class == "ats").map(|d| &*d.id).collect();
                let what = format!("`{supply}` is no transfer switch");
                problems.error(entry.table.location(&["supply"]), what, did_you_mean(supply, known));
            }
        }
        out
    }

    /// Whether no table has the unit, not even one with errors of its own.
    fn is_nowhere(&self, unit: &str) -> bool {
        !self.is_incomplete && !self.files.unit.iter().any(|entry| entry.value.id == unit)
    }

    fn device_points(
        &self,
        entry: &TomlEntry<'_, file::Device>,
        units: &BTreeMap<&str, UnitEntry<'_>>,
        problems: &mut Problems,
    ) -> BTreeMap<String, (String, String)> {
        let d = &entry.value;
        let mut points = BTreeMap::new();
        let known_units = || units.keys().copied().collect::<Vec<_>>();
        if let Some(name) = &d.unit {
            match units.get(name.as_str()) {
                Some(unit) => {
                    for point in unit.profile.all_points().keys() {
                        if self.fits(entry, "unit", point, point, unit, problems) {
                            points.insert(point.to_string(), (name.clone(), point.to_string()));
                        }
                    }
                }
                None if self.is_nowhere(name) => {
                    problems.error(
                        entry.table.location(&["unit"]),
                        format!("unknown unit `{name}`"),
                        did_you_mean(name, known_units()),
                    );
                }
                None => {}
            }
        }
        for (point, from) in &d.points {
            let place = || entry.table.location(&["points", point]);
            let Some((unit_name, source)) = from.split_once('.') else {
                problems.error(place(), format!("`{from}` is not unit.point"), format!("{point} = \"unit.point\""));
                continue;
            };
            let Some(unit) = units.get(unit_name) else {
                if self.is_nowhere(unit_name) {
                    problems.error(
                        place(),
                        format!("unknown unit `{unit_name}`"),
                        did_you_mean(unit_name, known_units()),
                    );
                }
                continue;
            };
            if unit.profile.point(source).is_some() {
                if self.fits(entry, point, point, source, unit, problems) {
                    points.insert(point.clone(), (unit_name.to_string(), source.to_string()));
                }
            } else {
                let all = unit.profile.all_points();
                let known: Vec<&str> = all.keys().map(|k| &**k).collect();
                let what = format!("profile `{}` of unit `{unit_name}` has no point `{source}`", unit.settings.profile);
                problems.error(place(), what, did_you_mean(source, known));
            }
        }
        points
    }

    /// Whether the vocabulary of the device's class has the point, and the source can deliver its kind. Names that begin with
    /// `x_` always fit.
    fn fits(
        &self,
        entry: &TomlEntry<'_, file::Device>,
        key: &str,
        point: &str,
        source: &str,
        unit: &UnitEntry<'_>,
        problems: &mut Problems,
    ) -> bool {
        let class = &entry.value.class;
        let place =
            || if key == "unit" { entry.table.location(&["unit"]) } else { entry.table.location(&["points", key]) };
        if point.starts_with("x_") {
            return true;
        }
        let Some(meaning) = self.catalogue.vocabulary.point(class, point) else {
            let near = self.catalogue.vocabulary.did_you_mean(class, point);
            let what = format!("class `{class}` has no point `{point}`");
            problems.error(place(), what, format!("{near}; a maker's extra begins with x_"));
            return false;
        };
        let Some(def) = unit.profile.point(source) else { return false };
        let fits = match meaning.kind {
            PointKind::Bool => def.encoding == Encoding::Bool,
            PointKind::Text => def.encoding == Encoding::Text,
            PointKind::Code => matches!(def.encoding, Encoding::Code | Encoding::Exact(_)),
            PointKind::Number | PointKind::Counter => !matches!(def.encoding, Encoding::Bool | Encoding::Text),
        };
        if !fits {
            let what =
                format!("`{point}` is a {:?} in the vocabulary, `{source}` gives {:?}", meaning.kind, def.encoding);
            problems.error(place(), what.to_lowercase(), "take the point from a source of its kind");
        }
        fits
    }

    /// Warns about units that no device uses: they are not polled.
    fn unused(&self, devices: &BTreeMap<String, ConfiguredDevice>, problems: &mut Problems) {
        if problems.any_error() {
            return;
        }
        for entry in &self.files.unit {
            let id = &entry.value.id;
            let used = devices.values().any(|d| d.points.values().any(|(unit, _)| unit == id));
            if !used {
                let what = format!("no device uses unit `{id}`: it is not polled");
                problems.warning(entry.table.location(&["id"]), what, "a [[device]] with unit = or points = from it");
            }
        }
    }
}
