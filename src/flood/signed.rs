//! Whose word something is.

use serde::{Deserialize, Serialize};

/// Who did something, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub person: String,
    /// One line; empty where none was wanted.
    pub reason: String,
}
