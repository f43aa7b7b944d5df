//! Sealing: a closed raw segment becomes slices of columns, one stream a step, so that commits are never held up for long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::column::AGGREGATE_FROM;
use crate::journal::cursor::Position;
use crate::journal::mirror;
use crate::journal::recover::files;
use crate::journal::sealed::{self, DayFile, Rows, Slice};
use crate::journal::segment::{JournalError, Offsets, SegmentReader};
use crate::model::point::{Retention, Stream};
use crate::model::reading::{Body, Reading, Sample};

/// Where the clock was set by more than this within a segment, what follows belongs to another day's file.
const JUMP_MS: i64 = 3_600_000;
/// Samples of a step: a transaction writes some pages whatever it holds, so short streams share one.
const SAMPLES_A_STEP: usize = 40_000;
/// Samples that one pass over a stream holds in memory.
const SAMPLES_MAX: usize = 150_000;

/// A segment on its way.
pub struct Sealing {
    /// First number of the segment.
    pub first_seq: u64,
    /// Last number of the segment.
    pub last_seq: u64,
    /// The raw file.
    pub path: PathBuf,
    dir: PathBuf,
    reader: SegmentReader,
    todo: Vec<(i64, Vec<i64>)>,
    files: BTreeMap<PathBuf, DayFile>,
    /// Files that are being written in this step. Should it fail, closing them undoes it.
    held: Vec<PathBuf>,
    /// Rows that could not be decoded.
    pub damaged: u64,
    /// Whether rows that the disk does not give are passed over: it was asked often enough.
    is_final: bool,
}

impl Sealing {
    /// Begins; forgets what an interrupted attempt may have left in day files. `offsets` date what was written without a date.
    pub fn begin(
        dir: &Path,
        path: &Path,
        first_seq: u64,
        (is_leftover, is_final): (bool, bool),
        offsets: &Offsets,
    ) -> Result<Self, JournalError> {
        let mut reader = SegmentReader::open(path, offsets)?;
        let todo: Vec<(i64, Vec<i64>)> = reader.index()?.into_iter().collect();
        let last_seq = reader.bounds()?.map_or(first_seq, |(_, last)| last);
        let day_files = if is_leftover { [files(dir, "day-"), files(dir, "mirror-")].concat() } else { Vec::new() };
        for file in day_files {
            let read = DayFile::open(&file)?;
            if !read.slices("seg = ?1", &[first_seq.cast_signed()])?.is_empty() {
                DayFile::create(&file)?.transaction(|db| sealed::forget(db, first_seq))?;
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
            held: Vec::new(),
            damaged: 0,
            is_final,
        })
    }

    /// Whether a file is being written to.
    pub fn writes(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Seals one stream, or several short ones. When nothing is left, the day files that hold the segment come back; the raw file is then to be
    /// removed, once the catalog says where its data are.
    ///
    /// `cursors` go with the segment: should the file that holds them be damaged, these are the next best.
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
            for path in std::mem::take(&mut self.held) {
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
            for rows in rows.between_jumps(JUMP_MS) {
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
        // A clock may have been set back within the hour.
        let latest = rows.offsets.iter().flatten().max().map_or(0, |ms| i64::from(*ms));
        let first_ms = rows.times.iter().copied().min().unwrap_or_default();
        let last_ms = rows.times.iter().copied().max().unwrap_or_default().saturating_add(latest);
        let day = if dated { sealed::day_of(rows.times[0]) } else { "undated".to_string() };
        let path = sealed::path_of(&self.dir, &day, class);
        let slice = Slice {
            id: 0,
            seg: self.first_seq,
            stream: 0,
            n,
            first_seq: rows.seqs[0].cast_unsigned(),
            last_seq: rows.seqs[n - 1].cast_unsigned(),
            first_ms,
            last_ms,
            dated,
            thinned: false,
            points,
            is_whole: true,
        };
        if let Some(mirror) = mirror::of(&path) {
            mirror::begin(&path, &mirror)?;
            self.put(&mirror, &slice, stream, rows)?;
        }
        self.put(&path, &slice, stream, rows)
    }

    /// Writes a slice with its columns into a day's file.
    fn put(&mut self, path: &Path, slice: &Slice, stream: &Stream, rows: &Rows) -> Result<(), JournalError> {
        let reader = &self.reader;
        let file = match self.files.entry(path.to_path_buf()) {
            std::collections::btree_map::Entry::Occupied(e) => e.into_mut(),
            std::collections::btree_map::Entry::Vacant(e) => e.insert(DayFile::create(path)?),
        };
        if !self.held.iter().any(|held| held == path) {
            file.begin()?;
            self.held.push(path.to_path_buf());
        }
        let mut trouble = None;
        let n = slice.n;
        file.write(|db| {
            let id = sealed::put_slice(db, slice, stream, rows)?;
            let mut lane = 0;
            for chunk in slice.points.chunks((SAMPLES_MAX / n.max(1)).max(1)) {
                let columns = match columns(reader, &rows.seqs, chunk, self.is_final) {
                    Ok(columns) => columns,
                    Err(e) => {
                        trouble = Some(e);
                        return Err(rusqlite::Error::StatementChangedRows(0));
                    }
                };
                for (point, column) in chunk.iter().zip(columns) {
                    sealed::put_column(db, id, *point, &column)?;
                    // Only where they are worth their bytes: a short column is decoded as fast.
                    let quarters = sealed::quarters(&rows.times_of(lane), &column);
                    if n >= AGGREGATE_FROM * quarters.len().max(1) {
                        sealed::put_quarters(db, id, *point, &quarters)?;
                    }
                    lane += 1;
                }
            }
            Ok(())
        })
        .map_err(|e| trouble.take().unwrap_or(e))
    }
}

/// The time of a row: its date, or monotonic time where there is none.
fn time_of(reading: &Reading) -> i64 {
    if reading.at.trusted { reading.at.wall.0 } else { i64::try_from(reading.at.mono.0).unwrap_or(i64::MAX) }
}

/// A row; of a disk that does not give it, if that is final, none.
fn get(reader: &SegmentReader, seq: i64, is_final: bool) -> Result<Option<Reading>, JournalError> {
    match reader.get(seq) {
        Err(e) if is_final && e.is_unreadable() => Ok(None),
        result => result,
    }
}

/// The samples of some points over all rows.
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

/// Removes a database file with what SQLite keeps beside it.
pub fn remove_db(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _may_not_exist = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}

/// Sets a damaged file aside.
pub fn set_aside(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let from = format!("{}{suffix}", path.display());
        let to = format!("{}.damaged{suffix}", path.display());
        let _may_not_exist = std::fs::rename(from, to);
    }
}
