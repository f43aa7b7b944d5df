//! The warnings of a simulated weather office during the rainstorm: CAP documents, and the RSS list that names them.

use std::fmt::Write as _;

use crate::model::time::UnixMillis;
use crate::simulate::Scenario;

/// A message of the office: seconds after the start of the scenario, its name, `msgType`, colour in both languages, and severity.
type Message = (u32, &'static str, &'static str, [&'static str; 3]);

const BLUE: [&str; 3] = ["蓝色", "blue", "Moderate"];
const YELLOW: [&str; 3] = ["黄色", "yellow", "Severe"];
const ORANGE: [&str; 3] = ["橙色", "orange", "Severe"];
const RED: [&str; 3] = ["红色", "red", "Extreme"];

/// Each replaces the one before it; the last one ends it.
const MESSAGES: [Message; 6] = [
    (20, "demo-1", "Alert", BLUE),
    (180, "demo-2", "Update", YELLOW),
    (360, "demo-3", "Update", ORANGE),
    (600, "demo-4", "Update", RED),
    (1_500, "demo-5", "Update", ORANGE),
    (1_700, "demo-6", "Cancel", ORANGE),
];

/// Milliseconds until a warning expires that nobody cancels.
const LASTS_MS: i64 = 6 * 3_600_000;

/// Names of the documents that have been issued `seconds` after the start, the newest first.
pub fn issued(scenario: Scenario, seconds: f64) -> Vec<&'static str> {
    let all = MESSAGES.iter().filter(|(at, ..)| scenario == Scenario::Rainstorm && f64::from(*at) <= seconds);
    all.rev().map(|(_, name, ..)| *name).collect()
}

/// The list of what has been issued; `address` stands before each name.
pub fn list(scenario: Scenario, seconds: f64, address: &str) -> String {
    let mut out =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<rss version=\"2.0\"><channel><title>demo</title>\n");
    for name in issued(scenario, seconds) {
        let _infallible = writeln!(out, "<item><title>{name}</title><link>{address}/{name}</link></item>");
    }
    out + "</channel></rss>\n"
}

/// A document by its name; `began` is when the scenario began.
pub fn document(name: &str, began: UnixMillis) -> Option<String> {
    let index = MESSAGES.iter().position(|(_, of, ..)| *of == name)?;
    let (at, name, kind, [zh, en, severity]) = MESSAGES[index];
    let sent = |at: u32| UnixMillis(began.0 + i64::from(at) * 1_000);
    let text = |at: UnixMillis| at.rfc3339().replace('Z', "+00:00");
    let references = index.checked_sub(1).map(|before| MESSAGES[before]).map_or(String::new(), |(at, name, ..)| {
        format!("<references>demo-office,{name},{}</references>", text(sent(at)))
    });
    let (sent, expires) = (text(sent(at)), text(UnixMillis(sent(at).0 + LASTS_MS)));
    let verb = if kind == "Cancel" { ("解除", "lifted") } else { ("发布", "issued") };
    let info = |language: &str, event: &str, headline: String| {
        format!(
            "<info><language>{language}</language><category>Met</category><event>{event}</event><urgency>Expected</urgency>\
             <severity>{severity}</severity><certainty>Likely</certainty><expires>{expires}</expires>\
             <headline>{headline}</headline><area><areaDesc>示范小区</areaDesc></area></info>"
        )
    };
    let zh = info("zh-CN", "暴雨", format!("示范气象台{}暴雨{zh}预警信号", verb.0));
    let en = info("en-US", "Rainstorm", format!("The demo's weather office {} the {en} rainstorm warning", verb.1));
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\">\
         <identifier>{name}</identifier><sender>demo-office</sender><sent>{sent}</sent><status>Actual</status>\
         <msgType>{kind}</msgType><scope>Public</scope>{references}{en}{zh}</alert>\n"
    ))
}
