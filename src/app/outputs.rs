//! Starts and stops sinks, their command subscribers, and channels.

use std::path::Path;
use std::sync::Arc;

use crate::app::shared::{ChannelHandle, ChannelHealth, SinkHandle};
use crate::app::{App, alarm_server, device_tags, feeds, pages, reply_ways, step, take_if, with_files};
use crate::channel;
use crate::config::Configuration;
use crate::http::files::LoadedFiles;
use crate::lock::lock;
use crate::model::room::Input;
use crate::sink::command::CommandContext;
use crate::sink::dead_letters::DeadLetters;
use crate::sink::resend::Resend;
use crate::sink::{self, SinkHealth};

/// A sink that is about to start, with its files.
pub(super) struct OpenedSink {
    settings: sink::kinds::SinkSettings,
    files: LoadedFiles,
    dead_letters: DeadLetters,
    resend: Resend,
}

impl OpenedSink {
    /// Reads the files; waits for the disk.
    pub(super) fn open(settings: sink::kinds::SinkSettings, state_dir: &Path) -> Self {
        let file = |what: &str, extension: &str| sink::state_file(state_dir, what, settings.name(), extension);
        let dead_letters = DeadLetters::open(&file("aside", "jsonl"));
        let resend = Resend::open(&file("again", "json"));
        Self { files: LoadedFiles::read(&settings.files()), dead_letters, resend, settings }
    }
}

impl App {
    pub(super) fn start_sink(&mut self, opened: OpenedSink) {
        let OpenedSink { settings, files, dead_letters, resend } = opened;
        let (health, name) = (Arc::new(SinkHealth::default()), settings.name());
        let configuration = self.shared.configuration();
        let places = Arc::new(device_tags(&configuration));
        let state_dir = self.shared.process.paths.state.clone();
        let common = sink::SinkContext {
            site: configuration.site.id.clone(),
            device_tags: Arc::clone(&places),
            journal: self.shared.journal.clone(),
            retained_topics: self.shared.adapters.retained_topics.clone(),
            clock: self.shared.clock.clone(),
            health: Arc::clone(&health),
            files: files.clone(),
            dead_letters: dead_letters.clone(),
            resend: resend.clone(),
            state_dir,
        };
        // Creates the cursor now: a new sink starts here, even if its task is scheduled later.
        let _begins_here = self.shared.journal.position(&settings.cursor());
        let runs = settings.clone();
        let task = self.outputs.spawn(&format!("sink {name}"), move |stop| runs.run(common.clone(), stop));
        let commands = settings.takes_commands().then(|| {
            let (shared, way) = (Arc::clone(&self.shared), reply_ways::of_sink(name));
            let context = CommandContext {
                site: configuration.site.id.clone(),
                handler: alarm_server::mqtt_command_handler(&self.shared, name),
                on_warning: feeds::handler(&self.shared),
                on_listening: Arc::new(move |result| shared.adapters.reply_ways.set(&way, result)),
                outbox_health: Arc::clone(&health),
                files: files.clone(),
                client_id: None,
            };
            let settings = settings.clone();
            self.outputs.spawn(&format!("commands of {name}"), move |stop| {
                let listening = settings.listen(context.clone(), stop);
                listening.unwrap_or_else(|| Box::pin(std::future::ready(())))
            })
        });
        let settings = settings.clone();
        lock(&self.shared.adapters.sinks).push(SinkHandle {
            settings,
            health,
            dead_letters,
            resend,
            device_tags: places,
            files,
            task,
            commands,
        });
    }

    pub(super) fn start_channel(&mut self, settings: &channel::kinds::ChannelSettings, files: &LoadedFiles) {
        let (posts, queue) = pages::queue();
        let (shared, runs, loaded) = (Arc::clone(&self.shared), settings.clone(), files.clone());
        let health = Arc::new(ChannelHealth::default());
        let counts = Arc::clone(&health);
        let task = self.channels.spawn(&format!("channel {}", settings.id()), move |stop| {
            let channel = (runs.clone(), loaded.clone(), Arc::clone(&counts));
            Box::pin(pages::run(Arc::clone(&shared), channel, Arc::clone(&queue), stop))
        });
        lock(&self.shared.adapters.channels).push(ChannelHandle {
            health,
            settings: settings.clone(),
            notifications: posts,
            files: files.clone(),
            task,
        });
    }

    /// Restarts sinks whose settings, files, tags or site changed.
    pub(super) async fn change_sinks(
        &mut self,
        configuration: &Configuration,
        site_changed: bool,
        report: &mut Vec<String>,
    ) {
        let now = device_tags(configuration);
        // A time-series sink writes class and area as tags of each value.
        let moved = |s: &SinkHandle| s.settings.writes_device_tags() && *s.device_tags != now;
        let sinks = with_files(&configuration.sinks, |s| s.files()).await;
        let is_wanted = |s: &SinkHandle| sinks.iter().any(|(w, files)| s.settings == **w && s.files == *files);
        let gone = |s: &SinkHandle| site_changed || moved(s) || !is_wanted(s);
        for sink in take_if(&self.shared.adapters.sinks, gone) {
            sink.task.stop_and_wait().await;
            if let Some(commands) = sink.commands {
                commands.stop_and_wait().await;
            }
            report.push(format!("sink {} stopped", sink.settings.name()));
        }
        for settings in &configuration.sinks {
            if !lock(&self.shared.adapters.sinks).iter().any(|s| s.settings == *settings) {
                let (opens, state) = (settings.clone(), self.shared.process.paths.state.clone());
                let opened = tokio::task::spawn_blocking(move || OpenedSink::open(opens, &state)).await;
                opened.into_iter().for_each(|opened| self.start_sink(opened));
                report.push(format!("sink {} started", settings.name()));
            }
        }
    }

    /// Restarts channels whose settings or files changed.
    pub(super) async fn change_channels(&mut self, configuration: &Configuration, report: &mut Vec<String>) {
        let wanted = with_files(&configuration.oncall.channels, channel::kinds::ChannelSettings::files).await;
        let stays = |c: &ChannelHandle| wanted.iter().any(|(s, files)| c.settings == **s && c.files == *files);
        for channel in take_if(&self.shared.adapters.channels, |c| !stays(c)) {
            channel.task.stop_and_wait().await;
            let restarted = Input::ChannelRestarted(channel.settings.id());
            let _nothing_is_refused = step::step_and_commit(&self.shared, restarted).await;
            report.push(format!("channel {} stopped", channel.settings.id()));
        }
        for (settings, files) in &wanted {
            if !lock(&self.shared.adapters.channels).iter().any(|c| c.settings == **settings) {
                self.start_channel(settings, files);
                report.push(format!("channel {} started", settings.id()));
            }
        }
    }
}
