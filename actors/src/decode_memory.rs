//! Memory for decoding images, shared by all clients.

use crate::blocking::WorkFailed;
use crate::metrics::BudgetMetrics;
use crate::turns::{Owner, Share, Shares};

/// The memory for decoding. Clients, and the sessions of each, take turns at it. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct DecodeMemory {
    shares: Shares,
    limit: usize,
    metrics: BudgetMetrics,
}

/// What an image may take while it is decoded; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct DecodeLease {
    share: Share,
    metrics: BudgetMetrics,
}

impl DecodeMemory {
    /// So many bytes.
    pub fn new(bytes: usize, metrics: BudgetMetrics) -> Self {
        metrics.limit(bytes);
        Self {
            shares: Shares::new(bytes),
            limit: bytes,
            metrics,
        }
    }

    /// What there is altogether, in bytes. Nobody may take more.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Waits for so many bytes.
    ///
    /// # Errors
    /// [`WorkFailed`] if the program ends.
    pub async fn take(&self, owner: Owner, bytes: usize) -> Result<DecodeLease, WorkFailed> {
        match self.shares.take(owner, bytes).await {
            Some(share) => Ok(self.lease(share)),
            None => Err(WorkFailed::program_ends()),
        }
    }

    /// Takes so many bytes if they are free, and nobody waits.
    pub fn take_now(&self, bytes: usize) -> Option<DecodeLease> {
        self.shares.take_now(bytes).map(|share| self.lease(share))
    }

    fn lease(&self, share: Share) -> DecodeLease {
        self.metrics.taken(share.amount());
        let metrics = self.metrics.clone();
        DecodeLease { share, metrics }
    }
}

impl Drop for DecodeLease {
    fn drop(&mut self) {
        self.metrics.given_back(self.share.amount());
    }
}
