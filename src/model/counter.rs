//! What a cumulative register has counted: roll-over, a momentary 0, a fall, a reset and a jump told apart, to the last digit.
//!
//! A [`Counter`] is given every good reading in order and says whether what was counted since the one before is known. It never counts
//! backwards and never counts what it cannot account for: a reading that fell or jumped is *in doubt*, and nothing is counted until
//! either the old register comes back (then the difference counts, once) or the new one has proven itself by rising in plausible
//! steps for an hour (then it is the new baseline, and what lies between is lost and said so).
//!
//! Rules (sources: docs/operations.md): a roll-over is taken only where a modulus is known, the register stood in its last tenth
//! and the step over it is plausible; a step is plausible if it is at most the greatest rate times the time since the register last
//! *changed*, and a fifth more; there are no percentages of the register, a fall by one resolution step is jitter.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::model::quality::Cause;

/// A new register has proven itself after so long, and so many steps upwards.
const PROVEN_MS: i64 = 3_600_000;
const PROVEN_STEPS: u32 = 3;
/// How long an old register that comes back is recognised after a new one has proven itself.
const REMEMBERED_MS: i64 = 7 * 86_400_000;

/// What is known of a register beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Where it rolls over, in its unit.
    pub modulus: Option<Decimal>,
    /// The most that it can count in an hour, in its unit.
    pub max_per_h: Option<Decimal>,
    /// Whether that is a rating, or only a bound against garbage. By a rating the first change after a baseline may be as much as an hour
    /// brings: when the register had changed before is not known.
    pub is_rated: bool,
    /// The least by which it moves.
    pub resolution: Decimal,
}

/// A reading of the register.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct CounterReading {
    #[serde(with = "decimal_text")]
    value: Decimal,
    /// When it was first read, milliseconds since 1970.
    at_ms: i64,
    /// The register was seen to change to it; else it may have held it for long.
    #[serde(default)]
    is_change: bool,
}

/// A register that is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Doubt {
    cause: Cause,
    /// When it began, and the newest of its readings.
    began_ms: i64,
    newest: CounterReading,
    /// The first of its readings.
    #[serde(with = "decimal_text")]
    first: Decimal,
    /// Plausible steps upwards since then.
    steps: u32,
}

/// What a register has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// The last reading that is believed; its time is when the register last changed.
    good: Option<CounterReading>,
    doubt: Option<Doubt>,
    /// The register that was given up for a new one.
    old: Option<CounterReading>,
}

/// What one reading brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CounterStep {
    /// The first reading, or a new baseline after readings of 0.
    Began,
    /// So much was counted since the last believed reading.
    Counted(Decimal),
    /// The same over a roll-over.
    RolledOver(Decimal),
    /// Not known yet; the cause says why.
    InDoubt(Cause),
    /// A new register has proven itself, or the old one came back after that: what was counted in between is not known.
    Lost(Cause),
}

impl Counter {
    /// Takes the next good reading in.
    pub fn step(&mut self, value: Decimal, at_ms: i64, limits: &Limits) -> CounterStep {
        let reading = CounterReading { value, at_ms, is_change: true };
        if let Some(old) = self.old
            && (at_ms - old.at_ms > REMEMBERED_MS)
        {
            self.old = None;
        }
        let Some(good) = self.good else { return self.first(reading, limits) };
        match self.doubt {
            None => self.next(good, reading, limits),
            Some(doubt) => self.resolve(good, doubt, reading, limits),
        }
    }

    /// No reading is believed yet. A 0 is none: many devices read 0 while they start.
    fn first(&mut self, reading: CounterReading, limits: &Limits) -> CounterStep {
        if reading.value.is_zero() {
            let doubt = self.doubt.get_or_insert(Doubt {
                cause: Cause::CounterZero,
                began_ms: reading.at_ms,
                newest: reading,
                first: reading.value,
                steps: 0,
            });
            doubt.newest.at_ms = reading.at_ms;
            return CounterStep::InDoubt(Cause::CounterZero);
        }
        // From 0 it counts only what is plausible by a known rate.
        let from_zero = self.doubt.take().filter(|d| limits.max_per_h.is_some() && d.first.is_zero());
        self.good = Some(CounterReading { is_change: false, ..reading });
        match from_zero {
            Some(zero) if is_close(reading.value, zero.newest, reading, limits) => CounterStep::Counted(reading.value),
            _ => CounterStep::Began,
        }
    }

    fn next(&mut self, good: CounterReading, reading: CounterReading, limits: &Limits) -> CounterStep {
        let Some(rise) = reading.value.checked_sub(good.value) else {
            return self.begin_doubt(Cause::CounterJump, reading);
        };
        if rise.is_zero() || (rise < Decimal::ZERO && -rise <= limits.resolution && !reading.value.is_zero()) {
            // Unchanged, or a step back that the next reading takes again.
            return CounterStep::Counted(Decimal::ZERO);
        }
        if rise > Decimal::ZERO {
            if self.old.is_some_and(|old| {
                reading.value >= old.value && is_plausible(reading.value - old.value, old, reading, limits)
            }) && !is_close(rise, good, reading, limits)
            {
                // The register that was given up is back.
                (self.good, self.old) = (Some(reading), None);
                return CounterStep::Lost(Cause::CounterFell);
            }
            let is_possible = limits.modulus.is_none_or(|modulus| reading.value < modulus);
            if is_possible && is_plausible(rise, good, reading, limits) {
                self.good = Some(reading);
                return CounterStep::Counted(rise);
            }
            return self.begin_doubt(Cause::CounterJump, reading);
        }
        // A 0 may be momentary also where a roll-over would be plausible: the next reading tells.
        if reading.value.is_zero() {
            return self.begin_doubt(Cause::CounterZero, reading);
        }
        match over_modulus(good, reading, limits) {
            Some(counted) => {
                self.good = Some(reading);
                CounterStep::RolledOver(counted)
            }
            None => self.begin_doubt(Cause::CounterFell, reading),
        }
    }

    fn begin_doubt(&mut self, cause: Cause, reading: CounterReading) -> CounterStep {
        let first = reading.value;
        self.doubt = Some(Doubt { cause, began_ms: reading.at_ms, newest: reading, first, steps: 0 });
        CounterStep::InDoubt(cause)
    }

    /// A reading while the register is in doubt.
    fn resolve(
        &mut self,
        good: CounterReading,
        mut doubt: Doubt,
        reading: CounterReading,
        limits: &Limits,
    ) -> CounterStep {
        let is_high = doubt.cause == Cause::CounterJump;
        // After a jump only what lies below it can be the old register again.
        let is_below = !is_high || reading.value < doubt.first;
        let is_possible = limits.modulus.is_none_or(|modulus| reading.value < modulus);
        let since_good = reading.value.checked_sub(good.value);
        let is_back = since_good.is_some_and(|d| d >= -limits.resolution && is_plausible(d, good, reading, limits));
        if let Some(since_good) = since_good.filter(|_| is_back && is_below && is_possible) {
            self.doubt = None;
            let counted = since_good.max(Decimal::ZERO);
            if !counted.is_zero() {
                self.good = Some(reading);
            }
            return CounterStep::Counted(counted);
        }
        if doubt.cause == Cause::CounterZero
            && !reading.value.is_zero()
            && let Some(counted) = over_modulus(good, reading, limits)
        {
            (self.good, self.doubt) = (Some(reading), None);
            return CounterStep::RolledOver(counted);
        }
        let Some(rise) = reading.value.checked_sub(doubt.newest.value) else {
            return self.begin_doubt(Cause::CounterJump, reading);
        };
        if doubt.newest.value.is_zero() && reading.value > good.value {
            // Neither the old register nor a new one that began at 0.
            return self.begin_doubt(Cause::CounterJump, reading);
        }
        let goes_on = rise >= Decimal::ZERO
            && (doubt.newest.value.is_zero() || is_plausible(rise, doubt.newest, reading, limits));
        if !goes_on || !is_possible {
            // Neither the old register nor this one: another begins.
            let cause = if reading.value > good.value {
                Cause::CounterJump
            } else if reading.value.is_zero() {
                Cause::CounterZero
            } else {
                Cause::CounterFell
            };
            return self.begin_doubt(cause, reading);
        }
        if rise > Decimal::ZERO {
            doubt.steps += 1;
            doubt.newest = reading;
            if doubt.cause == Cause::CounterZero {
                doubt.cause = Cause::CounterFell;
            }
        }
        if doubt.steps >= PROVEN_STEPS && reading.at_ms - doubt.began_ms >= PROVEN_MS {
            *self = Self { good: Some(reading), doubt: None, old: Some(good) };
            return CounterStep::Lost(doubt.cause);
        }
        self.doubt = Some(doubt);
        CounterStep::InDoubt(doubt.cause)
    }
}

/// What was counted over a roll-over, if it was one: the register stood in its last tenth, and stands in its first.
fn over_modulus(good: CounterReading, reading: CounterReading, limits: &Limits) -> Option<Decimal> {
    let modulus = limits.modulus.filter(|m| good.value < *m && reading.value < good.value)?;
    let counted = modulus.checked_sub(good.value)?.checked_add(reading.value)?;
    let is_small = counted <= modulus / Decimal::TEN;
    (is_small && is_plausible(counted, good, reading, limits)).then_some(counted)
}

/// Whether so much can have been counted since the register last changed.
fn is_plausible(counted: Decimal, since: CounterReading, now: CounterReading, limits: &Limits) -> bool {
    is_close(counted, since, now, limits) || limits.max_per_h.is_none()
}

/// The same where a rate is known; false where none is.
fn is_close(counted: Decimal, since: CounterReading, now: CounterReading, limits: &Limits) -> bool {
    let Some(max_per_h) = limits.max_per_h else { return false };
    let passed_ms = now.at_ms - since.at_ms;
    // When it had changed before a baseline nobody knows, and not how much time passed if the date went back.
    let is_unknown = limits.is_rated && (!since.is_change || passed_ms < 0);
    let passed_ms = if is_unknown { passed_ms.max(3_600_000) } else { passed_ms.max(0) };
    let hours = Decimal::from(passed_ms) / Decimal::from(3_600_000);
    let most = max_per_h.checked_mul(hours).and_then(|m| m.checked_mul(Decimal::new(12, 1)));
    most.is_none_or(|most| counted <= most.saturating_add(limits.resolution))
}

/// Decimals as text, so that no digit is lost.
pub mod decimal_text {
    use rust_decimal::Decimal;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// As text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &Decimal, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// From text.
    ///
    /// # Errors
    /// It is no decimal.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(from)?;
        Decimal::from_str_exact(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    /// Feeds `seconds:value` words and prints what each brought, and the sum of what was counted.
    fn run(words: &str, modulus: Option<&str>, max_per_h: Option<&str>) -> (String, Decimal) {
        let (modulus, max_per_h) = (modulus.map(decimal), max_per_h.map(decimal));
        let limits = Limits { modulus, max_per_h, is_rated: max_per_h.is_some(), resolution: Decimal::new(1, 2) };
        let (mut counter, mut total, mut out) = (Counter::default(), Decimal::ZERO, Vec::new());
        for word in words.split_whitespace() {
            let (at, value) = word.split_once(':').unwrap();
            let step = counter.step(decimal(value), at.parse::<i64>().unwrap() * 1_000, &limits);
            // What is kept over a restart is all there is.
            counter = serde_json::from_str(&serde_json::to_string(&counter).unwrap()).unwrap();
            out.push(match step {
                CounterStep::Began => "began".to_string(),
                CounterStep::Counted(d) => format!("+{}", d.normalize()),
                CounterStep::RolledOver(d) => format!("over+{}", d.normalize()),
                CounterStep::InDoubt(cause) => cause.word().to_string(),
                CounterStep::Lost(cause) => format!("lost:{}", cause.word()),
            });
            if let CounterStep::Counted(d) | CounterStep::RolledOver(d) = step {
                assert!(d >= Decimal::ZERO, "never backwards");
                total += d;
            }
        }
        (out.join(" "), total.normalize())
    }

    #[test]
    fn a_roll_over_counts_exactly_what_went_over_it() {
        let (said, total) = run("0:42949670 1:42949672.95 2:0.03 3:1.03", Some("42949672.96"), None);
        assert_eq!((said.as_str(), total), ("began +2.95 over+0.04 +1", decimal("3.99")));
        let (said, _) = run("0:42949672.9 1:0 2:0.10 3:0.2", Some("42949672.96"), None);
        assert_eq!(said, "began counter_zero over+0.16 +0.1", "a 0 is believed when the next reading says so");
        let (said, _) = run("0:999999 1:0.5 2:1", None, None);
        assert_eq!(said, "began counter_fell counter_fell", "no modulus, no roll-over");
        let (said, _) = run("0:2636 1:0 2:7", Some("16777216"), None);
        assert_eq!(said, "began counter_zero counter_fell", "far from its modulus");
        let (said, _) = run("0:999984.0625 61:20", Some("1000000"), Some("3000"));
        assert_eq!(said, "began over+35.9375");
        let (said, _) = run("0:999983 30:999984 91:2000", Some("1000000"), Some("3000"));
        assert_eq!(said, "began +1 counter_fell", "more than can be in a minute");
    }

    #[test]
    fn a_momentary_zero_and_a_misread_digit_count_nothing_twice() {
        assert_eq!(run("0:1234.56 1:0 2:0 3:1234.57", None, None).0, "began counter_zero counter_zero +0.01");
        assert_eq!(run("0:23999 60:23000 120:24000 180:24002", None, None).1, decimal("3"));
        // Also in the last tenth before a roll-over.
        let (said, total) = run("0:42949672.9 1:0 2:42949672.92 3:0.02", Some("42949672.96"), None);
        assert_eq!((said.as_str(), total), ("began counter_zero +0.02 over+0.06", decimal("0.08")));
        assert_eq!(run("0:100 1:99.99 2:100.01", None, None).0, "began +0 +0.01", "jitter of one step");
    }

    #[test]
    fn zeroes_at_start_are_no_baseline() {
        assert_eq!(run("0:0 1:0 2:1234.56 3:1234.57", None, None).0, "counter_zero counter_zero began +0.01");
        let (said, _) = run("0:0 60:0 120:1103325.75 180:1103349", None, Some("1000000"));
        assert_eq!(said, "counter_zero counter_zero began +23.25");
        assert_eq!(run("0:0 60:0.5 120:1", None, Some("60")).0, "counter_zero +0.5 +0.5", "a new meter");
    }

    #[test]
    fn the_first_change_after_a_baseline_may_be_what_an_hour_brings() {
        // A register that moves each quarter of an hour, first read a second before it does; whole hours of run time.
        assert_eq!(run("0:5000 1:5010 901:5020", None, Some("50")).0, "began +10 +10");
        assert_eq!(run("0:17 1:18 3601:19", None, Some("1")).0, "began +1 +1");
        assert_eq!(run("0:5000 1:5010 2:5060", None, Some("50")).0, "began +10 counter_jump");
        // Behind a momentary 0 a jump is one all the same.
        let stays: String = (2..200).map(|m| format!(" {}:18990", m * 60)).collect();
        assert_eq!(run(&format!("0:17989 1:17990 60:0{stays}"), None, Some("630")).1, decimal("1"));
    }

    #[test]
    fn a_jump_beyond_the_rating_is_not_counted_and_its_end_opens_no_reset() {
        let (said, total) = run("0:17990 66:18990 132:17990 198:17991", None, Some("630"));
        assert_eq!((said.as_str(), total), ("began counter_jump +0 +1", decimal("1")));
        // It stays up: the time that passes does not make it plausible.
        let stays: String = (1..200).map(|m| format!(" {}:18990", m * 60)).collect();
        assert_eq!(run(&format!("0:17990{stays}"), None, Some("630")).1, Decimal::ZERO);
        assert_eq!(run("0:38312088 60:1.8E21 120:1.8E21 960:38312234", None, Some("1000000")).1, decimal("146"));
    }

    #[test]
    fn a_reset_is_believed_when_the_new_register_has_risen_for_an_hour_and_an_old_one_may_still_come_back() {
        let rises: String = (0..80).map(|m| format!(" {}:{}", 60 + m * 60, m)).collect();
        let (said, total) = run(&format!("0:5000{rises}"), None, None);
        assert!(
            said.contains("counter_zero counter_fell counter_fell") && said.contains("lost:counter_fell"),
            "{said}"
        );
        assert_eq!(total, decimal("19"), "what was counted after that");
        // An old value that is served again for long never rises.
        let plateau: String = (1..600).map(|m| format!(" {}:24095", m * 60)).collect();
        assert_eq!(run(&format!("0:27000{plateau} 36060:27111"), None, Some("100000")).1, decimal("111"));
        let (said, total) = run(&format!("0:5000{rises} 4920:5010 4980:5011"), None, Some("600"));
        assert!(said.ends_with("lost:counter_fell +1"), "{said}");
        assert_eq!(total, decimal("20"));
    }

    #[test]
    fn a_gap_counts_what_the_register_counted() {
        assert_eq!(run("0:38312088 22500:38315900 22560:38315928", None, Some("1000000")).1, decimal("3840"));
        assert_eq!(run("0:9000 60:8564 21660:9472", None, Some("100000")).1, decimal("472"));
    }
}
