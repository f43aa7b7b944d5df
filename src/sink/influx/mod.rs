//! Sink for time-series stores that take InfluxDB line protocol: live values first, then backfill at a limited rate.
//!
//! One request is in flight at a time. A rejected body is halved until the single value at fault is found; that value becomes a dead letter
//! with the store's message, and everything else is stored. Whatever is in doubt is written again, which is harmless: the same series
//! and time hold the same value.

mod allowance;
pub mod answer;
#[cfg(feature = "influxdb2")]
pub mod by_crate;
mod kind;
pub mod line;
pub mod progress;
mod resend_job;
mod retention_probe;
mod send;
pub mod settings;
pub mod transport;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{FaultLog, Pauses};
use crate::http::files::LoadedFiles;
use crate::journal::cursor::Position;
use crate::journal::fetch::{Cursor, JournalItem};
use crate::model::time::UnixMillis;
use crate::sink::error::SinkError;
use crate::sink::influx::allowance::Allowance;
use crate::sink::influx::line::Encoder;
use crate::sink::influx::progress::Progress;
use crate::sink::influx::resend_job::ResendJob;
use crate::sink::influx::retention_probe::RetentionProbe;
use crate::sink::influx::send::{BodyTransfer, SendOutcome};
use crate::sink::influx::settings::InfluxSettings;
use crate::sink::influx::transport::StoreClient;
use crate::sink::kind::SinkKind as _;
use crate::sink::refusals::Refusals;
use crate::sink::report::Filter;
use crate::sink::{SinkContext, SinkHealth};

/// Interval between attempts while the store gives an answer that only a person can remedy.
const PAUSED_MS: u64 = 20_000;
/// Shortest and longest pause otherwise, and the longest `Retry-After` that is honoured.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Delay before sealed files that could not be read are tried again.
const BACKFILL_RETRY_MS: u64 = 10_000;
/// Lower bound of the batch size, however often bodies are too large.
const BATCH_MIN: usize = 50;
/// How long all values of a series must have been rejected before the series counts as rejected.
const REJECTED_FOR_US: u64 = 10_000_000;
/// Maximum number of rejected live bodies kept in memory; further ones are left to backfill.
const REJECTED_LIVE_MAX: usize = 32;
/// Readings fetched from the journal at a time.
const FETCH: usize = 16;
const FETCH_MAX: usize = 500;

/// Runs until `stop` is cancelled, then writes the live values once more, for at most three seconds.
pub async fn run(settings: InfluxSettings, context: SinkContext, stop: CancellationToken) {
    // Taken first, so that a new sink's cursor begins now even if the store cannot be written to yet.
    let position = context.journal.position(&cursor_name(&settings));
    let (mut fault_log, mut begins) = (FaultLog::default(), true);
    let client = loop {
        match StoreClient::new(&settings, &context.files) {
            Ok(client) => break client,
            Err(error) => {
                // The file of a secret may be created after our start.
                SinkHealth::set_text(&context.health.error, error.to_string());
                if fault_log.is_due(std::mem::take(&mut begins), context.clock.mono_us()) {
                    tracing::error!(sink = settings.name, %error, "the store cannot be written to: tried every 20 s");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(PAUSED_MS)) => {}
                }
                context.files.refresh().await;
            }
        }
    };
    let mut sink = InfluxSink::new(settings, context, client, position);
    loop {
        let wait = Duration::from_millis(sink.wait_ms());
        tokio::select! {
            () = stop.cancelled() => break,
            () = sink.context.dead_letters.notified() => {}
            () = sink.context.resend.notified() => {}
            () = sink.context.clock.sleep(wait) => {}
        }
        // A store that hangs must not delay the shutdown; an interrupted body is written again.
        tokio::select! {
            () = stop.cancelled() => break,
            () = sink.run_once(&stop) => {}
        }
    }
    let last = async {
        if sink.failures == 0 && sink.is_dated() {
            (sink.live_reader, sink.pending_backfill) = (None, None);
            sink.filter.reset();
            sink.write_live().await;
        }
    };
    let _what_is_left_stays_behind_the_cursor = tokio::time::timeout(Duration::from_secs(3), last).await;
}

/// Checks whether the store accepts writes, by writing that the gateway is online.
///
/// # Errors
/// Why it does not.
pub async fn probe(settings: &InfluxSettings, site: &str, now: UnixMillis) -> Result<String, SinkError> {
    let files = LoadedFiles::load(settings.files()).await;
    let client = StoreClient::new(settings, &files)?;
    let answer = client.write(&Encoder::new(site, Arc::default()).probe(now.0)).await?;
    match answer::classify(&answer) {
        answer::WriteVerdict::Stored => Ok("stored".to_string()),
        _ => Err(SinkError::Rejected(answer::reason_text(&answer))),
    }
}

struct InfluxSink {
    settings: InfluxSettings,
    client: StoreClient,
    /// Version of the files from which `client` was built.
    files_version: u64,
    context: SinkContext,
    cursor: String,
    encoder: Encoder,
    filter: Filter,
    /// Backfill has a filter of its own, since its readings come in another order.
    backfill_filter: Filter,
    progress: Progress,
    live_reader: Option<Cursor>,
    backfill_reader: Option<Cursor>,
    /// A backfill body that could not be written yet, and the position reached once it is.
    pending_backfill: Option<(BodyTransfer, Position)>,
    /// Dead letters that are being sent again.
    dead_letter_resend: Option<BodyTransfer>,
    /// The resend job in progress.
    resend_job: Option<ResendJob>,
    /// Live bodies of which something is rejected, with the range of sequence numbers (after, up to) of each.
    rejected_live: VecDeque<(BodyTransfer, u64, u64)>,
    /// Series that the store rejects, tracked separately for live and backfilled values.
    live_refusals: Refusals,
    backfill_refusals: Refusals,
    retention_probe: RetentionProbe,
    /// Until then each server error is checked for being caused by the body.
    suspect_until_ms: u64,
    /// When the store last reported a partial write, monotonic milliseconds; 0: never.
    partial_write_ms: u64,
    /// A line that the store accepted; used as probe.
    known_good: Option<String>,
    batch: usize,
    failures: u64,
    pauses: Pauses,
    not_before_ms: u64,
    flush_at_ms: u64,
    /// Rate limit of backfill.
    allowance: Allowance,
    /// Backfill reads nothing before this time, since its files could not be read.
    backfill_not_before_ms: u64,
    fault_log: FaultLog,
    /// When dead letters are next logged, and how many values were added since.
    dead_letter_log: FaultLog,
    unlogged_dead_letters: usize,
    /// The store rejected our credentials or address: secrets are read again before the next attempt.
    renew_client: bool,
}

impl InfluxSink {
    fn new(settings: InfluxSettings, context: SinkContext, client: StoreClient, position: Position) -> Self {
        let cursor = cursor_name(&settings);
        let progress = Progress::new(position, context.journal.tail_start());
        Self {
            cursor,
            files_version: context.files.version(),
            encoder: Encoder::new(&context.site, Arc::clone(&context.device_tags)),
            filter: Filter::new(settings.report.clone()),
            backfill_filter: Filter::new(settings.report.clone()),
            live_reader: None,
            backfill_reader: None,
            pending_backfill: None,
            dead_letter_resend: None,
            resend_job: None,
            rejected_live: VecDeque::new(),
            live_refusals: Refusals::new(REJECTED_FOR_US),
            backfill_refusals: Refusals::new(REJECTED_FOR_US),
            retention_probe: RetentionProbe::default(),
            suspect_until_ms: 0,
            partial_write_ms: 0,
            known_good: None,
            batch: settings.batch_points,
            failures: 0,
            pauses: Pauses::new(PAUSE_MIN, PAUSE_MAX),
            not_before_ms: 0,
            flush_at_ms: 0,
            allowance: Allowance::new(context.clock.mono().0),
            backfill_not_before_ms: 0,
            fault_log: FaultLog::default(),
            dead_letter_log: FaultLog::default(),
            unlogged_dead_letters: 0,
            renew_client: false,
            progress,
            settings,
            context,
            client,
        }
    }

    fn now_ms(&self) -> u64 {
        self.context.clock.mono().0
    }

    /// Milliseconds until the next flush, or less if there is backfill to do.
    fn wait_ms(&self) -> u64 {
        let now = self.now_ms();
        let has_past = self.progress.backfill_position().is_some() || self.context.resend.range().is_some();
        let busy = has_past && self.failures == 0 && self.is_dated();
        let at = if busy { self.flush_at_ms.min(now + 20) } else { self.flush_at_ms };
        at.max(self.not_before_ms).saturating_sub(now).max(1)
    }

    /// Whether the date is trusted: nothing is written before.
    fn is_dated(&self) -> bool {
        self.context.clock.is_trusted()
    }

    async fn run_once(&mut self, stop: &CancellationToken) {
        if self.now_ms() < self.not_before_ms || !self.is_dated() {
            self.flush_at_ms = self.flush_at_ms.max(self.now_ms() + if self.is_dated() { 0 } else { 1_000 });
            return self.publish_health();
        }
        if std::mem::take(&mut self.renew_client) {
            self.context.files.refresh().await;
            let version = self.context.files.version();
            // A store that refused us gets a connection of its own too.
            let is_paused = self.context.health.paused.load(Ordering::Relaxed);
            if (is_paused || version != self.files_version)
                && let Ok(client) = StoreClient::new(&self.settings, &self.context.files)
            {
                (self.client, self.files_version) = (client, version);
            }
        }
        if self.now_ms() >= self.flush_at_ms {
            self.flush_at_ms = self.now_ms() + self.settings.flush_ms;
            self.write_live().await;
        }
        self.resend_dead_letters().await;
        self.bisect_rejected_live().await;
        self.probe_retention().await;
        // Backfill gets the time that is left until the next flush.
        let has_time = |s: &Self| (s.not_before_ms..s.flush_at_ms).contains(&s.now_ms()) && !stop.is_cancelled();
        while has_time(self) && self.backfill().await {}
        while has_time(self) && self.run_resend().await {}
        self.publish_health();
    }

    /// Writes the readings since the last live write.
    async fn write_live(&mut self) {
        loop {
            let mut reader = self
                .live_reader
                .take()
                .unwrap_or_else(|| Cursor::new(self.context.journal.clone(), Position::at(self.progress.live())));
            let Some(items) = reader.fetch_tail(FETCH) else {
                // The journal's memory does not reach back that far: continue with the newest and leave the gap to backfill.
                self.progress.skip_to(self.context.journal.tail_start());
                continue;
            };
            let (mut body, mut values, mut upto) = (String::new(), 0, None);
            let mut pending = items;
            loop {
                for item in &pending {
                    values += self.encode(item, false, &mut body);
                    upto = Some(item.entry.seq);
                }
                if pending.is_empty() || values >= self.batch {
                    break;
                }
                pending = reader.fetch_tail(FETCH).unwrap_or_default();
            }
            let Some(upto) = upto else {
                self.live_reader = Some(reader);
                return;
            };
            match self.send(BodyTransfer::new(body), true).await {
                SendOutcome::Done => {
                    self.progress.ack_live(upto);
                    self.context.journal.ack(&self.cursor, self.progress.stored_position());
                    self.live_reader = Some(reader);
                }
                SendOutcome::Rejected(sending) => {
                    // Live writing goes on behind this body, which is a gap until the values at fault are found.
                    let after = self.progress.live();
                    self.progress.skip_to(upto);
                    if self.rejected_live.len() < REJECTED_LIVE_MAX {
                        self.rejected_live.push_back((sending, after, upto));
                    }
                    self.live_reader = Some(reader);
                }
                // The readings are read again: by then the newest may have left the journal's memory.
                SendOutcome::Retry(_) => {
                    self.filter.reset();
                    return;
                }
            }
            if values < self.batch {
                return;
            }
        }
    }

    /// Bisects the rejected live bodies until the next flush is due.
    async fn bisect_rejected_live(&mut self) {
        while self.now_ms() < self.flush_at_ms && self.now_ms() >= self.not_before_ms {
            let Some((sending, after, upto)) = self.rejected_live.pop_front() else { return };
            match self.send(sending, false).await {
                SendOutcome::Done => {
                    self.progress.ack_gap(after, upto);
                    self.context.journal.ack(&self.cursor, self.progress.stored_position());
                }
                SendOutcome::Retry(left) | SendOutcome::Rejected(left) => {
                    return self.rejected_live.push_front((left, after, upto));
                }
            }
            self.publish_health();
        }
    }

    fn encode(&mut self, item: &JournalItem, is_backfill: bool, body: &mut String) -> usize {
        let reading = &item.entry.reading;
        let Some(at) = self.context.journal.date_of(&item.entry) else {
            // A time-series store cannot take it.
            self.context.health.undated.fetch_add(1, Ordering::Relaxed);
            return 0;
        };
        let filter = if is_backfill { &mut self.backfill_filter } else { &mut self.filter };
        let pick = filter.select(reading);
        let values = self.encoder.encode(reading, at.0, pick.as_deref(), body);
        if values == 0 {
            self.context.health.filtered.fetch_add(1, Ordering::Relaxed);
        }
        values
    }

    /// How many values of backfill may be written now; `None`: none yet.
    fn backfill_allowance(&mut self) -> Option<usize> {
        let now_ms = self.now_ms();
        self.allowance.available(now_ms, self.settings.backfill_points_per_s, self.batch)
    }

    /// Writes one body of backfill; `false` if there is none, or the rate limit allows no more for now.
    async fn backfill(&mut self) -> bool {
        if let Some((sending, reached)) = self.pending_backfill.take() {
            return self.send_backfill(sending, reached).await;
        }
        let Some(begin) = self.progress.backfill_position() else {
            self.backfill_reader = None;
            return false;
        };
        let now = self.now_ms();
        if now < self.backfill_not_before_ms {
            return false;
        }
        let Some(allowed) = self.backfill_allowance() else { return false };
        let reader =
            self.backfill_reader.take().unwrap_or_else(|| Cursor::new(self.context.journal.clone(), begin.clone()));
        let Some((reader, items)) = fetch(reader, allowed).await else { return false };
        let mut body = String::new();
        let mut values = 0;
        for item in &items {
            if self.progress.needs_backfill(item.entry.seq) {
                values += self.encode(item, true, &mut body);
            }
        }
        self.allowance.spend(values);
        let reached = reader.position.clone();
        if items.is_empty() && reached == begin {
            // The files cannot be read now.
            self.backfill_not_before_ms = now + BACKFILL_RETRY_MS;
            return false;
        }
        self.backfill_reader = Some(reader);
        self.send_backfill(BodyTransfer::backfill(body), reached).await
    }

    async fn send_backfill(&mut self, sending: BodyTransfer, reached: Position) -> bool {
        match self.send(sending, false).await {
            SendOutcome::Done => {
                if self.progress.ack_backfill(reached) {
                    self.backfill_reader = None;
                    self.backfill_filter.reset();
                }
                self.context.journal.ack(&self.cursor, self.progress.stored_position());
                true
            }
            SendOutcome::Retry(left) | SendOutcome::Rejected(left) => {
                self.pending_backfill = Some((left, reached));
                false
            }
        }
    }

    /// Writes the dead letters that an operator has asked to send again.
    async fn resend_dead_letters(&mut self) {
        let records = self.context.dead_letters.take_resend();
        if !records.is_empty() {
            // Such a request means that the cause has been remedied.
            self.live_refusals.clear_rejected();
            self.backfill_refusals.clear_rejected();
            let body: String = records.iter().map(|r| format!("{}\n", r.payload)).collect();
            self.dead_letter_resend.get_or_insert_with(|| BodyTransfer::backfill(String::new())).remaining.push(body);
        }
        if self.now_ms() >= self.not_before_ms
            && let Some(sending) = self.dead_letter_resend.take()
        {
            match self.send(sending, false).await {
                SendOutcome::Done => self.context.dead_letters.finish_resend(),
                SendOutcome::Retry(left) | SendOutcome::Rejected(left) => self.dead_letter_resend = Some(left),
            }
        }
    }

    fn publish_health(&self) {
        let (journal, health) = (&self.context.journal, &self.context.health);
        let kept = self.progress.stored_position();
        health.backfill_pending.store(journal.lag(&kept, self.progress.live()), Ordering::Relaxed);
        health.lag.store(journal.lag(&kept, journal.newest_seq()), Ordering::Relaxed);
        let oldest = Cursor::new(journal.clone(), Position::at(self.progress.live())).fetch_tail(1);
        let now = self.now_ms();
        let age = match oldest.as_deref() {
            Some([item, ..]) => now.saturating_sub(item.entry.reading.at.mono.0),
            Some([]) => 0,
            None => now.saturating_sub(health.last_caught_up_ms.load(Ordering::Relaxed)),
        };
        if oldest.is_some() {
            health.last_caught_up_ms.store(now.saturating_sub(age), Ordering::Relaxed);
        }
        health.lag_ms.store(age, Ordering::Relaxed);
    }
}

/// Reads the next readings, with at least `values` values if there are as many; files are read on a blocking thread. `None` if that
/// thread panicked.
async fn fetch(mut reader: Cursor, values: usize) -> Option<(Cursor, Vec<JournalItem>)> {
    let read = tokio::task::spawn_blocking(move || {
        let (mut items, mut weight) = (Vec::new(), 0);
        let mut chunk = FETCH;
        while weight < values {
            let more = reader.fetch(chunk);
            if more.is_empty() {
                break;
            }
            weight += more.iter().map(|i| i.entry.sample_count()).sum::<usize>();
            items.extend(more);
            chunk = (values.saturating_sub(weight) * items.len() / weight.max(1)).clamp(1, FETCH_MAX);
        }
        (reader, items)
    });
    read.await.ok()
}

/// Name of the sink's cursor in the journal.
pub fn cursor_name(settings: &InfluxSettings) -> String {
    format!("influx {}", settings.name)
}
