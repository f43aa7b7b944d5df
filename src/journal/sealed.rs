//! Sealed history: one file per day and retention class. For each hour and stream it holds a slice of columns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::journal::aggregate::{self, Aggregate};
use crate::journal::codec::{self, put_varint};
use crate::journal::column::{self, Samples};
use crate::journal::cursor::Position;
pub use crate::journal::rows::Rows;
use crate::journal::segment::{JournalError, OpenMode, at, is_sound, open_db};
pub use crate::journal::slice::Slice;
use crate::journal::slice::{bind_crc, read_slice, shape_checksum};
use crate::model::point::Retention;
use crate::model::reading::Sample;
use crate::model::stream::Stream;

const CREATE: &str = "
    PRAGMA page_size = 4096;
    CREATE TABLE stream (id INTEGER PRIMARY KEY, device TEXT NOT NULL, shape TEXT NOT NULL UNIQUE);
    CREATE TABLE slice (id INTEGER PRIMARY KEY, seg INTEGER NOT NULL, stream INTEGER NOT NULL, n INTEGER NOT NULL,
        first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
        dated INTEGER NOT NULL, thinned INTEGER NOT NULL, points BLOB NOT NULL);
    CREATE INDEX slice_stream ON slice (stream, first_ms);
    CREATE INDEX slice_seg ON slice (seg);
    CREATE TABLE body (slice INTEGER PRIMARY KEY, seqs BLOB NOT NULL, times BLOB NOT NULL, offs BLOB NOT NULL);
    CREATE TABLE col (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE agg (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE seg (first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL);
";

/// Interval of the stored aggregates, milliseconds.
pub const QUARTER_MS: i64 = 900_000;
/// Most points per stream. A column's key is its slice's key times this, plus the point's index.
pub const POINTS_MAX: i64 = 4096;

/// An open day file or mirror.
pub struct DayFile {
    pub path: PathBuf,
    db: Connection,
}

/// Path of the file of a day and class; `day` is `20261121` or `undated`.
pub fn path_of(dir: &Path, day: &str, class: Retention) -> PathBuf {
    dir.join(format!("day-{day}-{}.db", class.word()))
}

/// The UTC day of a time in milliseconds since 1970, as in file names.
pub fn day_of(ms: i64) -> String {
    let date = jiff::Timestamp::from_millisecond(ms).map(|t| t.to_zoned(jiff::tz::TimeZone::UTC).date());
    date.map_or_else(|_| "undated".to_string(), |d| format!("{:04}{:02}{:02}", d.year(), d.month(), d.day()))
}

impl DayFile {
    /// Opens a file for writing; creates it if it does not exist.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let db = open_db(path, OpenMode::Create(CREATE))?;
        // Appended pages need no rollback copy, so this journal mode writes each page once; a write-ahead log writes it twice.
        db.pragma_update(None, "journal_mode", "TRUNCATE").map_err(at(path))?;
        db.pragma_update(None, "synchronous", "FULL").map_err(at(path))?;
        Ok(Self { path: path.to_path_buf(), db })
    }

    /// Opens a file for reading.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let path = path.to_path_buf();
        match open_db(&path, OpenMode::ReadOnly) {
            // An interrupted transaction has to be rolled back before anything can be read.
            Err(JournalError::Sql { source, .. })
                if source.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly) =>
            {
                Ok(Self { db: open_db(&path, OpenMode::Existing)?, path })
            }
            result => Ok(Self { db: result?, path }),
        }
    }

    /// Rolls back an interrupted transaction; called once, at startup.
    pub fn rollback_interrupted(path: &Path) -> Result<(), JournalError> {
        let db = open_db(path, OpenMode::Existing)?;
        db.query_row("SELECT count(*) FROM seg", [], |_| Ok(())).map_err(at(path))
    }

    /// Begins a transaction, so that the queries that follow share one lock. For short reads only, because it blocks writers.
    pub fn begin(&self) -> Result<(), JournalError> {
        self.db.execute_batch("BEGIN").map_err(at(&self.path))
    }

    /// Commits the transaction that [`DayFile::begin`] began.
    pub fn commit(&self) -> Result<(), JournalError> {
        self.db.execute_batch("COMMIT").map_err(at(&self.path))
    }

    /// Writes within the transaction that [`DayFile::begin`] began.
    pub fn write(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), JournalError> {
        f(&self.db).map_err(at(&self.path))
    }

    pub fn transaction(&mut self, f: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), JournalError> {
        let path = self.path.clone();
        let err = at(&path);
        let tx = self.db.transaction().map_err(&err)?;
        f(&tx).map_err(&err)?;
        tx.commit().map_err(&err)
    }

    /// First and last numbers of the segments whose sealing into this file is complete.
    pub fn segments(&self) -> Result<Vec<(u64, u64)>, JournalError> {
        let err = at(&self.path);
        let mut query =
            self.db.prepare_cached("SELECT first_seq, last_seq FROM seg ORDER BY first_seq").map_err(&err)?;
        let row =
            |r: &rusqlite::Row<'_>| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, i64>(1)?.cast_unsigned()));
        query.query_map([], row).map_err(&err)?.collect::<rusqlite::Result<_>>().map_err(&err)
    }

    /// Runs SQLite's `quick_check` on the whole file.
    pub fn is_sound(&self) -> Result<bool, JournalError> {
        is_sound(&self.db).map_err(at(&self.path))
    }

    /// Cursors as stored when the last segment was sealed into this file.
    pub fn cursors(&self) -> Result<BTreeMap<String, Position>, JournalError> {
        crate::journal::segment::cursors(&self.db).map_err(at(&self.path))
    }

    /// Streams of a device, or of all devices, by key; and how many further stream descriptions cannot be read.
    pub fn streams(&self, device: Option<&str>) -> Result<(BTreeMap<i64, Arc<Stream>>, u64), JournalError> {
        let err = at(&self.path);
        let sql = "SELECT stream.id, device, shape, value FROM stream LEFT JOIN state ON key = 'shape ' || stream.id";
        let mut query = self.db.prepare_cached(sql).map_err(&err)?;
        let row = |r: &rusqlite::Row<'_>| {
            // A flipped bit may make the text invalid UTF-8.
            let text =
                |i: usize| r.get_ref(i).map(|v| String::from_utf8_lossy(v.as_bytes().unwrap_or_default()).into_owned());
            Ok((r.get::<_, i64>(0)?, text(1)?, text(2)?, r.get::<_, Option<String>>(3).unwrap_or_default()))
        };
        let (mut out, mut damaged) = (BTreeMap::new(), 0);
        for row in query.query_map([], row).map_err(&err)? {
            let (id, name, shape, sum) = row.map_err(&err)?;
            let is_intact = sum.is_none_or(|sum| sum == shape_checksum(&shape));
            let is_of_name =
                is_intact && shape.starts_with(&format!("{{\"device\":{},", serde_json::Value::from(name.as_str())));
            if is_of_name && device.is_some_and(|d| d != name) {
                continue;
            }
            match serde_json::from_str::<Stream>(&shape) {
                Ok(stream) if is_intact && device.is_none_or(|d| d == &*stream.device) => {
                    out.insert(id, Arc::new(stream));
                }
                Ok(_) if is_intact => {}
                _ => damaged += 1,
            }
        }
        Ok((out, damaged))
    }

    /// Slices that match `filter`, an SQL condition over the columns of the table `slice`.
    pub fn slices(&self, filter: &str, args: &[i64]) -> Result<Vec<Slice>, JournalError> {
        let err = at(&self.path);
        let sql = format!(
            "SELECT id, seg, stream, n, first_seq, last_seq, first_ms, last_ms, dated, thinned, points FROM slice WHERE {filter}"
        );
        let mut query = self.db.prepare_cached(&sql).map_err(&err)?;
        let rows = query.query_map(rusqlite::params_from_iter(args), read_slice).map_err(&err)?;
        rows.collect::<rusqlite::Result<_>>().map_err(&err)
    }

    /// The highest key of a slice.
    pub fn max_slice_id(&self) -> Option<i64> {
        self.db.query_row("SELECT max(id) FROM slice", [], |r| r.get(0)).ok()
    }

    fn blob(&self, table: &str, column: &str, key: &str, id: i64) -> Result<Option<Vec<u8>>, JournalError> {
        let sql = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
        let err = at(&self.path);
        let mut query = self.db.prepare_cached(&sql).map_err(&err)?;
        match query.query_row([id], |r| r.get::<_, Vec<u8>>(0)) {
            // Files of earlier versions do not bind the CRC to table, column and key.
            Ok(bytes) if codec::check_crc(&bytes).is_some() => Ok(Some(bytes)),
            Ok(bytes) => Ok(Some(bind_crc(bytes, table, column, id))),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(e) => Err(err(e)),
        }
    }

    /// Times of a slice; `None` if they are damaged.
    pub fn times(&self, slice: &Slice) -> Result<Option<Vec<i64>>, JournalError> {
        Ok(self.blob("body", "times", "slice", slice.id)?.and_then(|b| column::decode_integers(&b, slice.n)))
    }

    /// Numbers of a slice; `None` if they are damaged.
    pub fn seqs(&self, slice: &Slice) -> Result<Option<Vec<i64>>, JournalError> {
        Ok(self.blob("body", "seqs", "slice", slice.id)?.and_then(|b| column::decode_integers(&b, slice.n)))
    }

    /// Offsets of a slice, a column for each of its points; `None` if they are damaged.
    pub fn offsets(&self, slice: &Slice) -> Result<Option<Vec<Arc<[u32]>>>, JournalError> {
        let bytes = self.blob("body", "offs", "slice", slice.id)?;
        Ok(bytes.and_then(|b| column::decode_offsets(&b, slice.points.len(), slice.n)))
    }

    /// Samples of a point of a slice; `None` if they are damaged or not there.
    pub fn samples(&self, slice: &Slice, point: usize) -> Result<Option<Samples>, JournalError> {
        let id = slice.id * POINTS_MAX + point as i64;
        Ok(self.blob("col", "body", "id", id)?.and_then(|b| column::decode_samples(&b, slice.n)))
    }

    /// Quarter-hour aggregates of a point of a slice; `None` if it has none or they are damaged.
    pub fn aggregates(&self, slice: &Slice, point: usize) -> Result<Option<BTreeMap<i64, Aggregate>>, JournalError> {
        let id = slice.id * POINTS_MAX + point as i64;
        Ok(self.blob("agg", "body", "id", id)?.and_then(|b| aggregate::decode_aggregates(&b)))
    }
}

impl DayFile {
    /// Whether the aggregates of a point are intact or absent.
    pub fn has_intact_aggregates(&self, slice: &Slice, point: usize) -> Result<bool, JournalError> {
        let bytes = self.blob("agg", "body", "id", slice.id * POINTS_MAX + point as i64)?;
        Ok(bytes.is_none_or(|b| aggregate::decode_aggregates(&b).is_some()))
    }
}

/// The key of a stream in a file; adds the stream with its checksum if it is new.
pub fn stream_id(db: &Connection, stream: &Stream) -> rusqlite::Result<i64> {
    let shape = serde_json::to_string(stream).unwrap_or_default();
    let is_new = db
        .execute("INSERT OR IGNORE INTO stream (device, shape) VALUES (?1, ?2)", params![&*stream.device, shape])?
        > 0;
    let id: i64 = db.query_row("SELECT id FROM stream WHERE shape = ?1", [&shape], |r| r.get(0))?;
    if is_new {
        let row = [format!("shape {id}"), shape_checksum(&shape)];
        db.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)", row)?;
    }
    Ok(id)
}

/// Adds the header and the shared columns of a slice; returns its key. `slice.id` and `slice.stream` are ignored.
pub fn put_slice(db: &Connection, slice: &Slice, stream: &Stream, rows: &Rows) -> rusqlite::Result<i64> {
    let stream = stream_id(db, stream)?;
    let mut points = Vec::new();
    slice.points.iter().for_each(|p| put_varint(&mut points, *p as u64));
    put_varint(&mut points, slice.checksum(stream));
    db.execute(
        "INSERT INTO slice (seg, stream, n, first_seq, last_seq, first_ms, last_ms, dated, thinned, points)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            slice.segment.cast_signed(),
            stream,
            slice.n as i64,
            slice.first_seq.cast_signed(),
            slice.last_seq.cast_signed(),
            slice.first_ms,
            slice.last_ms,
            slice.dated,
            slice.downsampled,
            points
        ],
    )?;
    let id = db.last_insert_rowid();
    db.execute(
        "INSERT INTO body (slice, seqs, times, offs) VALUES (?1, ?2, ?3, ?4)",
        params![
            id,
            bind_crc(column::encode_integers(&rows.seqs), "body", "seqs", id),
            bind_crc(column::encode_integers(&rows.times), "body", "times", id),
            bind_crc(column::encode_offsets(&rows.offsets), "body", "offs", id)
        ],
    )?;
    Ok(id)
}

/// Adds a point's column to a slice.
pub fn put_column(db: &Connection, slice: i64, point: usize, samples: &[Option<Sample>]) -> rusqlite::Result<()> {
    let id = slice * POINTS_MAX + point as i64;
    let bytes = bind_crc(column::encode_samples(samples), "col", "body", id);
    db.execute("INSERT OR REPLACE INTO col (id, body) VALUES (?1, ?2)", params![id, bytes]).map(drop)
}

/// Quarter-hour aggregates of a column, by the quarter's start; `times` are the point's own.
pub fn quarters(times: &[i64], samples: &[Option<Sample>]) -> BTreeMap<i64, Aggregate> {
    let mut quarters: BTreeMap<i64, Aggregate> = BTreeMap::new();
    for (at, sample) in times.iter().zip(samples) {
        let Some(sample) = sample else { continue };
        let value = sample.as_ref().ok().and_then(crate::model::value::Numeric::of);
        quarters.entry(at.div_euclid(QUARTER_MS) * QUARTER_MS).or_default().add(*at, value);
    }
    quarters
}

/// Adds a point's aggregates to a slice.
pub fn put_quarters(db: &Connection, slice: i64, point: usize, of: &BTreeMap<i64, Aggregate>) -> rusqlite::Result<()> {
    let id = slice * POINTS_MAX + point as i64;
    let bytes = bind_crc(aggregate::encode_aggregates(of), "agg", "body", id);
    db.execute("INSERT OR REPLACE INTO agg (id, body) VALUES (?1, ?2)", params![id, bytes]).map(drop)
}

/// Devices that have slices of a segment in these files.
pub fn devices(files: &[DayFile], seg: u64) -> Result<Vec<String>, JournalError> {
    let mut out = std::collections::BTreeSet::new();
    for file in files {
        let err = at(&file.path);
        let sql = "SELECT DISTINCT device FROM slice JOIN stream ON stream.id = slice.stream WHERE seg = ?1";
        let ask = || -> rusqlite::Result<Vec<String>> {
            let mut query = file.db.prepare_cached(sql)?;
            query.query_map([seg.cast_signed()], |r| r.get(0))?.collect()
        };
        match ask().map_err(&err) {
            Ok(devices) => out.extend(devices),
            // All devices of the file instead: those without data in this segment yield nothing.
            Err(e) if e.is_unreadable() => {
                let streams = file.streams(None).map(|(streams, _)| streams).unwrap_or_default();
                out.extend(streams.values().map(|stream| stream.device.to_string()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(out.into_iter().collect())
}

/// Deletes everything of a segment that an interrupted sealing left in a file.
pub fn delete_segment(db: &Connection, seg: u64) -> rusqlite::Result<()> {
    let seg = seg.cast_signed();
    let cols = "id BETWEEN slice.id * 4096 AND slice.id * 4096 + 4095";
    for table in ["col", "agg"] {
        let sql = format!("DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM slice WHERE seg = ?1 AND {table}.{cols})");
        db.execute(&sql, [seg])?;
    }
    db.execute("DELETE FROM body WHERE slice IN (SELECT id FROM slice WHERE seg = ?1)", [seg])?;
    db.execute("DELETE FROM slice WHERE seg = ?1", [seg])?;
    db.execute("DELETE FROM seg WHERE first_seq = ?1", [seg])?;
    Ok(())
}
