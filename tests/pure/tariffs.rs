//! Tariffs, costs and demand: worked examples, by hand in the comments.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use plantroom::config::builtin;
use plantroom::config::doc::Problems;
use plantroom::energy::closure::Signature;
use plantroom::energy::consumption::Consumption;
use plantroom::energy::cost::{DemandCharge, demand_charge, demand_cost, energy_costs, to_cents};
use plantroom::energy::decision::Decisions;
use plantroom::energy::demand::sliding_maximum;
use plantroom::energy::entry::EntryVersion;
use plantroom::energy::profile::Profile;
use plantroom::energy::summary::Summary;
use plantroom::energy::tariff::{Contract, DemandBasis, Tariff, TariffPeriod};
use plantroom::energy::tariff_file::{TariffFile, tariff};
use plantroom::model::metering::{RegisterEntry, RegisterReading, TimeRange};
use plantroom::model::time::UnixMillis;
use plantroom::report::cost::{CostSubject, costs};
use plantroom::report::table::Cell;
use rust_decimal::Decimal;

use crate::energy::Kept;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn moment(text: &str, zone: &TimeZone) -> UnixMillis {
    let civil: jiff::civil::DateTime = text.parse().unwrap();
    UnixMillis(civil.to_zoned(zone.clone()).unwrap().timestamp().as_millisecond())
}

fn builtin_tariff(id: &str) -> Arc<Tariff> {
    let mut problems = Problems::default();
    let catalogue = builtin::read(None, &mut problems);
    assert!(problems.list.is_empty(), "{:?}", problems.list);
    Arc::clone(&catalogue.tariffs[id])
}

fn contract(tariff: Arc<Tariff>, base_price: &str) -> Contract {
    Contract {
        point: "p".to_string(),
        from: UnixMillis(i64::MIN),
        tariff,
        base_price: Some(decimal(base_price)),
        demand_kw: Some(decimal("1000")),
        demand_price: None,
        days: BTreeMap::new(),
        registers: BTreeMap::new(),
    }
}

/// One kilowatt, always.
fn one_kilowatt(from: UnixMillis, to: UnixMillis) -> Consumption {
    let hours = Decimal::from(to.0 - from.0) / Decimal::from(3_600_000);
    let entry = |at, value| RegisterEntry::Reading { reading: RegisterReading { at, value } };
    let version = |entry| EntryVersion { entry, signature: Signature::default() };
    let entered = Decisions::default().with_entries(&[entry(from, Decimal::ZERO), entry(to, hours)].map(version));
    Consumption::of_register(Profile::new(&[], &[], &entered, 900_000))
}

/// Hours of each period in a range.
fn hours(contract: &Contract, from: &str, to: &str, zone: &TimeZone) -> String {
    let range = TimeRange { from: moment(from, zone), to: moment(to, zone) };
    let mut sums: BTreeMap<Option<TariffPeriod>, i64> = BTreeMap::new();
    for time in contract.priced_times(range, zone) {
        *sums.entry(time.period).or_default() += time.range.to.0 - time.range.from.0;
    }
    let word = |period: &Option<TariffPeriod>| period.map_or("none", TariffPeriod::word);
    let hours = |ms: i64| Decimal::new(ms / 36_000, 2).normalize();
    sums.iter().map(|(period, ms)| format!("{} {}", word(period), hours(*ms))).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_periods_of_two_provinces() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let mut guangdong = contract(builtin_tariff("guangdong-2021"), "0.6");
    // July: peak 10-12 and 14-19 without 11-12 and 15-17, which are sharp; valley 0-8; the rest of the 24 hours is flat.
    assert_eq!(hours(&guangdong, "2026-07-15T00:00", "2026-07-16T00:00", &zone), "sharp 3, peak 4, flat 9, valley 8");
    assert_eq!(hours(&guangdong, "2026-06-15T00:00", "2026-06-16T00:00", &zone), "peak 7, flat 9, valley 8");
    // A hot day is announced the evening before, and listed.
    guangdong.days.insert("hot_day".to_string(), ["2026-06-15".parse().unwrap()].into());
    assert_eq!(
        hours(&guangdong, "2026-06-15T00:00", "2026-06-17T00:00", &zone),
        "sharp 3, peak 11, flat 18, valley 16"
    );
    // Before the tariff began there is none.
    assert_eq!(hours(&guangdong, "2021-09-30T23:00", "2021-10-01T01:00", &zone), "none 1, valley 1");
    // Half hours, a valley at noon, and one over midnight: 22-24 and 0-5 and 11:30-12:30.
    let liaoning = contract(builtin_tariff("liaoning-2023-draft"), "0.6");
    assert_eq!(hours(&liaoning, "2026-03-02T00:00", "2026-03-03T00:00", &zone), "peak 8, flat 8, valley 8");
    assert_eq!(hours(&liaoning, "2026-01-02T00:00", "2026-01-03T00:00", &zone), "sharp 2, peak 6, flat 8, valley 8");
}

#[test]
fn what_a_day_in_july_costs_to_the_cent() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let contract = contract(builtin_tariff("guangdong-2021"), "0.6213");
    let range = TimeRange { from: moment("2026-07-15T00:00", &zone), to: moment("2026-07-16T00:00", &zone) };
    let rows = energy_costs(&one_kilowatt(range.from, range.to), &contract, range, &zone);
    let words: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "{} {} x {} = {}",
                row.period.unwrap().word(),
                row.consumed.unwrap().normalize(),
                row.price.unwrap(),
                row.cost.unwrap()
            )
        })
        .collect();
    // By hand: 3 x 0.6213 x 2.125 = 3.96078..; 4 x 0.6213 x 1.7 = 4.22484; 9 x 0.6213 = 5.5917; 8 x 0.6213 x 0.38 = 1.888752.
    assert_eq!(
        words,
        [
            "sharp 3 x 1.3202625 = 3.96",
            "peak 4 x 1.05621 = 4.22",
            "flat 9 x 0.6213 = 5.59",
            "valley 8 x 0.236094 = 1.89"
        ]
    );
    assert_eq!((to_cents(decimal("0.125")), to_cents(decimal("-0.125"))), (decimal("0.13"), decimal("-0.13")));
}

fn parsed(text: &str, series: &dyn Fn(&str) -> Option<String>) -> (Tariff, Vec<String>) {
    let file: TariffFile = toml::from_str(text).unwrap();
    let mut problems = Problems::default();
    let catalogue = builtin::read(None, &mut problems);
    let (tariff, findings) = tariff("t", &file, &catalogue.calendars, series);
    (tariff, findings.iter().map(|f| format!("{}: {}", f.path.join("."), f.message)).collect())
}

const HEAD: &str = "format = 1\nsource = \"x\"\ncurrency = \"EUR\"\n";

#[test]
fn days_when_the_clocks_change_have_23_and_25_hours_of_tariff() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let text = format!(
        "{HEAD}[[version]]\nfrom = \"2020-01-01\"\notherwise = \"flat\"\nprices = {{ flat = \"0.3\", valley = \"0.2\" }}\n[[version.slot]]\nperiod = \"valley\"\ntimes = [\"02:00-03:00\", \"22:00-24:00\"]\n"
    );
    let (tariff, said) = parsed(&text, &|_| None);
    assert_eq!(said, Vec::<String>::new());
    let contract = contract(Arc::new(tariff), "1");
    // The hour from 2 to 3 does not exist on 29 March, and is there twice on 25 October.
    assert_eq!(hours(&contract, "2026-03-29T00:00", "2026-03-30T00:00", &zone), "flat 21, valley 2");
    assert_eq!(hours(&contract, "2026-10-25T00:00", "2026-10-26T00:00", &zone), "flat 21, valley 4");
}

#[test]
fn nobody_guesses_whether_a_day_of_an_unknown_year_is_worked() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let text = format!(
        "{HEAD}[[version]]\nfrom = \"2020-01-01\"\notherwise = \"flat\"\ncalendar = \"cn\"\nprices = {{ flat = \"0.3\", peak = \"0.5\" }}\n[[version.slot]]\nperiod = \"peak\"\ndays = \"working\"\ntimes = [\"08:00-12:00\"]\n"
    );
    let (tariff, said) = parsed(&text, &|_| None);
    assert_eq!(said, Vec::<String>::new());
    let contract = contract(Arc::new(tariff), "1");
    // 1 October is free, 10 October is a Saturday that is worked; the calendar ends with 2026.
    assert_eq!(hours(&contract, "2026-10-01T00:00", "2026-10-02T00:00", &zone), "flat 24");
    assert_eq!(hours(&contract, "2026-10-10T00:00", "2026-10-11T00:00", &zone), "peak 4, flat 20");
    assert_eq!(hours(&contract, "2027-01-04T00:00", "2027-01-05T00:00", &zone), "none 4, flat 20");
    let range = TimeRange { from: moment("2027-01-04T00:00", &zone), to: moment("2027-01-05T00:00", &zone) };
    let rows = energy_costs(&one_kilowatt(range.from, range.to), &contract, range, &zone);
    let words: Vec<_> = rows.iter().map(|row| (row.period.map(TariffPeriod::word), row.cost)).collect();
    assert_eq!(words, [(None, None), (Some("flat"), Some(decimal("6.00")))]);
}

#[test]
fn prices_by_the_half_hour_from_a_file() {
    let zone = TimeZone::UTC;
    let text = format!("{HEAD}[[version]]\nfrom = \"2026-01-01\"\nseries = \"p.csv\"\n");
    let prices = "start,price\n2026-03-01T00:00Z,0.10\n2026-03-01T00:30Z,0.25\n2026-03-01T01:00Z,-0.05\n";
    let (tariff, said) = parsed(&text, &|name| (name == "p.csv").then(|| prices.to_string()));
    assert_eq!(said, Vec::<String>::new());
    let contract = contract(Arc::new(tariff), "1");
    let of = |to: &str| {
        let range = TimeRange { from: moment("2026-03-01T00:00", &zone), to: moment(to, &zone) };
        let rows = energy_costs(&one_kilowatt(range.from, range.to), &contract, range, &zone);
        rows.iter()
            .map(|r| (r.consumed.unwrap().normalize().to_string(), r.cost.map(|c| c.to_string())))
            .collect::<Vec<_>>()
    };
    // 0.5 x 0.10 + 0.5 x 0.25 - 0.5 x 0.05 = 0.15; after the last half hour there is no price.
    assert_eq!(of("2026-03-01T01:30"), [("1.5".to_string(), Some("0.15".to_string()))]);
    assert_eq!(of("2026-03-01T02:00"), [("0.5".to_string(), None), ("1.5".to_string(), Some("0.15".to_string()))]);
    for (wrong, why) in [
        (
            "start,price\n2026-03-01T00:30Z,0.1\n2026-03-01T00:00Z,0.1\n",
            "line 3 of `p.csv` is not later than the one before",
        ),
        ("start,price\n2026-03-01,0.1\n", "line 2 of `p.csv` is no price: `2026-03-01,0.1`"),
        ("start,price\n", "`p.csv` has no prices"),
    ] {
        assert_eq!(parsed(&text, &|_| Some(wrong.to_string())).1, [format!("version.0.series: {why}")]);
    }
    assert_eq!(parsed(&text, &|_| None).1, ["version.0.series: there is no file `p.csv` beside the tariff"]);
}

#[test]
fn tariffs_that_cannot_be() {
    let text = format!(
        "{HEAD}[[version]]\nfrom = \"2026-13-01\"\ncalendar = \"cm\"\nprices = {{ flat = \"cheap\" }}\n[[version.slot]]\nperiod = \"peak\"\ntimes = [\"10:07-12:00\"]\nmonths = [13]\ndays = \"working\"\n"
    );
    assert_eq!(
        parsed(&text, &|_| None).1,
        [
            "version.0.from: `2026-13-01` is no date",
            "version.0.calendar: unknown calendar `cm`",
            "version.0.slot.0.times: `10:07-12:00` are no times",
            "version.0.slot.0.months: a month is a number from 1 to 12",
            "version.0.prices.flat: `cheap` is no number",
            "version.0.prices: `peak` has neither a price nor a factor",
            "version.0.from: nothing says what holds outside of the slots",
        ]
    );
    let wrong =
        [("24:00-24:00", false), ("22:00-24:00", true), ("24:15-01:00", false), ("1-2", false), ("23:00-01:00", true)];
    for (times, is_right) in wrong {
        let text = format!(
            "{HEAD}[[version]]\nfrom = \"2026-01-01\"\notherwise = \"flat\"\nprices = {{ flat = \"1\" }}\n[[version.slot]]\nperiod = \"flat\"\ntimes = [\"{times}\"]\n"
        );
        assert_eq!(parsed(&text, &|_| None).1.is_empty(), is_right, "{times}");
    }
}

#[test]
fn the_demand_that_is_charged() {
    let contract = contract(builtin_tariff("guangdong-2021"), "1");
    let charged = |basis, maxima: &[&str]| {
        let maxima: Vec<Decimal> = maxima.iter().map(|kw| decimal(kw)).collect();
        demand_cost(&contract, basis, decimal("38.4"), &maxima)
            .map(|d| (d.charged_kw.normalize().to_string(), d.cost.to_string()))
    };
    let said = |kw: &str, cost: &str| Some((kw.to_string(), cost.to_string()));
    // 〔2016〕633: up to 105 % of the contract the contract is charged; above, what is beyond 105 % once more: 1,100 + 50.
    let with_tolerance = DemandBasis::Contract { tolerance_pct: decimal("5"), excess_factor: decimal("2") };
    assert_eq!(charged(with_tolerance, &["700"]), said("1000", "38400.00"));
    assert_eq!(charged(with_tolerance, &["1050"]), said("1000", "38400.00"));
    assert_eq!(charged(with_tolerance, &["1100"]), said("1150", "44160.00"));
    // An older rule doubles all above the contract.
    let without = DemandBasis::Contract { tolerance_pct: decimal("0"), excess_factor: decimal("2") };
    assert_eq!(charged(without, &["1100"]), said("1200", "46080.00"));
    assert_eq!(charged(DemandBasis::Maximum { floor_kw: decimal("0") }, &["612.4"]), said("612.4", "23516.16"));
    // Belgium: the mean of the maxima of twelve months, each at least 2.5 kW. (4 + 2.5 + 3) / 3.
    let mean = DemandBasis::MeanOfMonths { months: 12, floor_kw: decimal("2.5") };
    assert_eq!(charged(mean, &["4", "1.1", "3"]).unwrap().0[..6].to_string(), "3.1666");
    assert_eq!(charged(mean, &[]), None);
}

#[test]
fn demand_in_blocks_and_in_windows_of_any_start() {
    // 6 kW from minute 7 to minute 22, nothing else: 1.5 kWh, of which 8 minutes lie in the first quarter hour.
    let readings: Vec<RegisterReading> = (0..=45)
        .map(|minute: i64| {
            let running = Decimal::from((minute - 7).clamp(0, 15));
            RegisterReading { at: UnixMillis(minute * 60_000), value: decimal("100") + running / Decimal::TEN }
        })
        .collect();
    let mut kept = Kept::new(None, None);
    readings.iter().for_each(|reading| kept.read(reading.at.0, reading.value));
    let profile = kept.profile(&Decisions::default());
    let consumption = Consumption::of_register(profile.clone());
    let quarters = consumption.intervals(&[0, 15, 30, 45].map(|minute| UnixMillis(minute * 60_000)));
    let kilowatts: Vec<String> =
        quarters.iter().map(|q| (q.consumed.unwrap() * decimal("4")).normalize().to_string()).collect();
    assert_eq!(kilowatts, ["3.2", "2.8", "0"]);
    let summary = Summary::of(&consumption, (UnixMillis(0), UnixMillis(2_700_000)), 15, &TimeZone::UTC);
    assert_eq!(summary.max_demand().unwrap().1, decimal("3.2"));
    let sliding = sliding_maximum(&readings, 900_000, &profile).unwrap();
    assert_eq!(
        (sliding.rate.normalize(), sliding.from.at, sliding.to.at),
        (decimal("6"), UnixMillis(420_000), UnixMillis(1_320_000))
    );
    // A misread digit for a minute: no window that begins or ends with it sets a maximum.
    let mut spoilt = readings.clone();
    spoilt[40].value += decimal("1000");
    let mut kept = Kept::new(None, Some("50"));
    spoilt.iter().for_each(|reading| kept.read(reading.at.0, reading.value));
    let sliding = sliding_maximum(&spoilt, 900_000, &kept.profile(&Decisions::default())).unwrap();
    assert_eq!(sliding.rate.normalize(), decimal("6"));
    // Readings an hour apart have no window of a quarter of an hour.
    let hourly: Vec<RegisterReading> =
        (0..5).map(|h| RegisterReading { at: UnixMillis(h * 3_600_000), value: Decimal::from(h) }).collect();
    assert_eq!(sliding_maximum(&hourly, 900_000, &profile), None);
}

#[test]
fn a_charge_for_demand_belongs_to_a_whole_month_and_a_total_of_what_is_known_in_part_is_none() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let text = format!(
        "{HEAD}[[version]]\nfrom = \"2020-01-01\"\notherwise = \"flat\"\nprices = {{ flat = \"1\" }}\ndemand = {{ basis = \"maximum\", price = \"10\" }}\n"
    );
    let contract = contract(Arc::new(parsed(&text, &|_| None).0), "1");
    let at = |text: &str| moment(text, &zone);
    let (from, to) = (at("2026-03-01T00:00"), at("2026-04-01T00:00"));
    // A kilowatt from readings at every quarter hour, as a meter gives them.
    let mut kept = Kept::new(None, None);
    for i in 0..=(to.0 - from.0) / 900_000 {
        kept.read(from.0 + i * 900_000, decimal("100") + Decimal::from(i) / decimal("4"));
    }
    let consumption = Consumption::of_register(kept.profile(&Decisions::default()));
    let charge = |from: &str, to: &str| {
        demand_charge(&consumption, &contract, TimeRange { from: at(from), to: at(to) }, (15, &zone))
    };
    let whole = charge("2026-03-01T00:00", "2026-04-01T00:00");
    assert!(matches!(&whole, DemandCharge::Charged(cost) if cost.cost == decimal("10.00")), "{whole:?}");
    // Another contract follows within the month: charged once. A day, or the rest of the month, is no month.
    assert_eq!(charge("2026-03-01T00:00", "2026-03-10T00:00"), whole);
    assert_eq!(charge("2026-03-10T00:00", "2026-04-01T00:00"), DemandCharge::NotDue);
    assert_eq!(charge("2026-02-01T00:00", "2026-03-01T00:00"), DemandCharge::Unknown);
    let subject =
        CostSubject { point: "p", unit: "kWh", contracts: vec![&contract], consumption: &consumption, own: Vec::new() };
    let totals = |from: &str, to: &str, has_demand: bool| {
        let rows = costs(&subject, TimeRange { from: at(from), to: at(to) }, (15, &zone), has_demand);
        let totals = rows.into_iter().filter(|row| row[4] == Cell::Text("total".into()));
        totals.map(|row| row[9].clone()).collect::<Vec<_>>()
    };
    // 744 hours at 1, and 10 for a kilowatt.
    assert_eq!(totals("2026-03-01T00:00", "2026-04-01T00:00", true), [Cell::Number(decimal("754.00"))]);
    assert_eq!(totals("2026-03-05T00:00", "2026-03-06T00:00", false), [Cell::Number(decimal("24.00"))]);
    assert_eq!(totals("2026-02-27T00:00", "2026-03-02T00:00", false), [Cell::Empty, Cell::Number(decimal("24.00"))]);
}
