//! Consumption of metering points over random lives (gaps, exchanges, ratios that change, corrections, a day of 23 or 25 hours), beside a
//! slow reference that counts minute by minute.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use plantroom::energy::calendar::{Step, bounds};
use plantroom::energy::consumption::{Consumption, MeteredPart};
use plantroom::energy::decision::Decisions;
use plantroom::energy::entry::Correction;
use plantroom::energy::interval::{Interval, IntervalQuality};
use plantroom::energy::span::RegisterEventKind;
use plantroom::model::metering::{Classification, TimeRange};
use plantroom::model::time::UnixMillis;
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::energy::Kept;

/// Midnights before a day of 23 hours and before one of 25, Europe/Berlin, and before a usual one, in minutes since 1970.
const BEGINS: [i64; 3] = [1_774_652_400 / 60, 1_792_792_800 / 60, 1_780_264_800 / 60];
const MINUTES: i64 = 3 * 1_440;
/// Of a register that falls, the proof that it is another one takes an hour.
const PROOF: i64 = 90;

/// What happens to a meter.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Read each minute, so many minutes at so many tenths of a kWh a minute.
    Run(i64, i64),
    /// Not read for so many minutes.
    Gap(i64, i64),
    /// Exchanged: tenths that the old one counted after its last reading, the first reading of the new one, tenths that it had counted by
    /// then; whether somebody says so.
    Exchange(i64, i64, i64, bool),
    /// Other transformers.
    Ratio(i64),
}

/// A meter's life as the gateway sees it, and as it was.
struct Life {
    kept: Kept,
    /// Tenths counted by each minute at which it was read, across exchanges that somebody explained, and nothing across others.
    counted: BTreeMap<i64, i64>,
    /// Since which minute which multiplier holds.
    ratios: Vec<(i64, i64)>,
    /// What was consumed, in tenths, without what nobody explained.
    truth: i64,
    exchange: Option<(Classification, bool)>,
}

impl Life {
    fn new(fates: &[Fate], begin: i64) -> Self {
        let kept = Kept::new(None, Some("1200"));
        let mut life = Self { kept, counted: BTreeMap::new(), ratios: vec![(i64::MIN, 1)], truth: 0, exchange: None };
        let (mut minute, mut shown, mut total) = (begin, 500_000, 0);
        life.read(minute, shown, total);
        let tail = [Fate::Run(MINUTES, 3)];
        for fate in fates.iter().chain(&tail) {
            let ratio = life.ratios.last().unwrap().1;
            let to_boundary = 15 - minute.rem_euclid(15);
            let mut go_on = |life: &mut Self, minutes: i64, rate: i64, is_read: bool| {
                for i in 1..=minutes {
                    if minute >= begin + MINUTES {
                        return;
                    }
                    (minute, shown, total) = (minute + 1, shown + rate, total + rate);
                    life.truth += rate * ratio;
                    if is_read || i == minutes || minute == begin + MINUTES {
                        life.read(minute, shown, total);
                    }
                }
            };
            match *fate {
                Fate::Run(minutes, rate) => go_on(&mut life, minutes, rate, true),
                Fate::Gap(minutes, rate) => go_on(&mut life, minutes, rate, false),
                // At a boundary, whose reading is kept: elsewhere the quarter hour is divided evenly.
                Fate::Ratio(ratio) => {
                    go_on(&mut life, to_boundary, 1, true);
                    life.ratios.push((minute, ratio));
                }
                // One a life, and time enough to prove itself.
                Fate::Exchange(after, first, before, is_said) => {
                    if life.exchange.is_some() || minute + PROOF + 1 >= begin + MINUTES {
                        continue;
                    }
                    let final_reading = Decimal::new(shown + after, 1);
                    let initial_reading = Decimal::new((first - before).max(0), 1);
                    let across = if is_said { after + first - (first - before).max(0) } else { 0 };
                    life.exchange = Some((Classification::Exchange { final_reading, initial_reading }, is_said));
                    (minute, shown, total) = (minute + 1, first, total + across);
                    life.truth += across * ratio;
                    life.read(minute, shown, total);
                    let mut prove = |life: &mut Self| {
                        for _ in 0..PROOF {
                            (minute, shown, total) = (minute + 1, shown + 2, total + 2);
                            life.truth += 2 * ratio;
                            life.read(minute, shown, total);
                        }
                    };
                    prove(&mut life);
                }
            }
        }
        life
    }

    fn read(&mut self, minute: i64, shown: i64, total: i64) {
        self.kept.read(minute * 60_000, Decimal::new(shown, 1));
        self.counted.insert(minute, total);
    }

    fn consumption(&self) -> Consumption {
        let profile = match self.exchange {
            Some((classification, true)) => self.kept.decided(2, classification),
            _ => self.kept.profile(&Decisions::default()),
        };
        let profile = Arc::new(profile);
        let part = |(i, (from, ratio)): (usize, &(i64, i64))| MeteredPart {
            from: UnixMillis(from.saturating_mul(60_000)),
            to: self.ratios.get(i + 1).map_or(UnixMillis(i64::MAX), |(next, _)| UnixMillis(next * 60_000)),
            multiplier: Decimal::from(*ratio),
            profile: Arc::clone(&profile),
        };
        Consumption::Metered(self.ratios.iter().enumerate().map(part).collect())
    }

    /// What the register had counted by a minute, to six decimals where it was not read.
    fn counted_by(&self, minute: i64) -> Decimal {
        if let Some(tenths) = self.counted.get(&minute) {
            return Decimal::new(*tenths, 1);
        }
        let before = self.counted.range(..minute).next_back().unwrap();
        let after = self.counted.range(minute..).next().unwrap();
        let rise = Decimal::new(after.1 - before.1, 1);
        let share = Decimal::from(minute - before.0) / Decimal::from(after.0 - before.0);
        Decimal::new(*before.1, 1) + (rise * share).round_dp_with_strategy(6, RoundingStrategy::MidpointAwayFromZero)
    }

    /// What was consumed between two minutes.
    fn reference(&self, from: i64, to: i64) -> Decimal {
        let of_part = |(i, (since, ratio)): (usize, &(i64, i64))| {
            let next = self.ratios.get(i + 1).map_or(i64::MAX, |(next, _)| *next);
            let (a, b) = (from.max(*since), to.min(next));
            if a < b { (self.counted_by(b) - self.counted_by(a)) * Decimal::from(*ratio) } else { Decimal::ZERO }
        };
        self.ratios.iter().enumerate().map(of_part).sum()
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => (1i64..400, 0i64..10).prop_map(|(m, r)| Fate::Run(m, r)),
        3 => (2i64..300, 0i64..10).prop_map(|(m, r)| Fate::Gap(m, r)),
        1 => (0i64..50, 1i64..900, 0i64..50, any::<bool>()).prop_map(|(a, f, b, said)| Fate::Exchange(a, f, b, said)),
        1 => prop_oneof![Just(10i64), Just(30), Just(1)].prop_map(Fate::Ratio),
    ];
    prop::collection::vec(fate, 3..25)
}

/// A correction changes the sum of its range to what it says, and nothing outside of it.
fn corrected(life: &Life, (from, to): (UnixMillis, UnixMillis), consumed: Decimal, zone: &TimeZone) {
    let range = TimeRange { from, to };
    let mut decisions = Decisions::default();
    decisions.entries.corrections.push(Correction { range, consumed });
    let (before, after) = (life.kept.profile(&Decisions::default()), life.kept.profile(&decisions));
    let all = |from, to| bounds(from, to, Step::Minutes(15), zone);
    assert_eq!(sum(&after.intervals(&all(from, to))), consumed, "{range:?}");
    let (first, last) = before.ends().unwrap();
    for (from, to) in [(first.at, from), (to, last.at)] {
        let pairs = before.intervals(&all(from, to)).into_iter().zip(after.intervals(&all(from, to)));
        pairs.for_each(|(before, after)| assert_eq!(before.consumed, after.consumed, "{range:?}"));
    }
    assert!(after.intervals(&all(first.at, last.at)).iter().all(|i| i.consumed.is_none_or(|c| c >= Decimal::ZERO)));
}

fn sum(intervals: &[Interval]) -> Decimal {
    intervals.iter().filter_map(|interval| interval.consumed).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_level_sums_up_to_what_was_counted_minute_by_minute(lives in prop::collection::vec(fates(), 3), day in 0usize..3, (start, length, consumed) in (0i64..200, 1i64..80, 0i64..90_000)) {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let begin = BEGINS[day];
        let lives: Vec<Life> = lives.iter().map(|fates| Life::new(fates, begin)).collect();
        let (from, to) = (UnixMillis(begin * 60_000), UnixMillis((begin + MINUTES) * 60_000));
        let grid = |step| bounds(from, to, step, &zone);
        let points: Vec<Arc<Consumption>> = lives.iter().map(|life| Arc::new(life.consumption())).collect();
        for (life, point) in lives.iter().zip(&points) {
            prop_assert!(!life.kept.events.contains(&RegisterEventKind::Returned));
            let whole = point.interval(from, to);
            prop_assert_eq!(whole.consumed, Some(Decimal::new(life.truth, 1)), "{:?} {:?}", life.kept.events, life.ratios);
            let is_open = life.exchange.is_some_and(|(_, is_said)| !is_said);
            prop_assert_eq!(whole.quality == IntervalQuality::Pending, is_open);
            for step in [Step::Minutes(15), Step::Minutes(60), Step::Day] {
                let intervals = point.intervals(&grid(step));
                prop_assert_eq!(sum(&intervals), Decimal::new(life.truth, 1));
                for interval in &intervals {
                    let expected = life.reference(interval.start.0 / 60_000, interval.end.0 / 60_000);
                    prop_assert_eq!(interval.consumed.unwrap_or_default(), expected, "{:?}", interval);
                    prop_assert!(expected >= Decimal::ZERO);
                }
                // Put together again it is the same to the last digit.
                prop_assert_eq!(&intervals, &life.consumption().intervals(&grid(step)));
            }
        }
        let range = (UnixMillis((begin + start * 15) * 60_000), UnixMillis((begin + (start + length) * 15) * 60_000));
        corrected(&lives[0], range, Decimal::new(consumed, 1), &zone);
        // The levels: a group of all of them, and a point of which two are a part.
        let truth = Decimal::new(lives.iter().map(|life| life.truth).sum::<i64>(), 1);
        let group = Consumption::Group(points.iter().map(|point| (Decimal::ONE, Arc::clone(point))).collect());
        prop_assert_eq!(sum(&group.intervals(&grid(Step::Minutes(15)))), truth);
        prop_assert_eq!(sum(&group.intervals(&grid(Step::Day))), truth);
        let rest = [(Decimal::ONE, Arc::new(group)), (Decimal::NEGATIVE_ONE, Arc::clone(&points[0]))];
        let rest = Consumption::Combined(rest.to_vec());
        prop_assert_eq!(rest.interval(from, to).consumed, Some(truth - Decimal::new(lives[0].truth, 1)));
    }
}
