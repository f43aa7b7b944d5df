//! The header of a slice, and the checksums that detect a flipped bit in a header, in a stream's description and in a column's key.

use crate::journal::codec::{ByteReader, put_varint};

/// Header of a slice: one segment's rows of one stream and retention class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub id: i64,
    /// First number of the raw segment it was sealed from.
    pub segment: u64,
    /// Key of the stream in the same file.
    pub stream: i64,
    pub n: usize,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Earliest time of a row, milliseconds; the clock may have been set back within the hour.
    pub first_ms: i64,
    /// Latest time of a row plus the largest offset of a sample, milliseconds.
    pub last_ms: i64,
    /// Whether times are dates; otherwise they are monotonic times of a boot whose clock was never trusted.
    pub dated: bool,
    /// Whether its columns were downsampled.
    pub downsampled: bool,
    /// Indices into the stream's points.
    pub points: Vec<usize>,
    /// Whether the header matches its checksum; true for files of earlier versions, which have none.
    pub is_intact: bool,
}

impl Slice {
    /// Checksum of the header. It is stored after the point indices as a number that is too large for an index.
    pub fn checksum(&self, stream: i64) -> u64 {
        let mut bytes = Vec::new();
        let signed = [stream, self.first_ms, self.last_ms, i64::from(self.dated), i64::from(self.downsampled)];
        signed.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        [self.segment, self.n as u64, self.first_seq, self.last_seq].iter().for_each(|n| bytes.extend(n.to_le_bytes()));
        self.points.iter().for_each(|p| put_varint(&mut bytes, *p as u64));
        CHECKSUM_FLAG | u64::from(crc32fast::hash(&bytes))
    }
}

/// Flag in a checksum that makes it larger than any point index.
const CHECKSUM_FLAG: u64 = 1 << 40;

/// XORs the CRC at the end of a column with a hash of table, column and key; applying it twice restores the bytes. A column whose key was
/// damaged into another key then fails its CRC there.
pub fn bind_crc(mut bytes: Vec<u8>, table: &str, column: &str, id: i64) -> Vec<u8> {
    let place = crc32fast::hash(format!("{table} {column} {id}").as_bytes()).to_le_bytes();
    let from = bytes.len().saturating_sub(place.len());
    bytes[from..].iter_mut().zip(place).for_each(|(byte, of_place)| *byte ^= of_place);
    bytes
}

/// Reads a header and compares it with its checksum.
///
/// # Errors
/// A field is of another type.
pub fn read_slice(r: &rusqlite::Row<'_>) -> rusqlite::Result<Slice> {
    let unsigned = |i: usize| r.get::<_, i64>(i).map(i64::cast_unsigned);
    let mut bytes = ByteReader(r.get_ref(10)?.as_blob().unwrap_or_default());
    let (mut points, mut sum) = (Vec::new(), None);
    while let Some(n) = bytes.varint() {
        match usize::try_from(n).ok().filter(|p| *p <= 4096) {
            Some(p) => points.push(p),
            None => sum = Some(n),
        }
    }
    let slice = Slice {
        id: r.get(0)?,
        segment: unsigned(1)?,
        stream: r.get(2)?,
        n: usize::try_from(r.get::<_, i64>(3)?).unwrap_or(0).min(10_000_000),
        first_seq: unsigned(4)?,
        last_seq: unsigned(5)?,
        first_ms: r.get(6)?,
        last_ms: r.get(7)?,
        dated: r.get(8)?,
        downsampled: r.get(9)?,
        points,
        is_intact: true,
    };
    // Files of earlier versions have no checksum.
    let is_intact = sum.is_none_or(|sum| sum == slice.checksum(slice.stream));
    Ok(Slice { is_intact, ..slice })
}

/// Checksum of a stream's description, as hexadecimal text.
pub fn shape_checksum(shape: &str) -> String {
    format!("{:08x}", crc32fast::hash(shape.as_bytes()))
}
