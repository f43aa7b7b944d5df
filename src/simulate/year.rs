//! A year of the plant's meters, before the demo begins: weekdays, weekends and seasons, and what happens to meters in a year (an exchange, a
//! controller that is replaced, transformers that are programmed, three days without the gateway). A function of time and a seed; where the
//! year ends, the simulated plant goes on.

use jiff::Timestamp;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;

use crate::model::time::UnixMillis;
use crate::simulate::power::{FIRST_KWH, SUB_METERS};

/// Length of a step: registers are read at quarter hours.
pub const STEP_MS: i64 = 900_000;
const DAY_MS: i64 = 86_400_000;
/// Days of the year.
const DAYS: i64 = 365;
/// What the incomer counts more than the meters below it, as losses.
const LOSSES: f64 = 0.012;

/// Consumption of each sub-meter in a year, kWh; of [`RESET`] it follows from what it showed last.
const YEAR_KWH: [f64; 6] = [61_400.0, 24_800.0, 16_900.0, 0.0, 92_300.0, 118_600.0];

/// When what happened, days after the year began.
const EXCHANGE_DAY: i64 = 148;
const RESET_DAY: i64 = 211;
const OUTAGE_DAYS: std::ops::Range<i64> = 190..193;
const TRANSFORMER_DAY: i64 = 262;
/// Number of the sub-meter that was exchanged, of the one whose controller was replaced, of the one behind transformers.
const EXCHANGED: usize = 2;
const RESET: usize = 3;
const BEHIND_TRANSFORMERS: usize = 5;
/// Ratio of the transformers of [`BEHIND_TRANSFORMERS`], 150/5.
const RATIO: f64 = 30.0;
/// What the old meter of [`EXCHANGED`] showed when it was removed, and the old controller of [`RESET`] when the year began, kWh.
const FINAL_KWH: f64 = 87_654.3;
const BEGIN_KWH: f64 = 402_118.0;

/// The registers of all meters at a quarter hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct YearStep {
    pub at: UnixMillis,
    /// Of the incomer and the six meters below it, kWh.
    pub kwh: [f64; 7],
    /// Whether the gateway was there to read them.
    pub is_read: bool,
}

/// Dates of what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearDates {
    pub from: UnixMillis,
    pub exchange: UnixMillis,
    pub reset: UnixMillis,
    pub transformers: UnixMillis,
}

/// The year before a moment.
#[derive(Clone, Debug)]
pub struct Year {
    from: i64,
    zone: TimeZone,
    seed: u64,
    /// What each point had consumed by each quarter hour since the year began, kWh.
    consumed: Vec<[f64; 6]>,
}

impl Year {
    /// Up to the last quarter hour before `end`.
    pub fn before(end: UnixMillis, zone: TimeZone, seed: u64) -> Self {
        let from = end.0.div_euclid(STEP_MS) * STEP_MS - DAYS * DAY_MS;
        let mut year = Self { from, zone, seed, consumed: Vec::new() };
        let steps = DAYS * DAY_MS / STEP_MS;
        let mut sums = [0.0; 6];
        year.consumed.push(sums);
        for i in 0..steps {
            for (meter, sum) in sums.iter_mut().enumerate() {
                *sum += year.shape(meter, from + i * STEP_MS);
            }
            year.consumed.push(sums);
        }
        let at_reset = year.consumed[year.index(year.dates().reset)];
        for step in &mut year.consumed {
            for (meter, consumed) in step.iter_mut().enumerate() {
                let kwh_each = match meter {
                    RESET => FIRST_KWH[RESET] / (sums[RESET] - at_reset[RESET]),
                    _ => YEAR_KWH[meter] / sums[meter],
                };
                *consumed *= kwh_each;
            }
        }
        year
    }

    pub fn dates(&self) -> YearDates {
        let day = |day: i64, hours: i64| UnixMillis(self.from + day * DAY_MS + hours * 3_600_000);
        YearDates {
            from: UnixMillis(self.from),
            exchange: day(EXCHANGE_DAY, 2),
            reset: day(RESET_DAY, 3),
            transformers: day(TRANSFORMER_DAY, 2),
        }
    }

    fn index(&self, at: UnixMillis) -> usize {
        usize::try_from((at.0 - self.from) / STEP_MS).unwrap_or_default().min(self.consumed.len() - 1)
    }

    /// Every quarter hour, in order.
    pub fn steps(&self) -> impl Iterator<Item = YearStep> + '_ {
        let dates = self.dates();
        let of = |at| self.consumed[self.index(at)];
        let (exchange, reset, transformers) = (of(dates.exchange), of(dates.reset), of(dates.transformers));
        let last = self.consumed.last().copied().unwrap_or_default();
        let all = |of: &[f64; 6]| of.iter().sum::<f64>() * (1.0 + LOSSES);
        let end: f64 = FIRST_KWH.iter().sum();
        self.consumed.iter().zip(0i64..).map(move |(consumed, i)| {
            let at = UnixMillis(self.from + i * STEP_MS);
            let mut kwh = [0.0; 7];
            kwh[0] = end - (all(&last) - all(consumed));
            for meter in 0..SUB_METERS.len() {
                let primary = FIRST_KWH[meter] - (last[meter] - consumed[meter]);
                kwh[meter + 1] = match meter {
                    EXCHANGED if at < dates.exchange => FINAL_KWH - (exchange[meter] - consumed[meter]),
                    RESET if at < dates.reset => BEGIN_KWH + consumed[meter],
                    RESET => consumed[meter] - reset[meter],
                    BEHIND_TRANSFORMERS if at < dates.transformers => {
                        let then = FIRST_KWH[meter] - (last[meter] - transformers[meter]);
                        then - (transformers[meter] - consumed[meter]) / RATIO
                    }
                    _ => primary,
                };
            }
            let day = i * STEP_MS / DAY_MS;
            YearStep { at, kwh, is_read: !OUTAGE_DAYS.contains(&day) }
        })
    }

    /// Relative load of a meter in the quarter hour that begins at a moment.
    fn shape(&self, meter: usize, at: i64) -> f64 {
        let local = local(at, &self.zone);
        let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0;
        let is_weekend = matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday);
        let day = f64::from(local.day_of_year());
        // 1 at the beginning of August, -1 at the beginning of February.
        let summer = ((day - 213.0) / 365.0 * std::f64::consts::TAU).cos();
        let between = |from: f64, to: f64| f64::from(u8::from((from..to).contains(&hour)));
        let bump = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
        let load = match meter {
            // Lighting: the night, longer in winter.
            0 => 0.35 + between(0.0, 6.5 - summer) + between(18.0 + summer, 24.0),
            // Lifts: to work and back.
            1 => {
                0.15 + bump(8.0, 1.2) + 0.5 * bump(12.5, 1.0) + 1.1 * bump(18.5, 1.6)
                    - if is_weekend { 0.1 } else { 0.0 }
            }
            // Pumps: water is used in the morning and in the evening; it rains in summer.
            2 => 0.25 + 0.8 * bump(7.5, 1.3) + bump(20.0, 2.0) + 0.2 * summer.max(0.0),
            // Garage: charging at night.
            3 => 0.2 + 1.3 * between(21.0, 24.0) + 0.9 * between(0.0, 4.0),
            // Shops: while they are open, more at weekends.
            4 => 0.2 + between(9.5, 21.5) * if is_weekend { 1.3 } else { 1.0 },
            // Air conditioning: summer afternoons, a little in winter.
            _ => 0.08 + (summer.max(0.0) * 1.6 + (-summer).max(0.0) * 0.5) * (0.3 + bump(15.0, 4.0)),
        };
        load.max(0.05) * (1.0 + 0.12 * self.noise(meter, at))
    }

    /// From -1 to 1, the same for the same seed, meter and moment.
    fn noise(&self, meter: usize, at: i64) -> f64 {
        let mut x =
            self.seed ^ (at / STEP_MS).cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((meter as u64) << 32);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((x ^ (x >> 31)) >> 40).unwrap_or_default()) / f64::from(1 << 23) - 1.0
    }
}

fn local(at: i64, zone: &TimeZone) -> DateTime {
    Timestamp::from_millisecond(at).unwrap_or_default().to_zoned(zone.clone()).datetime()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_ends_where_the_plant_goes_on() {
        let end = UnixMillis(1_790_000_000_000);
        let year = Year::before(end, TimeZone::UTC, 7);
        let steps: Vec<YearStep> = year.steps().collect();
        assert_eq!(steps.len(), 365 * 96 + 1);
        let last = steps.last().unwrap();
        for (kwh, first) in last.kwh[1..].iter().zip(FIRST_KWH) {
            assert!((kwh - first).abs() < 1e-6, "{kwh} {first}");
        }
        assert!((last.kwh[0] - FIRST_KWH.iter().sum::<f64>()).abs() < 1e-6);
        assert!(end.0 - last.at.0 < STEP_MS);
        // Registers rise but where something happens, and the incomer counts what the others do, and losses.
        let falls = |meter: usize| steps.windows(2).filter(|pair| pair[1].kwh[meter] < pair[0].kwh[meter]).count();
        assert_eq!((0..7).map(falls).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 0, 0]);
        assert!(steps.iter().all(|step| step.kwh.iter().all(|kwh| *kwh >= 0.0)));
        assert_eq!(steps, Year::before(end, TimeZone::UTC, 7).steps().collect::<Vec<_>>());
        assert!(steps.iter().filter(|step| !step.is_read).count() == 3 * 96);
    }
}
