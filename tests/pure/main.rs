//! Tests that need nothing but the library: data files, the architecture, configurations, rules.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::wildcard_imports,
    clippy::enum_glob_use,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "tests fail by panicking, and wait for real things in real time"
)]

mod alarms;
mod architecture;
mod captures;
mod catalogue;
mod checks;
mod configs;
mod documents;
mod energy;
mod energy_levels;
mod field;
mod first_day;
mod flood;
mod flood_pace;
mod flood_room;
mod flood_water;
mod hostile;
mod metering;
mod odd;
mod pages;
mod tariffs;
mod vectors;
mod years;
