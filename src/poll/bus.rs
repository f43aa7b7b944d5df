//! The task of one bus: opens it, serves what is due, probes silent units within a budget, answers questions in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::link::Link;
use crate::model::quality::Cause;
use crate::model::reading::Reading;
use crate::poll::cycle::{self, Group, Manner, Outcome};
use crate::poll::health::{BusHealth, Presence, UnitHealth};
use crate::poll::schedule::Schedule;
use crate::poll::{Ask, BusConfig, Deliver, UnitConfig};

/// Share of a bus's time that probing silent units may take: one in fifty.
const PROBE_SHARE: u64 = 50;
/// How often a fault that lasts is said again.
const SAY_EVERY_US: u64 = 3_600_000_000;
/// Longest pause between two probes of a silent unit.
const PROBE_PAUSE_MAX_US: u64 = 60_000_000;

/// A unit at work.
struct Unit {
    config: UnitConfig,
    groups: Vec<Group>,
    /// Failed cycles in a row.
    silent: u32,
    answered_once: bool,
    identified: bool,
    /// Its figures; a copy is shown after each cycle.
    figures: UnitHealth,
    next_probe_us: u64,
    probe_pause_us: u64,
}

impl Unit {
    fn new(config: &UnitConfig) -> Self {
        let layout = config.profile.layout(None);
        let groups = config.groups.iter().map(|g| Group::new(g, layout)).collect();
        let identified = config.profile.ident.is_none();
        Self {
            config: config.clone(),
            groups,
            silent: 0,
            answered_once: false,
            identified,
            figures: UnitHealth::default(),
            next_probe_us: 0,
            probe_pause_us: 0,
        }
    }

    /// Silent for so long that it is only probed: at once if it never answered, else after three failed cycles.
    fn is_dead(&self) -> bool {
        self.silent >= if self.answered_once { 3 } else { 1 }
    }

    fn manner(&self, link: &Link) -> Manner {
        let rules = &self.config.profile.layout(None).read;
        let timeout_ms = self.config.timeout_ms.or(rules.timeout_ms).unwrap_or_else(|| link.timeout_ms());
        Manner { address: self.config.address, timeout_ms, pause_ms: rules.pause_ms }
    }

    fn answered(&mut self) {
        (self.silent, self.answered_once, self.probe_pause_us) = (0, true, 0);
    }
}

/// A bus at work.
pub struct Bus {
    link: Link,
    clock: Clock,
    health: Arc<BusHealth>,
    deliver: Deliver,
    units: Vec<Unit>,
    /// (unit, group) of each slot of the schedule.
    slots: Vec<(usize, usize)>,
    schedule: Schedule,
    id: String,
    address: String,
    probe_credit_us: u64,
    credited_us: u64,
    next_open_us: u64,
    open_pause_ms: u64,
    down_since_us: Option<u64>,
    /// Attempts to open that failed since then, and when that is said again.
    failures: u64,
    say_again_us: u64,
    last_answer_us: u64,
}

impl Bus {
    /// A bus that has not been opened yet.
    pub fn new(config: &BusConfig, clock: Clock, health: Arc<BusHealth>, deliver: Deliver) -> Self {
        let link = Link::new(config.link.clone(), clock.clone(), Arc::clone(&health.counters));
        let units: Vec<Unit> = config.units.iter().map(Unit::new).collect();
        let mut slots = Vec::new();
        for (u, unit) in units.iter().enumerate() {
            slots.extend((0..unit.groups.len()).map(|g| (u, g)));
        }
        let every: Vec<u64> = slots.iter().map(|&(u, g)| units[u].groups[g].config.every_ms).collect();
        let now = clock.mono_us();
        // Buses do not all begin at the same instant: a few milliseconds each, by their name.
        let shift = config.link.id.bytes().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))) % 200;
        Self {
            link,
            health,
            deliver,
            units,
            slots,
            schedule: Schedule::new(&every, now + shift * 1_000, config.link.overload),
            id: config.link.id.clone(),
            address: config.link.transport.address().to_string(),
            probe_credit_us: 0,
            credited_us: now,
            next_open_us: 0,
            open_pause_ms: 0,
            down_since_us: None,
            failures: 0,
            say_again_us: 0,
            last_answer_us: now,
            clock,
        }
    }

    /// Polls until told to stop. A cycle that has begun is finished.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>, stop: CancellationToken) {
        loop {
            self.health.progress_ms.store(self.clock.mono().0, Ordering::Relaxed);
            if !self.link.is_open() && self.open(&stop).await.is_none() {
                break;
            }
            let due_us = self.schedule.next().map_or(u64::MAX, |(_, at)| at);
            let wait = due_us.saturating_sub(self.clock.mono_us()).min(1_000_000);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ask) = asks.recv() => self.answer(ask).await,
                () = sleep_us(wait) => {
                    if due_us <= self.clock.mono_us() {
                        self.serve().await;
                    }
                }
            }
        }
    }

    /// Opens the link, with jittered back-off; meanwhile every cycle that is due is a failed one. `None`: told to stop.
    async fn open(&mut self, stop: &CancellationToken) -> Option<()> {
        self.health.open.store(false, Ordering::Relaxed);
        loop {
            self.health.progress_ms.store(self.clock.mono().0, Ordering::Relaxed);
            let now = self.clock.mono_us();
            let due = self.schedule.next().map_or(u64::MAX, |(_, at)| at);
            if now >= self.next_open_us {
                match self.open_while_due(stop).await? {
                    Ok(()) => {
                        self.opened();
                        return Some(());
                    }
                    Err(error) => self.open_failed(&error),
                }
                continue;
            }
            let until = self.next_open_us.min(due).saturating_sub(now).min(1_000_000);
            tokio::select! {
                () = stop.cancelled() => return None,
                () = sleep_us(until) => {}
            }
            if due <= self.clock.mono_us() {
                self.serve_failed(Cause::LinkDown);
            }
        }
    }

    /// One attempt to open; cycles that fall due meanwhile are failed ones.
    async fn open_while_due(&mut self, stop: &CancellationToken) -> Option<Result<(), String>> {
        let Self { link, schedule, clock, units, slots, deliver, health, .. } = self;
        let opening = link.open();
        tokio::pin!(opening);
        loop {
            let due = schedule.next().map_or(u64::MAX, |(_, at)| at);
            let wait = due.saturating_sub(clock.mono_us()).clamp(1_000, 1_000_000);
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                result = &mut opening => return Some(result),
                () = sleep_us(wait) => {}
            }
            if due <= clock.mono_us() {
                fail_due(schedule, clock, units, slots, deliver, health, Cause::LinkDown);
            }
        }
    }

    fn opened(&mut self) {
        if let Some(since) = self.down_since_us.take() {
            let seconds = (self.clock.mono_us() - since) / 1_000_000;
            let failures = std::mem::take(&mut self.failures);
            info!(link = self.id, address = self.address, seconds, failures, "link is up again");
        } else {
            info!(link = self.id, address = self.address, "link is up");
        }
        self.health.open.store(true, Ordering::Relaxed);
        *self.health.error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = String::new();
        for unit in &mut self.units {
            unit.identified = unit.config.profile.ident.is_none();
        }
        self.last_answer_us = self.clock.mono_us();
    }

    fn open_failed(&mut self, error: &str) {
        let now = self.clock.mono_us();
        self.failures += 1;
        let since = *self.down_since_us.get_or_insert(now);
        if self.failures == 1 || now >= self.say_again_us {
            // When it begins, and hourly while it lasts.
            self.say_again_us = now + SAY_EVERY_US;
            let (failures, minutes) = (self.failures, (now - since) / 60_000_000);
            warn!(link = self.id, error, failures, minutes, "link is down");
        }
        *self.health.error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = error.to_string();
        self.back_off();
    }

    /// 0.25 s doubling to 30 s, each with up to a quarter more or less, so that many boxes do not knock at once.
    fn back_off(&mut self) {
        self.open_pause_ms = (self.open_pause_ms * 2).clamp(250, 30_000);
        let jitter = self.clock.mono_us() % (self.open_pause_ms / 2);
        self.next_open_us = self.clock.mono_us() + (self.open_pause_ms * 3 / 4 + jitter) * 1_000;
    }

    /// The link was lost while in use.
    fn lost(&mut self) {
        self.health.open.store(false, Ordering::Relaxed);
        if self.down_since_us.is_none() {
            self.down_since_us = Some(self.clock.mono_us());
            warn!(link = self.id, address = self.address, "link is lost");
        }
        self.back_off();
    }

    /// Serves the slot that is due.
    async fn serve(&mut self) {
        let Some((slot, due_us)) = self.schedule.next() else { return };
        let (u, g) = self.slots[slot];
        let began = self.clock.mono_us();
        if self.units[u].is_dead() {
            if self.may_probe(u, due_us) {
                self.probe(u).await;
            }
            if self.units[u].is_dead() {
                return self.serve_failed(Cause::UnitOffline);
            }
        }
        let outcome = self.cycle(u, g).await;
        self.health.busy_us.fetch_add(self.clock.mono_us() - began, Ordering::Relaxed);
        if matches!(outcome, Outcome::LinkLost(_)) || !self.link.is_open() {
            self.lost();
        } else if !matches!(outcome, Outcome::Silent(_)) {
            self.last_answer_us = self.clock.mono_us();
            self.open_pause_ms = 0;
        }
        self.units[u].figures.skipped += self.schedule.advance(slot, self.clock.mono_us());
    }

    /// One cycle of one group.
    async fn cycle(&mut self, u: usize, g: usize) -> Outcome {
        let Self { link, clock, units, health, deliver, id, .. } = self;
        let unit = &mut units[u];
        let mut figures = std::mem::take(&mut unit.figures);
        let manner = unit.manner(link);
        let (readings, outcome) = match identify(unit, link, &mut figures).await {
            Ok(()) => unit.groups[g].run(link, clock, manner, &mut figures).await,
            // With the wrong variant's map good answers become wrong values: nothing is read until it is known.
            Err(cause) => {
                let outcome = match cause {
                    Cause::LinkDown => Outcome::LinkLost(cause),
                    _ if cause.unit_answered() || cause == Cause::Unsettled => Outcome::Degraded(cause),
                    _ => Outcome::Silent(cause),
                };
                (unit.groups[g].failed(cause, clock), outcome)
            }
        };
        figures.cycles += 1;
        let (presence, cause) = match outcome {
            Outcome::Good => (Presence::Online, None),
            Outcome::Degraded(cause) => (Presence::Degraded, Some(cause)),
            Outcome::Silent(cause) | Outcome::LinkLost(cause) => (Presence::Offline, Some(cause)),
        };
        match outcome {
            Outcome::Good | Outcome::Degraded(_) => unit.answered(),
            Outcome::Silent(_) => unit.silent += 1,
            Outcome::LinkLost(_) => {}
        }
        figures.good += u64::from(outcome == Outcome::Good);
        note(&mut figures, unit, presence, cause, clock, id);
        let _known = health.unit(u, |h| h.clone_from(&figures));
        unit.figures = figures;
        readings.into_iter().for_each(|r| deliver(r));
        outcome
    }

    /// Whether a silent unit may be asked now: its pause is over, and either the bus is idle for as long as it may take, or
    /// the probes so far took less than their share.
    fn may_probe(&mut self, u: usize, due_us: u64) -> bool {
        let now = self.clock.mono_us();
        self.probe_credit_us = (self.probe_credit_us + (now - self.credited_us) / PROBE_SHARE).min(5_000_000);
        self.credited_us = now;
        let unit = &self.units[u];
        if now < unit.next_probe_us {
            return false;
        }
        let timeout_us = unit.manner(&self.link).timeout_ms * 1_000;
        let cost = if self.link.is_rtu() { timeout_us * 2 } else { timeout_us };
        let alone = self.units.iter().all(Unit::is_dead);
        let next_due = self.slots.iter().enumerate().filter(|(_, s)| !self.units[s.0].is_dead()).map(|(i, _)| i);
        let living_due = next_due.filter_map(|i| self.schedule.due_of(i)).min().unwrap_or(u64::MAX).max(due_us);
        if alone || now + cost < living_due {
            return true;
        }
        if self.probe_credit_us < cost {
            return false;
        }
        self.probe_credit_us -= cost;
        true
    }

    /// Asks a silent unit for as little as possible.
    async fn probe(&mut self, u: usize) {
        let now = self.clock.mono_us();
        let all_silent = now.saturating_sub(self.last_answer_us) > 10_000_000;
        if all_silent && !self.link.is_rtu() && self.units.iter().all(Unit::is_dead) {
            // Nothing has answered for long: a new connection costs little and cures a hung one.
            self.link.close();
            return self.lost();
        }
        let Self { link, units, .. } = self;
        let unit = &mut units[u];
        let manner = unit.manner(link);
        let rules = &unit.config.profile.layout(None).read;
        let Some(span) = cycle::probe_span(&unit.groups, rules) else { return unit.answered() };
        let result = link.read(manner.address, span, manner.timeout_ms, manner.pause_ms).await;
        // A unit that was away may be another one now.
        let back = |unit: &mut Unit| {
            unit.answered();
            unit.identified = unit.config.profile.ident.is_none();
        };
        match result {
            Ok(answer) => {
                if answer.unsure {
                    link.doubt(manner.address, span);
                }
                back(unit);
            }
            Err(cause) if cause.unit_answered() || cause == Cause::Unsettled => back(unit),
            Err(_) => {
                unit.probe_pause_us = (unit.probe_pause_us * 2).clamp(2_000_000, PROBE_PAUSE_MAX_US);
                unit.next_probe_us = self.clock.mono_us() + unit.probe_pause_us;
            }
        }
        if !self.link.is_open() {
            self.lost();
        }
    }

    /// The slot that is due fails without touching the bus.
    fn serve_failed(&mut self, cause: Cause) {
        let Self { schedule, clock, units, slots, deliver, health, .. } = self;
        fail_due(schedule, clock, units, slots, deliver, health, cause);
    }

    /// A question from outside, between two cycles.
    async fn answer(&mut self, ask: Ask) {
        if ask.reply.is_closed() {
            // Whoever asked has gone.
            return;
        }
        let timeout_ms = ask.timeout_ms.unwrap_or_else(|| self.link.timeout_ms());
        let mut result = self.link.read(ask.address, ask.span, timeout_ms, ask.pause_ms).await;
        if result.as_ref().is_ok_and(|answer| answer.unsure) {
            result = self.link.read(ask.address, ask.span, timeout_ms, ask.pause_ms).await;
        }
        if !self.link.is_open() {
            self.lost();
        }
        let _nobody_waits = ask.reply.send(result.map(|answer| answer.words));
    }
}

/// Reads the ident register where that is due, and plans again if another variant answers.
async fn identify(unit: &mut Unit, link: &mut Link, figures: &mut UnitHealth) -> Result<(), Cause> {
    let manner = unit.manner(link);
    let Some(def) = unit.config.profile.ident.clone().filter(|_| !unit.identified) else { return Ok(()) };
    let ident = match cycle::read_ident(link, &def, manner, figures).await {
        Ok(ident) => Some(ident),
        // It has no such register: the base is all there is.
        Err(Cause::IllegalFunction | Cause::IllegalAddress | Cause::IllegalValue) => None,
        Err(cause) => return Err(cause),
    };
    let layout = unit.config.profile.layout(ident.as_deref());
    unit.groups = unit.config.groups.iter().map(|g| Group::new(g, layout)).collect();
    unit.identified = true;
    figures.layout = layout.name.to_string();
    figures.ident = ident;
    Ok(())
}

/// The slot that is due fails with this cause.
fn fail_due(
    schedule: &mut Schedule,
    clock: &Clock,
    units: &mut [Unit],
    slots: &[(usize, usize)],
    deliver: &Deliver,
    health: &BusHealth,
    cause: Cause,
) {
    let Some((slot, _)) = schedule.next() else { return };
    let (u, g) = slots[slot];
    let readings: Vec<Reading> = units[u].groups[g].failed(cause, clock);
    readings.into_iter().for_each(|r| deliver(r));
    let skipped = schedule.advance(slot, clock.mono_us());
    let figures = &mut units[u].figures;
    figures.cycles += 1;
    figures.skipped += skipped;
    figures.become_state(Presence::Offline, Some(cause), clock.wall());
    let _known = health.unit(u, |h| h.clone_from(figures));
}

/// Writes the outcome of a cycle into the unit's figures, and logs when the state changes.
fn note(h: &mut UnitHealth, unit: &Unit, presence: Presence, cause: Option<Cause>, clock: &Clock, link: &str) {
    if presence != Presence::Offline {
        h.last_answer = Some(clock.mono());
    }
    let was = h.presence;
    if h.become_state(presence, cause, clock.wall()) {
        let (unit, why) = (&*unit.config.id, cause.map_or("", Cause::says));
        match presence {
            Presence::Online if was != Presence::Unknown => info!(link, unit, "unit answers again"),
            Presence::Offline => warn!(link, unit, why, "unit does not answer"),
            Presence::Degraded => warn!(link, unit, why, "unit answers in part"),
            Presence::Online | Presence::Unknown => {}
        }
    }
    let learned = unit.groups.iter().map(|g| g.plan.refused.len() + g.plan.holes.len()).sum::<usize>();
    if learned == h.holes.len() {
        return;
    }
    let hole =
        |s: &crate::model::registers::Span| format!("function {} address {}+{}", s.area.function(), s.address, s.count);
    h.holes = unit
        .groups
        .iter()
        .flat_map(|g| g.plan.refused.iter().map(|(s, _)| hole(s)).chain(g.plan.holes.iter().map(hole)))
        .collect();
}

/// tokio's timer has a grain of a millisecond, which is enough between cycles.
async fn sleep_us(us: u64) {
    if us > 0 {
        tokio::time::sleep(Duration::from_micros(us)).await;
    }
}
