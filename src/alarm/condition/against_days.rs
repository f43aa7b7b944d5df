//! A figure of the day against those of the days before.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::days::{BaselineFigure, BaselineTracker, Centre, ResolvedBaseline};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, PersistedEvaluator, Truth, evaluation, truth};
use crate::alarm::local_time::{local, minute, wake_at_next};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::quality::Cause;
use schemars::JsonSchema;
use serde::Deserialize;

/// A day against the days before.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Name of the point whose days are compared.
    pub point: String,
    /// What is taken of each day.
    pub figure: BaselineFigure,
    /// From this hour of the site's day; default: the whole day.
    #[serde(default = "midnight")]
    pub from: String,
    /// To this hour, exclusive and later than `from`; default: the end of the day, `24:00`.
    #[serde(default = "end_of_day")]
    pub to: String,
    /// How many days before.
    pub days: u16,
    /// What they are reckoned to.
    pub of: Centre,
    /// From how many times that on.
    pub times: f64,
    /// How many days in a row.
    #[serde(default = "one")]
    pub in_a_row: u16,
}

fn midnight() -> String {
    "00:00".into()
}

fn end_of_day() -> String {
    "24:00".into()
}

fn one() -> u16 {
    1
}

impl<C: NestedCondition> ConditionSettings<C> for Baseline {
    type Resolved = ResolvedBaseline;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        let (from, to) = (minute(&self.from), minute(&self.to));
        if from.is_none() || to.is_none() || from >= to {
            report("hours that are none", "from = \"02:00\", to = \"04:00\", within one day");
        }
        if !(7..=366).contains(&self.days) {
            report("days is 7 to 366", "30 is usual");
        }
    }

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedBaseline, Missing> {
        Ok(ResolvedBaseline {
            input: b.input(&self.point)?,
            figure: self.figure,
            from: minute(&self.from).unwrap_or(0),
            to: minute(&self.to).unwrap_or(1_440),
            days: self.days,
            centre: self.of,
            factor: self.times,
            in_a_row: self.in_a_row,
        })
    }
}

impl<R> ResolvedKind<R> for ResolvedBaseline {
    type Memory = Box<BaselineTracker>;

    fn memory(&self) -> Self::Memory {
        Box::default()
    }

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![&self.input]
    }

    fn skips_unchanged(&self) -> bool {
        false
    }

    fn looks_back_ms(&self) -> u64 {
        (u64::from(self.days) + u64::from(self.in_a_row) + 1) * 86_400_000
    }

    fn evaluate(
        &self,
        memory: &mut Self::Memory,
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        let value = c.number(slots[0]);
        let Some((date, minute)) = local(c) else { return evaluation(Truth::Unknown(Cause::StartingUp), None, None) };
        memory.observe(self, c.now.mono, date, minute, value.ok());
        wake_at_next(c, minute, [self.from, self.to]);
        match memory.last_and_baseline(self) {
            Some((figure, usual)) => {
                evaluation(truth(memory.consecutive_days() >= self.in_a_row), Some(figure), Some(usual * self.factor))
            }
            None => evaluation(Truth::Unknown(Cause::StartingUp), value.ok(), None),
        }
    }

    fn persist(memory: &Self::Memory) -> Option<PersistedEvaluator> {
        Some(PersistedEvaluator::Baseline(memory.persisted()))
    }

    fn restore(memory: &mut Self::Memory, kept: &mut dyn Iterator<Item = PersistedEvaluator>) {
        if let Some(PersistedEvaluator::Baseline(kept)) = kept.next() {
            memory.restore(kept);
        }
    }

    fn describe(&self) -> String {
        format!("{} of the day against {} days before", self.input.name(), self.days)
    }
}
