//! Flood: the scheme and its feeds, and which devices are sumps and rain gauges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alarm::condition::kind::NestedCondition as _;
use crate::alarm::condition::level::Level;
use crate::alarm::condition::{Condition, ResolvedCondition};
use crate::alarm::definition::{AlarmDefinition, Urgency};
use crate::alarm::limit::Limit;
use crate::alarm::resolve::{RuleBuilder, RuleSubject};
use crate::alarm::settings::RuleSettings;
use crate::config::catalogue::Catalogue;
use crate::config::check_site::{ID_HINT, is_id};
use crate::config::doc::{Located, Problems, single};
use crate::config::{ConfiguredDevice, Files};
use crate::derive::DerivedDefinition;
use crate::flood::plan::{FeedPlan, FloodItem, FloodPlan, SumpPlan};
use crate::flood::points::FLOOD_POINTS;
use crate::flood::pumping::{PUMPS_MAX, SumpGeometry};
use crate::flood::scheme::Scheme;
use crate::flood::settings::FloodSettings;
use crate::flood::view::no_level;
use crate::flood::water::{LEVEL, RAIN_TOTAL, gauge_points, sump_points};
use crate::intake::settings::FeedSettings;
use crate::model::flood::FLOOD_DEVICE;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::problem::{SourceLocation, did_you_mean};

/// Checks `[flood]` and `[[feed]]`.
pub fn check(
    files: &Files<'_>,
    catalogue: &Catalogue,
    (devices, derive): (&BTreeMap<String, ConfiguredDevice>, &[DerivedDefinition]),
    problems: &mut Problems,
) -> (FloodPlan, Vec<FeedSettings>) {
    let settings = single(&files.flood, "flood", problems);
    let mut plan = FloodPlan::default();
    let gives = |device: &ConfiguredDevice, point: &str| {
        let is_derived = derive.iter().any(|d| *d.settings.device == *device.id && *d.settings.point == *point);
        !device.points.contains_key(point) && !is_derived
    };
    plan.sumps = devices.values().filter_map(|device| sump(device, &gives)).collect();
    let has_rain = |device: &&ConfiguredDevice| device.class == "weather" && device.points.contains_key(RAIN_TOTAL);
    let gauges = devices.values().filter(has_rain);
    plan.gauges = gauges
        .filter(|device| gauge_points().iter().all(|point| gives(device, &point.name)))
        .map(|device| Arc::clone(&device.id))
        .collect();
    let feeds = feeds(files, problems);
    let Some(settings) = settings else {
        if let Some(entry) = files.feed.first() {
            let hint = "[flood] with scheme and geocodes, or latitude and longitude";
            problems.error(entry.table.location(&["name"]), "feeds need a [flood] table", hint);
        }
        return (plan, feeds);
    };
    let table = &files.flood[0].table;
    for (key, what, hint) in settings.problems() {
        problems.error(table.location(&[key]), what, hint);
    }
    match catalogue.flood_schemes.get(&settings.scheme) {
        Some(scheme) => {
            check_scheme(scheme, catalogue, &table.location(&["scheme"]), problems);
            let (scheme, findings) = settings.adapted(scheme);
            problems.findings(table, findings);
            plan.scheme = Some(Arc::new(scheme));
        }
        None => {
            let known = catalogue.flood_schemes.keys().map(String::as_str);
            let what = format!("there is no scheme `{}`", settings.scheme);
            problems.error(table.location(&["scheme"]), what, did_you_mean(&settings.scheme, known));
        }
    }
    items_and_recipients(settings, table, files, &mut plan, problems);
    plan.place = settings.place();
    if plan.place.is_none() && feeds.iter().any(|feed| !feed.concerns_site) {
        let what = "nothing says where the site is: each warning of each feed would count";
        let hint = "geocodes = [\"370614\"], or latitude and longitude; or concerns_site = true of [[feed]]";
        problems.warning(table.location(&["scheme"]), what, hint);
    }
    let feed = |feed: &FeedSettings| FeedPlan {
        name: feed.name.as_str().into(),
        is_polled: feed.url.is_some(),
        concerns_site: feed.concerns_site,
    };
    plan.feeds = feeds.iter().map(feed).collect();
    (plan, feeds)
}

fn feeds(files: &Files<'_>, problems: &mut Problems) -> Vec<FeedSettings> {
    let mut out: Vec<FeedSettings> = Vec::new();
    for entry in &files.feed {
        let at = |key: &str| entry.table.location(&[key]);
        let feed = &entry.value;
        if !is_id(&feed.name) {
            problems.error(at("name"), format!("`{}` cannot be a feed's name", feed.name), ID_HINT);
        }
        if out.iter().any(|other| other.name == feed.name) {
            let what = format!("there is a feed `{}` already", feed.name);
            problems.error(at("name"), what, "names are unique among feeds");
        }
        for (key, what, hint) in feed.problems() {
            problems.error(at(key), what, hint);
        }
        out.push(feed.clone());
    }
    out
}

/// What people tick, and who gets texts: ids are unique, channels exist.
fn items_and_recipients(
    settings: &FloodSettings,
    table: &Located<'_>,
    files: &Files<'_>,
    plan: &mut FloodPlan,
    problems: &mut Problems,
) {
    for (i, item) in settings.item.iter().enumerate() {
        let at = || table.location(&["item", &i.to_string(), "id"]);
        if !is_id(&item.id) {
            problems.error(at(), format!("`{}` cannot be an item's id", item.id), ID_HINT);
        }
        if plan.items.iter().any(|other| other.id == item.id) {
            problems.error(at(), format!("there is an item `{}` already", item.id), "ids are unique among items");
        }
        let mut name = LocalizedText::both(item.zh.as_str(), item.en.as_str());
        if !LocalizedText::fall_back(&mut name.zh, &mut name.en) {
            problems.error(at(), format!("the item `{}` has no name", item.id), "zh = \"…\" or en = \"…\"");
        }
        if item.every.0 == 0 {
            problems.error(
                table.location(&["item", &i.to_string(), "every"]),
                "a tick would never count",
                "every = \"30d\"",
            );
        }
        plan.items.push(FloodItem { id: item.id.clone(), name, valid_ms: item.every.0 });
    }
    for (i, recipient) in settings.tell.iter().enumerate() {
        let at = |key: &str| table.location(&["tell", &i.to_string(), key]);
        if recipient.what.is_empty() {
            problems.error(at("what"), "nothing is told", "what = [\"notice\"] or [\"report\"], or both");
        }
        let known = || files.channel.iter().map(|(channel, _)| channel.id());
        let Some((channel, _)) = files.channel.iter().find(|(channel, _)| channel.id() == recipient.channel) else {
            let what = format!("there is no channel `{}`", recipient.channel);
            problems.error(at("channel"), what, did_you_mean(&recipient.channel, known()));
            continue;
        };
        if channel.requires_address() && recipient.to.is_empty() {
            problems.error(at("channel"), format!("`{}` does not say where to", recipient.channel), "to = \"…\"");
        } else if let Some((what, example)) = channel.address_problem(&recipient.to) {
            problems.error(at("to"), what, example);
        }
    }
    plan.recipients.clone_from(&settings.tell);
}

/// The alarm rules that a scheme names must exist.
fn check_scheme(scheme: &Scheme, catalogue: &Catalogue, at: &SourceLocation, problems: &mut Problems) {
    let all =
        || catalogue.rules.iter().flat_map(|(class, rules)| rules.keys().map(move |name| format!("{class}.{name}")));
    for level in &scheme.levels {
        for rule in level.local.iter().filter(|rule| !all().any(|known| known == **rule)) {
            let what = format!(
                "level `{}` of scheme `{}` names an alarm rule `{rule}` that does not exist",
                level.id, scheme.id
            );
            let known: Vec<String> = all().collect();
            problems.error(at.clone(), what, did_you_mean(rule, known.iter().map(String::as_str)));
        }
    }
}

/// A sump whose level is read; figures need its area and its floor.
fn sump(device: &ConfiguredDevice, gives: &impl Fn(&ConfiguredDevice, &str) -> bool) -> Option<SumpPlan> {
    let number = |name: &str| device.parameters.get(name).copied().filter(|number| *number > 0.0);
    let has = |point: &str| device.points.contains_key(point);
    if device.class != "sump" || !has(LEVEL) {
        return None;
    }
    let pumps = (1..=PUMPS_MAX).take_while(|pump| has(&format!("pump{pump}_running"))).count();
    let mut geometry =
        SumpGeometry { area_m2: number("area_m2")?, floor_m: number("floor_m")?, ..SumpGeometry::default() };
    for (pump, rated) in (1..).zip(&mut geometry.rated_m3h) {
        *rated = number(&format!("pump{pump}_rated_flow_m3h"));
    }
    let points = sump_points(pumps).into_iter().map(|point| point.name).filter(|point| gives(device, point)).collect();
    let has_selector = pumps > 0 && has("pump1_selector_auto");
    Some(SumpPlan { device: Arc::clone(&device.id), geometry, pumps, has_selector, gives: points })
}

/// Points that rules and the ledger compute of devices, by device: those of energy, and those of the flood rules.
pub fn with_computed_points(
    energy_points: BTreeMap<String, BTreeSet<&'static str>>,
    plan: &FloodPlan,
) -> BTreeMap<String, BTreeSet<Arc<str>>> {
    let of_energy = |(device, points): (String, BTreeSet<&str>)| (device, points.into_iter().map(Arc::from).collect());
    let mut out: BTreeMap<String, BTreeSet<Arc<str>>> = energy_points.into_iter().map(of_energy).collect();
    for sump in &plan.sumps {
        out.entry(sump.device.to_string()).or_default().extend(sump.gives.iter().cloned());
    }
    for gauge in &plan.gauges {
        out.entry(gauge.to_string()).or_default().extend(gauge_points().into_iter().map(|point| point.name));
    }
    out
}

/// The flood level as a subject of alarm rules.
pub struct FloodSubject {
    scheme: Arc<Scheme>,
    /// Ranks from which a level has a priority: the highest is P1, each one below a priority less.
    pub numbers: BTreeMap<String, f64>,
}

impl FloodSubject {
    /// None: the site has no levels.
    pub fn of(plan: &FloodPlan) -> Option<Self> {
        let scheme = Arc::clone(plan.scheme.as_ref()?);
        let highest = u8::try_from(scheme.levels.len()).ok()?;
        let number = |priority: u8| {
            let rank = (highest + 1).checked_sub(priority).filter(|rank| *rank > 0)?;
            Some((format!("rank_p{priority}"), f64::from(rank)))
        };
        // Where there are more levels than priorities, the mildest ones have the least.
        let mut numbers: BTreeMap<String, f64> = (1..=4).filter_map(number).collect();
        if highest > 4 {
            numbers.insert("rank_p4".to_string(), 1.0);
        }
        Some(Self { scheme, numbers })
    }

    /// What the alarms of a rule have to do with the level: the rank that they demand, whether it makes them more urgent, and the names of
    /// levels in their texts.
    pub fn connect(&self, rule: &RuleSettings, definitions: &mut [AlarmDefinition]) {
        for definition in definitions {
            definition.flood_rank = self.scheme.local_rank(&definition.source_rule);
            if *definition.device == *FLOOD_DEVICE && rule.when.value_point() == Some(FLOOD_POINTS[0]) {
                for (rank, level) in (1..).zip(&self.scheme.levels) {
                    definition.value_texts.insert(rank, level.name.clone());
                    if !level.actions.is_empty() {
                        definition.value_actions.insert(rank, level.action_text());
                    }
                }
                definition.value_texts.insert(0, no_level());
            }
            let Some(urgency) = definition.steps.last().copied().filter(|_| rule.raised_in_flood) else { continue };
            let number = usize::from(urgency.priority.number());
            let Some(priority) = number.checked_sub(2).and_then(|i| Priority::ALL.get(i)).copied() else { continue };
            definition.steps.push(Urgency { priority, ..urgency });
            definition.more_urgent_while = self.at_least(self.scheme.raise_from);
        }
    }

    /// The level is of this rank or above.
    fn at_least(&self, rank: u8) -> Option<ResolvedCondition> {
        let subject = RuleSubject {
            id: FLOOD_DEVICE,
            class: FLOOD_DEVICE,
            points: FLOOD_POINTS.into(),
            parameters: &self.numbers,
            devices: Vec::new(),
            unit_of: Box::new(|_| String::new()),
        };
        let limit = Limit { or: Some(f64::from(rank)), times: 1.0, ..Limit::default() };
        let level = Level { point: FLOOD_POINTS[0].to_string(), limit: Some(limit), ..Level::default() };
        Condition::High(level).resolve(&RuleBuilder::new(&subject)).ok()
    }
}
