//! Metrics of HTTP, WebSockets, the network and the process, in one registry with those of the
//! actors.

mod gateways;
mod http;
mod network;
mod rates;
mod sockets;

use std::time::{Duration, Instant};

use pointstream_reconstruction::model::Metadata;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder, register_int_gauge_vec_with_registry};

pub use gateways::GatewayMetrics;
pub use http::HttpMetrics;
pub use network::{NetworkMetrics, OpenGauge};
pub use rates::RateMetrics;
pub use sockets::SocketMetrics;

/// The metric of the process's resident memory.
const RESIDENT_BYTES: &str = "process_resident_memory_bytes";

/// Content type of the Prometheus text format.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The figures of the service; those of the actors are in the same registry.
#[derive(Debug)]
pub struct ServiceMetrics {
    pub http: HttpMetrics,
    pub gateways: GatewayMetrics,
    pub sockets: SocketMetrics,
    pub network: NetworkMetrics,
    pub rates: RateMetrics,
    process: ProcessCollector,
    started: Instant,
    registry: Registry,
}

impl ServiceMetrics {
    /// Registers the figures, all zero.
    ///
    /// # Errors
    /// If two metrics have the same name.
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
            gateways: GatewayMetrics::new(registry)?,
            sockets: SocketMetrics::new(registry)?,
            network: NetworkMetrics::new(registry)?,
            rates: RateMetrics::new(registry)?,
            process: ProcessCollector::for_self(),
            started: Instant::now(),
            registry: registry.clone(),
        })
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Resident memory of the process in bytes, from the same source as the metric
    /// `process_resident_memory_bytes`. Blocks: reads files in /proc.
    pub fn resident_bytes(&self) -> Option<u64> {
        let families = self.process.collect();
        let resident = families
            .iter()
            .find(|family| family.name() == RESIDENT_BYTES)?;
        let value = resident.get_metric().first()?.get_gauge().get_value();
        Some(value as u64)
    }

    /// All metrics in the Prometheus text format. Blocks: reads files in /proc.
    ///
    /// # Errors
    /// If a metric has an invalid name.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
