//! How quickly a caller may go.

use std::sync::Arc;
use std::time::Duration;

use super::{Buckets, TooFast};

/// What holds for a caller: the rates of its address, and those of the owner of its token, if there are
/// any.
#[derive(Debug, Clone)]
pub struct Pace {
    address: Arc<Buckets>,
    owner: Option<Arc<Buckets>>,
}

impl Pace {
    pub fn new(address: Arc<Buckets>, owner: Option<Arc<Buckets>>) -> Self {
        Self { address, owner }
    }

    /// Takes one new session.
    ///
    /// # Errors
    /// [`TooFast`] if there is none left.
    pub fn session(&self) -> Result<(), TooFast> {
        self.all().try_for_each(Buckets::session)
    }

    /// Takes a message of a socket. Returns how long to wait before the next one is read.
    ///
    /// # Errors
    /// [`TooFast`] if that were too long. Nothing more is to be read from the socket then.
    pub fn message(&self, bytes: usize) -> Result<Duration, TooFast> {
        self.all().try_fold(Duration::ZERO, |pause, buckets| {
            Ok(pause.max(buckets.message(bytes)?))
        })
    }

    /// Waits after bytes of a body until the next ones may be read.
    ///
    /// # Errors
    /// [`TooFast`] if so many bodies are read at the same time that this one would wait for too long.
    pub async fn after_bytes(&self, bytes: usize) -> Result<(), TooFast> {
        for buckets in self.all() {
            buckets.after_bytes(bytes).await?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Buckets> {
        [Some(&self.address), self.owner.as_ref()]
            .into_iter()
            .flatten()
            .map(Arc::as_ref)
    }
}
