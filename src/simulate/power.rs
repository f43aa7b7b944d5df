//! Power: mains, generating set, transfer switch, and an incomer with six sub-meters whose energy adds up.

use crate::simulate::Scenario;
use crate::simulate::signals::Signals;

/// State of the generating set, published as GenComm's engine states. The number is the seconds in this state.
#[derive(Clone, Copy, Debug, PartialEq)]
enum EngineState {
    Stopped,
    Cranking(f64),
    Running,
    Cooling(f64),
}

/// Mains, generating set, transfer switch and meters.
#[derive(Debug)]
pub struct Power {
    mains: bool,
    engine: EngineState,
    on_generator: bool,
    mains_good_s: f64,
    fuel_pct: f64,
    run_s: f64,
    starts: f64,
    generated_kwh: f64,
    /// kW of each sub-meter.
    loads: [f64; 6],
    /// kWh of each sub-meter.
    energy: [f64; 6],
    temperature_c: f64,
}

/// Units of the sub-meters: lighting, lifts, pumps, garage, shops, air conditioning.
pub const SUB_METERS: [&str; 6] = ["em1", "em2", "em3", "em4", "em5", "em6"];
/// Initial register readings of the sub-meters, kWh.
pub const FIRST_KWH: [f64; 6] = [148_210.0, 131_745.0, 12_880.0, 20_034.0, 166_120.0, 190_310.0];

impl Default for Power {
    fn default() -> Self {
        Self {
            mains: true,
            engine: EngineState::Stopped,
            on_generator: false,
            mains_good_s: 1e6,
            fuel_pct: 78.0,
            run_s: 0.0,
            starts: 0.0,
            generated_kwh: 0.0,
            loads: [0.0; 6],
            energy: FIRST_KWH,
            temperature_c: 41.0,
        }
    }
}

/// Power factor of each sub-meter's load.
const COS: [f64; 6] = [0.96, 0.86, 0.84, 0.88, 0.93, 0.9];

impl Power {
    /// Whether the plant has power from either source.
    pub fn powered(&self) -> bool {
        if self.on_generator { self.engine == EngineState::Running } else { self.mains }
    }

    /// Advances by `dt` seconds. `lifts` and `pumps`: their power, kW.
    pub fn step(&mut self, scenario: Scenario, t: f64, dt: f64, lifts: f64, pumps: f64, noise: f64) {
        self.mains = !(scenario == Scenario::Blackout && (60.0..360.0).contains(&t));
        self.mains_good_s = if self.mains { self.mains_good_s + dt } else { 0.0 };
        let test_run = scenario == Scenario::Calm && (300.0..600.0).contains(&t);
        let should_run = test_run || !self.mains || (self.on_generator && self.mains_good_s < 30.0);
        self.engine = match self.engine {
            EngineState::Stopped if should_run => {
                self.starts += 1.0;
                EngineState::Cranking(0.0)
            }
            EngineState::Cranking(s) if s >= 3.0 => EngineState::Running,
            EngineState::Cranking(s) => EngineState::Cranking(s + dt),
            EngineState::Running if !should_run => EngineState::Cooling(0.0),
            EngineState::Cooling(_) if should_run => EngineState::Running,
            EngineState::Cooling(s) if s >= 60.0 => EngineState::Stopped,
            EngineState::Cooling(s) => EngineState::Cooling(s + dt),
            other => other,
        };
        let is_rotating = matches!(self.engine, EngineState::Running | EngineState::Cooling(_));
        if is_rotating {
            self.run_s += dt;
            self.fuel_pct -= dt * 0.002;
        }
        let warm = if is_rotating { 82.0 } else { 41.0 };
        self.temperature_c += (warm - self.temperature_c) * (dt / 120.0).min(1.0);
        if !self.mains && self.engine == EngineState::Running {
            self.on_generator = true;
        } else if self.on_generator && self.mains && self.mains_good_s >= 30.0 {
            self.on_generator = false;
        }
        let on = f64::from(u8::from(self.powered()));
        let slow = (t / 240.0).sin();
        self.loads = [
            (7.5 + 0.6 * slow) * on,
            lifts * on,
            pumps * on,
            (4.2 + 0.05 * noise) * on,
            (11.0 + 1.2 * slow + 0.1 * noise) * on,
            (14.0 + 2.0 * (t / 400.0).cos() + 0.2 * noise) * on,
        ];
        for (energy, load) in self.energy.iter_mut().zip(self.loads) {
            *energy += load * dt / 3_600.0;
        }
        if self.on_generator {
            self.generated_kwh += self.loads.iter().sum::<f64>() * dt / 3_600.0;
        }
    }

    /// Writes the values of all controllers and meters.
    pub fn write_signals(&self, noise: f64, out: &mut Signals) {
        let on = |b: bool| f64::from(u8::from(b));
        self.write_generator_signals(noise, out);
        for (point, value) in [
            ("source1_available", self.mains),
            ("source2_available", self.engine == EngineState::Running),
            ("on_source1", !self.on_generator),
            ("on_source2", self.on_generator),
            ("auto", true),
            ("fault", false),
        ] {
            out.set("ats1", point, on(value));
        }
        let volts = if self.powered() { 230.0 + 0.4 * noise } else { 0.0 };
        let mut sums = (0.0, 0.0);
        for (i, unit) in SUB_METERS.iter().enumerate() {
            let kw = self.loads[i];
            let kvar = kw * (1.0 / COS[i] / COS[i] - 1.0).sqrt();
            sums = (sums.0 + kw, sums.1 + kvar);
            meter(unit, volts, kw, kvar, self.energy[i], out);
        }
        meter("em0", volts, sums.0, sums.1, self.energy.iter().sum(), out);
    }

    fn write_generator_signals(&self, noise: f64, out: &mut Signals) {
        let is_rotating = matches!(self.engine, EngineState::Running | EngineState::Cooling(_));
        let state = match self.engine {
            EngineState::Stopped => 0.0,
            EngineState::Cranking(_) => 1.0,
            EngineState::Running => 3.0,
            EngineState::Cooling(_) => 4.0,
        };
        let when = |running: f64| if is_rotating { running } else { 0.0 };
        let kw = if self.on_generator { self.loads.iter().sum() } else { 0.0 };
        let battery = if matches!(self.engine, EngineState::Cranking(_)) { 21.4 } else { 27.2 };
        for (point, value) in [
            ("mode", 1.0),
            ("engine_state", state),
            ("oil_pressure_kpa", when(412.0 + noise * 3.0)),
            ("coolant_temperature_c", self.temperature_c),
            ("oil_temperature_c", self.temperature_c + 4.0),
            ("fuel_pct", self.fuel_pct.max(0.0)),
            ("charge_alternator_v", when(27.9)),
            ("battery_v", battery + noise * 0.02),
            ("speed_rpm", when(1_500.0 + noise)),
            ("frequency_hz", when(50.0)),
            ("voltage_l1_v", when(230.0)),
            ("voltage_l2_v", when(230.4)),
            ("voltage_l3_v", when(229.8)),
            ("voltage_l1_l2_v", when(398.7)),
            ("voltage_l2_l3_v", when(398.6)),
            ("voltage_l3_l1_v", when(398.2)),
            ("current_l1_a", kw * 1.6),
            ("current_l2_a", kw * 1.6),
            ("current_l3_a", kw * 1.6),
            ("power_kw", kw),
            ("power_l1_kw", kw / 3.0),
            ("power_l2_kw", kw / 3.0),
            ("power_l3_kw", kw / 3.0),
            ("load_pct", kw / 2.0),
            ("charger_v", 27.2),
            ("oil_level_pct", 88.0),
            ("coolant_level_pct", 94.0),
            ("run_s", 412.0 * 3_600.0 + self.run_s),
            ("starts", 188.0 + self.starts),
            ("energy_kwh", 20_410.0 + self.generated_kwh),
        ] {
            out.set("gen1", point, value);
        }
    }
}

/// Writes the values of a three-phase meter with a symmetric load.
fn meter(unit: &str, volts: f64, kw: f64, kvar: f64, kwh: f64, out: &mut Signals) {
    let kva = kw.hypot(kvar);
    let amps = if volts > 1.0 { kva * 1_000.0 / 3.0 / volts } else { 0.0 };
    let pf = if kva > 0.001 { kw / kva } else { 1.0 };
    for phase in ["l1", "l2", "l3"] {
        for (point, value) in [
            (format!("voltage_{phase}_v"), volts),
            (format!("current_{phase}_a"), amps),
            (format!("power_{phase}_kw"), kw / 3.0),
            (format!("apparent_power_{phase}_kva"), kva / 3.0),
            (format!("reactive_power_{phase}_kvar"), kvar / 3.0),
            (format!("power_factor_{phase}"), pf),
            (format!("energy_import_{phase}_kwh"), kwh / 3.0),
        ] {
            out.set(unit, &point, value);
        }
    }
    for (point, value) in [
        ("voltage_l1_l2_v", volts * 3f64.sqrt()),
        ("voltage_l2_l3_v", volts * 3f64.sqrt()),
        ("voltage_l3_l1_v", volts * 3f64.sqrt()),
        ("voltage_avg_v", volts),
        ("voltage_ll_avg_v", volts * 3f64.sqrt()),
        ("current_avg_a", amps),
        ("current_sum_a", amps * 3.0),
        ("power_kw", kw),
        ("reactive_power_kvar", kvar),
        ("apparent_power_kva", kva),
        ("power_factor", pf),
        ("x_power_factor_quadrant", pf),
        ("frequency_hz", if volts > 1.0 { 50.0 } else { 0.0 }),
        ("energy_import_kwh", kwh),
        ("energy_total_kwh", kwh),
        ("energy_reactive_import_kvarh", kwh * 0.4),
        ("demand_kw", kw),
        ("max_demand_kw", 61.4),
    ] {
        out.set(unit, point, value);
    }
}
