//! HTTP listeners. [`serve`]: health and metrics, loopback only. [`server::serve`]: alarm pages behind signed links, and an
//! interface for programs. Both only read the state; changes are passed on as commands through callbacks.

pub mod chart;
pub mod connections;
pub mod page;
pub mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

/// The health page: `/metrics`, `/healthz` and `/readyz`, without a login.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthPageSettings {
    /// Address and port, loopback only; empty for none.
    pub listen: String,
}

impl Default for HealthPageSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_string() }
    }
}

/// The callbacks of the health page.
#[derive(Clone)]
pub struct HealthPage {
    /// `/metrics` in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// `/healthz`: whether everything makes progress.
    pub alive: Arc<dyn Fn() -> bool + Send + Sync>,
    /// A warning shown although the check succeeds.
    pub warning: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// `/readyz`: whether everything was started and the journal writes.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Serves until `stop`. A port that is in use is tried again every five seconds.
pub async fn serve(settings: HealthPageSettings, view: HealthPage, stop: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|State(v): State<HealthPage>| async move { verdict((v.alive)(), (v.warning)()) }))
        .route("/readyz", get(|State(v): State<HealthPage>| async move { verdict((v.ready)(), (v.warning)()) }))
        .with_state(view);
    let mut is_reported = false;
    loop {
        match tokio::net::TcpListener::bind(&settings.listen).await {
            Ok(listener) => {
                let stopped = stop.clone();
                let serving = axum::serve(listener, router.clone())
                    .with_graceful_shutdown(async move { stopped.cancelled().await });
                if let Err(error) = serving.await {
                    tracing::warn!(%error, "health page ended");
                }
            }
            Err(error) if !is_reported => {
                is_reported = true;
                tracing::warn!(listen = settings.listen, %error, "health page cannot listen: tried again every 5 s");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
}

async fn metrics(State(view): State<HealthPage>) -> impl IntoResponse {
    ([(CONTENT_TYPE, prometheus_client::encoding::prometheus_text::CONTENT_TYPE)], (view.metrics)())
}

fn verdict(good: bool, remark: Option<String>) -> (StatusCode, String) {
    let (code, word) = if good { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ok") };
    (code, format!("{word}\n{}", remark.map(|r| format!("{r}\n")).unwrap_or_default()))
}
