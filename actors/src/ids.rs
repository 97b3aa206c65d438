//! Identifiers of sessions, jobs, clients and messages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// Identifies a session.
pub type SessionId = Uuid;

/// Identifies a job of the model.
pub type JobId = Uuid;

/// Identifies a client within its session; later clients have larger numbers.
pub(crate) type ClientId = u64;

/// Identifies a request within its session, from 1 in the order in which they came.
pub(crate) type RequestKey = u64;

/// The `id` that a client gave one of its messages. Answers to the message repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(Arc<str>);

/// The text is empty or too long for a message's `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("\"id\" must have 1 to {max} characters, but it has {0}", max = MessageId::MAX_CHARS)]
pub struct BadMessageId(usize);

impl MessageId {
    /// Largest length in characters.
    pub const MAX_CHARS: usize = 128;

    /// Checks the length of a client's text.
    ///
    /// # Errors
    /// [`BadMessageId`] if it is empty or too long.
    pub fn new(text: &str) -> Result<Self, BadMessageId> {
        match text.chars().count() {
            1..=Self::MAX_CHARS => Ok(Self(text.into())),
            characters => Err(BadMessageId(characters)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MessageId {
    type Error = BadMessageId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.0.as_ref().to_owned()
    }
}
