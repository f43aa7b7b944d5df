//! Sends one body: bisects it where something is rejected, down to the value at fault, which becomes a dead letter.

use std::sync::atomic::Ordering;

use crate::sink::SinkHealth;
use crate::sink::dead_letters::DeadLetter;
use crate::sink::influx::answer::{WriteAnswer, WriteVerdict, is_partly_stored, is_series_limit, judge, words};
use crate::sink::influx::{BATCH_MIN, InfluxSink, LATER_MAX_MS, PAUSED_MS, RETRY_AFTER_MAX, line};
use crate::sink::refusals::Admits;

/// Consecutive rejected values after which a probe checks whether the store accepts anything.
const REFUSED_MAX: usize = 20;

/// Consecutive server errors after which a probe checks whether the store accepts anything else.
const SERVER_FAULTS_MAX: u64 = 3;

/// Server errors for a single value before it counts as rejected; the same for errors of a gateway (502 to 504).
const VALUE_FAULTS_MAX: u32 = 3;
const GATEWAY_FAULTS_MAX: u32 = 6;

/// For how long after such a case each server error is checked by a probe, milliseconds.
const BLAMES_MS: u64 = 60_000;

/// Maximum number of rejected lines that InfluxDB 3 lists in an answer.
const LISTED_MAX: usize = 100;

/// A body being sent, split into the parts that are left.
pub struct Sending {
    /// Bodies still to be written, the next one last.
    pub left: Vec<String>,
    /// Values rejected so far, with the reasons.
    refused: Vec<(String, String)>,
    /// Values that were not sent because their series is rejected, with the reasons.
    left_out: Vec<(String, String)>,
    /// Consecutive rejected values: the last ones of those above.
    in_a_row: usize,
    /// Whether a server error counts as a rejection, since the store accepts other data meanwhile.
    is_doubted: bool,
    /// Server errors for this body, and for the value it was bisected down to.
    faults: u64,
    faults_of_value: u32,
    /// Whether the body is backfill. Its values stay in the journal and can be written again by `resend`.
    is_past: bool,
}

impl Sending {
    pub fn new(body: String) -> Self {
        Self {
            left: vec![body],
            refused: Vec::new(),
            left_out: Vec::new(),
            in_a_row: 0,
            is_doubted: false,
            faults: 0,
            faults_of_value: 0,
            is_past: false,
        }
    }

    pub fn past(body: String) -> Self {
        Self { is_past: true, ..Self::new(body) }
    }

    /// Counts a server error for a single value; returns whether the value is now taken for the cause. The store accepts other data between
    /// these errors. A gateway (502 to 504) gets more attempts: it may send one request to a store that runs and the next to one that
    /// does not.
    fn is_blamed(&mut self, status: u16) -> bool {
        self.faults_of_value += 1;
        let is_blamed =
            self.faults_of_value >= if matches!(status, 502..=504) { GATEWAY_FAULTS_MAX } else { VALUE_FAULTS_MAX };
        if is_blamed {
            self.faults_of_value = 0;
        }
        is_blamed
    }

    /// Records that the store rejected this for good.
    fn refuse(&mut self, body: String, said: String) {
        self.refused.push((body, said));
        self.in_a_row += 1;
    }
}

/// Whether an answer is a server error that says nothing about the body.
fn is_of_server(answer: &WriteAnswer) -> bool {
    answer.status >= 500 && judge(answer) == WriteVerdict::Later
}

/// The outcome of sending a body.
pub enum Sent {
    /// Every value is stored or rejected for good.
    Done,
    /// The rest has to be sent again later.
    Again(Sending),
    /// Some value of a live body is rejected; which one is found later, so that live writing goes on.
    Doubted(Sending),
}

impl InfluxSink {
    /// Sends a body until every value is stored or rejected. Values of series that count as rejected are left out.
    ///
    /// A body that is not `live` is interrupted when live values are due, since they go first.
    pub(super) async fn send(&mut self, mut sending: Sending, live: bool) -> Sent {
        while let Some(body) = sending.left.pop() {
            let body = self.leave_out(body, &mut sending);
            if body.is_empty() {
                continue;
            }
            if !live && self.now_ms() >= self.flush_at_ms {
                sending.left.push(body);
                return Sent::Again(sending);
            }
            if sending.in_a_row >= REFUSED_MAX {
                sending.left.push(body);
                if self.takes_anything(&mut sending).await {
                    continue;
                }
                return Sent::Again(sending);
            }
            let answer = self.carrier.write(&body).await;
            let verdict = self.judge(&answer, &mut sending).await;
            if answer.as_ref().is_ok_and(|a| is_partly_stored(a, line::lines(&body).count())) {
                self.partly_stored_ms = self.now_ms();
            }
            if live
                && matches!(verdict, WriteVerdict::Refused | WriteVerdict::StoredBut(_))
                && line::halves(&body).is_some()
            {
                sending.left.push(body);
                return Sent::Doubted(sending);
            }
            match (verdict, answer) {
                (WriteVerdict::Stored, _) => {
                    (sending.in_a_row, sending.faults_of_value) = (0, 0);
                    self.stored(line::values(&body));
                    self.taken(&body, sending.is_past);
                }
                (WriteVerdict::TooOld(n), _) => {
                    // The store counts lines; our counters are of values.
                    let (values, lines) = (line::values(&body), line::lines(&body).count().max(1));
                    let old = values * usize::try_from(n).unwrap_or(lines).min(lines) / lines;
                    self.common.health.too_old.fetch_add(old as u64, Ordering::Relaxed);
                    self.stored(values - old);
                }
                (WriteVerdict::StoredBut(list), Ok(answer)) => self.stored_but(&mut sending, &body, &list, &answer),
                (WriteVerdict::Refused, Ok(answer)) => {
                    if !self.is_refused(&mut sending, body, &answer).await {
                        self.failed(false, Ok(answer));
                        return Sent::Again(sending);
                    }
                }
                (WriteVerdict::TooLarge, Ok(answer)) => match line::halves(&body) {
                    Some((first, second)) => {
                        self.batch = (line::values(&body) / 2).clamp(BATCH_MIN, self.batch.max(BATCH_MIN));
                        sending.left.extend([second, first]);
                    }
                    None => sending.refuse(body, words(&answer)),
                },
                (verdict, answer) => {
                    sending.left.push(body);
                    self.failed(verdict == WriteVerdict::Paused, answer);
                    return Sent::Again(sending);
                }
            }
        }
        self.end(sending).await
    }

    /// Completes a body: records the series of its rejected values and writes the values to the dead letters.
    async fn end(&mut self, mut sending: Sending) -> Sent {
        if sending.in_a_row > 0 && !self.takes_anything(&mut sending).await {
            return Sent::Again(sending);
        }
        self.remember(&sending.refused, sending.is_past);
        if sending.is_past {
            self.left_out_of_the_past(&sending.left_out);
        } else {
            sending.refused.append(&mut sending.left_out);
        }
        self.set_aside(sending.refused).await;
        Sent::Done
    }

    /// Handles a rejected body: halves it, or rejects a single value for good if it is the cause. `false`: the store accepts nothing now.
    async fn is_refused(&mut self, sending: &mut Sending, body: String, answer: &WriteAnswer) -> bool {
        match line::halves(&body) {
            Some((first, second)) => sending.left.extend([second, first]),
            None if is_of_server(answer) && !sending.is_blamed(answer.status) => {
                sending.left.push(body);
                sending.is_doubted = self.probe().await.0 == WriteVerdict::Stored;
                return sending.is_doubted;
            }
            None => sending.refuse(body, words(answer)),
        }
        true
    }

    /// Counts backfill values whose series is rejected. They do not become dead letters, since the journal has them.
    fn left_out_of_the_past(&mut self, left_out: &[(String, String)]) {
        let Some((what, said)) = left_out.last() else { return };
        let values: usize = left_out.iter().map(|(what, _)| line::values(what)).sum();
        self.common.health.set_aside.fetch_add(values as u64, Ordering::Relaxed);
        let words = format!("{}: {said} (of the past: `plantroom resend` writes it again)", what.trim_end());
        SinkHealth::tell(&self.common.health.last_set_aside, words);
    }

    /// Removes the values of series that count as rejected from a body; they are collected in `sending`.
    fn leave_out(&mut self, body: String, sending: &mut Sending) -> String {
        let refusals = if sending.is_past { &mut self.past_refusals } else { &mut self.refusals };
        if refusals.is_empty() {
            return body;
        }
        let now = self.common.clock.mono_us();
        let said = |key: &str| if let Admits::No(said) = refusals.admits(key, now) { Some(said) } else { None };
        let (rest, refused) = line::without(&body, said);
        sending.left_out.extend(refused);
        rest
    }

    /// The verdict on an answer. After the third consecutive server error a probe decides: a store that accepts what it accepted before
    /// fails because of this body.
    async fn judge(&mut self, answer: &Result<WriteAnswer, String>, sending: &mut Sending) -> WriteVerdict {
        let Ok(answer) = answer else { return WriteVerdict::Later };
        let verdict = judge(answer);
        if verdict != WriteVerdict::Later || answer.status < 500 {
            return verdict;
        }
        let is_known = self.now_ms() < self.blames_until_ms;
        sending.faults += 1;
        // Live values are read again from the same position, so `failures` counts errors of the same values. A backfill body is kept while
        // live ones are stored in between, so it has a count of its own.
        let is_third = self.failures + 1 >= SERVER_FAULTS_MAX || sending.faults >= SERVER_FAULTS_MAX;
        if !sending.is_doubted && (is_known || is_third) {
            sending.is_doubted = self.probe().await.0 == WriteVerdict::Stored;
            if sending.is_doubted {
                self.blames_until_ms = self.now_ms() + BLAMES_MS;
            }
        }
        if sending.is_doubted { WriteVerdict::Refused } else { WriteVerdict::Later }
    }

    /// Values were stored, so their series no longer count as rejected.
    fn taken(&mut self, body: &str, is_past: bool) {
        self.known_good = line::lines(body).next().map(|l| format!("{l}\n"));
        let refusals = if is_past { &mut self.past_refusals } else { &mut self.refusals };
        if refusals.is_empty() {
            return;
        }
        for (head, fields) in line::lines(body).filter_map(line::keys_of) {
            refusals.taken(&head);
            for field in fields {
                refusals.taken(&format!("{head} {field}"));
            }
        }
        self.show_refusals();
    }

    /// Publishes the rejected series of live values, or if there are none, those of backfill.
    fn show_refusals(&self) {
        let now = self.refusals.list();
        self.common.health.refuses(if now.0 > 0 { now } else { self.past_refusals.list() });
    }

    /// Writes a line that the store accepted before, or else a line that any working store accepts.
    async fn probe(&mut self) -> (WriteVerdict, Result<WriteAnswer, String>) {
        let any = self.encoder.probe(self.common.clock.wall().0);
        let mut last = (WriteVerdict::Later, Err(String::new()));
        for body in self.known_good.clone().into_iter().chain([any]) {
            let answer = self.carrier.write(&body).await;
            last = (answer.as_ref().map_or(WriteVerdict::Later, judge), answer);
            if last.0 == WriteVerdict::Stored {
                break;
            }
        }
        last
    }

    /// Everything is stored except these lines, each of which is bisected.
    fn stored_but(&mut self, sending: &mut Sending, body: &str, list: &[(usize, String)], answer: &WriteAnswer) {
        let lines: Vec<&str> = line::lines(body).collect();
        let listed = |i: usize| list.iter().find(|(n, _)| *n == i + 1);
        let good: String =
            lines.iter().enumerate().filter(|(i, _)| listed(*i).is_none()).map(|(_, l)| format!("{l}\n")).collect();
        for (i, text) in lines.iter().enumerate() {
            let Some((_, said)) = listed(i) else { continue };
            let text = format!("{text}\n");
            match line::halves(&text) {
                Some((first, second)) => sending.left.extend([second, first]),
                None => sending.refuse(text, said.clone()),
            }
        }
        if good.len() == body.len() {
            // It lists no line that we sent.
            match line::halves(body) {
                Some((first, second)) => sending.left.extend([second, first]),
                None => sending.refuse(body.to_string(), words(answer)),
            }
        } else if list.len() >= LISTED_MAX || list.len() > lines.len() {
            // The list may be truncated, so the other lines are written again until the store reports no error for them.
            sending.left.push(good);
        } else {
            self.stored(line::values(&good));
        }
    }

    /// Checks whether the store rejects only these values or everything. If it accepts nothing (a limit of series or space), the values
    /// rejected last are not at fault and are sent again later.
    async fn takes_anything(&mut self, sending: &mut Sending) -> bool {
        let in_a_row = std::mem::take(&mut sending.in_a_row);
        // A store that accepts no new series may not have the series of the probe.
        let last = &sending.refused[sending.refused.len().saturating_sub(in_a_row)..];
        let is_recent = self.partly_stored_ms > 0 && self.now_ms() - self.partly_stored_ms < BLAMES_MS;
        if is_recent && last.iter().all(|(_, said)| is_series_limit(said)) {
            return true;
        }
        let (verdict, answer) = self.probe().await;
        if verdict == WriteVerdict::Stored {
            return true;
        }
        let innocent = sending.refused.split_off(sending.refused.len().saturating_sub(in_a_row));
        sending.left.extend(innocent.into_iter().rev().map(|(body, _)| body));
        self.failed(verdict != WriteVerdict::Later, answer);
        false
    }

    /// Records the series of rejected values; the store accepts other data.
    fn remember(&mut self, refused: &[(String, String)], is_past: bool) {
        if refused.is_empty() {
            return;
        }
        let now = self.common.clock.mono_us();
        for (value, said) in refused {
            let Some((series, field)) = line::keys(value) else { continue };
            let is_limit = is_series_limit(said);
            let refusals = if is_past { &mut self.past_refusals } else { &mut self.refusals };
            refusals.refused(if is_limit { &series } else { &field }, said, (false, is_limit), now);
        }
        self.show_refusals();
    }

    fn stored(&mut self, values: usize) {
        let health = &self.common.health;
        health.delivered.fetch_add(values as u64, Ordering::Relaxed);
        let was = health.connected.swap(true, Ordering::Relaxed);
        if !was {
            health.connects.fetch_add(1, Ordering::Relaxed);
            health.paused.store(false, Ordering::Relaxed);
            SinkHealth::tell(&health.error, "");
            let failures = std::mem::take(&mut self.failures);
            tracing::info!(sink = self.s.name, url = self.s.url, failures, "store takes what is written");
        }
        self.failures = 0;
    }

    /// No answer, or a temporary error: sets the back-off. `is_paused`: only a person can remedy the error.
    fn failed(&mut self, is_paused: bool, answer: Result<WriteAnswer, String>) {
        let retry_after = answer.as_ref().ok().and_then(|a| a.retry_after);
        let error = answer.map_or_else(|e| e, |a| words(&a));
        self.failures += 1;
        let back_off = 1_000u64 << self.failures.min(6).saturating_sub(1);
        let wait_ms = if is_paused { PAUSED_MS } else { back_off.min(LATER_MAX_MS) };
        let asked = retry_after.map_or(0, |d| u64::try_from(d.min(RETRY_AFTER_MAX).as_millis()).unwrap_or(0));
        let now = self.now_ms();
        let jitter = self.common.clock.mono_us() % (wait_ms / 4 + 1);
        self.not_before_ms = now + asked.max(wait_ms * 3 / 4 + jitter);
        self.common.health.connected.store(false, Ordering::Relaxed);
        self.common.health.paused.store(is_paused, Ordering::Relaxed);
        self.renew = is_paused;
        SinkHealth::tell(&self.common.health.error, &error);
        if self.failures == 1 || now >= self.say_again_ms {
            // Logged when it begins, and hourly while it lasts.
            self.say_again_ms = now + 3_600_000;
            let (sink, url, failures) = (&self.s.name, &self.s.url, self.failures);
            if is_paused {
                tracing::error!(sink, url, error, failures, "the store refuses us: somebody has to mend that");
            } else {
                tracing::warn!(sink, url, error, failures, "the store takes nothing now");
            }
        }
    }

    async fn set_aside(&mut self, refused: Vec<(String, String)>) {
        if refused.is_empty() {
            return;
        }
        let at = self.common.clock.wall().rfc3339();
        let record = |(what, said): &(String, String)| DeadLetter {
            at: at.clone(),
            topic: String::new(),
            what: what.trim_end().to_string(),
            said: said.clone(),
        };
        let records: Vec<DeadLetter> = refused.iter().map(record).collect();
        let count: usize = records.iter().map(|r| line::values(&r.what)).sum();
        self.common.health.set_aside.fetch_add(count as u64, Ordering::Relaxed);
        self.aside_unsaid += count;
        if let Some(last) = records.last() {
            SinkHealth::tell(&self.common.health.last_set_aside, format!("{}: {}", last.what, last.said));
            if self.now_ms() >= self.aside_say_ms {
                // Logged when it begins, and hourly while it lasts.
                self.aside_say_ms = self.now_ms() + 3_600_000;
                let values = std::mem::take(&mut self.aside_unsaid);
                let (sink, what, said) = (&self.s.name, &last.what, &last.said);
                tracing::error!(sink, values, what, said, "values were set aside: `plantroom set-aside` lists them");
            }
        }
        let (aside, clock) = (self.common.dead_letters.clone(), &self.common.clock);
        let now = clock.trusted().then(|| clock.wall());
        // A slow disk must not block the runtime thread.
        let kept = tokio::task::spawn_blocking(move || aside.keep(&records, now)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(sink = self.s.name, %error, "what was set aside cannot be kept");
        }
    }
}
