//! Flood: documents of warning services, what of them is in force, and the level that follows.

use plantroom::config::builtin;
use plantroom::config::doc::Problems;
use plantroom::flood::area::SitePlace;
use plantroom::flood::level::{FloodLevel, Inputs, LevelChange};
use plantroom::flood::scheme::{Meaning, Scheme};
use plantroom::flood::scheme_file::{self, SchemeFile};
use plantroom::flood::warnings::{FeedRules, Outcome, WarningEnd, Warnings};
use plantroom::intake::cap::{self, CapDocument, CapError};
use plantroom::intake::xml::{BYTES_MAX, XmlError};
use plantroom::model::time::{MonotonicMillis, Now, UnixMillis};
use plantroom::model::warning::{Coordinates, Warning, WarningId, WarningKind, WarningStatus};

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
        SitePlace { position: Some(Coordinates { latitude: 53.3, longitude: 9.9 }), ..SitePlace::default() }
            .is_in(&orange.infos[0])
    );
    assert!(
        !SitePlace { position: Some(Coordinates { latitude: 52.9, longitude: 9.9 }), ..SitePlace::default() }
            .is_in(&orange.infos[0])
    );

    let nws = message("nws-flood");
    assert_eq!(nws.infos[0].headline, "Flash Flood Warning issued August 1 at 9:12AM CDT & until 12:15PM");
    assert_eq!(nws.infos[0].description, "* WHAT...Flash flooding. <b>Move</b> to higher ground.");
    assert_eq!(nws.infos[0].event_codes, [("SAME".to_string(), "FFW".to_string())]);

    let severe = message("ea-severe");
    assert_eq!(schemes()["uk-ea-3"].meaning(&severe.infos[0]), Meaning::Rank(3));
    assert!(
        SitePlace { position: Some(Coordinates { latitude: 51.03, longitude: -1.5 }), ..SitePlace::default() }
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

    /// How many expire.
    fn expired(&mut self, now: Now) -> usize {
        self.warnings.take_newly_ended();
        self.warnings.expire(now);
        self.warnings.take_newly_ended().iter().filter(|ended| ended.why == WarningEnd::Expired).count()
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
    assert!(feed.expired(at(37 * HOUR)) == 0);
    assert_eq!(feed.expired(at(38 * HOUR)), 1);
    assert_eq!(feed.warnings.ended(&orange.id).unwrap().why, WarningEnd::Expired);
    // The same document again is over; a new version of it with a later expiry is in force again.
    assert_eq!(feed.take(&orange, at(38 * HOUR)), Outcome::Past);
    let mut longer = Warning { hash: "longer".to_string(), ..orange.clone() };
    longer.infos[1].expires = Some(at(50 * HOUR).wall);
    assert_eq!(feed.take(&longer, at(38 * HOUR)), Outcome::InForce(3));
    assert_eq!(feed.expired(at(50 * HOUR)), 1);
    // An undated gateway ends nothing by date.
    feed.take(&like_red("c", WarningKind::Alert, &[], "blue"), two);
    assert!(feed.expired(Now { wall_trusted: false, ..at(99 * HOUR) }) == 0);
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
    // An hour of the hold was over.
    assert_eq!(level.step(boot(HOUR + MINUTE - 1), Inputs::default(), hold), None);
    assert_eq!(level.step(boot(HOUR + MINUTE), Inputs::default(), hold).map(|change| change.to), Some(2));
}

#[test]
fn schemes_that_cannot_be() {
    let good = "format = 1\nen = \"Own\"\nsource = \"the site's plan\"\nevents = [\"rain\"]\n\
                [[level]]\nid = \"high\"\nen = \"high\"\ncolour = \"#ff0000\"\nmin_hold = \"1h\"\nmatches = [{ severity = [\"Severe\"] }]\n";
    let findings = |text: &str| {
        let file: SchemeFile = toml::from_str(text).unwrap();
        let said = scheme_file::scheme("own", &file).1.into_iter();
        said.map(|finding| format!("{}: {}", finding.path.join("."), finding.message)).collect::<Vec<_>>()
    };
    assert_eq!(findings(good), Vec::<String>::new());
    let cases = [
        ("format = 1", "format = 2", "format: format 2 is not known"),
        ("\"rain\"", "\" \"", "events: no event is named: no warning would ever count"),
        ("\"high\"\nen", "\"High\"\nen", "level.0.id: `High` cannot be a level's id"),
        ("\"high\"\nen", "\"none\"\nen", "level.0.id: `none` cannot be a level's id"),
        ("#ff0000", "red", "level.0.colour: `red` is no colour"),
        ("\"1h\"", "\"0\"", "level.0.min_hold: it is no duration"),
        ("severity = [\"Severe\"]", "", "level.0.matches.0: nothing is given: every warning would match"),
        (
            "severity = [\"Severe\"]",
            "parameter = \"a\"",
            "level.0.matches.0.values: `parameter` and `values` belong together",
        ),
    ];
    for (from, to, said) in cases {
        assert!(good.contains(from), "{from}");
        assert_eq!(findings(&good.replacen(from, to, 1)), [said]);
    }
    let twice = format!("{good}{}", &good[good.find("[[level]]").unwrap()..]);
    assert_eq!(findings(&twice), ["level.1.id: there is a level `high` already"]);
    assert_eq!(
        findings(good.split("[[level]]").next().unwrap().to_string().replace("events", "level = []\nevents").as_str())
            .len(),
        1
    );
}
