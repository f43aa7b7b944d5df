//! Collects what an alarm's page shows: the alarm, who was notified, related alarms, and a chart of its value.

use std::sync::Arc;
use std::time::Duration;

use crate::alarm::definition::AlarmDefinition;
use crate::alarm::life::Alarm;
use crate::alarm::resolve::ConditionInput;
use crate::app::shared::Shared;
use crate::config::Configuration;
use crate::engine::Engine;
use crate::journal::query::HistoryQuery;
use crate::model::alarm::AlarmState;
use crate::model::point::Language;
use crate::model::point::{LocalizedText, PointKind};
use crate::model::priority::Priority;
use crate::model::time::Now;
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{Page, PageState};
use crate::web::chart::Chart;
use crate::web::page::{AlarmPage, OtherAlarm, PageActions};

/// Period of the chart and width of its slots, milliseconds.
const COURSE_MS: (i64, i64) = (7_200_000, 60_000);
/// Longest wait for the chart; after that the page is shown without it.
const COURSE_WAIT: Duration = Duration::from_millis(700);
/// Charts read from the journal at a time.
const COURSES: usize = 2;
/// Related alarms shown, the most urgent first.
const BESIDE: usize = 10;

/// The language of a page.
#[derive(Clone, Copy)]
struct PageReader {
    zh: bool,
}

impl PageReader {
    fn say(self, zh: &str, en: &str) -> String {
        if self.zh { zh } else { en }.to_string()
    }

    fn of(self, names: &LocalizedText) -> String {
        if self.zh { names.zh.clone() } else { names.en.clone() }
    }
}

/// The page of a token; `None`: the token is invalid, or its incident is removed.
pub fn find(shared: &Shared, token: &str) -> Option<AlarmPage> {
    let id = shared.rules.tokens.page(token)?;
    let (engine, configuration) = (shared.engine(), shared.configuration());
    let (key, incident, page) = engine.oncall().page(id)?;
    let people = &engine.oncall().plan().people;
    let reader = PageReader { zh: people.get(&page.recipient).map(|p| p.language).unwrap_or_default() == Language::Zh };
    let mut all: Vec<(String, String)> = people.iter().map(|(id, p)| (id.to_string(), reader.of(&p.names))).collect();
    let askers = if page.recipient.starts_with("channel:") { all.clone() } else { Vec::new() };
    let Some((definition, alarm)) = engine.alarms().get(key) else {
        // The page of a test.
        let is_open = incident.stage == IncidentStage::Paging;
        return Some(AlarmPage {
            zh: reader.zh,
            priority: "TEST".to_string(),
            title: reader.say("呼叫测试", "A page for a trial"),
            lines: vec![(reader.say("人员", "person"), page.recipient.to_string())],
            actions: PageActions { acknowledge: is_open && !page.is_answered, ..PageActions::default() },
            ..AlarmPage::default()
        });
    };
    let now = shared.clock.now();
    let (subject, _) = engine.alarm_room().subject(key);
    let is_mine = !alarm.needs_ack && (*alarm.owner == *page.recipient || !askers.is_empty());
    all.retain(|(id, _)| *id != *alarm.owner && engine.plan().directory.can_be_reached(id).is_ok());
    let device = configuration.devices.get(&*definition.device);
    let (class, area) = device.map_or(("", ""), |d| (d.class.as_str(), d.area.as_str()));
    let settings = &configuration.oncall.settings;
    let phones = settings.phone.iter().filter(|p| {
        let has = |list: &[String], name: &str| list.is_empty() || list.iter().any(|x| x == name);
        has(&p.classes, class) && has(&p.areas, area)
    });
    let procedure = Some(settings.procedure.as_str()).filter(|p| !p.is_empty()).map(|p| {
        p.replace("{rule}", &definition.rule).replace("{device}", &definition.device).replace("{class}", class)
    });
    Some(AlarmPage {
        zh: reader.zh,
        priority: alarm.priority(definition).word().to_string(),
        title: reader.of(&subject.text),
        action: reader.of(&subject.action),
        lines: {
            let why = &definition.rationale;
            let mut lines = lines(&engine, key, alarm, &subject, reader);
            lines.push((reader.say("可能原因", "likely cause"), reader.of(&why.cause)));
            lines.push((reader.say("如不处理", "if nobody acts"), reader.of(&why.consequence)));
            lines.retain(|(_, text)| !text.is_empty());
            lines
        },
        actions: available_actions(definition, alarm, page, is_mine),
        colleagues: all,
        possible_actors: askers,
        others: others(shared, &engine, page, key, reader),
        related: related_alarms(&engine, key, &definition.device, reader),
        notified: notified_people(&engine, &configuration, incident, now, reader),
        phones: phones.map(|p| (reader.say(&p.zh, &p.en), p.number.clone())).collect(),
        procedure,
        chart: None,
    })
}

/// The actions offered to the recipient of a page.
fn available_actions(definition: &AlarmDefinition, alarm: &Alarm, page: &Page, is_mine: bool) -> PageActions {
    let is_there = alarm.step > 0;
    PageActions {
        acknowledge: alarm.needs_ack && !page.is_answered,
        arrive: is_mine && !alarm.arrived && (is_there || alarm.latched),
        hand_over: is_mine && (is_there || alarm.latched),
        shelve: is_mine && is_there && !definition.never_suppressed && alarm.shelved.is_none(),
        reset: is_mine && alarm.latched && !is_there,
    }
}

fn lines(
    engine: &Engine,
    key: &str,
    alarm: &Alarm,
    subject: &crate::presentation::message::MessageSubject,
    reader: PageReader,
) -> Vec<(String, String)> {
    let owner = engine.oncall().plan().people.get(alarm.owner.as_str());
    let owner = owner.map_or_else(|| alarm.owner.clone(), |p| reader.of(&p.names));
    let state = reader.say(in_chinese(alarm.state()), alarm.state().word());
    let arrived = if alarm.arrived { reader.say("，已到场", ", somebody is there") } else { String::new() };
    let mut out = vec![
        (reader.say("地点", "where"), format!("{} {}", subject.area, reader.of(&subject.name)).trim().to_string()),
        (reader.say("时间", "since"), subject.since.clone()),
        (reader.say("报警时", "when raised"), reader.of(&subject.raised_value)),
        (reader.say("状态", "state"), format!("{state}{arrived}")),
        (reader.say("负责人", "owner"), owner),
        (reader.say("备注", "note"), alarm.note.clone()),
        (reader.say("编号", "alarm"), format!("{key} #{}", alarm.occurrence)),
    ];
    out.retain(|(_, text)| !text.is_empty());
    out
}

/// The other alarms of the page's message.
fn others(shared: &Shared, engine: &Engine, page: &Page, own: &str, reader: PageReader) -> Vec<OtherAlarm> {
    let mut out: Vec<(String, OtherAlarm)> = Vec::new();
    for id in &page.merged_with {
        let Some((key, _, _)) = engine.oncall().page(*id).filter(|(_, _, p)| p.id == *id) else { continue };
        let Some((_, alarm)) = engine.alarms().get(key).filter(|_| **key != *own) else { continue };
        if out.iter().any(|(k, _)| **k == **key) {
            continue;
        }
        let (subject, _) = engine.alarm_room().subject(key);
        let state = reader.say(in_chinese(alarm.state()), alarm.state().word());
        let path = format!("/a/{}", shared.rules.tokens.of(*id));
        out.push((key.to_string(), OtherAlarm { path, text: reader.of(&subject.text), state }));
    }
    out.into_iter().map(|(_, other)| other).collect()
}

/// Other alarms of the device that are not normal, and alarms that this one explains; at most [`BESIDE`].
fn related_alarms(engine: &Engine, own: &str, device: &str, reader: PageReader) -> Vec<(String, String)> {
    let explained = engine.alarms().related_active(own);
    let is_it = |key: &Arc<str>, of: &AlarmDefinition, alarm: &Alarm| {
        **key != *own && ((*of.device == *device && !alarm.is_normal()) || explained.contains(key))
    };
    let mut all: Vec<(Priority, String, String)> = Vec::new();
    for (_, of, alarm) in engine.alarms().all().filter(|(key, of, alarm)| is_it(key, of, alarm)) {
        let text = engine.alarm_room().text(of, alarm, alarm.value);
        let state = reader.say(in_chinese(alarm.state()), alarm.state().word());
        let priority = alarm.priority(of);
        all.push((priority, format!("[{}] {}", priority.word(), reader.of(&text)), state));
    }
    all.sort();
    all.into_iter().take(BESIDE).map(|(_, text, state)| (text, state)).collect()
}

/// Recipients of the present escalation, each with channel and time, or that they are not reached yet.
fn notified_people(
    engine: &Engine,
    configuration: &Configuration,
    incident: &Incident,
    now: Now,
    reader: PageReader,
) -> Vec<(String, String)> {
    let people = &engine.oncall().plan().people;
    let clock = |at: Option<i64>| {
        let ago = i64::try_from(now.mono.0).unwrap_or(0) - at?;
        let at = jiff::Timestamp::from_millisecond(now.wall.0 - ago).ok().filter(|_| now.wall_trusted)?;
        Some(at.to_zoned(configuration.alarms.zone.clone()).strftime("%H:%M").to_string())
    };
    let line = |page: &Page| {
        let name = people.get(&page.recipient).map_or_else(|| page.recipient.to_string(), |p| reader.of(&p.names));
        let way = page.contact_methods.get(page.way).map_or("", |w| w.channel.as_str());
        let how = match page.state {
            PageState::Accepted(at) => format!("{way} {}", clock(Some(at)).unwrap_or_default()),
            PageState::Waiting(_) | PageState::InFlight(_) => reader.say("尚未送达", "not reached yet"),
            PageState::Dropped => return None,
        };
        Some((name, how.trim().to_string()))
    };
    incident.current().filter(|p| p.kind.requires_ack()).filter_map(line).collect()
}

/// The chart of a token's alarm; `None`: no numeric input, no trusted date, too many charts at once, or a slow journal.
pub async fn chart(shared: Arc<Shared>, token: String) -> Option<Chart> {
    static AT_ONCE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(COURSES);
    let (input, limit, zone, name, unit) = {
        let id = shared.rules.tokens.page(&token)?;
        let (engine, configuration) = (shared.engine(), shared.configuration());
        let (key, _, page) = engine.oncall().page(id)?;
        let language = engine.oncall().plan().people.get(&page.recipient).map(|p| p.language).unwrap_or_default();
        let (definition, alarm) = engine.alarms().get(key)?;
        let meaning = |input: &ConditionInput| {
            let class = configuration.devices.get(&*input.device).map_or("", |d| d.class.as_str());
            configuration.catalogue.vocabulary.point(class, &input.point)
        };
        // The first numeric input: a state has no chart worth drawing.
        let mut first: Option<ConditionInput> = None;
        definition.condition.inputs(&mut |input: &ConditionInput| {
            if first.is_none() && meaning(input).is_some_and(|m| m.kind == PointKind::Number) {
                first = Some(input.clone());
            }
        });
        let input = first?;
        let meaning = meaning(&input)?;
        let number: String = input.point.chars().filter(char::is_ascii_digit).collect();
        let name = LocalizedText::both(&*meaning.zh, &*meaning.en)
            .in_language(language == Language::Zh)
            .replace("{n}", &number);
        let unit = meaning.unit.clone().unwrap_or_default();
        // Only the limit of a level condition is on the same scale as its value.
        let limit = alarm.limit.filter(|_| definition.condition.compares_value_with_limit());
        (input, limit, configuration.alarms.zone.clone(), name, unit)
    };
    let now = shared.clock.now();
    if !now.wall_trusted {
        return None;
    }
    let place = AT_ONCE.try_acquire().ok()?;
    let (from_ms, to_ms) = (now.wall.0 - COURSE_MS.0, now.wall.0);
    let query = HistoryQuery { device: input.device.to_string(), point: input.point.to_string(), from_ms, to_ms };
    let journal = shared.journal.clone();
    // After a time-out the reader runs to its end on its own and keeps its permit until then.
    let reading = tokio::task::spawn_blocking(move || {
        let _place = place;
        journal.slots(&query, COURSE_MS.1).map(|answer| answer.slots)
    });
    let slots = tokio::time::timeout(COURSE_WAIT, reading).await.ok()?.ok()?.ok()?;
    let at = |ms: i64| {
        let at = jiff::Timestamp::from_millisecond(ms).ok();
        at.map_or(String::new(), |t| t.to_zoned(zone.clone()).strftime("%H:%M").to_string())
    };
    // Drop leading empty slots: a young gateway has a short chart.
    let mut values: Vec<(i64, Option<f64>)> = slots.iter().map(|s| (s.start_ms, s.mean())).collect();
    let first = values.iter().position(|(_, v)| v.is_some())?;
    values.drain(..first);
    let ends = (at(values.first()?.0), at(to_ms));
    Some(Chart { name, unit, values, limit, ends })
}

/// Alarm states in Chinese.
fn in_chinese(seen: AlarmState) -> &'static str {
    match seen {
        AlarmState::Normal => "正常",
        AlarmState::Unacknowledged => "待确认",
        AlarmState::Acknowledged => "已确认，处理中",
        AlarmState::Returned => "已自行消失，待确认",
        AlarmState::Latched => "状况已消失，锁定待检查复位",
        AlarmState::Shelved => "已搁置",
        AlarmState::Suppressed => "由其他告警引起",
        AlarmState::OutOfService => "已停用",
    }
}
