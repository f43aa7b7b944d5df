//! Applies a rule of a file to one device: the definitions that result, or the points and parameters that the device lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alarm::resolved_condition::{
    AlarmDefinition, ConditionInput, Rationale, ResolvedBaseline, ResolvedCondition, Urgency,
};
use crate::alarm::settings::{Baseline, Condition, Level, Limit, RuleSettings};
use crate::model::latest::status_point;
use crate::model::point::LocalizedText;

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
    let b = Builder { subject, index };
    let when = b.node(&rule.when)?;
    let only = rule.only.as_ref().map(|c| b.node(c)).transpose()?;
    let not = rule.unless.as_ref().and_then(|c| b.node(c).ok()).map(|n| ResolvedCondition::Not(Box::new(n)));
    let only = match (only, not) {
        (Some(a), Some(b)) => Some(ResolvedCondition::All(vec![a, b])),
        (a, b) => a.or(b),
    };
    let mut steps = b.urgencies(&rule.when, rule);
    if steps.is_empty() {
        steps.push(Urgency { priority: rule.priority, on_delay_ms: rule.on_delay.0 });
    }
    let hidden = |by: &String| -> Arc<str> {
        let by = fill(by);
        if by.contains('.') { by.into() } else { format!("{by}.{}", subject.id).into() }
    };
    let mut unit = String::new();
    if let Some(point) = point_of_value(&rule.when) {
        unit = (subject.unit_of)(&fill(point));
    }
    Ok(AlarmDefinition {
        rule: fill(name).into(),
        source_rule: format!("{}.{name}", subject.class).into(),
        device: subject.id.into(),
        site_number: rule.no.clone().unwrap_or_default(),
        text: LocalizedText { zh: fill(&rule.zh), en: fill(&rule.en) },
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
        suppresses_while: rule.explains_while.as_ref().and_then(|c| b.node(c).ok()),
        raised_by_tests: rule.in_test,
        rationale: Arc::new(Rationale {
            cause: rule.cause.clone().unwrap_or_default(),
            consequence: rule.consequence.clone().unwrap_or_default(),
            respond_ms: rule.respond.map_or(0, |l| l.0),
            basis: rule.basis.clone().unwrap_or_default(),
        }),
    })
}

struct Builder<'a> {
    subject: &'a RuleSubject<'a>,
    index: Option<u32>,
}

impl Builder<'_> {
    fn input(&self, name: &str) -> Result<ConditionInput, Missing> {
        let name = self.index.map_or_else(|| name.to_string(), |n| name.replace("{n}", &n.to_string()));
        if self.subject.points.contains(name.as_str()) {
            Ok(ConditionInput { device: self.subject.id.into(), point: name.as_str().into() })
        } else {
            Err(vec![format!("point {name}")])
        }
    }

    /// Expands `{*}` to every index for which the device has the point.
    fn inputs(&self, name: &str) -> Result<Vec<ConditionInput>, Missing> {
        if !name.contains("{*}") {
            return Ok(vec![self.input(name)?]);
        }
        let all = indices_of(name, self.subject);
        let inputs: Vec<ConditionInput> =
            all.iter().filter_map(|n| self.input(&name.replace("{*}", &n.to_string())).ok()).collect();
        if inputs.is_empty() { Err(vec![format!("point {}", name.replace("{*}", "{n}"))]) } else { Ok(inputs) }
    }

    fn limit(&self, limit: &Limit) -> Result<f64, Missing> {
        limit.resolve(self.subject.parameters, self.index).map_err(|name| vec![format!("number {name}")])
    }

    /// The steps whose limits can be resolved.
    fn urgencies(&self, condition: &Condition, rule: &RuleSettings) -> Vec<Urgency> {
        let (Condition::High(level) | Condition::Low(level)) = condition else { return Vec::new() };
        let has = level.steps.iter().filter(|s| self.limit(&s.limit).is_ok());
        let of = |on_delay: Option<crate::model::time::HumanDuration>| on_delay.unwrap_or(rule.on_delay).0;
        has.map(|s| Urgency { priority: s.priority, on_delay_ms: of(s.on_delay) }).collect()
    }

    fn level(&self, level: &Level, high: bool) -> Result<ResolvedCondition, Missing> {
        let inputs = self.inputs(&level.point)?;
        let mut limits = Vec::new();
        let mut missing = Missing::new();
        for limit in level.limit.iter().chain(level.steps.iter().map(|s| &s.limit)) {
            match self.limit(limit) {
                Ok(limit) => limits.push(limit),
                Err(more) => missing.extend(more),
            }
        }
        if limits.is_empty() {
            return Err(missing);
        }
        Ok(ResolvedCondition::Level { inputs, high, limits, deadband: level.deadband })
    }

    fn node(&self, condition: &Condition) -> Result<ResolvedCondition, Missing> {
        Ok(match condition {
            Condition::High(level) => self.level(level, true)?,
            Condition::Low(level) => self.level(level, false)?,
            Condition::Is(c) => {
                ResolvedCondition::Is { inputs: self.inputs(&c.point)?, values: c.values.clone(), every: c.every }
            }
            Condition::Rate(c) => {
                ResolvedCondition::Rate { input: self.input(&c.point)?, per_min: c.per_min, within_ms: c.within.0 }
            }
            Condition::Change(c) => {
                ResolvedCondition::Change { input: self.input(&c.point)?, delta: c.by, within_ms: c.within.0 }
            }
            Condition::Deviation(c) => ResolvedCondition::Deviation {
                a: self.input(&c.point)?,
                b: self.input(&c.from)?,
                limit: self.limit(&c.limit)?,
                deadband: c.deadband,
            },
            Condition::Frozen(c) => ResolvedCondition::Frozen { input: self.input(&c.point)?, lasts_ms: c.lasts.0 },
            Condition::Bad(c) => ResolvedCondition::Bad { input: self.input(&c.point)?, causes: c.causes.clone() },
            Condition::Offline {} => ResolvedCondition::Offline { inputs: vec![state_of(self.subject.id)], pct: 100.0 },
            Condition::ShareOffline(c) => {
                let of: Vec<&str> = if c.of.is_empty() {
                    self.subject.devices.clone()
                } else {
                    c.of.iter().map(String::as_str).collect()
                };
                if of.len() < c.at_least {
                    return Err(vec![format!("{} devices on it", c.at_least)]);
                }
                ResolvedCondition::Offline { inputs: of.into_iter().map(state_of).collect(), pct: c.pct }
            }
            Condition::Count(c) => ResolvedCondition::Count {
                when: Box::new(self.node(&c.when)?),
                at_least: c.at_least,
                within_ms: c.within.0,
            },
            Condition::NoEffect(c) => ResolvedCondition::NoEffect {
                running: self.input(&c.running)?,
                input: self.input(&c.point)?,
                delta: c.by,
                within_ms: c.within.0,
            },
            Condition::Idle(c) => ResolvedCondition::NotTrueFor { input: self.input(&c.point)?, lasts_ms: c.lasts.0 },
            Condition::Reaches(c) => ResolvedCondition::TimeToLimit {
                input: self.input(&c.point)?,
                limit: self.limit(&c.limit)?,
                within_ms: c.within.0,
                over_ms: c.rate_over.0,
            },
            Condition::AgainstDays(c) => ResolvedCondition::Baseline(self.days(c)?),
            Condition::Lasting(c) => {
                ResolvedCondition::Sustained { when: Box::new(self.node(&c.when)?), lasts_ms: c.lasts.0 }
            }
            Condition::Hours(c) => ResolvedCondition::Hours {
                from: minute(&c.from).unwrap_or(0),
                to: minute(&c.to).unwrap_or(1_440),
                days: c.days.clone(),
            },
            Condition::All(of) => ResolvedCondition::All(of.iter().map(|c| self.node(c)).collect::<Result<_, _>>()?),
            Condition::Any(of) => self.any(of)?,
            Condition::Not(c) => ResolvedCondition::Not(Box::new(self.node(c)?)),
        })
    }

    /// Leaves out conditions whose points the device lacks; an error if none remains.
    fn any(&self, of: &[Condition]) -> Result<ResolvedCondition, Missing> {
        let mut nodes = Vec::new();
        let mut missing = Missing::new();
        for condition in of {
            match self.node(condition) {
                Ok(node) => nodes.push(node),
                Err(more) => missing.extend(more),
            }
        }
        if nodes.is_empty() {
            let mut seen = BTreeSet::new();
            missing.retain(|m| seen.insert(m.clone()));
            return Err(vec![missing.join(" or ")]);
        }
        Ok(ResolvedCondition::Any(nodes))
    }

    fn days(&self, c: &Baseline) -> Result<ResolvedBaseline, Missing> {
        Ok(ResolvedBaseline {
            input: self.input(&c.point)?,
            figure: c.figure,
            from: minute(&c.from).unwrap_or(0),
            to: minute(&c.to).unwrap_or(1_440),
            days: c.days,
            centre: c.of,
            factor: c.times,
            in_a_row: c.in_a_row,
        })
    }
}

/// The input that holds the device's own state.
fn state_of(device: &str) -> ConditionInput {
    ConditionInput { device: device.into(), point: status_point("state").into() }
}

/// Parses `02:30` into minutes after midnight; `24:00` is the end of the day.
pub fn minute(text: &str) -> Option<u16> {
    let (h, m) = text.split_once(':')?;
    let (h, m): (u16, u16) = (h.parse().ok()?, m.parse().ok()?);
    (h * 60 + m <= 1_440 && m < 60 && h <= 24).then_some(h * 60 + m)
}

/// Calls with every point that a rule names, placeholders unexpanded.
pub fn for_each_point<'a>(rule: &'a RuleSettings, each: &mut dyn FnMut(&'a str)) {
    for_each_point_of(&rule.when, each);
    rule.only.iter().chain(&rule.unless).chain(&rule.explains_while).for_each(|c| for_each_point_of(c, each));
}

fn for_each_point_of<'a>(condition: &'a Condition, each: &mut dyn FnMut(&'a str)) {
    match condition {
        Condition::High(c) | Condition::Low(c) => each(&c.point),
        Condition::Is(c) => each(&c.point),
        Condition::Rate(c) => each(&c.point),
        Condition::Change(c) => each(&c.point),
        Condition::Deviation(c) => [&c.point, &c.from].into_iter().for_each(|p| each(p)),
        Condition::Frozen(c) => each(&c.point),
        Condition::Bad(c) => each(&c.point),
        Condition::NoEffect(c) => [&c.running, &c.point].into_iter().for_each(|p| each(p)),
        Condition::Idle(c) => each(&c.point),
        Condition::Reaches(c) => each(&c.point),
        Condition::AgainstDays(c) => each(&c.point),
        Condition::Count(c) => for_each_point_of(&c.when, each),
        Condition::Lasting(c) => for_each_point_of(&c.when, each),
        Condition::Not(c) => for_each_point_of(c, each),
        Condition::All(of) | Condition::Any(of) => of.iter().for_each(|c| for_each_point_of(c, each)),
        Condition::Offline {} | Condition::ShareOffline(_) | Condition::Hours(_) => {}
    }
}

/// The point whose value an alarm shows.
fn point_of_value(condition: &Condition) -> Option<&str> {
    match condition {
        Condition::High(c) | Condition::Low(c) => Some(&c.point),
        Condition::Deviation(c) => Some(&c.point),
        Condition::NoEffect(c) => Some(&c.point),
        Condition::Change(c) => Some(&c.point),
        Condition::Lasting(c) => point_of_value(&c.when),
        Condition::All(of) | Condition::Any(of) => of.iter().find_map(point_of_value),
        _ => None,
    }
}

/// The indices for which the device has a point of this pattern.
fn indices_of(pattern: &str, subject: &RuleSubject<'_>) -> BTreeSet<u32> {
    let Some((head, tail)) = pattern.split_once("{n}").or_else(|| pattern.split_once("{*}")) else {
        return BTreeSet::new();
    };
    let of = |point: &&str| point.strip_prefix(head)?.strip_suffix(tail)?.parse::<u32>().ok();
    subject.points.iter().filter_map(of).collect()
}

/// Calls with a condition and everything nested in it.
fn parts<'a>(condition: &'a Condition, each: &mut dyn FnMut(&'a Condition)) {
    each(condition);
    match condition {
        Condition::Count(c) => parts(&c.when, each),
        Condition::Lasting(c) => parts(&c.when, each),
        Condition::Not(c) => parts(c, each),
        Condition::All(of) | Condition::Any(of) => of.iter().for_each(|c| parts(c, each)),
        _ => {}
    }
}

/// Calls with every device parameter that a condition names.
pub fn for_each_parameter<'a>(condition: &'a Condition, each: &mut dyn FnMut(&'a str)) {
    parts(condition, &mut |part| {
        let limits: Vec<&Limit> = match part {
            Condition::High(c) | Condition::Low(c) => c.limit.iter().chain(c.steps.iter().map(|s| &s.limit)).collect(),
            Condition::Deviation(c) => vec![&c.limit],
            Condition::Reaches(c) => vec![&c.limit],
            _ => Vec::new(),
        };
        limits.iter().filter_map(|l| l.number.as_deref()).for_each(&mut *each);
    });
}

/// Errors in a condition that need no device to be seen: each with a hint.
pub fn problems(condition: &Condition) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut report = |what: &str, hint: &str| out.push((what.to_string(), hint.to_string()));
    let (mut nested, mut stepped) = (0, 0);
    parts(condition, &mut |part| {
        nested += 1;
        match part {
            Condition::High(c) | Condition::Low(c) => {
                stepped += usize::from(!c.steps.is_empty());
                match (c.limit.is_some(), c.steps.len()) {
                    (true, 1..) => report("both a limit and steps", "a limit, or steps with a limit each"),
                    (false, 0) => report("no limit", "limit = 1.6, or limit = \"high_m\""),
                    (false, 5..) => report("more than four steps", "four is as much as anybody tells apart"),
                    _ => {}
                }
                if !(c.deadband >= 0.0 && c.deadband.is_finite()) {
                    report("a deadband below nothing", "0 or more, in the unit of the point");
                }
            }
            Condition::Rate(c) if c.per_min == 0.0 => {
                report("a rate of nothing", "per_min above 0, or below for a fall");
            }
            Condition::Change(c) if c.by == 0.0 => report("a change of nothing", "by above 0, or below for a fall"),
            Condition::Rate(c) if c.within.0 == 0 => report("a rate over no time", "within = \"2m\""),
            Condition::Change(c) if c.within.0 == 0 => report("a change within no time", "within = \"1h\""),
            Condition::Count(c) if c.within.0 == 0 || c.at_least == 0 => {
                report("a count of nothing", "at_least = 3, within = \"10m\"");
            }
            Condition::All(of) | Condition::Any(of) if of.is_empty() => {
                report("nothing in a list of conditions", "at least one");
            }
            Condition::AgainstDays(c) => {
                let (from, to) = (minute(&c.from), minute(&c.to));
                if from.is_none() || to.is_none() || from >= to {
                    report("hours that are none", "from = \"02:00\", to = \"04:00\", within one day");
                }
                if !(7..=366).contains(&c.days) {
                    report("days is 7 to 366", "30 is usual");
                }
            }
            Condition::Hours(c) if minute(&c.from).is_none() || minute(&c.to).is_none() => {
                report("hours that are none", "from = \"22:00\", to = \"06:00\"");
            }
            _ => {}
        }
    });
    if stepped > 0 && nested > 1 {
        report("steps within another condition", "steps stand alone; `only` says when they count");
    }
    out
}
