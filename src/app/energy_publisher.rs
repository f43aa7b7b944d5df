//! Publishes consumption: a reading for each closed interval of each metering point (measurements `energy` and `demand` of time-series stores,
//! dated by the interval's start), and the retained topic `{point}/energy`.
//!
//! An interval is published when the ledger has passed its end. What is not settled by then (a meter that does not answer, a boundary that nobody has
//! explained) is published as it is, and again when its figure changes; so is what a person decides or corrects. A figure may be
//! published twice: the second one has the same date and replaces the first.

#![allow(clippy::disallowed_methods, reason = "files are read and written on threads that may wait")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::energy_messages::{self, PublishedPoint};
use crate::app::shared::Shared;
use crate::clock::LogLimit;
use crate::config::Configuration;
use crate::energy::calendar::{Step, bounds, next_bound};
use crate::energy::interval::{Interval, IntervalQuality};
use crate::energy::metering::{MeteringPlan, MeteringSource, Subject};
use crate::energy::register::NEAR_MS;
use crate::energy::room::{EnergyRoom, MeteringRecords};
use crate::ledger;
use crate::ledger::error::LedgerError;
use crate::ledger::query::LedgerQuery;
use crate::model::metering::{RegisterEntry, TimeRange};
use crate::model::reading::Reading;
use crate::model::room::Room as _;
use crate::model::time::UnixMillis;

/// How often it is seen whether an interval was closed.
const TICK: Duration = Duration::from_secs(5);
/// Pause between parts of the past, in which the journal commits and sinks read.
const PAUSE: Duration = Duration::from_millis(500);
/// Most figures that the first start publishes of the past.
const PAST_MAX: i64 = 100_000;
/// Nothing is added to the journal while so many readings are not committed.
const UNCOMMITTED_MAX: u64 = 5_000;
/// Figures published at a time: what waits for the journal stands in memory.
const FIGURES: i64 = 4_000;
/// How long an interval that is not settled is watched.
const WATCH_MS: i64 = 40 * 86_400_000;
/// Name of the file that says up to where was published.
const FILE: &str = "energy-published.json";

static LOG: LogLimit = LogLimit::new();

/// Registers that stand for their devices where a site has no metering points.
const MAIN_REGISTERS: [&str; 3] = ["energy_import_kwh", "energy_kwh", "volume_m3"];

/// Up to where was published, as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Published {
    /// Up to before this moment.
    to: i64,
    /// Versions of what people said that are in it.
    versions: usize,
    /// Start of the first interval that is not settled, by point.
    #[serde(default)]
    unsettled: BTreeMap<String, i64>,
}

/// What was published of intervals that are not settled: consumption and quality by start.
type Unsettled = BTreeMap<String, BTreeMap<UnixMillis, (Option<Decimal>, IntervalQuality)>>;

/// What one look gave.
#[derive(Default)]
struct Publication {
    readings: Vec<Reading>,
    /// Topic and payload.
    topics: Vec<(String, String)>,
    /// Whether there is more at once.
    has_more: bool,
}

/// What lives on between two looks.
struct State {
    path: PathBuf,
    published: Published,
    unsettled: Unsettled,
    points: BTreeMap<String, PublishedPoint>,
}

/// Publishes until `stop`.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let path = shared.process.paths.state.join(FILE);
    let mut state = Some(State { published: read(&path), path, unsettled: Unsettled::new(), points: BTreeMap::new() });
    let mut topics: BTreeSet<String> = BTreeSet::new();
    let mut has_more = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(if has_more { PAUSE } else { shared.clock.real(TICK) }) => {}
        }
        let written_to = UnixMillis(shared.ledger.written_to_ms.load(Ordering::Relaxed));
        // What the journal has not committed stands in memory, of which there is an end.
        let uncommitted = shared.journal.newest_seq() - shared.journal.committed_seq();
        if written_to.0 == 0 || uncommitted > UNCOMMITTED_MAX {
            has_more = written_to.0 > 0;
            continue;
        }
        let (of_shared, mut of_state) = (Arc::clone(&shared), state.take());
        let looked = tokio::task::spawn_blocking(move || {
            let outcome = of_state.as_mut().map_or(Ok(None), |state| state.look(&of_shared, written_to));
            (of_state, outcome)
        });
        let outcome = match looked.await {
            Ok((of_state, outcome)) => {
                state = of_state;
                outcome
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        has_more = false;
        match outcome {
            Ok(Some(publication)) => {
                has_more = publication.has_more;
                publication.readings.into_iter().for_each(|reading| _ = shared.journal.append(reading));
                let now: BTreeSet<String> = publication.topics.iter().map(|(topic, _)| topic.clone()).collect();
                topics.difference(&now).for_each(|gone| shared.adapters.retained_topics.remove(gone));
                topics = now;
                for (topic, json) in publication.topics {
                    shared.adapters.retained_topics.set(&topic, json);
                }
                if let Some(state) = &state {
                    let (path, text) = (state.path.clone(), serde_json::to_vec(&state.published).unwrap_or_default());
                    let _again_after_a_crash = tokio::task::spawn_blocking(move || keep(&path, &text)).await;
                }
            }
            Ok(None) => {}
            Err(error) => {
                if let Some(count) = LOG.allows("energy") {
                    tracing::warn!(%error, count, "consumption cannot be published: it is tried again");
                }
            }
        }
    }
}

fn read(path: &Path) -> Published {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn keep(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

impl State {
    /// What is to be published; `None`: nothing is new.
    fn look(&mut self, shared: &Shared, written_to: UnixMillis) -> Result<Option<Publication>, LedgerError> {
        let configuration = shared.configuration();
        let zone = TimeZone::get(&configuration.site.time_zone).unwrap_or(TimeZone::UTC);
        let minutes = configuration.energy.interval_min;
        let step = Step::Minutes(minutes);
        // A reading within half a minute behind a boundary may still stand for it.
        let settled = UnixMillis(written_to.0 - NEAR_MS);
        let before = UnixMillis(settled.0 - i64::from(minutes) * 60_000);
        let Some(to) = next_bound(before, step, &zone).filter(|to| *to <= settled) else { return Ok(None) };
        let kept = shared.store.load_state(EnergyRoom::ID).unwrap_or_default();
        let records = MeteringRecords::read(&kept, &mut Vec::new());
        let versions = versions(&records);
        if to.0 <= self.published.to && versions == self.published.versions {
            return Ok(None);
        }
        let path = shared.process.paths.state.join(ledger::FILE);
        let plan = Arc::clone(&configuration.metering);
        let query = LedgerQuery::open(&path, records, plan, (zone.clone(), minutes))?;
        let subjects = subjects(&query);
        let most = PAST_MAX / i64::try_from(subjects.len().max(1)).unwrap_or(PAST_MAX);
        let first = self.published.to.max(to.0 - most * i64::from(minutes) * 60_000);
        let step_ms = i64::from(minutes) * 60_000;
        let at_a_time = (FIGURES / i64::try_from(subjects.len().max(1)).unwrap_or(FIGURES)).max(1) * step_ms;
        let has_more = to.0 > first + at_a_time;
        let to =
            if has_more { next_bound(UnixMillis(first + at_a_time - step_ms), step, &zone).unwrap_or(to) } else { to };
        let changed = if versions == self.published.versions { BTreeMap::new() } else { changed(&query, &subjects) };
        let mut publication = Publication { has_more, ..Publication::default() };
        for subject in &subjects {
            let unsettled = self.published.unsettled.get(&subject.id).copied().unwrap_or(first);
            let from = first.min(unsettled.max(to.0 - WATCH_MS));
            let mut ranges = vec![TimeRange { from: UnixMillis(from), to }];
            ranges.extend(changed.get(&subject.id).copied().map(|range| TimeRange { to: range.to.min(to), ..range }));
            self.publish(&query, subject, &ranges, (&configuration, shared), &mut publication)?;
        }
        self.published.to = to.0;
        self.published.versions = versions;
        self.published.unsettled.retain(|id, _| subjects.iter().any(|subject| subject.id == *id));
        Ok(Some(publication))
    }

    /// What is new of a subject in some ranges, and its topic.
    fn publish(
        &mut self,
        query: &LedgerQuery,
        subject: &Subject,
        ranges: &[TimeRange],
        (configuration, shared): (&Configuration, &Shared),
        publication: &mut Publication,
    ) -> Result<(), LedgerError> {
        let (zone, minutes) = (&query.zone, query.minutes);
        let to = ranges.first().map_or(UnixMillis(0), |range| range.to);
        let month = energy_messages::month_of(to, zone);
        let needed = ranges.iter().map(|range| range.from).min().unwrap_or(month).min(month);
        let needed = TimeRange { from: needed, to };
        let consumption = query.consumption(subject, needed)?;
        let below = query.below(subject, needed)?;
        let point = self.points.entry(subject.id.clone()).or_insert_with(|| PublishedPoint::new(subject, minutes));
        let seen = self.unsettled.entry(subject.id.clone()).or_default();
        for (i, range) in ranges.iter().enumerate() {
            // What a person changed is published whether it is new or not.
            let is_new = |interval: &Interval| {
                let figure = (interval.consumed, interval.quality);
                i > 0
                    || interval.start.0 >= self.published.to
                    || seen.get(&interval.start).is_none_or(|seen| *seen != figure)
            };
            let grid = bounds(range.from, range.to, Step::Minutes(minutes), zone);
            let intervals: Vec<Interval> = consumption.intervals(&grid).into_iter().filter(is_new).collect();
            for interval in &intervals {
                let of_below = below.as_ref().and_then(|below| below.interval(interval.start, interval.end).consumed);
                let readings = point.readings(interval, of_below, (configuration, zone), shared.clock.mono());
                publication.readings.extend(readings);
                let figure = (interval.consumed, interval.quality);
                if is_settled(interval.quality) {
                    seen.remove(&interval.start);
                } else {
                    seen.insert(interval.start, figure);
                }
            }
        }
        let first_watched = UnixMillis(to.0 - WATCH_MS);
        seen.retain(|start, _| *start >= first_watched);
        match seen.keys().next() {
            Some(start) => _ = self.published.unsettled.insert(subject.id.clone(), start.0),
            None => _ = self.published.unsettled.remove(&subject.id),
        }
        publication.topics.push(point.topic(&consumption, (to, month), zone, minutes));
        Ok(())
    }
}

/// Whether a later reading cannot change it any more.
fn is_settled(quality: IntervalQuality) -> bool {
    quality < IntervalQuality::Partial
}

/// How many versions there are of what people said; it only grows.
fn versions(records: &MeteringRecords) -> usize {
    records.decisions.values().map(Vec::len).sum::<usize>() + records.entries.values().map(Vec::len).sum::<usize>()
}

/// Metering points; where a site has none, the main registers.
fn subjects(query: &LedgerQuery) -> Vec<Subject> {
    let mut all = query.subjects();
    let has_points = all.iter().any(|subject| subject.point.is_some());
    let is_main = |id: &str| id.rsplit_once('.').is_some_and(|(_, point)| MAIN_REGISTERS.contains(&point));
    all.retain(|subject| if has_points { subject.point.is_some() } else { is_main(&subject.id) });
    all
}

/// The time that what people said last may have changed, of each subject that depends on the register.
fn changed(query: &LedgerQuery, subjects: &[Subject]) -> BTreeMap<String, TimeRange> {
    let mut out: BTreeMap<String, TimeRange> = BTreeMap::new();
    let mut add = |register: &str, range: TimeRange| {
        for subject in subjects.iter().filter(|subject| depends(&query.plan, subject, register)) {
            let known = out.entry(subject.id.clone()).or_insert(range);
            *known = TimeRange { from: known.from.min(range.from), to: known.to.max(range.to) };
        }
    };
    for (register, versions) in &query.records.decisions {
        let Some(last) = versions.last() else { continue };
        add(register, TimeRange { from: last.boundary.before.at, to: last.boundary.after.at });
    }
    for (register, versions) in &query.records.entries {
        let Some(last) = versions.last() else { continue };
        let around = |at: UnixMillis| TimeRange { from: UnixMillis(at.0 - WATCH_MS), to: UnixMillis(at.0 + WATCH_MS) };
        add(
            register,
            match last.entry {
                RegisterEntry::Correction { range, .. } | RegisterEntry::NoCorrection { range } => range,
                RegisterEntry::Reading { reading } => around(reading.at),
                RegisterEntry::NoReading { at } => around(at),
            },
        );
    }
    let floor = |range: TimeRange| {
        let from = next_bound(
            UnixMillis(range.from.0 - i64::from(query.minutes) * 60_000),
            Step::Minutes(query.minutes),
            &query.zone,
        );
        let to = next_bound(range.to, Step::Minutes(query.minutes), &query.zone);
        TimeRange { from: from.unwrap_or(range.from), to: to.unwrap_or(range.to) }
    };
    out.into_iter().map(|(id, range)| (id, floor(range))).collect()
}

/// Whether the figures of a subject depend on a register.
fn depends(plan: &MeteringPlan, subject: &Subject, register: &str) -> bool {
    fn of_point(plan: &MeteringPlan, id: &str, register: &str) -> bool {
        plan.points.get(id).is_some_and(|point| match &point.source {
            MeteringSource::Meters(meters) => meters.iter().any(|meter| meter.register == register),
            MeteringSource::Formula { sum, minus, .. } => {
                sum.iter().chain(minus).any(|id| of_point(plan, id, register))
            }
        })
    }
    subject.id == register || (subject.point.is_some() && of_point(plan, &subject.id, register))
}
