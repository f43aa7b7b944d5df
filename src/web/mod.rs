//! The listener: for now health and metrics on loopback. A read-only view.

use schemars::JsonSchema;
use serde::Deserialize;

/// The health page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port, loopback only; empty for none.
    pub listen: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_string() }
    }
}
