//! Clients that do something too often.

use prometheus::{IntCounterVec, Registry, register_int_counter_vec_with_registry};

/// Refusals and pauses. Clones share them.
#[derive(Debug, Clone)]
pub struct RateMetrics {
    refusals: IntCounterVec,
    pauses: IntCounterVec,
}

impl RateMetrics {
    /// # Errors
    /// If two metrics have the same name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refusals: register_int_counter_vec_with_registry!(
                "pointstream_rate_refusals_total",
                "Requests that were refused because their address or the owner of their token made \
                 too many, by what there was too much of.",
                &["what"],
                registry
            )?,
            pauses: register_int_counter_vec_with_registry!(
                "pointstream_rate_pauses_total",
                "Waits before more was read from an address or the owner of a token that sent too \
                 much, by what there was too much of.",
                &["what"],
                registry
            )?,
        })
    }

    pub fn refused(&self, what: &str) {
        self.refusals.with_label_values(&[what]).inc();
    }

    #[cfg(test)]
    pub fn pauses(&self, what: &str) -> u64 {
        self.pauses.with_label_values(&[what]).get()
    }

    pub fn paused(&self, what: &str) {
        self.pauses.with_label_values(&[what]).inc();
    }
}
