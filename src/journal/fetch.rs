//! Reading by cursor: from the tail in memory as far as it reaches back, from raw segments in order of numbers, from sealed
//! hours device by device.

use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::journal::cursor::{Position, SealedCursor};
use crate::journal::device_hour::DeviceHour;
use crate::journal::sealed::{self, DayFile};
use crate::journal::segment::{JournalError, SegmentReader};
use crate::journal::tail::JournalEntry;
use crate::journal::{Journal, SegmentLocation, mirror};
use crate::lock::lock;
use crate::model::point::Retention;

/// A reading handed to a reader, with the position to acknowledge for it.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalItem {
    pub entry: Arc<JournalEntry>,
    /// Position once this reading and everything handed out before it is acknowledged.
    pub position: Position,
}

/// A reader of the journal. Its own position is ahead of the acknowledged one.
pub struct Cursor {
    journal: Journal,
    /// Everything up to this position has been handed out.
    pub position: Position,
    raw: Option<(u64, SegmentReader)>,
    hour: Option<(u64, String, Peekable<DeviceHour>)>,
    names: Option<(u64, Vec<String>)>,
    /// Consecutive failures to read a file.
    failures: u32,
    /// Of sealed hours only samples of this class are read; `None`: all of them.
    class: Option<Retention>,
}

/// Attempts to read an unreadable file, after which its unreadable part is skipped.
const TRIES: u32 = 5;

impl Cursor {
    /// A reader that hands out what follows `position`.
    pub fn new(journal: Journal, position: Position) -> Self {
        Self { journal, position, raw: None, hour: None, names: None, failures: 0, class: None }
    }

    /// A reader that needs only samples of one class: of sealed hours it opens no other files.
    pub fn of_class(journal: Journal, position: Position, class: Retention) -> Self {
        Self { class: Some(class), ..Self::new(journal, position) }
    }

    /// The next readings from the tail in memory, at most `max`; `None` if files have to be read ([`Cursor::fetch`]).
    pub fn fetch_tail(&mut self, max: usize) -> Option<Vec<JournalItem>> {
        if self.position.sealed_cursor.is_some() {
            return None;
        }
        let entries = lock(&self.journal.shared.tail).after(self.position.low_watermark, max)?;
        let item = |entry: Arc<JournalEntry>| JournalItem { position: Position::at(entry.seq), entry };
        let items: Vec<JournalItem> = entries.into_iter().map(item).collect();
        if let Some(last) = items.last() {
            self.position = last.position.clone();
        }
        Some(items)
    }

    /// The next readings from memory or files, at most `max`; blocks on files. Empty: there are no more, or a file cannot be read now and
    /// will be tried again.
    pub fn fetch(&mut self, max: usize) -> Vec<JournalItem> {
        loop {
            if let Some(items) = self.fetch_tail(max) {
                return items;
            }
            match self.read_files(max) {
                Ok(items) if items.is_empty() => {}
                Ok(items) => {
                    self.failures = 0;
                    return items;
                }
                Err(e) if e.is_damage() || (e.is_unreadable() && e.path().exists() && self.failures > TRIES) => {
                    self.failures = 0;
                    tracing::error!(error = %e, "a journal file is damaged: its readings are passed over");
                    self.journal.shared.count_damaged(e.path());
                    self.skip_segment();
                }
                Err(e) if !e.path().exists() => (self.raw, self.hour, self.names) = (None, None, None),
                Err(e) => {
                    // A busy file, too many open files or a read error: it is tried again.
                    self.failures += u32::from(e.is_unreadable());
                    tracing::warn!(error = %e, "a journal file cannot be read now: it is tried again");
                    (self.raw, self.hour, self.names) = (None, None, None);
                    return Vec::new();
                }
            }
        }
    }

    /// The segment that holds the next number, or the first one after it.
    fn place(&self) -> Option<(u64, SegmentLocation)> {
        let catalog = lock(&self.journal.shared.catalog);
        let next = self.position.sealed_cursor.as_ref().map_or(self.position.low_watermark + 1, |w| w.segment);
        let holds = |(_, place): &(&u64, &SegmentLocation)| place.last_seq.is_none_or(|last| last >= next);
        catalog.iter().find(holds).map(|(first, place)| (*first, place.clone()))
    }

    fn read_files(&mut self, max: usize) -> Result<Vec<JournalItem>, JournalError> {
        let Some((first, place)) = self.place() else {
            // Nothing on disk reaches that far: the tail is next.
            self.skip_to_tail();
            return Ok(Vec::new());
        };
        match &place.raw {
            Some(path) => self.read_raw(first, &place, path, max),
            None => self.read_sealed(first, &place, max),
        }
    }

    fn read_raw(
        &mut self,
        first: u64,
        place: &SegmentLocation,
        path: &Path,
        max: usize,
    ) -> Result<Vec<JournalItem>, JournalError> {
        // Raw segments are read by number, so progress in an earlier sealed hour no longer applies.
        self.position.sealed_cursor = None;
        if !path.exists() {
            // Sealed meanwhile: the catalog says where its readings are now.
            self.raw = None;
            return Ok(Vec::new());
        }
        if self.raw.as_ref().is_none_or(|(f, _)| *f != first) {
            let offsets = lock(&self.journal.shared.offsets).clone();
            self.raw = Some((first, SegmentReader::open(path, &offsets)?));
        }
        let Some((_, reader)) = &mut self.raw else { return Ok(Vec::new()) };
        let (entries, damaged) = reader.read(self.position.low_watermark, max)?;
        self.journal.health().damaged_rows.fetch_add(damaged, Ordering::Relaxed);
        let item = |entry: JournalEntry| JournalItem { position: Position::at(entry.seq), entry: Arc::new(entry) };
        let items: Vec<JournalItem> = entries.into_iter().map(item).collect();
        match (items.last(), place.last_seq) {
            (Some(last), _) => self.position = last.position.clone(),
            (None, Some(last)) => {
                self.raw = None;
                self.position = Position::at(last.max(self.position.low_watermark));
            }
            // The open segment has no more: the tail continues from there.
            (None, None) => self.skip_to_tail(),
        }
        Ok(items)
    }

    fn skip_to_tail(&mut self) {
        self.raw = None;
        let tail = lock(&self.journal.shared.tail);
        let first = tail.first_seq();
        self.position = Position::at(first.saturating_sub(1).max(self.position.low_watermark));
    }

    fn read_sealed(
        &mut self,
        first: u64,
        place: &SegmentLocation,
        max: usize,
    ) -> Result<Vec<JournalItem>, JournalError> {
        let sealed_cursor = self.position.sealed_cursor.clone().filter(|w| w.segment == first);
        let low_watermark = self.position.low_watermark;
        if self.names.as_ref().is_none_or(|(f, _)| *f != first) {
            let names = sealed::devices(&self.open(&place.sealed)?, first)?;
            self.names = Some((first, names));
        }
        let names = self.names.as_ref().map(|(_, n)| n.as_slice()).unwrap_or_default();
        let from = sealed_cursor.as_ref().map_or("", |w| w.device.as_str());
        let Some(device) = names.iter().find(|n| n.as_str() >= from).cloned() else {
            self.finish_sealed(place);
            return Ok(Vec::new());
        };
        let acked_seq = sealed_cursor.filter(|w| w.device == device).map_or(0, |w| w.acked_seq).max(low_watermark);
        if self.hour.as_ref().is_none_or(|(f, d, _)| *f != first || *d != device) {
            let hour = DeviceHour::open(&self.open(&place.sealed)?, first, &device, self.is_final())?;
            self.journal.health().damaged_rows.fetch_add(hour.damaged, Ordering::Relaxed);
            self.hour = Some((first, device.clone(), hour.peekable()));
        }
        let Some((_, _, hour)) = &mut self.hour else { return Ok(Vec::new()) };
        let mut items = Vec::new();
        while items.len() < max {
            let Some(entry) = hour.next() else { break };
            if entry.seq > acked_seq {
                let sealed_cursor = Some(SealedCursor { segment: first, device: device.clone(), acked_seq: entry.seq });
                items.push(JournalItem {
                    position: Position { sealed_cursor, ..Position::at(low_watermark) },
                    entry: Arc::new(entry),
                });
            }
        }
        if hour.peek().is_none() {
            // The device is finished: the next one begins, or the segment ends.
            self.hour = None;
            let next = names.iter().find(|n| **n > device).cloned();
            let last = place.last_seq.unwrap_or(first);
            let after = match next {
                Some(device) => Position {
                    sealed_cursor: Some(SealedCursor { segment: first, device, acked_seq: 0 }),
                    ..Position::at(low_watermark)
                },
                None => Position::at(last.max(low_watermark)),
            };
            if let Some(item) = items.last_mut() {
                item.position = after.clone();
            }
            self.position = after;
        } else if let Some(item) = items.last() {
            self.position = item.position.clone();
        }
        Ok(items)
    }

    fn finish_sealed(&mut self, place: &SegmentLocation) {
        let last = place.last_seq.unwrap_or(self.position.low_watermark);
        self.position = Position::at(last.max(self.position.low_watermark));
        (self.hour, self.names) = (None, None);
    }

    /// Moves the position behind a segment that cannot be read.
    fn skip_segment(&mut self) {
        (self.raw, self.hour, self.names) = (None, None, None);
        match self.place() {
            Some((_, SegmentLocation { last_seq: Some(last), .. })) => {
                self.position = Position::at(last.max(self.position.low_watermark));
            }
            _ => self.skip_to_tail(),
        }
    }

    /// Whether data that the disk does not return are skipped, because enough attempts have failed.
    fn is_final(&self) -> bool {
        self.failures >= TRIES
    }

    /// Opens the files of the classes that exist and can be read; one may have been deleted meanwhile.
    fn open(&self, paths: &[PathBuf]) -> Result<Vec<DayFile>, JournalError> {
        let mut files = Vec::new();
        let is_wanted = |path: &&PathBuf| {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            self.class.is_none_or(|class| name.ends_with(class.word())) && path.exists()
        };
        for path in paths.iter().filter(is_wanted) {
            match mirror::open(path) {
                Ok(file) => files.push(file),
                Err(e) if e.is_damage() || (self.is_final() && e.is_unreadable()) => {
                    self.journal.shared.count_damaged(path);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(files)
    }
}
