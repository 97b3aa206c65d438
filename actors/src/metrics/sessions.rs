//! Sessions by state, and the images that they hold.

use std::sync::Arc;

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use strum::VariantArray;

use super::Metrics;
use crate::report::SessionStatus;
use crate::session_event::CloseReason;

/// Counts sessions and images.
#[derive(Debug)]
pub(crate) struct SessionMetrics {
    by_state: IntGaugeVec,
    created: IntCounter,
    ended: IntCounterVec,
    images: IntCounterVec,
    images_decoded: IntCounter,
    image_bytes: IntCounter,
    stored_images: IntGauge,
    stored_bytes: IntGauge,
}

const ACCEPTED: &str = "accepted";
const REFUSED: &str = "refused";

impl SessionMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_state = register_int_gauge_vec_with_registry!(
            "pointstream_sessions",
            "Sessions by state, as the protocol names it.",
            &["state"],
            registry
        )?;
        let ended = register_int_counter_vec_with_registry!(
            "pointstream_sessions_ended_total",
            "Sessions that have ended, by reason.",
            &["reason"],
            registry
        )?;
        let images = register_int_counter_vec_with_registry!(
            "pointstream_images_total",
            "Images that clients sent, by outcome.",
            &["outcome"],
            registry
        )?;
        for status in SessionStatus::VARIANTS {
            by_state.with_label_values(&[status.wire_name()]);
        }
        for reason in CloseReason::VARIANTS {
            ended.with_label_values(&[reason_name(*reason)]);
        }
        for outcome in [ACCEPTED, REFUSED] {
            images.with_label_values(&[outcome]);
        }
        Ok(Self {
            by_state,
            created: register_int_counter_with_registry!(
                "pointstream_sessions_created_total",
                "Sessions that were created.",
                registry
            )?,
            ended,
            images,
            images_decoded: register_int_counter_with_registry!(
                "pointstream_images_decoded_total",
                "Images that were decoded, whether they were accepted or not.",
                registry
            )?,
            image_bytes: register_int_counter_with_registry!(
                "pointstream_image_bytes_total",
                "Bytes of the image files that were accepted.",
                registry
            )?,
            stored_images: register_int_gauge_with_registry!(
                "pointstream_stored_images",
                "Images that the sessions hold.",
                registry
            )?,
            stored_bytes: register_int_gauge_with_registry!(
                "pointstream_stored_image_bytes",
                "Bytes of the image files that the sessions hold.",
                registry
            )?,
        })
    }

    /// A session has ended.
    pub fn ended(&self, reason: CloseReason) {
        self.ended.with_label_values(&[reason_name(reason)]).inc();
    }

    /// An image is decoded.
    pub fn image_decoded(&self) {
        self.images_decoded.inc();
    }

    #[cfg(test)]
    pub fn images_decoded(&self) -> u64 {
        self.images_decoded.get()
    }

    /// An image was refused.
    pub fn image_refused(&self) {
        self.images.with_label_values(&[REFUSED]).inc();
    }

    pub fn created(&self) -> u64 {
        self.created.get()
    }

    pub fn images_accepted(&self) -> u64 {
        self.images.with_label_values(&[ACCEPTED]).get()
    }

    pub fn image_bytes(&self) -> u64 {
        self.image_bytes.get()
    }
}

fn reason_name(reason: CloseReason) -> &'static str {
    reason.into()
}

/// The share of one session in the gauges, subtracted when it is dropped.
#[derive(Debug)]
pub(crate) struct SessionShare {
    metrics: Arc<Metrics>,
    state: &'static str,
    images: i64,
    bytes: i64,
}

impl SessionShare {
    /// A session begins.
    pub fn new(metrics: Arc<Metrics>, status: SessionStatus) -> Self {
        let state = status.wire_name();
        metrics.sessions.created.inc();
        metrics.sessions.by_state.with_label_values(&[state]).inc();
        Self {
            metrics,
            state,
            images: 0,
            bytes: 0,
        }
    }

    /// The session is in this state now.
    pub fn state(&mut self, status: SessionStatus) {
        let state = status.wire_name();
        if state != self.state {
            let by_state = &self.metrics.sessions.by_state;
            by_state.with_label_values(&[self.state]).dec();
            by_state.with_label_values(&[state]).inc();
            self.state = state;
        }
    }

    /// The session holds one more image.
    pub fn image_accepted(&mut self, bytes: u64) {
        let sessions = &self.metrics.sessions;
        sessions.images.with_label_values(&[ACCEPTED]).inc();
        sessions.image_bytes.inc_by(bytes);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        sessions.stored_images.inc();
        sessions.stored_bytes.add(bytes);
        self.images += 1;
        self.bytes += bytes;
    }
}

impl Drop for SessionShare {
    fn drop(&mut self) {
        let sessions = &self.metrics.sessions;
        sessions.by_state.with_label_values(&[self.state]).dec();
        sessions.stored_images.sub(self.images);
        sessions.stored_bytes.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_session_leaves_the_gauges() {
        let metrics = Metrics::new().expect("valid metrics");
        let count = |state: &str| metrics.sessions.by_state.with_label_values(&[state]).get();
        let mut share = SessionShare::new(metrics.clone(), SessionStatus::Active);
        assert_eq!(count("active"), 1);
        share.state(SessionStatus::Processing);
        share.image_accepted(100);
        assert_eq!((count("active"), count("processing")), (0, 1));
        assert_eq!(metrics.sessions.stored_bytes.get(), 100);
        drop(share);
        assert_eq!((count("active"), count("processing")), (0, 0));
        assert_eq!(metrics.sessions.stored_images.get(), 0);
        assert_eq!(metrics.sessions.stored_bytes.get(), 0);
        let totals = metrics.totals();
        assert_eq!(
            (totals.sessions, totals.images, totals.image_bytes),
            (1, 1, 100)
        );
    }
}
