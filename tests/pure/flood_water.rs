//! Flood: what sumps, pumps and rain gauges say of the water, against a simulated sump.

use plantroom::flood::pumping::{Pumping, SumpGeometry, SumpSample};
use plantroom::flood::rain::{RAIN_HOURS, RainSums};
use plantroom::model::time::MonotonicMillis;
use plantroom::simulate::Scenario;
use plantroom::simulate::water::Water;

const MINUTE: u64 = 60_000;

/// A simulated sump read every two seconds.
struct Sump {
    water: Water,
    pumping: Pumping,
    scenario: Scenario,
    seconds: u32,
    /// Steps of the transmitter in a metre.
    steps: f64,
}

/// Of the simulated plant: 4 m², floor at 2.4 m, pumps of 36 m³/h, 5.76 m³/h of ground water.
const SUMP: SumpGeometry = SumpGeometry { area_m2: 4.0, floor_m: 2.4, rated_m3h: [None; 8] };

impl Sump {
    fn new(scenario: Scenario) -> Self {
        Self { water: Water::new(scenario), pumping: Pumping::default(), scenario, seconds: 0, steps: 1_000.0 }
    }

    fn run(&mut self, minutes: u32, powered: bool) {
        for _ in 0..minutes * 60 {
            self.seconds += 1;
            self.water.step(self.scenario, f64::from(self.seconds), 1.0, powered, 0.0);
            if self.seconds.is_multiple_of(2) {
                let running = self.water.pumps.iter().zip(0..).map(|(pump, i)| u8::from(pump.running) << i).sum();
                let level_m = (self.water.level_m() * self.steps).round() / self.steps;
                let at = MonotonicMillis(u64::from(self.seconds) * 1_000);
                self.pumping.sample(SumpSample { at, level_m, running }, SUMP);
            }
        }
    }
}

fn near(value: Option<f64>, right: f64, share: f64) -> bool {
    value.is_some_and(|value| (value - right).abs() <= right.abs() * share)
}

#[test]
fn the_capacity_of_each_pump_and_the_inflow_come_out_of_the_cycles() {
    let mut sump = Sump::new(Scenario::Calm);
    sump.run(12 * 60, true);
    for pump in 0..2 {
        let record = sump.pumping.pump(pump).unwrap();
        assert!(near(record.capacity_m3h(), 36.0, 0.05), "{record:?}");
        assert!(record.cycles >= 5, "{record:?}");
    }
    assert!(near(sump.pumping.inflow_m3h(SUMP), 5.76, 0.1), "{:?}", sump.pumping.inflow_m3h(SUMP));
    // Against one pump nothing rises; without any it takes as long as there is room.
    assert_eq!(sump.pumping.time_to_floor_min(1, SUMP), Some(f64::INFINITY));
    let room_m3 = (2.4 - sump.water.level_m()) * 4.0;
    assert!(near(sump.pumping.time_to_floor_min(0, SUMP), room_m3 / 5.76 * 60.0, 0.1));
    // What is kept goes on after a restart.
    let kept = serde_json::to_vec(&sump.pumping).unwrap();
    let read: Pumping = serde_json::from_slice(&kept).unwrap();
    assert_eq!(read.pump(1), sump.pumping.pump(1));
}

#[test]
fn a_transmitter_of_centimetres_is_enough() {
    let mut sump = Sump { steps: 100.0, ..Sump::new(Scenario::Calm) };
    sump.run(12 * 60, true);
    for pump in 0..2 {
        assert!(near(sump.pumping.pump(pump).unwrap().capacity_m3h(), 36.0, 0.05), "{:?}", sump.pumping.pump(pump));
    }
}

#[test]
fn in_a_rainstorm_the_inflow_is_that_of_the_rain_and_more_than_two_pumps_move_fills_the_sump() {
    // Cycles of a calm night first, so that capacities are known when the rain comes.
    let mut sump = Sump::new(Scenario::Calm);
    sump.run(12 * 60, true);
    sump.scenario = Scenario::Rainstorm;
    // The rain of the scenario is that of its first minutes: 42 mm/h from the third to the twentieth.
    sump.seconds = 0;
    let pumping = std::mem::take(&mut sump.pumping);
    sump.pumping = serde_json::from_slice(&serde_json::to_vec(&pumping).unwrap()).unwrap();
    sump.run(15, true);
    let rain_m3h = 0.042 * 1_500.0 * 0.9 + 5.76;
    assert!(near(sump.pumping.inflow_m3h(SUMP), rain_m3h, 0.08), "{:?} {rain_m3h}", sump.pumping.inflow_m3h(SUMP));
    // One pump alone: 26 m³/h too little.
    let room_m3 = (2.4 - sump.water.level_m()) * 4.0;
    assert!(near(sump.pumping.time_to_floor_min(1, SUMP), room_m3 / (rain_m3h - 36.0) * 60.0, 0.25));
    assert_eq!(sump.pumping.time_to_floor_min(3, SUMP), Some(f64::INFINITY));
}

#[test]
fn a_pump_that_moves_less_is_told_from_one_that_does_not() {
    // Cycles of ten minutes: 10 m³/h flow in, pump 1 moves 40 m³/h at first and 30 after its impeller is worn, pump 2 always 40.
    let mut pumping = Pumping::default();
    let (mut level, mut at) = (0.4, 0);
    let mut phase = |pumping: &mut Pumping, running: u8, moved: f64, until: f64| {
        let slope = (10.0 - moved) / 3_600.0 / SUMP.area_m2;
        while (slope > 0.0 && level < until) || (slope < 0.0 && level > until) {
            level += slope * 2.0;
            at += 2_000;
            pumping.sample(SumpSample { at: MonotonicMillis(at), level_m: level, running }, SUMP);
        }
    };
    for cycle in 0..40 {
        let (running, moved) = if cycle % 2 == 0 { (1, if cycle < 24 { 40.0 } else { 30.0 }) } else { (2, 40.0) };
        phase(&mut pumping, 0, 0.0, 1.0);
        phase(&mut pumping, running, moved, 0.4);
    }
    let drift = |pump: usize, rated| pumping.pump(pump).unwrap().drift_pct(rated);
    assert!(near(drift(0, None), 25.0, 0.05), "{:?}", drift(0, None));
    assert!(drift(1, None).unwrap().abs() < 1.0);
    // Beside a rating of 50.
    assert!(near(drift(1, Some(50.0)), 20.0, 0.05));
}

/// Whether the sums over 1, 3, 6, 12 and 24 hours at the end of `(minute, total of the gauge)` are these, to the tenth that falls between two
/// readings.
fn has_rain(totals: impl IntoIterator<Item = (u64, f64)>, right: [f64; 5]) -> bool {
    let mut rain = RainSums::default();
    let mut last = MonotonicMillis(0);
    for (minute, total) in totals {
        last = MonotonicMillis(minute * MINUTE);
        rain.total(last, total);
    }
    let sum = |hours: u8| rain.sum_mm(hours, last).unwrap();
    RAIN_HOURS.iter().zip(right).all(|(hours, right)| (sum(*hours) - right).abs() < 0.101)
}

#[test]
fn rain_is_summed_over_hours_through_resets_gaps_and_garbage() {
    // 6 mm an hour for two days.
    let steady = |minute: u64| (minute, 312.0 + minute as f64 * 0.1);
    assert!(has_rain((0..=2_880).map(steady), [6.0, 18.0, 36.0, 72.0, 144.0]));
    assert!(!has_rain((0..=2_880).map(steady), [6.0, 18.0, 36.0, 72.0, 144.3]));
    // The gauge begins anew after 20 hours: what fell in that minute is lost.
    let reset = |minute: u64| {
        (minute, if minute <= 1_200 { 312.0 + minute as f64 * 0.1 } else { (minute - 1_201) as f64 * 0.1 })
    };
    assert!(has_rain((0..=1_440).map(reset), [6.0, 18.0, 36.0, 71.9, 143.9]));
    // Nobody reads for two hours: the rain counts when it is seen.
    let gap = (0..=300).map(steady).chain((420..=430).map(steady));
    assert!(has_rain(gap, [13.0, 18.0, 36.0, 43.0, 43.0]));
    // A single 0 and the old total again are no 312 mm of rain; nor is a total without a number.
    let garbage = (0..=60).map(|minute| {
        (
            minute,
            match minute {
                30 => 0.0,
                40 => f64::NAN,
                _ => 312.0,
            },
        )
    });
    assert!(has_rain(garbage, [0.0; 5]));
    // Dry: known, and none.
    assert!(has_rain((0..10).map(|minute| (minute, 5.0)), [0.0; 5]));
    assert_eq!(RainSums::default().sum_mm(1, MonotonicMillis(0)), None);
}

#[test]
fn rain_sums_survive_a_reboot() {
    let mut rain = RainSums::default();
    (0..=600u64).for_each(|minute| rain.total(MonotonicMillis(minute * MINUTE), minute as f64 * 0.1));
    let mut rain: RainSums = serde_json::from_slice(&serde_json::to_vec(&rain).unwrap()).unwrap();
    // The box was away for half an hour and has been up for a minute.
    rain.rebase(-i64::try_from(629 * MINUTE).unwrap());
    let now = MonotonicMillis(MINUTE);
    rain.total(now, 63.0);
    assert!(near(rain.sum_mm(12, now), 63.0, 0.01), "{:?}", rain.sum_mm(12, now));
    assert!(near(rain.sum_mm(1, now), 6.0, 0.11), "{:?}", rain.sum_mm(1, now));
    assert!(rain.is_whole(6, now) && !rain.is_whole(12, now));
}
