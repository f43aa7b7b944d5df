//! Durable state beside the journal: the event log with what rooms keep, and small files that are always whole.

pub mod atomic_file;
pub mod fault;
pub mod log;
