//! Suppression by design: while an alarm is active, those that it explains are recorded but not annunciated. When it clears, an
//! alarm that is still active is shown after its on-delay.

use std::sync::Arc;

use crate::alarm::life::LifeStep;
use crate::alarm::{AlarmOutput, Alarms};
use crate::model::alarm::AlarmEventKind;
use crate::model::time::Now;

impl Alarms {
    /// By alarm: the indices of those that it suppresses.
    pub(super) fn suppression_map(&self) -> Vec<Vec<usize>> {
        let mut hides = vec![Vec::new(); self.live.len()];
        for (i, live) in self.live.iter().enumerate() {
            for by in &live.definition.suppressed_by {
                if let Some(by) = self.by_key.get(by) {
                    hides[*by].push(i);
                }
            }
        }
        hides
    }

    /// Settles suppression after all evaluations of a step, with an event for each begin and end.
    pub(super) fn settle_suppression(&mut self, now: Now, out: &mut AlarmOutput) {
        for j in std::mem::take(&mut self.unsettled) {
            let before = self.live[j].alarm.suppressed_by.clone();
            let by = self.active_suppressor(j).filter(|_| self.live[j].alarm.step > 0);
            if by.is_some() {
                self.live[j].show_at = None;
            }
            if before == by || (by.is_none() && self.is_within_show_delay(j, now)) {
                continue;
            }
            self.live[j].alarm.suppressed_by.clone_from(&by);
            if before.is_some() != by.is_some() {
                let what = if by.is_some() { AlarmEventKind::Suppressed } else { AlarmEventKind::Unsuppressed };
                self.live[j].mark_urgent_notified(what);
                let cause = by.or(before).map_or(String::new(), |key| key.to_string());
                let event = self.event(j, what, LifeStep { cause, ..LifeStep::of(what) }, now);
                out.events.push(event);
            }
            self.record_change(j, now, out);
        }
    }

    /// Whether an alarm whose suppressing alarm is gone still waits for its on-delay, counted from then.
    fn is_within_show_delay(&mut self, j: usize, now: Now) -> bool {
        let live = &mut self.live[j];
        if live.alarm.step == 0 {
            return false;
        }
        let step = usize::from(live.alarm.step) - 1;
        let delay = live.definition.steps.get(step).map_or(0, |s| s.on_delay_ms);
        let at = *live.show_at.get_or_insert(now.mono.plus(delay));
        if now.mono >= at {
            live.show_at = None;
            return false;
        }
        self.wake(j, Some(at), now);
        true
    }

    /// The key of the first active alarm that suppresses this one.
    pub(super) fn active_suppressor(&self, i: usize) -> Option<Arc<str>> {
        let is_active = |key: &&Arc<str>| {
            self.by_key.get(*key).is_some_and(|j| {
                let by = &self.live[*j];
                // An alarm that is itself shelved or out of service suppresses nothing.
                by.alarm.step > 0 && by.suppresses && by.alarm.shelved.is_none() && by.alarm.out_of_service_by.is_none()
            })
        };
        self.live[i].definition.suppressed_by.iter().find(is_active).cloned()
    }
}
