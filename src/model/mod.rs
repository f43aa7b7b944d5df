//! The nouns everybody shares: plain data, no behaviour beyond printing and comparing.
//!
//! This room imports nothing of the house. What is here is what two rooms must agree on; what only one room knows stays there.

pub mod counter;
pub mod frames;
pub mod latest;
pub mod line;
pub mod notification;
pub mod point;
pub mod priority;
pub mod problem;
pub mod quality;
pub mod reading;
pub mod registers;
pub mod text;
pub mod time;
pub mod value;
pub mod window;
