//! Encodes telemetry messages as JSON. Pure.

use crate::model::reading::Reading;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::model::value::write_json_text;

/// The time of a reading, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingTime<'a> {
    Dated(UnixMillis),
    /// Without a trusted date: the boot id, if it is known, and the time since boot, so that a subscriber who knows the boot's date can
    /// compute the date.
    SinceBoot(Option<&'a str>, MonotonicMillis),
}

/// Bytes of the members `part` and `parts`, each of at most four digits.
const PARTS_BYTES: usize = 25;

/// The messages of a reading: one, or parts of at most `most` bytes each with the same `seq`. A point that does not fit alone gives a part
/// that is too large. `pick` selects the samples; `None`: all. `ts` is the receipt of the first response of the cycle, and `later_ms` lists
/// the offsets of points from later responses, so each point has the same time as in store and history.
pub fn telemetry(
    seq: u64,
    reading: &Reading,
    when: ReadingTime<'_>,
    selected: Option<&[bool]>,
    max_bytes: usize,
) -> Vec<String> {
    let n = reading.stream.points.len();
    let sent = |i: &usize| selected.is_none_or(|p| p[*i]) && reading.sample(*i).is_some();
    let members: Vec<usize> = (0..n).filter(sent).collect();
    if members.is_empty() {
        return Vec::new();
    }
    let single = message(seq, reading, when, &members, None);
    if single.len() <= max_bytes {
        return vec![single];
    }
    let (mut parts, mut left) = (Vec::new(), vec![members]);
    while let Some(mut some) = left.pop() {
        let size = message(seq, reading, when, &some, None).len() + PARTS_BYTES;
        if size <= max_bytes || some.len() == 1 {
            parts.push(some);
        } else {
            let rest = some.split_off(some.len() / 2);
            left.extend([rest, some]);
        }
    }
    let count = parts.len();
    let text = |(n, some): (usize, &Vec<usize>)| message(seq, reading, when, some, Some((n + 1, count)));
    parts.iter().enumerate().map(text).collect()
}

fn message(
    seq: u64,
    reading: &Reading,
    when: ReadingTime<'_>,
    members: &[usize],
    part: Option<(usize, usize)>,
) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(96 + members.len() * 28);
    let _infallible = match when {
        ReadingTime::Dated(at) => write!(out, "{{\"ts\":\"{}\",\"ts_ms\":{}", at.rfc3339(), at.0),
        ReadingTime::SinceBoot(Some(boot), at) => write!(out, "{{\"ts\":null,\"boot\":\"{boot}\",\"mono_ms\":{}", at.0),
        ReadingTime::SinceBoot(None, at) => write!(out, "{{\"ts\":null,\"mono_ms\":{}", at.0),
    };
    let _infallible = write!(out, ",\"seq\":{seq}");
    if let Some((part, parts)) = part {
        let _infallible = write!(out, ",\"part\":{part},\"parts\":{parts}");
    }
    out.push_str(",\"values\":{");
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
    let later: Vec<usize> = members.iter().copied().filter(|i| reading.after_ms(*i) > 0).collect();
    for (at, i) in later.iter().enumerate() {
        let before = if at == 0 { ",\"later_ms\":{" } else { "," };
        let _infallible = write!(out, "{before}\"{}\":{}", reading.stream.points[*i].name, reading.after_ms(*i));
    }
    out.push_str(if later.is_empty() { "}" } else { "}}" });
    out
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::model::point::{Encoding, PointKind, PointMeta, Retention};
    use crate::model::quality::Cause;
    use crate::model::reading::{Body, Part, Stamp};
    use crate::model::stream::Stream;
    use crate::model::time::{MonotonicMillis, UnixMillis};
    use crate::model::value::Value;

    fn reading(parts: Vec<Part>) -> Reading {
        let point = |name: &str| PointMeta::new(name, PointKind::Number, Retention::Telemetry, Encoding::Exact(1));
        let points = vec![point("voltage_v"), point("running"), point("fuel_pct")];
        let stream = Stream::new("g", "u/fast".into(), 1_000, points);
        let at = Stamp { mono: MonotonicMillis(0), wall: UnixMillis(1_700_000_000_000), trusted: true };
        let voltage = Value::Exact(rust_decimal::Decimal::new(2302, 1));
        let samples = vec![Some(Ok(voltage)), Some(Ok(Value::Bool(true))), Some(Err(Cause::NotFitted))];
        Reading { stream, at, body: Body::Samples { samples, parts } }
    }

    const AT: ReadingTime<'_> = ReadingTime::Dated(UnixMillis(1_700_000_000_000));

    fn one(parts: Vec<Part>, when: ReadingTime<'_>, pick: Option<&[bool]>) -> String {
        let messages = telemetry(7, &reading(parts), when, pick, 1_000);
        assert!(messages.len() < 2);
        messages.concat()
    }

    #[test]
    fn a_bad_point_is_null_with_its_reason() {
        let expect = r#"{"ts":"2023-11-14T22:13:20.000Z","ts_ms":1700000000000,"seq":7,"values":{"voltage_v":230.2,"running":true,"fuel_pct":null},"quality":{"fuel_pct":"not_fitted"}}"#;
        assert_eq!(one(vec![], AT, None), expect);
    }

    #[test]
    fn without_a_date_there_is_the_time_since_the_boot() {
        let since = |boot| one(vec![], ReadingTime::SinceBoot(boot, MonotonicMillis(5_000)), None);
        assert!(since(None).starts_with(r#"{"ts":null,"mono_ms":5000,"seq":7,"#));
        assert!(since(Some("b-1")).starts_with(r#"{"ts":null,"boot":"b-1","mono_ms":5000,"seq":7,"#));
    }

    #[test]
    fn an_answer_that_came_later_says_so() {
        let parts = vec![Part { len: 1, after_ms: 0 }, Part { len: 1, after_ms: 30 }, Part { len: 1, after_ms: 2_500 }];
        let message = one(parts, AT, None);
        assert!(
            message.ends_with(r#""quality":{"fuel_pct":"not_fitted"},"later_ms":{"running":30,"fuel_pct":2500}}"#),
            "{message}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok());
    }

    #[test]
    fn what_is_filtered_out_is_not_there() {
        let message = one(vec![], AT, Some(&[false, true, false]));
        assert!(message.ends_with(r#""seq":7,"values":{"running":true},"quality":{}}"#), "{message}");
        assert_eq!(one(vec![], AT, Some(&[false; 3])), "");
    }

    #[test]
    fn what_is_too_large_goes_in_parts_that_fit() {
        for most in 1..300 {
            let messages = telemetry(7, &reading(vec![]), AT, None, most);
            let too_large = messages.iter().filter(|m| m.len() > most).count();
            assert!(too_large == 0 || messages.len() == 3, "only a single point is larger: {most}: {messages:?}");
            let mut points: Vec<String> = Vec::new();
            for (n, message) in messages.iter().enumerate() {
                let json: serde_json::Value = serde_json::from_str(message).unwrap();
                if messages.len() > 1 {
                    assert_eq!((&json["part"], &json["parts"]), (&(n + 1).into(), &messages.len().into()));
                }
                assert_eq!(json["seq"], 7);
                points.extend(json["values"].as_object().unwrap().keys().cloned());
            }
            assert_eq!(points.len(), 3, "nothing is lost for size: {most}");
        }
        let messages = telemetry(7, &reading(vec![]), AT, None, 157);
        assert_eq!((messages.len(), messages.iter().all(|m| m.len() <= 157)), (3, true));
    }
}
