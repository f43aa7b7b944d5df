//! Feeds of warnings: one task for each that is asked at intervals, and what programs send.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::shared::{FeedHandle, Shared};
use crate::app::{App, step, take_if};
use crate::clock::FaultLog;
use crate::config::Configuration;
use crate::http::files::LoadedFiles;
use crate::intake::error::IntakeError;
use crate::intake::feed::{self, FeedReader};
use crate::intake::settings::FeedSettings;
use crate::lock::lock;
use crate::model::failure::Refusal;
use crate::model::flood::FeedReport;
use crate::model::room::Input;
use crate::model::text::{REMARK, one_line};
use crate::web::server::CommandFuture;

impl App {
    /// Starts what asks a feed; one without an address is only spoken to.
    pub(super) fn start_feed(&mut self, settings: &FeedSettings, files: &LoadedFiles) {
        let (shared, runs, loaded) = (Arc::clone(&self.shared), settings.clone(), files.clone());
        let task = settings.url.is_some().then(|| {
            self.engine_tasks.spawn(&format!("feed {}", settings.name), move |stop| {
                Box::pin(run(Arc::clone(&shared), FeedReader::new(runs.clone(), loaded.clone()), runs.clone(), stop))
            })
        });
        lock(&self.shared.adapters.feeds).push(FeedHandle { settings: settings.clone(), task });
    }

    /// Restarts feeds whose settings changed.
    pub(super) async fn change_feeds(&mut self, configuration: &Configuration, report: &mut Vec<String>) {
        let gone = |feed: &FeedHandle| !configuration.feeds.contains(&feed.settings);
        for feed in take_if(&self.shared.adapters.feeds, gone) {
            if let Some(task) = feed.task {
                task.stop_and_wait().await;
            }
            report.push(format!("feed {} stopped", feed.settings.name));
        }
        for settings in &configuration.feeds {
            if !lock(&self.shared.adapters.feeds).iter().any(|feed| feed.settings == *settings) {
                let files = LoadedFiles::load(settings.files()).await;
                self.start_feed(settings, &files);
                report.push(format!("feed {} started", settings.name));
            }
        }
    }
}

async fn run(shared: Arc<Shared>, mut reader: FeedReader, settings: FeedSettings, stop: CancellationToken) {
    let (mut fault_log, mut is_failing) = (FaultLog::default(), false);
    loop {
        let look = tokio::select! {
            () = stop.cancelled() => return,
            look = reader.look() => look,
        };
        let now_us = shared.clock.mono_us();
        match &look.report {
            FeedReport::Failed(why) => {
                if fault_log.is_due(!is_failing, now_us) {
                    tracing::warn!(feed = settings.name, why, "the feed of warnings does not answer as it should");
                }
                is_failing = true;
                reader.refresh_files().await;
            }
            FeedReport::Answered(_) if std::mem::take(&mut is_failing) => {
                tracing::info!(feed = settings.name, "the feed of warnings answers again");
            }
            FeedReport::Answered(_) => {}
        }
        for (url, why) in &look.left_out {
            tracing::warn!(feed = settings.name, url = one_line(url, 200), why, "a document is left out");
        }
        let input = Input::Feed { feed: &settings.name, report: &look.report };
        let _nothing_is_refused = step::step_and_commit(&shared, input).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.clock.sleep(look.pause) => {}
        }
    }
}

/// Takes what programs send to feeds.
pub fn handler(shared: &Arc<Shared>) -> Arc<dyn Fn(String, Vec<u8>) -> CommandFuture + Send + Sync> {
    let shared = Arc::clone(shared);
    Arc::new(move |feed, document| {
        let shared = Arc::clone(&shared);
        Box::pin(async move { take(&shared, &feed, document).await })
    })
}

/// A CAP document, or JSON of its mapping, that a program sends to a feed.
///
/// # Errors
/// There is no such feed, it is asked at intervals, or the document is none; in words.
async fn take(shared: &Shared, name: &str, document: Vec<u8>) -> Result<(), Refusal> {
    let configuration = shared.configuration();
    let Some(settings) = configuration.feeds.iter().find(|settings| settings.name == name) else {
        let known = configuration.feeds.iter().map(|settings| settings.name.as_str());
        let text = crate::model::problem::unknown(("预警源", "feed"), &one_line(name, REMARK), known);
        return Err(Refusal { kind: crate::model::failure::FailureKind::BadInput, text });
    };
    if settings.url.is_some() {
        return Err(Refusal::refused(format!("the feed `{name}` has a url: it is asked, nobody sends it warnings")));
    }
    let settings = settings.clone();
    let read = tokio::task::spawn_blocking(move || feed::read_sent(&settings, &document)).await;
    let read = read.map_err(IntakeError::from).and_then(|read| read);
    let warnings = read.map_err(|why| Refusal::bad_input(format!("that is no warning: {why}")))?;
    let report = FeedReport::Answered(warnings);
    step::step_and_commit(shared, Input::Feed { feed: name, report: &report }).await
}
