//! The plant: water, lifts and power, stepped together. Time and randomness are inputs.

use crate::simulate::Scenario;
use crate::simulate::lifts::{Lift, is_entrapment_active};
use crate::simulate::power::Power;
use crate::simulate::signals::{Random, Signals};
use crate::simulate::water::Water;

/// Longest step, seconds; longer intervals are split.
const STEP_MAX_S: f64 = 0.5;

#[derive(Debug)]
pub struct Plant {
    scenario: Scenario,
    /// Seconds since the start.
    pub t: f64,
    random: Random,
    water: Water,
    lifts: [Lift; 2],
    power: Power,
}

impl Plant {
    /// A plant at the start of a scenario.
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let lifts = [Lift::new(6.0), Lift::new(17.0)];
        Self {
            scenario,
            t: 0.0,
            random: Random::new(seed),
            water: Water::new(scenario),
            lifts,
            power: Power::default(),
        }
    }

    /// Advances by `seconds`, in steps of at most `STEP_MAX_S`.
    pub fn advance(&mut self, seconds: f64) {
        let mut left = seconds;
        while left > 0.0 {
            let dt = left.min(STEP_MAX_S);
            self.step(dt);
            left -= dt;
        }
    }

    fn step(&mut self, dt: f64) {
        self.t += dt;
        let (scenario, t) = (self.scenario, self.t);
        let noise = self.random.noise();
        let powered = self.power.powered();
        self.water.step(scenario, t, dt, powered, noise);
        for (i, lift) in self.lifts.iter_mut().enumerate() {
            lift.step(dt, powered, i == 0 && is_entrapment_active(scenario, t), &mut self.random);
        }
        let lifts = self.lifts.iter().map(Lift::power_kw).sum();
        let pumps = self.water.pumps.iter().map(crate::simulate::water::Pump::power_kw).sum::<f64>()
            + self.water.supply_kw(powered);
        self.power.step(scenario, t, dt, lifts, pumps, noise);
    }

    /// The present values of all instruments.
    pub fn signals(&mut self) -> Signals {
        let mut out = Signals::default();
        let powered = self.power.powered();
        let noise = self.random.noise();
        self.water.write_signals(powered, noise, &mut out);
        self.lifts.iter().zip([1, 9]).for_each(|(lift, first)| lift.write_signals(first, powered, &mut out));
        self.power.write_signals(noise, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(scenario: Scenario, seconds: f64) -> Signals {
        let mut plant = Plant::new(scenario, 7);
        plant.advance(seconds);
        plant.signals()
    }

    #[test]
    fn the_sub_meters_add_up_to_the_incomer() {
        for (scenario, _, _) in Scenario::ALL {
            let s = after(scenario, 700.0);
            for point in ["power_kw", "energy_import_kwh"] {
                let sum: f64 = crate::simulate::power::SUB_METERS.iter().filter_map(|m| s.get(m, point)).sum();
                let main = s.get("em0", point).unwrap();
                assert!((sum - main).abs() < 1e-6, "{scenario:?} {point}: {sum} against {main}");
            }
        }
    }

    #[test]
    fn calm_is_calm_and_the_pumps_alternate() {
        let mut plant = Plant::new(Scenario::Calm, 7);
        let mut starts = [false; 2];
        for _ in 0..7_200 {
            plant.advance(1.0);
            assert!(plant.water.level_m() < 1.1, "one pump is enough at {} s", plant.t);
            starts[0] |= plant.water.pumps[0].running;
            starts[1] |= plant.water.pumps[1].running;
        }
        assert_eq!(starts, [true, true]);
    }

    #[test]
    fn each_scenario_does_what_its_name_says() {
        assert_eq!(after(Scenario::Rainstorm, 600.0).get("di7", "in2"), Some(1.0), "both pumps run");
        assert_eq!(after(Scenario::PumpBlocked, 600.0).get("vfd1", "running"), Some(1.0), "it runs");
        assert!(after(Scenario::Entrapment, 200.0).get("di8", "in5") == Some(1.0), "lift 1 reports a fault");
        let black = after(Scenario::Blackout, 100.0);
        assert_eq!((black.get("ats1", "on_source2"), black.get("ats1", "source1_available")), (Some(1.0), Some(0.0)));
        assert_eq!(after(Scenario::Blackout, 500.0).get("ats1", "on_source1"), Some(1.0), "and back");
        assert_eq!(after(Scenario::Calm, 400.0).get("gen1", "engine_state"), Some(3.0), "test run");
    }
}
