//! The service over HTTP: routes, handlers and the connections that carry them.

mod docs;
mod download;
mod errors;
mod images;
mod multipart;
mod openapi;
mod operators;
mod origins;
mod pages;
mod query;
mod reconstruct;
mod results;
mod routes;
mod server;
mod sessions;
mod stats;
mod templates;

pub use download::{Download, decided};
pub use errors::ApiError;
pub use origins::OriginPolicy;
pub use query::Query;
pub use server::{Connection, Server};

use std::sync::Arc;

use pointstream_actors::System;
use tokio_util::task::TaskTracker;

use crate::metrics::ServiceMetrics;
use crate::options::ServeOptions;

/// What every handler can reach.
#[derive(Clone)]
pub struct App {
    /// The actors.
    pub system: System,
    /// What the operator decided.
    pub options: Arc<ServeOptions>,
    /// What is counted around the actors.
    pub metrics: Arc<ServiceMetrics>,
    /// The tasks behind the open sockets.
    pub sockets: TaskTracker,
}
