//! Checks of tables that depend on no other table: site, journal, health page, sinks.

use crate::clock::ClockSettings;
use crate::config::doc::{Problems, TomlEntry, single};
use crate::config::settings::Site;
use crate::config::tables::Files;
use crate::journal::JournalSettings;
use crate::sink;
use crate::web::HealthPageSettings;
use crate::web::server::ServerSettings;

/// The site's own table; its absence is a problem unless some table could not be read.
pub fn single_site(files: &Files<'_>, is_incomplete: bool, problems: &mut Problems) -> Option<Site> {
    let site = single(&files.site, "site", problems).cloned();
    if let Some(entry) = files.site.first() {
        check_site(entry, problems);
    } else if !is_incomplete {
        let hint = "[site] with id, zh, en and time_zone, in any of the files";
        problems.error(crate::config::doc::file_location("configuration"), "there is no [site]", hint);
    }
    site
}

/// What the process itself needs: clock, journal and the two listeners.
pub fn process_settings(
    files: &Files<'_>,
    problems: &mut Problems,
) -> (ClockSettings, JournalSettings, HealthPageSettings, ServerSettings) {
    let clock = single(&files.clock, "clock", problems).cloned().unwrap_or_default();
    let journal = single(&files.journal, "journal", problems).cloned().unwrap_or_default();
    check_journal(files, problems);
    let health = single(&files.health, "health", problems).cloned().unwrap_or_default();
    check_health(files, problems);
    let web = single(&files.web, "web", problems).cloned().unwrap_or_default();
    for (key, what, hint) in web.problems() {
        problems.error(files.web[0].table.location(&[key]), what, hint);
    }
    (clock, journal, health, web)
}

/// Whether an id can be part of a topic and a tag.
pub fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 64
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
}

/// Hint for an illegal id.
pub const ID_HINT: &str = "lower-case letters, digits, - and _, at most 64 of them";

/// Checks the site's id and time zone.
fn check_site(entry: &TomlEntry<'_, Site>, problems: &mut Problems) {
    let site = &entry.value;
    if !is_id(&site.id) {
        problems.error(entry.table.location(&["id"]), format!("`{}` cannot be a site's id", site.id), ID_HINT);
    }
    if jiff::tz::TimeZone::get(&site.time_zone).is_err() {
        let what = format!("unknown time zone `{}`", site.time_zone);
        problems.error(
            entry.table.location(&["time_zone"]),
            what,
            "an IANA name such as Asia/Shanghai or Europe/London",
        );
    }
}

/// Checks the ranges of commit interval, days of history and size.
fn check_journal(files: &Files<'_>, problems: &mut Problems) {
    let Some(entry) = files.journal.first() else { return };
    let j = &entry.value;
    if !(1_000..=10_000).contains(&j.commit_ms) {
        problems.error(
            entry.table.location(&["commit_ms"]),
            "commit_ms is 1000 to 10000",
            "a second is safe, ten spare the flash",
        );
    }
    for (key, days) in
        [("telemetry_days", j.telemetry_days), ("state_days", j.state_days), ("register_days", j.register_days)]
    {
        if !(1..=36_500).contains(&days) {
            problems.error(entry.table.location(&[key]), format!("{key} is 1 to 36500"), "a hundred years at most");
        }
    }
    if !(0.01..=10_000.0).contains(&j.max_gb) {
        problems.error(entry.table.location(&["max_gb"]), "max_gb is 0.01 to 10000", "10^9 bytes each");
    }
}

/// The health page may listen on loopback only.
fn check_health(files: &Files<'_>, problems: &mut Problems) {
    let Some(entry) = files.health.first() else { return };
    let listen = &entry.value.listen;
    let address = listen.parse::<std::net::SocketAddr>();
    let place = entry.table.location(&["listen"]);
    match address {
        _ if listen.is_empty() => {}
        Ok(a) if a.ip().is_loopback() => {}
        Ok(_) => problems.error(place, format!("{listen} can be reached from outside"), "127.0.0.1:9464 or [::1]:9464"),
        Err(_) => problems.error(place, format!("`{listen}` is not an address and port"), "127.0.0.1:9464"),
    }
}

/// Checks and returns all sinks; names must be unique across kinds.
pub fn check_sinks(files: &Files<'_>, problems: &mut Problems) -> Vec<sink::kinds::SinkSettings> {
    let mut out: Vec<sink::kinds::SinkSettings> = Vec::new();
    let mut sinks: Vec<_> = files.sink.iter().collect();
    sinks.sort_by_key(|(settings, _)| settings.order());
    for (settings, at) in sinks {
        if let Some((what, hint)) = settings.url_problem() {
            problems.error(at.location(&["url"]), what, hint);
        }
        for (key, what, hint) in settings.problems() {
            problems.error(at.location(&[key]), what, hint);
        }
        if out.iter().any(|o| o.name() == settings.name()) {
            let what = format!("there is a sink `{}` already", settings.name());
            problems.error(at.location(&["name"]), what, "names are unique");
        }
        if let Some(own) = settings.exclusive() {
            let has_it = |other: &&crate::sink::kinds::SinkSettings| {
                other.exclusive().is_some_and(|its| its.identity == own.identity)
            };
            let others = files.sink.iter().map(|(other, _)| other).filter(|other| other.name() != settings.name());
            if let Some(other) = others.into_iter().find(has_it) {
                let what = format!("the sink `{}` has {}", other.name(), own.what);
                problems.error(at.location(&[own.key]), what, own.hint);
            }
        }
        out.push(settings.clone());
    }
    out
}
