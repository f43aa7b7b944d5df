//! Publishes consumption: a reading for each closed interval of each metering point (measurements `energy` and `demand` of time-series stores,
//! dated by the interval's start), and the retained topic `{point}/energy`.
//!
//! An interval is published when the ledger has passed its end. What is not settled by then (a meter that does not answer, a boundary that nobody has
//! explained) is published as it is, and again when its figure changes; so is what a person decides or corrects. A figure may be
//! published twice: the second one has the same date and replaces the first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::energy_messages::{self, PublicationContext, PublishedPoint};
use crate::app::ledger_points::LedgerPoints;
use crate::app::shared::Shared;
use crate::clock::LogLimit;
use crate::energy::calendar::{Step, bounds, next_bound};
use crate::energy::interval::IntervalQuality;
use crate::energy::metering::Subject;
use crate::energy::register::NEAR_MS;
use crate::energy::room::{EnergyRoom, MeteringRecords};
use crate::energy::span::RegisterEventKind;
use crate::ledger;
use crate::ledger::error::LedgerError;
use crate::ledger::query::LedgerQuery;
use crate::model::metering::{RegisterEntry, TimeRange};
use crate::model::reading::Reading;
use crate::model::room::Room as _;
use crate::model::time::UnixMillis;
use crate::store::small_file;

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
/// A position so far ahead comes from a date that was wrong.
const DATE_MS: i64 = 86_400_000;
/// Name of the file that says up to where was published.
const FILE: &str = "energy-published.json";
/// Format of the file; one of a later format is not read, and what it says is published once more.
const FORMAT: u32 = 1;

static LOG: LogLimit = LogLimit::new();

/// Registers that stand for their devices where a site has no metering points.
const MAIN_REGISTERS: [&str; 3] = ["energy_import_kwh", "energy_kwh", "volume_m3"];

/// Up to where was published, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Published {
    /// [`FORMAT`]; 0 of the versions that had none.
    #[serde(default)]
    format: u32,
    /// Up to before this moment.
    to: i64,
    /// What the figures of each point followed from.
    #[serde(default)]
    definitions: BTreeMap<String, BTreeSet<(i64, String)>>,
    /// How many versions of what people said of each register are in it.
    #[serde(default)]
    versions: BTreeMap<String, usize>,
    /// Start of the first interval that is not settled, by point.
    #[serde(default)]
    unsettled: BTreeMap<String, i64>,
    /// Ranges that people changed and that are not published yet, by point.
    #[serde(default)]
    changed: VecDeque<(String, i64, i64)>,
}

/// What was published of intervals that are not settled: consumption and quality by start.
type Unsettled = BTreeMap<String, BTreeMap<UnixMillis, (Option<Decimal>, IntervalQuality)>>;

/// What one look gave.
#[derive(Default)]
struct Publication {
    readings: Vec<Reading>,
    /// Readings that alarm rules look at too.
    watched: Vec<Reading>,
    /// Topic and payload.
    topics: Vec<(String, String)>,
    /// Whether there is more at once.
    has_more: bool,
}

/// What lives on between two looks.
#[derive(Default)]
struct State {
    published: Published,
    unsettled: Unsettled,
    /// From which interval on everything is published once more, by point: what was published before the start is not remembered.
    again_from: BTreeMap<String, i64>,
    /// Whether something was left for the next look.
    is_behind: bool,
    points: BTreeMap<String, PublishedPoint>,
    ledger_points: LedgerPoints,
}

/// Publishes until `stop`.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let path = shared.process.paths.state.join(FILE);
    let of_path = path.clone();
    let published = tokio::task::spawn_blocking(move || read(&of_path)).await.unwrap_or_default();
    let mut state = Some(State { published, ..State::default() });
    let mut topics: BTreeSet<String> = BTreeSet::new();
    let mut has_more = false;
    // What is kept once the journal has committed up to a number.
    let mut waiting: Option<(u64, Vec<u8>)> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(if has_more { PAUSE } else { shared.clock.real(TICK) }) => {}
        }
        let written_to = UnixMillis(shared.ledger.written_to_ms.load(Ordering::Relaxed));
        if let Some((_, text)) = waiting.take_if(|(seq, _)| shared.journal.committed_seq() >= *seq) {
            let path = path.clone();
            let _published_again = tokio::task::spawn_blocking(move || small_file::replace(&path, &text)).await;
        }
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
                publication.watched.into_iter().for_each(|reading| shared.take_in(reading));
                let now: BTreeSet<String> = publication.topics.iter().map(|(topic, _)| topic.clone()).collect();
                topics.difference(&now).for_each(|gone| shared.adapters.retained_topics.remove(gone));
                topics = now;
                for (topic, json) in publication.topics {
                    shared.adapters.retained_topics.set(&topic, json);
                }
                if let Some(state) = &state {
                    let text = serde_json::to_vec(&state.published).unwrap_or_default();
                    waiting = Some((shared.journal.newest_seq(), text));
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

/// What is kept; what cannot be read is published once more.
fn read(path: &Path) -> Published {
    let kept = small_file::read(path).ok().flatten();
    let kept: Option<Published> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Published { format: FORMAT, ..kept.filter(|kept| kept.format <= FORMAT).unwrap_or_default() }
}

impl State {
    /// What is to be published; `None`: nothing is new.
    ///
    /// # Errors
    /// The ledger cannot be read: everything is as it was before.
    fn look(&mut self, shared: &Shared, written_to: UnixMillis) -> Result<Option<Publication>, LedgerError> {
        let configuration = shared.configuration();
        let (zone, minutes) = (&configuration.alarms.zone, configuration.energy.interval_min);
        let step_ms = i64::from(minutes) * 60_000;
        // A reading within half a minute behind a boundary may still stand for it.
        let settled = UnixMillis(written_to.0 - NEAR_MS);
        let last = next_bound(UnixMillis(settled.0 - step_ms), Step::Minutes(minutes), zone);
        let Some(to) = last.filter(|to| *to <= settled) else { return Ok(None) };
        // A date that was wrong once does not hold up what is right.
        if self.published.to > to.0 + DATE_MS {
            self.published.to = to.0;
        }
        let Ok(kept) = shared.store.load_state(EnergyRoom::ID) else { return Ok(None) };
        let records = MeteringRecords::read(&kept, &mut Vec::new());
        let versions = versions(&records);
        let is_over = to.0 <= self.published.to && self.published.changed.is_empty() && !self.is_behind;
        if is_over && versions == self.published.versions {
            return Ok(None);
        }
        let path = shared.process.paths.state.join(ledger::FILE);
        let plan = Arc::clone(&configuration.metering);
        let query = LedgerQuery::open(&path, records, plan, (zone.clone(), minutes))?;
        let mono = shared.clock.mono();
        let context = PublicationContext { query: &query, configuration: &configuration, mono, to };
        let before = (self.published.clone(), self.unsettled.clone(), self.again_from.clone());
        let publication = self.publish_all(&context, versions).and_then(|mut publication| {
            if !publication.has_more {
                publication.watched = self.ledger_points.readings(&context, shared.clock.stamp())?;
            }
            Ok(publication)
        });
        if publication.is_err() {
            (self.published, self.unsettled, self.again_from) = before;
        }
        publication.map(Some)
    }

    fn publish_all(
        &mut self,
        context: &PublicationContext<'_>,
        versions: BTreeMap<String, usize>,
    ) -> Result<Publication, LedgerError> {
        let (query, newest) = (context.query, context.to);
        let subjects = subjects(query);
        let (step, step_ms) = (Step::Minutes(query.minutes), i64::from(query.minutes) * 60_000);
        let count = i64::try_from(subjects.len().max(1)).unwrap_or(FIGURES);
        let oldest = newest.0 - PAST_MAX / count * step_ms;
        let first = self.published.to.max(oldest);
        let at_a_time = (FIGURES / count).max(1) * step_ms;
        let is_past = newest.0 > first + at_a_time;
        let part = || next_bound(UnixMillis(first + at_a_time - step_ms), step, &query.zone);
        let to = if is_past { part().unwrap_or(newest) } else { newest };
        if self.published.to > 0 {
            let since = UnixMillis(self.published.to);
            for (id, range) in changed(query, &subjects, &self.published.versions, (since, to))? {
                self.published.changed.push_back((id, range.from.0, range.to.0.min(to.0)));
            }
        }
        self.redefine(query, &subjects, oldest);
        self.published.versions = versions;
        self.is_behind = false;
        let (mut publication, mut left) = (Publication::default(), FIGURES);
        let context = PublicationContext { query, configuration: context.configuration, mono: context.mono, to };
        for subject in &subjects {
            self.publish(&context, subject, (first, &mut left), &mut publication)?;
        }
        self.publish_changed(&context, &subjects, &mut publication)?;
        self.published.to = to.0;
        self.published.unsettled.retain(|id, _| subjects.iter().any(|subject| subject.id == *id));
        publication.has_more = is_past || self.is_behind || !self.published.changed.is_empty();
        Ok(publication)
    }

    /// What was published of points whose meters, multipliers or formulas the configuration says otherwise now is published once more, from
    /// where they differ; of a point that is new, everything. Not before `oldest`.
    fn redefine(&mut self, query: &LedgerQuery, subjects: &[Subject], oldest: i64) {
        // What is not metered follows from the points below.
        let of = |id: &str| {
            let below = query.plan.children(id).flat_map(|child| query.plan.definition(&child.id));
            query.plan.definition(id).into_iter().chain(below).collect::<BTreeSet<_>>()
        };
        let points = subjects.iter().filter(|subject| subject.point.is_some());
        let now: BTreeMap<_, _> = points.map(|subject| (subject.id.clone(), of(&subject.id))).collect();
        let before = std::mem::replace(&mut self.published.definitions, now);
        let (none, step) = (BTreeSet::new(), Step::Minutes(query.minutes));
        for (id, definition) in &self.published.definitions {
            let was = before.get(id).unwrap_or(&none);
            let Some((from, _)) = definition.symmetric_difference(was).next() else { continue };
            let at = UnixMillis((*from).max(oldest) - i64::from(query.minutes) * 60_000);
            let from = next_bound(at, step, &query.zone).unwrap_or(at);
            self.published.changed.push_back((id.clone(), from.0, self.published.to));
        }
    }

    /// What was closed since `first`, what was not settled before and is another figure now, as many as are `left`, and the topic of a subject. Of
    /// what was published before the start, everything from the first interval that was not settled is published once more.
    fn publish(
        &mut self,
        context: &PublicationContext<'_>,
        subject: &Subject,
        (first, left): (i64, &mut i64),
        publication: &mut Publication,
    ) -> Result<(), LedgerError> {
        let (query, to) = (context.query, context.to);
        let (zone, minutes) = (&query.zone, query.minutes);
        let watched = self.published.unsettled.get(&subject.id).copied().unwrap_or(first);
        let from = UnixMillis(first.min(watched.max(to.0 - WATCH_MS)));
        let month = energy_messages::month_of(to, zone);
        let needed = TimeRange { from: from.min(month), to };
        let consumption = query.consumption(subject, needed)?;
        // Of many points below only what is asked for is in memory.
        let below = query.below(subject, TimeRange { from, to })?;
        // Before its first reading there is nothing of it, and nothing to wait for.
        let begins = consumption.begins().unwrap_or(to);
        let again_from = self.again_from.get(&subject.id).copied().unwrap_or(from.0);
        let seen = self.unsettled.entry(subject.id.clone()).or_default();
        let point = self.points.entry(subject.id.clone()).or_insert_with(|| PublishedPoint::new(subject, minutes));
        if !point.is_of(subject, minutes) {
            *point = PublishedPoint::new(subject, minutes);
        }
        let mut cut_at = None;
        let grid = bounds(from, to, Step::Minutes(minutes), zone);
        for interval in consumption.intervals(&grid).iter().filter(|interval| interval.end > begins) {
            let (start, figure) = (interval.start.0, (interval.consumed, interval.quality));
            if start < first {
                if start < again_from && seen.get(&interval.start).is_none_or(|was| *was == figure) {
                    continue;
                }
                if *left <= 0 {
                    cut_at = cut_at.or(Some(start));
                    continue;
                }
                *left -= 1;
            }
            publication.readings.extend(point.readings(interval, below.as_ref(), context));
            if is_settled(interval.quality) {
                seen.remove(&interval.start);
            } else {
                seen.insert(interval.start, figure);
            }
        }
        self.is_behind |= cut_at.is_some();
        let again_from = cut_at.filter(|cut| *cut >= again_from).unwrap_or(i64::MAX);
        self.again_from.insert(subject.id.clone(), again_from);
        let first_watched = UnixMillis(to.0 - WATCH_MS);
        seen.retain(|start, _| *start >= first_watched);
        match seen.keys().next().map(|start| start.0).into_iter().chain(cut_at).min() {
            Some(start) => _ = self.published.unsettled.insert(subject.id.clone(), start),
            None => _ = self.published.unsettled.remove(&subject.id),
        }
        publication.topics.push(point.topic(&consumption, (to, month), zone, minutes));
        Ok(())
    }

    /// Ranges that people changed, as many as go at a time.
    fn publish_changed(
        &mut self,
        context: &PublicationContext<'_>,
        subjects: &[Subject],
        publication: &mut Publication,
    ) -> Result<(), LedgerError> {
        let query = context.query;
        let step_ms = i64::from(query.minutes) * 60_000;
        let mut left = FIGURES;
        while let Some((id, from, to)) = self.published.changed.pop_front() {
            let Some(subject) = subjects.iter().find(|subject| subject.id == id) else { continue };
            let part = to.min(from + left * step_ms);
            let range = TimeRange { from: UnixMillis(from), to: UnixMillis(part) };
            let (consumption, below) = (query.consumption(subject, range)?, query.below(subject, range)?);
            let grid = bounds(range.from, range.to, Step::Minutes(query.minutes), &query.zone);
            let Some(point) = self.points.get(&id) else { continue };
            for interval in &consumption.intervals(&grid) {
                publication.readings.extend(point.readings(interval, below.as_ref(), context));
                left -= 1;
            }
            if part < to {
                self.published.changed.push_front((id, part, to));
            }
            if left <= 0 || part < to {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a later reading cannot change it any more.
fn is_settled(quality: IntervalQuality) -> bool {
    quality < IntervalQuality::Partial
}

/// How many versions there are of what people said of each register; the numbers only grow.
fn versions(records: &MeteringRecords) -> BTreeMap<String, usize> {
    let decisions = records.decisions.iter().map(|(register, all)| (register.clone(), all.len()));
    let entries = records.entries.iter().map(|(register, all)| (format!("{register}/entries"), all.len()));
    decisions.chain(entries).collect()
}

/// Metering points; where a site has none, the main registers.
fn subjects(query: &LedgerQuery) -> Vec<Subject> {
    let mut all = query.subjects();
    let has_points = all.iter().any(|subject| subject.point.is_some());
    let is_main = |id: &str| id.rsplit_once('.').is_some_and(|(_, point)| MAIN_REGISTERS.contains(&point));
    all.retain(|subject| if has_points { subject.point.is_some() } else { is_main(&subject.id) });
    all
}

/// The times that what people said since has changed, and those in which a register returned from `since` to `to`, for each subject
/// that depends on the register. `known`: how many versions were published.
fn changed(
    query: &LedgerQuery,
    subjects: &[Subject],
    known: &BTreeMap<String, usize>,
    (since, to): (UnixMillis, UnixMillis),
) -> Result<Vec<(String, TimeRange)>, LedgerError> {
    let mut ranges: Vec<(String, TimeRange)> = Vec::new();
    for (register, versions) in &query.records.decisions {
        for version in versions.iter().skip(known.get(register).copied().unwrap_or(0)) {
            let ends = (version.boundary.before, version.boundary.after);
            ranges.push((register.clone(), query.affected_by_decision(register, ends, version.classification)?));
        }
    }
    for (register, versions) in &query.records.entries {
        let count = known.get(&format!("{register}/entries")).copied().unwrap_or(0);
        for version in versions.iter().skip(count) {
            let range = match version.entry {
                RegisterEntry::Correction { range, .. } | RegisterEntry::NoCorrection { range } => {
                    query.with_corrections(register, range)
                }
                RegisterEntry::Reading { reading } => query.around(register, reading.at)?,
                RegisterEntry::NoReading { at } => query.around(register, at)?,
            };
            ranges.push((register.clone(), range));
        }
    }
    // An old register that came back takes away what another one had counted.
    for series in query.all_series() {
        for event in query.ledger().events(series.id, since, to)? {
            if let (RegisterEventKind::Returned, Some(before)) = (event.kind, event.before) {
                ranges.push((series.full_name(), TimeRange { from: before.at, to: event.reading.at }));
            }
        }
    }
    let step = Step::Minutes(query.minutes);
    let aligned = |range: TimeRange| {
        let before = UnixMillis(range.from.0 - i64::from(query.minutes) * 60_000);
        let from = next_bound(before, step, &query.zone).unwrap_or(range.from);
        TimeRange { from, to: next_bound(range.to, step, &query.zone).unwrap_or(range.to) }
    };
    let mut out = Vec::new();
    for (register, range) in ranges {
        let depends = |subject: &&Subject| subject.id == register || query.plan.depends_on(&subject.id, &register);
        let of = subjects.iter().filter(depends);
        out.extend(of.map(|subject| (subject.id.clone(), aligned(range))));
    }
    Ok(out)
}
