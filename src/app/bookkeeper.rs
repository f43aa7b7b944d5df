//! The bookkeeper: reads the journal by a cursor of its own, gives committed and dated register readings to the rules, and writes what
//! follows to the ledger. Rows and cursor are one transaction, so a reading is booked once whatever is killed: what was not committed is
//! read again, and the rules give the same from the same readings.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rust_decimal::Decimal;
use tokio_util::sync::CancellationToken;

use crate::app::shared::Shared;
use crate::clock::LogLimit;
use crate::config::registers::RegisterLimitsByPoint;
use crate::energy::register::{Changes, Register};
use crate::energy::settings::EnergySettings;
use crate::energy::span::SpanState;
use crate::journal::Journal;
use crate::journal::cursor::Position;
use crate::journal::fetch::{Cursor, JournalItem};
use crate::ledger::error::LedgerError;
use crate::ledger::{self, Ledger, Series, SeriesChange};
use crate::lock::lock;
use crate::model::counter::RegisterLimits;
use crate::model::metering::RegisterReading;
use crate::model::point::{PointKind, PointMeta, Retention};
use crate::model::stream::{Source, Stream, StreamMap};
use crate::model::time::UnixMillis;

/// How often new readings are taken from the journal; often enough that they are still in memory.
const TICK: Duration = Duration::from_millis(250);
/// Pause after a failure of the disk.
const RETRY: Duration = Duration::from_secs(10);
/// Readings taken at a time, and the most in one go before others may run.
const FETCH: usize = 1_000;
const FETCHES: usize = 50;
/// A change is committed when readings are this much newer, so that all meters of a quarter hour share a transaction.
const GATHER_MS: i64 = 60_000;
/// The cursor is committed at least this often, by the dates of readings.
const COMMIT_MS: i64 = 900_000;
/// Marks that wait at most: in the past, many come at once.
const MARKS_MAX: usize = 20_000;
/// Readings that wait for the journal to commit them, at most: then no more are taken.
const WAITING_MAX: usize = 20_000;
/// No register of anything shows as much, in whatever unit: what does is garbage, and decimals beyond it could overflow.
const VALUE_MAX: Decimal = Decimal::from_parts(2_808_348_672, 232_830_643, 0, false, 0);
/// Streams whose registers are remembered.
const STREAMS_MAX: usize = 4_096;

static LOG: LogLimit = LogLimit::new();

/// Books until `stop`, then once more.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut requests = shared.ledger.requested.lock().await;
    let (mut bookkeeper, mut wait, mut asking) = (None, TICK, Vec::new());
    loop {
        let mut is_last = false;
        tokio::select! {
            () = stop.cancelled() => is_last = true,
            Some(request) = requests.recv() => asking.push(request),
            () = tokio::time::sleep(wait) => {}
        }
        let configuration = shared.configuration();
        let (limits, settings) = (Arc::clone(&configuration.registers), configuration.energy.clone());
        let (journal, state) = (shared.journal.clone(), shared.process.paths.state.clone());
        let (known, must_commit) = (bookkeeper.take(), !asking.is_empty() || is_last);
        let work = tokio::task::spawn_blocking(move || {
            let mut of = match known {
                Some(known) => known,
                None => Bookkeeper::open(journal, &state)?,
            };
            let outcome = of.work(&settings, &limits, must_commit);
            if outcome.as_ref().is_err_and(LedgerError::is_damage) {
                drop(of);
                quarantine(&state.join(ledger::FILE));
                return outcome.map(|_| None);
            }
            Ok(Some((of, outcome)))
        });
        let outcome = match work.await {
            Ok(Ok(Some((of, outcome)))) => {
                shared.ledger.registers.store(of.registers.len() as u64, Ordering::Relaxed);
                shared.ledger.pending.store(of.pending(), Ordering::Relaxed);
                shared.ledger.written_to_ms.store(of.committed_at.0, Ordering::Relaxed);
                bookkeeper = Some(of);
                outcome
            }
            Ok(Ok(None)) => Ok(false),
            Ok(Err(error)) => Err(error),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        if let (Err(error), Some(count)) = (&outcome, outcome.is_err().then(|| LOG.allows("ledger")).flatten()) {
            tracing::error!(%error, count, "the ledger cannot be written: it goes on from where it stopped");
        }
        *lock(&shared.ledger.error) = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        wait = match &outcome {
            Ok(true) => Duration::ZERO,
            Ok(false) => TICK,
            Err(_) => RETRY,
        };
        match outcome {
            // Whoever asked waits until it is all booked.
            Ok(true) if !is_last => {}
            Ok(_) => asking.drain(..).for_each(|answer| _ = answer.send(Ok(()))),
            // The first is told why; the others ask again.
            Err(error) => _ = asking.pop().map(|answer| answer.send(Err(error))),
        }
        if is_last {
            return;
        }
    }
}

/// A damaged ledger is kept for whoever wants to look, and made anew.
fn quarantine(path: &Path) {
    tracing::error!(path = %path.display(), "the ledger is damaged: it is put aside (.damaged) and made anew from the journal");
    crate::journal::files::quarantine(path);
}

/// Register readings of one reading of the journal, until it is committed.
struct Extracted {
    seq: u64,
    position: Position,
    stream: Arc<Stream>,
    samples: Vec<(usize, RegisterReading)>,
}

/// What is known of a register, and what was not written yet.
struct OpenRegister {
    series: Series,
    limits: RegisterLimits,
    register: Register,
    changes: Changes,
    is_changed: bool,
}

/// The state of the bookkeeper; all of it is used by threads that may wait for the disk.
pub struct Bookkeeper {
    ledger: Ledger,
    journal: Journal,
    cursor: Cursor,
    /// States of the file that no reading has asked for yet.
    stored: BTreeMap<i64, Register>,
    registers: Vec<OpenRegister>,
    /// Index in `registers` by device and point.
    index: BTreeMap<(Arc<str>, Arc<str>), usize>,
    /// Of each stream: which of its samples are registers, with their index in `registers`.
    streams: StreamMap<Arc<[(usize, usize)]>>,
    limits: Option<Arc<RegisterLimitsByPoint>>,
    waiting: VecDeque<Extracted>,
    /// Position of the last reading that was taken, booked or not.
    taken: Position,
    /// Whether the date of this boot was known at the last look.
    is_dated: bool,
    /// Fetched and not taken yet, because the first of them has no date yet.
    unread: VecDeque<JournalItem>,
    /// Position of the last reading that was booked.
    booked: Option<Position>,
    /// Dates of the newest reading, of the oldest change that is not written, and of the last commit.
    newest: UnixMillis,
    oldest_change: Option<UnixMillis>,
    committed_at: UnixMillis,
    marks: usize,
    grid_ms: i64,
    /// Day of the last pruning, since 1970 UTC.
    pruned_day: i64,
}

impl Bookkeeper {
    /// Opens the ledger of a state directory. A damaged one is put aside; everything is booked anew from what the journal holds.
    ///
    /// # Errors
    /// A newer version wrote it, or the disk refuses it.
    pub fn open(journal: Journal, state: &Path) -> Result<Self, LedgerError> {
        let path: PathBuf = state.join(ledger::FILE);
        let open = || -> Result<_, LedgerError> {
            let ledger = Ledger::open(&path)?;
            let (cursor, stored) = (ledger.cursor()?, ledger.registers()?);
            Ok((ledger, cursor, stored))
        };
        let (ledger, cursor, stored) = match open() {
            Err(error) if error.is_damage() => {
                tracing::error!(%error, "the ledger cannot be read");
                quarantine(&path);
                open()?
            }
            opened => opened?,
        };
        let from = cursor.as_deref().and_then(Position::from_text).unwrap_or_default();
        let from = if from.low_watermark > journal.newest_seq() {
            tracing::warn!("the ledger knows a longer journal than this one: it books what this one holds");
            Position::default()
        } else {
            from
        };
        let cursor = Cursor::of_class(journal.clone(), from.clone(), Retention::Cumulative);
        Ok(Self {
            ledger,
            journal,
            cursor,
            stored,
            registers: Vec::new(),
            index: BTreeMap::new(),
            streams: StreamMap::new(STREAMS_MAX),
            limits: None,
            waiting: VecDeque::new(),
            taken: from,
            is_dated: false,
            unread: VecDeque::new(),
            booked: None,
            newest: UnixMillis(0),
            oldest_change: None,
            committed_at: UnixMillis(0),
            marks: 0,
            grid_ms: EnergySettings::default().grid_ms(),
            pruned_day: 0,
        })
    }

    /// Takes what is new, books what is committed, writes what is due. Returns whether there is more at once.
    ///
    /// # Errors
    /// The ledger cannot be written; nothing is lost, the next call goes on.
    pub fn work(
        &mut self,
        settings: &EnergySettings,
        limits: &Arc<RegisterLimitsByPoint>,
        must_commit: bool,
    ) -> Result<bool, LedgerError> {
        self.set_limits(limits);
        self.grid_ms = settings.grid_ms();
        let mut has_more = true;
        for _ in 0..FETCHES {
            has_more = self.fetch();
            self.book()?;
            if !has_more || self.marks > MARKS_MAX {
                break;
            }
        }
        // A date that was corrected backwards is as good a reason as one that went on.
        let is_due = |since: UnixMillis, after_ms: i64| self.newest.0.abs_diff(since.0) >= after_ms.unsigned_abs();
        let is_change_due = self.oldest_change.is_some_and(|since| is_due(since, GATHER_MS));
        // In the past changes are gathered; the cursor alone is written at the end of it.
        let is_time = !has_more && (is_change_due || is_due(self.committed_at, COMMIT_MS));
        if must_commit || is_time || self.marks > MARKS_MAX {
            self.commit()?;
            self.prune(settings.keep_years)?;
        }
        Ok(has_more)
    }

    /// Once a day, what is older than the ledger keeps.
    fn prune(&mut self, keep_years: u32) -> Result<(), LedgerError> {
        let day = self.committed_at.0.div_euclid(86_400_000);
        if day > 0 && self.pruned_day != day {
            self.ledger.prune(keep_years * 366)?;
            self.pruned_day = day;
        }
        Ok(())
    }

    /// Other ratings after a reload apply from the next reading on.
    fn set_limits(&mut self, limits: &Arc<RegisterLimitsByPoint>) {
        if self.limits.as_ref().is_some_and(|known| Arc::ptr_eq(known, limits)) {
            return;
        }
        for open in &mut self.registers {
            open.limits = limits_of(limits, &open.series);
        }
        self.limits = Some(Arc::clone(limits));
    }

    /// Takes the next readings from the journal; returns whether there are more at once.
    fn fetch(&mut self) -> bool {
        if self.journal.is_dated() && !std::mem::replace(&mut self.is_dated, true) && !self.unread.is_empty() {
            // What an earlier run of this boot recorded has its date now, if it is read again.
            self.unread.clear();
            self.cursor = Cursor::of_class(self.journal.clone(), self.taken.clone(), Retention::Cumulative);
        }
        if self.waiting.len() > WAITING_MAX {
            return false;
        }
        let (mut is_full, begins) = (false, self.waiting.len());
        if self.unread.is_empty() {
            self.unread.extend(self.cursor.fetch(FETCH));
            is_full = self.unread.len() == FETCH;
        }
        let is_empty = self.unread.is_empty();
        while let Some(item) = self.unread.pop_front() {
            if let Err(undated) = self.take(item, begins) {
                self.unread.push_front(undated);
                return false;
            }
        }
        // A sealed hour is given device by device: the end of one is no end.
        is_full || (!is_empty && self.cursor.fetch_tail(0).is_none())
    }

    /// Extracts the registers of a reading; an error gives it back: it has no date yet. What is waiting from `begins` on may be merged.
    fn take(&mut self, item: JournalItem, begins: usize) -> Result<(), JournalItem> {
        let stream = Arc::clone(&item.entry.reading.stream);
        let is_wanted = has_registers(&stream);
        let date = self.journal.date_of(&item.entry);
        let samples = match date {
            _ if !is_wanted => Vec::new(),
            Some(date) => extract(&item, date),
            // The date of this boot may still come; a boot that ended without one has none.
            None if !self.journal.is_dated() => return Err(item),
            None => Vec::new(),
        };
        self.taken = item.position.clone();
        let extracted = Extracted { seq: item.entry.seq, position: item.position, stream, samples };
        let is_new = self.waiting.len() > begins;
        match self.waiting.back_mut() {
            Some(last) if is_new && last.samples.is_empty() && extracted.samples.is_empty() => *last = extracted,
            _ => self.waiting.push_back(extracted),
        }
        Ok(())
    }

    /// Gives the readings that are on disk to the rules.
    fn book(&mut self) -> Result<(), LedgerError> {
        let committed = self.journal.committed_seq();
        while self.waiting.front().is_some_and(|next| next.seq <= committed) {
            // Looked up first: if the disk refuses that, the reading stays where it is.
            let stream =
                self.waiting.front().filter(|next| !next.samples.is_empty()).map(|next| Arc::clone(&next.stream));
            let registers = stream.map(|stream| self.registers_of(&stream)).transpose()?;
            let Some(next) = self.waiting.pop_front() else { break };
            if let Some(registers) = registers {
                let grid_ms = self.grid_ms;
                for (point, reading) in &next.samples {
                    let Some((_, at)) = registers.iter().find(|(index, _)| index == point) else { continue };
                    let open = &mut self.registers[*at];
                    let before = open.changes.marks.len();
                    open.register.step(*reading, &open.limits, grid_ms, &mut open.changes);
                    open.is_changed = true;
                    let new_marks = open.changes.marks.len() - before;
                    self.marks += new_marks;
                    self.newest = reading.at;
                    if new_marks > 0 || !open.changes.events.is_empty() {
                        self.oldest_change.get_or_insert(reading.at);
                    }
                }
            }
            self.booked = Some(next.position);
        }
        Ok(())
    }

    /// The registers of a stream by the index of their sample.
    fn registers_of(&mut self, stream: &Arc<Stream>) -> Result<Arc<[(usize, usize)]>, LedgerError> {
        if let Some(known) = self.streams.get(stream) {
            return Ok(Arc::clone(known));
        }
        let mut out = Vec::new();
        for (point, meta) in stream.points.iter().enumerate().filter(|(_, meta)| is_register(meta)) {
            out.push((point, self.register_of(&stream.device, meta)?));
        }
        let out: Arc<[(usize, usize)]> = out.into();
        self.streams.insert(stream, Arc::clone(&out));
        Ok(out)
    }

    /// The index of a register, which is opened if it was not yet; its point is stored as it is now.
    fn register_of(&mut self, device: &Arc<str>, meta: &PointMeta) -> Result<usize, LedgerError> {
        let key = (Arc::clone(device), Arc::clone(&meta.name));
        let known = self.index.get(&key).copied();
        if let Some(at) = known.filter(|at| self.registers[*at].series.meta == *meta) {
            return Ok(at);
        }
        let series = self.ledger.series_of(device, meta)?;
        let limits = self.limits.as_ref().map(|all| limits_of(all, &series)).unwrap_or_default();
        if let Some(at) = known {
            // The same register with another scale or unit.
            (self.registers[at].series, self.registers[at].limits) = (series, limits);
            return Ok(at);
        }
        let register = self.stored.remove(&series.id).unwrap_or_default();
        self.registers.push(OpenRegister { series, limits, register, changes: Changes::default(), is_changed: false });
        self.index.insert(key, self.registers.len() - 1);
        Ok(self.registers.len() - 1)
    }

    /// How many registers are in doubt.
    fn pending(&self) -> u64 {
        let pending = |open: &&OpenRegister| open.register.open_spans().any(|span| span.state == SpanState::Pending);
        self.registers.iter().filter(pending).count() as u64
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        let Some(position) = &self.booked else { return Ok(()) };
        let changed = self.registers.iter().filter(|open| open.is_changed);
        let changes: Vec<SeriesChange<'_>> = changed
            .map(|open| SeriesChange { series: &open.series, register: &open.register, changes: &open.changes })
            .collect();
        self.ledger.commit(&position.to_text(), &changes)?;
        for open in self.registers.iter_mut().filter(|open| open.is_changed) {
            (open.changes, open.is_changed) = (Changes::default(), false);
        }
        (self.committed_at, self.oldest_change, self.marks) = (self.newest, None, 0);
        Ok(())
    }
}

/// Whether a point is a cumulative register.
fn is_register(meta: &PointMeta) -> bool {
    meta.kind == PointKind::Counter && meta.retention == Retention::Cumulative
}

/// Whether a stream has registers of equipment: the gateway's counts of itself are none.
fn has_registers(stream: &Stream) -> bool {
    matches!(stream.source, Source::PollGroup { .. } | Source::Derived) && stream.points.iter().any(is_register)
}

/// The good register readings of a reading, each with its own date.
fn extract(item: &JournalItem, date: UnixMillis) -> Vec<(usize, RegisterReading)> {
    let reading = &item.entry.reading;
    let registers = reading.stream.points.iter().enumerate().filter(|(_, meta)| is_register(meta));
    let of = |(index, _): (usize, &PointMeta)| {
        let value = reading.sample(index)?.ok()?.as_decimal().filter(|value| value.abs() < VALUE_MAX)?;
        let at = UnixMillis(date.0 + i64::from(reading.after_ms(index)));
        Some((index, RegisterReading { at, value }))
    };
    registers.filter_map(of).collect()
}

/// What is known of a register: from the configuration, or from its stream if that lacks it.
fn limits_of(all: &RegisterLimitsByPoint, series: &Series) -> RegisterLimits {
    let known = all.get(&*series.device).and_then(|points| points.get(&*series.meta.name));
    let bound = crate::config::registers::bound(&series.meta.name);
    known.copied().unwrap_or(RegisterLimits {
        modulus: series.meta.modulus,
        max_per_h: bound,
        is_rated: false,
        resolution: series.meta.resolution.unwrap_or(Decimal::new(1, 3)),
    })
}

#[cfg(test)]
#[path = "bookkeeper_tests.rs"]
#[allow(clippy::disallowed_methods, reason = "tests look at the files, and wait for real things")]
mod tests;
