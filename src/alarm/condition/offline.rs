//! A device, or most of several, does not answer.

use crate::alarm::condition::kind::{ConditionSettings, NestedCondition, ResolvedKind};
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, truth};
use crate::alarm::resolve::{ConditionInput, Missing, RuleBuilder};
use crate::model::latest::status_point;
use crate::model::quality::Cause;
use schemars::JsonSchema;
use serde::Deserialize;

/// The device does not answer: a table without keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offline {}

/// Most of several devices.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareOffline {
    /// The devices; none: those on the link.
    #[serde(default)]
    pub of: Vec<String>,
    /// From which share on, percent.
    pub pct: f64,
    /// How many devices there must be for it to mean anything.
    #[serde(default = "three")]
    pub at_least: usize,
}

fn three() -> usize {
    3
}

/// At least a share of the devices is offline.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedOffline {
    /// The `state` points of the devices.
    pub inputs: Vec<ConditionInput>,
    /// Percent of the devices whose state is known.
    pub pct: f64,
}

/// The input that holds a device's own state.
fn state_of(device: &str) -> ConditionInput {
    ConditionInput { device: device.into(), point: status_point("state").into() }
}

impl<C: NestedCondition> ConditionSettings<C> for Offline {
    type Resolved = ResolvedOffline;

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedOffline, Missing> {
        Ok(ResolvedOffline { inputs: vec![state_of(b.subject.id)], pct: 100.0 })
    }
}

impl<C: NestedCondition> ConditionSettings<C> for ShareOffline {
    type Resolved = ResolvedOffline;

    fn resolve(&self, _kind: &str, b: &RuleBuilder<'_>) -> Result<ResolvedOffline, Missing> {
        let of: Vec<&str> =
            if self.of.is_empty() { b.subject.devices.clone() } else { self.of.iter().map(String::as_str).collect() };
        if of.len() < self.at_least {
            return Err(vec![format!("{} devices on it", self.at_least)]);
        }
        Ok(ResolvedOffline { inputs: of.into_iter().map(state_of).collect(), pct: self.pct })
    }
}

impl<R> ResolvedKind<R> for ResolvedOffline {
    type Memory = ();

    fn memory(&self) {}

    fn inputs(&self) -> Vec<&ConditionInput> {
        self.inputs.iter().collect()
    }

    // Device state 3 is offline, 0 unknown.
    fn evaluate(
        &self,
        (): &mut (),
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        let (mut away, mut known) = (0.0, 0.0);
        for slot in slots {
            if let Ok(state) = c.number(*slot) {
                known += 1.0;
                away += f64::from(u8::from(state > 2.5));
            }
        }
        if known == 0.0 {
            return evaluation(Truth::Unknown(Cause::StartingUp), None, None);
        }
        let share = away / known * 100.0;
        evaluation(truth(share >= self.pct), Some(share), Some(self.pct))
    }

    fn describe(&self) -> String {
        match &self.inputs[..] {
            [one] => format!("{} offline", one.device),
            several => format!("share of {} devices that are offline", several.len()),
        }
    }
}
