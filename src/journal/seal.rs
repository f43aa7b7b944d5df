//! Sealing: converts a closed raw segment into slices of columns, in steps that do not delay commits for long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::aggregate::AGGREGATE_FROM;
use crate::journal::cursor::Position;
use crate::journal::files;
use crate::journal::mirror;
use crate::journal::sealed::{self, DayFile, Rows, Slice};
use crate::journal::segment::{JournalError, Offsets, SegmentReader};
use crate::model::point::Retention;
use crate::model::reading::{Body, Reading, Sample};
use crate::model::stream::Stream;

/// A step of the clock by more than this within a segment begins a new slice, possibly in another day file; milliseconds.
const JUMP_MS: i64 = 3_600_000;
/// Samples per step. A transaction writes some pages whatever its size, so short streams share one.
const SAMPLES_A_STEP: usize = 40_000;
/// Most samples held in memory during one pass over a stream.
const SAMPLES_MAX: usize = 150_000;

/// A segment that is being sealed.
pub struct Sealing {
    pub first_seq: u64,
    pub last_seq: u64,
    pub path: PathBuf,
    dir: PathBuf,
    reader: SegmentReader,
    todo: Vec<(i64, Vec<i64>)>,
    files: BTreeMap<PathBuf, DayFile>,
    /// Files with an open transaction in this step. If the step fails, closing them rolls it back.
    uncommitted_files: Vec<PathBuf>,
    /// Number of rows that could not be decoded.
    pub damaged: u64,
    /// Whether rows that the disk does not return are skipped, because enough attempts have failed.
    is_final: bool,
}

impl Sealing {
    /// Begins to seal a segment. If `is_leftover`, deletes what an interrupted attempt left in day files. `offsets` date undated readings.
    pub fn begin(
        dir: &Path,
        path: &Path,
        first_seq: u64,
        (is_leftover, is_final): (bool, bool),
        offsets: &Offsets,
    ) -> Result<Self, JournalError> {
        let mut reader = SegmentReader::open(path, offsets)?;
        let todo: Vec<(i64, Vec<i64>)> = reader.seqs_by_stream()?.into_iter().collect();
        let last_seq = reader.bounds()?.map_or(first_seq, |(_, last)| last);
        let day_files =
            if is_leftover { [files::list(dir, "day-"), files::list(dir, "mirror-")].concat() } else { Vec::new() };
        for file in day_files {
            let read = DayFile::open(&file)?;
            if !read.slices("seg = ?1", &[first_seq.cast_signed()])?.is_empty() {
                DayFile::create(&file)?.transaction(|db| sealed::delete_segment(db, first_seq))?;
            }
        }
        let (path, dir) = (path.to_path_buf(), dir.to_path_buf());
        Ok(Self {
            first_seq,
            last_seq,
            path,
            dir,
            reader,
            todo,
            files: BTreeMap::new(),
            uncommitted_files: Vec::new(),
            damaged: 0,
            is_final,
        })
    }

    /// Whether this segment is being sealed into a file.
    pub fn is_writing(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Seals one stream or several short ones. When nothing is left, returns the day files that hold the segment; the caller then updates
    /// the catalog and afterwards removes the raw file.
    ///
    /// `cursors` are stored in the day files as a fallback in case the raw file that holds them is damaged.
    pub fn step(&mut self, cursors: &BTreeMap<String, Position>) -> Result<Option<Vec<PathBuf>>, JournalError> {
        if !self.todo.is_empty() {
            let mut samples = 0;
            while samples < SAMPLES_A_STEP
                && let Some((id, seqs)) = self.todo.pop()
            {
                if let Some(stream) = self.reader.stream(id) {
                    samples += seqs.len() * stream.points.len().max(1);
                    self.seal_stream(&stream, &seqs)?;
                } else {
                    self.damaged += seqs.len() as u64;
                }
            }
            for path in std::mem::take(&mut self.uncommitted_files) {
                self.files.get(&path).map_or(Ok(()), DayFile::commit)?;
            }
            return Ok(None);
        }
        let (first, last) = (self.first_seq.cast_signed(), self.last_seq.cast_signed());
        for file in self.files.values_mut() {
            file.transaction(|db| {
                db.execute("INSERT OR REPLACE INTO seg (first_seq, last_seq) VALUES (?1, ?2)", [first, last])?;
                for (name, position) in cursors {
                    let row = [format!("cursor {name}"), position.to_text()];
                    db.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)", row)?;
                }
                Ok(())
            })?;
        }
        let is_day = |path: &&PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("day-"));
        Ok(Some(self.files.keys().filter(is_day).cloned().collect()))
    }

    fn seal_stream(&mut self, stream: &Arc<Stream>, seqs: &[i64]) -> Result<(), JournalError> {
        for dated in [true, false] {
            let mut rows = Rows::default();
            let reader = &self.reader;
            let mut bad = 0;
            for seq in seqs {
                match get(reader, *seq, self.is_final)? {
                    Some(reading) if reading.at.trusted == dated => {
                        rows.seqs.push(*seq);
                        rows.times.push(time_of(&reading));
                        rows.offsets.push((0..stream.points.len()).map(|p| reading.after_ms(p)).collect());
                    }
                    Some(_) => {}
                    None => bad += 1,
                }
            }
            self.damaged += if dated { bad } else { 0 };
            for rows in rows.split_at_jumps(JUMP_MS) {
                for class in Retention::ALL {
                    self.seal_class(stream, class, dated, &rows)?;
                }
            }
        }
        Ok(())
    }

    fn seal_class(
        &mut self,
        stream: &Arc<Stream>,
        class: Retention,
        dated: bool,
        all: &Rows,
    ) -> Result<(), JournalError> {
        let of_class = |(i, p): (usize, &crate::model::point::PointMeta)| (p.retention == class).then_some(i);
        let points: Vec<usize> = stream.points.iter().enumerate().filter_map(of_class).collect();
        if points.is_empty() {
            return Ok(());
        }
        let offsets = all.offsets.iter().map(|row| points.iter().map(|p| row[*p]).collect()).collect();
        let rows = &Rows { seqs: all.seqs.clone(), times: all.times.clone(), offsets };
        let n = rows.seqs.len();
        // Minimum and maximum, because the clock may have been set back within the hour.
        let latest = rows.offsets.iter().flatten().max().map_or(0, |ms| i64::from(*ms));
        let first_ms = rows.times.iter().copied().min().unwrap_or_default();
        let last_ms = rows.times.iter().copied().max().unwrap_or_default().saturating_add(latest);
        let day = if dated { sealed::day_of(rows.times[0]) } else { "undated".to_string() };
        let path = sealed::path_of(&self.dir, &day, class);
        let slice = Slice {
            id: 0,
            segment: self.first_seq,
            stream: 0,
            n,
            first_seq: rows.seqs[0].cast_unsigned(),
            last_seq: rows.seqs[n - 1].cast_unsigned(),
            first_ms,
            last_ms,
            dated,
            downsampled: false,
            points,
            is_intact: true,
        };
        if let Some(mirror) = mirror::path_of(&path) {
            mirror::begin(&path, &mirror)?;
            self.put(&mirror, &slice, stream, rows)?;
        }
        self.put(&path, &slice, stream, rows)
    }

    /// Writes a slice with its columns into a day file or mirror, within the transaction of this step.
    fn put(&mut self, path: &Path, slice: &Slice, stream: &Stream, rows: &Rows) -> Result<(), JournalError> {
        let reader = &self.reader;
        let file = match self.files.entry(path.to_path_buf()) {
            std::collections::btree_map::Entry::Occupied(e) => e.into_mut(),
            std::collections::btree_map::Entry::Vacant(e) => e.insert(DayFile::create(path)?),
        };
        if !self.uncommitted_files.iter().any(|held| held == path) {
            file.begin()?;
            self.uncommitted_files.push(path.to_path_buf());
        }
        let mut error = None;
        let n = slice.n;
        file.write(|db| {
            let id = sealed::put_slice(db, slice, stream, rows)?;
            let mut index = 0;
            for chunk in slice.points.chunks((SAMPLES_MAX / n.max(1)).max(1)) {
                let columns = match columns(reader, &rows.seqs, chunk, self.is_final) {
                    Ok(columns) => columns,
                    Err(e) => {
                        error = Some(e);
                        return Err(rusqlite::Error::StatementChangedRows(0));
                    }
                };
                for (point, column) in chunk.iter().zip(columns) {
                    sealed::put_column(db, id, *point, &column)?;
                    // Only for long columns: a short one is decoded just as fast.
                    let quarters = sealed::quarters(&rows.sample_times(index), &column);
                    if n >= AGGREGATE_FROM * quarters.len().max(1) {
                        sealed::put_quarters(db, id, *point, &quarters)?;
                    }
                    index += 1;
                }
            }
            Ok(())
        })
        .map_err(|e| error.take().unwrap_or(e))
    }
}

/// The time of a row in milliseconds: its date, or the monotonic time of an undated reading.
fn time_of(reading: &Reading) -> i64 {
    if reading.at.trusted { reading.at.wall.0 } else { i64::try_from(reading.at.mono.0).unwrap_or(i64::MAX) }
}

/// A row; `None` if it cannot be decoded, or with `is_final` also if the disk does not return it.
fn get(reader: &SegmentReader, seq: i64, is_final: bool) -> Result<Option<Reading>, JournalError> {
    match reader.get(seq) {
        Err(e) if is_final && e.is_unreadable() => Ok(None),
        result => result,
    }
}

/// The samples of these points over all rows; a failed cycle gives each point its cause.
fn columns(
    reader: &SegmentReader,
    seqs: &[i64],
    points: &[usize],
    is_final: bool,
) -> Result<Vec<Vec<Option<Sample>>>, JournalError> {
    let mut out: Vec<Vec<Option<Sample>>> = points.iter().map(|_| Vec::with_capacity(seqs.len())).collect();
    for seq in seqs {
        let reading = get(reader, *seq, is_final)?;
        match reading.map(|r| r.body) {
            Some(Body::Failed(cause)) => out.iter_mut().for_each(|c| c.push(Some(Err(cause)))),
            Some(Body::Samples { mut samples, .. }) => {
                for (column, point) in out.iter_mut().zip(points) {
                    column.push(samples.get_mut(*point).and_then(Option::take));
                }
            }
            None => out.iter_mut().for_each(|c| c.push(None)),
        }
    }
    Ok(out)
}
