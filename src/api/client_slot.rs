//! One of the clients that are served at the same time.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::OpenGauge;

/// One of the `--max-clients` slots. Held as long as the client's network connection, also after
/// it becomes a WebSocket.
#[derive(Debug, Clone)]
pub struct ClientSlot {
    _held: Arc<(OwnedSemaphorePermit, OpenGauge)>,
}

impl ClientSlot {
    /// Takes a slot and counts the client as connected.
    pub fn new(permit: OwnedSemaphorePermit, open: OpenGauge) -> Self {
        Self {
            _held: Arc::new((permit, open)),
        }
    }
}
