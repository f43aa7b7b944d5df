//! Handlers of the control socket: status, reads between two cycles, reload, clock, dead letters, alarms and on-call.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::alarm::definition::AlarmDefinition;
use crate::alarm::life::Alarm;
use crate::app::device_read::read;
use crate::app::error::AppError;
use crate::app::metering::{self, MeteringRequest};
use crate::app::shared::Shared;
use crate::app::{status, step};
use crate::control::{Caller, ControlAnswer, ControlRequest, DeadLetterAction, Handler};
use crate::link::settings::LinkTransport;
use crate::lock::lock;
use crate::model::actor::Actor;
use crate::model::command::{AlarmAction, Command, GatewayOperation, Inject, Operation};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::metering::{MeteringCommand, MeteringOperation};
use crate::model::priority::Priority;
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange, RegisterType};
use crate::model::room::Input;
use crate::model::text::{REMARK, one_line};
use crate::model::time::UnixMillis;
use crate::poll::{BusConfig, ReadRequest};
use crate::sink::dead_letters::DeadLetter;
use crate::sink::dead_letters::DeadLetters;
use crate::sink::error::SinkError;
use crate::sink::resend::ResendRange;

/// A link that a gateway holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub link: String,
    /// What it runs over.
    pub transport: LinkTransport,
}

/// A record of a sink as `set-aside` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterList {
    pub sink: String,
    /// How many records were sent again or discarded.
    #[serde(rename = "done")]
    pub affected: usize,
    /// The records, where they are listed.
    pub records: Vec<DeadLetter>,
}

/// The handler of the control socket.
pub fn handler(shared: Arc<Shared>) -> Handler {
    Arc::new(move |request, caller| {
        let shared = Arc::clone(&shared);
        Box::pin(async move { answer(&shared, request, caller).await })
    })
}

async fn answer(shared: &Shared, ask: ControlRequest, caller: Caller) -> ControlAnswer {
    let actor = caller.actor(&shared.configuration().control);
    match ask {
        ControlRequest::Status => json(&status::status(shared)),
        ControlRequest::Read { device, point } => {
            let configuration = shared.configuration();
            let rows = read(&configuration, &device, point.as_deref(), |link, unit, span| async move {
                let rules = &unit.profile.variant(None).read_rules;
                let timeout_ms = unit.timeout_ms.or(rules.timeout_ms);
                between_cycles(shared, &link, unit.address, span, timeout_ms, rules.pause_ms).await
            });
            json(&rows.await?)
        }
        ControlRequest::Flood => flood(shared),
        ControlRequest::Links => json(&held_links(shared)),
        ControlRequest::Alarms { all } => json(&alarms(shared, all)),
        ControlRequest::Explain { key } => json(&shared.engine().explain(&key, shared.clock.now())?),
        ControlRequest::Registers { link, unit, function, first, count, timeout_ms, pause_ms } => {
            permit(shared, actor, GatewayOperation::ReadRegisters).await?;
            let area = RegisterType::of(function)
                .ok_or_else(|| AppError::BadRequest(format!("function {function} does not read")))?;
            let span = RegisterRange { register_type: area, address: first, count };
            let read = between_cycles(shared, &link, unit, span, Some(timeout_ms), pause_ms).await;
            json(&read.map(|words| words.words))
        }
        ControlRequest::Book => json(&book_now(shared).await?),
        ControlRequest::Reload => {
            permit(shared, actor.clone(), GatewayOperation::Reload).await?;
            let (reply, answer) = oneshot::channel();
            shared.process.reloads.send((actor, reply)).await.map_err(|_| AppError::Stopping)?;
            let said = answer.await.map_err(|_| AppError::Stopping)??;
            json(&said)
        }
        ControlRequest::DeadLetters { sink, action } => {
            if let Some(name) = &sink {
                find(&lock(&shared.adapters.sinks), name)?;
            }
            match action {
                DeadLetterAction::List => {}
                DeadLetterAction::Send => {
                    permit(shared, actor, GatewayOperation::SendDeadLetters { sink: sink.clone() }).await?;
                }
                DeadLetterAction::Discard => {
                    permit(shared, actor, GatewayOperation::DiscardDeadLetters { sink: sink.clone() }).await?;
                }
            }
            json(&set_aside(shared, sink.as_deref(), action).await?)
        }
        ControlRequest::Verify => {
            permit(shared, actor, GatewayOperation::VerifyJournal).await?;
            shared.journal.verify_now();
            json(&true)
        }
        ControlRequest::Resend { sink, from_ms, to_ms } => {
            find(&lock(&shared.adapters.sinks), &sink)?.settings.can_resend()?;
            permit(shared, actor, GatewayOperation::Resend { sink: sink.clone() }).await?;
            json(&resend(shared, &sink, from_ms, to_ms).await?)
        }
        ControlRequest::AcceptClock => {
            permit(shared, actor, GatewayOperation::AcceptClock).await?;
            shared.clock.accept();
            shared.journal.set_date(shared.clock.wall(), shared.clock.mono());
            // A date of the future that was once trusted must not block later starts.
            shared.journal.accept(shared.clock.wall());
            shared.store.set_date(shared.clock.wall(), shared.clock.mono());
            json(&shared.clock.wall().rfc3339())
        }
        other => decided_by_rules(shared, other, actor).await,
    }
}

/// The flood level.
fn flood(shared: &Shared) -> ControlAnswer {
    let view = shared.engine().flood_view(shared.clock.now());
    let none = || Refusal::refused("this site has no flood levels: [flood] gives it some (docs/flood.md)");
    json(&view.ok_or_else(none)?)
}

fn held_links(shared: &Shared) -> Vec<Held> {
    let of = |b: &BusConfig| Held { link: b.link.id.clone(), transport: b.link.transport.clone() };
    shared.configuration().buses.iter().map(of).collect()
}

/// Waits until the ledger holds everything that is on disk.
async fn book_now(shared: &Shared) -> Result<(), AppError> {
    let (reply, answer) = oneshot::channel();
    shared.ledger.requests.send(reply).await.map_err(|_| AppError::Stopping)?;
    Ok(answer.await.map_err(|_| AppError::Stopping)??)
}

fn json(value: &impl Serialize) -> ControlAnswer {
    Ok(serde_json::to_value(value).map_err(|_| AppError::Inside)?)
}

/// Somebody at the box wants something done: authorised, decided and recorded by the engine.
///
/// # Errors
/// It was refused, in words; where a right is missing with how to obtain it.
async fn command(shared: &Shared, actor: Actor, note: String, operation: Operation) -> Result<(), AppError> {
    let command = Command { actor, note, operation };
    let done = step::step_and_commit(shared, Input::Command(&command)).await;
    // Reading registers is no change, and a scan does it hundreds of times.
    if done.is_ok() && command.operation != Operation::Gateway(GatewayOperation::ReadRegisters) {
        let Command { actor, operation, .. } = &command;
        match operation {
            // It holds a figure for each metering point.
            Operation::Metering(MeteringCommand { operation: MeteringOperation::CloseMonth { month, .. }, .. }) => {
                tracing::info!(by = actor.id, via = %actor.via, month, "a month is closed");
            }
            _ => tracing::info!(by = actor.id, via = %actor.via, ?operation, "a command"),
        }
    }
    done.map_err(|mut refused| {
        if refused.kind == FailureKind::NotPermitted {
            let help = format!(": sudo, or `writers = [\"{}\"]` of [control]", command.actor.id);
            refused.text.en.push_str(&help);
        }
        refused.into()
    })
}

/// Whether somebody may do something with the gateway itself; recorded if so.
async fn permit(shared: &Shared, actor: Actor, operation: GatewayOperation) -> Result<(), AppError> {
    command(shared, actor, String::new(), Operation::Gateway(operation)).await
}

/// Commands that rules decide: to alarms, pages, rotas, and about consumption.
async fn decided_by_rules(shared: &Shared, request: ControlRequest, actor: Actor) -> ControlAnswer {
    match request {
        ControlRequest::Alarm { key, action, note } => {
            let action =
                serde_json::from_value(action).map_err(|e| AppError::BadRequest(format!("no such action: {e}")))?;
            command(shared, actor, note, Operation::Alarm { keys: vec![key.clone()], action }).await?;
            json(&alarm(shared, &key))
        }
        ControlRequest::AcknowledgeAll { device, area, priority, note } => {
            let keys = waiting(shared, device.as_deref(), area.as_deref(), priority.as_deref())?;
            let (wanted, action) = (keys.clone(), AlarmAction::Acknowledge);
            command(shared, actor, note, Operation::Alarm { keys, action }).await?;
            json(&wanted)
        }
        ControlRequest::PageTest { person } => {
            json(&command(shared, actor, String::new(), Operation::TestPage { person }).await?)
        }
        ControlRequest::AddOverride { new_override } => {
            let NewOverride { rota, person, from, to } =
                serde_json::from_value(new_override).map_err(|e| AppError::BadRequest(format!("no such time: {e}")))?;
            json(&command(shared, actor, String::new(), Operation::AddOverride { rota, person, from, to }).await?)
        }
        ControlRequest::RemoveOverride { number } => {
            json(&command(shared, actor, String::new(), Operation::WithdrawOverride { number }).await?)
        }
        ControlRequest::AnnounceTest { device, for_ms, tester } => {
            json(&announce_test(shared, &device, for_ms, &tester, actor).await?)
        }
        ControlRequest::Inject { device, point, value, for_ms } => {
            let inject = Inject { device, point, value, for_ms };
            command(shared, actor, String::new(), Operation::Inject(inject)).await?;
            json(&alarms(shared, false))
        }
        ControlRequest::Classify { register, span, classification, note, may_reopen } => {
            let request = MeteringRequest::Classify { register, span, classification };
            metering(shared, actor, request, note, may_reopen).await
        }
        ControlRequest::EnterReading { register, entry, note, may_reopen } => {
            metering(shared, actor, MeteringRequest::Enter { register, entry }, note, may_reopen).await
        }
        ControlRequest::CloseMonth { month, note } => {
            metering(shared, actor, MeteringRequest::CloseMonth { month }, note, false).await
        }
        ControlRequest::FloodCommand { operation, note } => {
            command(shared, actor, note, Operation::Flood(operation)).await?;
            flood(shared)
        }
        _ => Err(AppError::BadRequest("no such request".to_string()).into()),
    }
}

/// What people say of register readings, of what is on disk by now.
async fn metering(
    shared: &Shared,
    actor: Actor,
    request: MeteringRequest,
    note: String,
    may_reopen: bool,
) -> ControlAnswer {
    book_now(shared).await?;
    let (metering, said) = metering::prepare(shared, request, may_reopen).await?;
    command(shared, actor, note, Operation::Metering(metering)).await?;
    json(&said)
}

/// An override as the CLI sends it.
#[derive(Deserialize)]
struct NewOverride {
    rota: String,
    person: String,
    from: UnixMillis,
    to: UnixMillis,
}

/// Suppresses notifications of every alarm that a test run of a device raises; returns their keys.
async fn announce_test(
    shared: &Shared,
    device: &str,
    for_ms: u64,
    tester: &str,
    actor: Actor,
) -> Result<Vec<String>, AppError> {
    // With no keys nothing happens: whoever may not do it is told so before names are.
    let probe = Operation::Alarm { keys: Vec::new(), action: AlarmAction::AnnounceTest { for_ms } };
    command(shared, actor.clone(), String::new(), probe).await?;
    let (known, keys) = {
        let engine = shared.engine();
        let of_device = engine.alarms().all().filter(|(_, of, _)| &*of.device == device);
        let keys: Vec<String> =
            of_device.filter(|(_, of, _)| of.raised_by_tests).map(|(key, ..)| key.to_string()).collect();
        let known: std::collections::BTreeSet<String> = engine
            .alarms()
            .all()
            .filter(|(_, of, _)| of.raised_by_tests)
            .map(|(_, of, _)| of.device.to_string())
            .collect();
        (known, keys)
    };
    if keys.is_empty() {
        let hint = crate::model::problem::did_you_mean(device, known.iter().map(String::as_str));
        return Err(Refusal::refused(format!("`{device}` has no alarm that a test run raises; {hint}")).into());
    }
    let mut note = "announced test".to_string();
    let tester = one_line(tester, REMARK);
    if !tester.is_empty() && tester != actor.id {
        note = format!("{note}, entered by {}", actor.id);
    }
    let actor = if tester.is_empty() { actor } else { actor.named(tester) };
    let operation = Operation::Alarm { keys: keys.clone(), action: AlarmAction::AnnounceTest { for_ms } };
    command(shared, actor, note, operation).await?;
    Ok(keys)
}

/// Keys of the unacknowledged alarms of a device, an area and a priority; `None` matches all.
fn waiting(
    shared: &Shared,
    device: Option<&str>,
    area: Option<&str>,
    priority: Option<&str>,
) -> Result<Vec<String>, AppError> {
    let (engine, configuration) = (shared.engine(), shared.configuration());
    let know = |what: &str, name: Option<&str>, known: Vec<&str>| match name {
        Some(name) if !known.contains(&name) => {
            let hint = crate::model::problem::did_you_mean(name, known.iter().copied());
            Err(Refusal::refused(format!("there is no {what} `{name}`; {hint}")))
        }
        _ => Ok(()),
    };
    know("device", device, engine.alarms().all().map(|(_, of, _)| &*of.device).collect())?;
    know("area", area, configuration.devices.values().map(|d| d.area.as_str()).filter(|a| !a.is_empty()).collect())?;
    know("priority", priority, Priority::ALL.iter().map(|p| p.word()).collect())?;
    let is_wanted = |(_, of, alarm): &(&Arc<str>, &AlarmDefinition, &Alarm)| {
        let own = configuration.devices.get(&*of.device).map_or("", |d| d.area.as_str());
        alarm.needs_ack
            && device.is_none_or(|d| d == &*of.device)
            && area.is_none_or(|a| a == own)
            && priority.is_none_or(|p| p == alarm.priority(of).word())
    };
    Ok(engine.alarms().all().filter(is_wanted).map(|(key, ..)| key.to_string()).collect())
}

/// An alarm as `alarm list` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmRow {
    /// The alarm's key, `rule.device`.
    pub key: String,
    /// How it is seen.
    pub state: String,
    /// How much it matters.
    pub priority: String,
    /// Since when it is in alarm, if the date is known.
    pub since: Option<String>,
    /// Seconds in alarm; `None` if it is not in alarm.
    pub age_s: Option<u64>,
    /// Who acknowledged it, or to whom it was handed over; empty: nobody.
    pub owner: String,
    /// `good`, or why its input is not known.
    pub input: String,
    /// What it says, in English.
    pub en: String,
    /// What it says, in Chinese.
    pub zh: String,
    /// What is to be done, in English.
    pub action: String,
}

/// Alarms, sorted by priority and age; normal ones only with `all`.
pub fn alarms(shared: &Shared, all: bool) -> Vec<AlarmRow> {
    let engine = shared.engine();
    let (configuration, now) = (shared.configuration(), shared.clock.now());
    let wanted = engine.alarms().all().filter(|(_, _, alarm)| all || !alarm.is_normal());
    let row = |(key, of, alarm): (&Arc<str>, &AlarmDefinition, &Alarm)| {
        let text = engine.alarm_room().text(of, alarm, alarm.value);
        let since = alarm.since.as_ref().filter(|m| m.trusted && !alarm.is_normal());
        AlarmRow {
            key: key.to_string(),
            state: alarm.state().word().to_string(),
            priority: alarm.priority(of).word().to_string(),
            since: since.map(|m| m.wall.local(&configuration.alarms.zone)),
            age_s: alarm.age_s(now).filter(|_| alarm.step > 0),
            owner: alarm.owner.clone(),
            input: alarm.unknown_cause.map_or("good", Cause::word).to_string(),
            en: text.en,
            zh: text.zh,
            action: of.action.en.clone(),
        }
    };
    let mut rows: Vec<AlarmRow> = wanted.map(row).collect();
    rows.sort_by(|a, b| (&a.priority, &a.since, &a.key).cmp(&(&b.priority, &b.since, &b.key)));
    rows
}

fn alarm(shared: &Shared, key: &str) -> Option<AlarmRow> {
    alarms(shared, true).into_iter().find(|row| row.key == key)
}

/// Reads registers on a polled bus between two cycles; waits at most 15 s.
async fn between_cycles(
    shared: &Shared,
    link: &str,
    address: u8,
    span: RegisterRange,
    timeout_ms: Option<u64>,
    pause_ms: u64,
) -> Result<RegisterBlock, Cause> {
    let asks = shared.read_requests(link).ok_or(Cause::LinkDown)?;
    let (reply, answer) = oneshot::channel();
    asks.try_send(ReadRequest { address, span, timeout_ms, pause_ms, reply }).map_err(|_| Cause::Skipped)?;
    let wait = std::time::Duration::from_secs(15);
    tokio::time::timeout(wait, answer).await.ok().and_then(Result::ok).unwrap_or(Err(Cause::Timeout))
}

/// Queues a range of the journal to be sent to a time-series store again.
async fn resend(shared: &Shared, name: &str, from_ms: i64, to_ms: i64) -> Result<(), AppError> {
    let resend = {
        let sinks = lock(&shared.adapters.sinks);
        let sink = find(&sinks, name)?;
        sink.settings.can_resend()?;
        sink.resend.clone()
    };
    Ok(on_disk(move || resend.request(ResendRange { from_ms, to_ms })).await??)
}

/// Calls what waits for the disk on a thread that may.
async fn on_disk<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    tokio::task::spawn_blocking(call).await.map_err(|_| AppError::Inside)
}

fn find<'a>(
    sinks: &'a [crate::app::shared::SinkHandle],
    name: &str,
) -> Result<&'a crate::app::shared::SinkHandle, AppError> {
    sinks.iter().find(|s| s.settings.name() == name).ok_or_else(|| {
        let known: Vec<&str> = sinks.iter().map(|s| s.settings.name()).collect();
        Refusal::refused(format!("there is no sink `{name}` (there are: {})", known.join(", "))).into()
    })
}

/// Lists, sends again or discards dead letters.
async fn set_aside(
    shared: &Shared,
    sink: Option<&str>,
    action: DeadLetterAction,
) -> Result<Vec<DeadLetterList>, AppError> {
    let chosen: Vec<(String, DeadLetters)> = {
        let sinks = lock(&shared.adapters.sinks);
        let chosen = match sink {
            Some(name) => vec![find(&sinks, name)?],
            None => sinks.iter().collect(),
        };
        chosen.into_iter().map(|s| (s.settings.name().to_string(), s.dead_letters.clone())).collect()
    };
    let of = move |(sink, dead_letters): (String, DeadLetters)| {
        let done = match action {
            DeadLetterAction::List => Ok(0),
            DeadLetterAction::Send => dead_letters.request_resend(),
            DeadLetterAction::Discard => dead_letters.discard(),
        };
        let records = if action == DeadLetterAction::List { dead_letters.list() } else { Vec::new() };
        let path = || dead_letters.path().display().to_string();
        done.map(|done| DeadLetterList { sink, affected: done, records })
            .map_err(|e| SinkError::File { path: path(), reason: e.to_string() }.into())
    };
    on_disk(move || chosen.into_iter().map(of).collect()).await?
}
