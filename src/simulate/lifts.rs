//! Lifts that make trips and move their doors; one of them can stop between floors.

use crate::simulate::Scenario;
use crate::simulate::signals::{Random, Signals};

/// Phase of a lift. The number is the seconds left in it; in `Stuck`, the seconds so far.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
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
    doing: Doing,
    pub trips: u32,
}

impl Lift {
    /// A lift whose first trip begins after `first_s` seconds.
    pub fn new(first_s: f64) -> Self {
        Self { doing: Doing::Idle(first_s), trips: 0 }
    }

    /// Advances by `dt` seconds. `stuck`: it stops between floors as soon as it travels.
    pub fn step(&mut self, dt: f64, powered: bool, stuck: bool, random: &mut Random) {
        let left = |s: f64| s - dt;
        self.doing = match self.doing {
            Doing::Stuck(s) if stuck => Doing::Stuck(s + dt),
            Doing::Stuck(_) => Doing::Travel(4.0),
            Doing::Travel(_) if stuck => Doing::Stuck(0.0),
            _ if !powered => self.doing,
            Doing::Idle(s) if left(s) > 0.0 && !stuck => Doing::Idle(left(s)),
            Doing::Idle(_) => Doing::Open(4.0),
            Doing::Open(s) if left(s) > 0.0 => Doing::Open(left(s)),
            Doing::Open(_) => Doing::Closing(3.0),
            Doing::Closing(s) if left(s) > 0.0 => Doing::Closing(left(s)),
            Doing::Closing(_) => {
                self.trips += 1;
                Doing::Travel(8.0 + random.unit() * 25.0)
            }
            Doing::Travel(s) if left(s) > 0.0 => Doing::Travel(left(s)),
            Doing::Travel(_) => Doing::Arrived(6.0),
            Doing::Arrived(s) if left(s) > 0.0 => Doing::Arrived(left(s)),
            Doing::Arrived(_) => Doing::Idle(5.0 + random.unit() * 60.0),
        };
    }

    pub fn power_kw(&self) -> f64 {
        if matches!(self.doing, Doing::Travel(_)) { 9.5 } else { 0.35 }
    }

    /// Writes its eight contacts, from input `first` of unit `di8` on.
    pub fn tell(&self, first: usize, powered: bool, out: &mut Signals) {
        let stuck_s = if let Doing::Stuck(s) = self.doing { Some(s) } else { None };
        let contacts = [
            matches!(self.doing, Doing::Travel(_)) && powered,
            !matches!(self.doing, Doing::Open(_) | Doing::Arrived(_)),
            !matches!(self.doing, Doing::Travel(_) | Doing::Stuck(_)),
            !matches!(self.doing, Doing::Idle(_)),
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
pub fn entraps(scenario: Scenario, t: f64) -> bool {
    scenario == Scenario::Entrapment && (90.0..690.0).contains(&t)
}
