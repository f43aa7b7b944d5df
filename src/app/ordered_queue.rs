//! A queue with a bound that loses nothing and keeps the order: what finds no room becomes one entry, which comes last.

use std::sync::Mutex;

use tokio::sync::mpsc;

use crate::app::lock;

/// What can be put together with what comes after it.
pub trait Join {
    /// Another that comes after this one.
    fn join(&mut self, later: Self);
}

/// Where entries are put in.
#[derive(Debug)]
pub struct OrderedQueue<T> {
    sender: mpsc::Sender<T>,
    /// What found no room; as long as it waits, whatever comes joins it.
    overflow: Mutex<Option<T>>,
}

impl<T: Join> OrderedQueue<T> {
    /// For so many entries, and where they are taken out.
    pub fn new(bound: usize) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(bound);
        (Self { sender, overflow: Mutex::new(None) }, receiver)
    }

    /// Puts one in.
    ///
    /// # Errors
    /// Nobody takes anything out any more: it comes back.
    pub fn put(&self, entry: T) -> Result<(), T> {
        let mut overflow = lock(&self.overflow);
        if let Some(waiting) = overflow.as_mut() {
            waiting.join(entry);
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

    /// The next one; none when there is nothing left and nobody can put anything in.
    pub async fn next(&self, receiver: &mut mpsc::Receiver<T>) -> Option<T> {
        let overflow = {
            // Under the lock nothing is put in: what waits comes after all that is in the queue.
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

    impl Join for Vec<u32> {
        fn join(&mut self, later: Self) {
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
        // There is room now, and still it does not pass those that wait.
        queue.put(vec![6]).unwrap();
        assert_eq!(queue.next(&mut receiver).await, Some(vec![2]));
        assert_eq!(queue.next(&mut receiver).await, Some(vec![3, 4, 5, 6]));
        queue.put(vec![7]).unwrap();
        assert_eq!(queue.next(&mut receiver).await, Some(vec![7]));
        drop(receiver);
        assert_eq!(queue.put(vec![8]), Err(vec![8]), "it comes back where nobody takes it");
    }
}
