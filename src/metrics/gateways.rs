//! Requests that are passed on to other gateways.

use prometheus::{
    IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};

const PASSED: &str = "passed";
const FAILED: &str = "failed";

/// Requests for sessions that other gateways have.
#[derive(Debug)]
pub struct GatewayMetrics {
    requests: IntCounterVec,
    there: IntGauge,
}

impl GatewayMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = register_int_counter_vec_with_registry!(
            "pointstream_gateway_requests_total",
            "Requests for sessions of other gateways: passed on and answered, or not.",
            &["outcome"],
            registry
        )?;
        for outcome in [PASSED, FAILED] {
            requests.with_label_values(&[outcome]);
        }
        let there = register_int_gauge_with_registry!(
            "pointstream_gateways",
            "Servers that share sessions and are there, with this one.",
            registry
        )?;
        there.set(1);
        Ok(Self { requests, there })
    }

    /// So many others are there.
    pub fn others(&self, count: usize) {
        self.there
            .set(i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1));
    }

    /// Another gateway has answered.
    pub fn passed(&self) {
        self.requests.with_label_values(&[PASSED]).inc();
    }

    /// Another gateway did not have the session, or does not answer.
    pub fn failed(&self) {
        self.requests.with_label_values(&[FAILED]).inc();
    }
}
