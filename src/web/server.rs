//! HTTP server for people and programs: alarm pages behind signed links, and a JSON interface.
//!
//! A GET changes nothing, so that link previews of messengers acknowledge nothing; the buttons send a POST. Size and duration of
//! requests and the number of connections are limited.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::http::files::{LoadedFiles, NamedFile};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::point::LocalizedText;
use crate::web::chart::Chart;
use crate::web::connections::{self, Connections};
use crate::web::page::{self, AlarmPage};

/// Least characters of a program's token.
pub const TOKEN_MIN: usize = 16;
/// Longest request head or body, bytes.
const BODY_MAX: usize = 16 * 1024;
/// Longest document of a warning, bytes.
const WARNING_MAX: usize = 256 * 1024;
/// Time limits for the head of a request, and for its answer.
const HEAD: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(15);
/// Connections at a time, of all addresses together.
const CONNECTIONS: usize = 64;

/// Who reaches this box over the network: `[web]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Address and port, `127.0.0.1:8480`; empty: nobody.
    pub listen: String,
    /// Whether it may be reached from other machines without TLS: on a network of its own, or behind a proxy that has TLS.
    pub insecure_http: bool,
    /// Programs that may ask.
    pub token: Vec<Token>,
}

/// A program that may ask: `[[web.token]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is called in the log.
    pub id: String,
    /// File that holds its token, at least 16 characters.
    pub token_file: String,
    /// What it may do.
    #[serde(default)]
    pub may: May,
}

/// What a program may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum May {
    /// Read the alarms, and nothing else.
    #[default]
    Read,
    /// Read, take alarms, and say that somebody is there.
    Acknowledge,
    /// Send warnings to feeds without an address, and nothing else.
    Warn,
}

impl May {
    fn includes(self, wanted: May) -> bool {
        self == wanted || (self == May::Acknowledge && wanted == May::Read)
    }
}

impl ServerSettings {
    /// Files with the tokens of programs.
    pub fn files(&self) -> Vec<NamedFile> {
        self.token.iter().filter_map(|t| NamedFile::secret("token_file", Some(&t.token_file))).collect()
    }

    /// Problems of the settings: key, message and hint.
    pub fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut out = Vec::new();
        match self.listen.parse::<SocketAddr>() {
            _ if self.listen.is_empty() => {}
            Err(_) => out.push(("listen", format!("`{}` is not an address and port", self.listen), "127.0.0.1:8480")),
            Ok(a) if !a.ip().is_loopback() && !self.insecure_http => {
                let what = format!("{} can be reached from other machines, and without TLS", self.listen);
                out.push(("listen", what, "127.0.0.1 behind a proxy with TLS; or insecure_http = true"));
            }
            Ok(_) => {}
        }
        for (i, token) in self.token.iter().enumerate() {
            if token.id.is_empty() || self.token[..i].iter().any(|t| t.id == token.id) {
                out.push(("token", format!("`{}` cannot be a program's id", token.id), "ids are unique"));
            }
        }
        out
    }
}

pub type CallbackFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
/// Completes when a command is committed; an error is the reason of its refusal.
pub type CommandFuture = CallbackFuture<Result<(), Refusal>>;
pub type FindPage = dyn Fn(&str) -> Option<AlarmPage> + Send + Sync;
/// Looks up the chart of a token's alarm; `None` if there is none in time.
pub type FindChart = dyn Fn(String) -> CallbackFuture<Option<Chart>> + Send + Sync;
/// Acts on an alarm: true to report arrival, false to acknowledge; then key, actor and note.
pub type Act = dyn Fn(bool, String, String, String) -> CommandFuture + Send + Sync;

/// The form of an alarm's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageForm {
    /// `acknowledge`, `arrive`, `hand_over`, `shelve` or `reset`; empty: acknowledge.
    pub action: String,
    pub to: String,
    /// Hours to shelve, as typed.
    pub hours: String,
    pub note: String,
    /// The acting person, if the page went to a channel.
    pub actor: String,
    /// Whether only this alarm is meant, not every alarm of its message.
    pub is_single: bool,
    /// Whether a notification's button sent it, which shows no result.
    pub is_button: bool,
}

impl PageForm {
    /// Parses a form body; unknown keys are ignored.
    fn read(body: &str) -> Self {
        let mut out = Self::default();
        for (key, value) in form_urlencoded::parse(body.as_bytes()) {
            let value = value.into_owned();
            match &*key {
                "do" => out.action = value,
                "to" => out.to = value,
                "hours" => out.hours = value,
                "note" => out.note = value,
                "by" => out.actor = value,
                "only" => out.is_single = true,
                "from" => out.is_button = value == "button",
                _ => {}
            }
        }
        out
    }

    /// The confirmation shown after success.
    fn done(&self) -> LocalizedText {
        let (zh, en) = match self.action.as_str() {
            "arrive" => ("已记录到场。", "Noted: you are there."),
            "hand_over" => {
                ("已转交，对方确认前仍会继续通知。", "Handed over. Until it is acknowledged others are told.")
            }
            "shelve" => ("已搁置。", "Shelved."),
            "reset" => ("已复位。", "It is reset."),
            _ => ("已接单，由你负责。", "It is yours now."),
        };
        LocalizedText::both(zh, en)
    }
}

/// The callbacks of the server.
#[derive(Clone)]
pub struct ServerView {
    /// Tokens of programs, as they were last read.
    pub tokens: LoadedFiles,
    /// The page of a token; `None`: the token is invalid, or its alarm is over.
    pub page: Arc<FindPage>,
    pub chart: Arc<FindChart>,
    /// Processes the form of a token's page; the error is the reason of a refusal.
    pub reply: Arc<dyn Fn(String, PageForm) -> CommandFuture + Send + Sync>,
    /// Every alarm that is not normal, as JSON.
    pub alarms: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Acknowledges an alarm or reports arrival for a program; the error is the reason of a refusal.
    pub act_on_alarm: Arc<Act>,
    /// Takes a warning for a feed: its name and the document; the error is the reason of a refusal.
    pub on_warning: Arc<dyn Fn(String, Vec<u8>) -> CommandFuture + Send + Sync>,
}

#[derive(Clone)]
struct ServerState {
    view: ServerView,
    tokens: Arc<Vec<Token>>,
}

/// Serves until `stop`. A port that is in use is tried again every five seconds.
pub async fn serve(settings: ServerSettings, view: ServerView, stop: CancellationToken) {
    let state = ServerState { view, tokens: Arc::new(settings.token.clone()) };
    let router = Router::new()
        .route("/a/{token}", get(show).post(reply))
        .route("/api/v1/alarms", get(list))
        .route("/api/v1/alarms/{key}/acknowledge", post(acknowledge))
        .route("/api/v1/alarms/{key}/arrive", post(arrive))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .route("/api/v1/warnings/{feed}", post(warn).layer(DefaultBodyLimit::max(WARNING_MAX)))
        .layer(middleware::from_fn(careful))
        .with_state(state);
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let (mut is_reported, connections) = (false, Connections::default());
    while !stop.is_cancelled() {
        match tokio::net::TcpListener::bind(&settings.listen).await {
            Ok(listener) => {
                tracing::info!(listen = settings.listen, "alarm pages and the interface for programs are served");
                accept(&listener, &router, &slots, &connections, &stop).await;
            }
            Err(error) if !is_reported => {
                is_reported = true;
                tracing::warn!(listen = settings.listen, %error, "alarm pages cannot be served at this address: tried again every 5 s");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

async fn accept(
    listener: &tokio::net::TcpListener,
    router: &Router,
    places: &Arc<tokio::sync::Semaphore>,
    connections: &Connections,
    stop: &CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, from)) = accepted else {
            // Too many open files: accept again shortly.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Beyond a limit the connection is closed; clients retry.
        let Some(slot) = connections.place(from.ip()) else { continue };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else { continue };
        let (service, stop) = (TowerToHyperService::new(router.clone()), stop.clone());
        tokio::spawn(async move {
            let _places = (place, slot);
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BODY_MAX);
            tokio::select! {
                () = stop.cancelled() => {}
                _ended = http.serve_connection(TokioIo::new(stream), service) => {}
            }
        });
    }
}

/// Middleware: time limit and security headers.
async fn careful(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "too slow\n").into_response(),
    };
    let headers = response.headers_mut();
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (axum::http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn html(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

async fn show(State(state): State<ServerState>, Path(token): Path<String>) -> Response {
    match (state.view.page)(&token) {
        Some(alarm) => {
            let chart = (state.view.chart)(token).await;
            html(StatusCode::OK, page::alarm(&AlarmPage { chart, ..alarm }, None))
        }
        None => gone().await,
    }
}

/// Answers an invalid token, or one whose alarm is over.
async fn gone() -> Response {
    connections::reject_token("a page").await;
    html(StatusCode::GONE, page::expired())
}

async fn reply(State(state): State<ServerState>, Path(token): Path<String>, body: String) -> Response {
    if (state.view.page)(&token).is_none() {
        return gone().await;
    }
    let form = PageForm::read(&body);
    let done = (state.view.reply)(token.clone(), form.clone()).await.map(|()| form.done());
    let status = done.as_ref().map_or_else(|refused| status_of(refused.kind), |_| StatusCode::OK);
    let done = done.map_err(|refused| refused.text);
    let chart = (state.view.chart)(token.clone()).await;
    match (state.view.page)(&token) {
        Some(alarm) => html(status, page::alarm(&AlarmPage { chart, ..alarm }, Some(&done))),
        None => html(status, page::expired()),
    }
}

impl ServerState {
    /// The id of the program that sends a request, if its token permits `wanted`.
    async fn program(&self, headers: &HeaderMap, wanted: May) -> Result<String, Box<Response>> {
        let given = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
        let Some(given) = given else {
            return Err(Box::new((StatusCode::UNAUTHORIZED, "Authorization: Bearer TOKEN\n").into_response()));
        };
        let is_it = |t: &&Token| {
            let token = self.view.tokens.secret(None, Some(&t.token_file)).ok().flatten().unwrap_or_default();
            token.len() >= TOKEN_MIN && same(&token, given)
        };
        match self.tokens.iter().find(is_it) {
            Some(token) if token.may.includes(wanted) => Ok(token.id.clone()),
            Some(_) => {
                let what = "this token may not do that: `may` of [[web.token]] says what it may\n";
                Err(Box::new((StatusCode::FORBIDDEN, what).into_response()))
            }
            None => {
                connections::reject_token("a program").await;
                Err(Box::new((StatusCode::UNAUTHORIZED, "no such token\n").into_response()))
            }
        }
    }
}

/// Compares in constant time: both texts are hashed first.
fn same(a: &str, b: &str) -> bool {
    let of = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    of(a).as_ref() == of(b).as_ref()
}

async fn list(State(state): State<ServerState>, headers: HeaderMap) -> Response {
    match state.program(&headers, May::Read).await {
        Ok(_) => axum::Json((state.view.alarms)()).into_response(),
        Err(refused) => *refused,
    }
}

/// The status of a kind of failure.
const fn status_of(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::BadInput => StatusCode::BAD_REQUEST,
        FailureKind::NotPermitted => StatusCode::FORBIDDEN,
        FailureKind::Refused => StatusCode::CONFLICT,
        FailureKind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        FailureKind::Retry => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A word on it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Note {
    note: String,
}

async fn acknowledge(state: State<ServerState>, key: Path<String>, headers: HeaderMap, body: String) -> Response {
    act(false, state, key, headers, body).await
}

async fn arrive(state: State<ServerState>, key: Path<String>, headers: HeaderMap, body: String) -> Response {
    act(true, state, key, headers, body).await
}

async fn warn(
    State(state): State<ServerState>,
    Path(feed): Path<String>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    if let Err(refused) = state.program(&headers, May::Warn).await {
        return *refused;
    }
    match (state.view.on_warning)(feed, body.to_vec()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => (status_of(refused.kind), format!("{refused}\n")).into_response(),
    }
}

async fn act(
    is_there: bool,
    State(state): State<ServerState>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let by = match state.program(&headers, May::Acknowledge).await {
        Ok(by) => by,
        Err(refused) => return *refused,
    };
    let note: Note = if body.is_empty() {
        Note::default()
    } else {
        match serde_json::from_str(&body) {
            Ok(note) => note,
            Err(e) => {
                return (StatusCode::BAD_REQUEST, format!("{{\"note\": \"…\"}} or nothing: {e}\n")).into_response();
            }
        }
    };
    match (state.view.act_on_alarm)(is_there, key, by, note.note).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => (status_of(refused.kind), format!("{refused}\n")).into_response(),
    }
}
