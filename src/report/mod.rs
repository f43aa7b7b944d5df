//! Rows become the tables that people ask for. Pure.

pub mod alarms;
