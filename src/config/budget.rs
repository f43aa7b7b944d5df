//! Predicts, before anything runs, the load of each bus and the size of the history: wire time, bus share, readings, MQTT
//! messages, flash bytes and days of history.

use std::collections::BTreeMap;

use crate::config::Configuration;
use crate::config::doc::Problems;
use crate::link::settings::LinkTransport;
use crate::model::point::Retention;
use crate::model::problem::SourceLocation;
use crate::plan;
use crate::plan::wire::{BusTiming, read_us};
use crate::poll::{BusConfig, GroupConfig, UnitConfig};
use crate::profile::ProfileVariant;

/// Assumed turnaround of a unit on a serial line, microseconds; meters take 5 to 50 ms before they answer.
const TURNAROUND_US: u64 = 10_000;
/// Flash bytes per sample over its life (raw, sealed, write-ahead log), measured: see docs/performance.md.
const FLASH_BYTES_A_SAMPLE: f64 = 14.4;
/// Bytes per sample in sealed history, by retention class, measured on the demo's plant: see docs/performance.md. States hardly
/// ever change and register readings rise evenly. `SEALED_BYTES_A_FILE` is the fixed cost of a day's file, from the same
/// measurement.
const fn sealed_bytes_a_sample(class: Retention) -> f64 {
    match class {
        Retention::Telemetry => 1.3,
        Retention::State => 0.2,
        Retention::Cumulative => 0.4,
    }
}
/// Copies kept of a class: each day's registers are stored twice.
const fn copies(class: Retention) -> f64 {
    match class {
        Retention::Telemetry | Retention::State => 1.0,
        Retention::Cumulative => 2.0,
    }
}
const SEALED_BYTES_A_FILE: f64 = 40_000.0;

/// One poll group's share of its bus.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupCost {
    pub name: String,
    /// The reads of the most expensive profile variant.
    pub plan: plan::ReadPlan,
    pub points: usize,
    pub every_ms: u64,
    /// The same at each flood level, by its rank less one; empty: as always.
    pub flood_every_ms: Vec<u64>,
    /// Wire time of one cycle in the most expensive variant.
    pub cycle_us: u64,
}

impl GroupCost {
    /// The fraction of the bus time that this group takes.
    pub fn share(&self) -> f64 {
        ratio(self.cycle_us, self.every_ms * 1_000)
    }

    /// The same at a flood level.
    pub fn share_at(&self, flood_rank: u8) -> f64 {
        let index = usize::from(flood_rank).checked_sub(1);
        let every_ms = index.and_then(|index| self.flood_every_ms.get(index)).copied().unwrap_or(self.every_ms);
        ratio(self.cycle_us, every_ms * 1_000)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

/// The timing model of a bus. Behind a network converter with a known line (`behind`), serial timing applies.
fn bus_of(bus: &BusConfig) -> BusTiming {
    let round_trip_us = bus.link.expected_round_trip_ms * 1_000;
    match &bus.link.transport {
        LinkTransport::Serial(port) => BusTiming::Serial { line: port.line, turnaround_us: TURNAROUND_US },
        LinkTransport::Tcp { .. } | LinkTransport::RtuOverTcp { .. } => match bus.link.gateway_line {
            Some(line) => BusTiming::Serial { line, turnaround_us: round_trip_us },
            None => BusTiming::Network { round_trip_us },
        },
    }
}

fn plan_of(group: &GroupConfig, layout: &ProfileVariant) -> plan::ReadPlan {
    let is_selected = |p: &&crate::profile::PointDef| group.device_mappings.iter().any(|o| o.points.contains(&p.name));
    plan::plan(layout.points.iter().filter(is_selected), &layout.read_rules)
}

fn cost(bus: BusTiming, unit: &UnitConfig, group: &GroupConfig) -> GroupCost {
    let priced = |layout: &ProfileVariant| {
        let plan = plan_of(group, layout);
        let us = plan.blocks.iter().map(|b| read_us(bus, b, layout.read_rules.pause_ms)).sum::<u64>();
        (us, plan)
    };
    let dearest = unit.profile.variants.iter().map(priced).max_by_key(|(us, _)| *us);
    let (cycle_us, plan) = dearest.unwrap_or_default();
    let points = group.device_mappings.iter().map(|o| o.points.len()).sum();
    GroupCost {
        name: format!("{}/{}", unit.id, group.name),
        plan,
        points,
        every_ms: group.interval_ms,
        flood_every_ms: group.flood_intervals_ms.clone(),
        cycle_us,
    }
}

/// The cost of each poll group of a bus.
pub fn group_costs(bus: &BusConfig) -> Vec<GroupCost> {
    let kind = bus_of(bus);
    bus.units.iter().flat_map(|u| u.groups.iter().map(move |g| cost(kind, u, g))).collect()
}

/// Reports an error if a bus cannot carry its poll groups (above 100 %), a warning if there is little room for a retry (above
/// 80 %). A link with `overload` is not checked.
pub fn check(bus: &BusConfig, place: SourceLocation, problems: &mut Problems) {
    let costs = group_costs(bus);
    let share: f64 = costs.iter().map(GroupCost::share).sum();
    let percent = share * 100.0;
    let dearest = costs.iter().max_by(|a, b| a.share().total_cmp(&b.share()));
    let worst = dearest.map_or(String::new(), |d| {
        format!(
            "`{}` alone takes {:.0} % ({} ms every {} ms)",
            d.name,
            d.share() * 100.0,
            d.cycle_us / 1_000,
            d.every_ms
        )
    });
    if bus.link.overload {
        return;
    }
    if share > 1.0 {
        let what = format!(
            "link `{}` cannot carry this: the poll groups need {percent:.0} % of its time; {worst}",
            bus.link.id
        );
        problems.error(place, what, proposal(&costs));
    } else if share > 0.8 {
        let what = format!("link `{}` is {percent:.0} % busy when all is well; {worst}", bus.link.id);
        problems.warning(place, what, format!("there is little room for a retry: {}", proposal(&costs)));
    }
}

/// Intervals that people write, milliseconds.
const USUAL_MS: [u64; 16] = [
    200, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000,
];
/// The part of a bus that a proposal takes: the rest is for retries.
const PROPOSED_SHARE: f64 = 0.75;

/// Intervals with which a bus has room, as the link's settings say them: the group that takes most is read less often until all fit.
fn proposal(costs: &[GroupCost]) -> String {
    let group = |cost: &GroupCost| cost.name.rsplit('/').next().unwrap_or_default().to_string();
    let mut at: Vec<(String, u64, u64)> = costs.iter().map(|c| (group(c), c.cycle_us, c.every_ms)).collect();
    let shares = |at: &[(String, u64, u64)]| {
        let mut by_group: BTreeMap<String, f64> = BTreeMap::new();
        for (name, us, every_ms) in at {
            *by_group.entry(name.clone()).or_default() += ratio(*us, every_ms * 1_000);
        }
        by_group
    };
    let mut changed: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        let by_group = shares(&at);
        if by_group.values().sum::<f64>() <= PROPOSED_SHARE {
            break;
        }
        let next = |name: &str| {
            let now = at.iter().filter(|(group, ..)| group == name).map(|(.., every)| *every).min()?;
            USUAL_MS.into_iter().find(|usual| *usual > now)
        };
        let dearest = by_group.iter().filter(|(name, _)| next(name).is_some()).max_by(|a, b| a.1.total_cmp(b.1));
        let Some((name, every)) = dearest.and_then(|(name, _)| Some((name.clone(), next(name)?))) else {
            return "no interval fits: fewer units on this link, fewer points, or a higher baud rate".to_string();
        };
        at.iter_mut().filter(|(group, ..)| *group == name).for_each(|(.., own)| *own = every.max(*own));
        changed.insert(name, every);
    }
    let seconds = |ms: u64| if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") };
    let groups: Vec<String> = changed.iter().map(|(name, ms)| format!("{name} = \"{}\"", seconds(*ms))).collect();
    let percent = shares(&at).values().sum::<f64>() * 100.0;
    format!(
        "groups = {{ {} }} of the link makes it {percent:.0} % (groups of a unit come first); or a higher baud rate",
        groups.join(", ")
    )
}

/// The predicted load of the whole site.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteLoad {
    pub samples_per_s: f64,
    /// Readings per second; as many MQTT messages for each broker without report by exception.
    pub readings_per_s: f64,
    pub flash_bytes_a_day: f64,
    pub history_bytes_a_day: f64,
    /// Days of history per class: the configured days, or less if they do not fit in 85 % of the journal's limit. Registers are
    /// allotted first, then states; telemetry gets the remainder and is downsampled before it is dropped.
    pub days: [(Retention, f64); 3],
}

/// Predicts the load of a checked configuration.
pub fn site_load(configuration: &Configuration) -> SiteLoad {
    let days = [(Retention::Cumulative, 0.0); 3];
    let mut load =
        SiteLoad { samples_per_s: 0.0, readings_per_s: 0.0, flash_bytes_a_day: 0.0, history_bytes_a_day: 0.0, days };
    let mut bytes_a_day = [SEALED_BYTES_A_FILE; 3];
    let classes = [Retention::Cumulative, Retention::State, Retention::Telemetry];
    for group in configuration.buses.iter().flat_map(|b| &b.units).flat_map(|u| &u.groups) {
        let per_s = ratio(1_000, group.interval_ms);
        for out in &group.device_mappings {
            load.readings_per_s += per_s;
            load.samples_per_s += per_s * ratio(out.points.len() as u64, 1);
            for (class, bytes) in classes.iter().zip(&mut bytes_a_day) {
                let points = out.stream.points.iter().filter(|p| p.retention == *class).count();
                *bytes += per_s * ratio(points as u64, 1) * 86_400.0 * sealed_bytes_a_sample(*class);
            }
        }
    }
    for (class, bytes) in classes.iter().zip(&mut bytes_a_day) {
        *bytes *= copies(*class);
    }
    load.flash_bytes_a_day = load.samples_per_s * 86_400.0 * FLASH_BYTES_A_SAMPLE;
    load.history_bytes_a_day = bytes_a_day.iter().sum();
    let mut room = ratio(configuration.journal.max_bytes(), 1) * 0.85;
    for ((class, bytes), days) in classes.into_iter().zip(bytes_a_day).zip(&mut load.days) {
        let kept = f64::from(configuration.journal.days(class)).min(room / bytes.max(1.0));
        room -= kept * bytes;
        *days = (class, kept);
    }
    load
}
