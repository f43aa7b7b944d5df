//! Wires the rooms together: starts every task, runs the engine, measures own health, reloads and stops.
//!
//! [`App`] owns the tasks, [`Shared`] is what they share. A reading goes to the journal, then to the engine ([`inbox`], [`driver`]);
//! the engine's decisions go through [`step`] to the store and then to sinks and channels. A reload restarts only what
//! changed. [`App::stop`] drains in order: pollers, engine, channels, decisions, sinks, store, journal.

pub mod alarm_page;
pub mod alarm_server;
mod ask_queue;
mod asks;
pub mod bookkeeper;
pub mod control_handlers;
pub mod crash_loop_guard;
pub mod device_read;
pub mod driver;
mod energy_messages;
mod energy_publisher;
pub mod engine_plan;
pub mod error;
pub mod feeds;
pub mod file_modes;
pub mod inbox;
pub mod last_good;
pub mod ledger_points;
mod metering;
pub mod metrics;
pub mod ordered_queue;
pub mod outbox;
mod outputs;
pub mod pages;
pub mod reply_ways;
pub mod self_metrics;
pub mod shared;
pub mod status;
pub mod step;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::ask_queue::AskQueue;
use crate::app::crash_loop_guard::CrashLoopGuard;
use crate::app::error::AppError;
use crate::app::inbox::Inbox;
use crate::app::ordered_queue::OrderedQueue;
use crate::app::outbox::OutboxEntry;
use crate::app::outputs::OpenedSink;
use crate::app::shared::{AdapterState, BusHandle, LedgerState, ProcessState, Reload, RulesState, Shared, SinkHandle};
use crate::clock::{self, Clock};
use crate::config::Configuration;
use crate::energy::meter::EndUse;
use crate::energy::metering::MeteringPoint;
use crate::engine::Engine;
use crate::http::files::{LoadedFiles, NamedFile};
use crate::journal::{Journal, Writer};
use crate::lock::lock;
use crate::model::actor::Actor;
use crate::model::flood::FLOOD_DEVICE;
use crate::model::history::Ask;
use crate::model::notification::DeliveryOutcome;
use crate::model::stream::Source;
use crate::model::time::UnixMillis;
use crate::poll::bus::LinkWorker;
use crate::poll::health::BusHealth;
use crate::poll::{BusConfig, ReadRequest};
use crate::presentation::token::PageTokens;
use crate::sink::{DeviceTags, DeviceTagsById};
use crate::store::log::Store;
use crate::supervise::{TaskFailure, TaskGroup};

/// Notifications that no channel took and that wait to be reported; beyond that the on-call rules notice the missing outcome.
const UNDELIVERED: usize = 4_096;

/// Paths of a running gateway.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Directory of durable state: journal, snapshot, last-good configuration.
    pub state: PathBuf,
    pub socket: PathBuf,
}

pub struct App {
    pub shared: Arc<Shared>,
    writer: Option<Writer>,
    pollers: TaskGroup,
    engine_tasks: TaskGroup,
    channels: TaskGroup,
    outbox_tasks: TaskGroup,
    outputs: TaskGroup,
    /// Reload requests; whoever runs the gateway takes them.
    pub reloads_wanted: mpsc::Receiver<Reload>,
}

impl App {
    /// Opens journal and store and starts everything. No device, broker or database needs to be reachable.
    ///
    /// # Errors
    /// The state directory, the journal or the store cannot be opened.
    pub fn start(configuration: Configuration, paths: &Paths) -> Result<App, AppError> {
        let clock = Clock::new(&configuration.clock, UnixMillis(i64::MAX));
        Self::start_by(configuration, paths, clock)
    }

    /// The same by another clock.
    ///
    /// # Errors
    /// The same.
    #[expect(clippy::disallowed_methods, reason = "at the start, before anything runs")]
    pub fn start_by(configuration: Configuration, paths: &Paths, clock: Clock) -> Result<App, AppError> {
        let fresh = !paths.state.exists();
        let made = std::fs::create_dir_all(&paths.state);
        let state = || paths.state.display().to_string();
        made.map_err(|e| AppError::StateDirectory { path: state(), reason: e.to_string() })?;
        let dir = paths.state.join(&configuration.journal.dir);
        file_modes::tighten(&paths.state, &dir, fresh);
        let boot = clock::boot_id();
        let opened = Journal::open(&dir, &configuration.journal, &clock, &boot);
        let (journal, writer) = opened.map_err(AppError::Journal)?;
        clock.set_not_before(UnixMillis(journal.health().last_wall.load(Ordering::Relaxed)));
        if clock.is_trusted() {
            journal.set_date(clock.wall(), clock.mono());
            self_metrics::replace_stored_date(&clock, &journal);
        }
        clock.log_distrust();
        let names: Vec<String> = configuration.sinks.iter().map(|s| s.cursor()).collect();
        journal.retain_cursors(&names);
        let (store, mut engine, tokens) = open_rules(&configuration, paths, &clock, &boot)?;
        let (outbox, queue) = OrderedQueue::new(outbox::QUEUE);
        let failures: Arc<Mutex<Vec<TaskFailure>>> = Arc::default();
        let group = |name| TaskGroup::new(name, &clock, &failures);
        let (pollers, engine_tasks, channels) = (group("pollers"), group("desk"), group("channels"));
        let (outbox_tasks, outputs) = (group("records"), group("outlets"));
        let (reloads, reloads_wanted) = mpsc::channel(4);
        let (undelivered, returned) = mpsc::channel(UNDELIVERED);
        let (asks, asked) = AskQueue::new();
        let room_timings = driver::time_rooms(&mut engine, &clock);
        let rules = RulesState {
            engine: Mutex::new(engine),
            inbox: Inbox::default(),
            outbox,
            asks,
            tokens,
            undelivered,
            engine_progress_ms: AtomicU64::new(clock.mono().0),
            room_timings,
            rules_off: AtomicU64::new(0),
        };
        let process = process_state(&clock, &failures, reloads, paths);
        let web_tokens = LoadedFiles::read(&configuration.web.files());
        let adapters = AdapterState { web_tokens, ..AdapterState::default() };
        let configuration = Mutex::new(Arc::new(configuration));
        let ledger = LedgerState::default();
        let shared = Arc::new(Shared { clock, journal, store, rules, adapters, process, ledger, configuration });
        let mut app = App {
            shared,
            writer: Some(writer),
            pollers,
            engine_tasks,
            channels,
            outbox_tasks,
            outputs,
            reloads_wanted,
        };
        app.start_engine_tasks(queue, returned);
        app.start_readers_of_the_past(asked);
        let configuration = app.shared.configuration();
        // Set at the start, so that a status retained from an earlier run is not taken for the present one.
        configuration
            .devices
            .keys()
            .for_each(|id| app.shared.adapters.retained_topics.set_new(&format!("{id}/status"), UNKNOWN));
        let topics = app.shared.engine().topics(app.shared.clock.now());
        topics.into_iter().for_each(|(topic, json)| app.shared.adapters.retained_topics.set(&topic, json));
        app.start_adapters(&configuration);
        app.shared.process.ready.store(true, Ordering::Relaxed);
        Ok(app)
    }

    /// Starts sinks and channels before the buses, so that the first cycle does not wait for them.
    fn start_adapters(&mut self, configuration: &Configuration) {
        for settings in &configuration.sinks {
            self.start_sink(OpenedSink::open(settings.clone(), &self.shared.process.paths.state));
        }
        let channels = &configuration.oncall.channels;
        channels.iter().for_each(|settings| self.start_channel(settings, &LoadedFiles::read(&settings.files())));
        configuration.buses.iter().for_each(|bus| self.start_bus(bus));
        configuration.feeds.iter().for_each(|feed| self.start_feed(feed, &LoadedFiles::read(&feed.files())));
    }

    /// Who answers questions about the past, and who books consumption.
    fn start_readers_of_the_past(&mut self, asked: mpsc::Receiver<Ask>) {
        let (shared, asked) = (Arc::clone(&self.shared), Arc::new(tokio::sync::Mutex::new(asked)));
        self.engine_tasks.spawn("questions about the past", move |stop| {
            Box::pin(asks::run(Arc::clone(&shared), Arc::clone(&asked), stop))
        });
        let shared = Arc::clone(&self.shared);
        self.outputs.spawn("bookkeeper", move |stop| Box::pin(bookkeeper::run(Arc::clone(&shared), stop)));
        let shared = Arc::clone(&self.shared);
        self.outputs.spawn("energy", move |stop| Box::pin(energy_publisher::run(Arc::clone(&shared), stop)));
    }

    fn start_engine_tasks(
        &mut self,
        queue: mpsc::Receiver<OutboxEntry>,
        returned: mpsc::Receiver<(u64, DeliveryOutcome)>,
    ) {
        let shared = Arc::clone(&self.shared);
        let returned = Arc::new(tokio::sync::Mutex::new(returned));
        self.engine_tasks.spawn("returned pages", move |stop| {
            Box::pin(pages::report_returned(Arc::clone(&shared), Arc::clone(&returned), stop))
        });
        let shared = Arc::clone(&self.shared);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        self.outbox_tasks
            .spawn("decisions", move |stop| Box::pin(step::run(Arc::clone(&shared), Arc::clone(&queue), stop)));
        let shared = Arc::clone(&self.shared);
        let stop = self.engine_tasks.token();
        let driver = async move {
            if shared.process.crash_loop_guard.wait_until_allowed(&stop).await {
                self_metrics::publish_status(&shared);
                driver::run(shared, stop).await;
            }
        };
        let shared = Arc::clone(&self.shared);
        self.engine_tasks.spawn_critical("engine", driver, move || {
            shared.process.crash_loop_guard.record_crash(&shared.clock);
            shared.process.fatal.cancel();
        });
        let shared = Arc::clone(&self.shared);
        self.engine_tasks.spawn("own health", move |stop| Box::pin(self_metrics::run(Arc::clone(&shared), stop)));
        let shared = Arc::clone(&self.shared);
        self.engine_tasks.spawn("control", move |stop| {
            let handler = control_handlers::handler(Arc::clone(&shared));
            Box::pin(crate::control::serve(shared.process.paths.socket.clone(), handler, stop))
        });
        let shared = Arc::clone(&self.shared);
        let settings = self.shared.configuration().web.clone();
        if !settings.listen.is_empty() {
            let shared = Arc::clone(&shared);
            self.engine_tasks.spawn("web", move |stop| {
                Box::pin(crate::web::server::serve(settings.clone(), alarm_server::view(&shared), stop))
            });
        }
        let settings = self.shared.configuration().health.clone();
        if !settings.listen.is_empty() {
            self.engine_tasks.spawn("health page", move |stop| {
                Box::pin(crate::web::serve(settings.clone(), metrics::view(&shared), stop))
            });
        }
    }

    fn start_bus(&mut self, config: &BusConfig) {
        let config = Arc::new(config.clone());
        let health = Arc::new(BusHealth::new(config.units.len()));
        health.flood_rank.store(self.shared.adapters.flood_rank.load(Ordering::Relaxed), Ordering::Relaxed);
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
        lock(&self.shared.adapters.buses).push(BusHandle { config, health, read_requests: asks, task });
    }

    /// Applies a new configuration; an unchanged link misses no cycle. Returns what was done, one sentence each.
    pub async fn reload(&mut self, configuration: Configuration, actor: &Actor) -> Vec<String> {
        let mut report = Vec::new();
        let old = self.shared.configuration();
        if old.journal != configuration.journal
            || old.clock != configuration.clock
            || old.health != configuration.health
            || old.web != configuration.web
        {
            report.push("journal, clock, health page and web server take effect at the next start".to_string());
        }
        let site_changed = old.site != configuration.site;
        *lock(&self.shared.configuration) = Arc::new(configuration.clone());
        configuration
            .devices
            .keys()
            .for_each(|id| self.shared.adapters.retained_topics.set_new(&format!("{id}/status"), UNKNOWN));
        let gone = |b: &BusHandle| !configuration.buses.contains(&b.config);
        let leaving = take_if(&self.shared.adapters.buses, gone);
        leaving.iter().for_each(|bus| bus.task.stop());
        for bus in leaving {
            bus.task.stop_and_wait().await;
            report.push(format!("link {} stopped", bus.config.link.id));
        }
        // Only after the old buses have ended: none of their readings can arrive later.
        let streams = streams(&configuration).collect();
        report.extend(driver::reconfigure(&self.shared, &configuration, &streams, actor));
        // Only now: until the rules had the new configuration a last reading could set the topic again.
        for id in old.devices.keys().filter(|id| !configuration.devices.contains_key(*id)) {
            self.shared.adapters.retained_topics.remove(&format!("{id}/status"));
            report.push(format!("device {id} is gone"));
        }
        // Points left out on unchanged links are tried again: the operator may have fixed their cause.
        lock(&self.shared.adapters.buses)
            .iter()
            .for_each(|b| b.health.should_reset_learned.store(true, Ordering::Relaxed));
        for bus in &configuration.buses {
            if !lock(&self.shared.adapters.buses).iter().any(|b| *b.config == *bus) {
                self.start_bus(bus);
                report.push(format!("link {} started", bus.link.id));
            }
        }
        self.shared.adapters.web_tokens.refresh().await;
        self.change_sinks(&configuration, site_changed, &mut report).await;
        self.change_channels(&configuration, &mut report).await;
        self.change_feeds(&old, &configuration, &mut report).await;
        let names: Vec<String> = configuration.sinks.iter().map(|s| s.cursor()).collect();
        self.shared.journal.retain_cursors(&names);
        self.pollers.drop_finished();
        self.channels.drop_finished();
        self.outputs.drop_finished();
        *lock(&self.shared.process.last_good) = None;
        self.shared.process.crash_loop_guard.resume();
        self_metrics::publish_status(&self.shared);
        if report.is_empty() {
            report.push("nothing changed".to_string());
        }
        report
    }

    /// Ordered drain: pollers, engine, channels (with the outcomes of their deliveries), decisions, sinks, store, journal. What a
    /// sink has not sent by then remains behind its cursor.
    pub async fn stop(mut self) {
        self.shared.process.ready.store(false, Ordering::Relaxed);
        self.pollers.drain(Duration::from_secs(3)).await;
        self.engine_tasks.drain(Duration::from_secs(3)).await;
        self.channels.drain(Duration::from_secs(4)).await;
        self.outbox_tasks.drain(Duration::from_secs(4)).await;
        self.outputs.drain(Duration::from_secs(4)).await;
        let _two_seconds_are_enough = tokio::time::timeout(Duration::from_secs(2), self.shared.store.close()).await;
        let writer = self.writer.take();
        let stopped = tokio::task::spawn_blocking(move || drop(writer)).await;
        debug_assert!(stopped.is_ok(), "the writer's thread does not panic");
    }

    /// Whether everything makes progress; reported to the systemd watchdog.
    pub fn is_alive(&self) -> bool {
        metrics::is_alive(&self.shared)
    }
}

fn process_state(
    clock: &Clock,
    failures: &Arc<Mutex<Vec<TaskFailure>>>,
    reloads: mpsc::Sender<Reload>,
    paths: &Paths,
) -> ProcessState {
    ProcessState {
        started: clock.mono(),
        task_failures: Arc::clone(failures),
        crash_loop_guard: CrashLoopGuard::new(&paths.state, clock),
        fatal: CancellationToken::new(),
        last_good: Mutex::default(),
        ready: AtomicBool::new(false),
        reloads,
        paths: paths.clone(),
    }
}

/// Opens the store and builds the engine from what it keeps.
fn open_rules(
    configuration: &Configuration,
    paths: &Paths,
    clock: &Clock,
    boot: &str,
) -> Result<(Store, Engine, Arc<PageTokens>), AppError> {
    let (store, damage) = Store::open(&paths.state.join("store.db"), boot)?;
    if let Some(damage) = damage {
        tracing::error!("{damage}");
    }
    if clock.is_trusted() {
        store.set_date(clock.wall(), clock.mono());
    }
    let tokens = engine_plan::page_tokens(&store);
    let plan = engine_plan::engine_plan(configuration, &tokens);
    let engine = Engine::new(plan, &engine_plan::persisted(&store), boot, clock.now());
    engine.unreadable().iter().for_each(|line| tracing::error!("{line}"));
    Ok((store, engine, tokens))
}

/// A device's status before its first reading.
const UNKNOWN: &str = "{\"state\":\"unknown\",\"since\":null,\"why\":null}";

/// Device and source of every polled stream, and of the gateway itself.
fn streams(configuration: &Configuration) -> impl Iterator<Item = (Arc<str>, Source)> {
    let units = configuration.buses.iter().flat_map(|b| &b.units);
    let device_mappings = units.flat_map(|u| &u.groups).flat_map(|g| &g.device_mappings);
    let polled = device_mappings.map(|o| (Arc::clone(&o.stream.device), o.stream.source.clone()));
    polled.chain([("gateway".into(), Source::Gateway)])
}

fn take_if<T>(list: &Mutex<Vec<T>>, gone: impl Fn(&T) -> bool) -> Vec<T> {
    let mut list = lock(list);
    let (out, keep) = std::mem::take(&mut *list).into_iter().partition(|x| gone(x));
    *list = keep;
    out
}

/// Tags of each device, of the gateway itself, of the flood level, and of each metering point.
fn device_tags(configuration: &Configuration) -> DeviceTagsById {
    let tags = |class: &str, area: &str| DeviceTags {
        class: class.to_string(),
        area: area.to_string(),
        ..DeviceTags::default()
    };
    let own = ["gateway", FLOOD_DEVICE].map(|id| (id.to_string(), tags(id, "")));
    let devices = configuration.devices.iter().map(|(id, d)| (id.clone(), tags(&d.class, &d.area)));
    let of_point = |point: &MeteringPoint| DeviceTags {
        area: point.area.clone().unwrap_or_default(),
        end_use: point.end_use.map(EndUse::word).unwrap_or_default().to_string(),
        parent: point.parent.clone().unwrap_or_default(),
        level: configuration.metering.level(&point.id).map(|level| level.to_string()).unwrap_or_default(),
        unit: point.unit.as_deref().unwrap_or_default().to_string(),
        ..DeviceTags::default()
    };
    let points =
        configuration.metering.points.iter().map(|(id, point)| (DeviceTags::metering_point(id), of_point(point)));
    devices.chain(own).chain(points).collect()
}

/// Settings with the contents of their files, read by a thread that may wait for the disk.
async fn with_files<S>(all: &[S], files: impl Fn(&S) -> Vec<NamedFile>) -> Vec<(&S, LoadedFiles)> {
    let mut out = Vec::with_capacity(all.len());
    for settings in all {
        out.push((settings, LoadedFiles::load(files(settings)).await));
    }
    out
}
