//! Finds the message because of which a broker closes the connection. An MQTT 3.1.1 broker cannot reject a message with a reason, it
//! closes; many of version 5 do the same. Pure.
//!
//! After three connections that ended with the same oldest message in flight, messages are sent one at a time. A message that was alone in
//! flight at two ends is rejected, provided that the broker accepted another one meanwhile: a broker that accepts nothing does not reject a
//! particular message.

use std::collections::BTreeMap;

/// Consecutive ends with the same oldest message in flight after which messages are sent one at a time.
const ENDS_MAX: u32 = 3;
/// Ends with a message alone in flight after which it is suspended.
const ALONE_MAX: u32 = 2;
/// Suspended messages, with none accepted in between, after which the broker is taken for the cause and the trial ends.
const SUSPENDED_MAX: usize = 8;

/// State of the search.
#[derive(Debug, Default)]
pub struct Trial {
    /// The oldest message in flight when the last connections ended, and how many ended so.
    oldest: Option<(String, u32)>,
    isolation: Option<Isolation>,
}

/// State while messages are sent one at a time.
#[derive(Debug, Default)]
struct Isolation {
    /// Message -> connections that ended with it in flight.
    disconnects: BTreeMap<String, u32>,
    /// Whether the broker has accepted any message since.
    has_accepted: bool,
    /// Readings that are still to be sent alone: the one at fault need not have been the oldest.
    remaining: usize,
}

impl Trial {
    /// Records the end of a connection. `oldest` is the oldest message sent and not acknowledged; `window` is the maximum number in flight.
    /// Not to be called for a connection that broke without the broker's doing.
    pub fn record_disconnect(&mut self, oldest: Option<String>, window: usize) {
        if let Some(alone) = &mut self.isolation {
            if let Some(name) = oldest {
                *alone.disconnects.entry(name).or_default() += 1;
                alone.remaining = window;
            }
            let suspended = alone.disconnects.values().filter(|n| **n >= ALONE_MAX).count();
            if suspended >= SUSPENDED_MAX && !alone.has_accepted {
                *self = Self::default();
            }
            return;
        }
        self.oldest = match (oldest, self.oldest.take()) {
            (Some(name), Some((before, n))) if name == before => Some((name, n + 1)),
            (Some(name), _) => Some((name, 1)),
            (None, before) => before,
        };
        if self.oldest.as_ref().is_some_and(|(_, n)| *n >= ENDS_MAX) {
            self.oldest = None;
            self.isolate(window);
        }
    }

    /// Sends messages one at a time from now on; called directly when a rejected topic is retried.
    pub fn isolate(&mut self, window: usize) {
        let alone = self.isolation.get_or_insert_with(Isolation::default);
        alone.remaining = alone.remaining.max(window);
    }

    /// Whether messages are sent one at a time.
    pub fn is_isolating(&self) -> bool {
        self.isolation.is_some()
    }

    /// Whether a message must not be sent until it is clear whether it or the broker is at fault.
    pub fn is_suspended(&self, name: &str) -> bool {
        self.isolation.as_ref().is_some_and(|a| a.disconnects.get(name).is_some_and(|n| *n >= ALONE_MAX))
    }

    /// Whether suspended messages are at fault, since the broker accepted another one.
    pub fn is_proven(&self) -> bool {
        self.isolation.as_ref().is_some_and(|a| a.has_accepted)
    }

    /// Records an acknowledged message.
    pub fn record_accepted(&mut self, is_reading: bool) {
        let Some(alone) = &mut self.isolation else { return };
        alone.has_accepted = true;
        alone.remaining = alone.remaining.saturating_sub(usize::from(is_reading));
        if alone.remaining == 0 {
            self.isolation = None;
        }
    }

    /// Removes a message that was rejected for good.
    pub fn remove(&mut self, name: &str) {
        if let Some(alone) = &mut self.isolation {
            alone.disconnects.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(trial: &mut Trial, at: &str, times: u32) {
        (0..times).for_each(|_| trial.record_disconnect(Some(at.to_string()), 2));
    }

    #[test]
    fn a_message_is_refused_when_the_connection_ends_at_it_alone_and_others_are_taken() {
        let mut trial = Trial::default();
        ends(&mut trial, "a", 2);
        trial.record_disconnect(None, 2);
        assert!(!trial.is_isolating(), "a connection that ended with nothing on the way says nothing");
        ends(&mut trial, "a", 1);
        assert!(trial.is_isolating() && !trial.is_suspended("a"));
        ends(&mut trial, "a", 2);
        assert!(trial.is_suspended("a") && !trial.is_proven(), "perhaps the broker takes nothing");
        trial.record_accepted(false);
        assert!(trial.is_proven() && trial.is_isolating());
        trial.remove("a");
        assert!(!trial.is_suspended("a"));
        (0..2).for_each(|_| trial.record_accepted(true));
        assert!(!trial.is_isolating(), "as many as were on the way went well");
    }

    #[test]
    fn connections_that_move_on_blame_nobody() {
        let mut trial = Trial::default();
        for n in 0..100 {
            trial.record_disconnect(Some(format!("number {n}")), 50);
            assert!(!trial.is_isolating());
        }
    }

    #[test]
    fn a_broker_that_takes_nothing_refuses_no_message() {
        let mut trial = Trial::default();
        ends(&mut trial, "m0", 3);
        for n in 0..SUSPENDED_MAX {
            assert!(trial.is_isolating(), "{n}");
            ends(&mut trial, &format!("m{n}"), 2);
        }
        assert!(!trial.is_isolating() && !trial.is_suspended("m0") && !trial.is_proven());
    }
}
