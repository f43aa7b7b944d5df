//! Resolves the names of a rule (points with their indices, parameters) for one device.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alarm::limit::Limit;

/// The point that a condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionInput {
    pub device: Arc<str>,
    pub point: Arc<str>,
}

impl ConditionInput {
    /// The input as `device.point`, for explanations.
    pub fn name(&self) -> String {
        format!("{}.{}", self.device, self.point)
    }
}

/// The device or link that a rule is applied to.
pub struct RuleSubject<'a> {
    pub id: &'a str,
    pub class: &'a str,
    /// Its points, derived ones included.
    pub points: BTreeSet<&'a str>,
    /// Parameters of the device from the site's configuration.
    pub parameters: &'a BTreeMap<String, f64>,
    /// The devices of the link, if the subject is a link.
    pub devices: Vec<&'a str>,
    /// Unit of a point, for people.
    pub unit_of: UnitOf<'a>,
}

/// The unit of a point of a class, for people; empty if it has none.
pub type UnitOf<'a> = Box<dyn Fn(&str) -> String + 'a>;

/// What a device lacks for a rule, in words: `point level_m`, `number high_m`.
pub type Missing = Vec<String>;

/// Resolves names of a rule for one device.
pub struct RuleBuilder<'a> {
    pub(super) subject: &'a RuleSubject<'a>,
    pub(super) index: Option<u32>,
}

impl<'a> RuleBuilder<'a> {
    /// For a rule whose name has no index.
    pub fn new(subject: &'a RuleSubject<'a>) -> Self {
        Self { subject, index: None }
    }

    pub(super) fn input(&self, name: &str) -> Result<ConditionInput, Missing> {
        let name = self.index.map_or_else(|| name.to_string(), |n| name.replace("{n}", &n.to_string()));
        if self.subject.points.contains(name.as_str()) {
            Ok(ConditionInput { device: self.subject.id.into(), point: name.as_str().into() })
        } else {
            Err(vec![format!("point {name}")])
        }
    }

    /// Expands `{*}` to every index for which the device has the point.
    pub(super) fn inputs(&self, name: &str) -> Result<Vec<ConditionInput>, Missing> {
        if !name.contains("{*}") {
            return Ok(vec![self.input(name)?]);
        }
        let all = indices_of(name, self.subject);
        let inputs: Vec<ConditionInput> =
            all.iter().filter_map(|n| self.input(&name.replace("{*}", &n.to_string())).ok()).collect();
        if inputs.is_empty() { Err(vec![format!("point {}", name.replace("{*}", "{n}"))]) } else { Ok(inputs) }
    }

    pub(super) fn limit(&self, limit: &Limit) -> Result<f64, Missing> {
        limit.resolve(self.subject.parameters, self.index).map_err(|missing| vec![missing.to_string()])
    }
}

/// The indices for which the device has a point of this pattern.
pub(super) fn indices_of(pattern: &str, subject: &RuleSubject<'_>) -> BTreeSet<u32> {
    let Some((head, tail)) = pattern.split_once("{n}").or_else(|| pattern.split_once("{*}")) else {
        return BTreeSet::new();
    };
    let of = |point: &&str| point.strip_prefix(head)?.strip_suffix(tail)?.parse::<u32>().ok();
    subject.points.iter().filter_map(of).collect()
}
