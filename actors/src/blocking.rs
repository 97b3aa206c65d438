//! Threads for blocking work, outside the async runtime.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

/// A bound on how much blocking work runs at the same time. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct BlockingPool {
    slots: Arc<Semaphore>,
}

/// Work panicked, or the runtime shuts down.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub(crate) struct WorkFailed(String);

impl From<JoinError> for WorkFailed {
    fn from(error: JoinError) -> Self {
        Self(error.to_string())
    }
}

impl BlockingPool {
    /// One slot per core: for decoding images and computing point clouds.
    pub fn for_computing() -> Self {
        Self::with_slots(cores())
    }

    /// Slots for half of the cores: for files of results, which take long and can wait.
    pub fn for_result_files() -> Self {
        Self::with_slots(cores().div_ceil(2))
    }

    /// Two slots: for creating and removing sessions' folders, which must not wait for images.
    pub fn for_folders() -> Self {
        Self::with_slots(2)
    }

    fn with_slots(slots: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
        }
    }

    /// Waits for a slot and does the work.
    ///
    /// # Errors
    /// [`WorkFailed`] if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkFailed> {
        self.slot().await?.run(work).await
    }

    /// Waits for a slot. Slots are given in the order of the requests.
    ///
    /// # Errors
    /// [`WorkFailed`] if the pool is closed.
    pub async fn slot(&self) -> Result<BlockingSlot, WorkFailed> {
        let permit = self.slots.clone().acquire_owned().await;
        permit
            .map(|_permit| BlockingSlot { _permit })
            .map_err(|error| WorkFailed(error.to_string()))
    }
}

/// A slot of a [`BlockingPool`], free again when it is dropped or its work is done.
#[derive(Debug)]
pub(crate) struct BlockingSlot {
    _permit: OwnedSemaphorePermit,
}

impl BlockingSlot {
    /// Runs the work.
    ///
    /// # Errors
    /// [`WorkFailed`] if it panicked.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkFailed> {
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _slot = self;
            span.in_scope(work)
        })
        .await
        .map_err(WorkFailed::from)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
