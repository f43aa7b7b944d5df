//! Aggregates of quarter hours, stored beside the columns of sealed history. Figures of exact values are exact.

use std::collections::BTreeMap;

use crate::journal::codec::{ByteReader, append_crc, check_crc, put_tagged, put_varint, read_tagged, unzigzag, zigzag};
use crate::model::value::{Numeric, Value};

/// Rows per quarter hour below which aggregates are not stored: decoding the samples is as fast.
pub const AGGREGATE_FROM: usize = 150;

/// Aggregate of one point over an interval, usually a quarter hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Aggregate {
    pub good: u32,
    /// Number of samples, bad ones included.
    pub all: u32,
    /// Over good values, as are `min`, `max`, `first` and `last`.
    pub sum: Numeric,
    pub min: Numeric,
    pub max: Numeric,
    /// Value and time, milliseconds.
    pub first: (Numeric, i64),
    /// Value and time, milliseconds, of the sample added last.
    pub last: (Numeric, i64),
}

impl Aggregate {
    /// Adds a sample; `value` is `None` for a bad one or one that is not a number.
    pub fn add(&mut self, at_ms: i64, value: Option<Numeric>) {
        self.all += 1;
        let Some(value) = value else { return };
        if self.good == 0 {
            (self.min, self.max, self.first) = (value, value, (value, at_ms));
        }
        self.good += 1;
        self.sum = self.sum.plus(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = (value, at_ms);
    }

    /// Merges an aggregate of a later interval.
    pub fn merge(&mut self, later: &Aggregate) {
        self.all += later.all;
        if later.good == 0 {
            return;
        }
        if self.good == 0 {
            (self.min, self.max, self.first) = (later.min, later.max, later.first);
        }
        self.good += later.good;
        self.sum = self.sum.plus(later.sum);
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.last = later.last;
    }

    fn figures(&self) -> [Numeric; 5] {
        [self.sum, self.min, self.max, self.first.0, self.last.0]
    }
}

/// A figure of the exact part: a float, as in the first part.
const FLOAT: u8 = 0;
/// The decimal that the float of the first part prints.
const PRINTED: u8 = 1;
/// A tagged value follows.
const TAGGED: u8 = 2;

/// Encodes aggregates by start in milliseconds since 1970: first the floats of all of them, which is all that earlier versions wrote
/// and read; then, if any figure is exact, a byte for each figure, and the decimal where the float has not all its digits.
pub fn encode_aggregates(of: &BTreeMap<i64, Aggregate>) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, of.len() as u64);
    for (start, a) in of {
        put_varint(&mut out, zigzag(*start));
        put_varint(&mut out, u64::from(a.good));
        put_varint(&mut out, u64::from(a.all));
        for figure in a.figures() {
            out.extend(figure.as_f64().to_le_bytes());
        }
        put_varint(&mut out, zigzag(a.first.1 - start));
        put_varint(&mut out, zigzag(a.last.1 - start));
    }
    let figures = || of.values().flat_map(Aggregate::figures);
    if figures().any(|figure| matches!(figure, Numeric::Exact(_))) {
        for figure in figures() {
            match figure {
                Numeric::Float(_) => out.push(FLOAT),
                Numeric::Exact(decimal) if Value::F64(figure.as_f64()).as_decimal() == Some(decimal) => {
                    out.push(PRINTED);
                }
                Numeric::Exact(_) => {
                    out.push(TAGGED);
                    put_tagged(&mut out, &figure.value());
                }
            }
        }
    }
    append_crc(out)
}

/// Decodes aggregates; `None` if they are damaged.
pub fn decode_aggregates(bytes: &[u8]) -> Option<BTreeMap<i64, Aggregate>> {
    let mut bytes = ByteReader(check_crc(bytes)?);
    let n = bytes.count(10_000)?;
    let mut all = Vec::with_capacity(n);
    for _ in 0..n {
        let start = unzigzag(bytes.varint()?);
        let good = u32::try_from(bytes.varint()?).ok()?;
        let count = u32::try_from(bytes.varint()?).ok()?;
        let mut figures = [Numeric::Float(0.0); 5];
        for figure in &mut figures {
            *figure = Numeric::Float(f64::from_le_bytes(bytes.array()?));
        }
        let [sum, min, max, first, last] = figures;
        let first = (first, start.checked_add(unzigzag(bytes.varint()?))?);
        let last = (last, start.checked_add(unzigzag(bytes.varint()?))?);
        all.push((start, Aggregate { good, all: count, sum, min, max, first, last }));
    }
    if !bytes.0.is_empty() {
        for (_, a) in &mut all {
            for figure in [&mut a.sum, &mut a.min, &mut a.max, &mut a.first.0, &mut a.last.0] {
                *figure = exact_figure(&mut bytes, *figure)?;
            }
        }
    }
    Some(all.into_iter().collect())
}

fn exact_figure(bytes: &mut ByteReader<'_>, float: Numeric) -> Option<Numeric> {
    match bytes.byte()? {
        FLOAT => Some(float),
        PRINTED => float.value().as_decimal().map(Numeric::Exact),
        TAGGED => read_tagged(bytes).and_then(|value| Numeric::of(&value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_come_back() {
        let mut a = Aggregate::default();
        for (at_ms, value) in [(1_000, Some(2.0)), (2_000, None), (3_000, Some(4.0))] {
            a.add(at_ms, value.map(Numeric::Float));
        }
        let of = BTreeMap::from([(0, a)]);
        assert_eq!(decode_aggregates(&encode_aggregates(&of)), Some(of));
        let float = Numeric::Float;
        assert_eq!((a.good, a.all, a.sum, a.min, a.max), (2, 3, float(6.0), float(2.0), float(4.0)));
        assert_eq!((a.first, a.last), ((float(2.0), 1_000), (float(4.0), 3_000)));
    }

    #[test]
    fn exact_aggregates_keep_every_digit_and_older_versions_read_their_floats() {
        let exact = |text: &str| Numeric::Exact(text.parse().unwrap());
        let mut a = Aggregate::default();
        for (at_ms, text) in [(1_000, "123456789012345678.01"), (2_000, "123456789012345678.02"), (3_000, "0.5")] {
            a.add(at_ms, Some(exact(text)));
        }
        assert_eq!(a.sum, exact("246913578024691356.53"));
        let mut mixed = Aggregate::default();
        mixed.add(4_000, Some(exact("0.1")));
        mixed.add(5_000, Some(Numeric::Float(0.2)));
        assert_eq!(mixed.sum, Numeric::Float(0.1 + 0.2), "a float makes the sum a float");
        let of = BTreeMap::from([(0, a), (900_000, mixed)]);
        let bytes = encode_aggregates(&of);
        let back = decode_aggregates(&bytes).unwrap();
        assert_eq!(back, of);
        // What an older version read of it: the same without the second part.
        let floats = |a: &Aggregate| Aggregate {
            sum: Numeric::Float(a.sum.as_f64()),
            min: Numeric::Float(a.min.as_f64()),
            max: Numeric::Float(a.max.as_f64()),
            first: (Numeric::Float(a.first.0.as_f64()), a.first.1),
            last: (Numeric::Float(a.last.0.as_f64()), a.last.1),
            ..*a
        };
        let old: BTreeMap<i64, Aggregate> = of.iter().map(|(start, a)| (*start, floats(a))).collect();
        let old_bytes = encode_aggregates(&old);
        assert!(check_crc(&bytes).unwrap().starts_with(check_crc(&old_bytes).unwrap()));
        assert_eq!(decode_aggregates(&old_bytes), Some(old));
    }
}
