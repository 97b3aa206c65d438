//! Network connections and the bytes on them.

use prometheus::{
    IntCounter, IntGauge, Registry, register_int_counter_with_registry,
    register_int_gauge_with_registry,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{InspectReader, InspectWriter};

/// Connections and their bytes.
#[derive(Debug)]
pub struct NetworkMetrics {
    open: IntGauge,
    accepted: IntCounter,
    refused: IntCounter,
    malformed: IntCounter,
    received: IntCounter,
    sent: IntCounter,
}

impl NetworkMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: register_int_gauge_with_registry!(
                "pointstream_connections",
                "Open network connections, WebSockets among them.",
                registry
            )?,
            accepted: register_int_counter_with_registry!(
                "pointstream_connections_accepted_total",
                "Network connections that were accepted.",
                registry
            )?,
            refused: register_int_counter_with_registry!(
                "pointstream_connections_refused_total",
                "Network connections that were refused because their address had its share.",
                registry
            )?,
            malformed: register_int_counter_with_registry!(
                "pointstream_connections_malformed_total",
                "Network connections that were closed because a request was no HTTP, or its head too large.",
                registry
            )?,
            received: register_int_counter_with_registry!(
                "pointstream_received_bytes_total",
                "Bytes received on all connections.",
                registry
            )?,
            sent: register_int_counter_with_registry!(
                "pointstream_sent_bytes_total",
                "Bytes sent on all connections.",
                registry
            )?,
        })
    }

    /// Counts a connection as open until the value is dropped.
    #[must_use]
    pub fn opened(&self) -> OpenGauge {
        self.accepted.inc();
        OpenGauge::new(&self.open)
    }

    /// Counts a connection that was refused.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// Counts a connection that is closed because its request cannot be read.
    pub fn malformed(&self) {
        self.malformed.inc();
    }

    /// A stream whose bytes are counted.
    pub fn counted<S: AsyncRead + AsyncWrite>(
        &self,
        stream: S,
    ) -> impl AsyncRead + AsyncWrite + use<S> {
        let (received, sent) = (self.received.clone(), self.sent.clone());
        let stream = InspectReader::new(stream, move |bytes: &[u8]| {
            received.inc_by(bytes.len() as u64);
        });
        InspectWriter::new(stream, move |bytes: &[u8]| sent.inc_by(bytes.len() as u64))
    }

    /// Open connections.
    pub fn open(&self) -> u64 {
        u64::try_from(self.open.get()).unwrap_or(0)
    }

    /// Bytes received since the start.
    pub fn bytes_received(&self) -> u64 {
        self.received.get()
    }

    /// Bytes sent since the start.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.get()
    }
}

/// Increments a gauge until it is dropped.
#[derive(Debug)]
pub struct OpenGauge(IntGauge);

impl OpenGauge {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for OpenGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}
