//! Types that several rooms share: points, streams, readings, values, quality, time, text. Mostly plain data; small pure algorithms
//! (register counters, windows, latest samples) are here if two rooms need them.
//!
//! This room imports no other room. What only one room knows stays in that room.

#![warn(missing_docs)]

pub mod actor;
pub mod alarm;
pub mod calendar;
pub mod command;
pub mod counter;
pub mod directory;
pub mod effects;
pub mod failure;
pub mod flood;
pub mod frames;
pub mod history;
pub mod latest;
pub mod line;
pub mod metering;
pub mod notification;
pub mod page;
pub mod point;
pub mod priority;
pub mod problem;
pub mod quality;
pub mod reading;
pub mod registers;
pub mod room;
pub mod settings;
pub mod stream;
pub mod text;
pub mod time;
pub mod value;
pub mod warning;
pub mod window;
