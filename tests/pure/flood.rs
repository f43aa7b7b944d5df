//! Flood: documents of warning services, what of them is in force, and the level that follows.

use plantroom::config::builtin;
use plantroom::config::doc::Problems;
use plantroom::flood::area::SitePlace;
use plantroom::flood::level::{FloodLevel, Inputs, LevelChange};
use plantroom::flood::pumping::{Pumping, SumpGeometry, SumpSample};
use plantroom::flood::rain::{RAIN_HOURS, RainSums};
use plantroom::flood::scheme::{Meaning, Scheme};
use plantroom::flood::warnings::{FeedRules, Outcome, WarningEnd, Warnings};
use plantroom::intake::cap::{self, CapDocument, CapError};
use plantroom::intake::xml::{BYTES_MAX, XmlError};
use plantroom::model::time::{MonotonicMillis, Now, UnixMillis};
use plantroom::model::warning::{Position, Warning, WarningId, WarningKind, WarningStatus};
use plantroom::simulate::Scenario;
use plantroom::simulate::water::Water;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

pub fn fixtures() -> Vec<(String, Vec<u8>)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cap");
    let mut out: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    out.sort();
    out.iter()
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_string(), std::fs::read(path).unwrap()))
        .collect()
}

fn document(name: &str) -> CapDocument {
    let (_, bytes) = fixtures().into_iter().find(|(stem, _)| stem == name).unwrap();
    cap::read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn message(name: &str) -> Warning {
    match document(name) {
        CapDocument::Warning(warning) => *warning,
        CapDocument::List(list) => panic!("{name}: {list:?}"),
    }
}

fn schemes() -> std::collections::BTreeMap<String, std::sync::Arc<Scheme>> {
    let mut problems = Problems::default();
    let schemes = builtin::read(None, &mut problems).flood_schemes;
    assert!(!problems.any_error());
    schemes
}

/// A moment so long after the beginning of August 2026 in China, and after the start.
fn at(ms: u64) -> Now {
    let begin: jiff::Timestamp = "2026-08-01T00:00:00+08:00".parse().unwrap();
    Now {
        mono: MonotonicMillis(ms),
        wall: UnixMillis(begin.as_millisecond() + i64::try_from(ms).unwrap()),
        wall_trusted: true,
    }
}

fn site(geocode: &str) -> SitePlace {
    SitePlace { geocodes: vec![geocode.to_string()], ..SitePlace::default() }
}

#[test]
fn documents_of_seven_services_are_read() {
    let red = message("cma-red");
    assert_eq!(red.id.identifier, "37061441600000_20260801133303");
    assert_eq!((red.status, red.kind), (WarningStatus::Actual, WarningKind::Alert));
    assert_eq!(red.sent, UnixMillis(1_785_562_383_000));
    assert_eq!(red.infos[1].headline, "莱山区气象台发布暴雨红色预警[Ⅰ级/特别严重]");
    assert_eq!((red.infos[1].expires, red.hash.len()), (None, 64));
    // The name of a person is not taken in.
    assert!(!format!("{red:?}").contains("张三"));
    assert!(!format!("{red:?}").contains("Zhang San"));

    let lifted = message("cma-lifted");
    assert_eq!((lifted.kind, &lifted.references), (WarningKind::Cancel, &vec![red.id.clone()]));

    let orange = message("meteoalarm-orange");
    assert_eq!(orange.infos[0].parameters[0], ("awareness_level".to_string(), "3; orange; Severe".to_string()));
    assert_eq!(orange.infos[0].areas[0].polygons[0].len(), 5);
    assert!(
        SitePlace { position: Some(Position { latitude: 53.3, longitude: 9.9 }), ..SitePlace::default() }
            .is_in(&orange.infos[0])
    );
    assert!(
        !SitePlace { position: Some(Position { latitude: 52.9, longitude: 9.9 }), ..SitePlace::default() }
            .is_in(&orange.infos[0])
    );

    let nws = message("nws-flood");
    assert_eq!(nws.infos[0].headline, "Flash Flood Warning issued August 1 at 9:12AM CDT & until 12:15PM");
    assert_eq!(nws.infos[0].description, "* WHAT...Flash flooding. <b>Move</b> to higher ground.");
    assert_eq!(nws.infos[0].event_codes, [("SAME".to_string(), "FFW".to_string())]);

    let severe = message("ea-severe");
    assert_eq!(schemes()["uk-ea-3"].meaning(&severe.infos[0]), Meaning::Rank(3));
    assert!(
        SitePlace { position: Some(Position { latitude: 51.03, longitude: -1.5 }), ..SitePlace::default() }
            .is_in(&severe.infos[0])
    );

    assert_eq!(message("dwd-exercise").status, WarningStatus::Exercise);
    // A rainstorm of a colour that the scheme does not have.
    assert_eq!(schemes()["cn-rainstorm-4"].meaning(&message("hko-black").infos[0]), Meaning::UnknownLevel);

    let list = |name| match document(name) {
        CapDocument::List(list) => list,
        CapDocument::Warning(_) => panic!("{name}"),
    };
    assert_eq!(list("swic-list").len(), 2);
    assert_eq!(list("swic-list")[1], "https://example.org/cn/37061441600000_20260801190001.xml");
    assert_eq!(list("atom-list"), ["https://example.org/cap/1.xml", "https://example.org/cap/2.xml"]);
}

fn alert(inside: &str) -> String {
    format!(
        "<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"><identifier>a</identifier><sender>s</sender>\
         <sent>2026-08-01T00:00:00+08:00</sent><status>Actual</status><msgType>Alert</msgType>{inside}</alert>"
    )
}

#[test]
fn hostile_documents_are_refused_with_a_reason() {
    let refused = |text: &[u8]| cap::read(text).expect_err(&String::from_utf8_lossy(&text[..text.len().min(200)]));
    let bomb = "<!DOCTYPE a [<!ENTITY x \"lol\"><!ENTITY y \"&x;&x;&x;\">]><alert>&y;</alert>";
    assert_eq!(refused(bomb.as_bytes()), CapError::Xml(XmlError::DocumentType));
    assert_eq!(refused(&vec![b' '; BYTES_MAX + 1]), CapError::Xml(XmlError::TooLarge(BYTES_MAX + 1)));
    assert_eq!(refused(alert(&"<a>".repeat(1_000)).as_bytes()), CapError::Xml(XmlError::TooDeep));
    assert_eq!(refused(alert(&"<a/>".repeat(30_000)).as_bytes()), CapError::Xml(XmlError::TooMany));
    let areas = "<area><areaDesc>a</areaDesc></area>".repeat(9_000);
    assert_eq!(refused(alert(&format!("<info>{areas}</info>")).as_bytes()), CapError::TooMany);
    assert_eq!(refused(alert("&nbsp;").as_bytes()), CapError::Xml(XmlError::Entity("nbsp".to_string())));
    let attributes: String = (0..100).map(|i| format!(" a{i}=\"\"")).collect();
    assert_eq!(refused(alert(&format!("<info{attributes}/>")).as_bytes()), CapError::Xml(XmlError::TooMany));
    for namespace in ["", "urn:oasis:names:tc:emergency:cap:1.0", "http://example.org/"] {
        let other = alert("").replace("urn:oasis:names:tc:emergency:cap:1.2", namespace);
        assert!(matches!(refused(other.as_bytes()), CapError::Root { .. }), "{namespace}");
    }
    assert_eq!(refused(alert("").replace("<sender>s</sender>", "").as_bytes()), CapError::Missing("sender"));
    let no_zone = alert("").replace("+08:00", "");
    assert_eq!(refused(no_zone.as_bytes()), CapError::Sent("2026-08-01T00:00:00".to_string()));
    for text in ["", "{}", "<html><body>403</body></html>", "<alert", "<a></b>", "<a/><b/>", "\u{0}", "<x:alert/>"] {
        assert!(!refused(text.as_bytes()).to_string().is_empty(), "{text}");
    }
    // Not UTF-8, as declared.
    let latin = [
        &b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>"[..],
        alert("<info><headline>f\u{fc}nf</headline></info>").as_bytes(),
    ]
    .concat();
    assert!(matches!(cap::read(&latin), Ok(CapDocument::Warning(_))));
    assert!(matches!(refused(&[alert("").as_bytes(), &[0xff]].concat()), CapError::Xml(XmlError::Encoding(_))));
    // Order does not matter, nor what is missing but need not be.
    let CapDocument::Warning(bare) = cap::read(alert("<info/>").as_bytes()).unwrap() else { panic!("no warning") };
    assert!(bare.infos[0].areas.is_empty());
}

#[test]
fn words_of_levels_are_words() {
    let scheme = &schemes()["cn-rainstorm-4"];
    let meaning = |headline: &str| {
        let info = plantroom::model::warning::WarningInfo {
            event: "Rainstorm".to_string(),
            headline: headline.to_string(),
            ..Default::default()
        };
        scheme.meaning(&info)
    };
    assert_eq!(meaning("Heavy rain is predicted, it has been registered"), Meaning::UnknownLevel);
    assert_eq!(meaning("RED warning"), Meaning::Rank(4));
    assert_eq!(meaning("暴雨蓝色预警"), Meaning::Rank(1));
    assert_eq!(meaning("海淀区发布暴雨黄色预警[Ⅲ级/较重]"), Meaning::Rank(2));
    assert_eq!(meaning("暴雨[Ⅱ级/严重]"), Meaning::Rank(3));
    // From yellow to orange: the graver one counts.
    assert_eq!(meaning("暴雨黄色预警升级为橙色预警"), Meaning::Rank(3));
    assert_eq!(scheme.rank_of("red"), Some(4));
    assert_eq!(scheme.level(0), None);
}

/// A feed of the Chinese scheme and what it brought.
struct Feed {
    warnings: Warnings,
    scheme: std::sync::Arc<Scheme>,
    place: SitePlace,
}

impl Feed {
    fn new() -> Self {
        Self { warnings: Warnings::default(), scheme: schemes()["cn-rainstorm-4"].clone(), place: site("370614") }
    }

    fn take(&mut self, message: &Warning, now: Now) -> Outcome {
        self.take_of("cma", message, now)
    }

    fn take_of(&mut self, name: &str, message: &Warning, now: Now) -> Outcome {
        let rules = FeedRules { name, scheme: &self.scheme, place: Some(&self.place) };
        self.warnings.take(rules, message, now)
    }

    fn rank(&self) -> u8 {
        self.warnings.gravest(false).map_or(0, |warning| warning.rank)
    }
}

/// The red warning as another message.
fn like_red(identifier: &str, kind: WarningKind, references: &[&str], colour: &str) -> Warning {
    let mut out = message("cma-red");
    out.id.identifier = identifier.to_string();
    out.kind = kind;
    out.references =
        references.iter().map(|id| WarningId { identifier: (*id).to_string(), ..out.id.clone() }).collect();
    out.hash = format!("{identifier}{colour}");
    let (zh, en) = match colour {
        "red" => ("红色", "red"),
        "orange" => ("橙色", "orange"),
        "yellow" => ("黄色", "yellow"),
        _ => ("蓝色", "blue"),
    };
    out.infos[0].headline = format!("a {en} rainstorm warning");
    out.infos[1].headline = format!("暴雨{zh}预警");
    out
}

#[test]
fn a_warning_lasts_until_it_is_lifted_replaced_or_over() {
    let (two, later) = (at(14 * HOUR), at(19 * HOUR + MINUTE));
    let mut feed = Feed::new();
    assert_eq!(feed.take(&message("cma-red"), two), Outcome::InForce(4));
    assert_eq!(feed.take(&message("cma-red"), two), Outcome::Known);
    assert!(!feed.warnings.gravest(false).unwrap().says_expiry);
    let lifted = message("cma-lifted");
    assert_eq!(feed.take(&lifted, later), Outcome::Ended(vec![message("cma-red").id]));
    assert_eq!(feed.rank(), 0);
    // Played back, it stays lifted.
    assert_eq!(feed.take(&message("cma-red"), later), Outcome::Older);
    assert_eq!(feed.warnings.ended(&message("cma-red").id).unwrap().why, WarningEnd::Cancelled);

    // Replaced by a milder one.
    let mut feed = Feed::new();
    feed.take(&message("cma-red"), two);
    let orange = like_red("b", WarningKind::Update, &[&message("cma-red").id.identifier], "orange");
    assert_eq!(feed.take(&orange, two), Outcome::InForce(3));
    assert_eq!(feed.rank(), 3);
    // Without an expiry it lasts a day, then it is over and not lifted.
    assert!(feed.warnings.expire(at(37 * HOUR)).is_empty());
    assert_eq!(feed.warnings.expire(at(38 * HOUR)).len(), 1);
    assert_eq!(feed.warnings.ended(&orange.id).unwrap().why, WarningEnd::Expired);
    // An undated gateway ends nothing by date.
    feed.take(&like_red("c", WarningKind::Alert, &[], "blue"), two);
    assert!(feed.warnings.expire(Now { wall_trusted: false, ..at(99 * HOUR) }).is_empty());
}

#[test]
fn chains_count_in_whatever_order_they_come() {
    let a = like_red("a", WarningKind::Alert, &[], "yellow");
    let b = like_red("b", WarningKind::Update, &["a"], "orange");
    let c = like_red("c", WarningKind::Update, &["b"], "blue");
    let end = like_red("d", WarningKind::Cancel, &["c"], "blue");
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2], [0, 3, 2, 1]];
    for order in orders {
        let mut feed = Feed::new();
        let all = [&a, &b, &c, &end];
        for i in order {
            feed.take(all[i], at(14 * HOUR));
        }
        assert_eq!(feed.rank(), 0, "{order:?}");
        let mut feed = Feed::new();
        order.iter().filter(|i| **i < 3).for_each(|i| drop(feed.take(all[*i], at(14 * HOUR))));
        assert_eq!(feed.rank(), 1, "{order:?}");
    }
}

#[test]
fn two_warnings_overlap_and_the_graver_counts() {
    let mut feed = Feed::new();
    feed.take(&like_red("city", WarningKind::Alert, &[], "yellow"), at(14 * HOUR));
    feed.take(&like_red("county", WarningKind::Alert, &[], "red"), at(14 * HOUR));
    assert_eq!(feed.rank(), 4);
    feed.take(&like_red("x", WarningKind::Cancel, &["county"], "red"), at(15 * HOUR));
    assert_eq!(feed.rank(), 2);
}

#[test]
fn what_does_not_concern_the_site_changes_nothing() {
    let now = at(14 * HOUR);
    let mut feed = Feed::new();
    let mut elsewhere = like_red("a", WarningKind::Alert, &[], "red");
    elsewhere.infos.iter_mut().for_each(|info| info.areas[0].geocodes[0].1 = "370613000000".to_string());
    assert_eq!(feed.take(&elsewhere, now), Outcome::OtherArea);
    // A warning for the province is one for the county.
    elsewhere.infos.iter_mut().for_each(|info| info.areas[0].geocodes[0].1 = "370000000000".to_string());
    assert_eq!(feed.take(&elsewhere, now), Outcome::InForce(4));
    // A new version for another county ends it here.
    let mut moved = elsewhere.clone();
    moved.hash = "other".to_string();
    moved.infos.iter_mut().for_each(|info| info.areas[0].geocodes[0].1 = "370613000000".to_string());
    assert_eq!(feed.take(&moved, now), Outcome::Ended(vec![elsewhere.id.clone()]));

    let mut heat = like_red("heat", WarningKind::Alert, &[], "red");
    heat.infos
        .iter_mut()
        .for_each(|info| (info.event, info.headline) = ("高温".to_string(), "高温红色预警".to_string()));
    assert_eq!(feed.take(&heat, now), Outcome::OtherEvent);
    let mut test = like_red("test", WarningKind::Alert, &[], "red");
    test.status = WarningStatus::Other;
    assert_eq!(feed.take(&test, now), Outcome::NotActual);
    // An old document.
    assert_eq!(feed.take(&like_red("old", WarningKind::Alert, &[], "red"), at(60 * HOUR)), Outcome::Past);
    assert_eq!(feed.rank(), 0);
}

#[test]
fn an_exercise_and_another_feed_end_nothing_real() {
    let now = at(14 * HOUR);
    let mut feed = Feed::new();
    feed.take(&like_red("a", WarningKind::Alert, &[], "orange"), now);
    let mut drill = like_red("drill", WarningKind::Update, &["a"], "red");
    drill.status = WarningStatus::Exercise;
    assert_eq!(feed.take(&drill, now), Outcome::InForce(4));
    assert_eq!((feed.rank(), feed.warnings.gravest(true).unwrap().rank), (3, 4));
    assert_eq!(
        feed.take_of("forged", &like_red("b", WarningKind::Cancel, &["a"], "red"), now),
        Outcome::Ended(Vec::new())
    );
    assert_eq!(feed.rank(), 3);
    // A cancellation that names nothing ends nothing.
    assert_eq!(feed.take(&like_red("c", WarningKind::Cancel, &[], "red"), now), Outcome::Ended(Vec::new()));
    assert_eq!(feed.rank(), 3);
}

#[test]
fn odd_dates_neither_prolong_nor_end_a_warning_at_once() {
    let now = at(14 * HOUR);
    let hours = |hours: i64| UnixMillis(message("cma-red").sent.0 + hours * 3_600_000);
    let expires = |said: Option<UnixMillis>| {
        let mut feed = Feed::new();
        let mut warning = like_red("a", WarningKind::Alert, &[], "red");
        warning.infos.iter_mut().for_each(|info| info.expires = said);
        assert_eq!(feed.take(&warning, now), Outcome::InForce(4));
        let warning = feed.warnings.gravest(false).unwrap();
        (warning.expires, warning.says_expiry)
    };
    assert_eq!(expires(Some(hours(6))), (hours(6), true));
    // None, and one before it was sent: a day.
    assert_eq!(expires(None), (hours(24), false));
    assert_eq!(expires(Some(hours(-1_000))), (hours(24), false));
    // Ten months: three days.
    assert_eq!(expires(Some(hours(7_000))), (hours(72), false));
    // A service whose clock is a month ahead: three days from now.
    let mut feed = Feed::new();
    let mut ahead = like_red("a", WarningKind::Alert, &[], "red");
    ahead.sent = hours(30 * 24);
    ahead.infos[0].expires = Some(hours(31 * 24));
    feed.take(&ahead, now);
    assert_eq!(feed.warnings.gravest(false).unwrap().expires.0, now.wall.0 + 72 * 3_600_000);
}

#[test]
fn what_is_known_survives_a_restart() {
    let mut feed = Feed::new();
    feed.take(&like_red("a", WarningKind::Alert, &[], "red"), at(14 * HOUR));
    feed.take(&like_red("b", WarningKind::Cancel, &["z"], "red"), at(14 * HOUR));
    let kept = serde_json::to_vec(&feed.warnings).unwrap();
    feed.warnings = serde_json::from_slice(&kept).unwrap();
    assert_eq!(feed.rank(), 4);
    assert_eq!(feed.take(&like_red("a", WarningKind::Alert, &[], "red"), at(15 * HOUR)), Outcome::Known);
    assert_eq!(feed.take(&like_red("z", WarningKind::Alert, &[], "red"), at(15 * HOUR)), Outcome::Older);
}

#[test]
fn thousands_of_warnings_are_bounded_and_the_gravest_stay() {
    let now = at(14 * HOUR);
    let mut feed = Feed::new();
    feed.take(&like_red("grave", WarningKind::Alert, &[], "red"), now);
    for i in 0..3_000 {
        feed.take(&like_red(&format!("w{i}"), WarningKind::Alert, &[&format!("r{i}")], "blue"), now);
        feed.take(&like_red(&format!("c{i}"), WarningKind::Cancel, &[&format!("x{i}")], "blue"), now);
    }
    assert_eq!(feed.take(&like_red("one-more", WarningKind::Alert, &[], "blue"), now), Outcome::TooMany);
    assert_eq!(feed.take(&like_red("graver", WarningKind::Alert, &[], "yellow"), now), Outcome::InForce(2));
    assert_eq!((feed.rank(), feed.warnings.in_force().count()), (4, 200));
    assert!(serde_json::to_vec(&feed.warnings).unwrap().len() < 1_000_000);
}

/// The level over the minutes, as `minute: from>to`.
fn levels(inputs: impl Fn(u64) -> Inputs, minutes: u64) -> Vec<String> {
    let scheme = schemes()["cn-rainstorm-4"].clone();
    let hold = |rank| scheme.level(rank).map_or(0, |level| level.min_hold_ms);
    let mut level = FloodLevel::default();
    let step = |minute: u64| level.step(at(minute * MINUTE), inputs(minute), hold).map(|change| (minute, change));
    let said = |(minute, LevelChange { from, to, .. })| format!("{minute}: {from}>{to}");
    (0..minutes).filter_map(step).map(said).collect()
}

#[test]
fn the_level_goes_up_at_once_and_down_one_rank_at_a_time() {
    // Blue at 0, red from 10 to 60: two hours of red, two of orange, one of yellow, half of blue.
    let external = |minute| Inputs {
        external: if (10..60).contains(&minute) { 4 } else { u8::from(minute < 60) },
        ..Inputs::default()
    };
    assert_eq!(levels(external, 600), ["0: 0>1", "10: 1>4", "130: 4>3", "250: 3>2", "310: 2>1", "340: 1>0"]);
    // A person, the same.
    let manual = |minute| Inputs { manual: if minute < 30 { 2 } else { 0 }, ..Inputs::default() };
    assert_eq!(levels(manual, 200), ["0: 0>2", "60: 2>1", "90: 1>0"]);
}

#[test]
fn the_sites_own_water_holds_the_level_fifteen_minutes_longer() {
    // A burst main, no warning: red until minute 200, long after the hold.
    let local = |minute| Inputs { local: if minute < 200 { 4 } else { 0 }, ..Inputs::default() };
    assert_eq!(levels(local, 700), ["0: 0>4", "215: 4>3", "335: 3>2", "395: 2>1", "425: 1>0"]);
    // The feed says that all is over, the water does not.
    let against = |minute| Inputs {
        external: if minute < 5 { 3 } else { 0 },
        local: if minute < 300 { 2 } else { 0 },
        manual: 0,
    };
    assert_eq!(levels(against, 500), ["0: 0>3", "120: 3>2", "315: 2>1", "345: 1>0"]);
    // Water that comes again each ten minutes never lets it down.
    let flapping = |minute: u64| Inputs { local: u8::from(minute.is_multiple_of(10)), ..Inputs::default() };
    assert_eq!(levels(flapping, 500), ["0: 0>1"]);
}

#[test]
fn a_feed_that_flaps_makes_two_changes_and_not_hundred() {
    let flapping = |minute: u64| Inputs {
        external: if minute < 100 && minute.is_multiple_of(2) { 3 } else { 0 },
        ..Inputs::default()
    };
    assert_eq!(levels(flapping, 500), ["0: 0>3", "120: 3>2", "180: 2>1", "210: 1>0"]);
}

#[test]
fn a_manager_forces_the_level_down_until_more_is_demanded() {
    let hold = |_| HOUR;
    let mut level = FloodLevel::default();
    let red = Inputs { external: 4, ..Inputs::default() };
    level.step(at(0), red, hold);
    assert_eq!(level.force_down(1, red, 2 * HOUR, at(MINUTE)).map(|change| change.to), Some(1));
    assert_eq!(level.step(at(2 * MINUTE), red, hold), None);
    // The water rises: what was set against the warning does not hold against it.
    let water = Inputs { local: 2, ..red };
    assert_eq!(level.step(at(3 * MINUTE), water, hold).map(|change| (change.from, change.to)), Some((1, 4)));
    // Its time is over: the warning counts again.
    level.force_down(0, water, 2 * HOUR, at(4 * MINUTE));
    assert_eq!(level.step(at(HOUR), water, hold), None);
    assert_eq!(level.step(at(2 * HOUR + 4 * MINUTE), water, hold).map(|change| change.to), Some(4));
    // At most twelve hours; and not up.
    level.force_down(3, water, 100 * HOUR, at(3 * HOUR));
    assert_eq!(level.forced.unwrap().until, MonotonicMillis(15 * HOUR));
    assert_eq!(level.force_down(3, water, HOUR, at(3 * HOUR)), None);
}

#[test]
fn a_restart_goes_on_with_the_hold() {
    let hold = |_| 2 * HOUR;
    let mut level = FloodLevel::default();
    level.step(at(10 * HOUR), Inputs { external: 3, ..Inputs::default() }, hold);
    let kept = serde_json::to_vec(&level).unwrap();
    let mut level: FloodLevel = serde_json::from_slice(&kept).unwrap();
    // An hour later in a boot that began a minute ago.
    level.rebase(-i64::try_from(11 * HOUR - MINUTE).unwrap());
    let boot = |ms: u64| Now { mono: MonotonicMillis(ms), ..at(11 * HOUR) };
    assert_eq!(level.step(boot(MINUTE), Inputs::default(), hold), None);
    // Monotonic time does not go below zero: the hold begins at the boot at the earliest, so it is longer, never shorter.
    assert_eq!(level.step(boot(2 * HOUR - 1), Inputs::default(), hold), None);
    assert_eq!(level.step(boot(2 * HOUR), Inputs::default(), hold).map(|change| change.to), Some(2));
}

/// A simulated sump read every two seconds.
struct Sump {
    water: Water,
    pumping: Pumping,
    scenario: Scenario,
    seconds: u32,
    /// Steps of the transmitter in a metre.
    steps: f64,
}

/// Of the simulated plant: 4 m², floor at 2.4 m, pumps of 36 m³/h, 5.76 m³/h of ground water.
const SUMP: SumpGeometry = SumpGeometry { area_m2: 4.0, floor_m: 2.4 };

impl Sump {
    fn new(scenario: Scenario) -> Self {
        Self { water: Water::new(scenario), pumping: Pumping::default(), scenario, seconds: 0, steps: 1_000.0 }
    }

    fn run(&mut self, minutes: u32, powered: bool) {
        for _ in 0..minutes * 60 {
            self.seconds += 1;
            self.water.step(self.scenario, f64::from(self.seconds), 1.0, powered, 0.0);
            if self.seconds.is_multiple_of(2) {
                let running = self.water.pumps.iter().zip(0..).map(|(pump, i)| u8::from(pump.running) << i).sum();
                let level_m = (self.water.level_m() * self.steps).round() / self.steps;
                let at = MonotonicMillis(u64::from(self.seconds) * 1_000);
                self.pumping.sample(SumpSample { at, level_m, running }, SUMP);
            }
        }
    }
}

fn near(value: Option<f64>, right: f64, share: f64) -> bool {
    value.is_some_and(|value| (value - right).abs() <= right.abs() * share)
}

#[test]
fn the_capacity_of_each_pump_and_the_inflow_come_out_of_the_cycles() {
    let mut sump = Sump::new(Scenario::Calm);
    sump.run(12 * 60, true);
    for pump in 0..2 {
        let record = sump.pumping.pump(pump).unwrap();
        assert!(near(record.capacity_m3h(), 36.0, 0.05), "{record:?}");
        assert!(record.cycles >= 5, "{record:?}");
    }
    assert!(near(sump.pumping.inflow_m3h(SUMP), 5.76, 0.1), "{:?}", sump.pumping.inflow_m3h(SUMP));
    // Against one pump nothing rises; without any it takes as long as there is room.
    assert_eq!(sump.pumping.time_to_floor_min(1, SUMP), None);
    let room_m3 = (2.4 - sump.water.level_m()) * 4.0;
    assert!(near(sump.pumping.time_to_floor_min(0, SUMP), room_m3 / 5.76 * 60.0, 0.1));
    // What is kept goes on after a restart.
    let kept = serde_json::to_vec(&sump.pumping).unwrap();
    let read: Pumping = serde_json::from_slice(&kept).unwrap();
    assert_eq!(read.pump(1), sump.pumping.pump(1));
}

#[test]
fn a_transmitter_of_centimetres_is_enough() {
    let mut sump = Sump { steps: 100.0, ..Sump::new(Scenario::Calm) };
    sump.run(12 * 60, true);
    for pump in 0..2 {
        assert!(near(sump.pumping.pump(pump).unwrap().capacity_m3h(), 36.0, 0.05), "{:?}", sump.pumping.pump(pump));
    }
}

#[test]
fn in_a_rainstorm_the_inflow_is_that_of_the_rain_and_more_than_two_pumps_move_fills_the_sump() {
    // Cycles of a calm night first, so that capacities are known when the rain comes.
    let mut sump = Sump::new(Scenario::Calm);
    sump.run(12 * 60, true);
    sump.scenario = Scenario::Rainstorm;
    // The rain of the scenario is that of its first minutes: 42 mm/h from the third to the twentieth.
    sump.seconds = 0;
    let pumping = std::mem::take(&mut sump.pumping);
    sump.pumping = serde_json::from_slice(&serde_json::to_vec(&pumping).unwrap()).unwrap();
    sump.run(15, true);
    let rain_m3h = 0.042 * 1_500.0 * 0.9 + 5.76;
    assert!(near(sump.pumping.inflow_m3h(SUMP), rain_m3h, 0.08), "{:?} {rain_m3h}", sump.pumping.inflow_m3h(SUMP));
    // One pump alone: 26 m³/h too little.
    let room_m3 = (2.4 - sump.water.level_m()) * 4.0;
    assert!(near(sump.pumping.time_to_floor_min(1, SUMP), room_m3 / (rain_m3h - 36.0) * 60.0, 0.25));
    assert_eq!(sump.pumping.time_to_floor_min(3, SUMP), None);
}

#[test]
fn a_pump_that_moves_less_is_told_from_one_that_does_not() {
    // Cycles of ten minutes: 10 m³/h flow in, pump 1 moves 40 m³/h at first and 30 after its impeller is worn, pump 2 always 40.
    let mut pumping = Pumping::default();
    let (mut level, mut at) = (0.4, 0);
    let mut phase = |pumping: &mut Pumping, running: u8, moved: f64, until: f64| {
        let slope = (10.0 - moved) / 3_600.0 / SUMP.area_m2;
        while (slope > 0.0 && level < until) || (slope < 0.0 && level > until) {
            level += slope * 2.0;
            at += 2_000;
            pumping.sample(SumpSample { at: MonotonicMillis(at), level_m: level, running }, SUMP);
        }
    };
    for cycle in 0..40 {
        let (running, moved) = if cycle % 2 == 0 { (1, if cycle < 24 { 40.0 } else { 30.0 }) } else { (2, 40.0) };
        phase(&mut pumping, 0, 0.0, 1.0);
        phase(&mut pumping, running, moved, 0.4);
    }
    let drift = |pump: usize, rated| pumping.pump(pump).unwrap().drift_pct(rated);
    assert!(near(drift(0, None), 25.0, 0.05), "{:?}", drift(0, None));
    assert!(drift(1, None).unwrap().abs() < 1.0);
    // Beside a rating of 50.
    assert!(near(drift(1, Some(50.0)), 20.0, 0.05));
}

/// Whether the sums over 1, 3, 6, 12 and 24 hours at the end of `(minute, total of the gauge)` are these, to the tenth that falls between two
/// readings.
fn has_rain(totals: impl IntoIterator<Item = (u64, f64)>, right: [f64; 5]) -> bool {
    let mut rain = RainSums::default();
    let mut last = MonotonicMillis(0);
    for (minute, total) in totals {
        last = MonotonicMillis(minute * MINUTE);
        rain.total(last, total);
    }
    let sum = |hours: u8| rain.sum_mm(hours, last).unwrap();
    RAIN_HOURS.iter().zip(right).all(|(hours, right)| (sum(*hours) - right).abs() < 0.101)
}

#[test]
fn rain_is_summed_over_hours_through_resets_gaps_and_garbage() {
    // 6 mm an hour for two days.
    let steady = |minute: u64| (minute, 312.0 + minute as f64 * 0.1);
    assert!(has_rain((0..=2_880).map(steady), [6.0, 18.0, 36.0, 72.0, 144.0]));
    assert!(!has_rain((0..=2_880).map(steady), [6.0, 18.0, 36.0, 72.0, 144.3]));
    // The gauge begins anew after 20 hours: what fell in that minute is lost.
    let reset = |minute: u64| {
        (minute, if minute <= 1_200 { 312.0 + minute as f64 * 0.1 } else { (minute - 1_201) as f64 * 0.1 })
    };
    assert!(has_rain((0..=1_440).map(reset), [6.0, 18.0, 36.0, 71.9, 143.9]));
    // Nobody reads for two hours: the rain counts when it is seen.
    let gap = (0..=300).map(steady).chain((420..=430).map(steady));
    assert!(has_rain(gap, [13.0, 18.0, 36.0, 43.0, 43.0]));
    // A single 0 and the old total again are no 312 mm of rain; nor is a total without a number.
    let garbage = (0..=60).map(|minute| {
        (
            minute,
            match minute {
                30 => 0.0,
                40 => f64::NAN,
                _ => 312.0,
            },
        )
    });
    assert!(has_rain(garbage, [0.0; 5]));
    // Dry: known, and none.
    assert!(has_rain((0..10).map(|minute| (minute, 5.0)), [0.0; 5]));
    assert_eq!(RainSums::default().sum_mm(1, MonotonicMillis(0)), None);
}

#[test]
fn rain_sums_survive_a_reboot() {
    let mut rain = RainSums::default();
    (0..=600u64).for_each(|minute| rain.total(MonotonicMillis(minute * MINUTE), minute as f64 * 0.1));
    let mut rain: RainSums = serde_json::from_slice(&serde_json::to_vec(&rain).unwrap()).unwrap();
    // The box was away for half an hour and has been up for a minute.
    rain.rebase(-i64::try_from(629 * MINUTE).unwrap());
    let now = MonotonicMillis(MINUTE);
    rain.total(now, 63.0);
    assert!(near(rain.sum_mm(12, now), 63.0, 0.01), "{:?}", rain.sum_mm(12, now));
    assert!(near(rain.sum_mm(1, now), 6.0, 0.11), "{:?}", rain.sum_mm(1, now));
    assert!(rain.is_whole(6, now) && !rain.is_whole(12, now));
}
