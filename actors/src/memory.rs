//! Memory for images between the socket and the disk.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unit in which memory is counted, in bytes: a semaphore counts with 32 bits.
const UNIT: usize = 1024;

/// A bound on the memory of all uploads together.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget {
    units: Arc<Semaphore>,
    total: u32,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct MemoryLease {
    _units: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    /// A budget in bytes.
    pub fn new(bytes: usize) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let units = (bytes / UNIT).clamp(1, most);
        Self {
            units: Arc::new(Semaphore::new(units)),
            total: u32::try_from(units).unwrap_or(u32::MAX),
        }
    }

    /// Waits until so many bytes are free. One that asks for more than there is gets everything.
    pub async fn take(&self, bytes: usize) -> MemoryLease {
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(self.total);
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.units.clone().acquire_many_owned(units).await.ok();
        MemoryLease { _units: permit }
    }
}
