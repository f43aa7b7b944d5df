//! The real binary against real parts: Mosquitto, pymodbus, mbpoll, socat. `scripts/setup-tests.sh` installs them; where one
//! is missing the test fails and says so.
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

mod again;
mod alarms;
mod broker;
mod brokers;
mod channels;
mod commands;
mod crash;
mod dashboards;
mod faults;
mod field;
mod odd;
mod other_brokers;
mod pages;
mod service;
mod store;
mod support;
mod tls;
