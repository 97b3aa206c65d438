//! Opens the socket of a session, and says why one has ended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::error::Error;
use crate::pulse::{Pulse, Watched};
use crate::refusal::Refusal;
use crate::rest::refusal_of;
use crate::transport::{Transport, credentials};
use crate::wire::decode;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A socket that is connected.
pub(crate) struct Socket {
    pub stream: WebSocketStream<Watched>,
    pub pulse: Arc<Pulse>,
    pub greeting: Greeting,
}

/// What the server says first.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Greeting {
    pub image_count: u64,
    pub max_images: u64,
}

/// Why reading from a socket has ended.
pub(crate) enum Loss {
    /// The connection is gone, or the server has closed it.
    Gone(Error),
    /// A message is larger than we take.
    TooLarge(Error),
}

impl From<Error> for Loss {
    fn from(error: Error) -> Self {
        Self::Gone(error)
    }
}

/// Connects, and reads `connected`.
pub(crate) async fn open(
    transport: &Transport,
    path: &str,
    token: Option<&str>,
    max_message_bytes: usize,
) -> Result<Socket, Error> {
    let address = transport.socket_address(path);
    let mut request = address
        .into_client_request()
        .map_err(|error| Error::InvalidArgument(format!("{path} is no path ({error})")))?;
    if let Some(token) = token {
        request
            .headers_mut()
            .insert(AUTHORIZATION, credentials(token)?);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    let pulse = Pulse::new();
    let io = Watched::new(transport.connect().await?, Arc::clone(&pulse));
    let shaking = client_async_with_config(request, io, Some(config));
    let mut stream = match timeout(transport.timeout, shaking).await {
        Ok(Ok((stream, _))) => stream,
        Ok(Err(SocketError::Http(answer))) => {
            let body = answer.body().as_deref().unwrap_or_default();
            return Err(refusal_of(answer.status(), answer.headers(), body).into_error());
        }
        Ok(Err(error)) => return Err(transport.unreachable(&error)),
        Err(_) => return Err(transport.unreachable(&"no answer in time")),
    };
    let greeting = timeout(transport.timeout, greeting(&mut stream)).await;
    let greeting = greeting.unwrap_or_else(|_| Err(transport.unreachable(&"no greeting in time")));
    match greeting {
        Ok(greeting) => Ok(Socket {
            stream,
            pulse,
            greeting,
        }),
        Err(error) => {
            close(&mut stream, CloseCode::Normal).await;
            Err(error)
        }
    }
}

async fn greeting(stream: &mut WebSocketStream<Watched>) -> Result<Greeting, Error> {
    let first = loop {
        match next(stream).await {
            Ok(Some(message)) => break decode(message)?,
            Ok(None) => {}
            Err(Loss::Gone(error) | Loss::TooLarge(error)) => return Err(error),
        }
    };
    match first.kind.as_str() {
        "connected" => serde_json::from_value(Value::Object(first.fields)).map_err(|error| {
            Error::InvalidResponse(format!("the greeting is incomplete ({error})"))
        }),
        "error" => {
            // The close code, which says whether to try again, follows.
            let loss = loop {
                if let Err(loss) = next(stream).await {
                    break loss;
                }
            };
            let (Loss::Gone(error) | Loss::TooLarge(error)) = loss;
            let mut refusal = refusal_in(&first.fields);
            refusal.status = error.refusal().and_then(|closing| closing.status);
            Err(refusal.into_error())
        }
        _ => Err(Error::InvalidResponse(
            "the first message of the server is not `connected`".to_owned(),
        )),
    }
}

/// The next text or binary message; none for what the WebSocket itself needs.
pub(crate) async fn next<S>(stream: &mut S) -> Result<Option<Message>, Loss>
where
    S: futures_util::Stream<Item = Result<Message, SocketError>> + Unpin,
{
    match stream.next().await {
        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => Ok(Some(message)),
        Some(Ok(Message::Close(frame))) => Err(Loss::Gone(closing(frame))),
        Some(Ok(_)) => Ok(None),
        Some(Err(error @ SocketError::Capacity(_))) => Err(Loss::TooLarge(lost(&error))),
        Some(Err(error)) => Err(Loss::Gone(lost(&error))),
        None => Err(Loss::Gone(lost(&"it has ended"))),
    }
}

pub(crate) fn lost(reason: &dyn std::fmt::Display) -> Error {
    Error::Unreachable(format!("the connection was lost ({reason})"))
}

/// Why the server has closed the connection.
fn closing(frame: Option<CloseFrame>) -> Error {
    let Some(frame) = frame else {
        return lost(&"the server closed it without a reason");
    };
    let status = u16::from(frame.code);
    // The reason begins with the code of the error.
    let (code, text) = match frame.reason.split_once(": ") {
        Some((code, text)) => (Some(code.to_owned()), text),
        None => (None, frame.reason.as_str()),
    };
    let message = match text {
        "" => format!("the server closed the connection with {status}"),
        text => text.to_owned(),
    };
    let refusal = Refusal {
        code,
        status: Some(status),
        ..Refusal::new(message)
    };
    refusal.into_error()
}

/// What a message of type `error` says.
pub(crate) fn refusal_in(fields: &Map<String, Value>) -> Refusal {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    Refusal {
        code: text("code"),
        filename: text("filename"),
        result_url: text("result_url"),
        ..Refusal::new(text("message").unwrap_or_default())
    }
}

/// Ends a connection. A server that does not answer cannot hold us up.
pub(crate) async fn close(stream: &mut WebSocketStream<Watched>, code: CloseCode) {
    let frame = CloseFrame {
        code,
        reason: "".into(),
    };
    let _ = timeout(FAREWELL, async {
        // Whatever fails here, the connection is at its end.
        let _ = stream.close(Some(frame)).await;
        // Our answer to a farewell of the server, which `close` does not send.
        let _ = stream.flush().await;
        // Bytes that nobody reads would make the system discard our farewell. Those of a message
        // that is too large cannot be read as messages any more.
        let _ = stream.get_mut().drain().await;
    })
    .await;
}
