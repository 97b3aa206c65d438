//! Where blocking work is done, beside the async runtime.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Runs computations and file work on threads of their own, so many at once as there are places.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    places: Arc<Semaphore>,
}

/// The work panicked or the runtime ends.
#[derive(Debug, Error)]
#[error("internal error: {0}")]
pub(crate) struct WorkFailed(String);

impl Workshop {
    /// A workshop with one place per core.
    pub fn new() -> Self {
        Self::with_places(cores())
    }

    /// A workshop for work that takes long and can wait: half of the cores stay free of it.
    pub fn for_long_work() -> Self {
        Self::with_places(cores().div_ceil(2))
    }

    /// A workshop for sessions' folders, which wait for each other only.
    pub fn for_folders() -> Self {
        Self::with_places(2)
    }

    fn with_places(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// Does the work when there is a place.
    ///
    /// # Errors
    /// [`WorkFailed`] if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkFailed> {
        self.place().await?.run(work).await
    }

    /// Waits for a place. They are given in the order in which they were asked for.
    ///
    /// # Errors
    /// [`WorkFailed`] if there will be none.
    pub async fn place(&self) -> Result<Place, WorkFailed> {
        let permit = self.places.clone().acquire_owned().await;
        permit
            .map(|_permit| Place { _permit })
            .map_err(|error| WorkFailed(error.to_string()))
    }
}

/// A place of a workshop, free again when this is dropped or its work is done.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Does the work at once.
    ///
    /// # Errors
    /// [`WorkFailed`] if it panicked.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkFailed> {
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _place = self;
            span.in_scope(work)
        })
        .await
        .map_err(|error| WorkFailed(error.to_string()))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
