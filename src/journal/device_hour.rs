//! A device's readings of one sealed hour, merged from the files of the classes.

use std::sync::Arc;

use crate::journal::column::Samples;
use crate::journal::damage;
use crate::journal::mirror;
use crate::journal::sealed::{DayFile, Slice};
use crate::journal::segment::JournalError;
use crate::journal::tail::JournalEntry;
use crate::model::reading::{Body, Part, Reading, Sample, Stamp};
use crate::model::stream::Stream;
use crate::model::time::{MonotonicMillis, UnixMillis};

/// A row being merged from the classes' files: stream, time, samples, and the delay of each sample in milliseconds.
type PartialRow = (Arc<Stream>, Stamp, Vec<Option<Sample>>, Vec<u32>);

/// A slice, read row by row.
struct ColumnReader {
    stream: Arc<Stream>,
    points: Vec<usize>,
    seqs: std::vec::IntoIter<i64>,
    next_seq: Option<u64>,
    times: std::vec::IntoIter<i64>,
    dated: bool,
    columns: Vec<Samples>,
    offsets: Vec<Arc<[u32]>>,
    row: usize,
}

/// A device's readings of one sealed segment in order of numbers, merged from the files of the classes.
pub struct DeviceHour {
    readers: Vec<ColumnReader>,
    /// Number of slices and stream descriptions that could not be read.
    pub damaged: u64,
}

impl DeviceHour {
    /// Opens a device's slices in the files that hold the segment. For registers the mirror is used if fewer of its slices are damaged.
    /// With `is_final`, data that the disk does not return are skipped; otherwise they are an error.
    pub fn open(files: &[DayFile], seg: u64, device: &str, is_final: bool) -> Result<Self, JournalError> {
        let mut hour = Self { readers: Vec::new(), damaged: 0 };
        for file in files {
            let mut of_file = open_device_slices(file, seg, device, is_final);
            if of_file.as_ref().map_or(true, |(_, damaged)| *damaged > 0)
                && let Some(mirror) = mirror::path_of(&file.path).filter(|mirror| mirror.exists())
                && let Ok(second) = DayFile::open(&mirror).and_then(|m| open_device_slices(&m, seg, device, is_final))
                && of_file.as_ref().map_or(true, |(_, damaged)| second.1 < *damaged)
            {
                of_file = Ok(second);
            }
            let (readers, damaged) = of_file?;
            hour.readers.extend(readers);
            hour.damaged += damaged;
        }
        Ok(hour)
    }
}

/// A device's slices of a segment in one file, and how many of them cannot be read.
fn open_device_slices(
    file: &DayFile,
    seg: u64,
    device: &str,
    is_final: bool,
) -> Result<(Vec<ColumnReader>, u64), JournalError> {
    let is_passed_over = |e: &JournalError| e.is_damage() || (is_final && e.is_unreadable());
    let (streams, mut damaged) = match file.streams(Some(device)) {
        Err(e) if is_passed_over(&e) => return Ok((Vec::new(), 1)),
        streams => streams?,
    };
    let mut damages = Vec::new();
    let slices = match damage::readable_slices(file, device, "seg = ?1", &[seg.cast_signed()], &mut damages) {
        Err(e) if is_passed_over(&e) => return Ok((Vec::new(), 1)),
        slices => slices?,
    };
    damaged += damages.len() as u64;
    let mut readers = Vec::new();
    for slice in slices {
        let Some(stream) = streams.get(&slice.stream) else { continue };
        match open_column_reader(file, &slice, stream) {
            Ok(Some(reader)) => readers.push(reader),
            Ok(None) => damaged += 1,
            Err(e) if is_passed_over(&e) => damaged += 1,
            Err(e) => return Err(e),
        }
    }
    Ok((readers, damaged))
}

fn open_column_reader(
    file: &DayFile,
    slice: &Slice,
    stream: &Arc<Stream>,
) -> Result<Option<ColumnReader>, JournalError> {
    if !slice.is_intact {
        return Ok(None);
    }
    let (Some(seqs), Some(times), Some(offsets)) = (file.seqs(slice)?, file.times(slice)?, file.offsets(slice)?) else {
        return Ok(None);
    };
    let mut columns = Vec::with_capacity(slice.points.len());
    for point in &slice.points {
        let Some(samples) = file.samples(slice, *point)? else { return Ok(None) };
        columns.push(samples);
    }
    if slice.points.iter().any(|p| *p >= stream.points.len()) {
        return Ok(None);
    }
    let mut seqs = seqs.into_iter();
    let next_seq = seqs.next().map(i64::cast_unsigned);
    let (stream, points) = (Arc::clone(stream), slice.points.clone());
    Ok(Some(ColumnReader {
        stream,
        points,
        seqs,
        next_seq,
        times: times.into_iter(),
        dated: slice.dated,
        columns,
        offsets,
        row: 0,
    }))
}

impl Iterator for DeviceHour {
    type Item = JournalEntry;

    fn next(&mut self) -> Option<JournalEntry> {
        let seq = self.readers.iter().filter_map(|l| l.next_seq).min()?;
        let mut out: Option<PartialRow> = None;
        for reader in self.readers.iter_mut().filter(|l| l.next_seq == Some(seq)) {
            let time = reader.times.next().unwrap_or_default();
            let at = Stamp { mono: MonotonicMillis(0), wall: UnixMillis(time), trusted: reader.dated };
            let n = reader.stream.points.len();
            let (_, _, samples, after) =
                out.get_or_insert_with(|| (Arc::clone(&reader.stream), at, vec![None; n], vec![0; n]));
            for (i, point) in reader.points.iter().enumerate() {
                let sample = reader.columns[i].next().flatten();
                if let (Some(s), Some(a)) = (samples.get_mut(*point), after.get_mut(*point)) {
                    *s = sample;
                    *a = reader.offsets[i].get(reader.row).copied().unwrap_or(0);
                }
            }
            reader.row += 1;
            reader.next_seq = reader.seqs.next().map(i64::cast_unsigned);
        }
        let (stream, at, samples, after) = out?;
        let mut parts: Vec<Part> = Vec::new();
        for after_ms in after {
            match parts.last_mut() {
                Some(part) if part.after_ms == after_ms => part.len += 1,
                _ => parts.push(Part { len: 1, after_ms }),
            }
        }
        if parts.iter().all(|p| p.after_ms == 0) {
            parts.clear();
        }
        Some(JournalEntry { seq, reading: Reading { stream, at, body: Body::Samples { samples, parts } } })
    }
}
