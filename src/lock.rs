//! Locks of shared state.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex; what a task that panicked left in it is used.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
