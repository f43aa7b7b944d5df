//! What a message says, in both languages: one set of templates for every channel. The first line says where, what and what to
//! do.

use crate::model::point::Names;
use crate::model::priority::Priority;
use crate::oncall::page::{About, Kind};
use crate::oncall::settings::Language;

/// Alarms that a digest names.
const TOP: usize = 5;
/// Characters of a short message: one of UCS-2.
pub const SHORT: usize = 70;

/// What an alarm is about, in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// Where it is; may be empty.
    pub area: String,
    /// What the device is called.
    pub name: Names,
    /// What, with its value.
    pub text: Names,
    /// What is to be done.
    pub action: Names,
    /// Since when, as the site's clock shows it; empty if nobody knows.
    pub since: String,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line: where, what and what to do.
    pub title: String,
    /// The rest.
    pub body: String,
    /// All of it in one line of at most 70 characters.
    pub short: String,
}

fn of(names: &Names, language: Language) -> &str {
    match language {
        Language::Zh => &names.zh,
        Language::En => &names.en,
    }
}

/// What came before the text: how urgent it is, and what happened.
fn head(about: &About, language: Language) -> String {
    let zh = language == Language::Zh;
    let what = match about.kind {
        Kind::Raised => "",
        Kind::Worsened => {
            if zh {
                "加重 "
            } else {
                "WORSE "
            }
        }
        Kind::Reminded => {
            if zh {
                "仍在 "
            } else {
                "STILL THERE "
            }
        }
        Kind::HandedOver => {
            if zh {
                "转交给你 "
            } else {
                "HANDED TO YOU "
            }
        }
        Kind::Late => {
            if zh {
                "无人到场 "
            } else {
                "NOBODY THERE "
            }
        }
        Kind::Taken => {
            if zh {
                "已接单 "
            } else {
                "TAKEN "
            }
        }
        Kind::Over => {
            if zh {
                "已恢复 "
            } else {
                "OVER "
            }
        }
        Kind::Flood => {
            if zh {
                "告警风暴 "
            } else {
                "ALARM FLOOD "
            }
        }
        Kind::Test => {
            if zh {
                "【测试】"
            } else {
                "TEST "
            }
        }
    };
    if about.kind == Kind::Test { what.to_string() } else { format!("[{}] {what}", about.priority.word()) }
}

/// One thing in one line.
fn line(about: &About, subject: &Subject, language: Language) -> String {
    let zh = language == Language::Zh;
    let head = head(about, language);
    match about.kind {
        Kind::Test => {
            let ask = if zh { "每周呼叫测试，请确认收到" } else { "page of the week: please acknowledge" };
            format!("{head}{ask}")
        }
        Kind::Flood => format!("{head}{}", about.by),
        _ => {
            let (name, text) = (of(&subject.name, language), of(&subject.text, language));
            let area = match subject.area.as_str() {
                area if area.is_empty() || text.contains(area) => String::new(),
                area => format!("[{area}] "),
            };
            // Most texts name the device themselves.
            let name = if text.contains(name) { String::new() } else { format!("{name} ") };
            let by = match about.kind {
                Kind::Taken if zh => format!("（{}）", about.by),
                Kind::Taken => format!(" ({})", about.by),
                _ => String::new(),
            };
            format!("{head}{area}{name}{text}{by}")
        }
    }
}

/// Cut so that it has at most so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// The message for several things, each with what it is about; `answer`: how it is answered where it goes, may be empty.
pub fn message(about: &[(About, Subject)], language: Language, repeat: bool, answer: &str) -> Message {
    let zh = language == Language::Zh;
    let again = match (repeat, zh) {
        (true, true) => "（可能重复）",
        (true, false) => "(perhaps again) ",
        (false, _) => "",
    };
    let [(one, subject)] = about else {
        return digest(about, language, again);
    };
    let first = line(one, subject, language);
    let asks = one.kind.wants_answer();
    let action = of(&subject.action, language);
    let action = if asks && one.kind != Kind::Test { action } else { "" };
    let separator = if zh { "，" } else { ": " };
    let title =
        if action.is_empty() { format!("{again}{first}") } else { format!("{again}{first}{separator}{action}") };
    let mut body = String::new();
    if !subject.since.is_empty() && one.kind != Kind::Test {
        body.push_str(&if zh { format!("时间 {}\n", subject.since) } else { format!("since {}\n", subject.since) });
    }
    if !one.key.is_empty() {
        body.push_str(&format!("{} #{}\n", one.key, one.occurrence));
    }
    let tail = if asks && !answer.is_empty() { format!(" {answer}") } else { String::new() };
    let room = SHORT.saturating_sub(tail.chars().count());
    Message { short: format!("{}{tail}", cut(&title, room)), title, body }
}

fn digest(about: &[(About, Subject)], language: Language, again: &str) -> Message {
    let count = about.len();
    let urgent = about.iter().map(|(a, _)| a.priority).min().unwrap_or(Priority::P4);
    let title = match language {
        Language::Zh => format!("{again}[{}] {count} 条告警", urgent.word()),
        Language::En => format!("{again}[{}] {count} alarms", urgent.word()),
    };
    let mut lines: Vec<String> = about.iter().take(TOP).map(|(a, s)| line(a, s, language)).collect();
    if count > TOP {
        lines.push(match language {
            Language::Zh => format!("……另有 {} 条", count - TOP),
            Language::En => format!("… and {} more", count - TOP),
        });
    }
    let short = cut(&format!("{title}: {}", lines.join("; ")), SHORT);
    Message { title, body: lines.join("\n"), short }
}
