//! Translation between `alarm` and `oncall`: alarm events into on-call events, replies to pages into alarm commands.

use crate::alarm::Alarms;
use crate::alarm::event::{Action, AlarmCommand, AlarmState, Event, EventKind};
use crate::model::point::LocalizedText;
use crate::model::priority::Priority;
use crate::model::time::Now;
use crate::oncall::page::{OncallCommand, OncallEvent, OncallEventKind, PageKind, PageReply, Reply};
use crate::oncall::{Oncall, OncallOutput, is_test};

/// The on-call event of an alarm event, if any. `flood_ms`: window of alarm floods.
pub fn of(event: &Event, flood_ms: u64) -> Option<OncallEvent> {
    let why = || match event.seen {
        AlarmState::Shelved => "it is shelved",
        AlarmState::OutOfService => "it is out of service",
        _ => "another alarm explains it",
    };
    let wanted = |kind| if event.quiet { OncallEventKind::Silenced(why()) } else { OncallEventKind::Wanted(kind) };
    let what = match event.what {
        EventKind::Raised => wanted(PageKind::Raised),
        EventKind::Worsened => wanted(PageKind::Worsened),
        EventKind::Reminded => wanted(PageKind::Reminded),
        EventKind::Unshelved | EventKind::PutBack | EventKind::Shown => {
            if event.seen != AlarmState::Unacknowledged {
                return None;
            }
            OncallEventKind::Wanted(PageKind::Raised)
        }
        EventKind::Shelved | EventKind::TakenOut | EventKind::Hidden if event.active => {
            OncallEventKind::Silenced(why())
        }
        EventKind::Acknowledged => OncallEventKind::Taken { by: event.by.clone() },
        EventKind::HandedOver => OncallEventKind::HandedOver { by: event.by.clone(), to: event.cause.clone() },
        EventKind::ArriveOverdue => OncallEventKind::Late,
        EventKind::Arrived => OncallEventKind::Arrived { by: event.by.clone() },
        EventKind::Cleared => OncallEventKind::Gone { locked: event.seen == AlarmState::Latched },
        EventKind::Reset => OncallEventKind::Over(format!("{} has reset it", event.by)),
        EventKind::Removed => OncallEventKind::Over("its rule is gone".to_string()),
        EventKind::Chatters if !event.quiet => OncallEventKind::Chatters,
        EventKind::FloodBegan => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of alarms")]
            let count = event.value.unwrap_or(0.0) as u64;
            OncallEventKind::FloodBegan { count, within_ms: flood_ms }
        }
        EventKind::FloodEnded => OncallEventKind::FloodEnded,
        _ => return None,
    };
    Some(OncallEvent {
        key: event.key.clone(),
        occurrence: event.occurrence,
        priority: event.priority,
        test: event.test,
        merged: event.merged,
        what,
    })
}

/// Events for every alarm that needs a responder now; those that `oncall` knows already have no effect there. A P1 or P2 alarm
/// that cleared before `oncall` saw it is included.
pub fn unheard(alarms: &Alarms, oncall: &Oncall) -> Vec<OncallEvent> {
    let is_flood = alarms.is_flood();
    let mut out = Vec::new();
    for (key, of, alarm) in alarms.all() {
        let priority = alarm.priority(of);
        let is_gone = alarm.step == 0;
        let is_told = || oncall.incident(key).is_some() || alarm.untold || priority > Priority::P2;
        if !alarm.waits || alarm.is_quiet() || (is_gone && is_told()) {
            continue;
        }
        let merged = is_flood && priority > Priority::P1;
        let (occurrence, test) = (alarm.occurrence, alarm.test);
        let news = |what| OncallEvent { key: key.clone(), occurrence, priority, test, merged, what };
        out.push(news(OncallEventKind::Wanted(PageKind::Raised)));
        out.extend(is_gone.then(|| news(OncallEventKind::Gone { locked: alarm.latched })));
    }
    out
}

/// Events for incidents whose alarm cleared, ended or was acknowledged while `oncall` could not see it.
pub fn missed(alarms: &Alarms, oncall: &Oncall) -> Vec<OncallEvent> {
    let of = |key: &std::sync::Arc<str>| {
        let what = match alarms.get(key) {
            None => OncallEventKind::Over("its rule is gone".to_string()),
            Some((_, alarm)) if alarm.step == 0 && (alarm.waits || alarm.latched) => {
                OncallEventKind::Gone { locked: alarm.latched }
            }
            Some((_, alarm)) if alarm.step == 0 => OncallEventKind::Over("its condition is gone".to_string()),
            Some((_, alarm)) if !alarm.waits => OncallEventKind::Taken { by: alarm.owner.clone() },
            Some(_) => return None,
        };
        let incident = oncall.incident(key)?;
        let (occurrence, priority, test) = (incident.occurrence, incident.priority, incident.test);
        Some(OncallEvent { key: key.clone(), occurrence, priority, test, merged: false, what })
    };
    oncall.keys().filter(|key| !key.is_empty() && !is_test(key)).filter_map(of).collect()
}

/// Checks that a hand-over names somebody who can be reached.
///
/// # Errors
/// There is no such person, or no contact method for them.
pub fn names_somebody(oncall: &Oncall, command: &AlarmCommand) -> Result<(), LocalizedText> {
    match &command.action {
        Action::HandOver { to } => oncall.can_be_reached(to),
        _ => Ok(()),
    }
}

/// The alarm commands of a reply to a page, for each alarm of its message.
///
/// # Errors
/// The page is unknown or was answered already, or the reply needs an acknowledgement first.
pub fn replied(alarms: &Alarms, oncall: &Oncall, reply: &PageReply) -> Result<Vec<AlarmCommand>, LocalizedText> {
    let Some((_, _, found)) = oncall.page(reply.page) else {
        return Err(LocalizedText::both("告警已结束", "that alarm is over"));
    };
    // These replies are meant for one alarm, even if its message covered several.
    let is_single =
        reply.is_single || matches!(reply.reply, Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset);
    if found.used && reply.reply == Reply::Acknowledge {
        return Err(LocalizedText::both("这条通知已经答复过", "this page was answered already"));
    }
    let by = if reply.by.is_empty() || !found.whom.starts_with("channel:") {
        found.whom.to_string()
    } else {
        oncall.knows(&reply.by)?;
        reply.by.clone()
    };
    let is_used = found.used;
    let others = found.with.iter().filter(|_| !is_single);
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
        let mut push = |action| out.push(command(key, action, &by, &reply.note));
        match &reply.reply {
            _ if is_test(key) => push(Action::Acknowledge),
            Reply::Acknowledge => push(Action::Acknowledge),
            Reply::Arrive => {
                // A repeated reply must not acknowledge what came later.
                if !is_used && found.is_some_and(|alarm| alarm.waits) {
                    push(Action::Acknowledge);
                }
                push(Action::Arrive);
            }
            Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset
                if found.is_none_or(|alarm| alarm.waits || alarm.owner != by) =>
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
    AlarmCommand { key: key.to_string(), action, by: by.to_string(), note: note.to_string() }
}

/// Applies a command to `oncall`; returns the reason of a refusal.
pub fn page(oncall: &mut Oncall, command: &OncallCommand, now: Now, out: &mut OncallOutput) -> Option<String> {
    match command {
        OncallCommand::Answered { id, answer } => {
            oncall.answered(*id, answer, now, out);
            None
        }
        OncallCommand::Lost { channel } => {
            oncall.lost(channel, now, out);
            None
        }
        OncallCommand::Test { person, by } => oncall.test(person, by, now, out).err(),
        OncallCommand::StandIn(wanted) => oncall.stand_in(wanted.clone(), now, out).err(),
        OncallCommand::Withdraw { number, by } => oncall.withdraw(*number, by, out).err(),
        // Its alarm commands have been applied by `alarm` before.
        OncallCommand::Reply(_) => None,
    }
}
