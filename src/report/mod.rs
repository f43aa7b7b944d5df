//! Reports computed from rows of the event log. Pure: the caller reads the rows and prints the result.

pub mod alarms;
