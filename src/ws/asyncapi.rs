//! The AsyncAPI 3 document of the WebSocket, generated from the message types.

mod parts;

use pointstream_actors::{AnswerKind, ClientMessageKind};
use serde_json::{Map, Value, json};
use strum::VariantArray;
use utoipa::PartialSchema;

use self::parts::{Parts, binary_name, reference, to_value, variants};
use super::admission::{AUTH, AuthMessage};
use super::incoming::{
    CancelMessage, FinalizeMessage, GenerateMessage, ImageMessage, MapMessage, PingMessage,
    ReceivedMessage, known_kinds,
};
use super::outgoing::{ResultMessage, SentKind, ServerMessage, ServerMessageKind};
use crate::entrance::{Arrival, Scheme};

/// The field of an image that a binary message carries behind its header.
const IMAGE_DATA: &str = "data";
/// The field of a result that a binary message carries behind its header.
const RESULT_DATA: &str = "glb_base64";

/// The server that answers, with its address as a default.
fn server(arrival: &Arrival) -> Value {
    let host = arrival.authority.as_ref().map(ToString::to_string);
    let mut server = json!({
        "host": "{host}",
        "protocol": match arrival.scheme {
            Some(Scheme::Https) => "wss",
            Some(Scheme::Http) | None => "ws",
        },
        "description": "The server that serves this document",
        "variables": { "host": {
            "default": host.as_deref().unwrap_or("localhost:8000"),
            "description": "Host and port of the server",
        } },
    });
    if !arrival.prefix.is_empty() {
        server["pathname"] = arrival.prefix.as_str().into();
    }
    server
}

/// The description, for the version of the protocol that is served, and the server as the client of this
/// request sees it. `asks` says whether clients are asked for a token.
pub fn document(version: &str, asks: bool, arrival: &Arrival) -> Value {
    let mut parts = Parts::default();
    parts.add_text(AUTH, &to_value(&AuthMessage::schema()));
    for kind in known_kinds() {
        parts.add_text(kind.into(), &client_schema(kind));
    }
    parts.add_binary(
        ClientMessageKind::Image.into(),
        &client_schema(ClientMessageKind::Image),
        IMAGE_DATA,
    );
    for (name, schema) in variants(&ServerMessage::schema()) {
        parts.add_text(&name, &schema);
    }
    let result = to_value(&ResultMessage::schema());
    for kind in AnswerKind::VARIANTS {
        parts.add_text(kind.into(), &result);
        parts.add_binary(kind.into(), &result, RESULT_DATA);
    }
    parts.add_types();
    let in_channel: Map<String, Value> = parts
        .messages
        .keys()
        .map(|name| (name.clone(), reference("components/messages", name)))
        .collect();
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "pointstream",
            "version": version,
            "description": "The WebSocket of a session: images in, point clouds out. Sessions are \
                            created over HTTP, which /openapi.json of the same server describes.",
            "license": {
                "name": "Apache 2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
            "tags": [{ "name": "sessions" }],
        },
        "defaultContentType": "application/json",
        "servers": { "this": server(arrival) },
        "channels": { "session": {
            "address": "/ws/reconstruct/{session_id}",
            "title": "A session",
            "parameters": { "session_id": { "description": "The session's identifier" } },
            "messages": in_channel,
            "bindings": { "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "resume": {
                            "type": "boolean",
                            "default": false,
                            "description": "Whether the client receives the answers that an \
                                            earlier connection missed",
                        },
                        "binary": {
                            "type": "boolean",
                            "default": false,
                            "description": "Whether results come as binary messages",
                        },
                        "deltas": {
                            "type": "string",
                            "enum": ["cumulative", "append"],
                            "default": "cumulative",
                            "description": "Whether a delta has the whole point cloud or what is \
                                            new",
                        },
                        "since": {
                            "type": "integer",
                            "minimum": 0,
                            "description": "With deltas=append, the number of the last update that \
                                            the client has confirmed on an earlier connection",
                        },
                        "watch": {
                            "type": "boolean",
                            "default": false,
                            "description": "Whether the client only watches: it changes nothing, \
                                            and is told of new results",
                        },
                        "strict": {
                            "type": "boolean",
                            "default": true,
                            "description": "Whether unknown parameters are refused",
                        },
                    },
                },
            } },
        } },
        "operations": operations(),
        "components": { "messages": parts.messages, "schemas": parts.schemas },
    });
    if asks {
        let scheme = reference("components/securitySchemes", "token");
        document["servers"]["this"]["security"] = json!([scheme]);
        document["components"]["securitySchemes"] = json!({ "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token with the scope use, or watch to watch, in the header Authorization; or as the \
                            subprotocol pointstream.bearer.TOKEN beside pointstream; or in the first \
                            message, auth. Without one the socket is closed with 4401, with one that \
                            lacks the scope with 4403.",
        } });
    }
    document
}

fn client_schema(kind: ClientMessageKind) -> Value {
    match kind {
        ClientMessageKind::Image => to_value(&ImageMessage::schema()),
        ClientMessageKind::Generate => to_value(&GenerateMessage::schema()),
        ClientMessageKind::Finalize => to_value(&FinalizeMessage::schema()),
        ClientMessageKind::Cancel => to_value(&CancelMessage::schema()),
        ClientMessageKind::Map => to_value(&MapMessage::schema()),
        ClientMessageKind::Received => to_value(&ReceivedMessage::schema()),
        ClientMessageKind::Ping => to_value(&PingMessage::schema()),
        ClientMessageKind::Invalid => Value::Null,
    }
}

/// The messages that may answer a client's message.
fn answers(kind: ClientMessageKind) -> &'static [SentKind] {
    const ACK: SentKind = SentKind::Message(ServerMessageKind::Ack);
    const PROGRESS: SentKind = SentKind::Message(ServerMessageKind::Progress);
    const DELTA: SentKind = SentKind::Result(AnswerKind::Delta);
    const COMPLETE: SentKind = SentKind::Result(AnswerKind::Complete);
    const ERROR: SentKind = SentKind::Message(ServerMessageKind::Error);
    const POSES: SentKind = SentKind::Message(ServerMessageKind::Poses);
    const PONG: SentKind = SentKind::Message(ServerMessageKind::Pong);
    match kind {
        ClientMessageKind::Image => &[ACK, ERROR],
        ClientMessageKind::Generate => &[PROGRESS, DELTA, COMPLETE, ERROR],
        ClientMessageKind::Finalize => &[PROGRESS, COMPLETE, ERROR],
        ClientMessageKind::Map => &[POSES, ERROR],
        ClientMessageKind::Received | ClientMessageKind::Cancel => &[ERROR],
        ClientMessageKind::Ping => &[PONG, ERROR],
        ClientMessageKind::Invalid => &[ERROR],
    }
}

/// What the server does with each message.
fn operations() -> Value {
    let channel = reference("channels", "session");
    let message = |name: &str| reference("channels/session/messages", name);
    let mut operations = Map::new();
    for kind in known_kinds() {
        let mut replies = Vec::new();
        for answer in answers(kind) {
            replies.push(message(answer.name()));
            if let SentKind::Result(kind) = answer {
                replies.push(message(&binary_name(kind.into())));
            }
        }
        let mut names = vec![<&str>::from(kind).to_owned()];
        if kind == ClientMessageKind::Image {
            names.push(binary_name(kind.into()));
        }
        for name in names {
            operations.insert(
                format!("receive_{name}"),
                json!({
                    "action": "receive",
                    "channel": channel,
                    "messages": [message(&name)],
                    "reply": { "channel": channel, "messages": replies },
                }),
            );
        }
    }
    operations.insert(
        format!("receive_{AUTH}"),
        json!({
            "action": "receive",
            "channel": channel,
            "summary": "The first message of a client that has no token in its handshake, if the \
                        server asks for one",
            "messages": [message(AUTH)],
            "reply": { "channel": channel, "messages": [
                message(ServerMessageKind::Connected.into()),
                message(ServerMessageKind::Error.into()),
            ] },
        }),
    );
    operations.insert(
        "greet".to_owned(),
        json!({
            "action": "send",
            "channel": channel,
            "summary": "Always the first message of the server, once the client may use the session",
            "messages": [message(ServerMessageKind::Connected.into())],
        }),
    );
    operations.insert(
        "tell_watching".to_owned(),
        json!({
            "action": "send",
            "channel": channel,
            "summary": "To a client that watches: after connected, and whenever the session has a new \
                        result or another status",
            "messages": [message(ServerMessageKind::Changed.into())],
        }),
    );
    Value::Object(operations)
}

#[cfg(test)]
mod tests {
    use pointstream_actors::{MAX_NAME_BYTES, MessageId};

    use super::*;

    #[test]
    fn every_message_is_described() {
        let document = document("1.0.0", true, &Arrival::at(None, None));
        let messages = document["components"]["messages"].as_object();
        let names: Vec<_> = messages.expect("an object").keys().collect();
        assert_eq!(
            names,
            [
                "ack",
                "auth",
                "cancel",
                "changed",
                "complete",
                "complete_binary",
                "connected",
                "delta",
                "delta_binary",
                "error",
                "finalize",
                "generate",
                "image",
                "image_binary",
                "map",
                "ping",
                "pong",
                "poses",
                "progress",
                "received",
            ]
        );
    }

    /// The attributes of the schemas accept literals alone.
    #[test]
    fn lengths_of_text_are_the_limits_of_the_server() {
        let document = document("1.0.0", true, &Arrival::at(None, None));
        let schemas = document["components"]["schemas"].as_object();
        let mut found = 0;
        for schema in schemas.expect("an object").values() {
            for (field, limit) in [("id", MessageId::MAX_CHARS), ("filename", MAX_NAME_BYTES)] {
                let length = &schema["properties"][field]["maxLength"];
                if !length.is_null() {
                    assert_eq!(*length, limit, "{field} of {}", schema["title"]);
                    found += 1;
                }
            }
        }
        assert!(found > 0);
    }

    #[test]
    fn every_reference_has_a_target() {
        fn check(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                        let pointer = reference.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    fields.values().for_each(|value| check(value, document));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, document)),
                _ => {}
            }
        }
        let document = document("1.0.0", true, &Arrival::at(None, None));
        check(&document, &document);
    }
}
