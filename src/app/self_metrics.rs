//! Own health as a device: every ten seconds a reading of device `gateway`, journaled and evaluated like any other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rust_decimal::Decimal;
use tokio_util::sync::CancellationToken;

use crate::app::shared::Shared;
use crate::clock::{self, Clock};
use crate::journal::Journal;
use crate::lock::lock;
use crate::model::point::{Encoding, GATEWAY_POINTS, PointKind, PointMeta, Retention};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Reading, Sample};
use crate::model::stream::{Source, Stream};
use crate::model::time::UnixMillis;
use crate::model::value::{Value, write_json_text};
use crate::oncall::rota;
use crate::poll::health::UnitPresence;

/// The file whose date says when the last backup was made.
pub const LAST_BACKUP: &str = "last-backup";

/// Milliseconds between two readings of the gateway.
const EVERY_MS: u64 = 10_000;

/// Resources used by the process, from /proc.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Clock ticks of CPU.
    cpu_ticks: u64,
    pub resident: u64,
    /// Bytes written to block devices.
    pub written: u64,
}

impl Usage {
    /// Reads /proc; zeros where it cannot be read.
    #[expect(clippy::disallowed_methods, reason = "/proc is no disk")]
    pub fn now() -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        let stat = read("stat");
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<u64> = after_name.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
        let cpu_ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
        let pages: u64 = read("statm").split_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
        let io = read("io");
        let written =
            io.lines().find_map(|l| l.strip_prefix("write_bytes: ")).and_then(|n| n.parse().ok()).unwrap_or(0);
        Self { cpu_ticks, resident: pages * rustix::param::page_size() as u64, written }
    }

    /// CPU time in milliseconds; a tick is 10 ms.
    pub fn cpu_ms(&self) -> u64 {
        self.cpu_ticks * 10
    }
}

/// Horizon and interval of the search for gaps in the rotas.
const GAP_DAYS: i64 = 14;
const GAP_EVERY_MS: u64 = 600_000;

/// How long the figures of a disk are waited for.
const DISK_ANSWERS: Duration = Duration::from_secs(2);

/// Name, kind and value of each point.
type HealthPoints = Vec<(&'static str, PointKind, Sample)>;

/// Publishes `gateway/status`, appends the readings of device `gateway`, and checks once a second whether the date is trusted.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut before = (Usage::now(), shared.clock.mono(), 0u64, 0u64);
    let (mut gap, mut gap_at) = (Err(Cause::NotAvailable), 0);
    let mut stream: Option<Arc<Stream>> = None;
    let mut due = shared.clock.mono().0;
    let mut reading = None;
    publish_status(&shared);
    loop {
        refresh_clock_trust(&shared);
        let now = shared.clock.mono().0;
        if now >= due {
            due = now.max(due + EVERY_MS);
            if now >= gap_at {
                (gap, gap_at) = (rota_gap(&shared), now + GAP_EVERY_MS);
            }
            report_stalled_buses(&shared);
            let disk = disk_figures(&shared, &mut reading).await;
            let figures = health_points(&shared, &mut before, gap.clone(), &disk);
            let stream = stream.get_or_insert_with(|| stream_of(&figures));
            let samples = figures.into_iter().map(|(_, _, s)| Some(s)).collect();
            let body = Body::Samples { samples, parts: Vec::new() };
            let reading = Reading { stream: Arc::clone(stream), at: shared.clock.stamp(), body };
            shared.take_in(reading);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.clock.sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Publishes the gateway's retained status.
pub fn publish_status(shared: &Shared) {
    let configuration = shared.configuration();
    let now = shared.clock.now();
    let since = UnixMillis(now.wall.0 - i64::try_from(now.mono.since(shared.process.started)).unwrap_or(0)).rfc3339();
    let since = if now.wall_trusted { format!("\"{since}\"") } else { "null".to_string() };
    let mut json = format!("{{\"state\":\"online\",\"since\":{since},\"why\":null,\"version\":");
    write_json_text(env!("CARGO_PKG_VERSION"), &mut json);
    for (key, text) in [("zh", &configuration.site.zh), ("en", &configuration.site.en)] {
        json.push_str(if key == "zh" { ",\"zh\":" } else { ",\"en\":" });
        write_json_text(text, &mut json);
    }
    let reason = lock(&shared.process.last_good).clone();
    json.push_str(if reason.is_some() { ",\"last_good\":true" } else { ",\"last_good\":false" });
    json.push_str(if rules_off(shared) > 0 { ",\"rules_off\":true}" } else { ",\"rules_off\":false}" });
    shared.adapters.retained_topics.set("gateway/status", json);
}

/// Number of rule rooms that are disabled; all of them during a crash loop.
pub fn rules_off(shared: &Shared) -> u64 {
    if shared.process.crash_loop_guard.are_rules_off() {
        crate::engine::ROOMS.len() as u64
    } else {
        shared.rules.rules_off.load(Ordering::Relaxed)
    }
}

/// Appends failed readings for buses that hang: their devices become offline instead of silent.
fn report_stalled_buses(shared: &Shared) {
    let now = shared.clock.mono();
    for bus in lock(&shared.adapters.buses).iter() {
        if bus.health.stalled_ms(now).is_none() {
            continue;
        }
        let mappings = bus.config.units.iter().flat_map(|u| &u.groups).flat_map(|g| &g.device_mappings);
        for out in mappings {
            let (at, body) = (shared.clock.stamp(), Body::Failed(Cause::Skipped));
            shared.take_in(Reading { stream: Arc::clone(&out.stream), at, body });
        }
    }
}

/// When the date becomes trusted, dates what was stored without one.
fn refresh_clock_trust(shared: &Shared) {
    let before = shared.clock.is_trusted();
    if shared.clock.refresh() && !before {
        shared.journal.set_date(shared.clock.wall(), shared.clock.mono());
        shared.store.set_date(shared.clock.wall(), shared.clock.mono());
        replace_stored_date(&shared.clock, &shared.journal);
        publish_status(shared);
        tracing::info!(date = shared.clock.wall().rfc3339(), "the date is believed from now on");
    }
}

/// The synchronised date replaces a later one that was stored: later starts are compared with it.
pub(super) fn replace_stored_date(clock: &Clock, journal: &Journal) {
    let (date, stored) = (clock.wall(), UnixMillis(journal.health().last_wall.load(Ordering::Relaxed)));
    if clock::kernel_synchronised() && date < stored {
        tracing::warn!(
            date = date.rfc3339(),
            stored = stored.rfc3339(),
            "a later date was stored: the time service is believed"
        );
        journal.accept(date);
    }
}

fn stream_of(figures: &HealthPoints) -> Arc<Stream> {
    let meta = |(name, kind, _): &(&'static str, PointKind, Sample)| {
        let retention = match kind {
            PointKind::Counter => Retention::Cumulative,
            PointKind::Number => Retention::Telemetry,
            PointKind::Bool | PointKind::Code | PointKind::Text => Retention::State,
        };
        PointMeta::new(*name, *kind, retention, Encoding::of_kind(*kind))
    };
    let points = figures.iter().map(meta).collect();
    Stream::new("gateway", Source::Gateway, EVERY_MS, points)
}

fn integer(n: u64) -> Sample {
    Ok(Value::Exact(Decimal::from(n)))
}

fn tenths(n: u64) -> Sample {
    Ok(Value::Exact(Decimal::new(i64::try_from(n).unwrap_or(i64::MAX), 1)))
}

fn boolean(b: bool) -> Sample {
    Ok(Value::Bool(b))
}

fn health_points(
    shared: &Shared,
    before: &mut (Usage, crate::model::time::MonotonicMillis, u64, u64),
    gap: Sample,
    disk: &DiskFigures,
) -> HealthPoints {
    use PointKind::{Bool, Counter, Number, Text};
    let (usage, now) = (Usage::now(), shared.clock.mono());
    let j = shared.journal.health();
    let get = |a: &std::sync::atomic::AtomicU64| a.load(Ordering::Relaxed);
    let (readings, samples) = (get(&j.committed), get(&j.samples));
    let ms = now.since(before.1).max(1);
    let per_s = |n: u64| tenths(n * 10_000 / ms);
    let cpu = tenths(usage.cpu_ms().saturating_sub(before.0.cpu_ms()) * 1_000 / ms);
    let rates = (per_s(readings - before.2), per_s(samples - before.3));
    *before = (usage, now, readings, samples);
    let limit = shared.configuration().journal.max_bytes().max(1);
    let mut out: HealthPoints = vec![
        ("version", Text, Ok(Value::Text(env!("CARGO_PKG_VERSION").into()))),
        ("uptime_s", Number, integer(now.since(shared.process.started) / 1_000)),
        ("config_last_good", Bool, boolean(lock(&shared.process.last_good).is_some())),
        ("cpu_pct", Number, cpu),
        ("memory_mb", Number, tenths(usage.resident / 100_000)),
        ("disk_written_bytes", Counter, integer(usage.written)),
        ("readings_per_s", Number, rates.0),
        ("samples_per_s", Number, rates.1),
        ("journal_bytes", Number, integer(get(&j.bytes))),
        ("journal_used_pct", Number, tenths(get(&j.bytes) / (limit / 1_000).max(1))),
        ("journal_write_failed", Bool, boolean(!j.ok.load(Ordering::Relaxed))),
        ("write_errors", Counter, integer(get(&j.failures))),
        ("damaged_segments", Counter, integer(get(&j.damaged_files))),
        ("lost_readings", Counter, integer(get(&j.lost) + get(&j.lost_unsent))),
        ("rules_off", Number, integer(rules_off(shared))),
        ("readings_replaced", Counter, integer(shared.rules.inbox.replaced.load(Ordering::Relaxed))),
        ("task_restarts", Counter, integer(lock(&shared.process.task_failures).iter().map(|t| t.panics).sum())),
        ("clock_synchronised", Bool, boolean(crate::clock::kernel_synchronised())),
        ("clock_trusted", Bool, boolean(shared.clock.is_trusted())),
    ];
    out.extend(disk.points());
    out.extend(bus_points(shared));
    out.extend(sink_points(shared));
    out.extend(alarm_points(shared, gap, disk.backup));
    debug_assert!(out.iter().map(|f| f.0).eq(GATEWAY_POINTS.iter().copied()), "rules are told of the same points");
    out
}

fn alarm_points(shared: &Shared, gap: Sample, backup: Option<SystemTime>) -> HealthPoints {
    let (mut active, mut waiting, mut shelved) = (0, 0, 0);
    let pages = shared.engine().oncall().stats();
    let channels = lock(&shared.adapters.channels).len() as u64;
    for (_, _, alarm) in shared.engine().alarms().all() {
        active += u64::from(alarm.step > 0);
        waiting += u64::from(alarm.needs_ack);
        shelved += u64::from(alarm.shelved.is_some());
    }
    let failed = shared.store.health.failed.load(Ordering::Relaxed);
    let mark = backup.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let now = u64::try_from(shared.clock.wall().0).unwrap_or(0) / 1_000;
    let age = mark.filter(|_| shared.clock.is_trusted()).map(|at| now.saturating_sub(at.as_secs()) / 8_640);
    let ways = shared.reply_receivers();
    let failed_receivers = ways.iter().filter(|w| !w.failed.is_empty()).count() as u64;
    vec![
        ("store_write_failed", PointKind::Bool, boolean(failed)),
        ("alarms_active", PointKind::Number, integer(active)),
        ("alarms_unacknowledged", PointKind::Number, integer(waiting)),
        ("alarms_shelved", PointKind::Number, integer(shelved)),
        ("channels", PointKind::Number, integer(channels)),
        ("channels_ok", PointKind::Number, integer(channels.saturating_sub(pages.unavailable_channels))),
        ("pages_waiting", PointKind::Number, integer(pages.waiting)),
        ("pages_sent", PointKind::Counter, integer(pages.sent)),
        ("pages_failed", PointKind::Counter, integer(pages.failed)),
        ("pages_unreached", PointKind::Number, integer(pages.unreached)),
        ("rota_unreachable", PointKind::Number, integer(pages.tests_missed)),
        ("rota_gap_d", PointKind::Number, gap),
        ("backup_age_d", PointKind::Number, age.map_or(Err(Cause::NotAvailable), tenths)),
        ("reply_ways", PointKind::Number, integer(ways.len() as u64)),
        ("reply_ways_failed", PointKind::Number, integer(failed_receivers)),
        ("ledger_write_failed", PointKind::Bool, boolean(!lock(&shared.ledger.error).is_empty())),
        ("registers_in_doubt", PointKind::Number, integer(shared.ledger.pending.load(Ordering::Relaxed))),
    ]
}

/// Days until the first gap in any rota, in tenths, at most [`GAP_DAYS`]; not available without a trusted date.
fn rota_gap(shared: &Shared) -> Sample {
    let now = shared.clock.now();
    let engine = shared.engine();
    let (plan, overrides) = (engine.oncall().plan(), engine.oncall().overrides());
    if !now.wall_trusted || plan.rotas.is_empty() {
        return Err(Cause::NotAvailable);
    }
    let to = UnixMillis(now.wall.0 + GAP_DAYS * rota::DAY_MS);
    let periods = plan.rotas.keys().flat_map(|id| rota::on_call_periods(plan, id, overrides, now.wall, to));
    let gap = periods.filter(|s| s.person.is_none()).map(|s| s.from).min().unwrap_or(to);
    tenths(u64::try_from((gap.0 - now.wall.0) * 10 / rota::DAY_MS).unwrap_or(0))
}

/// What the disk says of itself.
#[derive(Clone, Copy, Debug, Default)]
struct DiskFigures {
    /// Free space in tenths of a percent and in megabytes; none if the disk does not say.
    free: Option<(u64, u64)>,
    /// When the last backup was made; without any, when the state directory was.
    backup: Option<SystemTime>,
}

/// The figures of the disk; none while it does not answer. `reading` is the thread that still waits for it: there is one at most.
async fn disk_figures(shared: &Shared, reading: &mut Option<tokio::task::JoinHandle<DiskFigures>>) -> DiskFigures {
    let state = shared.process.paths.state.clone();
    let mut waiting = reading.take().unwrap_or_else(|| tokio::task::spawn_blocking(move || DiskFigures::read(&state)));
    match tokio::time::timeout(DISK_ANSWERS, &mut waiting).await {
        Ok(read) => read.unwrap_or_default(),
        Err(_) => {
            *reading = Some(waiting);
            DiskFigures::default()
        }
    }
}

impl DiskFigures {
    /// Waits for the disk.
    #[expect(clippy::disallowed_methods, reason = "called on a thread that may wait")]
    fn read(state: &Path) -> Self {
        let free = rustix::fs::statvfs(state).ok().map(|stat| {
            let free_mb = stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000;
            (stat.f_bavail.saturating_mul(1_000) / stat.f_blocks.max(1), free_mb)
        });
        let backup = std::fs::metadata(state.join(LAST_BACKUP)).and_then(|m| m.modified()).ok();
        let backup = backup.or_else(|| std::fs::metadata(state).and_then(|m| m.created()).ok());
        Self { free, backup }
    }

    fn points(self) -> HealthPoints {
        let none = || Err(Cause::NotAvailable);
        let (share, free_mb) = self.free.map_or((none(), none()), |(share, mb)| (tenths(share), integer(mb)));
        vec![("disk_free_pct", PointKind::Number, share), ("disk_free_mb", PointKind::Number, free_mb)]
    }
}

fn bus_points(shared: &Shared) -> HealthPoints {
    let buses = lock(&shared.adapters.buses);
    let sum = |name: &str| {
        let of = |b: &super::BusHandle| b.health.counters.list().iter().find(|c| c.0 == name).map_or(0, |c| c.2);
        buses.iter().map(of).sum::<u64>()
    };
    let now = shared.clock.mono();
    let is_up = |b: &&super::BusHandle| b.health.is_open.load(Ordering::Relaxed) && b.health.stalled_ms(now).is_none();
    let up = buses.iter().filter(is_up).count() as u64;
    let (mut units, mut ok, mut skipped) = (0, 0, 0);
    for bus in buses.iter() {
        for i in 0..bus.health.units.len() {
            let seen = bus.health.with_unit(i, |u| (u.presence, u.skipped_cycles));
            let Some((presence, late)) = seen else { continue };
            units += 1;
            ok += u64::from(presence == UnitPresence::Online);
            skipped += late;
        }
    }
    vec![
        ("links", PointKind::Number, integer(buses.len() as u64)),
        ("links_up", PointKind::Number, integer(up)),
        ("units", PointKind::Number, integer(units)),
        ("units_ok", PointKind::Number, integer(ok)),
        ("requests", PointKind::Counter, integer(sum("requests"))),
        ("timeouts", PointKind::Counter, integer(sum("timeouts"))),
        ("exceptions", PointKind::Counter, integer(sum("exceptions"))),
        ("frames_discarded", PointKind::Counter, integer(sum("late") + sum("crossed"))),
        ("reconnects", PointKind::Counter, integer(sum("connects"))),
        ("poll_skipped", PointKind::Counter, integer(skipped)),
    ]
}

fn sink_points(shared: &Shared) -> HealthPoints {
    let sinks = lock(&shared.adapters.sinks);
    let paused = sinks.iter().filter(|s| s.health.paused.load(Ordering::Relaxed)).count() as u64;
    let up = sinks.iter().filter(|s| s.health.connected.load(Ordering::Relaxed)).count() as u64;
    let lag = sinks.iter().map(|s| s.health.lag.load(Ordering::Relaxed)).max().unwrap_or(0);
    let lag_ms = sinks.iter().map(|s| s.health.lag_ms.load(Ordering::Relaxed)).max().unwrap_or(0);
    let sum = |of: fn(&super::SinkHandle) -> u64| sinks.iter().map(of).sum::<u64>();
    let dead_letters = sum(|s| s.health.dead_lettered.load(Ordering::Relaxed));
    let dropped = sum(|s| {
        s.health.too_old.load(Ordering::Relaxed) + s.health.undated.load(Ordering::Relaxed) + s.dead_letters.dropped()
    });
    let refused = sum(|s| s.health.rejected_count.load(Ordering::Relaxed));
    let clashing = sum(|s| u64::from(s.health.has_client_id_conflict.load(Ordering::Relaxed)));
    vec![
        ("sinks", PointKind::Number, integer(sinks.len() as u64)),
        ("sinks_up", PointKind::Number, integer(up)),
        ("sinks_paused", PointKind::Number, integer(paused)),
        ("backlog_readings", PointKind::Number, integer(lag)),
        ("sink_lag_s", PointKind::Number, tenths(lag_ms / 100)),
        ("sink_set_aside", PointKind::Counter, integer(dead_letters)),
        ("sink_dropped", PointKind::Counter, integer(dropped)),
        ("sink_refused", PointKind::Number, integer(refused)),
        ("sinks_clashing", PointKind::Number, integer(clashing)),
    ]
}
