//! The state that all handlers share.

use std::sync::Arc;

use pointstream_actors::System;
use tokio_util::task::TaskTracker;

use crate::metrics::ServiceMetrics;
use crate::options::ServeOptions;

/// The running service. Clones are cheap and share everything.
#[derive(Clone)]
pub struct App {
    pub system: System,
    /// The operator's options.
    pub options: Arc<ServeOptions>,
    /// Figures of HTTP, sockets and the network; those of the actors are in `system`.
    pub metrics: Arc<ServiceMetrics>,
    /// The tasks that serve open WebSockets.
    pub sockets: TaskTracker,
}
