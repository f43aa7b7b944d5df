//! The ledger as commands read it, with what people decided about it.

use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::cli::{Args as Global, CommandFailure, output};
use crate::config::Configuration;
use crate::control::{ControlError, ControlRequest};
use crate::energy::room::{EnergyRoom, MeteringRecords};
use crate::energy::settings::EnergySettings;
use crate::ledger;
use crate::ledger::error::LedgerError;
use crate::ledger::query::LedgerQuery;
use crate::model::room::Room as _;
use crate::model::value::Value;

/// Opens the ledger of the state directory for reading, with what people said and the metering points of the configuration.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn open_ledger(global: &Global, configuration: Option<&Configuration>) -> Result<LedgerQuery, CommandFailure> {
    let zone = configuration.map_or(TimeZone::UTC, |c| c.alarms.zone.clone());
    let minutes = configuration.map_or(EnergySettings::default().interval_min, |c| c.energy.interval_min);
    let plan = configuration.map(|c| Arc::clone(&c.metering)).unwrap_or_default();
    let path = global.state_dir().join(ledger::FILE);
    LedgerQuery::open(&path, records(global)?, plan, (zone, minutes)).map_err(|error| match error {
        LedgerError::Absent { .. } => {
            failed(&error).hint("`plantroom run` begins it; --state DIR names another gateway's state")
        }
        _ => failed(&error),
    })
}

/// A running gateway books what it has, so that the answer is of now.
pub fn book_now(global: &Global) {
    let socket = global.socket();
    let asked = crate::cli::runtime()
        .map(|runtime| runtime.block_on(crate::control::send_request(&socket, &ControlRequest::Book)));
    if let Ok(Err(error @ (ControlError::Refused(_) | ControlError::NoAnswer(_) | ControlError::Denied(_)))) = asked {
        output::note(format!("the gateway did not bring its ledger up to date, what follows may end earlier: {error}"));
    }
}

/// Everything that people said of registers and months.
///
/// # Errors
/// The store cannot be read.
pub fn records(global: &Global) -> Result<MeteringRecords, CommandFailure> {
    let path = global.state_dir().join("store.db");
    if !path.exists() {
        return Ok(MeteringRecords::default());
    }
    let kept = crate::store::log::load_state(&path, EnergyRoom::ID)
        .map_err(|error| CommandFailure::caused("what people decided cannot be read", &error))?;
    let mut unreadable = Vec::new();
    let all = MeteringRecords::read(&kept, &mut unreadable);
    unreadable.into_iter().for_each(output::note);
    Ok(all)
}

/// A ledger that cannot be read.
pub fn failed(error: &LedgerError) -> CommandFailure {
    CommandFailure::caused("the ledger cannot be read", error)
}

/// All digits, without trailing zeros.
pub fn number(value: Decimal) -> String {
    Value::Exact(value).to_string()
}
