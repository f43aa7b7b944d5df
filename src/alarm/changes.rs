//! Differences of alarm rules at a reload, one event per alarm, so that every change of a rule is in the event log.

use std::sync::Arc;

use crate::alarm::definition::AlarmDefinition;
use crate::alarm::{Alarms, Rules};
use crate::model::actor::Actor;
use crate::model::alarm::{AlarmEvent, AlarmEventKind};
use crate::model::priority::Priority;
use crate::model::text::{REMARK, one_line};

impl Alarms {
    /// Events for added, changed and removed alarms, with the person who reloaded.
    pub(super) fn changes(&self, rules: &Rules, actor: &Actor) -> Vec<AlarmEvent> {
        let (by, via) = (one_line(&actor.id, REMARK), actor.via.to_string());
        let priority = |d: &AlarmDefinition| d.steps.iter().map(|s| s.priority).min().unwrap_or(Priority::P4);
        let event = |key: &str, what, d: &AlarmDefinition| {
            let occurrence = self.by_key.get(key).map_or(0, |i| self.live[*i].alarm.occurrence);
            AlarmEvent {
                actor: by.clone(),
                via: via.clone(),
                cause: d.source_rule.to_string(),
                ..AlarmEvent::bare(key, what, occurrence, priority(d))
            }
        };
        let mut out = Vec::new();
        let mut stays: std::collections::BTreeSet<Arc<str>> = std::collections::BTreeSet::new();
        for d in &rules.definitions {
            let key: Arc<str> = d.key().into();
            match self.by_key.get(&key).map(|i| &self.live[*i].definition) {
                None => out.push(event(&key, AlarmEventKind::RuleAdded, d)),
                Some(was) if **was != **d => out.push(event(&key, AlarmEventKind::RuleChanged, d)),
                Some(_) => {}
            }
            stays.insert(key);
        }
        let gone = self.live.iter().filter(|l| !stays.contains(&l.key));
        out.extend(gone.map(|l| event(&l.key, AlarmEventKind::RuleRemoved, &l.definition)));
        out
    }
}

/// A line for each changed rule, as the answer to the reload command.
pub fn lines(events: &[AlarmEvent]) -> Vec<String> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for event in events {
        let word = match event.kind {
            AlarmEventKind::RuleAdded => "is new",
            AlarmEventKind::RuleChanged => "is changed",
            AlarmEventKind::RuleRemoved => "IS GONE",
            _ => continue,
        };
        let head = format!("alarm rule {} {word}", event.cause);
        let device = event.key.rsplit_once('.').map_or("", |(_, d)| d).to_string();
        match out.iter_mut().find(|(h, _)| *h == head) {
            Some((_, devices)) => devices.push(device),
            None => out.push((head, vec![device])),
        }
    }
    out.into_iter().map(|(head, devices)| format!("{head} for {}", devices.join(", "))).collect()
}
