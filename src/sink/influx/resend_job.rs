//! Writes a requested range of the history to the store again, within the rate limit of backfill, so that the store gets what it lost or
//! missed.

use std::collections::VecDeque;

use crate::journal::cursor::Position;
use crate::journal::fetch::Cursor;
use crate::model::time::UnixMillis;
use crate::sink::influx::send::{BodyTransfer, SendOutcome};
use crate::sink::influx::{BACKFILL_RETRY_MS, InfluxSink, fetch};
use crate::sink::report::Filter;
use crate::sink::resend::ResendRange;

/// A resend in progress.
pub struct ResendJob {
    range: ResendRange,
    /// Segments that hold a part of the range and are not written yet: first and last sequence number.
    pending_segments: VecDeque<(u64, u64)>,
    /// Number of segments at the beginning.
    total_segments: usize,
    reader: Option<Cursor>,
    filter: Filter,
    pending_body: Option<BodyTransfer>,
    values: u64,
    /// Nothing is read before this time, since the files could not be read.
    not_before_ms: u64,
}

impl InfluxSink {
    /// Writes one body of the requested range; `false` if there is no request, or the rate limit allows no more for now.
    pub(super) async fn run_resend(&mut self) -> bool {
        let Some(range) = self.context.resend.range() else { return false };
        let mut job = match self.resend_job.take().filter(|given| given.range == range) {
            Some(given) => given,
            None => {
                let journal = self.context.journal.clone();
                let found =
                    tokio::task::spawn_blocking(move || journal.segments_between(range.from_ms, range.to_ms)).await;
                let todo: VecDeque<(u64, u64)> = found.unwrap_or_default().into();
                let (of, filter) = (todo.len(), Filter::new(self.settings.report.clone()));
                ResendJob {
                    range,
                    pending_segments: todo,
                    total_segments: of,
                    reader: None,
                    filter,
                    pending_body: None,
                    values: 0,
                    not_before_ms: 0,
                }
            }
        };
        let made_progress = self.resend_some(&mut job).await;
        if job.pending_segments.is_empty() && job.pending_body.is_none() {
            tracing::info!(sink = self.settings.name, values = job.values, "a range of the history was written again");
            self.context.resend.finish();
            return true;
        }
        let date = |ms: i64| UnixMillis(ms).rfc3339();
        let (done, of) = (job.total_segments - job.pending_segments.len(), job.total_segments);
        self.context.resend.set_progress(format!(
            "{} to {} is written again: {done} of {of} hours, {} values",
            date(range.from_ms),
            date(range.to_ms),
            job.values
        ));
        self.resend_job = Some(job);
        made_progress
    }

    async fn resend_some(&mut self, job: &mut ResendJob) -> bool {
        if let Some(sending) = job.pending_body.take() {
            return self.send_body(job, sending).await;
        }
        let Some((first, last)) = job.pending_segments.front().copied() else { return true };
        if self.now_ms() < job.not_before_ms {
            return false;
        }
        let Some(allowed) = self.backfill_allowance() else { return false };
        let reader = job
            .reader
            .take()
            .unwrap_or_else(|| Cursor::new(self.context.journal.clone(), Position::at(first.saturating_sub(1))));
        let before = reader.position.clone();
        let Some((reader, items)) = fetch(reader, allowed).await else { return false };
        let mut body = String::new();
        let mut values = 0;
        for item in items.iter().filter(|item| (first..=last).contains(&item.entry.seq)) {
            let Some(at) = self.context.journal.date_of(&item.entry) else { continue };
            if (job.range.from_ms..job.range.to_ms).contains(&at.0) {
                let pick = job.filter.select(&item.entry.reading);
                values += self.encoder.encode(&item.entry.reading, at.0, pick.as_deref(), &mut body);
            }
        }
        self.allowance.spend(values);
        let is_done = reader.position.sealed_cursor.is_none() && reader.position.low_watermark >= last;
        if is_done {
            job.pending_segments.pop_front();
        } else {
            if items.is_empty() && reader.position == before {
                job.not_before_ms = self.now_ms() + BACKFILL_RETRY_MS;
            }
            job.reader = Some(reader);
        }
        job.values += values as u64;
        self.send_body(job, BodyTransfer::backfill(body)).await
    }

    async fn send_body(&mut self, job: &mut ResendJob, sending: BodyTransfer) -> bool {
        match self.send(sending, false).await {
            SendOutcome::Done => true,
            SendOutcome::Retry(left) | SendOutcome::Rejected(left) => {
                job.pending_body = Some(left);
                false
            }
        }
    }
}
