//! Sends one body: bisects it where something is rejected, down to the value at fault, which becomes a dead letter.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::sink::SinkHealth;
use crate::sink::dead_letters::DeadLetter;
use crate::sink::error::SinkError;
use crate::sink::influx::answer::{
    WriteAnswer, WriteVerdict, classify, is_partly_stored, is_series_limit, reason_text,
};
use crate::sink::influx::{BATCH_MIN, InfluxSink, PAUSED_MS, RETRY_AFTER_MAX, line};
use crate::sink::refusals::Admission;

/// Consecutive rejected values after which a probe checks whether the store accepts anything.
const CONSECUTIVE_REJECTIONS_MAX: usize = 20;

/// Consecutive server errors after which a probe checks whether the store accepts anything else.
const SERVER_FAULTS_MAX: u64 = 3;

/// Server errors for a single value before it counts as rejected; the same for errors of a gateway (502 to 504).
const VALUE_FAULTS_MAX: u32 = 3;
const GATEWAY_FAULTS_MAX: u32 = 6;

/// For how long after such a case each server error is checked by a probe, milliseconds.
const SUSPECT_MS: u64 = 60_000;

/// Maximum number of rejected lines that InfluxDB 3 lists in an answer.
const LISTED_MAX: usize = 100;

/// A body being sent, split into the parts that are left.
pub struct BodyTransfer {
    /// Bodies still to be written, the next one last.
    pub remaining: Vec<String>,
    /// Values rejected so far, with the reasons.
    rejected: Vec<(String, String)>,
    /// Values that were not sent because their series is rejected, with the reasons.
    skipped: Vec<(String, String)>,
    /// Consecutive rejected values, at the end of `refused`.
    consecutive_rejections: usize,
    /// Whether a server error counts as a rejection, since the store accepts other data meanwhile.
    is_body_suspect: bool,
    /// Server errors for this body, and for the value it was bisected down to.
    server_errors: u64,
    server_errors_of_value: u32,
    /// Whether the body is backfill. Its values stay in the journal and can be written again by `resend`.
    is_backfill: bool,
}

impl BodyTransfer {
    pub fn new(body: String) -> Self {
        Self {
            remaining: vec![body],
            rejected: Vec::new(),
            skipped: Vec::new(),
            consecutive_rejections: 0,
            is_body_suspect: false,
            server_errors: 0,
            server_errors_of_value: 0,
            is_backfill: false,
        }
    }

    pub fn backfill(body: String) -> Self {
        Self { is_backfill: true, ..Self::new(body) }
    }

    /// Counts a server error for a single value; returns whether the value is now taken for the cause. The store accepts other data between
    /// these errors. A gateway (502 to 504) gets more attempts: it may send one request to a store that runs and the next to one that
    /// does not.
    fn record_server_error(&mut self, status: u16) -> bool {
        self.server_errors_of_value += 1;
        let is_blamed = self.server_errors_of_value
            >= if matches!(status, 502..=504) { GATEWAY_FAULTS_MAX } else { VALUE_FAULTS_MAX };
        if is_blamed {
            self.server_errors_of_value = 0;
        }
        is_blamed
    }

    /// Records that the store rejected this for good.
    fn reject(&mut self, body: String, reason: String) {
        self.rejected.push((body, reason));
        self.consecutive_rejections += 1;
    }
}

/// Whether an answer is a server error that says nothing about the body.
fn is_server_error(answer: &WriteAnswer) -> bool {
    answer.status >= 500 && classify(answer) == WriteVerdict::Retry
}

/// The outcome of sending a body.
pub enum SendOutcome {
    /// Every value is stored or rejected for good.
    Done,
    /// The rest has to be sent again later.
    Retry(BodyTransfer),
    /// Some value of a live body is rejected; which one is found later, so that live writing goes on.
    Rejected(BodyTransfer),
}

impl InfluxSink {
    /// Sends a body until every value is stored or rejected. Values of series that count as rejected are left out.
    ///
    /// A body that is not `live` is interrupted when live values are due, since they go first.
    pub(super) async fn send(&mut self, mut sending: BodyTransfer, live: bool) -> SendOutcome {
        while let Some(body) = sending.remaining.pop() {
            let body = self.remove_rejected_series(body, &mut sending);
            if body.is_empty() {
                continue;
            }
            if !live && self.now_ms() >= self.flush_at_ms {
                sending.remaining.push(body);
                return SendOutcome::Retry(sending);
            }
            if sending.consecutive_rejections >= CONSECUTIVE_REJECTIONS_MAX {
                sending.remaining.push(body);
                if self.accepts_anything(&mut sending).await {
                    continue;
                }
                return SendOutcome::Retry(sending);
            }
            let began = self.context.clock.mono_us();
            let answer = self.client.write(&body).await;
            if answer.is_ok() {
                self.context.health.write_timings.observe_us(self.context.clock.real_us_since(began));
            }
            let verdict = self.classify_answer(&answer, &mut sending).await;
            if answer.as_ref().is_ok_and(|a| is_partly_stored(a, line::lines(&body).count())) {
                self.partial_write_ms = self.now_ms();
            }
            if live
                && matches!(verdict, WriteVerdict::Rejected | WriteVerdict::PartiallyStored(_))
                && line::split_body(&body).is_some()
            {
                sending.remaining.push(body);
                return SendOutcome::Rejected(sending);
            }
            match (verdict, answer) {
                (WriteVerdict::Stored, _) => {
                    (sending.consecutive_rejections, sending.server_errors_of_value) = (0, 0);
                    self.record_stored(line::values(&body));
                    self.record_accepted(&body, sending.is_backfill);
                }
                (WriteVerdict::TooOld(n), _) => {
                    // The store counts lines; our counters are of values.
                    let (values, lines) = (line::values(&body), line::lines(&body).count().max(1));
                    let old = values * usize::try_from(n).unwrap_or(lines).min(lines) / lines;
                    self.context.health.too_old.fetch_add(old as u64, Ordering::Relaxed);
                    self.record_stored(values - old);
                }
                (WriteVerdict::PartiallyStored(list), Ok(answer)) => {
                    self.handle_partial_write(&mut sending, &body, &list, &answer);
                }
                (WriteVerdict::Rejected, Ok(answer)) => {
                    if !self.handle_rejection(&mut sending, body, &answer).await {
                        self.record_failure(false, Ok(answer));
                        return SendOutcome::Retry(sending);
                    }
                }
                (WriteVerdict::TooLarge, Ok(answer)) => match line::split_body(&body) {
                    Some((first, second)) => {
                        self.batch = (line::values(&body) / 2).clamp(BATCH_MIN, self.batch.max(BATCH_MIN));
                        sending.remaining.extend([second, first]);
                    }
                    None => sending.reject(body, reason_text(&answer)),
                },
                (verdict, answer) => {
                    sending.remaining.push(body);
                    self.record_failure(verdict == WriteVerdict::Paused, answer);
                    return SendOutcome::Retry(sending);
                }
            }
        }
        self.end(sending).await
    }

    /// Completes a body: records the series of its rejected values and writes the values to the dead letters.
    async fn end(&mut self, mut sending: BodyTransfer) -> SendOutcome {
        if sending.consecutive_rejections > 0 && !self.accepts_anything(&mut sending).await {
            return SendOutcome::Retry(sending);
        }
        self.record_rejected_series(&sending.rejected, sending.is_backfill);
        if sending.is_backfill {
            self.count_skipped_backfill(&sending.skipped);
        } else {
            sending.rejected.append(&mut sending.skipped);
        }
        self.write_dead_letters(sending.rejected).await;
        SendOutcome::Done
    }

    /// Handles a rejected body: halves it, or rejects a single value for good if it is the cause. `false`: the store accepts nothing now.
    async fn handle_rejection(&mut self, sending: &mut BodyTransfer, body: String, answer: &WriteAnswer) -> bool {
        match line::split_body(&body) {
            Some((first, second)) => sending.remaining.extend([second, first]),
            None if is_server_error(answer) && !sending.record_server_error(answer.status) => {
                sending.remaining.push(body);
                sending.is_body_suspect = self.probe().await.0 == WriteVerdict::Stored;
                return sending.is_body_suspect;
            }
            None => sending.reject(body, reason_text(answer)),
        }
        true
    }

    /// Counts backfill values whose series is rejected. They do not become dead letters, since the journal has them.
    fn count_skipped_backfill(&mut self, skipped: &[(String, String)]) {
        let Some((what, said)) = skipped.last() else { return };
        let values: usize = skipped.iter().map(|(what, _)| line::values(what)).sum();
        self.context.health.dead_lettered.fetch_add(values as u64, Ordering::Relaxed);
        let words = format!("{}: {said} (of the past: `plantroom resend` writes it again)", what.trim_end());
        SinkHealth::set_text(&self.context.health.last_dead_letter, words);
    }

    /// Removes the values of series that count as rejected from a body and adds them to `sending.left_out`.
    fn remove_rejected_series(&mut self, body: String, sending: &mut BodyTransfer) -> String {
        let refusals = if sending.is_backfill { &mut self.backfill_refusals } else { &mut self.live_refusals };
        if refusals.is_empty() {
            return body;
        }
        let now = self.context.clock.mono_us();
        let said =
            |key: &str| if let Admission::Reject(said) = refusals.admission(key, now) { Some(said) } else { None };
        let (rest, refused) = line::split_rejected(&body, said);
        sending.skipped.extend(refused);
        rest
    }

    /// The verdict on an answer. After the third consecutive server error a probe decides: a store that accepts what it accepted before
    /// fails because of this body.
    async fn classify_answer(
        &mut self,
        answer: &Result<WriteAnswer, SinkError>,
        sending: &mut BodyTransfer,
    ) -> WriteVerdict {
        let Ok(answer) = answer else { return WriteVerdict::Retry };
        let verdict = classify(answer);
        if verdict != WriteVerdict::Retry || answer.status < 500 {
            return verdict;
        }
        let is_known = self.now_ms() < self.suspect_until_ms;
        sending.server_errors += 1;
        // Live values are read again from the same position, so `failures` counts errors of the same values. A backfill body is kept while
        // live ones are stored in between, so it has a count of its own.
        let is_third = self.failures + 1 >= SERVER_FAULTS_MAX || sending.server_errors >= SERVER_FAULTS_MAX;
        if !sending.is_body_suspect && (is_known || is_third) {
            sending.is_body_suspect = self.probe().await.0 == WriteVerdict::Stored;
            if sending.is_body_suspect {
                self.suspect_until_ms = self.now_ms() + SUSPECT_MS;
            }
        }
        if sending.is_body_suspect { WriteVerdict::Rejected } else { WriteVerdict::Retry }
    }

    /// Values were stored, so their series no longer count as rejected.
    fn record_accepted(&mut self, body: &str, is_past: bool) {
        self.known_good = line::lines(body).next().map(|l| format!("{l}\n"));
        let refusals = if is_past { &mut self.backfill_refusals } else { &mut self.live_refusals };
        if refusals.is_empty() {
            return;
        }
        for (head, fields) in line::lines(body).filter_map(line::series_and_fields) {
            refusals.record_accepted(&head);
            for field in fields {
                refusals.record_accepted(&format!("{head} {field}"));
            }
        }
        self.publish_rejected_series();
    }

    /// Publishes the rejected series of live values, or if there are none, those of backfill.
    fn publish_rejected_series(&self) {
        let now = self.live_refusals.list();
        self.context.health.set_rejected(if now.0 > 0 { now } else { self.backfill_refusals.list() });
    }

    /// Writes a line that the store accepted before, or else a line that any working store accepts.
    async fn probe(&mut self) -> (WriteVerdict, Result<WriteAnswer, SinkError>) {
        let any = self.encoder.probe(self.context.clock.wall().0);
        let mut last = (WriteVerdict::Retry, Err(SinkError::NoAnswer(String::new())));
        for body in self.known_good.clone().into_iter().chain([any]) {
            let answer = self.client.write(&body).await;
            last = (answer.as_ref().map_or(WriteVerdict::Retry, classify), answer);
            if last.0 == WriteVerdict::Stored {
                break;
            }
        }
        last
    }

    /// Everything is stored except these lines, each of which is bisected.
    fn handle_partial_write(
        &mut self,
        sending: &mut BodyTransfer,
        body: &str,
        list: &[(usize, String)],
        answer: &WriteAnswer,
    ) {
        let lines: Vec<&str> = line::lines(body).collect();
        let listed = |i: usize| list.iter().find(|(n, _)| *n == i + 1);
        let good: String =
            lines.iter().enumerate().filter(|(i, _)| listed(*i).is_none()).map(|(_, l)| format!("{l}\n")).collect();
        for (i, text) in lines.iter().enumerate() {
            let Some((_, said)) = listed(i) else { continue };
            let text = format!("{text}\n");
            match line::split_body(&text) {
                Some((first, second)) => sending.remaining.extend([second, first]),
                None => sending.reject(text, said.clone()),
            }
        }
        if good.len() == body.len() {
            // It lists no line that we sent.
            match line::split_body(body) {
                Some((first, second)) => sending.remaining.extend([second, first]),
                None => sending.reject(body.to_string(), reason_text(answer)),
            }
        } else if list.len() >= LISTED_MAX || list.len() > lines.len() {
            // The list may be truncated, so the other lines are written again until the store reports no error for them.
            sending.remaining.push(good);
        } else {
            self.record_stored(line::values(&good));
        }
    }

    /// Checks whether the store rejects only these values or everything. If it accepts nothing (a limit of series or space), the values
    /// rejected last are not at fault and are sent again later.
    async fn accepts_anything(&mut self, sending: &mut BodyTransfer) -> bool {
        let in_a_row = std::mem::take(&mut sending.consecutive_rejections);
        // A store that accepts no new series may not have the series of the probe.
        let last = &sending.rejected[sending.rejected.len().saturating_sub(in_a_row)..];
        let is_recent = self.partial_write_ms > 0 && self.now_ms() - self.partial_write_ms < SUSPECT_MS;
        if is_recent && last.iter().all(|(_, said)| is_series_limit(said)) {
            return true;
        }
        let (verdict, answer) = self.probe().await;
        if verdict == WriteVerdict::Stored {
            return true;
        }
        let not_at_fault = sending.rejected.split_off(sending.rejected.len().saturating_sub(in_a_row));
        sending.remaining.extend(not_at_fault.into_iter().rev().map(|(body, _)| body));
        self.record_failure(verdict != WriteVerdict::Retry, answer);
        false
    }

    /// Records the series of rejected values; the store accepts other data.
    fn record_rejected_series(&mut self, refused: &[(String, String)], is_past: bool) {
        if refused.is_empty() {
            return;
        }
        let now = self.context.clock.mono_us();
        for (value, said) in refused {
            let Some((series, field)) = line::series_keys(value) else { continue };
            let is_limit = is_series_limit(said);
            let refusals = if is_past { &mut self.backfill_refusals } else { &mut self.live_refusals };
            refusals.record_rejected(if is_limit { &series } else { &field }, said, (false, is_limit), now);
        }
        self.publish_rejected_series();
    }

    fn record_stored(&mut self, values: usize) {
        let health = &self.context.health;
        health.delivered.fetch_add(values as u64, Ordering::Relaxed);
        let was = health.connected.swap(true, Ordering::Relaxed);
        if !was {
            health.connects.fetch_add(1, Ordering::Relaxed);
            health.paused.store(false, Ordering::Relaxed);
            SinkHealth::set_text(&health.error, "");
            let failures = std::mem::take(&mut self.failures);
            tracing::info!(sink = self.settings.name, url = self.settings.url, failures, "store takes what is written");
        }
        self.failures = 0;
        self.pauses.reset();
    }

    /// No answer, or a temporary error: sets the back-off. `is_paused`: only a person can remedy the error.
    fn record_failure(&mut self, is_paused: bool, answer: Result<WriteAnswer, SinkError>) {
        let (retry_after, is_unanswered) = (answer.as_ref().ok().and_then(|a| a.retry_after), answer.is_err());
        let error = answer.map_or_else(|e| e.to_string(), |a| reason_text(&a));
        self.failures += 1;
        self.context.health.failures.fetch_add(1, Ordering::Relaxed);
        let pause = self.pauses.next_pause();
        let pause = if is_paused { Duration::from_millis(PAUSED_MS) } else { pause };
        let asked = retry_after.map_or(0, |d| u64::try_from(d.min(RETRY_AFTER_MAX).as_millis()).unwrap_or(0));
        let now = self.now_ms();
        let pause_ms = u64::try_from(clock::spread(pause).as_millis()).unwrap_or(u64::MAX);
        self.not_before_ms = now + asked.max(pause_ms);
        self.context.health.connected.store(false, Ordering::Relaxed);
        self.context.health.paused.store(is_paused, Ordering::Relaxed);
        self.renew_client = is_paused || is_unanswered;
        SinkHealth::set_text(&self.context.health.error, &error);
        if self.fault_log.is_due(self.failures == 1, self.context.clock.mono_us()) {
            let (sink, url, failures) = (&self.settings.name, &self.settings.url, self.failures);
            if is_paused {
                tracing::error!(sink, url, error, failures, "the store refuses us: somebody has to mend that");
            } else {
                tracing::warn!(sink, url, error, failures, "the store takes nothing now");
            }
        }
    }

    async fn write_dead_letters(&mut self, refused: Vec<(String, String)>) {
        if refused.is_empty() {
            return;
        }
        let at = self.context.clock.wall().rfc3339();
        let record = |(what, said): &(String, String)| DeadLetter {
            at: at.clone(),
            topic: String::new(),
            payload: what.trim_end().to_string(),
            reason: said.clone(),
        };
        let records: Vec<DeadLetter> = refused.iter().map(record).collect();
        let count: usize = records.iter().map(|r| line::values(&r.payload)).sum();
        self.context.health.dead_lettered.fetch_add(count as u64, Ordering::Relaxed);
        self.unlogged_dead_letters += count;
        if let Some(last) = records.last() {
            SinkHealth::set_text(&self.context.health.last_dead_letter, format!("{}: {}", last.payload, last.reason));
            if self.dead_letter_log.is_due(false, self.context.clock.mono_us()) {
                let values = std::mem::take(&mut self.unlogged_dead_letters);
                let (sink, what, said) = (&self.settings.name, &last.payload, &last.reason);
                tracing::error!(sink, values, what, said, "values were set aside: `plantroom set-aside` lists them");
            }
        }
        let (dead_letters, clock) = (self.context.dead_letters.clone(), &self.context.clock);
        let now = clock.is_trusted().then(|| clock.wall());
        // A slow disk must not block the runtime thread.
        let kept = tokio::task::spawn_blocking(move || dead_letters.add(&records, now)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(sink = self.settings.name, %error, "what was set aside cannot be kept");
        }
    }
}
