//! Column format of sealed history: one column of numbers, one of times, one per point. Pure; decodes arbitrary bytes without a panic.
//!
//! Every column ends with a CRC-32. If it does not match, the column is damaged and nothing of it is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress_into};
use rust_decimal::Decimal;

use crate::journal::codec::{
    self, ABSENT, ByteReader, append_crc, check_crc, put_runs, put_tagged, put_varint, read_runs, read_tagged,
    unzigzag, zigzag,
};
use crate::model::quality::Cause;
use crate::model::reading::Sample;
use crate::model::value::Value;

fn config() -> ChunkConfig {
    ChunkConfig::default().with_compression_level(8)
}

/// Appends the compressed length in bytes, then the numbers compressed by `pco`.
fn put_numbers<T: Number>(out: &mut Vec<u8>, numbers: &[T]) {
    let packed = if numbers.is_empty() { Vec::new() } else { simple_compress(numbers, &config()).unwrap_or_default() };
    put_varint(out, packed.len() as u64);
    out.extend(packed);
}

/// Reads exactly `n` numbers.
fn numbers<T: Number>(bytes: &mut ByteReader<'_>, n: usize) -> Option<Vec<T>> {
    let len = bytes.count(bytes.0.len())?;
    let packed = bytes.take(len)?;
    let mut out = vec![T::default(); n];
    if n == 0 {
        return Some(out);
    }
    let progress = simple_decompress_into(packed, &mut out).ok()?;
    (progress.finished && progress.n_processed == n).then_some(out)
}

/// Encodes a column of integers (sequence numbers, times).
pub fn encode_integers(column: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    put_numbers(&mut out, column);
    append_crc(out)
}

/// Decodes a column of `n` integers; `None` if it is damaged.
pub fn decode_integers(bytes: &[u8], n: usize) -> Option<Vec<i64>> {
    numbers(&mut ByteReader(check_crc(bytes)?), n)
}

/// Encodes each sample's delay after the time of its reading, milliseconds. Points with equal delays in every row share a column; if all
/// delays are 0 the result is empty.
pub fn encode_offsets(rows: &[Vec<u32>]) -> Vec<u8> {
    let points = rows.first().map_or(0, Vec::len);
    if rows.iter().all(|row| row.iter().all(|ms| *ms == 0)) {
        return Vec::new();
    }
    let mut kinds: BTreeMap<Vec<u32>, u64> = BTreeMap::new();
    let mut of_point = Vec::with_capacity(points);
    for p in 0..points {
        let column: Vec<u32> = rows.iter().map(|row| row[p]).collect();
        let next = kinds.len() as u64;
        of_point.push(*kinds.entry(column).or_insert(next));
    }
    let mut out = Vec::new();
    put_varint(&mut out, kinds.len() as u64);
    of_point.iter().for_each(|k| put_varint(&mut out, *k));
    let mut in_order: Vec<(&u64, &Vec<u32>)> = kinds.iter().map(|(c, k)| (k, c)).collect();
    in_order.sort_unstable();
    in_order.iter().for_each(|(_, column)| put_numbers(&mut out, column));
    append_crc(out)
}

/// Decodes offsets into one column per point.
pub fn decode_offsets(bytes: &[u8], points: usize, n: usize) -> Option<Vec<Arc<[u32]>>> {
    if bytes.is_empty() {
        let zeros: Arc<[u32]> = vec![0; n].into();
        return Some(vec![zeros; points]);
    }
    let mut bytes = ByteReader(check_crc(bytes)?);
    let kinds = bytes.count(points)?;
    let of_point: Option<Vec<usize>> = (0..points).map(|_| bytes.count(kinds.checked_sub(1)?)).collect();
    let columns: Option<Vec<Arc<[u32]>>> = (0..kinds).map(|_| Some(numbers::<u32>(&mut bytes, n)?.into())).collect();
    let columns = columns?;
    Some(of_point?.into_iter().map(|k| Arc::clone(&columns[k])).collect())
}

/// Encodes the samples of a point.
pub fn encode_samples(column: &[Option<Sample>]) -> Vec<u8> {
    let mut out = Vec::new();
    if column.iter().all(|s| codec::code_of(s) == 0) {
        out.push(0);
    } else {
        out.push(1);
        put_runs(&mut out, column.iter().map(codec::code_of));
    }
    let values: Vec<&Value> = column.iter().filter_map(|s| s.as_ref()?.as_ref().ok()).collect();
    put_values(&mut out, &values);
    append_crc(out)
}

/// Writes values in the encoding they share, decimals at their largest scale; or as tagged runs if they differ.
fn put_values(out: &mut Vec<u8>, values: &[&Value]) {
    if let Some((scale, mantissas)) = mantissas(values) {
        out.push(2);
        out.push(scale);
        return put_shorter(out, &mantissas);
    }
    if let Some(singles) = all(values, |v| if let Value::F32(x) = v { Some(*x) } else { None }) {
        out.push(3);
        return put_numbers(out, &singles);
    }
    if let Some(doubles) = all(values, |v| if let Value::F64(x) = v { Some(*x) } else { None }) {
        out.push(4);
        return put_numbers(out, &doubles);
    }
    if let Some(codes) = all(values, |v| if let Value::Code(c) = v { Some(*c) } else { None }) {
        out.push(5);
        return put_shorter(out, &codes);
    }
    if let Some(bools) = all(values, |v| if let Value::Bool(b) = v { Some(i64::from(*b)) } else { None }) {
        out.push(6);
        return put_shorter(out, &bools);
    }
    out.push(7);
    for (n, value) in runs_of(values) {
        put_varint(out, n);
        put_tagged(out, value);
    }
}

fn all<T>(values: &[&Value], f: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(|v| f(v)).collect()
}

/// Decimals as mantissas of one scale; `None` if any value is not a decimal or its mantissa exceeds 64 bits.
fn mantissas(values: &[&Value]) -> Option<(u8, Vec<i64>)> {
    let decimals = all(values, |v| if let Value::Exact(d) = v { Some(*d) } else { None })?;
    let scale = decimals.iter().map(Decimal::scale).max().unwrap_or(0);
    let mantissa = |d: &Decimal| {
        let up = 10i128.checked_pow(scale - d.scale())?;
        i64::try_from(d.mantissa().checked_mul(up)?).ok()
    };
    Some((u8::try_from(scale).ok()?, decimals.iter().map(mantissa).collect::<Option<_>>()?))
}

fn runs_of<T: PartialEq>(values: &[T]) -> Vec<(u64, &T)> {
    let mut out: Vec<(u64, &T)> = Vec::new();
    for value in values {
        match out.last_mut() {
            Some((n, last)) if *last == value => *n += 1,
            _ => out.push((1, value)),
        }
    }
    out
}

/// Writes integers as runs or compressed, whichever is estimated to be shorter: states change rarely, measurements always.
fn put_shorter(out: &mut Vec<u8>, values: &[i64]) {
    let in_runs = runs_of(values);
    if in_runs.len() * 4 < values.len() + 8 {
        out.push(0);
        for (n, value) in in_runs {
            put_varint(out, n);
            put_varint(out, zigzag(*value));
        }
    } else {
        out.push(1);
        put_numbers(out, values);
    }
}

fn read_shorter(bytes: &mut ByteReader<'_>, n: usize) -> Option<Vec<i64>> {
    if bytes.byte()? == 1 {
        return numbers(bytes, n);
    }
    let mut out = Vec::with_capacity(n);
    while out.len() < n {
        let run = bytes.count(n - out.len()).filter(|run| *run > 0)?;
        let value = unzigzag(bytes.varint()?);
        out.resize(out.len() + run, value);
    }
    Some(out)
}

/// Iterator over a point's samples. They stay in a compact form of a few bytes each and become values one at a time.
#[derive(Debug)]
pub struct Samples {
    codes: std::vec::IntoIter<u8>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Exact(u32, std::vec::IntoIter<i64>),
    F32(std::vec::IntoIter<f32>),
    F64(std::vec::IntoIter<f64>),
    Code(std::vec::IntoIter<i64>),
    Bool(std::vec::IntoIter<i64>),
    Runs(std::vec::IntoIter<(usize, Value)>, usize, Option<Value>),
}

impl Values {
    fn next(&mut self) -> Option<Value> {
        match self {
            Values::Exact(scale, i) => {
                i.next().and_then(|m| Decimal::try_from_i128_with_scale(i128::from(m), *scale).ok()).map(Value::Exact)
            }
            Values::F32(i) => i.next().map(Value::F32),
            Values::F64(i) => i.next().map(Value::F64),
            Values::Code(i) => i.next().map(Value::Code),
            Values::Bool(i) => i.next().map(|b| Value::Bool(b != 0)),
            Values::Runs(i, left, current) => {
                if *left == 0 {
                    let (n, value) = i.next()?;
                    (*left, *current) = (n, Some(value));
                }
                *left -= 1;
                current.clone()
            }
        }
    }
}

impl Iterator for Samples {
    type Item = Option<Sample>;

    fn next(&mut self) -> Option<Option<Sample>> {
        Some(match self.codes.next()? {
            0 => Some(Ok(self.values.next()?)),
            ABSENT => None,
            code => Some(Err(Cause::from_code(code)?)),
        })
    }
}

/// Decodes a column of `n` samples; `None` if it is damaged.
pub fn decode_samples(bytes: &[u8], n: usize) -> Option<Samples> {
    let mut bytes = ByteReader(check_crc(bytes)?);
    let codes = if bytes.byte()? == 0 { vec![0; n] } else { read_runs(&mut bytes, n)? };
    let good = codes.iter().filter(|c| **c == 0).count();
    if codes.iter().any(|c| *c != 0 && *c != ABSENT && Cause::from_code(*c).is_none()) {
        return None;
    }
    let values = values(&mut bytes, good)?;
    Some(Samples { codes: codes.into_iter(), values })
}

fn values(bytes: &mut ByteReader<'_>, n: usize) -> Option<Values> {
    Some(match bytes.byte()? {
        2 => {
            let scale = u32::from(bytes.byte()?);
            Decimal::try_from_i128_with_scale(0, scale).ok()?;
            Values::Exact(scale, read_shorter(bytes, n)?.into_iter())
        }
        3 => Values::F32(numbers::<f32>(bytes, n)?.into_iter()),
        4 => Values::F64(numbers::<f64>(bytes, n)?.into_iter()),
        5 => Values::Code(read_shorter(bytes, n)?.into_iter()),
        6 => Values::Bool(read_shorter(bytes, n)?.into_iter()),
        7 => {
            let (mut out, mut decoded) = (Vec::new(), 0);
            while decoded < n {
                let run = bytes.count(n - decoded).filter(|run| *run > 0)?;
                out.push((run, read_tagged(bytes)?));
                decoded += run;
            }
            Values::Runs(out.into_iter(), 0, None)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(column: Vec<Option<Sample>>) -> usize {
        let bytes = encode_samples(&column);
        let back: Vec<Option<Sample>> = decode_samples(&bytes, column.len()).unwrap().collect();
        assert_eq!(back, column);
        bytes.len()
    }

    #[test]
    fn columns_of_every_form_come_back() {
        let exact = |m: i64, s: u32| Some(Ok(Value::Exact(Decimal::new(m, s))));
        there_and_back((0..3600).map(|i| exact(2300 + i % 7, 1)).collect());
        there_and_back(vec![exact(1, 0), None, Some(Err(Cause::Timeout)), exact(-2, 0)]);
        there_and_back((0..100).map(|i| Some(Ok(Value::Bool(i > 50)))).collect());
        there_and_back((0..100u16).map(|i| Some(Ok(Value::F32(f32::from(i) * 0.1)))).collect());
        there_and_back(vec![Some(Ok(Value::F64(0.1))), Some(Ok(Value::F64(f64::MAX)))]);
        there_and_back(vec![Some(Ok(Value::Code(i64::MIN))), Some(Ok(Value::Code(3)))]);
        there_and_back(vec![Some(Ok(Value::Text("a".into()))), Some(Ok(Value::Bool(true)))]);
        there_and_back(vec![Some(Err(Cause::LinkDown)); 3600]);
        there_and_back(vec![]);
    }

    #[test]
    fn a_state_that_never_changes_costs_nothing() {
        assert!(there_and_back(vec![Some(Ok(Value::Bool(true))); 3600]) < 16);
    }

    #[test]
    fn a_changed_bit_is_found() {
        let bytes = encode_samples(&[Some(Ok(Value::Code(1))), Some(Ok(Value::Code(2)))]);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_samples(&wrong, 2).is_none());
        }
    }

    #[test]
    fn offsets_come_back_by_point() {
        let rows: Vec<Vec<u32>> = (0..50).map(|i| vec![0, 0, 20 + i % 3, 20 + i % 3]).collect();
        let bytes = encode_offsets(&rows);
        let columns = decode_offsets(&bytes, 4, 50).unwrap();
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(&columns.iter().map(|c| c[i]).collect::<Vec<_>>(), row);
        }
        assert!(encode_offsets(&[vec![0, 0]]).is_empty());
    }
}
