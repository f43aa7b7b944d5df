//! Tariffs and contracts as files have them: `tariffs/*.toml`, `[[contract]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::energy::metering::{KnownRegisters, MeteringPlan, moment};
use crate::energy::tariff::{Contract, DayKind, DemandBasis, DemandPart, Slot, Tariff, TariffPeriod, TariffVersion};
use crate::model::calendar::Calendar;
use crate::model::problem::{FileFinding, did_you_mean};
use crate::model::time::UnixMillis;

/// Version of the files' format.
pub const TARIFF_FORMAT: u32 = 1;

/// A tariff: `tariffs/NAME.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TariffFile {
    /// Version of this format: 1.
    pub format: u32,
    /// Its name in Chinese.
    #[serde(default)]
    pub zh: String,
    /// Its name in English.
    #[serde(default)]
    pub en: String,
    /// Where its figures are from, with date.
    pub source: String,
    /// ISO 4217 code: CNY, EUR, GBP.
    pub currency: String,
    /// What holds from when on.
    pub version: Vec<TariffVersionSettings>,
}

/// A tariff from a day on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TariffVersionSettings {
    /// Its first day: `2021-10-01`.
    pub from: String,
    /// The first day on which it does not hold any more. Default: the next version begins.
    pub to: Option<String>,
    /// Calendar of working days, such as `cn`, where slots ask for them.
    pub calendar: Option<String>,
    /// What holds outside of all slots.
    pub otherwise: Option<TariffPeriod>,
    /// Times of periods; of those that hold at a moment, the last one counts.
    #[serde(default)]
    pub slot: Vec<SlotSettings>,
    /// Prices per unit of consumption, in quotes: `peak = "1.0234"`.
    #[serde(default)]
    pub prices: BTreeMap<TariffPeriod, String>,
    /// Factors of the base price of the contract, instead of prices.
    #[serde(default)]
    pub factors: BTreeMap<TariffPeriod, String>,
    /// Prices from moment to moment, instead of periods: a file beside this one with the columns `start` and `price`.
    pub series: Option<String>,
    /// The demand part of a two-part tariff.
    pub demand: Option<DemandSettings>,
}

/// Times of a period.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotSettings {
    /// The period.
    pub period: TariffPeriod,
    /// From time to time, at full quarter hours: `["10:00-12:00", "22:00-24:00"]`.
    pub times: Vec<String>,
    /// Months in which they hold, 1 to 12. Default: all.
    #[serde(default)]
    pub months: BTreeSet<i8>,
    /// Days on which they hold.
    #[serde(default)]
    pub days: DayKind,
    /// Only on days that the contract lists under this name.
    pub only_on: Option<String>,
}

/// The demand part of a two-part tariff.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemandSettings {
    /// Per kilowatt and month, in quotes. Default: the contract says it.
    pub price: Option<String>,
    /// Which demand is charged.
    pub basis: DemandBasisKind,
    /// Of `contract`: up to how far above it the contract's demand is charged, in percent.
    #[serde(default)]
    pub tolerance_pct: f64,
    /// Of `contract`: how often what is beyond that is charged in all.
    #[serde(default = "twice")]
    pub excess_factor: f64,
    /// Of `mean_of_months`: how many.
    #[serde(default = "twelve")]
    pub months: u8,
    /// Of the others: the least of a month, in kilowatts.
    #[serde(default)]
    pub floor_kw: f64,
}

/// Which demand is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DemandBasisKind {
    /// The month's maximum.
    Maximum,
    /// The contract's demand.
    Contract,
    /// The mean of the maxima of some months.
    MeanOfMonths,
}

fn twice() -> f64 {
    2.0
}

fn twelve() -> u8 {
    12
}

/// A contract: `[[contract]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContractSettings {
    /// The metering point.
    pub point: String,
    /// Its tariff: the name of a file in `tariffs/`.
    pub tariff: String,
    /// Since when, in the site's time zone. Default: ever since.
    pub from: Option<String>,
    /// What the factors of the tariff are multiplied with, in quotes: `"0.6213"`.
    pub base_price: Option<String>,
    /// Contracted maximum demand in kilowatts; alarms at 90, 100 and 105 %.
    pub demand_kw: Option<f64>,
    /// Price per kilowatt and month where the tariff does not say it, in quotes.
    pub demand_price: Option<String>,
    /// Days that slots with `only_on` ask for: `hot_day = ["2026-07-15"]`.
    #[serde(default)]
    pub days: BTreeMap<String, Vec<String>>,
    /// The meter's own register of each period, to be compared: `peak = "meter-main.energy_import_t1_kwh"`.
    #[serde(default)]
    pub registers: BTreeMap<TariffPeriod, String>,
}

/// Reads a tariff. `calendars`: those of the catalogue. `series`: the text of a file beside it, by name.
pub fn tariff(
    id: &str,
    file: &TariffFile,
    calendars: &BTreeMap<String, Calendar>,
    series: &dyn Fn(&str) -> Option<String>,
) -> (Tariff, Vec<FileFinding>) {
    let mut findings = Vec::new();
    if file.format != TARIFF_FORMAT {
        findings.push(FileFinding::error(&["format"], format!("format {} is not known", file.format), "format = 1"));
    }
    let mut versions = Vec::new();
    for (i, settings) in file.version.iter().enumerate() {
        let mut found = Vec::new();
        versions.push(version(settings, calendars, series, &mut found));
        findings.extend(found.into_iter().map(|finding: FileFinding| finding.below(&["version", &i.to_string()])));
    }
    versions.sort_by_key(|version: &TariffVersion| version.from);
    let (id, zh, en) = (id.to_string(), file.zh.clone(), file.en.clone());
    let (source, currency) = (file.source.clone(), file.currency.clone());
    (Tariff { id, zh, en, source, currency, versions }, findings)
}

fn version(
    settings: &TariffVersionSettings,
    calendars: &BTreeMap<String, Calendar>,
    series: &dyn Fn(&str) -> Option<String>,
    findings: &mut Vec<FileFinding>,
) -> TariffVersion {
    let mut date = |key: &str, text: &str| {
        let date = text.parse::<Date>().ok();
        if date.is_none() {
            findings.push(FileFinding::error(
                &[key],
                format!("`{text}` is no date"),
                format!("{key} = \"2026-01-01\""),
            ));
        }
        date
    };
    let from = date("from", &settings.from).unwrap_or_default();
    let to = settings.to.as_deref().and_then(|to| date("to", to));
    let needs_calendar = settings.slot.iter().any(|slot| matches!(slot.days, DayKind::Working | DayKind::Free));
    let calendar = settings.calendar.as_ref().and_then(|name| calendars.get(name)).cloned();
    match &settings.calendar {
        Some(name) if calendar.is_none() => {
            let near = did_you_mean(name, calendars.keys().map(String::as_str));
            findings.push(FileFinding::error(&["calendar"], format!("unknown calendar `{name}`"), near));
        }
        None if needs_calendar => {
            let what = "slots ask for working days, and no calendar says which they are";
            findings.push(FileFinding::error(&["from"], what, "calendar = \"cn\", or days = \"monday_to_friday\""));
        }
        _ => {}
    }
    let slots = settings.slot.iter().enumerate().map(|(i, slot)| {
        let (times, mut wrong) = (times(slot), Vec::new());
        if times.is_none() {
            let what = format!("`{}` are no times", slot.times.join(", "));
            wrong.push(FileFinding::error(
                &["times"],
                what,
                "from and to at full quarter hours: \"10:00-12:30\", \"22:00-24:00\"",
            ));
        }
        if slot.months.iter().any(|month| !(1..=12).contains(month)) {
            wrong.push(FileFinding::error(&["months"], "a month is a number from 1 to 12", "months = [7, 8, 9]"));
        }
        findings.extend(wrong.into_iter().map(|finding| finding.below(&["slot", &i.to_string()])));
        let (period, months, days) = (slot.period, slot.months.clone(), slot.days);
        Slot { period, months, days, only_on: slot.only_on.clone(), minutes: times.unwrap_or_default() }
    });
    let slots: Vec<Slot> = slots.collect();
    let prices = decimals("prices", &settings.prices, findings);
    let factors = decimals("factors", &settings.factors, findings);
    let used: BTreeSet<TariffPeriod> = slots.iter().map(|slot| slot.period).chain(settings.otherwise).collect();
    for period in used.iter().filter(|p| !prices.contains_key(p) && !factors.contains_key(p)) {
        let what = format!("`{}` has neither a price nor a factor", period.word());
        findings.push(FileFinding::error(&["prices"], what, format!("{} = \"…\"", period.word())));
    }
    if settings.series.is_none() && settings.otherwise.is_none() {
        let what = "nothing says what holds outside of the slots";
        findings.push(FileFinding::error(&["from"], what, "otherwise = \"flat\", or series = \"prices.csv\""));
    }
    let series = settings.series.as_deref().map(|name| price_series(name, series(name), findings)).unwrap_or_default();
    let demand = settings.demand.as_ref().map(|demand| demand_part(demand, findings));
    TariffVersion { from, to, calendar, otherwise: settings.otherwise, slots, prices, factors, series, demand }
}

/// Times as minutes of the day; `None`: one of them is none.
fn times(slot: &SlotSettings) -> Option<Vec<(u16, u16)>> {
    let minute = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        let at = hour * 60 + minute;
        (hour <= 24 && minute < 60 && at <= 1_440 && at.is_multiple_of(15)).then_some(at)
    };
    let mut out = Vec::new();
    for text in &slot.times {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute(from)?, minute(to)?);
        // A time that goes over midnight is two.
        match from.cmp(&to) {
            std::cmp::Ordering::Less => out.push((from, to)),
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => out.extend([(from, 1_440), (0, to)]),
        }
    }
    (!out.is_empty()).then_some(out)
}

fn decimals(
    key: &str,
    texts: &BTreeMap<TariffPeriod, String>,
    findings: &mut Vec<FileFinding>,
) -> BTreeMap<TariffPeriod, Decimal> {
    let mut out = BTreeMap::new();
    for (period, text) in texts {
        match text.parse::<Decimal>() {
            Ok(value) => _ = out.insert(*period, value),
            Err(_) => {
                let what = format!("`{text}` is no number");
                findings.push(FileFinding::error(
                    &[key, period.word()],
                    what,
                    format!("{} = \"1.0234\"", period.word()),
                ));
            }
        }
    }
    out
}

/// Lines of `start,price`: moments with their offsets from UTC, rising.
fn price_series(name: &str, text: Option<String>, findings: &mut Vec<FileFinding>) -> Vec<(UnixMillis, Decimal)> {
    let mut error = |what: String, hint: &str| findings.push(FileFinding::error(&["series"], what, hint));
    let Some(text) = text else {
        error(format!("there is no file `{name}` beside the tariff"), "a CSV file with the columns start and price");
        return Vec::new();
    };
    let text = text.trim_start_matches('\u{feff}');
    let delimiter = if text.lines().next().is_some_and(|head| head.contains(';')) { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.delimiter(delimiter).trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let mut out: Vec<(UnixMillis, Decimal)> = Vec::new();
    for record in reader.records() {
        let record = record.unwrap_or_default();
        let line = record.position().map_or(0, csv::Position::line);
        let parsed = record.get(0).zip(record.get(1)).and_then(|(start, price)| {
            let at = start.parse::<jiff::Timestamp>().ok()?;
            Some((UnixMillis(at.as_millisecond()), price.parse::<Decimal>().ok()?))
        });
        match parsed {
            Some((at, _)) if out.last().is_some_and(|(last, _)| at <= *last) => {
                error(format!("line {line} of `{name}` is not later than the one before"), "each line begins later");
                return Vec::new();
            }
            Some(price) => out.push(price),
            None => {
                let text = record.iter().collect::<Vec<_>>().join(",");
                let what = format!("line {line} of `{name}` is no price: `{text}`");
                error(what, "2026-03-01T00:00+08:00,0.4213");
                return Vec::new();
            }
        }
    }
    if out.is_empty() {
        error(format!("`{name}` has no prices"), "its first line names the columns: start,price");
    }
    out
}

fn demand_part(settings: &DemandSettings, findings: &mut Vec<FileFinding>) -> DemandPart {
    let mut price = None;
    if let Some(text) = &settings.price {
        price = text.parse().ok();
        if price.is_none() {
            findings.push(FileFinding::error(
                &["demand", "price"],
                format!("`{text}` is no number"),
                "price = \"38.4\"",
            ));
        }
    }
    if settings.months > 24 {
        findings.push(FileFinding::error(&["demand", "months"], "a mean of more than 24 months", "months = 12"));
    }
    let decimal = |value: f64| Decimal::try_from(value).unwrap_or_default();
    let floor_kw = decimal(settings.floor_kw);
    let basis = match settings.basis {
        DemandBasisKind::Maximum => DemandBasis::Maximum { floor_kw },
        DemandBasisKind::Contract => DemandBasis::Contract {
            tolerance_pct: decimal(settings.tolerance_pct),
            excess_factor: decimal(settings.excess_factor),
        },
        DemandBasisKind::MeanOfMonths => DemandBasis::MeanOfMonths { months: settings.months, floor_kw },
    };
    DemandPart { price, basis }
}

/// What contracts refer to.
#[derive(Clone, Copy)]
pub struct ContractTables<'a> {
    /// `[[contract]]`, in the order of the files.
    pub contracts: &'a [&'a ContractSettings],
    pub plan: &'a MeteringPlan,
    /// Tariffs of the catalogue.
    pub tariffs: &'a BTreeMap<String, Arc<Tariff>>,
    pub registers: &'a KnownRegisters,
    pub zone: &'a TimeZone,
    /// Some table could not be read: what is not there may stand in it.
    pub is_incomplete: bool,
}

/// Checks contracts. A finding's path is the number of the entry, and the key.
pub fn contracts(tables: ContractTables<'_>) -> (Vec<Contract>, Vec<FileFinding>) {
    let (mut out, mut findings) = (Vec::<Contract>::new(), Vec::new());
    for (i, settings) in tables.contracts.iter().enumerate() {
        let mut found = Vec::new();
        if let Some(contract) = contract(settings, tables, &mut found) {
            if out.iter().any(|other| other.point == contract.point && other.from == contract.from) {
                let what = format!("two contracts are on the metering point `{}` at one time", contract.point);
                found.push(FileFinding::error(
                    &["point"],
                    what,
                    "from = \"2026-03-01\" says since when the second one holds",
                ));
            }
            out.push(contract);
        }
        findings.extend(found.into_iter().map(|finding: FileFinding| finding.below(&[&i.to_string()])));
    }
    out.sort_by(|a, b| (&a.point, a.from).cmp(&(&b.point, b.from)));
    (out, findings)
}

fn contract(settings: &ContractSettings, tables: ContractTables<'_>, found: &mut Vec<FileFinding>) -> Option<Contract> {
    let mut error = |path: &[&str], what: String, hint: String| found.push(FileFinding::error(path, what, hint));
    let is_known = |is_there: bool| is_there || tables.is_incomplete;
    if !is_known(tables.plan.points.contains_key(&settings.point)) {
        let near = did_you_mean(&settings.point, tables.plan.points.keys().map(String::as_str));
        error(&["point"], format!("there is no metering point `{}`", settings.point), near);
    }
    let tariff = tables.tariffs.get(&settings.tariff).cloned();
    if tariff.is_none() {
        let near = did_you_mean(&settings.tariff, tables.tariffs.keys().map(String::as_str));
        error(&["tariff"], format!("there is no tariff `{}`", settings.tariff), near);
    }
    let from = settings.from.as_deref().map(|text| moment(text, tables.zone));
    if from == Some(None) {
        let text = settings.from.clone().unwrap_or_default();
        error(&["from"], format!("`{text}` is no date"), "from = \"2026-03-01\", in the site's time zone".to_string());
    }
    let mut number = |key: &str, text: &Option<String>| {
        let value = text.as_deref().map(str::parse::<Decimal>);
        if let Some(Err(_)) = value {
            let what = format!("`{}` is no number", text.as_deref().unwrap_or_default());
            error(&[key], what, format!("{key} = \"0.6213\""));
        }
        value.and_then(Result::ok)
    };
    let base_price = number("base_price", &settings.base_price);
    let demand_price = number("demand_price", &settings.demand_price);
    let demand_kw = settings.demand_kw.and_then(|kw| Decimal::try_from(kw).ok()).filter(|kw| *kw > Decimal::ZERO);
    if settings.demand_kw.is_some() && demand_kw.is_none() {
        error(&["demand_kw"], "a contract's demand is above 0 kW".to_string(), "demand_kw = 1000".to_string());
    }
    let versions = || tariff.iter().flat_map(|tariff| &tariff.versions);
    if base_price.is_none() && versions().any(|version| version.prices.is_empty() && !version.factors.is_empty()) {
        let what = format!("the tariff `{}` has factors, and no base price", settings.tariff);
        error(&["tariff"], what, "base_price = \"0.6213\"".to_string());
    }
    let demand_of = |version: &TariffVersion| version.demand.clone();
    let needs_contract = |demand: &DemandPart| matches!(demand.basis, DemandBasis::Contract { .. });
    if demand_kw.is_none() && versions().filter_map(demand_of).any(|demand| needs_contract(&demand)) {
        let what = format!("the tariff `{}` charges the contract's demand", settings.tariff);
        error(&["tariff"], what, "demand_kw = 1000".to_string());
    }
    let lists: BTreeSet<&str> = versions().flat_map(|v| &v.slots).filter_map(|slot| slot.only_on.as_deref()).collect();
    let mut days = BTreeMap::new();
    for (list, dates) in &settings.days {
        if !lists.contains(list.as_str()) {
            error(
                &["days", list],
                format!("the tariff asks for no days `{list}`"),
                did_you_mean(list, lists.iter().copied()),
            );
        }
        let parsed: Option<BTreeSet<Date>> = dates.iter().map(|date| date.parse().ok()).collect();
        if parsed.is_none() {
            error(&["days", list], format!("`{}` are no dates", dates.join(", ")), "[\"2026-07-15\"]".to_string());
        }
        days.insert(list.clone(), parsed.unwrap_or_default());
    }
    for (period, register) in &settings.registers {
        if !is_known(tables.registers.contains_key(register)) {
            let near = did_you_mean(register, tables.registers.keys().map(String::as_str));
            error(&["registers", period.word()], format!("there is no cumulative register `{register}`"), near);
        }
    }
    let (point, registers) = (settings.point.clone(), settings.registers.clone());
    let from = from.flatten().unwrap_or(UnixMillis(i64::MIN));
    Some(Contract { point, from, tariff: tariff?, base_price, demand_kw, demand_price, days, registers })
}
