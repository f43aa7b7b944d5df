//! A body on its way: halved where something in it is refused, down to the value that is to blame, which is set aside.

use std::sync::atomic::Ordering;

use crate::sink::SinkHealth;
use crate::sink::dead_letters::DeadLetter;
use crate::sink::influx::answer::{WriteAnswer, WriteVerdict, is_partly_stored, is_series_limit, judge, words};
use crate::sink::influx::{BATCH_MIN, InfluxSink, LATER_MAX_MS, PAUSED_MS, RETRY_AFTER_MAX, line};
use crate::sink::refusals::Admits;

/// Values refused in a row, with nothing stored between them, after which the store is asked whether it takes anything.
const REFUSED_MAX: usize = 20;

/// Failures in a row with a status of the server, after which the store is asked whether it takes anything else.
const SERVER_FAULTS_MAX: u64 = 3;

/// Times that a single value is answered with a fault of the server before it is to blame; a gateway's faults.
const VALUE_FAULTS_MAX: u32 = 3;
const GATEWAY_FAULTS_MAX: u32 = 6;

/// How long after that each fault of the server is asked about.
const BLAMES_MS: u64 = 60_000;

/// Lines that InfluxDB 3 lists at most.
const LISTED_MAX: usize = 100;

/// A body on its way, and what is left of it.
pub struct Sending {
    /// Bodies still to be written, the next one last.
    pub left: Vec<String>,
    /// What was refused so far.
    refused: Vec<(String, String)>,
    /// What was not sent: its series is refused.
    left_out: Vec<(String, String)>,
    /// How many of those in a row, with nothing stored between them.
    in_a_row: usize,
    /// Whether a fault of the server counts as a refusal: the store takes other things meanwhile.
    is_doubted: bool,
    /// Faults of the server at this body, and, once it is down to one value, at that.
    faults: u64,
    faults_of_value: u32,
    /// Whether it is of the past: the journal has it, `resend` writes it again.
    is_past: bool,
}

impl Sending {
    /// A body of which nothing is written yet.
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

    /// The same of the past.
    pub fn past(body: String) -> Self {
        Self { is_past: true, ..Self::new(body) }
    }

    /// Whether a single value is to blame for a fault of the server: each time with other values taken in between. A gateway before the
    /// store (502 to 504) may send one request to a store that runs and the next to one that does not.
    fn is_blamed(&mut self, status: u16) -> bool {
        self.faults_of_value += 1;
        let is_blamed =
            self.faults_of_value >= if matches!(status, 502..=504) { GATEWAY_FAULTS_MAX } else { VALUE_FAULTS_MAX };
        if is_blamed {
            self.faults_of_value = 0;
        }
        is_blamed
    }

    /// The store refuses this for good.
    fn refuse(&mut self, body: String, said: String) {
        self.refused.push((body, said));
        self.in_a_row += 1;
    }
}

/// Whether an answer is a fault of the server that says nothing of the body.
fn is_of_server(answer: &WriteAnswer) -> bool {
    answer.status >= 500 && judge(answer) == WriteVerdict::Later
}

/// What became of a body.
pub enum Sent {
    /// It is stored, or set aside.
    Done,
    /// It has to be tried again later.
    Again(Sending),
    /// Something in it is refused: which, is found beside what is live.
    Doubted(Sending),
}

impl InfluxSink {
    /// Writes a body to its end: halved where something in it is refused. Values of series that are refused already are left out.
    ///
    /// What is not `live` is broken off when live values are due: they go first.
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
                    // The store counts lines, we count values.
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

    /// Everything of a body is stored or refused: what is refused is kept in mind and set aside.
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

    /// A body is refused: it is halved, and a single value is refused for good, if it is to blame. `false`: the store takes nothing now.
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

    /// Values of the past whose series is refused: counted, not kept one by one, since the journal has them.
    fn left_out_of_the_past(&mut self, left_out: &[(String, String)]) {
        let Some((what, said)) = left_out.last() else { return };
        let values: usize = left_out.iter().map(|(what, _)| line::values(what)).sum();
        self.common.health.set_aside.fetch_add(values as u64, Ordering::Relaxed);
        let words = format!("{}: {said} (of the past: `plantroom resend` writes it again)", what.trim_end());
        SinkHealth::tell(&self.common.health.last_set_aside, words);
    }

    /// Without the values of series that the store refuses: those are set aside with its words.
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

    /// What an answer means. The third fault of the server in a row is asked about: a store that takes what it took before has
    /// something against this body.
    async fn judge(&mut self, answer: &Result<WriteAnswer, String>, sending: &mut Sending) -> WriteVerdict {
        let Ok(answer) = answer else { return WriteVerdict::Later };
        let verdict = judge(answer);
        if verdict != WriteVerdict::Later || answer.status < 500 {
            return verdict;
        }
        let is_known = self.now_ms() < self.blames_until_ms;
        sending.faults += 1;
        // What is live is read again from the same place: failures in a row are of the same values. A body of the past is kept, and live
        // ones are stored in between.
        let is_third = self.failures + 1 >= SERVER_FAULTS_MAX || sending.faults >= SERVER_FAULTS_MAX;
        if !sending.is_doubted && (is_known || is_third) {
            sending.is_doubted = self.probe().await.0 == WriteVerdict::Stored;
            if sending.is_doubted {
                self.blames_until_ms = self.now_ms() + BLAMES_MS;
            }
        }
        if sending.is_doubted { WriteVerdict::Refused } else { WriteVerdict::Later }
    }

    /// Values were stored: nothing is wrong with their series any more.
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

    /// What is refused of now; if nothing is, of the past.
    fn show_refusals(&self) {
        let now = self.refusals.list();
        self.common.health.refuses(if now.0 > 0 { now } else { self.past_refusals.list() });
    }

    /// Writes once more what the store took before, or else what any store takes that takes something.
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

    /// Everything is stored but for these lines: in each of them the value is looked for that is to blame.
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
            // It lists nothing that we sent.
            match line::halves(body) {
                Some((first, second)) => sending.left.extend([second, first]),
                None => sending.refuse(body.to_string(), words(answer)),
            }
        } else if list.len() >= LISTED_MAX || list.len() > lines.len() {
            // It lists no more than so many: the others are written once more, until it says that they are stored.
            sending.left.push(good);
        } else {
            self.stored(line::values(&good));
        }
    }

    /// Is it these values that the store refuses, or everything? A limit of series or of space is no fault of a value: then
    /// what was refused is tried again later.
    async fn takes_anything(&mut self, sending: &mut Sending) -> bool {
        let in_a_row = std::mem::take(&mut sending.in_a_row);
        // A store that takes no new series may have none of those that a probe writes.
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

    /// The store takes other things: the series of what it refused are kept in mind.
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

    /// No answer, or one that says that it cannot be now.
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
            // When it begins, and hourly while it lasts.
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
                // When it begins, and hourly while it lasts.
                self.aside_say_ms = self.now_ms() + 3_600_000;
                let values = std::mem::take(&mut self.aside_unsaid);
                let (sink, what, said) = (&self.s.name, &last.what, &last.said);
                tracing::error!(sink, values, what, said, "values were set aside: `plantroom set-aside` lists them");
            }
        }
        let (aside, clock) = (self.common.dead_letters.clone(), &self.common.clock);
        let now = clock.trusted().then(|| clock.wall());
        // A slow disk must not hold up the one thread that waits for everything.
        let kept = tokio::task::spawn_blocking(move || aside.keep(&records, now)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(sink = self.s.name, %error, "what was set aside cannot be kept");
        }
    }
}
