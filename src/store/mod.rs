//! Durable state beside the journal.
//!
//! `log` is the event log of `event` rows with the state of the rooms, in one SQLite file; `small_file` replaces small files so that a power cut
//! leaves the old or the new contents; `fault` decides whether an SQLite error means that a file is damaged.

#![allow(clippy::disallowed_methods, reason = "files are its work, on its own thread and on those that may wait")]

pub mod error;
pub mod event;
pub mod fault;
pub mod log;
pub mod migrations;
pub mod small_file;
