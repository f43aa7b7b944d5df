//! One unit of a bus: whether it answers, how it is read, what is reported of it.

use std::sync::Arc;

use tracing::{info, warn};

use crate::clock::{Clock, LogLimit};
use crate::link::Link;
use crate::model::quality::Cause;
use crate::poll::UnitConfig;
use crate::poll::cycle::PollGroup;
use crate::poll::health::{UnitHealth, UnitPresence};
use crate::poll::request::{RequestParams, Requester};

static LOG: LogLimit = LogLimit::new();

/// A unit polled less often than this is probed from its first silent cycle on, because three cycles would take too long.
const SLOW_INTERVAL_MS: u64 = 10_000;
/// How long a late answer is reported.
const REMARK_US: u64 = 3_600_000_000;

/// The polling state of one unit.
pub(super) struct PolledUnit {
    pub(super) config: UnitConfig,
    pub(super) groups: Vec<PollGroup>,
    /// Failed cycles in a row.
    pub(super) silent_cycles: u32,
    pub(super) has_answered: bool,
    pub(super) is_identified: bool,
    /// Its health as counted by the task; a copy is published after each cycle.
    pub(super) health: UnitHealth,
    pub(super) next_probe_us: u64,
    pub(super) probe_pause_us: u64,
    /// The profile's variant that the groups are planned for.
    variant: Arc<str>,
    /// When its last late answer came.
    last_late_us: u64,
    /// The time-out in force, where late answers have raised it.
    pub(super) raised_timeout_ms: Option<u64>,
    /// Counts probes, so that each reads something else.
    pub(super) probe_turn: usize,
    /// Revision of its plans whose findings are published.
    pub(super) published_revision: u64,
}

impl PolledUnit {
    pub(super) fn new(config: &UnitConfig) -> Self {
        let variant = config.profile.variant(None);
        let groups = config.groups.iter().map(|g| PollGroup::new(g, variant)).collect();
        let identified = config.profile.ident.is_none();
        Self {
            config: config.clone(),
            groups,
            silent_cycles: 0,
            has_answered: false,
            is_identified: identified,
            health: UnitHealth::default(),
            next_probe_us: 0,
            probe_pause_us: 0,
            variant: Arc::clone(&variant.name),
            last_late_us: 0,
            raised_timeout_ms: None,
            probe_turn: 0,
            published_revision: 0,
        }
    }

    /// Whether it is only probed: after one failed cycle if it never answered or is polled seldom, otherwise after three.
    pub(super) fn is_offline(&self) -> bool {
        let is_slow = self.groups.iter().all(|g| g.config.interval_ms >= SLOW_INTERVAL_MS);
        self.silent_cycles >= if self.has_answered && !is_slow { 3 } else { 1 }
    }

    pub(super) fn timeout_ms(&self, link: &Link) -> u64 {
        let rules = &self.config.profile.variant(None).read_rules;
        self.config.timeout_ms.or(rules.timeout_ms).unwrap_or_else(|| link.timeout_ms())
    }

    pub(super) fn params(&self, link: &Link) -> RequestParams {
        let set_ms = self.timeout_ms(link);
        RequestParams {
            address: self.config.address,
            timeout_ms: self.raised_timeout_ms.map_or(set_ms, |raised| raised.max(set_ms)),
            pause_ms: self.config.profile.variant(None).read_rules.pause_ms,
            retries: self.config.retries,
        }
    }

    pub(super) fn mark_answered(&mut self) {
        (self.silent_cycles, self.has_answered, self.probe_pause_us, self.next_probe_us) = (0, true, 0, 0);
    }

    /// Drops what was learned, because the unit was away or the link is new.
    pub(super) fn reset_learned(&mut self) {
        self.is_identified = self.config.profile.ident.is_none();
        self.groups.iter_mut().for_each(|g| g.plan.reset_learned());
    }

    /// Reports an answer that came after its request was given up, and raises the time-out if the link allows it.
    pub(super) fn record_late_answer(&mut self, after_us: u64, link: &Link, now_us: u64) {
        self.last_late_us = now_us;
        let (after_ms, set_ms) = (after_us.div_ceil(1_000), self.timeout_ms(link));
        self.health.late_answers += 1;
        if let Some(max_ms) = link.timeout_max_ms() {
            self.raised_timeout_ms = Some((after_ms * 5 / 4).clamp(set_ms, max_ms.max(set_ms)));
        }
        let seconds = |ms: u64| format!("{}.{:03} s", ms / 1_000, ms % 1_000);
        self.health.late_answer_hint = match self.raised_timeout_ms {
            Some(raised) => format!(
                "answers after {}: the time-out was raised from {} to {} (timeout_max_ms)",
                seconds(after_ms),
                seconds(set_ms),
                seconds(raised)
            ),
            None => {
                format!(
                    "answers after {}, the time-out is {}: raise `timeout_ms`, or let it grow by `timeout_max_ms`",
                    seconds(after_ms),
                    seconds(set_ms)
                )
            }
        };
    }

    /// Whether a late answer came within the last minute.
    pub(super) fn is_late(&self, now_us: u64) -> bool {
        self.last_late_us > 0 && now_us < self.last_late_us + 60_000_000
    }

    /// After a good cycle: lowers a raised time-out slowly, and clears the remark an hour after the last late answer.
    pub(super) fn lower_timeout(&mut self, link: &Link, now_us: u64) {
        let set_ms = self.timeout_ms(link);
        let lower = |raised: u64| (raised - (raised / 1_024).max(1)).max(set_ms);
        self.raised_timeout_ms = self.raised_timeout_ms.map(lower).filter(|raised| *raised > set_ms);
        if !self.health.late_answer_hint.is_empty() && now_us > self.last_late_us + REMARK_US {
            self.health.late_answer_hint.clear();
        }
    }
}

/// Reads the ident register if that is due, and plans again if another variant answers. Returns whether the unit has just answered.
pub(super) async fn identify(unit: &mut PolledUnit, requester: &mut Requester<'_>) -> Result<bool, Cause> {
    let Some(def) = unit.config.profile.ident.clone().filter(|_| !unit.is_identified) else { return Ok(false) };
    let ident = match requester.read_ident(&def).await {
        Ok(ident) => Some(ident),
        // The unit has no such register: the base applies.
        Err(Cause::IllegalFunction | Cause::IllegalAddress | Cause::IllegalValue) => None,
        Err(cause) => return Err(cause),
    };
    let variant = unit.config.profile.variant(ident.as_deref());
    if unit.variant != variant.name {
        unit.groups = unit.config.groups.iter().map(|g| PollGroup::new(g, variant)).collect();
        unit.variant = Arc::clone(&variant.name);
    }
    unit.is_identified = true;
    requester.health.variant = variant.name.to_string();
    requester.health.ident = ident;
    Ok(true)
}

/// Records the outcome of a cycle in the health of the unit, and logs a change of its presence.
pub(super) fn record_outcome(
    unit: &mut PolledUnit,
    presence: UnitPresence,
    cause: Option<Cause>,
    clock: &Clock,
    link: &str,
) {
    let h = &mut unit.health;
    if presence != UnitPresence::Offline {
        h.last_answer = Some(clock.mono());
    }
    let previous = h.presence;
    if h.set_presence(presence, cause, clock.wall()) {
        let (unit, why) = (&*unit.config.id, cause.map_or("", Cause::says));
        let count = || LOG.allows(&format!("{unit} {presence:?}"));
        match presence {
            UnitPresence::Unknown => {}
            UnitPresence::Online if previous == UnitPresence::Unknown => {}
            _ => match (presence, count()) {
                (_, None) | (UnitPresence::Unknown, _) => {}
                (UnitPresence::Online, Some(count)) => info!(link, unit, count, "unit answers again"),
                (UnitPresence::Offline, Some(count)) => warn!(link, unit, why, count, "unit does not answer"),
                (UnitPresence::Refusing, Some(count)) => {
                    warn!(
                        link,
                        unit, why, count, "unit answers and refuses everything: is its address right, and its profile?"
                    );
                }
                (UnitPresence::Degraded, Some(count)) => warn!(link, unit, why, count, "unit answers in part"),
            },
        }
    }
    let revision: u64 = unit.groups.iter().map(|g| g.plan.revision()).sum();
    if revision != unit.published_revision {
        unit.published_revision = revision;
        h.unreadable_ranges = unit.groups.iter().flat_map(PollGroup::learned_restrictions).collect();
    }
}
