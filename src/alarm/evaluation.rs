//! The truth of a condition in three-valued logic: yes, no, or unknown where an input is bad, stale or was never seen. Unknown is
//! never taken for "no".

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::alarm::inject::Injected;
use crate::model::latest::Latest;
use crate::model::quality::Cause;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};
use crate::model::value::Value;

/// The truth of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds, at this step of urgency, counted from one.
    Yes(u8),
    No,
    /// An input is missing, for this cause.
    Unknown(Cause),
}

/// The result of evaluating a condition, with the numbers to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    pub truth: Truth,
    /// The value that decided, where there is one.
    pub value: Option<f64>,
    /// The limit with which the value was compared.
    pub limit: Option<f64>,
}

/// Everything an evaluator may look at, and what it reports back besides its result.
pub struct EvaluationContext<'a> {
    pub latest: &'a Latest,
    /// Trial samples, which take precedence over `latest`.
    pub injected: &'a Injected,
    pub now: Now,
    /// The site's time zone.
    pub zone: &'a TimeZone,
    /// The highest step that is in alarm already; deadbands apply up to this step.
    pub active_step: u8,
    /// Output: when to evaluate again although no sample arrives.
    pub wake: Option<MonotonicMillis>,
    /// Output: whether a trial sample was read.
    pub used_injected: bool,
}

impl EvaluationContext<'_> {
    /// Requests another evaluation at this moment.
    pub(super) fn wake_at(&mut self, at: MonotonicMillis) {
        if at > self.now.mono {
            self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
        }
    }

    /// The trial sample of a slot, or else the real one.
    fn sample(&mut self, slot: usize) -> Result<&Value, Cause> {
        let (injected, latest) = (self.injected, self.latest);
        if let Some((value, until)) = injected.get(slot) {
            self.used_injected = true;
            self.wake_at(until);
            return Ok(value);
        }
        let seen = latest.get(slot).ok_or(Cause::StartingUp)?;
        seen.value_at(self.now.mono)
    }

    /// Why there is no value, if there is none.
    pub(super) fn bad_cause(&mut self, slot: usize) -> Option<Cause> {
        self.sample(slot).err()
    }

    pub(super) fn number(&mut self, slot: usize) -> Result<f64, Cause> {
        self.sample(slot)?.as_f64().ok_or(Cause::NotFinite)
    }

    pub(super) fn truth(&mut self, slot: usize) -> Result<bool, Cause> {
        Ok(self.number(slot)? != 0.0)
    }
}

/// What of an evaluator's memory survives a restart, in the order of its tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersistedEvaluator {
    /// When it was last true.
    #[serde(rename = "last")]
    LastTrue(Option<UnixMillis>),
    /// Figures of the days.
    #[serde(rename = "days")]
    Baseline(crate::alarm::days::PersistedBaseline),
}

pub(super) const fn yes() -> Truth {
    Truth::Yes(1)
}

pub(super) const fn truth(holds: bool) -> Truth {
    if holds { yes() } else { Truth::No }
}

/// A value or limit that is not finite is none: nobody can read it, and kept state, which is JSON, cannot hold it.
pub(super) fn evaluation(state: Truth, value: Option<f64>, limit: Option<f64>) -> Evaluation {
    let finite = |number: Option<f64>| number.filter(|n| n.is_finite());
    Evaluation { truth: state, value: finite(value), limit: finite(limit) }
}

/// Whether a change reaches the threshold, in the threshold's direction.
pub(super) fn reaches_threshold(change: f64, by: f64) -> bool {
    if by >= 0.0 { change >= by } else { change <= by }
}

/// Conjunction or disjunction in three-valued logic; value and limit come from the first part that decides.
pub(super) fn combine(parts: impl Iterator<Item = Evaluation>, any: bool) -> Evaluation {
    let (mut yes, mut no, mut unknown): (Option<Evaluation>, Option<Evaluation>, Option<Evaluation>) =
        (None, None, None);
    let mut step = 0;
    for part in parts {
        let (slot, k) = match part.truth {
            Truth::Yes(k) => (&mut yes, k),
            Truth::No => (&mut no, 0),
            Truth::Unknown(_) => (&mut unknown, 0),
        };
        step = step.max(k);
        match slot {
            None => *slot = Some(part),
            Some(first) if first.limit.is_none() && part.limit.is_some() => *slot = Some(part),
            Some(_) => {}
        }
    }
    let decided = if any { yes.or(unknown).or(no) } else { no.or(unknown).or(yes) };
    let mut out = decided.unwrap_or(evaluation(if any { Truth::No } else { self::yes() }, None, None));
    if let Truth::Yes(k) = &mut out.truth {
        *k = step;
    }
    out
}

pub(super) fn minutes(ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "hours of milliseconds")]
    let minutes = ms as f64 / 60_000.0;
    minutes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_finite_are_none() {
        let of = |value, limit| {
            let result = evaluation(Truth::No, Some(value), Some(limit));
            (result.value, result.limit)
        };
        assert_eq!(of(1.5, 2.0), (Some(1.5), Some(2.0)));
        assert_eq!(of(f64::INFINITY, f64::NAN), (None, None));
    }
}
