//! Durable state beside the journal.
//!
//! `log` is the event log with the state of the rooms, in one SQLite file; `atomic_file` replaces small files so that a power cut
//! leaves the old or the new contents; `fault` decides whether an SQLite error means that a file is damaged.

pub mod atomic_file;
pub mod fault;
pub mod log;
pub mod migrations;
