//! The two kinds of time, which are never mixed: monotonic for durations, wall clock for dates.

use serde::{Deserialize, Serialize};

/// Milliseconds since the machine booted; goes on through corrections of the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MonotonicMillis(pub u64);

impl MonotonicMillis {
    /// Milliseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn since(self, earlier: MonotonicMillis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> MonotonicMillis {
        MonotonicMillis(self.0.saturating_add(ms))
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// RFC 3339 in the given time zone, with milliseconds and offset, for people.
    pub fn local(self, zone: &jiff::tz::TimeZone) -> String {
        let at = jiff::Timestamp::from_millisecond(self.0).map(|t| t.to_zoned(zone.clone()));
        at.map_or_else(|_| self.0.to_string(), |z| z.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string())
    }

    /// In the given time zone, in a form of `strftime` such as `%H:%M`; empty: no such date.
    pub fn in_form(self, zone: &jiff::tz::TimeZone, form: &str) -> String {
        let at = jiff::Timestamp::from_millisecond(self.0).map(|t| t.to_zoned(zone.clone()));
        at.map_or_else(|_| String::new(), |zoned| zoned.strftime(form).to_string())
    }

    /// RFC 3339 in UTC with milliseconds, as in MQTT and history.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| format!("{} ms", self.0), |t| format!("{t:.3}"))
    }
}

/// What a rule is told about time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For delays and durations; corrections of the date do not affect it.
    pub mono: MonotonicMillis,
    /// For calendars, once trusted.
    pub wall: UnixMillis,
    /// Whether `wall` may be believed.
    pub wall_trusted: bool,
}

/// Offset that rebases a monotonic moment of another boot onto this one; 0 in the same boot. The time that passed in between is known
/// if both dates are trusted; else it counts as 0.
pub fn rebase_offset((saved, saved_boot): (Now, &str), (now, boot): (Now, &str)) -> i64 {
    if !boot.is_empty() && saved_boot == boot {
        return 0;
    }
    let ms = |mono: MonotonicMillis| i64::try_from(mono.0).unwrap_or(i64::MAX);
    let is_known = saved.wall_trusted && now.wall_trusted;
    let passed = if is_known { (now.wall.0 - saved.wall.0).max(0) } else { 0 };
    ms(now.mono) - passed - ms(saved.mono)
}

/// Parses `500ms`, `1s`, `15m`, `1h`, `9d` into milliseconds; `None` for 0 and for malformed text.
pub fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let factor = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor).filter(|ms| *ms > 0)
}

/// A duration in milliseconds; files write it as `500ms`, `30s`, `15m`, `1h`, `9d`, and `0s` for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub u64);

impl HumanDuration {
    /// The text for files, in the largest unit that divides it.
    pub fn text(self) -> String {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.iter().find(|(ms, _)| self.0 >= *ms && self.0.is_multiple_of(*ms)) {
            Some((ms, unit)) => format!("{}{unit}", self.0 / ms),
            None if self.0 == 0 => "0s".to_string(),
            None => format!("{}ms", self.0),
        }
    }
}

/// A length of time as written, read later: what is wrong with it does not hide what else is wrong in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationText(pub String);

impl DurationText {
    /// Milliseconds; `None`: it is no length of time above 0.
    pub fn ms(&self) -> Option<u64> {
        duration_ms(&self.0)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl serde::de::Visitor<'_> for AnyText {
            type Value = DurationText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(LENGTH_OF_TIME)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DurationText, E> {
                Ok(DurationText(text.to_string()))
            }
        }
        from.deserialize_str(AnyText)
    }
}

impl schemars::JsonSchema for DurationText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        HumanDuration::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        HumanDuration::json_schema(generator)
    }
}

/// What is expected of a [`HumanDuration`], as errors say it.
pub const LENGTH_OF_TIME: &str = "a length of time";

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(HumanDurationVisitor)
    }
}

struct HumanDurationVisitor;

impl serde::de::Visitor<'_> for HumanDurationVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(LENGTH_OF_TIME)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HumanDuration, E> {
        let is_none = text.trim_start_matches('0').trim_start_matches(|c: char| c.is_ascii_alphabetic()).is_empty();
        match duration_ms(text) {
            Some(ms) => Ok(HumanDuration(ms)),
            None if is_none && text.starts_with('0') => Ok(HumanDuration(0)),
            None => Err(E::custom(format!("{text:?} is not a length of time: 500ms, 30s, 15m, 1h or 9d"))),
        }
    }
}

impl schemars::JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "pattern": "^[0-9]+(ms|s|m|min|h|d)$", "description": "A length of time: 500ms, 30s, 15m, 1h, 9d."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_prints_milliseconds_always() {
        assert_eq!(UnixMillis(0).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixMillis(1_700_000_000_120).rfc3339(), "2023-11-14T22:13:20.120Z");
    }
}
