//! A bound on memory that all sessions share, for what can be done without.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::BudgetMetrics;

/// Unit in which memory is counted, in bytes: a semaphore counts with 32 bits.
const UNIT: usize = 1024;

/// A bound on memory for one purpose, over all sessions. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    metrics: BudgetMetrics,
}

/// A part of the budget, returned when dropped.
#[derive(Debug)]
pub struct MemoryLease {
    permit: Option<OwnedSemaphorePermit>,
    metrics: BudgetMetrics,
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.metrics.given_back(self.bytes());
    }
}

impl MemoryBudget {
    /// A budget of this many bytes, rounded down to KiB.
    pub(crate) fn new(bytes: usize, metrics: BudgetMetrics) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let units = (bytes / UNIT).min(most);
        metrics.limit(units * UNIT);
        Self {
            metrics,
            units: Arc::new(Semaphore::new(units)),
        }
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.units.available_permits() == 0
    }

    /// A lease of this many bytes, if they are free now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<MemoryLease> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = self.units.clone().try_acquire_many_owned(units).ok()?;
        Some(self.lease(Some(permit)))
    }

    fn lease(&self, permit: Option<OwnedSemaphorePermit>) -> MemoryLease {
        let lease = MemoryLease {
            permit,
            metrics: self.metrics.clone(),
        };
        self.metrics.taken(lease.bytes());
        lease
    }
}

impl MemoryLease {
    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.permit
            .as_ref()
            .map_or(0, |permit| permit.num_permits() * UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn budget(bytes: usize) -> (MemoryBudget, Arc<Metrics>) {
        let metrics = Metrics::new().expect("valid metrics");
        let budget = MemoryBudget::new(bytes, metrics.memory.uploads.clone());
        (budget, metrics)
    }

    #[test]
    fn without_waiting_only_free_memory_is_given() {
        let (budget, _) = budget(4 * UNIT);
        let lease = budget.try_take(3 * UNIT).expect("free");
        assert!(budget.try_take(2 * UNIT).is_none());
        assert!(budget.try_take(usize::MAX).is_none());
        let rest = budget.try_take(1).expect("one unit is free");
        assert!(budget.is_spent());
        assert_eq!((lease.bytes(), rest.bytes()), (3 * UNIT, UNIT));
        drop((lease, rest));
        assert!(!budget.is_spent());
    }
}
