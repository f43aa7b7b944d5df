//! The people of the demo: their notifications are shown on the terminal, with the link that a phone would open. And its weather office,
//! which issues warnings.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, value};

use crate::cli::output;
use crate::clock::Clock;
use crate::lock::lock;
use crate::model::time::UnixMillis;
use crate::simulate::{Scenario, site, warnings};

/// Notifications in the live table.
const SHOWN: usize = 6;

/// The last notifications, for the live table.
#[derive(Clone, Debug, Default)]
pub struct DemoPages(Arc<Mutex<VecDeque<String>>>);

impl DemoPages {
    /// The last notifications, one per line.
    pub fn text(&self) -> String {
        lock(&self.0).iter().map(|line| format!("{line}\n")).collect()
    }
}

/// Listens on a free port of loopback until `stop`; returns the port.
///
/// # Errors
/// No port is available.
pub async fn listen(pages: DemoPages, office: WeatherOffice, stop: CancellationToken) -> std::io::Result<u16> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let warnings = Router::new()
        .route("/warnings", get(list_warnings))
        .route("/warnings/{name}", get(warning))
        .with_state((office, port));
    let router = Router::new().route("/", post(receive_notification)).with_state(pages).merge(warnings);
    tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = serving.await {
            tracing::warn!(%error, "pages of the demo are not shown any more");
        }
    });
    Ok(port)
}

/// The weather office of the demo: what it has issued by now.
#[derive(Clone, Debug)]
pub struct WeatherOffice {
    scenario: Scenario,
    clock: Clock,
    began: UnixMillis,
}

impl WeatherOffice {
    /// It begins with the plant, by the plant's clock.
    pub fn new(scenario: Scenario, clock: &Clock) -> Self {
        Self { scenario, clock: clock.clone(), began: clock.wall() }
    }

    /// Seconds since the begin.
    fn seconds(&self) -> f64 {
        Duration::from_millis(u64::try_from(self.clock.wall().0 - self.began.0).unwrap_or(0)).as_secs_f64()
    }

    /// The site's file with who gets notices and situation reports: they are shown as pages are.
    pub fn tell(site: &str) -> String {
        let recipient = |to: &str, language: &str, what: &str| {
            let mut table = InlineTable::from_iter([("channel", "terminal"), ("to", to), ("language", language)]);
            table.insert("what", [what].into_iter().collect::<Array>().into());
            table
        };
        let all = [recipient("residents", "en", "notice"), recipient("staff", "zh", "report")];
        site::edited(site, |doc| {
            doc["flood"]["tell"] = value(all.into_iter().collect::<Array>());
        })
    }

    /// The table that makes the gateway ask it.
    pub fn feed(port: u16) -> String {
        let url = format!("http://127.0.0.1:{port}/warnings");
        format!("[[feed]]\nname = \"office\"\nurl = \"{url}\"\nevery = \"1m\"\nconcerns_site = true\n")
    }
}

async fn list_warnings(State((office, port)): State<(WeatherOffice, u16)>) -> String {
    warnings::list(office.scenario, office.seconds(), &format!("http://127.0.0.1:{port}/warnings"))
}

async fn warning(
    State((office, _)): State<(WeatherOffice, u16)>,
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Result<String, axum::http::StatusCode> {
    let is_issued = warnings::issued(office.scenario, office.seconds()).contains(&name.as_str());
    let document = warnings::document(&name, office.began).filter(|_| is_issued);
    document.ok_or(axum::http::StatusCode::NOT_FOUND)
}

async fn receive_notification(State(pages): State<DemoPages>, body: Bytes) {
    let page: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| page[key].as_str().unwrap_or_default().to_string();
    let line = format!("page to {}: {} {}", text("to"), text("title"), text("link")).trim_end().to_string();
    if !output::is_terminal() {
        output::line(&line);
    }
    let mut all = lock(&pages.0);
    all.push_back(line);
    let over = all.len().saturating_sub(SHOWN);
    all.drain(..over);
}

/// On-call configuration of the demo: two technicians take turns by the week, the first of them from `since` on, a date in the
/// past; after 30 s the other one is paged, after 2 min the manager. The first port receives notifications, the second serves
/// alarm pages.
pub fn oncall_config(shown: u16, web_port: u16, since: &str) -> String {
    site::edited(PEOPLE, |doc| {
        doc["oncall"]["url"] = value(format!("http://127.0.0.1:{web_port}"));
        doc["web"]["listen"] = value(format!("127.0.0.1:{web_port}"));
        for channel in site::tables(doc, &["channel", "webhook"]) {
            channel["url"] = value(format!("http://127.0.0.1:{shown}/"));
        }
        let rotas =
            doc.get_mut("rota").and_then(Item::as_array_of_tables_mut).into_iter().flat_map(ArrayOfTables::iter_mut);
        for shift in rotas.filter_map(|rota| rota.get_mut("shift")?.as_array_of_tables_mut()?.get_mut(0)) {
            shift["since"] = value(since);
        }
    })
}

const PEOPLE: &str = r#"[oncall]
url = "http://127.0.0.1:8080"
procedure = "https://wiki.example/procedures/{rule}"

[[oncall.phone]]
zh = "电梯维保单位"
en = "Lift firm"
number = "+86 21 0000 0000"
classes = ["elevator"]

[[oncall.phone]]
zh = "消控室"
en = "Control room"
number = "8001"

[web]
listen = "127.0.0.1:8080"

[[channel.webhook]]
id = "terminal"
url = "http://127.0.0.1:8081/"

[[person]]
id = "wang"
zh = "王工"
en = "Wang"
contacts = [{ channel = "terminal", to = "wang" }]

[[person]]
id = "li"
zh = "李工"
en = "Li"
language = "en"
contacts = [{ channel = "terminal", to = "li" }]

[[person]]
id = "zhao"
zh = "赵经理"
en = "Zhao"
contacts = [{ channel = "terminal", to = "zhao" }]

[[rota]]
id = "duty"

[[rota.shift]]
people = ["wang", "li"]
turn = "weekly"
since = "2026-01-01"
from = "00:00"
to = "00:00"

[[chain]]
id = "demo"

[[chain.step]]
tell = ["duty"]
wait = "30s"

[[chain.step]]
tell = ["next:duty"]
wait = "2m"

[[chain.step]]
tell = ["person:zhao"]
wait = "5m"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_date_stand_where_they_belong() {
        let text = oncall_config(1, 2, "2026-11-25");
        for line in [
            "url = \"http://127.0.0.1:2\"",
            "listen = \"127.0.0.1:2\"",
            "url = \"http://127.0.0.1:1/\"",
            "since = \"2026-11-25\"",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }
}
