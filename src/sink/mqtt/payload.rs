//! What a telemetry message says. Pure.

use crate::model::reading::Reading;
use crate::model::value::write_json_text;

/// Answers of one cycle that lie further apart than this go out as messages of their own, each with its own time.
const APART_MS: u32 = 1_000;

/// The messages of a reading: one, or one for each group of answers that lie apart. `pick` says which samples are sent.
pub fn telemetry(seq: u64, reading: &Reading, pick: Option<&[bool]>) -> Vec<String> {
    let n = reading.stream.points.len();
    let sent = |i: usize| pick.is_none_or(|p| p[i]) && reading.sample(i).is_some();
    let mut groups: Vec<(u32, Vec<usize>)> = Vec::new();
    for i in (0..n).filter(|i| sent(*i)) {
        let after = reading.after_ms(i);
        match groups.iter_mut().find(|(from, _)| after.abs_diff(*from) < APART_MS) {
            Some((_, members)) => members.push(i),
            None => groups.push((after, vec![i])),
        }
    }
    groups.sort_by_key(|(from, _)| *from);
    groups.iter().map(|(after, members)| message(seq, reading, *after, members)).collect()
}

fn message(seq: u64, reading: &Reading, after_ms: u32, members: &[usize]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(64 + members.len() * 28);
    out.push_str("{\"ts\":");
    if reading.at.trusted {
        out.push('"');
        out.push_str(&crate::model::time::Wall(reading.at.wall.0 + i64::from(after_ms)).rfc3339());
        out.push('"');
    } else {
        out.push_str("null");
    }
    let _infallible = write!(out, ",\"seq\":{seq},\"values\":{{");
    let mut bad = String::new();
    for (at, i) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let name = &reading.stream.points[*i].name;
        write_json_text(name, &mut out);
        out.push(':');
        match reading.sample(*i) {
            Some(Ok(value)) => value.write_json(&mut out),
            Some(Err(cause)) => {
                out.push_str("null");
                let comma = if bad.is_empty() { "" } else { "," };
                let _infallible = write!(bad, "{comma}\"{name}\":\"{}\"", cause.word());
            }
            None => out.push_str("null"),
        }
    }
    let _infallible = write!(out, "}},\"quality\":{{{bad}}}}}");
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::point::{Form, Kind, PointMeta, Retention, Stream};
    use crate::model::quality::Cause;
    use crate::model::reading::{Body, Part, Stamp};
    use crate::model::time::{Mono, Wall};
    use crate::model::value::Value;

    fn reading(parts: Vec<Part>, trusted: bool) -> Reading {
        let point = |name: &str| PointMeta {
            name: name.into(),
            kind: Kind::Number,
            retention: Retention::Telemetry,
            form: Form::Exact(1),
        };
        let points = vec![point("voltage_v"), point("running"), point("fuel_pct")];
        let stream = Arc::new(Stream { device: "g".into(), source: "u/fast".into(), every_ms: 1_000, points });
        let at = Stamp { mono: Mono(0), wall: Wall(1_700_000_000_000), trusted };
        let voltage = Value::Exact(rust_decimal::Decimal::new(2302, 1));
        let samples = vec![Some(Ok(voltage)), Some(Ok(Value::Bool(true))), Some(Err(Cause::NotFitted))];
        Reading { stream, at, body: Body::Samples { samples, parts } }
    }

    #[test]
    fn a_bad_point_is_null_with_its_reason() {
        let expect = r#"{"ts":"2023-11-14T22:13:20.000Z","seq":7,"values":{"voltage_v":230.2,"running":true,"fuel_pct":null},"quality":{"fuel_pct":"not_fitted"}}"#;
        assert_eq!(telemetry(7, &reading(vec![], true), None), [expect]);
    }

    #[test]
    fn without_a_date_there_is_no_time() {
        assert!(telemetry(7, &reading(vec![], false), None)[0].starts_with(r#"{"ts":null,"seq":7,"#));
    }

    #[test]
    fn answers_that_lie_apart_have_a_time_each() {
        let parts = vec![Part { len: 1, after_ms: 0 }, Part { len: 1, after_ms: 30 }, Part { len: 1, after_ms: 2_500 }];
        let messages = telemetry(7, &reading(parts, true), None);
        assert_eq!(messages.len(), 2);
        assert!(messages[0].contains("13:20.000Z") && messages[0].contains("running"));
        assert!(messages[1].contains("13:22.500Z") && messages[1].contains("fuel_pct"));
    }

    #[test]
    fn what_is_filtered_out_is_not_there() {
        let messages = telemetry(7, &reading(vec![], true), Some(&[false, true, false]));
        assert_eq!(messages, [r#"{"ts":"2023-11-14T22:13:20.000Z","seq":7,"values":{"running":true},"quality":{}}"#]);
        assert!(telemetry(7, &reading(vec![], true), Some(&[false; 3])).is_empty());
    }
}
