//! `plantroom`: Modbus in, MQTT and a time-series store out, a journal in between. `docs/ARCHITECTURE.md` describes the rooms;
//! `tests/pure/architecture.rs` checks which room may import which.

pub mod alarm;
pub mod app;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod decode;
pub mod derive;
pub mod engine;
pub mod http;
pub mod journal;
pub mod link;
pub mod model;
pub mod oncall;
pub mod plan;
pub mod poll;
pub mod presentation;
pub mod profile;
pub mod report;
pub mod scan;
pub mod simulate;
pub mod sink;
pub mod store;
pub mod supervise;
pub mod web;
