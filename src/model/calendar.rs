//! Working days: Monday to Friday without holidays, and the days that make up for them.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};
use serde::Deserialize;

/// Decides which dates are working days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    free: BTreeSet<Date>,
    working: BTreeSet<Date>,
    /// The last date that the calendar covers; `None`: it has no holidays.
    pub until: Option<Date>,
}

/// A calendar as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolidayFile {
    /// Version of this format: 1.
    pub format: u32,
    /// Days from Monday to Friday that are free.
    pub free: Vec<String>,
    /// Saturdays and Sundays that are worked.
    pub working: Vec<String>,
    /// The last day that it knows of.
    pub until: String,
}

/// An entry of a calendar that is no date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no date: 2026-10-01")]
pub struct NoDate(pub String);

impl Calendar {
    /// Builds a calendar from its file.
    ///
    /// # Errors
    /// An entry that is not a date.
    pub fn build(file: &HolidayFile) -> Result<Self, NoDate> {
        let date = |text: &String| text.parse::<Date>().map_err(|_| NoDate(text.clone()));
        Ok(Self {
            free: file.free.iter().map(date).collect::<Result<_, _>>()?,
            working: file.working.iter().map(date).collect::<Result<_, _>>()?,
            until: Some(date(&file.until)?),
        })
    }

    /// Whether a day is worked.
    pub fn is_working(&self, day: Date) -> bool {
        let is_weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        if is_weekend { self.working.contains(&day) } else { !self.free.contains(&day) }
    }
}
