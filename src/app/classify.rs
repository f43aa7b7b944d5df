//! A person says what a boundary of a register was: it is looked up in the ledger, and decided and recorded by the rules.

use std::path::Path;

use serde_json::{Value, json};

use crate::app::error::AppError;
use crate::app::shared::Shared;
use crate::energy::decision::{Decisions, boundaries, counted};
use crate::energy::room::{EnergyRoom, decisions};
use crate::ledger::{self, Ledger};
use crate::model::metering::{Classification, RegisterBoundary};
use crate::model::problem::did_you_mean;
use crate::model::room::Room as _;

/// What is asked.
pub struct ClassifyRequest {
    /// `device.point`.
    pub register: String,
    /// Number of the span behind the boundary; `None`: the only one that nobody has explained.
    pub span: Option<u32>,
    /// As [`Classification`].
    pub classification: Value,
}

/// The boundary that is meant, and what it was.
///
/// # Errors
/// There is no such register or boundary, more than one could be meant, or the ledger cannot be read.
pub async fn find(shared: &Shared, request: ClassifyRequest) -> Result<(RegisterBoundary, Classification), AppError> {
    let classification = serde_json::from_value(request.classification)
        .map_err(|e| AppError::BadRequest(format!("no such classification: {e}")))?;
    let kept = shared.store.load_state(EnergyRoom::ID)?;
    let known = decisions(&kept, &mut Vec::new()).remove(&request.register).unwrap_or_default();
    let state = shared.process.paths.state.clone();
    let found = tokio::task::spawn_blocking(move || {
        boundary(&state, &request.register, request.span, &Decisions::in_force(&known))
    });
    Ok((found.await.map_err(|_| AppError::Inside)??, classification))
}

/// What was decided, for the answer.
pub fn described(boundary: &RegisterBoundary, classification: Classification) -> Value {
    json!({
        "register": boundary.register(), "span": boundary.span, "as": classification.word(), "before": boundary.before, "after": boundary.after,
        "counted": counted(boundary, classification).map(|counted| counted.normalize().to_string()).unwrap_or_default(),
    })
}

fn boundary(
    state: &Path,
    register: &str,
    span: Option<u32>,
    decided: &Decisions,
) -> Result<RegisterBoundary, AppError> {
    let ledger = Ledger::open_read_only(&state.join(ledger::FILE))?;
    let all = ledger.series()?;
    let names: Vec<String> = all.iter().map(ledger::Series::full_name).collect();
    let Some(series) = all.iter().find(|series| series.full_name() == register) else {
        let near = did_you_mean(register, names.iter().map(String::as_str));
        return Err(AppError::BadRequest(format!("the ledger has no register `{register}`; {near}")));
    };
    let known = boundaries(&ledger.spans(series.id)?);
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
    let Some(found) = known.iter().find(|b| b.span == wanted) else {
        return Err(AppError::BadRequest(format!("{register} has no boundary before a span {wanted}")));
    };
    let (device, point) = (series.device.to_string(), series.meta.name.to_string());
    Ok(RegisterBoundary { device, point, span: found.span, before: found.before, after: found.after })
}
