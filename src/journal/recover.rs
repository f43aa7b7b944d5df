//! Recovery at startup: checks files, renames damaged ones, and restores the next number, the cursors and the catalog.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::journal::cursor::Position;
use crate::journal::damage::Damage;
use crate::journal::files;
use crate::journal::mirror;
use crate::journal::sealed::DayFile;
use crate::journal::segment::{Boot, JournalError, Offsets, SegmentReader, corrupt, io_at};
use crate::journal::{Catalog, SegmentLocation};
use crate::model::time::UnixMillis;

#[derive(Debug, Default)]
pub struct Recovered {
    pub next_seq: u64,
    /// Each cursor at its furthest stored position.
    pub cursors: BTreeMap<String, Position>,
    pub catalog: Catalog,
    /// Number of files found damaged in this recovery.
    pub damaged: u64,
    /// Unreadable files that a read-only journal leaves in place.
    pub unreadable_files: Vec<Damage>,
    pub offsets: Offsets,
    /// Latest trusted date that was committed.
    pub last_wall: UnixMillis,
}

/// Marker file of a restored backup: the numbers given after the backup are unknown, so numbering must jump.
pub const RESTORED: &str = "restored";

/// Numbers skipped if a damaged file may have held the reservation or a backup was restored: more than a large site gives in a year.
const JUMP: u64 = 1 << 36;

/// The first number of a raw file, from its name.
fn first_seq_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.strip_prefix("raw-")?.parse().ok()
}

/// Creates the directory if needed, checks every file and renames damaged ones.
///
/// # Errors
/// The directory cannot be created or read, or a newer version wrote it. Damage is not an error.
pub fn recover(dir: &Path) -> Result<Recovered, JournalError> {
    std::fs::create_dir_all(dir).map_err(io_at(dir))?;
    inspect(dir, true)
}

/// Checks every file of the directory. A writer renames or restores damaged files; a read-only journal only lists them.
///
/// # Errors
/// A file cannot be read, or a newer version wrote it.
pub fn inspect(dir: &Path, repair: bool) -> Result<Recovered, JournalError> {
    let mut found = Recovered::default();
    let (mut last_known, mut newer) = (0u64, Vec::new());
    for path in files::list(dir, "day-").into_iter().chain(mirror::orphans(dir)) {
        match inspect_day_file(&path, repair, &mut found) {
            Ok(last) => last_known = last_known.max(last),
            Err(JournalError::Unfinished { .. }) => remove(&path, repair),
            Err(e @ JournalError::Newer { .. }) => newer.push(e),
            Err(e) if e.is_unreadable() => quarantine(&path, &e, repair, &mut found),
            Err(e) => return Err(e),
        }
    }
    let (mut reserved, mut is_raw_lost, mut newest) = (0u64, false, None::<u64>);
    for path in files::list(dir, "raw-") {
        let Some(first) = first_seq_of(&path) else { continue };
        match inspect_raw_file(&path, repair, &mut found) {
            Ok((last, reserves, wall)) => {
                reserved = reserved.max(reserves);
                // The newest file counts: each continues the value of the one before, unless a person has corrected it.
                if wall.0 > 0 && newest.is_none_or(|seq| first > seq) {
                    (newest, found.last_wall) = (Some(first), wall);
                }
                last_known = last_known.max(last.unwrap_or(first.saturating_sub(1)));
                if last.is_none() && found.catalog.contains_key(&first) {
                    // An empty raw file of a segment that is sealed already.
                    remove(&path, repair);
                    continue;
                }
                // A raw file that still exists is authoritative, whatever an interrupted sealing has written.
                let place = SegmentLocation {
                    last_seq: Some(last.unwrap_or(first)),
                    raw: Some(path.clone()),
                    sealed: Vec::new(),
                };
                found.catalog.insert(first, place);
            }
            Err(JournalError::Unfinished { .. }) => {
                // Either its creation was interrupted and the segment before holds the reservation, or a power cut lost its contents.
                is_raw_lost = true;
                last_known = last_known.max(first);
                remove(&path, repair);
            }
            Err(e @ JournalError::Newer { .. }) => {
                last_known = last_known.max(first);
                newer.push(e);
            }
            Err(e) if e.is_unreadable() => {
                last_known = last_known.max(first);
                quarantine(&path, &e, repair, &mut found);
            }
            Err(e) => return Err(e),
        }
    }
    // A single file whose format differs from ours in one bit is damaged; several were written by a newer version.
    if let Some(first) = newer.pop() {
        if !newer.is_empty() || !first.is_single_bit_flip() {
            return Err(first);
        }
        quarantine(first.path(), &first, repair, &mut found);
    }
    found.next_seq = reserved.max(last_known) + 1;
    if found.damaged > 0 || (is_raw_lost && reserved == 0) || dir.join(RESTORED).exists() {
        found.next_seq += JUMP;
    }
    Ok(found)
}

/// Adds a day file to the catalog, or its mirror if the day file is unreadable; returns the last number it holds.
fn inspect_day_file(path: &Path, repair: bool, found: &mut Recovered) -> Result<u64, JournalError> {
    let read = |path: PathBuf| {
        let file = DayFile::open(&path)?;
        Ok((file.segments()?, file.cursors()?, path))
    };
    let settled = if repair { DayFile::rollback_interrupted(path) } else { Ok(()) };
    let looked = match settled.and_then(|()| read(path.to_path_buf())) {
        Err(e) if e.is_unreadable() || e.is_single_bit_flip() || matches!(e, JournalError::Unfinished { .. }) => {
            let instead =
                if repair { mirror::restore(path).then(|| path.to_path_buf()) } else { mirror::path_of(path) };
            match instead.map(read) {
                Some(Ok(looked)) => {
                    found.damaged += u64::from(repair && !matches!(e, JournalError::Unfinished { .. }));
                    Ok(looked)
                }
                _ => Err(e),
            }
        }
        looked => looked,
    };
    let (segments, cursors, path) = looked?;
    merge_cursors(found, cursors);
    for (first, last) in &segments {
        let place = found.catalog.entry(*first).or_default();
        place.last_seq = Some(*last);
        place.sealed.push(path.clone());
    }
    Ok(segments.last().map_or(0, |(_, last)| *last))
}

fn inspect_raw_file(
    path: &Path,
    check: bool,
    found: &mut Recovered,
) -> Result<(Option<u64>, u64, UnixMillis), JournalError> {
    let reader = SegmentReader::open(path, &Offsets::new())?;
    let dated = |b: &Boot| Some((b.id.clone(), b.offset_ms?)).filter(|(id, _)| !id.is_empty());
    found.offsets.extend(reader.boots().iter().filter_map(dated));
    if check && !reader.is_sound()? {
        return Err(corrupt(path, "its pages do not fit together"));
    }
    merge_cursors(found, reader.cursors()?);
    let number = |key: &str| reader.state(key).map(|v| v.and_then(|v| v.parse::<i64>().ok()).unwrap_or(0));
    let wall = UnixMillis(number("wall")?);
    let reserved = number("reserved")?.unsigned_abs();
    Ok((reader.bounds()?.map(|(_, last)| last), reserved, wall))
}

/// Merges cursors, keeping the furthest position of each.
fn merge_cursors(found: &mut Recovered, cursors: BTreeMap<String, Position>) {
    for (name, position) in cursors {
        let known = found.cursors.entry(name).or_default();
        if position.is_at_least(known) {
            *known = position;
        }
    }
}

/// Removes a file without rows, unless the journal is read-only.
fn remove(path: &Path, repair: bool) {
    if repair {
        files::remove_db(path);
    }
}

fn quarantine(path: &Path, why: &JournalError, repair: bool, found: &mut Recovered) {
    found.damaged += 1;
    if repair {
        tracing::error!(file = %path.display(), %why, "journal file cannot be read: set aside as .damaged");
        files::quarantine(path);
    } else {
        found.unreadable_files.push(Damage::file(path, "", why.to_string()));
    }
}
