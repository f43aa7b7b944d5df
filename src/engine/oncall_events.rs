//! Translation between `alarm` and `oncall`: alarm events into on-call events, replies to pages into alarm commands.

use crate::alarm::Alarms;
use crate::alarm::event::{Action, AlarmCommand, AlarmState, Event, EventKind};
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::time::Now;
use crate::oncall::page::{OncallCommand, OncallEvent, OncallEventKind, PageKind, PageReply, Reply};
use crate::oncall::{Oncall, OncallOutput, is_test};

/// The on-call event of an alarm event, if any. `flood_ms`: window of alarm floods.
pub fn from_alarm_event(event: &Event, flood_ms: u64) -> Option<OncallEvent> {
    let silence_reason = || match event.state {
        AlarmState::Shelved => "it is shelved",
        AlarmState::OutOfService => "it is out of service",
        _ => "another alarm explains it",
    };
    let page_or_silence = |kind| if event.is_silenced { OncallEventKind::Suppressed(silence_reason()) } else { OncallEventKind::PageRequired(kind) };
    let kind = match event.kind {
        EventKind::Raised => page_or_silence(PageKind::Raised),
        EventKind::Escalated => page_or_silence(PageKind::Escalated),
        EventKind::Reminded => page_or_silence(PageKind::Reminded),
        EventKind::Unshelved | EventKind::ReturnedToService | EventKind::Unsuppressed => {
            if event.state != AlarmState::Unacknowledged {
                return None;
            }
            OncallEventKind::PageRequired(PageKind::Raised)
        }
        EventKind::Shelved | EventKind::OutOfService | EventKind::Suppressed if event.active => {
            OncallEventKind::Suppressed(silence_reason())
        }
        EventKind::Acknowledged => OncallEventKind::Acknowledged { actor: event.actor.clone() },
        EventKind::HandedOver => OncallEventKind::HandedOver { actor: event.actor.clone(), to: event.cause.clone() },
        EventKind::ArriveOverdue => OncallEventKind::ArrivalOverdue,
        EventKind::Arrived => OncallEventKind::Arrived { actor: event.actor.clone() },
        EventKind::Cleared => OncallEventKind::ConditionEnded { latched: event.state == AlarmState::Latched },
        EventKind::Reset => OncallEventKind::Resolved(format!("{} has reset it", event.actor)),
        EventKind::Removed => OncallEventKind::Resolved("its rule is gone".to_string()),
        EventKind::Chattering if !event.is_silenced => OncallEventKind::Chatters,
        EventKind::AlarmFloodBegan => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of alarms")]
            let count = event.value.unwrap_or(0.0) as u64;
            OncallEventKind::FloodBegan { count, within_ms: flood_ms }
        }
        EventKind::AlarmFloodEnded => OncallEventKind::FloodEnded,
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

/// Events for every alarm that needs a responder now; those that `oncall` knows already have no effect there. A P1 or P2 alarm
/// that cleared before `oncall` saw it is included.
pub fn events_for_active_alarms(alarms: &Alarms, oncall: &Oncall) -> Vec<OncallEvent> {
    let is_flood = alarms.is_alarm_flood();
    let mut out = Vec::new();
    for (key, of, alarm) in alarms.all() {
        let priority = alarm.priority(from_alarm_event);
        let is_gone = alarm.step == 0;
        let needs_no_event = || oncall.incident(key).is_some() || alarm.never_notified || priority > Priority::P2;
        if !alarm.needs_ack || alarm.is_silenced() || (is_gone && needs_no_event()) {
            continue;
        }
        let merged = is_flood && priority > Priority::P1;
        let (occurrence, test) = (alarm.occurrence, alarm.test);
        let event = |what| OncallEvent { key: key.clone(), occurrence, priority, is_test: test, merged, kind: what };
        out.push(event(OncallEventKind::PageRequired(PageKind::Raised)));
        out.extend(is_gone.then(|| event(OncallEventKind::ConditionEnded { latched: alarm.latched })));
    }
    out
}

/// Events for incidents whose alarm cleared, ended or was acknowledged while `oncall` could not see it.
pub fn events_during_downtime(alarms: &Alarms, oncall: &Oncall) -> Vec<OncallEvent> {
    let of = |key: &std::sync::Arc<str>| {
        let what = match alarms.get(key) {
            None => OncallEventKind::Resolved("its rule is gone".to_string()),
            Some((_, alarm)) if alarm.step == 0 && (alarm.needs_ack || alarm.latched) => {
                OncallEventKind::ConditionEnded { latched: alarm.latched }
            }
            Some((_, alarm)) if alarm.step == 0 => OncallEventKind::Resolved("its condition is gone".to_string()),
            Some((_, alarm)) if !alarm.needs_ack => OncallEventKind::Acknowledged { actor: alarm.owner.clone() },
            Some(_) => return None,
        };
        let incident = oncall.incident(key)?;
        let (occurrence, priority, test) = (incident.occurrence, incident.priority, incident.is_test);
        Some(OncallEvent { key: key.clone(), occurrence, priority, is_test: test, merged: false, kind: what })
    };
    oncall.keys().filter(|key| !key.is_empty() && !is_test(key)).filter_map(from_alarm_event).collect()
}

/// Checks that a hand-over names somebody who can be reached.
///
/// # Errors
/// There is no such person, or no contact method for them.
pub fn check_recipient(oncall: &Oncall, command: &AlarmCommand) -> Result<(), LocalizedText> {
    match &command.action {
        Action::HandOver { to } => oncall.can_be_reached(to),
        _ => Ok(()),
    }
}

/// The alarm commands of a reply to a page, for each alarm of its message.
///
/// # Errors
/// The page is unknown or was answered already, or the reply needs an acknowledgement first.
pub fn commands_of_reply(alarms: &Alarms, oncall: &Oncall, reply: &PageReply) -> Result<Vec<AlarmCommand>, LocalizedText> {
    let Some((_, _, found)) = oncall.page(reply.page) else {
        return Err(LocalizedText::both("告警已结束", "that alarm is over"));
    };
    // These replies are meant for one alarm, even if its message covered several.
    let is_single =
        reply.is_single || matches!(reply.reply, Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset);
    if found.is_answered && reply.reply == Reply::Acknowledge {
        return Err(LocalizedText::both("这条通知已经答复过", "this page was answered already"));
    }
    let actor = if reply.actor.is_empty() || !found.recipient.starts_with("channel:") {
        found.recipient.to_string()
    } else {
        oncall.require_person(&reply.actor)?;
        reply.actor.clone()
    };
    let is_used = found.is_answered;
    let others = found.merged_with.iter().filter(|_| !is_single);
    let all = std::iter::once(&reply.page).chain(others).filter_map(|id| oncall.page(*id));
    let mut keys: Vec<&std::sync::Arc<str>> = Vec::new();
    all.for_each(|(key, ..)| {
        if !keys.contains(&key) {
            keys.push(key);
        }
    });
    let mut out = Vec::new();
    for key in keys {
        let found = alarms.get(key).map(|(_, alarm)| alarm);
        let mut push = |action| out.push(command(key, action, &actor, &reply.note));
        match &reply.reply {
            _ if is_test(key) => push(Action::Acknowledge),
            Reply::Acknowledge => push(Action::Acknowledge),
            Reply::Arrive => {
                // A repeated reply must not acknowledge what came later.
                if !is_used && found.is_some_and(|alarm| alarm.needs_ack) {
                    push(Action::Acknowledge);
                }
                push(Action::Arrive);
            }
            Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset
                if found.is_none_or(|alarm| alarm.needs_ack || alarm.owner != actor) =>
            {
                return Err(LocalizedText::both("请先接单", "acknowledge it first: whoever has it may do that"));
            }
            Reply::HandOver { to } => push(Action::HandOver { to: to.clone() }),
            Reply::Shelve { for_ms } => push(Action::Shelve { for_ms: *for_ms }),
            Reply::Reset => push(Action::Reset),
        }
    }
    Ok(out)
}

fn command(key: &str, action: Action, by: &str, note: &str) -> AlarmCommand {
    AlarmCommand { key: key.to_string(), action, actor: by.to_string(), note: note.to_string() }
}

/// Applies a command to `oncall`; returns the reason of a refusal.
pub fn apply_command(oncall: &mut Oncall, command: &OncallCommand, now: Now, out: &mut OncallOutput) -> Option<String> {
    match command {
        OncallCommand::DeliveryFinished { id, outcome: answer } => {
            oncall.delivery_finished(*id, answer, now, out);
            None
        }
        OncallCommand::ChannelRestarted { channel } => {
            oncall.channel_restarted(channel, now, out);
            None
        }
        OncallCommand::Test { person, actor: by } => oncall.send_test_page(person, by, now, out).err(),
        OncallCommand::AddOverride(wanted) => oncall.add_override(wanted.clone(), now, out).err(),
        OncallCommand::RemoveOverride { number, actor: by } => oncall.remove_override(*number, by, out).err(),
        // Its alarm commands have been applied by `alarm` before.
        OncallCommand::Reply(_) => None,
    }
}
