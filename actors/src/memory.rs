//! Memory for images between the socket and the disk.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::BudgetMetrics;

/// Unit in which memory is counted, in bytes: a semaphore counts with 32 bits.
const UNIT: usize = 1024;

/// A bound on the memory of all uploads together. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    total: u32,
    metrics: BudgetMetrics,
}

/// A part of the budget, given back when dropped.
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
    /// A budget in bytes.
    pub(crate) fn new(bytes: usize, metrics: BudgetMetrics) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let units = (bytes / UNIT).clamp(1, most);
        metrics.limit(units * UNIT);
        Self {
            metrics,
            units: Arc::new(Semaphore::new(units)),
            total: u32::try_from(units).unwrap_or(u32::MAX),
        }
    }

    /// How many bytes there are altogether, free or not.
    pub fn bytes(&self) -> usize {
        self.total as usize * UNIT
    }

    /// Waits until so many bytes are free. One that asks for more than there is gets everything.
    ///
    /// Who waits while it holds a lease must not wait for ever: others may do the same.
    pub async fn take(&self, bytes: usize) -> MemoryLease {
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(self.total);
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.units.clone().acquire_many_owned(units).await.ok();
        let lease = MemoryLease {
            permit,
            metrics: self.metrics.clone(),
        };
        self.metrics.taken(lease.bytes());
        lease
    }
}

impl MemoryLease {
    /// How many bytes it stands for.
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

    /// Gives back what is beyond so many bytes.
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
    async fn leases_are_given_back_in_part_and_whole() {
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
    async fn more_than_there_is_means_everything() {
        let (budget, metrics) = budget(4 * UNIT);
        assert_eq!(budget.take(usize::MAX).await.bytes(), budget.bytes());
        let memory = metrics.upload_memory();
        assert_eq!((memory.used, memory.limit), (0, 4 * UNIT as u64));
    }
}
