//! HTTP requests by route.

use std::time::Duration;

use prometheus::{
    HistogramVec, IntCounterVec, Registry, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry,
};

/// Upper bounds of the buckets in seconds.
const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// Requests and their durations.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "pointstream_http_requests_total",
                "HTTP requests by method, route and status.",
                &["method", "route", "status"],
                registry
            )?,
            durations: register_histogram_vec_with_registry!(
                "pointstream_http_request_duration_seconds",
                "Time from a request to the head of its answer, by method and route.",
                &["method", "route"],
                SECONDS.to_vec(),
                registry
            )?,
        })
    }

    /// Counts a request. `route` is a template, never a path: labels have no text from clients.
    pub fn answered(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        let method = known_method(method);
        self.requests
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        self.durations
            .with_label_values(&[method, route])
            .observe(elapsed.as_secs_f64());
    }
}

/// The label of a method: clients can send any word as a method.
fn known_method(method: &str) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_methods_share_a_label() {
        assert_eq!(known_method("GET"), "GET");
        assert_eq!(known_method("BREW"), "other");
    }
}
