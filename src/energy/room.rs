//! Energy as a room of the engine: it takes people's decisions about boundaries, their readings and corrections, and closes months. All of
//! it is logged and kept as versions.
//!
//! Kept are, by key: `device.point`, the decisions about its boundaries; `device.point/entries`, what people entered of it; `month/2026-10`,
//! a month that was closed.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::energy::closure::{MonthClosure, MonthRevision, Signature};
use crate::energy::decision::{DecisionVersion, counted};
use crate::energy::entry::EntryVersion;
use crate::energy::forecast::{DemandForecast, DemandWatch};
use crate::model::command::{Command, Operation};
use crate::model::effects::{Effects, Keep, LogEvent};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::metering::{
    Classification, ClosedFigure, MeteringCommand, MeteringOperation, RegisterEntry, TimeRange,
};
use crate::model::room::{Board, Input, Kept, Reconfiguration, Room, Start, kept_value};
use crate::model::text::{KEY, REMARK, one_line};
use crate::model::time::{MonotonicMillis, Now};

/// Most versions about one register, or revisions of one month; a person does not reach it.
const VERSIONS_MAX: usize = 10_000;
/// End of the key under which the entries of a register are kept.
const ENTRIES: &str = "/entries";
/// Beginning of the key under which a closed month is kept.
const MONTH: &str = "month/";

/// What people said of registers and months.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeteringRecords {
    /// All decisions about boundaries, by `device.point`.
    pub decisions: BTreeMap<String, Vec<DecisionVersion>>,
    /// All entries, by `device.point`.
    pub entries: BTreeMap<String, Vec<EntryVersion>>,
    /// Months that were closed, by their names.
    pub closures: BTreeMap<String, MonthClosure>,
}

impl MeteringRecords {
    /// What was kept; what cannot be read is left out and said.
    pub fn read(kept: &Kept, unreadable: &mut Vec<String>) -> Self {
        fn value<T: DeserializeOwned>(kept: &Kept, key: &str, unreadable: &mut Vec<String>) -> Option<T> {
            kept_value((EnergyRoom::ID, EnergyRoom::FORMAT), kept, key, unreadable)
        }
        let mut out = Self::default();
        for key in kept.keys() {
            if let Some(month) = key.strip_prefix(MONTH) {
                out.closures.extend(value(kept, key, unreadable).map(|closure| (month.to_string(), closure)));
            } else if let Some(register) = key.strip_suffix(ENTRIES) {
                out.entries.extend(value(kept, key, unreadable).map(|all| (register.to_string(), all)));
            } else {
                out.decisions.extend(value(kept, key, unreadable).map(|all| (key.clone(), all)));
            }
        }
        out
    }

    /// How many versions there are of what people said; it only grows.
    pub fn versions(&self) -> usize {
        self.decisions.values().map(Vec::len).sum::<usize>() + self.entries.values().map(Vec::len).sum::<usize>()
    }
}

/// People's decisions about registers and months.
#[derive(Debug)]
pub struct EnergyRoom {
    records: MeteringRecords,
    forecasts: Vec<DemandForecast>,
    zone: TimeZone,
}

impl Room for EnergyRoom {
    const ID: &'static str = "energy";
    type Plan = Vec<DemandWatch>;

    fn build(watches: &Vec<DemandWatch>, start: Start<'_>, unreadable: &mut Vec<String>) -> Self {
        let records = MeteringRecords::read(start.kept, unreadable);
        let forecasts = watches.iter().map(DemandForecast::new).collect();
        Self { records, forecasts, zone: start.directory.zone.clone() }
    }

    /// The running interval goes on where the same register is watched.
    fn reconfigure(
        &mut self,
        watches: &Vec<DemandWatch>,
        change: Reconfiguration<'_>,
        _board: &mut Board,
        _effects: &mut Effects,
    ) {
        let mut before = std::mem::take(&mut self.forecasts);
        let mut goes_on = |watch: &DemandWatch| {
            let known = before.iter().position(|forecast| forecast.is_of(watch)).map(|i| before.swap_remove(i));
            known.unwrap_or_else(|| DemandForecast::new(watch))
        };
        self.forecasts = watches.iter().map(&mut goes_on).collect();
        self.zone = change.directory.zone.clone();
    }

    fn step(&mut self, now: Now, input: Input<'_>, board: &mut Board, effects: &mut Effects) {
        if let Input::Reading(reading) = input {
            let zone = &self.zone;
            board.readings.extend(self.forecasts.iter_mut().filter_map(|forecast| forecast.step(reading, zone)));
        }
        if let Input::Command(command) = input
            && let Operation::Metering(metering) = &command.operation
            && let Err(refused) = self.command(command, metering, now, effects)
        {
            effects.refused = effects.refused.take().or(Some(refused));
        }
    }

    fn next_wake(&self) -> Option<MonotonicMillis> {
        None
    }
}

impl EnergyRoom {
    fn command(
        &mut self,
        command: &Command,
        metering: &MeteringCommand,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        if command.note.trim().is_empty() {
            let (zh, en) = ("请写明原因", "what is said of consumption needs a reason (--note)");
            return Err(Refusal::new(FailureKind::BadInput, zh, en));
        }
        let signature = Signature {
            actor: one_line(&command.actor.id, REMARK),
            via: command.actor.via.to_string(),
            reason: one_line(&command.note, REMARK),
            at: now.wall,
        };
        if let MeteringOperation::CloseMonth { month, range, figures, versions } = &metering.operation {
            if *versions != self.records.versions() {
                let (zh, en) = ("期间有人作了更改，请重试", "somebody changed something meanwhile: close it again");
                return Err(Refusal::new(FailureKind::Retry, zh, en));
            }
            return self.close(month, *range, figures, signature, effects);
        }
        self.check_closed(metering)?;
        match &metering.operation {
            MeteringOperation::Classify { boundary, classification } => {
                check_figures(&figures(*classification))?;
                let (counted, classification) = (counted(boundary, *classification)?, *classification);
                let boundary = boundary.clone();
                let key = boundary.register();
                let version = DecisionVersion { boundary, classification, counted, signature: signature.clone() };
                let versions = self.records.decisions.entry(key.clone()).or_default();
                add((key.clone(), key), classification.word(), version, versions, &signature, effects)?;
            }
            MeteringOperation::Enter { register, entry } => {
                check_entry(entry, now)?;
                let version = EntryVersion { entry: *entry, signature: signature.clone() };
                let versions = self.records.entries.entry(register.clone()).or_default();
                let keys = (register.clone(), format!("{register}{ENTRIES}"));
                add(keys, entry.word(), version, versions, &signature, effects)?;
            }
            MeteringOperation::CloseMonth { .. } => {}
        }
        self.reopen(metering.affects, &signature, effects);
        Ok(())
    }

    /// # Errors
    /// The command changes a closed month and does not say that it may.
    fn check_closed(&self, metering: &MeteringCommand) -> Result<(), Refusal> {
        let mut closed =
            self.records.closures.values().filter(|c| c.in_force().is_some() && c.range.overlaps(metering.affects));
        match closed.next() {
            Some(closure) if !metering.may_reopen => {
                let (month, number) = (&closure.month, closure.revision());
                let zh = format!("{month} 已结账（第 {number} 版）；加 --revise 方可更改，之后须重新结账");
                let en = format!(
                    "{month} is closed (revision {number}); --revise changes it all the same, and it has to be closed again"
                );
                Err(Refusal::new(FailureKind::Refused, zh, en))
            }
            _ => Ok(()),
        }
    }

    fn reopen(&mut self, affects: TimeRange, signature: &Signature, effects: &mut Effects) {
        let is_affected = |c: &&mut MonthClosure| c.in_force().is_some() && c.range.overlaps(affects);
        for closure in self.records.closures.values_mut().filter(is_affected) {
            if let Some(revision) = closure.revisions.last_mut() {
                revision.reopened = Some(signature.clone());
            }
            record(
                (closure.month.clone(), format!("{MONTH}{}", closure.month)),
                "month_reopened",
                signature,
                closure,
                effects,
            );
        }
    }

    fn close(
        &mut self,
        month: &str,
        range: TimeRange,
        figures: &[ClosedFigure],
        closed: Signature,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        if range.to > closed.at {
            let zh = format!("{month} 尚未结束");
            return Err(Refusal::new(FailureKind::Refused, zh, format!("{month} is not over yet")));
        }
        let new = || MonthClosure { month: month.to_string(), range, revisions: Vec::new() };
        let closure = self.records.closures.entry(month.to_string()).or_insert_with(new);
        if let Some(revision) = closure.in_force().filter(|revision| revision.figures == figures) {
            let (number, actor) = (closure.revision(), &revision.closed.actor);
            let zh = format!("{month} 已由 {actor} 结账（第 {number} 版），数字未变");
            let en = format!("{month} was closed by {actor} (revision {number}), and no figure has changed");
            return Err(Refusal::new(FailureKind::Refused, zh, en));
        }
        if closure.revisions.len() >= VERSIONS_MAX {
            return Err(Refusal::refused(format!("{month} has {VERSIONS_MAX} revisions already")));
        }
        closure.revisions.push(MonthRevision { figures: figures.to_vec(), closed: closed.clone(), reopened: None });
        record((month.to_string(), format!("{MONTH}{month}")), "month_closed", &closed, closure, effects);
        Ok(())
    }
}

/// Figures of people beyond this, or with more decimals, are slips of the pen; sums of them could overflow.
const FIGURE_MAX: i64 = 1_000_000_000_000_000;
const DECIMALS_MAX: u32 = 9;

/// # Errors
/// A figure that no register shows.
fn check_figures(figures: &[Decimal]) -> Result<(), Refusal> {
    let is_none = |figure: &&Decimal| figure.abs() > Decimal::from(FIGURE_MAX) || figure.scale() > DECIMALS_MAX;
    match figures.iter().find(is_none) {
        Some(figure) => {
            let (zh, en) = (
                format!("{figure} 不是表计读数"),
                format!("no register shows {figure}: at most 10^15, and {DECIMALS_MAX} decimals"),
            );
            Err(Refusal::new(FailureKind::BadInput, zh, en))
        }
        None => Ok(()),
    }
}

/// The figures of a classification.
fn figures(classification: Classification) -> Vec<Decimal> {
    match classification {
        Classification::Exchange { final_reading, initial_reading } => vec![final_reading, initial_reading],
        Classification::RolledOver { modulus } => vec![modulus],
        Classification::Reset | Classification::Continued | Classification::Open => Vec::new(),
    }
}

/// # Errors
/// A negative figure, a range without length, or one that is not over yet.
fn check_entry(entry: &RegisterEntry, now: Now) -> Result<(), Refusal> {
    let refuse = |zh: &str, en: &str| Err(Refusal::new(FailureKind::BadInput, zh, en));
    match entry {
        RegisterEntry::Reading { reading } => check_figures(&[reading.value])?,
        RegisterEntry::Correction { consumed, .. } => check_figures(&[*consumed])?,
        RegisterEntry::NoReading { .. } | RegisterEntry::NoCorrection { .. } => {}
    }
    match entry {
        RegisterEntry::Reading { reading } if reading.value.is_sign_negative() => {
            refuse("读数不能为负", "a reading is not negative")
        }
        RegisterEntry::Reading { reading } if reading.at > now.wall => {
            refuse("抄表时间在将来", "the reading is dated in the future")
        }
        RegisterEntry::Correction { consumed, .. } if consumed.is_sign_negative() => {
            refuse("用量不能为负", "consumption is not negative")
        }
        RegisterEntry::Correction { range, .. } if range.from >= range.to => {
            refuse("时段的终点不晚于起点", "the range ends before it begins")
        }
        RegisterEntry::Correction { range, .. } if range.to > now.wall => {
            refuse("时段尚未结束", "the range is not over yet")
        }
        _ => Ok(()),
    }
}

/// Adds a version, and records it. `keys`: that of the event and that under which all versions are kept.
fn add<T: Serialize>(
    keys: (String, String),
    event: &'static str,
    version: T,
    versions: &mut Vec<T>,
    signature: &Signature,
    effects: &mut Effects,
) -> Result<(), Refusal> {
    if versions.len() >= VERSIONS_MAX {
        return Err(Refusal::refused(format!("there are {VERSIONS_MAX} decisions about {} already", keys.0)));
    }
    versions.push(version);
    let body = versions.last().and_then(|version| serde_json::to_string(version).ok()).unwrap_or_default();
    effects.decided.events.push(log_event(&keys.0, event, signature, body));
    let bytes = serde_json::to_vec(versions).ok();
    effects.decided.keep.push(Keep { room: EnergyRoom::ID, key: keys.1, format: EnergyRoom::FORMAT, bytes });
    Ok(())
}

/// Records what happened to a month.
fn record(
    keys: (String, String),
    event: &'static str,
    signature: &Signature,
    closure: &MonthClosure,
    effects: &mut Effects,
) {
    let body = serde_json::json!({ "month": closure.month, "revision": closure.revision() }).to_string();
    effects.decided.events.push(log_event(&keys.0, event, signature, body));
    let bytes = serde_json::to_vec(closure).ok();
    effects.decided.keep.push(Keep { room: EnergyRoom::ID, key: keys.1, format: EnergyRoom::FORMAT, bytes });
}

fn log_event(key: &str, event: &'static str, signature: &Signature, body: String) -> LogEvent {
    let (actor, via, note) = (signature.actor.clone(), signature.via.clone(), signature.reason.clone());
    LogEvent { room: EnergyRoom::ID, key: one_line(key, KEY).into(), event, actor, via, note, body }
}
