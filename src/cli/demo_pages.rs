//! The people of the demo: their notifications are shown on the terminal, with the link that a phone would open.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use tokio_util::sync::CancellationToken;

use crate::cli::output;
use crate::lock::lock;

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
pub async fn listen(pages: DemoPages, stop: CancellationToken) -> std::io::Result<u16> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let router = Router::new().route("/", post(receive_notification)).with_state(pages);
    tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = serving.await {
            tracing::warn!(%error, "pages of the demo are not shown any more");
        }
    });
    Ok(port)
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
    let person = |id: &str, zh: &str, en: &str, more: &str| {
        format!(
            "[[person]]\nid = \"{id}\"\nzh = \"{zh}\"\nen = \"{en}\"\n{more}contacts = [{{ channel = \"terminal\", to = \"{id}\" }}]\n"
        )
    };
    format!(
        "[oncall]\nurl = \"http://127.0.0.1:{web_port}\"\nprocedure = \"https://wiki.example/procedures/{{rule}}\"\n\
         [[oncall.phone]]\nzh = \"电梯维保单位\"\nen = \"Lift firm\"\nnumber = \"+86 21 0000 0000\"\nclasses = [\"elevator\"]\n\
         [[oncall.phone]]\nzh = \"消控室\"\nen = \"Control room\"\nnumber = \"8001\"\n\
         [web]\nlisten = \"127.0.0.1:{web_port}\"\n\
         [[channel.webhook]]\nid = \"terminal\"\nurl = \"http://127.0.0.1:{shown}/\"\n{}{}{}\
         [[rota]]\nid = \"duty\"\n[[rota.shift]]\npeople = [\"wang\", \"li\"]\nturn = \"weekly\"\nsince = \"{since}\"\nfrom = \"00:00\"\nto = \"00:00\"\n\
         [[chain]]\nid = \"demo\"\n[[chain.step]]\ntell = [\"duty\"]\nwait = \"30s\"\n\
         [[chain.step]]\ntell = [\"next:duty\"]\nwait = \"2m\"\n[[chain.step]]\ntell = [\"person:zhao\"]\nwait = \"5m\"\n",
        person("wang", "王工", "Wang", ""),
        person("li", "李工", "Li", "language = \"en\"\n"),
        person("zhao", "赵经理", "Zhao", "")
    )
}
