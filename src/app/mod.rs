//! Wiring: everything that runs, the engine's driver loop, own health, reload.

pub mod alarm_page;
pub mod alarm_server;
pub mod control_handlers;
pub mod crash_loop_guard;
pub mod driver;
pub mod file_modes;
pub mod inbox;
pub mod last_good;
pub mod metrics;
pub mod ordered_queue;
pub mod outbox;
mod outputs;
pub mod pages;
pub mod reply_ways;
pub mod self_metrics;
pub mod status;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::app::crash_loop_guard::CrashLoopGuard;
use crate::app::inbox::Inbox;
use crate::app::ordered_queue::OrderedQueue;
use crate::app::outbox::OutboxEntry;
use crate::channel;
use crate::clock::{self, Clock};
use crate::config::Configuration;
use crate::engine::{Engine, EnginePlan, PersistedEngine};
use crate::journal::{Journal, Writer};
use crate::model::notification::DeliveryOutcome;
use crate::model::reading::Reading;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::poll::bus::LinkWorker;
use crate::poll::health::BusHealth;
use crate::poll::{BusConfig, Deliver, ReadRequest};
use crate::sink::dead_letters::DeadLetters;
use crate::sink::resend::Resend;
use crate::sink::{self, DeviceTags, Places, RetainedTopics, SinkHealth};
use crate::store::log::Store;
use crate::supervise::{Handle, TaskFailure, TaskGroup};

/// Messages that no channel took and that wait to go back at most.
const UNDELIVERED: usize = 4_096;

/// Where a running gateway keeps its things.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Durable state: journal, snapshot, last-good configuration.
    pub state: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
}

/// A bus at work.
pub struct BusHandle {
    /// As configured.
    pub config: Arc<BusConfig>,
    /// How it is doing.
    pub health: Arc<BusHealth>,
    asks: Arc<Mutex<Option<mpsc::Sender<ReadRequest>>>>,
    task: Handle,
}

/// A sink at work.
pub struct SinkHandle {
    /// As configured.
    pub settings: sink::SinkSettings,
    /// How it is doing.
    pub health: Arc<SinkHealth>,
    /// What the other side refused.
    pub dead_letters: DeadLetters,
    /// What a store is to be given again.
    pub resend: Resend,
    /// The devices that it knows.
    places: Arc<Places>,
    task: Handle,
    /// What listens to commands there.
    commands: Option<Handle>,
}

/// A channel at work.
pub struct ChannelHandle {
    /// As configured.
    pub settings: channel::ChannelSettings,
    /// The way to it.
    pub posts: mpsc::Sender<pages::Post>,
    task: Handle,
}

/// What every part of a running gateway sees.
pub struct Shared {
    /// The clock.
    pub clock: Clock,
    /// The journal.
    pub journal: Journal,
    /// What is retained.
    pub states: RetainedTopics,
    /// The way into the engine.
    pub inbox: Inbox,
    /// The desk.
    engine: Mutex<Engine>,
    /// What was decided.
    pub store: Store,
    /// The way to it.
    pub decisions: OrderedQueue<OutboxEntry>,
    /// Buses.
    pub buses: Mutex<Vec<BusHandle>>,
    /// Sinks.
    pub sinks: Mutex<Vec<SinkHandle>>,
    /// Channels.
    pub channels: Mutex<Vec<ChannelHandle>>,
    /// Whether answers of people can be heard.
    pub reply_ways: reply_ways::ReplyWays,
    /// What proves that somebody got a page.
    pub tokens: pages::Tokens,
    /// What could not be given to a channel: the desk is told.
    undelivered: mpsc::Sender<(u64, DeliveryOutcome)>,
    /// Tasks that panicked.
    pub troubles: Arc<Mutex<Vec<TaskFailure>>>,
    /// When the process started.
    pub started: MonotonicMillis,
    /// When the engine last made a step, monotonic milliseconds.
    pub engine_progress_ms: AtomicU64,
    /// Rooms of rules that are switched off.
    pub rules_off: AtomicU64,
    /// Whether the rules rest, because the engine's driver ended again and again.
    pub rest: CrashLoopGuard,
    /// Cancelled when the engine's driver has panicked: the process has to end and begin anew.
    pub fatal: CancellationToken,
    /// Whether this runs on the last-good configuration, and why.
    pub last_good: Mutex<Option<String>>,
    /// Whether everything was started.
    pub ready: AtomicBool,
    /// Someone wants the configuration to be loaded again.
    pub reloads: mpsc::Sender<Reload>,
    configuration: Mutex<Arc<Configuration>>,
    paths: Paths,
}

/// A wish for a reload: whose it is; what was done goes back, or every problem, in words.
pub type Reload = (String, oneshot::Sender<Result<Vec<String>, String>>);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The configuration in force.
    pub fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&lock(&self.configuration))
    }

    /// The desk, for one step.
    pub fn engine(&self) -> std::sync::MutexGuard<'_, Engine> {
        lock(&self.engine)
    }

    /// The reading's way: numbered and journaled, then to the engine.
    fn deliver(self: &Arc<Self>) -> Deliver {
        let shared = Arc::clone(self);
        Arc::new(move |reading: Reading| {
            let entry = shared.journal.append(reading);
            shared.inbox.put(entry);
        })
    }

    /// A try came to nothing before it began.
    pub fn undelivered(&self, id: u64, answer: DeliveryOutcome) {
        // If there is no room the desk notices that no answer comes.
        let _it_is_noticed = self.undelivered.try_send((id, answer));
    }

    /// The way to ask a bus something, by the link's name.
    pub fn asks(&self, link: &str) -> Option<mpsc::Sender<ReadRequest>> {
        let buses = lock(&self.buses);
        let is_open = |b: &&BusHandle| b.config.link.id == link && b.health.open.load(Ordering::Relaxed);
        let bus = buses.iter().find(is_open)?;
        lock(&bus.asks).clone()
    }
}

/// A running gateway.
pub struct App {
    /// What every part sees.
    pub shared: Arc<Shared>,
    writer: Option<Writer>,
    pollers: TaskGroup,
    desk: TaskGroup,
    channels: TaskGroup,
    records: TaskGroup,
    outlets: TaskGroup,
    /// Wishes for a reload; whoever runs the gateway takes them.
    pub reloads_wanted: mpsc::Receiver<Reload>,
}

impl App {
    /// Opens the journal and starts everything. Every device and broker may be absent.
    ///
    /// # Errors
    /// The journal cannot be opened, in words.
    pub fn start(configuration: Configuration, paths: &Paths) -> Result<App, String> {
        let fresh = !paths.state.exists();
        let made = std::fs::create_dir_all(&paths.state);
        made.map_err(|e| format!("cannot make the state directory {}: {e}", paths.state.display()))?;
        let clock = Clock::new(&configuration.clock, UnixMillis(i64::MAX));
        let dir = paths.state.join(&configuration.journal.dir);
        file_modes::tighten(&paths.state, &dir, fresh);
        let boot = clock::boot_id();
        let opened = Journal::open(&dir, &configuration.journal, &clock, &boot);
        let (journal, writer) = opened.map_err(|e| format!("cannot open the journal: {e}"))?;
        clock.not_before(UnixMillis(journal.health().last_wall.load(Ordering::Relaxed)));
        if clock.trusted() {
            journal.date(clock.wall(), clock.mono());
            self_metrics::outrank(&clock, &journal);
        }
        clock.say();
        let names: Vec<String> = configuration.sinks.iter().map(sink::SinkSettings::cursor).collect();
        journal.keep_cursors(&names);
        let (store, said) = Store::open(&paths.state.join("store.db"), &boot)?;
        if let Some(said) = said {
            tracing::error!("{said}");
        }
        if clock.trusted() {
            store.date(clock.wall(), clock.mono());
        }
        let snapshot = driver::read(&store, &paths.state.join("engine.json"));
        let survived = PersistedEngine { snapshot, ..driver::stored(&store) };
        let engine = Engine::new(plan(&configuration), survived, &boot, clock.now());
        let (decisions, queue) = OrderedQueue::new(outbox::QUEUE);
        let troubles: Arc<Mutex<Vec<TaskFailure>>> = Arc::default();
        let group = |name| TaskGroup::new(name, &clock, &troubles);
        let (pollers, desk, channels) = (group("pollers"), group("desk"), group("channels"));
        let (records, outlets) = (group("records"), group("outlets"));
        let (reloads, reloads_wanted) = mpsc::channel(4);
        let (undelivered, returned) = mpsc::channel(UNDELIVERED);
        let tokens = pages::Tokens::open(&store);
        let shared = Arc::new(Shared {
            reloads,
            started: clock.mono(),
            engine_progress_ms: AtomicU64::new(clock.mono().0),
            rest: CrashLoopGuard::new(&paths.state, &clock),
            clock,
            journal,
            states: RetainedTopics::default(),
            inbox: Inbox::default(),
            engine: Mutex::new(engine),
            store,
            decisions,
            reply_ways: reply_ways::ReplyWays::default(),
            buses: Mutex::default(),
            sinks: Mutex::default(),
            channels: Mutex::default(),
            tokens,
            undelivered,
            troubles: Arc::clone(&troubles),
            rules_off: AtomicU64::new(0),
            fatal: CancellationToken::new(),
            last_good: Mutex::default(),
            ready: AtomicBool::new(false),
            configuration: Mutex::new(Arc::new(configuration)),
            paths: paths.clone(),
        });
        let mut app = App { shared, writer: Some(writer), pollers, desk, channels, records, outlets, reloads_wanted };
        app.start_desk(queue, returned);
        let configuration = app.shared.configuration();
        // Known from the start, so that what is retained of an earlier run does not pass for the present.
        configuration.devices.keys().for_each(|id| app.shared.states.set_new(&format!("{id}/status"), UNKNOWN));
        let alarms = outbox::states(&app.shared.engine(), &configuration);
        alarms.into_iter().for_each(|(topic, json)| app.shared.states.set(&topic, json));
        app.start_outside(&configuration);
        app.shared.ready.store(true, Ordering::Relaxed);
        Ok(app)
    }

    /// Sinks and channels first, so that nothing of the first cycle waits for them.
    fn start_outside(&mut self, configuration: &Configuration) {
        configuration.sinks.iter().for_each(|settings| self.start_sink(settings));
        configuration.oncall.channels.iter().for_each(|settings| self.start_channel(settings));
        configuration.buses.iter().for_each(|bus| self.start_bus(bus));
    }

    fn start_desk(&mut self, queue: mpsc::Receiver<OutboxEntry>, returned: mpsc::Receiver<(u64, DeliveryOutcome)>) {
        let shared = Arc::clone(&self.shared);
        let returned = Arc::new(tokio::sync::Mutex::new(returned));
        self.desk.spawn("returned pages", move |stop| {
            Box::pin(pages::take_back(Arc::clone(&shared), Arc::clone(&returned), stop))
        });
        let shared = Arc::clone(&self.shared);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        self.records
            .spawn("decisions", move |stop| Box::pin(outbox::run(Arc::clone(&shared), Arc::clone(&queue), stop)));
        let shared = Arc::clone(&self.shared);
        let stop = self.desk.token();
        let driver = async move {
            if shared.rest.is_over(&stop).await {
                self_metrics::say_online(&shared);
                driver::run(shared, stop).await;
            }
        };
        let shared = Arc::clone(&self.shared);
        self.desk.spawn_vital("engine", driver, move || {
            shared.rest.remember(&shared.clock);
            shared.fatal.cancel();
        });
        let shared = Arc::clone(&self.shared);
        self.desk.spawn("own health", move |stop| Box::pin(self_metrics::run(Arc::clone(&shared), stop)));
        let shared = Arc::clone(&self.shared);
        self.desk.spawn("control", move |stop| {
            let handler = control_handlers::handler(Arc::clone(&shared));
            Box::pin(crate::control::serve(shared.paths.socket.clone(), handler, stop))
        });
        let shared = Arc::clone(&self.shared);
        let settings = self.shared.configuration().web.clone();
        if !settings.listen.is_empty() {
            let shared = Arc::clone(&shared);
            self.desk.spawn("door", move |stop| {
                Box::pin(crate::web::server::serve(settings.clone(), alarm_server::view(&shared), stop))
            });
        }
        let settings = self.shared.configuration().health.clone();
        if !settings.listen.is_empty() {
            self.desk.spawn("health page", move |stop| {
                Box::pin(crate::web::serve(settings.clone(), metrics::view(&shared), stop))
            });
        }
    }

    fn start_bus(&mut self, config: &BusConfig) {
        let config = Arc::new(config.clone());
        let health = Arc::new(BusHealth::new(config.units.len()));
        health.progress_ms.store(self.shared.clock.mono().0, Ordering::Relaxed);
        let asks: Arc<Mutex<Option<mpsc::Sender<ReadRequest>>>> = Arc::default();
        let (clock, deliver) = (self.shared.clock.clone(), self.shared.deliver());
        let (c, h, a) = (Arc::clone(&config), Arc::clone(&health), Arc::clone(&asks));
        let task = self.pollers.spawn(&format!("link {}", config.link.id), move |stop| {
            let (sender, receiver) = mpsc::channel(8);
            *lock(&a) = Some(sender);
            let bus = LinkWorker::new(&c, clock.clone(), Arc::clone(&h), Arc::clone(&deliver));
            Box::pin(bus.run(receiver, stop))
        });
        lock(&self.shared.buses).push(BusHandle { config, health, asks, task });
    }

    /// A new configuration: what did not change misses no cycle. Returns what was done, in words.
    pub async fn reload(&mut self, configuration: Configuration, by: &str) -> Vec<String> {
        let mut said = Vec::new();
        let old = self.shared.configuration();
        if old.journal != configuration.journal
            || old.clock != configuration.clock
            || old.health != configuration.health
            || old.web != configuration.web
        {
            said.push("journal, clock, health page and door take effect at the next start".to_string());
        }
        let site_changed = old.site != configuration.site;
        *lock(&self.shared.configuration) = Arc::new(configuration.clone());
        for id in old.devices.keys().filter(|id| !configuration.devices.contains_key(*id)) {
            self.shared.states.remove(&format!("{id}/status"));
            said.push(format!("device {id} is gone"));
        }
        configuration.devices.keys().for_each(|id| self.shared.states.set_new(&format!("{id}/status"), UNKNOWN));
        let gone = |b: &BusHandle| !configuration.buses.contains(&b.config);
        let leaving = take_if(&self.shared.buses, gone);
        leaving.iter().for_each(|bus| bus.task.stop());
        for bus in leaving {
            bus.task.end().await;
            said.push(format!("link {} stopped", bus.config.link.id));
        }
        // After the old buses have ended: nothing of theirs comes any more.
        let sources: std::collections::BTreeSet<(&str, &str)> = streams(&configuration).collect();
        let has = |device: &str, source: &str| sources.contains(&(device, source));
        said.extend(driver::reconfigure(&self.shared, &configuration, has, by));
        // What is left out of an untouched link is asked for again: whoever reloads has mended something.
        lock(&self.shared.buses).iter().for_each(|b| b.health.forget.store(true, Ordering::Relaxed));
        for bus in &configuration.buses {
            if !lock(&self.shared.buses).iter().any(|b| *b.config == *bus) {
                self.start_bus(bus);
                said.push(format!("link {} started", bus.link.id));
            }
        }
        let now = places(&configuration);
        // A time-series store writes what a device is and where beside each value.
        let moved = |s: &SinkHandle| matches!(s.settings, sink::SinkSettings::Influx(_)) && *s.places != now;
        let gone = |s: &SinkHandle| site_changed || moved(s) || !configuration.sinks.contains(&s.settings);
        for sink in take_if(&self.shared.sinks, gone) {
            sink.task.end().await;
            if let Some(commands) = sink.commands {
                commands.end().await;
            }
            said.push(format!("sink {} stopped", sink.settings.name()));
        }
        for settings in &configuration.sinks {
            if !lock(&self.shared.sinks).iter().any(|s| s.settings == *settings) {
                self.start_sink(settings);
                said.push(format!("sink {} started", settings.name()));
            }
        }
        self.change_channels(&configuration, &mut said).await;
        let names: Vec<String> = configuration.sinks.iter().map(sink::SinkSettings::cursor).collect();
        self.shared.journal.keep_cursors(&names);
        self.pollers.sweep();
        self.channels.sweep();
        self.outlets.sweep();
        *lock(&self.shared.last_good) = None;
        self.shared.rest.wake();
        self_metrics::say_online(&self.shared);
        if said.is_empty() {
            said.push("nothing changed".to_string());
        }
        said
    }

    /// Ordered drain: pollers stop, the engine ends when its input has ended, channels bring their answers, decisions are
    /// written, the journal commits,
    /// sinks finish what is on the way; the rest stays behind their cursor.
    pub async fn stop(mut self) {
        self.shared.ready.store(false, Ordering::Relaxed);
        self.pollers.drain(Duration::from_secs(3)).await;
        self.desk.drain(Duration::from_secs(3)).await;
        self.channels.drain(Duration::from_secs(4)).await;
        self.records.drain(Duration::from_secs(4)).await;
        self.outlets.drain(Duration::from_secs(4)).await;
        let _two_seconds_are_enough = tokio::time::timeout(Duration::from_secs(2), self.shared.store.end()).await;
        let writer = self.writer.take();
        let stopped = tokio::task::spawn_blocking(move || drop(writer)).await;
        debug_assert!(stopped.is_ok(), "the writer's thread does not panic");
    }

    /// Whether everything that must make progress does: what the watchdog of systemd is told.
    pub fn is_alive(&self) -> bool {
        metrics::is_alive(&self.shared)
    }
}

/// What the desk is built from.
fn plan(configuration: &Configuration) -> EnginePlan {
    EnginePlan {
        derive: configuration.derive.clone(),
        alarms: configuration.alarms.clone(),
        oncall: Arc::clone(&configuration.oncall.plan),
        ..EnginePlan::default()
    }
}

/// What a device's status says before anything has come of it.
const UNKNOWN: &str = "{\"state\":\"unknown\",\"since\":null,\"why\":null}";

/// (device, source) of everything that is polled, and the gateway itself.
fn streams(configuration: &Configuration) -> impl Iterator<Item = (&str, &str)> {
    let units = configuration.buses.iter().flat_map(|b| &b.units);
    let outs = units.flat_map(|u| &u.groups).flat_map(|g| &g.outs);
    outs.map(|o| (&*o.stream.device, &*o.stream.source)).chain([("gateway", "gateway")])
}

fn take_if<T>(list: &Mutex<Vec<T>>, gone: impl Fn(&T) -> bool) -> Vec<T> {
    let mut list = lock(list);
    let (out, keep) = std::mem::take(&mut *list).into_iter().partition(|x| gone(x));
    *list = keep;
    out
}

/// What each device is and where, the gateway itself among them.
fn places(configuration: &Configuration) -> Places {
    let place = |d: &crate::config::Device| DeviceTags { class: d.class.clone(), area: d.area.clone() };
    let gateway = ("gateway".to_string(), DeviceTags { class: "gateway".to_string(), area: String::new() });
    configuration.devices.iter().map(|(id, d)| (id.clone(), place(d))).chain([gateway]).collect()
}
