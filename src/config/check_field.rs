//! Limits of links, units and streams that polling, history and messages depend on.

use std::collections::BTreeMap;

use crate::config::build::UnitEntry;
use crate::config::doc::Problems;
use crate::config::tables::Files;
use crate::model::problem::did_you_mean;
use crate::poll::BusConfig;

/// Most points of one poll group of one device: the capacity of a history slice and of a message.
const STREAM_POINTS_MAX: usize = 4_096;
/// Longest response time-out: beyond it a dead unit would go unnoticed.
const TIMEOUT_MAX_MS: u64 = 60_000;
/// Most retries in one cycle: more would hide a broken line.
const RETRIES_MAX: u32 = 5;

/// Checks transaction ids, time-outs, retries and sizes of streams.
pub fn check(files: &Files<'_>, buses: &[BusConfig], problems: &mut Problems) {
    let units: BTreeMap<&str, usize> = buses.iter().map(|b| (b.link.id.as_str(), b.units.len())).collect();
    for entry in files.link.tcp.iter().chain(&files.link.rtu_over_tcp) {
        let (link, at) = (&entry.value, |key: &str| entry.table.location(&[key]));
        let count = units.get(link.id.as_str()).copied().unwrap_or(0);
        if link.ignores_transactions() && count > 1 {
            let what =
                format!("{count} units are behind link `{}`, and without transaction ids their answers mix", link.id);
            problems.error(
                at("transaction_id"),
                what,
                "ignore is for a single device: give each its own address or converter",
            );
        }
        timeouts(link.timeout_ms, link.timeout_max_ms, &at, problems);
    }
    for entry in &files.link.serial {
        timeouts(entry.value.timeout_ms, entry.value.timeout_max_ms, &|key| entry.table.location(&[key]), problems);
    }
    for entry in &files.unit {
        if entry.value.retries > RETRIES_MAX {
            let what = format!("{} retries in one cycle", entry.value.retries);
            problems.error(
                entry.table.location(&["retries"]),
                what,
                format!("0 to {RETRIES_MAX}; more hides a broken line"),
            );
        }
        if entry.value.timeout_ms.is_some_and(|ms| ms == 0 || ms > TIMEOUT_MAX_MS) {
            problems.error(
                entry.table.location(&["timeout_ms"]),
                "not a time-out",
                format!("1 to {TIMEOUT_MAX_MS} ms"),
            );
        }
    }
    let device_mappings = buses.iter().flat_map(|b| &b.units).flat_map(|u| &u.groups).flat_map(|g| &g.device_mappings);
    for out in device_mappings.filter(|o| o.points.len() > STREAM_POINTS_MAX) {
        let (device, points) = (&*out.stream.device, out.points.len());
        let Some(entry) = files.device.iter().find(|e| e.value.id == device) else { continue };
        let what = format!(
            "device `{device}` takes {points} points from {}, and a stream has at most {STREAM_POINTS_MAX}",
            out.stream.source
        );
        problems.error(entry.table.location(&["id"]), what, "split the poll group in two, or the device");
    }
}

fn timeouts(
    timeout_ms: u64,
    max_ms: Option<u64>,
    at: &dyn Fn(&str) -> crate::model::problem::SourceLocation,
    problems: &mut Problems,
) {
    if timeout_ms == 0 || timeout_ms > TIMEOUT_MAX_MS {
        problems.error(
            at("timeout_ms"),
            format!("{timeout_ms} ms is no time-out"),
            format!("1 to {TIMEOUT_MAX_MS} ms"),
        );
    }
    if max_ms.is_some_and(|max| max < timeout_ms || max > TIMEOUT_MAX_MS) {
        let what = format!("timeout_max_ms is not between timeout_ms ({timeout_ms}) and {TIMEOUT_MAX_MS}");
        problems.error(at("timeout_max_ms"), what, "the time-out grows from the one up to the other");
    }
}

/// Intervals of a link's poll groups: lengths of time, of groups that a unit on it has.
pub fn check_rates(files: &Files<'_>, units: &BTreeMap<&str, UnitEntry<'_>>, problems: &mut Problems) {
    let tcp = files.link.tcp.iter().chain(&files.link.rtu_over_tcp);
    let tcp = tcp.map(|entry| (&entry.value.id, &entry.value.groups, &entry.table));
    let serial = files.link.serial.iter().map(|entry| (&entry.value.id, &entry.value.groups, &entry.table));
    for (id, groups, table) in tcp.chain(serial) {
        let on_it = units.values().filter(|unit| unit.settings.link == *id);
        let known: Vec<&str> = on_it.flat_map(|unit| unit.profile.groups.keys().map(|group| &**group)).collect();
        for (group, every) in groups {
            let at = || table.location(&["groups", group]);
            if !known.contains(&group.as_str()) && !known.is_empty() {
                let what = format!("no unit on link `{id}` has a group `{group}`");
                problems.error(at(), what, did_you_mean(group, known.iter().copied()));
            } else if every.ms().is_none() {
                problems.error(at(), format!("`{}` is not a duration", every.0), "write it as 500ms, 1s, 15m or 1h");
            }
        }
    }
}
