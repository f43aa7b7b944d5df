//! An edge gateway for plant rooms: Modbus in, MQTT and a time-series store out, a journal in between, alarms and pages beside.
//!
//! `docs/ARCHITECTURE.md` describes the rooms, which are the modules below; `tests/pure/architecture.rs` checks which room may
//! import which. The rings, from the inside: types ([`model`]), rules without clock, files and sockets ([`plan`], [`decode`],
//! [`derive`](mod@derive), [`alarm`], [`oncall`], [`engine`]), adapters ([`link`], [`poll`], [`journal`], [`sink`], [`channel`],
//! [`web`]), application ([`config`], [`app`], [`cli`]). Start with [`engine`] for a step of the rules and with [`journal`] for
//! how readings are stored.
//!
//! Rules can be called as they are. A built-in profile decodes two registers of a meter, as it does for a reading:
//!
//! ```
//! use plantroom::config::builtin;
//! use plantroom::config::doc::Problems;
//! use plantroom::decode::decode_words;
//!
//! let mut problems = Problems::default();
//! let catalogue = builtin::read(None, &mut problems);
//! let profile = &catalogue.profiles["eastron-sdm630"];
//! let point = profile.variants[0].points.iter().find(|p| &*p.name == "voltage_l1_v").unwrap();
//!
//! // 0x43663333 is 230.2 V as a 32-bit float, high word first.
//! assert_eq!(decode_words(point, &[0x4366, 0x3333], &[]).unwrap().to_string(), "230.2");
//! // Not a number is no value: the sample is bad and says why.
//! assert_eq!(decode_words(point, &[0x7fc0, 0x0000], &[]).unwrap_err().word(), "not_finite");
//! ```

pub mod alarm;
pub mod app;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod decode;
pub mod derive;
pub mod energy;
pub mod engine;
pub mod flood;
pub mod http;
pub mod intake;
pub mod journal;
pub mod ledger;
pub mod link;
pub mod lock;
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
