//! Consumption from cumulative registers, exact to the last digit and traceable to two readings.
//!
//! Pure. A [`register::Register`] takes the dated readings of one register in order. It decides with [`crate::model::counter`] which of
//! them belong together and gives *spans*: readings between which every difference is consumption. What connects a span with the one
//! before is its [`span::Link`]: a roll-over, a corrected date, or a boundary that nobody has explained; nothing is counted across the
//! latter until a person classifies it. A span that is not believed yet is pending, and withdrawn if the old register comes back.
//!
//! Of a span three things are kept: its first reading, its last one, and *marks*, the readings nearest to the boundaries of a grid of
//! minutes. [`profile::Profile`] is the consumption as a function of time that follows from them. Its values at two boundaries give an
//! interval; so the intervals of a period always sum up to the difference of its readings, whatever their length and the day's.

pub mod balance;
pub mod calendar;
pub mod closure;
pub mod consumption;
pub mod cost;
pub mod decision;
pub mod demand;
pub mod entry;
pub mod forecast;
pub mod interval;
pub mod meter;
pub mod metering;
pub mod metering_check;
pub mod profile;
pub mod register;
pub mod room;
pub mod settings;
pub mod span;
pub mod summary;
pub mod tariff;
pub mod tariff_file;
