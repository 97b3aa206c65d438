//! One of the clients that are served at the same time.

use std::sync::Arc;

use crate::entrance::Peer;
use crate::metrics::OpenGauge;
use crate::places::Place;

/// One of the `--max-clients` slots. Held as long as the client's network connection, also after
/// it becomes a WebSocket.
#[derive(Debug, Clone)]
pub struct ClientSlot {
    held: Arc<(Place, OpenGauge)>,
    peer: Peer,
}

impl ClientSlot {
    /// Takes a slot and counts the client as connected.
    pub fn new(place: Place, open: OpenGauge, peer: Peer) -> Self {
        Self {
            held: Arc::new((place, open)),
            peer,
        }
    }

    /// The other end of the connection, which may be a proxy.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    pub fn place(&self) -> &Place {
        &self.held.0
    }
}
