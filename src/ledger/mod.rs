//! The ledger: what is kept of every cumulative register for as long as auditors ask, in a file of its own (`ledger.db`, SQLite).
//!
//! Its rows and the position in the journal up to which they were made are one transaction: whatever is killed, each reading is booked
//! once. Everything in it follows from the journal; if the file is damaged it is put aside and made anew from the registers that the
//! journal still holds.
//!
//! * `series`: a register, by device and point, with unit, resolution and modulus as they were last.
//! * `register`: what the rules know of it, as [`crate::energy::register::Register`] persists itself.
//! * `span`: its spans. `marks`: for each day (UTC) and register one blob of readings. `event`: what happened to it.

#![allow(clippy::disallowed_methods, reason = "files are its work: on threads that may wait")]

pub mod codec;
pub mod error;
pub mod query;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::energy::register::{Changes, Register};
use crate::energy::span::{Mark, Span, SpanState};
use crate::ledger::error::{FORMAT, LedgerError, at, corrupt};
use crate::model::point::PointMeta;
use crate::store::log::reader;

const CREATE: &str = "
    PRAGMA page_size = 4096;
    PRAGMA journal_mode = WAL;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE series (id INTEGER PRIMARY KEY, device TEXT NOT NULL, point TEXT NOT NULL, meta TEXT NOT NULL, UNIQUE (device, point));
    CREATE TABLE register (series INTEGER PRIMARY KEY, state TEXT NOT NULL);
    CREATE TABLE span (series INTEGER NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (series, number)) WITHOUT ROWID;
    CREATE TABLE marks (day INTEGER NOT NULL, series INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (day, series)) WITHOUT ROWID;
    CREATE INDEX marks_series ON marks (series, day);
    CREATE TABLE event (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, at_ms INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX event_series ON event (series, at_ms);
";

/// Length of the days by which marks are stored, UTC.
const DAY_MS: i64 = 86_400_000;

/// Name of the file in the state directory.
pub const FILE: &str = "ledger.db";

/// A register in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub id: i64,
    pub device: Arc<str>,
    /// The point as it was last: name, unit, resolution, modulus.
    pub meta: PointMeta,
}

impl Series {
    /// `device.point`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.device, self.meta.name)
    }
}

/// The open file.
pub struct Ledger {
    path: PathBuf,
    db: Connection,
}

/// What one commit writes of a register.
pub struct SeriesChange<'a> {
    pub series: &'a Series,
    pub register: &'a Register,
    pub changes: &'a Changes,
}

impl Ledger {
    /// Opens the file for writing; creates it if it does not exist.
    ///
    /// # Errors
    /// A newer version wrote it, it is damaged, or the disk refuses it.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let db = Connection::open(path).map_err(at(path))?;
        db.busy_timeout(std::time::Duration::from_secs(5)).map_err(at(path))?;
        db.pragma_update(None, "cache_size", -512).map_err(at(path))?;
        if format_of(&db, path)? == 0 {
            // A creation that was interrupted left tables and no format.
            let begin = format!("{CREATE} PRAGMA user_version = {FORMAT};");
            let begin = begin.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ");
            db.execute_batch(&begin.replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ")).map_err(at(path))?;
        }
        db.pragma_update(None, "synchronous", "FULL").map_err(at(path))?;
        Ok(Self { path: path.to_path_buf(), db })
    }

    /// Opens the file for reading, beside a running gateway or a stopped one.
    ///
    /// # Errors
    /// There is none, a newer version wrote it, it is damaged, or it may not be read.
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Absent { path: path.display().to_string() });
        }
        let db = reader(path).map_err(at(path))?;
        if format_of(&db, path)? == 0 {
            return Err(LedgerError::Absent { path: path.display().to_string() });
        }
        Ok(Self { path: path.to_path_buf(), db })
    }

    fn meta(&self, key: &str) -> Result<Option<String>, LedgerError> {
        let row = self.db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0));
        row.optional().map_err(at(&self.path))
    }

    /// Position in the journal up to which this was made, as the journal writes it; `None`: nothing was booked yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn cursor(&self) -> Result<Option<String>, LedgerError> {
        self.meta("cursor")
    }

    /// The state of every register, by series id.
    ///
    /// # Errors
    /// The file cannot be read, or a state is damaged.
    pub fn registers(&self) -> Result<BTreeMap<i64, Register>, LedgerError> {
        let mut query = self.db.prepare("SELECT series, state FROM register").map_err(at(&self.path))?;
        let rows = query.query_map([], |r| Ok((r.get(0)?, r.get::<_, String>(1)?))).map_err(at(&self.path))?;
        let mut out = BTreeMap::new();
        for row in rows {
            let (series, state) = row.map_err(at(&self.path))?;
            let register = serde_json::from_str(&state);
            out.insert(series, register.map_err(|e| corrupt(&self.path, &format!("state of register {series}: {e}")))?);
        }
        Ok(out)
    }

    /// Finds or makes the row of a register; the point is stored as it is now. Written at once, if it changed: a row without readings does
    /// no harm.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn series_of(&mut self, device: &Arc<str>, meta: &PointMeta) -> Result<Series, LedgerError> {
        let put = "INSERT INTO series (device, point, meta) VALUES (?1, ?2, ?3)
            ON CONFLICT (device, point) DO UPDATE SET meta = excluded.meta RETURNING id";
        let json = serde_json::to_string(meta).unwrap_or_default();
        let get = "SELECT id FROM series WHERE device = ?1 AND point = ?2 AND meta = ?3";
        let known = self.db.query_row(get, params![device, meta.name, json], |r| r.get(0)).optional();
        if let Some(id) = known.map_err(at(&self.path))? {
            return Ok(Series { id, device: Arc::clone(device), meta: meta.clone() });
        }
        let id = self.db.query_row(put, params![device, meta.name, json], |r| r.get(0)).map_err(at(&self.path))?;
        Ok(Series { id, device: Arc::clone(device), meta: meta.clone() })
    }

    /// Writes what changed, and the position in the journal up to which it was read, in one transaction with full sync.
    ///
    /// # Errors
    /// The disk refuses it, or a day's marks are damaged; then nothing was written.
    pub fn commit(&mut self, cursor: &str, changes: &[SeriesChange<'_>]) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let transaction = self.db.transaction().map_err(at(&path))?;
        for change in changes {
            let id = change.series.id;
            let state = serde_json::to_string(change.register).unwrap_or_default();
            let put = "INSERT OR REPLACE INTO register VALUES (?1, ?2)";
            transaction.prepare_cached(put).and_then(|mut p| p.execute(params![id, state])).map_err(at(&path))?;
            let open: Vec<Span> = change.register.open_spans().collect();
            for span in change.changes.spans.iter().chain(&open) {
                if span.state == SpanState::Withdrawn {
                    // Its events stay, and its readings are in the journal.
                    transaction
                        .execute("DELETE FROM span WHERE series = ?1 AND number = ?2", params![id, span.number])
                        .map_err(at(&path))?;
                    continue;
                }
                let body = serde_json::to_string(span).unwrap_or_default();
                let put = "INSERT OR REPLACE INTO span VALUES (?1, ?2, ?3)";
                let row = params![id, span.number, body];
                transaction.prepare_cached(put).and_then(|mut p| p.execute(row)).map_err(at(&path))?;
            }
            for event in &change.changes.events {
                let body = serde_json::to_string(event).unwrap_or_default();
                let put = "INSERT INTO event (series, at_ms, body) VALUES (?1, ?2, ?3)";
                let row = params![id, event.reading.at.0, body];
                transaction.prepare_cached(put).and_then(|mut p| p.execute(row)).map_err(at(&path))?;
            }
            add_marks(&transaction, &path, id, &change.changes.marks)?;
            for span in change.changes.spans.iter().filter(|span| span.state == SpanState::Withdrawn) {
                drop_marks(&transaction, &path, id, span)?;
            }
        }
        let put = "INSERT OR REPLACE INTO meta VALUES ('cursor', ?1)";
        transaction.execute(put, [cursor]).map_err(at(&path))?;
        transaction.commit().map_err(at(&path))
    }

    /// Deletes the marks of the oldest days beyond so many that have any, and events dated before the rest. Days that exist are counted:
    /// a wrong date is one day more, and not the end of the others.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn prune(&self, keep_days: u32) -> Result<(), LedgerError> {
        let oldest = "WITH RECURSIVE known(day) AS (
                SELECT max(day) FROM marks
                UNION ALL SELECT (SELECT max(marks.day) FROM marks WHERE marks.day < known.day) FROM known WHERE known.day IS NOT NULL
            ) SELECT day FROM known LIMIT 1 OFFSET ?1";
        let last = keep_days.saturating_sub(1);
        let day =
            self.db.query_row(oldest, [last], |r| r.get::<_, Option<i64>>(0)).optional().map_err(at(&self.path))?;
        if let Some(day) = day.flatten() {
            self.db.execute("DELETE FROM marks WHERE day < ?1", [day]).map_err(at(&self.path))?;
            self.db.execute("DELETE FROM event WHERE at_ms < ?1", [day * DAY_MS]).map_err(at(&self.path))?;
        }
        Ok(())
    }
}

/// The format of an open file; 0: it has none yet.
fn format_of(db: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let found = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(at(path))?;
    if !(0..=FORMAT).contains(&found) {
        return Err(LedgerError::Newer { path: path.display().to_string(), found });
    }
    Ok(found)
}

/// Adds marks to the blobs of their days.
fn add_marks(transaction: &Transaction<'_>, path: &Path, series: i64, marks: &[Mark]) -> Result<(), LedgerError> {
    let mut by_day: BTreeMap<i64, Vec<Mark>> = BTreeMap::new();
    marks.iter().for_each(|mark| by_day.entry(mark.reading.at.0.div_euclid(DAY_MS)).or_default().push(*mark));
    for (day, new) in by_day {
        let mut all = marks_of_day(transaction, path, series, day)?;
        all.extend(new);
        put_marks(transaction, path, (series, day), &all)?;
    }
    Ok(())
}

/// Removes the marks of a span.
fn drop_marks(transaction: &Transaction<'_>, path: &Path, series: i64, span: &Span) -> Result<(), LedgerError> {
    for day in span.first.at.0.div_euclid(DAY_MS)..=span.last.at.0.div_euclid(DAY_MS) {
        let all = marks_of_day(transaction, path, series, day)?;
        let rest: Vec<Mark> = all.iter().filter(|mark| mark.span != span.number).copied().collect();
        if rest.len() < all.len() {
            put_marks(transaction, path, (series, day), &rest)?;
        }
    }
    Ok(())
}

fn marks_of_day(transaction: &Transaction<'_>, path: &Path, series: i64, day: i64) -> Result<Vec<Mark>, LedgerError> {
    let get = "SELECT body FROM marks WHERE day = ?1 AND series = ?2";
    let row = |r: &rusqlite::Row<'_>| r.get::<_, Vec<u8>>(0);
    let known = transaction.prepare_cached(get).and_then(|mut p| p.query_row(params![day, series], row).optional());
    let damaged = || corrupt(path, &format!("the readings of register {series} of day {day}"));
    known.map_err(at(path))?.map_or(Ok(Vec::new()), |bytes| codec::decode(&bytes, day * DAY_MS).ok_or_else(damaged))
}

fn put_marks(
    transaction: &Transaction<'_>,
    path: &Path,
    (series, day): (i64, i64),
    marks: &[Mark],
) -> Result<(), LedgerError> {
    if marks.is_empty() {
        let gone = "DELETE FROM marks WHERE day = ?1 AND series = ?2";
        return transaction.execute(gone, params![day, series]).map(drop).map_err(at(path));
    }
    let put = "INSERT OR REPLACE INTO marks VALUES (?1, ?2, ?3)";
    let body = codec::encode(marks, day * DAY_MS);
    transaction.prepare_cached(put).and_then(|mut p| p.execute(params![day, series, body])).map(drop).map_err(at(path))
}
