//! What a telemetry message says. Pure.

use crate::model::reading::Reading;
use crate::model::value::write_json_text;

/// A sample that came so much later than the reading's first answer says so.
const LATER_MS: u32 = 1_000;

/// The message of a reading; `pick` says which samples are sent, `None` if none is. `ts` is the receipt of the first answer of
/// the cycle; points whose answer came a second or more after it are listed in `later_ms`.
pub fn telemetry(seq: u64, reading: &Reading, pick: Option<&[bool]>) -> Option<String> {
    let n = reading.stream.points.len();
    let sent = |i: &usize| pick.is_none_or(|p| p[*i]) && reading.sample(*i).is_some();
    let members: Vec<usize> = (0..n).filter(sent).collect();
    (!members.is_empty()).then(|| message(seq, reading, &members))
}

fn message(seq: u64, reading: &Reading, members: &[usize]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(64 + members.len() * 28);
    out.push_str("{\"ts\":");
    if reading.at.trusted {
        out.push('"');
        out.push_str(&reading.at.wall.rfc3339());
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
    let _infallible = write!(out, "}},\"quality\":{{{bad}}}");
    let later: Vec<usize> = members.iter().copied().filter(|i| reading.after_ms(*i) >= LATER_MS).collect();
    for (at, i) in later.iter().enumerate() {
        let before = if at == 0 { ",\"later_ms\":{" } else { "," };
        let _infallible = write!(out, "{before}\"{}\":{}", reading.stream.points[*i].name, reading.after_ms(*i));
    }
    out.push_str(if later.is_empty() { "}" } else { "}}" });
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
        assert_eq!(telemetry(7, &reading(vec![], true), None).as_deref(), Some(expect));
    }

    #[test]
    fn without_a_date_there_is_no_time() {
        assert!(telemetry(7, &reading(vec![], false), None).unwrap().starts_with(r#"{"ts":null,"seq":7,"#));
    }

    #[test]
    fn an_answer_that_came_much_later_says_so() {
        let parts = vec![Part { len: 1, after_ms: 0 }, Part { len: 1, after_ms: 30 }, Part { len: 1, after_ms: 2_500 }];
        let message = telemetry(7, &reading(parts, true), None).unwrap();
        assert!(
            message.contains("13:20.000Z")
                && message.ends_with(r#""quality":{"fuel_pct":"not_fitted"},"later_ms":{"fuel_pct":2500}}"#),
            "{message}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok());
    }

    #[test]
    fn what_is_filtered_out_is_not_there() {
        let message = telemetry(7, &reading(vec![], true), Some(&[false, true, false])).unwrap();
        assert_eq!(message, r#"{"ts":"2023-11-14T22:13:20.000Z","seq":7,"values":{"running":true},"quality":{}}"#);
        assert_eq!(telemetry(7, &reading(vec![], true), Some(&[false; 3])), None);
    }
}
