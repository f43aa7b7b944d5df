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
    alone: Option<Alone>,
}

/// State while messages are sent one at a time.
#[derive(Debug, Default)]
struct Alone {
    /// Message -> connections that ended with it in flight.
    ends: BTreeMap<String, u32>,
    /// Whether the broker has accepted any message since.
    is_taken: bool,
    /// Readings that are still to be sent alone: the one at fault need not have been the oldest.
    left: usize,
}

impl Trial {
    /// Records the end of a connection. `oldest` is the oldest message sent and not acknowledged; `window` is the maximum number in flight.
    /// Not to be called for a connection that broke without the broker's doing.
    pub fn ended(&mut self, oldest: Option<String>, window: usize) {
        if let Some(alone) = &mut self.alone {
            if let Some(name) = oldest {
                *alone.ends.entry(name).or_default() += 1;
                alone.left = window;
            }
            let suspended = alone.ends.values().filter(|n| **n >= ALONE_MAX).count();
            if suspended >= SUSPENDED_MAX && !alone.is_taken {
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
            self.begin(window);
        }
    }

    /// Sends messages one at a time from now on; called directly when a rejected topic is retried.
    pub fn begin(&mut self, window: usize) {
        let alone = self.alone.get_or_insert_with(Alone::default);
        alone.left = alone.left.max(window);
    }

    /// Whether messages are sent one at a time.
    pub fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// Whether a message must not be sent until it is clear whether it or the broker is at fault.
    pub fn is_suspended(&self, name: &str) -> bool {
        self.alone.as_ref().is_some_and(|a| a.ends.get(name).is_some_and(|n| *n >= ALONE_MAX))
    }

    /// Whether suspended messages are at fault, since the broker accepted another one.
    pub fn is_proven(&self) -> bool {
        self.alone.as_ref().is_some_and(|a| a.is_taken)
    }

    /// Records an acknowledged message.
    pub fn taken(&mut self, is_reading: bool) {
        let Some(alone) = &mut self.alone else { return };
        alone.is_taken = true;
        alone.left = alone.left.saturating_sub(usize::from(is_reading));
        if alone.left == 0 {
            self.alone = None;
        }
    }

    /// Removes a message that was rejected for good.
    pub fn judged(&mut self, name: &str) {
        if let Some(alone) = &mut self.alone {
            alone.ends.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(trial: &mut Trial, at: &str, times: u32) {
        (0..times).for_each(|_| trial.ended(Some(at.to_string()), 2));
    }

    #[test]
    fn a_message_is_refused_when_the_connection_ends_at_it_alone_and_others_are_taken() {
        let mut trial = Trial::default();
        ends(&mut trial, "a", 2);
        trial.ended(None, 2);
        assert!(!trial.is_alone(), "a connection that ended with nothing on the way says nothing");
        ends(&mut trial, "a", 1);
        assert!(trial.is_alone() && !trial.is_suspended("a"));
        ends(&mut trial, "a", 2);
        assert!(trial.is_suspended("a") && !trial.is_proven(), "perhaps the broker takes nothing");
        trial.taken(false);
        assert!(trial.is_proven() && trial.is_alone());
        trial.judged("a");
        assert!(!trial.is_suspended("a"));
        (0..2).for_each(|_| trial.taken(true));
        assert!(!trial.is_alone(), "as many as were on the way went well");
    }

    #[test]
    fn connections_that_move_on_blame_nobody() {
        let mut trial = Trial::default();
        for n in 0..100 {
            trial.ended(Some(format!("number {n}")), 50);
            assert!(!trial.is_alone());
        }
    }

    #[test]
    fn a_broker_that_takes_nothing_refuses_no_message() {
        let mut trial = Trial::default();
        ends(&mut trial, "m0", 3);
        for n in 0..SUSPENDED_MAX {
            assert!(trial.is_alone(), "{n}");
            ends(&mut trial, &format!("m{n}"), 2);
        }
        assert!(!trial.is_alone() && !trial.is_suspended("m0") && !trial.is_proven());
    }
}
