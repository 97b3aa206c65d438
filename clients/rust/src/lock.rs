//! Locks that are held for moments only, never across a wait.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing of what these locks guard is left half changed by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
