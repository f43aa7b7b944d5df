//! What the other side takes nothing of, or too much of: a topic of a broker, a series of a store. What goes there waits or is set
//! aside, everything else goes on. Pure.

use std::collections::BTreeMap;

/// Messages of a topic that are refused in a row before the topic is.
const IN_A_ROW: u32 = 3;
/// Until a refused topic is tried again, at first and at most; each time twice as long.
const TRIAL_US: (u64, u64) = (60_000_000, 3_600_000_000);
/// Until a topic over quota is tried again, at first and at most.
const QUOTA_US: (u64, u64) = (1_000_000, 30_000_000);
/// How long a topic may be over quota before what waits for it is set aside.
const OVER_MAX_US: u64 = 600_000_000;

/// What is to be done with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admits {
    /// It goes.
    Yes,
    /// It goes alone: the broker ended connections at this topic.
    Alone,
    /// It waits until the topic's quota allows it.
    Waits,
    /// It is set aside, with the broker's words.
    No(String),
}

/// Topics or series that are kept in mind; of more, each message or value is refused for itself.
const ALL_MAX: usize = 10_000;
/// Of how many it is said which.
const LISTED_MAX: usize = 20;

/// All topics or series that something was wrong with.
#[derive(Debug, Default)]
pub struct Refusals {
    all: BTreeMap<String, Of>,
    /// How long nothing of a topic or series may be taken before it is refused as a whole.
    least_us: u64,
}

#[derive(Debug, Default)]
struct Of {
    /// Messages that were refused with none taken between them, and since when.
    in_a_row: u32,
    since_us: u64,
    /// Whether it is refused as a whole.
    refused: bool,
    /// The broker's words.
    said: String,
    /// Whether the broker ended the connection.
    ends: bool,
    /// Over quota since then.
    over_since_us: Option<u64>,
    /// When it is tried again, and how long that was put off.
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
    /// None. What is refused now and then is refused as a whole only if nothing of it was taken for so long.
    pub fn new(least_us: u64) -> Self {
        Self { all: BTreeMap::new(), least_us }
    }

    /// Whether nothing is wrong with any topic.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a message for a topic goes now.
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

    /// A message was refused for good; `ends`: the broker ended the connection at it; `at_once`: there is but this message for the
    /// topic. Whether the topic is refused with that and was not before.
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

    /// The broker takes no more of a topic for now.
    pub fn over_quota(&mut self, topic: &str, said: &str, now_us: u64) {
        let of = self.all.entry(topic.to_string()).or_default();
        of.said = said.to_string();
        if of.over_since_us.is_none() {
            (of.over_since_us, of.wait_us) = (Some(now_us), 0);
        }
        of.put_off(QUOTA_US, now_us);
    }

    /// A message was taken: nothing is wrong with its topic.
    pub fn taken(&mut self, topic: &str) -> bool {
        !self.all.is_empty() && self.all.remove(topic).is_some()
    }

    /// Topics over quota that are to be tried now: with one message each.
    pub fn due(&mut self, now_us: u64) -> Vec<String> {
        let due = self.all.iter_mut().filter(|(_, t)| t.over_since_us.is_some() && now_us >= t.next_us);
        let put_off = due.map(|(name, t)| {
            t.put_off(QUOTA_US, now_us);
            name.clone()
        });
        put_off.collect()
    }

    /// Topics over quota for too long, with the broker's words; refused from now on. `is_full`: what waits is too much, so all of
    /// them.
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

    /// Whether a refused topic is to be tried again now.
    pub fn is_due(&self, topic: &str, now_us: u64) -> bool {
        self.all.get(topic).is_some_and(|t| t.refused && now_us >= t.next_us)
    }

    /// Whatever was refused may be tried again.
    pub fn forget(&mut self) {
        self.all.retain(|_, of| of.over_since_us.is_some());
    }

    /// The connection is another one: what waits begins anew, refused topics stay refused until they are tried.
    pub fn reconnected(&mut self) {
        self.all.values_mut().for_each(|t| t.over_since_us = None);
        self.all.retain(|_, t| t.in_a_row > 0 || t.refused);
    }

    /// How many are refused or over quota now, and which, with the other side's words.
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
