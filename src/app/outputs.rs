//! Starts and stops sinks, their command subscribers, and channels.

use std::sync::Arc;

use crate::app::shared::{ChannelHandle, SinkHandle, lock};
use crate::app::{App, alarm_server, device_tags, outbox, pages, reply_ways, take_if};
use crate::channel;
use crate::config::Configuration;
use crate::model::room::Input;
use crate::sink::dead_letters::DeadLetters;
use crate::sink::mqtt::commands::CommandContext;
use crate::sink::resend::Resend;
use crate::sink::{self, SinkHealth};

impl App {
    pub(super) fn start_sink(&mut self, settings: &sink::kinds::SinkSettings) {
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
            dead_letters: DeadLetters::open(&sink::state_file(&state_dir, "aside", name, "jsonl")),
            resend: Resend::open(&sink::state_file(&state_dir, "again", name, "json")),
            state_dir,
        };
        // Creates the cursor now: a new sink starts here, even if its task is scheduled later.
        let _begins_here = self.shared.journal.position(&settings.cursor());
        let (dead_letters, again) = (common.dead_letters.clone(), common.resend.clone());
        let runs = settings.clone();
        let task = self.outputs.spawn(&format!("sink {name}"), move |stop| runs.run(common.clone(), stop));
        let commands = settings.takes_commands().then(|| {
            let (shared, way) = (Arc::clone(&self.shared), reply_ways::of_sink(name));
            let context = CommandContext {
                site: configuration.site.id.clone(),
                handler: alarm_server::mqtt_command_handler(&self.shared, name),
                on_listening: Arc::new(move |result| shared.adapters.reply_ways.set(&way, result)),
                outbox_health: Arc::clone(&health),
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
            resend: again,
            device_tags: places,
            task,
            commands,
        });
    }

    pub(super) fn start_channel(&mut self, settings: &channel::kinds::ChannelSettings) {
        let (posts, queue) = pages::queue();
        let (shared, runs) = (Arc::clone(&self.shared), settings.clone());
        let task = self.channels.spawn(&format!("channel {}", settings.id()), move |stop| {
            Box::pin(pages::run(Arc::clone(&shared), runs.clone(), Arc::clone(&queue), stop))
        });
        lock(&self.shared.adapters.channels).push(ChannelHandle {
            settings: settings.clone(),
            notifications: posts,
            task,
        });
    }

    /// Restarts channels whose settings changed.
    pub(super) async fn change_channels(&mut self, configuration: &Configuration, report: &mut Vec<String>) {
        let wanted = &configuration.oncall.channels;
        for channel in take_if(&self.shared.adapters.channels, |c| !wanted.contains(&c.settings)) {
            channel.task.stop_and_wait().await;
            let restarted = Input::ChannelRestarted(channel.settings.id());
            let _nothing_is_refused = outbox::step_and_commit(&self.shared, restarted).await;
            report.push(format!("channel {} stopped", channel.settings.id()));
        }
        for settings in wanted {
            if !lock(&self.shared.adapters.channels).iter().any(|c| c.settings == *settings) {
                self.start_channel(settings);
                report.push(format!("channel {} started", settings.id()));
            }
        }
    }
}
