//! The sender of a message, and the labels of its answer.

use tokio::sync::OwnedSemaphorePermit;

use crate::ids::{ClientId, MessageId};

/// Kept with a client's message until it is answered.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub client: ClientId,
    /// The client's identifier of the message.
    pub id: Option<MessageId>,
    /// The client's name of the image in the message.
    pub filename: Option<String>,
    /// The client's right to one unanswered message. Returned with the answer.
    pub permit: OwnedSemaphorePermit,
}
