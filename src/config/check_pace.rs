//! How often each bus is read at each flood level, made in advance: water as often as the scheme says, the rest less often where the bus
//! would not carry both.

use crate::config::budget::{GroupCost, group_costs};
use crate::config::doc::Problems;
use crate::flood::scheme::Scheme;
use crate::flood::water::{LEVEL, RAIN_TOTAL};
use crate::model::problem::SourceLocation;
use crate::model::stream::Stream;
use crate::poll::{BusConfig, DeviceMapping, GroupConfig};

/// The part of a bus's time that polling takes at most in a flood: the rest is for retries.
const SHARE_MAX: f64 = 0.9;
/// What is no water is read less often by at most this factor: beyond it readings would count as stale.
const SLOWER_MAX: u64 = 3;

/// Whether a point says something of water: levels, floats and run signals of sumps, rain, water on floors.
fn is_water(class: &str, point: &str) -> bool {
    let of_sump = class == "sump" && (point == LEVEL || point.ends_with("_float") || point.ends_with("_running"));
    let of_rain = class == "weather" && point == RAIN_TOTAL;
    of_sump || of_rain || (point.starts_with("leak") && point.ends_with("_wet")) || point.starts_with("pit_water")
}

/// Sets the intervals of each poll group at each level. `class`: of a device by its id.
pub fn set<'a>(
    buses: &mut [BusConfig],
    scheme: &Scheme,
    class: impl Fn(&str) -> &'a str,
    place: impl Fn(&str) -> Option<SourceLocation>,
    problems: &mut Problems,
) {
    let has_water = |stream: &Stream| stream.points.iter().any(|point| is_water(class(&stream.device), &point.name));
    let reads_water =
        |group: &GroupConfig| group.device_mappings.iter().any(|of: &DeviceMapping| has_water(&of.stream));
    let ranks = u8::try_from(scheme.levels.len()).unwrap_or(u8::MAX);
    if (1..=ranks).all(|rank| scheme.poll_ms(rank).is_none()) {
        return;
    }
    for bus in buses {
        if !bus.units.iter().flat_map(|unit| &unit.groups).any(reads_water) {
            continue;
        }
        let mut slowed = Vec::new();
        for rank in 1..=ranks {
            let water_ms = scheme.poll_ms(rank).unwrap_or(u64::MAX);
            let add = |bus: &mut BusConfig, slower: u64| {
                for group in bus.units.iter_mut().flat_map(|unit| &mut unit.groups) {
                    let every_ms = group.interval_ms;
                    let at = if reads_water(group) { every_ms.min(water_ms) } else { every_ms * slower };
                    group.flood_intervals_ms.truncate(usize::from(rank - 1));
                    group.flood_intervals_ms.push(at);
                }
            };
            let share =
                |bus: &BusConfig| group_costs(bus).iter().map(|cost: &GroupCost| cost.share_at(rank)).sum::<f64>();
            add(bus, 1);
            // A bus that is fuller than that without a flood stays as it is: it was accepted so.
            let most = group_costs(bus).iter().map(GroupCost::share).sum::<f64>().max(SHARE_MAX);
            let mut slower = 1;
            while share(bus) > most && slower < SLOWER_MAX && !bus.link.overload {
                slower += 1;
                add(bus, slower);
            }
            if slower > 1 {
                slowed.push((rank, slower, share(bus)));
            }
        }
        report(bus, scheme, &slowed, place(&bus.link.id), problems);
    }
}

/// Says what is slowed, and refuses what does not fit all the same.
fn report(
    bus: &BusConfig,
    scheme: &Scheme,
    slowed: &[(u8, u64, f64)],
    place: Option<SourceLocation>,
    problems: &mut Problems,
) {
    let Some((place, (rank, slower, share))) = place.zip(slowed.iter().copied().max_by(|a, b| a.2.total_cmp(&b.2)))
    else {
        return;
    };
    let level = scheme.level(rank).map_or("", |level| &level.id);
    let link = &bus.link.id;
    if share > 1.0 {
        let what = format!(
            "link `{link}` cannot carry flood level `{level}`: {:.0} % of its time, although the rest is read {slower} times as seldom",
            share * 100.0
        );
        let hint =
            format!("poll = {{ {level} = \"5s\" }} of [flood]; or fewer units on this link, or a higher baud rate");
        problems.error(place, what, hint);
        return;
    }
    let what = format!(
        "link `{link}`: at flood level `{level}` what is no water is read {slower} times as seldom ({:.0} % of its time)",
        share * 100.0
    );
    problems.warning(place, what, format!("poll = {{ {level} = \"5s\" }} of [flood] leaves it more time"));
}
