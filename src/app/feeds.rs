//! Feeds of warnings: one task for each that is asked at intervals, and what programs send.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::shared::{FeedHandle, Shared};
use crate::app::{App, step, take_if, with_files};
use crate::clock::{FaultLog, LogLimit};
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
    /// Starts what asks a feed; to one without an address programs send.
    pub(super) fn start_feed(&mut self, settings: &FeedSettings, files: &LoadedFiles) {
        let (shared, runs, loaded) = (Arc::clone(&self.shared), settings.clone(), files.clone());
        let task = settings.url.is_some().then(|| {
            self.engine_tasks.spawn(&format!("feed {}", settings.name), move |stop| {
                Box::pin(run(Arc::clone(&shared), FeedReader::new(runs.clone(), loaded.clone()), runs.clone(), stop))
            })
        });
        lock(&self.shared.adapters.feeds).push(FeedHandle { settings: settings.clone(), files: files.clone(), task });
    }

    /// Restarts feeds whose settings or files changed; all of them where the scheme or the place of the site is another: what they
    /// brought has to be judged anew.
    pub(super) async fn change_feeds(
        &mut self,
        old: &Configuration,
        configuration: &Configuration,
        report: &mut Vec<String>,
    ) {
        let is_other = old.flood.scheme != configuration.flood.scheme || old.flood.place != configuration.flood.place;
        let wanted = with_files(&configuration.feeds, FeedSettings::files).await;
        let stays = |feed: &FeedHandle| wanted.iter().any(|(s, files)| feed.settings == **s && feed.files == *files);
        let gone = |feed: &FeedHandle| is_other || !stays(feed);
        for feed in take_if(&self.shared.adapters.feeds, gone) {
            if let Some(task) = feed.task {
                task.stop_and_wait().await;
            }
            report.push(format!("feed {} stopped", feed.settings.name));
        }
        for (settings, files) in &wanted {
            if !lock(&self.shared.adapters.feeds).iter().any(|feed| feed.settings == **settings) {
                self.start_feed(settings, files);
                report.push(format!("feed {} started", settings.name));
            }
        }
    }
}

/// Characters of what a service said that are logged.
const LOGGED: usize = 200;

static LOG: LogLimit = LogLimit::new();

async fn run(shared: Arc<Shared>, mut reader: FeedReader, settings: FeedSettings, stop: CancellationToken) {
    let (mut fault_log, mut is_failing) = (FaultLog::default(), false);
    loop {
        let look = tokio::select! {
            () = stop.cancelled() => return,
            look = reader.look() => look,
        };
        let now_us = shared.clock.mono_us();
        match &look.report.failed {
            Some(why) => {
                if fault_log.is_due(!is_failing, now_us) {
                    tracing::warn!(
                        feed = settings.name,
                        why = one_line(why, LOGGED),
                        "the feed of warnings does not answer as it should"
                    );
                }
                is_failing = true;
                reader.refresh_files().await;
            }
            None if std::mem::take(&mut is_failing) => {
                tracing::info!(feed = settings.name, "the feed of warnings answers again");
            }
            None => {}
        }
        if let Some(((url, why), count)) = look.left_out.first().zip(LOG.allows(&settings.name)) {
            let (url, why, documents) = (one_line(url, LOGGED), one_line(why, LOGGED), look.left_out.len());
            tracing::warn!(
                feed = settings.name,
                url,
                why,
                documents,
                count,
                "documents are left out; the first of them"
            );
        }
        let input = Input::Feed { feed: &settings.name, report: &look.report };
        if step::step_and_commit(&shared, input).await.is_err() {
            reader.forget();
        }
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
    let warnings = read.map_err(|why| Refusal::bad_input(one_line(&format!("that is no warning: {why}"), LOGGED)))?;
    let report = FeedReport::answered(warnings);
    step::step_and_commit(shared, Input::Feed { feed: name, report: &report }).await
}
