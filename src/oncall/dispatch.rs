//! Sending pages: rate limits, cooldown, quiet hours, merging, fail-over, and the outcome of each delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::notification::{DeliveryOutcome, RateLimit};
use crate::model::page::is_test;
use crate::model::page::{ConditionStatus, PageDelivery, PageItem, PageKind};
use crate::model::priority::Priority;
use crate::model::time::{MonotonicMillis, Now, UnixMillis};
use crate::oncall::incident::{Incident, IncidentStage};
use crate::oncall::page::{Page, PageState};
use crate::oncall::plan::OncallPlan;
use crate::oncall::{Oncall, OncallOutput, hours, ms};

/// Deliveries in flight per channel.
const MAX_IN_FLIGHT: usize = 2;
/// A delivery without an outcome after this time counts as unknown.
const ANSWER_MS: u64 = 120_000;
/// Longest pause that a service can impose, whatever it requests.
const WAIT_MAX_MS: u64 = 600_000;
/// A P1 without another contact method is retried at this interval, even while its service asks for a pause.
const P1_EVERY_MS: u64 = 60_000;
/// Wait before all contact methods are tried again: the first time, and at most.
const AGAIN_MS: (u64, u64) = (15_000, 600_000);
/// Cooldown of an unavailable channel when the service names none: the first time, and at most.
const COOLDOWN_MS: (u64, u64) = (5_000, 120_000);
/// Messages of a channel's burst that are reserved for P1.
const RESERVE: f64 = 2.0;
/// A P2 waits at most this long for a busy channel before it uses another contact method.
const PATIENCE_MS: u64 = 5_000;
/// Interval at which a page held back by the date is checked again, because the date may be corrected.
const LOOK_MS: u64 = 60_000;

/// Run-time state of a channel: a token bucket, its cooldown and its deliveries in flight. Not persisted.
#[derive(Clone, Debug)]
pub(super) struct ChannelState {
    /// Messages that may be sent at `at`.
    tokens: f64,
    at: MonotonicMillis,
    /// End of the cooldown, and its reason.
    pub(super) cooldown: Option<(MonotonicMillis, String)>,
    in_flight: usize,
    /// Consecutive deliveries that the service could not take.
    failed: u32,
    /// Addresses that it refused since the last one that it took.
    rejected: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct InFlightDelivery {
    channel: String,
    to: String,
    pages: Vec<(Arc<str>, u64)>,
    since: MonotonicMillis,
}

impl ChannelState {
    fn new(limits: RateLimit, now: MonotonicMillis) -> Self {
        Self { tokens: limits.burst, at: now, cooldown: None, in_flight: 0, failed: 0, rejected: BTreeSet::new() }
    }

    pub(super) fn is_unavailable(&self) -> bool {
        self.failed > 0 || self.rejected.len() > 1 || self.rejected.contains("")
    }

    /// When the next message of this priority may be sent. Refills the bucket; its last tokens are reserved for P1.
    fn free_at(&mut self, limits: RateLimit, priority: Priority, now: MonotonicMillis) -> MonotonicMillis {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds between two messages")]
        let passed = now.since(self.at) as f64;
        let per_ms = limits.per_min / 60_000.0;
        self.tokens = (self.tokens + passed * per_ms).min(limits.burst);
        self.at = now;
        if self.cooldown.as_ref().is_some_and(|(until, _)| now >= *until) {
            self.cooldown = None;
        }
        let rest = self.cooldown.as_ref().map_or(now, |(until, _)| *until);
        rest.max(self.room_at(limits, priority, now))
    }

    /// When the channel's own rate limit has room, ignoring its cooldown. [`ChannelState::free_at`] must have refilled the bucket.
    fn room_at(&self, limits: RateLimit, priority: Priority, now: MonotonicMillis) -> MonotonicMillis {
        let per_ms = limits.per_min / 60_000.0;
        let reserve = if priority > Priority::P1 && limits.burst >= 4.0 { RESERVE } else { 0.0 };
        let missing = 1.0 + reserve - self.tokens;
        if missing <= 0.0 {
            return now;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds until the next message"
        )]
        let wait = (missing / per_ms).ceil() as u64;
        now.plus(wait)
    }
}

/// A page that is due.
struct Candidate {
    key: Arc<str>,
    page: u64,
    priority: Priority,
    channel: String,
    to: String,
    recipient: Arc<str>,
    at: i64,
    last_attempt: Option<i64>,
    /// Not urgent: merged with everything else for the same recipient.
    merges_any: bool,
    /// Urgent and requires an answer: merged with alarms of devices of the same class or area.
    merges_similar: bool,
}

impl Candidate {
    fn device(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(_, device)| device)
    }

    /// Whether both pages go into one message.
    fn merges_with(&self, other: &Self, plan: &OncallPlan) -> bool {
        let is_same = (&self.channel, &self.to, &self.recipient) == (&other.channel, &other.to, &other.recipient);
        let is_alike =
            || self.merges_similar && other.merges_similar && plan.shares_class_or_area(self.device(), other.device());
        self.page == other.page || (is_same && ((self.merges_any && other.merges_any) || is_alike()))
    }
}

/// Until when quiet hours or the digest hold a page back, and the reason. Without a trusted date nothing is held back.
pub(super) fn held_until(
    plan: &OncallPlan,
    incident: &Incident,
    page: &Page,
    now: Now,
) -> Option<(UnixMillis, &'static str)> {
    if !now.wall_trusted {
        return None;
    }
    if let Some(at) = page.not_before.filter(|at| now.wall < *at) {
        return Some((at, "waits for the digest"));
    }
    let reports_end = matches!(page.kind, PageKind::Resolved | PageKind::Latched);
    let can_wait = !page.ignores_quiet_hours && (incident.priority >= Priority::P3 || reports_end);
    let until = can_wait.then(|| hours::quiet_hours_end(plan, now.wall)).flatten()?;
    Some((until, "quiet hours"))
}

impl Oncall {
    /// Sends every page that may be sent now, the most urgent first.
    pub(super) fn dispatch(&mut self, now: Now, out: &mut OncallOutput) {
        self.give_up(now, out);
        let mut candidates = self.candidates(now);
        candidates.sort_by_key(|c| (c.priority, c.at, c.page));
        let mut gone: Vec<u64> = Vec::new();
        let mut before: BTreeMap<String, u32> = BTreeMap::new();
        for i in 0..candidates.len() {
            let c = &candidates[i];
            if gone.contains(&c.page) {
                continue;
            }
            let Some(free_at) = self.free_at(&c.channel, c.priority, now) else { continue };
            if free_at > now.mono {
                // Pages ahead of it in the queue of this channel are sent first.
                let ahead = before.entry(c.channel.clone()).or_default();
                let turn = self.plan.channels.get(&c.channel).map_or(0.0, |l| f64::from(*ahead) * 60_000.0 / l.per_min);
                *ahead += 1;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of a queue")]
                let wait = free_at.since(now.mono).saturating_add(turn as u64);
                let patience = if c.priority == Priority::P1 { 0 } else { PATIENCE_MS };
                let has_other = c.priority <= Priority::P2 && wait > patience && self.other_way(&c.key, c.page, now);
                let tried_at = c.last_attempt.unwrap_or(c.at);
                let limits = self.plan.channels.get(&c.channel).copied();
                let has_room = limits.zip(self.channels.get(&c.channel));
                let has_room = has_room.is_some_and(|(l, state)| state.room_at(l, c.priority, now.mono) <= now.mono);
                // A P1 ignores the pause that the service asked for, but not the channel's own rate limit.
                let is_tried = c.priority == Priority::P1 && !has_other && has_room;
                let again = MonotonicMillis(u64::try_from(tried_at).unwrap_or(0)).plus(P1_EVERY_MS);
                if !is_tried || again > now.mono {
                    self.wake_at(ms(if is_tried { free_at.min(again) } else { free_at }));
                    continue;
                }
            }
            let merged = candidates[i..].iter().filter(|o| !gone.contains(&o.page) && c.merges_with(o, &self.plan));
            let pages: Vec<(Arc<str>, u64)> = merged.map(|o| (Arc::clone(&o.key), o.page)).collect();
            gone.extend(pages.iter().map(|(_, page)| *page));
            let (channel, to, recipient) = (c.channel.clone(), c.to.clone(), Arc::clone(&c.recipient));
            self.send(&channel, to, recipient, pages, now, out);
        }
    }

    fn free_at(&mut self, channel: &str, priority: Priority, now: Now) -> Option<MonotonicMillis> {
        let limits = *self.plan.channels.get(channel)?;
        let state = self.channels.entry(channel.to_string()).or_insert_with(|| ChannelState::new(limits, now.mono));
        // The outcome of a delivery frees a slot, and that outcome is an input of its own.
        (state.in_flight < MAX_IN_FLIGHT).then(|| state.free_at(limits, priority, now.mono))
    }

    fn candidates(&mut self, now: Now) -> Vec<Candidate> {
        let mono = ms(now.mono);
        let mut out = Vec::new();
        let mut wake: Option<i64> = None;
        for (key, incident) in &self.incidents {
            for page in &incident.pages {
                let PageState::Waiting(at) = page.state else { continue };
                let mut later = |at: i64| wake = Some(wake.map_or(at, |w: i64| w.min(at)));
                if at > mono {
                    later(at);
                    continue;
                }
                if let Some((until, _)) = held_until(&self.plan, incident, page, now) {
                    let left = u64::try_from(until.0 - now.wall.0).unwrap_or(0);
                    later(ms(now.mono.plus(left.min(LOOK_MS))));
                    continue;
                }
                let Some(way) = page.contact_methods.get(page.way) else { continue };
                out.push(Candidate {
                    key: Arc::clone(key),
                    page: page.id,
                    priority: incident.priority,
                    channel: way.channel.clone(),
                    to: way.to.clone(),
                    recipient: Arc::clone(&page.recipient),
                    at,
                    last_attempt: page.last_attempt,
                    merges_any: incident.is_merged || incident.priority >= Priority::P3 || !page.kind.requires_ack(),
                    merges_similar: incident.priority <= Priority::P2 && page.kind.requires_ack() && !is_test(key),
                });
            }
        }
        if let Some(at) = wake {
            self.wake_at(at);
        }
        out
    }

    fn send(
        &mut self,
        channel: &str,
        to: String,
        recipient: Arc<str>,
        pages: Vec<(Arc<str>, u64)>,
        now: Now,
        out: &mut OncallOutput,
    ) {
        self.next_send += 1;
        let mut about = Vec::new();
        let mut repeat = false;
        for (key, id) in &pages {
            let Some(incident) = self.incidents.get_mut(key) else { continue };
            let (occurrence, priority, test) = (incident.occurrence, incident.priority, incident.is_test);
            let stands = match (incident.condition_ended_at, incident.latched) {
                (Some(_), true) => ConditionStatus::Latched,
                (Some(_), false) => ConditionStatus::Ended,
                (None, _) => ConditionStatus::Active,
            };
            let (by, flood) = (incident.actor.clone(), incident.alarm_flood);
            let Some(page) = incident.pages.iter_mut().find(|p| p.id == *id) else { continue };
            page.state = PageState::InFlight(ms(now.mono));
            page.last_attempt = Some(ms(now.mono));
            repeat |= page.may_be_duplicate;
            self.touched.insert(Arc::clone(key));
            let key = Arc::clone(key);
            let (kind, answer, can_arrive) = (page.kind, page.reply_result.clone(), page.can_arrive);
            about.push(PageItem {
                page: *id,
                kind,
                key,
                occurrence,
                priority,
                actor: by,
                condition: stands,
                alarm_flood: flood,
                is_test: test,
                reply_result: answer,
                can_arrive,
            });
        }
        for (key, id) in &pages {
            self.log(out, key, "page_sent", Some(*id), "");
        }
        for (key, own) in &pages {
            let page = self.incidents.get_mut(key).and_then(|i| i.pages.iter_mut().find(|p| p.id == *own));
            let with = pages.iter().map(|(_, id)| *id).filter(|id| id != own).collect();
            page.into_iter().for_each(|p| p.merged_with.clone_from(&with));
        }
        if let Some(state) = self.channels.get_mut(channel) {
            state.tokens -= 1.0;
            state.in_flight += 1;
        }
        let language = self.plan.people.get(&recipient).map(|p| p.language).unwrap_or_default();
        let priority = about.iter().map(|a| a.priority).min().unwrap_or(Priority::P4);
        let id = self.next_send;
        self.in_flight
            .insert(id, InFlightDelivery { channel: channel.to_string(), to: to.clone(), pages, since: now.mono });
        self.wake_at(ms(now.mono.plus(ANSWER_MS)));
        out.sends.push(PageDelivery {
            id,
            channel: channel.into(),
            to,
            recipient,
            language,
            items: about,
            priority,
            may_be_duplicate: repeat,
        });
    }

    /// Ends deliveries that have had no outcome for [`ANSWER_MS`] as unknown.
    fn give_up(&mut self, now: Now, out: &mut OncallOutput) {
        let late = self.in_flight.iter().filter(|(_, w)| now.mono.since(w.since) >= ANSWER_MS);
        let late: Vec<u64> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.delivery_finished(id, &DeliveryOutcome::Unknown { reason: "it never answered".to_string() }, now, out);
        }
        if let Some(since) = self.in_flight.values().map(|w| w.since).min() {
            self.wake_at(ms(since.plus(ANSWER_MS)));
        }
    }

    /// A channel restarted: its deliveries in flight end as unknown.
    pub fn channel_restarted(&mut self, channel: &str, now: Now, out: &mut OncallOutput) {
        let lost = self.in_flight.iter().filter(|(_, w)| w.channel == channel);
        for id in lost.map(|(id, _)| *id).collect::<Vec<u64>>() {
            self.delivery_finished(
                id,
                &DeliveryOutcome::Unknown { reason: "the channel began anew".to_string() },
                now,
                out,
            );
        }
    }

    /// Processes the outcome of a delivery; an unknown id is ignored.
    pub fn delivery_finished(&mut self, id: u64, answer: &DeliveryOutcome, now: Now, out: &mut OncallOutput) {
        let Some(sent) = self.in_flight.remove(&id) else { return };
        self.wake = Some(now.mono);
        let limits = self.plan.channels.get(&sent.channel).copied();
        if let Some(channel) = self.channels.get_mut(&sent.channel) {
            channel.in_flight = channel.in_flight.saturating_sub(1);
            match answer {
                DeliveryOutcome::Accepted => {
                    channel.failed = 0;
                    channel.rejected.clear();
                }
                // One wrong number says nothing of the channel; several addresses, or its only one, do.
                DeliveryOutcome::Rejected { .. } => drop(channel.rejected.insert(sent.to.clone())),
                _ => channel.failed = channel.failed.saturating_add(1),
            }
            if let (DeliveryOutcome::RetryLater { after_ms, reason: why }, Some(limits)) = (answer, limits) {
                // Doubled each time, so that an outage of a day does not fill the log.
                let longer =
                    COOLDOWN_MS.0.saturating_mul(1 << channel.failed.saturating_sub(1).min(8)).min(COOLDOWN_MS.1);
                let wait = after_ms.map_or(limits.cooldown_ms, |ms| ms.max(longer));
                let until = now.mono.plus(wait.min(WAIT_MAX_MS));
                channel.cooldown = Some((until, why.clone()));
            }
        }
        if *answer == DeliveryOutcome::Accepted {
            self.counters.sent += 1;
        } else {
            self.counters.failed += 1;
        }
        for (key, page) in &sent.pages {
            let (what, why) = match answer {
                DeliveryOutcome::Accepted => ("page_accepted", ""),
                DeliveryOutcome::RetryLater { reason: why, .. } => ("page_later", why.as_str()),
                DeliveryOutcome::Rejected { reason: why } => ("page_rejected", why.as_str()),
                DeliveryOutcome::Unknown { reason: why } => ("page_unknown", why.as_str()),
            };
            self.log(out, key, what, Some(*page), why);
            self.apply_outcome(key, *page, answer, now);
        }
    }

    fn apply_outcome(&mut self, key: &Arc<str>, id: u64, answer: &DeliveryOutcome, now: Now) {
        self.touched.insert(Arc::clone(key));
        let Some(incident) = self.incidents.get_mut(key) else { return };
        let stage = incident.stage.clone();
        let Some(page) = incident.pages.iter_mut().find(|p| p.id == id) else { return };
        let way = page.contact_methods.get(page.way).map_or("", |w| w.channel.as_str());
        let text = match answer {
            DeliveryOutcome::Accepted => format!("{} told through {way}", page.recipient),
            DeliveryOutcome::RetryLater { reason: why, .. } => {
                format!("{} not told through {way} yet: {why}", page.recipient)
            }
            DeliveryOutcome::Rejected { reason: why } => format!("{} not told through {way}: {why}", page.recipient),
            DeliveryOutcome::Unknown { reason: why } => format!("{} perhaps told through {way}: {why}", page.recipient),
        };
        page.last_result.clone_from(&text);
        if *answer == DeliveryOutcome::Accepted {
            page.state = PageState::Accepted(ms(now.mono));
            page.tries += 1;
            incident.note(text);
            return;
        }
        page.may_be_duplicate |= matches!(answer, DeliveryOutcome::Unknown { .. });
        let is_wanted = matches!(stage, IncidentStage::Paging)
            || !page.kind.requires_ack()
            || matches!(page.kind, PageKind::HandedOver | PageKind::ArrivalOverdue);
        if !is_wanted {
            page.state = PageState::Dropped;
            incident.note(text);
            return;
        }
        page.tries += 1;
        page.way = (page.way + 1) % page.contact_methods.len().max(1);
        // The channel may have been removed by a reload.
        let gone = page.contact_methods.get(page.way).is_none_or(|w| !self.plan.channels.contains_key(&w.channel));
        if gone {
            page.contact_methods.retain(|w| self.plan.channels.contains_key(&w.channel));
            page.way = 0;
        }
        let is_round = page.way == 0;
        let rounds = u64::from(page.tries) / (page.contact_methods.len().max(1) as u64);
        if page.contact_methods.is_empty() || (is_round && !page.kind.requires_ack() && rounds >= 3) {
            page.state = PageState::Dropped;
        } else {
            let most = if incident.priority == Priority::P1 { P1_EVERY_MS } else { AGAIN_MS.1 };
            let wait = if is_round { again_ms(rounds, id).min(most) } else { 0 };
            page.state = PageState::Waiting(ms(now.mono.plus(wait)));
        }
        incident.note(text);
        if !is_test(key) {
            self.skip_wait_if_unreached(key, now);
        }
    }

    /// Switches a page to another contact method whose channel is free now. False if there is none.
    fn other_way(&mut self, key: &Arc<str>, id: u64, now: Now) -> bool {
        let page =
            |i: &Incident| i.pages.iter().find(|p| p.id == id).map(|p| (i.priority, p.way, p.contact_methods.clone()));
        let Some((priority, way, ways)) = self.incidents.get(key).and_then(page) else { return false };
        let others = (1..ways.len()).map(|k| (way + k) % ways.len());
        let Some(free) = others.into_iter().find(|k| self.free_at(&ways[*k].channel, priority, now) == Some(now.mono))
        else {
            return false;
        };
        let cooldown = self.channels.get(&ways[way].channel).and_then(|c| c.cooldown.as_ref());
        let why = cooldown.map_or("too many messages", |(_, why)| why.as_str());
        let result = format!("{} rests ({why}): it goes another way", ways[way].channel);
        let Some(incident) = self.incidents.get_mut(key) else { return false };
        if let Some(page) = incident.pages.iter_mut().find(|p| p.id == id) {
            page.way = free;
            page.last_result.clone_from(&result);
        }
        incident.note(result);
        self.touched.insert(Arc::clone(key));
        self.wake_at(ms(now.mono.plus(1)));
        true
    }

    /// Channels in cooldown, with its end and reason.
    pub fn channels_in_cooldown(&self, now: MonotonicMillis) -> Vec<(&str, MonotonicMillis, &str)> {
        let mut out = Vec::new();
        for (id, channel) in &self.channels {
            if let Some((at, why)) = channel.cooldown.as_ref().filter(|(at, _)| *at > now) {
                out.push((id.as_str(), *at, why.as_str()));
            }
        }
        out
    }
}

/// Wait before the next round of contact methods: doubles each round, with jitter so that pages do not retry together.
fn again_ms(rounds: u64, page: u64) -> u64 {
    let doubled = AGAIN_MS.0.saturating_mul(1 << rounds.saturating_sub(1).min(10)).min(AGAIN_MS.1);
    // splitmix64: 20 % more or less, the same for the same page and round.
    let mut z = page.wrapping_mul(31).wrapping_add(rounds).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    doubled * 4 / 5 + z % (doubled * 2 / 5)
}
