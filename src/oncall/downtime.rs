//! What became of alarms while nobody could be paged of it: after a start, or while this room was switched off.

use crate::model::alarm::{AlarmSummaries, AlarmSummary};
use crate::model::page::{PageKind, is_test};
use crate::model::priority::Priority;
use crate::oncall::Oncall;
use crate::oncall::page::{OncallEvent, OncallEventKind};

/// What incidents have to learn of their alarms first, then every alarm that needs somebody and has no incident.
pub fn events(alarms: &AlarmSummaries, oncall: &Oncall) -> Vec<OncallEvent> {
    let mut out = of_incidents(alarms, oncall);
    out.extend(of_alarms(alarms, oncall));
    out
}

/// Alarms that ended, were acknowledged, or whose rule is gone.
fn of_incidents(alarms: &AlarmSummaries, oncall: &Oncall) -> Vec<OncallEvent> {
    let of = |key: &std::sync::Arc<str>| {
        let alarm = alarms.alarms.binary_search_by(|a| a.key.cmp(key)).ok().map(|i| &alarms.alarms[i]);
        let kind = match alarm {
            None => OncallEventKind::Resolved("its rule is gone".to_string()),
            Some(a) if !a.is_active && (a.needs_ack || a.latched) => {
                OncallEventKind::ConditionEnded { latched: a.latched }
            }
            Some(a) if !a.is_active => OncallEventKind::Resolved("its condition is gone".to_string()),
            Some(a) if !a.needs_ack => OncallEventKind::Acknowledged { actor: a.owner.clone() },
            Some(_) => return None,
        };
        let incident = oncall.incident(key)?;
        let (occurrence, priority, is_test) = (incident.occurrence, incident.priority, incident.is_test);
        Some(OncallEvent { key: key.clone(), occurrence, priority, is_test, merged: false, kind })
    };
    oncall.keys().filter(|key| !key.is_empty() && !is_test(key)).filter_map(of).collect()
}

/// Alarms that need somebody; what has an incident learns nothing new. One that ended before anybody was paged of it is paged
/// all the same, if it is urgent.
fn of_alarms(alarms: &AlarmSummaries, oncall: &Oncall) -> Vec<OncallEvent> {
    let mut out = Vec::new();
    for alarm in &alarms.alarms {
        let AlarmSummary { key, occurrence, priority, is_test, .. } = alarm;
        let needs_no_page = || oncall.incident(key).is_some() || alarm.never_notified || *priority > Priority::P2;
        if !alarm.needs_ack || alarm.is_silenced || (!alarm.is_active && needs_no_page()) {
            continue;
        }
        let merged = alarms.is_alarm_flood && *priority > Priority::P1;
        let event = |kind| OncallEvent {
            key: key.clone(),
            occurrence: *occurrence,
            priority: *priority,
            is_test: *is_test,
            merged,
            kind,
        };
        out.push(event(OncallEventKind::PageRequired(PageKind::Raised)));
        out.extend((!alarm.is_active).then(|| event(OncallEventKind::ConditionEnded { latched: alarm.latched })));
    }
    out
}
