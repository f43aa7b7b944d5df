//! Water: a sump that fills with rain and is emptied by two alternating pumps, and domestic-water pumps that hold a pressure.

use crate::simulate::Scenario;
use crate::simulate::signals::Signals;

/// Levels of the sump, metres above its bottom, and its plan area.
pub const STOP_M: f64 = 0.4;
const START1_M: f64 = 1.0;
const START2_M: f64 = 1.4;
const HIGH_HIGH_M: f64 = 2.2;
const FLOOR_M: f64 = 2.4;
const AREA_M2: f64 = 4.0;
/// Flow of one pump, m³/s (36 m³/h).
const PUMP_M3S: f64 = 0.010;
/// Paved area that drains into the sump.
const CATCHMENT_M2: f64 = 1_500.0;
/// Ground water that flows in constantly, m³/s.
const SEEPAGE_M3S: f64 = 0.0016;

/// One drain pump with its drive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pump {
    pub running: bool,
    /// Whether it runs without moving water.
    pub blocked: bool,
    run_s: f64,
    starts: f64,
    energy_kwh: f64,
    hertz: f64,
}

impl Pump {
    pub fn power_kw(&self) -> f64 {
        match (self.running, self.blocked) {
            (false, _) => 0.0,
            // A blocked pump does little work.
            (true, true) => 1.3,
            (true, false) => 3.0,
        }
    }

    fn step(&mut self, run: bool, dt: f64) {
        self.starts += f64::from(u8::from(run && !self.running));
        self.running = run;
        let target = if run { 50.0 } else { 0.0 };
        self.hertz += (target - self.hertz).clamp(-12.0 * dt, 12.0 * dt);
        if run {
            self.run_s += dt;
        }
        self.energy_kwh += self.power_kw() * dt / 3_600.0;
    }

    fn write_signals(&self, unit: &str, out: &mut Signals) {
        let amps = self.power_kw() / 0.62;
        for (point, value) in [
            ("running", f64::from(u8::from(self.running))),
            ("selector_auto", 1.0),
            ("ready", 1.0),
            ("frequency_hz", self.hertz),
            ("current_a", amps),
            ("power_kw", self.power_kw()),
            ("speed_rpm", self.hertz * 29.0),
            ("voltage_v", if self.running { 400.0 } else { 0.0 }),
            ("motor_temperature_c", if self.running { 61.0 } else { 38.0 }),
            ("run_h", 1_204.0 + self.run_s / 3_600.0),
            ("starts", 5_310.0 + self.starts),
            ("energy_kwh", 2_950.0 + self.energy_kwh),
        ] {
            out.set(unit, point, value);
        }
    }
}

#[derive(Debug)]
pub struct Water {
    level_m: f64,
    rain_mmh: f64,
    rain_mm: f64,
    pub pumps: [Pump; 2],
    duty: usize,
    standby_on: bool,
    demand_m3h: f64,
    volume_m3: f64,
    supply_s: f64,
    supply_kwh: f64,
}

impl Water {
    /// The water at the start of a scenario.
    pub fn new(scenario: Scenario) -> Self {
        Self {
            // Of a blocked pump the level tells, which rises slowly on a dry day: it begins near the first start level.
            level_m: if scenario == Scenario::PumpBlocked { 0.94 } else { 0.7 },
            rain_mmh: 0.0,
            rain_mm: 312.0,
            pumps: [Pump::default(); 2],
            duty: 0,
            standby_on: false,
            demand_m3h: 6.0,
            volume_m3: 18_204.0,
            supply_s: 0.0,
            supply_kwh: 0.0,
        }
    }
}

/// Rain intensity at `t` seconds, mm/h.
fn rain(scenario: Scenario, t: f64) -> f64 {
    match scenario {
        Scenario::Rainstorm => {
            let rise = ((t - 60.0) / 120.0).clamp(0.0, 1.0);
            let fall = ((1_500.0 - t) / 300.0).clamp(0.0, 1.0);
            42.0 * rise.min(fall)
        }
        Scenario::Calm | Scenario::PumpBlocked | Scenario::Entrapment | Scenario::Blackout => 0.0,
    }
}

impl Water {
    /// Advances by `dt` seconds. `powered`: without power no pump runs.
    pub fn step(&mut self, scenario: Scenario, t: f64, dt: f64, powered: bool, noise: f64) {
        self.rain_mmh = rain(scenario, t);
        self.rain_mm += self.rain_mmh * dt / 3_600.0;
        self.pumps[0].blocked = scenario == Scenario::PumpBlocked && t > 120.0;
        let duty_runs = self.pumps[self.duty].running;
        let duty_should_run = self.level_m >= START1_M || (duty_runs && self.level_m > STOP_M);
        if duty_runs && !duty_should_run {
            // Alternation: the other pump is duty pump next.
            self.pumps[self.duty].step(false, dt);
            self.duty = 1 - self.duty;
        }
        self.standby_on = self.level_m >= START2_M || (self.standby_on && self.level_m > STOP_M);
        for i in 0..2 {
            let run = powered && if i == self.duty { duty_should_run } else { self.standby_on };
            self.pumps[i].step(run, dt);
        }
        let out: f64 = self.pumps.iter().filter(|p| p.running && !p.blocked).map(|_| PUMP_M3S).sum();
        let inflow = SEEPAGE_M3S + self.rain_mmh / 1_000.0 / 3_600.0 * CATCHMENT_M2 * 0.9;
        self.level_m = (self.level_m + (inflow - out) / AREA_M2 * dt).clamp(0.05, FLOOR_M + 0.3);
        self.demand_m3h = (self.demand_m3h + noise * dt.min(1.0)).clamp(1.5, 14.0);
        if powered {
            self.volume_m3 += self.demand_m3h * dt / 3_600.0;
            self.supply_s += dt;
            self.supply_kwh += self.supply_kw(true) * dt / 3_600.0;
        }
    }

    /// Power of the domestic-water pumps, kW.
    pub fn supply_kw(&self, powered: bool) -> f64 {
        if powered { 0.4 + self.demand_m3h * 0.22 } else { 0.0 }
    }

    /// Writes the values of all transmitters, contacts and drives.
    pub fn write_signals(&self, powered: bool, noise: f64, out: &mut Signals) {
        let on = |b: bool| f64::from(u8::from(b));
        out.set("lt1", "level_m", (self.level_m + noise * 0.002).max(0.0));
        out.set("rg1", "rain_mm", self.rain_mm);
        out.set("rg1", "x_rain_window_mm", self.rain_mmh);
        let contacts = [
            self.pumps[0].running,
            self.pumps[1].running,
            false,
            false,
            true,
            true,
            self.level_m >= HIGH_HIGH_M,
            self.level_m > FLOOR_M,
        ];
        for (i, closed) in contacts.iter().enumerate() {
            out.set("di7", &format!("in{}", i + 1), on(*closed));
        }
        self.pumps[0].write_signals("vfd1", out);
        self.pumps[1].write_signals("vfd2", out);
        let hertz = if powered { 28.0 + self.demand_m3h * 1.4 } else { 0.0 };
        let kw = self.supply_kw(powered);
        for (point, value) in [
            ("running", on(powered)),
            ("started", on(powered)),
            ("remote_control", 1.0),
            ("head_m", if powered { 42.0 - self.demand_m3h * 0.1 } else { 0.0 }),
            ("flow_m3h", if powered { self.demand_m3h } else { 0.0 }),
            ("performance_pct", hertz * 2.0),
            ("speed_rpm", hertz * 58.0),
            ("frequency_hz", hertz),
            ("setpoint_pct", 70.0),
            ("current_a", kw / 0.6),
            ("dc_link_v", if powered { 560.0 } else { 0.0 }),
            ("voltage_v", if powered { 230.0 } else { 0.0 }),
            ("power_kw", kw),
            ("remote_pressure_mpa", if powered { 0.42 + noise * 0.002 } else { 0.05 }),
            ("suction_pressure_mpa", 0.02),
            ("differential_pressure_mpa", if powered { 0.40 } else { 0.0 }),
            ("tank_level_m", 1.8),
            ("drive_temperature_c", 44.0),
            ("motor_temperature_c", 52.0),
            ("electronics_temperature_c", 47.0),
            ("liquid_temperature_c", 16.5),
            ("run_h", 8_760.0 + self.supply_s / 3_600.0),
            ("powered_h", 9_120.0 + self.supply_s / 3_600.0),
            ("energy_kwh", 10_400.0 + self.supply_kwh),
            ("starts", 902.0),
            ("volume_m3", self.volume_m3),
        ] {
            out.set("dw1", point, value);
        }
    }

    pub fn level_m(&self) -> f64 {
        self.level_m
    }
}
