//! A simulated plant behind real Modbus servers, for the demo and for trying configurations.
//!
//! `Plant` steps pumps, rain, lifts, a generating set and meters; time and randomness are its inputs. `serve` copies its
//! signals into register images every 100 ms and answers over TCP on loopback and over RTU on pseudo-terminals. `play` replays
//! recorded frames instead of a plant.

pub mod error;
pub mod image;
pub mod lifts;
pub mod plant;
pub mod play;
pub mod power;
pub mod serve;
pub mod signals;
pub mod site;
pub mod warnings;
pub mod water;
pub mod year;

use serde::{Deserialize, Serialize};

/// What happens in the plant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// An ordinary day; the generating set has a test run.
    #[default]
    Calm,
    /// It rains harder than one pump can carry away.
    Rainstorm,
    /// On a dry day the duty pump runs without lowering the level; the standby pump makes up for it.
    PumpBlocked,
    /// A lift stops between floors with somebody in it.
    Entrapment,
    /// The mains fail; the generating set starts and takes over.
    Blackout,
}

impl Scenario {
    /// Every scenario with its name and a one-line description.
    pub const ALL: [(Scenario, &'static str, &'static str); 5] = [
        (Scenario::Calm, "calm", "an ordinary day; the generating set has a test run after five minutes"),
        (Scenario::Rainstorm, "rainstorm", "after one minute it rains harder than one pump can carry away"),
        (
            Scenario::PumpBlocked,
            "pump-blocked",
            "after two and a half minutes the duty pump runs without lowering the level",
        ),
        (Scenario::Entrapment, "entrapment", "after ninety seconds lift 1 stops between floors with somebody in it"),
        (Scenario::Blackout, "blackout", "after one minute the mains fail for five minutes"),
    ];
}
