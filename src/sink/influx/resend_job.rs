//! Writes a requested range of the history to the store again, within the rate limit of backfill, so that the store gets what it lost or
//! missed.

use std::collections::VecDeque;

use crate::journal::cursor::Position;
use crate::journal::fetch::Cursor;
use crate::model::time::UnixMillis;
use crate::sink::influx::send::{Sending, Sent};
use crate::sink::influx::{InfluxSink, PAST_AGAIN_MS, fetch};
use crate::sink::report::Filter;
use crate::sink::resend::ResendRange;

/// A resend in progress.
pub struct ResendJob {
    range: ResendRange,
    /// Segments that hold a part of the range and are not written yet: first and last sequence number.
    todo: VecDeque<(u64, u64)>,
    /// Number of segments at the beginning.
    of: usize,
    reader: Option<Cursor>,
    filter: Filter,
    waits: Option<Sending>,
    values: u64,
    /// Nothing is read before this time, since the files could not be read.
    not_before_ms: u64,
}

impl InfluxSink {
    /// Writes one body of the requested range; `false` if there is no request, or the rate limit allows no more for now.
    pub(super) async fn run_resend(&mut self) -> bool {
        let Some(range) = self.common.resend.range() else { return false };
        let mut given = match self.given.take().filter(|given| given.range == range) {
            Some(given) => given,
            None => {
                let journal = self.common.journal.clone();
                let found =
                    tokio::task::spawn_blocking(move || journal.segments_between(range.from_ms, range.to_ms)).await;
                let todo: VecDeque<(u64, u64)> = found.unwrap_or_default().into();
                let (of, filter) = (todo.len(), Filter::new(self.s.report.clone()));
                ResendJob { range, todo, of, reader: None, filter, waits: None, values: 0, not_before_ms: 0 }
            }
        };
        let went_on = self.resend_some(&mut given).await;
        if given.todo.is_empty() && given.waits.is_none() {
            tracing::info!(sink = self.s.name, values = given.values, "a range of the history was written again");
            self.common.resend.done();
            return true;
        }
        let date = |ms: i64| UnixMillis(ms).rfc3339();
        let (done, of) = (given.of - given.todo.len(), given.of);
        self.common.resend.tell(format!(
            "{} to {} is written again: {done} of {of} hours, {} values",
            date(range.from_ms),
            date(range.to_ms),
            given.values
        ));
        self.given = Some(given);
        went_on
    }

    async fn resend_some(&mut self, given: &mut ResendJob) -> bool {
        if let Some(sending) = given.waits.take() {
            return self.give_body(given, sending).await;
        }
        let Some((first, last)) = given.todo.front().copied() else { return true };
        if self.now_ms() < given.not_before_ms {
            return false;
        }
        let Some(allowed) = self.allowed() else { return false };
        let reader = given
            .reader
            .take()
            .unwrap_or_else(|| Cursor::new(self.common.journal.clone(), Position::at(first.saturating_sub(1))));
        let before = reader.position.clone();
        let Some((reader, items)) = fetch(reader, allowed).await else { return false };
        let mut body = String::new();
        let mut values = 0;
        for item in items.iter().filter(|item| (first..=last).contains(&item.entry.seq)) {
            let Some(at) = self.common.journal.dated(&item.entry) else { continue };
            if (given.range.from_ms..given.range.to_ms).contains(&at.0) {
                let pick = given.filter.pick(&item.entry.reading);
                values += self.encoder.encode(&item.entry.reading, at.0, pick.as_deref(), &mut body);
            }
        }
        self.allowance.spend(values);
        let is_done = reader.position.sealed_cursor.is_none() && reader.position.low_watermark >= last;
        if is_done {
            given.todo.pop_front();
        } else {
            if items.is_empty() && reader.position == before {
                given.not_before_ms = self.now_ms() + PAST_AGAIN_MS;
            }
            given.reader = Some(reader);
        }
        given.values += values as u64;
        self.give_body(given, Sending::past(body)).await
    }

    async fn give_body(&mut self, given: &mut ResendJob, sending: Sending) -> bool {
        match self.send(sending, false).await {
            Sent::Done => true,
            Sent::Again(left) | Sent::Doubted(left) => {
                given.waits = Some(left);
                false
            }
        }
    }
}
