//! How a room reads an entry of a configuration file whose kind it knows, without knowing the file.

use serde::de::DeserializeOwned;

/// What is wrong with an entry: its key, what, and what to do about it.
pub type SettingsProblem = (&'static str, String, &'static str);

/// An entry of a configuration file.
pub trait SettingsReader {
    /// Reads it as settings; none: problems were reported.
    fn read<T: DeserializeOwned>(&mut self) -> Option<T>;
}
