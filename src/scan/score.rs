//! Scores how well the values of a unit fit a profile. Pure.
//!
//! A plausible float, a frequency near 50 Hz and a readable text score high: words of another device rarely look like that.
//! A bit scores next to nothing. An impossible value is evidence against.

use crate::model::quality::Cause;
use crate::model::reading::Sample;
use crate::model::value::Value;
use crate::profile::{PointDef, RegisterEncoding};

/// Evidence for and against a profile.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProfileScore {
    evidence_for: f64,
    evidence_against: f64,
}

/// Endings of names whose quantity has a usual range: lowest, highest, score.
const USUAL_RANGES: [(&str, f64, f64, f64); 14] = [
    ("frequency_hz", 45.0, 65.0, 5.0),
    ("_hz", 0.0, 400.0, 1.0),
    ("battery_v", 5.0, 60.0, 2.0),
    ("voltage_l1_v", 80.0, 500.0, 3.0),
    ("_v", 0.0, 1_000.0, 1.0),
    ("power_factor", -1.0, 1.0, 2.0),
    ("_pct", 0.0, 200.0, 1.0),
    ("_c", -40.0, 180.0, 1.0),
    ("_mpa", -0.1, 4.0, 1.5),
    ("_rpm", 0.0, 6_000.0, 1.0),
    ("_kwh", 0.0, 1e8, 1.0),
    ("_h", 0.0, 1e6, 0.5),
    ("_a", 0.0, 5_000.0, 0.7),
    ("_m", -50.0, 500.0, 1.0),
];

impl ProfileScore {
    /// The ident register holds a value that the profile knows.
    pub fn add_known_ident(&mut self) {
        self.evidence_for += 12.0;
    }

    /// Adds a point; returns its score, negative if it is evidence against.
    pub fn add(&mut self, point: &PointDef, sample: &Sample) -> f64 {
        let score = match sample {
            Ok(value) => value_score(point, value),
            Err(cause) if cause.is_sentinel() => 0.4,
            Err(Cause::IllegalAddress | Cause::IllegalFunction | Cause::IllegalValue) => -1.0,
            Err(Cause::NotFinite | Cause::OutOfRange | Cause::BadDigits | Cause::BadText | Cause::Overflow) => -2.0,
            Err(Cause::NoScale) => -1.5,
            // Not read: no evidence of another device, but not in favour either.
            Err(_) => -0.5,
        };
        if score > 0.0 {
            self.evidence_for += score;
        } else {
            self.evidence_against -= score;
        }
        score
    }

    /// 0 to 100. Much evidence for and none against is near 100; little evidence stays low, whatever its sign.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
    pub fn confidence(&self) -> u8 {
        let share = self.evidence_for / (self.evidence_for + 2.0 * self.evidence_against).max(1e-9);
        let enough = 1.0 - (-self.evidence_for / 12.0).exp();
        (share * enough * 100.0).round() as u8
    }
}

fn value_score(point: &PointDef, value: &Value) -> f64 {
    let is_float = matches!(point.register_encoding, RegisterEncoding::Float { .. });
    match value {
        Value::Bool(_) => 0.05,
        Value::Text(t) => match t.trim().len() {
            0 => 0.0,
            1..=2 => 0.5,
            _ => 3.0,
        },
        Value::Code(code) if point.texts.is_empty() => f64::from(u8::from(*code != 0)) * 0.1,
        Value::Code(code) => {
            if point.texts.contains_key(code) {
                0.4
            } else {
                -1.0
            }
        }
        number => {
            let x = number.as_f64().unwrap_or(0.0);
            if x == 0.0 {
                return 0.1;
            }
            if is_float && x.abs() < 1e-6 {
                // No instrument reports this: the words are something else.
                return -2.0;
            }
            let usual = USUAL_RANGES.iter().find(|(ending, ..)| point.name.ends_with(ending));
            match usual {
                Some((_, low, high, score)) if (*low..=*high).contains(&x) => score + if is_float { 1.0 } else { 0.0 },
                Some(_) => -2.0,
                // A float made of unrelated words is tiny or huge.
                None if is_float => {
                    if (1e-4..1e7).contains(&x.abs()) {
                        1.5
                    } else {
                        -2.0
                    }
                }
                None => 0.3,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_say_little_and_one_frequency_says_much() {
        let bits = ProfileScore { evidence_for: 16.0 * 0.05, evidence_against: 0.0 };
        assert!(bits.confidence() < 10, "{}", bits.confidence());
        let meter = ProfileScore { evidence_for: 40.0, evidence_against: 0.0 };
        assert!(meter.confidence() > 95);
        let foreign = ProfileScore { evidence_for: 10.0, evidence_against: 20.0 };
        assert!(foreign.confidence() < 15);
        assert_eq!(ProfileScore::default().confidence(), 0);
    }
}
