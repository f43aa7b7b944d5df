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
const SLOW_MS: u64 = 10_000;
/// How long a late answer is reported.
const REMARK_US: u64 = 3_600_000_000;

/// The polling state of one unit.
pub(super) struct PolledUnit {
    pub(super) config: UnitConfig,
    pub(super) groups: Vec<PollGroup>,
    /// Failed cycles in a row.
    pub(super) silent: u32,
    pub(super) answered_once: bool,
    pub(super) identified: bool,
    /// Its health as counted by the task; a copy is published after each cycle.
    pub(super) figures: UnitHealth,
    pub(super) next_probe_us: u64,
    pub(super) probe_pause_us: u64,
    /// The profile's variant that the groups are planned for.
    layout: Arc<str>,
    /// When its last late answer came.
    late_at_us: u64,
    /// The time-out in force, where late answers have raised it.
    pub(super) raised_timeout_ms: Option<u64>,
    /// Counts probes, so that each reads something else.
    pub(super) probe_turn: usize,
    /// Revision of its plans whose findings are published.
    pub(super) shown_revision: u64,
}

impl PolledUnit {
    pub(super) fn new(config: &UnitConfig) -> Self {
        let layout = config.profile.layout(None);
        let groups = config.groups.iter().map(|g| PollGroup::new(g, layout)).collect();
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
            layout: Arc::clone(&layout.name),
            late_at_us: 0,
            raised_timeout_ms: None,
            probe_turn: 0,
            shown_revision: 0,
        }
    }

    /// Whether it is only probed: after one failed cycle if it never answered or is polled seldom, otherwise after three.
    pub(super) fn is_dead(&self) -> bool {
        let is_slow = self.groups.iter().all(|g| g.config.every_ms >= SLOW_MS);
        self.silent >= if self.answered_once && !is_slow { 3 } else { 1 }
    }

    pub(super) fn timeout_ms(&self, link: &Link) -> u64 {
        let rules = &self.config.profile.layout(None).read;
        self.config.timeout_ms.or(rules.timeout_ms).unwrap_or_else(|| link.timeout_ms())
    }

    pub(super) fn params(&self, link: &Link) -> RequestParams {
        let set_ms = self.timeout_ms(link);
        RequestParams {
            address: self.config.address,
            timeout_ms: self.raised_timeout_ms.map_or(set_ms, |raised| raised.max(set_ms)),
            pause_ms: self.config.profile.layout(None).read.pause_ms,
            retries: self.config.retries,
        }
    }

    pub(super) fn answered(&mut self) {
        (self.silent, self.answered_once, self.probe_pause_us, self.next_probe_us) = (0, true, 0, 0);
    }

    /// Drops what was learned, because the unit was away or the link is new.
    pub(super) fn forget(&mut self) {
        self.identified = self.config.profile.ident.is_none();
        self.groups.iter_mut().for_each(|g| g.plan.forget());
    }

    /// Reports an answer that came after its request was given up, and raises the time-out if the link allows it.
    pub(super) fn note_late(&mut self, after_us: u64, link: &Link, now_us: u64) {
        self.late_at_us = now_us;
        let (after_ms, set_ms) = (after_us.div_ceil(1_000), self.timeout_ms(link));
        self.figures.late += 1;
        if let Some(most) = link.timeout_max_ms() {
            self.raised_timeout_ms = Some((after_ms * 5 / 4).clamp(set_ms, most.max(set_ms)));
        }
        let seconds = |ms: u64| format!("{}.{:03} s", ms / 1_000, ms % 1_000);
        self.figures.remark = match self.raised_timeout_ms {
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
        self.late_at_us > 0 && now_us < self.late_at_us + 60_000_000
    }

    /// After a good cycle: lowers a raised time-out slowly, and clears the remark an hour after the last late answer.
    pub(super) fn lower_timeout(&mut self, link: &Link, now_us: u64) {
        let set_ms = self.timeout_ms(link);
        let lower = |raised: u64| (raised - (raised / 1_024).max(1)).max(set_ms);
        self.raised_timeout_ms = self.raised_timeout_ms.map(lower).filter(|raised| *raised > set_ms);
        if !self.figures.remark.is_empty() && now_us > self.late_at_us + REMARK_US {
            self.figures.remark.clear();
        }
    }
}

/// Reads the ident register if that is due, and plans again if another variant answers. Returns whether the unit has just answered.
pub(super) async fn identify(unit: &mut PolledUnit, ask: &mut Requester<'_>) -> Result<bool, Cause> {
    let Some(def) = unit.config.profile.ident.clone().filter(|_| !unit.identified) else { return Ok(false) };
    let ident = match ask.ident(&def).await {
        Ok(ident) => Some(ident),
        // The unit has no such register: the base applies.
        Err(Cause::IllegalFunction | Cause::IllegalAddress | Cause::IllegalValue) => None,
        Err(cause) => return Err(cause),
    };
    let layout = unit.config.profile.layout(ident.as_deref());
    if unit.layout != layout.name {
        unit.groups = unit.config.groups.iter().map(|g| PollGroup::new(g, layout)).collect();
        unit.layout = Arc::clone(&layout.name);
    }
    unit.identified = true;
    ask.health.layout = layout.name.to_string();
    ask.health.ident = ident;
    Ok(true)
}

/// Records the outcome of a cycle in the health of the unit, and logs a change of its presence.
pub(super) fn note(unit: &mut PolledUnit, presence: UnitPresence, cause: Option<Cause>, clock: &Clock, link: &str) {
    let h = &mut unit.figures;
    if presence != UnitPresence::Offline {
        h.last_answer = Some(clock.mono());
    }
    let was = h.presence;
    if h.become_state(presence, cause, clock.wall()) {
        let (unit, why) = (&*unit.config.id, cause.map_or("", Cause::says));
        let count = || LOG.allows(&format!("{unit} {presence:?}"));
        match presence {
            UnitPresence::Unknown => {}
            UnitPresence::Online if was == UnitPresence::Unknown => {}
            _ => match (presence, count()) {
                (_, None) | (UnitPresence::Unknown, _) => {}
                (UnitPresence::Online, Some(count)) => info!(link, unit, count, "unit answers again"),
                (UnitPresence::Offline, Some(count)) => warn!(link, unit, why, count, "unit does not answer"),
                (UnitPresence::Degraded, Some(count)) => warn!(link, unit, why, count, "unit answers in part"),
            },
        }
    }
    let revision: u64 = unit.groups.iter().map(|g| g.plan.revision()).sum();
    if revision != unit.shown_revision {
        unit.shown_revision = revision;
        h.holes = unit.groups.iter().flat_map(PollGroup::learned).collect();
    }
}
