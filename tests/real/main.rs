//! The real binary against real parts: Mosquitto, pymodbus, mbpoll, socat. `scripts/setup-tests.sh` installs them; where one
//! is missing the test fails and says so. Without the feature `real-tests` none of them is compiled.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::wildcard_imports,
    clippy::enum_glob_use,
    reason = "tests fail by panicking, and wait for real things in real time"
)]

#[cfg(feature = "real-tests")]
mod again;
#[cfg(feature = "real-tests")]
mod alarms;
#[cfg(feature = "real-tests")]
mod bad_disk;
#[cfg(feature = "real-tests")]
mod broker;
#[cfg(feature = "real-tests")]
mod brokers;
#[cfg(feature = "real-tests")]
mod channels;
#[cfg(feature = "real-tests")]
mod commands;
#[cfg(feature = "real-tests")]
mod crash;
#[cfg(feature = "real-tests")]
mod dashboards;
#[cfg(feature = "real-tests")]
mod energy;
#[cfg(feature = "real-tests")]
mod energy_export;
#[cfg(feature = "real-tests")]
mod faults;
#[cfg(feature = "real-tests")]
mod field;
#[cfg(feature = "real-tests")]
mod flood;
#[cfg(feature = "real-tests")]
mod odd;
#[cfg(feature = "real-tests")]
mod old_state;
#[cfg(feature = "real-tests")]
mod other_brokers;
#[cfg(feature = "real-tests")]
mod pages;
#[cfg(feature = "real-tests")]
mod service;
#[cfg(feature = "real-tests")]
mod slow_disk;
#[cfg(feature = "real-tests")]
mod store;
#[cfg(feature = "real-tests")]
mod support;
#[cfg(feature = "real-tests")]
mod tls;

/// So that `cargo test` names what it left out.
#[cfg(not(feature = "real-tests"))]
#[test]
#[ignore = "tests against real brokers, stores and devices: scripts/test.sh"]
fn not_compiled_without_the_feature_real_tests() {
    panic!("compile them: cargo test --features real-tests --test real");
}
