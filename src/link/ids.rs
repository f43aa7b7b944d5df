//! Transaction ids of Modbus TCP: drawn at random, so that a stray frame does not carry the id of the next request.

use std::collections::VecDeque;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Ids drawn with one call to the operating system.
const DRAWN: usize = 64;
/// Ids used or seen recently that are not used again: more than can be in flight.
const AVOIDED: usize = 64;

/// A source of ids.
#[derive(Debug)]
pub struct TransactionIds {
    source: IdSource,
    drawn: Vec<u16>,
    avoid: VecDeque<u16>,
    current: u16,
}

#[derive(Debug)]
enum IdSource {
    System(SystemRandom),
    /// For tests: the same ids for the same seed.
    Seeded(u64),
}

impl TransactionIds {
    /// Ids from the operating system's random numbers; the same ids for the same seed where one is given (tests).
    pub fn new(seed: Option<u64>) -> Self {
        let source = seed.map_or_else(|| IdSource::System(SystemRandom::new()), IdSource::Seeded);
        Self { source, drawn: Vec::new(), avoid: VecDeque::with_capacity(AVOIDED), current: 0 }
    }

    /// The last id given.
    pub fn current(&self) -> u16 {
        self.current
    }

    /// An id that was not used or seen recently.
    pub fn draw(&mut self) -> u16 {
        loop {
            let Some(id) = self.drawn.pop() else {
                self.refill();
                continue;
            };
            if !self.avoid.contains(&id) {
                self.avoid(id);
                self.current = id;
                return id;
            }
        }
    }

    /// Excludes an id for a while: a frame with it arrived that answered nothing.
    pub fn avoid(&mut self, id: u16) {
        if self.avoid.len() >= AVOIDED {
            self.avoid.pop_front();
        }
        self.avoid.push_back(id);
    }

    fn refill(&mut self) {
        let mut bytes = [0u8; DRAWN * 2];
        let is_drawn = match &mut self.source {
            IdSource::System(random) => random.fill(&mut bytes).is_ok(),
            IdSource::Seeded(_) => false,
        };
        if !is_drawn {
            // Seeded by a test; or the operating system gave no random bytes, and the last id is the seed.
            let mut state = match &self.source {
                IdSource::Seeded(state) => *state,
                IdSource::System(_) => u64::from(self.current) ^ 0x9E37_79B9_7F4A_7C15,
            };
            for pair in bytes.chunks_exact_mut(2) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                pair.copy_from_slice(&state.to_be_bytes()[1..3]);
            }
            if let IdSource::Seeded(seed) = &mut self.source {
                *seed = state;
            }
        }
        self.drawn.extend(bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_no_sequence_and_none_comes_back_soon() {
        for seed in [None, Some(7)] {
            let mut ids = TransactionIds::new(seed);
            let given: Vec<u16> = (0..10_000).map(|_| ids.draw()).collect();
            let follows = given.windows(2).filter(|w| w[1] == w[0].wrapping_add(1)).count();
            assert!(follows < 5, "{follows} of 10,000 follow the one before");
            assert!(given.windows(33).all(|w| !w[1..].contains(&w[0])));
            let seen = given[9_999].wrapping_add(1);
            ids.avoid(seen);
            assert!((0..40).all(|_| ids.draw() != seen));
        }
    }
}
