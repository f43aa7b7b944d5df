//! Applies a rule of a file to one device: the definitions that result, or the points and parameters that the device lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alarm::condition::kind::NestedCondition;
use crate::alarm::condition::logic::{ResolvedGroup, ResolvedNot};
use crate::alarm::condition::{Condition, ResolvedCondition};
use crate::alarm::definition::{AlarmDefinition, Rationale, Urgency};
use crate::alarm::resolve::{Missing, RuleBuilder, RuleSubject, indices_of};
use crate::alarm::settings::RuleSettings;
use crate::model::point::LocalizedText;

/// The definitions of a rule for a device: one, or one per index where the name contains `{n}`.
///
/// # Errors
/// The rule does not apply: what is missing.
pub fn build(name: &str, rule: &RuleSettings, subject: &RuleSubject<'_>) -> Result<Vec<AlarmDefinition>, Missing> {
    if !name.contains("{n}") {
        return one(name, rule, subject, None).map(|d| vec![d]);
    }
    let mut indices = BTreeSet::new();
    for_each_point(rule, &mut |point| indices.extend(indices_of(point, subject)));
    let mut missing = Missing::new();
    let mut out = Vec::new();
    for n in indices {
        match one(name, rule, subject, Some(n)) {
            Ok(definition) => out.push(definition),
            Err(more) => missing.extend(more),
        }
    }
    if out.is_empty() {
        if missing.is_empty() {
            for_each_point(rule, &mut |point| missing.push(format!("point {point}")));
        }
        missing.sort();
        missing.dedup();
        return Err(missing);
    }
    Ok(out)
}

fn one(
    name: &str,
    rule: &RuleSettings,
    subject: &RuleSubject<'_>,
    index: Option<u32>,
) -> Result<AlarmDefinition, Missing> {
    let fill = |text: &str| index.map_or_else(|| text.to_string(), |n| text.replace("{n}", &n.to_string()));
    let b = RuleBuilder { subject, index };
    let when = rule.when.resolve(&b)?;
    let only = rule.only.as_ref().map(|c| c.resolve(&b)).transpose()?;
    let not = rule.unless.as_ref().and_then(|c| c.resolve(&b).ok()).map(negated);
    let only = match (only, not) {
        (Some(a), Some(b)) => Some(ResolvedCondition::All(ResolvedGroup { parts: vec![a, b], any: false })),
        (a, b) => a.or(b),
    };
    let mut steps = urgencies(&b, &rule.when, rule);
    if steps.is_empty() {
        steps.push(Urgency { priority: rule.priority, on_delay_ms: rule.on_delay.0 });
    }
    let hidden = |by: &String| -> Arc<str> {
        let by = fill(by);
        if by.contains('.') { by.into() } else { format!("{by}.{}", subject.id).into() }
    };
    let mut unit = String::new();
    if let Some(point) = rule.when.value_point() {
        unit = (subject.unit_of)(&fill(point));
    }
    let mut text = LocalizedText { zh: fill(&rule.zh), en: fill(&rule.en) };
    LocalizedText::fall_back(&mut text.zh, &mut text.en);
    Ok(AlarmDefinition {
        rule: fill(name).into(),
        source_rule: format!("{}.{name}", subject.class).into(),
        device: subject.id.into(),
        site_number: rule.no.clone().unwrap_or_default(),
        text,
        action: LocalizedText { zh: fill(&rule.action.zh), en: fill(&rule.action.en) },
        unit,
        steps,
        off_delay_ms: rule.off_delay.0,
        realarm_ms: rule.realarm.map(|l| l.0),
        latch: rule.latch,
        suppressed_by: if rule.never_hidden { Vec::new() } else { rule.hidden_by.iter().map(hidden).collect() },
        first_out_group: rule.group.as_deref().map(Into::into),
        never_suppressed: rule.never_hidden,
        condition: when,
        enable_if: only,
        suppresses_while: rule.explains_while.as_ref().and_then(|c| c.resolve(&b).ok()),
        raised_by_tests: rule.in_test,
        more_urgent_while: None,
        flood_rank: 0,
        readiness: rule.readiness,
        value_texts: BTreeMap::new(),
        value_actions: BTreeMap::new(),
        rationale: Arc::new(Rationale {
            cause: rule.cause.clone().unwrap_or_default(),
            consequence: rule.consequence.clone().unwrap_or_default(),
            respond_ms: rule.respond.map_or(0, |l| l.0),
            basis: rule.basis.clone().unwrap_or_default(),
        }),
    })
}

fn negated(condition: ResolvedCondition) -> ResolvedCondition {
    ResolvedCondition::Not(ResolvedNot { part: Box::new(condition) })
}

/// The steps whose limits can be resolved.
fn urgencies(builder: &RuleBuilder<'_>, condition: &Condition, rule: &RuleSettings) -> Vec<Urgency> {
    let has = condition.steps().iter().filter(|s| builder.limit(&s.limit).is_ok());
    let of = |on_delay: Option<crate::model::time::HumanDuration>| on_delay.unwrap_or(rule.on_delay).0;
    has.map(|s| Urgency { priority: s.priority, on_delay_ms: of(s.on_delay) }).collect()
}

/// Calls with every point that a rule names, placeholders unexpanded.
pub fn for_each_point<'a>(rule: &'a RuleSettings, each: &mut dyn FnMut(&'a str)) {
    for_each_point_of(&rule.when, each);
    rule.only.iter().chain(&rule.unless).chain(&rule.explains_while).for_each(|c| for_each_point_of(c, each));
}

fn for_each_point_of<'a>(condition: &'a Condition, each: &mut dyn FnMut(&'a str)) {
    parts(condition, &mut |part| part.points().into_iter().for_each(&mut *each));
}

/// Calls with a condition and everything nested in it.
fn parts<'a>(condition: &'a Condition, each: &mut dyn FnMut(&'a Condition)) {
    each(condition);
    condition.parts().into_iter().for_each(|part| parts(part, each));
}

/// Calls with every device parameter that a condition names.
pub fn for_each_parameter<'a>(condition: &'a Condition, each: &mut dyn FnMut(&'a str)) {
    parts(condition, &mut |part| {
        part.limits().into_iter().filter_map(|l| l.number.as_deref()).for_each(&mut *each);
    });
}

/// Errors in a condition that need no device to be seen: each with a hint.
pub fn problems(condition: &Condition) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut report = |what: &str, hint: &str| out.push((what.to_string(), hint.to_string()));
    let (mut nested, mut stepped) = (0, 0);
    parts(condition, &mut |part| {
        nested += 1;
        stepped += usize::from(!part.steps().is_empty());
        part.problems(&mut report);
    });
    if stepped > 0 && nested > 1 {
        report("steps within another condition", "steps stand alone; `only` says when they count");
    }
    out
}
