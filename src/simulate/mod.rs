//! A plant that behaves: real Modbus servers on loopback with pumps, rain, lifts, a generating set and meters behind them.

pub mod image;
pub mod lifts;
pub mod plant;
pub mod play;
pub mod power;
pub mod serve;
pub mod signals;
pub mod site;
pub mod water;

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
    /// It rains, and the duty pump runs without lowering the level.
    PumpBlocked,
    /// A lift stops between floors with somebody in it.
    Entrapment,
    /// The mains fail; the generating set starts and takes over.
    Blackout,
}

impl Scenario {
    /// Every scenario with one line about it.
    pub const ALL: [(Scenario, &'static str, &'static str); 5] = [
        (Scenario::Calm, "calm", "an ordinary day; the generating set has a test run after five minutes"),
        (Scenario::Rainstorm, "rainstorm", "after one minute it rains harder than one pump can carry away"),
        (Scenario::PumpBlocked, "pump-blocked", "after two minutes the duty pump runs without lowering the level"),
        (Scenario::Entrapment, "entrapment", "after ninety seconds lift 1 stops between floors with somebody in it"),
        (Scenario::Blackout, "blackout", "after one minute the mains fail for five minutes"),
    ];
}
