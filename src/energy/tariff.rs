//! Time-of-use tariffs: which price holds when. A tariff is dated data; a contract says which one holds at a metering point, since when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::calendar::Calendar;
use crate::model::metering::TimeRange;
use crate::model::time::UnixMillis;

/// Length of the slots of which prices are made. Tariffs change at half hours; zones differ from each other by quarter hours.
const SLOT_MS: i64 = 900_000;

/// What a tariff calls the hours of a day, the dearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TariffPeriod {
    /// 尖: the peak of the peak.
    Sharp,
    /// 峰.
    Peak,
    /// 平: what is neither.
    Flat,
    /// 谷.
    Valley,
    /// 深谷.
    DeepValley,
}

impl TariffPeriod {
    /// All of them.
    pub const ALL: [TariffPeriod; 5] =
        [TariffPeriod::Sharp, TariffPeriod::Peak, TariffPeriod::Flat, TariffPeriod::Valley, TariffPeriod::DeepValley];

    /// Its word in files, tables and tags.
    pub const fn word(self) -> &'static str {
        match self {
            TariffPeriod::Sharp => "sharp",
            TariffPeriod::Peak => "peak",
            TariffPeriod::Flat => "flat",
            TariffPeriod::Valley => "valley",
            TariffPeriod::DeepValley => "deep_valley",
        }
    }
}

/// Days on which a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    /// Every day.
    #[default]
    All,
    /// Working days of the calendar.
    Working,
    /// Days of the calendar that are not worked.
    Free,
    /// Monday to Friday, whatever the calendar says.
    MondayToFriday,
    /// Saturday and Sunday, whatever the calendar says.
    Weekend,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tariff {
    /// Its name in the configuration.
    pub id: String,
    /// Its name in Chinese.
    pub zh: String,
    /// Its name in English.
    pub en: String,
    /// Where its figures are from, with date.
    pub source: String,
    /// ISO 4217 code of the currency of its prices.
    pub currency: String,
    /// In order of their dates.
    pub versions: Vec<TariffVersion>,
}

/// A tariff from a date on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TariffVersion {
    pub from: Date,
    /// The first day on which it does not hold any more.
    pub to: Option<Date>,
    /// Working days; `None`: no slot asks for them.
    pub calendar: Option<Calendar>,
    /// What holds outside of all slots.
    pub otherwise: Option<TariffPeriod>,
    /// Slots; of those that hold at a moment, the last one counts.
    pub slots: Vec<Slot>,
    /// Prices per unit of consumption.
    pub prices: BTreeMap<TariffPeriod, Decimal>,
    /// Factors of a contract's base price.
    pub factors: BTreeMap<TariffPeriod, Decimal>,
    /// Prices from moment to moment, in order; a price holds until the next one, the last one for as long as the one before it.
    pub series: Vec<(UnixMillis, Decimal)>,
    /// The demand part of a two-part tariff.
    pub demand: Option<DemandPart>,
}

/// Times of a day.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    pub period: TariffPeriod,
    /// Months in which they hold, 1 to 12; empty: all.
    pub months: BTreeSet<i8>,
    /// Days on which they hold.
    pub days: DayKind,
    /// They hold on the days that a contract lists under this name, such as hot days that are announced the evening before.
    pub only_on: Option<String>,
    /// From minute of the day to before minute of the day.
    pub minutes: Vec<(u16, u16)>,
}

/// The demand part of a two-part tariff.
#[derive(Clone, Debug, PartialEq)]
pub struct DemandPart {
    /// Per kilowatt and month; `None`: the contract says it.
    pub price: Option<Decimal>,
    pub basis: DemandBasis,
}

/// Which demand is charged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DemandBasis {
    /// The month's maximum, at least a floor in kilowatts.
    Maximum {
        /// The least that is charged.
        floor_kw: Decimal,
    },
    /// The contract's demand up to a tolerance in percent; above it the maximum, and what is beyond the tolerance `excess_factor` times in all.
    Contract {
        /// In percent of the contract.
        tolerance_pct: Decimal,
        /// How often what is beyond the tolerance is charged.
        excess_factor: Decimal,
    },
    /// The mean of the maxima of so many months up to this one, each at least the floor.
    MeanOfMonths {
        months: u8,
        /// The least of each month.
        floor_kw: Decimal,
    },
}

/// A contract at a metering point from a moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    pub point: String,
    pub from: UnixMillis,
    pub tariff: Arc<Tariff>,
    /// What factors of the tariff are multiplied with.
    pub base_price: Option<Decimal>,
    /// Contracted maximum demand in kilowatts.
    pub demand_kw: Option<Decimal>,
    /// Per kilowatt and month, where the tariff does not say it.
    pub demand_price: Option<Decimal>,
    /// Days that slots with `only_on` ask for.
    pub days: BTreeMap<String, BTreeSet<Date>>,
    /// The meter's own register of each period, `device.point`.
    pub registers: BTreeMap<TariffPeriod, String>,
}

/// A time in which one price holds.
#[derive(Clone, Debug, PartialEq)]
pub struct PricedTime {
    /// From when to when.
    pub range: TimeRange,
    /// The period; `None`: prices of a series, or nobody knows (see the price).
    pub period: Option<TariffPeriod>,
    /// Per unit; `None`: no tariff holds, the calendar does not reach this day, or the period has no price.
    pub price: Option<Decimal>,
}

impl Contract {
    /// Times of one price each, in order, from one moment to another.
    pub fn priced_times(&self, range: TimeRange, zone: &TimeZone) -> Vec<PricedTime> {
        let mut out: Vec<PricedTime> = Vec::new();
        let mut at = range.from;
        while at < range.to {
            let next = UnixMillis((at.0.div_euclid(SLOT_MS) + 1) * SLOT_MS).min(range.to);
            let (period, price) = self.at(at, zone);
            match out.last_mut() {
                Some(last) if last.period == period && last.price == price => last.range.to = next,
                _ => out.push(PricedTime { range: TimeRange { from: at, to: next }, period, price }),
            }
            at = next;
        }
        out
    }

    /// Period and price at a moment.
    fn at(&self, at: UnixMillis, zone: &TimeZone) -> (Option<TariffPeriod>, Option<Decimal>) {
        let Some(local) = civil(at, zone) else { return (None, None) };
        let Some(version) = self.tariff.at(local.date()) else { return (None, None) };
        if !version.series.is_empty() {
            return (None, version.price_of_series(at));
        }
        let period = version.period(local, &self.days);
        let price = period.and_then(|period| {
            let own = version.prices.get(&period).copied();
            own.or_else(|| version.factors.get(&period)?.checked_mul(self.base_price?))
        });
        (period, price)
    }
}

/// Date and time of day in a zone.
fn civil(at: UnixMillis, zone: &TimeZone) -> Option<DateTime> {
    Some(Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone()).datetime())
}

impl Tariff {
    /// The version that holds on a day.
    pub fn at(&self, day: Date) -> Option<&TariffVersion> {
        let begun = self.versions.iter().rev().find(|version| version.from <= day)?;
        begun.to.is_none_or(|to| day < to).then_some(begun)
    }
}

impl TariffVersion {
    /// What a moment of a day is; `None`: a slot asks for working days of a year that the calendar does not cover.
    fn period(&self, local: DateTime, listed: &BTreeMap<String, BTreeSet<Date>>) -> Option<TariffPeriod> {
        let (day, time) = (local.date(), local.time());
        let minute = u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or_default();
        let mut period = self.otherwise;
        for slot in &self.slots {
            let is_month = slot.months.is_empty() || slot.months.contains(&day.month());
            let is_time = slot.minutes.iter().any(|(from, to)| (*from..*to).contains(&minute));
            let is_listed = slot.only_on.as_ref().is_none_or(|list| listed.get(list).is_some_and(|d| d.contains(&day)));
            if is_month && is_time && is_listed && self.is_day(slot.days, day)? {
                period = Some(slot.period);
            }
        }
        period
    }

    /// `None`: nobody knows whether the day is worked.
    fn is_day(&self, kind: DayKind, day: Date) -> Option<bool> {
        let is_weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        let is_working = || {
            let calendar = self.calendar.as_ref()?;
            calendar.until.is_none_or(|until| day <= until).then(|| calendar.is_working(day))
        };
        match kind {
            DayKind::All => Some(true),
            DayKind::MondayToFriday => Some(!is_weekend),
            DayKind::Weekend => Some(is_weekend),
            DayKind::Working => is_working(),
            DayKind::Free => is_working().map(|is_working| !is_working),
        }
    }

    fn price_of_series(&self, at: UnixMillis) -> Option<Decimal> {
        let next = self.series.partition_point(|(from, _)| *from <= at);
        let (from, price) = *self.series.get(next.checked_sub(1)?)?;
        let ends = match (self.series.get(next), next) {
            (Some((end, _)), _) => *end,
            // The last price holds for as long as the one before it.
            (None, 1) => UnixMillis(from.0 + 2 * SLOT_MS),
            (None, _) => UnixMillis(from.0 + (from.0 - self.series[next - 2].0.0)),
        };
        (at < ends).then_some(price)
    }
}
