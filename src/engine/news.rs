//! What alarms and people say to the desk of pages.

use crate::alarm::Alarms;
use crate::alarm::event::{Action, Command as AlarmCommand, Event, Seen, What};
use crate::model::point::Names;
use crate::model::priority::Priority;
use crate::model::time::Now;
use crate::oncall::page::{Command, Heard, Kind, News, PageReply, Reply};
use crate::oncall::{Oncall, Output, is_test};

/// What an event means to people; none: nothing. `flood_ms`: over how long an alarm flood is reckoned.
pub fn of(event: &Event, flood_ms: u64) -> Option<News> {
    let why = || match event.seen {
        Seen::Shelved => "it is shelved",
        Seen::OutOfService => "it is out of service",
        _ => "another alarm explains it",
    };
    let wanted = |kind| if event.quiet { Heard::Silenced(why()) } else { Heard::Wanted(kind) };
    let what = match event.what {
        What::Raised => wanted(Kind::Raised),
        What::Worsened => wanted(Kind::Worsened),
        What::Reminded => wanted(Kind::Reminded),
        What::Unshelved | What::PutBack | What::Shown => {
            if event.seen != Seen::Unacknowledged {
                return None;
            }
            Heard::Wanted(Kind::Raised)
        }
        What::Shelved | What::TakenOut | What::Hidden if event.active => Heard::Silenced(why()),
        What::Acknowledged => Heard::Taken { by: event.by.clone() },
        What::HandedOver => Heard::HandedOver { by: event.by.clone(), to: event.cause.clone() },
        What::ArriveOverdue => Heard::Late,
        What::Arrived => Heard::Arrived { by: event.by.clone() },
        What::Cleared => Heard::Gone { locked: event.seen == Seen::Latched },
        What::Reset => Heard::Over(format!("{} has reset it", event.by)),
        What::Removed => Heard::Over("its rule is gone".to_string()),
        What::Chatters if !event.quiet => Heard::Chatters,
        What::FloodBegan => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of alarms")]
            let count = event.value.unwrap_or(0.0) as u64;
            Heard::FloodBegan { count, within_ms: flood_ms }
        }
        What::FloodEnded => Heard::FloodEnded,
        _ => return None,
    };
    Some(News {
        key: event.key.clone(),
        occurrence: event.occurrence,
        priority: event.priority,
        test: event.test,
        merged: event.merged,
        what,
    })
}

/// Every alarm that wants somebody now; what the desk has heard of already says nothing new to it. One that went by itself
/// before the desk heard of it is told all the same, if it is urgent.
pub fn unheard(alarms: &Alarms, oncall: &Oncall) -> Vec<News> {
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
        let news = |what| News { key: key.clone(), occurrence, priority, test, merged, what };
        out.push(news(Heard::Wanted(Kind::Raised)));
        out.extend(is_gone.then(|| news(Heard::Gone { locked: alarm.latched })));
    }
    out
}

/// What became of alarms while the desk did not hear of it: gone, over, or taken.
pub fn missed(alarms: &Alarms, oncall: &Oncall) -> Vec<News> {
    let of = |key: &std::sync::Arc<str>| {
        let what = match alarms.get(key) {
            None => Heard::Over("its rule is gone".to_string()),
            Some((_, alarm)) if alarm.step == 0 && (alarm.waits || alarm.latched) => {
                Heard::Gone { locked: alarm.latched }
            }
            Some((_, alarm)) if alarm.step == 0 => Heard::Over("its condition is gone".to_string()),
            Some((_, alarm)) if !alarm.waits => Heard::Taken { by: alarm.owner.clone() },
            Some(_) => return None,
        };
        let incident = oncall.incident(key)?;
        let (occurrence, priority, test) = (incident.occurrence, incident.priority, incident.test);
        Some(News { key: key.clone(), occurrence, priority, test, merged: false, what })
    };
    oncall.keys().filter(|key| !key.is_empty() && !is_test(key)).filter_map(of).collect()
}

/// Whether whoever a command names can have it.
///
/// # Errors
/// There is no such person, or no way to them; in words.
pub fn names_somebody(oncall: &Oncall, command: &AlarmCommand) -> Result<(), Names> {
    match &command.action {
        Action::HandOver { to } => oncall.can_be_reached(to),
        _ => Ok(()),
    }
}

/// What whoever answers a page does, for each alarm of its message.
///
/// # Errors
/// It cannot be done, in words.
pub fn replied(alarms: &Alarms, oncall: &Oncall, reply: &PageReply) -> Result<Vec<AlarmCommand>, Names> {
    let Some((_, _, found)) = oncall.page(reply.page) else {
        return Err(Names::both("告警已结束", "that alarm is over"));
    };
    // What is done with one alarm's page is meant for that alarm, whatever else its message said.
    let is_single =
        reply.is_single || matches!(reply.reply, Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset);
    if found.used && reply.reply == Reply::Acknowledge {
        return Err(Names::both("这条通知已经答复过", "this page was answered already"));
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
                // An old answer that is heard again takes nothing that came later.
                if !is_used && found.is_some_and(|alarm| alarm.waits) {
                    push(Action::Acknowledge);
                }
                push(Action::Arrive);
            }
            Reply::HandOver { .. } | Reply::Shelve { .. } | Reply::Reset
                if found.is_none_or(|alarm| alarm.waits || alarm.owner != by) =>
            {
                return Err(Names::both("请先接单", "acknowledge it first: whoever has it may do that"));
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

/// Carries out what is about pages; why not, in words.
pub fn page(oncall: &mut Oncall, command: &Command, now: Now, out: &mut Output) -> Option<String> {
    match command {
        Command::Answered { id, answer } => {
            oncall.answered(*id, answer, now, out);
            None
        }
        Command::Lost { channel } => {
            oncall.lost(channel, now, out);
            None
        }
        Command::Test { person, by } => oncall.test(person, by, now, out).err(),
        Command::StandIn(wanted) => oncall.stand_in(wanted.clone(), now, out).err(),
        Command::Withdraw { number, by } => oncall.withdraw(*number, by, out).err(),
        // What it does with the alarm is done by then.
        Command::Reply(_) => None,
    }
}
