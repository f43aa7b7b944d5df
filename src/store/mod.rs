//! Durable state beside the journal. For now whole small files; the event log comes with alarms.

pub mod whole;
