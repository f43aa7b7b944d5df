//! What the level of a sump and the run signals of its pumps say: how much water comes in, how much each pump moves, and how long there is room.
//!
//! The level is looked at in segments, in which the same pumps run. Without a pump, area times slope is the inflow. While one pump runs, what
//! it moves is the inflow (the mean of the segments before and after) less area times slope. Segments that are too short or too flat for
//! the resolution of a level transmitter say nothing; a pump's first seconds do not count.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::time::MonotonicMillis;

/// A pump moves its full flow this long after its start; drives ramp up.
const SETTLE_MS: u64 = 6_000;
/// A segment shorter than this says nothing.
const SEGMENT_MIN_MS: u64 = 20_000;
/// A segment whose level changed less says nothing: transmitters resolve millimetres to a centimetre.
const CHANGE_MIN_M: f64 = 0.03;
/// Samples further apart than this are not of one segment.
const GAP_MS: u64 = 120_000;
/// The slope of now is that of so long.
const WINDOW_MS: u64 = 60_000;
/// Inflows before and after a run that differ by more than this share of their mean: the pump's flow is not taken from it.
const INFLOW_CHANGE_MAX: f64 = 0.5;
/// Cycles whose median is a pump's capacity.
const RECENT: usize = 5;
/// The first cycles, whose median is what later ones are compared with where no rating is known.
const REFERENCE: usize = 10;
/// Seconds in an hour.
const HOUR_S: f64 = 3_600.0;

/// Pumps of a sump at most.
pub const PUMPS_MAX: usize = 8;

/// What is known of a sump.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SumpGeometry {
    /// Plan area, m².
    pub area_m2: f64,
    /// Level at which water comes out, in metres of the level's scale.
    pub floor_m: f64,
    /// Rated flow of each pump, m³/h: what it counts for until it was measured.
    pub rated_m3h: [Option<f64>; PUMPS_MAX],
}

/// A level with the pumps that ran then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SumpSample {
    pub at: MonotonicMillis,
    pub level_m: f64,
    /// Bit n: pump n + 1 runs.
    pub running: u8,
}

/// What a pump moved in its cycles, m³/h, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PumpRecord {
    /// Of the first cycles, until there are [`REFERENCE`].
    first: Vec<f64>,
    recent: VecDeque<f64>,
    /// Cycles that were measured.
    pub cycles: u64,
}

/// A sump over time. Kept are the pumps; what is under way begins anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pumping {
    pumps: Vec<PumpRecord>,
    /// Inflow of the last segment without a pump, m³/h.
    inflow_m3h: Option<f64>,
    #[serde(skip)]
    segment: LevelSegment,
    /// A pump that ran between two segments without: its number, and slope of its segment in m/s.
    #[serde(skip)]
    run: Option<(usize, f64)>,
    #[serde(skip)]
    window: VecDeque<(MonotonicMillis, f64)>,
}

/// Samples of a time in which the same pumps ran; sums for a straight line through them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct LevelSegment {
    running: u8,
    began: MonotonicMillis,
    /// From here on samples count.
    first: Option<SumpPoint>,
    last: Option<SumpPoint>,
    sums: LineSums,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct SumpPoint {
    at: MonotonicMillis,
    level_m: f64,
}

/// Of seconds since the first sample, and metres above it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct LineSums {
    count: f64,
    t: f64,
    h: f64,
    tt: f64,
    th: f64,
}

impl LineSums {
    fn add(&mut self, t: f64, h: f64) {
        self.count += 1.0;
        self.t += t;
        self.h += h;
        self.tt += t * t;
        self.th += t * h;
    }

    /// Slope of the straight line with the least squares, m/s.
    fn slope(&self) -> Option<f64> {
        let spread = self.count * self.tt - self.t * self.t;
        (self.count >= 3.0 && spread > 0.0).then(|| (self.count * self.th - self.t * self.h) / spread)
    }
}

impl LevelSegment {
    fn add(&mut self, sample: SumpSample) {
        let point = SumpPoint { at: sample.at, level_m: sample.level_m };
        if self.running != 0 && sample.at.since(self.began) < SETTLE_MS {
            return;
        }
        let first = *self.first.get_or_insert(point);
        self.sums.add(ms(sample.at.since(first.at)) / 1_000.0, sample.level_m - first.level_m);
        self.last = Some(point);
    }

    /// Its slope in m/s, if it is long and steep enough.
    fn slope(&self) -> Option<f64> {
        let (first, last) = self.first.zip(self.last)?;
        let is_long = last.at.since(first.at) >= SEGMENT_MIN_MS;
        let is_steep = (last.level_m - first.level_m).abs() >= CHANGE_MIN_M;
        self.sums.slope().filter(|_| is_long && is_steep)
    }
}

fn ms(ms: u64) -> f64 {
    // Below 2^53 for any age of a machine.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let ms = ms as f64;
    ms
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

impl PumpRecord {
    fn add(&mut self, m3h: f64) {
        self.cycles += 1;
        if self.first.len() < REFERENCE {
            self.first.push(m3h);
        }
        self.recent.push_back(m3h);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Median of the last cycles, m³/h.
    pub fn capacity_m3h(&self) -> Option<f64> {
        median(self.recent.iter().copied())
    }

    /// How much less it moves than its rating, or than at first, in percent; negative: more. None before enough cycles are known.
    pub fn drift_pct(&self, rated_m3h: Option<f64>) -> Option<f64> {
        let at_first = || (self.first.len() >= REFERENCE).then(|| median(self.first.iter().copied())).flatten();
        let reference = rated_m3h.or_else(at_first).filter(|reference| *reference > 0.0)?;
        let now = self.capacity_m3h().filter(|_| self.recent.len() >= RECENT)?;
        Some((reference - now) / reference * 100.0)
    }
}

impl Pumping {
    /// Takes in a good level with run signals that are known. Samples must come in order.
    pub fn sample(&mut self, sample: SumpSample, sump: SumpGeometry) {
        let is_gap = self.segment.last.is_some_and(|last| sample.at.since(last.at) > GAP_MS);
        if is_gap || sample.running != self.segment.running || self.segment == LevelSegment::default() {
            if is_gap {
                (self.run, self.inflow_m3h) = (None, None);
            } else {
                self.end_segment(sump);
            }
            self.segment = LevelSegment { running: sample.running, began: sample.at, ..LevelSegment::default() };
            self.window.clear();
        }
        self.segment.add(sample);
        self.window.push_back((sample.at, sample.level_m));
        while self.window.front().is_some_and(|(at, _)| sample.at.since(*at) > WINDOW_MS) {
            self.window.pop_front();
        }
    }

    fn end_segment(&mut self, sump: SumpGeometry) {
        let slope = self.segment.slope();
        match (self.segment.running, slope) {
            (0, Some(slope)) => {
                let inflow = slope * sump.area_m2 * HOUR_S;
                if let (Some((pump, fall)), Some(before)) = (self.run.take(), self.inflow_m3h) {
                    self.measured(pump, fall * sump.area_m2 * HOUR_S, before, inflow);
                }
                self.inflow_m3h = Some(inflow);
            }
            (running, Some(slope)) if running.is_power_of_two() && self.run.is_none() => {
                self.run = Some((usize::try_from(running.trailing_zeros()).unwrap_or_default(), slope));
            }
            // Too short or too flat; or two pumps, or one after the other: what each of them moved is not known.
            _ => (self.run, self.inflow_m3h) = (None, None),
        }
    }

    /// A pump ran between two inflows. `fall`: area times slope, m³/h, negative where the level fell.
    fn measured(&mut self, pump: usize, fall: f64, before: f64, after: f64) {
        let mean = f64::midpoint(before, after);
        if (before - after).abs() > INFLOW_CHANGE_MAX * mean.abs().max(1.0) {
            return;
        }
        if self.pumps.len() <= pump {
            self.pumps.resize(pump + 1, PumpRecord::default());
        }
        // A pump that runs and moves nothing has the capacity 0.
        self.pumps[pump].add((mean - fall).max(0.0));
    }

    /// What is known of a pump, counted from 0.
    pub fn pump(&self, pump: usize) -> Option<&PumpRecord> {
        self.pumps.get(pump)
    }

    /// Inflow of the last minute, m³/h; none while a pump runs of which neither capacity nor rating is known, or after too short a time.
    pub fn inflow_m3h(&self, sump: SumpGeometry) -> Option<f64> {
        let moved = self.moved_m3h(self.segment.running, sump)?;
        Some((self.slope_m_s()? * sump.area_m2 * HOUR_S + moved).max(0.0))
    }

    /// What pumps move together, m³/h.
    fn moved_m3h(&self, running: u8, sump: SumpGeometry) -> Option<f64> {
        let pumps = (0..PUMPS_MAX).filter(|pump| running & (1 << pump) != 0);
        let measured = |pump: usize| self.pumps.get(pump).and_then(PumpRecord::capacity_m3h);
        pumps.map(|pump| measured(pump).or(sump.rated_m3h[pump])).sum()
    }

    /// How fast the level rises, centimetres a minute; negative: it falls.
    pub fn rise_cm_min(&self) -> Option<f64> {
        Some(self.slope_m_s()? * 6_000.0)
    }

    fn slope_m_s(&self) -> Option<f64> {
        let (first, base) = *self.window.front()?;
        let (last, _) = *self.window.back()?;
        let mut sums = LineSums::default();
        for (at, level) in &self.window {
            sums.add(ms(at.since(first)) / 1_000.0, level - base);
        }
        sums.slope().filter(|_| last.since(first) >= SEGMENT_MIN_MS)
    }

    /// Minutes until the water reaches the floor if these pumps run from now on; infinite: it does not. `None`: the inflow is not known.
    pub fn time_to_floor_min(&self, pumps: u8, sump: SumpGeometry) -> Option<f64> {
        let room_m3 = (sump.floor_m - self.window.back()?.1).max(0.0) * sump.area_m2;
        // While just these run, the level itself says how it goes on, whatever each of them moves.
        let net_m3h = if pumps == self.segment.running {
            self.slope_m_s()? * sump.area_m2 * HOUR_S
        } else {
            self.inflow_m3h(sump)? - self.moved_m3h(pumps, sump)?
        };
        Some(if net_m3h > 0.0 { room_m3 / net_m3h * 60.0 } else { f64::INFINITY })
    }
}
