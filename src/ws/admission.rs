//! Who may use a socket: the token of the handshake, or of the first message.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};
use utoipa::ToSchema;

use super::field::Field;
use super::receive_memory::{ReceiveError, Socket};
use crate::app::App;
use crate::auth::{Caller, Needs, Refusal, Refused, Secret};
use crate::entrance::PathPrefix;
use crate::rates::Buckets;

/// Time for the first message of a client that has no token in its handshake.
const DEADLINE: Duration = Duration::from_secs(10);

/// The type of the message.
pub const AUTH: &str = "auth";

/// Says who the client is. It is the first message, if the handshake had no token and the server asks
/// for one.
#[derive(Deserialize, ToSchema)]
pub struct AuthMessage<'a> {
    #[serde(borrow, default, rename = "type")]
    #[schema(ignore)]
    kind: Field<Cow<'a, str>>,
    /// The token.
    #[serde(borrow, default)]
    #[schema(value_type = String, required)]
    token: Field<Cow<'a, str>>,
}

/// A client that asks for a socket.
pub struct Visitor {
    /// Who it is, by the token of its handshake.
    pub caller: Caller,
    /// Why that token does not suffice.
    pub refused: Option<Refused>,
    pub needs: Needs,
    pub from: IpAddr,
    /// How quickly it may send.
    pub rates: Arc<Buckets>,
    /// What it has before the paths of this server.
    pub prefix: PathPrefix,
}

/// Finds out who the client is. Before that it learns nothing about the session.
///
/// # Errors
/// [`Refused`].
pub async fn admit(app: &App, socket: &mut Socket, visitor: Visitor) -> Result<Caller, Refused> {
    match visitor.refused {
        None => Ok(visitor.caller),
        Some(refused) if refused.refusal == Refusal::NoToken => {
            let first = tokio::time::timeout(DEADLINE, first_token(socket)).await;
            let token = first.unwrap_or(Err(Refusal::TooLate));
            let token = token.map_err(Refused::stranger)?;
            app.auth.admit(Ok(Some(token)), visitor.needs).await
        }
        Some(refused) => Err(refused),
    }
}

/// The token in the first message.
async fn first_token(socket: &mut Socket) -> Result<Secret, Refusal> {
    loop {
        let message = socket.next().await.ok_or(Refusal::NoToken)?;
        match message.map_err(|error| unreadable(&error))? {
            Message::Text(text) => {
                let payload = socket.get_ref().meter().finish().payload;
                let text = match &payload {
                    Some(payload) => str::from_utf8(payload.as_ref()).unwrap_or_default(),
                    None => &text,
                };
                return token(text).ok_or(Refusal::NotAuth);
            }
            // The library answers these.
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return Err(Refusal::NoToken),
            Message::Binary(_) | Message::Frame(_) => return Err(Refusal::NotAuth),
        }
    }
}

/// Why there is no first message.
fn unreadable(error: &Error) -> Refusal {
    match error {
        Error::Io(error) if ReceiveError::of(error).is_some() => Refusal::TooMuch,
        Error::Capacity(_) => Refusal::TooMuch,
        Error::Utf8(_) => Refusal::NotAuth,
        // The client has left, or the network failed.
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Refusal::NoToken,
        _ => Refusal::NotAuth,
    }
}

/// The token, if the message is one with a token.
fn token(text: &str) -> Option<Secret> {
    // An array would be taken for a message, too.
    let object = text.trim_start().starts_with('{').then_some(text)?;
    let message: AuthMessage<'_> = serde_json::from_str(object).ok()?;
    let is_auth = message.kind.value().is_some_and(|kind| kind == AUTH);
    let token = message.token.value().filter(|_| is_auth)?;
    Some(Secret::presented(token.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_of_this_type_has_a_token() {
        let found = token(r#"{"type": "auth", "token": "pst_a", "more": 1}"#);
        assert_eq!(found.expect("a token").reveal(), "pst_a");
        for other in [
            "",
            "pst_a",
            r#"{"type": "auth"}"#,
            r#"{"type": "auth", "token": 5}"#,
            r#"{"type": "ping", "token": "pst_a"}"#,
            r#"["auth", "pst_a"]"#,
        ] {
            assert!(token(other).is_none(), "{other}");
        }
    }
}
