//! Webhooks: attempts to deliver messages, and messages that wait.

use prometheus::{
    IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};
use strum::VariantArray;

use crate::outbox::AttemptOutcome;

/// Counts messages of webhooks.
#[derive(Debug)]
pub(crate) struct WebhookMetrics {
    attempts: IntCounterVec,
    waiting: IntGauge,
}

impl WebhookMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let attempts = register_int_counter_vec_with_registry!(
            "pointstream_webhook_attempts_total",
            "Attempts to deliver a message of a webhook, by outcome.",
            &["outcome"],
            registry
        )?;
        for outcome in AttemptOutcome::VARIANTS {
            attempts.with_label_values(&[<&str>::from(outcome)]);
        }
        Ok(Self {
            attempts,
            waiting: register_int_gauge_with_registry!(
                "pointstream_waiting_webhooks",
                "Messages of webhooks that are not delivered yet and will be tried.",
                registry
            )?,
        })
    }

    /// An attempt has ended.
    pub fn attempted(&self, outcome: AttemptOutcome) {
        let outcome: &str = outcome.into();
        self.attempts.with_label_values(&[outcome]).inc();
    }

    /// So many messages wait.
    pub fn waiting(&self, count: u64) {
        self.waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
