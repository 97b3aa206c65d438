//! Webhooks: who may be told, what they are told, and how it is sent, by the rules of Standard Webhooks
//! (<https://www.standardwebhooks.com>). The outbox of the actors keeps the messages.

mod addresses;
mod body;
mod courier;
#[cfg(test)]
mod fuzz;
mod options;
mod post;
mod request;
mod secret;
mod url;

pub use self::courier::{WebhookCourier, WebhookOptionsError};
pub use self::options::WebhookOptions;
pub use self::request::{MadeWebhook, RefusedWebhook, WantedWebhook};
