//! The marks of a register and a day as bytes: most of them take two to four.
//!
//! Each mark is told by its difference from the one before, which is expected a quarter of an hour earlier with the same span and number of
//! decimals. The first number of a mark holds the difference of time, shifted by one bit; the lowest bit says that span, decimals and
//! mantissa follow in full. A CRC-32 ends the bytes.

use rust_decimal::Decimal;

use crate::energy::span::Mark;
use crate::journal::codec::{ByteReader, append_crc, check_crc, put_varint, unzigzag, zigzag};
use crate::model::metering::RegisterReading;
use crate::model::time::UnixMillis;

/// How much later than the one before a mark is expected.
const EXPECTED_MS: i64 = 900_000;

/// The mark that the next one is told from.
#[derive(Clone, Copy)]
struct Before {
    at_ms: i64,
    span: u32,
    scale: u32,
    mantissa: i128,
}

impl Before {
    const fn day(day_ms: i64) -> Self {
        Self { at_ms: day_ms, span: 0, scale: 0, mantissa: 0 }
    }
}

/// Marks of the day that begins at `day_ms`, in order.
pub fn encode(marks: &[Mark], day_ms: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(marks.len() * 5);
    let mut before = Before::day(day_ms);
    for mark in marks {
        let (at_ms, value) = (mark.reading.at.0, mark.reading.value);
        let late = zigzag(at_ms - before.at_ms - EXPECTED_MS) << 1;
        let rise = i64::try_from(value.mantissa() - before.mantissa).ok();
        match rise.filter(|_| (mark.span, value.scale()) == (before.span, before.scale)) {
            Some(rise) => {
                put_varint(&mut out, late);
                put_varint(&mut out, zigzag(rise));
            }
            None => {
                put_varint(&mut out, late | 1);
                put_varint(&mut out, u64::from(mark.span));
                put_varint(&mut out, u64::from(value.scale()));
                out.extend(value.mantissa().to_le_bytes());
            }
        }
        before = Before { at_ms, span: mark.span, scale: value.scale(), mantissa: value.mantissa() };
    }
    append_crc(out)
}

/// The inverse of [`encode`]; `None`: the bytes are damaged.
pub fn decode(bytes: &[u8], day_ms: i64) -> Option<Vec<Mark>> {
    let mut bytes = ByteReader(check_crc(bytes)?);
    let mut before = Before::day(day_ms);
    let mut out = Vec::new();
    while !bytes.0.is_empty() {
        let head = bytes.varint()?;
        before.at_ms = before.at_ms.checked_add(EXPECTED_MS)?.checked_add(unzigzag(head >> 1))?;
        if head & 1 == 1 {
            before.span = u32::try_from(bytes.varint()?).ok()?;
            before.scale = u32::try_from(bytes.varint()?).ok()?;
            before.mantissa = i128::from_le_bytes(bytes.array()?);
        } else {
            before.mantissa += i128::from(unzigzag(bytes.varint()?));
        }
        let value = Decimal::try_from_i128_with_scale(before.mantissa, before.scale).ok()?;
        out.push(Mark { span: before.span, reading: RegisterReading { at: UnixMillis(before.at_ms), value } });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_are_small() {
        let mark = |at_ms: i64, span: u32, value: &str| Mark {
            span,
            reading: RegisterReading { at: UnixMillis(at_ms), value: value.parse().unwrap() },
        };
        let day = 1_764_201_600_000i64;
        let quarters: Vec<Mark> = (0..96i64)
            .map(|i| mark(day + i * 900_000 + (i * 7_919) % 30_000, 1, &format!("{}.{:02}", 40_000 + i, i)))
            .collect();
        let bytes = encode(&quarters, day);
        assert_eq!(decode(&bytes, day).unwrap(), quarters);
        assert!(bytes.len() < 96 * 6, "{}", bytes.len());
        let odd = [
            mark(day + 5, 1, "79228162514264337593543950335"),
            mark(day + 6, 1, "-79228162514264337593543950335"),
            mark(day + 7, 2, "0.0000000000000000000000000001"),
            mark(day + 86_399_999, 4_000_000_000, "0"),
            mark(day - 3, 4_000_000_000, "1"),
        ];
        let bytes = encode(&odd, day);
        assert_eq!(decode(&bytes, day).unwrap(), odd);
        for i in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[i] ^= 0x10;
            assert_eq!(decode(&bent, day), None, "byte {i}");
        }
    }
}
