//! The task of one bus: opens it, serves what is due, probes silent units within a budget, serves reads from outside in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::{self, Clock, FaultLog, LogLimit, Pauses};
use crate::link::Link;
use crate::link::connect::Dialer;
use crate::link::error::LinkError;
use crate::lock::lock;
use crate::model::quality::Cause;
use crate::model::reading::Reading;
use crate::poll::cycle::CycleOutcome;
use crate::poll::health::{BusHealth, UnitPresence};
use crate::poll::request::{Requester, RetryBudget};
use crate::poll::schedule::Schedule;
use crate::poll::unit::{PolledUnit, identify, record_outcome};
use crate::poll::{BusConfig, Deliver, ReadRequest};

static LOG: LogLimit = LogLimit::new();

/// Share of a bus's time that probing silent units may take: one in twenty-five.
const PROBE_TIME_DIVISOR: u64 = 25;
/// Interval at which a lasting fault is logged again.
/// First and longest pause between two probes of a silent unit.
const PROBE_PAUSE_MIN_US: u64 = 2_000_000;
const PROBE_PAUSE_MAX_US: u64 = 60_000_000;

/// Interval of attempts to open a serial port that is gone.
const SERIAL_PAUSE_MS: u64 = 1_000;
/// Longest time-out and longest pause of a read from outside.
const REQUEST_TIMEOUT_MAX_MS: u64 = 5_000;
const REQUEST_PAUSE_MAX_MS: u64 = 1_000;
/// Shortest and longest pause between two attempts to connect.
const OPEN_PAUSE_MIN: Duration = Duration::from_millis(250);
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(10);

/// The task that polls one bus.
pub struct LinkWorker {
    link: Link,
    clock: Clock,
    health: Arc<BusHealth>,
    deliver: Deliver,
    units: Vec<PolledUnit>,
    /// (unit, group) of each slot of the schedule.
    slots: Vec<(usize, usize)>,
    schedule: Schedule,
    id: String,
    address: String,
    probe_credit_us: u64,
    credit_updated_us: u64,
    next_open_us: u64,
    open_pauses: Pauses,
    down_since_us: Option<u64>,
    /// Attempts to open that failed since then, and when that is logged again.
    failures: u64,
    fault_log: FaultLog,
    last_answer_us: u64,
    retry_budget: RetryBudget,
    closes_after_cycle: bool,
    flood_rank: u8,
}

impl LinkWorker {
    /// A bus that has not been opened yet.
    pub fn new(config: &BusConfig, clock: Clock, health: Arc<BusHealth>, deliver: Deliver) -> Self {
        let link = Link::new(config.link.clone(), clock.clone(), Arc::clone(&health.counters));
        let units: Vec<PolledUnit> = config.units.iter().map(PolledUnit::new).collect();
        let mut slots = Vec::new();
        for (u, unit) in units.iter().enumerate() {
            slots.extend((0..unit.groups.len()).map(|g| (u, g)));
        }
        let intervals_ms: Vec<u64> = slots.iter().map(|&(u, g)| units[u].groups[g].config.interval_ms).collect();
        let now = clock.mono_us();
        // Buses begin up to 200 ms apart, by a hash of their names, so that they are not all read at the same instant.
        let shift = config.link.id.bytes().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))) % 200;
        Self {
            link,
            health,
            deliver,
            units,
            slots,
            schedule: Schedule::new(&intervals_ms, now + shift * 1_000, config.link.overload),
            id: config.link.id.clone(),
            address: config.link.transport.address().to_string(),
            probe_credit_us: 0,
            credit_updated_us: now,
            next_open_us: 0,
            open_pauses: Pauses::new(OPEN_PAUSE_MIN, OPEN_PAUSE_MAX),
            down_since_us: None,
            failures: 0,
            fault_log: FaultLog::default(),
            last_answer_us: now,
            retry_budget: RetryBudget::new(now),
            closes_after_cycle: config.link.close_after_cycle,
            flood_rank: 0,
            clock,
        }
    }

    /// Polls a simulated bus instead of the one that the settings name (tests).
    pub fn simulate(&mut self, dialer: Dialer, id_seed: u64) {
        self.link.simulate(dialer, id_seed);
    }

    /// Polls until `stop` is cancelled. A cycle that has begun is finished.
    pub async fn run(mut self, mut requests: mpsc::Receiver<ReadRequest>, stop: CancellationToken) {
        loop {
            self.health.progress_ms.store(self.clock.mono().0, Ordering::Relaxed);
            if !self.link.is_open() && self.open(&stop).await.is_none() {
                break;
            }
            if self.health.should_reset_learned.swap(false, Ordering::Relaxed) {
                self.units.iter_mut().for_each(PolledUnit::reset_learned);
            }
            self.follow_flood_level();
            let due_us = self.schedule.next_due().map_or(u64::MAX, |(_, at)| at);
            let probe_us = self.next_idle_probe_us();
            let wait = due_us.min(probe_us).saturating_sub(self.clock.mono_us()).min(1_000_000);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(request) = requests.recv() => self.serve_request(request).await,
                () = self.link.idle(wait) => {
                    if due_us <= self.clock.mono_us() {
                        self.serve_due().await;
                    } else if probe_us <= self.clock.mono_us() {
                        self.probe_while_idle().await;
                    }
                }
            }
        }
    }

    /// Takes the intervals of the flood level in force.
    fn follow_flood_level(&mut self) {
        let rank = self.health.flood_rank.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.flood_rank, rank) != rank {
            let groups = self.slots.iter().map(|&(u, g)| &self.units[u].groups[g].config);
            let intervals_ms: Vec<u64> = groups.map(|group| group.interval_at_ms(rank)).collect();
            self.schedule.set_intervals(&intervals_ms, self.clock.mono_us());
        }
    }

    /// Opens the link, with jittered back-off; cycles that fall due meanwhile fail. `None`: `stop` was cancelled.
    async fn open(&mut self, stop: &CancellationToken) -> Option<()> {
        self.health.is_open.store(false, Ordering::Relaxed);
        loop {
            self.health.progress_ms.store(self.clock.mono().0, Ordering::Relaxed);
            let now = self.clock.mono_us();
            let due = self.schedule.next_due().map_or(u64::MAX, |(_, at)| at);
            if now >= self.next_open_us {
                match self.open_while_due(stop).await? {
                    Ok(()) => {
                        self.on_connected();
                        return Some(());
                    }
                    Err(error) => self.on_open_failed(&error),
                }
                continue;
            }
            let until = self.next_open_us.min(due).saturating_sub(now).min(1_000_000);
            tokio::select! {
                () = stop.cancelled() => return None,
                () = sleep_us(until, &self.clock) => {}
            }
            if due <= self.clock.mono_us() {
                self.fail_due_slot(Cause::LinkDown);
            }
        }
    }

    /// One attempt to open; cycles that fall due meanwhile fail.
    async fn open_while_due(&mut self, stop: &CancellationToken) -> Option<Result<(), LinkError>> {
        let Self { link, schedule, clock, units, slots, deliver, health, .. } = self;
        let opening = link.open();
        tokio::pin!(opening);
        loop {
            let due = schedule.next_due().map_or(u64::MAX, |(_, at)| at);
            let wait = due.saturating_sub(clock.mono_us()).clamp(1_000, 1_000_000);
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                result = &mut opening => return Some(result),
                () = sleep_us(wait, clock) => {}
            }
            if due <= clock.mono_us() {
                fail_due(schedule, clock, units, slots, deliver, health, Cause::LinkDown);
            }
        }
    }

    fn on_connected(&mut self) {
        if let Some(since) = self.down_since_us.take() {
            let seconds = (self.clock.mono_us() - since) / 1_000_000;
            let failures = std::mem::take(&mut self.failures);
            if let Some(count) = LOG.allows(&format!("up {}", self.id)) {
                info!(link = self.id, address = self.address, seconds, failures, count, "link is up again");
            }
        } else {
            info!(link = self.id, address = self.address, "link is up");
        }
        self.health.is_open.store(true, Ordering::Relaxed);
        *lock(&self.health.error) = String::new();
        for unit in &mut self.units {
            unit.reset_learned();
            (unit.next_probe_us, unit.probe_pause_us) = (0, 0);
        }
        self.last_answer_us = self.clock.mono_us();
    }

    fn on_open_failed(&mut self, error: &LinkError) {
        let now = self.clock.mono_us();
        self.failures += 1;
        let since = *self.down_since_us.get_or_insert(now);
        if self.fault_log.is_due(self.failures == 1, now) {
            let (failures, minutes) = (self.failures, (now - since) / 60_000_000);
            if let Some(count) = LOG.allows(&format!("down {}", self.id)) {
                warn!(link = self.id, %error, failures, minutes, count, "link is down");
            }
        }
        *lock(&self.health.error) = error.to_string();
        self.back_off();
    }

    /// Sets the time of the next attempt. A connection: 0.25 s doubling to 10 s, each with up to a quarter more or less, so that many
    /// boxes do not connect at once. A serial port: every second.
    fn back_off(&mut self) {
        if self.link.is_serial() {
            self.next_open_us = self.clock.mono_us() + SERIAL_PAUSE_MS * 1_000;
            return;
        }
        let pause = clock::spread(self.open_pauses.next_pause());
        self.next_open_us = self.clock.mono_us() + u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
    }

    /// The link was lost while in use.
    fn on_disconnected(&mut self) {
        self.health.is_open.store(false, Ordering::Relaxed);
        if self.down_since_us.is_none() {
            self.down_since_us = Some(self.clock.mono_us());
            if let Some(count) = LOG.allows(&format!("lost {}", self.id)) {
                warn!(link = self.id, address = self.address, count, "link is lost");
            }
        }
        self.back_off();
    }

    /// Serves the slot that is due.
    async fn serve_due(&mut self) {
        let Some((slot, due_us)) = self.schedule.next_due() else { return };
        let (u, g) = self.slots[slot];
        let began = self.clock.mono_us();
        if self.units[u].is_offline() {
            // The probe that is due longest: otherwise the unit whose slot coincides with the credit would use all of it.
            let offline = (0..self.units.len()).filter(|u| self.units[*u].is_offline());
            let next = offline.min_by_key(|u| self.units[*u].next_probe_us).unwrap_or(u);
            if self.may_probe(next, due_us) {
                self.probe(next).await;
            }
            if self.units[u].is_offline() {
                return self.fail_due_slot(Cause::UnitOffline);
            }
        }
        let outcome = self.cycle(u, g).await;
        self.health.busy_us.fetch_add(self.clock.mono_us() - began, Ordering::Relaxed);
        match outcome {
            CycleOutcome::LinkLost(_) => self.on_disconnected(),
            _ if !self.link.is_open() => self.on_disconnected(),
            // The device accepts connections and closes them again on every request.
            CycleOutcome::Silent(Cause::Closed) => {
                self.link.close();
                self.on_disconnected();
            }
            CycleOutcome::Silent(_) | CycleOutcome::NothingToRead => {}
            CycleOutcome::Good | CycleOutcome::Degraded(_) => {
                self.last_answer_us = self.clock.mono_us();
                self.open_pauses.reset();
            }
        }
        if self.closes_after_cycle {
            self.link.pause();
        }
        self.units[u].health.skipped_cycles += self.schedule.advance(slot, self.clock.mono_us());
    }

    /// One cycle of one group.
    async fn cycle(&mut self, u: usize, g: usize) -> CycleOutcome {
        let Self { link, clock, units, health, deliver, id, retry_budget, .. } = self;
        let unit = &mut units[u];
        let mut unit_health = std::mem::take(&mut unit.health);
        let (params, is_trusted) = (unit.params(link), unit.has_answered && unit.silent_cycles == 0);
        let is_late = unit.is_late(clock.mono_us());
        let mut requester = Requester { link, clock, params, is_late, budget: retry_budget, health: &mut unit_health };
        let (readings, outcome) = match identify(unit, &mut requester).await {
            Ok(is_answered) => unit.groups[g].run(&mut requester, is_trusted, is_answered).await,
            // With the wrong variant good answers become wrong values: nothing is read until the variant is known.
            Err(cause) => {
                let outcome = match cause {
                    Cause::LinkDown => CycleOutcome::LinkLost(cause),
                    _ if cause.unit_answered() || cause == Cause::Unsettled => CycleOutcome::Degraded(cause),
                    _ => CycleOutcome::Silent(cause),
                };
                unit.groups[g].gives_nothing = cause.unit_answered();
                (unit.groups[g].failed_readings(cause, clock), outcome)
            }
        };
        unit_health.cycles += 1;
        unit_health.good_cycles += u64::from(outcome == CycleOutcome::Good);
        unit.health = unit_health;
        let (presence, cause) = match outcome {
            CycleOutcome::Good => (UnitPresence::Online, None),
            CycleOutcome::Degraded(cause) if unit.groups.iter().all(|g| g.gives_nothing || g.defs.is_empty()) => {
                (UnitPresence::Refusing, Some(cause))
            }
            CycleOutcome::Degraded(cause) => (UnitPresence::Degraded, Some(cause)),
            CycleOutcome::Silent(cause) | CycleOutcome::LinkLost(cause) => (UnitPresence::Offline, Some(cause)),
            CycleOutcome::NothingToRead => (unit.health.presence, unit.health.cause),
        };
        match outcome {
            CycleOutcome::Good | CycleOutcome::Degraded(_) => {
                unit.mark_answered();
                unit.lower_timeout(link, clock.mono_us());
            }
            CycleOutcome::Silent(_) => unit.silent_cycles += 1,
            CycleOutcome::LinkLost(_) | CycleOutcome::NothingToRead => {}
        }
        report_late_answer(link, units, u, clock.mono_us());
        let unit = &mut units[u];
        record_outcome(unit, presence, cause, clock, id);
        let _known = health.with_unit(u, |h| h.clone_from(&unit.health));
        readings.into_iter().for_each(|r| deliver(r));
        outcome
    }

    /// When a silent unit is probed although nothing is due: only while every unit of the link is silent. It delays no other unit then,
    /// and slow polls do not determine how soon the link is found alive.
    fn next_idle_probe_us(&self) -> u64 {
        let all_offline = !self.units.is_empty() && self.units.iter().all(PolledUnit::is_offline);
        let next = self.units.iter().map(|unit| unit.next_probe_us).min();
        next.filter(|_| all_offline).unwrap_or(u64::MAX)
    }

    async fn probe_while_idle(&mut self) {
        let Some(u) = (0..self.units.len()).min_by_key(|u| self.units[*u].next_probe_us) else { return };
        self.probe(u).await;
        if self.closes_after_cycle {
            self.link.pause();
        }
        if !self.units[u].is_offline() {
            let now = self.clock.mono_us();
            let own_slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.0 == u).map(|(i, _)| i);
            own_slots.for_each(|slot| self.schedule.make_due(slot, now));
        }
    }

    /// Whether a silent unit may be probed now: its pause is over, and either the bus is idle for as long as that may take, or
    /// the probes so far took less than their share.
    fn may_probe(&mut self, u: usize, due_us: u64) -> bool {
        let now = self.clock.mono_us();
        let unit = &self.units[u];
        let timeout_us = unit.params(&self.link).timeout_ms * 1_000;
        let cost = if self.link.is_rtu() { timeout_us * 2 } else { timeout_us };
        let credit_us = self.probe_credit_us + (now - self.credit_updated_us) / PROBE_TIME_DIVISOR;
        self.probe_credit_us = credit_us.min(cost.max(5_000_000).max(self.probe_credit_us));
        self.credit_updated_us = now;
        if now < unit.next_probe_us {
            return false;
        }
        let all_offline = self.units.iter().all(PolledUnit::is_offline);
        let next_due = self.slots.iter().enumerate().filter(|(_, s)| !self.units[s.0].is_offline()).map(|(i, _)| i);
        let next_online_due_us = next_due.filter_map(|i| self.schedule.due_at(i)).min().unwrap_or(u64::MAX).max(due_us);
        if all_offline || now + cost < next_online_due_us {
            return true;
        }
        if self.probe_credit_us < cost {
            return false;
        }
        self.probe_credit_us -= cost;
        true
    }

    /// Probes a silent unit with the shortest read, each time another one.
    async fn probe(&mut self, u: usize) {
        let Self { link, units, .. } = self;
        let unit = &mut units[u];
        let params = unit.params(link);
        unit.probe_turn += 1;
        let group = unit.probe_turn % unit.groups.len().max(1);
        let Some(block) = unit.groups.get_mut(group).and_then(|g| g.probe(&[])) else { return unit.mark_answered() };
        let result = link.read(params.address, block.span, params.timeout_ms, params.pause_ms).await;
        let has_answered = match &result {
            Ok(answer) => {
                if answer.is_ambiguous {
                    link.mark_ambiguous(params.address, block.span);
                }
                true
            }
            Err(cause) => cause.unit_answered() || *cause == Cause::Unsettled,
        };
        if has_answered {
            // The unit may have been replaced while it was away. Until a cycle was good, probes keep their pause.
            unit.reset_learned();
            if let (Ok(_), Some(group)) = (&result, unit.groups.get_mut(group)) {
                group.plan.note_answer(&block);
            }
            (unit.silent_cycles, unit.has_answered) = (0, true);
            self.last_answer_us = self.clock.mono_us();
            unit.next_probe_us = self.last_answer_us + unit.probe_pause_us.max(PROBE_PAUSE_MIN_US);
        } else {
            unit.probe_pause_us = (unit.probe_pause_us * 2).clamp(PROBE_PAUSE_MIN_US, PROBE_PAUSE_MAX_US);
            unit.next_probe_us = self.clock.mono_us() + unit.probe_pause_us;
        }
        report_late_answer(&mut self.link, &mut self.units, u, self.clock.mono_us());
        let silent_us = self.clock.mono_us().saturating_sub(self.last_answer_us);
        if !self.link.is_open() {
            self.on_disconnected();
        } else if silent_us > 10_000_000 && !self.link.is_serial() && self.units.iter().all(PolledUnit::is_offline) {
            // Nothing has answered for long: a new connection costs little and replaces a hung one. The next request opens it.
            self.link.pause();
        }
    }

    /// Fails the slot that is due without using the bus.
    fn fail_due_slot(&mut self, cause: Cause) {
        let Self { schedule, clock, units, slots, deliver, health, .. } = self;
        fail_due(schedule, clock, units, slots, deliver, health, cause);
    }

    /// Serves a read from outside, between two cycles.
    async fn serve_request(&mut self, request: ReadRequest) {
        if request.reply.is_closed() {
            // The requester no longer waits.
            return;
        }
        // No read from outside may occupy the bus for long.
        let timeout_ms = request.timeout_ms.unwrap_or_else(|| self.link.timeout_ms()).min(REQUEST_TIMEOUT_MAX_MS);
        let pause_ms = request.pause_ms.min(REQUEST_PAUSE_MAX_MS);
        let result = self.link.read_confirmed(request.address, request.span, timeout_ms, pause_ms).await;
        if !self.link.is_open() {
            self.on_disconnected();
        }
        let _nobody_waits = request.reply.send(result.map(|answer| answer.words));
    }
}

/// Reports a late answer to the unit that it belongs to; the unit being read is checked first.
fn report_late_answer(link: &mut Link, units: &mut [PolledUnit], u: usize, now_us: u64) {
    let Some(late) = link.take_late_answer() else { return };
    let is_own = units[u].config.address == late.unit;
    let unit = if is_own { units.get_mut(u) } else { units.iter_mut().find(|unit| unit.config.address == late.unit) };
    if let Some(unit) = unit {
        unit.record_late_answer(late.after_us, link, now_us);
    }
}

/// Fails the slot that is due with this cause.
fn fail_due(
    schedule: &mut Schedule,
    clock: &Clock,
    units: &mut [PolledUnit],
    slots: &[(usize, usize)],
    deliver: &Deliver,
    health: &BusHealth,
    cause: Cause,
) {
    let Some((slot, _)) = schedule.next_due() else { return };
    let (u, g) = slots[slot];
    let readings: Vec<Reading> = units[u].groups[g].failed_readings(cause, clock);
    readings.into_iter().for_each(|r| deliver(r));
    let skipped = schedule.advance(slot, clock.mono_us());
    let unit_health = &mut units[u].health;
    unit_health.cycles += 1;
    unit_health.skipped_cycles += skipped;
    unit_health.set_presence(UnitPresence::Offline, Some(cause), clock.wall());
    let _known = health.with_unit(u, |h| h.clone_from(unit_health));
}

/// tokio's timer has a resolution of a millisecond, which is enough between cycles.
async fn sleep_us(us: u64, clock: &Clock) {
    if us > 0 {
        clock.sleep(Duration::from_micros(us)).await;
    }
}
