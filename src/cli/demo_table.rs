//! The live table of the demo: devices with some of their values, alarms, addresses, pages; it fits the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::app::control_handlers;
use crate::app::shared::Shared;
use crate::cli::output;
use crate::config;
use crate::lock::lock;

/// Points of the live table, by preference: of each device the first four that it has.
const SHOWN: [&str; 15] = [
    "level_m",
    "pump1_running",
    "pump2_running",
    "high_high_float",
    "car_running",
    "door_closed",
    "occupied",
    "fault",
    "supply_pressure_mpa",
    "flow_m3h",
    "engine_state",
    "on_source1",
    "power_kw",
    "energy_import_kwh",
    "rain_mm",
];

/// What the last readings of all streams hold.
#[derive(Default)]
struct Latest {
    /// Device -> point -> value, or the word of its cause.
    values: BTreeMap<String, BTreeMap<String, String>>,
    good: usize,
    all: usize,
    /// Points that the devices say they do not have.
    not_fitted: usize,
    /// Points that need more cycles or more time until something is known.
    not_known_yet: usize,
}

impl Latest {
    fn of(shared: &Shared) -> Self {
        let mut latest = Self::default();
        let mut seen = BTreeSet::new();
        for entry in shared.journal.recent().iter().rev() {
            let stream = &entry.reading.stream;
            if stream.source.is_decided() || !seen.insert((stream.device.clone(), stream.source.clone())) {
                continue;
            }
            let (good, all) = entry.reading.good_of_all();
            (latest.good, latest.all) = (latest.good + good, latest.all + all);
            let points = latest.values.entry(stream.device.to_string()).or_default();
            for (i, point) in stream.points.iter().enumerate() {
                let text = match entry.reading.sample(i) {
                    Some(Ok(value)) => value.to_string(),
                    Some(Err(cause)) => cause.word().to_string(),
                    None => continue,
                };
                latest.not_fitted += usize::from(text == "not_fitted");
                latest.not_known_yet += usize::from(text == "starting_up");
                points.insert(point.name.to_string(), text);
            }
        }
        latest
    }

    /// `509 of 556 points good, 40 not fitted, 7 bad`.
    fn count(&self) -> String {
        let mut text = format!("{} of {} points good", self.good, self.all);
        let bad = self.all.saturating_sub(self.good + self.not_fitted + self.not_known_yet);
        let counts = [(self.not_fitted, "not fitted"), (self.not_known_yet, "not known yet"), (bad, "bad")];
        for (count, what) in counts {
            if count > 0 {
                let _infallible = write!(text, ", {count} {what}");
            }
        }
        text
    }
}

/// How many points are good, in words.
pub fn count(shared: &Shared) -> String {
    Latest::of(shared).count()
}

/// The table and what stands below it, cut to the size of the terminal: (columns, rows).
pub fn table(shared: &Shared, addresses: &[String], pages: &str, size: Option<(usize, usize)>) -> String {
    let latest = Latest::of(shared);
    let configuration = shared.configuration();
    let states = shared.adapters.retained_topics.get();
    let row = |device: &config::ConfiguredDevice| {
        let points = latest.values.get(&*device.id);
        let state = states.get(&format!("{}/status", device.id)).and_then(|j| j.split('"').nth(3)).unwrap_or("-");
        let shown = SHOWN.iter().filter_map(|name| Some(format!("{name} {}", points?.get(*name)?)));
        let shown: Vec<String> = shown.take(4).collect();
        vec![device.id.to_string(), device.zh.clone(), state.to_string(), shown.join("  ")]
    };
    let rows: Vec<Vec<String>> = configuration.devices.values().map(row).collect();
    let devices = output::table(&["device", "", "state", "values"], &rows);
    let sinks = lock(&shared.adapters.sinks);
    let delivered: u64 = sinks.iter().map(|s| s.health.delivered.load(Ordering::Relaxed)).sum();
    drop(sinks);
    let mut below = vec![format!("{}; {delivered} messages delivered", latest.count()), alarms(shared)];
    let pages: Vec<&str> = pages.lines().collect();
    below.push(if pages.is_empty() { "pages: none".to_string() } else { format!("pages, the last {}:", pages.len()) });
    for page in pages {
        // The link has a line of its own, so that it is not cut.
        let (text, link) = page.rsplit_once(" http").map_or((page, None), |(text, link)| (text, Some(link)));
        below.push(format!("  {text}"));
        below.extend(link.map(|link| format!("  http{link}")));
    }
    below.extend(addresses.iter().cloned());
    fit(&devices, &below, size)
}

/// The alarms that are not normal: how many, and the most urgent one.
fn alarms(shared: &Shared) -> String {
    let rows = control_handlers::alarms(shared, false);
    match rows.first() {
        Some(first) => format!("alarms: {}, first {} {} ({})", rows.len(), first.priority, first.en, first.state),
        None => "alarms: none".to_string(),
    }
}

/// Cuts lines to the terminal's width and leaves out devices where it is too low for all; without a terminal nothing is cut.
fn fit(devices: &str, below: &[String], size: Option<(usize, usize)>) -> String {
    let devices: Vec<&str> = devices.lines().collect();
    let mut lines: Vec<String> = devices.iter().map(ToString::to_string).collect();
    if let Some((columns, rows)) = size {
        // One row remains for the cursor, one says how many devices are left out.
        let room = rows.saturating_sub(below.len() + 1).max(2);
        if devices.len() > room {
            lines.truncate(room - 1);
            lines.push(format!("… and {} more devices", devices.len() - (room - 1)));
        }
        lines.extend(below.iter().cloned());
        lines.iter_mut().for_each(|line| *line = output::cut(line, columns));
        lines.truncate(rows.saturating_sub(1).max(1));
    } else {
        lines.extend(below.iter().cloned());
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_terminal_holds_it() {
        let devices = "device  state\n".to_string() + &"地库1#集水井  online  level_m 0.724\n".repeat(30);
        let below = ["alarms: none", "mqtt://127.0.0.1:1883"].map(String::from);
        for (columns, rows) in [(80, 24), (40, 10), (20, 5), (10, 3), (200, 60), (1, 1)] {
            let text = fit(&devices, &below, Some((columns, rows)));
            assert!(text.lines().count() < rows.max(2), "{columns}x{rows}: {text}");
            assert!(text.lines().all(|line| output::width(line) <= columns), "{columns}x{rows}: {text}");
        }
        let text = fit(&devices, &below, Some((80, 24)));
        assert!(text.contains("… and 11 more devices") && text.ends_with("mqtt://127.0.0.1:1883\n"), "{text}");
        assert_eq!(fit(&devices, &below, None).lines().count(), 33);
    }
}
