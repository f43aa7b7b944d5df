//! Which message a broker ends the connection at. A broker that speaks 3.1.1 says nothing when it refuses a message, it closes;
//! many of version 5 do the same. Pure.
//!
//! After three connections that ended with the same message oldest on the way, messages go one at a time. A message at which the
//! connection ends twice when it is alone is refused, provided that the broker took something else meanwhile: a broker that takes
//! nothing refuses no message.

use std::collections::BTreeMap;

/// Connections that end with the same message oldest on the way before messages go one at a time.
const ENDS_MAX: u32 = 3;
/// Connections that end at a message which is alone before it is refused.
const ALONE_MAX: u32 = 2;
/// Messages that the broker may end the connection at, with none taken between them, before it is the broker that is to blame.
const SUSPENDED_MAX: usize = 8;

/// What is known.
#[derive(Debug, Default)]
pub struct Trial {
    /// The message that was oldest on the way when the last connections ended, and how many of them.
    oldest: Option<(String, u32)>,
    alone: Option<Alone>,
}

/// Messages go one at a time.
#[derive(Debug, Default)]
struct Alone {
    /// Connections that ended at a message.
    ends: BTreeMap<String, u32>,
    /// Whether the broker took anything since.
    is_taken: bool,
    /// Readings that are still to go alone: the one that is to blame need not have been the oldest.
    left: usize,
}

impl Trial {
    /// A connection ended; `oldest` is the oldest message that went out and was not acknowledged; `window` is how many were on the
    /// way at most. Not to be asked for a connection that broke by itself.
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

    /// Messages go one at a time from now on: one that was refused before is tried again.
    pub fn begin(&mut self, window: usize) {
        let alone = self.alone.get_or_insert_with(Alone::default);
        alone.left = alone.left.max(window);
    }

    /// Whether messages go one at a time.
    pub fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// Whether a message is not to be sent before it is known who is to blame.
    pub fn is_suspended(&self, name: &str) -> bool {
        self.alone.as_ref().is_some_and(|a| a.ends.get(name).is_some_and(|n| *n >= ALONE_MAX))
    }

    /// Whether suspended messages are refused: the broker took another one.
    pub fn is_proven(&self) -> bool {
        self.alone.as_ref().is_some_and(|a| a.is_taken)
    }

    /// A message was acknowledged.
    pub fn taken(&mut self, is_reading: bool) {
        let Some(alone) = &mut self.alone else { return };
        alone.is_taken = true;
        alone.left = alone.left.saturating_sub(usize::from(is_reading));
        if alone.left == 0 {
            self.alone = None;
        }
    }

    /// A message is refused for good.
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
