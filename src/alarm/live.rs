//! One rule for one device at work: its evaluators, delays and alarm.

use std::sync::Arc;

use crate::alarm::alarm_flood::Chatter;
use crate::alarm::definition::AlarmDefinition;
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth};
use crate::alarm::evaluator::Evaluator;
use crate::alarm::life::{Alarm, Debounce};
use crate::alarm::restore::RestoredState;
use crate::model::alarm::AlarmEventKind;
use crate::model::priority::Priority;
use crate::model::quality::Cause;
use crate::model::time::MonotonicMillis;

#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) definition: Arc<AlarmDefinition>,
    pub(super) key: Arc<str>,
    pub(super) condition: Evaluator,
    pub(super) enable_if: Option<Evaluator>,
    /// Condition and present result: whether it suppresses others while it is active.
    pub(super) suppresses_while: Option<Evaluator>,
    pub(super) suppresses: bool,
    pub(super) more_urgent_while: Option<Evaluator>,
    pub(super) debounces: Vec<Debounce>,
    pub(super) alarm: Alarm,
    /// Whether an unchanged sample needs no evaluation; effects of time are on the schedule.
    pub(super) skips_unchanged: bool,
    pub(super) last_evaluation: Evaluation,
    pub(super) wake: Option<MonotonicMillis>,
    pub(super) chatter: Chatter,
    /// When it is shown if it lasts; set while its suppressing alarm is gone.
    pub(super) show_at: Option<MonotonicMillis>,
    /// State of an earlier boot that is not rebased yet, because the date is not trusted.
    pub(super) unrebased: Option<Box<RestoredState>>,
}

impl Live {
    /// P1 and P2 count as notified at once, P3 and P4 when a message is sent.
    pub(super) fn mark_urgent_notified(&mut self, kind: AlarmEventKind) {
        let wants = matches!(
            kind,
            AlarmEventKind::Raised
                | AlarmEventKind::Escalated
                | AlarmEventKind::Reminded
                | AlarmEventKind::Unshelved
                | AlarmEventKind::ReturnedToService
                | AlarmEventKind::Unsuppressed
        );
        if wants
            && self.alarm.step > 0
            && !self.alarm.is_silenced()
            && self.alarm.priority(&self.definition) <= Priority::P2
        {
            self.alarm.never_notified = false;
        }
    }

    /// The highest step of urgency whose delay has elapsed; 0: none.
    pub(super) fn debounced_step(&self) -> u8 {
        self.debounces.iter().rposition(|s| s.on).map_or(0, |k| u8::try_from(k + 1).unwrap_or(u8::MAX))
    }

    pub(super) fn evaluate(&mut self, context: &mut EvaluationContext<'_>) -> Evaluation {
        let only = self.enable_if.as_mut().map(|j| j.evaluate(context).truth);
        if only == Some(Truth::No) {
            // A change counts only while the rule is enabled: fuel used during a run is no loss afterwards.
            self.condition.forget_changes();
        }
        // Unknown suppresses nothing: two pages for one cause are the lesser harm.
        let explains = self.suppresses_while.as_mut().map(|j| j.evaluate(context).truth);
        // After a start the stored result holds until a fresh sample comes, so that suppressed alarms are not shown for a moment.
        if explains != Some(Truth::Unknown(Cause::StartingUp)) {
            self.suppresses = matches!(explains, None | Some(Truth::Yes(_)));
        }
        // Evaluated even while disabled: its windows must take in every sample.
        let when = self.condition.evaluate(context);
        let state = match only {
            None | Some(Truth::Yes(_)) => when.truth,
            Some(unknown @ Truth::Unknown(_)) if when.truth != Truth::No => unknown,
            Some(Truth::No | Truth::Unknown(_)) => Truth::No,
        };
        let truth = match state {
            Truth::Yes(k) if self.is_more_urgent(k, context) => Truth::Yes(k.saturating_add(1)),
            other => other,
        };
        Evaluation { truth, ..when }
    }

    /// While it is not known whether it is more urgent it stays as it is.
    fn is_more_urgent(&mut self, step: u8, context: &mut EvaluationContext<'_>) -> bool {
        let Some(evaluator) = &mut self.more_urgent_while else { return false };
        let held = context.active_step;
        match evaluator.evaluate(context).truth {
            Truth::Yes(_) => true,
            Truth::No => false,
            Truth::Unknown(_) => held > step,
        }
    }
}
