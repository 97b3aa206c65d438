//! Tells JetStream that an assignment is being done.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use tokio_util::task::AbortOnDropHandle;

/// An assignment that is not confirmed for so long is delivered again, to another node.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(10);
/// How often it is confirmed: two confirmations may be lost.
const INTERVAL: Duration = Duration::from_secs(3);

/// Confirms until it is dropped.
pub(super) struct Confirmation {
    _task: AbortOnDropHandle<()>,
}

impl Confirmation {
    pub fn start(message: Arc<Message>) -> Self {
        let confirm = async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                if let Err(error) = message.ack_with(AckKind::Progress).await {
                    tracing::debug!(%error, "an assignment is not confirmed");
                }
            }
        };
        Self {
            _task: AbortOnDropHandle::new(tokio::spawn(confirm)),
        }
    }
}
