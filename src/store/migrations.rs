//! Formats of the store's file, and the steps from each to the next.
//!
//! Numbers of formats have an odd number of bits set (1, 2, 4, 7, 8, …): one turned bit of `user_version` is never another format
//! but damage.

use rusqlite::Connection;

/// The format that this version writes.
pub const FORMAT: i64 = 2;

/// Format that a step leads to, and its SQL.
const STEPS: &[(i64, &str)] = &[
    (
        1,
        "CREATE TABLE event(id INTEGER PRIMARY KEY, room TEXT NOT NULL, key TEXT NOT NULL, what TEXT NOT NULL,
            at INTEGER NOT NULL, trusted INTEGER NOT NULL, boot TEXT NOT NULL, mono INTEGER NOT NULL, body TEXT NOT NULL);
         CREATE INDEX event_key ON event(room, key, id);
         CREATE INDEX event_at ON event(room, at);
         CREATE TABLE keep(room TEXT NOT NULL, key TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY(room, key))
            WITHOUT ROWID;",
    ),
    // Who did it, by which way, and their remark are columns; every kept value has a format of its own; each room keeps its own
    // counts (before: those of derived points and of alarm conditions in one value of room `engine`).
    (
        2,
        "ALTER TABLE event ADD COLUMN actor TEXT NOT NULL DEFAULT '';
         ALTER TABLE event ADD COLUMN via TEXT NOT NULL DEFAULT '';
         ALTER TABLE event ADD COLUMN note TEXT NOT NULL DEFAULT '';
         CREATE INDEX event_actor ON event(actor, at) WHERE actor <> '';
         ALTER TABLE keep ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
         INSERT OR IGNORE INTO keep(room, key, bytes)
            SELECT p.value, 'snapshot', CAST(json_extract(CAST(keep.bytes AS TEXT), '$.' || p.value) AS BLOB)
            FROM keep, json_each('[\"derive\", \"alarm\"]') AS p
            WHERE keep.room = 'engine' AND keep.key = 'snapshot' AND json_valid(CAST(bytes AS TEXT))
                AND json_extract(CAST(bytes AS TEXT), '$.' || p.value) IS NOT NULL;
         DELETE FROM keep WHERE room = 'engine';",
    ),
];

/// Whether this number can be a format's.
pub fn is_format(number: i64) -> bool {
    number == 0 || number.count_ones() % 2 == 1
}

/// The format of an open file; 0: it has no tables yet.
///
/// # Errors
/// It cannot be read.
pub fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    let number: i64 = connection.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if number > 0 {
        return Ok(number);
    }
    // A turned bit made it 0 or negative, where there are tables: their columns tell.
    let columns = "SELECT count(*), coalesce(sum(name = 'via'), 0) FROM pragma_table_info('event')";
    let (columns, via): (i64, i64) = connection.query_row(columns, [], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(match (columns, via) {
        (0, _) => 0,
        (_, 0) => 1,
        _ => 2,
    })
}

/// Fills the columns of format 2 from the bodies of earlier events, as far as the disk takes it.
///
/// # Errors
/// What SQLite says; then they stay empty.
pub fn fill_actors(connection: &Connection) -> rusqlite::Result<()> {
    let fill = "UPDATE event SET actor = coalesce(json_extract(body, '$.by'), ''), note = coalesce(json_extract(body, '$.note'), '')
        WHERE json_valid(body) AND (json_extract(body, '$.by') <> '' OR json_extract(body, '$.note') <> '')";
    connection.execute(fill, []).map(drop)
}

/// Brings a file to the present format, in one transaction.
///
/// # Errors
/// What SQLite says; then the file is as it was.
pub fn migrate(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    let steps: String = STEPS.iter().filter(|(to, _)| *to > from).map(|(_, sql)| *sql).collect();
    let done = connection.execute_batch(&format!("BEGIN; {steps} PRAGMA user_version = {FORMAT}; COMMIT;"));
    if done.is_err() {
        let _not_begun = connection.execute_batch("ROLLBACK");
    }
    done
}
