//! What the service does for the outbox: it writes messages and delivers them.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use super::event::{Event, EventType};

/// A secret with which messages are signed. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSecret(Vec<u8>);

impl WebhookSecret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret(..)")
    }
}

/// Where the events of a session are sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// It may have secrets in its path and query, so it is never printed.
    pub url: String,
    /// The part of the URL that may be shown. Deliveries to one host take turns.
    pub host: String,
    pub secret: WebhookSecret,
    /// The events that are sent.
    pub events: Vec<EventType>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Webhook({})", self.host)
    }
}

/// Where the events of all sessions are sent.
#[derive(Clone)]
pub struct OperatorWebhook {
    pub url: String,
    /// See [`Webhook::host`].
    pub host: String,
    /// Each signs every message, so that a secret can be replaced.
    pub secrets: Vec<WebhookSecret>,
}

/// A message on its way.
pub struct Letter {
    /// The same for each attempt.
    pub id: String,
    pub url: String,
    /// Each signs the message.
    pub secrets: Vec<WebhookSecret>,
    pub body: String,
    /// Whether the operator has chosen the URL.
    pub operators: bool,
}

/// What has become of an attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub outcome: AttemptOutcome,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why the message was not delivered.
    pub reason: Option<String>,
    /// The receiver wants to be asked again after this time at the earliest.
    pub retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AttemptOutcome {
    Delivered,
    /// The receiver wants no more messages.
    Gone,
    /// The receiver answered with another status.
    Refused,
    Unreachable,
    TimedOut,
    /// The address is not one that messages may be sent to.
    Forbidden,
}

impl Attempt {
    /// An attempt without an answer.
    pub fn failed(outcome: AttemptOutcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            status: None,
            reason: Some(reason.into()),
            retry_after: None,
        }
    }
}

/// An attempt that is being made.
pub type Delivering = Pin<Box<dyn Future<Output = Attempt> + Send>>;

/// Writes messages and delivers them.
pub trait Courier: fmt::Debug + Send + Sync {
    /// The webhook of the operator, if there is one.
    fn operator(&self) -> Option<&OperatorWebhook>;

    /// The body of an event's message.
    fn body(&self, event: &Event) -> String;

    /// Makes one attempt, which ends within a bounded time.
    fn deliver(&self, letter: Letter) -> Delivering;
}
