//! HTML of an alarm's page, made for old telephones on slow networks: no scripts, forms that post to the page itself.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::point::LocalizedText;
use crate::web::chart::{self, Chart};

/// The contents of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlarmPage {
    /// Chinese if true, else English.
    pub zh: bool,
    /// Priority as it is printed, such as `P1`.
    pub priority: String,
    pub title: String,
    pub action: String,
    /// Rows of the details table: name and text.
    pub lines: Vec<(String, String)>,
    /// Actions that are offered.
    pub actions: PageActions,
    /// People to whom it can be handed over: id and name.
    pub colleagues: Vec<(String, String)>,
    /// If the page went to a channel: the people who may be acting, id and name.
    pub possible_actors: Vec<(String, String)>,
    /// The other alarms of the message.
    pub others: Vec<OtherAlarm>,
    /// Related alarms: text and state.
    pub related: Vec<(String, String)>,
    /// Recipients: name, then channel and time.
    pub notified: Vec<(String, String)>,
    /// Telephone numbers: whose and which.
    pub phones: Vec<(String, String)>,
    /// Address of the procedure; other schemes than http(s) are not shown.
    pub procedure: Option<String>,
    /// Chart of the value.
    pub chart: Option<Chart>,
}

/// Actions available to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a button of its own")]
pub struct PageActions {
    pub acknowledge: bool,
    /// Whether arrival on site can be reported.
    pub arrive: bool,
    pub hand_over: bool,
    pub shelve: bool,
    /// Confirm inspection of a latched alarm.
    pub reset: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherAlarm {
    /// Path of its page.
    pub path: String,
    pub text: String,
    pub state: String,
}

const STYLE: &str = "body{font:18px/1.5 sans-serif;margin:0;padding:1em;max-width:40em;color:#111;background:#fff}\
h1{font-size:1.3em;margin:.2em 0}h2{font-size:1em;margin:1.2em 0 .2em}.p{display:inline-block;padding:.1em .6em;border-radius:.3em;color:#fff;background:#555}\
.P1{background:#c00000}.P2{background:#b45309}.do{font-size:1.1em;border-left:.3em solid #111;padding-left:.6em}\
table{border-collapse:collapse;width:100%}td{border-top:1px solid #ccc;padding:.3em .5em .3em 0;vertical-align:top;overflow-wrap:anywhere}td:first-child{white-space:nowrap}\
button,.tel{display:block;box-sizing:border-box;text-align:center;margin:.3em 0;font-size:1.2em;width:100%;padding:.7em;border:0;border-radius:.4em;background:#0b5c2e;color:#fff;text-decoration:none}\
button.second{background:#333}.tel{background:#0b4a8f}details{border-top:1px solid #ccc;padding:.5em 0}summary{font-size:1.1em;padding:.3em 0}\
select,input{display:block;box-sizing:border-box;width:100%;font-size:1em;padding:.5em;margin:.3em 0}.ok{color:#0b5c2e}.no{color:#c00000}svg{width:100%;height:auto}";

fn whole(zh: bool, title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang=(if zh { "zh" } else { "en" }) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// The result of an action: a confirmation or a refusal.
pub type ActionOutcome = Result<LocalizedText, LocalizedText>;

/// Renders the page; `outcome`: the result of the action that was just posted.
pub fn alarm(alarm: &AlarmPage, outcome: Option<&ActionOutcome>) -> String {
    let say = |zh: &'static str, en: &'static str| if alarm.zh { zh } else { en };
    let class = if ["P1", "P2"].contains(&alarm.priority.as_str()) { alarm.priority.as_str() } else { "" };
    let procedure = alarm.procedure.as_ref().filter(|u| u.starts_with("https://") || u.starts_with("http://"));
    let body = html! {
        p { span class={ "p " (class) } { (alarm.priority) } }
        h1 { (alarm.title) }
        @if !alarm.action.is_empty() {
            p.do { (alarm.action) }
        }
        @match outcome {
            Some(Ok(done)) => p.ok { b { (done.in_language(alarm.zh)) } },
            Some(Err(why)) => p.no { b { (say("没有变化", "Nothing changed")) } ": " (why.in_language(alarm.zh)) },
            None => {},
        }
        (main_buttons(alarm))
        @for (whose, number) in &alarm.phones {
            a.tel href={ "tel:" (dialled(number)) } { "☎ " (whose) " " (number) }
        }
        @if let Some(url) = procedure {
            p { a href=(url) rel="noreferrer" { (say("处置规程", "procedure")) } }
        }
        @if let Some(chart_data) = &alarm.chart {
            (chart::svg(chart_data, alarm.zh))
        }
        (table("", &alarm.lines))
        (several(alarm))
        (table(say("该设备的其他告警", "other alarms of the device"), &alarm.related))
        (table(say("已通知", "who was told"), &alarm.notified))
        (more_actions(alarm))
    };
    whole(alarm.zh, &alarm.title, &body)
}

/// The digits of a telephone number, and the plus.
fn dialled(number: &str) -> String {
    number.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect()
}

fn table(title: &str, lines: &[(String, String)]) -> Markup {
    html! {
        @if !lines.is_empty() {
            @if !title.is_empty() {
                h2 { (title) }
            }
            table {
                @for (name, text) in lines {
                    tr { td { (name) } td { (text) } }
                }
            }
        }
    }
}

fn options(name: &str, all: &[(String, String)]) -> Markup {
    html! {
        select name=(name) required {
            @for (id, text) in all {
                option value=(id) { (text) }
            }
        }
    }
}

/// Which person acts, where the page went to a channel.
fn actors(alarm: &AlarmPage) -> Markup {
    html! {
        @if !alarm.possible_actors.is_empty() {
            (options("by", &alarm.possible_actors))
        }
    }
}

/// The buttons to acknowledge and to report arrival.
fn main_buttons(alarm: &AlarmPage) -> Markup {
    let say = |zh: &'static str, en: &'static str| if alarm.zh { zh } else { en };
    let count = alarm.others.len() + 1;
    let form = |verb: &str, is_single: bool, is_second: bool, label: &str| {
        html! {
            form method="post" {
                input type="hidden" name="do" value=(verb);
                @if is_single {
                    input type="hidden" name="only" value="1";
                }
                (actors(alarm))
                button class=[is_second.then_some("second")] { (label) }
            }
        }
    };
    let all =
        if alarm.zh { format!("全部确认，{count} 条都由我处理") } else { format!("I take all {count}") };
    html! {
        @if alarm.actions.acknowledge && count > 1 {
            (form("acknowledge", false, false, &all))
            (form("acknowledge", true, true, say("只确认这一条", "I take only this one")))
        } @else if alarm.actions.acknowledge {
            (form("acknowledge", false, false, say("确认收到，我来处理", "I take it")))
        }
        @if alarm.actions.arrive {
            (form("arrive", true, false, say("我已到场", "I am there")))
        }
    }
}

/// Links to the other alarms of the message.
fn several(alarm: &AlarmPage) -> Markup {
    html! {
        @if !alarm.others.is_empty() {
            h2 { (if alarm.zh { "同一条通知中的" } else { "in the same message" }) }
            table {
                @for other in &alarm.others {
                    tr { td { (other.state) } td { a href=(other.path) { (other.text) } } }
                }
            }
        }
    }
}

/// Forms for handing over, shelving and resetting, each in a collapsed section.
fn more_actions(alarm: &AlarmPage) -> Markup {
    let say = |zh: &'static str, en: &'static str| if alarm.zh { zh } else { en };
    let form = |verb: &str, title: &str, inside: &Markup, is_reason_wanted: bool| {
        html! {
            details {
                summary { (title) }
                form method="post" {
                    input type="hidden" name="do" value=(verb);
                    (actors(alarm))
                    (inside)
                    input name="note" maxlength="40" placeholder=(say("原因", "reason")) required[is_reason_wanted];
                    button.second { (title) }
                }
            }
        }
    };
    let hours = ["1", "4", "8", "24"].map(|h| (h.to_string(), format!("{h} {}", say("小时", "h"))));
    html! {
        @if alarm.actions.hand_over && !alarm.colleagues.is_empty() {
            (form("hand_over", say("转交给同事", "Hand over"), &options("to", &alarm.colleagues), false))
        }
        @if alarm.actions.shelve {
            (form("shelve", say("搁置", "Shelve"), &options("hours", &hours), true))
        }
        @if alarm.actions.reset {
            (form("reset", say("已检查，复位", "Inspected: reset"), &html! {}, true))
        }
    }
}

/// The page of an invalid or expired link, in both languages.
pub fn expired() -> String {
    let body = html! {
        h1 { "此链接已失效" }
        p { "告警已结束，或链接不正确。" }
        h1 lang="en" { "This link leads nowhere any more" }
        p lang="en" { "The alarm is over, or the link is not right." }
    };
    whole(true, "Plantroom", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_says_cannot_become_markup() {
        let evil = || "<script>alert(1)</script> & \"x\"'".to_string();
        let pair = || vec![(evil(), evil())];
        let can = PageActions { acknowledge: true, arrive: true, hand_over: true, shelve: true, reset: true };
        let page = AlarmPage {
            title: evil(),
            action: evil(),
            lines: pair(),
            actions: can,
            colleagues: pair(),
            possible_actors: pair(),
            others: vec![OtherAlarm { path: evil(), text: evil(), state: evil() }],
            related: pair(),
            notified: pair(),
            phones: pair(),
            procedure: Some(format!("https://{}", evil())),
            ..AlarmPage::default()
        };
        let text = alarm(&page, Some(&Err(LocalizedText::from(evil()))));
        assert!(!text.contains("<script>") && !text.contains("\"x\"'"), "{text}");
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;'"));
        let procedure = AlarmPage { procedure: Some("javascript:alert(1)".into()), ..AlarmPage::default() };
        assert!(!alarm(&procedure, None).contains("javascript"));
    }

    #[test]
    fn what_cannot_be_done_has_no_button() {
        let page =
            AlarmPage { actions: PageActions { acknowledge: true, ..PageActions::default() }, ..AlarmPage::default() };
        let text = alarm(&page, None);
        assert!(text.contains("value=\"acknowledge\"") && text.matches("<form").count() == 1, "{text}");
        assert!(!alarm(&AlarmPage::default(), None).contains("<form"));
    }
}
