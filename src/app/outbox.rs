//! Outbox: a decision is committed to the store before it is dispatched. If the disk takes longer than two seconds, it is
//! dispatched without that, and committed as soon as possible.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::alarm::alarm_view::{self, AlarmView, DeviceInfo};
use crate::alarm::event::Event;
use crate::app::Shared;
use crate::app::ordered_queue::Merge;
use crate::app::pages::{self, QueuedNotification};
use crate::config::Configuration;
use crate::engine::{Engine, EngineInput, EngineOutput};
use crate::model::point::LocalizedText;
use crate::model::reading::Reading;
use crate::model::time::Now;
use crate::store::log::{Batch, EventRow};

/// The room's name in the event log and the store.
pub const ALARM: &str = "alarm";
/// Longest wait of a decision for the disk.
const WAIT: Duration = Duration::from_secs(2);
/// Interval at which a failed commit is retried.
const AGAIN: Duration = Duration::from_secs(5);
/// Log rows of one entry, and batches waiting for the disk; beyond that the oldest are dropped from the log and the loss logged.
const UNWRITTEN_MAX: usize = 10_000;

/// Capacity of the queue; decisions beyond it are merged into one, which comes last.
pub const QUEUE: usize = 4_096;

/// A decision: what is committed, and what is dispatched after that.
#[derive(Debug, Default)]
pub struct OutboxEntry {
    batch: Batch,
    /// Retained topics; `None` clears one.
    retained_topics: Vec<(String, Option<String>)>,
    /// Alarm readings for the time-series sinks.
    readings: Vec<Reading>,
    notifications: Vec<(Arc<str>, QueuedNotification)>,
    /// Notified once it is committed, or dispatched without that.
    waiters: Vec<oneshot::Sender<()>>,
}

impl Merge for OutboxEntry {
    /// Merges a later entry; beyond `UNWRITTEN_MAX` rows the oldest are dropped and the loss logged.
    fn merge(&mut self, other: OutboxEntry) {
        self.batch.rows.extend(other.batch.rows);
        self.batch.states.extend(other.batch.states);
        self.retained_topics.retain(|(topic, _)| !other.retained_topics.iter().any(|(t, _)| t == topic));
        self.retained_topics.extend(other.retained_topics);
        self.readings.extend(other.readings);
        self.notifications.extend(other.notifications);
        self.waiters.extend(other.waiters);
        let over = self.batch.rows.len().saturating_sub(UNWRITTEN_MAX);
        if over > 0 {
            self.batch.rows.drain(..over);
            tracing::error!(over, "more is decided than can be written: the oldest is lost to the log");
        }
    }
}

/// Queues what the engine decided; the receiver fires once it is committed and dispatched. `None`: nothing was decided.
pub fn apply(shared: &Shared, engine: &Engine, out: EngineOutput, now: Now) -> Option<oneshot::Receiver<()>> {
    for change in out.device_changes {
        super::driver::publish_device_status(shared, &change);
    }
    let (decided, measured): (Vec<Reading>, Vec<Reading>) =
        out.derived.into_iter().partition(|r| r.stream.alarm_rule().is_some());
    for reading in measured {
        shared.journal.append(reading);
    }
    let pages = &out.oncall;
    let is_quiet = pages.log.is_empty() && pages.changed.is_empty() && pages.meta.is_none() && pages.sends.is_empty();
    if out.alarm.events.is_empty() && out.alarm.changed.is_empty() && is_quiet {
        return None;
    }
    let configuration = shared.configuration();
    let mut decision = OutboxEntry { readings: decided, ..OutboxEntry::default() };
    decision.batch.rows = out.alarm.events.iter().map(|e| row(engine, &configuration, e, now)).collect();
    pages::add_to_batch(pages, now, &mut decision.batch);
    let letter = |send| pages::render_notification(shared, engine, &configuration, send);
    decision.notifications = pages.sends.iter().map(|s| (Arc::clone(&s.channel), (s.id, letter(s)))).collect();
    for (key, kept) in out.alarm.changed {
        let topic = format!("{ALARM}/{key}");
        let bytes = load_alarms.as_ref().and_then(|k| serde_json::to_vec(k).ok());
        decision.retained_topics.push((topic, load_alarms.and_then(|_| state(engine, &configuration, &key))));
        decision.batch.states.push((ALARM, key.to_string(), bytes));
    }
    let (done, answer) = oneshot::channel();
    decision.waiters = vec![done];
    if let Err(decision) = shared.outbox.put(decision) {
        tracing::error!("decisions are not taken any more: one leaves unrecorded");
        dispatch(shared, decision);
    }
    Some(answer)
}

/// Steps the engine with an input and waits until its decision is committed.
///
/// # Errors
/// The input was refused; the reason in both languages.
pub async fn step_and_commit(shared: &Shared, input: EngineInput<'_>) -> Result<(), LocalizedText> {
    let (refused, written) = {
        let mut engine = shared.engine();
        let now = shared.clock.now();
        let mut out = engine.step(now, input);
        (out.refused.take(), apply(shared, &engine, out, now))
    };
    // The engine's next wake-up may be earlier than the driver assumes.
    shared.inbox.notify();
    if let Some(refused) = refused {
        return Err(refused);
    }
    if let Some(written) = written {
        let _it_leaves_in_any_case = written.await;
    }
    Ok(())
}

/// The retained topic of every alarm that was ever raised.
pub fn states(engine: &Engine, configuration: &Configuration) -> Vec<(String, String)> {
    let was = engine.alarms().filter(|(_, _, alarm)| alarm.occurrence > 0 || !alarm.is_normal());
    was.filter_map(|(key, _, _)| Some((format!("{ALARM}/{key}"), state(engine, configuration, key)?))).collect()
}

fn state(engine: &Engine, configuration: &Configuration, key: &str) -> Option<String> {
    let (of, alarm) = engine.alarm(key)?;
    serde_json::to_string(&AlarmView::new(of, alarm, &device_info(configuration, &of.device))).ok()
}

/// Name, area and class of a device; links and the gateway have no area.
pub fn device_info(configuration: &Configuration, device: &str) -> DeviceInfo {
    let named = |zh: &str, en: &str, class: &str| DeviceInfo {
        name: LocalizedText { zh: zh.to_string(), en: en.to_string() },
        area: String::new(),
        class: class.to_string(),
    };
    match configuration.devices.get(device) {
        Some(d) => DeviceInfo { area: d.area.clone(), ..named(&d.zh, &d.en, &d.class) },
        None if device == "gateway" => named(&configuration.site.zh, &configuration.site.en, "gateway"),
        None => named(device, device, "link"),
    }
}

/// The row of the event log for an alarm event, with the text shown at that moment.
fn row(engine: &Engine, configuration: &Configuration, event: &Event, now: Now) -> EventRow {
    let mut body = serde_json::to_value(event).unwrap_or_default();
    if let Some((of, alarm)) = engine.alarm(&event.key) {
        let text = alarm_view::text(of, alarm, &device_info(configuration, &of.device));
        body["text"] = serde_json::json!({ "zh": text.zh, "en": text.en });
        body["rule"] = of.source_rule.to_string().into();
    }
    EventRow {
        id: 0,
        room: ALARM.to_string(),
        key: event.key.to_string(),
        event: event.kind.word().to_string(),
        at: now.wall,
        trusted: now.wall_trusted,
        mono: now.mono,
        body: body.to_string(),
    }
}

fn dispatch(shared: &Shared, decision: OutboxEntry) {
    pages::enqueue(shared, decision.notifications);
    for reading in decision.readings {
        shared.journal.append(reading);
    }
    for (topic, json) in decision.retained_topics {
        match json {
            Some(json) => shared.retained_topics.set(&topic, json),
            None => shared.retained_topics.remove(&topic),
        }
    }
    for done in decision.waiters {
        let _nobody_waits = done.send(());
    }
}

/// Commits decisions in order and dispatches each after its commit. At most one waits for a slow disk, for `WAIT`; those
/// behind it are dispatched at once.
pub async fn run(shared: Arc<Shared>, queue: Arc<Mutex<mpsc::Receiver<OutboxEntry>>>, stop: CancellationToken) {
    let mut queue = queue.lock().await;
    let mut pending = PendingCommits::default();
    loop {
        let decision = tokio::select! {
            biased;
            decision = shared.outbox.next(&mut queue) => decision,
            () = stop.cancelled() => None,
            () = tokio::time::sleep(AGAIN), if !pending.batches.is_empty() => {
                pending.commit_pending(&shared, WAIT).await;
                continue;
            }
        };
        // Entries queued before `stop` are still processed: the queue comes first.
        let Some(mut decision) = decision else { break };
        // While a commit is outstanding, later decisions do not wait for the disk.
        let wait = if pending.batches.is_empty() { WAIT } else { Duration::ZERO };
        pending.batches.push_back((std::mem::take(&mut decision.batch), None));
        pending.commit_pending(&shared, wait).await;
        dispatch(&shared, decision);
    }
    pending.commit_pending(&shared, WAIT).await;
}

/// The pending answer of the store to a batch.
type CommitAnswer = oneshot::Receiver<Result<(), String>>;

/// Batches that are not committed yet, in order.
#[derive(Default)]
struct PendingCommits {
    batches: VecDeque<(Batch, Option<CommitAnswer>)>,
    /// Whether the failure is logged; it is logged once, and its end once.
    is_reported: bool,
}

impl PendingCommits {
    /// Commits the batches in order and stops at the first failure; `wait`: longest wait for each answer.
    async fn commit_pending(&mut self, shared: &Shared, wait: Duration) {
        while let Some((batch, answer)) = self.batches.pop_front() {
            let mut answer = answer.unwrap_or_else(|| shared.store.commit(batch.clone()));
            let (left, error) = match tokio::time::timeout(wait, &mut answer).await {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(error))) => (None, error),
                Ok(Err(_)) => (None, "the store's thread is gone".to_string()),
                Err(_) => (Some(answer), "the disk takes too long".to_string()),
            };
            self.batches.push_front((batch, left));
            if !std::mem::replace(&mut self.is_reported, true) {
                tracing::error!(error, "a decision cannot be written down: it leaves unrecorded, and is tried again");
            }
            while self.batches.len() > UNWRITTEN_MAX {
                self.batches.pop_front();
                tracing::error!("the disk has taken no decision for too long: the oldest is lost to the log");
            }
            return;
        }
        if std::mem::take(&mut self.is_reported) {
            tracing::info!("every decision is written down again");
        }
    }
}

/// Reads the stored state of alarms; what is unreadable starts anew.
pub fn load_alarms(shared_store: &crate::store::log::Store) -> BTreeMap<String, crate::alarm::PersistedAlarm> {
    let rows = shared_store.load_state(ALARM).unwrap_or_else(|error| {
        tracing::error!(error, "alarms that were kept cannot be read: they begin anew");
        BTreeMap::new()
    });
    let of = |(key, bytes): (String, Vec<u8>)| match serde_json::from_slice(&bytes) {
        Ok(kept) => Some((key, load_alarms)),
        Err(error) => {
            tracing::error!(key, %error, "an alarm that was kept cannot be read: it begins anew");
            None
        }
    };
    rows.into_iter().filter_map(of).collect()
}
