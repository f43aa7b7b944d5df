//! Downsampling: reduces old telemetry to the first, last, lowest and highest sample of each minute.

use std::path::{Path, PathBuf};

use crate::journal::error::io_at;
use crate::journal::files::remove_db;
use crate::journal::sealed::{self, DayFile, Rows, Slice};
use crate::journal::segment::JournalError;
use crate::model::reading::Sample;

/// Rewrites a day file, one slice per step.
pub struct Downsampling {
    /// The day file that will be replaced.
    pub path: PathBuf,
    from: DayFile,
    to: DayFile,
    todo: Vec<Slice>,
    segments: Vec<(u64, u64)>,
    /// Readings that could not be read and are not in the new file.
    pub damaged: u64,
}

impl Downsampling {
    /// Begins to downsample a day file. `None` if all its slices are downsampled already.
    pub fn begin(path: &Path) -> Result<Option<Self>, JournalError> {
        let from = DayFile::open(path)?;
        let mut todo = from.slices("1 = 1", &[])?;
        if todo.iter().all(|s| s.downsampled) {
            return Ok(None);
        }
        todo.reverse();
        let target = path.with_extension("thin");
        remove_db(&target);
        let segments = from.segments()?;
        Ok(Some(Self { path: path.to_path_buf(), from, to: DayFile::create(&target)?, todo, segments, damaged: 0 }))
    }

    /// Copies one slice. `true` when nothing is left and the new file has replaced the old one; of which something could not be read
    /// stays beside it as `.damaged`.
    ///
    /// # Errors
    /// A file cannot be read, written or renamed: then the old one stays as it is.
    pub fn step(&mut self) -> Result<bool, JournalError> {
        if let Some(slice) = self.todo.pop() {
            self.copy(&slice)?;
            return Ok(false);
        }
        let segments = std::mem::take(&mut self.segments);
        self.to.transaction(|db| {
            for (first, last) in segments {
                db.execute(
                    "INSERT INTO seg (first_seq, last_seq) VALUES (?1, ?2)",
                    [first.cast_signed(), last.cast_signed()],
                )?;
            }
            Ok(())
        })?;
        let kept = self.path.with_extension("db.damaged");
        let is_kept = self.damaged == 0 || std::fs::hard_link(&self.path, &kept).is_ok() || kept.exists();
        let renamed = if is_kept {
            std::fs::rename(&self.to.path, &self.path)
        } else {
            Err(std::io::Error::other("what cannot be read of it cannot be kept beside it"))
        };
        renamed.map_err(|source| {
            remove_db(&self.to.path);
            io_at(&self.path)(source)
        })?;
        Ok(true)
    }

    fn copy(&mut self, slice: &Slice) -> Result<(), JournalError> {
        let unreadable = slice.n as u64;
        let (Some(seqs), Some(times)) = (self.from.seqs(slice)?, self.from.times(slice)?) else {
            self.damaged += unreadable;
            return Ok(());
        };
        let Some(stream) = self.from.streams(None)?.0.remove(&slice.stream) else {
            self.damaged += unreadable;
            return Ok(());
        };
        let Some(columns_of) = self.from.offsets(slice)?.filter(|_| slice.is_intact) else {
            self.damaged += unreadable;
            return Ok(());
        };
        let offsets = (0..slice.n).map(|row| columns_of.iter().map(|c| c.get(row).copied().unwrap_or(0)).collect());
        let rows = Rows { offsets: offsets.collect(), seqs, times };
        let header = Slice { downsampled: true, ..slice.clone() };
        let mut columns = Vec::new();
        for (index, point) in slice.points.iter().enumerate() {
            if let Some(samples) = self.from.samples(slice, *point)? {
                let times = rows.sample_times(index);
                let whole: Vec<Option<Sample>> = samples.collect();
                // Aggregates are those of all original samples, so that sums, means and completeness stay right.
                let quarters = match self.from.aggregates(slice, *point)? {
                    Some(quarters) => quarters,
                    None => sealed::quarters(&times, &whole),
                };
                columns.push((*point, quarters, downsample(&times, whole)));
            } else {
                self.damaged += unreadable;
            }
        }
        self.to.transaction(|db| {
            let id = sealed::put_slice(db, &header, &stream, &rows)?;
            columns.iter().try_for_each(|(point, quarters, column)| {
                sealed::put_column(db, id, *point, column)?;
                sealed::put_quarters(db, id, *point, quarters)
            })
        })
    }
}

/// Keeps the first, last, lowest and highest good sample of each minute, and every sample at which the quality changes.
pub fn downsample(times: &[i64], mut column: Vec<Option<Sample>>) -> Vec<Option<Sample>> {
    let mut keep = vec![false; column.len()];
    let value =
        |i: usize| column[i].as_ref().and_then(|s| s.as_ref().ok()).and_then(crate::model::value::Value::as_f64);
    let mut start = 0;
    while start < column.len() {
        let minute = times[start].div_euclid(60_000);
        let mut end = start;
        while end < column.len() && times[end].div_euclid(60_000) == minute {
            end += 1;
        }
        let good: Vec<(usize, f64)> = (start..end).filter_map(|i| Some((i, value(i)?))).collect();
        let by = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
        for kept in [good.first(), good.last(), good.iter().min_by(by), good.iter().max_by(by)].into_iter().flatten() {
            keep[kept.0] = true;
        }
        if good.is_empty() {
            keep[start] = true;
        }
        start = end;
    }
    for i in 0..column.len() {
        let bad = |s: &Option<Sample>| s.as_ref().and_then(|s| s.as_ref().err().copied());
        let changed = i == 0 || bad(&column[i]) != bad(&column[i - 1]);
        keep[i] |= changed;
    }
    for (sample, keep) in column.iter_mut().zip(keep) {
        if !keep {
            *sample = None;
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quality::Cause;
    use crate::model::value::Value;

    #[test]
    fn a_minute_keeps_first_last_lowest_and_highest() {
        let times: Vec<i64> = (0..60).map(|i| i * 1_000).collect();
        let wave = |i: i64| {
            Some(Ok(Value::F64(if i == 20 {
                -5.0
            } else if i == 40 {
                9.0
            } else {
                1.0
            })))
        };
        let kept = downsample(&times, (0..60).map(wave).collect());
        let places: Vec<usize> = (0..60).filter(|i| kept[*i].is_some()).collect();
        assert_eq!(places, [0, 20, 40, 59]);
    }

    #[test]
    fn a_change_of_quality_is_kept() {
        let times: Vec<i64> = (0..10).map(|i| i * 1_000).collect();
        let mut column: Vec<Option<Sample>> = (0..10).map(|_| Some(Ok(Value::F64(1.0)))).collect();
        column[5] = Some(Err(Cause::Timeout));
        let kept = downsample(&times, column);
        assert!(kept[5].is_some() && kept[6].is_some() && kept[4].is_none());
    }
}
