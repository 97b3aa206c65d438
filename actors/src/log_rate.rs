//! Bounds on what clients can make the server log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// A kind of log line of which only so many a minute are written.
#[derive(Debug)]
pub(crate) struct LogRate {
    began: Instant,
    most: u32,
    /// Minutes since the beginning.
    minute: AtomicU64,
    count: AtomicU32,
}

impl LogRate {
    pub fn new(most: u32) -> Self {
        Self {
            began: Instant::now(),
            most,
            minute: AtomicU64::new(0),
            count: AtomicU32::new(0),
        }
    }

    /// Whether one more line may be written. Lines of two threads at the turn of a minute may count for
    /// either.
    pub fn allows(&self) -> bool {
        self.allows_at(self.began.elapsed().as_secs() / 60)
    }

    fn allows_at(&self, minute: u64) -> bool {
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.count.store(0, Ordering::Relaxed);
        }
        let before = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < self.most).then_some(count + 1)
            });
        before.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minute_has_so_many() {
        let rate = LogRate::new(3);
        let allowed = |minute| (0..10).filter(|_| rate.allows_at(minute)).count();
        assert_eq!(
            [allowed(0), allowed(0), allowed(1), allowed(7)],
            [3, 0, 3, 3]
        );
    }
}
