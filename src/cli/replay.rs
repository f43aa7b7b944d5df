//! `plantroom replay`: evaluates alarm rules on recorded history and shows their transitions beside the recorded ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::alarm::resolve::ConditionInput;
use crate::alarm::room::AlarmRoom;
use crate::alarm::{AlarmOutput, Alarms};
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, alarm, history, output};
use crate::clock::{self, Clock};
use crate::config::{self, Configuration};
use crate::journal::Journal;
use crate::journal::query::HistoryQuery;
use crate::model::actor::{Actor, Proof, Via};
use crate::model::alarm::{AlarmEvent, AlarmEventKind};
use crate::model::command::AlarmAction;
use crate::model::latest::status_point;
use crate::model::point::{Encoding, PointKind, PointMeta, Retention};
use crate::model::reading::{Body, Reading, Sample, Stamp};
use crate::model::room::Room as _;
use crate::model::stream::{Source, Stream};
use crate::model::time::{MonotonicMillis, Now, UnixMillis};
use crate::store::event::EventQuery as Events;
use crate::store::event::EventRow;

/// Options of `replay`: which rules, and which part of the past.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// From: a date, or so long ago (`24h`, `7d`).
    #[arg(long, default_value = "24h")]
    from: String,
    /// To: a date; now if none is given.
    #[arg(long)]
    to: Option<String>,
    /// A directory with `*.toml` of rules, as `alarms/` beside the configuration; without it the rules in force.
    #[arg(long, value_name = "DIR")]
    alarms: Option<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: output::Format,
}

/// History is read in pieces of this length.
const PIECE_MS: i64 = 3_600_000;
/// After a longer gap in the data, state is restored as after a restart.
const GAP_MS: i64 = 120_000;
/// Transitions at most this far from a recorded one are the same.
const MATCH_TOLERANCE_MS: i64 = 3_000;

/// An input of the rules: its point, and from when on its samples are needed.
struct ReplaySource {
    device: Arc<str>,
    point: Arc<str>,
    from: i64,
    /// The stream that delivers it: points of one stream arrive together.
    stream: usize,
    seen: u64,
    thinned: u64,
}

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    output::begin_log(global, true);
    let loaded = config::load_trial(&global.config_in_force(), args.alarms.as_deref());
    let Some(configuration) = loaded.configuration else {
        loaded.problems.iter().for_each(|p| output::note(p.to_string()));
        return Err(CommandFailure::configuration("these rules do not check"));
    };
    let zone = global.zone();
    let clock = Clock::new(&clock::ClockSettings::default(), UnixMillis(0));
    let dir = global.state_dir().join(&configuration.journal.dir);
    let opened = Journal::open_read_only(&dir, &configuration.journal, &clock);
    let journal = opened.map_err(|e| CommandFailure::later("cannot open the journal").because(e.to_string()))?;
    let now = history::journal_now(&journal, &clock);
    let from = history::parse_time(&args.from, now, &zone)?;
    let to = args.to.as_deref().map_or(Ok(now), |t| history::parse_time(t, now, &zone))?;
    let query = |from: i64| Events {
        room: AlarmRoom::ID.into(),
        from: Some(UnixMillis(from)),
        to: Some(UnixMillis(to)),
        ..Events::default()
    };
    let (mut sources, streams) = sources(&configuration, from);
    let begin = sources.iter().map(|s| s.from).min().unwrap_or(from);
    let person_events = alarm::read_events(global, &query(begin))?;
    let replayed = replay(&configuration, &journal, &mut sources, &streams, &person_events, (begin, to))?;
    let replayed: Vec<(i64, AlarmEvent)> = replayed.into_iter().filter(|(at, _)| *at >= from).collect();
    let recorded: Vec<(i64, AlarmEvent)> =
        alarm::dated_events(&person_events).into_iter().filter(|(at, _)| *at >= from).collect();
    show(&replayed, &recorded, args.format, &zone);
    report_missing_data(&sources, &journal);
    Ok(())
}

/// Every input of the rules, from as early as its rules look back, and the intervals of the streams that deliver them,
/// milliseconds.
fn sources(configuration: &Configuration, from: i64) -> (Vec<ReplaySource>, Vec<u64>) {
    let mut begins: BTreeMap<(Arc<str>, Arc<str>), i64> = BTreeMap::new();
    for d in &configuration.alarms.definitions {
        let enable_if_ms = d.enable_if.as_ref().map_or(0, crate::alarm::condition::ResolvedCondition::looks_back_ms);
        let delay = d.steps.iter().map(|s| s.on_delay_ms).max().unwrap_or(0) + d.off_delay_ms;
        // One hour more, to find out which alarms were active at the start.
        let back = i64::try_from(d.condition.looks_back_ms() + enable_if_ms + delay).unwrap_or(0) + PIECE_MS;
        let mut each = |i: &ConditionInput| {
            let begin = begins.entry((Arc::clone(&i.device), Arc::clone(&i.point))).or_insert(from);
            *begin = (*begin).min(from - back);
        };
        d.condition.inputs(&mut each);
        d.enable_if.iter().for_each(|n| n.inputs(&mut each));
    }
    let mut intervals_ms: Vec<u64> = Vec::new();
    let mut stream_by_point: BTreeMap<(Arc<str>, Arc<str>), usize> = BTreeMap::new();
    let device_mappings =
        configuration.buses.iter().flat_map(|b| &b.units).flat_map(|u| &u.groups).flat_map(|g| &g.device_mappings);
    for out in device_mappings {
        for point in &out.stream.points {
            stream_by_point.insert((Arc::clone(&out.stream.device), Arc::clone(&point.name)), intervals_ms.len());
        }
        intervals_ms.push(out.stream.every_ms);
    }
    let mut list = Vec::new();
    for ((device, point), from) in begins {
        // Derived points, decisions of the rules and self-metrics have their own streams.
        let key = (Arc::clone(&device), Arc::clone(&point));
        let stream = stream_by_point.get(&key).copied().unwrap_or_else(|| {
            intervals_ms.push(if *device == *"gateway" { 10_000 } else { 0 });
            intervals_ms.len() - 1
        });
        list.push(ReplaySource { device, point, from, stream, seen: 0, thinned: 0 });
    }
    (list, intervals_ms)
}

/// Samples that arrived together.
struct ReplayGroup {
    at: i64,
    stream: usize,
    samples: Vec<(usize, Sample)>,
}

/// Id of the only boot of a replay; its monotonic time is the date.
const REPLAY: &str = "replay";

/// Evaluates the rules on the history; returns their transitions with dates.
fn replay(
    configuration: &Configuration,
    journal: &Journal,
    sources: &mut [ReplaySource],
    intervals_ms: &[u64],
    person_events: &[EventRow],
    (begin, to): (i64, i64),
) -> Result<Vec<(i64, AlarmEvent)>, CommandFailure> {
    let now_at = |at: i64| Now { mono: MonotonicMillis(at.unsigned_abs()), wall: UnixMillis(at), wall_trusted: true };
    let mut alarms =
        Alarms::new(configuration.alarms.clone(), &BTreeMap::new(), &BTreeMap::new(), REPLAY, now_at(begin));
    let mut streams: BTreeMap<(usize, Vec<usize>), Arc<Stream>> = BTreeMap::new();
    let mut out = Vec::new();
    let mut commands = person_events.iter().filter_map(|r| Some((r.at.0, command(r)?))).peekable();
    let (mut piece, mut last) = (begin, begin);
    while piece < to {
        let end = (piece + PIECE_MS).min(to);
        for group in groups(journal, sources, intervals_ms, piece, end)? {
            while let Some((at, command)) = commands.next_if(|(at, _)| *at <= group.at) {
                advance_to(&mut alarms, at, &now_at, &mut out);
                let mut decided = AlarmOutput::default();
                // A command that was refused then is refused again. One that is refused only now does not fit the replayed
                // state.
                let _refused = alarms.command(
                    (&command.key, &command.action),
                    &command.actor,
                    &command.note,
                    now_at(at),
                    &mut decided,
                );
                out.extend(decided.events.into_iter().map(|e| (at, e)));
            }
            if group.at - last > GAP_MS {
                advance_to(&mut alarms, last + MATCH_TOLERANCE_MS, &now_at, &mut out);
                let (persisted, memory) = (alarms.records(now_at(last)), alarms.memory());
                alarms = Alarms::new(configuration.alarms.clone(), &persisted, &memory, REPLAY, now_at(group.at));
            }
            last = group.at;
            advance_to(&mut alarms, group.at, &now_at, &mut out);
            let ids: Vec<usize> = group.samples.iter().map(|(i, _)| *i).collect();
            let stream = streams
                .entry((group.stream, ids.clone()))
                .or_insert_with(|| stream(sources, &ids, intervals_ms[group.stream]));
            let samples = group.samples.into_iter().map(|(_, s)| Some(s)).collect();
            let stamp =
                Stamp { mono: MonotonicMillis(group.at.unsigned_abs()), wall: UnixMillis(group.at), trusted: true };
            let reading =
                Reading { stream: Arc::clone(stream), at: stamp, body: Body::Samples { samples, parts: Vec::new() } };
            let mut decided = AlarmOutput::default();
            alarms.reading(&reading, now_at(group.at), &mut decided);
            alarms.tick(now_at(group.at), &mut decided);
            out.extend(decided.events.into_iter().map(|e| (group.at, e)));
        }
        if (piece - begin) / PIECE_MS % 24 == 23 {
            output::note(format!("{} of {} days", (piece - begin) / 86_400_000 + 1, (to - begin) / 86_400_000 + 1));
        }
        piece = end;
    }
    advance_to(&mut alarms, to.min(last + MATCH_TOLERANCE_MS), &now_at, &mut out);
    Ok(out)
}

/// Advances to a time and evaluates at each wake-up before it.
fn advance_to(alarms: &mut Alarms, to: i64, now_at: &impl Fn(i64) -> Now, out: &mut Vec<(i64, AlarmEvent)>) {
    while let Some(wake) = alarms.next_wake() {
        let at = i64::try_from(wake.0).unwrap_or(i64::MAX);
        if at >= to {
            return;
        }
        let mut decided = AlarmOutput::default();
        alarms.tick(now_at(at), &mut decided);
        out.extend(decided.events.into_iter().map(|e| (at, e)));
    }
}

fn stream(sources: &[ReplaySource], ids: &[usize], every_ms: u64) -> Arc<Stream> {
    let is_status = |i: &usize| sources[*i].point.strip_prefix(&status_point(""));
    let source =
        if ids.iter().all(|i| is_status(i).is_some()) { Source::Status } else { Source::Other("replay".into()) };
    let meta = |i: &usize| {
        let name = is_status(i).unwrap_or(&sources[*i].point);
        PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::F64)
    };
    let points = ids.iter().map(meta).collect();
    Stream::new(Arc::clone(&sources[ids[0]].device), source, every_ms, points)
}

/// The samples of a piece of history, grouped as they arrived.
fn groups(
    journal: &Journal,
    sources: &mut [ReplaySource],
    intervals_ms: &[u64],
    from: i64,
    to: i64,
) -> Result<Vec<ReplayGroup>, CommandFailure> {
    let mut rows: Vec<(usize, i64, usize, Sample)> = Vec::new();
    for (i, source) in sources.iter_mut().enumerate() {
        if source.from >= to {
            continue;
        }
        let prefix = status_point("");
        let point = source.point.strip_prefix(&prefix).unwrap_or(&source.point);
        let query = HistoryQuery {
            device: source.device.to_string(),
            point: point.to_string(),
            from_ms: from.max(source.from),
            to_ms: to,
        };
        let (mut seen, mut thinned, stream) = (0, 0, source.stream);
        let read = journal.samples(&query, |row| {
            seen += 1;
            thinned += u64::from(row.downsampled);
            rows.push((stream, row.at_ms, i, row.sample));
            true
        });
        read.map_err(|e| CommandFailure::later("history cannot be read").because(e.to_string()))?;
        source.seen += seen;
        source.thinned += thinned;
    }
    rows.sort_by_key(|row| (row.0, row.1, row.2));
    let mut out: Vec<ReplayGroup> = Vec::new();
    let mut begin = i64::MIN;
    for (stream, at, i, sample) in rows {
        // Answers of one cycle arrive within a part of its interval; irregular readings have a single time.
        let span = i64::try_from(intervals_ms[stream] / 2).unwrap_or(0).min(2_000);
        let fits = out.last().is_some_and(|g| {
            g.stream == stream && at - begin <= span && !g.samples.iter().any(|(other, _)| *other == i)
        });
        match out.last_mut().filter(|_| fits) {
            Some(group) => {
                group.at = at;
                group.samples.push((i, sample));
            }
            None => {
                begin = at;
                out.push(ReplayGroup { at, stream, samples: vec![(i, sample)] });
            }
        }
    }
    out.sort_by_key(|g| g.at);
    Ok(out)
}

/// The command that a recorded event stands for; `None` if nobody gave one.
fn command(row: &EventRow) -> Option<RecordedCommand> {
    let event: AlarmEvent = serde_json::from_str(&row.body).ok()?;
    if event.actor.is_empty() {
        return None;
    }
    let action = match event.kind {
        AlarmEventKind::Acknowledged => AlarmAction::Acknowledge,
        AlarmEventKind::Arrived => AlarmAction::Arrive,
        AlarmEventKind::HandedOver => AlarmAction::HandOver { to: event.cause.clone() },
        AlarmEventKind::Reset => AlarmAction::Reset,
        // The duration is not recorded; the end is an event of its own.
        AlarmEventKind::Shelved => AlarmAction::Shelve { for_ms: 7 * 86_400_000 },
        AlarmEventKind::Unshelved => AlarmAction::Unshelve,
        AlarmEventKind::OutOfService => AlarmAction::TakeOutOfService,
        AlarmEventKind::ReturnedToService => AlarmAction::ReturnToService,
        _ => return None,
    };
    // It was authorised when it was recorded.
    let actor = Actor::paged(event.actor, Via::Socket, Proof::Session);
    Some(RecordedCommand { key: event.key.to_string(), action, actor, note: event.note })
}

/// What a person did with an alarm.
struct RecordedCommand {
    key: String,
    action: AlarmAction,
    actor: Actor,
    note: String,
}

/// Prints replayed and recorded transitions side by side.
fn show(
    replayed_events: &[(i64, AlarmEvent)],
    recorded_events: &[(i64, AlarmEvent)],
    format: output::Format,
    zone: &jiff::tz::TimeZone,
) {
    let is_transition =
        |e: &&(i64, AlarmEvent)| matches!(e.1.kind, AlarmEventKind::Raised | AlarmEventKind::Cleared) && !e.1.test;
    let mut unmatched: Vec<&(i64, AlarmEvent)> = recorded_events.iter().filter(is_transition).collect();
    let mut rows: Vec<(i64, Vec<String>)> = Vec::new();
    let mut same = 0;
    let cells = |at: i64, e: &AlarmEvent, replayed: bool, recorded: bool| {
        let word = |is: bool| if is { "yes" } else { "" }.to_string();
        let value = e.value.map_or(String::new(), crate::model::text::format_number);
        let at = history::format_local(at, zone);
        vec![
            at,
            e.key.to_string(),
            e.kind.word().into(),
            e.priority.word().into(),
            value,
            word(replayed),
            word(recorded),
        ]
    };
    for (at, e) in replayed_events.iter().filter(is_transition) {
        let it =
            |w: &&(i64, AlarmEvent)| w.1.key == e.key && w.1.kind == e.kind && (w.0 - at).abs() <= MATCH_TOLERANCE_MS;
        let found = unmatched.iter().position(it);
        if let Some(i) = found {
            unmatched.remove(i);
        }
        same += usize::from(found.is_some());
        rows.push((*at, cells(*at, e, true, found.is_some())));
    }
    let only_came = rows.len() - same;
    rows.extend(unmatched.iter().map(|(at, e)| (*at, cells(*at, e, false, true))));
    rows.sort_by_key(|(at, _)| *at);
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, cells)| cells).collect();
    output::list(format, &["at", "alarm", "what", "priority", "value", "replayed", "recorded"], &rows);
    output::note(format!("{same} as they were, {only_came} only with these rules, {} only then", unmatched.len()));
}

/// Reports inputs without history, downsampled history and damaged files, which make the comparison incomplete.
fn report_missing_data(sources: &[ReplaySource], journal: &Journal) {
    let name = |s: &ReplaySource| format!("{}.{}", s.device, s.point);
    let none: BTreeSet<String> = sources.iter().filter(|s| s.seen == 0).map(name).collect();
    let thinned: BTreeSet<String> = sources.iter().filter(|s| s.thinned > 0).map(name).collect();
    let list = |what: &str, names: &BTreeSet<String>| {
        if !names.is_empty() {
            let shown: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
            let more = if names.len() > shown.len() { ", …" } else { "" };
            output::note(format!("{what} ({}): {}{more}", names.len(), shown.join(", ")));
        }
    };
    list("no history of", &none);
    list("thinned in part, so that short alarms may be missing", &thinned);
    let damaged = journal.health().damaged_files.load(std::sync::atomic::Ordering::Relaxed);
    if damaged > 0 {
        output::note(format!("{damaged} files of the history are damaged: what they held is missing"));
    }
}
