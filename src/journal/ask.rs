//! Questions of rules about the past: the same queries as `plantroom history`, over a running journal or a stopped gateway's
//! directory.

use std::fmt::Write as _;
use std::sync::Arc;

use ring::digest;

use crate::journal::Journal;
use crate::journal::history::Slot;
use crate::journal::query::HistoryQuery;
use crate::journal::segment::JournalError;
use crate::model::history::{
    Answer, Ask, AskForm, FirstLast, HistoryData, NoAnswer, PointHistory, SAMPLES_MAX, SlotFigures,
};
use crate::model::reading::Sample;
use crate::model::text::hex;
use crate::model::time::UnixMillis;
use crate::model::value::{Numeric, Value};

impl Journal {
    /// Answers a question; blocks while it reads files.
    pub fn answer(&self, ask: &Ask) -> Answer {
        let of = |(device, point): &(Arc<str>, Arc<str>)| self.point_history(ask, device, point);
        let outcome = ask.points.iter().map(of).collect::<Result<Vec<_>, NoAnswer>>();
        Answer { room: ask.room, id: ask.id, outcome }
    }

    fn point_history(&self, ask: &Ask, device: &Arc<str>, point: &Arc<str>) -> Result<PointHistory, NoAnswer> {
        let query =
            HistoryQuery { device: device.to_string(), point: point.to_string(), from_ms: ask.from.0, to_ms: ask.to.0 };
        let failed = |e: JournalError| NoAnswer { reason: format!("{device}.{point} cannot be read: {e}") };
        let whole = self.slots_between(&query, &[ask.from.0, ask.to.0]).map_err(failed)?;
        let (due, good) = whole.slots.first().map_or((0, 0), |s| (u64::from(due(s)), u64::from(s.aggregate.good)));
        let data = match ask.form {
            AskForm::Slots { every_ms } => {
                let every_ms = i64::try_from(every_ms).unwrap_or(i64::MAX);
                let slots = self.slots(&query, every_ms).map_err(failed)?;
                HistoryData::Slots(slots.slots.iter().map(figures).collect())
            }
            AskForm::Samples => HistoryData::Samples(self.all_samples(&query, |_| true)?),
            AskForm::Registers => {
                let exact = |sample: &Sample| matches!(sample, Ok(Value::Exact(_)));
                let rows = self.all_samples(&query, exact)?;
                let decimal = |(at, sample): (UnixMillis, Sample)| match sample {
                    Ok(Value::Exact(decimal)) => Some((at, decimal)),
                    _ => None,
                };
                HistoryData::Registers(rows.into_iter().filter_map(decimal).collect())
            }
            AskForm::FirstLast => HistoryData::FirstLast(self.first_last(&query).map_err(failed)?),
        };
        let is_damaged = !whole.damage.is_empty();
        let hash = hash(&data);
        Ok(PointHistory { device: Arc::clone(device), point: Arc::clone(point), data, due, good, is_damaged, hash })
    }

    fn all_samples(
        &self,
        query: &HistoryQuery,
        is_wanted: impl Fn(&Sample) -> bool,
    ) -> Result<Vec<(UnixMillis, Sample)>, NoAnswer> {
        let mut rows = Vec::new();
        let name = || format!("{}.{}", query.device, query.point);
        let read = self.samples(query, |row| {
            if is_wanted(&row.sample) {
                rows.push((UnixMillis(row.at_ms), row.sample));
            }
            rows.len() <= SAMPLES_MAX
        });
        read.map_err(|e| NoAnswer { reason: format!("{} cannot be read: {e}", name()) })?;
        if rows.len() > SAMPLES_MAX {
            return Err(NoAnswer { reason: format!("more than {SAMPLES_MAX} samples of {}", name()) });
        }
        Ok(rows)
    }

    fn first_last(&self, query: &HistoryQuery) -> Result<Option<FirstLast>, JournalError> {
        let mut out: Option<FirstLast> = None;
        self.samples(query, |row| {
            if row.sample.is_ok() {
                let this = (UnixMillis(row.at_ms), row.sample);
                match &mut out {
                    Some(known) => known.last = this,
                    None => out = Some(FirstLast { first: this.clone(), last: this }),
                }
            }
            true
        })?;
        Ok(out)
    }
}

fn due(slot: &Slot) -> u32 {
    if slot.expected > 0 { slot.expected } else { slot.aggregate.all }
}

fn figures(slot: &Slot) -> SlotFigures {
    let some = |x: Numeric| (slot.aggregate.good > 0).then_some(x);
    SlotFigures {
        start: UnixMillis(slot.start_ms),
        mean: slot.mean(),
        min: some(slot.aggregate.min),
        max: some(slot.aggregate.max),
        good: slot.aggregate.good,
        due: due(slot),
    }
}

fn hash(data: &HistoryData) -> String {
    let mut text = String::new();
    let mut line = |at: UnixMillis, value: &str| {
        let _infallible = writeln!(text, "{} {value}", at.0);
    };
    let printed = |sample: &Sample| sample.as_ref().map_or_else(|cause| cause.word().to_string(), ToString::to_string);
    match data {
        HistoryData::Samples(rows) => rows.iter().for_each(|(at, sample)| line(*at, &printed(sample))),
        HistoryData::Registers(rows) => rows.iter().for_each(|(at, value)| line(*at, &value.to_string())),
        HistoryData::FirstLast(both) => {
            let both = both.iter().flat_map(|b| [&b.first, &b.last]);
            both.for_each(|(at, sample)| line(*at, &printed(sample)));
        }
        HistoryData::Slots(slots) => slots.iter().for_each(|s| {
            let number = |x: Option<Numeric>| x.map_or("-".to_string(), |x| x.value().to_string());
            let mean = s.mean.map(Numeric::Float);
            line(
                s.start,
                &[number(mean), number(s.min), number(s.max), s.good.to_string(), s.due.to_string()].join(" "),
            );
        }),
    }
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}
