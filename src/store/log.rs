//! The event log and the state of the rooms, in one SQLite file with full sync. An event and the state that results from it are written
//! in one transaction; no other copy of a decision exists.
//!
//! The store does not interpret what it holds: the table `keep(room, key)` has bytes that only their room understands.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::model::effects::{Keep, LogEvent};
use crate::model::room::Kept;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};
use crate::store::error::StoreError;
use crate::store::event::{Batch, EventQuery, EventRow};
use crate::store::fault::is_file_fault;
use crate::store::migrations::{self, FORMAT};

/// Bytes of disk reserved for this file, so that the journal runs out of space first.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;

/// Most transactions that may wait for the disk; further ones are refused.
const QUEUE: usize = 1_024;

/// State for `status` and `/metrics`.
#[derive(Debug, Default)]
pub struct StoreHealth {
    /// Whether the last transaction could not be written.
    pub failed: AtomicBool,
    /// Transactions waiting for the disk.
    queued: AtomicUsize,
}

/// Makes a batch on the store's thread; an empty one is not written.
type MakeBatch = Box<dyn FnOnce() -> Batch + Send>;

enum Job {
    Commit(MakeBatch, oneshot::Sender<Result<(), StoreError>>),
    Date { now: UnixMillis, mono: MonotonicMillis },
    Prune(UnixMillis),
    End(oneshot::Sender<()>),
}

/// Handle of the store's thread, which ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
    pub health: Arc<StoreHealth>,
}

impl EventRow {
    /// A row of an event that happens now.
    pub fn new(event: LogEvent, now: Now) -> Self {
        Self {
            id: 0,
            room: event.room.to_string(),
            key: event.key.to_string(),
            event: event.event.to_string(),
            at: now.wall,
            trusted: now.wall_trusted,
            mono: now.mono,
            actor: event.actor,
            via: event.via,
            note: event.note,
            body: event.body,
        }
    }
}

impl Store {
    /// Opens the file or creates it. A damaged file is renamed to `.damaged-<n>` and a new one begun; the message about that is returned.
    ///
    /// # Errors
    /// It cannot be opened, or a newer version wrote it.
    pub fn open(path: &Path, boot: &str) -> Result<(Self, Option<String>), StoreError> {
        let name = || path.display().to_string();
        let mut damage_message = None;
        let mut began = open_database(path);
        if matches!(began, Err(OpenError::Failed(_) | OpenError::Damaged(_)))
            && std::fs::remove_file(reserve_path(path)).is_ok()
        {
            // The disk may be full: the reserve is released for this case.
            began = open_database(path);
        }
        let mut connection = match began {
            Ok(connection) => connection,
            Err(OpenError::Newer(format)) => {
                return Err(StoreError::Newer { path: name(), found: format });
            }
            Err(OpenError::Failed(reason)) => return Err(StoreError::Open { path: name(), reason }),
            Err(OpenError::Damaged(why)) => {
                let renamed_to = quarantine(path)
                    .map_err(|e| StoreError::Quarantine { damage: why.clone(), reason: e.to_string() })?;
                damage_message = Some(format!(
                    "{} is damaged ({why}): it is {} now, a new one begins",
                    path.display(),
                    renamed_to.display()
                ));
                open_database(path).map_err(|e| StoreError::Begin { path: name(), reason: format!("{e:?}") })?
            }
        };
        let health = Arc::new(StoreHealth::default());
        let (jobs, work) = mpsc::channel::<Job>();
        let (shown, file, boot) = (Arc::clone(&health), path.to_path_buf(), boot.to_string());
        reserve_disk(&file);
        let thread = std::thread::Builder::new().name("store".into());
        let spawned = thread.spawn(move || {
            while let Ok(job) = work.recv() {
                if let Job::End(done) = job {
                    drop(connection);
                    let _nobody_waits = done.send(());
                    return;
                }
                run(&mut connection, job, &boot, &file, &shown);
            }
        });
        spawned.map_err(|e| StoreError::Thread(e.to_string()))?;
        Ok((Self { jobs, path: path.to_path_buf(), health }, damage_message))
    }

    /// Queues a transaction. The receiver gets the result once it is synced to disk, or an error at once if the queue is full.
    pub fn commit(&self, batch: Batch) -> oneshot::Receiver<Result<(), StoreError>> {
        self.commit_made(move || batch)
    }

    /// As [`Store::commit`], of what `make` returns: the store's thread calls it, so that nobody else waits for it.
    pub fn commit_made(
        &self,
        make: impl FnOnce() -> Batch + Send + 'static,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, answer) = oneshot::channel();
        if self.health.queued.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            // The disk hangs; the caller decides how to proceed.
            self.health.queued.fetch_sub(1, Ordering::Relaxed);
            let _nobody_waits = done.send(Err(StoreError::QueueFull));
            return answer;
        }
        let _thread_is_gone = self.jobs.send(Job::Commit(Box::new(make), done));
        answer
    }

    /// Records that the clock is trusted from now on: undated events of this boot are dated.
    pub fn set_date(&self, now: UnixMillis, mono: MonotonicMillis) {
        let _thread_is_gone = self.jobs.send(Job::Date { now, mono });
    }

    /// Deletes dated events before this time.
    pub fn prune(&self, before: UnixMillis) {
        let _thread_is_gone = self.jobs.send(Job::Prune(before));
    }

    /// Closes the file after all queued jobs; later ones are dropped.
    pub fn close(&self) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        let _thread_is_gone = self.jobs.send(Job::End(done));
        answer
    }

    /// The stored state of a room, by key.
    ///
    /// # Errors
    /// The file cannot be read, in words.
    pub fn load_state(&self, room: &str) -> Result<Kept, StoreError> {
        load_state(&self.path, room)
    }

    /// Matching rows of the log, oldest first.
    ///
    /// # Errors
    /// The file cannot be read, in words.
    pub fn events(&self, query: &EventQuery) -> Result<Vec<EventRow>, StoreError> {
        events(&self.path, query)
    }
}

/// The stored state of a room, by key; also while another process writes.
///
/// # Errors
/// The file cannot be read, in words.
pub fn load_state(path: &Path, room: &str) -> Result<Kept, StoreError> {
    let read = || -> rusqlite::Result<_> {
        let connection = reader(path)?;
        let format = if migrations::format_of(&connection)? >= 2 { "format" } else { "1" };
        let mut select = connection.prepare(&format!("SELECT key, {format}, bytes FROM keep WHERE room = ?1"))?;
        let rows = select.query_map([room], |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?))))?;
        rows.collect()
    };
    read().map_err(|e| StoreError::Read { path: path.display().to_string(), reason: e.to_string() })
}

/// Matching rows of the log, oldest first; also while another process writes.
///
/// # Errors
/// The file cannot be read, in words.
pub fn events(path: &Path, query: &EventQuery) -> Result<Vec<EventRow>, StoreError> {
    let read = || -> rusqlite::Result<Vec<EventRow>> {
        let connection = reader(path)?;
        let has_actors = migrations::format_of(&connection)? >= 2;
        let room = match (query.room.is_empty(), query.only_actors && has_actors) {
            (false, _) => "room = ?1",
            (true, false) => "?1 = ''",
            (true, true) => "?1 = '' AND actor <> ''",
        };
        let who = if has_actors { "actor, via, note" } else { "'', '', ''" };
        let mut select = connection.prepare(
            // A stopped gateway of an earlier version wrote no such columns.
            &format!(
                "SELECT id, room, key, what, at, trusted, mono, body, {who} FROM event
                 WHERE {room} AND (?2 IS NULL OR key = ?2) AND at >= ?3 AND at < ?4
                 ORDER BY id DESC LIMIT ?5"
            ),
        )?;
        let limit = query.limit.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
        let (from, to) = (query.from.map_or(i64::MIN, |w| w.0), query.to.map_or(i64::MAX, |w| w.0));
        let rows = select.query_map(params![query.room, query.key, from, to, limit], |r| {
            Ok(EventRow {
                id: r.get(0)?,
                room: r.get(1)?,
                key: r.get(2)?,
                event: r.get(3)?,
                at: UnixMillis(r.get(4)?),
                trusted: r.get(5)?,
                mono: MonotonicMillis(u64::try_from(r.get::<_, i64>(6)?).unwrap_or(0)),
                body: r.get(7)?,
                actor: r.get(8)?,
                via: r.get(9)?,
                note: r.get(10)?,
            })
        })?;
        let mut rows: Vec<EventRow> = rows.collect::<rusqlite::Result<_>>()?;
        rows.reverse();
        Ok(rows)
    };
    read().map_err(|e| StoreError::Read { path: path.display().to_string(), reason: e.to_string() })
}

/// Opens an SQLite file for reading, also one that another process writes and one in a directory that may not be written to.
///
/// # Errors
/// What SQLite says.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    let is_readable = connection.query_row("PRAGMA user_version", [], |_| Ok(()));
    let log = PathBuf::from(format!("{}-wal", path.display()));
    if is_readable.is_err() && std::fs::metadata(log).map_or(0, |m| m.len()) == 0 {
        // Without write permission SQLite cannot create its shared memory file. The write-ahead log is empty, so the file is
        // read as immutable.
        let plain = format!("file:{}?immutable=1", path.display());
        return Connection::open_with_flags(plain, flags | rusqlite::OpenFlags::SQLITE_OPEN_URI);
    }
    Ok(connection)
}

#[derive(Debug)]
enum OpenError {
    Newer(i64),
    Damaged(String),
    /// The disk or another process is the cause; the file may be sound.
    Failed(String),
}

fn open_database(path: &Path) -> Result<Connection, OpenError> {
    // An unreadable file is renamed rather than reported as a fatal error, because paging must go on.
    let damaged = |e: rusqlite::Error| {
        if is_file_fault(&e, path) && !is_read_only(path) {
            OpenError::Damaged(e.to_string())
        } else {
            OpenError::Failed(e.to_string())
        }
    };
    let connection = Connection::open(path).map_err(damaged)?;
    let pragma = |text: &str| connection.execute_batch(text).map_err(damaged);
    pragma(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -256; PRAGMA busy_timeout = 2000;",
    )?;
    let format = migrations::format_of(&connection).map_err(damaged)?;
    if format > FORMAT {
        // A turned bit, with our tables: damage, not a newer version.
        let ours = "SELECT count(*) FROM sqlite_master WHERE name IN ('event', 'keep')";
        let tables: i64 = connection.query_row(ours, [], |r| r.get(0)).map_err(damaged)?;
        if migrations::is_format(format) || tables != 2 {
            return Err(OpenError::Newer(format));
        }
        return Err(OpenError::Damaged(format!("its format {format} is no number of a version")));
    }
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(damaged)?;
    if check != "ok" {
        return Err(OpenError::Damaged(check));
    }
    if (1..FORMAT).contains(&format) {
        keep_copy(&connection, path, format);
    }
    migrations::migrate(&connection, format).map_err(damaged)?;
    if format == 1
        && let Err(error) = migrations::fill_actors(&connection)
    {
        // It needs room for every row, and a full disk is no reason not to page.
        tracing::error!(%error, "who did what before this version stays in the events' bodies alone");
    }
    Ok(connection)
}

/// Keeps a copy of the file of an earlier format before it is migrated. Paging goes on where there is no room for that.
fn keep_copy(connection: &Connection, path: &Path, format: i64) {
    let (copy, part) = (path.with_extension(format!("db.format-{format}")), path.with_extension("db.copying"));
    if copy.exists() {
        return;
    }
    // What a kill left of an earlier attempt.
    let _may_not_exist = std::fs::remove_file(&part);
    let made = connection.execute("VACUUM INTO ?1", [part.display().to_string()]).map_err(|e| e.to_string());
    match made.and_then(|_| std::fs::rename(&part, &copy).map_err(|e| e.to_string())) {
        Ok(()) => {
            tracing::info!(copy = %copy.display(), "the store is of an earlier format: a copy is kept, then it is migrated");
        }
        Err(error) => {
            let _may_not_exist = std::fs::remove_file(&part);
            tracing::error!(error, "no copy of the store of an earlier format can be kept: it is migrated without");
        }
    }
}

/// Whether the file, or its directory, may not be written to.
fn is_read_only(path: &Path) -> bool {
    std::fs::OpenOptions::new().append(true).open(path).is_err_and(|e| {
        matches!(e.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)
    })
}

fn quarantine(path: &Path) -> std::io::Result<PathBuf> {
    let name = |n: u32| path.with_extension(format!("db.damaged-{n}"));
    let free = (1..10_000).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(0));
    std::fs::rename(path, &free)?;
    for more in ["wal", "shm"] {
        let _may_not_exist =
            std::fs::rename(format!("{}-{more}", path.display()), format!("{}-{more}", free.display()));
    }
    Ok(free)
}

fn run(connection: &mut Connection, job: Job, boot: &str, path: &Path, health: &StoreHealth) {
    match job {
        Job::Commit(make, done) => {
            health.queued.fetch_sub(1, Ordering::Relaxed);
            let batch = make();
            if batch.rows.is_empty() && batch.keep.is_empty() {
                let _nobody_waits = done.send(Ok(()));
                return;
            }
            let mut written = write(connection, &batch, boot);
            if written.is_err() && std::fs::remove_file(reserve_path(path)).is_ok() {
                // The disk may be full: the reserve is released for this case.
                written = write(connection, &batch, boot);
            }
            health.failed.store(written.is_err(), Ordering::Relaxed);
            let _nobody_waits = done.send(written.map_err(|e| StoreError::Write(e.to_string())));
        }
        Job::Date { now, mono } => {
            let date = "UPDATE event SET at = ?1 - (?2 - mono), trusted = 1 WHERE boot = ?3 AND trusted = 0";
            let at = i64::try_from(mono.0).unwrap_or(i64::MAX);
            if let Err(error) = connection.execute(date, params![now.0, at, boot]) {
                tracing::error!(%error, "events cannot be given their date");
            }
        }
        // Handled by the thread's loop.
        Job::End(_) => {}
        Job::Prune(before) => {
            let pruned = connection.execute("DELETE FROM event WHERE at < ?1 AND trusted = 1", [before.0]);
            if let Err(error) = pruned {
                tracing::error!(%error, "old events cannot be removed");
            }
            reserve_disk(path);
        }
    }
}

fn write(connection: &mut Connection, batch: &Batch, boot: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO event(room, key, what, at, trusted, boot, mono, body, actor, via, note)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for r in &batch.rows {
            let mono = i64::try_from(r.mono.0).unwrap_or(i64::MAX);
            insert.execute(params![
                r.room, r.key, r.event, r.at.0, r.trusted, boot, mono, r.body, r.actor, r.via, r.note
            ])?;
        }
        let mut put = transaction
            .prepare_cached("INSERT OR REPLACE INTO keep(room, key, format, bytes) VALUES(?1, ?2, ?3, ?4)")?;
        let mut forget = transaction.prepare_cached("DELETE FROM keep WHERE room = ?1 AND key = ?2")?;
        for Keep { room, key, format, bytes } in &batch.keep {
            match bytes {
                Some(bytes) => put.execute(params![room, key, format, bytes])?,
                None => forget.execute(params![room, key])?,
            };
        }
    }
    transaction.commit()
}

fn reserve_path(path: &Path) -> PathBuf {
    path.with_extension("reserve")
}

/// Allocates the reserve file if it does not exist and at least 20 times its size is free.
fn reserve_disk(path: &Path) {
    let reserve = reserve_path(path);
    if reserve.exists() {
        return;
    }
    let free = rustix::fs::statvfs(path.parent().unwrap_or(path)).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
    if free < 20 * RESERVE_BYTES {
        return;
    }
    let held = std::fs::File::create(&reserve)
        .and_then(|f| Ok(rustix::fs::fallocate(&f, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES)?));
    if let Err(error) = held {
        tracing::debug!(%error, "no disk can be held back for the store");
    }
}

/// Writes a consistent copy of the file, also while another process writes; `to` must not exist.
///
/// # Errors
/// SQLite cannot read the file or write the copy.
pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copied = reader(from).and_then(|c| c.execute("VACUUM INTO ?1", [to.display().to_string()]));
    let failed = |e: rusqlite::Error| StoreError::Copy { path: from.display().to_string(), reason: e.to_string() };
    copied.map(|_| ()).map_err(failed)
}

/// Checks that a file is a sound store of this format version.
///
/// # Errors
/// The format differs, the file is damaged or it cannot be read.
pub fn verify(path: &Path) -> Result<(), StoreError> {
    let inspect = || -> rusqlite::Result<(i64, String)> {
        let connection = reader(path)?;
        let format = migrations::format_of(&connection)?;
        Ok((format, connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?))
    };
    let unsound = |reason| Err(StoreError::Unsound { path: path.display().to_string(), reason });
    match inspect() {
        Ok((format, check)) if (1..=FORMAT).contains(&format) && check == "ok" => Ok(()),
        Ok((format, check)) => unsound(format!("format {format}, {check}")),
        Err(e) => unsound(e.to_string()),
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
