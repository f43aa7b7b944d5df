//! Two kinds of time that are never mixed: monotonic for durations, wall for dates.

use serde::{Deserialize, Serialize};

/// Milliseconds since the machine booted; goes on through corrections of the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub u64);

impl Mono {
    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn since(self, earlier: Mono) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms))
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(pub i64);

impl Wall {
    /// RFC 3339 in UTC with milliseconds, as in MQTT and history.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| format!("{} ms", self.0), |t| format!("{t:.3}"))
    }
}

/// What a rule is told about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For delays.
    pub mono: Mono,
    /// For calendars, once trusted.
    pub wall: Wall,
    /// Whether `wall` may be believed.
    pub wall_trusted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_prints_milliseconds_always() {
        assert_eq!(Wall(0).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Wall(1_700_000_000_120).rfc3339(), "2023-11-14T22:13:20.120Z");
    }
}
