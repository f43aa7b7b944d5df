//! The state machine of one alarm. Condition, acknowledgement, latch and visibility are independent of each other; the states of
//! ISA-18.2 are a projection of them ([`AlarmState`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alarm::definition::AlarmDefinition;
use crate::alarm::site::Deadline;
use crate::model::alarm::{AlarmEventKind, AlarmState, Moment};
use crate::model::command::AlarmAction;
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::quality::Cause;
use crate::model::time::{HumanDuration, MonotonicMillis, Now};

/// Longest time for which a test of a device can be announced.
pub const TEST_MAX_MS: u64 = 4 * 3_600_000;
/// Longest shelving. What lasts longer is a case for out of service, or for a better rule.
pub const SHELF_MAX_MS: u64 = 7 * 86_400_000;

/// The state of an alarm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarm {
    /// Condition: 0 not in alarm, else the step of urgency, counted from one.
    pub step: u8,
    /// Why its input is not known, if it is not: then the condition is what it was.
    #[serde(rename = "unknown")]
    pub unknown_cause: Option<Cause>,
    /// Since when it is in alarm, or was last.
    pub since: Option<Moment>,
    /// When it cleared; `None` while it is in alarm, and before the first time.
    pub cleared: Option<Moment>,
    /// Acknowledgement: whether somebody still has to take it.
    #[serde(rename = "waits")]
    pub needs_ack: bool,
    /// Who took it, and is its owner.
    pub owner: String,
    /// Remark of whoever acknowledged it or handed it over.
    pub note: String,
    /// Whether somebody is there.
    pub arrived: bool,
    /// Latch: whether it waits for a reset.
    pub latched: bool,
    /// Visibility: shelved until then, by whom.
    pub shelved: Option<Shelf>,
    /// Visibility: taken out by whom.
    #[serde(rename = "out")]
    pub out_of_service_by: Option<String>,
    /// Visibility: the alarm that explains it.
    #[serde(rename = "hidden_by")]
    pub suppressed_by: Option<Arc<str>>,
    /// How often it was raised.
    pub occurrence: u64,
    /// Whether it was the first of its group.
    #[serde(rename = "first")]
    pub is_first_out: bool,
    /// Whether nobody was told of this occurrence: then nobody has to acknowledge that it is gone.
    #[serde(rename = "untold")]
    pub never_notified: bool,
    /// Whether it comes and goes too often and is held in alarm; how often it did.
    #[serde(rename = "chatters")]
    pub chatter_count: Option<u32>,
    /// Whether it was given to its owner, who has not said yes.
    #[serde(rename = "handed")]
    pub is_handed_over: bool,
    /// Whether it comes of a trial.
    pub test: bool,
    /// The value at the last transition.
    pub value: Option<f64>,
    /// The limit in force.
    pub limit: Option<f64>,
    /// Deadlines that are still to come, on the monotonic scale: acknowledge, arrive, resolve.
    #[serde(rename = "due")]
    pub deadlines: [Option<i64>; 3],
    /// When it wants to be acknowledged again.
    #[serde(rename = "remind")]
    pub realarm_at: Option<i64>,
}

/// Shelving of an alarm, by itself or with an announced test of its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelf {
    /// Until then, on the monotonic scale.
    pub until: i64,
    /// Who shelved it or announced the test.
    #[serde(rename = "by")]
    pub actor: String,
    /// Their reason; may be empty.
    pub note: String,
    /// Whether it is a test that was announced: what it raised is over with it.
    #[serde(default)]
    pub is_test: bool,
}

impl Shelf {
    /// # Errors
    /// `for_ms` exceeds `most_ms`; the text is for the person who asked.
    fn new(
        (for_ms, most_ms): (u64, u64),
        by: &str,
        note: &str,
        is_test: bool,
        now: Now,
    ) -> Result<Self, LocalizedText> {
        if for_ms > most_ms {
            let most = HumanDuration(most_ms).text();
            return Err(LocalizedText::both(format!("一次最长 {most}"), format!("at most {most} at a time")));
        }
        let until = ms(now.mono.plus(for_ms));
        Ok(Self { until, actor: by.to_string(), note: note.to_string(), is_test })
    }
}

/// A transition before it is bound to an alarm's key and occurrence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LifeStep {
    pub kind: Option<AlarmEventKind>,
    pub cause: String,
    pub actor: String,
    pub via: String,
    pub note: String,
}

impl LifeStep {
    /// A transition without actor and note.
    pub fn of(what: AlarmEventKind) -> Self {
        Self { kind: Some(what), ..Self::default() }
    }
}

/// Signed monotonic milliseconds, for moments that may lie before this boot.
pub fn ms(mono: MonotonicMillis) -> i64 {
    i64::try_from(mono.0).unwrap_or(i64::MAX)
}

fn moment(now: Now) -> Moment {
    Moment { mono: ms(now.mono), wall: now.wall, trusted: now.wall_trusted }
}

impl Alarm {
    /// The ISA-18.2 state. Precedence: out of service, shelved, suppressed, then condition, acknowledgement and latch.
    pub fn state(&self) -> AlarmState {
        if self.out_of_service_by.is_some() {
            AlarmState::OutOfService
        } else if self.shelved.is_some() {
            AlarmState::Shelved
        } else if self.suppressed_by.is_some() && self.step > 0 {
            AlarmState::Suppressed
        } else {
            match (self.step > 0, self.needs_ack) {
                (true, true) => AlarmState::Unacknowledged,
                (true, false) => AlarmState::Acknowledged,
                (false, _) if self.latched => AlarmState::Latched,
                (false, true) => AlarmState::Returned,
                (false, false) => AlarmState::Normal,
            }
        }
    }

    /// Whether nobody is notified: shelved, out of service or suppressed.
    pub fn is_silenced(&self) -> bool {
        self.out_of_service_by.is_some() || self.shelved.is_some() || self.suppressed_by.is_some()
    }

    /// Whether only its count of occurrences is worth keeping.
    pub fn is_normal(&self) -> bool {
        self.step == 0 && !self.needs_ack && !self.latched && self.shelved.is_none() && self.out_of_service_by.is_none()
    }

    /// Priority of the present step; of the first step while not in alarm.
    pub fn priority(&self, definition: &AlarmDefinition) -> Priority {
        let step = usize::from(self.step.max(1)) - 1;
        definition.steps.get(step).or(definition.steps.last()).map_or(Priority::P4, |s| s.priority)
    }

    /// Seconds since it was raised.
    pub fn age_s(&self, now: Now) -> Option<u64> {
        let since = self.since?;
        u64::try_from((ms(now.mono) - since.mono) / 1_000).ok()
    }

    /// Enters another step of urgency, 0 for return to normal.
    pub fn set_step(
        &mut self,
        to: u8,
        definition: &AlarmDefinition,
        deadline: impl Fn(Priority) -> Deadline,
        now: Now,
    ) -> Option<AlarmEventKind> {
        let from = std::mem::replace(&mut self.step, to);
        match (from, to) {
            (a, b) if a == b => None,
            (0, _) => {
                self.occurrence += 1;
                self.since = Some(moment(now));
                (self.cleared, self.arrived) = (None, false);
                (self.owner, self.note) = (String::new(), String::new());
                self.needs_ack = true;
                (self.latched, self.is_handed_over) = (definition.latch, false);
                self.realarm_at = None;
                self.set_deadlines(deadline(self.priority(definition)), now);
                Some(AlarmEventKind::Raised)
            }
            (_, 0) => {
                self.cleared = Some(moment(now));
                self.deadlines = [None; 3];
                self.realarm_at = None;
                self.chatter_count = None;
                // Nobody was notified of this occurrence, so nobody has to acknowledge it.
                self.needs_ack &= !self.never_notified;
                if self.shelved.as_ref().is_some_and(|s| s.is_test) {
                    (self.needs_ack, self.latched) = (false, false);
                }
                Some(AlarmEventKind::Cleared)
            }
            (a, b) if b > a => {
                // The acknowledgement was for a less urgent step.
                self.needs_ack = true;
                self.realarm_at = None;
                self.set_deadlines(deadline(self.priority(definition)), now);
                Some(AlarmEventKind::Escalated)
            }
            (_, _) => Some(AlarmEventKind::Deescalated),
        }
    }

    /// The off-delay in force; a chattering alarm has at least `chatter_ms`.
    pub fn off_delay_ms(&self, definition: &AlarmDefinition, chatter_ms: u64) -> u64 {
        if self.chatter_count.is_some() { definition.off_delay_ms.max(chatter_ms) } else { definition.off_delay_ms }
    }

    /// Starts the acknowledge deadline anew, for the person to whom it was handed over.
    pub fn restart_ack_deadline(&mut self, deadline: Deadline, now: Now) {
        self.deadlines[0] = deadline.acknowledge.filter(|_| self.step > 0).map(|l| ms(now.mono.plus(l.0)));
    }

    fn set_deadlines(&mut self, deadline: Deadline, now: Now) {
        let at = |length: Option<HumanDuration>| length.map(|l| ms(now.mono.plus(l.0)));
        self.deadlines = [
            at(deadline.acknowledge).filter(|_| self.needs_ack),
            at(deadline.arrive).filter(|_| !self.arrived),
            at(deadline.resolve),
        ];
    }

    /// Applies what has expired: shelf, deadlines, reminder, in this order.
    pub fn tick(&mut self, definition: &AlarmDefinition, now: Now) -> Vec<LifeStep> {
        let mono = ms(now.mono);
        let mut out = Vec::new();
        if self.shelved.as_ref().is_some_and(|s| mono >= s.until) {
            self.shelved = None;
            out.push(LifeStep { cause: "time is over".into(), ..LifeStep::of(AlarmEventKind::Unshelved) });
        }
        let overdue =
            [AlarmEventKind::AcknowledgeOverdue, AlarmEventKind::ArriveOverdue, AlarmEventKind::ResolveOverdue];
        for (due, what) in self.deadlines.iter_mut().zip(overdue) {
            if due.is_some_and(|at| mono >= at) {
                *due = None;
                out.push(LifeStep::of(what));
            }
        }
        if self.realarm_at.is_some_and(|at| mono >= at) {
            self.realarm_at = None;
            self.needs_ack = true;
            let again = definition.realarm_ms.unwrap_or(0) / 1_000;
            out.push(LifeStep {
                cause: format!("acknowledged {again} s ago"),
                ..LifeStep::of(AlarmEventKind::Reminded)
            });
        }
        out
    }

    /// The earliest moment at which [`Self::tick`] changes something.
    pub fn wake(&self) -> Option<i64> {
        let shelf = self.shelved.as_ref().map(|s| s.until);
        self.deadlines.iter().copied().flatten().chain(shelf).chain(self.realarm_at).min()
    }

    /// Applies a person's command.
    ///
    /// # Errors
    /// The command does not fit the state; the text is for the person.
    pub fn act(
        &mut self,
        definition: &AlarmDefinition,
        action: &AlarmAction,
        actor: &str,
        note: &str,
        now: Now,
    ) -> Result<LifeStep, LocalizedText> {
        let no = |zh: &str, en: &str| Err(LocalizedText::both(zh, en));
        let what = match action {
            AlarmAction::Acknowledge => {
                if !self.needs_ack {
                    if self.step == 0 {
                        return no("没有需要确认的告警", "there is nothing to acknowledge");
                    }
                    let by = &self.owner;
                    return Err(LocalizedText::both(
                        format!("{by} 已接单"),
                        format!("it is acknowledged already, by {by}"),
                    ));
                }
                self.needs_ack = false;
                if self.owner.is_empty() || self.is_handed_over {
                    // The first who acknowledges is the owner. After a hand-over, that is whoever acknowledges next.
                    self.owner = actor.to_string();
                }
                self.is_handed_over = false;
                self.note = note.to_string();
                self.deadlines[0] = None;
                self.realarm_at =
                    definition.realarm_ms.filter(|_| self.step > 0).map(|length| ms(now.mono.plus(length)));
                AlarmEventKind::Acknowledged
            }
            AlarmAction::HandOver { to } => return self.hand_over(to, actor, note),
            AlarmAction::Arrive => {
                if self.arrived {
                    return no("已有人到场", "somebody is there already");
                }
                if self.step == 0 && !self.latched {
                    return no("告警已结束", "it is not in alarm");
                }
                self.arrived = true;
                self.deadlines[1] = None;
                AlarmEventKind::Arrived
            }
            AlarmAction::Reset => {
                if !self.latched {
                    return no("告警没有锁定，无需复位", "it is not latched");
                }
                if self.step > 0 {
                    return no("状况仍然存在，请先处理", "its condition is still there: mend that first");
                }
                (self.latched, self.needs_ack, self.is_handed_over) = (false, false, false);
                AlarmEventKind::Reset
            }
            _ => self.apply_visibility(definition, action, actor, note, now)?,
        };
        Ok(LifeStep { actor: actor.to_string(), note: note.to_string(), ..LifeStep::of(what) })
    }

    /// Commands on visibility: shelving, announced tests, out of service, and their ends.
    fn apply_visibility(
        &mut self,
        definition: &AlarmDefinition,
        action: &AlarmAction,
        actor: &str,
        note: &str,
        now: Now,
    ) -> Result<AlarmEventKind, LocalizedText> {
        let no = |zh: &str, en: &str| Err(LocalizedText::both(zh, en));
        Ok(match action {
            AlarmAction::Shelve { .. } | AlarmAction::TakeOutOfService if definition.never_suppressed => {
                return no("此告警不允许搁置或停用", "this alarm may never be shelved or taken out of service");
            }
            AlarmAction::Shelve { for_ms } => {
                self.shelved = Some(Shelf::new((*for_ms, SHELF_MAX_MS), actor, note, false, now)?);
                AlarmEventKind::Shelved
            }
            AlarmAction::AnnounceTest { for_ms } => {
                if !definition.raised_by_tests {
                    return no("测试不会触发此告警", "a test run does not raise it");
                }
                if self.step > 0 || self.needs_ack || self.latched || self.shelved.as_ref().is_some_and(|s| !s.is_test)
                {
                    return no("告警并非正常状态，请先处理", "it is not normal: it would be taken for the test's");
                }
                self.shelved = Some(Shelf::new((*for_ms, TEST_MAX_MS), actor, note, true, now)?);
                AlarmEventKind::Shelved
            }
            AlarmAction::Unshelve => {
                if self.shelved.take().is_none() {
                    return no("告警没有搁置", "it is not shelved");
                }
                AlarmEventKind::Unshelved
            }
            AlarmAction::TakeOutOfService => {
                if let Some(by) = &self.out_of_service_by {
                    let en = format!("it is out of service already, by {by}");
                    return Err(LocalizedText::both(format!("{by} 已将其停用"), en));
                }
                self.out_of_service_by = Some(actor.to_string());
                AlarmEventKind::OutOfService
            }
            AlarmAction::ReturnToService => {
                if self.out_of_service_by.take().is_none() {
                    return no("告警没有停用", "it is in service");
                }
                AlarmEventKind::ReturnedToService
            }
            _ => return no("不认识这个操作", "that is something else"),
        })
    }

    /// Changes the owner; the alarm counts as unacknowledged until the new owner acknowledges.
    fn hand_over(&mut self, to: &str, actor: &str, note: &str) -> Result<LifeStep, LocalizedText> {
        if self.step == 0 && !self.needs_ack && !self.latched {
            return Err(LocalizedText::both("没有可转交的告警", "there is nothing to hand over"));
        }
        (self.needs_ack, self.is_handed_over, self.never_notified) = (true, true, false);
        (self.owner, self.note) = (to.to_string(), note.to_string());
        self.realarm_at = None;
        Ok(LifeStep {
            cause: to.to_string(),
            actor: actor.to_string(),
            note: note.to_string(),
            ..LifeStep::of(AlarmEventKind::HandedOver)
        })
    }

    /// Every monotonic moment, for rebasing onto another boot.
    pub fn moments(&mut self) -> impl Iterator<Item = &mut i64> {
        let was = self.since.iter_mut().chain(&mut self.cleared).map(|m| &mut m.mono);
        let will_be = self.deadlines.iter_mut().flatten().chain(&mut self.realarm_at);
        was.chain(will_be).chain(self.shelved.iter_mut().map(|s| &mut s.until))
    }
}

/// On-delay and off-delay of one step of urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Debounce {
    pub on: bool,
    /// Since when the condition has been the opposite of `on`.
    pub since: Option<MonotonicMillis>,
}

impl Debounce {
    /// Takes in the condition's present truth. `None` is unknown: it neither raises nor clears, and ends a pending delay. Returns when the
    /// pending delay elapses.
    pub fn observe(
        &mut self,
        truth: Option<bool>,
        on_delay_ms: u64,
        off_delay_ms: u64,
        now: MonotonicMillis,
    ) -> Option<MonotonicMillis> {
        match truth {
            Some(says) if says != self.on => {
                let begin = *self.since.get_or_insert(now);
                let delay = if says { on_delay_ms } else { off_delay_ms };
                if now.since(begin) >= delay {
                    (self.on, self.since) = (says, None);
                    return None;
                }
                Some(begin.plus(delay))
            }
            _ => {
                self.since = None;
                None
            }
        }
    }
}
