//! Something was not true for so long.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, PersistedEvaluator, Truth, evaluation, minutes, truth};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::quality::Cause;
use crate::model::time::HumanDuration;
use crate::model::time::{MonotonicMillis, UnixMillis};
use schemars::JsonSchema;
use serde::Deserialize;

/// Something that should happen now and then.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotTrueFor {
    /// Name of the point that should be true now and then.
    pub point: String,
    /// For how long it was not true.
    #[serde(rename = "for")]
    pub lasts: HumanDuration,
}

/// The input has not been true for a period; after a restart the date says how long.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedIdle {
    pub input: ConditionInput,
    /// How long the input must not have been true.
    pub lasts_ms: u64,
}

/// When it was true.
#[derive(Clone, Debug, Default)]
pub struct IdleMemory {
    last: Option<UnixMillis>,
    /// Idle since this monotonic time, plus milliseconds of idleness before it.
    since: Option<(MonotonicMillis, u64)>,
}

impl<C: NestedCondition> ConditionSettings<C> for NotTrueFor {
    type Resolved = ResolvedIdle;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedIdle, Missing> {
        Ok(ResolvedIdle { input: b.input(&self.point)?, lasts_ms: self.lasts.0 })
    }
}

impl<R> ResolvedKind<R> for ResolvedIdle {
    type Memory = IdleMemory;

    fn memory(&self) -> IdleMemory {
        IdleMemory::default()
    }

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.input]
    }

    fn skips_unchanged(&self) -> bool {
        false
    }

    fn looks_back_ms(&self) -> u64 {
        self.lasts_ms
    }

    fn evaluate(
        &self,
        IdleMemory { last, since }: &mut IdleMemory,
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        let on = match c.truth(slots[0]) {
            Ok(on) => on,
            Err(cause) => return evaluation(Truth::Unknown(cause), None, None),
        };
        let now = c.now;
        if !on && !now.wall_trusted && last.is_some() && since.is_none() {
            // The duration can only be computed from the date.
            c.wake_at(now.mono.plus(60_000));
            return evaluation(Truth::Unknown(Cause::StartingUp), None, None);
        }
        let (begin, before_ms) = match *since {
            Some(begin) if !on => begin,
            _ => {
                // Without a known last activity, idle time counts from now.
                let known = last.filter(|_| !on && now.wall_trusted);
                (now.mono, known.map_or(0, |last| u64::try_from(now.wall.0 - last.0).unwrap_or(0)))
            }
        };
        *since = Some((begin, before_ms));
        if now.wall_trusted && (on || last.is_none()) {
            // Rounded to the minute, so that the persisted state does not change every second.
            *last = Some(UnixMillis(now.wall.0 - now.wall.0.rem_euclid(60_000)));
        }
        c.wake_at(begin.plus(self.lasts_ms.saturating_sub(before_ms)));
        let idle_ms = now.mono.since(begin) + before_ms;
        let days = |ms: u64| minutes(ms) / 1_440.0;
        evaluation(truth(idle_ms >= self.lasts_ms), Some(days(idle_ms)), Some(days(self.lasts_ms)))
    }

    fn persist(memory: &IdleMemory) -> Option<PersistedEvaluator> {
        Some(PersistedEvaluator::LastTrue(memory.last))
    }

    fn restore(memory: &mut IdleMemory, kept: &mut dyn Iterator<Item = PersistedEvaluator>) {
        if let Some(PersistedEvaluator::LastTrue(last)) = kept.next() {
            memory.last = last;
        }
    }

    fn describe(&self) -> String {
        format!("days since {}, at least {}", self.input.name(), HumanDuration(self.lasts_ms).text())
    }
}
