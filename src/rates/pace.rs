//! How quickly a caller may go.

use std::sync::Arc;

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

    /// Waits after a message of a socket until the next one may be read.
    pub async fn after_message(&self, bytes: usize) {
        for buckets in self.all() {
            buckets.after_message(bytes).await;
        }
    }

    /// Waits after bytes of a body until the next ones may be read.
    pub async fn after_bytes(&self, bytes: usize) {
        for buckets in self.all() {
            buckets.after_bytes(bytes).await;
        }
    }

    fn all(&self) -> impl Iterator<Item = &Buckets> {
        [Some(&self.address), self.owner.as_ref()]
            .into_iter()
            .flatten()
            .map(Arc::as_ref)
    }
}
