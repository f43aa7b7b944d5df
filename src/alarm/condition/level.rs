//! The value is at or above a limit (`high`), or at or below it (`low`).

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation};
use crate::alarm::limit::{ConditionStep, Limit};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::quality::Cause;
use schemars::JsonSchema;
use serde::Deserialize;

/// One limit, or up to four in order of urgency, the least urgent first.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// The point; `pump{*}_x` is whichever of them.
    pub point: String,
    /// Limit, in the unit of the point: `1.6`, or the name of a number of the device, `high_m`. Either this or `steps`.
    pub limit: Option<Limit>,
    /// Several limits, each with its priority.
    #[serde(default)]
    pub steps: Vec<ConditionStep>,
    /// How far it must come back before the condition is gone.
    #[serde(default)]
    pub deadband: f64,
}

/// The highest of the inputs at or above a limit, or the lowest at or below.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedLevel {
    pub inputs: Vec<ConditionInput>,
    /// `true`: at or above the limit; `false`: at or below.
    pub high: bool,
    /// One per step of urgency, the least urgent first.
    pub limits: Vec<f64>,
    /// In the unit of the point.
    pub deadband: f64,
}

impl<C: NestedCondition> ConditionSettings<C> for Level {
    type Resolved = ResolvedLevel;

    fn points(&self) -> Vec<&str> {
        vec![&self.point]
    }

    fn limits(&self) -> Vec<&Limit> {
        self.limit.iter().chain(self.steps.iter().map(|s| &s.limit)).collect()
    }

    fn value_point(&self) -> Option<&str> {
        Some(&self.point)
    }

    fn steps(&self) -> &[ConditionStep] {
        &self.steps
    }

    fn problems(&self, report: &mut dyn FnMut(&str, &str)) {
        match (self.limit.is_some(), self.steps.len()) {
            (true, 1..) => report("both a limit and steps", "a limit, or steps with a limit each"),
            (false, 0) => report("no limit", "limit = 1.6, or limit = \"high_m\""),
            (false, 5..) => report("more than four steps", "four is as much as anybody tells apart"),
            _ => {}
        }
        if !(self.deadband >= 0.0 && self.deadband.is_finite()) {
            report("a deadband below nothing", "0 or more, in the unit of the point");
        }
    }

    fn resolve(&self, kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedLevel, Missing> {
        let inputs = b.inputs(&self.point)?;
        let mut limits = Vec::new();
        let mut missing = Missing::new();
        for limit in ConditionSettings::<C>::limits(self) {
            match b.limit(limit) {
                Ok(limit) => limits.push(limit),
                Err(more) => missing.extend(more),
            }
        }
        if limits.is_empty() {
            return Err(missing);
        }
        Ok(ResolvedLevel { inputs, high: kind == "high", limits, deadband: self.deadband })
    }
}

impl<R> ResolvedKind<R> for ResolvedLevel {
    type Memory = ();

    fn memory(&self) {}

    fn inputs(&self) -> Vec<&ConditionInput> {
        self.inputs.iter().collect()
    }

    fn compares_value_with_limit(&self) -> bool {
        true
    }

    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        let (mut worst, mut bad): (Option<f64>, Option<Cause>) = (None, None);
        for slot in slots {
            match c.number(*slot) {
                Ok(v) => worst = Some(worst.map_or(v, |w| if self.high { w.max(v) } else { w.min(v) })),
                Err(cause) => bad = Some(cause),
            }
        }
        let Some(value) = worst else {
            return evaluation(Truth::Unknown(bad.unwrap_or(Cause::StartingUp)), None, self.limits.first().copied());
        };
        let mut step = 0u8;
        for (k, limit) in (1u8..).zip(&self.limits) {
            let back = if k <= c.active_step { self.deadband } else { 0.0 };
            let is_over = if self.high {
                value >= *limit || (back > 0.0 && value > limit - back)
            } else {
                value <= *limit || (back > 0.0 && value < limit + back)
            };
            if is_over {
                step = k;
            }
        }
        let limit = self.limits.get(usize::from(step.max(1)) - 1).copied();
        let state = match (step, bad) {
            (0, Some(cause)) => Truth::Unknown(cause),
            (0, None) => Truth::No,
            (k, _) => Truth::Yes(k),
        };
        evaluation(state, Some(value), limit)
    }

    fn describe(&self) -> String {
        let names = self.inputs.iter().map(ConditionInput::name).collect::<Vec<_>>().join(" or ");
        format!("{names} {}", if self.high { "high" } else { "low" })
    }
}
