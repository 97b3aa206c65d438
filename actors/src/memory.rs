//! Bounds on memory that all sessions share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::BudgetMetrics;

/// Unit in which memory is counted, in bytes: a semaphore counts with 32 bits.
const UNIT: usize = 1024;

/// A bound on memory for one purpose, over all sessions. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    total: u32,
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
            total: u32::try_from(units).unwrap_or(u32::MAX),
        }
    }

    /// Size of the whole budget in bytes.
    pub fn bytes(&self) -> usize {
        self.total as usize * UNIT
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.units.available_permits() == 0
    }

    /// Waits until this many bytes are free. A request beyond the budget gets the whole budget.
    ///
    /// Do not wait without a time-out while holding another lease: others may do the same.
    pub async fn take(&self, bytes: usize) -> MemoryLease {
        // The semaphore is never closed, so this waits until there is a permit.
        let permit = self.units.clone().acquire_many_owned(self.units(bytes));
        self.lease(permit.await.ok())
    }

    /// A lease of this many bytes, if they are free now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<MemoryLease> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = self.units.clone().try_acquire_many_owned(units).ok()?;
        Some(self.lease(Some(permit)))
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(self.total)
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

    /// Adds another lease of the same budget.
    pub fn merge(&mut self, mut other: MemoryLease) {
        match (&mut self.permit, other.permit.take()) {
            (Some(permit), Some(other)) => permit.merge(other),
            (permit @ None, other) => *permit = other,
            (Some(_), None) => {}
        }
    }

    /// Returns the part that exceeds this many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.permit {
            let beyond = permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
            if let Some(part) = permit.split(beyond) {
                self.metrics.given_back(part.num_permits() * UNIT);
            }
        }
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

    #[tokio::test]
    async fn leases_are_returned_in_part_and_whole() {
        let (budget, metrics) = budget(10 * UNIT);
        let shown = || metrics.upload_memory().used as usize;
        let mut lease = budget.take(3 * UNIT - 1).await;
        lease.merge(budget.take(4 * UNIT).await);
        assert_eq!(
            (lease.bytes(), budget.units.available_permits()),
            (7 * UNIT, 3)
        );
        assert_eq!(shown(), 7 * UNIT);
        lease.shrink_to(2 * UNIT + 1);
        assert_eq!(
            (lease.bytes(), budget.units.available_permits()),
            (3 * UNIT, 7)
        );
        assert_eq!(shown(), 3 * UNIT);
        lease.shrink_to(5 * UNIT);
        assert_eq!(lease.bytes(), 3 * UNIT);
        drop(lease);
        assert_eq!(budget.units.available_permits(), 10);
        assert_eq!(shown(), 0);
    }

    #[tokio::test]
    async fn a_request_beyond_the_budget_gets_all_of_it() {
        let (budget, metrics) = budget(4 * UNIT);
        assert_eq!(budget.take(usize::MAX).await.bytes(), budget.bytes());
        let memory = metrics.upload_memory();
        assert_eq!((memory.used, memory.limit), (0, 4 * UNIT as u64));
    }

    #[test]
    fn without_waiting_only_free_memory_is_given() {
        let (budget, _) = budget(4 * UNIT);
        let lease = budget.try_take(3 * UNIT).expect("free");
        assert!(budget.try_take(2 * UNIT).is_none());
        assert!(budget.try_take(usize::MAX).is_none());
        let rest = budget.try_take(1).expect("one unit is free");
        assert!(budget.is_spent());
        drop((lease, rest));
        assert!(!budget.is_spent());
    }
}
