//! What comes in from outside: warnings of services. Each document is read within limits of size, depth and number, and refused as a whole
//! with a reason if it is not what it should be.

pub mod cap;
pub mod error;
pub mod feed;
pub mod json;
pub mod settings;
pub mod xml;
