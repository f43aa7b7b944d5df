//! The water of the site: what levels and run signals of sumps and the totals of rain gauges say, as points of those devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::flood::plan::{FloodPlan, SumpPlan};
use crate::flood::pumping::{PumpRecord, Pumping, SumpSample};
use crate::flood::rain::{RAIN_HOURS, RainSums};
use crate::flood::situation::SumpSituation;
use crate::model::latest::Latest;
use crate::model::point::{Encoding, LocalizedText, PointKind, PointMeta, Retention};
use crate::model::quality::Cause;
use crate::model::reading::{Body, Reading, Sample, Stamp};
use crate::model::room::Board;
use crate::model::stream::{Source, Stream};
use crate::model::time::{MonotonicMillis, Now};
use crate::model::value::Value;

/// How often figures are given.
const EVERY_MS: u64 = 30_000;
/// A time to the floor beyond a day says no more than a day.
const DAY_MIN: f64 = 1_440.0;

/// Rising total of a rain gauge, which is read.
pub const RAIN_TOTAL: &str = "rain_mm";
/// Level of a sump, which is read.
pub const LEVEL: &str = "level_m";

/// What is kept of the water: capacities of pumps, rain of the last day.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeptWater {
    sumps: BTreeMap<Arc<str>, Pumping>,
    gauges: BTreeMap<Arc<str>, RainSums>,
    /// When and in which boot it was kept.
    pub saved: Now,
    pub boot: String,
}

impl KeptWater {
    /// Moments of another boot on the scale of this one.
    pub fn rebase(&mut self, offset: i64) {
        self.gauges.values_mut().for_each(|rain| rain.rebase(offset));
    }
}

/// A pump's signals: slots of [`Latest`]; none: it has no such signal.
#[derive(Debug)]
struct PumpSignals {
    running: usize,
    selector_auto: Option<usize>,
    faults: Vec<usize>,
}

#[derive(Debug)]
struct Sump {
    plan: SumpPlan,
    level: usize,
    pumps: Vec<PumpSignals>,
    pumping: Pumping,
    stream: Arc<Stream>,
}

#[derive(Debug)]
struct RainGauge {
    device: Arc<str>,
    total: usize,
    rain: RainSums,
    stream: Arc<Stream>,
}

/// Sumps and gauges with their newest samples.
#[derive(Debug)]
pub struct Water {
    latest: Latest,
    sumps: Vec<Sump>,
    gauges: Vec<RainGauge>,
    next: MonotonicMillis,
    last: Now,
}

/// A figure in a unit, with this many decimals.
fn figure(name: &str, unit: &str, decimals: u8) -> PointMeta {
    PointMeta {
        unit: Some(unit.into()),
        ..PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::Exact(decimals))
    }
}

/// Points that can be computed of a sump with so many pumps, in order.
pub fn sump_points(pumps: usize) -> Vec<PointMeta> {
    let mut points = vec![
        figure("inflow_m3h", "m³/h", 1),
        figure("storage_min", "min", 1),
        figure("time_to_overflow_min", "min", 1),
    ];
    for pump in 1..=pumps {
        points.push(figure(&format!("pump{pump}_capacity_m3h"), "m³/h", 1));
        points.push(figure(&format!("pump{pump}_capacity_loss_pct"), "%", 0));
    }
    points
}

/// Points that are computed of a rain gauge, in order.
pub fn gauge_points() -> Vec<PointMeta> {
    RAIN_HOURS.iter().map(|hours| figure(&format!("rain_{hours}h_mm"), "mm", 1)).collect()
}

fn exact(value: f64, decimals: u32) -> Sample {
    let decimal = rust_decimal::Decimal::from_f64_retain(value).ok_or(Cause::Overflow)?;
    Ok(Value::Exact(decimal.round_dp(decimals)))
}

impl Water {
    /// Going on from what was kept.
    pub fn new(plan: &FloodPlan, mut kept: KeptWater) -> Self {
        let mut latest = Latest::default();
        let mut sump = |plan: &SumpPlan| {
            let mut slot = |point: &str| latest.slot(&plan.device, point);
            let level = slot(LEVEL);
            let pumps = (1..=plan.pumps).map(|pump| PumpSignals {
                running: slot(&format!("pump{pump}_running")),
                selector_auto: plan.has_selector.then(|| slot(&format!("pump{pump}_selector_auto"))),
                faults: ["fault", "overload", "overtemperature"]
                    .iter()
                    .map(|signal| slot(&format!("pump{pump}_{signal}")))
                    .collect(),
            });
            let pumps = pumps.collect();
            let mut points = sump_points(plan.pumps);
            points.retain(|point| plan.gives.contains(&point.name));
            let stream = Stream::new(Arc::clone(&plan.device), Source::Water, EVERY_MS, points);
            let pumping = kept.sumps.remove(&plan.device).unwrap_or_default();
            Sump { plan: plan.clone(), level, pumps, pumping, stream }
        };
        let sumps = plan.sumps.iter().map(&mut sump).collect();
        let mut gauge = |device: &Arc<str>| {
            let stream = Stream::new(Arc::clone(device), Source::Water, EVERY_MS, gauge_points());
            let rain = kept.gauges.remove(device).unwrap_or_default();
            RainGauge { device: Arc::clone(device), total: latest.slot(device, RAIN_TOTAL), rain, stream }
        };
        let gauges = plan.gauges.iter().map(&mut gauge).collect();
        Self { latest, sumps, gauges, next: MonotonicMillis::default(), last: Now::default() }
    }

    /// Another plan: what is known of a sump or a gauge goes on.
    pub fn reconfigure(&mut self, plan: &FloodPlan) {
        let same = self.sumps.iter().map(|sump| &sump.plan).eq(&plan.sumps)
            && self.gauges.iter().map(|gauge| &gauge.device).eq(&plan.gauges);
        if same {
            return;
        }
        let was = std::mem::replace(self, Self::new(&FloodPlan::default(), KeptWater::default()));
        let kept = KeptWater {
            sumps: was.sumps.into_iter().map(|sump| (sump.plan.device, sump.pumping)).collect(),
            gauges: was.gauges.into_iter().map(|gauge| (gauge.device, gauge.rain)).collect(),
            ..KeptWater::default()
        };
        *self = Self::new(plan, kept);
        self.latest.inherit(&was.latest);
    }

    /// Takes in a reading of any device.
    pub fn reading(&mut self, reading: &Reading) {
        let at = reading.at.mono;
        let mut seen: Vec<usize> = Vec::new();
        self.latest.take(reading, at, |slot, _| seen.push(slot));
        if seen.is_empty() {
            return;
        }
        for sump in self.sumps.iter_mut().filter(|sump| seen.contains(&sump.level)) {
            let number = |slot: usize| self.latest.get(slot)?.value_at(at).ok()?.as_f64();
            let signals = sump.pumps.iter().enumerate();
            let running = signals
                .map(|(i, pump)| number(pump.running).map(|runs| u8::from(runs != 0.0) << i))
                .sum::<Option<u8>>();
            if let Some((level_m, running)) = number(sump.level).zip(running) {
                sump.pumping.sample(SumpSample { at, level_m, running }, sump.plan.geometry);
            }
        }
        for gauge in self.gauges.iter_mut().filter(|gauge| seen.contains(&gauge.total)) {
            if let Some(total) = self.latest.get(gauge.total).and_then(|total| total.value_at(at).ok()?.as_f64()) {
                gauge.rain.total(at, total);
            }
        }
    }

    /// Puts the figures of every sump and gauge on the board, each half minute.
    pub fn publish(&mut self, now: Now, board: &mut Board) {
        if now.mono < self.next || self.next_wake().is_none() {
            return;
        }
        (self.next, self.last) = (now.mono.plus(EVERY_MS), now);
        let at = Stamp { mono: now.mono, wall: now.wall, trusted: now.wall_trusted };
        let reading = |stream: &Arc<Stream>, samples: Vec<Option<Sample>>| Reading {
            stream: Arc::clone(stream),
            at,
            body: Body::Samples { samples, parts: Vec::new() },
        };
        for sump in self.sumps.iter().filter(|sump| !sump.stream.points.is_empty()) {
            let samples = self.samples(sump, now.mono);
            board.readings.push(reading(&sump.stream, samples));
        }
        for gauge in &self.gauges {
            let sum = |hours: &u8| {
                let known = self.latest.get(gauge.total).ok_or(Cause::StartingUp)?;
                known.value_at(now.mono).map_err(|_| Cause::InputBad)?;
                exact(gauge.rain.sum_mm(*hours, now.mono).ok_or(Cause::StartingUp)?, 1)
            };
            let samples = RAIN_HOURS.iter().map(|hours| Some(sum(hours))).collect();
            board.readings.push(reading(&gauge.stream, samples));
        }
    }

    fn samples(&self, sump: &Sump, now: MonotonicMillis) -> Vec<Option<Sample>> {
        let level = self.latest.get(sump.level).map_or(Err(Cause::StartingUp), |level| match level.value_at(now) {
            Ok(_) => Ok(()),
            Err(_) => Err(Cause::InputBad),
        });
        let geometry = sump.plan.geometry;
        let known = |value: Option<f64>| level.and(value.ok_or(Cause::StartingUp));
        let minutes = |pumps: u8| known(sump.pumping.time_to_floor_min(pumps, geometry)).map(|min| min.min(DAY_MIN));
        let available = self.available(sump, now);
        let sample = |point: &PointMeta| {
            let name = &*point.name;
            let pump = || name.strip_prefix("pump").and_then(|rest| rest.split_once('_')?.0.parse::<usize>().ok());
            let record = || sump.pumping.pump(pump()?.checked_sub(1)?);
            let rated = || geometry.rated_m3h.get(pump()?.checked_sub(1)?).copied().flatten();
            let value = match name {
                "inflow_m3h" => known(sump.pumping.inflow_m3h(geometry)),
                "storage_min" => minutes(0),
                "time_to_overflow_min" => minutes(available),
                _ if name.ends_with("_capacity_m3h") => {
                    record().and_then(PumpRecord::capacity_m3h).ok_or(Cause::StartingUp)
                }
                _ => record().and_then(|record| record.drift_pct(rated())).ok_or(Cause::StartingUp),
            };
            let decimals = if let Encoding::Exact(decimals) = point.encoding { decimals } else { 0 };
            Some(value.and_then(|value| exact(value, decimals.into())))
        };
        sump.stream.points.iter().map(sample).collect()
    }

    /// What is known of each sump; `name`: of a device by its id.
    pub fn situation(&self, now: MonotonicMillis, name: impl Fn(&str) -> LocalizedText) -> Vec<SumpSituation> {
        let number = |slot: usize| self.latest.get(slot)?.value_at(now).ok()?.as_f64();
        let of = |sump: &Sump| {
            let running = sump.pumps.iter().map(|pump| number(pump.running).map(|runs| usize::from(runs != 0.0)));
            let (level_m, geometry) = (number(sump.level), sump.plan.geometry);
            SumpSituation {
                name: name(&sump.plan.device),
                level_m,
                rise_cm_min: level_m.and(sump.pumping.rise_cm_min()),
                pumps: sump.pumps.len(),
                running: running.sum(),
                to_floor_min: level_m.and(sump.pumping.time_to_floor_min(self.available(sump, now), geometry)),
            }
        };
        self.sumps.iter().map(of).collect()
    }

    /// Pumps that run, or would by all that is known: in automatic, without a fault. Bit n: pump n + 1.
    fn available(&self, sump: &Sump, now: MonotonicMillis) -> u8 {
        let is_true = |slot: usize| Some(self.latest.get(slot)?.value_at(now).ok()?.as_f64()? != 0.0);
        let would_run = |pump: &PumpSignals| {
            let is_auto = pump.selector_auto.is_none_or(|slot| is_true(slot).unwrap_or(false));
            let has_fault = pump.faults.iter().any(|slot| is_true(*slot).unwrap_or(false));
            is_true(pump.running).is_some_and(|runs| runs || (is_auto && !has_fault))
        };
        sump.pumps.iter().enumerate().filter(|(_, pump)| would_run(pump)).map(|(i, _)| 1u8 << i).sum()
    }

    /// When figures are due; none: there is neither sump nor gauge.
    pub fn next_wake(&self) -> Option<MonotonicMillis> {
        (!self.sumps.is_empty() || !self.gauges.is_empty()).then_some(self.next)
    }

    /// What is kept; none: there is nothing.
    pub fn kept(&self, boot: &str) -> Option<KeptWater> {
        self.next_wake()?;
        let sumps = self.sumps.iter().map(|sump| (Arc::clone(&sump.plan.device), sump.pumping.clone()));
        let gauges = self.gauges.iter().map(|gauge| (Arc::clone(&gauge.device), gauge.rain.clone()));
        Some(KeptWater { sumps: sumps.collect(), gauges: gauges.collect(), saved: self.last, boot: boot.to_string() })
    }
}
