//! Builds a reading for each device from the answers of a cycle.

use std::sync::Arc;

use crate::clock::Clock;
use crate::decode;
use crate::model::quality::Cause;
use crate::model::reading::{Body, Part, Reading, Sample, Stamp};
use crate::model::registers::{RegisterBlock, RegisterRange};
use crate::poll::DeviceMapping;
use crate::poll::cycle::{CycleOutcome, PollGroup};
use crate::poll::request::BlockResponse;

impl PollGroup {
    pub(super) fn readings(
        &self,
        responses: &[BlockResponse],
        failed: &[(RegisterRange, Cause)],
        clock: &Clock,
        outcome: CycleOutcome,
    ) -> Vec<Reading> {
        let cycle_cause = match outcome {
            CycleOutcome::Silent(cause) => Some(cause),
            CycleOutcome::LinkLost(cause) if responses.is_empty() => Some(cause),
            _ => None,
        };
        let first = responses.iter().map(|g| g.at).min_by_key(|at| at.mono);
        let at = self.distinct_stamp(first.unwrap_or_else(|| clock.stamp()));
        let reads: Vec<RegisterBlock> = if self.defs.iter().any(|d| !d.scale_registers.is_empty()) {
            responses.iter().map(|g| g.words.clone()).collect()
        } else {
            Vec::new()
        };
        let reading = |(out, def_indices): (&DeviceMapping, &Vec<Option<usize>>)| {
            let stream = Arc::clone(&out.stream);
            if let Some(cause) = cycle_cause {
                return Reading { stream, at, body: Body::Failed(cause) };
            }
            let mut samples = Vec::with_capacity(def_indices.len());
            let mut parts: Vec<Part> = Vec::new();
            for def_index in def_indices {
                let (sample, received) = self.sample(*def_index, responses, failed, &reads);
                let after = received.map_or(0, |r| r.mono.since(at.mono));
                let after_ms = u32::try_from(after).unwrap_or(u32::MAX);
                match parts.last_mut() {
                    Some(part) if part.after_ms == after_ms => part.len += 1,
                    _ => parts.push(Part { len: 1, after_ms }),
                }
                samples.push(Some(sample));
            }
            if parts.len() == 1 && parts[0].after_ms == 0 {
                parts.clear();
            }
            Reading { stream, at, body: Body::Samples { samples, parts } }
        };
        self.config.device_mappings.iter().zip(&self.selected_points).map(reading).collect()
    }

    fn sample(
        &self,
        def_index: Option<usize>,
        responses: &[BlockResponse],
        failed: &[(RegisterRange, Cause)],
        reads: &[RegisterBlock],
    ) -> (Sample, Option<Stamp>) {
        let Some(def) = def_index.and_then(|i| self.defs.get(i)) else { return (Err(Cause::NotFitted), None) };
        for read in responses {
            if let Some(words) = read.words.slice(&def.span) {
                return (decode::decode_words(def, words, reads), Some(read.at));
            }
        }
        let failure = failed.iter().find(|(span, _)| span.overlaps(&def.span)).map(|(_, cause)| *cause);
        (
            Err(failure.or_else(|| self.plan.left_out_of(&def.span).map(|l| l.cause)).unwrap_or(Cause::NotAvailable)),
            None,
        )
    }
}
