//! HTML of an alarm's page, made for old telephones on slow networks: no scripts, forms that post to the page itself.

use std::fmt::Write as _;

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

/// Escapes text for HTML, also within attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "body{font:18px/1.5 sans-serif;margin:0;padding:1em;max-width:40em;color:#111;background:#fff}\
h1{font-size:1.3em;margin:.2em 0}h2{font-size:1em;margin:1.2em 0 .2em}.p{display:inline-block;padding:.1em .6em;border-radius:.3em;color:#fff;background:#555}\
.P1{background:#c00000}.P2{background:#b45309}.do{font-size:1.1em;border-left:.3em solid #111;padding-left:.6em}\
table{border-collapse:collapse;width:100%}td{border-top:1px solid #ccc;padding:.3em .5em .3em 0;vertical-align:top;overflow-wrap:anywhere}td:first-child{white-space:nowrap}\
button,.tel{display:block;box-sizing:border-box;text-align:center;margin:.3em 0;font-size:1.2em;width:100%;padding:.7em;border:0;border-radius:.4em;background:#0b5c2e;color:#fff;text-decoration:none}\
button.second{background:#333}.tel{background:#0b4a8f}details{border-top:1px solid #ccc;padding:.5em 0}summary{font-size:1.1em;padding:.3em 0}\
select,input{display:block;box-sizing:border-box;width:100%;font-size:1em;padding:.5em;margin:.3em 0}.ok{color:#0b5c2e}.no{color:#c00000}svg{width:100%;height:auto}";

fn whole(zh: bool, title: &str, body: &str) -> String {
    let language = if zh { "zh" } else { "en" };
    format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title)
    )
}

/// The result of an action: a confirmation or a refusal.
pub type ActionOutcome = Result<LocalizedText, LocalizedText>;

/// Renders the page; `outcome`: the result of the action that was just posted.
pub fn alarm(alarm: &AlarmPage, outcome: Option<&ActionOutcome>) -> String {
    let say = |zh: &'static str, en: &'static str| if alarm.zh { zh } else { en };
    let mut body = String::new();
    let class = if ["P1", "P2"].contains(&alarm.priority.as_str()) { alarm.priority.as_str() } else { "" };
    put(&mut body, format_args!("<p><span class=\"p {class}\">{}</span></p>", escape(&alarm.priority)));
    put(&mut body, format_args!("<h1>{}</h1>", escape(&alarm.title)));
    if !alarm.action.is_empty() {
        put(&mut body, format_args!("<p class=\"do\">{}</p>", escape(&alarm.action)));
    }
    let of = |names: &LocalizedText| escape(if alarm.zh { &names.zh } else { &names.en });
    match outcome {
        Some(Ok(done)) => put(&mut body, format_args!("<p class=\"ok\"><b>{}</b></p>", of(done))),
        Some(Err(why)) => {
            let nothing = say("没有变化", "Nothing changed");
            put(&mut body, format_args!("<p class=\"no\"><b>{nothing}</b>: {}</p>", of(why)));
        }
        None => {}
    }
    main_buttons(&mut body, alarm);
    for (whose, number) in &alarm.phones {
        let dialled: String = number.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
        put(
            &mut body,
            format_args!("<a class=\"tel\" href=\"tel:{dialled}\">☎ {} {}</a>", escape(whose), escape(number)),
        );
    }
    if let Some(url) = alarm.procedure.as_ref().filter(|u| u.starts_with("https://") || u.starts_with("http://")) {
        let word = say("处置规程", "procedure");
        put(&mut body, format_args!("<p><a href=\"{}\" rel=\"noreferrer\">{word}</a></p>", escape(url)));
    }
    if let Some(chart_data) = &alarm.chart {
        body.push_str(&chart::svg(chart_data, alarm.zh));
    }
    table(&mut body, "", &alarm.lines);
    several(&mut body, alarm);
    table(&mut body, say("该设备的其他告警", "other alarms of the device"), &alarm.related);
    table(&mut body, say("已通知", "who was told"), &alarm.notified);
    more_actions(&mut body, alarm);
    whole(alarm.zh, &alarm.title, &body)
}

fn put(body: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = body.write_fmt(text);
}

fn table(body: &mut String, title: &str, lines: &[(String, String)]) {
    if lines.is_empty() {
        return;
    }
    if !title.is_empty() {
        put(body, format_args!("<h2>{title}</h2>"));
    }
    body.push_str("<table>");
    for (name, text) in lines {
        put(body, format_args!("<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(text)));
    }
    body.push_str("</table>");
}

fn options(body: &mut String, name: &str, all: &[(String, String)]) {
    put(body, format_args!("<select name=\"{name}\" required>"));
    all.iter().for_each(|(id, text)| {
        put(body, format_args!("<option value=\"{}\">{}</option>", escape(id), escape(text)));
    });
    body.push_str("</select>");
}

/// The buttons to acknowledge and to report arrival.
fn main_buttons(body: &mut String, alarm: &AlarmPage) {
    let say = |zh: &'static str, en: &'static str| if alarm.zh { zh } else { en };
    let count = alarm.others.len() + 1;
    let mut form = |verb: &str, single: bool, class: &str, label: String| {
        body.push_str("<form method=\"post\">");
        put(body, format_args!("<input type=\"hidden\" name=\"do\" value=\"{verb}\">"));
        if single {
            body.push_str("<input type=\"hidden\" name=\"only\" value=\"1\">");
        }
        if !alarm.possible_actors.is_empty() {
            options(body, "by", &alarm.possible_actors);
        }
        put(body, format_args!("<button{class}>{}</button></form>", escape(&label)));
    };
    if alarm.actions.acknowledge && count > 1 {
        let all =
            if alarm.zh { format!("全部确认，{count} 条都由我处理") } else { format!("I take all {count}") };
        form("acknowledge", false, "", all);
        form("acknowledge", true, " class=\"second\"", say("只确认这一条", "I take only this one").to_string());
    } else if alarm.actions.acknowledge {
        form("acknowledge", false, "", say("确认收到，我来处理", "I take it").to_string());
    }
    if alarm.actions.arrive {
        form("arrive", true, "", say("我已到场", "I am there").to_string());
    }
}

/// Links to the other alarms of the message.
fn several(body: &mut String, alarm: &AlarmPage) {
    if alarm.others.is_empty() {
        return;
    }
    put(body, format_args!("<h2>{}</h2><table>", if alarm.zh { "同一条通知中的" } else { "in the same message" }));
    for other in &alarm.others {
        let (path, text, state) = (escape(&other.path), escape(&other.text), escape(&other.state));
        put(body, format_args!("<tr><td>{state}</td><td><a href=\"{path}\">{text}</a></td></tr>"));
    }
    body.push_str("</table>");
}

/// Forms for handing over, shelving and resetting, each in a collapsed section.
fn more_actions(body: &mut String, alarm: &AlarmPage) {
    let say = |zh: &'static str, en: &'static str| if alarm.zh { zh } else { en };
    let mut form = |verb: &str, title: &str, inside: &dyn Fn(&mut String), is_reason_wanted: bool| {
        put(body, format_args!("<details><summary>{title}</summary><form method=\"post\">"));
        put(body, format_args!("<input type=\"hidden\" name=\"do\" value=\"{verb}\">"));
        if !alarm.possible_actors.is_empty() {
            options(body, "by", &alarm.possible_actors);
        }
        inside(body);
        let (reason, required) = (say("原因", "reason"), if is_reason_wanted { " required" } else { "" });
        put(body, format_args!("<input name=\"note\" maxlength=\"40\" placeholder=\"{reason}\"{required}>"));
        put(body, format_args!("<button class=\"second\">{title}</button></form></details>"));
    };
    if alarm.actions.hand_over && !alarm.colleagues.is_empty() {
        form("hand_over", say("转交给同事", "Hand over"), &|body| options(body, "to", &alarm.colleagues), false);
    }
    if alarm.actions.shelve {
        let hours = ["1", "4", "8", "24"].map(|h| (h.to_string(), format!("{h} {}", say("小时", "h"))));
        form("shelve", say("搁置", "Shelve"), &|body| options(body, "hours", &hours), true);
    }
    if alarm.actions.reset {
        form("reset", say("已检查，复位", "Inspected: reset"), &|_| {}, true);
    }
}

/// The page of an invalid or expired link, in both languages.
pub fn expired() -> String {
    whole(
        true,
        "Plantroom",
        "<h1>此链接已失效</h1><p>告警已结束，或链接不正确。</p><h1 lang=\"en\">This link leads nowhere any more</h1>\
         <p lang=\"en\">The alarm is over, or the link is not right.</p>",
    )
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
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;&#39;"));
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
