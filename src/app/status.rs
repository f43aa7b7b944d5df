//! The data of `plantroom status`: links, units, sinks, journal, clock, versions.

use std::sync::atomic::Ordering;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::app::reply_ways::ReplyReceiver;
use crate::app::shared::{BusHandle, Shared, SinkHandle};
use crate::lock::lock;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::sink::SinkHealth;

/// State of a running gateway, as the control socket reports it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Id of the site in the configuration.
    pub site: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Why it runs on the last-good configuration, if it does.
    pub last_good: Option<String>,
    /// Why no rules run, if they do not.
    pub rules_off: Option<String>,
    /// Links with their units.
    pub links: Vec<LinkStatus>,
    pub sinks: Vec<SinkStatus>,
    #[serde(default)]
    pub alarms: AlarmCounts,
    #[serde(default)]
    pub pages: OncallStatus,
    pub journal: JournalStatus,
    #[serde(default)]
    pub ledger: LedgerStatus,
    pub clock: ClockStatus,
    /// Tasks that panicked, in words.
    #[serde(rename = "troubles")]
    pub task_failures: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AlarmCounts {
    /// Every alarm of the configuration, in whatever state.
    pub all: usize,
    /// Alarms whose condition holds.
    pub active: usize,
    /// Nobody has taken them.
    pub unacknowledged: usize,
    /// Put aside, taken out or explained by another.
    #[serde(rename = "quiet")]
    pub suppressed: usize,
    /// Whether more come than people can read.
    pub flood: bool,
    /// Whether the last decision could not be written down.
    #[serde(rename = "unwritten")]
    pub commit_failed: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LinkStatus {
    pub id: String,
    /// `host:port`, or the device file of a serial port.
    pub address: String,
    /// Whether it is open.
    #[serde(rename = "up")]
    pub is_connected: bool,
    /// Why it is not.
    pub error: String,
    /// What happened on it.
    pub counters: std::collections::BTreeMap<String, u64>,
    /// What was wrong with the last frame that was not taken, in words; empty if none was.
    #[serde(default)]
    pub last_rejected: String,
    pub units: Vec<UnitStatus>,
}

/// Pages and the channels that they take.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OncallStatus {
    /// Pages that wait or are on their way.
    pub waiting: u64,
    /// Alarms of which nobody could be told.
    pub unreached: u64,
    /// Tries that a service took, since the start.
    pub sent: u64,
    /// Tries that came to nothing, since the start.
    pub failed: u64,
    /// Channels: id, and why it rests, if it does.
    pub channels: Vec<(String, String)>,
    /// Whether answers can be heard, by where they come in.
    #[serde(default)]
    pub reply_ways: Vec<ReplyReceiver>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UnitStatus {
    pub id: String,
    /// Unit id on the wire.
    pub address: u8,
    pub profile: String,
    /// The profile's variant in use.
    #[serde(rename = "layout")]
    pub variant: String,
    /// online, degraded, refusing (it answers and gives nothing), offline, unknown.
    pub state: String,
    /// Why it is not online.
    #[serde(rename = "why")]
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Poll cycles carried out, good or not.
    pub cycles: u64,
    /// Cycles in which everything was good.
    pub good: u64,
    /// Cycles the bus had no time for.
    pub skipped: u64,
    /// Requests without an answer.
    pub timeouts: u64,
    /// Answers that were exceptions.
    pub exceptions: u64,
    /// Mean round trip, microseconds.
    pub round_trip_us: u64,
    /// Spoilt or missing answers that were asked for once more.
    #[serde(default)]
    pub retries: u64,
    /// Answers that came after their request was given up.
    #[serde(default)]
    pub late: u64,
    /// What is to be done about late answers, in words.
    #[serde(default)]
    pub remark: String,
    /// What is left out and why, and which gaps are not read across, in words.
    #[serde(rename = "holes")]
    pub unreadable_ranges: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SinkStatus {
    pub name: String,
    /// Address of the broker or store.
    pub url: String,
    /// Whether it is connected.
    #[serde(rename = "up")]
    pub is_connected: bool,
    /// Why it is not.
    pub error: String,
    /// Whether only a person can mend why it is not.
    #[serde(default)]
    pub paused: bool,
    /// Messages or values acknowledged.
    pub delivered: u64,
    /// Readings behind, at most.
    pub lag: u64,
    /// Age of the oldest reading that is not delivered.
    pub lag_s: u64,
    /// Of those, readings of the past that are being filled in.
    #[serde(default)]
    pub missing: u64,
    /// Readings without a date, which a time-series store cannot have.
    #[serde(default)]
    pub undated: u64,
    /// Values that are older than what the store keeps.
    #[serde(default)]
    pub too_old: u64,
    /// Messages or values set aside since the start.
    #[serde(rename = "set_aside")]
    pub dead_letters: u64,
    /// Those that are kept: `plantroom set-aside`.
    #[serde(default)]
    #[serde(rename = "kept_aside")]
    pub dead_letters_kept: u64,
    /// The last of them.
    #[serde(rename = "last_set_aside")]
    pub last_dead_letter: String,
    /// Of those, dropped for room or age, or not kept for want of a disk.
    #[serde(default)]
    #[serde(rename = "aside_dropped")]
    pub dead_letters_dropped: u64,
    /// How far the history is that is being written again; empty: none is.
    #[serde(default)]
    pub resending: String,
    /// Topics or series that the other side refuses now, and which.
    #[serde(default)]
    pub refused: u64,
    /// Which, with its words.
    #[serde(default)]
    pub refused_what: String,
    /// What the other side cannot do that was wanted, and what follows.
    #[serde(default)]
    pub limits: String,
    /// Whether another client of the same id takes the connection again and again.
    #[serde(default)]
    pub clashes: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JournalStatus {
    /// Whether the last commit succeeded.
    pub ok: bool,
    /// What the disk said.
    pub error: String,
    /// Size of the journal's directory, measured every 30 s.
    pub bytes: u64,
    /// Configured limit of that size.
    pub max_bytes: u64,
    /// Readings committed since the start.
    pub committed: u64,
    /// Readings dropped from memory, or deleted before every sink had read them.
    pub lost: u64,
    /// Files found damaged, repaired ones included.
    pub damaged_files: u64,
    /// Day files that were downsampled.
    pub thinned_files: u64,
    /// Files deleted before their time.
    pub dropped_files: u64,
    /// Files deleted because they have served their time.
    #[serde(default)]
    pub aged_files: u64,
    /// What the last verification found; none: there was none yet.
    #[serde(default)]
    pub verified: Option<Verified>,
}

/// The energy ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LedgerStatus {
    /// Registers that have been read since the start.
    pub registers: u64,
    /// Registers that fell or jumped: what they show is counted nowhere.
    pub pending: u64,
    /// Date of the newest reading that is written, RFC 3339; empty: none since the start.
    pub written_to: String,
    /// Why it cannot be written; empty: it can.
    pub error: String,
}

/// What the last verification of the journal's files found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verified {
    /// When it ended; empty: the date was not known.
    pub at: String,
    /// Number of files that were read.
    pub files: u64,
    /// Places that cannot be read: `plantroom verify` names them.
    pub damaged: u64,
    /// Files of registers that were mended from their second copy.
    pub mended: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClockStatus {
    /// The date as shown.
    pub date: String,
    /// Whether it is believed.
    pub trusted: bool,
    /// Whether the kernel calls it synchronised.
    pub synchronised: bool,
    /// Why it is not believed.
    #[serde(default)]
    #[serde(rename = "why")]
    pub reason: String,
}

fn pages(shared: &Shared) -> OncallStatus {
    let ids: Vec<String> = lock(&shared.adapters.channels).iter().map(|c| c.settings.id().to_string()).collect();
    let reply_ways = shared.reply_receivers();
    let engine = shared.engine();
    let now = shared.clock.mono();
    let figures = engine.oncall().stats();
    let in_cooldown = engine.oncall().channels_in_cooldown(now);
    let why = |id: &str| {
        let cooldown = in_cooldown.iter().find(|(of, ..)| *of == id);
        cooldown.map_or(String::new(), |(_, until, why)| format!("rests {} s: {why}", until.since(now) / 1_000))
    };
    OncallStatus {
        waiting: figures.waiting,
        unreached: figures.unreached,
        sent: figures.sent,
        failed: figures.failed,
        channels: ids.into_iter().map(|id| (id.clone(), why(&id))).collect(),
        reply_ways,
    }
}

fn alarms(shared: &Shared) -> AlarmCounts {
    let engine = shared.engine();
    let unwritten = shared.store.health.failed.load(Ordering::Relaxed);
    let mut out =
        AlarmCounts { flood: engine.alarms().is_alarm_flood(), commit_failed: unwritten, ..AlarmCounts::default() };
    for (_, _, alarm) in engine.alarms().all() {
        out.all += 1;
        out.active += usize::from(alarm.step > 0);
        out.unacknowledged += usize::from(alarm.needs_ack);
        out.suppressed += usize::from(alarm.is_silenced());
    }
    out
}

pub fn status(shared: &Shared) -> Status {
    let configuration = shared.configuration();
    let j = shared.journal.health();
    let get = |a: &std::sync::atomic::AtomicU64| a.load(Ordering::Relaxed);
    let failure = |t: &crate::supervise::TaskFailure| {
        let standing = if t.restarts_exhausted { ", now tried every ten minutes" } else { "" };
        format!("{} panicked {} times{standing}", t.task, t.panics)
    };
    let zone = &configuration.alarms.zone;
    // Each lock is taken and released in turn: a guard inside the expression below would live to its end and could deadlock.
    let links = lock(&shared.adapters.buses).iter().map(|b| link(b, zone, shared.clock.mono())).collect();
    let sinks = lock(&shared.adapters.sinks).iter().map(sink).collect();
    let (alarms, pages) = (alarms(shared), pages(shared));
    Status {
        version: env!("CARGO_PKG_VERSION").to_string(),
        site: configuration.site.id.clone(),
        uptime_s: shared.clock.mono().since(shared.process.started) / 1_000,
        last_good: lock(&shared.process.last_good).clone(),
        rules_off: shared.process.crash_loop_guard.remark(),
        links,
        sinks,
        alarms,
        pages,
        journal: JournalStatus {
            ok: j.ok.load(Ordering::Relaxed),
            error: lock(&j.error).clone(),
            bytes: get(&j.bytes),
            max_bytes: configuration.journal.max_bytes(),
            committed: get(&j.committed),
            lost: get(&j.lost) + get(&j.lost_unsent),
            damaged_files: get(&j.damaged_files),
            thinned_files: get(&j.downsampled_files),
            dropped_files: get(&j.dropped_files),
            aged_files: get(&j.expired_files),
            verified: shared.journal.last_verification().map(|report| Verified {
                at: if report.ended_ms > 0 { UnixMillis(report.ended_ms).local(zone) } else { String::new() },
                files: report.files,
                damaged: report.damage.len() as u64,
                mended: report.repaired.len() as u64,
            }),
        },
        ledger: ledger(shared, zone),
        clock: ClockStatus {
            date: shared.clock.wall().local(zone),
            trusted: shared.clock.is_trusted(),
            synchronised: crate::clock::kernel_synchronised(),
            reason: shared.clock.distrust_reason().unwrap_or_default(),
        },
        task_failures: lock(&shared.process.task_failures).iter().map(failure).collect(),
    }
}

fn ledger(shared: &Shared, zone: &TimeZone) -> LedgerStatus {
    let of = &shared.ledger;
    let written = UnixMillis(of.written_to_ms.load(Ordering::Relaxed));
    LedgerStatus {
        registers: of.registers.load(Ordering::Relaxed),
        pending: of.pending.load(Ordering::Relaxed),
        written_to: if written.0 > 0 { written.local(zone) } else { String::new() },
        error: lock(&of.error).clone(),
    }
}

fn link(bus: &BusHandle, zone: &TimeZone, now: MonotonicMillis) -> LinkStatus {
    let stalled = bus.health.stalled_ms(now);
    let unit = |(i, config): (usize, &crate::poll::UnitConfig)| {
        let h = bus.health.with_unit(i, |h| h.clone()).unwrap_or_default();
        let trips: u64 = h.round_trips.iter().sum();
        UnitStatus {
            id: config.id.to_string(),
            address: config.address,
            profile: config.profile.name.to_string(),
            variant: if h.variant.is_empty() { "base".to_string() } else { h.variant },
            state: format!("{:?}", h.presence).to_lowercase(),
            reason: h.cause.map(|c| c.word().to_string()).unwrap_or_default(),
            since: if h.since.0 == 0 { String::new() } else { h.since.local(zone) },
            cycles: h.cycles,
            good: h.good_cycles,
            skipped: h.skipped_cycles,
            timeouts: h.timeouts,
            exceptions: h.exceptions,
            round_trip_us: h.round_trip_sum_us / trips.max(1),
            retries: h.retries,
            late: h.late_answers,
            remark: h.late_answer_hint,
            unreadable_ranges: h.unreadable_ranges,
        }
    };
    LinkStatus {
        id: bus.config.link.id.clone(),
        address: bus.config.link.transport.address().to_string(),
        is_connected: bus.health.is_open.load(Ordering::Relaxed) && stalled.is_none(),
        error: stalled
            .map_or_else(|| bus.health.error(), |ms| format!("nothing is read for {} s: it hangs", ms / 1_000)),
        counters: bus.health.counters.list().into_iter().map(|(name, _, n)| (name.to_string(), n)).collect(),
        last_rejected: bus.health.counters.last_rejected(),
        units: bus.config.units.iter().enumerate().map(unit).collect(),
    }
}

fn sink(sink: &SinkHandle) -> SinkStatus {
    let h = &sink.health;
    SinkStatus {
        name: sink.settings.name().to_string(),
        url: sink.settings.url().to_string(),
        is_connected: h.connected.load(Ordering::Relaxed),
        error: SinkHealth::text(&h.error),
        paused: h.paused.load(Ordering::Relaxed),
        missing: h.backfill_pending.load(Ordering::Relaxed),
        undated: h.undated.load(Ordering::Relaxed),
        too_old: h.too_old.load(Ordering::Relaxed),
        dead_letters_kept: sink.dead_letters.count() as u64,
        delivered: h.delivered.load(Ordering::Relaxed),
        lag: h.lag.load(Ordering::Relaxed),
        lag_s: h.lag_ms.load(Ordering::Relaxed) / 1_000,
        dead_letters: h.dead_lettered.load(Ordering::Relaxed),
        last_dead_letter: SinkHealth::text(&h.last_dead_letter),
        dead_letters_dropped: sink.dead_letters.dropped(),
        resending: sink.resend.progress(),
        refused: h.rejected_count.load(Ordering::Relaxed),
        refused_what: SinkHealth::text(&h.rejected_list),
        limits: SinkHealth::text(&h.limits),
        clashes: h.has_client_id_conflict.load(Ordering::Relaxed),
    }
}
