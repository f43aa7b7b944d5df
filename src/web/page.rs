//! The page of an alarm: for an old telephone on a bad network in a basement.

/// What the page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmPage {
    /// Whether whoever reads it reads Chinese.
    pub zh: bool,
    /// What it is called: `P1`.
    pub priority: String,
    /// Where, and what.
    pub title: String,
    /// What is to be done.
    pub action: String,
    /// More: a name and a text, a line each.
    pub lines: Vec<(String, String)>,
    /// Whether there is something to take.
    pub can_take: bool,
}

/// Text as a page may show it.
fn escape(text: &str) -> String {
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
h1{font-size:1.3em;margin:.2em 0}.p{display:inline-block;padding:.1em .6em;border-radius:.3em;color:#fff;background:#555}\
.P1{background:#c00000}.P2{background:#b45309}.do{font-size:1.1em;border-left:.3em solid #111;padding-left:.6em}\
table{border-collapse:collapse;width:100%}td{border-top:1px solid #ccc;padding:.3em .5em .3em 0;vertical-align:top}\
button{margin:.3em 0 1em;font-size:1.3em;width:100%;padding:.8em;border:0;border-radius:.4em;background:#0b5c2e;color:#fff}.ok{color:#0b5c2e}.no{color:#c00000}";

fn whole(zh: bool, title: &str, body: &str) -> String {
    let language = if zh { "zh" } else { "en" };
    format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title)
    )
}

/// The page; `taken`: what became of the button.
pub fn alarm(alarm: &AlarmPage, taken: Option<Result<(), String>>) -> String {
    use std::fmt::Write as _;
    let say = |zh: &'static str, en: &'static str| if alarm.zh { zh } else { en };
    let mut body = String::new();
    let class = if ["P1", "P2"].contains(&alarm.priority.as_str()) { alarm.priority.as_str() } else { "" };
    let _infallible = write!(
        body,
        "<p><span class=\"p {class}\">{}</span></p><h1>{}</h1>",
        escape(&alarm.priority),
        escape(&alarm.title)
    );
    if !alarm.action.is_empty() {
        let _infallible = write!(body, "<p class=\"do\">{}</p>", escape(&alarm.action));
    }
    match &taken {
        Some(Ok(())) => {
            let _infallible =
                write!(body, "<p class=\"ok\"><b>{}</b></p>", say("已接单，由你负责。", "It is yours now."));
        }
        Some(Err(why)) => {
            let _infallible =
                write!(body, "<p class=\"no\"><b>{}</b>: {}</p>", say("没有变化", "Nothing changed"), escape(why));
        }
        None => {}
    }
    if alarm.can_take && !matches!(taken, Some(Ok(()))) {
        let _infallible =
            write!(body, "<form method=\"post\"><button>{}</button></form>", say("确认收到，我来处理", "I take it"));
    }
    body.push_str("<table>");
    for (name, text) in &alarm.lines {
        let _infallible = write!(body, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(text));
    }
    body.push_str("</table>");
    whole(alarm.zh, &alarm.title, &body)
}

/// What is said where there is nothing to show.
pub fn over() -> String {
    whole(
        true,
        "plantroom",
        "<h1>此链接已失效</h1><p>告警已结束，或链接不正确。</p><h1 lang=\"en\">This link leads nowhere any more</h1>\
         <p lang=\"en\">The alarm is over, or the link is not right.</p>",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_says_cannot_become_markup() {
        let page = AlarmPage {
            title: "<script>alert(1)</script> & \"x\"".into(),
            lines: vec![("<b>".into(), "'".into())],
            can_take: true,
            ..AlarmPage::default()
        };
        let text = alarm(&page, Some(Err("<i>".into())));
        assert!(!text.contains("<script>") && !text.contains("<b><") && !text.contains("<i>"), "{text}");
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;") && text.contains("&#39;"));
        assert!(text.contains("<form method=\"post\">"));
        assert!(!alarm(&page, Some(Ok(()))).contains("<form"), "what is taken is taken");
    }
}
