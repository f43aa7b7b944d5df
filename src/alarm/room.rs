//! The alarm rules as a room of the engine: commands and readings in; transitions, records, topics and texts out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::alarm::alarm_view::{AlarmStreams, AlarmView};
use crate::alarm::definition::AlarmDefinition;
use crate::alarm::life::Alarm;
use crate::alarm::{AlarmOutput, Alarms, Rules};
use crate::model::actor::Actor;
use crate::model::alarm::{AlarmEvent, AlarmSummaries, AlarmSummary, Moment};
use crate::model::command::{AlarmAction, Command, Operation};
use crate::model::directory::Directory;
use crate::model::effects::{Effects, Keep, LogEvent};
use crate::model::failure::Refusal;
use crate::model::flood::{FloodAlarms, ReadinessItem};
use crate::model::page::is_test;
use crate::model::point::LocalizedText;
use crate::model::room::{Board, Input, Reconfiguration, Room, SNAPSHOT, Snapshot, Start, kept_value};
use crate::model::time::{MonotonicMillis, Now};
use crate::presentation::alarm_text::{AlarmTextValues, alarm_text, value_text};
use crate::presentation::message::MessageSubject;

/// How often the counts of active alarms are repeated.
const SUMMARY_EVERY_MS: u64 = 60_000;
/// Other alarms that a message names beside its own.
const RELATED_MAX: usize = 5;

/// What the room is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmPlan {
    /// Every rule for every device.
    pub rules: Rules,
    /// How often the counts of active alarms are repeated; years are simulated with less.
    pub summary_every_ms: u64,
}

impl Default for AlarmPlan {
    fn default() -> Self {
        Self { rules: Rules::default(), summary_every_ms: SUMMARY_EVERY_MS }
    }
}

/// The alarm rules as a room of the engine.
#[derive(Debug)]
pub struct AlarmRoom {
    pub alarms: Alarms,
    plan: AlarmPlan,
    directory: Arc<Directory>,
    streams: AlarmStreams,
    next_summary: MonotonicMillis,
    /// What the flood rules were told last; none: they have to be told.
    flood_alarms: Option<FloodAlarms>,
}

impl Room for AlarmRoom {
    const ID: &'static str = "alarm";
    type Plan = AlarmPlan;

    fn build(plan: &AlarmPlan, start: Start<'_>, unreadable: &mut Vec<String>) -> Self {
        let of = (Self::ID, Self::FORMAT);
        let keys = start.kept.keys().filter(|key| *key != SNAPSHOT);
        let alarms = keys.filter_map(|key| Some((key.clone(), kept_value(of, start.kept, key, unreadable)?))).collect();
        let memory = kept_value(of, start.kept, SNAPSHOT, unreadable).unwrap_or_default();
        Self {
            alarms: Alarms::new(plan.rules.clone(), &alarms, &memory, start.boot, start.now),
            plan: plan.clone(),
            directory: Arc::clone(start.directory),
            streams: AlarmStreams::default(),
            next_summary: MonotonicMillis::default(),
            flood_alarms: None,
        }
    }

    fn reconfigure(&mut self, plan: &AlarmPlan, change: Reconfiguration<'_>, board: &mut Board, effects: &mut Effects) {
        self.directory = Arc::clone(change.directory);
        let mut out = AlarmOutput::default();
        if self.plan.rules != plan.rules {
            self.alarms.reconfigure(plan.rules.clone(), change.actor, change.now, &mut out);
        }
        self.plan = plan.clone();
        self.flood_alarms = None;
        self.record(out, change.now, board, effects);
    }

    fn step(&mut self, now: Now, input: Input<'_>, board: &mut Board, effects: &mut Effects) {
        let mut out = AlarmOutput::default();
        let refused = match input {
            Input::Reading(reading) => {
                self.alarms.reading(reading, now, &mut out);
                None
            }
            Input::Command(command) => self.command(command, now, &mut out),
            _ => None,
        };
        let refused = refused.or_else(|| self.apply(&board.requests.commands, now, &mut out));
        for key in std::mem::take(&mut board.requests.annunciated) {
            self.alarms.mark_notified(&key, now, &mut out);
        }
        board.readings.iter().for_each(|reading| self.alarms.reading(reading, now, &mut out));
        for finding in &board.findings {
            self.alarms.reading(&self.streams.finding(finding, now), now, &mut out);
        }
        self.alarms.tick(now, &mut out);
        if std::mem::take(&mut board.requests.alarm_summaries) {
            board.alarm_summaries = Some(self.summaries());
        }
        effects.refused = effects.refused.take().or(refused);
        if self.alarms.take_readiness_changed() || !out.changed.is_empty() || self.flood_alarms.is_none() {
            self.tell_flood(board);
        }
        // Only now: what panics on the way was not carried out.
        board.requests.commands.clear();
        self.record(out, now, board, effects);
        if now.mono >= self.next_summary && self.alarms.all().next().is_some() {
            self.next_summary = now.mono.plus(self.plan.summary_every_ms);
            let all = self.alarms.all().map(|(_, definition, alarm)| (definition, alarm));
            effects.readings.push(self.streams.summary(all, now));
        }
    }

    fn next_wake(&self) -> Option<MonotonicMillis> {
        let summary = self.alarms.all().next().map(|_| self.next_summary);
        self.alarms.next_wake().into_iter().chain(summary).min()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let memory = self.alarms.memory();
        Some(Box::new(move || serde_json::to_vec(&memory).ok()))
    }
}

/// A transition as the log has it.
#[derive(Serialize)]
struct LogBody<'a> {
    #[serde(flatten)]
    event: &'a AlarmEvent,
    /// The words that were said; none for what concerns all alarms.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<LocalizedText>,
    /// The rule that it comes from, before a site's changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

impl AlarmRoom {
    /// What the flood rules have to know of alarms, if it changed.
    fn tell_flood(&mut self, board: &mut Board) {
        let item = |(key, definition, alarm, is_ready): (&Arc<str>, &AlarmDefinition, &Alarm, Option<bool>)| {
            let text = if is_ready == Some(true) {
                LocalizedText::default()
            } else {
                self.text(definition, alarm, alarm.value)
            };
            ReadinessItem { key: Arc::clone(key), device: Arc::clone(&definition.device), is_ready, text }
        };
        let readiness = self.alarms.readiness().map(item).collect();
        let now = FloodAlarms { causes: self.alarms.flood_causes(), readiness };
        if self.flood_alarms.as_ref() != Some(&now) {
            self.flood_alarms = Some(now.clone());
            board.requests.flood_alarms = Some(now);
        }
    }

    fn command(&mut self, command: &Command, now: Now, out: &mut AlarmOutput) -> Option<Refusal> {
        match &command.operation {
            Operation::Alarm { .. } => self.apply(std::slice::from_ref(command), now, out),
            Operation::Inject(inject) => self.alarms.inject(inject, &command.actor, now, out).err(),
            _ => None,
        }
    }

    /// Carries out each action on each alarm; why not, if none of them could be done.
    fn apply(&mut self, commands: &[Command], now: Now, out: &mut AlarmOutput) -> Option<Refusal> {
        let (mut is_any, mut refused) = (false, None);
        for command in commands {
            let Operation::Alarm { keys, action } = &command.operation else { continue };
            for key in keys.iter().filter(|key| !is_test(key)) {
                match self.apply_one(key, action, &command.actor, &command.note, now, out) {
                    Ok(()) => is_any = true,
                    Err(why) => refused = refused.or(Some(why)),
                }
            }
        }
        refused.filter(|_| !is_any).map(Refusal::from)
    }

    fn apply_one(
        &mut self,
        key: &str,
        action: &AlarmAction,
        actor: &Actor,
        note: &str,
        now: Now,
        out: &mut AlarmOutput,
    ) -> Result<(), LocalizedText> {
        if let AlarmAction::HandOver { to } = action {
            self.directory.can_be_reached(to)?;
        }
        self.alarms.command((key, action), actor, note, now, out)
    }

    /// Every alarm, as the pages need it after a start.
    fn summaries(&self) -> AlarmSummaries {
        let of = |(key, definition, alarm): (&Arc<str>, &AlarmDefinition, &Alarm)| AlarmSummary {
            key: Arc::clone(key),
            occurrence: alarm.occurrence,
            priority: alarm.priority(definition),
            is_test: alarm.test,
            is_active: alarm.step > 0,
            needs_ack: alarm.needs_ack,
            latched: alarm.latched,
            is_silenced: alarm.is_silenced(),
            never_notified: alarm.never_notified,
            owner: alarm.owner.clone(),
        };
        AlarmSummaries { is_alarm_flood: self.alarms.is_alarm_flood(), alarms: self.alarms.all().map(of).collect() }
    }

    /// What came of a step goes into the log, onto the topics and to whoever keeps it.
    fn record(&mut self, out: AlarmOutput, now: Now, board: &mut Board, effects: &mut Effects) {
        // An alarm that changed is said once, for its log and its topic.
        let mut said: BTreeMap<Arc<str>, LocalizedText> = BTreeMap::new();
        let mut text_of = |room: &Self, key: &Arc<str>| {
            if let Some(text) = said.get(key) {
                return Some(text.clone());
            }
            let (definition, alarm) = room.alarms.get(key)?;
            let text = room.text(definition, alarm, alarm.value);
            said.insert(Arc::clone(key), text.clone());
            Some(text)
        };
        for event in &out.events {
            let text = text_of(self, &event.key);
            effects.decided.events.push(self.log_event(event, text));
            effects.decided.readings.extend(self.streams.transition(event, now));
        }
        for (key, record) in out.changed {
            let bytes = record.as_ref().and_then(|r| serde_json::to_vec(r).ok());
            let topic = format!("{}/{key}", Self::ID);
            let state = record.and_then(|_| self.state_saying(&key, text_of(self, &key)?));
            effects.decided.retained.push((topic, state));
            effects.decided.keep.push(Keep { room: Self::ID, key: key.to_string(), format: Self::FORMAT, bytes });
        }
        board.transitions.extend(out.events);
    }

    /// A transition as the log has it, with the words that were said.
    fn log_event(&self, event: &AlarmEvent, text: Option<LocalizedText>) -> LogEvent {
        let of = self.alarms.get(&event.key);
        let body = LogBody { event, text, rule: of.map(|(definition, _)| &*definition.source_rule) };
        LogEvent {
            room: Self::ID,
            key: Arc::clone(&event.key),
            event: event.kind.word(),
            actor: event.actor.clone(),
            via: event.via.clone(),
            note: event.note.clone(),
            body: serde_json::to_string(&body).unwrap_or_default(),
        }
    }

    /// The text of an alarm with a value.
    pub fn text(&self, definition: &AlarmDefinition, alarm: &Alarm, value: Option<f64>) -> LocalizedText {
        let device = self.directory.device(&definition.device);
        alarm_text(
            &definition.text,
            AlarmTextValues {
                device: &device,
                value,
                limit: alarm.limit,
                value_texts: &definition.value_texts,
                is_test: alarm.test,
            },
        )
    }

    /// The state of an alarm, as its retained topic has it.
    pub fn state(&self, key: &str) -> Option<String> {
        let (definition, alarm) = self.alarms.get(key)?;
        self.state_saying(key, self.text(definition, alarm, alarm.value))
    }

    fn state_saying(&self, key: &str, text: LocalizedText) -> Option<String> {
        let (definition, alarm) = self.alarms.get(key)?;
        let device = self.directory.device(&definition.device);
        serde_json::to_string(&AlarmView::new(definition, alarm, &device, text)).ok()
    }

    /// Every alarm that ever was, as its retained topic has it.
    pub fn states(&self) -> Vec<(String, String)> {
        let was = self.alarms.all().filter(|(_, _, alarm)| alarm.occurrence > 0 || !alarm.is_normal());
        was.filter_map(|(key, _, _)| Some((format!("{}/{key}", Self::ID), self.state(key)?))).collect()
    }

    /// What an alarm is about, in words, and its state for programs.
    pub fn subject(&self, key: &str) -> (MessageSubject, serde_json::Value) {
        let Some((definition, alarm)) = self.alarms.get(key) else {
            let text = LocalizedText::both(key, key);
            return (MessageSubject { text, ..MessageSubject::default() }, serde_json::Value::Null);
        };
        let device = self.directory.device(&definition.device);
        let clock = |moment: Option<Moment>, format: &str| {
            let at = moment.filter(|m| m.trusted);
            at.map_or(String::new(), |m| m.wall.in_form(&self.directory.zone, format))
        };
        // Of an alarm that has cleared the value is that at which it did.
        let valued = if alarm.step == 0 { alarm.cleared.or(alarm.since) } else { alarm.since };
        let (text, raised_value) = self.texts_now_and_then(key, definition, alarm, &clock(valued, "%H:%M"));
        let related = self.alarms.related_active(key).into_iter().take(RELATED_MAX);
        let related = related.filter_map(|key| {
            let (definition, alarm) = self.alarms.get(&key)?;
            Some(self.text(definition, alarm, alarm.value))
        });
        let view = AlarmView::new(definition, alarm, &device, self.text(definition, alarm, alarm.value));
        let state = serde_json::to_value(view).unwrap_or_default();
        let subject = MessageSubject {
            area: device.area.clone(),
            name: device.name.clone(),
            text,
            raised_value,
            related: related.collect(),
            action: definition.action_at(alarm.value).clone(),
            since: clock(alarm.since, "%m-%d %H:%M"),
        };
        (subject, state)
    }

    /// The alarm's text with the value of this moment, and the value at raising if that is another. Where there is no value now
    /// the text says of when it is.
    fn texts_now_and_then(
        &self,
        key: &str,
        definition: &AlarmDefinition,
        alarm: &Alarm,
        at: &str,
    ) -> (LocalizedText, LocalizedText) {
        let has_value = definition.text.en.contains("{v}");
        let shown = |value: f64| value_text(&definition.value_texts, value);
        let raised = alarm.value.map(shown).filter(|_| has_value);
        if let Some((now, _)) = self.alarms.value_now(key) {
            let with_unit = |value: &str| format!("{value} {}", definition.unit).trim().to_string();
            let raised = raised.filter(|raised| *raised != shown(now));
            let raised = raised.map(|raised| LocalizedText::both(with_unit(&raised.zh), with_unit(&raised.en)));
            return (self.text(definition, alarm, Some(now)), raised.unwrap_or_default());
        }
        let mut text = self.text(definition, alarm, alarm.value);
        if raised.is_some() && !at.is_empty() {
            text = LocalizedText { zh: format!("{}（{at}时）", text.zh), en: format!("{} (at {at})", text.en) };
        }
        (text, LocalizedText::default())
    }
}
