//! Lifts that make trips and move their doors; one of them can stop between floors.

use crate::simulate::Scenario;
use crate::simulate::signals::{Random, Signals};

/// Phase of a lift. The number is the seconds left in it; in `Stuck`, the seconds so far.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LiftPhase {
    /// At a floor, doors closed, empty.
    Idle(f64),
    Open(f64),
    Closing(f64),
    Travel(f64),
    /// Doors open at the end of a trip.
    Arrived(f64),
    /// Stopped between floors with somebody inside.
    Stuck(f64),
}

#[derive(Clone, Copy, Debug)]
pub struct Lift {
    phase: LiftPhase,
    pub trips: u32,
}

impl Lift {
    /// A lift whose first trip begins after `first_s` seconds.
    pub fn new(first_s: f64) -> Self {
        Self { phase: LiftPhase::Idle(first_s), trips: 0 }
    }

    /// Advances by `dt` seconds. `stuck`: it stops between floors as soon as it travels.
    pub fn step(&mut self, dt: f64, powered: bool, stuck: bool, random: &mut Random) {
        let left = |s: f64| s - dt;
        self.phase = match self.phase {
            LiftPhase::Stuck(s) if stuck => LiftPhase::Stuck(s + dt),
            LiftPhase::Stuck(_) => LiftPhase::Travel(4.0),
            LiftPhase::Travel(_) if stuck => LiftPhase::Stuck(0.0),
            _ if !powered => self.phase,
            LiftPhase::Idle(s) if left(s) > 0.0 && !stuck => LiftPhase::Idle(left(s)),
            LiftPhase::Idle(_) => LiftPhase::Open(4.0),
            LiftPhase::Open(s) if left(s) > 0.0 => LiftPhase::Open(left(s)),
            LiftPhase::Open(_) => LiftPhase::Closing(3.0),
            LiftPhase::Closing(s) if left(s) > 0.0 => LiftPhase::Closing(left(s)),
            LiftPhase::Closing(_) => {
                self.trips += 1;
                LiftPhase::Travel(8.0 + random.uniform() * 25.0)
            }
            LiftPhase::Travel(s) if left(s) > 0.0 => LiftPhase::Travel(left(s)),
            LiftPhase::Travel(_) => LiftPhase::Arrived(6.0),
            LiftPhase::Arrived(s) if left(s) > 0.0 => LiftPhase::Arrived(left(s)),
            LiftPhase::Arrived(_) => LiftPhase::Idle(5.0 + random.uniform() * 60.0),
        };
    }

    pub fn power_kw(&self) -> f64 {
        if matches!(self.phase, LiftPhase::Travel(_)) { 9.5 } else { 0.35 }
    }

    /// Writes its eight contacts, from input `first` of unit `di8` on.
    pub fn write_signals(&self, first: usize, powered: bool, out: &mut Signals) {
        let stuck_s = if let LiftPhase::Stuck(s) = self.phase { Some(s) } else { None };
        let contacts = [
            matches!(self.phase, LiftPhase::Travel(_)) && powered,
            !matches!(self.phase, LiftPhase::Open(_) | LiftPhase::Arrived(_)),
            !matches!(self.phase, LiftPhase::Travel(_) | LiftPhase::Stuck(_)),
            !matches!(self.phase, LiftPhase::Idle(_)),
            stuck_s.is_some(),
            stuck_s.is_some_and(|s| (20.0..25.0).contains(&s)),
            powered && stuck_s.is_none(),
            stuck_s.is_some(),
        ];
        for (i, closed) in contacts.iter().enumerate() {
            out.set("di8", &format!("in{}", first + i), f64::from(u8::from(*closed)));
        }
    }
}

/// Whether lift 1 is stopped between floors at `t` seconds.
pub fn is_entrapment_active(scenario: Scenario, t: f64) -> bool {
    scenario == Scenario::Entrapment && (90.0..690.0).contains(&t)
}
