//! Tracks topics of a broker, or series of a store, that the other side rejects or that are over quota. Their messages go to the dead
//! letters or wait; everything else goes on. A rejected topic is retried with growing pauses. Pure: the time is an argument.
//!
//! "Topic" below stands for a topic or a series.

use std::collections::BTreeMap;

/// Consecutive rejected messages after which their topic counts as rejected.
const CONSECUTIVE_REJECTIONS_MAX: u32 = 3;
/// First and longest pause before a rejected topic is retried; the pause doubles each time.
const RETRY_PAUSE_US: (u64, u64) = (60_000_000, 3_600_000_000);
/// First and longest pause before a topic over quota is retried.
const QUOTA_PAUSE_US: (u64, u64) = (1_000_000, 30_000_000);
/// How long a topic may be over quota before its waiting messages become dead letters.
const OVER_QUOTA_MAX_US: u64 = 600_000_000;

/// The decision about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    Send,
    /// It is sent alone: the broker ended connections because of this topic.
    SendAlone,
    /// It waits until the topic's quota allows it.
    Hold,
    /// It becomes a dead letter, with the broker's reason.
    Reject(String),
}

/// Maximum number of tracked topics; messages of further ones are rejected one by one.
const TOPICS_MAX: usize = 10_000;
/// Maximum number of topics named in `list`.
const LISTED_MAX: usize = 20;

/// The topics that have a problem; others are not stored.
#[derive(Debug, Default)]
pub struct Refusals {
    all: BTreeMap<String, TopicState>,
    /// How long every message of a topic must have been rejected before the topic counts as rejected.
    least_us: u64,
}

#[derive(Debug, Default)]
struct TopicState {
    /// Consecutive rejected messages, and since when.
    consecutive: u32,
    since_us: u64,
    /// Whether the whole topic is rejected.
    is_rejected: bool,
    /// Reason given by the other side.
    reason: String,
    /// Whether the broker ended the connection instead of answering.
    ends_connection: bool,
    /// Since when it is over quota; `None` if it is not.
    over_quota_since_us: Option<u64>,
    /// When it is retried, and the present pause.
    retry_at_us: u64,
    pause_us: u64,
}

impl TopicState {
    fn schedule_retry(&mut self, (first, most): (u64, u64), now_us: u64) {
        self.pause_us = if self.pause_us == 0 { first } else { (self.pause_us * 2).min(most) };
        self.retry_at_us = now_us + self.pause_us;
    }
}

impl Refusals {
    /// No topic has a problem. A topic counts as rejected only if all its messages were rejected for at least `least_us`.
    pub fn new(least_us: u64) -> Self {
        Self { all: BTreeMap::new(), least_us }
    }

    /// Whether no topic has a problem.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a message for a topic is sent now. A rejected topic that is due lets one message pass and doubles its pause.
    pub fn admission(&mut self, topic: &str, now_us: u64) -> Admission {
        let Some(state) = self.all.get_mut(topic) else { return Admission::Send };
        if state.over_quota_since_us.is_some() {
            return Admission::Hold;
        }
        if !state.is_rejected {
            return Admission::Send;
        }
        if now_us < state.retry_at_us {
            return Admission::Reject(state.reason.clone());
        }
        state.schedule_retry(RETRY_PAUSE_US, now_us);
        if state.ends_connection { Admission::SendAlone } else { Admission::Send }
    }

    /// Records a message that was rejected for good. `ends`: the broker ended the connection because of it; `at_once`: the topic counts as
    /// rejected with this one message. Returns whether the topic has become rejected.
    pub fn record_rejected(
        &mut self,
        topic: &str,
        reason: &str,
        (ends_connection, at_once): (bool, bool),
        now_us: u64,
    ) -> bool {
        if self.all.len() >= TOPICS_MAX && !self.all.contains_key(topic) {
            return false;
        }
        let state = self.all.entry(topic.to_string()).or_default();
        if state.consecutive == 0 {
            state.since_us = now_us;
        }
        state.consecutive += 1;
        (state.reason, state.ends_connection, state.over_quota_since_us) = (reason.to_string(), ends_connection, None);
        let is_long =
            state.consecutive >= CONSECUTIVE_REJECTIONS_MAX && now_us.saturating_sub(state.since_us) >= self.least_us;
        let is_new = !state.is_rejected && (at_once || is_long);
        state.is_rejected |= is_new;
        if is_new {
            state.pause_us = 0;
            state.schedule_retry(RETRY_PAUSE_US, now_us);
        }
        is_new
    }

    /// The broker answered "quota exceeded" for a topic.
    pub fn record_over_quota(&mut self, topic: &str, reason: &str, now_us: u64) {
        let state = self.all.entry(topic.to_string()).or_default();
        state.reason = reason.to_string();
        if state.over_quota_since_us.is_none() {
            (state.over_quota_since_us, state.pause_us) = (Some(now_us), 0);
        }
        state.schedule_retry(QUOTA_PAUSE_US, now_us);
    }

    /// A message was accepted, so its topic has no problem; returns whether it had one.
    pub fn record_accepted(&mut self, topic: &str) -> bool {
        !self.all.is_empty() && self.all.remove(topic).is_some()
    }

    /// Topics over quota that are due for a retry, with one message each; their pause is doubled.
    pub fn due(&mut self, now_us: u64) -> Vec<String> {
        let due = self.all.iter_mut().filter(|(_, t)| t.over_quota_since_us.is_some() && now_us >= t.retry_at_us);
        let put_off = due.map(|(name, t)| {
            t.schedule_retry(QUOTA_PAUSE_US, now_us);
            name.clone()
        });
        put_off.collect()
    }

    /// Topics that were over quota for too long, with the reason; they count as rejected from now on. `is_full`: too many messages wait, so
    /// this applies to all topics over quota.
    pub fn give_up(&mut self, is_full: bool, now_us: u64) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for (name, of) in &mut self.all {
            let is_over = |since: u64| is_full || now_us.saturating_sub(since) >= OVER_QUOTA_MAX_US;
            if of.over_quota_since_us.is_some_and(is_over) {
                (of.over_quota_since_us, of.is_rejected, of.pause_us) = (None, true, 0);
                of.schedule_retry(RETRY_PAUSE_US, now_us);
                out.push((name.clone(), of.reason.clone()));
            }
        }
        out
    }

    /// Whether a rejected topic is due for a retry.
    pub fn is_due(&self, topic: &str, now_us: u64) -> bool {
        self.all.get(topic).is_some_and(|t| t.is_rejected && now_us >= t.retry_at_us)
    }

    /// Drops all rejected topics, so that they are tried at once. Topics over quota stay.
    pub fn clear_rejected(&mut self) {
        self.all.retain(|_, of| of.over_quota_since_us.is_some());
    }

    /// After a reconnect no topic is over quota; rejected topics stay rejected until their retry.
    pub fn reconnected(&mut self) {
        self.all.values_mut().for_each(|t| t.over_quota_since_us = None);
        self.all.retain(|_, t| t.consecutive > 0 || t.is_rejected);
    }

    /// Number of topics that are rejected or over quota, and a text that names up to `LISTED_MAX` of them with the reasons.
    pub fn list(&self) -> (u64, String) {
        let is_listed = |t: &TopicState| t.is_rejected || t.over_quota_since_us.is_some();
        let line = |(name, t): (&String, &TopicState)| {
            let what = if t.over_quota_since_us.is_some() { "over quota" } else { "refused" };
            format!("{name} {what}: {}", t.reason)
        };
        let all: Vec<(&String, &TopicState)> = self.all.iter().filter(|(_, t)| is_listed(t)).collect();
        let mut lines: Vec<String> = all.iter().take(LISTED_MAX).map(|(name, t)| line((name, t))).collect();
        if all.len() > LISTED_MAX {
            lines.push(format!("and {} more", all.len() - LISTED_MAX));
        }
        (all.len() as u64, lines.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    #[test]
    fn a_topic_is_refused_after_three_messages_and_tried_again_with_growing_pauses() {
        let mut topics = Refusals::default();
        assert!(
            !topics.record_rejected("t", "0x87", (true, false), 0)
                && !topics.record_rejected("t", "0x87", (true, false), 0)
        );
        assert_eq!(topics.admission("t", 0), Admission::Send);
        assert!(topics.record_rejected("t", "0x87", (true, false), 0));
        assert_eq!(topics.admission("t", 59 * S), Admission::Reject("0x87".into()));
        assert_eq!(topics.admission("u", 59 * S), Admission::Send);
        assert_eq!(topics.admission("t", 60 * S), Admission::SendAlone);
        assert!(!topics.record_rejected("t", "0x87", (true, false), 60 * S));
        assert_eq!(topics.admission("t", 179 * S), Admission::Reject("0x87".into()));
        assert_eq!(topics.admission("t", 180 * S), Admission::SendAlone);
        assert_eq!(topics.list(), (1, "t refused: 0x87".to_string()));
        assert!(topics.record_accepted("t") && topics.list().0 == 0);
        assert_eq!(topics.admission("t", 181 * S), Admission::Send);
    }

    #[test]
    fn single_values_that_are_refused_close_no_series() {
        let mut series = Refusals::new(10 * S);
        for n in 0..10 {
            assert!(!series.record_rejected("s f", "conflict", (false, false), n * S));
        }
        assert!(series.record_accepted("s f"));
        assert!(!series.record_rejected("s f", "conflict", (false, false), 20 * S), "something was taken between");
        assert!(!series.record_rejected("s f", "conflict", (false, false), 25 * S));
        assert!(series.record_rejected("s f", "conflict", (false, false), 30 * S));
        assert_eq!(series.admission("s f", 31 * S), Admission::Reject("conflict".into()));
        assert!(series.record_rejected("new", "max-series", (false, true), 0), "a limit of series is none of values");
    }

    #[test]
    fn a_topic_over_quota_waits_for_itself_and_not_for_ever() {
        let mut topics = Refusals::default();
        topics.record_over_quota("t", "0x97", 0);
        assert_eq!((topics.admission("t", 0), topics.admission("u", 0)), (Admission::Hold, Admission::Send));
        assert!(topics.due(S - 1).is_empty());
        assert_eq!(topics.due(S), ["t"]);
        assert!(topics.due(S).is_empty(), "one message at a time");
        topics.record_over_quota("t", "0x97", S);
        assert_eq!(topics.list(), (1, "t over quota: 0x97".to_string()));
        assert!(topics.give_up(false, 599 * S).is_empty());
        assert_eq!(topics.give_up(false, 600 * S), [("t".to_string(), "0x97".to_string())]);
        assert_eq!(topics.admission("t", 601 * S), Admission::Reject("0x97".into()));
        topics.record_over_quota("u", "0x97", 0);
        assert_eq!(topics.give_up(true, S).len(), 1, "too much waits");
    }
}
