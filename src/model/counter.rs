//! Increments of cumulative registers, exact to the last digit: distinguishes roll-over, momentary 0, fall, reset and jump.
//!
//! A [`Counter`] takes every good reading in order and decides whether the increment since the one before is known. It never counts
//! backwards and never counts what it cannot account for. A reading that fell or jumped is *in doubt*: nothing is counted until
//! either the old register comes back (then the difference counts, once) or the new one has risen in plausible steps for an hour
//! (then it is the new baseline, and the increment in between is unknown). For a week after that the old one is recognised if it
//! returns.
//!
//! Rules (sources: docs/operations.md): a roll-over is accepted only if a modulus is known, the register was in its last tenth
//! and the step over it is plausible. A step is plausible if it is at most the maximum rate times the time since the register last
//! *changed*, plus a fifth. There are no percentages of the register. A fall by one resolution step is jitter.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::model::quality::Cause;

/// A new register is accepted after this time and this many steps upwards.
const PROVEN_MS: i64 = 3_600_000;
const PROVEN_STEPS: u32 = 3;
/// How long an old register is recognised if it comes back after a new one was accepted.
const REMEMBERED_MS: i64 = 7 * 86_400_000;

/// Known properties of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RegisterLimits {
    /// The value at which it rolls over, in its unit.
    pub modulus: Option<Decimal>,
    /// Maximum increment per hour, in its unit.
    pub max_per_h: Option<Decimal>,
    /// Whether that is a rating, or only a bound against garbage. With a rating, the first change after a baseline may be as much as an
    /// hour's increment, because it is unknown when the register had changed before.
    pub is_rated: bool,
    /// The smallest step by which it changes.
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

/// The result of one reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CounterStep {
    /// The first reading, or a new baseline after readings of 0.
    Began,
    /// The increment since the last accepted reading.
    Counted(Decimal),
    /// The increment since the last accepted reading, across a roll-over.
    RolledOver(Decimal),
    /// Not known yet, for this cause.
    InDoubt(Cause),
    /// The readings in doubt are a new register: what was counted between the last accepted reading and the first of them is unknown.
    Replaced(Cause),
    /// The register that was given up is back: the increment since its last accepted reading. What was counted meanwhile is none.
    Returned(Decimal),
}

impl Counter {
    /// The value of the last accepted reading.
    pub fn accepted(&self) -> Option<Decimal> {
        self.good.map(|good| good.value)
    }

    /// When the first of the readings that are in doubt was taken.
    pub fn doubt_began_ms(&self) -> Option<i64> {
        self.doubt.map(|doubt| doubt.began_ms)
    }

    /// The date went back: the accepted reading stands, as if it had changed an hour before `at_ms`; doubts are dropped.
    pub fn redate(&mut self, at_ms: i64) {
        let at_ms = at_ms - 3_600_000;
        self.good = self.good.map(|good| CounterReading { at_ms, ..good });
        (self.doubt, self.old) = (None, None);
    }

    /// Takes in the next good reading; readings must come in order.
    pub fn step(&mut self, value: Decimal, at_ms: i64, limits: &RegisterLimits) -> CounterStep {
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

    /// No reading has been accepted yet. A 0 is not accepted: many devices read 0 while they start.
    fn first(&mut self, reading: CounterReading, limits: &RegisterLimits) -> CounterStep {
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
        // An increment from 0 counts only if it is plausible by a rating: a bound against garbage would let a lifetime pass.
        let from_zero = self.doubt.take().filter(|d| limits.is_rated && d.first.is_zero());
        self.good = Some(CounterReading { is_change: false, ..reading });
        match from_zero {
            Some(zero) if is_close(reading.value, zero.newest, reading, limits) => CounterStep::Counted(reading.value),
            _ => CounterStep::Began,
        }
    }

    fn next(&mut self, good: CounterReading, reading: CounterReading, limits: &RegisterLimits) -> CounterStep {
        let Some(rise) = reading.value.checked_sub(good.value) else {
            return self.begin_doubt(Cause::CounterJump, reading);
        };
        if rise.is_zero() || (rise < Decimal::ZERO && -rise <= limits.resolution && !reading.value.is_zero()) {
            // Unchanged, or jitter by one resolution step.
            return CounterStep::Counted(Decimal::ZERO);
        }
        if rise > Decimal::ZERO {
            if let Some(since_old) = self.since_old(reading, limits)
                && !is_close(rise, good, reading, limits)
            {
                (self.good, self.old) = (Some(reading), None);
                return CounterStep::Returned(since_old);
            }
            let is_possible = limits.modulus.is_none_or(|modulus| reading.value < modulus);
            if is_possible && is_plausible(rise, good, reading, limits) {
                self.good = Some(reading);
                return CounterStep::Counted(rise);
            }
            return self.begin_doubt(Cause::CounterJump, reading);
        }
        // A 0 may be momentary even if a roll-over would be plausible: the next reading decides.
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

    /// The increment since the register that was given up, if this may be that one: its rate must be known, or any reading could be.
    fn since_old(&self, reading: CounterReading, limits: &RegisterLimits) -> Option<Decimal> {
        let old = self.old.filter(|old| reading.value >= old.value)?;
        let since = reading.value.checked_sub(old.value)?;
        (limits.max_per_h.is_some() && is_plausible(since, old, reading, limits)).then_some(since)
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
        limits: &RegisterLimits,
    ) -> CounterStep {
        let is_high = doubt.cause == Cause::CounterJump;
        // After a jump, only a reading below it can be the old register.
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
        if rise < Decimal::ZERO && -rise <= limits.resolution && !reading.value.is_zero() {
            // Jitter by one resolution step.
            return CounterStep::InDoubt(doubt.cause);
        }
        if doubt.steps > 0
            && let Some(since_old) = self.since_old(reading, limits)
            && is_close(rise, doubt.newest, reading, limits)
        {
            // It fell back to the register that had been given up, and has gone on there.
            *self = Self { good: Some(reading), doubt: None, old: None };
            return CounterStep::Returned(since_old);
        }
        if doubt.newest.value.is_zero() && reading.value > good.value {
            // Neither the old register nor a new one that began at 0.
            return self.begin_doubt(Cause::CounterJump, reading);
        }
        // After a 0 another register may begin anywhere: from there on, unless a rating says that it can have counted from 0.
        let is_from_zero = doubt.newest.value.is_zero() && !rise.is_zero();
        let is_possible_step = if is_from_zero {
            limits.is_rated && is_close(rise, doubt.newest, reading, limits)
        } else {
            is_plausible(rise, doubt.newest, reading, limits)
        };
        let goes_on = rise >= Decimal::ZERO && is_possible_step;
        if !goes_on || !is_possible {
            // Neither the old register nor the one in doubt: doubt begins anew.
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
            return CounterStep::Replaced(doubt.cause);
        }
        self.doubt = Some(doubt);
        CounterStep::InDoubt(doubt.cause)
    }
}

/// The increment across a roll-over, if it is one: the increment is at most a tenth of the modulus.
fn over_modulus(good: CounterReading, reading: CounterReading, limits: &RegisterLimits) -> Option<Decimal> {
    let modulus = limits.modulus.filter(|m| good.value < *m && reading.value < good.value)?;
    let counted = modulus.checked_sub(good.value)?.checked_add(reading.value)?;
    let is_small = counted <= modulus / Decimal::TEN;
    (is_small && is_plausible(counted, good, reading, limits)).then_some(counted)
}

/// Whether this increment is possible since the register last changed.
fn is_plausible(counted: Decimal, since: CounterReading, now: CounterReading, limits: &RegisterLimits) -> bool {
    is_close(counted, since, now, limits) || limits.max_per_h.is_none()
}

/// Like [`is_plausible`], but false if no rate is known.
fn is_close(counted: Decimal, since: CounterReading, now: CounterReading, limits: &RegisterLimits) -> bool {
    let Some(max_per_h) = limits.max_per_h else { return false };
    let passed_ms = now.at_ms - since.at_ms;
    // Unknown: when it had changed before a baseline, and how much time passed if the date went back.
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

    /// Writes a decimal as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Decimal, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads a decimal from text.
    ///
    /// # Errors
    /// The text is no decimal.
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

    /// Feeds `seconds:value` words; returns the result of each as text, and the sum of the increments.
    fn run(words: &str, modulus: Option<&str>, max_per_h: Option<&str>) -> (String, Decimal) {
        let (modulus, max_per_h) = (modulus.map(decimal), max_per_h.map(decimal));
        let limits =
            RegisterLimits { modulus, max_per_h, is_rated: max_per_h.is_some(), resolution: Decimal::new(1, 2) };
        let (mut counter, mut total, mut out) = (Counter::default(), Decimal::ZERO, Vec::new());
        for word in words.split_whitespace() {
            let (at, value) = word.split_once(':').unwrap();
            let step = counter.step(decimal(value), at.parse::<i64>().unwrap() * 1_000, &limits);
            // A round trip through the persisted form must change nothing.
            counter = serde_json::from_str(&serde_json::to_string(&counter).unwrap()).unwrap();
            out.push(match step {
                CounterStep::Began => "began".to_string(),
                CounterStep::Counted(d) => format!("+{}", d.normalize()),
                CounterStep::RolledOver(d) => format!("over+{}", d.normalize()),
                CounterStep::InDoubt(cause) => cause.word().to_string(),
                CounterStep::Replaced(cause) => format!("replaced:{}", cause.word()),
                CounterStep::Returned(d) => format!("returned+{}", d.normalize()),
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
        // The same in the last tenth before a roll-over.
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
        // After a momentary 0, a jump is still a jump.
        let stays: String = (2..200).map(|m| format!(" {}:18990", m * 60)).collect();
        assert_eq!(run(&format!("0:17989 1:17990 60:0{stays}"), None, Some("630")).1, decimal("1"));
    }

    #[test]
    fn a_jump_beyond_the_rating_is_not_counted_and_its_end_opens_no_reset() {
        let (said, total) = run("0:17990 66:18990 132:17990 198:17991", None, Some("630"));
        assert_eq!((said.as_str(), total), ("began counter_jump +0 +1", decimal("1")));
        // It stays up: passing time does not make it plausible.
        let stays: String = (1..200).map(|m| format!(" {}:18990", m * 60)).collect();
        assert_eq!(run(&format!("0:17990{stays}"), None, Some("630")).1, Decimal::ZERO);
        assert_eq!(run("0:38312088 60:1.8E21 120:1.8E21 960:38312234", None, Some("1000000")).1, decimal("146"));
    }

    #[test]
    fn a_reset_is_believed_when_the_new_register_has_risen_for_an_hour_and_an_old_one_may_still_come_back() {
        let rises: String = (0..80).map(|m| format!(" {}:{}", 60 + m * 60, m)).collect();
        let (said, total) = run(&format!("0:5000{rises}"), None, None);
        assert!(
            said.contains("counter_zero counter_fell counter_fell") && said.contains("replaced:counter_fell"),
            "{said}"
        );
        // The 0 is not the new register's first reading: that is the 1 after it, an hour before minute 62.
        assert_eq!(total, decimal("18"), "what was counted after that");
        // A stale value that is served for a long time never rises, and so is never accepted.
        let plateau: String = (1..600).map(|m| format!(" {}:24095", m * 60)).collect();
        assert_eq!(run(&format!("0:27000{plateau} 36060:27111"), None, Some("100000")).1, decimal("111"));
        let (said, total) = run(&format!("0:5000{rises} 4920:5010 4980:5011"), None, Some("600"));
        assert!(said.ends_with("returned+10 +1"), "{said}");
        assert_eq!(total, decimal("20"));
    }

    #[test]
    fn a_gap_counts_what_the_register_counted() {
        assert_eq!(run("0:38312088 22500:38315900 22560:38315928", None, Some("1000000")).1, decimal("3840"));
        assert_eq!(run("0:9000 60:8564 21660:9472", None, Some("100000")).1, decimal("472"));
    }
}
