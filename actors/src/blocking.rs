//! Threads for blocking work, outside the async runtime.

use thiserror::Error;
use tokio::task::JoinError;

use crate::turns::{Owner, Share, Shares};

/// A bound on how much blocking work runs at the same time. Clients, and the sessions of each, take turns at
/// the slots, so that one with much work does not hold up the others. Clones share the slots.
#[derive(Debug, Clone)]
pub(crate) struct BlockingPool {
    slots: Shares,
}

/// Work panicked, is not wanted any more, or the runtime shuts down.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub(crate) struct WorkFailed(String);

impl WorkFailed {
    /// The session that the work belongs to has ended.
    pub fn session_ended() -> Self {
        Self("the session has ended".to_owned())
    }

    /// Nobody waits for the work any more.
    pub fn not_wanted() -> Self {
        Self("nobody waits for it any more".to_owned())
    }

    pub fn program_ends() -> Self {
        Self("the program ends".to_owned())
    }
}

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

    /// Four slots: for journals, whose writing mostly waits for the disk.
    pub fn for_journals() -> Self {
        Self::with_slots(4)
    }

    fn with_slots(slots: usize) -> Self {
        Self {
            slots: Shares::new(slots),
        }
    }

    /// Waits for a slot and does the work, which has an owner.
    ///
    /// # Errors
    /// [`WorkFailed`] if it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        owner: impl Into<Owner>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkFailed> {
        self.slot(owner).await?.run(work).await
    }

    /// Waits for a slot for its owner. Dropping the future gives the place in the queue up.
    ///
    /// # Errors
    /// [`WorkFailed`] if the program ends.
    pub async fn slot(&self, owner: impl Into<Owner>) -> Result<BlockingSlot, WorkFailed> {
        match self.slots.take(owner, 1).await {
            Some(share) => Ok(BlockingSlot { _share: share }),
            None => Err(WorkFailed::program_ends()),
        }
    }
}

/// A slot of a [`BlockingPool`], free again when it is dropped or its work is done.
#[derive(Debug)]
pub(crate) struct BlockingSlot {
    _share: Share,
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::ids::SessionId;

    /// The order in which work of these sessions runs in one slot, if it waits for the first.
    async fn order(sessions: &[u128]) -> Vec<u128> {
        let pool = BlockingPool::with_slots(1);
        let first = pool
            .slot(SessionId::from_u128(0))
            .await
            .expect("a free slot");
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut running = Vec::new();
        for &session in sessions {
            let (pool, done) = (pool.clone(), done.clone());
            running.push(tokio::spawn(async move {
                let work = move || done.lock().expect("no panic").push(session);
                pool.run(SessionId::from_u128(session), work).await
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for work in running {
            work.await.expect("no panic").expect("it ran");
        }
        done.lock().expect("no panic").clone()
    }

    #[tokio::test]
    async fn sessions_take_turns() {
        assert_eq!(order(&[1, 1, 1, 1, 2, 2, 3]).await, [1, 2, 3, 1, 2, 1, 1]);
    }

    #[tokio::test]
    async fn what_is_not_waited_for_any_more_does_not_run() {
        let pool = BlockingPool::with_slots(1);
        let first = pool
            .slot(SessionId::from_u128(0))
            .await
            .expect("a free slot");
        let mut gone = Box::pin(pool.slot(SessionId::from_u128(1)));
        assert!(futures_now(&mut gone).is_none());
        drop(gone);
        drop(first);
        let next = pool.slot(SessionId::from_u128(2));
        assert!(next.await.is_ok());
    }

    /// The outcome of a future if it is ready at once.
    fn futures_now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(outcome) => Some(outcome),
            std::task::Poll::Pending => None,
        }
    }
}
