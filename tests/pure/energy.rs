//! Consumption from register readings: published failures of others, and random lives of a meter beside what it really counted.

use jiff::tz::TimeZone;
use plantroom::energy::calendar::{Step, bounds, grid_ms};
use plantroom::energy::closure::Signature;
use plantroom::energy::consumption::Consumption;
use plantroom::energy::decision::{DecisionVersion, Decisions, boundaries, counted};
use plantroom::energy::interval::{Interval, IntervalQuality};
use plantroom::energy::profile::Profile;
use plantroom::energy::register::{Changes, Register};
use plantroom::energy::span::{Mark, RegisterEventKind, Span, SpanState};
use plantroom::energy::summary::Summary;
use plantroom::model::counter::RegisterLimits;
use plantroom::model::metering::{Classification, RegisterBoundary, RegisterReading};
use plantroom::model::time::UnixMillis;
use proptest::prelude::*;
use rust_decimal::Decimal;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// What a ledger keeps of one register.
#[derive(Default)]
pub(crate) struct Kept {
    register: Register,
    spans: std::collections::BTreeMap<u32, Span>,
    marks: Vec<Mark>,
    pub(crate) events: Vec<RegisterEventKind>,
    limits: RegisterLimits,
}

impl Kept {
    pub(crate) fn new(modulus: Option<&str>, max_per_h: Option<&str>) -> Self {
        // Without a rating: the bound that keeps garbage out.
        let is_rated = max_per_h.is_some();
        let (modulus, max_per_h) = (modulus.map(decimal), Some(decimal(max_per_h.unwrap_or("1000000"))));
        let limits = RegisterLimits { modulus, max_per_h, is_rated, resolution: Decimal::new(1, 3) };
        Self { limits, ..Self::default() }
    }

    pub(crate) fn read(&mut self, at_ms: i64, value: Decimal) {
        let mut changes = Changes::default();
        self.register.step(RegisterReading { at: UnixMillis(at_ms), value }, &self.limits, grid_ms(15), &mut changes);
        changes.spans.into_iter().for_each(|span| _ = self.spans.insert(span.number, span));
        self.register.open_spans().for_each(|span| _ = self.spans.insert(span.number, span));
        self.marks.extend(changes.marks);
        self.events.extend(changes.events.iter().map(|event| event.kind));
    }

    /// `seconds:value` words.
    pub(crate) fn run(mut self, words: &str) -> Self {
        for word in words.split_whitespace() {
            let (at, value) = word.split_once(':').unwrap();
            self.read(at.parse::<i64>().unwrap() * 1_000, decimal(value));
        }
        self
    }

    pub(crate) fn profile(&self, decisions: &Decisions) -> Profile {
        let spans: Vec<Span> = self.spans.values().copied().collect();
        Profile::new(&spans, &self.marks, decisions, grid_ms(15))
    }

    /// What a person says of the boundary before a span.
    pub(crate) fn decided(&self, span: u32, classification: Classification) -> Profile {
        let spans: Vec<Span> = self.spans.values().copied().collect();
        let known = boundaries(&spans);
        let of = known.iter().find(|b| b.span == span).unwrap();
        let (device, point) = ("meter".to_string(), "energy_import_kwh".to_string());
        let boundary = RegisterBoundary { device, point, span, before: of.before, after: of.after };
        let counted = counted(&boundary, classification).unwrap();
        let signature = Signature::default();
        self.profile(&Decisions::in_force(&[DecisionVersion { boundary, classification, counted, signature }]))
    }

    fn total(&self) -> Decimal {
        self.profile(&Decisions::default()).total().normalize()
    }

    /// Quarter hours that hold everything.
    fn quarters(&self) -> Vec<Interval> {
        let profile = self.profile(&Decisions::default());
        let Some((first, last)) = profile.ends() else { return Vec::new() };
        let from = UnixMillis(first.at.0.div_euclid(900_000) * 900_000);
        let to = UnixMillis((last.at.0.div_euclid(900_000) + 1) * 900_000);
        let grid = bounds(from, to, Step::Minutes(15), &TimeZone::UTC);
        let all = profile.intervals(&grid);
        // Many at once are the same as one after the other.
        assert_eq!(all, grid.windows(2).map(|pair| profile.interval(pair[0], pair[1])).collect::<Vec<_>>());
        all
    }
}

fn sum(intervals: &[Interval]) -> Decimal {
    intervals.iter().filter_map(|i| i.consumed).sum::<Decimal>().normalize()
}

fn words(intervals: &[Interval]) -> String {
    let word =
        |i: &Interval| format!("{} {}", i.consumed.map_or("-".into(), |c| c.normalize().to_string()), i.quality.word());
    intervals.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// Readings `every_s` seconds from `from_s` on, `count` of the same value.
fn plateau(from_s: i64, every_s: i64, count: i64, value: &str) -> String {
    (0..count).map(|i| format!(" {}:{value}", from_s + i * every_s)).collect()
}

/// Kinds of failures that others published (dips, spikes, zeroes, plateaus that outlast any confirmation time, gaps, counters of odd
/// width), with figures of our own. `PLANTROOM_ENERGY_CASES=FILE` tries another file of this form.
#[test]
fn nothing_is_booked_that_was_not_consumed() {
    let file = std::env::var("PLANTROOM_ENERGY_CASES").unwrap_or_else(|_| "tests/pure/energy_series.json".to_string());
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut tried = 0;
    for case in json["cases"].as_array().unwrap() {
        let (what, none) = (&case["id"], Vec::new());
        let (config, readings) = (&case["config"], case["readings"].as_array().unwrap_or(&none));
        let is_dated = |reading: &serde_json::Value| reading["t"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok();
        let is_series = readings.first().is_some_and(is_dated);
        let Some(expected) = case["expected"]["total"].as_str().filter(|_| is_series) else { continue };
        let per_count =
            config["unit"].as_str().and_then(|unit| unit.strip_suffix(" kWh per count")).map_or(Decimal::ONE, decimal);
        let max_per_h = config["p_max_kw"].as_str().map(|kw| (decimal(kw) / per_count).to_string());
        let mut kept = Kept::new(config["modulus"].as_str(), max_per_h.as_deref());
        for reading in readings {
            let at: jiff::Timestamp = reading["t"].as_str().unwrap().parse().unwrap();
            let value = reading["v"].as_str().unwrap();
            kept.read(at.as_millisecond(), value.parse().unwrap_or_else(|_| Decimal::from_scientific(value).unwrap()));
        }
        assert_eq!(kept.total(), decimal(expected), "{what}");
        assert_eq!(sum(&kept.quarters()), decimal(expected), "{what}: its quarter hours");
        tried += 1;
    }
    assert!(tried >= 10, "{file}: {tried} series");
}

#[test]
fn a_gap_is_in_the_sum_and_marked() {
    // 12 kWh an hour; nothing from 00:20:00 to 01:20:00.
    let every_minute: String =
        (0..=20).chain(80..=120).map(|m| format!(" {}:{}", m * 60, Decimal::from(m) / Decimal::from(5))).collect();
    let kept = Kept::new(None, None).run(&every_minute);
    // Without a rating the step from 0 to 0.2 is the first reading, not consumption.
    assert_eq!(
        words(&kept.quarters()),
        "2.8 partial, 3 allocated, 3 allocated, 3 allocated, 3 allocated, 3 allocated, 3 measured, 3 measured, - missing"
    );
}

#[test]
fn pending_is_shown_counts_nowhere_and_is_withdrawn_for_days() {
    let mut kept = Kept::new(None, Some("100")).run("0:5000 60:5001");
    // Another register, which rises for three days.
    for minute in 2..4_320i64 {
        kept.read(minute * 60_000, Decimal::from(10 + minute));
    }
    assert_eq!(kept.events, [RegisterEventKind::PendingBegan, RegisterEventKind::Replaced]);
    // 1 of the old one; 4317 of the new one from its first reading on; nothing across the boundary.
    assert_eq!(kept.total(), decimal("4318"));
    let quarters = kept.quarters();
    assert_eq!(quarters[0].quality, IntervalQuality::Pending);
    assert_eq!((quarters[1].quality, quarters[1].consumed), (IntervalQuality::Measured, Some(decimal("15"))));
    // A person says that the meter was exchanged: final reading 5001.5, initial reading 11.
    let exchange = Classification::Exchange { final_reading: decimal("5001.5"), initial_reading: decimal("11") };
    let decided = kept.decided(2, exchange);
    assert_eq!(decided.total(), decimal("4319.5"));
    let first = decided.interval(UnixMillis(0), UnixMillis(900_000));
    assert_eq!((first.quality, first.consumed), (IntervalQuality::Decided, Some(decimal("15.5"))));
    // Nobody had to: the old register comes back, and what it counted counts, once.
    kept.read(4_320 * 60_000, decimal("5050"));
    kept.read(4_321 * 60_000, decimal("5051"));
    assert_eq!(kept.events[2..], [RegisterEventKind::Returned]);
    assert_eq!(kept.total(), decimal("51"));
    assert!(kept.quarters()[2..200].iter().all(|q| q.quality == IntervalQuality::Allocated));
}

/// An export register that never moves stands at 0, and does not take the first figure of another meter for consumption.
#[test]
fn a_register_that_reads_nothing_but_0_stands_at_0() {
    let zeroes = plateau(0, 60, 121, "0");
    let kept = Kept::new(None, None).run(&zeroes);
    assert!(
        words(&kept.quarters())
            .starts_with("0 allocated, 0 allocated, 0 allocated, 0 allocated, 0 measured, 0 measured")
    );
    for (limit, expected, quality) in [(Some("100"), "0.5", "measured"), (None, "0", "pending")] {
        let kept = Kept::new(None, limit).run(&format!("{zeroes} 7260:0.5 8100:0.5"));
        assert_eq!(kept.total(), decimal(expected), "a rating tells its first step from another meter");
        assert!(words(&kept.quarters()).contains(&format!("{expected} {quality}")), "{}", words(&kept.quarters()));
    }
    let kept = Kept::new(None, Some("100")).run(&format!("{zeroes} 7260:15508 7320:15508.5"));
    assert_eq!(kept.total(), decimal("0.5"));
    assert_eq!(kept.events, [RegisterEventKind::Replaced]);
}

/// A spike that its rating does not exclude: booked until the register falls, and taken back when a person says that it went on.
#[test]
fn a_spike_that_stayed_plausible_is_taken_back_where_it_was_booked() {
    let mut kept = Kept::new(None, None).run("0:17989 60:17990 120:18990");
    for minute in 3..200i64 {
        kept.read(minute * 60_000, Decimal::from(17_990 + minute));
    }
    // The new register is that of minute 3 on: 1001 before, 196 after.
    assert_eq!(kept.total(), decimal("1197"));
    let decided = kept.decided(2, Classification::Continued);
    assert_eq!(decided.total(), decimal("200"), "17989 to 18189");
    let quarters = decided.intervals(&bounds(UnixMillis(0), UnixMillis(11_700_000), Step::Minutes(15), &TimeZone::UTC));
    assert!(quarters.iter().all(|q| q.consumed.is_some_and(|c| c >= Decimal::ZERO)));
    assert_eq!((quarters[0].quality, quarters[0].consumed), (IntervalQuality::Decided, Some(decimal("16"))));
    assert_eq!(sum(&quarters), decimal("196"), "17989 to 18185, at minute 195");
}

/// What a review found: a 0 before another register, a wrong date after which the register is another one, a long excursion.
#[test]
fn what_begins_after_a_doubt_is_counted_from_there() {
    let rises = |from_min: i64, count: i64, first: i64| -> String {
        (0..count).map(|m| format!(" {}:{}", (from_min + m) * 60, first + m)).collect()
    };
    // A meter that reads 0 while it boots, then its successor.
    let kept = Kept::new(None, None).run(&format!("0:54320 60:54321 120:0{}", rises(3, 80, 40_000)));
    assert_eq!(kept.total(), decimal("80"), "1 of the old one, 79 of the new one from its first reading on");
    // An exchange during which the date was a month ahead.
    let month = 30 * 86_400;
    let mut kept = Kept::new(None, Some("100")).run(&format!("{}:5000 {}:5001", month, month + 60));
    (0..60i64).for_each(|m| kept.read(m * 60_000, Decimal::from(17 + m)));
    assert_eq!((kept.total(), kept.events.clone()), (decimal("59"), vec![RegisterEventKind::ClockStep]));
    // An export register that stands at 0 goes on doing so.
    let mut kept = Kept::new(None, None).run(&plateau(86_400, 60, 100, "0"));
    (0..60i64).for_each(|m| kept.read(m * 60_000, Decimal::ZERO));
    assert!(kept.quarters().iter().all(|q| q.quality != IntervalQuality::Pending), "{}", words(&kept.quarters()));
    // Garbage that rises for more than an hour, and the way back: it was none of it.
    let kept =
        Kept::new(None, Some("100")).run(&format!("0:5000 60:5001{}{}", rises(2, 100, 90_000), rises(102, 90, 5_100)));
    assert_eq!(kept.events.last(), Some(&RegisterEventKind::Returned));
    assert_eq!(kept.total(), decimal("189"), "5000 to 5189");
    // Whoever says that another meter went on gets nothing for it, and nothing negative.
    let kept = Kept::new(None, None).run(&format!("0:54320 60:54321{}", rises(2, 90, 12)));
    let wrong = kept.decided(2, Classification::Continued);
    assert_eq!(wrong.total(), decimal("89"));
    let to = UnixMillis(7_200_000);
    let quarters = wrong.intervals(&bounds(UnixMillis(0), to, Step::Minutes(15), &TimeZone::UTC));
    assert!(quarters.iter().all(|q| q.consumed.is_none_or(|c| c >= Decimal::ZERO)), "{}", words(&quarters));
}

#[test]
fn while_a_register_is_in_doubt_nothing_is_known() {
    let mut kept = Kept::new(None, None).run("0:5000 60:5001 880:5002");
    kept.read(960_000, decimal("17"));
    kept.read(1_020_000, decimal("17"));
    let profile = kept.profile(&Decisions::default());
    let quarters = profile.intervals(&bounds(UnixMillis(0), UnixMillis(2_700_000), Step::Minutes(15), &TimeZone::UTC));
    assert_eq!(words(&quarters), "2 measured, - pending, - pending");
    assert_eq!(kept.spans[&2].state, SpanState::Pending);
    // Whoever exchanged the meter need not wait until the new one has proven itself.
    let exchange = Classification::Exchange { final_reading: decimal("5002.5"), initial_reading: decimal("17") };
    let decided = kept.decided(2, exchange);
    let quarters = decided.intervals(&bounds(UnixMillis(0), UnixMillis(1_800_000), Step::Minutes(15), &TimeZone::UTC));
    assert_eq!(words(&quarters), "2 measured, 0.5 partial");
}

#[test]
fn a_date_that_was_corrected_books_nothing_twice() {
    // An hour is lived twice: the clock was an hour ahead from minute 30 on, until minute 60.
    let mut kept = Kept::new(None, Some("100"));
    for minute in 1..=120i64 {
        let shown = if (30..60).contains(&minute) { minute + 60 } else { minute };
        kept.read(shown * 60_000, Decimal::from(1_000 + minute));
    }
    assert_eq!(kept.total(), decimal("119"));
    assert_eq!(sum(&kept.quarters()), decimal("119"));
    assert!(kept.quarters().iter().all(|q| q.consumed.is_none_or(|c| c >= Decimal::ZERO)));
}

/// 6 kW from minute 7 to minute 22: a tenth of a kWh a minute.
#[test]
fn the_demand_of_an_interval_is_its_mean_and_only_of_a_measured_one() {
    let mut kept = Kept::new(None, Some("100"));
    for minute in 0..=30i64 {
        let counted = (minute - 7).clamp(0, 15);
        kept.read(minute * 60_000, Decimal::new(10_000 + counted, 1));
    }
    let of = |kept: &Kept, to_s: i64, minutes: u32| {
        Summary::of(
            &Consumption::of_register(kept.profile(&Decisions::default())),
            (UnixMillis(0), UnixMillis(to_s * 1_000)),
            minutes,
            &TimeZone::UTC,
        )
    };
    let blocks =
        kept.profile(&Decisions::default()).intervals(&[UnixMillis(0), UnixMillis(900_000), UnixMillis(1_800_000)]);
    assert_eq!(words(&blocks), "0.8 measured, 0.7 measured");
    let summary = of(&kept, 1_800, 15);
    assert_eq!(summary.max_demand().map(|(at, kw)| (at.0, kw.normalize())), Some((0, decimal("3.2"))));
    assert_eq!((summary.whole.consumed, summary.complete_pct()), (Some(decimal("1.5")), decimal("100.0")));
    // An hourly reading is missed: the energy of two hours is no demand of one.
    let missed = Kept::new(None, Some("100")).run("0:91 3600:100 10800:118 14400:125");
    let summary = of(&missed, 14_400, 60);
    assert_eq!(summary.whole.consumed, Some(decimal("34")));
    assert_eq!(summary.max_demand().map(|(at, kw)| (at.0, kw.normalize())), Some((0, decimal("9"))));
    assert_eq!((summary.count(IntervalQuality::Allocated), summary.allocated.normalize()), (2, decimal("18")));
}

/// Days of 23, 24 and 25 hours; a zone whose offset is no whole hour.
#[test]
fn boundaries_are_those_of_the_zone() {
    let count = |zone: &str, from: &str, to: &str, step: Step| {
        let zone = TimeZone::get(zone).unwrap();
        let at = |text: &str| {
            UnixMillis(
                text.parse::<jiff::civil::DateTime>()
                    .unwrap()
                    .to_zoned(zone.clone())
                    .unwrap()
                    .timestamp()
                    .as_millisecond(),
            )
        };
        bounds(at(from), at(to), step, &zone).len() - 1
    };
    let quarter = Step::Minutes(15);
    assert_eq!(count("Europe/Berlin", "2024-03-31T00:00", "2024-04-01T00:00", quarter), 92);
    assert_eq!(count("Europe/Berlin", "2024-10-27T00:00", "2024-10-28T00:00", quarter), 100);
    assert_eq!(count("Europe/Berlin", "2024-03-01T00:00", "2024-04-01T00:00", quarter), 2_972);
    assert_eq!(count("Europe/Berlin", "2024-01-01T00:00", "2024-04-01T00:00", quarter), 8_732);
    assert_eq!(count("Asia/Shanghai", "2026-01-01T00:00", "2027-01-01T00:00", quarter), 35_040);
    assert_eq!(count("Asia/Kolkata", "2026-01-01T00:00", "2026-01-02T00:00", Step::Minutes(60)), 24);
    assert_eq!(count("Australia/Lord_Howe", "2026-04-05T00:00", "2026-04-06T00:00", Step::Minutes(30)), 49);
    assert_eq!(count("Europe/Berlin", "2024-01-01T00:00", "2025-01-01T00:00", Step::Day), 366);
    assert_eq!(count("Europe/Berlin", "2024-01-01T00:00", "2025-01-01T00:00", Step::Month), 12);
    assert_eq!(count("Europe/Berlin", "2023-07-01T00:00", "2025-01-01T00:00", Step::Year), 2);
}

/// What happens to a meter in a minute.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Read,
    /// No reading for so many minutes.
    Gap(u8),
    /// It reads 0 for so many minutes.
    Zero(u8),
    /// It reads so much less, for so many minutes.
    Dip(u16, u8),
    /// It reads so much more, for so many minutes: more than it could have counted in eight weeks.
    Spike(u32, u8),
    /// The date goes back by so many minutes.
    ClockBack(u8),
    /// The date goes forward by so many minutes.
    ClockForth(u8),
}

/// What a meter shows instead of its register.
type Misread = Box<dyn Fn(Decimal) -> Decimal>;

fn fates() -> impl Strategy<Value = Vec<(Fate, u8)>> {
    let minutes = 1u8..40;
    let fate = prop_oneof![
        20 => Just(Fate::Read),
        2 => (1u8..200).prop_map(Fate::Gap),
        1 => minutes.clone().prop_map(Fate::Zero),
        1 => (1u16..500, minutes.clone()).prop_map(|(by, m)| Fate::Dip(by, m)),
        1 => (200_000u32..700_000, minutes).prop_map(|(by, m)| Fate::Spike(by, m)),
        1 => (2u8..90).prop_map(Fate::ClockBack),
        1 => (1u8..90).prop_map(Fate::ClockForth),
    ];
    // With each the tenths of a kWh that the meter counts in a minute; at most 60 kW.
    prop::collection::vec((fate, 0u8..10), 10..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to it, a meter that is itself again has booked what it counted, in total and in the sum of its quarter hours.
    #[test]
    fn what_is_booked_is_what_the_meter_counted(fates in fates(), begins in prop_oneof![1u32..9_990_000, 9_990_000u32..9_999_999]) {
        let (mut kept, mut counted, mut minute, mut shift) = (Kept::new(Some("1000000"), Some("120")), 0i64, 0i64, 0i64);
        let mut persisted = Kept::new(Some("1000000"), Some("120"));
        let mut newest_date = 0i64;
        let shown = |counted: i64| Decimal::new((i64::from(begins) + counted) % 10_000_000, 1);
        let mut began = None;
        let read = |kept: &mut Kept, persisted: &mut Kept, at: i64, value: Decimal| {
            kept.read(at * 60_000, value);
            // The same with everything persisted after each reading.
            persisted.register = serde_json::from_str(&serde_json::to_string(&persisted.register).unwrap()).unwrap();
            persisted.read(at * 60_000, value);
        };
        let clean = std::iter::repeat_n((Fate::Read, 5u8), 90);
        // After each fault the meter is itself for a minute.
        let fates = fates.into_iter().flat_map(|fate| [fate, (Fate::Read, fate.1)]);
        for (fate, tenths) in clean.clone().take(3).chain(fates).chain(clean) {
            let (length, change): (i64, Option<Misread>) = match fate {
                Fate::Read => (1, None),
                Fate::Gap(minutes) => {
                    (minute, counted) = (minute + i64::from(minutes), counted + i64::from(minutes) * i64::from(tenths));
                    (1, None)
                }
                Fate::Zero(minutes) => (i64::from(minutes), Some(Box::new(|_| Decimal::ZERO))),
                Fate::Dip(by, minutes) => (i64::from(minutes), Some(Box::new(move |v| (v - Decimal::from(by)).max(Decimal::ZERO)))),
                Fate::Spike(by, minutes) => (i64::from(minutes), Some(Box::new(move |v| v + Decimal::from(by)))),
                Fate::ClockBack(minutes) => { shift -= i64::from(minutes); (1, None) }
                Fate::ClockForth(minutes) => { shift += i64::from(minutes); (1, None) }
            };
            for _ in 0..length {
                (minute, counted) = (minute + 1, counted + i64::from(tenths));
                let value = shown(counted);
                began.get_or_insert(counted);
                newest_date = newest_date.max(minute + shift);
                read(&mut kept, &mut persisted, minute + shift, change.as_ref().map_or(value, |change| change(value)));
            }
        }
        prop_assert_eq!(&kept.register, &persisted.register);
        prop_assert_eq!(&kept.marks, &persisted.marks);
        let quarters = kept.quarters();
        for quarter in &quarters {
            prop_assert!(quarter.consumed.is_none_or(|c| c >= Decimal::ZERO), "{quarter:?}");
        }
        let total = kept.total();
        prop_assert_eq!(sum(&quarters), total, "{}", words(&quarters));
        let true_total = Decimal::new(counted - began.unwrap_or(0), 1).normalize();
        // Nothing that was not counted is ever booked; all of it, unless the way back from a fault could be another register's.
        prop_assert!(total <= true_total, "booked {total} of {true_total}: {:?} {:#?}", kept.events, kept.spans);
        if !kept.events.contains(&RegisterEventKind::Replaced) && !kept.events.contains(&RegisterEventKind::ClockStep) {
            prop_assert_eq!(total, true_total);
        }
    }
}
