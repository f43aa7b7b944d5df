//! The header of a slice, and sums by which a turned bit is found: in a header, in a stream's description, in a column's key.

use crate::journal::codec::{Bytes, put};

/// The header of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its key.
    pub id: i64,
    /// First number of the raw segment that it was sealed from.
    pub seg: u64,
    /// Key of its stream.
    pub stream: i64,
    /// Rows.
    pub n: usize,
    /// First number.
    pub first_seq: u64,
    /// Last number.
    pub last_seq: u64,
    /// Time of the first row.
    pub first_ms: i64,
    /// Time of the last row.
    pub last_ms: i64,
    /// Whether times are dates; else they are monotonic times of a boot that never knew the date.
    pub dated: bool,
    /// Whether it was thinned.
    pub thinned: bool,
    /// Which points of the stream it holds, by their place.
    pub points: Vec<usize>,
    /// Whether this header is as it was written.
    pub is_whole: bool,
}

impl Slice {
    /// By which a turned bit in the header is found. It stands behind the points, as a number that is none of a point.
    pub fn sum(&self, stream: i64) -> u64 {
        let mut bytes = Vec::new();
        let signed = [stream, self.first_ms, self.last_ms, i64::from(self.dated), i64::from(self.thinned)];
        signed.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        [self.seg, self.n as u64, self.first_seq, self.last_seq].iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        self.points.iter().for_each(|p| put(&mut bytes, *p as u64));
        SUMMED | u64::from(crc32fast::hash(&bytes))
    }
}

/// Added to a sum, so that it is larger than the number of any point.
const SUMMED: u64 = 1 << 40;

/// Binds the sum at the end of a column to its place, and frees it again: a column whose key was turned into another's is none of
/// that one.
pub fn bound(mut bytes: Vec<u8>, table: &str, column: &str, id: i64) -> Vec<u8> {
    let place = crc32fast::hash(format!("{table} {column} {id}").as_bytes()).to_le_bytes();
    let from = bytes.len().saturating_sub(place.len());
    bytes[from..].iter_mut().zip(place).for_each(|(byte, of_place)| *byte ^= of_place);
    bytes
}

/// Reads a header.
///
/// # Errors
/// A field is of another type.
pub fn slice_of(r: &rusqlite::Row<'_>) -> rusqlite::Result<Slice> {
    let unsigned = |i: usize| r.get::<_, i64>(i).map(i64::cast_unsigned);
    let mut bytes = Bytes(r.get_ref(10)?.as_blob().unwrap_or_default());
    let (mut points, mut sum) = (Vec::new(), None);
    while let Some(n) = bytes.number() {
        match usize::try_from(n).ok().filter(|p| *p <= 4096) {
            Some(p) => points.push(p),
            None => sum = Some(n),
        }
    }
    let slice = Slice {
        id: r.get(0)?,
        seg: unsigned(1)?,
        stream: r.get(2)?,
        n: usize::try_from(r.get::<_, i64>(3)?).unwrap_or(0).min(10_000_000),
        first_seq: unsigned(4)?,
        last_seq: unsigned(5)?,
        first_ms: r.get(6)?,
        last_ms: r.get(7)?,
        dated: r.get(8)?,
        thinned: r.get(9)?,
        points,
        is_whole: true,
    };
    // Files of earlier versions have none.
    let is_whole = sum.is_none_or(|sum| sum == slice.sum(slice.stream));
    Ok(Slice { is_whole, ..slice })
}

/// By which a turned bit in the description of a stream is found.
pub fn sum_of(shape: &str) -> String {
    format!("{:08x}", crc32fast::hash(shape.as_bytes()))
}
