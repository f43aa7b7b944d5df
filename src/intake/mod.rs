//! What comes in from outside: documents of warning services. Each is read within limits of size, depth and number, and refused as a whole
//! with a reason if it is not what it should be.

pub mod cap;
pub mod xml;
