//! A bounded queue that keeps order and loses nothing: entries beyond its capacity are merged into one, which comes last.

use std::sync::Mutex;

use tokio::sync::mpsc;

use crate::lock::lock;

/// An entry that can be merged with a later one.
pub trait Merge {
    /// Merges a later entry into this one.
    fn merge(&mut self, later: Self);
}

/// The sending side, which never waits for the receiver.
#[derive(Debug)]
pub struct OrderedQueue<T> {
    sender: mpsc::Sender<T>,
    /// Entries beyond the capacity, merged; while it is set, every new entry is merged into it.
    overflow: Mutex<Option<T>>,
}

impl<T: Merge> OrderedQueue<T> {
    /// Creates a queue of this capacity, and its receiver.
    pub fn new(bound: usize) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(bound);
        (Self { sender, overflow: Mutex::new(None) }, receiver)
    }

    /// Adds an entry without waiting.
    ///
    /// # Errors
    /// The receiver is closed: returns the entry.
    pub fn put(&self, entry: T) -> Result<(), T> {
        let mut overflow = lock(&self.overflow);
        if let Some(waiting) = overflow.as_mut() {
            waiting.merge(entry);
            return Ok(());
        }
        match self.sender.try_send(entry) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(entry)) => {
                *overflow = Some(entry);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(entry)) => Err(entry),
        }
    }

    /// The next entry; `None` when the queue is empty and closed.
    pub async fn next(&self, receiver: &mut mpsc::Receiver<T>) -> Option<T> {
        let overflow = {
            // The lock keeps new entries out: the overflow comes after everything in the channel.
            let mut overflow = lock(&self.overflow);
            match receiver.try_recv() {
                Ok(entry) => return Some(entry),
                Err(_) => overflow.take(),
            }
        };
        match overflow {
            Some(entry) => Some(entry),
            None => receiver.recv().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Merge for Vec<u32> {
        fn merge(&mut self, later: Self) {
            self.extend(later);
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_comes_last_and_in_order() {
        let (queue, mut receiver) = OrderedQueue::new(2);
        for n in 1..=5 {
            queue.put(vec![n]).unwrap();
        }
        assert_eq!(queue.next(&mut receiver).await, Some(vec![1]));
        // There is room now, yet it must not overtake the waiting entries.
        queue.put(vec![6]).unwrap();
        assert_eq!(queue.next(&mut receiver).await, Some(vec![2]));
        assert_eq!(queue.next(&mut receiver).await, Some(vec![3, 4, 5, 6]));
        queue.put(vec![7]).unwrap();
        assert_eq!(queue.next(&mut receiver).await, Some(vec![7]));
        drop(receiver);
        assert_eq!(queue.put(vec![8]), Err(vec![8]), "it comes back where nobody takes it");
    }
}
