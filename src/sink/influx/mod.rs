//! Sink for time-series stores that take InfluxDB line protocol: live values first, then backfill at a limited rate.
//!
//! One request is in flight at a time. A rejected body is halved until the single value at fault is found; that value becomes a dead letter
//! with the store's message, and everything else is stored. Whatever is in doubt is written again, which is harmless: the same series
//! and time hold the same value.

mod allowance;
pub mod answer;
#[cfg(feature = "influxdb2")]
pub mod by_crate;
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

use crate::journal::cursor::Position;
use crate::journal::fetch::{Cursor, JournalItem};
use crate::model::time::UnixMillis;
use crate::sink::influx::allowance::Allowance;
use crate::sink::influx::line::Encoder;
use crate::sink::influx::progress::Progress;
use crate::sink::influx::resend_job::ResendJob;
use crate::sink::influx::retention_probe::RetentionProbe;
use crate::sink::influx::send::{Sending, Sent};
use crate::sink::influx::settings::InfluxSettings;
use crate::sink::influx::transport::StoreClient;
use crate::sink::refusals::Refusals;
use crate::sink::report::Filter;
use crate::sink::{SinkContext, SinkHealth};

/// Interval between attempts while the store gives an answer that only a person can remedy.
const PAUSED_MS: u64 = 20_000;
/// Longest back-off otherwise, and the longest `Retry-After` that is honoured.
const LATER_MAX_MS: u64 = 30_000;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Delay before sealed files that could not be read are tried again.
const PAST_AGAIN_MS: u64 = 10_000;
/// Lower bound of the batch size, however often bodies are too large.
const BATCH_MIN: usize = 50;
/// How long all values of a series must have been rejected before the series counts as rejected.
const REFUSED_FOR_US: u64 = 10_000_000;
/// Maximum number of rejected live bodies kept in memory; further ones are left to backfill.
const DOUBTED_MAX: usize = 32;
/// Readings fetched from the journal at a time.
const FETCH: usize = 16;
const FETCH_MAX: usize = 500;

/// Runs until `stop` is cancelled, then writes the live values once more, for at most three seconds.
pub async fn run(settings: InfluxSettings, common: SinkContext, stop: CancellationToken) {
    // Taken first, so that a new sink's cursor begins now even if the store cannot be written to yet.
    let position = common.journal.position(&cursor_name(&settings));
    let (mut waited_ms, hour_ms) = (0, 3_600_000);
    let carrier = loop {
        match StoreClient::new(&settings) {
            Ok(carrier) => break carrier,
            Err(error) => {
                // The file of a secret may be created after our start.
                SinkHealth::tell(&common.health.error, &error);
                if waited_ms % hour_ms < PAUSED_MS {
                    tracing::error!(sink = settings.name, error, "the store cannot be written to: tried every 20 s");
                }
                waited_ms += PAUSED_MS;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(PAUSED_MS)) => {}
                }
            }
        }
    };
    let mut sink = InfluxSink::new(settings, common, carrier, position);
    loop {
        let wait = Duration::from_millis(sink.wait_ms());
        tokio::select! {
            () = stop.cancelled() => break,
            () = sink.common.dead_letters.notified() => {}
            () = sink.common.resend.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        // A store that hangs must not delay the shutdown; an interrupted body is written again.
        tokio::select! {
            () = stop.cancelled() => break,
            () = sink.turn(&stop) => {}
        }
    }
    let last = async {
        if sink.failures == 0 && sink.is_dated() {
            (sink.live, sink.past_waits) = (None, None);
            sink.filter.reset();
            sink.live().await;
        }
    };
    let _what_is_left_stays_behind_the_cursor = tokio::time::timeout(Duration::from_secs(3), last).await;
}

/// Checks whether the store accepts writes, by writing that the gateway is online.
///
/// # Errors
/// Why it does not.
pub async fn probe(settings: &InfluxSettings, site: &str, now: UnixMillis) -> Result<String, String> {
    let carrier = StoreClient::new(settings)?;
    let answer = carrier.write(&Encoder::new(site, Arc::default()).probe(now.0)).await?;
    match answer::judge(&answer) {
        answer::WriteVerdict::Stored => Ok("stored".to_string()),
        _ => Err(answer::words(&answer)),
    }
}

struct InfluxSink {
    s: InfluxSettings,
    common: SinkContext,
    carrier: StoreClient,
    cursor: String,
    encoder: Encoder,
    filter: Filter,
    /// Backfill has a filter of its own, since its readings come in another order.
    past_filter: Filter,
    progress: Progress,
    live: Option<Cursor>,
    past: Option<Cursor>,
    /// A backfill body that could not be written yet, and the position reached once it is.
    past_waits: Option<(Sending, Position)>,
    /// Dead letters that are being sent again.
    again: Option<Sending>,
    /// The resend job in progress.
    given: Option<ResendJob>,
    /// Live bodies of which something is rejected, with the range of sequence numbers (after, up to) of each.
    doubted: VecDeque<(Sending, u64, u64)>,
    /// Series that the store rejects, tracked separately for live and backfilled values.
    refusals: Refusals,
    past_refusals: Refusals,
    retention_probe: RetentionProbe,
    /// Until then each server error is checked for being caused by the body.
    blames_until_ms: u64,
    /// When the store last reported a partial write, monotonic milliseconds; 0: never.
    partly_stored_ms: u64,
    /// A line that the store accepted; used as probe.
    known_good: Option<String>,
    batch: usize,
    failures: u64,
    not_before_ms: u64,
    flush_at_ms: u64,
    /// Rate limit of backfill.
    allowance: Allowance,
    /// Backfill reads nothing before this time, since its files could not be read.
    past_at_ms: u64,
    say_again_ms: u64,
    /// When dead letters are next logged, and how many values were added since.
    aside_say_ms: u64,
    aside_unsaid: usize,
    /// The store rejected our credentials or address: secrets are read again before the next attempt.
    renew: bool,
}

impl InfluxSink {
    fn new(s: InfluxSettings, common: SinkContext, carrier: StoreClient, position: Position) -> Self {
        let cursor = cursor_name(&s);
        let progress = Progress::new(position, common.journal.begin_of_tail());
        Self {
            cursor,
            encoder: Encoder::new(&common.site, Arc::clone(&common.places)),
            filter: Filter::new(s.report.clone()),
            past_filter: Filter::new(s.report.clone()),
            live: None,
            past: None,
            past_waits: None,
            again: None,
            given: None,
            doubted: VecDeque::new(),
            refusals: Refusals::new(REFUSED_FOR_US),
            past_refusals: Refusals::new(REFUSED_FOR_US),
            retention_probe: RetentionProbe::default(),
            blames_until_ms: 0,
            partly_stored_ms: 0,
            known_good: None,
            batch: s.batch_points,
            failures: 0,
            not_before_ms: 0,
            flush_at_ms: 0,
            allowance: Allowance::new(common.clock.mono().0),
            past_at_ms: 0,
            say_again_ms: 0,
            aside_say_ms: 0,
            aside_unsaid: 0,
            renew: false,
            progress,
            s,
            common,
            carrier,
        }
    }

    fn now_ms(&self) -> u64 {
        self.common.clock.mono().0
    }

    /// Milliseconds until the next flush, or less if there is backfill to do.
    fn wait_ms(&self) -> u64 {
        let now = self.now_ms();
        let has_past = self.progress.past().is_some() || self.common.resend.range().is_some();
        let busy = has_past && self.failures == 0 && self.is_dated();
        let at = if busy { self.flush_at_ms.min(now + 20) } else { self.flush_at_ms };
        at.max(self.not_before_ms).saturating_sub(now).max(1)
    }

    /// Whether the date is trusted: nothing is written before.
    fn is_dated(&self) -> bool {
        self.common.clock.trusted()
    }

    async fn turn(&mut self, stop: &CancellationToken) {
        if self.now_ms() < self.not_before_ms || !self.is_dated() {
            self.flush_at_ms = self.flush_at_ms.max(self.now_ms() + if self.is_dated() { 0 } else { 1_000 });
            return self.show();
        }
        if std::mem::take(&mut self.renew)
            && let Ok(carrier) = StoreClient::new(&self.s)
        {
            self.carrier = carrier;
        }
        if self.now_ms() >= self.flush_at_ms {
            self.flush_at_ms = self.now_ms() + self.s.flush_ms;
            self.live().await;
        }
        self.send_again().await;
        self.look_at_doubted().await;
        self.probe_retention().await;
        // Backfill gets the time that is left until the next flush.
        let has_time = |s: &Self| (s.not_before_ms..s.flush_at_ms).contains(&s.now_ms()) && !stop.is_cancelled();
        while has_time(self) && self.fill().await {}
        while has_time(self) && self.run_resend().await {}
        self.show();
    }

    /// Writes the readings since the last live write.
    async fn live(&mut self) {
        loop {
            let mut reader = self
                .live
                .take()
                .unwrap_or_else(|| Cursor::new(self.common.journal.clone(), Position::at(self.progress.live())));
            let Some(items) = reader.live(FETCH) else {
                // The journal's memory does not reach back that far: continue with the newest and leave the gap to backfill.
                self.progress.jump(self.common.journal.begin_of_tail());
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
                pending = reader.live(FETCH).unwrap_or_default();
            }
            let Some(upto) = upto else {
                self.live = Some(reader);
                return;
            };
            match self.send(Sending::new(body), true).await {
                Sent::Done => {
                    self.progress.live_done(upto);
                    self.common.journal.ack(&self.cursor, self.progress.kept());
                    self.live = Some(reader);
                }
                Sent::Doubted(sending) => {
                    // Live writing goes on behind this body, which is a gap until the values at fault are found.
                    let after = self.progress.live();
                    self.progress.jump(upto);
                    if self.doubted.len() < DOUBTED_MAX {
                        self.doubted.push_back((sending, after, upto));
                    }
                    self.live = Some(reader);
                }
                // The readings are read again: by then the newest may have left the journal's memory.
                Sent::Again(_) => {
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
    async fn look_at_doubted(&mut self) {
        while self.now_ms() < self.flush_at_ms && self.now_ms() >= self.not_before_ms {
            let Some((sending, after, upto)) = self.doubted.pop_front() else { return };
            match self.send(sending, false).await {
                Sent::Done => {
                    self.progress.gap_done(after, upto);
                    self.common.journal.ack(&self.cursor, self.progress.kept());
                }
                Sent::Again(left) | Sent::Doubted(left) => return self.doubted.push_front((left, after, upto)),
            }
            self.show();
        }
    }

    fn encode(&mut self, item: &JournalItem, is_past: bool, body: &mut String) -> usize {
        let reading = &item.entry.reading;
        let Some(at) = self.common.journal.dated(&item.entry) else {
            // A time-series store cannot take it.
            self.common.health.undated.fetch_add(1, Ordering::Relaxed);
            return 0;
        };
        let filter = if is_past { &mut self.past_filter } else { &mut self.filter };
        let pick = filter.pick(reading);
        let values = self.encoder.encode(reading, at.0, pick.as_deref(), body);
        if values == 0 {
            self.common.health.filtered.fetch_add(1, Ordering::Relaxed);
        }
        values
    }

    /// How many values of backfill may be written now; `None`: none yet.
    fn allowed(&mut self) -> Option<usize> {
        let now_ms = self.now_ms();
        self.allowance.of(now_ms, self.s.backfill_points_per_s, self.batch)
    }

    /// Writes one body of backfill; `false` if there is none, or the rate limit allows no more for now.
    async fn fill(&mut self) -> bool {
        if let Some((sending, reached)) = self.past_waits.take() {
            return self.fill_with(sending, reached).await;
        }
        let Some(begin) = self.progress.past() else {
            self.past = None;
            return false;
        };
        let now = self.now_ms();
        if now < self.past_at_ms {
            return false;
        }
        let Some(allowed) = self.allowed() else { return false };
        let reader = self.past.take().unwrap_or_else(|| Cursor::new(self.common.journal.clone(), begin.clone()));
        let Some((reader, items)) = fetch(reader, allowed).await else { return false };
        let mut body = String::new();
        let mut values = 0;
        for item in &items {
            if self.progress.wants(item.entry.seq) {
                values += self.encode(item, true, &mut body);
            }
        }
        self.allowance.spend(values);
        let reached = reader.position.clone();
        if items.is_empty() && reached == begin {
            // The files cannot be read now.
            self.past_at_ms = now + PAST_AGAIN_MS;
            return false;
        }
        self.past = Some(reader);
        self.fill_with(Sending::past(body), reached).await
    }

    async fn fill_with(&mut self, sending: Sending, reached: Position) -> bool {
        match self.send(sending, false).await {
            Sent::Done => {
                if self.progress.past_done(reached) {
                    self.past = None;
                    self.past_filter.reset();
                }
                self.common.journal.ack(&self.cursor, self.progress.kept());
                true
            }
            Sent::Again(left) | Sent::Doubted(left) => {
                self.past_waits = Some((left, reached));
                false
            }
        }
    }

    /// Writes the dead letters that an operator has asked to send again.
    async fn send_again(&mut self) {
        let records = self.common.dead_letters.take_again();
        if !records.is_empty() {
            // Such a request means that the cause has been remedied.
            self.refusals.forget();
            self.past_refusals.forget();
            let body: String = records.iter().map(|r| format!("{}\n", r.what)).collect();
            self.again.get_or_insert_with(|| Sending::past(String::new())).left.push(body);
        }
        if self.now_ms() >= self.not_before_ms
            && let Some(sending) = self.again.take()
        {
            match self.send(sending, false).await {
                Sent::Done => self.common.dead_letters.sent_again(),
                Sent::Again(left) | Sent::Doubted(left) => self.again = Some(left),
            }
        }
    }

    fn show(&self) {
        let (journal, health) = (&self.common.journal, &self.common.health);
        let kept = self.progress.kept();
        health.missing.store(journal.lag(&kept, self.progress.live()), Ordering::Relaxed);
        health.lag.store(journal.lag(&kept, journal.newest_seq()), Ordering::Relaxed);
        let oldest = Cursor::new(journal.clone(), Position::at(self.progress.live())).live(1);
        let now = self.now_ms();
        let age = match oldest.as_deref() {
            Some([item, ..]) => now.saturating_sub(item.entry.reading.at.mono.0),
            Some([]) => 0,
            None => now.saturating_sub(health.reached_ms.load(Ordering::Relaxed)),
        };
        if oldest.is_some() {
            health.reached_ms.store(now.saturating_sub(age), Ordering::Relaxed);
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
            weight += more.iter().map(|i| i.entry.weight()).sum::<usize>();
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
