use super::*;
use crate::model::point::{PointKind, Retention};
use crate::model::time::UnixMillis;

/// Limits of a register with two decimals that rolls over at 1000, for functions of registers.
fn limits_of(how: DerivedFunction) -> Option<RegisterLimits> {
    let modulus = Some(Decimal::from(1_000));
    (how == DerivedFunction::DayIncrease).then_some(RegisterLimits {
        modulus,
        max_per_h: None,
        is_rated: false,
        resolution: Decimal::new(1, 2),
    })
}

/// Feeds `seconds:value` words ("-" is bad) and compares the derived samples with `expect`.
fn check(how: DerivedFunction, lines: &str, expect: &str) {
    let settings =
        DerivedSettings { device: "d".into(), point: "x_out".into(), how, of: vec!["a".into(), "e.b".into()] };
    let one = matches!(how, DerivedFunction::RatePerMin | DerivedFunction::RunTimeH | DerivedFunction::Starts)
        || how.is_of_day();
    let settings = if one { DerivedSettings { of: vec!["a".into()], ..settings } } else { settings };
    let meta = PointMeta::new("x_out", PointKind::Number, Retention::Telemetry, how.encoding(None));
    let definition = DerivedDefinition { settings, meta, limits: limits_of(how) };
    let mut derive = Derive::new(&[definition], &BTreeMap::new(), &TimeZone::fixed(jiff::tz::offset(8)));
    let stream = |device: &str, name: &str| {
        let point = PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::F64);
        Stream::new(device, "u/fast".into(), 1_000, vec![point])
    };
    let (a, b) = (stream("d", "a"), stream("e", "b"));
    let mut out = Vec::new();
    for word in lines.split_whitespace() {
        let (at, value) = word.split_once(':').unwrap();
        let (stream, value) = value.strip_prefix("b=").map_or((&a, value), |v| (&b, v));
        // `?` marks a date that is not trusted.
        let (at, trusted) = at.strip_prefix('?').map_or((at, true), |at| (at, false));
        let s_at: u32 = at.parse().unwrap();
        let at = Stamp {
            mono: MonotonicMillis(u64::from(s_at) * 1_000),
            wall: UnixMillis(i64::from(s_at) * 1_000),
            trusted,
        };
        // `e1.5` is exact, `1.5` a float.
        let sample = match value.strip_prefix('e') {
            Some(exact) => Ok(Value::Exact(exact.parse().unwrap())),
            None => value.parse().map(Value::F64).map_err(|_| Cause::Timeout),
        };
        let reading = Reading {
            stream: Arc::clone(stream),
            at,
            body: Body::Samples { samples: vec![Some(sample)], parts: vec![] },
        };
        for derived in derive.step(&reading) {
            out.push(match derived.sample(0) {
                Some(Ok(v)) => v.to_string(),
                Some(Err(c)) => c.word().to_string(),
                None => "none".to_string(),
            });
        }
    }
    assert_eq!(out.join(" "), expect);
}

#[test]
fn two_inputs() {
    check(DerivedFunction::Sum, "0:1 0:b=2 1:3", "input_bad 3 5");
    check(DerivedFunction::Difference, "0:5 0:b=2", "input_bad 3");
    check(DerivedFunction::Ratio, "0:5 0:b=2 1:b=0", "input_bad 2.5 not_finite");
    check(DerivedFunction::SharePct, "0:5 0:b=20", "input_bad 25");
    check(DerivedFunction::Min, "0:5 0:b=20", "input_bad 5");
    check(DerivedFunction::Max, "0:5 0:b=20", "input_bad 20");
    check(DerivedFunction::Mean, "0:5 0:b=20", "input_bad 12.5");
}

#[test]
fn exact_inputs_give_exact_figures() {
    check(DerivedFunction::Sum, "0:0.1 0:b=0.2", "input_bad 0.30000000000000004");
    check(DerivedFunction::Sum, "0:e0.1 0:b=e0.2", "input_bad 0.3");
    check(DerivedFunction::Difference, "0:e123456789012345.67 0:b=e0.01", "input_bad 123456789012345.66");
    check(DerivedFunction::Max, "0:e123456789012345.67 0:b=e1", "input_bad 123456789012345.67");
    check(
        DerivedFunction::DayMin,
        "0:e123456789012345.68 1:e123456789012345.67",
        "123456789012345.68 123456789012345.67",
    );
    check(DerivedFunction::Sum, "0:e0.1 0:b=0.2", "input_bad 0.30000000000000004");
}

#[test]
fn a_stale_or_bad_input_makes_the_point_bad() {
    check(DerivedFunction::Sum, "0:1 0:b=2 1:- 2:1 30:4", "input_bad 3 input_bad 3 input_bad");
}

#[test]
fn run_time_and_starts_do_not_count_across_a_gap() {
    check(DerivedFunction::RunTimeH, "0:0 1:1 37:1 38:- 60:1 96:0", "0 0 0.01 input_bad 0.01 0.02");
    check(DerivedFunction::Starts, "0:0 1:1 2:0 3:1 4:- 5:1 6:0 7:1", "0 1 1 2 input_bad 2 2 3");
}

#[test]
fn a_rate_needs_half_its_window() {
    check(DerivedFunction::RatePerMin, "0:0 10:1 30:3 60:6 120:6", "starting_up starting_up 6 6 0");
}

#[test]
fn figures_of_a_day_begin_anew_at_the_sites_midnight() {
    // Midnight at UTC+8 is 57600 s.
    check(DerivedFunction::DayMin, "0:5 57590:3 57600:7 57601:8", "5 3 7 7");
    check(DerivedFunction::DayMax, "0:5 57590:3 57600:2 57601:1", "5 5 2 2");
    check(DerivedFunction::DayMean, "0:5 57590:3 57600:2 57601:1", "5 4 2 1.5");
    check(DerivedFunction::DayIncrease, "0:100 57590:103 57600:103.5 57601:104", "0 3 0.5 1");
    check(DerivedFunction::DayStarts, "0:0 1:1 2:0 3:1 57599:0 57600:1", "0 1 1 2 2 1");
    check(DerivedFunction::DayRunTimeH, "0:1 3600:1 57590:0 57600:1 57636:0", "0 1 15.997 0 0.01");
    check(DerivedFunction::DayMax, "0:5 ?1:9 2:6", "5 starting_up 6");
}

#[test]
fn what_a_register_counted_since_midnight_is_exact_and_never_guessed() {
    check(DerivedFunction::DayIncrease, "0:999.9 1:0.1 2:0.3", "0 0.2 0.4");
    check(DerivedFunction::DayIncrease, "0:500.1 1:0 2:0 3:500.4", "0 counter_zero counter_zero 0.3");
    check(DerivedFunction::DayIncrease, "0:0 1:0 2:500.1 3:500.2", "counter_zero counter_zero 0 0.1");
    check(DerivedFunction::DayIncrease, "0:500 1:20 2:21", "0 counter_fell counter_fell");
    check(DerivedFunction::DayIncrease, "0:0.1 1:0.2 2:0.3", "0 0.1 0.2");
    // Gaps within the day and over one midnight are bridged by the register. Over two midnights the day is unknown, unless nothing was
    // counted.
    check(DerivedFunction::DayIncrease, "0:1 1:- 40000:2 60000:3", "0 input_bad 1 1");
    check(DerivedFunction::DayIncrease, "0:1 150000:3 150001:4", "0 input_bad input_bad");
    check(DerivedFunction::DayIncrease, "0:1 150000:1 150001:2", "0 0 1");
}
