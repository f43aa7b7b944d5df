//! Binary format of a reading, the row of a raw segment. Pure; decodes arbitrary bytes (a damaged disk) without a panic.
//!
//! A value in the usual encoding of its point needs no tag: a 16-bit register with a scale takes two or three bytes, a
//! single float four. If any value of a row has another encoding, every value of the row is tagged.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::model::point::Encoding;
use crate::model::quality::Cause;
use crate::model::reading::{Body, Part, Reading, Sample, Stamp};
use crate::model::stream::Stream;
use crate::model::time::{MonotonicMillis, UnixMillis};
use crate::model::value::Value;

/// Flag: the whole cycle failed; its cause follows.
const FAILED: u8 = 1;
/// Flag: the clock was trusted when the reading was taken.
const TRUSTED: u8 = 2;
/// Flag: not every sample is good; runs of (count, code) follow.
const BAD: u8 = 4;
/// Flag: samples came with several answers; runs of (count, delay in ms) follow.
const PARTS: u8 = 8;
/// Flag: each value is preceded by its encoding.
const TAGGED: u8 = 16;

/// Code of a sample that was removed by downsampling or never existed.
pub const ABSENT: u8 = 255;

/// Appends a CRC-32, little-endian.
pub fn append_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// The bytes before the CRC-32; `None` if it does not match.
pub fn check_crc(bytes: &[u8]) -> Option<&[u8]> {
    let (data, crc) = bytes.split_last_chunk::<4>()?;
    (crc32fast::hash(data) == u32::from_le_bytes(*crc)).then_some(data)
}

/// Appends a number as LEB128: seven bits per byte, lowest first.
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

/// Maps a signed number to an unsigned one so that a small magnitude needs few bytes.
pub fn zigzag(n: i64) -> u64 {
    (n << 1 ^ n >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub fn unzigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -((n & 1).cast_signed())
}

/// Reader over bytes; every method returns `None` at the end of input.
#[derive(Clone, Copy, Debug)]
pub struct ByteReader<'a>(pub &'a [u8]);

impl<'a> ByteReader<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next number, as LEB128.
    pub fn varint(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    /// The next number if it is within the limit. Limits what damaged bytes can make the reader allocate.
    pub fn count(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.varint()?).ok().filter(|n| *n <= most)
    }
}

/// Code of a sample: 0 for a good one.
pub fn code_of(sample: &Option<Sample>) -> u8 {
    match sample {
        None => ABSENT,
        Some(Ok(_)) => 0,
        Some(Err(cause)) => cause.code(),
    }
}

/// Appends codes as runs of (count, code).
pub fn put_runs(out: &mut Vec<u8>, codes: impl IntoIterator<Item = u8>) {
    let mut run: Option<(u8, u64)> = None;
    for code in codes {
        match &mut run {
            Some((current, n)) if *current == code => *n += 1,
            _ => {
                if let Some((current, n)) = run {
                    put_varint(out, n);
                    out.push(current);
                }
                run = Some((code, 1));
            }
        }
    }
    if let Some((current, n)) = run {
        put_varint(out, n);
        out.push(current);
    }
}

/// Reads runs until they cover `total` codes; `None` if they are damaged.
pub fn read_runs(bytes: &mut ByteReader<'_>, total: usize) -> Option<Vec<u8>> {
    let mut codes = Vec::with_capacity(total);
    while codes.len() < total {
        let n = bytes.count(total - codes.len())?;
        if n == 0 {
            return None;
        }
        let code = bytes.byte()?;
        codes.resize(codes.len() + n, code);
    }
    Some(codes)
}

/// Whether a value has the usual encoding of its point, so that it needs no tag.
fn fits(value: &Value, encoding: Encoding) -> bool {
    match (value, encoding) {
        (Value::Bool(_), Encoding::Bool)
        | (Value::F32(_), Encoding::F32)
        | (Value::F64(_), Encoding::F64)
        | (Value::Code(_), Encoding::Code)
        | (Value::Text(_), Encoding::Text) => true,
        (Value::Exact(d), Encoding::Exact(scale)) => {
            d.scale() == u32::from(scale) && i64::try_from(d.mantissa()).is_ok()
        }
        _ => false,
    }
}

fn put_plain(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bool(b) => out.push(u8::from(*b)),
        Value::Exact(d) => put_varint(out, zigzag(i64::try_from(d.mantissa()).unwrap_or(0))),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::Code(c) => put_varint(out, zigzag(*c)),
        Value::Text(t) => {
            put_varint(out, t.len() as u64);
            out.extend(t.as_bytes());
        }
    }
}

fn plain(bytes: &mut ByteReader<'_>, encoding: Encoding) -> Option<Value> {
    Some(match encoding {
        Encoding::Bool => Value::Bool(bytes.byte()? != 0),
        Encoding::Exact(scale) => {
            let mantissa = i128::from(unzigzag(bytes.varint()?));
            Value::Exact(Decimal::try_from_i128_with_scale(mantissa, u32::from(scale)).ok()?)
        }
        Encoding::F32 => Value::F32(f32::from_le_bytes(bytes.array()?)),
        Encoding::F64 => Value::F64(f64::from_le_bytes(bytes.array()?)),
        Encoding::Code => Value::Code(unzigzag(bytes.varint()?)),
        Encoding::Text => {
            let n = bytes.count(bytes.0.len())?;
            Value::Text(std::str::from_utf8(bytes.take(n)?).ok()?.into())
        }
    })
}

/// Appends a tag for the encoding, then the value.
pub fn put_tagged(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bool(_) => out.push(0),
        Value::F32(_) => out.push(1),
        Value::F64(_) => out.push(2),
        Value::Code(_) => out.push(3),
        Value::Text(_) => out.push(4),
        Value::Exact(d) => {
            out.push(5);
            out.push(d.scale().to_le_bytes()[0]);
            return out.extend(d.mantissa().to_le_bytes());
        }
    }
    put_plain(out, value);
}

/// Reads a value written by [`put_tagged`].
pub fn read_tagged(bytes: &mut ByteReader<'_>) -> Option<Value> {
    let encoding = match bytes.byte()? {
        0 => Encoding::Bool,
        1 => Encoding::F32,
        2 => Encoding::F64,
        3 => Encoding::Code,
        4 => Encoding::Text,
        5 => {
            let scale = u32::from(bytes.byte()?);
            let mantissa = i128::from_le_bytes(bytes.array()?);
            return Decimal::try_from_i128_with_scale(mantissa, scale).ok().map(Value::Exact);
        }
        _ => return None,
    };
    plain(bytes, encoding)
}

/// Encodes a reading as the body of a row. It ends with a CRC-32, because SQLite would not notice a flipped bit within a row.
pub fn encode(reading: &Reading) -> Vec<u8> {
    append_crc(encode_body(reading))
}

fn encode_body(reading: &Reading) -> Vec<u8> {
    let points = &reading.stream.points;
    let mut out = Vec::with_capacity(24 + points.len() * 4);
    out.push(if reading.at.trusted { TRUSTED } else { 0 });
    put_varint(&mut out, reading.at.mono.0);
    put_varint(&mut out, zigzag(reading.at.wall.0));
    let (samples, parts) = match &reading.body {
        Body::Failed(cause) => {
            out[0] |= FAILED;
            out.push(cause.code());
            return out;
        }
        Body::Samples { samples, parts } => (samples, parts),
    };
    if samples.iter().any(|s| code_of(s) != 0) {
        out[0] |= BAD;
        put_runs(&mut out, samples.iter().map(code_of));
    }
    if !parts.is_empty() {
        out[0] |= PARTS;
        put_varint(&mut out, parts.len() as u64);
        for part in parts {
            put_varint(&mut out, u64::from(part.len));
            put_varint(&mut out, u64::from(part.after_ms));
        }
    }
    let good = || samples.iter().zip(points).filter_map(|(s, p)| Some((s.as_ref()?.as_ref().ok()?, p.encoding)));
    if good().all(|(value, form)| fits(value, form)) {
        good().for_each(|(value, _)| put_plain(&mut out, value));
    } else {
        out[0] |= TAGGED;
        good().for_each(|(value, _)| put_tagged(&mut out, value));
    }
    out
}

/// Decodes the body of a row; `None` if it is damaged.
pub fn decode(body: &[u8], stream: &Arc<Stream>) -> Option<Reading> {
    let mut bytes = ByteReader(check_crc(body)?);
    let flags = bytes.byte()?;
    let mono = MonotonicMillis(bytes.varint()?);
    let wall = UnixMillis(unzigzag(bytes.varint()?));
    let at = Stamp { mono, wall, trusted: flags & TRUSTED != 0 };
    let stream = Arc::clone(stream);
    if flags & FAILED != 0 {
        let cause = Cause::from_code(bytes.byte()?)?;
        return Some(Reading { stream, at, body: Body::Failed(cause) });
    }
    let n = stream.points.len();
    let codes = if flags & BAD != 0 { read_runs(&mut bytes, n)? } else { vec![0; n] };
    let mut parts = Vec::new();
    if flags & PARTS != 0 {
        for _ in 0..bytes.count(n)? {
            let len = u32::try_from(bytes.varint()?).ok()?;
            parts.push(Part { len, after_ms: u32::try_from(bytes.varint()?).ok()? });
        }
    }
    let mut samples = Vec::with_capacity(n);
    for (code, point) in codes.iter().zip(&stream.points) {
        samples.push(match code {
            0 if flags & TAGGED != 0 => Some(Ok(read_tagged(&mut bytes)?)),
            0 => Some(Ok(plain(&mut bytes, point.encoding)?)),
            &ABSENT => None,
            code => Some(Err(Cause::from_code(*code)?)),
        });
    }
    Some(Reading { stream, at, body: Body::Samples { samples, parts } })
}
