//! Ends a call of a model from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says that the work of a model is not wanted any more. Clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Sets it, for good.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The byte behind it, which is 0 or 1 and lives as long as the flag or a clone of it.
    pub fn byte(&self) -> *const u8 {
        self.0.as_ptr().cast_const().cast()
    }
}
