//! What operators measure: the actors' figures, those of the network and the process, as the
//! Prometheus text format.

mod http;
mod network;
mod sockets;

use std::time::{Duration, Instant};

use pointstream_reconstruction::model::Metadata;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder, register_int_gauge_vec_with_registry};

pub use http::HttpMetrics;
pub use network::{NetworkMetrics, OpenGauge};
pub use sockets::SocketMetrics;

/// Content type of the text format.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The figures of the service around the actors, in the actors' registry.
#[derive(Debug)]
pub struct ServiceMetrics {
    /// Requests.
    pub http: HttpMetrics,
    /// WebSockets and their messages.
    pub sockets: SocketMetrics,
    /// Connections and bytes.
    pub network: NetworkMetrics,
    started: Instant,
    registry: Registry,
}

impl ServiceMetrics {
    /// Figures that are all zero, beside those that the registry has.
    ///
    /// # Errors
    /// If a metric has the name of another one.
    pub fn new(registry: &Registry, model: &Metadata) -> Result<Self, prometheus::Error> {
        registry.register(Box::new(ProcessCollector::for_self()))?;
        register_int_gauge_vec_with_registry!(
            "pointstream_build_info",
            "Always 1; the labels say what runs here.",
            &["version", "model", "model_version"],
            registry
        )?
        .with_label_values(&[env!("CARGO_PKG_VERSION"), &model.name, &model.version])
        .set(1);
        Ok(Self {
            http: HttpMetrics::new(registry)?,
            sockets: SocketMetrics::new(registry)?,
            network: NetworkMetrics::new(registry)?,
            started: Instant::now(),
            registry: registry.clone(),
        })
    }

    /// How long the service has run.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// All metrics as text. Blocks: reads files of the kernel about the process.
    ///
    /// # Errors
    /// If a metric has no valid name.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
