//! Encoded frames that wait for a generation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::Features;

use crate::metrics::BudgetMetrics;

/// How much memory encoded frames may hold, over all sessions.
#[derive(Debug)]
pub(crate) struct FeatureBudget {
    limit: usize,
    used: AtomicUsize,
    metrics: BudgetMetrics,
}

impl FeatureBudget {
    /// A budget in bytes.
    pub fn new(limit: usize, metrics: BudgetMetrics) -> Arc<Self> {
        metrics.limit(limit);
        Arc::new(Self {
            metrics,
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Whether nothing more fits.
    pub fn is_spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|total| *total <= self.limit)
            })
            .ok()
            .map(|_| {
                self.metrics.taken(bytes);
                Lease {
                    budget: self.clone(),
                    bytes,
                }
            })
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
struct Lease {
    budget: Arc<FeatureBudget>,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.metrics.given_back(self.bytes);
    }
}

/// Encoded frame with its part of the budget.
struct Kept {
    features: Arc<Features>,
    _lease: Lease,
}

/// Where a worker leaves what it made of a frame and a later job finds it.
pub(crate) struct FeatureCell {
    budget: Arc<FeatureBudget>,
    kept: Mutex<Option<Kept>>,
}

impl FeatureCell {
    /// An empty cell.
    pub fn new(budget: Arc<FeatureBudget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            kept: Mutex::new(None),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        // The content is replaced as a whole, so a poisoned lock still guards a whole one.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the frame at this size.
    pub fn get(&self, size: FrameSize) -> Option<Arc<Features>> {
        self.kept()
            .as_ref()
            .filter(|kept| kept.features.size() == size)
            .map(|kept| kept.features.clone())
    }

    /// Keeps what was made of the frame if the budget allows.
    pub fn keep(&self, features: Arc<Features>) {
        if let Some(lease) = self.budget.take(features.bytes()) {
            *self.kept() = Some(Kept {
                features,
                _lease: lease,
            });
        }
    }

    /// Forgets what is known.
    pub fn clear(&self) {
        *self.kept() = None;
    }
}
