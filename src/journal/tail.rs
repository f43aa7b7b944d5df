//! The tail: the newest readings in memory. Readers see them at once; the writer thread commits them later.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::reading::{Body, Reading};

#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    /// Rises with each append and is never reused; gaps mean nothing.
    pub seq: u64,
    pub reading: Reading,
}

impl JournalEntry {
    /// Number of samples, at least 1, counted against the limits of the tail.
    pub fn sample_count(&self) -> usize {
        match &self.reading.body {
            Body::Failed(_) => 1,
            Body::Samples { samples, .. } => samples.len().max(1),
        }
    }
}

/// Committed samples kept in memory so that live readers need no file.
const KEEP_COMMITTED: usize = 15_000;
/// Uncommitted samples kept while the disk refuses writes. Beyond that the oldest readings are dropped and counted in `lost`.
const KEEP_UNCOMMITTED: usize = 250_000;

#[derive(Debug, Default)]
pub struct Tail {
    entries: VecDeque<Arc<JournalEntry>>,
    pub next_seq: u64,
    /// Every reading up to this number is on disk or was dropped.
    pub committed: u64,
    total_samples: usize,
    uncommitted_samples: usize,
    /// Uncommitted readings that were dropped because the disk refused writes for too long.
    pub lost: u64,
}

impl Tail {
    /// An empty tail whose first reading gets this number.
    pub fn new(next_seq: u64) -> Self {
        Self { next_seq, committed: next_seq.saturating_sub(1), ..Self::default() }
    }

    /// Numbers a reading and adds it; may drop the oldest entries.
    pub fn push(&mut self, reading: Reading) -> Arc<JournalEntry> {
        let entry = Arc::new(JournalEntry { seq: self.next_seq, reading });
        self.next_seq += 1;
        self.total_samples += entry.sample_count();
        self.uncommitted_samples += entry.sample_count();
        self.entries.push_back(Arc::clone(&entry));
        self.trim();
        entry
    }

    fn trim(&mut self) {
        while let Some(first) = self.entries.front() {
            let is_committed = first.seq <= self.committed;
            let (weight, seq) = (first.sample_count(), first.seq);
            let surplus = if is_committed {
                self.total_samples > KEEP_COMMITTED
            } else {
                self.uncommitted_samples > KEEP_UNCOMMITTED
            };
            if !surplus {
                return;
            }
            if !is_committed {
                self.lost += 1;
                self.committed = seq;
                self.uncommitted_samples -= weight;
            }
            self.total_samples -= weight;
            self.entries.pop_front();
        }
    }

    /// The oldest readings that are not on disk yet, at most `max`.
    pub fn uncommitted(&self, max: usize) -> Vec<Arc<JournalEntry>> {
        let start = self.entries.partition_point(|e| e.seq <= self.committed);
        self.entries.iter().skip(start).take(max).map(Arc::clone).collect()
    }

    /// Marks everything up to `seq` as on disk.
    pub fn mark_committed(&mut self, seq: u64) {
        if seq <= self.committed {
            return;
        }
        let start = self.entries.partition_point(|e| e.seq <= self.committed);
        let end = self.entries.partition_point(|e| e.seq <= seq);
        let weight: usize = self.entries.range(start..end).map(|e| e.sample_count()).sum();
        self.uncommitted_samples -= weight.min(self.uncommitted_samples);
        self.committed = seq;
        self.trim();
    }

    /// Readings above `after`, at most `max`. `None` if they begin before the tail, so that files have to be read.
    pub fn after(&self, after: u64, max: usize) -> Option<Vec<Arc<JournalEntry>>> {
        let first = self.first_seq();
        if after.saturating_add(1) < first {
            return None;
        }
        let start = self.entries.partition_point(|e| e.seq <= after);
        Some(self.entries.iter().skip(start).take(max).map(Arc::clone).collect())
    }

    /// The oldest number in memory; `next_seq` if the tail is empty.
    pub fn first_seq(&self) -> u64 {
        self.entries.front().map_or(self.next_seq, |e| e.seq)
    }

    /// All entries in order, committed ones included.
    pub fn all(&self) -> Vec<Arc<JournalEntry>> {
        self.entries.iter().map(Arc::clone).collect()
    }
}
