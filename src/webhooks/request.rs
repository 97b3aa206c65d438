//! The webhook that a client wants for its session.

use std::str::FromStr as _;

use pointstream_actors::{EventType, Webhook};
use pointstream_reconstruction::word_list;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;
use thiserror::Error;
use utoipa::ToSchema;

use super::options::WebhookOptions;
use super::secret::{self, BadSecret};
use super::url::{BadUrl, ReceiverUrl};
use crate::entrance::{Host, Scheme};

/// Where the events of the session are sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedWebhook)]
pub struct WantedWebhook {
    /// An `https://` URL.
    #[schema(example = "https://example.org/hook")]
    url: String,
    /// The events that are sent; all if it is missing.
    #[serde(default)]
    #[schema(example = json!(["result.made", "session.ended"]))]
    events: Option<Vec<String>>,
    /// The secret that signs the messages: `whsec_` and 24 to 64 bytes in base64. The server makes one if
    /// it is missing.
    #[serde(default)]
    secret: Option<String>,
}

/// The webhook of a new session.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeWebhook)]
pub struct MadeWebhook {
    /// The events that are sent.
    events: Vec<String>,
    /// The secret that signs the messages, if the server has made it. It is not told again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
}

/// The webhook is refused.
#[derive(Debug, Error)]
pub enum RefusedWebhook {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error(transparent)]
    Secret(#[from] BadSecret),
    #[error(
        "the URL must begin with https://; the operator allows http:// with --webhook-allow-http"
    )]
    Http,
    #[error("the operator does not allow this host (--webhook-hosts)")]
    Host,
    #[error(
        "the address is not one of the public internet; the operator allows others with \
         --webhook-allow-private"
    )]
    Private,
    #[error("there is no event {found:?}; there are {known}")]
    Event { found: String, known: String },
    #[error("there are no events; leave out \"events\" for all of them")]
    NoEvents,
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl WantedWebhook {
    /// The webhook, and what the client is told of it.
    ///
    /// # Errors
    /// [`RefusedWebhook`].
    pub fn make(self, options: &WebhookOptions) -> Result<(Webhook, MadeWebhook), RefusedWebhook> {
        let url: ReceiverUrl = self.url.parse()?;
        check(&url, options)?;
        let events = match self.events {
            None => EventType::VARIANTS.to_vec(),
            Some(names) => events(&names)?,
        };
        let (secret, told) = match &self.secret {
            Some(text) => (secret::parse(text)?, None),
            None => {
                let made = secret::generate()?;
                let text = secret::text(&made);
                (made, Some(text))
            }
        };
        let told = MadeWebhook {
            events: events.iter().map(ToString::to_string).collect(),
            secret: told,
        };
        let webhook = Webhook {
            url: self.url,
            host: url.origin(),
            secret,
            events,
        };
        Ok((webhook, told))
    }
}

/// Whether a client may choose a URL. Names are looked up when a message is sent.
fn check(url: &ReceiverUrl, options: &WebhookOptions) -> Result<(), RefusedWebhook> {
    if url.scheme == Scheme::Http && !options.webhook_allow_http {
        return Err(RefusedWebhook::Http);
    }
    let host = &url.authority.host;
    if !options.webhook_hosts.includes(host) {
        return Err(RefusedWebhook::Host);
    }
    match host {
        Host::Address(address) if !options.webhook_allow_private.allow(*address) => {
            Err(RefusedWebhook::Private)
        }
        _ => Ok(()),
    }
}

fn events(names: &[String]) -> Result<Vec<EventType>, RefusedWebhook> {
    let mut events = Vec::new();
    for name in names {
        let event = EventType::from_str(name).map_err(|_| RefusedWebhook::Event {
            found: name.chars().take(100).collect(),
            known: word_list(EventType::VARIANTS.iter().map(<&str>::from), "and"),
        })?;
        if !events.contains(&event) {
            events.push(event);
        }
    }
    match events.is_empty() {
        true => Err(RefusedWebhook::NoEvents),
        false => Ok(events),
    }
}
