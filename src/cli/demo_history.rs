//! A year of history behind the demo: register readings of its meters, through their profiles, the decoder and the engine into the journal and
//! the event log, as the gateway writes them. The bookkeeper makes the ledger of them when the demo begins.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::app::engine_plan;
use crate::app::outbox::OutboxEntry;
use crate::cli::output::Progress;
use crate::cli::{CommandFailure, output, simulate};
use crate::clock::{Clock, ClockSettings, ClockSource};
use crate::config::doc::Texts;
use crate::config::{self, Configuration};
use crate::decode::decode;
use crate::engine::{Engine, EnginePlan};
use crate::journal::{Journal, JournalSettings, Writer};
use crate::model::effects::Effects;
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::registers::RegisterBlock;
use crate::model::room::Input;
use crate::model::stream::Stream;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};
use crate::profile::PointDef;
use crate::simulate::image::Image;
use crate::simulate::power::SUB_METERS;
use crate::simulate::site;
use crate::simulate::year::{STEP_MS, Year, YearDates};
use crate::store::event::Batch;
use crate::store::log::Store;

/// The registers that the year has, and what is read of them: the second is a part of the first.
const POINTS: [(&str, f64); 2] = [("energy_import_kwh", 1.0), ("energy_reactive_import_kvarh", 0.4)];

/// The same year each time.
const SEED: u64 = 42;

/// A meter whose registers are written and read back.
struct SimulatedMeter {
    /// Number of its register in the year.
    number: usize,
    image: Image,
    stream: Arc<Stream>,
    /// For each point of the stream, its definition if the year has it.
    points: Vec<Option<PointDef>>,
}

/// The boot that the year's gateway ran in.
const BOOT: &str = "year";
/// What the engine decided is committed together from so many rows on.
const ROWS: usize = 500;

/// Writes the year before now into the journal and the event log of a state directory, before the gateway opens it; returns what happened in it.
pub async fn write(state: &Path) -> Result<YearDates, CommandFailure> {
    let now = Clock::new(&ClockSettings { source: ClockSource::Rtc }, UnixMillis(0)).wall();
    let year = Year::before(now, zone(), SEED);
    // Its meters and their streams are the same at whatever addresses.
    let (ports, line) = (site::fixed_ports(), simulate::LINE.to_string());
    let at = site::DemoAddresses { ports, line, broker: "mqtt://127.0.0.1".to_string(), health: String::new() };
    let loaded = config::load_texts(&Texts { files: site::files(&at) }, None);
    let configuration = loaded.configuration.ok_or_else(|| failed(&"its configuration does not check"))?;
    output::line("behind it: a simulated year of its meters (--fresh begins without)");
    let steps: Vec<_> = year.steps().collect();
    let mut gateway = YearGateway::open(state, &configuration, year.dates().from)?;
    let mut meters = meters(&configuration);
    let mut progress = Progress::new("a year of history", steps.len());
    let mut is_running = true;
    for step in steps {
        progress.step();
        if step.is_read && !is_running {
            gateway.restart(step.at).await?;
        }
        is_running = step.is_read;
        if is_running {
            let kwh = |meter: &SimulatedMeter| step.kwh[meter.number];
            let readings = meters.iter_mut().map(|meter| meter.reading(kwh(meter), gateway.stamp(step.at))).collect();
            gateway.step(step.at, readings).await?;
        }
    }
    drop(progress);
    gateway.stop().await?;
    Ok(year.dates())
}

fn failed(e: &dyn std::fmt::Display) -> CommandFailure {
    CommandFailure::later("the demo's year cannot be written").because(e.to_string())
}

/// The gateway of the year: its engine, journal and event log on a simulated clock. Nobody is paged of what was a year ago.
struct YearGateway {
    engine: Engine,
    plan: EnginePlan,
    store: Store,
    decided: Batch,
    journal: Journal,
    writer: Writer,
    now_us: Arc<AtomicU64>,
}

impl YearGateway {
    fn open(state: &Path, configuration: &Configuration, from: UnixMillis) -> Result<Self, CommandFailure> {
        // The journal's hours follow the readings.
        let now_us = Arc::new(AtomicU64::new(0));
        let source = Arc::clone(&now_us);
        let clock = Clock::simulated(move || source.load(Ordering::Relaxed));
        let settings = JournalSettings { commit_ms: 50, ..configuration.journal.clone() };
        let (journal, writer) =
            Journal::open(&state.join("journal"), &settings, &clock, BOOT).map_err(|e| failed(&e))?;
        let (store, _new_file) = Store::open(&state.join("store.db"), BOOT).map_err(|e| failed(&e))?;
        let plan = engine_plan::engine_plan(configuration, &engine_plan::page_tokens(&store));
        let engine = Engine::new(plan.clone(), &engine_plan::persisted(&store), BOOT, now(from));
        Ok(Self { engine, plan, store, decided: Batch::default(), journal, writer, now_us })
    }

    /// A simulated clock's date is that of its monotonic time.
    fn stamp(&self, at: UnixMillis) -> Stamp {
        let now = now(at);
        self.now_us.store(now.mono.0 * 1_000, Ordering::Relaxed);
        Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted }
    }

    /// What was read at a quarter hour.
    async fn step(&mut self, at: UnixMillis, readings: Vec<Reading>) -> Result<(), CommandFailure> {
        for reading in readings {
            let effects = self.engine.step(now(at), Input::Reading(&reading));
            self.journal.append(reading);
            self.take(effects, at);
        }
        let effects = self.engine.step(now(at), Input::Tick);
        self.take(effects, at);
        if self.decided.rows.len() >= ROWS {
            self.commit().await?;
        }
        while self.journal.newest_seq() - self.journal.committed_seq() > 15_000 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    fn take(&mut self, effects: Effects, at: UnixMillis) {
        let entry = OutboxEntry::new(effects.decided, now(at));
        self.decided.rows.extend(entry.batch.rows);
        self.decided.keep.extend(entry.batch.keep);
        effects
            .readings
            .into_iter()
            .chain(entry.decided.readings)
            .for_each(|reading| drop(self.journal.append(reading)));
    }

    async fn commit(&mut self) -> Result<(), CommandFailure> {
        let answer = self.store.commit(std::mem::take(&mut self.decided)).await;
        answer.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
    }

    /// After an outage it goes on with what it kept.
    async fn restart(&mut self, at: UnixMillis) -> Result<(), CommandFailure> {
        self.commit().await?;
        self.engine = Engine::new(self.plan.clone(), &engine_plan::persisted(&self.store), BOOT, now(at));
        Ok(())
    }

    async fn stop(mut self) -> Result<(), CommandFailure> {
        self.decided.keep.extend(self.engine.snapshots().encode());
        self.commit().await?;
        self.writer.stop();
        self.store.close().await.map_err(|e| failed(&e))
    }
}

fn now(at: UnixMillis) -> Now {
    Now { mono: MonotonicMillis(at.0.unsigned_abs()), wall: at, wall_trusted: true }
}

/// The meters of the demo's site with their streams of registers.
fn meters(configuration: &Configuration) -> Vec<SimulatedMeter> {
    let number = |unit: &str| {
        let sub = SUB_METERS.iter().position(|sub| *sub == unit).map(|i| i + 1);
        sub.or((unit == "em0").then_some(0))
    };
    let mut out = Vec::new();
    for unit in configuration.buses.iter().flat_map(|bus| &bus.units) {
        let Some(number) = number(&unit.id) else { continue };
        let Some(variant) = unit.profile.variants.first() else { continue };
        let defs: BTreeMap<&str, &PointDef> = variant.points.iter().map(|def| (&*def.name, def)).collect();
        for mapping in unit.groups.iter().flat_map(|group| &group.device_mappings) {
            let wanted = |name: &Arc<str>| POINTS.iter().any(|(point, _)| *point == &**name);
            let of = |name: &Arc<str>| defs.get(&**name).filter(|_| wanted(name)).map(|def| (*def).clone());
            let points: Vec<Option<PointDef>> = mapping.points.iter().map(of).collect();
            if points.iter().any(Option::is_some) {
                let polled = &mapping.stream;
                let every_ms = STEP_MS.unsigned_abs();
                let stream =
                    Stream::new(Arc::clone(&polled.device), polled.source.clone(), every_ms, polled.points.clone());
                let image = Image::new(variant);
                out.push(SimulatedMeter { number, image, stream, points });
            }
        }
    }
    out
}

impl SimulatedMeter {
    fn reading(&mut self, kwh: f64, at: Stamp) -> Reading {
        for (point, part) in POINTS {
            self.image.set(point, kwh * part);
        }
        let sample = |def: &PointDef| {
            let words = self.image.get(def.span)?;
            let mut reads = vec![RegisterBlock { range: def.span, words }];
            for scale in &def.scale_registers {
                reads.push(RegisterBlock { range: scale.span, words: self.image.get(scale.span)? });
            }
            decode(def, &reads)
        };
        let samples = self.points.iter().map(|def| sample(def.as_ref()?)).collect();
        Reading { stream: Arc::clone(&self.stream), at, body: Body::Samples { samples, parts: Vec::new() } }
    }
}

/// The meters as what happened in the year left them, in the files of the demo's site.
pub fn change_meters(files: &mut [(String, String)], dates: &YearDates) {
    let meters = site::meters_after(dates, &zone());
    files.iter_mut().filter(|(name, _)| name == "meters.toml").for_each(|(_, text)| text.clone_from(&meters));
}

fn zone() -> TimeZone {
    TimeZone::get(site::ZONE).unwrap_or(TimeZone::UTC)
}
