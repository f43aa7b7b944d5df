//! Checks metering points, meters and areas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::config::ConfiguredDevice;
use crate::config::catalogue::Catalogue;
use crate::config::check_site::{ID_HINT, is_id};
use crate::config::doc::Problems;
use crate::config::registers::RegisterLimitsByPoint;
use crate::config::tables::Files;
use crate::derive::DerivedDefinition;
use crate::energy::balance::BALANCE_POINT;
use crate::energy::decision::UNEXPLAINED_POINT;
use crate::energy::forecast::{DemandWatch, FORECAST_POINTS};
use crate::energy::metering::{KnownRegister, KnownRegisters, MeteringPlan, MeteringPoint};
use crate::energy::metering_check::{MeteringTables, plan};
use crate::energy::tariff::Contract;
use crate::energy::tariff_file::{self, ContractTables};
use crate::model::point::PointKind;

/// Everything that counts: the registers of devices, and derived ones.
pub fn known_registers(
    devices: &BTreeMap<String, ConfiguredDevice>,
    registers: &RegisterLimitsByPoint,
    derive: &[DerivedDefinition],
    catalogue: &Catalogue,
) -> KnownRegisters {
    let of_devices = registers.iter().flat_map(|(device, points)| points.keys().map(move |point| (device, point)));
    let derived =
        derive.iter().filter(|d| d.meta.kind == PointKind::Counter).map(|d| (&d.settings.device, &d.settings.point));
    let known = |(device, point): (&String, &String)| {
        let of = devices.get(device)?;
        let unit = catalogue.vocabulary.point(&of.class, point).and_then(|entry| entry.unit.as_deref()).map(Arc::from);
        Some((format!("{device}.{point}"), KnownRegister { unit, zh: of.zh.clone(), en: of.en.clone() }))
    };
    of_devices.chain(derived).filter_map(known).collect()
}

/// Points that devices have because of their registers: boundaries that wait for a person, the balance of main meters, forecasts of demand.
pub fn energy_points(
    registers: &KnownRegisters,
    metering: &MeteringPlan,
    watches: &[DemandWatch],
) -> BTreeMap<String, BTreeSet<&'static str>> {
    let device = |register: &str| register.split_once('.').map_or(register, |(device, _)| device).to_string();
    let mut out: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for register in registers.keys() {
        out.entry(device(register)).or_default().insert(UNEXPLAINED_POINT);
    }
    let mains = metering.points.values().filter(|point| metering.children(&point.id).next().is_some());
    for meter in mains.filter_map(|point| point.meter()).filter(|meter| !meter.is_manual) {
        out.entry(device(&meter.register)).or_default().insert(BALANCE_POINT);
    }
    for watch in watches {
        out.entry(watch.device.to_string()).or_default().extend(FORECAST_POINTS);
    }
    out
}

/// The metering points of the site.
pub fn check(
    files: &Files<'_>,
    registers: &KnownRegisters,
    zone: &TimeZone,
    is_incomplete: bool,
    problems: &mut Problems,
) -> MeteringPlan {
    for entry in &files.meter {
        let (id, at) = (&entry.value.point, entry.table.location(&["point"]));
        if !is_id(id) {
            problems.error(at, format!("`{id}` cannot be a metering point's id"), ID_HINT);
        }
    }
    for entry in &files.area {
        if !is_id(&entry.value.id) {
            let what = format!("`{}` cannot be an area's id", entry.value.id);
            problems.error(entry.table.location(&["id"]), what, ID_HINT);
        }
    }
    let meters: Vec<_> = files.meter.iter().map(|entry| &entry.value).collect();
    let areas: Vec<_> = files.area.iter().map(|entry| &entry.value).collect();
    let (plan, findings) = plan(MeteringTables { meters: &meters, areas: &areas, registers, zone, is_incomplete });
    for mut finding in findings {
        let number = finding.path.get(1).and_then(|number| number.parse::<usize>().ok()).unwrap_or_default();
        let table = match finding.path.first().map(String::as_str) {
            Some("area") => files.area.get(number).map(|entry| &entry.table),
            _ => files.meter.get(number).map(|entry| &entry.table),
        };
        finding.path.drain(..2);
        if let Some(table) = table {
            problems.findings(table, vec![finding]);
        }
    }
    plan
}

/// The contracts of the site.
pub fn contracts(
    files: &Files<'_>,
    (registers, plan, catalogue): (&KnownRegisters, &MeteringPlan, &Catalogue),
    zone: &TimeZone,
    is_incomplete: bool,
    problems: &mut Problems,
) -> Vec<Contract> {
    let all: Vec<_> = files.contract.iter().map(|entry| &entry.value).collect();
    let tables = ContractTables { contracts: &all, plan, tariffs: &catalogue.tariffs, registers, zone, is_incomplete };
    let (contracts, findings) = tariff_file::contracts(tables);
    for mut finding in findings {
        let number = finding.path.first().and_then(|number| number.parse::<usize>().ok()).unwrap_or_default();
        finding.path.drain(..1);
        if let Some(entry) = files.contract.get(number) {
            problems.findings(&entry.table, vec![finding]);
        }
    }
    contracts
}

/// Registers of metering points with a contracted demand: that of the meter which hangs there last.
pub fn demand_watches(contracts: &[Contract], plan: &MeteringPlan, minutes: u32) -> Vec<DemandWatch> {
    let of_point = |(id, point): (&String, &MeteringPoint)| {
        let meter = point.meter().filter(|meter| !meter.is_manual && point.unit.as_deref() == Some("kWh"))?;
        let (device, register) = meter.register.split_once('.')?;
        let agreed = contracts.iter().filter(|contract| contract.point == *id);
        let contracts: Vec<_> = agreed.filter_map(|contract| Some((contract.from, contract.demand_kw?))).collect();
        let (device, point, multiplier) = (device.into(), register.into(), meter.multiplier);
        (!contracts.is_empty()).then_some(DemandWatch { device, point, multiplier, contracts, minutes })
    };
    plan.points.iter().filter_map(of_point).collect()
}
