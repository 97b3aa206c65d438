//! The state that all handlers share.

use std::sync::Arc;

use pointstream_actors::System;
use tokio_util::task::TaskTracker;

use crate::auth::{Audit, Auth, Caller};
use crate::gateways::Gateways;
use crate::metrics::ServiceMetrics;
use crate::options::ServeOptions;
use crate::rates::{Buckets, Pace, Rates};
use crate::video::Videos;
use crate::ws::Presences;

/// The running service. Clones are cheap and share everything.
#[derive(Clone)]
pub struct App {
    pub system: System,
    /// The operator's options.
    pub options: Arc<ServeOptions>,
    /// Knows who callers are.
    pub auth: Arc<Auth>,
    pub audit: Arc<Audit>,
    /// Figures of HTTP, sockets and the network; those of the actors are in `system`.
    pub metrics: Arc<ServiceMetrics>,
    /// How much each client has done lately.
    pub rates: Arc<Rates>,
    /// The tasks that serve open WebSockets.
    pub sockets: TaskTracker,
    /// Other gateways that share the sessions, if there may be some.
    pub gateways: Option<Arc<Gateways>>,
    /// Whether videos are read, and for whom.
    pub videos: Arc<Videos>,
    /// Which clients of sessions are still there.
    pub presences: Presences,
}

impl App {
    /// The audit log, if callers are asked who they are.
    pub fn asked_audit(&self) -> Option<Arc<Audit>> {
        self.auth.asks().then(|| self.audit.clone())
    }

    /// How quickly a caller from an address with these rates may go.
    pub fn pace(&self, address: Arc<Buckets>, caller: &Caller) -> Pace {
        let owner = caller.owner();
        Pace::new(address, owner.and_then(|owner| self.rates.of_owner(owner)))
    }
}
