//! Encodes readings as InfluxDB line protocol. Pure. A field never changes its type: numbers are floats with all their digits; booleans,
//! enumerations and codes are integers; texts are not written (VictoriaMetrics stores 0 for them). A bad point has no value, but
//! `<field>_bad=<code>`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::point::PointKind;
use crate::model::reading::Reading;
use crate::model::stream::{STATUS, Source, Stream};
use crate::model::value::Value;
use crate::sink::{DeviceTags, DeviceTagsById};

/// Encodes the readings of one site.
pub struct Encoder {
    site: String,
    device_tags: Arc<DeviceTagsById>,
    /// Cache of measurement and tags, by device, or by device and source for decided streams (states and alarms).
    heads: BTreeMap<(Arc<str>, Option<Source>), Arc<str>>,
}

impl Encoder {
    /// An encoder with an empty cache.
    pub fn new(site: &str, device_tags: Arc<DeviceTagsById>) -> Self {
        Self { site: site.to_string(), device_tags, heads: BTreeMap::new() }
    }

    /// Appends the lines of a reading received at `at_ms` and returns the number of values. `pick` selects the samples; `None`: all.
    pub fn encode(&mut self, reading: &Reading, at_ms: i64, selected: Option<&[bool]>, out: &mut String) -> usize {
        let head = self.head(&reading.stream);
        let mut written = 0;
        let mut line: Option<u32> = None;
        for (i, point) in reading.stream.points.iter().enumerate() {
            if selected.is_some_and(|p| !p[i]) {
                continue;
            }
            let Some(sample) = reading.sample(i) else { continue };
            let start = out.len();
            let after_ms = reading.after_ms(i);
            if line == Some(after_ms) {
                out.push(',');
            } else {
                // A sample of another response has another time, so it needs a line of its own.
                if let Some(before) = line {
                    end_line(at_ms, before, out);
                }
                out.push_str(&head);
            }
            let is_written = match sample {
                Ok(value) => write_field(&point.name, point.kind, value, out),
                Err(cause) => {
                    let _infallible = write!(out, "{}_bad={}i", point.name, cause.code());
                    true
                }
            };
            if is_written {
                (line, written) = (Some(after_ms), written + 1);
            } else {
                // Undo: the next value begins a new line if this one ended the previous line.
                out.truncate(start);
            }
        }
        if let Some(after_ms) = line {
            end_line(at_ms, after_ms, out);
        }
        written
    }

    /// A line that any working store accepts: the gateway is online.
    pub fn probe(&self, at_ms: i64) -> String {
        format!("{STATUS},device=gateway,site={} online=1i {at_ms}\n", escape(&self.site))
    }

    /// Measurement and tags, escaped, with the space before the fields. Tags are in alphabetical order, empty ones are left out.
    fn head(&mut self, stream: &Stream) -> Arc<str> {
        let decided = stream.source.decided_measurement();
        let key = (Arc::clone(&stream.device), decided.map(|_| stream.source.clone()));
        if let Some(head) = self.heads.get(&key) {
            return Arc::clone(head);
        }
        let place = match stream.source {
            Source::Energy | Source::Demand => self.device_tags.get(&DeviceTags::metering_point(&stream.device)),
            _ => self.device_tags.get(&*stream.device),
        };
        let class = place.map_or("", |p| p.class.as_str());
        let rule = stream.source.alarm_rule().unwrap_or("");
        let measurement = match (decided, class) {
            (Some(measurement), _) => measurement,
            (None, "") => "removed",
            (None, class) => class,
        };
        let mut head = escape(measurement);
        let class_tag = if decided.is_some() { class } else { "" };
        let area = place.map_or("", |p| p.area.as_str());
        let of_point = |text: fn(&DeviceTags) -> &String| place.map_or("", |place| text(place).as_str());
        let tags = [
            ("area", area),
            ("class", class_tag),
            ("device", &*stream.device),
            ("end_use", of_point(|tags| &tags.end_use)),
            ("level", of_point(|tags| &tags.level)),
            ("parent", of_point(|tags| &tags.parent)),
            ("rule", rule),
            ("site", &self.site),
            ("unit", of_point(|tags| &tags.unit)),
        ];
        for (key, text) in tags {
            if !text.is_empty() {
                let _infallible = write!(head, ",{key}={}", escape(text));
            }
        }
        head.push(' ');
        let head: Arc<str> = head.into();
        self.heads.insert(key, Arc::clone(&head));
        head
    }
}

fn end_line(at_ms: i64, after_ms: u32, out: &mut String) {
    let _infallible = writeln!(out, " {}", at_ms + i64::from(after_ms));
}

/// Appends a field; `false` if the value cannot be written, and then `out` is unchanged.
fn write_field(name: &str, kind: PointKind, value: &Value, out: &mut String) -> bool {
    let before = out.len();
    out.push_str(name);
    out.push('=');
    let is_written = match (kind, value) {
        (_, Value::Text(_)) | (PointKind::Text, _) => false,
        (PointKind::Bool | PointKind::Code, value) => write_integer(value, out),
        (PointKind::Number | PointKind::Counter, Value::Bool(b)) => {
            out.push(if *b { '1' } else { '0' });
            true
        }
        (PointKind::Number | PointKind::Counter, Value::F32(x)) => write_float(x + 0.0, f64::from(*x), out),
        (PointKind::Number | PointKind::Counter, Value::F64(x)) => write_float(x + 0.0, *x, out),
        (PointKind::Number | PointKind::Counter, value) => {
            value.write_json(out);
            true
        }
    };
    if !is_written {
        out.truncate(before);
    }
    is_written
}

/// Appends a float by its shortest digits, with an exponent below 1e-5 and from 1e15 on; `false` if it is not finite.
fn write_float<T: std::fmt::Display + std::fmt::LowerExp>(x: T, size: f64, out: &mut String) -> bool {
    let plain = size == 0.0 || (1e-5..1e15).contains(&size.abs());
    let _infallible = if plain { write!(out, "{x}") } else { write!(out, "{x:e}") };
    size.is_finite()
}

fn write_integer(value: &Value, out: &mut String) -> bool {
    let n = match value {
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Code(c) => Some(*c),
        other => other.as_decimal().filter(rust_decimal::Decimal::is_integer).and_then(|d| i64::try_from(d).ok()),
    };
    let _infallible = n.map(|n| write!(out, "{n}i"));
    n.is_some()
}

/// Escapes comma, space and equals sign in a measurement or tag. A backslash would be ambiguous and becomes a slash; a control
/// character becomes a space.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    for c in text.chars() {
        match c {
            ',' | ' ' | '=' => out.extend(['\\', c]),
            '\\' => out.push('/'),
            c if c.is_control() => out.push_str("\\ "),
            c => out.push(c),
        }
    }
    out
}

/// The non-empty lines of a body.
pub fn lines(body: &str) -> impl Iterator<Item = &str> {
    body.split('\n').filter(|l| !l.is_empty())
}

/// Splits a body in two by lines, or a single line by its fields; `None` if it is one value.
pub fn split_body(body: &str) -> Option<(String, String)> {
    let all: Vec<&str> = lines(body).collect();
    if all.len() > 1 {
        let (a, b) = all.split_at(all.len() / 2);
        let join = |lines: &[&str]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
        return Some((join(a), join(b)));
    }
    let (head, fields, time) = split_line(all.first()?)?;
    let (a, b) = (fields.len() > 1).then(|| fields.split_at(fields.len() / 2))?;
    Some((format!("{head} {} {time}\n", a.join(",")), format!("{head} {} {time}\n", b.join(","))))
}

/// Splits a line into series, fields as `name=value`, and time.
fn split_line(line: &str) -> Option<(&str, Vec<&str>, &str)> {
    // Fields contain neither spaces nor quotes: names come from the vocabulary and values are numbers.
    let (rest, time) = line.rsplit_once(' ')?;
    let (head, fields) = rest.rsplit_once(' ')?;
    Some((head, fields.split(',').collect(), time))
}

/// The series of a single value, and the series with the field: the two keys by which a store may reject values.
pub fn series_keys(line: &str) -> Option<(String, String)> {
    let (head, fields, _) = split_line(line.trim_end())?;
    let name = fields.first()?.split('=').next()?;
    Some((head.to_string(), format!("{head} {name}")))
}

/// The series of a line and the names of its fields.
pub fn series_and_fields(line: &str) -> Option<(String, Vec<&str>)> {
    let (head, fields, _) = split_line(line)?;
    Some((head.to_string(), fields.into_iter().filter_map(|f| f.split('=').next()).collect()))
}

/// Splits a body into the lines to send and the values for which `refused` returns a reason, each as a line of its own.
pub fn split_rejected(
    body: &str,
    mut reason_for: impl FnMut(&str) -> Option<String>,
) -> (String, Vec<(String, String)>) {
    let (mut rest, mut out) = (String::with_capacity(body.len()), Vec::new());
    for line in lines(body) {
        let Some((head, fields, time)) = split_line(line) else { continue };
        let of_series = reason_for(head);
        let mut kept = Vec::with_capacity(fields.len());
        for field in fields {
            let said =
                of_series.clone().or_else(|| reason_for(&format!("{head} {}", field.split('=').next().unwrap_or(""))));
            match said {
                Some(said) => out.push((format!("{head} {field} {time}\n"), said)),
                None => kept.push(field),
            }
        }
        if !kept.is_empty() {
            rest.push_str(&format!("{head} {} {time}\n", kept.join(",")));
        }
    }
    (rest, out)
}

/// The number of values of a body.
pub fn values(body: &str) -> usize {
    let of = |line: &str| {
        let fields = line.rsplit_once(' ').and_then(|(rest, _)| rest.rsplit_once(' ')).map_or("", |(_, f)| f);
        fields.matches(',').count() + 1
    };
    lines(body).map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::point::{Encoding, PointMeta, Retention};
    use crate::model::quality::Cause;
    use crate::model::reading::{Body, Part, Sample, Stamp};
    use crate::model::time::{MonotonicMillis, UnixMillis};
    use crate::sink::DeviceTags;

    fn encoded(source: &str, samples: Vec<(&str, PointKind, Option<Sample>)>, parts: Vec<Part>) -> (String, usize) {
        let place = DeviceTags { class: "pump".into(), area: "B1, 泵房\\".into(), ..DeviceTags::default() };
        let mut encoder = Encoder::new("s 1", Arc::new(BTreeMap::from([("p1".to_string(), place)])));
        let meta = |(name, kind, _): &(&str, PointKind, Option<Sample>)| {
            PointMeta::new(*name, *kind, Retention::Telemetry, Encoding::F64)
        };
        let points = samples.iter().map(meta).collect();
        let stream = Stream::new("p1", source.into(), 1_000, points);
        let at = Stamp { mono: MonotonicMillis(0), wall: UnixMillis(5), trusted: true };
        let samples = samples.into_iter().map(|(_, _, s)| s).collect();
        let mut out = String::new();
        let n = encoder.encode(&Reading { stream, at, body: Body::Samples { samples, parts } }, 5, None, &mut out);
        (out, n)
    }

    #[test]
    fn every_kind_has_one_type_for_ever() {
        let exact = |t: &str| Some(Ok(Value::Exact(t.parse().unwrap())));
        let (text, n) = encoded(
            "u/fast",
            vec![
                ("a_kwh", PointKind::Counter, exact("79228162514264337593543950.335")),
                ("b", PointKind::Number, exact("230.20")),
                ("c", PointKind::Number, Some(Ok(Value::F32(230.2)))),
                ("d", PointKind::Number, Some(Ok(Value::F64(1e300)))),
                ("e", PointKind::Number, Some(Ok(Value::F64(f64::NAN)))),
                ("f", PointKind::Bool, Some(Ok(Value::Bool(true)))),
                ("g", PointKind::Code, Some(Ok(Value::Code(-3)))),
                ("h", PointKind::Code, exact("7")),
                ("i", PointKind::Code, exact("7.5")),
                ("j", PointKind::Text, Some(Ok(Value::Text("v1".into())))),
                ("k", PointKind::Number, Some(Err(Cause::Timeout))),
                ("l", PointKind::Number, Some(Ok(Value::Code(3)))),
                ("m", PointKind::Number, None),
            ],
            vec![],
        );
        let expect = "pump,area=B1\\,\\ 泵房/,device=p1,site=s\\ 1 a_kwh=79228162514264337593543950.335,b=230.2,c=230.2,d=1e300,\
             f=1i,g=-3i,h=7i,k_bad=2i,l=3 5\n";
        assert_eq!((text.as_str(), n), (expect, 9));
        assert_eq!(values(&text), 9);
    }

    #[test]
    fn each_answer_has_its_own_time() {
        let one = || Some(Ok(Value::F64(1.0)));
        let (n, t) = (PointKind::Number, PointKind::Text);
        let text = || Some(Ok(Value::Text("x".into())));
        let samples = vec![("a", n, one()), ("b", n, one()), ("c", t, text()), ("d", n, one()), ("e", t, text())];
        let parts = vec![Part { len: 2, after_ms: 0 }, Part { len: 3, after_ms: 40 }];
        let (text, n) = encoded("u/fast", samples, parts);
        let head = "pump,area=B1\\,\\ 泵房/,device=p1,site=s\\ 1";
        assert_eq!((text, n), (format!("{head} a=1,b=1 5\n{head} d=1 45\n"), 3));
        assert_eq!(encoded("u/fast", vec![("c", t, Some(Ok(Value::Text("x".into()))))], vec![]), (String::new(), 0));
    }

    #[test]
    fn status_is_a_measurement_of_its_own() {
        let (text, _) = encoded(STATUS, vec![("state", PointKind::Code, Some(Ok(Value::Code(1))))], vec![]);
        assert_eq!(text, "status,area=B1\\,\\ 泵房/,class=pump,device=p1,site=s\\ 1 state=1i 5\n");
        let (text, _) = encoded("alarm/level_high", vec![("state", PointKind::Code, Some(Ok(Value::Code(1))))], vec![]);
        assert_eq!(text, "alarm,area=B1\\,\\ 泵房/,class=pump,device=p1,rule=level_high,site=s\\ 1 state=1i 5\n");
    }

    #[test]
    fn a_body_is_halved_down_to_one_value() {
        let body = "a,b=c\\ d x=1,y=2,z=3 5\ne f=1 6\n";
        let (one, two) = split_body(body).unwrap();
        assert_eq!((one.as_str(), two.as_str()), ("a,b=c\\ d x=1,y=2,z=3 5\n", "e f=1 6\n"));
        let (x, yz) = split_body(&one).unwrap();
        assert_eq!((x.as_str(), yz.as_str()), ("a,b=c\\ d x=1 5\n", "a,b=c\\ d y=2,z=3 5\n"));
        assert_eq!((split_body(&x), split_body(&two), split_body("")), (None, None, None));
        assert_eq!((values(body), values("")), (4, 0));
    }
}
