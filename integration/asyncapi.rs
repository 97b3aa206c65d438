//! `/asyncapi.json` describes the messages that are sent and accepted.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::schemas::Schemas;
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create};

/// The place of a message's schema in the description; of a binary message, that of its header.
fn place(message: &Value, binary: bool) -> String {
    let kind = message["type"].as_str().expect("a type");
    if binary {
        format!("/components/messages/{kind}_binary/headers")
    } else {
        format!("/components/messages/{kind}/payload")
    }
}

/// A client whose messages are checked in both directions.
struct Watched {
    client: Client,
    schemas: Schemas,
    seen: Vec<String>,
}

impl Watched {
    async fn connect(server: &Server, session: &str, query: &str) -> Self {
        let schemas = Schemas::of(server, "/asyncapi.json").await;
        let client = Client::connect_with(server, session, query).await;
        let greeting = client.greeting.clone();
        let mut watched = Self {
            client,
            schemas,
            seen: Vec::new(),
        };
        watched.note(&greeting, false);
        watched
    }

    fn note(&mut self, message: &Value, binary: bool) {
        let place = place(message, binary);
        self.schemas
            .expect(&message["type"].to_string(), &place, message);
        self.seen.push(place);
    }

    async fn send(&mut self, message: Value) {
        self.note(&message, false);
        self.client.send(message).await;
    }

    async fn send_binary(&mut self, header: Value, payload: &[u8]) {
        self.note(&header, true);
        self.client.send_binary(&header.to_string(), payload).await;
    }

    /// Reads up to a message of this type.
    async fn up_to(&mut self, kind: &str) -> Value {
        let (before, last) = self.client.up_to(&[kind]).await;
        for message in before.iter().chain([&last]) {
            let is_result = matches!(message["type"].as_str(), Some("delta" | "complete"));
            let binary = is_result && message.get("glb_base64").is_none();
            self.note(message, binary);
        }
        last
    }
}

fn image(index: u32) -> Value {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(photo(index));
    json!({"type": "image", "data": data, "filename": format!("{index}.png")})
}

/// Exchanges all kinds of messages of a connection.
async fn converse(watched: &mut Watched, follows: bool) {
    watched.send(json!({"type": "generate"})).await;
    watched.up_to("error").await;
    for index in 0..3 {
        watched.send(image(index)).await;
        watched.up_to("ack").await;
        watched
            .send(json!({"type": "generate", "incremental": true}))
            .await;
        let delta = watched.up_to("delta").await;
        assert_eq!(delta["metadata"].get("append").is_some(), follows);
        watched
            .send(json!({"type": "received", "number": delta["number"]}))
            .await;
    }
    watched.send(json!({"type": "map", "id": "m"})).await;
    watched.up_to("poses").await;
    let mut with_camera = image(3);
    with_camera["intrinsics"] = json!([[50.0, 0.0, 28.0], [0.0, 50.0, 21.0], [0.0, 0.0, 1.0]]);
    with_camera["extrinsics"] = json!([
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0]
    ]);
    with_camera["id"] = json!("with camera");
    watched.send(with_camera).await;
    watched.up_to("ack").await;
    watched
        .send_binary(json!({"type": "image", "id": "4"}), &photo(4))
        .await;
    watched.up_to("ack").await;
    watched
        .send(json!({"type": "image", "id": "5", "filename": "5.png", "data": "!"}))
        .await;
    watched.up_to("error").await;
    watched
        .send(json!({"type": "generate", "incremental": false, "id": "6"}))
        .await;
    watched.up_to("complete").await;
    watched.send(json!({"type": "cancel", "id": "6"})).await;
    watched.up_to("error").await;
    watched.send(json!({"type": "ping"})).await;
    watched.up_to("pong").await;
    watched.send(json!({"type": "finalize"})).await;
    watched.up_to("complete").await;
}

/// The messages of a client that watches.
async fn watch(server: &Server) -> Vec<String> {
    let session = server.session("").await;
    let mut watched = Watched::connect(server, &session, "watch=true").await;
    watched.up_to("changed").await;
    watched.schemas.check().await;
    watched.seen
}

/// Exchanges the messages of a client that has its token in the first message.
async fn introduce() -> Vec<String> {
    let tokens = Tokens::new();
    let token = tokens.add("user", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, _) = create(&server, &token).await;
    let address = server.socket(&session);
    let (client, _) = Client::with_headers(&address, &session, &[]).await;
    let schemas = Schemas::of(&server, "/asyncapi.json").await;
    let scheme = &schemas.document["components"]["securitySchemes"]["token"];
    assert_eq!(scheme["scheme"], "bearer", "{scheme}");
    let mut watched = Watched {
        client,
        schemas,
        seen: Vec::new(),
    };
    watched.send(json!({"type": "auth", "token": token})).await;
    watched.up_to("connected").await;
    watched.schemas.check().await;
    watched.seen
}

#[tokio::test]
async fn messages_are_as_described_in_both_directions() {
    let server = Server::start(&[]).await;
    let mut seen = Vec::new();
    for query in [
        "",
        "binary=true",
        "deltas=append",
        "deltas=append&binary=true",
    ] {
        let session = server.session("").await;
        let mut watched = Watched::connect(&server, &session, query).await;
        converse(&mut watched, query.starts_with("deltas")).await;
        seen.extend(watched.seen);
        watched.schemas.check().await;
    }
    seen.extend(watch(&server).await);
    seen.extend(introduce().await);
    // Every described message was seen.
    let document = server.get("/asyncapi.json").await.json();
    let messages = document["components"]["messages"].as_object();
    for (name, message) in messages.expect("an object") {
        let part = if name.ends_with("_binary") {
            "headers"
        } else {
            "payload"
        };
        assert!(message[part].is_object(), "{name}");
        let place = format!("/components/messages/{name}/{part}");
        assert!(seen.contains(&place), "{name} was not seen");
    }
}

#[tokio::test]
async fn fields_are_required_and_typed_as_described() {
    let server = Server::start(&[]).await;
    let document = server.get("/asyncapi.json").await.json();
    let samples = [
        image(0),
        json!({"type": "generate", "incremental": true}),
        json!({"type": "ping"}),
        json!({"type": "finalize"}),
        json!({"type": "map"}),
    ];
    for sample in samples {
        let payload = document
            .pointer(&place(&sample, false))
            .expect("every message is described");
        let reference = payload["$ref"].as_str().expect("a schema of its own");
        let payload = document
            .pointer(reference.trim_start_matches('#'))
            .expect("the reference has a target");
        let required: Vec<_> = payload["required"].as_array().expect("a list").clone();
        let properties = payload["properties"].as_object().expect("an object");
        for (name, property) in properties {
            let mut wrong = sample.clone();
            wrong[name] = json!([1]);
            let mut client = server.client("").await;
            client.upload("x.png", &photo(0)).await;
            client.send(wrong).await;
            client.expect_error(&[name]).await;
            let mut without = sample.clone();
            without.as_object_mut().expect("an object").remove(name);
            if required.contains(&json!(name)) {
                client.send(without).await;
                client.expect_error(&[name]).await;
            } else {
                // Optional fields may be null.
                let kinds = property["type"].as_array().expect("several types");
                assert!(kinds.contains(&json!("null")), "{name}: {property}");
                let mut null = sample.clone();
                null[name] = Value::Null;
                for message in [without, null] {
                    let answered = match sample["type"].as_str() {
                        Some("image") => &["ack"][..],
                        Some("map") => &["poses"],
                        _ => &["delta", "complete"],
                    };
                    // A new session for each: a finalized one accepts no messages.
                    let mut client = server.client("").await;
                    client.upload("x.png", &photo(0)).await;
                    client.send(message).await;
                    client.up_to(answered).await;
                }
            }
        }
    }
}
