//! Message texts in both languages, shared by all channels. The first line gives place, event and action.

use crate::model::page::{ConditionStatus, PageItem, PageKind};
use crate::model::point::{Language, LocalizedText};

/// Alarms listed in a merged message.
const TOP: usize = 20;
/// Areas named in its first line.
const AREAS: usize = 3;
/// Characters of a short message: one UCS-2 segment.
pub const SHORT: usize = 70;

/// The texts of an alarm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageSubject {
    /// Area of the device; may be empty.
    pub area: String,
    pub name: LocalizedText,
    /// The event, with its value.
    pub text: LocalizedText,
    pub action: LocalizedText,
    /// Local time at which it was raised; empty if the date is unknown.
    pub since: String,
    /// The value when it was raised, if it differs from the present one.
    pub raised_value: LocalizedText,
    /// Alarms of the same device, and those explained by this one.
    pub related: Vec<LocalizedText>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageMessage {
    /// The first line: place, event and action.
    pub title: String,
    pub body: String,
    /// All of it in one line of at most [`SHORT`] characters.
    pub short: String,
}

fn of(names: &LocalizedText, language: Language) -> &str {
    match language {
        Language::Zh => &names.zh,
        Language::En => &names.en,
    }
}

/// The event in a word or two, in Chinese and English.
const fn event_label(about: &PageItem) -> (&'static str, &'static str) {
    match (about.kind, about.condition) {
        (PageKind::Test, _) => ("【测试】", "TEST "),
        (PageKind::Acknowledged, _) => ("已接单 ", "TAKEN "),
        (PageKind::Resolved, _) => ("已恢复 ", "OVER "),
        (PageKind::Latched, _) => ("状况已消失，锁定待检查 ", "GONE, LOCKED UNTIL INSPECTED "),
        (PageKind::Recurring, _) => ("反复出现 ", "COMES AND GOES "),
        (PageKind::AlarmFlood, _) => ("告警过多 ", "ALARM FLOOD "),
        (PageKind::ReplyResult, _) | (PageKind::Raised, ConditionStatus::Active) => ("", ""),
        (_, ConditionStatus::Latched) => {
            ("状况已消失，锁定待检查，无人接单 ", "GONE, LOCKED UNTIL INSPECTED, NOT TAKEN ")
        }
        (_, ConditionStatus::Ended) => ("已自行消失，仍无人接单 ", "GONE BY ITSELF, NOT TAKEN "),
        (PageKind::Escalated, ConditionStatus::Active) => ("加重 ", "WORSE "),
        (PageKind::Reminded, ConditionStatus::Active) => ("仍在 ", "STILL THERE "),
        (PageKind::HandedOver, ConditionStatus::Active) => ("转交给你 ", "HANDED TO YOU "),
        (PageKind::ArrivalOverdue, ConditionStatus::Active) => ("无人到场 ", "NOBODY THERE "),
    }
}

/// The prefix of a text: priority and event.
fn head(about: &PageItem, language: Language) -> String {
    let (zh, en) = event_label(about);
    let what = if language == Language::Zh { zh } else { en };
    match about.kind {
        PageKind::Test => what.to_string(),
        PageKind::ReplyResult => of(&about.reply_result, language).to_string(),
        _ => format!("[{}] {what}", about.priority.word()),
    }
}

/// One page in one line.
fn line(about: &PageItem, subject: &MessageSubject, language: Language) -> String {
    let zh = language == Language::Zh;
    let head = head(about, language);
    match about.kind {
        PageKind::Test => {
            let ask = if zh { "每周呼叫测试，请确认收到" } else { "page of the week: please acknowledge" };
            format!("{head}{ask}")
        }
        PageKind::AlarmFlood => {
            let (count, minutes) = (about.alarm_flood.0, about.alarm_flood.1 / 60_000);
            let text = if zh {
                format!("{minutes}分钟内{count}条告警，P1以外每分钟合并发送一次")
            } else {
                format!("{count} alarms in {minutes} min: all but P1 come in one message a minute")
            };
            format!("{head}{text}")
        }
        _ => {
            let said = place_and_text(subject, language);
            let by = match about.kind {
                PageKind::Acknowledged if zh => format!("（{}）", about.actor),
                PageKind::Acknowledged => format!(" ({})", about.actor),
                _ => String::new(),
            };
            format!("{head}{said}{by}")
        }
    }
}

/// Area, device and text. Most texts already contain the device's name.
fn place_and_text(subject: &MessageSubject, language: Language) -> String {
    let (name, text) = (of(&subject.name, language), of(&subject.text, language));
    let area = match subject.area.as_str() {
        area if area.is_empty() || text.contains(area) => String::new(),
        area => format!("[{area}] "),
    };
    let name = if text.contains(name) { String::new() } else { format!("{name} ") };
    format!("{area}{name}{text}")
}

/// Truncates to at most `most` characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Instructions for replying to a short message: the code, or `2-` and the code to report arrival.
pub fn reply_instructions(code: u64, requires_ack: bool, language: Language) -> String {
    match (requires_ack, language) {
        (true, Language::Zh) => format!("回{code}确认"),
        (true, Language::En) => format!("reply {code}"),
        (false, Language::Zh) => format!("到场回2-{code}"),
        (false, Language::En) => format!("there: reply 2-{code}"),
    }
}

/// Renders a message for one or more pages. `answer`: instructions for replying, may be empty.
pub fn message(about: &[(PageItem, MessageSubject)], language: Language, repeat: bool, answer: &str) -> PageMessage {
    let zh = language == Language::Zh;
    let again = match (repeat, zh) {
        (true, true) => "（可能重复）",
        (true, false) => "(perhaps again) ",
        (false, _) => "",
    };
    let [(one, subject)] = about else {
        return digest(about, language, again, answer);
    };
    let first = line(one, subject, language);
    let asks = one.kind.requires_ack();
    let is_answerable = asks || one.can_arrive;
    let action = of(&subject.action, language);
    let action = if asks && one.kind != PageKind::Test { action } else { "" };
    let separator = if zh { "，" } else { ": " };
    let title =
        if action.is_empty() { format!("{again}{first}") } else { format!("{again}{first}{separator}{action}") };
    let mut body = String::new();
    if !subject.since.is_empty() && one.kind != PageKind::Test {
        body.push_str(&if zh { format!("时间 {}\n", subject.since) } else { format!("since {}\n", subject.since) });
    }
    let (was, also) = (of(&subject.raised_value, language), &subject.related);
    if !was.is_empty() && one.condition == ConditionStatus::Active {
        body.push_str(&if zh { format!("报警时 {was}\n") } else { format!("{was} when it was raised\n") });
    }
    if !also.is_empty() && one.kind.requires_ack() {
        let texts: Vec<&str> = also.iter().map(|t| of(t, language)).collect();
        body.push_str(&if zh {
            format!("同时：{}\n", texts.join("；"))
        } else {
            format!("also: {}\n", texts.join("; "))
        });
    }
    if !one.key.is_empty() {
        body.push_str(&format!("{} #{}\n", one.key, one.occurrence));
    }
    let tail = if is_answerable && !answer.is_empty() { format!(" {answer}") } else { String::new() };
    let room = SHORT.saturating_sub(tail.chars().count());
    PageMessage { short: format!("{}{tail}", cut(&title, room)), title, body }
}

/// Renders a merged message: the first line gives number, areas and the most urgent text, the body lists them.
fn digest(about: &[(PageItem, MessageSubject)], language: Language, again: &str, answer: &str) -> PageMessage {
    let zh = language == Language::Zh;
    let count = about.len();
    let mut sorted: Vec<&(PageItem, MessageSubject)> = about.iter().collect();
    sorted.sort_by_key(|(a, _)| a.priority);
    let Some((first, subject)) = sorted.first() else { return PageMessage::default() };
    let mut areas: Vec<&str> = Vec::new();
    for (_, s) in &sorted {
        if !s.area.is_empty() && !areas.contains(&s.area.as_str()) {
            areas.push(&s.area);
        }
    }
    let more = areas.len().saturating_sub(AREAS);
    areas.truncate(AREAS);
    let mut place = areas.join(if zh { "、" } else { ", " });
    if more > 0 {
        place.push_str(if zh { "等" } else { ", …" });
    }
    let place = match (place.is_empty(), zh) {
        (true, _) => String::new(),
        (false, true) => format!("（{place}）"),
        (false, false) => format!(" ({place})"),
    };
    // A common event is stated for all; otherwise the first line names the highest priority.
    let is_one_kind = sorted.iter().all(|(a, _)| event_label(a) == event_label(first));
    let is_one_kind = is_one_kind && sorted.iter().all(|(a, _)| a.reply_result == first.reply_result);
    let head = if is_one_kind { head(first, language) } else { format!("[{}] ", first.priority.word()) };
    let text = place_and_text(&MessageSubject { area: String::new(), ..subject.clone() }, language);
    let title = if zh {
        format!("{again}{head}{count}条告警{place}：{text}等")
    } else {
        format!("{again}{head}{count} alarms{place}: {text}, and others")
    };
    let action = of(&subject.action, language);
    let asks = sorted.iter().any(|(a, _)| a.kind.requires_ack());
    let is_answerable = asks || sorted.iter().any(|(a, _)| a.can_arrive);
    let is_one_action = sorted.iter().all(|(_, s)| of(&s.action, language) == action);
    let mut lines: Vec<String> = sorted.iter().take(TOP).map(|(a, s)| line(a, s, language)).collect();
    if count > TOP {
        lines.push(if zh {
            format!("……另有 {} 条", count - TOP)
        } else {
            format!("… and {} more", count - TOP)
        });
    }
    if asks && is_one_action && !action.is_empty() {
        lines.push(action.to_string());
    }
    let tail = if is_answerable && !answer.is_empty() { format!(" {answer}") } else { String::new() };
    let short = format!("{}{tail}", cut(&title, SHORT.saturating_sub(tail.chars().count())));
    PageMessage { title, body: lines.join("\n"), short }
}
