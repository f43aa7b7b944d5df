//! Reports computed from rows: of the event log, and of consumption. Pure: the caller reads the rows and prints the result.

pub mod alarms;
pub mod consumption;
pub mod cost;
pub mod reconciliation;
pub mod table;
