//! A year of history behind the demo: register readings of its meters, through their profiles and the decoder into the journal, as the gateway
//! writes it. The bookkeeper makes the ledger of them when the demo begins.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::cli::output::Progress;
use crate::cli::{CommandFailure, output, simulate};
use crate::clock::{Clock, ClockSettings, ClockSource};
use crate::config::doc::Texts;
use crate::config::{self, Configuration};
use crate::decode::decode;
use crate::journal::{Journal, JournalSettings};
use crate::model::reading::{Body, Reading, Stamp};
use crate::model::registers::RegisterBlock;
use crate::model::stream::Stream;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::profile::PointDef;
use crate::simulate::image::Image;
use crate::simulate::power::SUB_METERS;
use crate::simulate::site;
use crate::simulate::year::{Year, YearDates};

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

/// Writes the year before now into the journal of a state directory, before the gateway opens it; returns what happened in it.
pub fn write(state: &Path) -> Result<YearDates, CommandFailure> {
    let failed =
        |e: &dyn std::fmt::Display| CommandFailure::later("the demo's year cannot be written").because(e.to_string());
    let now = Clock::new(&ClockSettings { source: ClockSource::Rtc }, UnixMillis(0)).wall();
    let year = Year::before(now, zone(), SEED);
    // Its meters and their streams are the same at whatever addresses.
    let (ports, line) = (site::fixed_ports(), simulate::LINE.to_string());
    let at = site::DemoAddresses { ports, line, broker: "mqtt://127.0.0.1".to_string(), health: String::new() };
    let loaded = config::load_texts(&Texts { files: site::files(&at) }, None);
    let configuration = loaded.configuration.ok_or_else(|| failed(&"its configuration does not check"))?;
    output::line("behind it: a simulated year of its meters (--fresh begins without)");
    // The journal's hours follow the readings.
    let now_us = Arc::new(AtomicU64::new(0));
    let source = Arc::clone(&now_us);
    let clock = Clock::simulated(move || source.load(Ordering::Relaxed));
    let settings = JournalSettings { commit_ms: 50, ..configuration.journal.clone() };
    let (journal, writer) = Journal::open(&state.join("journal"), &settings, &clock, "year").map_err(|e| failed(&e))?;
    let mut meters = meters(&configuration);
    let steps: Vec<_> = year.steps().collect();
    let mut progress = Progress::new("a year of history", steps.len());
    for step in steps {
        // A simulated clock's date is that of its monotonic time.
        let mono_ms = step.at.0.unsigned_abs();
        now_us.store(mono_ms * 1_000, Ordering::Relaxed);
        progress.step();
        if !step.is_read {
            continue;
        }
        let at = Stamp { mono: MonotonicMillis(mono_ms), wall: step.at, trusted: true };
        for meter in &mut meters {
            journal.append(meter.reading(step.kwh[meter.number], at));
        }
        while journal.newest_seq() - journal.committed_seq() > 15_000 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    drop(progress);
    writer.stop();
    Ok(year.dates())
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
                let (image, stream) = (Image::new(variant), Arc::clone(&mapping.stream));
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
