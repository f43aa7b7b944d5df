//! People say something of register readings: what they mean is looked up in the ledger, and decided and recorded by the rules.

use serde_json::{Value, json};

use crate::app::error::AppError;
use crate::app::shared::Shared;
use crate::energy::calendar;
use crate::energy::closure::MonthClosure;
use crate::energy::decision::{Decisions, SpanBoundary, boundaries, counted};
use crate::energy::entry::Entries;
use crate::energy::room::{EnergyRoom, MeteringRecords};
use crate::ledger::query::LedgerQuery;
use crate::ledger::{self, Series};
use crate::model::metering::{
    Classification, MeteringCommand, MeteringOperation, RegisterBoundary, RegisterEntry, TimeRange,
};
use crate::model::problem::did_you_mean;
use crate::model::room::Room as _;
use crate::model::time::UnixMillis;

/// What is asked, as the command line sends it.
#[derive(Debug)]
pub enum MeteringRequest {
    /// Say what a boundary was.
    Classify {
        /// A metering point or `device.point`.
        register: String,
        /// Number of the span behind the boundary; `None`: the only one that nobody has explained.
        span: Option<u32>,
        classification: Value,
    },
    /// Enter a reading or a correction.
    Enter {
        /// A metering point or `device.point`.
        register: String,
        entry: Value,
    },
    CloseMonth {
        month: String,
    },
}

/// A request as a command for the rules, and what it does, for the answer.
///
/// # Errors
/// There is no such register, boundary or month, more than one could be meant, or the ledger cannot be read.
pub async fn prepare(
    shared: &Shared,
    request: MeteringRequest,
    may_reopen: bool,
) -> Result<(MeteringCommand, Value), AppError> {
    let kept = shared.store.load_state(EnergyRoom::ID)?;
    let configuration = shared.configuration();
    let state = shared.process.paths.state.clone();
    let prepared = tokio::task::spawn_blocking(move || {
        let mut unreadable = Vec::new();
        let records = MeteringRecords::read(&kept, &mut unreadable);
        if let Some(why) = unreadable.first() {
            return Err(AppError::BadRequest(format!("what people said before cannot be read: {why}")));
        }
        let plan = std::sync::Arc::clone(&configuration.metering);
        let site = (configuration.alarms.zone.clone(), configuration.energy.interval_min);
        let query = LedgerQuery::open(&state.join(ledger::FILE), records, plan, site)?;
        let (operation, affects, said) = match request {
            MeteringRequest::Classify { register, span, classification } => {
                classify(&query, &register, span, classification)?
            }
            MeteringRequest::Enter { register, entry } => enter(&query, &register, entry)?,
            MeteringRequest::CloseMonth { month } => close(&query, month)?,
        };
        Ok((MeteringCommand { operation, affects, may_reopen }, said))
    });
    prepared.await.map_err(|_| AppError::Inside)?
}

type Prepared = Result<(MeteringOperation, TimeRange, Value), AppError>;

fn classify(query: &LedgerQuery, register: &str, span: Option<u32>, classification: Value) -> Prepared {
    let classification: Classification = serde_json::from_value(classification)
        .map_err(|e| AppError::BadRequest(format!("no such classification: {e}")))?;
    let name = register_of(query, register, None)?;
    let Some(series) = query.series(&name) else {
        return Err(AppError::BadRequest(format!("{name} was never read: it has no boundaries")));
    };
    let found = boundary(query, series, span)?;
    let (device, point) = (series.device.to_string(), series.meta.name.to_string());
    let boundary = RegisterBoundary { device, point, span: found.span, before: found.before, after: found.after };
    let said = json!({
        "register": name, "span": boundary.span, "as": classification.word(), "before": boundary.before, "after": boundary.after,
        "counted": counted(&boundary, classification).map(|counted| counted.normalize().to_string()).unwrap_or_default(),
    });
    let affects = query.affected_by_decision(&name, (found.before, found.after), classification)?;
    // What is not proven counts from now on, all of it.
    let affects = if found.is_in_doubt { TimeRange { to: UnixMillis(i64::MAX), ..affects } } else { affects };
    Ok((MeteringOperation::Classify { boundary, classification }, affects, said))
}

fn boundary(query: &LedgerQuery, series: &Series, span: Option<u32>) -> Result<SpanBoundary, AppError> {
    let register = series.full_name();
    let versions = query.records.decisions.get(&register).map(Vec::as_slice).unwrap_or_default();
    let decided = Decisions::in_force(versions);
    let known = boundaries(&query.ledger().spans(series.id)?);
    let open = || known.iter().filter(|b| decided.after(b.before).is_none()).map(|b| b.span);
    let wanted = match (span, open().count()) {
        (Some(span), _) => span,
        (None, 1) => open().next().unwrap_or_default(),
        (None, 0) => return Err(AppError::BadRequest(format!("{register} has no boundary that waits for a person"))),
        (None, _) => {
            let spans: Vec<String> = open().map(|span| span.to_string()).collect();
            let spans = spans.join(", ");
            return Err(AppError::BadRequest(format!("{register} has more than one: --span says which, of {spans}")));
        }
    };
    let missing = || AppError::BadRequest(format!("{register} has no boundary before a span {wanted}"));
    known.iter().find(|b| b.span == wanted).copied().ok_or_else(missing)
}

fn enter(query: &LedgerQuery, register: &str, entry: Value) -> Prepared {
    let entry: RegisterEntry =
        serde_json::from_value(entry).map_err(|e| AppError::BadRequest(format!("no such entry: {e}")))?;
    let at = match entry {
        RegisterEntry::Reading { reading } => reading.at,
        RegisterEntry::NoReading { at } => at,
        RegisterEntry::Correction { range, .. } | RegisterEntry::NoCorrection { range } => range.from,
    };
    let name = register_of(query, register, Some(at))?;
    let versions = query.records.entries.get(&name).map(Vec::as_slice).unwrap_or_default();
    let in_force = Entries::in_force(versions);
    let affects = match entry {
        RegisterEntry::Correction { range, .. } | RegisterEntry::NoCorrection { range } => {
            in_force.with_corrections(range)
        }
        RegisterEntry::Reading { .. } | RegisterEntry::NoReading { .. } => around(query, &name, at, &entry)?,
    };
    let is_absent = match entry {
        RegisterEntry::NoReading { at } => !in_force.readings.iter().any(|reading| reading.at == at),
        RegisterEntry::NoCorrection { range } => !in_force.corrections.iter().any(|c| c.range == range),
        _ => false,
    };
    if is_absent {
        return Err(AppError::BadRequest(format!("nothing was entered of {name} for this time")));
    }
    let unit = query.series(&name).and_then(|series| series.meta.unit.as_deref()).map(ToString::to_string);
    let of_point = query.plan.by_register(&name).and_then(|(point, _)| point.unit.as_deref()).map(ToString::to_string);
    let said = json!({ "register": name, "as": entry.word(), "entry": entry, "unit": unit.or(of_point) });
    Ok((MeteringOperation::Enter { register: name, entry }, affects, said))
}

/// The time whose figures a reading changes: from the reading before it to the one after; to the end, where readings contradict each other.
///
/// # Errors
/// The reading contradicts others: it would count nothing, or they would.
fn around(query: &LedgerQuery, register: &str, at: UnixMillis, entry: &RegisterEntry) -> Result<TimeRange, AppError> {
    let around = query.around(register, at)?;
    let (before, after) = (query.profile(register, around)?, query.profile_with(register, around, *entry)?);
    if after.contradicting().len() > before.contradicting().len() {
        let text = "the reading contradicts those before and after it: a register does not fall; `plantroom energy readings` lists them";
        return Err(AppError::BadRequest(text.to_string()));
    }
    let is_clear = before.contradicting().is_empty() && after.contradicting().is_empty();
    Ok(if is_clear { around } else { TimeRange { to: UnixMillis(i64::MAX), ..around } })
}

fn close(query: &LedgerQuery, month: String) -> Prepared {
    let wrong = || AppError::BadRequest(format!("`{month}` is no month: 2026-10"));
    let range = calendar::month(&month, &query.zone).ok_or_else(wrong)?;
    let figures = query.closed_figures(range)?;
    let before = query.records.closures.get(&month);
    let is_same = before.and_then(MonthClosure::in_force).is_some_and(|revision| revision.figures == figures);
    let number = before.map_or(0, MonthClosure::revision) + usize::from(!is_same);
    let count = |word: &str| figures.iter().filter(|figure| figure.quality == word).count();
    let said = json!({
        "month": month, "revision": number, "figures": figures.len(), "pending": count("pending"), "missing": count("missing"),
    });
    let versions = query.records.versions();
    Ok((MeteringOperation::CloseMonth { month, range, figures, versions }, range, said))
}

/// The register of a metering point at a moment (`None`: now), or the register itself.
fn register_of(query: &LedgerQuery, name: &str, at: Option<UnixMillis>) -> Result<String, AppError> {
    if let Some(point) = query.plan.points.get(name) {
        let meter = match at {
            Some(at) => point.meters().iter().rev().find(|meter| meter.from <= at).or(point.meters().first()),
            None => point.meter(),
        };
        let made = || AppError::BadRequest(format!("{name} is made of other metering points: it has no register"));
        return meter.map(|meter| meter.register.clone()).ok_or_else(made);
    }
    if query.series(name).is_some() || query.plan.by_register(name).is_some() {
        return Ok(name.to_string());
    }
    let known: Vec<String> = query.subjects().into_iter().map(|subject| subject.id).collect();
    let near = did_you_mean(name, known.iter().map(String::as_str));
    Err(AppError::BadRequest(format!("there is no metering point or register `{name}`; {near}")))
}
