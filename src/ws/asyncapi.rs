//! The description of the WebSocket for programs (AsyncAPI 3).

use pointstream_actors::ResultMetadata;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::frames;
use super::schemas::{FromClient, FromServer, HeaderFromClient, HeaderFromServer};

/// Messages that clients send, with those that may answer them.
const FROM_CLIENT: [(&str, &[&str]); 5] = [
    ("image", &["ack", "error"]),
    ("image_binary", &["ack", "error"]),
    (
        "generate",
        &[
            "progress",
            "delta",
            "complete",
            "delta_binary",
            "complete_binary",
            "error",
        ],
    ),
    (
        "finalize",
        &["progress", "complete", "complete_binary", "error"],
    ),
    ("ping", &["pong", "error"]),
];

/// The description, for the version of the protocol that is served.
pub fn document(version: &str) -> Value {
    let mut messages = Map::new();
    add_messages(&mut messages, &FromClient::schema());
    add_messages(&mut messages, &frames::Message::schema());
    add_messages(&mut messages, &FromServer::schema());
    add_binary_messages(&mut messages, &HeaderFromClient::schema());
    add_binary_messages(&mut messages, &HeaderFromServer::schema());

    let in_channel: Map<String, Value> = messages
        .keys()
        .map(|name| (name.clone(), reference("components/messages", name)))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "pointstream",
            "version": version,
            "description": "The WebSocket of a session: images in, point clouds out. Sessions are \
                            created over HTTP, which /openapi.json of the same server describes.",
        },
        "defaultContentType": "application/json",
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
                            "description": "Whether the client takes over what an earlier \
                                            connection left behind",
                        },
                        "binary": {
                            "type": "boolean",
                            "default": false,
                            "description": "Whether results come as binary messages",
                        },
                    },
                },
            } },
        } },
        "operations": operations(),
        "components": { "messages": messages, "schemas": schemas() },
    })
}

fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{place}/{name}") })
}

/// What the server does with each kind of message.
fn operations() -> Value {
    let channel = reference("channels", "session");
    let message = |name: &&str| reference("channels/session/messages", name);
    let mut operations = Map::new();
    for (name, answers) in FROM_CLIENT {
        operations.insert(
            format!("receive_{name}"),
            json!({
                "action": "receive",
                "channel": channel,
                "messages": [message(&name)],
                "reply": {
                    "channel": channel,
                    "messages": answers.iter().map(message).collect::<Vec<_>>(),
                },
            }),
        );
    }
    operations.insert(
        "greet".to_owned(),
        json!({
            "action": "send",
            "channel": channel,
            "summary": "Always the first message of a connection",
            "messages": [message(&"connected")],
        }),
    );
    Value::Object(operations)
}

/// Adds a message for each variant of a schema.
fn add_messages(messages: &mut Map<String, Value>, schema: &impl serde::Serialize) {
    for (name, variant) in variants(schema) {
        let message = json!({
            "name": name,
            "summary": variant["description"],
            "payload": variant,
        });
        messages.insert(name, message);
    }
}

/// Adds a binary message for each variant of the schema of its header.
fn add_binary_messages(messages: &mut Map<String, Value>, schema: &impl serde::Serialize) {
    for (name, variant) in variants(schema) {
        let message = json!({
            "name": name,
            "summary": variant["description"],
            "description": "A binary frame: the bytes 50 53 42 01, the length of the header as \
                            u32 in little endian, the header as JSON in UTF-8, and the file.",
            "contentType": "application/octet-stream",
            "headers": variant,
            "payload": { "type": "string", "format": "binary" },
        });
        messages.insert(format!("{name}_binary"), message);
    }
}

/// The variants of a tagged enumeration by their tag.
fn variants(schema: &impl serde::Serialize) -> Vec<(String, Value)> {
    let schema = serde_json::to_value(schema).unwrap_or_default();
    let variants = match &schema["oneOf"] {
        Value::Array(variants) => variants.clone(),
        _ => Vec::new(),
    };
    variants
        .into_iter()
        .filter_map(|variant| {
            let tag = variant["properties"]["type"]["enum"][0].as_str()?;
            Some((tag.to_owned(), variant))
        })
        .collect()
}

/// The types that the messages refer to.
fn schemas() -> Value {
    let mut found = vec![(
        ResultMetadata::name().into_owned(),
        ResultMetadata::schema(),
    )];
    frames::Message::schemas(&mut found);
    FromServer::schemas(&mut found);
    let schemas: Map<String, Value> = found
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .collect();
    Value::Object(schemas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_described() {
        let document = document("1.0.0");
        let messages = document["components"]["messages"].as_object();
        let names: Vec<_> = messages.expect("an object").keys().collect();
        assert_eq!(
            names,
            [
                "ack",
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
                "ping",
                "pong",
                "progress",
            ]
        );
    }

    /// Every reference leads somewhere.
    #[test]
    fn no_reference_is_broken() {
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
        let document = document("1.0.0");
        check(&document, &document);
    }
}
