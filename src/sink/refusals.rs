//! Tracks topics of a broker, or series of a store, that the other side rejects or that are over quota. Their messages go to the dead
//! letters or wait; everything else goes on. A rejected topic is retried with growing pauses. Pure: the time is an argument.
//!
//! "Topic" below stands for a topic or a series.

use std::collections::BTreeMap;

/// Consecutive rejected messages after which their topic counts as rejected.
const IN_A_ROW: u32 = 3;
/// First and longest pause before a rejected topic is retried; the pause doubles each time.
const TRIAL_US: (u64, u64) = (60_000_000, 3_600_000_000);
/// First and longest pause before a topic over quota is retried.
const QUOTA_US: (u64, u64) = (1_000_000, 30_000_000);
/// How long a topic may be over quota before its waiting messages become dead letters.
const OVER_MAX_US: u64 = 600_000_000;

/// The decision about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admits {
    Yes,
    /// It is sent alone: the broker ended connections because of this topic.
    Alone,
    /// It waits until the topic's quota allows it.
    Waits,
    /// It becomes a dead letter, with the broker's reason.
    No(String),
}

/// Maximum number of tracked topics; messages of further ones are rejected one by one.
const ALL_MAX: usize = 10_000;
/// Maximum number of topics named in `list`.
const LISTED_MAX: usize = 20;

/// The topics that have a problem; others are not stored.
#[derive(Debug, Default)]
pub struct Refusals {
    all: BTreeMap<String, Of>,
    /// How long every message of a topic must have been rejected before the topic counts as rejected.
    least_us: u64,
}

#[derive(Debug, Default)]
struct Of {
    /// Consecutive rejected messages, and since when.
    in_a_row: u32,
    since_us: u64,
    /// Whether the whole topic is rejected.
    refused: bool,
    /// Reason given by the other side.
    said: String,
    /// Whether the broker ended the connection instead of answering.
    ends: bool,
    /// Since when it is over quota; `None` if it is not.
    over_since_us: Option<u64>,
    /// When it is retried, and the present pause.
    next_us: u64,
    wait_us: u64,
}

impl Of {
    fn put_off(&mut self, (first, most): (u64, u64), now_us: u64) {
        self.wait_us = if self.wait_us == 0 { first } else { (self.wait_us * 2).min(most) };
        self.next_us = now_us + self.wait_us;
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
    pub fn admits(&mut self, topic: &str, now_us: u64) -> Admits {
        let Some(of) = self.all.get_mut(topic) else { return Admits::Yes };
        if of.over_since_us.is_some() {
            return Admits::Waits;
        }
        if !of.refused {
            return Admits::Yes;
        }
        if now_us < of.next_us {
            return Admits::No(of.said.clone());
        }
        of.put_off(TRIAL_US, now_us);
        if of.ends { Admits::Alone } else { Admits::Yes }
    }

    /// Records a message that was rejected for good, whether the broker ended the connection because of it, and (`at_once`) whether this
    /// one message is enough for the topic to count as rejected. Returns whether the topic has become rejected.
    pub fn refused(&mut self, topic: &str, said: &str, (ends, at_once): (bool, bool), now_us: u64) -> bool {
        if self.all.len() >= ALL_MAX && !self.all.contains_key(topic) {
            return false;
        }
        let of = self.all.entry(topic.to_string()).or_default();
        if of.in_a_row == 0 {
            of.since_us = now_us;
        }
        of.in_a_row += 1;
        (of.said, of.ends, of.over_since_us) = (said.to_string(), ends, None);
        let is_long = of.in_a_row >= IN_A_ROW && now_us.saturating_sub(of.since_us) >= self.least_us;
        let is_new = !of.refused && (at_once || is_long);
        of.refused |= is_new;
        if is_new {
            of.wait_us = 0;
            of.put_off(TRIAL_US, now_us);
        }
        is_new
    }

    /// The broker answered "quota exceeded" for a topic.
    pub fn over_quota(&mut self, topic: &str, said: &str, now_us: u64) {
        let of = self.all.entry(topic.to_string()).or_default();
        of.said = said.to_string();
        if of.over_since_us.is_none() {
            (of.over_since_us, of.wait_us) = (Some(now_us), 0);
        }
        of.put_off(QUOTA_US, now_us);
    }

    /// A message was accepted, so its topic has no problem; returns whether it had one.
    pub fn taken(&mut self, topic: &str) -> bool {
        !self.all.is_empty() && self.all.remove(topic).is_some()
    }

    /// Topics over quota that are due for a retry, with one message each; their pause is doubled.
    pub fn due(&mut self, now_us: u64) -> Vec<String> {
        let due = self.all.iter_mut().filter(|(_, t)| t.over_since_us.is_some() && now_us >= t.next_us);
        let put_off = due.map(|(name, t)| {
            t.put_off(QUOTA_US, now_us);
            name.clone()
        });
        put_off.collect()
    }

    /// Topics that were over quota for too long, with the reason; they count as rejected from now on. `is_full`: too many messages wait, so
    /// this applies to all topics over quota.
    pub fn give_up(&mut self, is_full: bool, now_us: u64) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for (name, of) in &mut self.all {
            let is_over = |since: u64| is_full || now_us.saturating_sub(since) >= OVER_MAX_US;
            if of.over_since_us.is_some_and(is_over) {
                (of.over_since_us, of.refused, of.wait_us) = (None, true, 0);
                of.put_off(TRIAL_US, now_us);
                out.push((name.clone(), of.said.clone()));
            }
        }
        out
    }

    /// Whether a rejected topic is due for a retry.
    pub fn is_due(&self, topic: &str, now_us: u64) -> bool {
        self.all.get(topic).is_some_and(|t| t.refused && now_us >= t.next_us)
    }

    /// Drops all rejected topics, so that they are tried at once. Topics over quota stay.
    pub fn forget(&mut self) {
        self.all.retain(|_, of| of.over_since_us.is_some());
    }

    /// After a reconnect no topic is over quota; rejected topics stay rejected until their retry.
    pub fn reconnected(&mut self) {
        self.all.values_mut().for_each(|t| t.over_since_us = None);
        self.all.retain(|_, t| t.in_a_row > 0 || t.refused);
    }

    /// Number of topics that are rejected or over quota, and a text that names up to `LISTED_MAX` of them with the reasons.
    pub fn list(&self) -> (u64, String) {
        let is_told = |t: &Of| t.refused || t.over_since_us.is_some();
        let line = |(name, t): (&String, &Of)| {
            let what = if t.over_since_us.is_some() { "over quota" } else { "refused" };
            format!("{name} {what}: {}", t.said)
        };
        let all: Vec<(&String, &Of)> = self.all.iter().filter(|(_, t)| is_told(t)).collect();
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
        assert!(!topics.refused("t", "0x87", (true, false), 0) && !topics.refused("t", "0x87", (true, false), 0));
        assert_eq!(topics.admits("t", 0), Admits::Yes);
        assert!(topics.refused("t", "0x87", (true, false), 0));
        assert_eq!(topics.admits("t", 59 * S), Admits::No("0x87".into()));
        assert_eq!(topics.admits("u", 59 * S), Admits::Yes);
        assert_eq!(topics.admits("t", 60 * S), Admits::Alone);
        assert!(!topics.refused("t", "0x87", (true, false), 60 * S));
        assert_eq!(topics.admits("t", 179 * S), Admits::No("0x87".into()));
        assert_eq!(topics.admits("t", 180 * S), Admits::Alone);
        assert_eq!(topics.list(), (1, "t refused: 0x87".to_string()));
        assert!(topics.taken("t") && topics.list().0 == 0);
        assert_eq!(topics.admits("t", 181 * S), Admits::Yes);
    }

    #[test]
    fn single_values_that_are_refused_close_no_series() {
        let mut series = Refusals::new(10 * S);
        for n in 0..10 {
            assert!(!series.refused("s f", "conflict", (false, false), n * S));
        }
        assert!(series.taken("s f"));
        assert!(!series.refused("s f", "conflict", (false, false), 20 * S), "something was taken between");
        assert!(!series.refused("s f", "conflict", (false, false), 25 * S));
        assert!(series.refused("s f", "conflict", (false, false), 30 * S));
        assert_eq!(series.admits("s f", 31 * S), Admits::No("conflict".into()));
        assert!(series.refused("new", "max-series", (false, true), 0), "a limit of series is none of values");
    }

    #[test]
    fn a_topic_over_quota_waits_for_itself_and_not_for_ever() {
        let mut topics = Refusals::default();
        topics.over_quota("t", "0x97", 0);
        assert_eq!((topics.admits("t", 0), topics.admits("u", 0)), (Admits::Waits, Admits::Yes));
        assert!(topics.due(S - 1).is_empty());
        assert_eq!(topics.due(S), ["t"]);
        assert!(topics.due(S).is_empty(), "one message at a time");
        topics.over_quota("t", "0x97", S);
        assert_eq!(topics.list(), (1, "t over quota: 0x97".to_string()));
        assert!(topics.give_up(false, 599 * S).is_empty());
        assert_eq!(topics.give_up(false, 600 * S), [("t".to_string(), "0x97".to_string())]);
        assert_eq!(topics.admits("t", 601 * S), Admits::No("0x97".into()));
        topics.over_quota("u", "0x97", 0);
        assert_eq!(topics.give_up(true, S).len(), 1, "too much waits");
    }
}
