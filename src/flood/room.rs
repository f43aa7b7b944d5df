//! Flood as a room of the engine: warnings, the site's own alarms and people's word in; the level with its events, its retained topic and its
//! points out. The site's own alarms come as a request of the alarm room, which runs later: they are seen in the next pass of the same step.
//!
//! Kept are `state`, at each decision, and a snapshot of what pumps and gauges were measured to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::flood::level::LevelChange;
use crate::flood::notices::{IssuedNotice, Outgoing, REPORT_EVERY_MS, notice_rank, notice_topic};
use crate::flood::plan::FloodPlan;
use crate::flood::points;
use crate::flood::readiness::readiness;
use crate::flood::scheme::Scheme;
use crate::flood::settings::FloodText;
use crate::flood::situation::situation;
use crate::flood::state::{FloodState, LastEnded, NO_LEVEL, level_id, level_ids};
use crate::flood::view::{FeedView, FloodView, FloodViewParts, headline_text};
use crate::flood::warnings::{ActiveWarning, FeedRules, Outcome, WarningEnd};
use crate::flood::water::{KeptWater, Water};
use crate::model::command::{Command, Operation};
use crate::model::directory::Directory;
use crate::model::effects::{Effects, Keep, LogEvent};
use crate::model::failure::{FailureKind, Refusal};
use crate::model::flood::{FLOOD_DEVICE, FeedReport, FloodCause, FloodOperation, ReadinessItem};
use crate::model::reading::Reading;
use crate::model::room::{Board, Input, Reconfiguration, Room, SNAPSHOT, Snapshot, Start, kept_value};
use crate::model::stream::Stream;
use crate::model::text::{KEY, REMARK, one_line};
use crate::model::time::{MonotonicMillis, Now, rebase_offset};
use crate::model::warning::Warning;

/// Key under which the state is kept.
const STATE: &str = "state";
/// Key of events about the level.
const LEVEL: &str = "level";
/// How often the level's points are repeated.
const REPEAT_MS: u64 = 60_000;
/// Milliseconds in a minute.
const MINUTE_MS: u64 = 60_000;

/// A feed as it was seen; not kept.
#[derive(Clone, Debug, Default)]
struct FeedState {
    answered: MonotonicMillis,
    failing: Option<String>,
}

/// The flood rules: the level of the site with its inputs, and the water of its sumps.
#[derive(Debug)]
pub struct FloodRoom {
    plan: FloodPlan,
    boot: Arc<str>,
    state: FloodState,
    /// Active alarms that demand a level, as the alarm room said last; and those that readiness depends on.
    local: Vec<FloodCause>,
    readiness: Vec<ReadinessItem>,
    directory: Arc<Directory>,
    outgoing: Outgoing,
    next_report: MonotonicMillis,
    feeds: BTreeMap<Arc<str>, FeedState>,
    water: Water,
    stream: Arc<Stream>,
    /// The retained topic as it was set last.
    topic: String,
    next_repeat: MonotonicMillis,
    /// Whether the state has to be kept; whether only what is shown of it is another.
    is_changed: bool,
    is_shown_changed: bool,
    /// Whether the alarm room has said since the start which alarms demand a level.
    are_alarms_known: bool,
}

impl Room for FloodRoom {
    const ID: &'static str = "flood";
    type Plan = FloodPlan;

    fn build(plan: &FloodPlan, start: Start<'_>, unreadable: &mut Vec<String>) -> Self {
        let of = (Self::ID, Self::FORMAT);
        let now = (start.now, start.boot);
        let kept: Option<FloodState> = kept_value(of, start.kept, STATE, unreadable);
        let water: Option<KeptWater> = kept_value(of, start.kept, SNAPSHOT, unreadable);
        let state = plan.scheme.as_ref().map(|scheme| FloodState::restored(kept, scheme, now)).unwrap_or_default();
        let water = water.map(|mut kept| {
            kept.rebase(rebase_offset((kept.saved, &kept.boot), now));
            kept
        });
        let mut room = Self {
            plan: plan.clone(),
            boot: start.boot.into(),
            state,
            local: Vec::new(),
            readiness: Vec::new(),
            directory: Arc::clone(start.directory),
            outgoing: Outgoing::default(),
            next_report: MonotonicMillis::default(),
            feeds: BTreeMap::new(),
            water: Water::new(plan, water.unwrap_or_default()),
            stream: points::stream(REPEAT_MS),
            topic: String::new(),
            next_repeat: start.now.mono,
            is_changed: false,
            is_shown_changed: false,
            are_alarms_known: false,
        };
        room.take_feeds(start.now);
        room
    }

    fn reconfigure(&mut self, plan: &FloodPlan, change: Reconfiguration<'_>, _: &mut Board, effects: &mut Effects) {
        let before = std::mem::replace(&mut self.plan, plan.clone());
        // The alarm room says again which alarms demand a level; until then they are as they were.
        self.directory = Arc::clone(change.directory);
        self.water.reconfigure(plan);
        self.take_feeds(change.now);
        (self.topic, self.next_repeat) = (String::new(), change.now.mono);
        if before.scheme.is_none() && plan.scheme.is_none() {
            return;
        }
        // Ranks of other levels mean something else; what people ticked and the numbers of notices do not depend on them.
        let levels = |plan: &FloodPlan| plan.scheme.as_ref().map(|scheme| level_ids(scheme));
        if levels(&before) != levels(plan) {
            self.withdraw_notice(effects);
            self.outgoing = Outgoing::default();
            let was = std::mem::take(&mut self.state);
            let levels = levels(plan).unwrap_or_default();
            self.state = FloodState { levels, ticks: was.ticks, notices: was.notices, ..FloodState::default() };
            if was.level.rank > 0 {
                let body = json!({ "from": level_of(&before, was.level.rank), "to": NO_LEVEL });
                effects.decided.events.push(event(LEVEL, "scheme_changed", Some(&change.actor.id), body));
            }
        }
        // Feeds that are asked bring their warnings again, to be judged anew.
        let is_elsewhere = before.place != plan.place;
        let stays = |feed: &str| plan.feeds.iter().any(|of| *of.name == *feed && !(of.is_polled && is_elsewhere));
        self.state.warnings.retain(|warning| stays(&warning.feed));
        if plan.scheme.is_none() {
            effects.decided.retained.push((FLOOD_DEVICE.to_string(), None));
            effects.poll_rank = Some(0);
            self.keep(change.now, effects);
        }
        self.is_changed = true;
    }

    fn step(&mut self, now: Now, input: Input<'_>, board: &mut Board, effects: &mut Effects) {
        if let Some(alarms) = board.requests.flood_alarms.take() {
            self.is_changed |= alarms.causes != self.local;
            self.is_shown_changed |= alarms.readiness != self.readiness;
            (self.local, self.readiness, self.are_alarms_known) = (alarms.causes, alarms.readiness, true);
        }
        if let Input::Reading(reading) = input {
            self.water.reading(reading);
        }
        self.water.publish(now, board);
        let Some(scheme) = self.plan.scheme.clone() else {
            if let Input::Command(Command { operation: Operation::Flood(_), .. }) = input {
                let en = "this site has no flood levels: [flood] with a scheme gives it some (docs/flood.md)";
                let refusal = Refusal::new(FailureKind::Refused, "本站未配置防汛等级", en);
                effects.refused = effects.refused.take().or(Some(refusal));
            }
            return;
        };
        match input {
            Input::Delivery { attempt, outcome } => self.outgoing.delivered(attempt, outcome, now),
            Input::Feed { feed, report } => self.feed(feed, report, &scheme, now, effects),
            Input::Command(command) => {
                if let Operation::Flood(operation) = &command.operation
                    && let Err(refused) = self.command(command, operation, &scheme, now, effects)
                {
                    effects.refused = effects.refused.take().or(Some(refused));
                }
            }
            _ => {}
        }
        self.end_what_is_over(now, effects);
        let inputs = self.state.inputs(self.local_rank());
        let was_forced = self.state.level.forced.is_some();
        // After a start the alarms speak in the next pass of this step: until then it is not known that none demands a level.
        let is_known = self.are_alarms_known || board.is_alarm_off;
        let change = is_known.then(|| self.state.level.step(now, inputs, |rank| min_hold_ms(&scheme, rank))).flatten();
        if let Some(change) = change {
            self.record(change, &scheme, effects);
        }
        self.is_changed |= was_forced != self.state.level.forced.is_some();
        self.notice(&scheme, now, effects);
        self.report(&scheme, now, effects);
        self.outgoing.dispatch(now, effects);
        self.publish(now, board, effects);
    }

    fn next_wake(&self) -> Option<MonotonicMillis> {
        let level = self.plan.scheme.as_ref().map(|scheme| {
            let state = &self.state;
            let demanded = state.inputs(self.local_rank()).highest();
            let down = state.level.next_step_down(|rank| min_hold_ms(scheme, rank));
            let down = down.filter(|_| demanded < state.level.rank);
            let ends = state.manual.as_ref().map(|manual| manual.until);
            let forced = state.level.forced.map(|forced| forced.until);
            let report = (usize::from(state.level.rank) == scheme.levels.len()).then_some(self.next_report);
            [down, ends, forced, report].into_iter().flatten().fold(self.next_repeat, Ord::min)
        });
        level.into_iter().chain(self.water.next_wake()).chain(self.outgoing.next_wake()).min()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let kept = self.water.kept(&self.boot)?;
        Some(Box::new(move || serde_json::to_vec(&kept).ok()))
    }
}

impl FloodRoom {
    /// The level with what it follows from; none: the site has no scheme.
    pub fn view(&self, now: Now) -> Option<FloodView> {
        let scheme = self.plan.scheme.as_ref()?;
        let inputs = self.state.inputs(self.local_rank());
        let down = self.state.level.next_step_down(|rank| min_hold_ms(scheme, rank));
        let next_step_down = down.filter(|_| inputs.highest() < self.state.level.rank);
        let (state, local) = (&self.state, &*self.local);
        let readiness = readiness(&self.readiness, &self.plan.items, &state.ticks, now);
        let parts = FloodViewParts { scheme, state, local, inputs, next_step_down, readiness };
        Some(FloodView::new(parts, self.feed_views(), now))
    }

    /// Retained topics as they are now: the level, and what residents have been told.
    pub fn topics(&self, now: Now) -> Vec<(String, String)> {
        let view = self.view(now).and_then(|view| serde_json::to_string(&view).ok());
        let level = view.map(|json| (FLOOD_DEVICE.to_string(), json));
        let notice = self.plan.scheme.as_ref().zip(self.state.notice.as_ref()).and_then(|(scheme, notice)| {
            let text = scheme.level(notice.rank)?.notice.as_ref()?;
            Some(notice_topic(notice, scheme, text))
        });
        level.into_iter().chain(notice).collect()
    }

    /// The rank of the level in force; 0: none.
    pub fn rank(&self) -> u8 {
        self.state.level.rank
    }

    fn local_rank(&self) -> u8 {
        self.local.iter().map(|cause| cause.rank).max().unwrap_or(0)
    }

    /// Feeds of the plan; one that is new counts as having answered now.
    fn take_feeds(&mut self, now: Now) {
        let mut before = std::mem::take(&mut self.feeds);
        let mut state =
            |name: &Arc<str>| before.remove(name).unwrap_or(FeedState { answered: now.mono, failing: None });
        self.feeds = self.plan.feeds.iter().map(|feed| (Arc::clone(&feed.name), state(&feed.name))).collect();
    }

    fn feed_views(&self) -> Vec<FeedView> {
        let view = |(name, feed): (&Arc<str>, &FeedState)| FeedView {
            name: name.to_string(),
            is_answering: feed.failing.is_none(),
            why: feed.failing.clone().unwrap_or_default(),
        };
        self.feeds.iter().map(view).collect()
    }

    fn feed(&mut self, name: &str, report: &FeedReport, scheme: &Scheme, now: Now, effects: &mut Effects) {
        let Some(feed) = self.feeds.get_mut(name) else { return };
        let failing = report.failed.as_deref().map(|why| one_line(why, KEY));
        self.is_shown_changed |= feed.failing != failing;
        if failing.is_none() {
            feed.answered = now.mono;
        }
        feed.failing = failing;
        for warning in &report.warnings {
            self.warning(name, warning, scheme, now, effects);
        }
    }

    fn warning(&mut self, feed: &str, message: &Warning, scheme: &Scheme, now: Now, effects: &mut Effects) {
        let concerns_site = self.plan.feeds.iter().any(|of| *of.name == *feed && of.concerns_site);
        let place = self.plan.place.as_ref().filter(|_| !concerns_site);
        let outcome = self.state.warnings.take(FeedRules { name: feed, scheme, place }, message, now);
        // What is ended before it comes is remembered, too.
        self.is_changed |= matches!(outcome, Outcome::InForce(_) | Outcome::Ended(_));
        if let Outcome::InForce(_) = outcome {
            let of = self.state.warnings.in_force().find(|warning| warning.id == message.id);
            effects.decided.events.extend(of.map(|of| warning_event("warning", of, scheme)));
        }
        self.record_ends(scheme, effects);
    }

    /// Each warning that is no longer in force is an event with how it ended: one that expired was not cancelled.
    fn record_ends(&mut self, scheme: &Scheme, effects: &mut Effects) {
        for ended in self.state.warnings.take_newly_ended() {
            let Some(warning) = ended.warning else { continue };
            self.is_changed = true;
            if ended.why != WarningEnd::Updated {
                let headlines = warning.headlines.clone();
                self.state.last_ended = Some(LastEnded { why: ended.why, at: ended.at, headlines });
            }
            let word = match ended.why {
                WarningEnd::Cancelled => "warning_cancelled",
                WarningEnd::Updated => "warning_updated",
                WarningEnd::Expired => "warning_expired",
                WarningEnd::Displaced => "warning_displaced",
            };
            effects.decided.events.push(warning_event(word, &warning, scheme));
        }
    }

    fn end_what_is_over(&mut self, now: Now, effects: &mut Effects) {
        let Some(scheme) = self.plan.scheme.clone() else { return };
        self.state.warnings.expire(now);
        self.record_ends(&scheme, effects);
        if self.state.manual.as_ref().is_some_and(|manual| now.mono >= manual.until) {
            let manual = self.state.manual.take();
            self.is_changed = true;
            let person = manual.map(|manual| manual.signed.person).unwrap_or_default();
            effects.decided.events.push(event(LEVEL, "set_expired", None, json!({ "person": person })));
        }
    }

    fn command(
        &mut self,
        command: &Command,
        operation: &FloodOperation,
        scheme: &Scheme,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let local = self.local_rank();
        let change = self.state.command(command, operation, (&self.plan, scheme, local), now)?;
        self.is_changed = true;
        let mut log = event(LEVEL, operation.word(), Some(&command.actor.id), json!(operation));
        (log.via, log.note) = (command.actor.via.to_string(), one_line(&command.note, REMARK));
        effects.decided.events.push(log);
        if let Some(change) = change {
            self.record(change, scheme, effects);
        }
        Ok(())
    }

    /// Each change of the level is an event with its cause.
    fn record(&mut self, change: LevelChange, scheme: &Scheme, effects: &mut Effects) {
        self.is_changed = true;
        let word = if change.to > change.from { "raised" } else { "lowered" };
        let warning = self.state.warnings.gravest(false).map(|warning| {
            let text = headline_text(&warning.headlines);
            json!({ "identifier": warning.id.identifier, "document": warning.hash, "zh": text.zh, "en": text.en })
        });
        let alarms: Vec<&str> = self.local.iter().map(|cause| &*cause.key).collect();
        let body = json!({
            "from": level_id(scheme, change.from),
            "to": level_id(scheme, change.to),
            "inputs": change.inputs,
            "warning": warning,
            "alarms": alarms,
            "person": self.state.manual.as_ref().map(|manual| &manual.signed),
        });
        effects.decided.events.push(event(LEVEL, word, None, body));
    }

    /// Residents are told at a level that has a text for them, and no longer when it is over.
    fn notice(&mut self, scheme: &Scheme, now: Now, effects: &mut Effects) {
        let rank = notice_rank(scheme, self.rank());
        let before = self.state.notice.as_ref().map_or(0, |notice| notice.rank);
        if rank == before {
            return;
        }
        self.is_changed = true;
        self.withdraw_notice(effects);
        let Some(text) = scheme.level(rank).and_then(|level| level.notice.as_ref()) else { return };
        self.state.notices += 1;
        let from = now.wall_trusted.then_some(now.wall);
        let notice = IssuedNotice { id: format!("flood-{}", self.state.notices), rank, from };
        let (topic, payload) = notice_topic(&notice, scheme, text);
        let body: serde_json::Value = serde_json::from_str(&payload).unwrap_or_default();
        effects.decided.events.push(event(&format!("notice.{}", notice.id), "notice_issued", None, body));
        effects.decided.retained.push((topic, Some(payload)));
        self.outgoing.send(&self.plan, (FloodText::Notice, &notice.id), (&text.title, &text.body), now);
        self.state.notice = Some(notice);
    }

    fn withdraw_notice(&mut self, effects: &mut Effects) {
        self.outgoing.discard(FloodText::Notice);
        if let Some(over) = self.state.notice.take() {
            effects.decided.retained.push((format!("notice/{}", over.id), None));
            effects.decided.events.push(event(&format!("notice.{}", over.id), "notice_withdrawn", None, json!({})));
        }
    }

    /// At the highest level staff hear each quarter of an hour how it stands.
    fn report(&mut self, scheme: &Scheme, now: Now, effects: &mut Effects) {
        if usize::from(self.rank()) < scheme.levels.len() {
            self.next_report = now.mono;
            self.outgoing.discard(FloodText::Report);
            return;
        }
        if now.mono < self.next_report {
            return;
        }
        self.next_report = now.mono.plus(REPORT_EVERY_MS);
        let since = self.state.level.since_date.map_or("?".to_string(), |at| at.in_form(&self.directory.zone, "%H:%M"));
        let sumps = self.water.situation(now.mono, |device| self.directory.device(device).name.clone());
        let readiness = readiness(&self.readiness, &self.plan.items, &self.state.ticks, now);
        let (title, body) = situation(scheme, (self.rank(), &since), &sumps, &readiness);
        let json = json!({ "title_zh": title.zh, "title_en": title.en, "body_zh": body.zh, "body_en": body.en });
        effects.decided.events.push(event("situation", "situation_report", None, json));
        let id = format!("flood-situation-{}", now.mono.0);
        self.outgoing.send(&self.plan, (FloodText::Report, &id), (&title, &body), now);
    }

    fn keep(&mut self, now: Now, effects: &mut Effects) {
        (self.state.saved, self.state.boot) = (now, self.boot.to_string());
        let bytes = serde_json::to_vec(&self.state).ok();
        effects.decided.keep.push(Keep { room: Self::ID, key: STATE.to_string(), format: Self::FORMAT, bytes });
        self.is_changed = false;
    }

    /// The level's points, its topic and what is kept of it, where something changed or a minute has passed.
    fn publish(&mut self, now: Now, board: &mut Board, effects: &mut Effects) {
        let is_due = now.mono >= self.next_repeat;
        if !self.is_changed && !is_due && !std::mem::take(&mut self.is_shown_changed) {
            return;
        }
        self.is_shown_changed = false;
        if self.is_changed {
            self.keep(now, effects);
        }
        self.next_repeat = now.mono.plus(REPEAT_MS);
        board.readings.push(self.reading(now));
        let json = self.view(now).and_then(|view| serde_json::to_string(&view).ok()).unwrap_or_default();
        if json != self.topic {
            self.topic.clone_from(&json);
            effects.poll_rank = Some(self.rank());
            effects.decided.retained.push((FLOOD_DEVICE.to_string(), Some(json)));
        }
    }

    fn reading(&self, now: Now) -> Reading {
        let inputs = self.state.inputs(self.local_rank());
        let polled = self.plan.feeds.iter().filter(|feed| feed.is_polled);
        let silent = polled.filter_map(|feed| self.feeds.get(&feed.name)).map(|feed| now.mono.since(feed.answered));
        let silent_min = i64::try_from(silent.max().unwrap_or(0) / MINUTE_MS).unwrap_or(i64::MAX);
        let ranks = [self.state.level.rank, inputs.external, inputs.local, inputs.manual];
        let readiness = readiness(&self.readiness, &self.plan.items, &self.state.ticks, now).pct;
        points::reading(&self.stream, (ranks, silent_min, readiness), now)
    }
}

fn level_of(plan: &FloodPlan, rank: u8) -> String {
    plan.scheme.as_ref().map_or(NO_LEVEL, |scheme| level_id(scheme, rank)).to_string()
}

fn min_hold_ms(scheme: &Scheme, rank: u8) -> u64 {
    scheme.level(rank).map_or(0, |level| level.min_hold_ms)
}

fn event(key: &str, event: &'static str, actor: Option<&str>, body: serde_json::Value) -> LogEvent {
    LogEvent {
        room: FloodRoom::ID,
        key: key.into(),
        event,
        actor: actor.map(|actor| one_line(actor, REMARK)).unwrap_or_default(),
        via: String::new(),
        note: String::new(),
        body: body.to_string(),
    }
}

fn warning_event(word: &'static str, of: &ActiveWarning, scheme: &Scheme) -> LogEvent {
    let text = headline_text(&of.headlines);
    let body = json!({
        "level": level_id(scheme, of.rank),
        "is_level_known": of.is_level_known,
        "sender": of.id.sender,
        "identifier": of.id.identifier,
        "zh": text.zh,
        "en": text.en,
        "sent": of.sent.rfc3339(),
        "expires": of.expires.rfc3339(),
        "says_expiry": of.says_expiry,
        "exercise": of.is_exercise,
        "document": of.hash,
    });
    event(&one_line(&format!("warning.{}", of.feed), KEY), word, None, body)
}
