//! How far the outbox of webhooks has a session's answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::RequestKey;

/// The last request whose answer the outbox has, and needs no journal for. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Told(Arc<AtomicU64>);

impl Told {
    /// The outbox has nothing of the session.
    pub fn nothing() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// The outbox has the answers up to this request.
    pub fn note(&self, request: RequestKey) {
        self.0.fetch_max(request, Ordering::Relaxed);
    }

    pub fn includes(&self, request: RequestKey) -> bool {
        request <= self.0.load(Ordering::Relaxed)
    }
}

/// Nobody is told, so that everything is done.
impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(RequestKey::MAX)))
    }
}
