//! The pages as a room of the engine: transitions of alarms, answers and outcomes of deliveries in; log, records and attempts out.

use std::sync::Arc;

use crate::model::actor::Actor;
use crate::model::alarm::{AlarmEvent, AlarmEventKind, AlarmState};
use crate::model::command::{AlarmAction, Command, Operation, PageReply, Reply};
use crate::model::directory::Directory;
use crate::model::effects::{Effects, Keep, LogEvent};
use crate::model::failure::Refusal;
use crate::model::page::{PageKind, is_test};
use crate::model::point::LocalizedText;
use crate::model::room::{Board, Input, Kept, Reconfiguration, Room, Start, kept_value};
use crate::model::time::{MonotonicMillis, Now};
use crate::oncall::answers::ReplyOutcome;
use crate::oncall::page::{OncallEvent, OncallEventKind, PageLogEntry};
use crate::oncall::plan::OncallPlan;
use crate::oncall::rota::Override;
use crate::oncall::{Oncall, OncallOutput, PersistedOncall, downtime};

/// Under which the numbers and overrides are kept.
const META: &str = "meta";
/// What stands before an alarm's key.
const INCIDENT: &str = "incident/";

/// The on-call rules as a room of the engine.
#[derive(Debug)]
pub struct OncallRoom {
    /// Incidents, pages and overrides.
    pub oncall: Oncall,
    plan: Arc<OncallPlan>,
    directory: Arc<Directory>,
    /// Whether alarms may have changed unseen: after a start, and while this room was switched off.
    needs_backfill: bool,
    /// The answer whose commands the alarms carry out in the next pass.
    pending: Option<(PageReply, Actor)>,
}

impl Room for OncallRoom {
    const ID: &'static str = "oncall";
    type Plan = Arc<OncallPlan>;

    fn build(plan: &Arc<OncallPlan>, start: Start<'_>, unreadable: &mut Vec<String>) -> Self {
        Self {
            oncall: Oncall::new(Arc::clone(plan), persisted(start.kept, unreadable), start.boot, start.now),
            plan: Arc::clone(plan),
            directory: Arc::clone(start.directory),
            needs_backfill: true,
            pending: None,
        }
    }

    fn reconfigure(
        &mut self,
        plan: &Arc<OncallPlan>,
        change: Reconfiguration<'_>,
        board: &mut Board,
        effects: &mut Effects,
    ) {
        let mut out = OncallOutput::default();
        self.directory = Arc::clone(change.directory);
        if self.plan != *plan {
            self.oncall.reconfigure(Arc::clone(plan), change.now);
            self.plan = Arc::clone(plan);
        }
        self.needs_backfill = true;
        for event in board.new_transitions().iter().filter_map(event_of) {
            self.oncall.handle_event(&event, change.now, &mut out);
        }
        // Pages leave in the next step, when it is known what became of alarms in between.
        record(out, board, effects);
    }

    fn step(&mut self, now: Now, input: Input<'_>, board: &mut Board, effects: &mut Effects) {
        let mut out = OncallOutput::default();
        // What an answer means was settled when it came: nothing of this moment uses its page up first.
        let answered = match input {
            Input::Command(command) => match &command.operation {
                Operation::Reply(reply) => Some((reply, command, self.commands_of(reply, command))),
                _ => None,
            },
            _ => None,
        };
        for event in board.new_transitions().iter().filter_map(event_of) {
            self.oncall.handle_event(&event, now, &mut out);
        }
        if std::mem::take(&mut self.needs_backfill) {
            board.requests.alarm_summaries = true;
        }
        if let Some(summaries) = board.alarm_summaries.take() {
            for event in downtime::events(&summaries, &self.oncall) {
                self.oncall.handle_event(&event, now, &mut out);
            }
        }
        let refused = match input {
            _ if answered.is_some() => answered
                .and_then(|(reply, command, commands)| self.answer(reply, command, commands, now, board, &mut out)),
            Input::Command(command) => self.command(command, now, &mut out),
            Input::Delivery { attempt, outcome } => {
                self.oncall.delivery_finished(attempt, outcome, now, &mut out);
                None
            }
            Input::ChannelRestarted(channel) => {
                self.oncall.channel_restarted(channel, now, &mut out);
                None
            }
            Input::Reading(_) | Input::Answer(_) | Input::Feed { .. } | Input::Tick => None,
        };
        effects.refused = effects.refused.take().or(refused);
        if !board.requests.commands.is_empty() || board.requests.alarm_summaries {
            // The alarms come first: an escalation that is due in this moment is not to precede its acknowledgement, and no page
            // leaves for an alarm that ended while nobody looked.
            return record(out, board, effects);
        }
        if let Some((reply, actor)) = self.pending.take() {
            // Whoever came too late has answered as well: that answer is not to acknowledge what comes later.
            let outcome =
                ReplyOutcome { refused: effects.refused.as_ref().map(|r| &r.text), is_final: !board.is_alarm_off };
            self.oncall.record_reply(&reply, &actor, outcome, now, &mut out);
        }
        self.oncall.tick(now, &mut out);
        record(out, board, effects);
    }

    fn next_wake(&self) -> Option<MonotonicMillis> {
        self.oncall.next_wake()
    }
}

/// What was kept; what cannot be read begins anew.
pub fn persisted(kept: &Kept, unreadable: &mut Vec<String>) -> PersistedOncall {
    let of = (OncallRoom::ID, OncallRoom::FORMAT);
    let mut out = PersistedOncall::default();
    for key in kept.keys() {
        if key == META {
            out.meta = kept_value(of, kept, key, unreadable).unwrap_or_default();
        } else if let Some(alarm) = key.strip_prefix(INCIDENT)
            && let Some(incident) = kept_value(of, kept, key, unreadable)
        {
            out.incidents.insert(alarm.to_string(), incident);
        }
    }
    out
}

/// What came of a step goes into the log, to whoever keeps it, and to the channels.
fn record(out: OncallOutput, board: &mut Board, effects: &mut Effects) {
    let is_annunciated = |e: &&PageLogEntry| matches!(e.event, "page_sent" | "not_told");
    let annunciated = out.log.iter().filter(is_annunciated).map(|e| Arc::clone(&e.key));
    // Whoever is paged has to acknowledge; so has whoever looks at a list, where nobody is paged.
    board.requests.annunciated.extend(annunciated.filter(|key| !key.is_empty() && !is_test(key)));
    effects.decided.events.extend(out.log.iter().map(log_event));
    let keep = |key: String, bytes| Keep { room: OncallRoom::ID, key, format: OncallRoom::FORMAT, bytes };
    for (key, incident) in out.changed {
        let bytes = incident.as_ref().and_then(|i| serde_json::to_vec(i).ok());
        effects.decided.keep.push(keep(format!("{INCIDENT}{key}"), bytes));
    }
    if let Some(meta) = &out.meta {
        effects.decided.keep.push(keep(META.to_string(), serde_json::to_vec(meta).ok()));
    }
    board.sends.extend(out.sends);
}

fn log_event(entry: &PageLogEntry) -> LogEvent {
    LogEvent {
        room: OncallRoom::ID,
        key: Arc::clone(&entry.key),
        event: entry.event,
        actor: entry.actor.clone(),
        via: entry.via.clone(),
        note: String::new(),
        body: serde_json::to_string(entry).unwrap_or_default(),
    }
}

impl OncallRoom {
    /// Passes on what an answer to a page means; why it means nothing.
    fn answer(
        &mut self,
        reply: &PageReply,
        command: &Command,
        commands: Result<Vec<Command>, LocalizedText>,
        now: Now,
        board: &mut Board,
        out: &mut OncallOutput,
    ) -> Option<Refusal> {
        let commands = match commands {
            Ok(commands) => commands,
            Err(refused) => {
                self.pending = Some((reply.clone(), command.actor.clone()));
                return Some(refused.into());
            }
        };
        let actor = commands.first().map_or_else(|| command.actor.clone(), |c| c.actor.clone());
        self.pending = Some((reply.clone(), actor));
        let is_of_test =
            |c: &Command| matches!(&c.operation, Operation::Alarm { keys, .. } if keys.iter().any(|k| is_test(k)));
        let (tests, alarms): (Vec<Command>, Vec<Command>) = commands.into_iter().partition(is_of_test);
        board.requests.commands = alarms;
        let refused: Vec<Refusal> = tests.iter().filter_map(|test| self.command(test, now, out)).collect();
        refused.into_iter().next()
    }

    /// Why a command was not carried out.
    fn command(&mut self, command: &Command, now: Now, out: &mut OncallOutput) -> Option<Refusal> {
        let actor = &command.actor;
        match &command.operation {
            Operation::Alarm { keys, .. } => {
                let test = keys.first().filter(|key| is_test(key))?;
                self.oncall.answer_test(test, actor, now, out).err()
            }
            Operation::TestPage { person } => {
                self.oncall.send_test_page(person, actor, now, out).err().map(Refusal::from)
            }
            Operation::AddOverride { rota, person, from, to } => {
                let (rota, person, by) = (rota.clone(), person.as_str().into(), actor.id.clone());
                let wanted = Override { number: 0, rota, person, from: *from, to: *to, actor: by };
                self.oncall.add_override(wanted, actor, now, out).err()
            }
            Operation::WithdrawOverride { number } => self.oncall.remove_override(*number, actor, out).err(),
            Operation::Reply(_)
            | Operation::Inject(_)
            | Operation::Metering(_)
            | Operation::Flood(_)
            | Operation::Gateway(_) => None,
        }
    }

    /// What an answer to a page does, for each alarm of its message.
    ///
    /// # Errors
    /// It cannot be done, in words.
    pub fn commands_of(&self, reply: &PageReply, command: &Command) -> Result<Vec<Command>, LocalizedText> {
        let Some((_, _, page)) = self.oncall.page(reply.page) else {
            return Err(LocalizedText::both("告警已结束", "that alarm is over"));
        };
        // What is done with one alarm's page is meant for that alarm, whatever else its message said.
        let is_single =
            reply.is_single || matches!(reply.reply, Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset);
        if page.is_answered && reply.reply == Reply::Acknowledge {
            return Err(LocalizedText::both("这条通知已经答复过", "this page was answered already"));
        }
        let actor = if command.actor.id.is_empty() || !page.recipient.starts_with("channel:") {
            command.actor.named(&*page.recipient)
        } else {
            self.directory.knows(&command.actor.id)?;
            command.actor.clone()
        };
        let others = page.merged_with.iter().filter(|_| !is_single);
        let all = std::iter::once(&reply.page).chain(others).filter_map(|id| self.oncall.page(*id));
        let mut keys: Vec<String> = Vec::new();
        all.for_each(|(key, ..)| {
            if !keys.iter().any(|k| **k == **key) {
                keys.push(key.to_string());
            }
        });
        let action = match &reply.reply {
            Reply::Acknowledge => AlarmAction::Acknowledge,
            // An old answer that arrives again acknowledges nothing that came later.
            Reply::Arrive if page.is_answered => AlarmAction::Arrive,
            Reply::Arrive => AlarmAction::AcknowledgeAndArrive,
            Reply::HandOver { to } => AlarmAction::HandOver { to: to.clone() },
            Reply::Shelve { for_ms } => AlarmAction::Shelve { for_ms: *for_ms },
            Reply::Reset => AlarmAction::Reset,
        };
        let of = |key: String| {
            let operation = Operation::Alarm { keys: vec![key], action: action.clone() };
            Command { actor: actor.clone(), note: command.note.clone(), operation }
        };
        Ok(keys.into_iter().map(of).collect())
    }
}

/// What a transition means to people; none: nothing.
fn event_of(event: &AlarmEvent) -> Option<OncallEvent> {
    let reason = || match event.state {
        AlarmState::Shelved => "it is shelved",
        AlarmState::OutOfService => "it is out of service",
        _ => "another alarm explains it",
    };
    let page = |kind| {
        if event.is_silenced { OncallEventKind::Suppressed(reason()) } else { OncallEventKind::PageRequired(kind) }
    };
    let actor = || event.actor.clone();
    let kind = match event.kind {
        AlarmEventKind::Raised => page(PageKind::Raised),
        AlarmEventKind::Escalated => page(PageKind::Escalated),
        AlarmEventKind::Reminded => page(PageKind::Reminded),
        AlarmEventKind::Unshelved | AlarmEventKind::ReturnedToService | AlarmEventKind::Unsuppressed => {
            if event.state != AlarmState::Unacknowledged {
                return None;
            }
            OncallEventKind::PageRequired(PageKind::Raised)
        }
        AlarmEventKind::Shelved | AlarmEventKind::OutOfService | AlarmEventKind::Suppressed if event.active => {
            OncallEventKind::Suppressed(reason())
        }
        AlarmEventKind::Acknowledged => OncallEventKind::Acknowledged { actor: actor() },
        AlarmEventKind::HandedOver => OncallEventKind::HandedOver { actor: actor(), to: event.cause.clone() },
        AlarmEventKind::ArriveOverdue => OncallEventKind::ArrivalOverdue,
        AlarmEventKind::Arrived => OncallEventKind::Arrived { actor: actor() },
        AlarmEventKind::Cleared => OncallEventKind::ConditionEnded { latched: event.state == AlarmState::Latched },
        AlarmEventKind::Reset => OncallEventKind::Resolved(format!("{} has reset it", event.actor)),
        AlarmEventKind::Removed => OncallEventKind::Resolved("its rule is gone".to_string()),
        AlarmEventKind::Chattering if !event.is_silenced => OncallEventKind::Chatters,
        AlarmEventKind::AlarmFloodBegan => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of alarms")]
            let count = event.value.unwrap_or(0.0) as u64;
            OncallEventKind::FloodBegan { count, within_ms: event.within_ms.unwrap_or(0) }
        }
        AlarmEventKind::AlarmFloodEnded => OncallEventKind::FloodEnded,
        _ => return None,
    };
    Some(OncallEvent {
        key: event.key.clone(),
        occurrence: event.occurrence,
        priority: event.priority,
        is_test: event.test,
        merged: event.in_alarm_flood,
        kind,
    })
}
