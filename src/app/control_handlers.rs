//! Handlers of the control socket: status, reads between two cycles, reload, clock, dead letters, alarms and on-call.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::alarm::alarm_view;
use crate::alarm::event::{Action, AlarmCommand, Inject};
use crate::alarm::life::Alarm;
use crate::alarm::resolved_condition::AlarmDefinition;
use crate::app::{Shared, lock, outbox, pages, status};
use crate::config::Configuration;
use crate::control::{Caller, ControlAnswer, ControlRequest, Handler, DeadLetterAction};
use crate::decode;
use crate::engine::EngineInput;
use crate::link::settings::LinkTransport;
use crate::model::priority::Priority;
use crate::model::quality::Cause;
use crate::model::registers::{RegisterBlock, RegisterRange, RegisterType};
use crate::model::text::{REMARK, one_line};
use crate::oncall::page;
use crate::plan;
use crate::poll::{BusConfig, ReadRequest, UnitConfig};
use crate::profile::PointDef;
use crate::sink::dead_letters::DeadLetter;

/// A point as `read` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadRow {
    /// The device's name of the point.
    pub point: String,
    /// The value as it is printed; empty if there is none.
    pub value: String,
    /// Unit of the quantity.
    pub unit_of: String,
    /// `good`, or the reason why there is no value.
    pub quality: String,
    /// Text of a code, in English.
    pub text: String,
    /// Where it came from: `unit 7 function 3 address 12+2`.
    pub from: String,
    /// The words, in hexadecimal.
    pub raw: String,
}

/// A link that a gateway holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Its name.
    pub link: String,
    /// What it runs over.
    pub transport: LinkTransport,
}

/// A record of a sink as `set-aside` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterList {
    /// The sink.
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

async fn answer(shared: &Shared, request: ControlRequest, caller: Caller) -> ControlAnswer {
    caller.authorize(&request, &shared.configuration().control)?;
    let json = |value: Result<serde_json::Value, serde_json::Error>| value.map_err(|e| e.to_string());
    match request {
        ControlRequest::Status => json(serde_json::to_value(status::status(shared))),
        ControlRequest::Read { device, point } => {
            let configuration = shared.configuration();
            let rows = read(&configuration, &device, point.as_deref(), |link, unit, span| async move {
                let rules = &unit.profile.variant(None).read_rules;
                let timeout_ms = unit.timeout_ms.or(rules.timeout_ms);
                between_cycles(shared, &link, unit.address, span, timeout_ms, rules.pause_ms).await
            });
            json(serde_json::to_value(rows.await?))
        }
        ControlRequest::Links => {
            let of = |b: &BusConfig| Held { link: b.link.id.clone(), transport: b.link.transport.clone() };
            json(serde_json::to_value(shared.configuration().buses.iter().map(of).collect::<Vec<_>>()))
        }
        ControlRequest::Registers { link, unit, function, first, count, timeout_ms, pause_ms } => {
            let area = RegisterType::of(function).ok_or_else(|| format!("function {function} does not read"))?;
            let span = RegisterRange { register_type: area, address: first, count };
            let read = between_cycles(shared, &link, unit, span, Some(timeout_ms), pause_ms).await;
            json(serde_json::to_value(read.map(|words| words.words)))
        }
        ControlRequest::Reload => {
            tracing::info!(uid = caller.uid, "reload is asked for");
            let (reply, answer) = oneshot::channel();
            shared.reloads.send((caller.name(), reply)).await.map_err(|_| "the gateway is stopping".to_string())?;
            let said = answer.await.map_err(|_| "the gateway is stopping".to_string())??;
            json(serde_json::to_value(said))
        }
        ControlRequest::DeadLetters { sink, action } => {
            if action != DeadLetterAction::List {
                tracing::info!(uid = caller.uid, ?sink, ?action, "what was set aside");
            }
            json(serde_json::to_value(set_aside(shared, sink.as_deref(), action)?))
        }
        ControlRequest::Verify => {
            shared.journal.verify_now();
            json(serde_json::to_value(true))
        }
        ControlRequest::Resend { sink, from_ms, to_ms } => {
            tracing::info!(uid = caller.uid, sink, from_ms, to_ms, "a range of the journal is to be written again");
            json(serde_json::to_value(resend(shared, &sink, from_ms, to_ms)?))
        }
        ControlRequest::AcceptClock => {
            shared.clock.accept();
            shared.journal.set_date(shared.clock.wall(), shared.clock.mono());
            // A date of the future that was once trusted must not block later starts.
            shared.journal.accept(shared.clock.wall());
            shared.store.set_date(shared.clock.wall(), shared.clock.mono());
            tracing::info!(
                uid = caller.uid,
                date = shared.clock.wall().rfc3339(),
                "a person says that the date is right"
            );
            json(serde_json::to_value(shared.clock.wall().rfc3339()))
        }
        other => about_alarms(shared, other, caller).await,
    }
}

/// Requests about alarms and pages.
async fn about_alarms(shared: &Shared, request: ControlRequest, caller: Caller) -> ControlAnswer {
    let json = |value: Result<serde_json::Value, serde_json::Error>| value.map_err(|e| e.to_string());
    match request {
        ControlRequest::Alarms { all } => json(serde_json::to_value(alarms(shared, all))),
        ControlRequest::Explain { key } => {
            json(serde_json::to_value(shared.engine().explain(&key, shared.clock.now())?))
        }
        ControlRequest::Alarm { key, action, note } => {
            let action = serde_json::from_value(action).map_err(|e| format!("no such action: {e}"))?;
            let command = AlarmCommand { key, action, actor: caller.name(), note };
            tracing::info!(key = command.key, action = ?command.action, by = command.actor, "alarm");
            outbox::step_and_commit(shared, EngineInput::Commands(std::slice::from_ref(&command))).await?;
            json(serde_json::to_value(alarm(shared, &command.key)))
        }
        ControlRequest::AcknowledgeAll { device, area, priority, note } => {
            let wanted = waiting(shared, device.as_deref(), area.as_deref(), priority.as_deref())?;
            let by = caller.name();
            tracing::info!(by, count = wanted.len(), "alarms are acknowledged");
            let of = |key: &String| {
                let (key, by, note) = (key.clone(), by.clone(), note.clone());
                AlarmCommand { key, action: Action::Acknowledge, actor: by, note }
            };
            let commands: Vec<AlarmCommand> = wanted.iter().map(of).collect();
            outbox::step_and_commit(shared, EngineInput::Commands(&commands)).await?;
            json(serde_json::to_value(wanted))
        }
        ControlRequest::PageTest { person } => {
            let by = caller.name();
            tracing::info!(by, person, "a page for a trial");
            pages::send_command(shared, &page::OncallCommand::Test { person, actor: by }).await?;
            json(Ok(serde_json::Value::Null))
        }
        ControlRequest::AddOverride { new_override: mut wanted } => {
            wanted["by"] = caller.name().into();
            let wanted = serde_json::from_value(wanted).map_err(|e| format!("no such time: {e}"))?;
            tracing::info!(?wanted, "somebody stands in");
            pages::send_command(shared, &page::OncallCommand::AddOverride(wanted)).await?;
            json(Ok(serde_json::Value::Null))
        }
        ControlRequest::AnnounceTest { device, for_ms, tester: by } => {
            let by = if by.is_empty() { caller.name() } else { one_line(&by, REMARK) };
            tracing::info!(device, for_ms, by, asked_by = caller.name(), "a test is announced");
            json(serde_json::to_value(announce_test(shared, &device, for_ms, &by).await?))
        }
        ControlRequest::RemoveOverride { number } => {
            let by = caller.name();
            tracing::info!(number, by, "somebody's standing in is taken back");
            pages::send_command(shared, &page::OncallCommand::RemoveOverride { number, actor: by }).await?;
            json(Ok(serde_json::Value::Null))
        }
        ControlRequest::Inject { device, point, value, for_ms } => {
            let by = caller.name();
            tracing::warn!(by, device, point, value, for_ms, "a sample is given to the alarms for a trial");
            outbox::step_and_commit(shared, EngineInput::Inject(&Inject { device, point, value, for_ms, actor: by })).await?;
            json(serde_json::to_value(alarms(shared, false)))
        }
        _ => Err("that is not about alarms".to_string()),
    }
}

/// Suppresses notifications of every alarm that a test run of a device raises; returns their keys.
async fn announce_test(shared: &Shared, device: &str, for_ms: u64, by: &str) -> Result<Vec<String>, String> {
    let (known, keys) = {
        let engine = shared.engine();
        let of_device = engine.alarms().filter(|(_, of, _)| &*of.device == device);
        let keys: Vec<String> = of_device.filter(|(_, of, _)| of.raised_by_tests).map(|(key, ..)| key.to_string()).collect();
        let known: std::collections::BTreeSet<String> =
            engine.alarms().filter(|(_, of, _)| of.raised_by_tests).map(|(_, of, _)| of.device.to_string()).collect();
        (known, keys)
    };
    if keys.is_empty() {
        let hint = crate::model::problem::did_you_mean(device, known.iter().map(String::as_str));
        return Err(format!("`{device}` has no alarm that a test run raises; {hint}"));
    }
    let of = |key: &String| {
        let (key, by, note) = (key.clone(), by.to_string(), "announced test".to_string());
        AlarmCommand { key, action: Action::AnnounceTest { for_ms }, actor: by, note }
    };
    let commands: Vec<AlarmCommand> = keys.iter().map(of).collect();
    outbox::step_and_commit(shared, EngineInput::Commands(&commands)).await?;
    Ok(keys)
}

/// Keys of the unacknowledged alarms of a device, an area and a priority; `None` matches all.
fn waiting(
    shared: &Shared,
    device: Option<&str>,
    area: Option<&str>,
    priority: Option<&str>,
) -> Result<Vec<String>, String> {
    let (engine, configuration) = (shared.engine(), shared.configuration());
    let know = |what: &str, name: Option<&str>, known: Vec<&str>| match name {
        Some(name) if !known.contains(&name) => {
            let hint = crate::model::problem::did_you_mean(name, known.iter().copied());
            Err(format!("there is no {what} `{name}`; {hint}"))
        }
        _ => Ok(()),
    };
    know("device", device, engine.alarms().map(|(_, of, _)| &*of.device).collect())?;
    know("area", area, configuration.devices.values().map(|d| d.area.as_str()).filter(|a| !a.is_empty()).collect())?;
    know("priority", priority, Priority::ALL.iter().map(|p| p.word()).collect())?;
    let is_wanted = |(_, of, alarm): &(&Arc<str>, &AlarmDefinition, &Alarm)| {
        let own = configuration.devices.get(&*of.device).map_or("", |d| d.area.as_str());
        alarm.needs_ack
            && device.is_none_or(|d| d == &*of.device)
            && area.is_none_or(|a| a == own)
            && priority.is_none_or(|p| p == alarm.priority(of).word())
    };
    Ok(engine.alarms().filter(is_wanted).map(|(key, ..)| key.to_string()).collect())
}

/// An alarm as `alarm list` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmRow {
    /// `rule.device`.
    pub key: String,
    /// How it is seen.
    pub state: String,
    /// How much it matters.
    pub priority: String,
    /// Since when it is in alarm, if the date is known.
    pub since: Option<String>,
    /// Seconds since then.
    pub age_s: Option<u64>,
    /// Who took it.
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
    let wanted = engine.alarms().filter(|(_, _, alarm)| all || !alarm.is_normal());
    let row = |(key, of, alarm): (&Arc<str>, &AlarmDefinition, &Alarm)| {
        let text = alarm_view::text(of, alarm, &outbox::device_info(&configuration, &of.device));
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

/// A point to read: its name in the device and its definition in the profile.
struct RequestedPoint<'a> {
    name: &'a str,
    def: &'a PointDef,
}

/// Reads a device's points now; `ask` performs one request.
///
/// # Errors
/// Unknown device or point; names the nearest.
pub async fn read<F>(
    configuration: &Configuration,
    device: &str,
    point: Option<&str>,
    ask: impl Fn(String, UnitConfig, RegisterRange) -> F,
) -> Result<Vec<ReadRow>, String>
where
    F: Future<Output = Result<RegisterBlock, Cause>>,
{
    let devices = &configuration.devices;
    let Some(d) = devices.get(device) else {
        let hint = crate::model::problem::did_you_mean(device, devices.keys().map(String::as_str));
        return Err(format!("unknown device `{device}`; {hint}"));
    };
    if let Some(point) = point
        && !d.points.contains_key(point)
    {
        let hint = crate::model::problem::did_you_mean(point, d.points.keys().map(String::as_str));
        return Err(format!("device `{device}` has no point `{point}`; {hint}"));
    }
    let mut rows = Vec::new();
    let mut units: Vec<(&str, &UnitConfig)> = Vec::new();
    for bus in &configuration.buses {
        units.extend(bus.units.iter().map(|u| (bus.link.id.as_str(), u)));
    }
    for (link, unit) in units {
        let all = unit.profile.all_points();
        let mut wanted: Vec<RequestedPoint<'_>> = Vec::new();
        for (name, (from, source)) in &d.points {
            if let Some(def) =
                all.get(source.as_str()).filter(|_| **from == *unit.id && point.is_none_or(|p| p == name))
            {
                wanted.push(RequestedPoint { name, def });
            }
        }
        if wanted.is_empty() {
            continue;
        }
        rows.extend(read_unit(configuration, &d.class, link, unit, &wanted, &ask).await);
    }
    rows.sort_by(|a, b| a.point.cmp(&b.point));
    Ok(rows)
}

async fn read_unit<F>(
    configuration: &Configuration,
    class: &str,
    link: &str,
    unit: &UnitConfig,
    wanted: &[RequestedPoint<'_>],
    ask: &impl Fn(String, UnitConfig, RegisterRange) -> F,
) -> Vec<ReadRow>
where
    F: Future<Output = Result<RegisterBlock, Cause>>,
{
    let mut reads: Vec<RegisterBlock> = Vec::new();
    let mut failed: BTreeMap<RegisterRange, Cause> = BTreeMap::new();
    let rules = &unit.profile.variant(None).read_rules;
    let defs: Vec<PointDef> = wanted.iter().map(|w| w.def.clone()).collect();
    let mut plan = plan::plan(&defs, rules);
    let mut blocks: Vec<plan::ReadBlock> = plan.blocks.iter().rev().copied().collect();
    while let Some(block) = blocks.pop() {
        match ask(link.to_string(), unit.clone(), block.span).await {
            Ok(words) => reads.push(words),
            // A block that the unit refuses, or at which it closes the connection, is split, so that its readable points are shown.
            Err(cause) => match plan.split(&block, cause, 0).filter(|_| cause.is_of_block()) {
                Some((left, right)) => blocks.extend([right, left]),
                None => drop(failed.insert(block.span, cause)),
            },
        }
    }
    let row = |w: &RequestedPoint<'_>| {
        let def = w.def;
        let sample = decode::decode(def, &reads);
        let failure = || failed.iter().find(|(span, _)| span.overlaps(&def.span)).map(|(_, c)| *c);
        let sample = sample.unwrap_or_else(|| Err(failure().unwrap_or(Cause::NotAvailable)));
        let words = reads.iter().find_map(|r| r.slice(&def.span)).unwrap_or_default();
        let code = match &sample {
            Ok(crate::model::value::Value::Code(c)) => Some(*c),
            _ => None,
        };
        let meaning = configuration.catalogue.vocabulary.point(class, w.name);
        ReadRow {
            point: w.name.to_string(),
            value: sample.as_ref().map(ToString::to_string).unwrap_or_default(),
            unit_of: meaning.and_then(|m| m.unit.clone()).unwrap_or_default(),
            quality: sample.as_ref().err().map_or("good", |c| c.word()).to_string(),
            text: code.and_then(|c| def.texts.get(&c)).map(|t| t.en.clone()).unwrap_or_default(),
            from: format!(
                "{} unit {} function {} address {}+{}",
                unit.id,
                unit.address,
                def.span.register_type.function(),
                def.span.address,
                def.span.count
            ),
            raw: words.iter().map(|w| format!("{w:04X}")).collect::<Vec<_>>().join(" "),
        }
    };
    wanted.iter().map(row).collect()
}

/// Queues a range of the journal to be sent to a time-series store again.
fn resend(shared: &Shared, name: &str, from_ms: i64, to_ms: i64) -> Result<(), String> {
    let sinks = lock(&shared.sinks);
    let sink = find(&sinks, name)?;
    match sink.settings {
        crate::sink::SinkSettings::Influx(_) => sink.resend.request(crate::sink::resend::ResendRange { from_ms, to_ms }),
        crate::sink::SinkSettings::Mqtt(_) => Err(format!(
            "`{name}` is a broker: whoever subscribes has had these messages; history is written again to stores only"
        )),
    }
}

fn find<'a>(sinks: &'a [crate::app::SinkHandle], name: &str) -> Result<&'a crate::app::SinkHandle, String> {
    sinks.iter().find(|s| s.settings.name() == name).ok_or_else(|| {
        let known: Vec<&str> = sinks.iter().map(|s| s.settings.name()).collect();
        format!("there is no sink `{name}` (there are: {})", known.join(", "))
    })
}

/// Lists, sends again or discards dead letters.
fn set_aside(shared: &Shared, sink: Option<&str>, action: DeadLetterAction) -> Result<Vec<DeadLetterList>, String> {
    let sinks = lock(&shared.sinks);
    let chosen = match sink {
        Some(name) => vec![find(&sinks, name)?],
        None => sinks.iter().collect(),
    };
    let of = |s: &crate::app::SinkHandle| {
        let done = match action {
            DeadLetterAction::List => Ok(0),
            DeadLetterAction::Send => s.dead_letters.request_resend(),
            DeadLetterAction::Discard => s.dead_letters.discard(),
        };
        let records = if action == DeadLetterAction::List { s.dead_letters.list() } else { Vec::new() };
        let sink = s.settings.name().to_string();
        done.map(|done| DeadLetterList { sink, affected: done, records }).map_err(|e| format!("the file cannot be written: {e}"))
    };
    chosen.into_iter().map(of).collect()
}
