//! Raw segments: one SQLite file per hour, one compact row per reading. Cursors, boots and reserved numbers are in the same file, so that
//! one transaction covers everything that must be consistent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::journal::codec;
use crate::journal::cursor::Position;
pub use crate::journal::error::{FORMAT, JournalError, at, corrupt, io_at};
use crate::journal::tail::JournalEntry;
use crate::model::reading::Reading;
use crate::model::stream::{Stream, StreamMap};
use crate::model::time::UnixMillis;

/// Mode in which a database file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode<'a> {
    /// Creates the file with these statements if it does not exist.
    Create(&'a str),
    /// The file must exist and is opened for writing: a reader of a write-ahead log needs its shared memory, and an interrupted transaction
    /// has to be rolled back.
    Existing,
    /// The file must exist and is not written to.
    ReadOnly,
}

/// A run of the process: it gives the offset that turns monotonic times of its readings into dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The first number that this run may have given.
    pub first_seq: u64,
    /// Kernel boot id; empty for a read-only journal.
    pub id: String,
    /// Date minus monotonic time, milliseconds; `None` until the clock is trusted.
    pub offset_ms: Option<i64>,
}

/// Opens a database file and checks its format version.
pub fn open_db(path: &Path, mode: OpenMode<'_>) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX
        | match mode {
            OpenMode::Create(_) => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            OpenMode::Existing => OpenFlags::SQLITE_OPEN_READ_WRITE,
            OpenMode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
    let db = Connection::open_with_flags(path, flags).map_err(at(path))?;
    db.busy_timeout(std::time::Duration::from_secs(5)).map_err(at(path))?;
    if mode != OpenMode::ReadOnly {
        db.pragma_update(None, "cache_size", -1024).map_err(at(path))?;
    }
    let version = || db.query_row("PRAGMA user_version", [], |r| r.get::<_, i64>(0)).map_err(at(path));
    let mut found = version()?;
    if found == 0 && holds_rows(&db).map_err(at(path))? {
        return Err(corrupt(path, "it has rows and no format"));
    }
    if let (0, OpenMode::Create(create)) = (found, mode) {
        db.execute_batch(&format!("{create} PRAGMA user_version = {FORMAT};")).map_err(at(path))?;
        found = version()?;
    }
    match found {
        0 => Err(JournalError::Unfinished { path: path.display().to_string() }),
        FORMAT => Ok(db),
        _ => Err(JournalError::Newer { path: path.display().to_string(), found }),
    }
}

/// Whether any table has a row; a file whose creation was interrupted has none.
fn holds_rows(db: &Connection) -> rusqlite::Result<bool> {
    let mut query = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let tables: Vec<String> = query.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
    for table in tables {
        let sql = format!("SELECT EXISTS(SELECT 1 FROM \"{}\")", table.replace('"', "\"\""));
        if db.query_row(&sql, [], |r| r.get::<_, bool>(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

const CREATE: &str = "
    PRAGMA page_size = 4096;
    PRAGMA journal_mode = WAL;
    CREATE TABLE r (seq INTEGER PRIMARY KEY, stream INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE stream (id INTEGER PRIMARY KEY, shape TEXT NOT NULL);
    CREATE TABLE boot (first_seq INTEGER PRIMARY KEY, id TEXT NOT NULL, offset_ms INTEGER);
    CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// The open raw segment, as the writer thread holds it.
pub struct Segment {
    pub path: PathBuf,
    /// The first number it may hold, also part of its file name.
    pub first_seq: u64,
    db: Connection,
    /// Keys of the streams in the file.
    streams: StreamMap<i64>,
    /// Number of streams in the file, and the next key.
    stream_count: i64,
    stored_state: BTreeMap<String, String>,
}

/// Contents of one transaction.
pub struct Commit<'a> {
    /// In rising order of numbers.
    pub entries: &'a [Arc<JournalEntry>],
    pub cursors: &'a BTreeMap<String, Position>,
    /// After a restart numbering continues above this number.
    pub reserved: u64,
    /// The run that gave these numbers.
    pub boot: &'a Boot,
    /// Latest trusted date; stored rounded down to the minute.
    pub last_wall: Option<UnixMillis>,
    /// Whether SQLite syncs the write-ahead log before the commit returns.
    pub full_sync: bool,
}

/// Path of a raw segment: `raw-<first number, 20 digits>.db`.
pub fn path_of(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("raw-{first_seq:020}.db"))
}

impl Segment {
    /// Creates the file, or opens one of the same name.
    pub fn create(dir: &Path, first_seq: u64) -> Result<Self, JournalError> {
        let path = path_of(dir, first_seq);
        let db = open_db(&path, OpenMode::Create(CREATE))?;
        db.pragma_update(None, "synchronous", "NORMAL").map_err(at(&path))?;
        db.pragma_update(None, "wal_autocheckpoint", 1000).map_err(at(&path))?;
        Ok(Self {
            path,
            first_seq,
            db,
            streams: StreamMap::new(usize::MAX),
            stream_count: 0,
            stored_state: BTreeMap::new(),
        })
    }

    /// Writes one transaction, or nothing if it fails.
    pub fn commit(&mut self, commit: &Commit<'_>) -> Result<(), JournalError> {
        let path = self.path.clone();
        let err = at(&path);
        if commit.full_sync {
            self.db.pragma_update(None, "synchronous", "FULL").map_err(&err)?;
        }
        // A failed transaction is undone in memory too: a stream's key must never be used for another stream. Streams that were
        // written before get a second key.
        let (count, stored_state) = (self.stream_count, self.stored_state.clone());
        let result = self.write(commit).map_err(&err);
        if result.is_err() {
            self.streams.clear();
            (self.stream_count, self.stored_state) = (count, stored_state);
        }
        if commit.full_sync {
            self.db.pragma_update(None, "synchronous", "NORMAL").map_err(&err)?;
        }
        result
    }

    fn write(&mut self, commit: &Commit<'_>) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        {
            let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO r (seq, stream, body) VALUES (?1, ?2, ?3)")?;
            for entry in commit.entries {
                let stream = &entry.reading.stream;
                let id = match self.streams.get(stream) {
                    Some(id) => *id,
                    None => {
                        let shape = serde_json::to_string(&**stream).unwrap_or_default();
                        let id = self.stream_count;
                        tx.execute("INSERT INTO stream (id, shape) VALUES (?1, ?2)", params![id, shape])?;
                        self.streams.insert(stream, id);
                        self.stream_count += 1;
                        id
                    }
                };
                insert.execute(params![entry.seq.cast_signed(), id, codec::encode(&entry.reading)])?;
            }
        }
        let boot = commit.boot;
        let mut state = vec![("reserved".to_string(), commit.reserved.to_string())];
        state.push(("boot".to_string(), format!("{} {} {:?}", boot.first_seq, boot.id, boot.offset_ms)));
        state.extend(commit.cursors.iter().map(|(name, p)| (format!("cursor {name}"), p.to_text())));
        if let Some(wall) = commit.last_wall {
            // Rounded to the minute: a value that changes with every commit would write one more page of flash each time.
            state.push(("wall".to_string(), (wall.0 / 60_000 * 60_000).to_string()));
        }
        for (key, value) in state {
            if self.stored_state.get(&key) == Some(&value) {
                continue;
            }
            if key == "boot" {
                tx.execute(
                    "INSERT OR REPLACE INTO boot (first_seq, id, offset_ms) VALUES (?1, ?2, ?3)",
                    params![boot.first_seq.cast_signed(), boot.id, boot.offset_ms],
                )?;
            } else {
                tx.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)", params![key, value])?;
            }
            self.stored_state.insert(key, value);
        }
        tx.commit()
    }

    /// Checkpoints the write-ahead log into the file and closes it.
    pub fn close(self) -> Result<(), JournalError> {
        let path = self.path;
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(at(&path))
    }
}

/// A raw segment opened for reading, also while the writer appends to it.
pub struct SegmentReader {
    path: PathBuf,
    db: Connection,
    streams: BTreeMap<i64, Arc<Stream>>,
    boots: Vec<Boot>,
    offsets: Offsets,
}

/// Kernel boot id -> date minus monotonic time in milliseconds, for boots in which any run had a trusted clock.
pub type Offsets = BTreeMap<String, i64>;

impl SegmentReader {
    /// Opens a segment for reading. `offsets` date the readings of a run whose clock was never trusted, if another run of its boot had a
    /// trusted clock.
    pub fn open(path: &Path, offsets: &Offsets) -> Result<Self, JournalError> {
        let db = open_db(path, OpenMode::Existing)?;
        let (path, offsets) = (path.to_path_buf(), offsets.clone());
        let mut reader = Self { path, db, streams: BTreeMap::new(), boots: Vec::new(), offsets };
        reader.refresh()?;
        Ok(reader)
    }

    /// All streams of the segment.
    pub fn streams(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.streams.values()
    }

    /// Reads streams and boots again, because both grow while the segment is open.
    pub fn refresh(&mut self) -> Result<(), JournalError> {
        let path = self.path.clone();
        let err = at(&path);
        let mut query = self.db.prepare_cached("SELECT id, shape FROM stream").map_err(&err)?;
        let rows = query.query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?))).map_err(&err)?;
        for row in rows {
            let (id, shape) = row.map_err(&err)?;
            if let Ok(stream) = serde_json::from_str::<Stream>(&shape) {
                let known = self.streams.entry(id).or_insert_with(|| Arc::new(stream.clone()));
                if **known != stream {
                    *known = Arc::new(stream);
                }
            }
        }
        drop(query);
        self.boots = boots(&self.db).map_err(&err)?;
        for boot in self.boots.iter_mut().filter(|b| b.offset_ms.is_none()) {
            boot.offset_ms = self.offsets.get(&boot.id).copied();
        }
        Ok(())
    }

    /// Readings with numbers above `after`, at most `max`, in order; and how many rows before the last of them could not be decoded.
    pub fn read(&mut self, after: u64, max: usize) -> Result<(Vec<JournalEntry>, u64), JournalError> {
        self.refresh()?;
        let err = at(&self.path);
        let sql = "SELECT seq, stream, body FROM r WHERE seq > ?1 ORDER BY seq";
        let mut query = self.db.prepare_cached(sql).map_err(&err)?;
        let mut rows = query.query([after.cast_signed()]).map_err(&err)?;
        let (mut out, mut damaged) = (Vec::new(), 0);
        while out.len() < max {
            let Some(row) = rows.next().map_err(&err)? else { break };
            let seq: i64 = row.get(0).map_err(&err)?;
            let stream: i64 = row.get(1).map_err(&err)?;
            let body = row.get_ref(2).map_err(&err)?.as_blob().unwrap_or_default();
            match self.decode(seq.cast_unsigned(), stream, body) {
                Some(reading) => out.push(JournalEntry { seq: seq.cast_unsigned(), reading }),
                None => damaged += 1,
            }
        }
        Ok((out, damaged))
    }

    /// Calls `each` with every reading of the matching streams in order; returns how many of their rows could not be decoded.
    pub fn scan(
        &mut self,
        matches: impl Fn(&Stream) -> bool,
        mut each: impl FnMut(u64, Reading),
    ) -> Result<u64, JournalError> {
        self.refresh()?;
        let err = at(&self.path);
        let stream_ids: Vec<i64> = self.streams.iter().filter(|(_, s)| matches(s)).map(|(id, _)| *id).collect();
        let mut damaged = 0;
        if stream_ids.is_empty() {
            return Ok(0);
        }
        let mut query = self.db.prepare_cached("SELECT seq, stream, body FROM r ORDER BY seq").map_err(&err)?;
        let mut rows = query.query([]).map_err(&err)?;
        while let Some(row) = rows.next().map_err(&err)? {
            let stream: i64 = row.get(1).map_err(&err)?;
            if !stream_ids.contains(&stream) {
                continue;
            }
            let seq: i64 = row.get(0).map_err(&err)?;
            let body = row.get_ref(2).map_err(&err)?.as_blob().unwrap_or_default();
            match self.decode(seq.cast_unsigned(), stream, body) {
                Some(reading) => each(seq.cast_unsigned(), reading),
                None => damaged += 1,
            }
        }
        Ok(damaged)
    }

    fn decode(&self, seq: u64, stream: i64, body: &[u8]) -> Option<Reading> {
        let mut reading = codec::decode(body, self.streams.get(&stream)?)?;
        if !reading.at.trusted
            && let Some(boot) = self.boots.iter().rev().find(|b| b.first_seq <= seq)
            && let Some(offset) = boot.offset_ms
        {
            reading.at.wall = UnixMillis(i64::try_from(reading.at.mono.0).unwrap_or(i64::MAX).saturating_add(offset));
            reading.at.trusted = true;
        }
        Some(reading)
    }

    /// Numbers by stream key, in rising order, read in one pass over the file.
    pub fn seqs_by_stream(&mut self) -> Result<BTreeMap<i64, Vec<i64>>, JournalError> {
        self.refresh()?;
        let err = at(&self.path);
        let mut query = self.db.prepare_cached("SELECT seq, stream FROM r ORDER BY seq").map_err(&err)?;
        let mut rows = query.query([]).map_err(&err)?;
        let mut out: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        while let Some(row) = rows.next().map_err(&err)? {
            out.entry(row.get(1).map_err(&err)?).or_default().push(row.get(0).map_err(&err)?);
        }
        Ok(out)
    }

    /// One reading by its number; `None` if it cannot be decoded.
    pub fn get(&self, seq: i64) -> Result<Option<Reading>, JournalError> {
        let err = at(&self.path);
        let mut query = self.db.prepare_cached("SELECT stream, body FROM r WHERE seq = ?1").map_err(&err)?;
        let mut rows = query.query([seq]).map_err(&err)?;
        let Some(row) = rows.next().map_err(&err)? else { return Ok(None) };
        let body = row.get_ref(1).map_err(&err)?.as_blob().unwrap_or_default();
        Ok(self.decode(seq.cast_unsigned(), row.get(0).map_err(&err)?, body))
    }

    /// Runs that wrote to this segment, by first number.
    pub fn boots(&self) -> &[Boot] {
        &self.boots
    }

    /// The stream with this key; `None` if its description is missing or damaged.
    pub fn stream(&self, id: i64) -> Option<Arc<Stream>> {
        self.streams.get(&id).map(Arc::clone)
    }

    /// Names of devices with streams here, sorted.
    pub fn devices(&self) -> Vec<Arc<str>> {
        let mut out: Vec<Arc<str>> = self.streams.values().map(|s| Arc::clone(&s.device)).collect();
        out.sort();
        out.dedup();
        out
    }

    /// First and last number; `None` if the segment has no row.
    pub fn bounds(&self) -> Result<Option<(u64, u64)>, JournalError> {
        let sql = "SELECT min(seq), max(seq) FROM r";
        let row = |r: &rusqlite::Row<'_>| Ok((r.get::<_, Option<i64>>(0)?, r.get::<_, Option<i64>>(1)?));
        let (first, last) = self.db.query_row(sql, [], row).map_err(at(&self.path))?;
        Ok(first.zip(last).map(|(a, b)| (a.cast_unsigned(), b.cast_unsigned())))
    }

    /// A value of the table `state`.
    pub fn state(&self, key: &str) -> Result<Option<String>, JournalError> {
        let sql = "SELECT value FROM state WHERE key = ?1";
        self.db.query_row(sql, [key], |r| r.get(0)).optional().map_err(at(&self.path))
    }

    pub fn cursors(&self) -> Result<BTreeMap<String, Position>, JournalError> {
        cursors(&self.db).map_err(at(&self.path))
    }

    /// Runs SQLite's `quick_check` on the whole file, at each start of the writer and in a verification.
    pub fn is_sound(&self) -> Result<bool, JournalError> {
        is_sound(&self.db).map_err(at(&self.path))
    }
}

/// Whether SQLite's `quick_check` finds nothing.
pub fn is_sound(db: &Connection) -> rusqlite::Result<bool> {
    Ok(db.query_row("PRAGMA quick_check(1)", [], |r| r.get::<_, String>(0))? == "ok")
}

fn boots(db: &Connection) -> rusqlite::Result<Vec<Boot>> {
    let mut query = db.prepare_cached("SELECT first_seq, id, offset_ms FROM boot ORDER BY first_seq")?;
    let row = |r: &rusqlite::Row<'_>| {
        Ok(Boot { first_seq: r.get::<_, i64>(0)?.cast_unsigned(), id: r.get(1)?, offset_ms: r.get(2)? })
    };
    query.query_map([], row)?.collect()
}

/// Cursors in the table `state` of a raw or day file; unreadable ones are skipped.
pub fn cursors(db: &Connection) -> rusqlite::Result<BTreeMap<String, Position>> {
    let mut query = db.prepare("SELECT key, value FROM state WHERE key LIKE 'cursor %'")?;
    let rows = query.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
    let mut out = BTreeMap::new();
    for row in rows {
        let (key, value) = row?;
        if let (Some(name), Some(position)) = (key.strip_prefix("cursor "), Position::from_text(&value)) {
            out.insert(name.to_string(), position);
        }
    }
    Ok(out)
}
