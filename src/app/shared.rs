//! What the tasks of a running gateway share, by concern: the rules and their queues, the adapters at work, the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::app::ask_queue::AskQueue;
use crate::app::crash_loop_guard::CrashLoopGuard;
use crate::app::error::AppError;
use crate::app::inbox::Inbox;
use crate::app::ordered_queue::OrderedQueue;
use crate::app::outbox::OutboxEntry;
use crate::app::{Paths, reply_ways};
use crate::channel;
use crate::clock::{Clock, Timings};
use crate::config::Configuration;
use crate::engine::Engine;
use crate::http::files::LoadedFiles;
use crate::intake::settings::FeedSettings;
use crate::journal::Journal;
use crate::ledger::error::LedgerError;
use crate::lock::lock;
use crate::model::actor::Actor;
use crate::model::effects::AddressedNotification;
use crate::model::notification::{DeliveryOutcome, Notification};
use crate::model::reading::Reading;
use crate::model::time::MonotonicMillis;
use crate::poll::health::BusHealth;
use crate::poll::{BusConfig, Deliver, ReadRequest};
use crate::presentation::token::PageTokens;
use crate::sink::dead_letters::DeadLetters;
use crate::sink::resend::Resend;
use crate::sink::{self, DeviceTagsById, RetainedTopics, SinkHealth};
use crate::store::log::Store;
use crate::supervise::{TaskFailure, TaskHandle};

/// State shared by all tasks of a running gateway.
pub struct Shared {
    pub clock: Clock,
    pub journal: Journal,
    pub store: Store,
    pub rules: RulesState,
    pub adapters: AdapterState,
    pub process: ProcessState,
    pub ledger: LedgerState,
    pub(super) configuration: Mutex<Arc<Configuration>>,
}

/// The rules, and what goes into and out of them.
pub struct RulesState {
    pub(super) engine: Mutex<Engine>,
    /// Queue of readings into the engine.
    pub inbox: Inbox,
    /// Queue of decisions that wait for the store.
    pub outbox: OrderedQueue<OutboxEntry>,
    /// Queue of questions about the past.
    pub(super) asks: AskQueue,
    /// Signs and verifies the tokens of pages.
    pub tokens: Arc<PageTokens>,
    /// Attempts that could not be queued for a channel: reported to the on-call rules.
    pub(super) undelivered: mpsc::Sender<(u64, DeliveryOutcome)>,
    /// Monotonic milliseconds of the engine's last step.
    pub engine_progress_ms: AtomicU64,
    /// How long each room of rules takes in a pass, by its id.
    pub room_timings: BTreeMap<&'static str, Timings>,
    /// Number of rule rooms that are disabled.
    pub rules_off: AtomicU64,
}

#[derive(Default)]
pub struct AdapterState {
    pub buses: Mutex<Vec<BusHandle>>,
    pub sinks: Mutex<Vec<SinkHandle>>,
    pub channels: Mutex<Vec<ChannelHandle>>,
    /// Rank of the flood level at which buses are read.
    pub flood_rank: AtomicU8,
    /// Feeds of warnings.
    pub feeds: Mutex<Vec<FeedHandle>>,
    /// Whether replies of people can be received, by channel.
    pub reply_ways: reply_ways::ReplyReceivers,
    /// What brokers retain, current.
    pub retained_topics: RetainedTopics,
    /// Tokens of programs, as they were last read.
    pub(super) web_tokens: LoadedFiles,
}

/// The energy ledger, as its bookkeeper reports it.
#[derive(Debug)]
pub struct LedgerState {
    /// Asks the bookkeeper to book now.
    pub(super) requests: mpsc::Sender<BookNow>,
    /// The other end, which the bookkeeper holds while it runs.
    pub(super) requested: tokio::sync::Mutex<mpsc::Receiver<BookNow>>,
    /// Registers that have been read since the start.
    pub registers: AtomicU64,
    /// Registers that are in doubt.
    pub pending: AtomicU64,
    /// Date of the newest reading that is written, milliseconds since 1970; 0: none since the start.
    pub written_to_ms: AtomicI64,
    /// Why it cannot be written; empty: it can.
    pub error: Mutex<String>,
}

impl Default for LedgerState {
    fn default() -> Self {
        let (requests, requested) = mpsc::channel(8);
        let (registers, pending, written_to_ms, error) = Default::default();
        Self { requests, requested: tokio::sync::Mutex::new(requested), registers, pending, written_to_ms, error }
    }
}

/// Asks that everything committed be booked now; answered when it is.
pub type BookNow = oneshot::Sender<Result<(), LedgerError>>;

pub struct ProcessState {
    pub started: MonotonicMillis,
    pub task_failures: Arc<Mutex<Vec<TaskFailure>>>,
    /// Keeps the rules off after repeated panics of the driver.
    pub crash_loop_guard: CrashLoopGuard,
    /// Cancelled when the engine's driver has panicked: the process must exit and restart.
    pub fatal: CancellationToken,
    /// Why this runs on the last-good configuration; `None`: it does not.
    pub last_good: Mutex<Option<String>>,
    /// True once everything was started.
    pub ready: AtomicBool,
    /// Requests to reload the configuration.
    pub reloads: mpsc::Sender<Reload>,
    pub(super) paths: Paths,
}

/// A request to reload: who asks; what was done goes back, or every problem, in words.
pub type Reload = (Actor, oneshot::Sender<Result<Vec<String>, AppError>>);

pub struct BusHandle {
    pub config: Arc<BusConfig>,
    pub health: Arc<BusHealth>,
    pub(super) read_requests: Arc<Mutex<Option<mpsc::Sender<ReadRequest>>>>,
    pub(super) task: TaskHandle,
}

/// A feed of warnings with the task that asks it.
pub struct FeedHandle {
    pub settings: FeedSettings,
    /// What was read of the files that the settings name.
    pub(super) files: LoadedFiles,
    /// What asks it; none: it has no address.
    pub(super) task: Option<TaskHandle>,
}

pub struct SinkHandle {
    pub settings: sink::kinds::SinkSettings,
    pub health: Arc<SinkHealth>,
    /// Messages that the other side refused.
    pub dead_letters: DeadLetters,
    /// Ranges of history to be sent again.
    pub resend: Resend,
    /// Tags of the devices as the sink knows them; a change restarts a time-series sink.
    pub(super) device_tags: Arc<DeviceTagsById>,
    /// What was read of the files that the settings name; a change restarts the sink at a reload.
    pub(super) files: LoadedFiles,
    pub(super) task: TaskHandle,
    /// The task that subscribes to MQTT commands.
    pub(super) commands: Option<TaskHandle>,
}

/// A notification with the number of its attempt.
pub type QueuedNotification = (u64, Notification);

/// Attempts of a channel by outcome, and how long each took.
#[derive(Debug, Default)]
pub struct ChannelHealth {
    pub accepted: AtomicU64,
    /// Not sent, tried again later.
    pub retried: AtomicU64,
    pub rejected: AtomicU64,
    /// It may have arrived.
    pub unknown: AtomicU64,
    pub timings: Timings,
}

pub struct ChannelHandle {
    pub health: Arc<ChannelHealth>,
    pub settings: channel::kinds::ChannelSettings,
    pub notifications: mpsc::Sender<QueuedNotification>,
    /// What was read of the files that the settings name; a change restarts the channel at a reload.
    pub(super) files: LoadedFiles,
    pub(super) task: TaskHandle,
}

impl Shared {
    pub fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&lock(&self.configuration))
    }

    /// Locks the engine. Hold it for one step only.
    pub fn engine(&self) -> std::sync::MutexGuard<'_, Engine> {
        lock(&self.rules.engine)
    }

    /// Every bus takes the intervals of a flood level from its next cycle on.
    pub(super) fn set_flood_rank(&self, rank: u8) {
        self.adapters.flood_rank.store(rank, Ordering::Relaxed);
        lock(&self.adapters.buses).iter().for_each(|bus| bus.health.flood_rank.store(rank, Ordering::Relaxed));
    }

    /// The callback of the pollers: journals a reading, then passes it to the engine.
    pub(super) fn deliver(self: &Arc<Self>) -> Deliver {
        let shared = Arc::clone(self);
        Arc::new(move |reading: Reading| shared.take_in(reading))
    }

    /// Journals a reading, then passes it to the engine.
    pub fn take_in(&self, reading: Reading) {
        let entry = self.journal.append(reading);
        self.rules.inbox.put(entry);
    }

    /// Queues notifications for their channels; one that cannot be queued is reported as a failed delivery.
    pub fn enqueue(&self, notifications: Vec<AddressedNotification>) {
        for AddressedNotification { channel, attempt, notification } in notifications {
            let sender = lock(&self.adapters.channels)
                .iter()
                .find(|c| c.settings.id() == &*channel)
                .map(|c| c.notifications.clone());
            let sent = sender
                .ok_or("there is no such channel")
                .and_then(|s| s.try_send((attempt, notification)).map_err(|_| "it takes nothing"));
            if let Err(reason) = sent {
                let (after_ms, reason) = (Some(5_000), reason.to_string());
                self.report_undelivered(attempt, DeliveryOutcome::RetryLater { after_ms, reason });
            }
        }
    }

    /// Reports a notification that failed before it reached its channel.
    fn report_undelivered(&self, id: u64, answer: DeliveryOutcome) {
        // If the queue is full, the on-call rules notice that no outcome arrives.
        let _it_is_noticed = self.rules.undelivered.try_send((id, answer));
    }

    /// Whether replies can be received, by channel and sink.
    pub fn reply_receivers(&self) -> Vec<reply_ways::ReplyReceiver> {
        let channels: Vec<_> = lock(&self.adapters.channels).iter().map(|c| c.settings.clone()).collect();
        let sinks: Vec<_> = lock(&self.adapters.sinks).iter().map(|s| reply_ways::of_sink(s.settings.name())).collect();
        let has_link = !self.configuration().oncall.settings.url.is_empty();
        self.adapters.reply_ways.list(&channels, &sinks, has_link)
    }

    /// The request queue of a link whose connection is open.
    pub fn read_requests(&self, link: &str) -> Option<mpsc::Sender<ReadRequest>> {
        let buses = lock(&self.adapters.buses);
        let is_open = |b: &&BusHandle| b.config.link.id == link && b.health.is_open.load(Ordering::Relaxed);
        let bus = buses.iter().find(is_open)?;
        lock(&bus.read_requests).clone()
    }
}
