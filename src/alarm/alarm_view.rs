//! Representations of an alarm: its text in both languages, its state for the retained topic, its transitions as readings for the
//! time-series store.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::alarm::definition::AlarmDefinition;
use crate::alarm::life::Alarm;
use crate::model::alarm::{AlarmEvent, AlarmEventKind, AlarmState, Moment};
use crate::model::directory::DeviceInfo;
use crate::model::point::{LocalizedText, PointKind, PointMeta};
use crate::model::reading::{Body, Reading, Sample, Stamp};
use crate::model::room::Finding;
use crate::model::stream::{Source, Stream};
use crate::model::time::Now;
use crate::model::value::Value;

/// The payload of the retained topic `alarm/{rule}.{device}`.
#[derive(Debug, Serialize)]
pub struct AlarmView<'a> {
    rule: &'a str,
    device: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    no: &'a str,
    state: &'static str,
    active: bool,
    acknowledged: bool,
    latched: bool,
    shelved: bool,
    out_of_service: bool,
    suppressed_by: Option<&'a str>,
    /// `good`, or the cause why the input is unknown.
    input: &'static str,
    priority: &'static str,
    occurrence: u64,
    since: Option<String>,
    cleared: Option<String>,
    value: Option<f64>,
    limit: Option<f64>,
    unit: &'a str,
    owner: &'a str,
    note: &'a str,
    first: bool,
    test: bool,
    text: LocalizedText,
    action: &'a LocalizedText,
    class: &'a str,
    area: &'a str,
}

/// A moment as RFC 3339, if its date is trusted.
pub fn date(moment: Option<&Moment>) -> Option<String> {
    moment.filter(|m| m.trusted).map(|m| m.wall.rfc3339())
}

impl<'a> AlarmView<'a> {
    pub fn new(of: &'a AlarmDefinition, alarm: &'a Alarm, device: &'a DeviceInfo, text: LocalizedText) -> Self {
        Self {
            rule: &of.rule,
            device: &of.device,
            no: &of.site_number,
            state: alarm.state().word(),
            active: alarm.step > 0,
            acknowledged: !alarm.needs_ack,
            latched: alarm.latched,
            shelved: alarm.shelved.is_some(),
            out_of_service: alarm.out_of_service_by.is_some(),
            suppressed_by: alarm.suppressed_by.as_deref().filter(|_| alarm.step > 0),
            input: alarm.unknown_cause.map_or("good", crate::model::quality::Cause::word),
            priority: alarm.priority(of).word(),
            occurrence: alarm.occurrence,
            since: date(alarm.since.as_ref()),
            cleared: date(alarm.cleared.as_ref()),
            value: alarm.value,
            limit: alarm.limit,
            unit: &of.unit,
            owner: &alarm.owner,
            note: &alarm.note,
            first: alarm.is_first_out,
            test: alarm.test,
            text,
            action: &of.action,
            class: &device.class,
            area: &device.area,
        }
    }
}

/// The streams of alarm readings, created on first use.
#[derive(Debug, Default)]
pub struct AlarmStreams {
    findings: BTreeMap<(Arc<str>, Arc<str>), Arc<Stream>>,
    by_key: BTreeMap<Arc<str>, Arc<Stream>>,
    all: Option<Arc<Stream>>,
}

fn exact_integer(n: u64) -> Sample {
    Ok(Value::Exact(rust_decimal::Decimal::from(n)))
}

impl AlarmStreams {
    /// A finding of another room as a sample that rules look at; it is not journaled.
    pub fn finding(&mut self, finding: &Finding, now: Now) -> Reading {
        let key = (Arc::clone(&finding.device), Arc::clone(&finding.name));
        let stream = self.findings.entry(key).or_insert_with(|| {
            let source = Source::Finding(Arc::clone(&finding.name));
            let points = vec![PointMeta::state(&*finding.name, PointKind::Bool)];
            Stream::new(Arc::clone(&finding.device), source, 0, points)
        });
        reading(stream, vec![Some(finding.state.map(Value::Bool))], now)
    }

    /// A transition as a reading: `state` ([`AlarmState::code`]), `priority` 1 to 4, `active`, and the seconds from raising to
    /// acknowledgement or clearing. `None` for events that concern all alarms.
    pub fn transition(&mut self, event: &AlarmEvent, now: Now) -> Option<Reading> {
        // What a reload says of a rule is no state of its alarm.
        if matches!(event.kind, AlarmEventKind::RuleAdded | AlarmEventKind::RuleChanged | AlarmEventKind::RuleRemoved) {
            return None;
        }
        let (rule, device) = event.key.rsplit_once('.')?;
        let stream = self.by_key.entry(Arc::clone(&event.key)).or_insert_with(|| {
            let points = vec![
                PointMeta::state("state", PointKind::Code),
                PointMeta::state("priority", PointKind::Code),
                PointMeta::state("active", PointKind::Bool),
                PointMeta::state("ack_s", PointKind::Number),
                PointMeta::state("clear_s", PointKind::Number),
            ];
            let source = Source::Alarm(rule.into());
            Stream::new(device, source, 0, points)
        });
        let is_active = match event.kind {
            AlarmEventKind::Cleared | AlarmEventKind::Removed => false,
            _ => event.active,
        };
        let after = |what: AlarmEventKind| event.after_s.filter(|_| event.kind == what).map(exact_integer);
        let samples = vec![
            Some(Ok(Value::Code(event.state.code()))),
            Some(Ok(Value::Code(i64::from(event.priority.number())))),
            Some(Ok(Value::Bool(is_active))),
            after(AlarmEventKind::Acknowledged),
            after(AlarmEventKind::Cleared),
        ];
        Some(reading(stream, samples, now))
    }

    /// Counts of active alarms by priority, and of unacknowledged, shelved, suppressed and out-of-service ones.
    pub fn summary<'a>(&mut self, all: impl Iterator<Item = (&'a AlarmDefinition, &'a Alarm)>, now: Now) -> Reading {
        let stream = self.all.get_or_insert_with(|| {
            let names = ["p1", "p2", "p3", "p4", "unacknowledged", "shelved", "suppressed", "out_of_service"];
            let points = names.iter().map(|n| PointMeta::state(*n, PointKind::Number)).collect();
            Stream::new("gateway", Source::Alarms, 0, points)
        });
        let mut counts = [0u64; 8];
        for (of, alarm) in all {
            match alarm.state() {
                AlarmState::Shelved => counts[5] += 1,
                AlarmState::Suppressed => counts[6] += 1,
                AlarmState::OutOfService => counts[7] += 1,
                _ => {
                    if alarm.step > 0 {
                        counts[usize::from(alarm.priority(of).number()) - 1] += 1;
                    }
                    counts[4] += u64::from(alarm.needs_ack);
                }
            }
        }
        let samples = counts.iter().map(|n| Some(exact_integer(*n))).collect();
        reading(stream, samples, now)
    }
}

fn reading(stream: &Arc<Stream>, samples: Vec<Option<Sample>>, now: Now) -> Reading {
    let at = Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted };
    Reading { stream: Arc::clone(stream), at, body: Body::Samples { samples, parts: Vec::new() } }
}
