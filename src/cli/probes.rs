//! Checks of sinks and channels: whether their files are usable, and whether they work now.

use crate::cli::{CommandFailure, output};
use crate::config::Configuration;
use crate::http::files::LoadedFiles;
use crate::model::time::UnixMillis;
use crate::sink::error::SinkError;

/// What is wrong with files of sinks, channels and feeds, as text.
pub fn files(configuration: &Configuration, now: UnixMillis) -> Vec<String> {
    let sinks = configuration.sinks.iter().map(|s| (format!("sink `{}`", s.name()), s.files()));
    let channels = configuration.oncall.channels.iter().map(|c| (format!("channel `{}`", c.id()), c.files()));
    let feeds = configuration.feeds.iter().map(|f| (format!("feed `{}`", f.name), f.files()));
    let (mut out, now) = (Vec::new(), std::time::Duration::from_millis(u64::try_from(now.0).unwrap_or(0)));
    for (name, files) in sinks.chain(channels).chain(feeds) {
        out.extend(files.iter().filter_map(|f| f.problem(now)).map(|why| format!("{name}: {why}")));
    }
    out
}

/// Tries every sink, and every channel that can be tried without notifying anybody; returns the number of failures.
///
/// # Errors
/// The runtime cannot be built.
pub fn online(configuration: &Configuration, now: UnixMillis) -> Result<usize, CommandFailure> {
    let results = crate::cli::runtime()?.block_on(async {
        let mut results = Vec::new();
        for sink in &configuration.sinks {
            let all = sink.probe(&configuration.site.id, now).await;
            let text = |result: Result<String, SinkError>| result.map_err(|why| why.to_string());
            results.extend(all.into_iter().map(|(what, result)| (format!("sink {}", sink.name()), what, text(result))));
        }
        for settings in &configuration.oncall.channels {
            if let Some(result) = settings.open(&LoadedFiles::load(settings.files()).await).probe().await {
                let result = result.map_err(|why| why.to_string());
                results.push((format!("channel {}", settings.id()), "log in".to_string(), result));
            }
        }
        results
    });
    for (target, what, result) in &results {
        let outcome = result.as_ref().map_or_else(|why| format!("DOES NOT WORK: {why}"), Clone::clone);
        output::line(format!("{target}: {what}: {outcome}"));
    }
    Ok(results.iter().filter(|(.., result)| result.is_err()).count())
}
